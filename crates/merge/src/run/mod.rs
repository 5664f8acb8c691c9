//! A merge at work: files of the result one after the other, each whole or not there, and all of it in place at once.

mod digests;
mod journal;
mod output;
mod record;
mod tensor;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use consilience_core::files::{Hasher, put_in_place, sync_tree};
use consilience_core::model::{Progress, Stop};
use consilience_core::seed::Seed;
use consilience_core::weights::Dtype;
use consilience_core::{Error, Result};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::model::Model;
use crate::plan::{Estimate, Job, Options, Plan, free_space};
use journal::{Finished, Journal};
use output::Output;

pub use digests::Digests;
pub use journal::beside;
pub use record::{PROVENANCE, is_merge};
pub use tensor::Bench;
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

/// Files that go along with the weights: written by a tokenizer policy, or copied from the donor.
pub struct Along<'a> {
    /// The text of the merge file.
    pub text: &'a str,
    /// Writes tokenizer files into a folder, and says which of the donor's files it has replaced.
    pub tokenizer: Option<&'a (dyn Fn(&Path) -> Result<Vec<String>> + 'a)>,
}

/// Runs a plan and puts its result in place of `out`.
///
/// # Errors
/// [`Error::Argument`] if `out` holds something else; [`Error::Write`] if the disk is full or fails; [`Error::Model`] for numbers that are
/// not finite; [`Error::Interrupted`]. Whatever happens, `out` is as it was before, or the whole result.
pub fn run(
    (config, options): (&Config, &Options),
    models: &[Model],
    plan: &Plan,
    estimate: &Estimate,
    along: &Along<'_>,
    out: &Path,
    running: &Running<'_>,
) -> Result<Merged> {
    check_goal(out, running.replace)?;
    let key = key((config, options), models, plan)?;
    let mut journal = Journal::open(out, &key, running.resume)?;
    let kept = journal.finished.len();
    let done: u64 = journal.finished.iter().map(|f| f.bytes).sum();
    if let Some(free) = free_space(journal.dir())
        && free < estimate.disk.saturating_sub(done)
    {
        journal.discard();
        let full = std::io::Error::new(
            std::io::ErrorKind::StorageFull,
            format!("the result needs {} MB and {} MB are free", estimate.disk.div_ceil(1 << 20), free >> 20),
        );
        return Err(Error::write(out, full));
    }
    let notes = Mutex::new(plan.notes.clone());
    let bench = Bench {
        models,
        cast: plan.cast,
        seed: Seed::new(options.seed).child("merge"),
        compat: options.compat,
        on_nonfinite: running.on_nonfinite,
        stop: running.stop,
        notes: &notes,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(estimate.threads)
        .build()
        .map_err(|e| Error::internal(format!("threads could not be started: {e}")))?;
    match pool.install(|| write_all(&bench, plan, &mut journal, running)) {
        Ok(()) => {}
        // What is finished is kept for --resume.
        Err(e) => {
            if journal.finished.is_empty() || matches!(e, Error::Write { .. }) {
                journal.discard();
            }
            return Err(e);
        }
    }
    let mut digests = Digests::open(running.cache.as_deref());
    let files: Vec<PathBuf> = models.iter().flat_map(Model::files).collect();
    running.progress.step(plan.jobs.len() as u64, plan.jobs.len() as u64, "hashes of the inputs");
    let hashes = pool.install(|| digests.of(&files))?;
    let notes = notes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let record = record::Record { config, options, models, plan, notes: &notes, inputs: &hashes };
    record.write(journal.dir(), &journal.finished, along)?;
    let finished = journal.finished.clone();
    let dir = journal.close()?;
    sync_tree(&dir)?;
    put_in_place(&dir, out)?;
    Ok(Merged {
        out: out.to_path_buf(),
        files: finished.iter().map(|f| f.file.clone()).collect(),
        tensors: plan.jobs.len(),
        numbers: plan.jobs.iter().map(|j| j.len() as u64).sum(),
        bytes: finished.iter().map(|f| f.bytes).sum(),
        kept,
        notes,
    })
}

/// A folder that is there must be empty, a merge, or meant to be replaced.
fn check_goal(out: &Path, replace: bool) -> Result<()> {
    if !out.exists() {
        return match out.file_name() {
            Some(_) => Ok(()),
            None => Err(Error::argument("the folder for the result has no name").got(out.display())),
        };
    }
    let empty = out.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if out.is_dir() && (replace || empty || is_merge(out)) {
        return Ok(());
    }
    Err(Error::argument("there is something else in the way of the result")
        .at(out.display())
        .expected("no folder, an empty one, or an earlier merge")
        .remedy("choose another folder, or --replace to lose what is there"))
}

/// The names of the files of the result.
fn file_name(i: usize, count: usize) -> String {
    match count {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
    }
}

fn write_all(bench: &Bench<'_>, plan: &Plan, journal: &mut Journal, running: &Running<'_>) -> Result<()> {
    let total: u64 = plan.jobs.iter().map(Job::bytes).sum();
    let mut jobs = plan.jobs.as_slice();
    let mut done = 0u64;
    for (i, count) in plan.shards.iter().enumerate() {
        let (shard, rest) = jobs.split_at(*count.min(&jobs.len()));
        jobs = rest;
        let file = file_name(i, plan.shards.len());
        let header = header(shard)?;
        let bytes = header.len() as u64 + shard.iter().map(Job::bytes).sum::<u64>();
        if journal.finished.iter().any(|f| f.file == file && f.bytes == bytes) {
            done += bytes;
            continue;
        }
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
        journal.finish(Finished { file, bytes, sha256 })?;
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
fn key((config, options): (&Config, &Options), models: &[Model], plan: &Plan) -> Result<String> {
    let mut hash = Hasher::new()
        .part(env!("CARGO_PKG_VERSION"))
        .part(config.tree.to_json().to_string())
        .part(format!("{options:?}"))
        .part(plan.method.0.as_str())
        .part(plan.method.1.to_le_bytes());
    for file in models.iter().flat_map(Model::files) {
        let meta = std::fs::metadata(&file).map_err(|e| Error::read(&file, e))?;
        let modified = meta.modified().map_or_else(|_| String::new(), |t| format!("{t:?}"));
        hash = hash.part(file.to_string_lossy().as_bytes()).part(meta.len().to_le_bytes()).part(modified);
    }
    for job in &plan.jobs {
        hash = hash.part(&job.name).part(format!("{:?} {}", job.shape, job.dtype));
    }
    Ok(hash.finish())
}

/// Whether a type can be read and merged, for tables.
pub fn is_merged(dtype: Dtype) -> bool {
    crate::kernels::decodes(dtype)
}
