//! What a merge file says of the tokenizer.

use consilience_core::document::{Content, Entry, Finding, List, Node, Span, quote, suggest};

use super::file::MOST;

/// Whose vocabulary the result has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Source {
    /// That of all: first the base's tokens with their numbers, then what others add, in their order.
    #[default]
    Union,
    /// The base's; the first member's where there is no base.
    Base,
    /// That of this member.
    Member(usize),
}

/// Where the row of a token is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From this member's row of this token.
    Token(usize, String),
    /// This row of this member.
    Row(usize, usize),
    /// Nowhere: it is zero.
    Zero,
}

/// What is said of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The token.
    pub token: String,
    /// Where it is said.
    pub span: Span,
    /// Where its row is taken from.
    pub origin: Origin,
    /// For all members; else only for those that lack the token.
    pub force: bool,
}

/// The section `tokenizer` of a merge file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerSettings {
    /// Where it stands.
    pub span: Span,
    /// Whose vocabulary the result has.
    pub source: Source,
    /// What is said of tokens, each once, in the order of the text.
    pub tokens: Vec<Override>,
    /// The number of rows becomes a multiple of this.
    pub pad_to_multiple_of: Option<usize>,
}

/// Gives the member that a node names, or pushes a finding with the path of keys.
pub type FindMember<'a> = &'a dyn Fn(&Node, &str, &mut List) -> Option<usize>;

impl TokenizerSettings {
    /// Reads the section: a map, or only its source (as `tokenizer_source` has it). `path` is what it stands under; `member` knows
    /// the models of the merge.
    ///
    /// Mistakes become findings; what they are about is then left out.
    pub fn decode(node: &Node, path: &str, member: FindMember<'_>, findings: &mut List) -> Self {
        let mut settings = Self { span: node.span, ..Self::default() };
        if node.text().is_some() {
            settings.source = source(node, path, member, findings);
            return settings;
        }
        let Content::Map(_) = node.content else {
            let finding = Finding::error("this says nothing of a tokenizer", node.span).at(path);
            findings.push(finding.expected("union, base, a model, or a map with source"));
            return settings;
        };
        known(node, &["source", "tokens", "pad_to_multiple_of"], path, findings);
        if let Some(node) = given(node, "source") {
            settings.source = source(node, &format!("{path}.source"), member, findings);
        }
        if let Some(node) = given(node, "pad_to_multiple_of") {
            settings.pad_to_multiple_of = match node.content {
                Content::Int(n) => usize::try_from(n).ok().filter(|n| (1..=MOST).contains(n)),
                _ => None,
            };
            if settings.pad_to_multiple_of.is_none() {
                findings.push(
                    Finding::error("rows cannot be padded to this", node.span)
                        .at(format!("{path}.pad_to_multiple_of"))
                        .expected(format!("a whole number from 1 to {MOST}")),
                );
            }
        }
        if let Some(node) = given(node, "tokens") {
            let path = format!("{path}.tokens");
            if !matches!(node.content, Content::Map(_)) {
                let finding = Finding::error("tokens are a map", node.span).at(&path);
                findings.push(finding.expected("token: {source: ...}"));
            }
            settings.tokens =
                node.entries().iter().filter_map(|e| token(e, &path, member, findings)).collect();
        }
        settings
    }
}

fn given<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.get(key).filter(|n| n.content != Content::Null)
}

fn known(node: &Node, keys: &[&str], path: &str, findings: &mut List) {
    for entry in node.entries().iter().filter(|e| !keys.contains(&e.key.as_str())) {
        findings.push(
            Finding::error(format!("the key {} is not known here", quote(&entry.key)), entry.key_span)
                .at(path)
                .expected(format!("one of {}", keys.join(", ")))
                .near(suggest(&entry.key, keys.iter().copied())),
        );
    }
}

fn source(node: &Node, path: &str, member: FindMember<'_>, findings: &mut List) -> Source {
    match node.text() {
        Some("union") => Source::Union,
        Some("base") => Source::Base,
        _ => member(node, path, findings).map(Source::Member).unwrap_or_default(),
    }
}

fn token(entry: &Entry, path: &str, member: FindMember<'_>, findings: &mut List) -> Option<Override> {
    let path = format!("{path}.{}", entry.key);
    let Content::Map(_) = entry.value.content else {
        let finding = Finding::error("what is said of a token is a map", entry.value.span).at(&path);
        findings.push(finding.expected("{source: ...}, and force: true to take it for all models"));
        return None;
    };
    known(&entry.value, &["source", "force"], &path, findings);
    let force = match given(&entry.value, "force").map(|n| (&n.content, n.span)) {
        None => false,
        Some((Content::Bool(force), _)) => *force,
        Some((_, span)) => {
            findings.push(Finding::error("force is true or false", span).at(format!("{path}.force")));
            false
        }
    };
    let Some(node) = given(&entry.value, "source") else {
        let finding = Finding::error("it is not said where the token comes from", entry.key_span).at(&path);
        findings.push(finding.expected("source: a model, {kind: model_token, ...} or {kind: zero}"));
        return None;
    };
    let origin = origin(node, &entry.key, &format!("{path}.source"), member, findings)?;
    Some(Override { token: entry.key.clone(), span: entry.key_span, origin, force })
}

fn origin(
    node: &Node,
    token: &str,
    path: &str,
    member: FindMember<'_>,
    findings: &mut List,
) -> Option<Origin> {
    let Some(kind) = node.get("kind") else {
        // A model: its row of this token.
        return member(node, path, findings).map(|m| Origin::Token(m, token.to_owned()));
    };
    let wrong =
        |what: &str, span: Span, expected: &str| Finding::error(what, span).at(path).expected(expected);
    match kind.text() {
        Some("zero") => {
            known(node, &["kind"], path, findings);
            Some(Origin::Zero)
        }
        Some("model_token") => {
            known(node, &["kind", "model", "token", "token_id"], path, findings);
            let Some(model) = given(node, "model") else {
                findings.push(wrong("it is not said which model", node.span, "model: ..."));
                return None;
            };
            let model = member(model, &format!("{path}.model"), findings)?;
            match (given(node, "token"), given(node, "token_id")) {
                // The model's row of this token, as where only a model is named.
                (None, None) => Some(Origin::Token(model, token.to_owned())),
                (Some(text), None) if text.text().is_some() => {
                    text.text().map(|t| Origin::Token(model, t.to_owned()))
                }
                (None, Some(id)) => {
                    let row = match id.content {
                        Content::Int(row) => usize::try_from(row).ok().filter(|row| *row < MOST),
                        _ => None,
                    };
                    if row.is_none() {
                        findings.push(wrong(
                            "this is no number of a token",
                            id.span,
                            "a whole number from 0 on",
                        ));
                    }
                    row.map(|row| Origin::Row(model, row))
                }
                (Some(text), None) => {
                    findings.push(wrong("a token is text", text.span, "the token in quotes"));
                    None
                }
                (Some(_), Some(id)) => {
                    findings.push(wrong("token_id stands beside token", id.span, "only one of them"));
                    None
                }
            }
        }
        other => {
            let kinds = ["model_token", "zero"];
            let finding = wrong("a token does not come from this", kind.span, "model_token or zero");
            findings.push(finding.near(suggest(other.unwrap_or_default(), kinds)));
            None
        }
    }
}
