//! Classes decided for: the most probable one, the first on a tie.

use super::metric::{Draw, Sample};
use crate::error::{Error, Result};

/// The index and probability of the most probable class of each row; the lowest index on a tie.
pub(super) fn top(sample: &Sample<'_>) -> Vec<(u32, f32)> {
    let rows = sample.output.rows().into_iter();
    rows.map(|row| {
        let mut best = (0u32, f32::NEG_INFINITY);
        for (k, &p) in row.iter().enumerate() {
            if p > best.1 {
                best = (k as u32, p);
            }
        }
        best
    })
    .collect()
}

/// Truth and decision of every row, and their sums by class.
pub(super) struct Decisions {
    pairs: Vec<(u32, u32)>,
    weight: Option<Vec<f64>>,
    classes: usize,
}

/// Weighted numbers of rows of one class.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    /// Of the class.
    pub truth: f64,
    /// Decided to be of the class.
    pub decided: f64,
    /// Both.
    pub hit: f64,
}

impl Decisions {
    pub(super) fn new(sample: &Sample<'_>) -> Result<Self> {
        let (classes, codes) = sample.target.codes()?;
        let pairs = codes.iter().copied().zip(top(sample).into_iter().map(|t| t.0)).collect();
        Ok(Self { pairs, weight: sample.weights(), classes: classes.count() })
    }

    /// The tallies of the classes where each row counts as often as the draw says.
    pub(super) fn tallies(&self, draw: &Draw) -> Vec<Tally> {
        let mut tallies = vec![Tally::default(); self.classes];
        for (r, ((truth, decided), count)) in self.pairs.iter().zip(&draw.counts).enumerate() {
            let c = self.weight.as_ref().map_or(*count, |w| w[r] * count);
            let truth = *truth as usize;
            let decided = *decided as usize;
            tallies[truth].truth += c;
            tallies[decided].decided += c;
            tallies[truth].hit += if truth == decided { c } else { 0.0 };
        }
        tallies
    }
}

/// The rows of each class with a weight above zero: which classes a sample holds.
pub(super) fn held(sample: &Sample<'_>) -> Result<Vec<usize>> {
    let (classes, codes) = sample.target.codes()?;
    let mut rows = vec![0usize; classes.count()];
    for (r, code) in codes.iter().enumerate() {
        if sample.weight.is_none_or(|w| w[r] > 0.0) {
            rows[*code as usize] += 1;
        }
    }
    if rows.iter().filter(|n| **n > 0).count() < 2 {
        return Err(Error::data("the rows hold only one class")
            .expected("rows of two classes at least")
            .remedy("judge on more rows, or leave this metric out"));
    }
    Ok(rows)
}
