//! The loop: epochs, batches, steps, early stopping.

use std::collections::BTreeMap;

use consilience_core::model::{Context, Fitted, Keep, Labelled, LogRow, Target};
use consilience_core::registry::Method;
use consilience_core::{Error, Result};
use rand::seq::SliceRandom;
use serde_json::json;

use super::checkpoint::{Best, Checkpoint, Standing};
use super::feed::Feed;
use super::loss::Goal;
use super::mixing::Mixing;
use super::{Augmentation, Step, Training, split, start};
use crate::architecture::Architecture;
use crate::backend::{self, Host};
use crate::inputs::Prepare;
use crate::kernels::{squares, wide};
use crate::layers::Pass;
use crate::memory::Reuse;
use crate::network::{Network, Scale, outputs};
use crate::params::{Declared, Params};

/// Rows of the held-out part are scored this many at a time.
const CHUNK: usize = 256;

/// Fits a network of an architecture to rows.
///
/// With `training.inner` above zero and no `context.epochs`, a part of the rows is held out, and the epoch with the lowest
/// loss on it is restored. With `context.epochs` the network is trained on all rows for exactly that many epochs; the
/// schedule still spans `training.epochs`, so that the rate of each epoch is the one it had when the epochs were chosen.
/// The result depends on the seed only, not on threads. With mixup the losses of the learning curve on the fitting rows
/// are those of the mixed rows; held-out rows are never mixed.
///
/// With `context.checkpoint` the fit keeps where it stands between epochs in a file there, and goes on from it when it is
/// run again: with the same bytes at the end. Files of other fits in the folder are left alone. The file stays when
/// the fit is done; whoever gave the folder removes it.
///
/// # Errors
/// [`Error::Argument`] for settings or columns that cannot be, [`Error::Data`] for rows that cannot be trained on,
/// [`Error::Model`] naming the layer or parameter, the epoch and the batch if numbers stop being finite,
/// [`Error::Read`], [`Error::Model`] or [`Error::Write`] naming a checkpoint that cannot be read or written,
/// [`Error::Interrupted`] when stopped.
pub fn fit(
    data: &Labelled<'_>,
    prepare: Box<dyn Prepare>,
    augment: &Augmentation,
    architecture: Architecture,
    training: &Training,
    context: &Context<'_>,
) -> Result<Fitted> {
    let _reuse = Reuse::begin();
    training.validate()?;
    architecture.check()?;
    check_rows(data)?;
    if architecture.fields() != prepare.fields() {
        return Err(Error::internal("the architecture and the prepared columns differ"));
    }
    if context.epochs == Some(0) {
        return Err(Error::argument("a network needs at least one epoch").got(0));
    }
    let task = data.target.task();
    let declared = architecture.declare(&task);
    let params = match context.start {
        Some(model) => start::params(model, &architecture, &task, &declared)?,
        None => Params::init(&declared, context.seed.child("init")),
    };
    let (fit_rows, held_rows) = if context.epochs.is_some() || training.inner == 0.0 {
        ((0..data.rows.len()).collect(), Vec::new())
    } else {
        split::inner(data.target, data.group, training.inner, context.seed.child("inner"))?
    };
    let scale = scale(data.target, &fit_rows);
    if let Some(mixup) = &augment.mixup {
        mixup.validate()?;
    }
    let feed = Feed::new(data, prepare.as_ref(), augment.batch.as_ref(), context)?;
    let mixing = augment.mixup.as_ref().map(|m| Mixing::new(m, Feed::seed(context), &fit_rows));
    let goal = Goal::new(data.target, data.weight, scale);
    let checkpoint = match context.checkpoint {
        None => None,
        Some(Keep { folder, every }) => {
            let settings = json!({
                "architecture": architecture, "task": task, "training": training, "epochs": context.epochs,
                "batch": augment.batch.is_some(), "mixup": augment.mixup, "seed": context.seed.number(),
            });
            let settings = settings.to_string().into_bytes();
            let numbers = |rows: &[usize]| rows.iter().flat_map(|r| (*r as u64).to_le_bytes()).collect();
            let rows: [Vec<u8>; 3] = [data.rows, &fit_rows, &held_rows].map(numbers);
            let (truth, start) = (goal.bytes(), params.bytes());
            let rows = rows.iter().map(Vec::as_slice);
            Some(Checkpoint::new(folder, every, [&settings[..], &truth, &start].into_iter().chain(rows)))
        }
    };
    let mut run = Run {
        architecture: &architecture,
        training,
        context,
        feed,
        mixing,
        goal,
        optimizer: training.optimizer(),
        at: Standing::start(params),
    };
    if let Some(checkpoint) = &checkpoint {
        run.resume(checkpoint, &declared)?;
    }
    run.all(&fit_rows, &held_rows, checkpoint.as_ref())?;
    let Standing { params, log, best, .. } = run.at;
    let (params, best_epoch) = match best {
        Some(best) => (best.params, Some(best.epoch)),
        None => (params, None),
    };
    let model = Network::new(architecture, task, scale, params, prepare);
    Ok(Fitted { model: Box::new(model), log, best_epoch })
}

fn check_rows(data: &Labelled<'_>) -> Result<()> {
    let rows = data.rows.len();
    if rows == 0 {
        return Err(Error::data("there are no rows to fit to"));
    }
    let lengths =
        [data.target.len(), data.weight.map_or(rows, <[f32]>::len), data.group.map_or(rows, <[u64]>::len)];
    if lengths.iter().any(|l| *l != rows) {
        return Err(Error::internal(format!("{rows} rows with target, weight and group of {lengths:?}")));
    }
    if let Some(bad) = data.weight.into_iter().flatten().find(|w| !w.is_finite() || **w <= 0.0) {
        return Err(Error::data("a weight is not positive").expected("finite numbers above 0").got(bad));
    }
    match data.target {
        Target::Classes { classes, codes } => match codes.iter().find(|c| **c as usize >= classes.count()) {
            Some(bad) => Err(Error::internal(format!("class {bad} of {}", classes.count()))),
            None => Ok(()),
        },
        Target::Values(values) => match values.iter().find(|v| !v.is_finite()) {
            Some(bad) => Err(Error::data("a target is not finite").expected("finite numbers").got(bad)),
            None => Ok(()),
        },
    }
}

/// Mean and deviation of the values to fit to; of classes nothing.
fn scale(target: &Target, rows: &[usize]) -> Scale {
    let Target::Values(values) = target else { return Scale::default() };
    let values: Vec<f64> = rows.iter().filter_map(|r| values.get(*r)).map(|v| f64::from(*v)).collect();
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    Scale { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } }
}

struct Run<'a> {
    architecture: &'a Architecture,
    training: &'a Training,
    context: &'a Context<'a>,
    feed: Feed<'a>,
    mixing: Option<Mixing<'a>>,
    goal: Goal,
    optimizer: Box<dyn Step>,
    at: Standing,
}

impl Run<'_> {
    /// Goes to where the checkpoint stands, if there is one.
    fn resume(&mut self, checkpoint: &Checkpoint, declared: &[Declared]) -> Result<()> {
        if let Some(at) = checkpoint.read(declared, self.optimizer.as_mut())? {
            self.at = at;
        }
        Ok(())
    }

    fn all(
        &mut self,
        fit_rows: &[usize],
        held_rows: &[usize],
        checkpoint: Option<&Checkpoint>,
    ) -> Result<()> {
        let epochs = self.context.epochs.unwrap_or(self.training.epochs);
        while self.at.epoch < epochs && !self.at.tired(self.training.patience) {
            let epoch = self.at.epoch + 1;
            let fit_loss = self.epoch(epoch, epochs, fit_rows)?;
            let held_loss = if held_rows.is_empty() { None } else { Some(self.held(epoch, held_rows)?) };
            let at = &mut self.at;
            at.epoch = epoch;
            at.log.push(LogRow { epoch, fit_loss: fit_loss as f32, held_loss: held_loss.map(|l| l as f32) });
            if let Some(loss) = held_loss.filter(|l| at.best.as_ref().is_none_or(|best| *l < best.loss)) {
                at.best = Some(Best { loss, epoch, params: at.params.clone() });
            }
            if let Some(checkpoint) = checkpoint {
                checkpoint.keep(at, self.optimizer.as_ref())?;
            }
        }
        Ok(())
    }

    fn epoch(&mut self, epoch: u32, epochs: u32, rows: &[usize]) -> Result<f64> {
        let mut order = rows.to_vec();
        order.shuffle(&mut self.context.seed.child("shuffle").item(u64::from(epoch)).rng());
        let batches = rows.len().div_ceil(self.training.batch) as u64;
        let horizon = batches * u64::from(self.training.epochs.max(epochs));
        let (mut sum, mut total) = (0.0f64, 0.0f64);
        for (b, positions) in order.chunks(self.training.batch).enumerate() {
            self.context.stop.check()?;
            let (loss, weight) = self
                .step(epoch, positions, horizon)
                .map_err(|e| e.at(format!("epoch {epoch}, batch {}", b + 1)))?;
            sum += loss * weight;
            total += weight;
            let mean = if total > 0.0 { sum / total } else { 0.0 };
            let done = u64::from(epoch - 1) * batches + b as u64 + 1;
            let note = format!("epoch {epoch}/{epochs}, loss {mean:.3}");
            self.context.progress.step(done, batches * u64::from(epochs), &note);
        }
        if total > 0.0 {
            return Ok(sum / total);
        }
        Err(Error::data("no training row has any of the network's columns")
            .expected("rows with at least one present"))
    }

    /// One step; gives the loss before it and the weight of its rows.
    fn step(&mut self, epoch: u32, positions: &[usize], horizon: u64) -> Result<(f64, f64)> {
        let mut block = self.feed.block(positions, Some(epoch))?;
        let pairs = match &self.mixing {
            Some(mixing) => Some(mixing.mix(&mut block, &self.feed, epoch)?),
            None => None,
        };
        let inputs = block.clone().into_inputs();
        let (present, any) = (inputs.present.clone(), inputs.any());
        let bound = self.at.params.bind(true);
        let seed = self.context.seed.child("dropout").item(self.at.steps);
        let pass = Pass::training(&bound, self.training.dropout, seed);
        let joint = self.architecture.forward(&pass, inputs)?;
        let rate = self.training.rate * self.training.schedule.factor(self.at.steps, horizon);
        self.at.steps += 1;
        let loss = self.goal.training(joint.heads, positions, &present, &any, pairs.as_ref())?;
        let Some((loss, weight)) = loss else { return Ok((0.0, 0.0)) };
        let value = backend::read(loss.clone())?.first().copied().unwrap_or(f32::NAN);
        if !value.is_finite() {
            // Which layer it was is found by going through them again.
            self.architecture.forward(&pass.watching(), block.into_inputs())?;
            return Err(not_finite("the loss is not finite", value));
        }
        let gradients =
            backend::backward(&loss).ok_or_else(|| Error::internal("the loss depends on no parameter"))?;
        let mut gradients = bound.gradients(gradients)?;
        // The optimizer changes the parameters where they lie once no tensor shares them.
        drop((loss, bound));
        clip(&mut gradients, self.training.clip)?;
        self.optimizer.step(&mut self.at.params, &gradients, rate);
        Ok((f64::from(value), weight))
    }

    fn held(&self, epoch: u32, rows: &[usize]) -> Result<f64> {
        let bound = self.at.params.bind(false);
        let (mut sum, mut total) = (0.0f64, 0.0f64);
        for positions in rows.chunks(CHUNK) {
            self.context.stop.check()?;
            let inputs = self.feed.block(positions, None)?.into_inputs();
            let (present, any) = (inputs.present.clone(), inputs.any());
            let joint = self.architecture.forward(&Pass::predicting(&bound), inputs)?;
            let values = outputs(joint.heads, &present, &self.goal.task)?;
            let (s, t) = self.goal.held(&values, positions, &any)?;
            sum += s;
            total += t;
        }
        let place = format!("epoch {epoch}, held-out rows");
        if total <= 0.0 {
            return Err(Error::data("no held-out row has any of the network's columns").at(place));
        }
        let loss = sum / total;
        if loss.is_finite() {
            Ok(loss)
        } else {
            Err(not_finite("the loss is not finite", loss as f32).at(place))
        }
    }
}

fn not_finite(what: &str, got: f32) -> Error {
    Error::model(what).got(got).remedy("lower the rate, or set clip")
}

/// Scales all gradients so that their common Euclidean norm is at most `limit`.
///
/// # Errors
/// [`Error::Model`] naming the parameter whose gradient is not finite.
fn clip(gradients: &mut BTreeMap<String, Host>, limit: Option<f64>) -> Result<()> {
    let mut square = 0.0f64;
    for (name, gradient) in gradients.iter() {
        let values = gradient.numbers();
        let part = wide(
            #[inline(always)]
            || squares(values),
        );
        if !part.is_finite() {
            let bad = values.iter().find(|v| !v.is_finite()).copied().unwrap_or(f32::INFINITY);
            return Err(not_finite("a gradient is not finite", bad).at(format!("parameter {name}")));
        }
        square += part;
    }
    let norm = square.sqrt();
    if let Some(limit) = limit.filter(|l| norm > *l) {
        let factor = (limit / norm) as f32;
        gradients.values_mut().flat_map(Host::numbers_mut).for_each(|v| *v *= factor);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_shortened_to_the_limit_together_and_bad_ones_are_named() {
        let host = |v: &[f32]| Host::new(v.to_vec(), [v.len()]);
        let mut g = BTreeMap::from([("a".to_owned(), host(&[3.0])), ("b".to_owned(), host(&[0.0, 4.0]))]);
        clip(&mut g, Some(10.0)).unwrap();
        assert_eq!(g["a"].numbers(), [3.0]);
        clip(&mut g, Some(2.5)).unwrap();
        assert_eq!((g["a"].numbers()[0], g["b"].numbers()[1]), (1.5, 2.0));
        g.insert("conv1.weight".to_owned(), host(&[1.0, f32::NAN]));
        let error = clip(&mut g, None).unwrap_err();
        assert!(error.to_string().contains("conv1.weight"), "{error}");
    }
}
