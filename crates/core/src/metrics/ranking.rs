//! Rows in the order of a score, sorted once; ties are kept as blocks.

use super::decisions::held;
use super::metric::{Draw, Prepared, Sample};
use crate::error::Result;

/// A row at its place.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The row.
    pub row: u32,
    /// Whether it is of the class.
    pub positive: bool,
    /// Whether the next row has a lower score: the end of a block of ties.
    pub last: bool,
}

/// The rows by falling probability of one class.
pub(super) struct Ranking {
    /// The rows, highest probability first.
    pub places: Vec<Place>,
}

impl Ranking {
    /// Sorts the rows by the probability of `class`.
    pub(super) fn new(sample: &Sample<'_>, class: usize) -> Result<Self> {
        let (_, codes) = sample.target.codes()?;
        let scores = sample.output.column(class);
        let mut keys: Vec<u64> =
            scores.iter().enumerate().map(|(r, p)| (u64::from(!ordered(*p)) << 32) | r as u64).collect();
        keys.sort_unstable();
        let places = (0..keys.len())
            .map(|i| {
                let row = keys[i] as u32;
                let last = keys.get(i + 1).is_none_or(|next| next >> 32 != keys[i] >> 32);
                Place { row, positive: codes[row as usize] as usize == class, last }
            })
            .collect();
        Ok(Self { places })
    }
}

/// Bits that compare as the numbers do; zero and minus zero are one.
fn ordered(p: f32) -> u32 {
    let bits = (p + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | (1 << 31) }
}

/// The rankings that a metric of ranks looks at: of the second class for two classes, of every class that the sample
/// holds for more.
fn rankings(sample: &Sample<'_>) -> Result<Vec<Ranking>> {
    let held = held(sample)?;
    let classes: Vec<usize> = match held.len() {
        2 => vec![1],
        _ => (0..held.len()).filter(|k| held[*k] > 0).collect(),
    };
    classes.into_iter().map(|k| Ranking::new(sample, k)).collect()
}

/// How much a place counts.
pub(super) fn count(place: &Place, counts: &[f64], weight: Option<&[f64]>) -> f64 {
    let row = place.row as usize;
    weight.map_or(counts[row], |w| w[row] * counts[row])
}

/// A number of a ranking, by how often each row counts and the weights of the rows.
pub(super) type Number = fn(&Ranking, &[f64], Option<&[f64]>) -> Option<f64>;

/// A metric that is a number of each ranking, ready for draws.
pub(super) struct Ranked {
    rankings: Vec<Ranking>,
    weight: Option<Vec<f64>>,
    one: Number,
}

impl Ranked {
    /// `one` gives the number of a ranking.
    pub(super) fn start(sample: &Sample<'_>, one: Number) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Self { rankings: rankings(sample)?, weight: sample.weights(), one }))
    }
}

impl Prepared for Ranked {
    fn value(&self, draw: &Draw) -> Option<f64> {
        mean_of(&self.rankings, |r| (self.one)(r, &draw.counts, self.weight.as_deref()))
    }
}

/// The mean of one number a ranking; `None` if any is not defined, so that every resample is a mean over the same
/// classes.
fn mean_of(rankings: &[Ranking], one: impl Fn(&Ranking) -> Option<f64>) -> Option<f64> {
    let mut sum = 0.0;
    for ranking in rankings {
        sum += one(ranking)?;
    }
    (!rankings.is_empty()).then_some(sum / rankings.len() as f64)
}
