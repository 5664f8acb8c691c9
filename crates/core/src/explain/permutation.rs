//! Permutation importance of columns and modalities.

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parts::{Part, check};
use super::predict::{Reader, Rows, present};
use crate::error::{Error, Result};
use crate::metrics::Metric;
use crate::model::Model;
use crate::seed::Seed;

/// How often columns are permuted, and how many rows are in memory at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PermutationSettings {
    /// How often each part is permuted anew.
    #[schemars(range(min = 1, max = 1000))]
    pub repeats: usize,
    /// How many rows are read and predicted at once; bounds the memory and changes no result.
    #[schemars(range(min = 1))]
    pub block_rows: usize,
}

impl Default for PermutationSettings {
    fn default() -> Self {
        Self { repeats: 5, block_rows: 1024 }
    }
}

/// How much worse a model gets when one part of its input comes from other rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The part.
    pub part: Part,
    /// The mean over the repeats, in the unit of the metric; above zero: the model needs the part.
    pub mean: f64,
    /// The standard error of that mean over the permutations (not over the choice of rows); `None` for one repeat.
    pub standard_error: Option<f64>,
    /// Each repeat.
    pub repeats: Vec<f64>,
    /// The fewest rows that a repeat scored: those that the model predicted before and after.
    pub rows: usize,
}

/// The importance of each part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PermutationImportance {
    /// The name of the metric.
    pub metric: String,
    /// The score of the model as it is, on the rows that it predicts.
    pub score: f64,
    /// How many rows these are.
    pub rows: usize,
    /// The parts, in the order given.
    pub parts: Vec<Importance>,
}

/// Permutes the columns of each part among the rows, all columns of a part together, and says how much worse the model
/// gets: `score before - score after` for a metric whose greater values are better, otherwise the reverse.
///
/// A missing value or an absent modality moves with the row that it belongs to. Parts that carry the same information
/// hide each other: each alone may have no importance. The model is run `parts * repeats + 1` times over the rows.
///
/// # Errors
/// [`Error::Argument`] for no parts, no repeats or a metric that does not suit; [`Error::Data`] for fewer than two rows,
/// lengths that differ, columns that are not there, or rows none of which is predicted; whatever the model says.
///
/// # Reference
/// A. Fisher, C. Rudin, F. Dominici, All models are wrong, but many are useful, JMLR 20 (2019).
pub fn permutation_importance(
    model: &dyn Model,
    rows: &Rows<'_>,
    metric: &dyn Metric,
    parts: &[Part],
    settings: &PermutationSettings,
    seed: Seed,
) -> Result<PermutationImportance> {
    let data = Reader::new(model, rows, settings.block_rows)?;
    let rows = rows.rows;
    check(parts, model)?;
    if rows.len() < 2 {
        return Err(Error::data("one row cannot be permuted").expected("two rows at least"));
    }
    if settings.repeats == 0 {
        return Err(Error::argument("no permutations").at("repeats").expected("1 at least").got(0));
    }
    let columns = model.schema().names();
    let own: Vec<usize> = (0..rows.len()).collect();
    let before = data.predict(&columns, &[], &own)?;
    let predicted = present(&[&before.absent], rows.len());
    let score = data.score(metric, &before, &predicted)?;
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        let seed = seed.child("permutation").child(&part.name);
        let mut losses = Vec::with_capacity(settings.repeats);
        let mut fewest = predicted.len();
        for repeat in 0..settings.repeats {
            let mut places = own.clone();
            places.shuffle(&mut seed.item(repeat as u64).rng());
            let after = data.predict(&columns, &part.columns, &places)?;
            let both = present(&[&before.absent, &after.absent], rows.len());
            let was = if both == predicted {
                score
            } else {
                data.score(metric, &before, &both).map_err(|e| e.at(&part.name))?
            };
            let is = data.score(metric, &after, &both).map_err(|e| e.at(&part.name))?;
            losses.push(if metric.greater_is_better() { was - is } else { is - was });
            fewest = fewest.min(both.len());
        }
        let (mean, standard_error) = mean_and_error(&losses);
        out.push(Importance { part: part.clone(), mean, standard_error, repeats: losses, rows: fewest });
    }
    Ok(PermutationImportance { metric: metric.name().to_owned(), score, rows: predicted.len(), parts: out })
}

fn mean_and_error(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::super::toy::{Toy, data};
    use super::*;
    use crate::metrics::{Auc, LogLoss};
    use crate::model::Target;

    fn run(settings: &PermutationSettings, parts: &[Part], metric: &dyn Metric) -> PermutationImportance {
        let (source, target) = data(400);
        let rows: Vec<usize> = (0..400).collect();
        let rows = Rows { source: &source, rows: &rows, target: &target, weight: None };
        let seed = Seed::new(3);
        permutation_importance(&Toy::new(), &rows, metric, parts, settings, seed).unwrap()
    }

    #[test]
    fn what_the_model_ignores_has_no_importance() {
        let toy = Toy::new();
        let parts = Part::columns_of(toy.schema());
        for metric in [&LogLoss as &dyn Metric, &Auc] {
            let out = run(&PermutationSettings::default(), &parts, metric);
            let by = |name: &str| out.parts.iter().find(|i| i.part.name == name).unwrap();
            assert_eq!(by("ignored").mean, 0.0);
            assert_eq!(by("ignored").standard_error, Some(0.0));
            let (strong, weak) = (by("strong"), by("weak"));
            assert!(strong.mean > weak.mean && weak.mean > 0.0, "{} {}", strong.mean, weak.mean);
            assert!(strong.standard_error.unwrap() < 0.3 * strong.mean);
            assert_eq!(strong.repeats.len(), 5);
            assert_eq!(strong.rows, 400);
        }
    }

    #[test]
    fn columns_of_a_modality_move_together_and_blocks_change_nothing() {
        let toy = Toy::new();
        let parts = Part::modalities_of(toy.schema());
        assert_eq!(parts[0].columns, ["strong", "ignored"]);
        let whole = run(&PermutationSettings::default(), &parts, &LogLoss);
        let pieces = run(&PermutationSettings { block_rows: 7, ..Default::default() }, &parts, &LogLoss);
        assert_eq!(whole, pieces);
        assert!(whole.parts[0].mean > 0.0);
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<PermutationImportance>(&text).unwrap(), whole);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (toy, (source, target)) = (Toy::new(), data(10));
        let rows: Vec<usize> = (0..10).collect();
        let parts = Part::columns_of(toy.schema());
        let go = |rows: &[usize], target: &Target, parts: &[Part], repeats: usize| {
            let settings = PermutationSettings { repeats, block_rows: 4 };
            let seed = Seed::new(1);
            let rows = Rows { source: &source, rows, target, weight: None };
            permutation_importance(&toy, &rows, &LogLoss, parts, &settings, seed).unwrap_err().to_string()
        };
        assert!(go(&[], &target, &parts, 2).contains("no rows"));
        assert!(go(&[99], &target.take(&[0]), &parts, 2).contains("not in the source"));
        assert!(go(&rows, &target.take(&[0]), &parts, 2).contains("one target a row"));
        assert!(go(&rows, &target, &[], 2).contains("no part"));
        assert!(go(&rows, &target, &[Part::new("x", &["stron"])], 2).contains("did you mean \"strong\""));
        assert!(go(&rows, &target, &parts, 0).contains("no permutations"));
        assert!(go(&rows, &Target::Values(vec![0.0; 10]), &parts, 2).contains("another task"));
    }
}
