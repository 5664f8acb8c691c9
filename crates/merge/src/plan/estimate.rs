//! What a merge takes: memory, disk, time.

use std::path::Path;

use consilience_core::{Error, Result};
use serde::Serialize;

use super::{Act, Input, Plan};
use crate::model::Model;
use crate::work::BLOCK;

/// Program, headers and buffers that do not depend on the tensors.
pub(crate) const FIXED: u64 = 48 << 20;
/// Bytes of histograms and the like that a counting pass keeps for each member and thread.
const COUNTS: u64 = 2 << 20;
/// Bytes a second that are read and merged by one thread; a rough figure, shown as an estimate only.
const SPEED: f64 = 1.5e9;
/// Bytes a second that a disk takes.
const DISK: f64 = 1e9;

/// What a merge takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Bytes of memory beside the pages of files that the system keeps.
    pub memory: u64,
    /// Threads that fit into the memory that was allowed.
    pub threads: usize,
    /// Bytes of the result.
    pub disk: u64,
    /// Bytes that are read.
    pub read: u64,
    /// Seconds, roughly.
    pub seconds: f64,
}

/// What a plan takes with at most so many threads and so much memory, beside `tokenizers` bytes for those.
///
/// # Errors
/// [`Error::Argument`] if one thread needs more memory than is allowed.
pub fn estimate(
    plan: &Plan,
    models: &[Model],
    tokenizers: u64,
    threads: usize,
    most: Option<u64>,
) -> Result<Estimate> {
    let names: u64 = models.iter().map(|m| m.checkpoint.tensors().len() as u64 * 200).sum();
    let mut per_thread = 0u64;
    let mut shared = 0u64;
    let mut read = 0u64;
    let mut largest = "";
    for job in &plan.jobs {
        let (inputs, row) = match &job.act {
            Act::Merge { members, base, method, .. } => {
                let whole = if method.whole_rows() { job.shape.last().copied().unwrap_or(1) } else { 0 };
                (members.len() + usize::from(base.is_some()), whole)
            }
            Act::Same(inputs) => (inputs.len(), 0),
        };
        let inputs_of: &mut dyn Iterator<Item = &Input> = match &job.act {
            Act::Merge { members, base, .. } => &mut members.iter().chain(base),
            Act::Same(_) => &mut std::iter::empty(),
        };
        let mut held = 0u64;
        for input in inputs_of {
            let model = models.get(input.model);
            // The factors, and once more while they are turned.
            held += 2 * model.and_then(|m| m.lora.as_ref()).map_or(0, |l| l.bytes(&input.tensor));
        }
        let block = row.max(BLOCK.min(job.len())) as u64 * 4;
        let need = block * (inputs as u64 + 3) + COUNTS * inputs as u64;
        if need > per_thread {
            (per_thread, largest) = (need, &job.name);
        }
        shared = shared.max(held);
        read += job.len() as u64 * 2 * inputs as u64;
    }
    let fixed = FIXED + names + shared + tokenizers;
    let fits = match most {
        Some(most) => most.saturating_sub(fixed) / per_thread.max(1),
        None => threads as u64,
    };
    if fits == 0 {
        return Err(Error::argument("the memory that is allowed is too little for one thread")
            .at("--max-memory")
            .expected(format!("at least {}", megabytes(fixed + per_thread)))
            .got(format!("{}; the tensor \"{largest}\" needs the most", megabytes(most.unwrap_or(0)))));
    }
    let threads = threads.min(usize::try_from(fits).unwrap_or(usize::MAX)).max(1);
    let disk: u64 = plan.jobs.iter().map(super::Job::bytes).sum();
    let seconds = read as f64 * 2.0 / SPEED / threads as f64 + disk as f64 / DISK;
    Ok(Estimate { memory: fixed + per_thread * threads as u64, threads, disk, read, seconds })
}

/// So many bytes, for people.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The bytes that are free on the disk of a folder, or of the nearest folder above it that is there.
pub fn free_space(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
