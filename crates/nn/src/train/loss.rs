//! Losses: cross-entropy for classes, squared error for values.

use consilience_core::array::{MIN_PROBABILITY, argmax};
use consilience_core::model::{Target, Task};
use consilience_core::{Error, Result};

use super::mixing::Pairs;
use super::taught::{Soft, Taught, Truth};
use crate::backend::{self, Tensor};
use crate::fusion::Heads;
use crate::kernels::cross_entropy;
use crate::network::{Scale, outputs};

/// The truth of all training rows in the form of the loss, with weights.
pub struct Goal {
    pub(super) task: Task,
    /// `[rows, outputs]`: one-hot classes, or standardized values.
    truth: Vec<f32>,
    weight: Vec<f32>,
    smoothing: f32,
    taught: Option<Taught>,
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
        Self { task, truth, weight, smoothing: 0.0, taught: None }
    }

    /// Trains towards `(1 - e) y + e / K` with `K` classes; what is held out is scored as before.
    ///
    /// # Reference
    /// Szegedy et al. (2016), "Rethinking the Inception architecture for computer vision".
    #[must_use]
    pub fn smoothed(self, smoothing: f64) -> Self {
        Self { smoothing: smoothing as f32, ..self }
    }

    /// Trains towards what a teacher says too, of all rows; what is held out is scored by the truth as before.
    ///
    /// # Reference
    /// Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network".
    #[must_use]
    pub fn taught(self, taught: Option<Taught>) -> Self {
        Self { taught, ..self }
    }

    /// Multiplies the weight of each row by that of its class, in training and for what is held out.
    ///
    /// # Errors
    /// [`Error::Argument`] if a product is no number of 32 bits above zero.
    pub fn weighed(mut self, classes: &[f64]) -> Result<Self> {
        for (row, weight) in self.truth.chunks(self.task.width()).zip(&mut self.weight) {
            let class = row.iter().zip(classes).find(|(y, _)| **y > 0.0).map_or(1.0, |(_, w)| *w);
            let product = (f64::from(*weight) * class) as f32;
            if !product.is_finite() || product <= 0.0 {
                return Err(Error::argument("the weight of a row times that of its class is out of range")
                    .at("class_weights")
                    .expected("a number above 0")
                    .got(product));
            }
            *weight = product;
        }
        Ok(self)
    }

    /// The truths, the weights and what is taught as bytes, to tell one fit from another by.
    pub fn bytes(&self) -> Vec<u8> {
        let own = self.truth.iter().chain(&self.weight).flat_map(|v| v.to_le_bytes());
        own.chain(self.taught.iter().flat_map(Taught::bytes)).collect()
    }

    fn row(&self, position: usize) -> Result<(&[f32], f32)> {
        let width = self.task.width();
        let truth = self.truth.get(position * width..(position + 1) * width);
        truth.zip(self.weight.get(position).copied()).ok_or_else(|| Error::internal("a row without a truth"))
    }

    /// The loss to train by, and the weight of the rows in it:
    /// `sum_i w_i sum_m r_im L(head_m, y_i) / sum_i w_i`, with one head for all modalities or one for each, and `y_i` from
    /// [`Goal::truths`]. Where a teacher has the share `a_i` of a row, `L` is `(1 - a_i) L(head_m, y_i) + a_i T^2
    /// L(head_m / T, s_i)`. `None` if no row has any modality.
    ///
    /// # Errors
    /// [`Error::Internal`] for rows without a truth.
    pub fn training(
        &self,
        heads: Heads,
        truth: &Truth,
        positions: &[usize],
        present: &[Vec<f32>],
        any: &[bool],
    ) -> Result<Option<(Tensor<1>, f64)>> {
        let mut total = 0.0f64;
        for (p, _) in positions.iter().zip(any).filter(|(_, any)| **any) {
            total += f64::from(self.row(*p)?.1);
        }
        if total <= 0.0 {
            return Ok(None);
        }
        let all: Vec<f32> = any.iter().map(|a| f32::from(u8::from(*a))).collect();
        let mut sum: Option<Tensor<1>> = None;
        let parts = match heads {
            Heads::One(head) => vec![(Some(head), &all)],
            Heads::Each(heads) => heads.into_iter().zip(present).collect(),
        };
        for (head, flags) in parts {
            let Some(head) = head else { continue };
            let part = self.head(head, truth, positions, flags, total)?;
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
        }
        Ok(sum.map(|s| (s, total)))
    }

    /// What some rows are trained towards. With pairs it is `l y_i + (1 - l) y_j` for row `i`, in one-hot
    /// classes or standardized values, while the weight of the row stays `w_i`; smoothing comes after,
    /// and what a teacher says is mixed in the same way.
    ///
    /// # Errors
    /// [`Error::Internal`] for rows without a truth.
    pub fn truths(&self, positions: &[usize], pairs: Option<&Pairs>) -> Result<Truth> {
        let width = self.task.width();
        let mut truth = Vec::with_capacity(positions.len() * width);
        for p in positions {
            truth.extend_from_slice(self.row(*p)?.0);
        }
        if let Some(pairs) = pairs {
            for ((mine, partner), own) in truth.chunks_mut(width).zip(&pairs.partners).zip(&pairs.own) {
                let theirs = self.row(*partner)?.0;
                mine.iter_mut().zip(theirs).for_each(|(y, z)| *y = own * *y + (1.0 - own) * z);
            }
        }
        let plain = |p: usize| self.row(p).map(|(truth, _)| truth).unwrap_or_default();
        let soft = self.taught.as_ref().map(|t| t.mix(positions, pairs, plain, &mut truth));
        if self.smoothing > 0.0 {
            let (kept, spread) = (1.0 - self.smoothing, self.smoothing / width as f32);
            truth.iter_mut().for_each(|y| *y = kept * *y + spread);
        }
        Ok(Truth { hard: truth, soft })
    }

    /// How well rows with any modality are told: how many of them have the largest output where the truth is largest, or
    /// the sum of their squared errors in standard units; and how many they are.
    ///
    /// # Errors
    /// [`Error::Internal`] if outputs cannot be read.
    pub fn score(
        &self,
        heads: &Heads,
        truth: &Truth,
        present: &[Vec<f32>],
        any: &[bool],
    ) -> Result<(f64, u64)> {
        let outputs = match heads {
            // The largest logit is the largest probability.
            Heads::One(head) => backend::read(head.clone())?,
            several => outputs(several.clone(), present, &self.task)?,
        };
        let width = self.task.width();
        let (mut score, mut rows) = (0.0f64, 0);
        for ((output, truth), _) in
            outputs.chunks(width).zip(truth.hard.chunks(width)).zip(any).filter(|(_, a)| **a)
        {
            rows += 1;
            score += match self.task {
                Task::Classify(_) => f64::from(u8::from(argmax(output) == argmax(truth))),
                Task::Regress => output.iter().zip(truth).map(|(v, t)| f64::from(v - t).powi(2)).sum(),
            };
        }
        Ok((score, rows))
    }

    fn head(
        &self,
        head: Tensor<2>,
        truth: &Truth,
        positions: &[usize],
        flags: &[f32],
        total: f64,
    ) -> Result<Tensor<1>> {
        let mut share = Vec::with_capacity(positions.len());
        for (p, flag) in positions.iter().zip(flags) {
            share.push((f64::from(self.row(*p)?.1 * flag) / total) as f32);
        }
        let (Some(Soft { said, share: theirs }), Some(taught)) = (&truth.soft, &self.taught) else {
            return Ok(self.distance(head, &truth.hard, share));
        };
        let t = taught.temperature;
        let soft = share.iter().zip(theirs).map(|(w, a)| w * a * t * t).collect();
        let hard = share.iter().zip(theirs).map(|(w, a)| w * (1.0 - a)).collect();
        let soft = self.distance(head.clone() / t, said, soft);
        Ok(self.distance(head, &truth.hard, hard) + soft)
    }

    /// The sum of the losses of rows, each with its weight.
    fn distance(&self, head: Tensor<2>, truth: &[f32], weight: Vec<f32>) -> Tensor<1> {
        let (rows, width) = (weight.len(), self.task.width());
        let truth = backend::constant(truth.to_vec(), [rows, width]);
        match self.task {
            Task::Classify(_) => cross_entropy(head, truth, backend::constant(weight, [rows])),
            Task::Regress => {
                let miss = head - truth;
                (miss.clone() * miss * backend::constant(weight, [rows, width])).sum()
            }
        }
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
    use consilience_core::model::{Classes, Heard, Lesson, Mask};

    fn loss(goal: &Goal, logits: &[f32], positions: &[usize], pairs: Option<&Pairs>) -> f64 {
        let rows = positions.len();
        let head = backend::constant(logits.to_vec(), [rows, logits.len() / rows]);
        let present = [vec![1.0; rows]];
        let truth = goal.truths(positions, pairs).unwrap();
        let any = vec![true; rows];
        let (loss, weight) =
            goal.training(Heads::One(head), &truth, positions, &present, &any).unwrap().unwrap();
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

    #[derive(serde::Deserialize)]
    struct Case {
        classes: usize,
        logits: Vec<f32>,
        target: Vec<u32>,
        smoothing: f64,
        weights: Option<Vec<f64>>,
        loss: f32,
        gradient: Vec<f32>,
    }

    #[test]
    fn smoothing_and_weights_of_classes_agree_with_pytorch() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/nn.json");
        let golden: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cases: Vec<Case> = serde_json::from_value(golden["losses"].clone()).unwrap();
        assert_eq!(cases.len(), 5);
        for case in cases {
            let (rows, k) = (case.target.len(), case.classes);
            let classes = Classes::new((0..k).map(|c| format!("c{c}")).collect()).unwrap();
            let target = Target::Classes { classes, codes: case.target };
            let mut goal = Goal::new(&target, None, Scale::default()).smoothed(case.smoothing);
            let weights = case.weights.unwrap_or_else(|| vec![1.0; k]);
            goal = goal.weighed(&weights).unwrap();
            let logits = backend::leaf(&backend::Host::new(case.logits, [rows, k]));
            let head = Heads::One(logits.clone().reshape([rows, k]));
            let positions: Vec<usize> = (0..rows).collect();
            let truth = goal.truths(&positions, None).unwrap();
            let any = vec![true; rows];
            let (loss, weight) =
                goal.training(head, &truth, &positions, &[vec![1.0; rows]], &any).unwrap().unwrap();
            let codes = target.codes().unwrap().1;
            let expected: f64 = codes.iter().map(|c| f64::from(weights[*c as usize] as f32)).sum();
            assert!((weight - expected).abs() < 1e-9 * expected);
            // A hundred roundings of numbers near one.
            let near =
                |a: f32, b: f32| assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} instead of {b}");
            near(backend::read(loss.clone()).unwrap()[0], case.loss);
            let mut gradients = backend::backward(&loss).unwrap();
            let gradient = backend::take_gradient(&logits, &mut gradients).unwrap().unwrap();
            assert_eq!(gradient.numbers().len(), case.gradient.len());
            gradient.numbers().iter().zip(case.gradient).for_each(|(a, b)| near(*a, b));
        }
    }

    #[derive(serde::Deserialize)]
    struct Lessons {
        classes: usize,
        logits: Vec<f32>,
        target: Vec<u32>,
        teacher: Vec<f32>,
        temperature: f64,
        share: f64,
        weight: Vec<f32>,
        loss: f32,
        gradient: Vec<f32>,
    }

    fn heard(said: Vec<f32>, width: usize, silent: &[usize], temperature: f64, share: f64) -> Heard {
        let rows = said.len() / width;
        let said = ndarray::Array2::from_shape_vec((rows, width), said).unwrap();
        let silent = Mask::from_marks((0..rows).map(|r| silent.contains(&r)).collect());
        Heard { said, silent, lesson: Lesson { temperature, share } }
    }

    #[test]
    fn what_is_taught_agrees_with_pytorch() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/nn.json");
        let golden: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cases: Vec<Lessons> = serde_json::from_value(golden["lessons"].clone()).unwrap();
        assert_eq!(cases.len(), 5);
        for case in cases {
            let (rows, k) = (case.weight.len(), case.classes);
            let target = if k == 1 {
                Target::Values(case.target.iter().map(|v| *v as f32).collect())
            } else {
                let classes = Classes::new((0..k).map(|c| format!("c{c}")).collect()).unwrap();
                Target::Classes { classes, codes: case.target }
            };
            let heard = heard(case.teacher, k, &[], case.temperature, case.share);
            let taught = Taught::new(&heard, &target.task(), Scale::default());
            let goal = Goal::new(&target, Some(&case.weight), Scale::default()).taught(Some(taught));
            let logits = backend::leaf(&backend::Host::new(case.logits, [rows, k]));
            let head = Heads::One(logits.clone().reshape([rows, k]));
            let positions: Vec<usize> = (0..rows).collect();
            let truth = goal.truths(&positions, None).unwrap();
            let any = vec![true; rows];
            let (loss, _) =
                goal.training(head, &truth, &positions, &[vec![1.0; rows]], &any).unwrap().unwrap();
            let near =
                |a: f32, b: f32| assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} instead of {b}");
            near(backend::read(loss.clone()).unwrap()[0], case.loss);
            let mut gradients = backend::backward(&loss).unwrap();
            let gradient = backend::take_gradient(&logits, &mut gradients).unwrap().unwrap();
            assert_eq!(gradient.numbers().len(), case.gradient.len());
            gradient.numbers().iter().zip(case.gradient).for_each(|(a, b)| near(*a, b));
        }
    }

    #[test]
    fn the_loss_of_a_mixed_row_is_the_mixed_loss_and_smoothing_is_for_the_truth() {
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let target = Target::Classes { classes, codes: vec![0, 1, 1] };
        let said = vec![0.3, 0.7, 0.0, 0.0, 0.2, 0.8];
        let goal = || {
            let taught =
                Taught::new(&heard(said.clone(), 2, &[1], 3.0, 0.6), &target.task(), Scale::default());
            Goal::new(&target, None, Scale::default()).smoothed(0.2).taught(Some(taught))
        };
        let goal = goal();
        let logits = [0.5, -1.0];
        let plain = |row: usize| loss(&goal, &logits, &[row], None);
        for (mine, partner) in [(0, 1), (1, 0), (0, 2), (1, 1)] {
            let pairs = Pairs { partners: vec![partner], own: vec![0.25] };
            let mixed = loss(&goal, &logits, &[mine], Some(&pairs));
            let expected = 0.25 * plain(mine) + 0.75 * plain(partner);
            assert!((mixed - expected).abs() < 1e-6, "{mine} {partner}: {mixed} instead of {expected}");
        }
        // A row about which the teacher is silent has the smoothed truth alone.
        let alone = Goal::new(&target, None, Scale::default()).smoothed(0.2);
        assert_eq!(plain(1), loss(&alone, &logits, &[1], None));
        assert_ne!(goal.bytes(), alone.bytes());
    }

    #[test]
    fn what_is_held_out_is_weighed_and_not_smoothed() {
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let goal = |smoothing: f64, weights: [f64; 2]| {
            let target = Target::Classes { classes: classes.clone(), codes: vec![0, 1] };
            Goal::new(&target, Some(&[2.0, 1.0]), Scale::default()).smoothed(smoothing).weighed(&weights)
        };
        let probabilities = [0.5, 0.5, 0.75, 0.25];
        let (sum, weight) =
            goal(0.3, [1.0, 4.0]).unwrap().held(&probabilities, &[0, 1], &[true, true]).unwrap();
        assert!((sum - (2.0 * 2f64.ln() + 4.0 * 4f64.ln())).abs() < 1e-6 && weight == 6.0, "{sum}, {weight}");
        for extreme in [1e-60, 1e60] {
            let error = goal(0.0, [1.0, extreme]).err().unwrap().to_string();
            assert!(error.starts_with("class_weights"), "{error}");
        }
    }

    #[test]
    fn the_score_counts_rows_told_right_or_squares_of_errors() {
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let target = Target::Classes { classes, codes: vec![0, 1, 1] };
        let goal = Goal::new(&target, None, Scale::default()).smoothed(0.2);
        let truth = goal.truths(&[0, 1, 2], None).unwrap();
        let tensor = |v: &[f32], width: usize| backend::constant(v.to_vec(), [v.len() / width, width]);
        let one = Heads::One(tensor(&[2.0, 1.0, 2.0, 1.0, 0.0, 1.0], 2));
        assert_eq!(goal.score(&one, &truth, &[vec![1.0; 3]], &[true; 3]).unwrap(), (2.0, 3));
        assert_eq!(goal.score(&one, &truth, &[vec![1.0; 3]], &[true, false, true]).unwrap(), (2.0, 2));
        // The mean of two heads; the second one has no say about the second row.
        let pair = Heads::Each(vec![
            Some(tensor(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.5], 2)),
            Some(tensor(&[0.0, 9.0, 9.0, 0.0, 0.0, 0.5], 2)),
        ]);
        let present = [vec![1.0; 3], vec![1.0, 0.0, 1.0]];
        assert_eq!(goal.score(&pair, &truth, &present, &[true; 3]).unwrap(), (2.0, 3));
        let goal = Goal::new(&Target::Values(vec![4.0, -1.0]), None, Scale::default());
        let truth = goal.truths(&[0, 1], None).unwrap();
        let head = Heads::One(tensor(&[2.0, 0.0], 1));
        assert_eq!(goal.score(&head, &truth, &[vec![1.0; 2]], &[true; 2]).unwrap(), (5.0, 2));
    }
}
