//! What a stack is fitted to: members' predictions as a row of features.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::array::{ArrayView2, Matrix};
use crate::model::graph::{Answer, Element, Graph, Value};
use crate::model::{Target, Task};
use crate::solve::Bound;

/// Probabilities are held this far from zero and one before a logit is taken.
const CLIP: f64 = 1e-6;

/// What of a member's probabilities a stack is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The logits `ln p / (1 - p)`, probabilities within `[1e-6, 1 - 1e-6]`.
    #[default]
    Logits,
    /// The probabilities as they are.
    Probabilities,
}

impl On {
    /// One feature for two classes (that of the second), one for each class otherwise.
    fn of(self, p: impl ExactSizeIterator<Item = f64>) -> impl Iterator<Item = f64> {
        let skip = usize::from(p.len() == 2);
        p.skip(skip).map(move |p| match self {
            Self::Logits => {
                let p = p.clamp(CLIP, 1.0 - CLIP);
                (p / (1.0 - p)).ln()
            }
            Self::Probabilities => p,
        })
    }
}

/// The class frequencies as a member's row of features; mean and standard deviation of values.
pub(super) fn prior(target: &Target, shares: &[f64], on: On) -> Vec<f64> {
    match target {
        Target::Classes { classes, codes } => {
            let mut p = vec![0.0; classes.count()];
            for (code, share) in codes.iter().zip(shares) {
                p[*code as usize] += share;
            }
            on.of(p.into_iter()).collect()
        }
        Target::Values(values) => {
            let pairs = || values.iter().zip(shares).map(|(v, s)| (f64::from(*v), *s));
            let mean: f64 = pairs().map(|(v, s)| s * v).sum();
            let deviation = pairs().map(|(v, s)| s * (v - mean).powi(2)).sum::<f64>().sqrt();
            vec![mean, if deviation > 0.0 { deviation } else { 1.0 }]
        }
    }
}

/// How members' predictions become a row of features.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// What of the probabilities is used.
    pub on: On,
    /// Classes: the features of an absent member. Values: mean and standard deviation of the target.
    pub prior: Vec<f64>,
    /// The members whose predictions are features.
    pub used: Vec<bool>,
    /// The members that get a mark where they are absent.
    pub flagged: Vec<bool>,
}

impl Layout {
    /// How many features a member has, the mark apart.
    pub(super) fn width(task: &Task) -> usize {
        match task.width() {
            2 => 1,
            n => n,
        }
    }

    /// How many features there are.
    pub(super) fn count(&self, task: &Task) -> usize {
        let count = |of: &[bool]| of.iter().filter(|m| **m).count();
        count(&self.used) * Self::width(task) + count(&self.flagged)
    }

    /// Where the coefficient of a feature may lie that is not to count against what a member says: that of a class from
    /// zero on for this class and zero for others, that of a mark anywhere.
    pub(super) fn bound(&self, task: &Task, class: usize, feature: usize) -> Bound {
        let width = Self::width(task);
        if feature >= self.count(task) - self.flagged.iter().filter(|f| **f).count() {
            Bound::Free
        } else if width == 1 || feature % width == class {
            Bound::NotNegative
        } else {
            Bound::Zero
        }
    }

    /// `[rows, features]`: the part of each member that is used, then the marks.
    pub(super) fn features(
        &self,
        views: &[ArrayView2<'_, f32>],
        present: &dyn Fn(usize, usize) -> bool,
        rows: &[usize],
        task: &Task,
    ) -> Matrix {
        let width = Self::width(task);
        let marks: Vec<usize> = (0..views.len()).filter(|m| self.flagged[*m]).collect();
        let used: Vec<usize> = (0..views.len()).filter(|m| self.used[*m]).collect();
        let mut out = Matrix::zeros((rows.len(), used.len() * width + marks.len()));
        for (mut to, &row) in out.rows_mut().into_iter().zip(rows) {
            for (i, &m) in used.iter().enumerate() {
                let cells = to.iter_mut().skip(i * width).take(width);
                let said = views[m].row(row);
                match (task, present(m, row)) {
                    (Task::Regress, true) => {
                        let (mean, deviation) = (self.prior[0], self.prior[1]);
                        cells.for_each(|c| *c = ((f64::from(said[0]) - mean) / deviation) as f32);
                    }
                    (Task::Regress, false) => {}
                    (Task::Classify(_), true) => {
                        let said = self.on.of(said.iter().map(|p| f64::from(*p)));
                        cells.zip(said).for_each(|(c, l)| *c = l as f32);
                    }
                    (Task::Classify(_), false) => {
                        cells.zip(&self.prior).for_each(|(c, l)| *c = *l as f32);
                    }
                }
            }
            for (i, m) in marks.iter().enumerate() {
                to[used.len() * width + i] = f32::from(u8::from(!present(*m, row)));
            }
        }
        out
    }
}

impl Layout {
    /// What [`Layout::features`] does, on a graph.
    pub(super) fn graph(&self, graph: &mut Graph, members: &[Answer], task: &Task) -> Value {
        let mut parts = Vec::new();
        for (member, _) in members.iter().zip(&self.used).filter(|(_, used)| **used) {
            let (said, absent) = match task.classes() {
                Some(classes) => {
                    let first = i64::from(classes.count() == 2);
                    let p = graph.columns(&member.value, first..classes.count() as i64);
                    let p = graph.double(&p);
                    let said = match self.on {
                        On::Probabilities => p,
                        On::Logits => {
                            let p = graph.clip(&p, CLIP, 1.0 - CLIP);
                            let one = graph.scalar(Element::F64, 1.0);
                            let rest = graph.sub(&one, &p);
                            let odds = graph.div(&p, &rest);
                            graph.one("Log", &odds)
                        }
                    };
                    let width = self.prior.len();
                    (said, graph.doubles("prior", &[1, width], self.prior.clone()))
                }
                None => {
                    let mean = graph.scalar(Element::F64, self.prior[0]);
                    let deviation = graph.scalar(Element::F64, self.prior[1]);
                    let value = graph.double(&member.value);
                    let centered = graph.sub(&value, &mean);
                    (graph.div(&centered, &deviation), graph.scalar(Element::F64, 0.0))
                }
            };
            let said = match &member.present {
                Some(present) => graph.choose(present, &said, &absent),
                None => said,
            };
            parts.push(graph.single(&said));
        }
        for (member, _) in members.iter().zip(&self.flagged).filter(|(_, flagged)| **flagged) {
            parts.push(match &member.present {
                Some(present) => {
                    let absent = graph.not(present);
                    graph.single(&absent)
                }
                None => {
                    let never = graph.singles("never", &[1, 1], [0.0]);
                    graph.repeated(&never, 1, &member.value)
                }
            });
        }
        graph.beside(&parts, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::aligned::view;
    use crate::fuse::cases::honest;
    use crate::fuse::evidence::{row_weights, voiced_rows};
    use crate::model::Predictions;

    #[test]
    fn features_are_logits_priors_and_marks() {
        let data = honest(40, 3, 2, true);
        let (_, codes) = data.target().codes().unwrap();
        let rows = voiced_rows(&data).unwrap();
        let shares = row_weights(&data, &rows).unwrap();
        let prior = prior(&data.target().take(&rows), &shares, On::Logits);
        let layout = Layout { on: On::Logits, prior, used: vec![true; 2], flagged: vec![true, false] };
        let views: Vec<_> = data.predictions().map(|p| view(p).unwrap()).collect();
        let absent: Vec<_> = data.predictions().map(Predictions::absent).collect();
        let x = layout.features(&views, &|m, r| !absent[m].is_set(r), &rows, &data.target().task());
        assert_eq!(x.dim(), (rows.len(), 2 * 3 + 1));
        for (i, &r) in rows.iter().enumerate() {
            let gone = absent[0].is_set(r);
            assert_eq!(x[[i, 6]], f32::from(u8::from(gone)));
            for c in 0..3 {
                let p = if gone {
                    rows.iter().filter(|r| codes[**r] == c as u32).count() as f64 / rows.len() as f64
                } else {
                    f64::from(views[0][[r, c]])
                };
                assert!((f64::from(x[[i, c]]) - (p / (1.0 - p)).ln()).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn two_classes_have_one_feature_and_certainty_is_clipped() {
        let l: Vec<f64> = On::Logits.of([1.0, 0.0].into_iter()).collect();
        assert_eq!(l.len(), 1);
        assert!((l[0] + 13.8155).abs() < 1e-4, "{l:?}");
        assert_eq!(On::Logits.of([0.5, 0.25, 0.25].into_iter()).count(), 3);
        assert_eq!(On::Probabilities.of([0.25, 0.75].into_iter()).collect::<Vec<_>>(), [0.75]);
    }

    #[test]
    fn a_class_may_only_speak_for_itself() {
        let task = |n| honest(9, n, 1, false).target().task();
        let layout = Layout {
            on: On::Logits,
            prior: vec![],
            used: vec![true, false, true],
            flagged: vec![false, true, true],
        };
        let of = |n, class| {
            let task = task(n);
            (0..layout.count(&task)).map(|f| layout.bound(&task, class, f)).collect::<Vec<_>>()
        };
        use Bound::{Free, NotNegative, Zero};
        assert_eq!(of(2, 1), [NotNegative, NotNegative, Free, Free]);
        assert_eq!(of(3, 1), [Zero, NotNegative, Zero, Zero, NotNegative, Zero, Free, Free]);
    }
}
