//! Made-up rows for the tests of regions.

use rand::RngExt;

use super::Calibration;
use crate::array::{Matrix, softmax};
use crate::model::{Classes, Mask, Origin, Predictions, Target};
use crate::seed::Seed;

/// Rows with what a model says of them, the truth, a stratum and a fold each.
pub(super) struct Rows {
    pub(super) said: Vec<Predictions>,
    pub(super) target: Target,
    pub(super) stratum: Vec<u32>,
    pub(super) group: Vec<u64>,
    pub(super) fold: Vec<u32>,
    pub(super) origin: Origin,
}

impl Rows {
    pub(super) fn calibration(&self) -> Calibration<'_> {
        Calibration {
            said: &self.said,
            origin: self.origin,
            target: &self.target,
            fold: Some(&self.fold),
            group: Some(&self.group),
            stratum: Some(&self.stratum),
        }
    }

    pub(super) fn take(&self, rows: &[usize]) -> Self {
        Self {
            said: self.said.iter().map(|p| p.take(rows)).collect(),
            target: self.target.take(rows),
            stratum: rows.iter().map(|r| self.stratum[*r]).collect(),
            group: rows.iter().map(|r| self.group[*r]).collect(),
            fold: rows.iter().map(|r| self.fold[*r]).collect(),
            origin: self.origin,
        }
    }
}

fn rows(said: Vec<Predictions>, target: Target) -> Rows {
    let n = target.len();
    Rows {
        said,
        target,
        stratum: (0..n).map(|r| (r % 3) as u32).collect(),
        group: (0..n as u64).map(|r| r / 2).collect(),
        fold: (0..n).map(|r| (r / 3 % 3) as u32).collect(),
        origin: Origin::Validation,
    }
}

/// Row ids that start somewhere, so that rows of different seeds are different rows.
fn ids(n: usize, seed: u64) -> Vec<u64> {
    (0..n as u64).map(|r| 1_000_000 * seed + r).collect()
}

/// Classes, harder in stratum 2, the last class harder than the first, the model too sure. Where `masked`, every
/// seventh row is absent.
pub(super) fn classes(n: usize, count: usize, seed: u64, masked: bool) -> Rows {
    let mut rng = Seed::new(seed).rng();
    let names = Classes::new((0..count).map(|c| format!("c{c}")).collect()).unwrap();
    let codes: Vec<u32> = (0..n).map(|_| rng.random_range(0..count as u32)).collect();
    let mut p = Matrix::zeros((n, count));
    for (r, mut row) in p.rows_mut().into_iter().enumerate() {
        let mut logits: Vec<f32> = (0..count).map(|_| 6.0 * rng.random::<f32>()).collect();
        logits[codes[r] as usize] += if r % 3 == 2 { 1.0 } else { 4.0 } - 0.5 * codes[r] as f32;
        softmax(&mut logits);
        row.iter_mut().zip(&logits).for_each(|(p, l)| *p = *l);
    }
    let absent: Mask = (0..n).map(|r| masked && r % 7 == 5).collect();
    let said = Predictions::probabilities(ids(n, seed), names.clone(), p, absent).unwrap();
    rows(vec![said], Target::Classes { classes: names, codes })
}

/// Values, noisier in stratum 2; `several` predictions of one kind, or two quantiles.
pub(super) fn values(n: usize, quantiles: bool, seed: u64, masked: bool) -> Rows {
    let mut rng = Seed::new(seed).rng();
    let truth: Vec<f32> = (0..n).map(|_| 10.0 * rng.random::<f32>()).collect();
    let mut noise = |r: usize| (if r % 3 == 2 { 3.0 } else { 1.0 }) * (rng.random::<f32>() - 0.5);
    let center: Vec<f32> = truth.iter().enumerate().map(|(r, y)| y + noise(r)).collect();
    let absent: Mask = (0..n).map(|r| masked && r % 7 == 5).collect();
    let shifted = |by: f32| {
        let values = center.iter().map(|f| f + by).collect();
        Predictions::values(ids(n, seed), values, absent.clone()).unwrap()
    };
    let said = if quantiles { vec![shifted(-0.3), shifted(0.3)] } else { vec![shifted(0.0)] };
    rows(said, Target::Values(truth))
}
