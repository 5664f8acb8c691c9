//! Kolmogorov-Smirnov distance between the scores of two classes.

use rand::seq::SliceRandom;

use super::decisions::held;
use super::metric::{Draw, Metric, Prepared, Sample};
use super::ranking::Ranking;
use crate::error::Result;
use crate::model::Task;
use crate::seed::Seed;

const FOLDS: usize = 5;
const REPEATS: u64 = 4;

/// The greatest difference, over the thresholds `t`, between the share of the second class with a probability of at
/// least `t` and that of the first: `max_t (TPR(t) - FPR(t))`, debiased. Only the useful direction counts: a model that
/// ranks the wrong way round has 0.
///
/// **Debiasing.** The threshold that is best on the rows at hand gives a difference that is too high (by 0.08 for a
/// useless model and 200 rows). Here the threshold for each fifth of the rows is the best one on the other four
/// fifths, and the difference is measured on the fifth; the mean over four divisions (of each class apart, in an order
/// that is always the same) is the score, not let below zero. [`Metric::plain`] gives the uncorrected maximum.
///
/// **Intervals.** A percentile bootstrap of the maximum adds the bias a second time. Here the threshold is held as it
/// is in the sample (the maximum is flat there, so that to first order only the two shares vary), and the whole is
/// centered on the debiased score. Rows are taken as independent in the debiasing, also where there are groups.
#[derive(Debug, Clone, Copy)]
pub struct Ks;

impl Metric for Ks {
    fn name(&self) -> &'static str {
        "ks"
    }

    fn about(&self) -> &'static str {
        "greatest difference between the classes' shares above a threshold, debiased (two classes)"
    }

    fn greater_is_better(&self) -> bool {
        true
    }

    fn suits(&self, task: &Task) -> bool {
        task.classes().is_some_and(|c| c.count() == 2)
    }

    fn stratified(&self) -> bool {
        true
    }

    fn bounds(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn start(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>> {
        let curve = Curve::new(sample)?;
        let (cut, plain) = curve.peak(|_| true);
        let shift = curve.cross_fitted().clamp(0.0, 1.0) - plain;
        let cells = curve.cells(cut);
        Ok(Box::new(AtThreshold { cells, weight: curve.weight, shift }))
    }

    fn plain(&self, sample: &Sample<'_>) -> Result<Option<f64>> {
        sample.check()?;
        Ok(Some(Curve::new(sample)?.peak(|_| true).1))
    }
}

struct Curve {
    ranking: Ranking,
    weight: Vec<f64>,
}

impl Curve {
    fn new(sample: &Sample<'_>) -> Result<Self> {
        held(sample)?;
        let weight = sample.weights().unwrap_or_else(|| vec![1.0; sample.rows()]);
        Ok(Self { ranking: Ranking::new(sample, 1)?, weight })
    }

    /// How many places lie above the best threshold for the rows kept, and the difference there; none and zero if no
    /// threshold is better than none, or one of the classes is not among them.
    fn peak(&self, keep: impl Fn(usize) -> bool) -> (usize, f64) {
        let kept = |row: u32| if keep(row as usize) { self.weight[row as usize] } else { 0.0 };
        let (mut positives, mut negatives) = (0.0, 0.0);
        for place in &self.ranking.places {
            *if place.positive { &mut positives } else { &mut negatives } += kept(place.row);
        }
        if positives <= 0.0 || negatives <= 0.0 {
            return (0, 0.0);
        }
        let (mut p, mut n, mut best) = (0.0, 0.0, (0, 0.0));
        for (i, place) in self.ranking.places.iter().enumerate() {
            *if place.positive { &mut p } else { &mut n } += kept(place.row);
            let gap = p / positives - n / negatives;
            if place.last && gap > best.1 {
                best = (i + 1, gap);
            }
        }
        best
    }

    /// For each row, two bits: of the second class, above the threshold.
    fn cells(&self, cut: usize) -> Vec<u8> {
        let mut cells = vec![0u8; self.weight.len()];
        for (i, place) in self.ranking.places.iter().enumerate() {
            cells[place.row as usize] = u8::from(place.positive) | (u8::from(i < cut) << 1);
        }
        cells
    }

    fn cross_fitted(&self) -> f64 {
        let seed = Seed::new(0).child("metrics/ks");
        let gaps = (0..REPEATS).map(|repeat| {
            let fold = self.folds(seed.item(repeat));
            let mut cells = vec![0u8; self.weight.len()];
            for f in 0..FOLDS {
                let (cut, _) = self.peak(|row| fold[row] != f);
                for (i, place) in self.ranking.places.iter().enumerate() {
                    let row = place.row as usize;
                    if fold[row] == f {
                        cells[row] = u8::from(place.positive) | (u8::from(i < cut) << 1);
                    }
                }
            }
            gap(&cells, self.weight.iter().copied()).unwrap_or(0.0)
        });
        gaps.sum::<f64>() / REPEATS as f64
    }

    /// A fold for each row, each class spread evenly.
    fn folds(&self, seed: Seed) -> Vec<usize> {
        let mut fold = vec![0; self.weight.len()];
        let mut rng = seed.rng();
        for class in [true, false] {
            let of_class = self.ranking.places.iter().filter(|p| p.positive == class);
            let mut rows: Vec<u32> = of_class.map(|p| p.row).collect();
            rows.sort_unstable();
            rows.shuffle(&mut rng);
            for (i, row) in rows.into_iter().enumerate() {
                fold[row as usize] = i % FOLDS;
            }
        }
        fold
    }
}

/// The difference of the shares above the threshold.
fn gap(cells: &[u8], weight: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sums = [0.0f64; 4];
    for (cell, w) in cells.iter().zip(weight) {
        sums[usize::from(*cell & 3)] += w;
    }
    let (negatives, positives) = (sums[0] + sums[2], sums[1] + sums[3]);
    (negatives > 0.0 && positives > 0.0).then(|| sums[3] / positives - sums[2] / negatives)
}

struct AtThreshold {
    cells: Vec<u8>,
    weight: Vec<f64>,
    shift: f64,
}

impl Prepared for AtThreshold {
    fn value(&self, draw: &Draw) -> Option<f64> {
        let weight = draw.counts.iter().zip(&self.weight).map(|(c, w)| c * w);
        gap(&self.cells, weight).map(|g| g + self.shift)
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::array::Matrix;
    use crate::metrics::normal::{cdf, quantile};
    use crate::model::{Classes, Target};

    /// The means of the plain and the debiased distance over samples of scores `N(d y, 1)`.
    fn means(rows: usize, d: f64, samples: u64) -> (f64, f64) {
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let (mut plain, mut debiased) = (0.0, 0.0);
        for s in 0..samples {
            let mut rng = Seed::new(5).item(s).rng();
            let codes: Vec<u32> = (0..rows).map(|r| (r % 2) as u32).collect();
            let score: Vec<f32> = codes
                .iter()
                .map(|y| cdf(quantile(rng.random_range(1e-9..1.0)) + d * f64::from(*y)) as f32)
                .collect();
            let p = Matrix::from_shape_fn((rows, 2), |(r, k)| if k == 1 { score[r] } else { 1.0 - score[r] });
            let target = Target::Classes { classes: classes.clone(), codes };
            let sample = Sample::new(&target, p.view(), None);
            plain += Ks.plain(&sample).unwrap().unwrap() / samples as f64;
            debiased += Ks.score(&sample).unwrap() / samples as f64;
        }
        (plain, debiased)
    }

    #[test]
    fn a_useless_model_has_little_distance_left() {
        // Half of what is left is the floor at zero.
        let (plain, debiased) = means(200, 0.0, 150);
        assert!(plain > 0.07, "{plain}");
        assert!(debiased < 0.5 * plain, "{debiased} {plain}");
    }

    #[test]
    fn a_useful_model_is_nearer_to_its_true_distance() {
        let truth = 2.0 * cdf(0.55) - 1.0;
        let (plain, debiased) = means(400, 1.1, 150);
        assert!(plain - truth > 0.02, "{plain} {truth}");
        assert!((debiased - truth).abs() < 0.5 * (plain - truth), "{debiased} {plain} {truth}");
    }
}
