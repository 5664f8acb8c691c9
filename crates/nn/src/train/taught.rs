//! What a network is taught beside the truth.

use consilience_core::model::{Heard, Task};

use super::mixing::Pairs;
use crate::network::Scale;

/// What a teacher says of all training rows, in the form of the loss.
#[derive(Debug)]
pub struct Taught {
    /// `[rows, outputs]`: probabilities softened to `softmax(ln p / T)`, or standardized values; zeros where it is silent.
    said: Vec<f32>,
    /// How much it counts, a row each; zero where it is silent.
    share: Vec<f32>,
    /// `T`.
    pub temperature: f32,
    width: usize,
}

/// What some rows are trained towards.
pub struct Truth {
    /// `[rows, outputs]`, from the labels.
    pub hard: Vec<f32>,
    /// From the teacher, if there is one.
    pub soft: Option<Soft>,
}

/// What a teacher says of some rows.
pub struct Soft {
    /// `[rows, outputs]`.
    pub said: Vec<f32>,
    /// How much it counts, a row each.
    pub share: Vec<f32>,
}

impl Taught {
    /// Softens probabilities, and puts values into standard units.
    pub fn new(heard: &Heard, task: &Task, scale: Scale) -> Self {
        let (rows, width) = heard.said.dim();
        let root = 1.0 / heard.lesson.temperature;
        let mut said = Vec::with_capacity(rows * width);
        for (r, row) in heard.said.rows().into_iter().enumerate() {
            if heard.silent.is_set(r) {
                said.extend(std::iter::repeat_n(0.0, width));
                continue;
            }
            match task {
                // The powers of probabilities are the exponentials of their logarithms over T; zero stays zero.
                Task::Classify(_) => {
                    let powers: Vec<f64> = row.iter().map(|p| f64::from(*p).powf(root)).collect();
                    let sum: f64 = powers.iter().sum();
                    said.extend(powers.iter().map(|p| (p / sum) as f32));
                }
                Task::Regress => {
                    said.extend(row.iter().map(|v| ((f64::from(*v) - scale.mean) / scale.deviation) as f32));
                }
            }
        }
        let share = (0..rows).map(|r| heard.share(r) as f32).collect();
        Self { said, share, temperature: heard.lesson.temperature as f32, width }
    }

    /// Everything as bytes, to tell one fit from another by.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        let numbers = self.said.iter().chain(&self.share).chain(std::iter::once(&self.temperature));
        numbers.flat_map(|v| v.to_le_bytes())
    }

    fn row(&self, position: usize) -> (&[f32], f32) {
        let said = self.said.get(position * self.width..(position + 1) * self.width).unwrap_or_default();
        (said, self.share.get(position).copied().unwrap_or_default())
    }

    /// What some rows are trained towards, and with which shares, with `truth` the plain truth of a row. With pairs both the
    /// loss of the teacher and that of the truth are mixed, each with the share that it has of either row.
    pub fn mix<'a>(
        &self,
        positions: &[usize],
        pairs: Option<&Pairs>,
        truth: impl Fn(usize) -> &'a [f32],
        hard: &mut [f32],
    ) -> Soft {
        let mut soft =
            Soft { said: Vec::with_capacity(hard.len()), share: Vec::with_capacity(positions.len()) };
        for (i, (position, hard)) in positions.iter().zip(hard.chunks_mut(self.width)).enumerate() {
            let (mine, share) = self.row(*position);
            let pair = pairs.and_then(|p| Some((*p.partners.get(i)?, *p.own.get(i)?)));
            let Some((partner, own)) = pair.filter(|(_, own)| *own < 1.0) else {
                soft.said.extend_from_slice(mine);
                soft.share.push(share);
                continue;
            };
            let (theirs, other) = self.row(partner);
            let (a, b) = (own * share, (1.0 - own) * other);
            let all = a + b;
            let said =
                mine.iter().zip(theirs).map(|(m, t)| if all > 0.0 { (a * m + b * t) / all } else { 0.0 });
            soft.said.extend(said);
            soft.share.push(all);
            let (a, b) = (own * (1.0 - share), (1.0 - own) * (1.0 - other));
            if a + b > 0.0 {
                for (h, (m, t)) in hard.iter_mut().zip(truth(*position).iter().zip(truth(partner))) {
                    *h = (a * m + b * t) / (a + b);
                }
            }
        }
        soft
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::model::{Classes, Lesson, Mask};

    #[test]
    fn probabilities_are_softened_and_silent_rows_have_no_share() {
        let said = ndarray::array![[0.9f32, 0.1, 0.0], [0.0, 0.0, 0.0]];
        let silent = Mask::from_marks(vec![false, true]);
        let heard = Heard { said, silent, lesson: Lesson { temperature: 2.0, share: 0.75 } };
        let task = Task::Classify(Classes::new(["a", "b", "c"].map(String::from).to_vec()).unwrap());
        let taught = Taught::new(&heard, &task, Scale::default());
        // The roots of .9 and .1 are three to one.
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(taught.row(0).0, &[0.75, 0.25, 0.0]), "{:?}", taught.row(0));
        assert_eq!(taught.share, [0.75, 0.0]);
        // Half of a row with a teacher, half of one without: three eighths are the teacher's, and of what is left to the
        // truth (one eighth and one half) the second row has four fifths.
        let pairs = Pairs { partners: vec![1, 0], own: vec![0.5, 1.0] };
        let truths: [&[f32]; 2] = [&[1.0, 0.0, 0.0], &[0.0, 0.0, 1.0]];
        let mut hard = vec![0.5, 0.0, 0.5, 0.0, 0.0, 1.0];
        let soft = taught.mix(&[0, 1], Some(&pairs), |p| truths[p], &mut hard);
        assert!(near(&soft.share, &[0.375, 0.0]), "{:?}", soft.share);
        assert!(near(&soft.said, &[0.75, 0.25, 0.0, 0.0, 0.0, 0.0]), "{:?}", soft.said);
        assert!(near(&hard, &[0.2, 0.0, 0.8, 0.0, 0.0, 1.0]), "{hard:?}");
    }
}
