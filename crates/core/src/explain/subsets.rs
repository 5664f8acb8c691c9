//! How well a model does with only some of its modalities.

use serde::{Deserialize, Serialize};

use super::parts::{Part, check};
use super::predict::{Reader, Rows, Said, present};
use crate::error::{Error, Result};
use crate::metrics::Metric;
use crate::model::Model;

/// Up to so many modalities every subset is scored; above, each alone and all together.
const ALL_SUBSETS: usize = 6;

/// The score with one set of modalities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubsetScore {
    /// The names of the modalities that were there.
    pub parts: Vec<String>,
    /// How many rows the model predicted with them.
    pub predictable: usize,
    /// The score on those rows; `None` if it cannot be computed, which `why` explains.
    pub score: Option<f64>,
    /// The score on the rows that every subset with any predictable row predicts, where they are compared fairly; `None`
    /// if it cannot be computed.
    pub score_on_common_rows: Option<f64>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The scores with sets of modalities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubsetScores {
    /// The name of the metric.
    pub metric: String,
    /// Whether a greater score is a better one.
    pub greater_is_better: bool,
    /// How many rows were looked at.
    pub rows: usize,
    /// How many of them every subset with any predictable row predicts.
    pub common_rows: usize,
    /// The subsets: small ones first, then in the order of the parts.
    pub subsets: Vec<SubsetScore>,
}

/// Scores a model with every non-empty subset of its modalities (up to six; above, each alone and all together). The
/// columns of the others are left out of the batch, so that they are absent on every row. Columns that belong to no
/// part are always there. `block_rows` rows are read and predicted at once; it changes no result.
///
/// # Errors
/// [`Error::Argument`] for no parts or a metric that does not suit; [`Error::Data`] for no rows, lengths that differ or
/// columns that are not there; what the model says of a batch that lacks columns, with the subset's name.
pub fn subset_scores(
    model: &dyn Model,
    rows: &Rows<'_>,
    metric: &dyn Metric,
    parts: &[Part],
    block_rows: usize,
) -> Result<SubsetScores> {
    let data = Reader::new(model, rows, block_rows)?;
    let rows = rows.rows;
    check(parts, model)?;
    if !metric.suits(model.task()) {
        return Err(Error::argument(format!("the metric {} does not suit the task", metric.name())));
    }
    let mut said = Vec::new();
    for subset in subsets(parts.len()) {
        let named: Vec<&Part> =
            parts.iter().enumerate().filter(|(i, _)| subset.contains(i)).map(|p| p.1).collect();
        let left_out = |c: &str| {
            let holds = |p: &&Part| p.columns.iter().any(|x| x == c);
            parts.iter().any(|p| holds(&p)) && !named.iter().any(holds)
        };
        let columns: Vec<&str> = model.schema().names().into_iter().filter(|c| !left_out(c)).collect();
        let names: Vec<String> = named.iter().map(|p| p.name.clone()).collect();
        let one = data.predict(&columns, &[], &[]).map_err(|e| e.at(names.join(" + ")))?;
        said.push((names, one));
    }
    let masks: Vec<_> = said.iter().map(|s| &s.1.absent).filter(|m| m.count() < rows.len()).collect();
    let common = if masks.is_empty() { Vec::new() } else { present(&masks, rows.len()) };
    let score = |(names, one): &(Vec<String>, Said)| {
        let own = present(&[&one.absent], rows.len());
        let score = if own.is_empty() {
            Err(Error::data("the model predicts no row with these modalities"))
        } else {
            data.score(metric, one, &own)
        };
        let (score, why) = match score {
            Ok(score) => (Some(score), None),
            Err(e) => (None, Some(e.to_string())),
        };
        let fair =
            if own.is_empty() || common.is_empty() { None } else { data.score(metric, one, &common).ok() };
        SubsetScore { parts: names.clone(), predictable: own.len(), score, score_on_common_rows: fair, why }
    };
    Ok(SubsetScores {
        metric: metric.name().to_owned(),
        greater_is_better: metric.greater_is_better(),
        rows: rows.len(),
        common_rows: common.len(),
        subsets: said.iter().map(score).collect(),
    })
}

/// The subsets of `parts` things that are scored, as their indices.
fn subsets(parts: usize) -> Vec<Vec<usize>> {
    if parts > ALL_SUBSETS {
        let mut few: Vec<Vec<usize>> = (0..parts).map(|p| vec![p]).collect();
        few.push((0..parts).collect());
        return few;
    }
    let of = |bits: usize| (0..parts).filter(move |p| (bits >> p) & 1 == 1).collect::<Vec<usize>>();
    let mut all: Vec<Vec<usize>> = (1..1usize << parts).map(of).collect();
    all.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    all
}

#[cfg(test)]
mod tests {
    use super::super::toy::{Toy, data};
    use super::*;
    use crate::metrics::{LogLoss, Mae};

    #[test]
    fn every_subset_once_small_ones_first() {
        assert_eq!(
            subsets(3),
            [vec![0], vec![1], vec![2], vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]]
        );
        assert_eq!(subsets(6).len(), 63);
        assert_eq!(subsets(7).len(), 8);
    }

    #[test]
    fn a_modality_that_is_left_out_is_absent() {
        let (toy, (source, target)) = (Toy::new(), data(400));
        let rows: Vec<usize> = (0..400).collect();
        let rows = Rows { source: &source, rows: &rows, target: &target, weight: None };
        let parts = Part::modalities_of(toy.schema());
        let run = |block| subset_scores(&toy, &rows, &LogLoss, &parts, block).unwrap();
        let out = run(64);
        assert_eq!(out, run(1000));
        let names: Vec<String> = out.subsets.iter().map(|s| s.parts.join("+")).collect();
        assert_eq!(names, ["table", "weak", "table+weak"]);
        // Every tenth row has no vector: alone it predicts nothing there.
        let predictable: Vec<usize> = out.subsets.iter().map(|s| s.predictable).collect();
        assert_eq!(predictable, [400, 360, 400]);
        assert_eq!(out.common_rows, 360);
        let fair: Vec<f64> = out.subsets.iter().map(|s| s.score_on_common_rows.unwrap()).collect();
        assert!(fair[2] < fair[0] && fair[0] < fair[1], "{fair:?}");
        assert_eq!(out.subsets[1].score, out.subsets[1].score_on_common_rows);
        let text = serde_json::to_string(&out).unwrap();
        assert_eq!(serde_json::from_str::<SubsetScores>(&text).unwrap(), out);
    }

    #[test]
    fn a_subset_that_predicts_nothing_says_so() {
        let (toy, (source, target)) = (Toy::new(), data(100));
        // Rows 0, 10, ...: none has a vector.
        let rows: Vec<usize> = (0..100).step_by(10).collect();
        let parts = Part::modalities_of(toy.schema());
        let target = target.take(&rows);
        let rows = Rows { source: &source, rows: &rows, target: &target, weight: None };
        let out = subset_scores(&toy, &rows, &LogLoss, &parts, 4).unwrap();
        assert_eq!((out.subsets[1].predictable, out.subsets[1].score), (0, None));
        assert!(out.subsets[1].why.as_deref().unwrap().contains("predicts no row"));
        assert_eq!(out.common_rows, 10);
        assert!(subset_scores(&toy, &rows, &Mae, &parts, 4).is_err());
    }
}
