//! The tokenizers of a merge: read one after the other, planned, and written at its end.

use std::path::Path;

use consilience_core::document::{Finding, List, Node};
use consilience_core::{Error, Result};

use crate::config::{Config, ModelName};
use crate::file::{Limits, Ready};
use crate::model::Model;
use crate::plan::{FIXED, megabytes};
use crate::tokenizer::{
    Member, MergedTokenizer, TokenizerSettings, Vocabulary, chat_template, copy_with_template, has_tokenizer,
    own_template,
};

/// The vocabularies of all models, and what the merge file says of them. They are large: what is found in them is kept, not they.
pub struct Tokens {
    settings: TokenizerSettings,
    names: Vec<String>,
    vocabularies: Vec<Vocabulary>,
    rows: Vec<usize>,
    base: Option<usize>,
}

impl Tokens {
    fn members(&self) -> Vec<Member<'_>> {
        let all = self.names.iter().zip(&self.vocabularies).zip(&self.rows);
        all.map(|((name, vocabulary), rows)| Member { name, vocabulary, rows: *rows }).collect()
    }

    /// The merged tokenizer; `None` if there is none, with findings.
    pub fn merged(&self, findings: &mut List) -> Option<MergedTokenizer<'_>> {
        MergedTokenizer::plan(&self.settings, &self.members(), self.base, findings)
    }

    /// The bytes that all of it takes at its largest: vocabularies, the merged one beside them, its rows, and one file that is read.
    pub fn bytes(&self, merged: &MergedTokenizer<'_>) -> u64 {
        let all: u64 = self.vocabularies.iter().map(Vocabulary::bytes).sum();
        let largest = self.vocabularies.iter().map(Vocabulary::bytes).max().unwrap_or(0);
        all + 2 * largest + 2 * merged.vocabulary().bytes() + merged.rows.bytes()
    }
}

/// What of the tokenizer and the chat template can be known without any model.
pub fn check_words(config: &Config, findings: &mut List) {
    if let Some(node) = &config.tokenizer {
        settings(config, node, findings);
    }
    if let Some((setting, span)) = &config.chat_template
        && let Err(error) = chat_template(setting, &[])
    {
        findings.push(Finding::of(&error, *span).at("chat_template"));
    }
}

/// The section `tokenizer`, its models by their places among those of the document.
fn settings(config: &Config, node: &Node, findings: &mut List) -> TokenizerSettings {
    let models = config.models();
    let find = |node: &Node, path: &str, findings: &mut List| -> Option<usize> {
        let (name, span) = ModelName::read(node, path, findings)?;
        let found = models.iter().position(|(m, _)| **m == name);
        if found.is_none() {
            let expected: Vec<String> = models.iter().map(|(m, _)| m.to_string()).collect();
            let finding = Finding::error("this is no model of the merge", span).at(path);
            findings.push(finding.expected(expected.join(", ")));
        }
        found
    };
    TokenizerSettings::decode(node, "tokenizer", &find, findings)
}

/// Reads the vocabularies that the section `tokenizer` of a document speaks of, whose `models` are in its order.
///
/// # Errors
/// [`Error::Argument`] if they do not fit into the memory that is allowed. What is wrong with them becomes findings, and then it is `None`.
pub fn read(
    config: &Config,
    models: &[Model],
    limits: Option<&Limits>,
    findings: &mut List,
) -> Result<Option<Tokens>> {
    let Some(node) = &config.tokenizer else { return Ok(None) };
    let settings = settings(config, node, findings);
    let mut vocabularies = Vec::new();
    let mut held = FIXED;
    for model in models {
        match Vocabulary::read(&model.dir) {
            Ok(vocabulary) => {
                held += vocabulary.bytes();
                vocabularies.push(vocabulary);
            }
            Err(error) => findings.push(Finding::of(&error, node.span).at("tokenizer").of_file()),
        }
        if let Some(most) = limits.and_then(|l| l.memory).filter(|most| held > *most) {
            return Err(too_little(held, most));
        }
        if model.embedding().is_none() {
            findings.push(
                Finding::error("a model has no embedding whose rows a tokenizer could name", node.span)
                    .at("tokenizer")
                    .got(model.name.to_string()),
            );
        }
    }
    if findings.has_errors_under("tokenizer") {
        return Ok(None);
    }
    let rows = |m: &Model| m.embedding().and_then(|e| m.tensor(e)?.shape().first().copied()).unwrap_or(0);
    Ok(Some(Tokens {
        settings,
        names: models.iter().map(|m| m.name.to_string()).collect(),
        vocabularies,
        rows: models.iter().map(rows).collect(),
        base: config.base.as_ref().and_then(|(b, _)| models.iter().position(|m| m.name == *b)),
    }))
}

/// The error about memory that does not hold the tokenizers.
fn too_little(needed: u64, most: u64) -> Error {
    Error::argument("the memory that is allowed is too little for the tokenizers")
        .at("--max-memory")
        .expected(format!("more than {}", megabytes(needed)))
        .got(megabytes(most))
}

/// A chat template needs a tokenizer that it can go with.
pub fn check_template(config: &Config, donor: &Model, findings: &mut List) {
    if let (Some((_, span)), None) = (&config.chat_template, &config.tokenizer)
        && !has_tokenizer(&donor.dir)
    {
        findings.push(
            Finding::error("there is no tokenizer for the chat template to go with", *span)
                .at("chat_template")
                .expected("a model with its tokenizer")
                .got(format!("none in {}", donor.dir.display()))
                .of_file(),
        );
    }
}

/// Whether the result's tokenizer is another one than the donor's.
pub fn has_policy(config: &Config) -> bool {
    config.tokenizer.is_some() || config.chat_template.is_some()
}

/// Writes the files of the result's tokenizer and its chat template, and gives their names.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`]; what reading the tokenizers gives.
pub fn write(ready: &Ready, dir: &Path) -> Result<Vec<String>> {
    let config = &ready.config;
    let again = || Error::internal("a tokenizer that was planned cannot be planned again");
    let mut findings = List::default();
    let auto = config.chat_template.as_ref().is_some_and(|(name, _)| name == "auto");
    let read_template = |m: &Model| if auto { own_template(&m.dir) } else { Ok(None) };
    let templates: Vec<String> =
        ready.models.iter().filter_map(|m| read_template(m).transpose()).collect::<Result<_>>()?;
    let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
    let chat = match &config.chat_template {
        Some((setting, _)) => chat_template(setting, &templates)?,
        None => None,
    };
    if config.tokenizer.is_none() {
        let donor = ready.models.get(ready.plan.donor).ok_or_else(again)?;
        return copy_with_template(&donor.dir, dir, chat.as_deref());
    }
    let tokens = read(config, &ready.models, None, &mut findings)?.ok_or_else(again)?;
    tokens.merged(&mut findings).ok_or_else(again)?.write(dir, chat.as_deref())
}
