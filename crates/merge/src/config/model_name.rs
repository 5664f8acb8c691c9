//! A model by its name in a merge file: a folder or a name of the hub, with a revision and a LoRA.

use std::fmt;

use consilience_core::document::{Content, Finding, List, Node, Span, quote, suggest};

/// A model, not looked for yet: `path[@revision][+lora[@revision]]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelName {
    /// A folder, a file, a name of the hub (`organization/name`), or the name of an earlier merge of the file.
    pub path: String,
    /// A revision of the hub.
    pub revision: Option<String>,
    /// An adapter that is added to the weights.
    pub lora: Option<Box<ModelName>>,
}

impl ModelName {
    /// Reads `path[@revision][+lora[@revision]]`.
    fn parse(text: &str) -> Option<Self> {
        // A folder may have a + or @ in its name: the last + that is followed by something begins the adapter.
        let (model, lora) = match text.split_once('+') {
            Some((model, lora)) => (model, Some(lora)),
            None => (text, None),
        };
        let one = |text: &str| {
            let (path, revision) = match text.split_once('@') {
                Some((path, revision)) => (path, Some(revision)),
                None => (text, None),
            };
            let whole = !path.trim().is_empty() && revision.is_none_or(|r| !r.is_empty());
            whole.then(|| Self { path: path.to_owned(), revision: revision.map(str::to_owned), lora: None })
        };
        let mut name = one(model)?;
        if let Some(lora) = lora {
            name.lora = Some(Box::new(one(lora)?));
        }
        Some(name)
    }

    /// Reads a model's name or map, collecting what is wrong with it.
    pub fn read(node: &Node, path: &str, findings: &mut List) -> Option<(Self, Span)> {
        match &node.content {
            Content::String(text) => match Self::parse(text) {
                Some(name) => Some((name, node.span)),
                None => {
                    findings.push(malformed(node).at(path).got(quote(text)));
                    None
                }
            },
            Content::Map(entries) => {
                const KEYS: [&str; 3] = ["model", "lora", "override_architecture"];
                for entry in entries {
                    if !KEYS.contains(&entry.key.as_str()) {
                        findings.push(
                            Finding::error(
                                format!("the key {} is not known here", quote(&entry.key)),
                                entry.key_span,
                            )
                            .at(path)
                            .expected(KEYS.join(", "))
                            .near(suggest(&entry.key, KEYS)),
                        );
                    }
                }
                if let Some(entry) = node.entry("override_architecture") {
                    findings.push(
                        Finding::warning(
                            "override_architecture has no effect: layers are found by the tensors' names",
                            entry.key_span,
                        )
                        .at(path),
                    );
                }
                let inner = node.get("model");
                let Some(inner) = inner else {
                    findings.push(malformed(node).at(path).remedy("say which model: {model: path}"));
                    return None;
                };
                // mergekit writes `model: {path: x, revision: y}` where it writes a resolved configuration.
                let (mut name, span) = located(inner, path, findings)?;
                if let Some(lora) = node.get("lora").filter(|n| n.content != Content::Null) {
                    let (lora, _) = located(lora, path, findings)?;
                    if lora.lora.is_some() || name.lora.is_some() {
                        findings.push(Finding::error("a model takes one LoRA", node.span).at(path));
                        return None;
                    }
                    name.lora = Some(Box::new(lora));
                }
                Some((name, span))
            }
            Content::Refused => None,
            _ => {
                findings.push(malformed(node).at(path));
                None
            }
        }
    }
}

/// A name, or a map of a path and a revision.
fn located(node: &Node, path: &str, findings: &mut List) -> Option<(ModelName, Span)> {
    match &node.content {
        Content::Map(_) => {
            for entry in node.entries() {
                if !matches!(entry.key.as_str(), "path" | "revision") {
                    findings.push(
                        Finding::error(
                            format!("the key {} is not known here", quote(&entry.key)),
                            entry.key_span,
                        )
                        .at(path)
                        .expected("path, revision")
                        .near(suggest(&entry.key, ["path", "revision"])),
                    );
                }
            }
            let place = node.get("path").and_then(Node::text).filter(|t| !t.is_empty());
            let Some(place) = place else {
                findings.push(malformed(node).at(path));
                return None;
            };
            let revision = node.get("revision").and_then(Node::text).map(str::to_owned);
            Some((ModelName { path: place.to_owned(), revision, lora: None }, node.span))
        }
        _ => ModelName::read(node, path, findings),
    }
}

fn malformed(node: &Node) -> Finding {
    Finding::error("this names no model", node.span)
        .expected("path[@revision][+lora[@revision]], or {model: ..., lora: ...}")
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        match &self.lora {
            Some(lora) => write!(f, "+{lora}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for text in ["a", "org/name", "org/name@v1", "./a+b", "a@1+b@2"] {
            assert_eq!(ModelName::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "+a", "a+", "a@", "@1", "a@+b"] {
            assert_eq!(ModelName::parse(text), None, "{text}");
        }
    }
}
