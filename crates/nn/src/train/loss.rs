//! Losses: cross-entropy for classes, squared error for values.

use consilience_core::array::MIN_PROBABILITY;
use consilience_core::model::{Target, Task};
use consilience_core::{Error, Result};

use super::mixing::Pairs;
use crate::backend::{self, Tensor};
use crate::fusion::Heads;
use crate::kernels::cross_entropy;
use crate::network::Scale;

/// The truth of all training rows in the form of the loss, with weights.
pub struct Goal {
    pub(super) task: Task,
    /// `[rows, outputs]`: one-hot classes, or standardized values.
    truth: Vec<f32>,
    weight: Vec<f32>,
}

impl Goal {
    /// Weights default to one.
    pub fn new(target: &Target, weight: Option<&[f32]>, scale: Scale) -> Self {
        let task = target.task();
        let width = task.width();
        let truth = match target {
            Target::Classes { codes, .. } => {
                let mut truth = vec![0.0; codes.len() * width];
                for (row, code) in truth.chunks_mut(width).zip(codes) {
                    row.iter_mut().skip(*code as usize).take(1).for_each(|t| *t = 1.0);
                }
                truth
            }
            Target::Values(v) => {
                v.iter().map(|v| ((f64::from(*v) - scale.mean) / scale.deviation) as f32).collect()
            }
        };
        let weight = weight.map_or_else(|| vec![1.0; target.len()], <[f32]>::to_vec);
        Self { task, truth, weight }
    }

    /// The truths and weights as bytes, to tell one fit from another by.
    pub fn bytes(&self) -> Vec<u8> {
        self.truth.iter().chain(&self.weight).flat_map(|v| v.to_le_bytes()).collect()
    }

    fn row(&self, position: usize) -> Result<(&[f32], f32)> {
        let width = self.task.width();
        let truth = self.truth.get(position * width..(position + 1) * width);
        truth.zip(self.weight.get(position).copied()).ok_or_else(|| Error::internal("a row without a truth"))
    }

    /// The loss to train by, and the weight of the rows in it:
    /// `sum_i w_i sum_m r_im L(head_m, y_i) / sum_i w_i`, with one head for all modalities or one for each. `None` if no
    /// row has any modality. With pairs the truth of row `i` is `l y_i + (1 - l) y_j`, in one-hot classes or standardized
    /// values, and its weight stays `w_i`.
    ///
    /// # Errors
    /// [`Error::Internal`] for rows without a truth.
    pub fn training(
        &self,
        heads: Heads,
        positions: &[usize],
        present: &[Vec<f32>],
        any: &[bool],
        pairs: Option<&Pairs>,
    ) -> Result<Option<(Tensor<1>, f64)>> {
        let mut total = 0.0f64;
        for (p, _) in positions.iter().zip(any).filter(|(_, any)| **any) {
            total += f64::from(self.row(*p)?.1);
        }
        if total <= 0.0 {
            return Ok(None);
        }
        let truth = self.mixed(positions, pairs)?;
        let all: Vec<f32> = any.iter().map(|a| f32::from(u8::from(*a))).collect();
        let mut sum: Option<Tensor<1>> = None;
        let parts = match heads {
            Heads::One(head) => vec![(Some(head), &all)],
            Heads::Each(heads) => heads.into_iter().zip(present).collect(),
        };
        for (head, flags) in parts {
            let Some(head) = head else { continue };
            let part = self.head(head, &truth, positions, flags, total)?;
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
        }
        Ok(sum.map(|s| (s, total)))
    }

    /// The truths of some rows, `[rows, outputs]`.
    fn mixed(&self, positions: &[usize], pairs: Option<&Pairs>) -> Result<Vec<f32>> {
        let mut truth = Vec::with_capacity(positions.len() * self.task.width());
        for p in positions {
            truth.extend_from_slice(self.row(*p)?.0);
        }
        let Some(pairs) = pairs else { return Ok(truth) };
        for ((mine, partner), own) in truth.chunks_mut(self.task.width()).zip(&pairs.partners).zip(&pairs.own)
        {
            let theirs = self.row(*partner)?.0;
            mine.iter_mut().zip(theirs).for_each(|(y, z)| *y = own * *y + (1.0 - own) * z);
        }
        Ok(truth)
    }

    fn head(
        &self,
        head: Tensor<2>,
        truth: &[f32],
        positions: &[usize],
        flags: &[f32],
        total: f64,
    ) -> Result<Tensor<1>> {
        let (rows, width) = (positions.len(), self.task.width());
        let mut share = Vec::with_capacity(rows);
        for (p, flag) in positions.iter().zip(flags) {
            share.push((f64::from(self.row(*p)?.1 * flag) / total) as f32);
        }
        let truth = backend::constant(truth.to_vec(), [rows, width]);
        Ok(match self.task {
            Task::Classify(_) => cross_entropy(head, truth, backend::constant(share, [rows])),
            Task::Regress => {
                let miss = head - truth;
                (miss.clone() * miss * backend::constant(share, [rows, width])).sum()
            }
        })
    }

    /// The weighted sum over present rows of the loss of what would be predicted (`-ln p_y`, or the squared error in
    /// standard units), and of the weights. `outputs` is `[rows, outputs]`.
    ///
    /// # Errors
    /// [`Error::Internal`] for rows without a truth.
    pub fn held(&self, outputs: &[f32], positions: &[usize], any: &[bool]) -> Result<(f64, f64)> {
        let (mut sum, mut total) = (0.0f64, 0.0f64);
        let rows = outputs.chunks(self.task.width()).zip(positions).zip(any);
        for ((output, p), _) in rows.filter(|(_, any)| **any) {
            let (truth, weight) = self.row(*p)?;
            let pairs = output.iter().zip(truth);
            let loss: f64 = match self.task {
                Task::Classify(_) => {
                    let p: f32 = pairs.map(|(p, t)| p * t).sum();
                    // A comparison with NaN is false, so that NaN is not hidden by the floor.
                    -f64::from(if p < MIN_PROBABILITY { MIN_PROBABILITY } else { p }).ln()
                }
                Task::Regress => pairs.map(|(v, t)| f64::from(v - t).powi(2)).sum(),
            };
            sum += f64::from(weight) * loss;
            total += f64::from(weight);
        }
        Ok((sum, total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::model::Classes;

    fn loss(goal: &Goal, logits: &[f32], positions: &[usize], pairs: Option<&Pairs>) -> f64 {
        let rows = positions.len();
        let head = backend::constant(logits.to_vec(), [rows, logits.len() / rows]);
        let present = [vec![1.0; rows]];
        let (loss, weight) =
            goal.training(Heads::One(head), positions, &present, &vec![true; rows], pairs).unwrap().unwrap();
        assert_eq!(weight, rows as f64);
        f64::from(backend::read(loss).unwrap()[0])
    }

    #[test]
    fn the_truth_is_mixed_with_the_same_weight_as_the_rows() {
        let pairs = Pairs { partners: vec![2, 0], own: vec![0.25, 1.0] };
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let goal = Goal::new(&Target::Classes { classes, codes: vec![0, 1, 1] }, None, Scale::default());
        let logits = [0.5, -1.0, 0.25, 2.0];
        // Cross-entropy is linear in the truth: -(.25 ln p_a + .75 ln p_b), and -ln p_b for the row that stays alone.
        let rest = |x: f64, y: f64| (x.exp() + y.exp()).ln();
        let expected =
            (0.25 * (rest(0.5, -1.0) - 0.5) + 0.75 * (rest(0.5, -1.0) + 1.0) + rest(0.25, 2.0) - 2.0) / 2.0;
        assert!((loss(&goal, &logits, &[0, 1], Some(&pairs)) - expected).abs() < 1e-6);
        // Values: (z - (.25 y_i + .75 y_j))^2.
        let goal = Goal::new(&Target::Values(vec![4.0, -1.0, 0.0]), None, Scale::default());
        let got = loss(&goal, &[3.0, 1.0], &[0, 1], Some(&pairs));
        assert!((got - (4.0 + 4.0) / 2.0).abs() < 1e-6, "{got}");
        let plain = loss(&goal, &[3.0, 1.0], &[0, 1], None);
        assert!((plain - (1.0 + 4.0) / 2.0).abs() < 1e-6, "{plain}");
    }
}
