//! Fitting a network: everything that must hold before the first step, and the model after the last.

use consilience_core::model::{Context, Distill, Fitted, Keep, Labelled, Lesson, Target, Task};
use consilience_core::registry::Method;
use consilience_core::{Error, Result};
use serde_json::json;

use super::checkpoint::Checkpoint;
use super::feed::Feed;
use super::loss::Goal;
use super::mixing::Mixing;
use super::run::{Run, Setup};
use super::standing::Standing;
use super::taught::Taught;
use super::{Augmentation, Training, outside, split, start};
use crate::architecture::Architecture;
use crate::inputs::Prepare;
use crate::memory::Reuse;
use crate::network::{Network, Scale};
use crate::params::Params;

/// Fits a network of an architecture to rows.
///
/// With `training.inner` above zero and no `context.epochs`, a part of the rows is held out, and the epoch with the lowest
/// loss on it is restored. With `context.epochs` the network is trained on all rows for exactly that many epochs; the
/// schedule still spans `training.epochs`, so that the rate of each epoch is the one it had when the epochs were chosen.
/// The result depends on the seed only, not on threads. With mixup the losses of the learning curve on the fitting rows
/// are those of the mixed rows, with smoothing those of the smoothed truth; held-out rows are never mixed or smoothed. With
/// an average, held-out rows are scored by the averaged parameters, which the fitted network has.
///
/// With `context.teacher` it learns from what another model says too (see [`Lesson`](consilience_core::model::Lesson)): in
/// units of the deviation for values, of each head where there are several. Rows about which the teacher is silent have the
/// truth alone, held-out rows are scored by the truth, with mixup what the teacher says is mixed as the truth is, and
/// smoothing is for the truth only.
///
/// With `context.checkpoint` the fit keeps where it stands in a file there, between batches: as often as is asked for, and
/// when it is stopped. It goes on from it when it is run again: with the same bytes at the end. Files of other fits in the
/// folder are left alone. The file stays when the fit is done; whoever gave the folder removes it.
///
/// Training diverges when a loss, a gradient or a parameter is not finite, or when the loss explodes: when more than half of
/// the last twenty batches are above a hundred times the larger of one and the first loss. It ends with an error then, or
/// with `training.retries` goes back to the end of the last good epoch and on at half the rate; the notes of what is
/// fitted tell of it.
///
/// # Errors
/// [`Error::Argument`] for settings or columns that cannot be, [`Error::Data`] for rows that cannot be trained on,
/// [`Error::Model`] naming the layer or parameter, the epoch and the batch if training diverges,
/// [`Error::Read`], [`Error::Model`] or [`Error::Write`] naming a checkpoint that cannot be read or written,
/// [`Error::Interrupted`] when stopped.
pub fn fit(
    data: &Labelled<'_>,
    prepare: Box<dyn Prepare>,
    augment: &Augmentation,
    mut architecture: Architecture,
    training: &Training,
    context: &Context<'_>,
) -> Result<Fitted> {
    let _reuse = Reuse::begin();
    training.validate()?;
    architecture.check()?;
    training.suits(&architecture)?;
    check_rows(data)?;
    if architecture.fields() != prepare.fields() {
        return Err(Error::internal("the architecture and the prepared columns differ"));
    }
    if context.epochs == Some(0) {
        return Err(Error::argument("a network needs at least one epoch").got(0));
    }
    let task = data.target.task();
    training.check(&task)?;
    let declared = architecture.declare(&task);
    let factors = training.factors(&declared)?;
    let weights = architecture.take_weights();
    let mut notes = Vec::new();
    let params = match context.start {
        Some(_) if !weights.is_empty() => {
            return Err(Error::argument(
                "a network starts from a member or from a checkpoint, not from both",
            )
            .at("weights")
            .remedy("leave out weights, or from"));
        }
        Some(model) => start::params(model, &architecture, &task, &declared)?,
        None => {
            let mut params = Params::init(&declared, context.seed.child("init"));
            let outside = outside::read(&weights, &architecture, &task, context.root)?;
            params.replace(outside.numbers);
            notes.extend(outside.notes);
            params
        }
    };
    let (fit_rows, held_rows) = if context.epochs.is_some() || training.inner == 0.0 {
        ((0..data.rows.len()).collect(), Vec::new())
    } else {
        split::inner(data.target, data.group, training.inner, context.seed.child("inner"))?
    };
    if architecture.by_batch() && fit_rows.len() < 2 {
        return Err(Error::data("batch norm needs more than one row to train on")
            .expected("at least 2 rows")
            .got(fit_rows.len()));
    }
    let scale = scale(data.target, &fit_rows);
    if let Some(mixup) = &augment.mixup {
        mixup.validate()?;
        if let Some(field) = architecture.fields().iter().find(|f| f.words > 0) {
            return Err(Error::argument("mixup mixes amounts, and the numbers of tokens are names")
                .at(format!("column \"{}\"", field.name))
                .remedy("remove mixup, or give the text other features than tokens"));
        }
    }
    let feed = Feed::new(data, prepare.as_ref(), augment.batch.as_ref(), context)?;
    let mixing = augment.mixup.as_ref().map(|m| Mixing::new(m, Feed::seed(context), &fit_rows));
    let taught = taught(data, &task, scale, context)?;
    let mut goal = Goal::new(data.target, data.weight, scale).smoothed(training.smoothing).taught(taught);
    if let Some(weights) = training.class_weights.of(data.target, &fit_rows) {
        goal = goal.weighed(&weights)?;
    }
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
    let setup = Setup {
        architecture: &architecture,
        training,
        context,
        feed,
        mixing,
        goal,
        factors,
        deviation: scale.deviation,
        fit_rows: &fit_rows,
        held_rows: &held_rows,
        checkpoint,
        start: (training.retries > 0).then(|| params.clone()),
    };
    let mut run = Run::new(&setup, params, &declared)?;
    run.all()?;
    let Standing { params, average, log, best, retries, .. } = run.at;
    let (params, best_epoch) = match best {
        Some(best) => (best.params, Some(best.epoch)),
        None => (average.unwrap_or(params), None),
    };
    drop(setup);
    let model = Network::new(architecture, task, scale, params, prepare);
    notes.extend(retries);
    Ok(Fitted { model: Box::new(model), log, best_epoch, notes })
}

/// How a network learns from a teacher: as asked, and otherwise with nine tenths of the loss at a temperature of 3.
///
/// # Errors
/// As [`Lesson::validate`]; [`Error::Argument`] for a temperature with values.
pub fn lesson(task: &Task, asked: Distill) -> Result<Lesson> {
    match task {
        Task::Classify(_) => asked.or(Lesson { temperature: 3.0, share: 0.9 }),
        Task::Regress => asked.plain(0.9),
    }
}

/// What the teacher says of the rows, if there is one that counts.
fn taught(data: &Labelled<'_>, task: &Task, scale: Scale, context: &Context<'_>) -> Result<Option<Taught>> {
    let Some(teacher) = context.teacher else { return Ok(None) };
    if lesson(task, teacher.lesson.into())?.share == 0.0 {
        return Ok(None);
    }
    Ok(Some(Taught::new(&teacher.on(&data.ids()?, task)?, task, scale)))
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
