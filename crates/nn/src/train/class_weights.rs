//! How much the rows of each class count.

use std::collections::BTreeMap;

use consilience_core::model::{Target, Task};
use consilience_core::registry::nearest;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much the rows of each class count in the loss: it multiplies the rows' own weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "class_weights is none, balanced, or a map from classes to positive numbers")]
pub enum ClassWeights {
    /// By a rule.
    Rule(Rule),
    /// A positive number for each class by name; a class that is not named has one.
    Named(BTreeMap<String, f64>),
}

/// A rule for the weights of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// All rows alike.
    None,
    /// Rare classes more: `n / (K n_c)` for a class with `n_c` of the `n` rows that are fitted to, of `K` classes.
    Balanced,
}

impl Default for ClassWeights {
    fn default() -> Self {
        Self::Rule(Rule::None)
    }
}

impl ClassWeights {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the class.
    pub fn validate(&self) -> Result<()> {
        let Self::Named(named) = self else { return Ok(()) };
        match named.iter().find(|(_, w)| !w.is_finite() || **w <= 0.0) {
            Some((class, weight)) => Err(Error::argument("the weight of a class is out of range")
                .at(format!("class_weights: class \"{class}\""))
                .expected("a number above 0")
                .got(weight)),
            None => Ok(()),
        }
    }

    /// Checks that there are classes, and those that are named.
    ///
    /// # Errors
    /// [`Error::Argument`] for values, or naming what is no class.
    pub fn check(&self, task: &Task) -> Result<()> {
        let Some(classes) = task.classes() else {
            if *self == Self::default() {
                return Ok(());
            }
            return Err(Error::argument("values have no classes to weigh")
                .at("class_weights")
                .remedy("leave class_weights out; rows are weighed by a column of role weight"));
        };
        let Self::Named(named) = self else { return Ok(()) };
        let known = || classes.names().iter().map(String::as_str);
        let Some(other) = named.keys().find(|n| classes.position(n).is_none()) else { return Ok(()) };
        let error = Error::argument(format!("there is no class \"{other}\""))
            .at("class_weights")
            .expected(format!("one of {}", known().collect::<Vec<_>>().join(", ")));
        Err(match nearest(other, known()) {
            Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
            None => error,
        })
    }

    /// The weight of each class, in their order, where the rows at these positions are fitted to; `None` if all are one.
    pub fn of(&self, target: &Target, rows: &[usize]) -> Option<Vec<f64>> {
        let Target::Classes { classes, codes } = target else { return None };
        match self {
            Self::Rule(Rule::None) => None,
            Self::Rule(Rule::Balanced) => {
                let mut counts = vec![0u64; classes.count()];
                for code in rows.iter().filter_map(|r| codes.get(*r)) {
                    counts.iter_mut().skip(*code as usize).take(1).for_each(|n| *n += 1);
                }
                let even = rows.len() as f64 / classes.count() as f64;
                // A class without a row has a weight that nothing is multiplied by.
                Some(counts.into_iter().map(|n| if n == 0 { 1.0 } else { even / n as f64 }).collect())
            }
            Self::Named(named) => {
                Some(classes.names().iter().map(|n| named.get(n).copied().unwrap_or(1.0)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::model::Classes;
    use serde_json::json;

    fn target(codes: &[u32]) -> Target {
        let names = ["cat", "dog", "owl"].map(str::to_owned).to_vec();
        Target::Classes { classes: Classes::new(names).unwrap(), codes: codes.to_vec() }
    }

    fn read(value: serde_json::Value) -> ClassWeights {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn balanced_counts_the_rows_that_are_fitted_to_and_no_others() {
        let target = target(&[0, 0, 0, 1, 1, 1, 2, 2]);
        let balanced = read(json!("balanced"));
        // Three, one and two rows of the classes: n / (K n_c) = 6 / (3 * 3), 6 / (3 * 1), 6 / (3 * 2).
        assert_eq!(balanced.of(&target, &[0, 1, 2, 3, 6, 7]).unwrap(), [6.0 / 9.0, 6.0 / 3.0, 6.0 / 6.0]);
        assert_eq!(balanced.of(&target, &[0, 3, 4]).unwrap(), [1.0, 0.5, 1.0]);
        assert_eq!(balanced.of(&Target::Values(vec![1.0]), &[0]), None);
        assert_eq!(read(json!("none")).of(&target, &[0, 3]), None);
        assert_eq!(read(json!({"owl": 3})).of(&target, &[0]).unwrap(), [1.0, 1.0, 3.0]);
    }

    #[test]
    fn what_is_no_class_and_what_is_no_weight_is_named() {
        let task = target(&[]).task();
        read(json!({"owl": 0.5, "cat": 2})).check(&task).unwrap();
        let error = read(json!({"owls": 0.5})).check(&task).unwrap_err().to_string();
        assert!(error.contains("class_weights") && error.contains("did you mean \"owl\"?"), "{error}");
        let error = read(json!("balanced")).check(&Task::Regress).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        ClassWeights::default().check(&Task::Regress).unwrap();
        for bad in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            let weights = ClassWeights::Named(BTreeMap::from([("owl".to_owned(), bad)]));
            let error = weights.validate().unwrap_err().to_string();
            assert!(error.starts_with("class_weights: class \"owl\""), "{error}");
        }
        for (default, text) in [(json!("none"), "none"), (json!("balanced"), "balanced")] {
            assert_eq!(serde_json::to_value(read(default)).unwrap(), text);
        }
        let error = serde_json::from_value::<ClassWeights>(json!("blanced")).unwrap_err().to_string();
        assert!(error.contains("balanced"), "{error}");
    }
}
