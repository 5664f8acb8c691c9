//! Chat templates: how a conversation becomes one text.

use consilience_core::document::{quote, suggest};
use consilience_core::{Error, Result};

/// The templates that have a name, by the published formats of the prompts.
const NAMED: [(&str, &str); 5] = [
    ("alpaca", include_str!("templates/alpaca.jinja")),
    ("chatml", include_str!("templates/chatml.jinja")),
    ("llama3", include_str!("templates/llama3.jinja")),
    ("mistral", include_str!("templates/mistral.jinja")),
    ("exaone", include_str!("templates/exaone.jinja")),
];

/// The largest template, in bytes.
const LARGEST: usize = 1 << 20;

/// The chat template of a merge whose models have these, as far as they have one; `None` to leave that of the tokenizer's donor as it is.
///
/// - `auto`: the template that most members have; of equally many, that of the first member.
/// - `alpaca`: the prompt of Stanford Alpaca, `### Instruction:` and `### Response:`.
/// - `chatml`: `<|im_start|>role`, the message, `<|im_end|>`.
/// - `llama3`: `<|start_header_id|>role<|end_header_id|>`, the message, `<|eot_id|>`, as Llama 3 Instruct.
/// - `mistral`: `[INST] message [/INST] answer`, as Mistral 7B Instruct; a system message stands before the first message.
/// - `exaone`: `[|role|]message`, system messages and answers end with `[|endofturn|]`, as EXAONE 3.
/// - Anything else is the template itself, Jinja text. An empty text is none.
///
/// # Errors
/// [`Error::Argument`] for a text that is neither a known name nor Jinja.
pub fn chat_template(setting: &str, templates: &[&str]) -> Result<Option<String>> {
    if setting == "auto" {
        return Ok(most_common(templates).map(str::to_owned));
    }
    if let Some((_, template)) = NAMED.iter().find(|(name, _)| *name == setting) {
        return Ok(Some((*template).to_owned()));
    }
    if setting.is_empty() {
        return Ok(None);
    }
    if setting.len() > LARGEST {
        return Err(
            Error::argument("the chat template is too large").expected(format!("at most {LARGEST} bytes"))
        );
    }
    if setting.contains("{{") || setting.contains("{%") {
        return Ok(Some(setting.to_owned()));
    }
    let names = || std::iter::once("auto").chain(NAMED.iter().map(|(name, _)| *name));
    let mut error = Error::argument("this is no chat template")
        .at("chat_template")
        .expected(format!("{}, or Jinja text", names().collect::<Vec<_>>().join(", ")))
        .got(quote(setting));
    if let Some(near) = suggest(setting, names()) {
        error = error.remedy(format!("did you mean {}?", quote(near)));
    }
    Err(error)
}

fn most_common<'a>(templates: &[&'a str]) -> Option<&'a str> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for template in templates {
        match counts.iter_mut().find(|(known, _)| known == template) {
            Some((_, count)) => *count += 1,
            None => counts.push((*template, 1)),
        }
    }
    // Of equals, `max_by_key` gives the last.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(template, _)| template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_templates_have_the_control_tokens_of_their_formats() {
        for (name, tokens) in [
            ("alpaca", &["### Instruction:", "### Response:", "Below is an instruction", "eos_token"][..]),
            ("chatml", &["<|im_start|>", "<|im_end|>", "assistant"]),
            ("llama3", &["bos_token", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]),
            ("mistral", &["bos_token", "[INST]", "[/INST]", "eos_token"]),
            ("exaone", &["[|", "|]", "[|endofturn|]", "[|assistant|]"]),
        ] {
            let text = chat_template(name, &[]).unwrap().unwrap();
            for token in tokens {
                assert!(text.contains(token), "{name}: {token}");
            }
            assert!(text.contains("for ") && text.contains("messages"), "{name}");
            assert_eq!(text.matches("{%").count(), text.matches("%}").count(), "{name}");
            assert_eq!(text.matches("{{").count(), text.matches("}}").count(), "{name}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_nearest_name() {
        let error = chat_template("chatlm", &[]).unwrap_err().to_string();
        assert!(error.contains("chatml") && error.contains("Jinja"), "{error}");
        assert_eq!(chat_template("", &[]).unwrap(), None);
        assert_eq!(chat_template("auto", &[]).unwrap(), None);
        assert_eq!(chat_template("{{ messages }}", &[]).unwrap().unwrap(), "{{ messages }}");
        assert!(chat_template(&"{{".repeat(LARGEST), &[]).is_err());
    }
}
