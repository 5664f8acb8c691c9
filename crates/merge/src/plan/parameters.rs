//! The parameters of one tensor: from the member, the slice, the module or the whole merge, whichever says something first.

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::document::{Finding, List, Span, quote, suggest};
use consilience_core::registry::Entry;
use serde_json::{Map, Value, json};

use crate::config::{Config, Settings};
use crate::method::{Base, MergeMethod};
use crate::methods::METHODS;

/// A method's parameters by name, and whether each member has its own.
pub struct Known {
    entry: Entry<dyn MergeMethod>,
    names: BTreeMap<String, bool>,
    base: Base,
}

impl Known {
    /// The parameters of a registered method; `None` if there is none of this name.
    pub fn of(method: &str) -> Option<Self> {
        let entry = *METHODS.get(method).ok()?;
        // What a method needs does not depend on its parameters, but some have parameters without a default.
        let schema = (entry.schema)();
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let any = required.filter_map(Value::as_str).map(|name| (name.to_owned(), json!(0.5))).collect();
        let base = (entry.build)(&Value::Object(any)).map_or(Base::Unknown, |m| m.needs().base);
        Some(Self { entry, names: names(&entry), base })
    }

    /// Whether it is a method that drops a part of the changes, as large as its density says.
    pub fn drops(&self) -> bool {
        self.names.contains_key("density") && !self.names.contains_key("gamma")
    }

    /// What the method does with a base.
    pub fn base(&self) -> Base {
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
            let others =
                others.get_or_insert_with(|| METHODS.entries.iter().flat_map(|e| names(e).into_keys()).collect());
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
/// What is wrong with its parameters, at their place, or at `method_span`.
pub fn build(
    known: &Known,
    levels: &Levels<'_>,
    tensor: &str,
    t: f64,
    method_span: Span,
) -> Result<(Box<dyn MergeMethod>, Value), Box<Finding>> {
    let mut values = Map::new();
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
                    return Err(Box::new(finding));
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
        if each.iter().any(Option::is_none) {
            let finding =
                Finding::error(format!("some members have a {name} and some have none"), place(name))
                    .expected(format!("a {name} for each member, or one for all"))
                    .got(format!("none for the tensor {}", quote(tensor)))
                    .remedy("add a value without a filter, or put one under the parameters of the merge");
            return Err(Box::new(finding));
        }
        values.insert(name.clone(), each.into_iter().flatten().collect());
    }
    let values = Value::Object(values);
    match (known.entry.build)(&values) {
        Ok(method) => Ok((method, values)),
        Err(error) => {
            let about = error.trouble().map(|t| format!("{} {}", t.place, t.what)).unwrap_or_default();
            let named = known.names.keys().find(|n| {
                about.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == n.as_str())
            });
            let span = named.map_or(method_span, |n| place(n));
            Err(Box::new(Finding::of(&error, span)))
        }
    }
}
