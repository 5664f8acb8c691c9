//! The losses that boosting lowers, with their first and second derivatives in the scores.

use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::labels::Labels;
use super::rows::BLOCK;
use crate::seed::Seed;

/// Second derivatives are raised to this.
const FLAT: f64 = 1e-16;

enum Truth {
    /// Positions among `count` classes.
    Classes {
        labels: Labels,
        count: usize,
    },
    Values(Vec<f32>),
}

/// The truth and weight of every row. A row has one score for two classes (of the second one, the logit) and for
/// values, and a score a class for more.
pub(super) struct Loss {
    truth: Truth,
    weight: Vec<f64>,
}

impl Loss {
    /// Logistic loss for two classes, softmax loss for more.
    pub(super) fn classes(labels: Labels, count: usize, weight: Vec<f64>) -> Self {
        Self { truth: Truth::Classes { labels, count }, weight }
    }

    /// Half the squared error.
    pub(super) fn values(values: &[f32], weight: Vec<f64>) -> Self {
        Self { truth: Truth::Values(values.to_vec()), weight }
    }

    /// Scores a row.
    pub(super) fn outputs(&self) -> usize {
        match &self.truth {
            Truth::Classes { count: 2, .. } | Truth::Values(_) => 1,
            Truth::Classes { count, .. } => *count,
        }
    }

    /// The best constant scores for some rows.
    pub(super) fn base(&self, rows: &[u32]) -> Vec<f64> {
        let total: f64 = rows.iter().map(|r| self.weight[*r as usize]).sum();
        match &self.truth {
            Truth::Values(values) => {
                let sum: f64 =
                    rows.iter().map(|r| self.weight[*r as usize] * f64::from(values[*r as usize])).sum();
                vec![sum / total]
            }
            Truth::Classes { labels, count } => {
                let mut shares = vec![0.0; *count];
                for r in rows {
                    let part = self.weight[*r as usize] / total;
                    labels.each(*r as usize, |class, share| shares[class] += part * share);
                }
                let logs: Vec<f64> = shares.iter().map(|s| s.max(f64::MIN_POSITIVE).ln()).collect();
                match logs.as_slice() {
                    [first, second] => vec![second - first],
                    _ => logs,
                }
            }
        }
    }

    /// The weighted mean loss of some rows; zero for none.
    pub(super) fn mean(&self, scores: &[f64], rows: &[u32]) -> f64 {
        let outputs = self.outputs();
        let (mut sum, mut total) = (0.0, 0.0);
        for &r in rows {
            let r = r as usize;
            let own = &scores[r * outputs..(r + 1) * outputs];
            let loss = match (&self.truth, own) {
                (Truth::Values(values), [score, ..]) => 0.5 * (score - f64::from(values[r])).powi(2),
                (Truth::Classes { labels, .. }, [score]) => {
                    let mut loss = 0.0;
                    labels.each(r, |class, share| {
                        let z = if class == 1 { *score } else { -score };
                        loss += share * ((-z).max(0.0) + (-z.abs()).exp().ln_1p());
                    });
                    loss
                }
                (Truth::Classes { labels, .. }, own) => {
                    let mut said = 0.0;
                    labels.each(r, |class, share| said += share * own[class]);
                    crate::array::log_sum_exp(own) - said
                }
                (Truth::Values(_), []) => 0.0,
            };
            sum += self.weight[r] * loss;
            total += self.weight[r];
        }
        if total > 0.0 { sum / total } else { 0.0 }
    }

    /// First and second derivatives for every row, an output after the other.
    pub(super) fn derivatives(&self, scores: &[f64]) -> Vec<(Vec<f32>, Vec<f32>)> {
        let (outputs, rows) = (self.outputs(), self.weight.len());
        let mut both = vec![(0.0f32, 0.0f32); rows * outputs];
        both.par_chunks_mut(BLOCK * outputs).enumerate().for_each(|(block, both)| {
            for (i, own) in both.chunks_exact_mut(outputs).enumerate() {
                let r = block * BLOCK + i;
                let (score, w) = (&scores[r * outputs..(r + 1) * outputs], self.weight[r]);
                match &self.truth {
                    Truth::Values(values) => {
                        own[0] = ((w * (score[0] - f64::from(values[r]))) as f32, w as f32);
                    }
                    Truth::Classes { labels, count } => Self::probabilities(score, |k, p| {
                        // For two classes the one score is that of the second.
                        let at = if *count == 2 { k.checked_sub(1) } else { Some(k) };
                        if let Some(to) = at.and_then(|at| own.get_mut(at)) {
                            let truth = labels.of(r, k);
                            *to = ((w * (p - truth)) as f32, (w * (p * (1.0 - p)).max(FLAT)) as f32);
                        }
                    }),
                }
            }
        });
        (0..outputs).map(|k| both.iter().skip(k).step_by(outputs).copied().unzip()).collect()
    }

    /// Probabilities from a row's scores, told class by class.
    pub(super) fn probabilities(scores: &[f64], mut tell: impl FnMut(usize, f64)) {
        if let [score] = scores {
            let small = (-score.abs()).exp();
            let (larger, smaller) = (1.0 / (1.0 + small), small / (1.0 + small));
            let (first, second) = if *score >= 0.0 { (smaller, larger) } else { (larger, smaller) };
            tell(0, first);
            tell(1, second);
            return;
        }
        let all = crate::array::log_sum_exp(scores);
        for (k, s) in scores.iter().enumerate() {
            tell(k, (s - all).exp());
        }
    }

    /// Rows kept and rows held back, both in order: a share of each class, or of all values.
    pub(super) fn hold_back(&self, share: f64, seed: &Seed) -> (Vec<u32>, Vec<u32>) {
        let groups = match &self.truth {
            Truth::Values(values) => vec![(0u32..).take(values.len()).collect::<Vec<u32>>()],
            Truth::Classes { labels, count } => {
                let mut groups = vec![Vec::new(); *count];
                for (row, r) in (0..self.weight.len()).zip(0u32..) {
                    groups[labels.most(row)].push(r);
                }
                groups
            }
        };
        let (mut kept, mut held) = (Vec::new(), Vec::new());
        for (mut group, k) in groups.into_iter().zip(0u64..) {
            group.shuffle(&mut seed.item(k).rng());
            let count = (group.len() as f64 * share).floor() as usize;
            held.extend_from_slice(&group[..count]);
            kept.extend_from_slice(&group[count..]);
        }
        kept.sort_unstable();
        held.sort_unstable();
        (kept, held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_mean_loss() {
        let weight = vec![0.5, 2.0, 1.0];
        let losses = [
            Loss::values(&[1.0, -2.0, 3.0], weight.clone()),
            Loss::classes(Labels::Codes(vec![0, 1, 1]), 2, weight.clone()),
            Loss::classes(Labels::Codes(vec![0, 2, 1]), 3, weight.clone()),
            Loss::classes(
                Labels::Shares { p: vec![0.25, 0.75, 0.0, 1.0, 0.5, 0.5], count: 2 },
                2,
                weight.clone(),
            ),
            Loss::classes(
                Labels::Shares { p: vec![0.25, 0.5, 0.25, 0.0, 1.0, 0.0, 0.125, 0.0, 0.875], count: 3 },
                3,
                weight.clone(),
            ),
        ];
        for loss in losses {
            let k = loss.outputs();
            let scores: Vec<f64> = (0..3 * k).map(|i| (i as f64 * 0.7).sin()).collect();
            let derivatives = loss.derivatives(&scores);
            let total: f64 = weight.iter().sum();
            let step = 1e-4;
            for r in 0..3 {
                for (o, (gradient, hessian)) in derivatives.iter().enumerate() {
                    let at = |d: f64| {
                        let mut moved = scores.clone();
                        moved[r * k + o] += d;
                        total * loss.mean(&moved, &[0, 1, 2])
                    };
                    let slope = (at(step) - at(-step)) / (2.0 * step);
                    let bend = (at(step) - 2.0 * at(0.0) + at(-step)) / (step * step);
                    assert!((slope - f64::from(gradient[r])).abs() < 1e-6, "{slope} {}", gradient[r]);
                    assert!((bend - f64::from(hessian[r])).abs() < 1e-5, "{bend} {}", hessian[r]);
                }
            }
        }
    }

    #[test]
    fn the_base_has_no_slope_and_the_holdout_is_a_share_of_each_class() {
        let codes: Vec<u32> = (0..100).map(|i| u32::from(i % 4 == 0)).collect();
        let loss = Loss::classes(Labels::Codes(codes.clone()), 2, vec![1.0; 100]);
        let rows: Vec<u32> = (0..100).collect();
        let base = loss.base(&rows);
        let slope: f32 = loss.derivatives(&vec![base[0]; 100])[0].0.iter().sum();
        assert!(slope.abs() < 1e-5);
        let (kept, held) = loss.hold_back(0.2, &Seed::new(1));
        assert_eq!((kept.len(), held.len()), (80, 20));
        assert_eq!(held.iter().filter(|r| codes[**r as usize] == 1).count(), 5);
    }
}
