//! A category becomes a vector with a one at its level.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, damaged, levels, nothing};
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Mask, Parts, Vectors};
use crate::registry::Method;

/// More levels than this need a limit that somebody chose.
const MANY: usize = 10_000;

/// One number a level seen in training, in the order of their names: 1 at the row's level, 0 elsewhere.
///
/// Levels that are rare in training share one number after the others. A level that training never saw counts as rare
/// if there is such a number, and is all zeros otherwise. Missing values have a number of their own, the last, if
/// training rows miss the value, and are all zeros otherwise.
///
/// # Shapes
/// A category gives `[levels + rare + missing]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OneHot {
    /// A level seen in fewer training rows is rare.
    #[schemars(range(min = 1))]
    pub min_count: usize,
    /// At most so many levels keep a number of their own, the most frequent ones (on a tie the first by name); the
    /// rest is rare. Without it there is no limit, but more than 10,000 levels are refused.
    #[schemars(range(min = 1))]
    pub max_levels: Option<usize>,
}

impl Default for OneHot {
    fn default() -> Self {
        Self { min_count: 1, max_levels: None }
    }
}

impl Method for OneHot {
    const NAME: &'static str = "one_hot";
    const ABOUT: &'static str = "one number a level, with levels of their own for rare and missing ones";

    fn validate(&self) -> Result<()> {
        if self.min_count == 0 {
            return Err(Error::argument("a level is seen at least once")
                .at("min_count")
                .expected("1 or more")
                .got(0));
        }
        if self.max_levels == Some(0) {
            return Err(Error::argument("no level would be left")
                .at("max_levels")
                .expected("1 or more")
                .got(0));
        }
        Ok(())
    }
}

impl Feature for OneHot {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Category])?;
        Ok(Field::vector(&input.name, Vec::new()))
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let rows = levels(Self::NAME, &input.name, column)?;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for level in rows.iter().flatten() {
            *counts.entry(level).or_default() += 1;
        }
        if rows.is_empty() {
            return Err(nothing(Self::NAME, &input.name));
        }
        let seen = counts.len();
        let mut kept: Vec<(&str, usize)> = counts.into_iter().filter(|(_, n)| *n >= self.min_count).collect();
        if let Some(most) = self.max_levels {
            kept.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            kept.truncate(most);
            kept.sort_by(|a, b| a.0.cmp(b.0));
        } else if kept.len() > MANY {
            return Err(Error::data("the category has very many levels")
                .at(&input.name)
                .expected(format!("at most {MANY}"))
                .got(kept.len())
                .remedy(
                    "set max_levels or min_count of one_hot, declare the column a text, or leave it out",
                ));
        }
        let hot = Hot {
            rare: kept.len() < seen,
            missing: rows.iter().any(Option::is_none),
            levels: kept.iter().map(|(l, _)| (*l).to_owned()).collect(),
        };
        output.shape = vec![hot.width()];
        Ok(Box::new(OneHotFitted { output, hot }))
    }
}

/// What the numbers of a row stand for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hot {
    /// In the order of their names.
    levels: Vec<String>,
    rare: bool,
    missing: bool,
}

impl Hot {
    fn width(&self) -> usize {
        self.levels.len() + usize::from(self.rare) + usize::from(self.missing)
    }

    /// Where the one stands.
    fn slot(&self, level: Option<&str>) -> Option<usize> {
        match level {
            None => self.missing.then(|| self.width() - 1),
            Some(level) => match self.levels.binary_search_by(|l| l.as_str().cmp(level)) {
                Ok(at) => Some(at),
                Err(_) => self.rare.then_some(self.levels.len()),
            },
        }
    }
}

/// Fitted [`OneHot`].
struct OneHotFitted {
    output: Field,
    hot: Hot,
}

impl FittedFeature for OneHotFitted {
    fn kind(&self) -> &'static str {
        OneHot::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let rows = levels(OneHot::NAME, &self.output.name, column)?;
        let width = self.hot.width();
        let mut data = vec![0.0; rows.len() * width];
        for (out, level) in data.chunks_mut(width).zip(&rows) {
            if let Some(one) = self.hot.slot(*level).and_then(|s| out.get_mut(s)) {
                *one = 1.0;
            }
        }
        let absent = Mask::none(rows.len());
        Ok(Column::Vector(Vectors { shape: self.output.shape.clone(), data, absent }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let width = self.hot.width();
        // A code that no position has is all zeros.
        let slot = |level: Option<&str>| self.hot.slot(level).unwrap_or(width) as i64;
        let named = self.hot.levels.iter().filter(|l| !l.is_empty());
        let mut codes: Vec<(String, i64)> = named.map(|l| (l.clone(), slot(Some(l)))).collect();
        codes.push((String::new(), slot(None)));
        let other = if self.hot.rare { self.hot.levels.len() } else { width };
        let codes = graph.codes(x, codes, other as i64);
        Ok(graph.hot(&codes, width))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"output": self.output, "hot": self.hot})))
    }

    fn names(&self) -> Vec<String> {
        let name = &self.output.name;
        let mut names: Vec<String> = self.hot.levels.iter().map(|l| format!("{name}={l}")).collect();
        if self.hot.rare {
            names.push(format!("{name} rare"));
        }
        if self.hot.missing {
            names.push(format!("{name} missing"));
        }
        names
    }
}

/// Loads a fitted [`OneHot`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let loaded = OneHotFitted { output: parts.field("output")?, hot: parts.field("hot")? };
    let ordered = loaded.hot.levels.windows(2).all(|w| matches!(w, [a, b] if a < b));
    if !ordered || loaded.hot.width() == 0 || loaded.output.shape != [loaded.hot.width()] {
        return Err(damaged(parts));
    }
    Ok(Box::new(loaded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::{category, fit};

    fn apply(step: &dyn FittedFeature, rows: &[Option<&str>]) -> Vec<Vec<f32>> {
        let Column::Vector(v) = step.apply(&category(rows)).unwrap() else { panic!() };
        v.data.chunks(v.width()).map(<[f32]>::to_vec).collect()
    }

    #[test]
    fn levels_are_found_by_name_whatever_their_codes() {
        let field = Field::new("sex", Kind::Category);
        let step = fit("one_hot", json!({}), &field, &category(&[Some("m"), Some("f"), Some("m")])).unwrap();
        assert_eq!(step.names(), ["sex=f", "sex=m"]);
        assert_eq!(
            apply(step.as_ref(), &[Some("f"), Some("m"), Some("x"), None]),
            [[1., 0.], [0., 1.], [0., 0.], [0., 0.]]
        );
    }

    #[test]
    fn rare_unseen_and_missing_levels_have_their_places() {
        let field = Field::new("c", Kind::Category);
        let rows = [Some("a"), Some("a"), Some("b"), Some("b"), Some("d"), None];
        let step = fit("one_hot", json!({"min_count": 2}), &field, &category(&rows)).unwrap();
        assert_eq!(step.names(), ["c=a", "c=b", "c rare", "c missing"]);
        assert_eq!(
            apply(step.as_ref(), &[Some("d"), Some("never"), None, Some("b")]),
            [[0., 0., 1., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.], [0., 1., 0., 0.]]
        );
        let step = fit("one_hot", json!({"max_levels": 1}), &field, &category(&rows)).unwrap();
        assert_eq!(step.names(), ["c=a", "c rare", "c missing"]);
        let many: Vec<String> = (0..=MANY).map(|i| i.to_string()).collect();
        let rows: Vec<Option<&str>> = many.iter().map(|m| Some(m.as_str())).collect();
        let Err(error) = fit("one_hot", json!({}), &field, &category(&rows)) else { panic!() };
        assert!(error.to_string().contains("max_levels"), "{error}");
    }
}
