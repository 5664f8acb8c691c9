//! Trees as YAML text: one line for what is short, blocks for the rest.

use super::node::{Content, Entry, Node};
use super::scalar::{write_key, write_text};

/// The longest line that is preferred.
const WIDTH: usize = 110;
/// The text of a tree, a line an entry at the top. `open` names top keys whose maps always have a line an entry.
pub fn write(root: &Node, open: &[&str]) -> String {
    let mut out = String::new();
    match &root.content {
        Content::Map(entries) if !entries.is_empty() => block_map(entries, 0, Some(open), &mut out),
        _ => {
            out.push_str(&flow(root));
            out.push('\n');
        }
    }
    out
}

/// The text of a tree on one line.
pub fn flow(node: &Node) -> String {
    match &node.content {
        Content::Null | Content::Refused => "null".to_owned(),
        Content::Bool(b) => b.to_string(),
        Content::Int(v) => v.to_string(),
        Content::Float(v) => format!("{v:?}"),
        Content::String(s) => write_text(s),
        Content::Seq(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Content::Map(entries) => {
            let one = |e: &Entry| format!("{}: {}", write_key(&e.key), flow(&e.value));
            format!("{{{}}}", entries.iter().map(one).collect::<Vec<_>>().join(", "))
        }
    }
}

fn is_block(node: &Node) -> bool {
    match &node.content {
        Content::Seq(items) => !items.is_empty(),
        Content::Map(entries) => !entries.is_empty(),
        _ => false,
    }
}

fn block_map(entries: &[Entry], indent: usize, open: Option<&[&str]>, out: &mut String) {
    let pad = " ".repeat(indent);
    for entry in entries {
        let head = format!("{pad}{}:", write_key(&entry.key));
        let line = flow(&entry.value);
        let opens = match open {
            Some(open) => open.contains(&entry.key.as_str()),
            None => entry.key == "columns",
        };
        let block = is_block(&entry.value) && (opens || head.len() + 1 + line.len() > WIDTH);
        if !block {
            *out += &format!("{head} {line}\n");
            continue;
        }
        *out += &format!("{head}\n");
        nested(&entry.value, indent + 2, out);
    }
}

fn nested(node: &Node, indent: usize, out: &mut String) {
    match &node.content {
        Content::Map(entries) => block_map(entries, indent, None, out),
        Content::Seq(items) => {
            for item in items {
                let line = flow(item);
                let pad = " ".repeat(indent);
                if is_block(item) && indent + 2 + line.len() > WIDTH {
                    *out += &format!("{pad}-\n");
                    nested(item, indent + 2, out);
                } else {
                    *out += &format!("{pad}- {line}\n");
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Grammar, parse};
    use super::*;
    use serde_json::json;

    const RECIPE: Grammar = Grammar { what: "recipe", documents: false, aliases: false, start: "" };

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let long = "x".repeat(200);
        let value = json!({
            "version": 1, "float": 1e-7, "whole": 3.0, "big": u64::MAX, "small": i64::MIN, "none": null, "yes": true,
            "words": ["yes", "null", "1.5", "", " a ", "a: b", "#c", "[d]", "é", "\u{0}\u{7f}\u{2028}\u{fffe}", "'", "\"\\"],
            "on": {"on": "on", "a b": [], "c": {}, "7": 7, "": ""},
            "deep": [[{"a": [long, {"b": [long, [long]]}]}], {"c": long}],
            "columns": {"a": {"type": "number"}},
            "k".repeat(500): {"é".repeat(250): long},
        });
        let node = Node::from_json(&value);
        let text = write(&node, &["columns"]);
        let (read, findings) = parse(&text, RECIPE);
        assert!(findings.is_empty(), "{findings:?}\n{text}");
        assert_eq!(read.unwrap().to_json(), value, "{text}");
        let (read, findings) = parse(&flow(&node), RECIPE);
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(read.unwrap().to_json(), value);
    }
}
