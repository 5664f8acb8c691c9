//! Where a fit stands after an epoch, kept in a file so that it can go on from there.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use consilience_core::files::Hasher;
use consilience_core::model::{Array, LogRow, Parts};
use consilience_core::weights::{read_arrays, write_arrays};
use consilience_core::{Error, Result};
use serde_json::{Value, json};

use super::Step;
use crate::backend::Host;
use crate::params::{Declared, Params};

/// Raised whenever the file or the training changes.
const VERSION: &str = "network checkpoint 1";

/// The name of the array that holds everything small as JSON.
const CONFIG: &str = "config";

/// The best epoch so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Its loss on the held-out rows.
    pub loss: f64,
    /// The epoch, from 1.
    pub epoch: u32,
    /// The parameters after it.
    pub params: Params,
}

/// Where a fit stands between two epochs.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The parameters.
    pub params: Params,
    /// How many epochs are done.
    pub epoch: u32,
    /// How many steps are done.
    pub steps: u64,
    /// A line for each epoch.
    pub log: Vec<LogRow>,
    /// The best epoch, if rows are held out.
    pub best: Option<Best>,
}

impl Standing {
    /// Before the first epoch.
    pub fn start(params: Params) -> Self {
        Self { params, epoch: 0, steps: 0, log: Vec::new(), best: None }
    }

    /// Whether the best epoch is `patience` epochs ago.
    pub fn tired(&self, patience: u32) -> bool {
        self.best.as_ref().is_some_and(|best| self.epoch - best.epoch >= patience)
    }
}

/// The file of one fit in the folder of its step.
#[derive(Debug)]
pub struct Checkpoint {
    file: PathBuf,
    every: Duration,
    last: Cell<Instant>,
}

impl Checkpoint {
    /// The file of the fit that `parts` tell from all others of the step: everything that its result depends on.
    pub fn new<'a>(folder: &Path, every: Duration, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let hash = parts.into_iter().fold(Hasher::new().part(VERSION), Hasher::part).finish();
        let short: String = hash.chars().take(32).collect();
        let file = folder.join(format!("network-{short}.safetensors"));
        Self { file, every, last: Cell::new(Instant::now()) }
    }

    /// Keeps a standing, unless the last one is recent: writing would cost more than doing it again.
    ///
    /// # Errors
    /// As [`Checkpoint::write`].
    pub fn keep(&self, at: &Standing, optimizer: &dyn Step) -> Result<()> {
        if self.last.get().elapsed() >= self.every {
            self.write(at, optimizer)?;
            self.last.set(Instant::now());
        }
        Ok(())
    }

    /// Keeps a standing: after a crash the file holds the old one or the new one.
    ///
    /// # Errors
    /// [`Error::Write`] naming the file.
    pub fn write(&self, at: &Standing, optimizer: &dyn Step) -> Result<()> {
        let held: Vec<f32> = at.log.iter().filter_map(|l| l.held_loss).collect();
        let fit: Vec<f32> = at.log.iter().map(|l| l.fit_loss).collect();
        let mut parts = Parts::new("checkpoint", json!({"epoch": at.epoch, "steps": at.steps}))
            .with_f32("log.fit", &fit)
            .with_f32("log.held", &held)
            .nest("params", at.params.write(Parts::new("params", Value::Null)))
            .nest("optimizer", optimizer.save());
        if let Some(best) = &at.best {
            let inner = Parts::new("best", json!({"epoch": best.epoch})).with_f64("best.loss", &[best.loss]);
            parts = parts.nest("best", best.params.write(inner));
        }
        let config = serde_json::to_vec(&parts.config).map_err(|e| Error::internal(e.to_string()))?;
        parts = parts.with(CONFIG, Array::U8(vec![config.len()], config));
        write_arrays(&self.file, &parts.arrays)
    }

    /// Where the fit stood after its last epoch, and the optimizer put back there; `None` if there is no file.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Model`] naming the file if it cannot be read or is damaged.
    pub fn read(&self, declared: &[Declared], optimizer: &mut dyn Step) -> Result<Option<Standing>> {
        if !self.file.exists() {
            return Ok(None);
        }
        self.standing(declared, optimizer).map(Some).map_err(|e| {
            e.at(self.file.display()).remedy("remove the file; the fit then starts from its beginning")
        })
    }

    fn standing(&self, declared: &[Declared], optimizer: &mut dyn Step) -> Result<Standing> {
        let arrays = read_arrays(&self.file)?;
        let config = match arrays.get(CONFIG) {
            Some(Array::U8(_, bytes)) => serde_json::from_slice(bytes).ok(),
            _ => None,
        };
        let config: Value = config.ok_or_else(|| damaged("it does not say where it stands"))?;
        let parts = Parts { arrays, ..Parts::new("checkpoint", config) };
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
        let params = Params::from_parts(declared, &parts.nested("params")?)?;
        optimizer.load(&parts.nested("optimizer")?, &params)?;
        let best = match parts.config.get("best") {
            None => None,
            Some(_) => {
                let inner = parts.nested("best")?;
                let loss = inner.f64("best.loss")?.first().copied().unwrap_or(f64::NAN);
                let best = Best {
                    loss,
                    epoch: inner.field("epoch")?,
                    params: Params::from_parts(declared, &inner)?,
                };
                if best.epoch > epoch || !best.loss.is_finite() {
                    return Err(damaged("its best epoch cannot be"));
                }
                Some(best)
            }
        };
        Ok(Standing { params, epoch, steps, log: fit.iter().enumerate().map(line).collect(), best })
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
            let seldom = Standing::start(Params::init(&declared, Seed::new(2)));
            file.keep(&seldom, make().as_ref()).unwrap();
            let (mut optimizer, mut at) = (make(), Standing::start(Params::init(&declared, Seed::new(1))));
            assert!(file.read(&declared, make().as_mut()).unwrap().is_none());
            optimizer.step(&mut at.params, &gradients(0.2), 0.01);
            at.best = Some(Best { loss: 0.1 + 0.2, epoch: 1, params: at.params.clone() });
            optimizer.step(&mut at.params, &gradients(0.3), 0.01);
            at.log = vec![
                LogRow { epoch: 1, fit_loss: 0.1, held_loss: Some(0.3) },
                LogRow { epoch: 2, fit_loss: f32::MIN_POSITIVE, held_loss: Some(0.4) },
            ];
            (at.epoch, at.steps) = (2, u64::MAX - 1);
            file.write(&at, optimizer.as_ref()).unwrap();
            let mut other = make();
            let mut back = file.read(&declared, other.as_mut()).unwrap().unwrap();
            assert_eq!(back, at);
            assert!(back.tired(1) && !back.tired(2));
            optimizer.step(&mut at.params, &gradients(0.4), 0.01);
            other.step(&mut back.params, &gradients(0.4), 0.01);
            assert_eq!(back, at);
            // Damage is named, with the file and what to do.
            let wider = [Declared::new("a/b", vec![3, 3], 3)];
            let error = file.read(&wider, make().as_mut()).unwrap_err().to_string();
            assert!(error.contains("network-") && error.contains("remove the file"), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
