//! The tree of a document: YAML text to nodes that know where they stand. Everything in it is bounded.

use std::collections::BTreeMap;

use super::finding::{Finding, quote};
use super::node::{Content, Entry, Node, Span};
use super::scalar;
use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle};

/// The largest text, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// The deepest nesting of lists and maps.
pub const MAX_DEPTH: usize = 64;
/// The most keys, values, lists and maps.
pub const MAX_NODES: usize = 200_000;
/// The longest key, in bytes.
const MAX_KEY: usize = 512;
/// Reading ends after this many refusals.
const MAX_FINDINGS: usize = 100;

/// What a text is, and what of YAML it may use.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// What it is called in findings: "recipe".
    pub what: &'static str,
    /// Whether several documents may stand in it.
    pub documents: bool,
    /// Whether values may be named (`&name`) and used again (`*name`, `<<: *name`). They are written out while they are read, within the
    /// bounds on size. Such a text may also begin with a directive (`%YAML 1.1`), as other programs write it; it changes nothing.
    pub aliases: bool,
    /// What to do about a text without anything in it.
    pub start: &'static str,
}

/// Reads a text of one document. Without a tree there is at least one finding; with one there may be some (keys that stand
/// twice, tags, anchors, numbers that are not finite), and what they are about is [`Content::Refused`] or left out.
pub fn parse(text: &str, grammar: Grammar) -> (Option<Node>, Vec<Finding>) {
    let (roots, findings) = parse_all(text, Grammar { documents: false, ..grammar });
    (roots.into_iter().next(), findings)
}

/// Reads all documents of a text. As [`parse`] otherwise: without a tree there is at least one finding.
pub fn parse_all(text: &str, grammar: Grammar) -> (Vec<Node>, Vec<Finding>) {
    let what = grammar.what;
    if text.len() > MAX_BYTES {
        let finding = Finding::error(format!("the {what} is too large"), start_of_text())
            .expected(format!("at most {MAX_BYTES} bytes"))
            .got(format!("{} bytes", text.len()));
        return (Vec::new(), vec![finding]);
    }
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: !grammar.aliases,
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
    };
    let mut builder = Builder::new(grammar);
    for next in Parser::new_from_str_with_options(text, options) {
        let step = match next {
            Ok((event, span)) => builder.event(event, &span),
            Err(e) => Err(Box::new(match e.kind() {
                ErrorKind::RecursionLimitExceeded => too_deep(at(e.marker(), e.marker())),
                ErrorKind::DirectiveDisallowed => {
                    Finding::error(format!("a {what} has no directives"), at(e.marker(), e.marker()))
                        .remedy("remove the line that begins with %")
                }
                _ => Finding::error(format!("this is not YAML: {}", e.info()), at(e.marker(), e.marker())),
            })),
        };
        if let Err(last) = step {
            builder.findings.push(*last);
            return (Vec::new(), builder.findings);
        }
        if builder.findings.len() >= MAX_FINDINGS {
            return (Vec::new(), builder.findings);
        }
    }
    if builder.roots.is_empty() {
        builder
            .findings
            .push(Finding::error(format!("the {what} is empty"), start_of_text()).remedy(grammar.start));
    }
    (builder.roots, builder.findings)
}

fn start_of_text() -> Span {
    Span { start: 0, end: 0, line: 1, column: 1 }
}

fn at(start: &Marker, end: &Marker) -> Span {
    let first = start.byte_offset().unwrap_or_default();
    Span {
        start: first,
        end: end.byte_offset().unwrap_or(first).max(first),
        line: start.line().max(1),
        column: start.col() + 1,
    }
}

fn too_deep(span: Span) -> Finding {
    Finding::error("lists and maps are nested too deeply", span)
        .expected(format!("at most {MAX_DEPTH} levels"))
}

/// An error ends the reading.
type Step = Result<(), Box<Finding>>;

/// A list or map that is still open.
struct Open {
    span: Span,
    anchor: usize,
    parts: Parts,
}

enum Parts {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, lines: BTreeMap<String, usize>, key: Option<Key> },
}

/// The key whose value comes next.
enum Key {
    Known(String, Span),
    Refused,
}

struct Builder {
    grammar: Grammar,
    open: Vec<Open>,
    roots: Vec<Node>,
    /// What has a name, by the parser's number of it.
    named: BTreeMap<usize, Node>,
    documents: usize,
    nodes: usize,
    findings: Vec<Finding>,
}

impl Builder {
    fn new(grammar: Grammar) -> Self {
        Self {
            grammar,
            open: Vec::new(),
            roots: Vec::new(),
            named: BTreeMap::new(),
            documents: 0,
            nodes: 0,
            findings: Vec::new(),
        }
    }

    /// Takes one event; an error ends the reading.
    fn event(&mut self, event: Event<'_>, span: &granit_parser::Span) -> Step {
        let place = at(&span.start, &span.end);
        if let Some(tag) = event.tag() {
            let tag_place = span.tag_span().map_or(place, |s| at(&s.start, &s.end));
            self.findings.push(
                Finding::error(format!("the tag {} is not understood", quote(&tag.original())), tag_place)
                    .remedy("leave it out; put text in quotes to keep it text"),
            );
        }
        let tagged = event.tag().is_some();
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                self.named.clear();
                if self.documents > 1 && !self.grammar.documents {
                    return Err(Box::new(
                        Finding::error("a second document begins here", place)
                            .expected(format!("one {} a file", self.grammar.what))
                            .remedy("remove the line ---, or put what follows in a file of its own"),
                    ));
                }
            }
            Event::Anchor(..) if self.grammar.aliases => {}
            Event::Anchor(_, name) => self.findings.push(
                Finding::error(
                    format!("a {} has no anchors: {}", self.grammar.what, quote(&format!("&{name}"))),
                    place,
                )
                .remedy("write the value out where it is used"),
            ),
            Event::Alias(anchor) if self.grammar.aliases => {
                let node = self.used_again(anchor, place)?;
                self.value(node, 0)?;
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let finding = if self.grammar.aliases {
                    Finding::error("nothing above has this name", place)
                        .expected("the name of a value: &name")
                } else {
                    Finding::error(format!("a {} has no aliases", self.grammar.what), place)
                        .remedy("write the value out where it is used")
                };
                self.findings.push(finding);
                self.value(Node { content: Content::Refused, span: place }, 0)?;
            }
            Event::Scalar(text, style, anchor, _) => {
                let content = if tagged {
                    Content::Refused
                } else if style == ScalarStyle::Plain && !self.at_key() {
                    scalar::resolve(&text).unwrap_or_else(|| {
                        self.findings.push(
                            Finding::error("this number is not finite", place)
                                .got(quote(&text))
                                .remedy("write a finite number, or put it in quotes if it is meant as text"),
                        );
                        Content::Refused
                    })
                } else if style == ScalarStyle::Plain && place.start == place.end {
                    self.findings
                        .push(Finding::error("a key is missing here", place).expected("text before the :"));
                    Content::Refused
                } else {
                    Content::String(text.into_owned())
                };
                self.value(Node { content, span: place }, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Parts::Seq(Vec::new()), place, anchor)?,
            Event::MappingStart(_, anchor, _) => {
                let parts = Parts::Map { entries: Vec::new(), lines: BTreeMap::new(), key: None };
                self.begin(parts, place, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(place)?,
            _ => {}
        }
        Ok(())
    }

    fn at_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { parts: Parts::Map { key: None, .. }, .. }))
    }

    /// The value of a name, which counts as if it were written out.
    fn used_again(&mut self, anchor: usize, place: Span) -> Result<Node, Box<Finding>> {
        let Some(node) = self.named.get(&anchor) else {
            self.findings.push(Finding::error("a value cannot hold itself", place));
            return Ok(Node { content: Content::Refused, span: place });
        };
        let (nodes, depth) = node.extent();
        if self.open.len() + depth > MAX_DEPTH {
            return Err(Box::new(too_deep(place)));
        }
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(Box::new(self.too_much(place)));
        }
        Ok(Node { content: node.content.clone(), span: place })
    }

    fn too_much(&self, span: Span) -> Finding {
        Finding::error(format!("the {} holds too much", self.grammar.what), span)
            .expected(format!("at most {MAX_NODES} keys and values"))
    }

    fn begin(&mut self, parts: Parts, span: Span, anchor: usize) -> Step {
        if self.open.len() >= MAX_DEPTH {
            return Err(Box::new(too_deep(span)));
        }
        self.open.push(Open { span, anchor, parts });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Step {
        let Some(Open { mut span, anchor, parts }) = self.open.pop() else { return Ok(()) };
        let (content, last) = match parts {
            Parts::Seq(items) => {
                let last = items.last().map(|n| n.span.end);
                (Content::Seq(items), last)
            }
            Parts::Map { entries, .. } => {
                let last = entries.last().map(|e| e.value.span.end.max(e.key_span.end));
                (Content::Map(entries), last)
            }
        };
        // A closing bracket belongs to it; a block ends with its last value.
        span.end = if end.end > end.start { end.end } else { last.unwrap_or(span.end).max(span.end) };
        self.value(Node { content, span }, anchor)
    }

    /// Puts a finished node where it belongs.
    fn value(&mut self, node: Node, anchor: usize) -> Step {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Box::new(self.too_much(node.span)));
        }
        if anchor != 0 && self.grammar.aliases {
            self.named.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.roots.push(node);
            return Ok(());
        };
        match &mut open.parts {
            Parts::Seq(items) => items.push(node),
            Parts::Map { entries, lines, key } => match key.take() {
                None => {
                    *key = Some(match node.content {
                        Content::String(text) if text.len() > MAX_KEY => {
                            self.findings.push(
                                Finding::error("this key is too long", node.span)
                                    .expected(format!("at most {MAX_KEY} bytes"))
                                    .got(format!("{} bytes", text.len())),
                            );
                            Key::Refused
                        }
                        Content::String(text) => Key::Known(text, node.span),
                        Content::Refused => Key::Refused,
                        _ => {
                            self.findings.push(
                                Finding::error("a list or map cannot be a key", node.span).expected("text"),
                            );
                            Key::Refused
                        }
                    });
                }
                Some(Key::Refused) => {}
                Some(Key::Known(text, _)) if text == "<<" && self.grammar.aliases => {
                    merge_keys(entries, &node);
                }
                Some(Key::Known(text, key_span)) => {
                    // What is written here goes before what another map lends.
                    let lent = !lines.contains_key(&text);
                    if lent && let Some(at) = entries.iter().position(|e| e.key == text) {
                        entries.remove(at);
                    }
                    if let Some(line) = lines.get(&text) {
                        self.findings.push(
                            Finding::error(format!("the key {} is given twice", quote(&text)), key_span)
                                .expected(format!("each key once; it stands on line {line} already")),
                        );
                    } else {
                        lines.insert(text.clone(), key_span.line);
                        entries.push(Entry { key: text, key_span, value: node });
                    }
                }
            },
        }
        Ok(())
    }
}

/// What `<<` lends: the entries of a map, or of several, the first going before the later ones, and what is there before all.
fn merge_keys(entries: &mut Vec<Entry>, node: &Node) {
    let lent = node.entries().iter().chain(node.items().iter().flat_map(Node::entries));
    for entry in lent {
        if entries.iter().all(|e| e.key != entry.key) {
            entries.push(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: Grammar = Grammar { what: "recipe", documents: false, aliases: false, start: "" };

    fn parse(text: &str) -> (Option<Node>, Vec<Finding>) {
        super::parse(text, RECIPE)
    }

    fn tree(text: &str) -> Node {
        let (root, findings) = parse(text);
        assert!(findings.is_empty(), "{findings:?}");
        root.unwrap()
    }

    #[test]
    fn spans_are_right_in_nested_flow_maps() {
        let text = "# é\nmembers:\n  # a comment\n  looks: {fit: cnn, \"on\": [ image, 'x y' ], p: {q: {r: 1.5}}}\n  b: |\n    two\n    lines\nlast:   ü\n";
        let root = tree(text);
        let looks = root.get("members").unwrap().entry("looks").unwrap();
        let of = |s: Span| &text[s.start..s.end];
        assert_eq!((looks.key_span.line, looks.key_span.column, of(looks.key_span)), (4, 3, "looks"));
        assert_eq!(of(looks.value.span), "{fit: cnn, \"on\": [ image, 'x y' ], p: {q: {r: 1.5}}}");
        let fit = looks.value.get("fit").unwrap();
        assert_eq!((fit.span.line, fit.span.column, of(fit.span)), (4, 16, "cnn"));
        let on = looks.value.entry("on").unwrap();
        assert_eq!((of(on.key_span), of(on.value.span)), ("\"on\"", "[ image, 'x y' ]"));
        assert_eq!((on.value.items()[1].span.column, of(on.value.items()[1].span)), (36, "'x y'"));
        let r = looks.value.get("p").unwrap().get("q").unwrap().entry("r").unwrap();
        assert_eq!((of(r.key_span), of(r.value.span), r.value.span.line), ("r", "1.5", 4));
        assert_eq!(r.value.content, Content::Float(1.5));
        assert_eq!(root.get("members").unwrap().get("b").unwrap().text(), Some("two\nlines\n"));
        let last = root.entry("last").unwrap();
        assert_eq!((last.value.span.line, last.value.span.column, of(last.value.span)), (8, 9, "ü"));
        assert_eq!(of(root.locate(&["members", "looks", "fit"])), "cnn");
        assert_eq!(of(root.locate(&["members", "looks", "nope"])), "looks");
    }

    #[test]
    fn a_quoted_scalar_stays_text() {
        let root = tree("a: \"7\"\nb: '~'\nc: 7\n7: x\n~: y\nd: |-\n  7\n");
        assert_eq!(root.get("a").unwrap().text(), Some("7"));
        assert_eq!(root.get("b").unwrap().text(), Some("~"));
        assert_eq!(root.get("c").unwrap().content, Content::Int(7));
        assert_eq!(root.get("7").unwrap().text(), Some("x"));
        assert_eq!(root.get("~").unwrap().text(), Some("y"));
        assert_eq!(root.get("d").unwrap().text(), Some("7"));
        assert_eq!(Node::from_json(&root.to_json()).to_json(), root.to_json());
    }

    #[test]
    fn what_a_recipe_cannot_hold_is_found_with_its_place() {
        for (text, message, line, column) in [
            ("a: 1\nb: 2\na: 3\n", "the key \"a\" is given twice", 3, 1),
            ("a: {x: 1, y: 2, x: 3}\n", "the key \"x\" is given twice", 1, 17),
            ("a: &n 1\n", "no anchors", 1, 4),
            ("a: *n\n", "no aliases", 1, 4),
            ("a: !!str 1\n", "the tag \"!!str\"", 1, 4),
            ("a: !Ref {b: 1}\n", "the tag \"!Ref\"", 1, 4),
            ("a: [1, .inf]\n", "not finite", 1, 8),
            ("a: -1e400\n", "not finite", 1, 4),
            ("? [a, b]\n: 1\n", "cannot be a key", 1, 3),
            (": 1\n", "a key is missing", 1, 1),
            ("{\"\\u00e9\": 1, ? , b: 2}\n", "a key is missing", 1, 17),
            ("a: 1\n---\nb: 2\n", "second document", 2, 1),
            ("%YAML 1.2\n---\na: 1\n", "no directives", 1, 1),
            ("a: [1, 2\n", "not YAML", 1, 4),
            ("", "empty", 1, 1),
            ("# only a comment\n", "empty", 1, 1),
        ] {
            let (_, findings) = parse(text);
            let first = findings.first().unwrap_or_else(|| panic!("nothing found in {text:?}"));
            assert!(first.message.contains(message), "{text:?}: {first:?}");
            assert_eq!((first.span.line, first.span.column), (line, column), "{text:?}: {first:?}");
        }
    }

    #[test]
    fn nesting_and_size_are_bounded() {
        let opens = ["[", "{", "{a: ", "- ", "- - ", "[{a: ", "? ", "a: {? ", "!x [", "- ["];
        for open in opens {
            for tail in ["", "\n", "x"] {
                let (root, findings) = parse(&(open.repeat(100_000) + tail));
                assert!(root.is_none() && !findings.is_empty(), "{open:?}");
            }
        }
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&deep(MAX_DEPTH)).0.is_some());
        let (root, findings) = parse(&deep(MAX_DEPTH + 1));
        assert!(root.is_none() && findings[0].message.contains("too deeply"), "{findings:?}");
        let blocks: String = (0..1000).map(|d| format!("{}k:\n", " ".repeat(d))).collect();
        assert!(parse(&blocks).1[0].message.contains("too deeply"));

        let many = format!("[{}]", "1,".repeat(MAX_NODES));
        assert!(parse(&many).1[0].message.contains("too much"));
        assert!(parse(&" ".repeat(MAX_BYTES + 1)).1[0].message.contains("too large"));
        let keys: String = (0..50_000).map(|k| format!("k{k}: 1\n")).collect();
        assert_eq!(tree(&keys).entries().len(), 50_000);
    }

    #[test]
    fn a_billion_laughs_are_refused_where_they_begin() {
        let mut text = "a0: &a0 [lol]\n".to_owned();
        for level in 1..30 {
            let uses = vec![format!("*a{}", level - 1); 9].join(", ");
            text += &format!("a{level}: &a{level} [{uses}]\n");
        }
        let (root, findings) = parse(&text);
        assert!(root.is_none());
        assert_eq!(findings.len(), MAX_FINDINGS);
        assert!(findings[0].message.contains("no anchors"));
    }

    #[test]
    fn names_are_written_out_where_they_may_be_used() {
        let config = Grammar { what: "merge", documents: true, aliases: true, start: "" };
        let text = "a: &one {x: 1, y: [2, 3]}\nb: *one\nc: {x: 7, <<: *one}\nd: {<<: [*one, {z: 9}], y: 0}\n---\ne: 1\n";
        let (roots, findings) = parse_all(text, config);
        assert!(findings.is_empty(), "{findings:?}");
        let json = |i: usize| roots[i].to_json();
        assert_eq!(roots.len(), 2);
        let (directed, findings) = parse_all("%YAML 1.1\n---\na: 1\n", config);
        assert!(findings.is_empty() && directed[0].to_json()["a"] == 1, "{findings:?}");
        assert_eq!(json(0)["b"], json(0)["a"]);
        assert_eq!(json(0)["c"], serde_json::json!({"x": 7, "y": [2, 3]}));
        assert_eq!(json(0)["d"], serde_json::json!({"x": 1, "y": 0, "z": 9}));
        for (text, message) in [
            ("a: *n\n", "nothing above has this name"),
            ("a: &n [*n]\n", "cannot hold itself"),
            ("a: &n 1\n---\nb: *n\n", "nothing above has this name"),
        ] {
            let (_, findings) = parse_all(text, config);
            assert!(findings[0].message.contains(message), "{text:?}: {findings:?}");
        }
        let mut laughs = "a0: &a0 [lol]\n".to_owned();
        for level in 1..30 {
            let uses = vec![format!("*a{}", level - 1); 9].join(", ");
            laughs += &format!("a{level}: &a{level} [{uses}]\n");
        }
        assert!(parse_all(&laughs, config).1[0].message.contains("too much"));
        let mut deep = "a0: &a0 [lol]\n".to_owned();
        for level in 1..200 {
            deep += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
        }
        assert!(parse_all(&deep, config).1[0].message.contains("too deeply"));
    }
}
