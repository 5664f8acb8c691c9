//! The parameters of one tensor: from the member, the slice, the module or the whole merge, whichever says something first.

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::document::{Finding, List, Span, quote, suggest};
use consilience_core::registry::Entry;
use serde_json::{Map, Value, json};

use crate::config::{Config, Settings};
use crate::method::{BaseNeed, MergeMethod};
use crate::methods::METHODS;

/// A method's parameters by name, and whether each member has its own.
pub struct Known {
    entry: Entry<dyn MergeMethod>,
    names: BTreeMap<String, bool>,
    /// Those without a default.
    required: Vec<String>,
    base: BaseNeed,
}

impl Known {
    /// The parameters of a registered method; `None` if there is none of this name.
    pub fn of(method: &str) -> Option<Self> {
        let entry = *METHODS.get(method).ok()?;
        // What a method needs does not depend on its parameters, but some have parameters without a default.
        let schema = (entry.schema)();
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<String> = required.filter_map(Value::as_str).map(str::to_owned).collect();
        let mut known = Self { entry, names: names(&entry), required, base: BaseNeed::Unknown };
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
        self.names.contains_key("density") && !self.names.contains_key("gamma")
    }

    /// What the method does with a base.
    pub fn base(&self) -> BaseNeed {
        self.base
    }

    /// The method's version, for hashes.
    pub fn version(&self) -> u32 {
        self.entry.version
    }

    /// Finds parameters that the method does not know: those of other methods are a warning, all others an error.
    pub fn check(&self, config: &Config, findings: &mut List) {
        let slices = || config.modules.iter().flat_map(|m| &m.slices);
        let all = std::iter::once(&config.parameters)
            .chain(config.modules.iter().map(|m| &m.parameters))
            .chain(slices().map(|s| &s.parameters))
            .chain(slices().flat_map(|s| s.sources.iter().map(|s| &s.parameters)));
        let mut others: Option<BTreeSet<String>> = None;
        for (name, setting) in all.flatten() {
            if self.names.contains_key(name) {
                continue;
            }
            let method = self.entry.name;
            let others = others
                .get_or_insert_with(|| METHODS.entries.iter().flat_map(|e| names(e).into_keys()).collect());
            let elsewhere = others.contains(name);
            let known: Vec<&str> = self.names.keys().map(String::as_str).collect();
            let expected = match known.is_empty() {
                true => "no parameters".to_owned(),
                false => known.join(", "),
            };
            findings.push(if elsewhere {
                Finding::warning(format!("{} has no effect on {method}", quote(name)), setting.span)
                    .expected(expected)
            } else {
                Finding::error(format!("{method} has no parameter {}", quote(name)), setting.span)
                    .expected(expected)
                    .near(suggest(name, known))
            });
        }
    }
}

fn names(entry: &Entry<dyn MergeMethod>) -> BTreeMap<String, bool> {
    let schema = (entry.schema)();
    let properties = schema.get("properties").and_then(Value::as_object);
    let lists = |p: &Value| {
        let ways = p.get("anyOf").and_then(Value::as_array);
        ways.is_some_and(|w| w.iter().any(|w| w.get("type") == Some(&json!("array"))))
    };
    properties.into_iter().flatten().map(|(name, p)| (name.clone(), lists(p))).collect()
}

/// Where parameters of a tensor stand: for each member its own, then those of slice, module and merge.
pub struct Levels<'a> {
    /// Each member's.
    pub members: Vec<&'a Settings>,
    /// Slice, module and merge, in this order.
    pub shared: [&'a Settings; 3],
}

/// The method for one tensor.
///
/// # Errors
/// Everything that is wrong with its parameters, each at its place, or at `method_span`.
pub fn build(
    known: &Known,
    levels: &Levels<'_>,
    tensor: &str,
    t: f64,
    method_span: Span,
) -> Result<(Box<dyn MergeMethod>, Value), Vec<Finding>> {
    let mut values = Map::new();
    let mut wrong = Vec::new();
    let shared = |name: &str| levels.shared.iter().find_map(|s| s.get(name)?.of(tensor, t));
    let place = |name: &str| {
        let mut all = levels.members.iter().copied().chain(levels.shared);
        all.find_map(|s| s.get(name)).map_or(method_span, |s| s.span)
    };
    for (name, per_member) in &known.names {
        if !per_member {
            // mergekit lets a single value stand with any member; more than one must agree.
            let own: Vec<Value> = levels.members.iter().filter_map(|s| s.get(name)?.of(tensor, t)).collect();
            let value = match own.split_first() {
                Some((first, others)) if others.iter().all(|o| o == first) => Some(first.clone()),
                Some(_) => {
                    let finding =
                        Finding::error(format!("members say different things about {name}"), place(name))
                            .expected("one value for the whole merge")
                            .remedy("put it under the parameters of the merge");
                    wrong.push(finding);
                    continue;
                }
                None => shared(name),
            };
            values.extend(value.map(|v| (name.clone(), v)));
            continue;
        }
        let each: Vec<Option<Value>> = levels
            .members
            .iter()
            .map(|s| s.get(name).and_then(|s| s.of(tensor, t)).or_else(|| shared(name)))
            .collect();
        if each.iter().all(Option::is_none) {
            continue;
        }
        if let Some(odd) = each.iter().flatten().find(|v| !v.is_number()) {
            let finding = Finding::error(format!("{name} is no number"), place(name));
            wrong.push(finding.expected("a number for each member").got(odd.to_string()));
            continue;
        }
        if each.iter().any(Option::is_none) {
            let finding =
                Finding::error(format!("some members have a {name} and some have none"), place(name))
                    .expected(format!("a {name} for each member, or one for all"))
                    .got(format!("none for the tensor {}", quote(tensor)))
                    .remedy("add a value without a filter, or put one under the parameters of the merge");
            wrong.push(finding);
            continue;
        }
        values.insert(name.clone(), each.into_iter().flatten().collect());
    }
    for name in known.required.iter().filter(|n| !values.contains_key(*n)) {
        if wrong.is_empty() {
            let finding =
                Finding::error(format!("{} cannot do without {name}", known.entry.name), method_span);
            wrong.push(finding.expected(format!("{name} under parameters")));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let error = match (known.entry.build)(&Value::Object(values.clone())) {
        Ok(method) => return Ok((method, Value::Object(values))),
        Err(error) => error,
    };
    // Which of them it is about: those that cannot be even if all others are as they are by default.
    for (name, value) in &values {
        let mut alone = known.default();
        alone.insert(name.clone(), value.clone());
        if let Err(error) = (known.entry.build)(&Value::Object(alone)) {
            wrong.push(Finding::of(&error, place(name)).at(name.clone()));
        }
    }
    if wrong.is_empty() {
        wrong.push(Finding::of(&error, method_span));
    }
    Err(wrong)
}
