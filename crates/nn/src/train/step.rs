//! One step: a batch forward and backward, and the parameters moved.

use consilience_core::{Error, Result};

use super::divergence::{Halt, Halting, clip, exploded, too_large};
use super::feed::Feed;
use super::mixing::{Mixing, Pairs};
use super::run::Run;
use super::{Factors, average};
use crate::backend;
use crate::inputs::Block;
use crate::layers::{Pass, batch_norm};

/// A batch that is ready: read, augmented, mixed, prepared.
pub struct Batch {
    block: Block,
    pairs: Option<Pairs>,
}

impl Batch {
    /// Gets the rows at these positions ready for an epoch.
    ///
    /// # Errors
    /// As [`Feed::block`].
    pub fn new(
        feed: &Feed<'_>,
        mixing: Option<&Mixing<'_>>,
        positions: &[usize],
        epoch: u32,
    ) -> Result<Self> {
        let mut block = feed.block(positions, Some(epoch))?;
        let pairs = mixing.map(|mixing| mixing.mix(&mut block, feed, epoch)).transpose()?;
        Ok(Self { block, pairs })
    }
}

impl Run<'_> {
    /// One step with the batch of these positions.
    ///
    /// # Errors
    /// [`Halt::Diverged`] naming the layer or parameter, or what cannot be done.
    pub fn step(&mut self, positions: &[usize], batch: Batch, horizon: u64) -> Halting {
        let setup = self.setup;
        let training = setup.training;
        let inputs = batch.block.into_inputs();
        // The same tensors, should a layer have to be found; let go before the gradients, so that their memory comes back.
        let again = inputs.clone();
        let (present, any) = (inputs.present.clone(), inputs.any());
        let bound = self.at.params.bind_where(|name| !setup.factors.frozen(name));
        let seed = setup.context.seed.child("dropout").item(self.at.steps);
        let pass = Pass::training(&bound, training.dropout, seed);
        let joint = setup.architecture.forward(&pass, inputs)?;
        let rate = training.rate * training.schedule.factor(self.at.steps, horizon) * self.at.slowed();
        let truth = setup.goal.truths(positions, batch.pairs.as_ref())?;
        let (score, rows) = setup.goal.score(&joint.heads, &truth, &present, &any)?;
        let Some((loss, weight)) = setup.goal.training(joint.heads, &truth, positions, &present, &any)?
        else {
            self.at.steps += 1;
            self.at.sums.batches += 1;
            return Ok(());
        };
        drop(joint.hidden);
        let value = backend::read(loss.clone())?.first().copied().unwrap_or(f32::NAN);
        if !value.is_finite() {
            // Which layer it was is found by going through them again.
            setup.architecture.forward(&pass.watching(), again).map_err(Halt::Diverged)?;
            return Err(too_large(&self.at.params, value));
        }
        drop(again);
        let explodes = self.at.losses.see(value);
        // A batch that only frozen parts see has no gradient.
        if let Some(gradients) = backend::backward(&loss) {
            let mut gradients = bound.gradients(gradients)?;
            let moments = pass.moments();
            // The optimizer changes the parameters where they lie once no tensor shares them.
            drop((loss, bound));
            if explodes {
                return Err(exploded(&self.at.losses, value, &gradients));
            }
            clip(&mut gradients, training.clip)?;
            self.optimizer.step_by(&mut self.at.params, &gradients, rate, &setup.factors);
            self.at.params.approach(&moments, batch_norm::SHARE);
            if let (Some(average), Some(decay)) = (&mut self.at.average, training.average) {
                average::follow(average, &self.at.params, decay, self.at.steps + 1);
            }
        } else if setup.factors == Factors::default() {
            return Err(Error::internal("the loss depends on no parameter").into());
        }
        self.at.steps += 1;
        let sums = &mut self.at.sums;
        sums.batches += 1;
        sums.rows += rows;
        sums.loss += f64::from(value) * weight;
        sums.weight += weight;
        sums.score += score;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimators::{Mlp, NetworkMethod};
    use crate::inputs::AsIs;
    use crate::network::Scale;
    use crate::params::Params;
    use crate::train::loss::Goal;
    use crate::train::run::Setup;
    use consilience_core::model::{
        Batch as Rows, Column, Context, Field, Labelled, Memory, Quiet, Schema, Stop, Target, Vectors,
    };
    use consilience_core::seed::Seed;

    #[test]
    fn parameters_are_changed_where_they_lie_and_an_average_too() {
        let fields = vec![Field::vector("x", vec![50])];
        let x = Vectors::new(vec![50], (0..1000).map(|i| (i % 17) as f32 / 17.0).collect()).unwrap();
        let batch = Rows::new((0..20).collect()).with("x", Column::Vector(x)).unwrap();
        let source = Memory::new(Schema { fields: fields.clone() }, batch).unwrap();
        let rows: Vec<usize> = (0..20).collect();
        let target = Target::Values((0..20).map(|r| (r % 5) as f32).collect());
        let data = Labelled { source: &source, rows: &rows, target: &target, weight: None, group: None };
        let (prepare, stop) = (AsIs::new(fields.clone()).unwrap(), Stop::default());
        let context = Context::new(Seed::new(1), &Quiet, &stop);
        let mut method = Mlp::default();
        method.training.average = Some(0.9);
        let architecture = method.architecture(&fields).unwrap();
        let declared = architecture.declare(&target.task());
        let setup = Setup {
            architecture: &architecture,
            training: &method.training,
            context: &context,
            feed: Feed::new(&data, &prepare, None, &context).unwrap(),
            mixing: None,
            goal: Goal::new(&target, None, Scale::default()),
            factors: Factors::default(),
            deviation: 1.0,
            fit_rows: &rows,
            held_rows: &[],
            checkpoint: None,
            start: None,
        };
        let mut run = Run::new(&setup, Params::init(&declared, Seed::new(1)), &declared).unwrap();
        let step = |run: &mut Run<'_>| {
            let batch = Batch::new(&setup.feed, None, &rows, 1).unwrap();
            run.step(&rows, batch, 10).unwrap();
        };
        let places = |run: &Run<'_>| -> Vec<*const f32> {
            let all = run.at.params.iter().chain(run.at.average.iter().flat_map(Params::iter));
            all.map(|(_, p)| p.numbers().as_ptr()).collect()
        };
        // The average begins as the same numbers.
        step(&mut run);
        let (before, numbers) = (places(&run), run.at.params.bytes());
        step(&mut run);
        assert_eq!(places(&run), before);
        assert_ne!(run.at.params.bytes(), numbers);
        assert_eq!((run.at.steps, run.at.sums.batches, run.at.sums.rows), (2, 2, 40));
    }
}
