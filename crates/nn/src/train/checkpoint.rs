//! The file in which a fit keeps where it stands, so that it can go on from there.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use consilience_core::files::Hasher;
use consilience_core::model::{Array, LogRow, Parts};
use consilience_core::weights::{read_arrays, write_arrays};
use consilience_core::{Error, Result};
use serde_json::{Value, json};

use super::Step;
use super::divergence::Losses;
use super::standing::{Best, Good, Standing, Sums};
use crate::backend::Host;
use crate::params::{Declared, Params};

/// Raised whenever the file or the training changes.
const VERSION: &str = "network checkpoint 2";

/// The name of the array that holds everything small as JSON.
const CONFIG: &str = "config";

/// A file that takes long to write is written so many times less often than that.
const SELDOM: u32 = 20;

/// The file of one fit in the folder of its step.
#[derive(Debug)]
pub struct Checkpoint {
    file: PathBuf,
    every: Duration,
    next: Mutex<Instant>,
}

impl Checkpoint {
    /// The file of the fit that `parts` tell from all others of the step: everything that its result depends on.
    pub fn new<'a>(folder: &Path, every: Duration, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let hash = parts.into_iter().fold(Hasher::new().part(VERSION), Hasher::part).finish();
        let short: String = hash.chars().take(32).collect();
        let file = folder.join(format!("network-{short}.safetensors"));
        Self { file, every, next: Mutex::new(Instant::now() + every) }
    }

    /// Keeps a standing, unless the last one is recent: writing would cost more than doing it again.
    ///
    /// # Errors
    /// As [`Checkpoint::write`].
    pub fn keep(&self, at: &Standing, optimizer: &dyn Step, good: Option<&Good>) -> Result<()> {
        let begin = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if begin >= *next {
            self.write(at, optimizer, good)?;
            let end = Instant::now();
            let pause =
                if self.every.is_zero() { self.every } else { self.every.max((end - begin) * SELDOM) };
            *next = end + pause;
        }
        Ok(())
    }

    /// Keeps a standing: after a crash the file holds the old one or the new one. One that holds a number that is not finite
    /// is not kept, since what diverges at the next batch does so again from the standing before.
    ///
    /// # Errors
    /// [`Error::Write`] naming the file.
    pub fn write(&self, at: &Standing, optimizer: &dyn Step, good: Option<&Good>) -> Result<()> {
        let mut parts = save(at).nest("optimizer", optimizer.save());
        if let Some(good) = good {
            let mut inner = save(&good.at).nest("optimizer", good.optimizer.clone());
            if let Value::Object(config) = &mut inner.config {
                config.insert("used".to_owned(), json!(good.used));
            }
            parts = parts.nest("good", inner);
        }
        if !parts.arrays.values().all(finite) {
            return Ok(());
        }
        let config = serde_json::to_vec(&parts.config).map_err(|e| Error::internal(e.to_string()))?;
        parts = parts.with(CONFIG, Array::U8(vec![config.len()], config));
        write_arrays(&self.file, &parts.arrays)
    }

    /// Where the fit stood, and the optimizer put back there; `None` if there is no file.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Model`] naming the file if it cannot be read or is damaged.
    pub fn read(
        &self,
        declared: &[Declared],
        optimizer: &mut dyn Step,
    ) -> Result<Option<(Standing, Option<Good>)>> {
        if !self.file.exists() {
            return Ok(None);
        }
        self.kept(declared, optimizer).map(Some).map_err(|e| {
            e.at(self.file.display()).remedy("remove the file; the fit then starts from its beginning")
        })
    }

    fn kept(&self, declared: &[Declared], optimizer: &mut dyn Step) -> Result<(Standing, Option<Good>)> {
        let arrays = read_arrays(&self.file)?;
        let config = match arrays.get(CONFIG) {
            Some(Array::U8(_, bytes)) => serde_json::from_slice(bytes).ok(),
            _ => None,
        };
        let config: Value = config.ok_or_else(|| damaged("it does not say where it stands"))?;
        let parts = Parts { arrays, ..Parts::new("checkpoint", config) };
        let good = match parts.config.get("good") {
            None => None,
            Some(_) => {
                let inner = parts.nested("good")?;
                let (at, state) = (load(&inner, declared)?, inner.nested("optimizer")?);
                optimizer.load(&state, &at.params)?;
                Some(Good { at, optimizer: state, used: inner.field("used")? })
            }
        };
        let at = load(&parts, declared)?;
        optimizer.load(&parts.nested("optimizer")?, &at.params)?;
        Ok((at, good))
    }
}

fn save(at: &Standing) -> Parts {
    let held: Vec<f32> = at.log.iter().filter_map(|l| l.held_loss).collect();
    let fit: Vec<f32> = at.log.iter().map(|l| l.fit_loss).collect();
    let Sums { batches, rows, loss, weight, score } = at.sums;
    let config = json!({
        "epoch": at.epoch, "steps": at.steps, "batches": batches, "rows": rows, "retries": at.retries,
    });
    let mut parts = Parts::new("checkpoint", config)
        .with_f32("log.fit", &fit)
        .with_f32("log.held", &held)
        .with_f64("sums", &[loss, weight, score])
        .with_f32("losses", &at.losses.numbers())
        .nest("params", at.params.write(Parts::new("params", Value::Null)));
    if let Some(average) = &at.average {
        parts = parts.nest("average", average.write(Parts::new("average", Value::Null)));
    }
    if let Some(best) = &at.best {
        let inner = Parts::new("best", json!({"epoch": best.epoch})).with_f64("best.loss", &[best.loss]);
        parts = parts.nest("best", best.params.write(inner));
    }
    parts
}

fn load(parts: &Parts, declared: &[Declared]) -> Result<Standing> {
    let (epoch, steps) = (parts.field::<u32>("epoch")?, parts.field("steps")?);
    let (fit, held) = (parts.f32("log.fit")?.1, parts.f32("log.held")?.1);
    if fit.len() != epoch as usize || ![0, fit.len()].contains(&held.len()) {
        return Err(damaged("its learning curve has another length than the epochs"));
    }
    let line = |(i, fit): (usize, &f32)| LogRow {
        epoch: i as u32 + 1,
        fit_loss: *fit,
        held_loss: held.get(i).copied(),
    };
    let sums = match parts.f64("sums")? {
        [loss, weight, score] if [loss, weight, score].iter().all(|s| s.is_finite()) => Sums {
            batches: parts.field("batches")?,
            rows: parts.field("rows")?,
            loss: *loss,
            weight: *weight,
            score: *score,
        },
        _ => return Err(damaged("the sums of its epoch cannot be")),
    };
    let losses = Losses::from_numbers(parts.f32("losses")?.1);
    let best = match parts.config.get("best") {
        None => None,
        Some(_) => {
            let inner = parts.nested("best")?;
            let loss = inner.f64("best.loss")?.first().copied().unwrap_or(f64::NAN);
            let params = Params::from_parts(declared, &inner)?;
            let best = Best { loss, epoch: inner.field("epoch")?, params };
            if best.epoch > epoch || !best.loss.is_finite() {
                return Err(damaged("its best epoch cannot be"));
            }
            Some(best)
        }
    };
    let average = match parts.config.get("average") {
        None => None,
        Some(_) => Some(Params::from_parts(declared, &parts.nested("average")?)?),
    };
    Ok(Standing {
        params: Params::from_parts(declared, &parts.nested("params")?)?,
        average,
        epoch,
        steps,
        sums,
        log: fit.iter().enumerate().map(line).collect(),
        best,
        losses: losses.ok_or_else(|| damaged("its last losses cannot be"))?,
        retries: parts.field("retries")?,
    })
}

fn finite(array: &Array) -> bool {
    match array {
        Array::F32(_, numbers) => numbers.iter().all(|v| v.is_finite()),
        Array::F64(_, numbers) => numbers.iter().all(|v| v.is_finite()),
        Array::U32(..) | Array::U8(..) => true,
    }
}

fn damaged(what: &str) -> Error {
    Error::model(format!("the checkpoint is damaged: {what}"))
}

/// What an optimizer remembers of one parameter: as many finite numbers as it has.
///
/// # Errors
/// [`Error::Model`] naming the array.
pub fn remembered(parts: &Parts, name: &str, param: &Host) -> Result<Vec<f32>> {
    let (_, values) = parts.f32(name)?;
    if values.len() == param.numbers().len() && values.iter().all(|v| v.is_finite()) {
        return Ok(values.to_vec());
    }
    Err(Error::model("what the optimizer remembers does not fit the parameter")
        .at(name)
        .expected(format!("{} finite numbers", param.numbers().len()))
        .got(values.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Adam, Sgd};
    use consilience_core::seed::Seed;
    use std::collections::BTreeMap;

    #[test]
    fn a_standing_comes_back_and_steps_go_on_as_if_nothing_had_been() {
        let folder = tempfile::tempdir().unwrap();
        let declared = [Declared::new("a/b", vec![2, 3], 3), Declared::new("c", vec![2], 3)];
        let gradients = |salt: f32| {
            BTreeMap::from([("a/b".to_owned(), Host::new(vec![salt, 0.1, -0.3, 0.7, 1.0 / 3.0, -salt], [6]))])
        };
        let makers: [fn() -> Box<dyn Step>; 2] =
            [|| Box::new(Adam::new(0.1)), || Box::new(Sgd::new(0.9, 0.1))];
        for (i, make) in makers.into_iter().enumerate() {
            let file = Checkpoint::new(folder.path(), Duration::from_secs(3600), [&[i as u8][..]]);
            let seldom = Standing::start(Params::init(&declared, Seed::new(2)), false);
            file.keep(&seldom, make().as_ref(), None).unwrap();
            let mut optimizer = make();
            let mut at = Standing::start(Params::init(&declared, Seed::new(1)), i == 0);
            assert!(file.read(&declared, make().as_mut()).unwrap().is_none());
            optimizer.step(&mut at.params, &gradients(0.2), 0.01);
            at.best = Some(Best { loss: 0.1 + 0.2, epoch: 1, params: at.params.clone() });
            at.log = vec![LogRow { epoch: 1, fit_loss: 0.1, held_loss: Some(0.3) }];
            at.epoch = 1;
            let good = Good { at: at.clone(), optimizer: optimizer.save(), used: i == 1 };
            optimizer.step(&mut at.params, &gradients(0.3), 0.01);
            at.log.push(LogRow { epoch: 2, fit_loss: f32::MIN_POSITIVE, held_loss: Some(0.4) });
            (at.epoch, at.steps) = (2, u64::MAX - 1);
            at.sums = Sums { batches: 3, rows: 40, loss: 0.1 + 0.7, weight: 1.0 / 3.0, score: 17.0 };
            assert!((0..30).all(|l| !at.losses.see(l as f32 / 7.0)));
            at.retries = vec!["training diverged\n\"here\"".to_owned()];
            file.write(&at, optimizer.as_ref(), Some(&good)).unwrap();
            let mut other = make();
            let (mut back, good_back) = file.read(&declared, other.as_mut()).unwrap().unwrap();
            assert_eq!((&back, good_back.as_ref()), (&at, Some(&good)));
            assert!(back.tired(1) && !back.tired(2));
            assert_eq!(back.slowed(), 0.5);
            optimizer.step(&mut at.params, &gradients(0.4), 0.01);
            other.step(&mut back.params, &gradients(0.4), 0.01);
            assert_eq!(back, at);
            file.write(&at, optimizer.as_ref(), None).unwrap();
            assert_eq!(file.read(&declared, make().as_mut()).unwrap().unwrap(), (at, None));
            // Damage is named, with the file and what to do.
            let wider = [Declared::new("a/b", vec![3, 3], 3)];
            let error = file.read(&wider, make().as_mut()).unwrap_err().to_string();
            assert!(error.contains("network-") && error.contains("remove the file"), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
