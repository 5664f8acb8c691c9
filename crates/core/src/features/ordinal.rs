//! A category becomes its level's place in an order.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, levels, nothing};
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Mask, Parts, Vectors};
use crate::registry::{Method, nearest};

/// The place of a row's level, from 0; -1 for a missing value and for a level that training did not see.
///
/// # Shapes
/// A category gives `[1]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ordinal {
    /// The levels from the lowest to the highest. Without it: the levels of the training rows by name.
    pub order: Vec<String>,
}

impl Method for Ordinal {
    const NAME: &'static str = "ordinal";
    const ABOUT: &'static str = "the place of a level in an order";

    fn validate(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        match self.order.iter().find(|l| !seen.insert(*l)) {
            Some(twice) => Err(Error::argument("a level stands twice in the order").at("order").got(twice)),
            None => Ok(()),
        }
    }
}

impl Feature for Ordinal {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Category])?;
        Ok(Field::vector(&input.name, vec![1]))
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let output = self.output(input)?;
        let rows = levels(Self::NAME, &input.name, column)?;
        let seen: BTreeSet<&str> = rows.iter().flatten().copied().collect();
        if seen.is_empty() {
            return Err(nothing(Self::NAME, &input.name));
        }
        let order: Vec<String> = if self.order.is_empty() {
            seen.iter().map(|l| (*l).to_owned()).collect()
        } else {
            if let Some(level) = seen.iter().find(|l| !self.order.iter().any(|o| o == *l)) {
                let error = Error::data("a level is not in the order given")
                    .at(&input.name)
                    .expected(format!("one of {}", self.order.join(", ")))
                    .got(level);
                return Err(match nearest(level, self.order.iter().map(String::as_str)) {
                    Some(near) => error.remedy(format!("add it to order, or did you mean \"{near}\"?")),
                    None => error.remedy("add it to order"),
                });
            }
            self.order.clone()
        };
        Ok(Box::new(Ordered::new(output, order)))
    }
}

/// Fitted [`Ordinal`].
struct Ordered {
    output: Field,
    order: Vec<String>,
    places: BTreeMap<String, f32>,
}

impl Ordered {
    fn new(output: Field, order: Vec<String>) -> Self {
        let places = order.iter().enumerate().map(|(i, l)| (l.clone(), i as f32)).collect();
        Self { output, order, places }
    }
}

impl FittedFeature for Ordered {
    fn kind(&self) -> &'static str {
        Ordinal::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let rows = levels(Ordinal::NAME, &self.output.name, column)?;
        let place = |level: &Option<&str>| level.and_then(|l| self.places.get(l)).copied().unwrap_or(-1.0);
        let data = rows.iter().map(place).collect();
        Ok(Column::Vector(Vectors { shape: vec![1], data, absent: Mask::none(rows.len()) }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let named = self.order.iter().cloned().zip(0i64..).filter(|(l, _)| !l.is_empty());
        let places = graph.codes(x, named, -1);
        Ok(graph.single(&places))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"output": self.output, "order": self.order})))
    }

    fn names(&self) -> Vec<String> {
        vec![self.output.name.clone()]
    }
}

/// Loads a fitted [`Ordinal`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    Ok(Box::new(Ordered::new(parts.field("output")?, parts.field("order")?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::{category, fit};

    #[test]
    fn places_follow_the_order_or_the_names() {
        let field = Field::new("size", Kind::Category);
        let train = category(&[Some("small"), Some("large"), None]);
        let places = |parameters| {
            let step = fit("ordinal", parameters, &field, &train).unwrap();
            let rows = [Some("large"), Some("small"), Some("huge"), None];
            let Column::Vector(v) = step.apply(&category(&rows)).unwrap() else { panic!() };
            v.data
        };
        assert_eq!(places(json!({})), [0., 1., -1., -1.]);
        assert_eq!(places(json!({"order": ["small", "medium", "large"]})), [2., 0., -1., -1.]);
        let Err(error) = fit("ordinal", json!({"order": ["smal", "large"]}), &field, &train) else {
            panic!()
        };
        assert!(error.to_string().contains("did you mean \"smal\""), "{error}");
        assert!(crate::features::REGISTRY.build("ordinal", &json!({"order": ["a", "a"]})).is_err());
    }
}
