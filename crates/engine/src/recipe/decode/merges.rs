//! The entries with `merge:`: the base, the values to search, and what the method says of its members.

use consilience_core::document::{Entry, Finding, Node, Span, quote};
use consilience_merge::{BaseNeed, Needs};
use serde_json::Value;

use super::{Decoder, Given, find, given, own_keys, texts};
use crate::recipe::methods::MethodInfo;
use crate::recipe::types::Synthesis;
use crate::recipe::validate::below;
use crate::soup::{MOST_TRIES, combinations};

impl<'a> Decoder<'a> {
    pub(super) fn merge(&mut self, node: &Node, path: &str) -> Option<Synthesis> {
        let entry = node.entry("merge")?;
        let methods = self.methods;
        let info = find(&methods.merges, entry.value.text()?)?;
        let own = own_keys("merge");
        let beside = node.entries().iter().filter(|e| !own.contains(&e.key.as_str()));
        let fixed = given(beside, path);
        let searched = node.get("search").map(Node::entries).unwrap_or_default();
        self.all_there(info, node, path)?;
        self.searchable(searched, &fixed, &below(path, "search"))?;
        let of = texts(node.get("of")?);
        let mut origin = node.get("base").and_then(Node::text).map(str::to_owned);
        let mut first = None;
        for places in combinations(&searched.iter().map(|e| e.value.items().len()).collect::<Vec<_>>()) {
            let mut all = fixed.clone();
            all.extend(searched.iter().zip(places).filter_map(|(e, i)| {
                let path = format!("{}[{i}]", below(&below(path, "search"), &e.key));
                Some(Given { key: &e.key, path, value: e.value.items().get(i)? })
            }));
            let call = self.resolve(info, &all, entry.value.span, path)?;
            let Some(build) = info.merger else {
                first = first.or(Some(call));
                continue;
            };
            let method = match build(&call.parameters) {
                Ok(method) => method,
                Err(error) => {
                    self.blame(info, &error, &all, entry.value.span, path);
                    return None;
                }
            };
            if first.is_none() {
                origin = self.origin(info, &method.needs(), node, &of, path)?;
            }
            if let Err(error) =
                method.check(of.len(), origin.is_some()).and_then(|()| method.check_weights(of.len(), false))
            {
                self.blame(info, &error, &all, node.get("of")?.span, &below(path, "of"));
                return None;
            }
            first = first.or(Some(call));
        }
        let values =
            |e: &Entry| (e.key.clone(), e.value.items().iter().map(Node::to_json).collect::<Vec<Value>>());
        let search = searched.iter().map(values).collect();
        Some(Synthesis::Merge { method: first?, of, base: origin, search })
    }

    /// Whether every parameter that has no default is given, or searched.
    fn all_there(&mut self, info: &MethodInfo, node: &Node, path: &str) -> Option<()> {
        let required = info.schema.get("required").and_then(Value::as_array);
        let given = |key: &&str| node.get(key).or_else(|| node.get("search")?.get(key)).is_some();
        let missing = required.into_iter().flatten().filter_map(Value::as_str).find(|key| !given(key));
        let Some(key) = missing else { return Some(()) };
        let entry = node.entry("merge")?;
        let finding = Finding::error(format!("{} needs the key {}", info.name, quote(key)), entry.value.span);
        self.findings
            .push(finding.at(path).expected(format!("{key}: its value, or values to try under search")));
        None
    }

    /// Whether the values to search are no more than can be tried, and nothing is said twice.
    fn searchable(&mut self, searched: &[Entry], fixed: &[Given<'_>], path: &str) -> Option<()> {
        if let Some(twice) = searched.iter().find(|e| fixed.iter().any(|g| g.key == e.key)) {
            let finding =
                Finding::error(format!("{} is given and searched", quote(&twice.key)), twice.key_span);
            self.findings.push(
                finding.at(below(path, &twice.key)).expected(format!("one of both, {} or search", twice.key)),
            );
            return None;
        }
        let tries = searched.iter().map(|e| e.value.items().len()).fold(1usize, usize::saturating_mul);
        if let (Some(first), true) = (searched.first(), tries > MOST_TRIES) {
            let finding = Finding::error("there are too many combinations to try", first.key_span);
            self.findings
                .push(finding.at(path).expected(format!("at most {MOST_TRIES}")).got(tries.to_string()));
            return None;
        }
        Some(())
    }

    /// The base: as it is given, else the member that all others start from where the method cannot do without.
    fn origin(
        &mut self,
        info: &MethodInfo,
        needs: &Needs,
        node: &Node,
        of: &[String],
        path: &str,
    ) -> Option<Option<String>> {
        let mut say = |message: String, span: Span, path: &str, expected: &str, remedy: String| {
            self.findings.push(Finding::error(message, span).at(path).expected(expected).remedy(remedy));
        };
        let name = quote(&info.name);
        let at = below(path, "base");
        match (node.get("base"), needs.base) {
            (Some(wrong), BaseNeed::Unknown) => {
                let remedy =
                    "leave out base, or take a method that works on what members added to it".to_owned();
                say(format!("{name} works on the members alone"), wrong.span, &at, "no base", remedy);
                None
            }
            (Some(one), _) if of.iter().any(|o| Some(o.as_str()) == one.text()) => {
                let message = format!("{} is the base and one of the members", quote(one.text()?));
                say(message, one.span, &at, "a base that is not in of", String::new());
                None
            }
            (Some(one), _) => Some(one.text().map(str::to_owned)),
            (None, BaseNeed::Unknown | BaseNeed::Optional) => Some(None),
            (None, BaseNeed::Needed) => {
                let starts: Vec<Option<&str>> = of.iter().map(|o| start_of(self.root, o)).collect();
                match starts.first() {
                    Some(Some(first))
                        if starts.iter().all(|s| *s == Some(*first)) && !of.iter().any(|o| o == first) =>
                    {
                        return Some(Some((*first).to_owned()));
                    }
                    _ => {}
                }
                let remedy = match starts.iter().flatten().next() {
                    Some(start) => format!("write base: {start}, if all of them started from it"),
                    None => "write base: and its name".to_owned(),
                };
                let entry = node.entry("merge")?;
                let expected = "the member that all of them started from";
                say(
                    format!("{name} needs a base"),
                    entry.value.span,
                    &below(path, "merge"),
                    expected,
                    remedy,
                );
                None
            }
        }
    }
}

/// The member that a member starts from.
fn start_of<'a>(root: &'a Node, member: &str) -> Option<&'a str> {
    root.get("members")?.get(member)?.get("from")?.text()
}
