//! A model on top of the members' predictions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::aligned::{Aligned, view};
use super::by_voices::{EVERY_SET, by_voices};
use super::evidence::{row_weights, voiced_rows};
use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::learners;
use crate::members::agree;
use crate::model::graph::{Answer, Element, Graph, Value};
use crate::model::{
    Batch, Context, FittedLearner, Fused, Fuser, Honest, Inputs, Loaders, Parts, Predictions, Target, Task,
};
use crate::registry::Method;

/// The key under which a stack is loaded.
pub(super) const KIND: &str = "stacking";
/// Probabilities are held this far from zero and one before a logit is taken.
const CLIP: f64 = 1e-6;

/// Learns from honest predictions how to combine them: logistic regression with an L2 penalty on the members' logits
/// `ln p / (1 - p)` (probabilities within `[1e-6, 1 - 1e-6]`; one logit a member for two classes, one for each class
/// otherwise), or ridge regression on the members' values.
///
/// Rows about which only some of the members speak get a stack of these, fitted to all honest rows about which they
/// speak. What it does not use it may still learn from: for every other member that was absent on some of these rows
/// it has a mark, 1 where that member is absent, since who is silent can say something about the truth. The stack of
/// all members, for rows about which they all speak, is fitted to all rows; a member that is absent on some of them is
/// given the logits of the class frequencies (the mean value) there, and a mark.
///
/// # Reference
/// Wolpert, "Stacked generalization", Neural Networks 5(2), 1992; Ting and Witten, "Issues in stacked generalization",
/// JAIR 10, 1999.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stacking {
    /// Inverse strength of the penalty, above 0: smaller is stronger (scikit-learn's `C`; ridge gets `1 / c`, on values
    /// in units of the target's standard deviation).
    pub c: f64,
}

impl Default for Stacking {
    fn default() -> Self {
        Self { c: 1.0 }
    }
}

impl Method for Stacking {
    const NAME: &'static str = "stacking";
    const VERSION: u32 = 2;
    const ABOUT: &'static str =
        "Logistic regression on the members' logits, or ridge regression on their values";

    fn validate(&self) -> Result<()> {
        if !self.c.is_finite() || self.c <= 0.0 {
            return Err(Error::argument("the inverse penalty is not above zero").at("c").got(self.c));
        }
        Ok(())
    }
}

impl Fuser for Stacking {
    fn check(&self, _: &Task, _: usize) -> Result<()> {
        self.validate()
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        self.check(&honest.target().task(), honest.count())?;
        let whole = self.stack(honest, &vec![true; honest.count()], context)?;
        by_voices(Box::new(whole), honest, None, context, EVERY_SET, &|honest, rows, voices, context| {
            Ok(Box::new(self.stack(&honest.take(rows), voices, context)?))
        })
    }
}

impl Stacking {
    /// A stack of the members whose voice is set.
    fn stack(&self, honest: &Honest, voices: &[bool], context: &Context<'_>) -> Result<Stacked> {
        let task = honest.target().task();
        let rows = voiced_rows(honest)?;
        let shares = row_weights(honest, &rows)?;
        let target = honest.target().take(&rows);
        let weight: Option<Vec<f32>> = honest.weight().map(|w| rows.iter().map(|&r| w[r]).collect());
        let layout = Layout {
            prior: prior(&target, &shares),
            used: voices.to_vec(),
            flagged: honest.predictions().map(|p| rows.iter().any(|r| p.absent().is_set(*r))).collect(),
        };
        let views: Result<Vec<_>> = honest.predictions().map(view).collect();
        let absent: Vec<_> = honest.predictions().map(Predictions::absent).collect();
        let x = layout.features(&views?, &|m, r| !absent[m].is_set(r), &rows, &task);
        let (name, settings) = match &task {
            Task::Classify(_) => ("logistic", json!({"c": self.c})),
            Task::Regress => ("linear", json!({"l2": 1.0 / self.c})),
        };
        let learner = learners::REGISTRY.build(name, &settings)?;
        let learner = learner.fit(x.view(), &target, weight.as_deref(), &context.child("learner"))?;
        Ok(Stacked { task, layout, learner })
    }
}

/// Logits of the class frequencies, as a member's row of features; mean and standard deviation of values.
fn prior(target: &Target, shares: &[f64]) -> Vec<f64> {
    match target {
        Target::Classes { classes, codes } => {
            let mut p = vec![0.0; classes.count()];
            for (code, share) in codes.iter().zip(shares) {
                p[*code as usize] += share;
            }
            logits(p.into_iter()).collect()
        }
        Target::Values(values) => {
            let pairs = || values.iter().zip(shares).map(|(v, s)| (f64::from(*v), *s));
            let mean: f64 = pairs().map(|(v, s)| s * v).sum();
            let deviation = pairs().map(|(v, s)| s * (v - mean).powi(2)).sum::<f64>().sqrt();
            vec![mean, if deviation > 0.0 { deviation } else { 1.0 }]
        }
    }
}

/// One logit for two classes (that of the second), one for each class otherwise.
fn logits(p: impl ExactSizeIterator<Item = f64>) -> impl Iterator<Item = f64> {
    let skip = usize::from(p.len() == 2);
    p.skip(skip).map(|p| {
        let p = p.clamp(CLIP, 1.0 - CLIP);
        (p / (1.0 - p)).ln()
    })
}

/// How members' predictions become a row of features.
#[derive(Debug, Clone)]
struct Layout {
    /// Classes: the features of an absent member. Values: mean and standard deviation of the target.
    prior: Vec<f64>,
    /// The members whose predictions are features.
    used: Vec<bool>,
    /// The members that get a mark where they are absent.
    flagged: Vec<bool>,
}

impl Layout {
    /// How many features a member has, the mark apart.
    fn width(task: &Task) -> usize {
        match task.width() {
            2 => 1,
            n => n,
        }
    }

    /// `[rows, features]`: the part of each member that is used, then the marks.
    fn features(
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
                        let logits = logits(said.iter().map(|p| f64::from(*p)));
                        cells.zip(logits).for_each(|(c, l)| *c = l as f32);
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
    fn graph(&self, graph: &mut Graph, members: &[Answer], task: &Task) -> Value {
        let mut parts = Vec::new();
        for (member, _) in members.iter().zip(&self.used).filter(|(_, used)| **used) {
            let (said, absent) = match task.classes() {
                Some(classes) => {
                    let first = i64::from(classes.count() == 2);
                    let p = graph.columns(&member.value, first..classes.count() as i64);
                    let p = graph.double(&p);
                    let p = graph.clip(&p, CLIP, 1.0 - CLIP);
                    let one = graph.scalar(Element::F64, 1.0);
                    let rest = graph.sub(&one, &p);
                    let odds = graph.div(&p, &rest);
                    let width = self.prior.len();
                    (graph.one("Log", &odds), graph.doubles("prior", &[1, width], self.prior.clone()))
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

/// A fitted stack.
struct Stacked {
    task: Task,
    layout: Layout,
    learner: Box<dyn FittedLearner>,
}

/// Loads a stack.
pub(super) fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Fused>> {
    let task: Task = parts.field("task")?;
    let flagged: Vec<bool> = parts.field("flagged")?;
    // Stacks of version 1 use every member.
    let used = match parts.config.get("used") {
        Some(_) => parts.field("used")?,
        None => vec![true; flagged.len()],
    };
    let layout = Layout { prior: parts.f64("prior")?.to_vec(), used, flagged };
    let expected = if task.classes().is_some() { Layout::width(&task) } else { 2 };
    let fits = layout.prior.len() == expected && layout.used.len() == layout.flagged.len();
    if !fits || layout.prior.iter().any(|v| !v.is_finite()) {
        return Err(Error::model("the parts of a saved stack do not fit together")
            .remedy("the model directory is damaged; fit the model again"));
    }
    let learner = loaders.learner(&parts.nested("learner")?)?;
    let count = |of: &[bool]| of.iter().filter(|m| **m).count();
    let features = count(&layout.used) * Layout::width(&task) + count(&layout.flagged);
    agree(&learner.predict(Matrix::zeros((1, features)).view())?, &task)?;
    Ok(Box::new(Stacked { task, layout, learner }))
}

impl Fused for Stacked {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fuse(&self, members: &[Predictions], _: Option<&Batch>) -> Result<Predictions> {
        let aligned = Aligned::new(members, &self.task, self.layout.flagged.len())?;
        let rows: Vec<usize> = (0..aligned.rows()).collect();
        let present = |m: usize, r: usize| aligned.present(m, r);
        let x = self.layout.features(aligned.views(), &present, &rows, &self.task);
        let out = self.learner.predict(x.view())?;
        Predictions::for_task(aligned.ids().to_vec(), &self.task, out, aligned.silent())
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        let x = self.layout.graph(graph, members, &self.task);
        self.learner.graph(graph, &x)
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({"task": self.task, "used": self.layout.used, "flagged": self.layout.flagged});
        Ok(Parts::new(KIND, config)
            .with_f64("prior", &self.layout.prior)
            .nest("learner", self.learner.save()?))
    }

    fn parameters(&self) -> u64 {
        self.learner.parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, loaders, said};
    use crate::model::{Mask, Quiet, Stop};
    use crate::seed::Seed;

    fn fit(data: &Honest) -> Box<dyn Fused> {
        let stop = Stop::default();
        Stacking::default().fit(data, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap()
    }

    #[test]
    fn features_are_logits_priors_and_marks() {
        let data = honest(40, 3, 2, true);
        let (_, codes) = data.target().codes().unwrap();
        let rows = voiced_rows(&data).unwrap();
        let shares = row_weights(&data, &rows).unwrap();
        let prior = prior(&data.target().take(&rows), &shares);
        let layout = Layout { prior, used: vec![true; 2], flagged: vec![true, false] };
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
    fn two_classes_have_one_logit_and_certainty_is_clipped() {
        let l: Vec<f64> = logits([1.0, 0.0].into_iter()).collect();
        assert_eq!(l.len(), 1);
        assert!((l[0] + 13.8155).abs() < 1e-4, "{l:?}");
        assert_eq!(logits([0.5, 0.25, 0.25].into_iter()).count(), 3);
        // Three members, one logit each, and an intercept; then each pair of them, and each alone.
        assert_eq!(fit(&honest(60, 2, 3, false)).parameters(), 4 + 3 * 3 + 3 * 2);
    }

    #[test]
    fn a_stack_of_version_1_is_loaded_and_takes_the_prior_for_what_is_absent() {
        let data = honest(60, 3, 3, false);
        let parts = fit(&data).save().unwrap().nested("whole").unwrap();
        let mut old = parts.clone();
        old.config.as_object_mut().unwrap().remove("used").unwrap();
        let (new, old) = (loaders().fused(&parts).unwrap(), loaders().fused(&old).unwrap());
        assert_eq!(new.kind(), KIND);
        let mut members = said(&data);
        let m = &members[2];
        let gone = Mask::from_marks(vec![true; 60]);
        members[2] = Predictions::for_task(m.ids().to_vec(), &m.task(), m.matrix(), gone).unwrap();
        for members in [members, said(&data)] {
            let p = old.fuse(&members, None).unwrap();
            assert!(!p.absent().any());
            assert_eq!(p, new.fuse(&members, None).unwrap());
        }
        let mut damaged = parts;
        damaged.config["used"] = json!([true]);
        assert_eq!(loaders().fused(&damaged).err().unwrap().exit_code(), 3);
    }
}
