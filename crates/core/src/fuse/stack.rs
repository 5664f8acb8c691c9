//! The fitted form of every stack: a learner on the members' predictions.

use serde_json::json;

use super::aligned::{Aligned, view};
use super::by_voices::by_voices;
use super::evidence::{row_weights, voiced_rows};
use super::stack_features::{Layout, On, prior};
use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::members::agree;
use crate::model::graph::{Answer, Graph, Value};
use crate::model::{Batch, Context, FittedLearner, Fused, Honest, Loaders, Parts, Predictions, Target, Task};

/// The key under which a stack is loaded.
pub(super) const KIND: &str = "stacking";

/// What a fit of a learner gives.
type Learned = Result<Box<dyn FittedLearner>>;
/// Fits a learner to features: the layout says what they are.
pub(super) type FitLearner<'a> =
    dyn Fn(ArrayView2<'_, f32>, &Target, Option<&[f32]>, &Layout, &Context<'_>) -> Learned + 'a;

/// A fitted stack.
pub(super) struct Stacked {
    task: Task,
    layout: Layout,
    learner: Box<dyn FittedLearner>,
}

/// Fits a stack to all members, and one to every set of members that may be needed; every set of up to `every`.
pub(super) fn fit_stacks(
    honest: &Honest,
    on: On,
    every: usize,
    context: &Context<'_>,
    learner: &FitLearner<'_>,
) -> Result<Box<dyn Fused>> {
    let whole = Stacked::fit(honest, &vec![true; honest.count()], on, context, learner)?;
    by_voices(Box::new(whole), honest, None, context, every, &|honest, rows, voices, context| {
        Ok(Box::new(Stacked::fit(&honest.take(rows), voices, on, context, learner)?))
    })
}

impl Stacked {
    /// A stack of the members whose voice is set.
    fn fit(
        honest: &Honest,
        voices: &[bool],
        on: On,
        context: &Context<'_>,
        learner: &FitLearner<'_>,
    ) -> Result<Self> {
        let task = honest.target().task();
        let rows = voiced_rows(honest)?;
        let shares = row_weights(honest, &rows)?;
        let target = honest.target().take(&rows);
        let weight: Option<Vec<f32>> = honest.weight().map(|w| rows.iter().map(|&r| w[r]).collect());
        let layout = Layout {
            on,
            prior: prior(&target, &shares, on),
            used: voices.to_vec(),
            flagged: honest.predictions().map(|p| rows.iter().any(|r| p.absent().is_set(*r))).collect(),
        };
        let views: Result<Vec<_>> = honest.predictions().map(view).collect();
        let absent: Vec<_> = honest.predictions().map(Predictions::absent).collect();
        let x = layout.features(&views?, &|m, r| !absent[m].is_set(r), &rows, &task);
        let learner = learner(x.view(), &target, weight.as_deref(), &layout, &context.child("learner"))?;
        Ok(Self { task, layout, learner })
    }
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
    // Older ones are on logits.
    let on = match parts.config.get("on") {
        Some(_) => parts.field("on")?,
        None => On::Logits,
    };
    let layout = Layout { on, prior: parts.f64("prior")?.to_vec(), used, flagged };
    let expected = if task.classes().is_some() { Layout::width(&task) } else { 2 };
    let fits = layout.prior.len() == expected && layout.used.len() == layout.flagged.len();
    if !fits || layout.prior.iter().any(|v| !v.is_finite()) {
        return Err(Error::model("the parts of a saved stack do not fit together")
            .remedy("the model directory is damaged; fit the model again"));
    }
    let learner = loaders.learner(&parts.nested("learner")?)?;
    agree(&learner.predict(Matrix::zeros((1, layout.count(&task))).view())?, &task)?;
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
        aligned.predictions(out)
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        let x = self.layout.graph(graph, members, &self.task);
        self.learner.graph(graph, &x)
    }

    fn save(&self) -> Result<Parts> {
        let Layout { on, used, flagged, .. } = &self.layout;
        let config = json!({"task": self.task, "on": on, "used": used, "flagged": flagged});
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
    use crate::fuse::Stacking;
    use crate::fuse::cases::{honest, loaders, said};
    use crate::model::{Fuser, Mask, Quiet, Stop};
    use crate::seed::Seed;

    fn fit(data: &Honest) -> Box<dyn Fused> {
        let stop = Stop::default();
        Stacking::default().fit(data, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap()
    }

    #[test]
    fn a_stack_has_a_coefficient_a_feature_for_every_set_of_members() {
        // Three members, one logit each, and an intercept; then each pair of them, and each alone.
        assert_eq!(fit(&honest(60, 2, 3, false)).parameters(), 4 + 3 * 3 + 3 * 2);
    }

    #[test]
    fn a_stack_of_version_1_is_loaded_and_takes_the_prior_for_what_is_absent() {
        let data = honest(60, 3, 3, false);
        let parts = fit(&data).save().unwrap().nested("whole").unwrap();
        let mut old = parts.clone();
        let config = old.config.as_object_mut().unwrap();
        assert!(config.remove("used").is_some() && config.remove("on").is_some());
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
