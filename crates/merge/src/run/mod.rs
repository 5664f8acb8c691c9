//! A merge at work: files of the result one after the other, each whole or not there, and all of it in place at once.

mod digests;
mod goal;
mod inputs;
mod journal;
mod listed;
mod lock;
mod output;
mod record;
mod tensor;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use consilience_core::files::{Hasher, put_in_place, sync_tree};
use consilience_core::model::{Progress, Stop};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::model::Model;
use crate::plan::{Act, Estimate, Job, Options, Plan, free_space, megabytes};
use journal::{Finished, Journal};
use output::Output;

pub use digests::Digests;
pub(crate) use goal::{check as check_goal, resolve as goal};
pub(crate) use journal::{another, beside};
pub use listed::PROVENANCE;
pub(crate) use listed::{Provenance, State};
pub(crate) use lock::Lock;
pub(crate) use record::{beside_weights, copy_tokenizer};
pub use tensor::Workbench;
pub use verify::{Verdict, verify};

/// What to do about numbers of the result that are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnNonfinite {
    /// The merge ends with an error that names the tensor.
    #[default]
    Stop,
    /// They are written, and a note says so.
    Keep,
}

/// How a merge is run.
pub struct Running<'a> {
    /// Go on with what was stopped.
    pub resume: bool,
    /// Replace a folder that is there and is no merge.
    pub replace: bool,
    /// What to do about numbers that are not finite.
    pub on_nonfinite: OnNonfinite,
    /// Where hashes of inputs are kept; `None` to compute all of them.
    pub cache: Option<PathBuf>,
    /// Asks to stop.
    pub stop: &'a Stop,
    /// Where progress is told.
    pub progress: &'a dyn Progress,
}

/// What a merge has made.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Merged {
    /// The folder.
    pub out: PathBuf,
    /// Its files of weights.
    pub files: Vec<String>,
    /// How many tensors.
    pub tensors: usize,
    /// How many numbers.
    pub numbers: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were finished before, and kept.
    pub kept: usize,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Writes files of a tokenizer into a folder and gives their names.
pub type WriteTokenizer<'a> = dyn Fn(&Path) -> Result<Vec<String>> + 'a;

/// Files that go along with the weights: written by a tokenizer policy, or copied from the donor.
pub struct Along<'a> {
    /// The text of the merge file.
    pub text: &'a str,
    /// The merge file, if it is one.
    pub file: &'a Path,
    /// Writes tokenizer files into a folder, and says which of the donor's files it has replaced.
    pub tokenizer: Option<&'a WriteTokenizer<'a>>,
}

/// Runs a plan and puts its result in place of `out`.
///
/// # Errors
/// [`Error::Argument`] if `out` holds something else, or another process merges into it; [`Error::Write`] if the disk is full or fails;
/// [`Error::Model`] for numbers that are not finite, and inputs that change meanwhile; [`Error::Interrupted`]. Whatever happens, `out` is
/// as it was before, or the whole result. What is finished is kept for `resume` where it can be of use: after an interruption, or if an
/// input could not be read.
pub fn run(
    what: (&Config, &Options),
    models: &[Model],
    plan: &Plan,
    estimate: &Estimate,
    along: &Along<'_>,
    out: &Path,
    running: &Running<'_>,
) -> Result<Merged> {
    let goal = goal::resolve(out)?;
    goal::check(&goal, running.replace, models, along.file)?;
    let _lock = Lock::take(&goal)?;
    let key = key(what, models, plan, running.on_nonfinite)?;
    let mut journal = Journal::open(&goal, &key, running.resume)?;
    let kept = journal.finished.len();
    let done: u64 = journal.finished.iter().map(|f| f.bytes).sum();
    if let Err(e) = check_space(journal.dir(), out, estimate.disk.saturating_sub(done)) {
        if kept == 0 {
            journal.discard();
        }
        return Err(e);
    }
    let notes = Mutex::new(plan.notes.clone());
    let made = make(what, models, plan, estimate, along, &key, &notes, &mut journal, running);
    if let Err(e) = made {
        if journal.finished.is_empty() || !matches!(e, Error::Interrupted | Error::Read { .. }) {
            journal.discard();
        }
        return Err(e);
    }
    let finished = journal.finished.clone();
    let dir = journal.close()?;
    let placed =
        goal::check(&goal, running.replace, models, along.file).and_then(|()| put_in_place(&dir, &goal));
    if let Err(e) = placed {
        let _ = std::fs::remove_dir_all(&dir);
        return Err(e);
    }
    Ok(Merged {
        out: out.to_path_buf(),
        files: finished.iter().map(|f| f.file.clone()).collect(),
        tensors: plan.jobs.len(),
        numbers: plan.jobs.iter().map(|j| j.len() as u64).sum(),
        bytes: finished.iter().map(|f| f.bytes).sum(),
        kept,
        notes: notes.into_inner().unwrap_or_else(PoisonError::into_inner),
    })
}

/// Whether there is room for so many bytes of a result on the disk of a folder.
///
/// # Errors
/// [`Error::Write`] naming the result.
pub(crate) fn check_space(dir: &Path, out: &Path, bytes: u64) -> Result<()> {
    match free_space(dir) {
        Some(free) if free < bytes => {
            let why = format!("the result needs {} and {} are free", megabytes(bytes), megabytes(free));
            Err(Error::write(out, std::io::Error::new(std::io::ErrorKind::StorageFull, why)))
        }
        _ => Ok(()),
    }
}

/// Makes everything of a result in the folder of the journal, and waits until it is on the disk.
#[expect(
    clippy::too_many_arguments,
    reason = "one step of a merge, cut out so that what it leaves is removed in one place"
)]
fn make(
    (config, options): (&Config, &Options),
    models: &[Model],
    plan: &Plan,
    estimate: &Estimate,
    along: &Along<'_>,
    key: &str,
    notes: &Mutex<Vec<String>>,
    journal: &mut Journal,
    running: &Running<'_>,
) -> Result<()> {
    let bench = Workbench {
        models,
        cast: plan.cast,
        seed: Seed::new(options.seed).child("merge"),
        compat: options.compat,
        on_nonfinite: running.on_nonfinite,
        stop: running.stop,
        notes,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(estimate.threads)
        .build()
        .map_err(|e| Error::internal(format!("threads could not be started: {e}")))?;
    pool.install(|| write_all(&bench, plan, journal, running))?;
    let mut digests = Digests::open(running.cache.as_deref());
    let files = inputs::of(config, models, plan);
    let total = plan.jobs.iter().map(Job::bytes).sum();
    running.progress.step(total, total, "hashes of the inputs");
    let hashes = pool.install(|| digests.of(&files.concat(), running.stop))?;
    let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    let record =
        record::Record { config, options, models, plan, notes: &notes, files: &files, inputs: &hashes };
    record.write(journal.dir(), &journal.finished, along)?;
    // The hashes must be those of the files that were read.
    if self::key((config, options), models, plan, running.on_nonfinite)? != key {
        return Err(Error::model("a model has changed while it was merged")
            .expected("files that stay as they are until the merge is done")
            .remedy("merge again"));
    }
    sync_tree(journal.dir())
}

/// The names of the files of the result.
fn file_name(i: usize, count: usize) -> String {
    match count {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
    }
}

fn write_all(bench: &Workbench<'_>, plan: &Plan, journal: &mut Journal, running: &Running<'_>) -> Result<()> {
    let total: u64 = plan.jobs.iter().map(Job::bytes).sum();
    let mut jobs = plan.jobs.as_slice();
    let mut done = 0u64;
    for (i, count) in plan.shards.iter().enumerate() {
        let (shard, rest) = jobs.split_at(*count.min(&jobs.len()));
        jobs = rest;
        let file = file_name(i, plan.shards.len());
        let header = header(shard)?;
        let bytes = header.len() as u64 + shard.iter().map(Job::bytes).sum::<u64>();
        if let Some(before) = journal.finished.iter().find(|f| f.file == file && f.bytes == bytes) {
            bench.notes.lock().unwrap_or_else(PoisonError::into_inner).extend(before.notes.iter().cloned());
            done += bytes;
            continue;
        }
        let told = bench.notes.lock().unwrap_or_else(PoisonError::into_inner).len();
        let path = journal.dir().join(&file);
        let sha256 = std::thread::scope(|scope| -> Result<String> {
            let (output, ends) = Output::begin(scope, &path, bytes)?;
            output.put(0, &header)?;
            let mut at = header.len() as u64;
            for job in shard {
                running.progress.step(done + at, total, &job.name);
                bench.merge(job, &output, at)?;
                at += job.bytes();
            }
            output.end(ends)
        })?;
        let notes = bench.notes.lock().unwrap_or_else(PoisonError::into_inner).get(told..).map(<[_]>::to_vec);
        journal.finish(Finished { file, bytes, sha256, notes: notes.unwrap_or_default() })?;
        done += bytes;
    }
    Ok(())
}

/// The header of a `.safetensors` file with some tensors one after the other: its length, then JSON, padded to eight bytes.
///
/// # Errors
/// [`Error::Internal`].
pub fn header(jobs: &[Job]) -> Result<Vec<u8>> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut at = 0u64;
    for job in jobs {
        let end = at + job.bytes();
        let entry = json!({"dtype": job.dtype.to_string(), "shape": job.shape, "data_offsets": [at, end]});
        entries.insert(job.name.clone(), entry);
        at = end;
    }
    let mut text = serde_json::to_vec(&Value::Object(entries)).map_err(|e| Error::internal(e.to_string()))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut all = (text.len() as u64).to_le_bytes().to_vec();
    all.append(&mut text);
    Ok(all)
}

/// What makes two merges the same.
///
/// # Errors
/// [`Error::Read`] if an input is gone.
pub(crate) fn key(
    (what, options): (&Config, &Options),
    models: &[Model],
    plan: &Plan,
    on_nonfinite: OnNonfinite,
) -> Result<String> {
    let mut hash = Hasher::new()
        .part(env!("CARGO_PKG_VERSION"))
        .part(what.tree.to_json().to_string())
        .part(format!("{options:?} {on_nonfinite:?}"))
        .part(plan.method.0.as_str())
        .part(plan.method.1.to_le_bytes())
        .part(plan.config.as_ref().map_or_else(String::new, Value::to_string));
    for file in inputs::of(what, models, plan).iter().flatten() {
        hash = hash.part(file.as_os_str().as_encoded_bytes()).part(digests::stamp_text(file)?);
    }
    let mut rows: Option<&std::sync::Arc<crate::tokenizer::Rows>> = None;
    for job in &plan.jobs {
        hash = hash.part(&job.name).part(format!("{:?} {}", job.shape, job.dtype));
        let (inputs, base) = match &job.act {
            Act::Merge { members, base, .. } => (members, base.as_ref()),
            Act::Same(inputs) => (inputs, None),
        };
        for input in inputs.iter().chain(base) {
            hash = hash.part(format!("{} {}", input.model, input.tensor));
            rows = rows.or(input.rows.as_ref());
        }
    }
    // All embeddings of a merge have their rows from one tokenizer.
    Ok(match rows {
        Some(rows) => rows.hashed(hash),
        None => hash,
    }
    .finish())
}
