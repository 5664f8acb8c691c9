//! Names that become folders: those of runs, members and syntheses.

use std::collections::BTreeMap;

use super::validate::below;
use consilience_core::document::Node;
use consilience_core::document::{Finding, List, quote};

/// The longest name.
const MAX_NAME: usize = 64;

/// Names that some systems keep for devices.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Whether a name can be a folder's on every system.
pub(super) fn is_fit(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let numbered = ["com", "lpt"]
        .iter()
        .any(|d| stem.strip_prefix(d).is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit())));
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !name.ends_with('.')
        && !DEVICES.contains(&stem)
        && !numbered
}

/// A fit name from any text: what cannot stand in a name becomes `_`.
pub(super) fn fit(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .take(MAX_NAME - 1)
        .collect();
    let name = name.trim_matches(['_', '-']).to_owned();
    if is_fit(&name) { name } else { fit_prefix(&name) }
}

fn fit_prefix(name: &str) -> String {
    let prefixed = format!("n{name}");
    if is_fit(&prefixed) && !name.is_empty() { prefixed } else { "recipe".to_owned() }
}

/// The name of a recipe that gives none: that of its file.
pub(super) fn from_file(file_name: &str) -> String {
    let last = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    if is_fit(stem) { stem.to_owned() } else { fit(stem) }
}

/// Names that cannot be folders, and names that would share one.
pub(super) fn check(root: &Node, findings: &mut List) {
    let rule = format!("letters, digits, _ - . (at most {MAX_NAME}), a letter, digit or _ first");
    if let Some(name) = root.get("name")
        && let Some(text) = name.text()
        && !is_fit(text)
    {
        let finding = Finding::error(format!("{} cannot be the name of a folder", quote(text)), name.span);
        findings.push(finding.at("name").expected(&rule).near(Some(fit(text).as_str())));
    }
    let mut taken: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    for section in ["members", "synthesis"] {
        for entry in root.get(section).map(Node::entries).unwrap_or_default() {
            let path = below(section, &entry.key);
            if !is_fit(&entry.key) {
                let message = format!("{} cannot be the name of a folder", quote(&entry.key));
                findings.push(Finding::error(message, entry.key_span).at(path).expected(&rule));
                continue;
            }
            let place = (entry.key.as_str(), entry.key_span.line);
            if let Some((other, line)) = taken.insert(entry.key.to_ascii_lowercase(), place) {
                let finding =
                    Finding::error(format!("the name {} is taken", quote(&entry.key)), entry.key_span)
                        .expected(format!("a name of its own; \"{other}\" stands on line {line}"))
                        .remedy("members and syntheses share the names, whatever their case");
                findings.push(finding.at(path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fit_names_are_folders_everywhere() {
        for good in ["a", "looks_2", "A.b-c", "_x", "console", "0"] {
            assert!(is_fit(good), "{good}");
        }
        for bad in
            ["", ".", "..", "-a", "a/b", "a\\b", "con", "NUL.txt", "com1", "a.", "é", "a b", &"a".repeat(65)]
        {
            assert!(!is_fit(bad), "{bad}");
            assert!(is_fit(&fit(bad)), "{bad} -> {}", fit(bad));
        }
        assert_eq!(from_file("recipes/digits.yaml"), "digits");
        assert_eq!(from_file("my recipe.yaml"), "my_recipe");
        assert_eq!(from_file(""), "recipe");
    }
}
