//! A composition whose probabilities are calibrated after it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::error::{Error, Result};
use crate::model::graph::{Answer, Graph, Value};
use crate::model::{
    Batch, Context, Fused, Fuser, Honest, Inputs, Loaders, Origin, Parts, Predictions, Task, cross_fitted,
};

/// The key under which it is loaded.
pub(super) const KIND: &str = "calibrated";

/// A way to fuse followed by a way to calibrate. The fuser is fitted to all honest rows; the calibrator to the fuser's
/// cross-fitted predictions, since what a fuser says of the rows it was fitted to is too sure of itself. Cross-fitting
/// the whole is therefore nested: no row takes part in anything that predicts it.
pub struct Calibrated {
    /// What composes.
    pub fuser: Box<dyn Fuser>,
    /// What calibrates; see [`calibrate`](crate::calibrate).
    pub calibrator: Box<dyn Fuser>,
}

impl Fuser for Calibrated {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        self.fuser.check(task, members)?;
        self.calibrator.check(task, 1)
    }

    fn wants_inputs(&self) -> bool {
        self.fuser.wants_inputs()
    }

    fn fit(
        &self,
        honest: &Honest,
        inputs: Option<Inputs<'_>>,
        context: &Context<'_>,
    ) -> Result<Box<dyn Fused>> {
        self.check(&honest.target().task(), honest.count())?;
        let fused = self.fuser.fit(honest, inputs, &context.child("fuser"))?;
        let crossed = cross_fitted(self.fuser.as_ref(), honest, inputs, &context.child("crossed"))?;
        let alone = Honest::new(
            vec![(KIND.to_owned(), crossed, Origin::OutOfFold)],
            honest.target().clone(),
            renumbered(honest.fold()),
            honest.group().map(<[u64]>::to_vec),
            honest.weight().map(<[f32]>::to_vec),
        )?;
        let calibrator = self.calibrator.fit(&alone, None, &context.child("calibrator"))?;
        Ok(Box::new(Both { fused, calibrator }))
    }
}

/// Folds without gaps, in the same order.
pub(super) fn renumbered(folds: &[u32]) -> Vec<u32> {
    let mut numbers: BTreeMap<u32, u32> = folds.iter().map(|f| (*f, 0)).collect();
    numbers.values_mut().zip(0..).for_each(|(number, new)| *number = new);
    folds.iter().map(|f| numbers[f]).collect()
}

/// A fitted composition and its fitted calibrator.
struct Both {
    fused: Box<dyn Fused>,
    calibrator: Box<dyn Fused>,
}

/// Loads one.
pub(super) fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Fused>> {
    let fused = loaders.fused(&parts.nested("fuser")?)?;
    Ok(Box::new(Both { fused, calibrator: loaders.fused(&parts.nested("calibrator")?)? }))
}

impl Fused for Both {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> Vec<String> {
        self.fused.columns()
    }

    fn fuse(&self, members: &[Predictions], inputs: Option<&Batch>) -> Result<Predictions> {
        self.calibrator.fuse(&[self.fused.fuse(members, inputs)?], None)
    }

    fn save(&self) -> Result<Parts> {
        let (fused, calibrator) = (self.fused.save()?, self.calibrator.save()?);
        if !fused.members.is_empty() || !calibrator.members.is_empty() {
            return Err(Error::internal("a composition with models of its own cannot be nested"));
        }
        Ok(Parts::new(KIND, json!({})).nest("fuser", fused).nest("calibrator", calibrator))
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        let value = graph.within("fused", |graph| self.fused.graph(graph, members))?;
        graph.within("calibrator", |graph| self.calibrator.graph(graph, &[Answer { value, present: None }]))
    }

    fn weights(&self) -> Option<Vec<f64>> {
        self.fused.weights()
    }

    fn parameters(&self) -> u64 {
        self.fused.parameters() + self.calibrator.parameters()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::calibrate::{self, on_graph};
    use crate::fuse::REGISTRY;
    use crate::fuse::cases::{honest, inputs, loaders, regrouped, said, values};
    use crate::model::{Quiet, Source, Stop, load_parts, save_parts};
    use crate::seed::Seed;

    fn calibrated(fuser: &str, calibrator: &str) -> Calibrated {
        Calibrated {
            fuser: REGISTRY.build(fuser, &Json::Null).unwrap(),
            calibrator: calibrate::REGISTRY.build(calibrator, &Json::Null).unwrap(),
        }
    }

    fn with_calibrators() -> Loaders {
        let mut all = loaders();
        all.fused.extend(calibrate::LOADERS.iter().copied());
        all
    }

    #[test]
    fn the_calibrator_is_fitted_to_what_the_fuser_says_of_rows_left_out() {
        let stop = Stop::default();
        let context = Context::new(Seed::new(2), &Quiet, &stop);
        let folds = (0..120).map(|r| r % 4).collect();
        let data = regrouped(&honest(120, 3, 3, false), None, folds).unwrap();
        let both = calibrated("weighted", "temperature");
        let fused = both.fit(&data, None, &context).unwrap();
        let weighted = both.fuser.fit(&data, None, &context.child("fuser")).unwrap();
        assert_eq!(fused.weights(), weighted.weights());
        assert_eq!(fused.parameters(), weighted.parameters() + 1);
        let crossed = cross_fitted(both.fuser.as_ref(), &data, None, &context.child("crossed")).unwrap();
        let alone = vec![("m".to_owned(), crossed, Origin::OutOfFold)];
        let alone = Honest::new(alone, data.target().clone(), data.fold().to_vec(), None, None).unwrap();
        let temperature = both.calibrator.fit(&alone, None, &context).unwrap();
        let by_hand = temperature.fuse(&[weighted.fuse(&said(&data), None).unwrap()], None).unwrap();
        assert_eq!(fused.fuse(&said(&data), None).unwrap(), by_hand);
    }

    #[test]
    fn it_is_a_fuser_like_others() {
        let stop = Stop::default();
        let root = tempfile::tempdir().unwrap();
        let source = inputs(120);
        let rows: Vec<usize> = (0..120).collect();
        for folds in [1u32, 3] {
            let data =
                regrouped(&honest(120, 3, 3, true), None, (0..120).map(|r| r % folds).collect()).unwrap();
            for (fuser, calibrator) in [("stacking", "auto"), ("gate", "platt"), ("greedy", "beta")] {
                let both = calibrated(fuser, calibrator);
                let inputs = Some(Inputs { source: &source as &dyn Source, rows: &rows });
                let context = Context::new(Seed::new(2), &Quiet, &stop);
                let fused = both.fit(&data, inputs, &context).unwrap();
                let columns = fused.columns();
                let names: Vec<&str> = columns.iter().map(String::as_str).collect();
                let batch = source.read(&rows, &names).unwrap();
                let p = fused.fuse(&said(&data), Some(&batch)).unwrap();
                assert_eq!(p.absent(), &data.silent(), "{fuser}");
                let dir = root.path().join(format!("{fuser}{folds}"));
                save_parts(&dir, &fused.save().unwrap(), &Default::default()).unwrap();
                let loaded = with_calibrators().fused(&load_parts(&dir).unwrap().0).unwrap();
                assert_eq!(loaded.columns(), columns);
                let q = loaded.fuse(&said(&data), Some(&batch)).unwrap();
                assert_eq!(format!("{p:?}"), format!("{q:?}"), "{fuser}");
                // Nested: folds that are left out have gaps.
                let crossed = cross_fitted(&both, &data, inputs, &context).unwrap();
                assert_eq!(crossed.absent(), &data.silent(), "{fuser}");
            }
        }
    }

    #[test]
    fn a_graph_says_the_same() {
        let stop = Stop::default();
        let data = honest(80, 3, 1, false);
        let both = calibrated("soft_vote", "beta");
        let fused = both.fit(&data, None, &Context::new(Seed::new(2), &Quiet, &stop)).unwrap();
        let p = fused.fuse(&said(&data), None).unwrap().matrix();
        let q = on_graph::run(fused.as_ref(), &said(&data)[0].matrix());
        assert!((&p - &q).iter().all(|d| d.abs() < 1e-6));
    }

    #[test]
    fn values_cannot_be_calibrated() {
        let data = values(40, 2, false);
        let error = calibrated("soft_vote", "temperature").check(&data.target().task(), 2).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    }
}
