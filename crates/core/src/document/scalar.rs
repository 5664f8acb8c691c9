//! Scalars: what a plain word means (YAML 1.2, core schema), and which words may be written without quotes.

use super::node::Content;

/// What an unquoted scalar means by the core schema of YAML 1.2. Numbers that are not finite give `None`.
pub(super) fn resolve(text: &str) -> Option<Content> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Content::Null),
        "true" | "True" | "TRUE" => return Some(Content::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Content::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return None,
        _ => {}
    }
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return None;
    }
    let radix = [("0x", 16), ("0o", 8)].into_iter().find_map(|(p, r)| text.strip_prefix(p).map(|d| (d, r)));
    if let Some((digits, radix)) = radix
        && !digits.is_empty()
        && digits.chars().all(|c| c.is_digit(radix))
    {
        // Sixteen hexadecimal digits fill 64 bits; longer ones are no number a recipe can hold.
        return u64::from_str_radix(digits, radix).ok().map(|v| Content::Int(i128::from(v)));
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        if let Ok(v) = unsigned.parse::<i128>() {
            let v = if negative { -v } else { v };
            if v >= i128::from(i64::MIN) && v <= i128::from(u64::MAX) {
                return Some(Content::Int(v));
            }
        }
        return float(text);
    }
    if is_float(unsigned) { float(text) } else { Some(Content::String(text.to_owned())) }
}

fn float(text: &str) -> Option<Content> {
    text.parse::<f64>().ok().filter(|v| v.is_finite()).map(Content::Float)
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['-', '+']).unwrap_or(e))),
        None => (unsigned, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

/// A text as a YAML value: bare where every reader takes it for the same text, else in double quotes.
pub fn write_text(text: &str) -> String {
    // Words that YAML 1.1 reads as booleans.
    let old = ["y", "n", "yes", "no", "on", "off"].iter().any(|w| text.eq_ignore_ascii_case(w));
    if old { quoted(text) } else { write_key(text) }
}

/// A text as a YAML key: as values, but `on` stays bare, for it is a word of the grammar.
pub fn write_key(text: &str) -> String {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let bare = (first || text == "." || text.starts_with("./"))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && matches!(resolve(text), Some(Content::String(_)));
    if bare { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_follow_the_core_schema() {
        let int = |v| Some(Content::Int(v));
        let text = |t: &str| Some(Content::String(t.to_owned()));
        assert_eq!(resolve("7"), int(7));
        assert_eq!(resolve("-7"), int(-7));
        assert_eq!(resolve("+007"), int(7));
        assert_eq!(resolve("0x1F"), int(31));
        assert_eq!(resolve("0o17"), int(15));
        assert_eq!(resolve("18446744073709551615"), int(18_446_744_073_709_551_615));
        assert_eq!(resolve("18446744073709551616"), Some(Content::Float(18_446_744_073_709_551_616.0)));
        assert_eq!(resolve("1e-3"), Some(Content::Float(1e-3)));
        assert_eq!(resolve(".5"), Some(Content::Float(0.5)));
        assert_eq!(resolve("5."), Some(Content::Float(5.0)));
        assert_eq!(resolve(".inf"), None);
        assert_eq!(resolve("-.INF"), None);
        assert_eq!(resolve(".nan"), None);
        assert_eq!(resolve("1e999"), None);
        for word in
            ["no", "on", "yes", "1_000", "0b1", "1:30", ".", "-", "e5", "1e", "0x", "-0x1", "inf", "NaN"]
        {
            assert_eq!(resolve(word), text(word), "{word}");
        }
        assert_eq!(resolve("~"), Some(Content::Null));
        assert_eq!(resolve("True"), Some(Content::Bool(true)));
        assert_eq!(resolve("tRue"), text("tRue"));
    }

    #[test]
    fn what_is_written_bare_is_read_as_the_same_text() {
        for (word, written) in [
            ("looks", "looks"),
            ("a/b.csv", "a/b.csv"),
            (".", "."),
            ("./a", "./a"),
            ("...", "\"...\""),
            (".5", "\".5\""),
            ("null", "\"null\""),
            ("7", "\"7\""),
            ("", "\"\""),
            ("on", "\"on\""),
            ("a b", "\"a b\""),
            ("é", "\"é\""),
            ("\u{85}\n", "\"\\u0085\\n\""),
        ] {
            assert_eq!(write_text(word), written);
        }
        assert_eq!(write_key("on"), "on");
    }
}
