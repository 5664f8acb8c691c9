//! The value of a parameter: a number or word, a gradient over layers, or one of these by tensor.

use consilience_core::document::{Content, Finding, List, Node, Span, quote};
use serde_json::{Number, Value};

/// A value, possibly different from tensor to tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Where it stands.
    pub span: Span,
    cases: Vec<Case>,
}

/// A value for the tensors whose names hold a piece of text.
#[derive(Debug, Clone, PartialEq)]
struct Case {
    /// `None` for all tensors.
    filter: Option<String>,
    value: Shape,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Same(Value),
    /// Numbers at equal distances over the layers of a slice, with straight lines between them.
    Gradient(Vec<f64>),
}

impl Setting {
    /// Reads a value, collecting what is wrong with it.
    pub fn read(node: &Node, path: &str, findings: &mut List) -> Option<Self> {
        let cases = match &node.content {
            Content::Seq(items) if items.iter().any(|i| !i.entries().is_empty()) => {
                let cases =
                    items.iter().enumerate().map(|(i, item)| case(item, &format!("{path}[{i}]"), findings));
                cases.collect::<Option<Vec<_>>>()?
            }
            _ => vec![Case { filter: None, value: shape(node, path, findings)? }],
        };
        let covered = cases.iter().position(|c| c.filter.is_none());
        if let Some(first) = covered
            && first + 1 < cases.len()
        {
            findings.push(
                Finding::warning("what comes after a value without a filter is never used", node.span)
                    .at(path)
                    .remedy("put the value without a filter last"),
            );
        }
        Some(Self { span: node.span, cases })
    }

    /// The value for a tensor that lies at `t` of its slice, from 0 to 1; `None` if no filter is in its name.
    pub fn of(&self, tensor: &str, t: f64) -> Option<Value> {
        let case =
            self.cases.iter().find(|c| c.filter.as_ref().is_none_or(|f| tensor.contains(f.as_str())))?;
        match &case.value {
            Shape::Same(value) => Some(value.clone()),
            Shape::Gradient(points) => Some(Value::from(between(points, t))),
        }
    }

    /// Every value in it, whatever its filter; of a gradient every point, between which all others lie.
    pub fn values(&self) -> impl Iterator<Item = Value> {
        self.cases.iter().flat_map(|case| match &case.value {
            Shape::Same(value) => vec![value.clone()],
            Shape::Gradient(points) => points.iter().map(|p| Value::from(*p)).collect(),
        })
    }

    /// Every filter in it.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        self.cases.iter().filter_map(|c| c.filter.as_deref())
    }
}

/// The place `t`, from 0 to 1, on straight lines through points at equal distances.
fn between(points: &[f64], t: f64) -> f64 {
    let last = points.len().saturating_sub(1);
    let at = t.clamp(0.0, 1.0) * last as f64;
    let i = (at.floor() as usize).min(last.saturating_sub(1));
    let point = |i: usize| points.get(i).or(points.last()).copied().unwrap_or(f64::NAN);
    let part = at - i as f64;
    if part == 0.0 { point(i) } else { point(i) * (1.0 - part) + point(i + 1) * part }
}

fn case(item: &Node, path: &str, findings: &mut List) -> Option<Case> {
    if item.entries().is_empty() {
        findings.push(
            Finding::error("numbers and values with filters do not go into one list", item.span)
                .at(path)
                .expected("{value: ..., filter: ...}"),
        );
        return None;
    }
    for entry in item.entries() {
        if !matches!(entry.key.as_str(), "value" | "filter") {
            findings.push(
                Finding::error(format!("the key {} is not known here", quote(&entry.key)), entry.key_span)
                    .at(path)
                    .expected("value or filter"),
            );
        }
    }
    let filter = match item.get("filter").map(|n| (&n.content, n)) {
        None | Some((Content::Null, _)) => None,
        Some((Content::String(text), _)) if text == "*" => None,
        Some((Content::String(text), _)) => Some(text.clone()),
        Some((_, node)) => {
            findings.push(
                Finding::error("a filter is a piece of a tensor's name", node.span).at(path).expected("text"),
            );
            return None;
        }
    };
    let Some(value) = item.get("value") else {
        findings.push(Finding::error("a value is missing here", item.span).at(path).expected("value: ..."));
        return None;
    };
    Some(Case { filter, value: shape(value, path, findings)? })
}

fn shape(node: &Node, path: &str, findings: &mut List) -> Option<Shape> {
    let wrong = |node: &Node| {
        Finding::error("this is no value of a parameter", node.span)
            .at(path)
            .expected("a number, true or false, a list of numbers, or a list of {value, filter}")
    };
    match &node.content {
        Content::Seq(items) => {
            let points: Option<Vec<f64>> = items.iter().map(number).collect();
            match points {
                Some(points) if !points.is_empty() => Some(Shape::Gradient(points)),
                _ => {
                    let bad = items.iter().find(|i| number(i).is_none()).unwrap_or(node);
                    findings.push(wrong(bad));
                    None
                }
            }
        }
        Content::String(text) => {
            // YAML 1.1 reads these words as truth values, and mergekit reads YAML 1.1.
            let value = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" => Value::Bool(true),
                "no" | "off" => Value::Bool(false),
                _ => number(node).map_or_else(|| Value::String(text.clone()), Value::from),
            };
            Some(Shape::Same(value))
        }
        Content::Bool(value) => Some(Shape::Same(Value::Bool(*value))),
        Content::Int(_) | Content::Float(_) => Some(Shape::Same(scalar(node))),
        Content::Refused => None,
        Content::Null | Content::Map(_) => {
            findings.push(wrong(node));
            None
        }
    }
}

fn scalar(node: &Node) -> Value {
    match node.content {
        Content::Float(v) => Number::from_f64(v).map_or(Value::Null, Value::Number),
        _ => node.to_json(),
    }
}

fn number(node: &Node) -> Option<f64> {
    match &node.content {
        Content::Int(v) => Some(*v as f64),
        Content::Float(v) => Some(*v),
        // A number in quotes, and one with the underscores of YAML 1.1, is a number to mergekit.
        Content::String(text) => {
            let digits = text.bytes().all(|b| b.is_ascii_digit() || b"_.eE+-".contains(&b));
            text.replace('_', "").parse().ok().filter(|v: &f64| digits && v.is_finite())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::document::{Grammar, parse};
    use serde_json::json;

    fn setting(text: &str) -> (Option<Setting>, Vec<Finding>) {
        let grammar = Grammar { what: "merge", documents: false, aliases: true, start: "" };
        let (root, refused) = parse(text, grammar);
        assert!(refused.is_empty(), "{refused:?}");
        let mut findings = List::default();
        (Setting::read(&root.unwrap(), "p", &mut findings), findings.into_vec())
    }

    #[test]
    fn numbers_gradients_and_filters() {
        let of = |text: &str, name: &str, t: f64| setting(text).0.unwrap().of(name, t);
        assert_eq!(of("0.5", "a", 1.0), Some(json!(0.5)));
        assert_eq!(of("yes", "a", 1.0), Some(json!(true)));
        assert_eq!(of("[0, 1, 0.5]", "a", 0.25), Some(json!(0.5)));
        assert_eq!(of("[0, 1, 0.5]", "a", 1.0), Some(json!(0.5)));
        assert_eq!(of("[0, 1, 0.5]", "a", 0.75), Some(json!(0.75)));
        assert_eq!(of("[3]", "a", 0.75), Some(json!(3.0)));
        for (text, value) in [("\"0.3\"", 0.3), ("1_0.0", 10.0), ("[\"1\", 3]", 2.0), ("'1e-1'", 0.1)] {
            assert_eq!(of(text, "a", 0.5), Some(json!(value)), "{text}");
        }
        assert_eq!(of("'nan'", "a", 0.5), Some(json!("nan")));
        let text = "[{filter: mlp, value: [0, 1]}, {filter: attn, value: 2}, {value: 3}]";
        assert_eq!(of(text, "l.mlp.w", 0.5), Some(json!(0.5)));
        assert_eq!(of(text, "l.attn.w", 0.5), Some(json!(2)));
        assert_eq!(of(text, "norm", 0.5), Some(json!(3)));
        assert_eq!(of("[{filter: mlp, value: 1}]", "norm", 0.5), None);
        assert_eq!(of("[{filter: '*', value: 1}]", "norm", 0.5), Some(json!(1)));
    }

    #[test]
    fn what_is_no_value_is_found() {
        for (text, words) in [
            ("{a: 1}", "no value"),
            ("[1, x]", "no value"),
            ("[]", "no value"),
            ("[1, {value: 2}]", "do not go into one list"),
            ("[{filter: a}]", "a value is missing"),
            ("[{value: 1, filtre: a}]", "\"filtre\" is not known"),
            ("[{value: 1, filter: 3}]", "piece of a tensor's name"),
            ("[{value: 1}, {value: 2, filter: a}]", "never used"),
        ] {
            let (_, findings) = setting(text);
            assert!(findings.iter().any(|f| f.message.contains(words)), "{text}: {findings:?}");
        }
    }
}
