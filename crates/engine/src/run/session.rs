//! What all steps of a run share: the opened data, the parts of the rows, the store, the seeds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use consilience_core::array::Matrix;
use consilience_core::data::{Dataset, HonestSpec, Split};
use consilience_core::files::{Hasher, confine, sha256_file};
use consilience_core::model::{
    Context, Honest, Labelled, Loaders, Mask, Model, Origin, Predictions, Progress, Schema, Source, Stop,
    Target, Task,
};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use serde_json::{Value, json};

use crate::codec::{read_json, read_predictions, write_json, write_predictions};
use crate::foreign::{files_beside, is_onnx, runtime};
use crate::recipe::Recipe;
use crate::store::{Step, Store};

/// Rows are read and predicted in blocks of this many.
const BLOCK: usize = 2048;

/// Where a run tells what it does; never part of any result.
pub trait Watch: Send + Sync {
    /// A step begins.
    fn begin(&self, name: &str);
    /// A step is `done` of `total`.
    fn progress(&self, name: &str, done: u64, total: u64, note: &str);
    /// A step ended; `fresh` is false if it was found in the store.
    fn end(&self, name: &str, seconds: f64, fresh: bool);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {
    fn begin(&self, _: &str) {}
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
    fn end(&self, _: &str, _: f64, _: bool) {}
}

/// Passes the progress of one step on.
struct Named<'a> {
    name: &'a str,
    watch: &'a dyn Watch,
}

impl Progress for Named<'_> {
    fn step(&self, done: u64, total: u64, note: &str) {
        self.watch.progress(self.name, done, total, note);
    }
}

/// The rows from which fusers get predictions, with their folds.
#[derive(Debug, Clone)]
pub(crate) struct HonestRows {
    pub rows: Vec<usize>,
    pub folds: Vec<u32>,
    pub origin: Origin,
    pub count: u32,
}

/// See the module.
pub(crate) struct Session<'a> {
    pub recipe: &'a Recipe,
    pub root: &'a Path,
    pub base: &'a Path,
    pub store: &'a Store,
    pub data: &'a Dataset,
    pub target: &'a Target,
    pub task: Task,
    pub split: &'a Split,
    pub honest: HonestRows,
    pub seed: Seed,
    pub loaders: &'a Loaders,
    pub stop: &'a Stop,
    pub watch: &'a dyn Watch,
    /// Stands before the names of steps where they are told; never part of a hash.
    pub prefix: String,
    pub keep_every: Duration,
}

impl<'a> Session<'a> {
    /// The same with other parts of the rows.
    pub fn with_split(&self, split: &'a Split, prefix: String) -> Result<Self> {
        let honest = honest_rows(&self.recipe.honest, split)?;
        Ok(Self { split, honest, prefix, task: self.task.clone(), ..*self })
    }
}

impl Session<'_> {
    pub fn source(&self) -> &dyn Source {
        self.data.source.as_ref()
    }

    /// The truth of some rows.
    pub fn truth(&self, rows: &[usize]) -> Target {
        self.target.take(rows)
    }

    pub fn groups(&self, rows: &[usize]) -> Option<Vec<u64>> {
        self.data.roles.group.as_ref().map(|(g, _)| rows.iter().map(|&r| g[r]).collect())
    }

    pub fn weights(&self, rows: &[usize]) -> Option<Vec<f32>> {
        self.data.roles.weight.as_ref().map(|w| rows.iter().map(|&r| w[r]).collect())
    }

    /// Calls `work` with the labelled rows and a context whose progress goes to the watch under `name`.
    pub fn with_rows<T>(
        &self,
        name: &str,
        seed: Seed,
        rows: &[usize],
        work: impl FnOnce(&Labelled<'_>, &Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let target = self.truth(rows);
        let weight = self.weights(rows);
        let group = self.groups(rows);
        let data = Labelled {
            source: self.source(),
            rows,
            target: &target,
            weight: weight.as_deref(),
            group: group.as_deref(),
        };
        let told = self.told(name);
        let progress = Named { name: &told, watch: self.watch };
        let context = Context { root: Some(self.root), ..Context::new(seed, &progress, self.stop) };
        work(&data, &context)
    }

    /// What the results of every step depend on.
    pub fn data_key(&self) -> Value {
        // The column of the split chooses among files where a column does not say `by`.
        json!({"content": self.data.content, "task": self.task, "by": self.recipe.split.column})
    }

    /// A hash of the rows that a step uses.
    pub fn rows_key(&self, rows: &[usize]) -> String {
        let bytes: Vec<u8> = rows.iter().flat_map(|r| (*r as u64).to_le_bytes()).collect();
        Hasher::new().part(bytes).finish()
    }

    /// What methods are built from.
    pub fn ground(&self) -> Ground<'_> {
        Ground { recipe: self.recipe, root: self.root, schema: self.data.source.schema() }
    }

    /// Does or finds a step, telling the watch.
    pub fn step(
        &self,
        name: &str,
        kind: &str,
        key: &Value,
        work: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Step> {
        self.stop.check()?;
        let name = self.told(name);
        self.watch.begin(&name);
        let step = self.store.step(&name, kind, key, work).map_err(|e| e.at(&name))?;
        self.watch.end(&name, step.seconds, step.fresh);
        Ok(step)
    }

    /// How a step is called where it is told.
    fn told(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Predictions of a model for rows, in blocks; with the seconds that the model took.
    pub fn predict(&self, name: &str, model: &dyn Model, rows: &[usize]) -> Result<(Predictions, f64)> {
        let columns = model.schema().names();
        let told = self.told(name);
        let mut parts = Vec::new();
        let mut seconds = 0.0;
        for (i, block) in rows.chunks(BLOCK).enumerate() {
            self.stop.check()?;
            let batch = self.source().read(block, &columns)?;
            let start = Instant::now();
            parts.push(model.predict(&batch)?);
            seconds += start.elapsed().as_secs_f64();
            self.watch.progress(&told, (i * BLOCK + block.len()) as u64, rows.len() as u64, "predicting");
        }
        if parts.is_empty() {
            let empty = Matrix::zeros((0, self.task.width()));
            parts.push(Predictions::for_task(Vec::new(), &self.task, empty, Mask::none(0))?);
        }
        Ok((Predictions::concat(&parts)?, seconds))
    }

    /// The same as a step. `of` is the hash of the step that made the model.
    pub fn predict_step(&self, name: &str, of: &str, model: &dyn Model, rows: &[usize]) -> Result<Predicted> {
        let label = format!("{name}: predict");
        let key = json!({"model": of, "rows": self.rows_key(rows), "data": self.data_key()});
        let step = self.step(&label, "predict", &key, |dir| {
            let (predictions, seconds) = self.predict(&label, model, rows)?;
            write_predictions(dir, &predictions)?;
            write_json(&dir.join("timing.json"), &seconds)
        })?;
        Ok(Predicted {
            predictions: read_predictions(&step.path, &self.task)?,
            seconds: read_json(&step.path.join("timing.json"))?,
        })
    }

    /// Honest predictions of members put together, aligned with [`Session::honest`].
    pub fn honest_of(&self, members: Vec<(String, Predictions)>) -> Result<Honest> {
        let origin = self.honest.origin;
        Honest::new(
            members.into_iter().map(|(n, p)| (n, p, origin)).collect(),
            self.truth(&self.honest.rows),
            self.honest.folds.clone(),
            self.groups(&self.honest.rows),
            self.weights(&self.honest.rows),
        )
    }

    /// The class shares, or the mean, of the rows for fitting, by their weights: what is assumed where a member says nothing.
    pub fn prior(&self) -> Vec<f32> {
        let fit = &self.split.fit;
        let weight = self.weights(fit).unwrap_or_else(|| vec![1.0; fit.len()]);
        let total: f64 = weight.iter().map(|w| f64::from(*w)).sum();
        let sums = match self.truth(fit) {
            Target::Classes { classes, codes } => {
                let mut sums = vec![0.0; classes.count()];
                codes.iter().zip(&weight).for_each(|(c, w)| sums[*c as usize] += f64::from(*w));
                sums
            }
            Target::Values(v) => {
                vec![v.iter().zip(&weight).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>()]
            }
        };
        sums.iter().map(|s| (s / total.max(f64::MIN_POSITIVE)) as f32).collect()
    }

    /// Predictions that say the same of each of some rows: the prior.
    pub fn constant(&self, rows: &[usize]) -> Result<Predictions> {
        let prior = self.prior();
        let m = Matrix::from_shape_fn((rows.len(), prior.len()), |(_, k)| prior[k]);
        let ids = rows.iter().map(|r| self.source().ids()[*r]).collect();
        Predictions::for_task(ids, &self.task, m, Mask::none(rows.len()))
    }

    /// The same predictions with silent rows filled by the prior, and how many there were.
    pub fn filled(&self, predictions: &Predictions) -> Result<(Predictions, usize)> {
        let silent = predictions.absent().count();
        if silent == 0 {
            return Ok((predictions.clone(), 0));
        }
        let prior = self.prior();
        let mut m = predictions.matrix();
        for (r, mut row) in m.rows_mut().into_iter().enumerate() {
            if predictions.absent().is_set(r) {
                row.iter_mut().zip(&prior).for_each(|(v, p)| *v = *p);
            }
        }
        let ids = predictions.ids().to_vec();
        let rows = ids.len();
        Ok((Predictions::for_task(ids, &self.task, m, Mask::none(rows))?, silent))
    }
}

/// What methods are built from: the recipe, the data folder, the columns.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub recipe: &'a Recipe,
    pub root: &'a Path,
    pub schema: &'a Schema,
}

impl Ground<'_> {
    /// Hashes of the contents of files in the data folder; of ONNX files also what computes them.
    pub fn files_key(&self, files: &[String]) -> Result<Vec<String>> {
        let mut key = Vec::new();
        for file in files {
            let path = confine(self.root, file)?;
            if is_onnx(file) {
                key.extend(files_beside(&path)?);
                key.push(runtime().name.clone());
            } else {
                key.push(sha256_file(&path)?);
            }
        }
        Ok(key)
    }
}

/// Predictions with the seconds that the model took.
pub(crate) struct Predicted {
    pub predictions: Predictions,
    pub seconds: f64,
}

/// The honest rows of a split.
pub(crate) fn honest_rows(spec: &HonestSpec, split: &Split) -> Result<HonestRows> {
    match spec {
        HonestSpec::Validation(_) => {
            if split.choose.is_empty() {
                return Err(Error::argument(
                    "honest: validation needs rows for choosing, and the split has none",
                )
                .remedy("set validation: .2 in split:, or honest: {folds: 5}"));
            }
            Ok(HonestRows {
                rows: split.choose.clone(),
                folds: vec![0; split.choose.len()],
                origin: Origin::Validation,
                count: 1,
            })
        }
        HonestSpec::Folds { folds } => Ok(HonestRows {
            rows: split.fit.clone(),
            folds: split.folds.clone(),
            origin: Origin::OutOfFold,
            count: *folds,
        }),
    }
}

/// Puts predictions of parts of the rows into the order of all rows.
pub(crate) fn in_order(parts: &[(Vec<usize>, Predictions)], rows: usize) -> Result<Predictions> {
    let all: Vec<Predictions> = parts.iter().map(|(_, p)| p.clone()).collect();
    let joined = Predictions::concat(&all)?;
    let mut position = vec![usize::MAX; rows];
    let mut next = 0;
    for (places, _) in parts {
        for place in places {
            position[*place] = next;
            next += 1;
        }
    }
    if position.contains(&usize::MAX) || next != rows {
        return Err(Error::internal("the folds do not cover the rows"));
    }
    Ok(joined.take(&position))
}

/// A shared model.
pub(crate) type Shared = Arc<dyn Model>;

/// The share of rows without each column, from 0 to 1. No file is decoded for it where the source knows.
///
/// # Errors
/// As [`Source::read`].
pub fn unavailable(source: &dyn Source) -> Result<BTreeMap<String, f64>> {
    let rows: Vec<usize> = (0..source.rows()).collect();
    let mut shares = BTreeMap::new();
    for name in source.schema().names() {
        let count = match source.unavailable(name) {
            Some(known) => known,
            None => {
                let mut count = 0;
                for block in rows.chunks(BLOCK) {
                    count += source.read(block, &[name])?.column(name)?.unavailable().count();
                }
                count
            }
        };
        shares.insert(name.to_owned(), count as f64 / rows.len().max(1) as f64);
    }
    Ok(shares)
}
