//! The loop: epochs and batches, early stopping, going on after a stop or a divergence.

use std::mem;

use consilience_core::model::{Context, LogRow};
use consilience_core::{Error, Result};
use rand::seq::SliceRandom;

use super::ahead;
use super::checkpoint::Checkpoint;
use super::divergence::{Halt, Halting, not_finite, too_large};
use super::feed::Feed;
use super::loss::Goal;
use super::mixing::Mixing;
use super::pace::{Pace, note};
use super::standing::{Best, Good, Standing, Sums};
use super::step::Batch;
use super::{Factors, Step, Training};
use crate::architecture::Architecture;
use crate::inputs::Block;
use crate::layers::Pass;
use crate::network::outputs;
use crate::params::{Declared, Params};
use crate::pool::within;

/// Rows of the held-out part are scored this many at a time.
const CHUNK: usize = 256;

/// What does not change while a fit runs.
pub struct Setup<'a> {
    pub architecture: &'a Architecture,
    pub training: &'a Training,
    pub context: &'a Context<'a>,
    pub feed: Feed<'a>,
    pub mixing: Option<Mixing<'a>>,
    pub goal: Goal,
    pub factors: Factors,
    /// What values were divided by.
    pub deviation: f64,
    /// The positions that are fitted to.
    pub fit_rows: &'a [usize],
    /// The positions that are held out.
    pub held_rows: &'a [usize],
    pub checkpoint: Option<Checkpoint>,
    /// The parameters before the first step, where a fit may have to start again.
    pub start: Option<Params>,
}

/// A fit under way.
pub struct Run<'a> {
    pub setup: &'a Setup<'a>,
    pub optimizer: Box<dyn Step>,
    pub at: Standing,
    pub good: Option<Good>,
    pub pace: Pace,
}

impl<'a> Run<'a> {
    /// Before the first step, or where the checkpoint stands if there is one.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn new(setup: &'a Setup<'a>, params: Params, declared: &[Declared]) -> Result<Self> {
        let at = Standing::start(params, setup.training.average.is_some());
        let optimizer = setup.training.optimizer();
        let mut run = Self { setup, optimizer, at, good: None, pace: Pace::start() };
        if let Some(checkpoint) = &setup.checkpoint
            && let Some((at, good)) = checkpoint.read(declared, run.optimizer.as_mut())?
        {
            (run.at, run.good) = (at, good);
        }
        Ok(run)
    }

    /// All epochs. What was reached is kept when it is stopped.
    ///
    /// # Errors
    /// See [`super::fit`].
    pub fn all(&mut self) -> Result<()> {
        let done = self.epochs();
        if let (Err(Error::Interrupted), Some(checkpoint)) = (&done, &self.setup.checkpoint) {
            checkpoint.write(&self.at, self.optimizer.as_ref(), self.good.as_ref())?;
        }
        done
    }

    fn epochs(&mut self) -> Result<()> {
        let training = self.setup.training;
        let epochs = self.setup.context.epochs.unwrap_or(training.epochs);
        while self.at.epoch < epochs && !self.at.tired(training.patience) {
            match self.epoch(epochs) {
                Ok(()) => self.keep()?,
                Err(Halt::Failed(error)) => return Err(error),
                Err(Halt::Diverged(error)) => self.retry(error)?,
            }
        }
        Ok(())
    }

    /// What is left of an epoch, and its end.
    fn epoch(&mut self, epochs: u32) -> Halting {
        let setup = self.setup;
        let epoch = self.at.epoch + 1;
        self.batches(epoch, epochs)?;
        let fit_loss = match self.at.sums {
            Sums { loss, weight, .. } if weight > 0.0 => loss / weight,
            _ => {
                let error = Error::data("no training row has any of the network's columns");
                return Err(error.expected("rows with at least one present").into());
            }
        };
        let place = format!("epoch {epoch}, its end");
        if let Some((name, bad)) = self.at.params.not_finite() {
            let halt = not_finite("a parameter is not finite", bad);
            return Err(halt.at(format!("parameter {name}")).at(place));
        }
        let held_loss = if setup.held_rows.is_empty() { None } else { Some(self.held(epoch)?) };
        let at = &mut self.at;
        at.epoch = epoch;
        at.sums = Sums::default();
        at.log.push(LogRow { epoch, fit_loss: fit_loss as f32, held_loss: held_loss.map(|l| l as f32) });
        if let Some(loss) = held_loss.filter(|l| at.best.as_ref().is_none_or(|best| *l < best.loss)) {
            at.best = Some(Best { loss, epoch, params: at.predicting().clone() });
        }
        if setup.training.retries > 0 && fit_loss <= f64::from(at.losses.most()) {
            self.good = Some(Good { at: at.clone(), optimizer: self.optimizer.save(), used: false });
        }
        Ok(())
    }

    /// The batches of an epoch that are not done yet.
    fn batches(&mut self, epoch: u32, epochs: u32) -> Halting {
        let setup = self.setup;
        let mut order = setup.fit_rows.to_vec();
        order.shuffle(&mut setup.context.seed.child("shuffle").item(u64::from(epoch)).rng());
        let all: Vec<(usize, &[usize])> = parted(&order, setup.training.batch, setup.architecture.by_batch())
            .into_iter()
            .enumerate()
            .collect();
        let batches = all.len() as u64;
        let horizon = batches * u64::from(setup.training.epochs.max(epochs));
        let left = usize::try_from(self.at.sums.batches).ok().and_then(|done| all.get(done..));
        let left = left.ok_or_else(|| Error::model("the checkpoint stands beyond the end of its epoch"))?;
        let place = |b: usize| format!("epoch {epoch}, batch {}", b + 1);
        let (feed, mixing) = (&setup.feed, setup.mixing.as_ref());
        ahead::each(
            left,
            feed.reads(),
            |(b, positions)| Batch::new(feed, mixing, positions, epoch).map_err(|e| e.at(place(*b))),
            |(b, positions), batch| {
                setup.context.stop.check()?;
                within(|| self.step(positions, batch, horizon)).map_err(|e| e.at(place(*b)))?;
                let pace = self.pace.rows(positions.len());
                let note = note(&self.at, epochs, &setup.goal.task, setup.deviation, pace);
                let done = u64::from(epoch - 1) * batches + self.at.sums.batches;
                self.keep()?;
                setup.context.progress.step(done, batches * u64::from(epochs), &note);
                Ok(())
            },
        )
    }

    /// The loss on the held-out rows.
    fn held(&self, epoch: u32) -> Halting<f64> {
        let setup = self.setup;
        let bound = self.at.predicting().bind(false);
        let place = || format!("epoch {epoch}, held-out rows");
        let chunks: Vec<&[usize]> = setup.held_rows.chunks(CHUNK).collect();
        let (mut sum, mut total) = (0.0f64, 0.0f64);
        let score = |positions: &&[usize], block: Block| -> Halting {
            setup.context.stop.check()?;
            let inputs = block.into_inputs();
            let again = inputs.clone();
            let (present, any) = (inputs.present.clone(), inputs.any());
            let joint = within(|| setup.architecture.forward(&Pass::predicting(&bound), inputs))?;
            let values = outputs(joint.heads, &present, &setup.goal.task)?;
            let (s, t) = setup.goal.held(&values, positions, &any)?;
            if !s.is_finite() {
                let watching = Pass::predicting(&bound).watching();
                setup.architecture.forward(&watching, again).map_err(Halt::Diverged)?;
                return Err(too_large(self.at.predicting(), s as f32));
            }
            sum += s;
            total += t;
            Ok(())
        };
        let feed = &setup.feed;
        ahead::each(&chunks, feed.reads(), |p| feed.block(p, None), score).map_err(|e| e.at(place()))?;
        if total <= 0.0 {
            return Err(Error::data("no held-out row has any of the network's columns").at(place()).into());
        }
        Ok(sum / total)
    }

    fn keep(&self) -> Result<()> {
        match &self.setup.checkpoint {
            Some(checkpoint) => checkpoint.keep(&self.at, self.optimizer.as_ref(), self.good.as_ref()),
            None => Ok(()),
        }
    }

    /// Goes back to the end of the last good epoch, at half the rate. Should it diverge again before another epoch was good,
    /// the trouble may lie in that standing itself, and the fit starts again, at half the rate once more.
    ///
    /// # Errors
    /// What diverged, if it may not be tried again.
    fn retry(&mut self, error: Error) -> Result<()> {
        let setup = self.setup;
        let times = self.at.retries.len();
        let start = match (&setup.start, times < setup.training.retries as usize) {
            (Some(start), true) => start,
            _ => {
                return Err(error.remedy(match times {
                    0 => "lower the rate, set clip, or set retries: 3, which goes on at half the rate"
                        .to_owned(),
                    n => {
                        let often = if n == 1 { "once".to_owned() } else { format!("{n} times") };
                        format!("it went on at half the rate {often}; lower the rate, or set clip")
                    }
                }));
            }
        };
        let mut retries = mem::take(&mut self.at.retries);
        let from = match self.good.as_mut().filter(|good| !good.used) {
            Some(good) => {
                good.used = true;
                self.at = good.at.clone();
                self.optimizer.load(&good.optimizer, &good.at.params)?;
                format!("the end of epoch {}", self.at.epoch)
            }
            None => {
                self.good = None;
                self.at = Standing::start(start.clone(), setup.training.average.is_some());
                self.optimizer = setup.training.optimizer();
                "the start".to_owned()
            }
        };
        let said = error.trouble().map(|t| format!("{}: {}", t.place, t.what)).unwrap_or_default();
        let share = 1u64 << (retries.len() + 1);
        retries.push(format!("training diverged ({said}) and went on from {from} at 1/{share} of the rate"));
        self.at.losses.forget();
        self.at.retries = retries;
        Ok(())
    }
}

/// Rows in batches of a size, of which the last may be smaller. Where batches need a variance, a last row that would be
/// alone joins the batch before.
pub(super) fn parted(order: &[usize], size: usize, by_batch: bool) -> Vec<&[usize]> {
    let alone = by_batch && order.len() > size && order.len() % size == 1;
    let (most, rest) = order.split_at(if alone { order.len() - size - 1 } else { order.len() });
    most.chunks(size).chain((!rest.is_empty()).then_some(rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_row_alone_joins_the_batch_before_where_it_must() {
        let order: Vec<usize> = (0..9).collect();
        let sizes = |n: usize, size: usize, by_batch: bool| -> Vec<usize> {
            let parts = parted(&order[..n], size, by_batch);
            assert_eq!(parts.concat(), order[..n]);
            parts.iter().map(|p| p.len()).collect()
        };
        assert_eq!(sizes(9, 4, false), [4, 4, 1]);
        assert_eq!(sizes(9, 4, true), [4, 5]);
        assert_eq!(sizes(8, 4, true), [4, 4]);
        assert_eq!(sizes(1, 4, true), [1]);
        assert_eq!(sizes(3, 4, true), [3]);
        assert_eq!(sizes(3, 2, true), [3]);
    }
}
