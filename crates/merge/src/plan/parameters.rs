//! The parameters of one tensor: from the member, the slice, the module or the whole merge, whichever says something first.

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::document::{Entry as Line, Finding, List, Node, Span, quote, suggest, write};
use consilience_core::registry::Entry;
use serde_json::{Map, Value, json};

use crate::config::{Config, Setting, Settings};
use crate::method::{BaseNeed, MergeMethod};
use crate::methods::METHODS;

/// What a parameter is.
#[derive(Debug, Clone, PartialEq)]
struct Parameter {
    kind: Kind,
    default: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Each member has its own number.
    PerMember,
    /// True or false for all; a number is true unless it is zero.
    Switch,
    /// One value for all.
    Shared,
}

impl Parameter {
    fn of(schema: &Value) -> Self {
        let ways = schema.get("anyOf").and_then(Value::as_array);
        let lists = ways.is_some_and(|w| w.iter().any(|w| w.get("type") == Some(&json!("array"))));
        let kind = match lists {
            true => Kind::PerMember,
            false if schema.get("type") == Some(&json!("boolean")) => Kind::Switch,
            false => Kind::Shared,
        };
        Self { kind, default: schema.get("default").cloned() }
    }

    /// A value as the method takes it.
    fn read(&self, value: Value) -> Value {
        match (self.kind, value.as_f64()) {
            (Kind::Switch, Some(number)) => json!(number != 0.0),
            _ => value,
        }
    }
}

/// A method's parameters by name.
pub struct Known {
    entry: Entry<dyn MergeMethod>,
    parameters: BTreeMap<String, Parameter>,
    /// Those without a default.
    required: Vec<String>,
    base: BaseNeed,
    /// Those of which a value was told to be wrong already, wherever it stands.
    wrong: BTreeSet<String>,
}

impl Known {
    /// The parameters of a registered method; `None` if there is none of this name.
    pub fn of(method: &str) -> Option<Self> {
        let entry = *METHODS.get(method).ok()?;
        // What a method needs does not depend on its parameters, but some have parameters without a default.
        let schema = (entry.schema)();
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<String> = required.filter_map(Value::as_str).map(str::to_owned).collect();
        let parameters = parameters(&entry);
        let mut known = Self { entry, parameters, required, base: BaseNeed::Unknown, wrong: BTreeSet::new() };
        let any = (entry.build)(&Value::Object(known.default()));
        known.base = any.map_or(BaseNeed::Unknown, |m| m.needs().base);
        Some(known)
    }

    /// Parameters that are enough: something for each that has no default.
    fn default(&self) -> Map<String, Value> {
        self.required.iter().map(|name| (name.clone(), json!(0.5))).collect()
    }

    /// Whether it is a method that drops a part of the changes, as large as its density says.
    pub fn drops(&self) -> bool {
        self.parameters.contains_key("density") && !self.parameters.contains_key("gamma")
    }

    /// What the method does with a base.
    pub fn base(&self) -> BaseNeed {
        self.base
    }

    /// The method's version, for hashes.
    pub fn version(&self) -> u32 {
        self.entry.version
    }

    /// Finds parameters that the method does not know (those of other methods are a warning, all others an error), those that stand
    /// where they have no effect, and values that cannot be, each where it stands.
    pub fn check(&mut self, config: &Config, findings: &mut List) {
        let slices = || config.modules.iter().flat_map(|m| &m.slices);
        let shared = std::iter::once(&config.parameters)
            .chain(config.modules.iter().map(|m| &m.parameters))
            .chain(slices().map(|s| &s.parameters))
            .map(|s| (s, false));
        let own = slices().flat_map(|s| s.sources.iter().map(|s| (&s.parameters, true)));
        for (settings, of_member) in shared.chain(own) {
            for (name, setting) in settings {
                match self.parameters.get(name) {
                    None => self.unknown(name, setting.span, findings),
                    Some(known) if of_member && known.kind != Kind::PerMember => findings.push(
                        Finding::warning(
                            format!("{} of a single member has no effect", quote(name)),
                            setting.span,
                        )
                        .expected("it under the parameters of the merge, a module or a slice")
                        .remedy("it is one for all members: move it there"),
                    ),
                    Some(_) => self.check_values(name, setting, findings),
                }
            }
        }
    }

    fn unknown(&self, name: &str, span: Span, findings: &mut List) {
        let method = self.entry.name;
        let elsewhere = METHODS.entries.iter().any(|e| parameters(e).contains_key(name));
        let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
        let expected = match known.is_empty() {
            true => "no parameters".to_owned(),
            false => known.join(", "),
        };
        findings.push(if elsewhere {
            Finding::warning(format!("{} has no effect on {method}", quote(name)), span).expected(expected)
        } else {
            Finding::error(format!("{method} has no parameter {}", quote(name)), span)
                .expected(expected)
                .near(suggest(name, known))
        });
    }

    /// Each value must do with all others as they are by default.
    fn check_values(&mut self, name: &str, setting: &Setting, findings: &mut List) {
        let Some(parameter) = self.parameters.get(name) else { return };
        let mut told = false;
        for value in setting.values().map(|v| parameter.read(v)) {
            let finding = if parameter.kind == Kind::PerMember && !value.is_number() {
                let finding = Finding::error(format!("{name} is no number"), setting.span);
                finding.expected("a number for each member").got(value.to_string())
            } else {
                let mut alone = self.default();
                alone.insert(name.to_owned(), value);
                match (self.entry.build)(&Value::Object(alone)) {
                    Ok(_) => continue,
                    Err(error) => Finding::of(&error, setting.span).at(name),
                }
            };
            findings.push(finding);
            told = true;
        }
        if told {
            self.wrong.insert(name.to_owned());
        }
    }

    /// The tree of a document with the defaults of all parameters of which it says nothing.
    fn completed(&self, config: &Config) -> Node {
        let mut tree = config.tree.to_json();
        let slices = || config.modules.iter().flat_map(|m| &m.slices);
        let said = |name: &str| {
            let shared = config.modules.iter().map(|m| &m.parameters).chain(slices().map(|s| &s.parameters));
            let own = slices().flat_map(|s| s.sources.iter().map(|s| &s.parameters));
            let per_member = self.parameters.get(name).is_some_and(|p| p.kind == Kind::PerMember);
            let mut all = std::iter::once(&config.parameters).chain(shared).chain(own.filter(|_| per_member));
            all.any(|s| s.contains_key(name))
        };
        let defaults = self.parameters.iter().filter(|(name, _)| !said(name));
        let defaults = defaults.filter_map(|(name, p)| Some((name.clone(), p.default.clone()?)));
        if let Some(top) = tree.as_object_mut() {
            let all = top.entry("parameters").or_insert_with(|| json!({}));
            if all.is_null() {
                *all = json!({});
            }
            all.as_object_mut().into_iter().for_each(|all| all.extend(defaults.clone()));
        }
        // In the order of the text, not of the keys.
        let place = |line: &Line| config.tree.entries().iter().position(|e| e.key == line.key);
        let mut node = Node::from_json(&tree);
        if let consilience_core::document::Content::Map(lines) = &mut node.content {
            lines.sort_by_key(|line| place(line).unwrap_or(usize::MAX));
        }
        node
    }
}

/// A document as it was merged: names and merge keys of YAML written out, and a default for each parameter that it leaves open.
pub fn resolved(config: &Config) -> String {
    let tree = Known::of(&config.method).map_or_else(|| config.tree.clone(), |known| known.completed(config));
    write(&tree, &["parameters", "models", "slices", "modules"])
}

fn parameters(entry: &Entry<dyn MergeMethod>) -> BTreeMap<String, Parameter> {
    let schema = (entry.schema)();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, p)| (name.clone(), Parameter::of(p))).collect()
}

/// Where parameters of a tensor stand: for each member its own, then those of slice, module and merge.
pub struct Levels<'a> {
    /// Each member's, and where the member is named.
    pub members: Vec<(&'a Settings, Span)>,
    /// Slice, module and merge, in this order.
    pub shared: [&'a Settings; 3],
    /// Where the method is named.
    pub method: Span,
}

impl<'a> Levels<'a> {
    /// What is said of a parameter to a member, or to all, for a tensor at `t` of its slice; and where.
    fn said(&self, name: &str, member: Option<usize>, tensor: &str, t: f64) -> Option<(Value, Span)> {
        let own = member.and_then(|i| self.members.get(i)).map(|(settings, _)| *settings);
        let find = |s: &'a Settings| s.get(name).and_then(|s| Some((s.of(tensor, t)?, s.span)));
        own.into_iter().chain(self.shared).find_map(find)
    }

    /// Where something is said of a parameter, for whichever tensor.
    fn place(&self, name: &str) -> Option<Span> {
        let all = self.members.iter().map(|(s, _)| *s).chain(self.shared);
        all.filter_map(|s| s.get(name)).map(|s| s.span).next()
    }
}

/// The method for one tensor, with members and base that it can merge.
///
/// # Errors
/// Everything that is wrong with its parameters, each at its place. What was found by [`Known::check`] is not told again.
pub fn build(
    known: &Known,
    levels: &Levels<'_>,
    tensor: &str,
    t: f64,
    compat: bool,
) -> Result<(Box<dyn MergeMethod>, Value), Vec<Finding>> {
    let mut values = Map::new();
    let mut wrong = Vec::new();
    for (name, parameter) in &known.parameters {
        if parameter.kind != Kind::PerMember {
            let value = levels.said(name, None, tensor, t);
            values.extend(value.map(|(v, _)| (name.clone(), parameter.read(v))));
            continue;
        }
        let each: Vec<_> = (0..levels.members.len()).map(|i| levels.said(name, Some(i), tensor, t)).collect();
        if each.iter().all(Option::is_none) {
            continue;
        }
        for (_, (_, span)) in each.iter().zip(&levels.members).filter(|(value, _)| value.is_none()) {
            let finding = Finding::error(format!("some members have a {name}, and this one has none"), *span)
                .expected(format!("a {name} for each member, or one for all"))
                .got(format!("none for the tensor {}", quote(tensor)))
                .remedy("add a value without a filter, or put one under the parameters of the merge");
            wrong.push(finding);
        }
        values.insert(name.clone(), each.into_iter().flatten().map(|(value, _)| value).collect());
    }
    for name in known.required.iter().filter(|n| !values.contains_key(*n)) {
        let method = known.entry.name;
        wrong.push(match levels.shared.iter().find_map(|s| s.get(name)) {
            Some(setting) => Finding::error(format!("{method} has no {name} for some tensors"), setting.span)
                .expected(format!("a {name} for each tensor"))
                .got(format!("none for {}", quote(tensor)))
                .remedy("add a value without a filter"),
            None => Finding::error(format!("{method} cannot do without {name}"), levels.method)
                .expected(format!("{name} under parameters")),
        });
    }
    let told = values.keys().any(|name| known.wrong.contains(name));
    if told || !wrong.is_empty() {
        return Err(wrong);
    }
    let values = Value::Object(values);
    let members = levels.members.len();
    let made = (known.entry.build)(&values).and_then(|m| m.check_weights(members, compat).map(|()| m));
    made.map(|method| (method, values)).map_err(|error| {
        let name = error.trouble().map(|t| t.place.clone()).unwrap_or_default();
        let span = levels.place(&name).unwrap_or(levels.method);
        vec![Finding::of(&error, span).at(name).got(format!("the tensor {}", quote(tensor)))]
    })
}
