//! SHA-256 of input files, kept from merge to merge for files that have not changed since.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use consilience_core::files::{sha256_file, sweep_strays, write_atomic};
use consilience_core::model::Stop;
use consilience_core::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::model::read_file;

/// So many files are remembered.
const MOST: usize = 10_000;
/// The longest file of hashes, in bytes.
const MAX_KEPT: u64 = 64 << 20;
/// A file that changed so few seconds before it was hashed could change again without a new time.
const YOUNG: u64 = 2;

/// What the system says of a file. Contents that change give another one: the time of the last change of its entry cannot be set back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    stamp: Stamp,
    sha256: String,
}

/// Hashes by path.
#[derive(Debug, Default)]
pub struct Digests {
    file: Option<PathBuf>,
    kept: BTreeMap<PathBuf, Kept>,
}

impl Digests {
    /// The hashes that are kept in a folder; none where it is `None`, or what it holds cannot be read.
    pub fn open(dir: Option<&Path>) -> Self {
        if let Some(dir) = dir {
            // What a killed process left is of no use to anyone.
            let _ = sweep_strays(dir);
        }
        let file = dir.map(|d| d.join("digests.json"));
        let text = file.as_ref().and_then(|f| read_file(f, MAX_KEPT).ok());
        let kept = text.and_then(|t| serde_json::from_slice(&t).ok()).unwrap_or_default();
        Self { file, kept }
    }

    /// The folder of this user's caches for this program.
    pub fn folder() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Some(set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|h| h.join(".cache")))?.join("consilience"))
    }

    /// The hashes of some files, those that are not known computed on all threads; and whether each was known.
    ///
    /// # Errors
    /// [`Error::Read`] naming the file; [`Error::Model`] for one that changes while it is read.
    pub fn of(&mut self, paths: &[PathBuf], stop: &Stop) -> Result<Vec<(String, bool)>> {
        let all: Vec<Result<(String, bool, Option<Kept>)>> = paths
            .par_iter()
            .map(|path| {
                stop.check()?;
                let before = stamp(path)?;
                let real = path.canonicalize().unwrap_or_else(|_| path.clone());
                if let (Some(stamp), Some(kept)) = (&before, self.kept.get(&real))
                    && kept.stamp == *stamp
                {
                    return Ok((kept.sha256.clone(), true, None));
                }
                let now = SystemTime::now();
                let sha256 = sha256_file(path)?;
                if stamp(path)? != before {
                    return Err(Error::model("the file has changed while it was read").at(path.display()));
                }
                // The time of the last change of contents can be set back, that of the entry cannot.
                let settled = |stamp: &Stamp| {
                    let since = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
                    let last = stamp.modified.0.max(stamp.changed.0);
                    u64::try_from(last).is_ok_and(|last| last + YOUNG < since)
                };
                let keep = before.filter(settled).map(|stamp| Kept { stamp, sha256: sha256.clone() });
                Ok((sha256, false, keep))
            })
            .collect();
        let mut hashes = Vec::with_capacity(all.len());
        for (path, one) in paths.iter().zip(all) {
            let (sha256, known, keep) = one?;
            if let Some(keep) = keep {
                self.kept.insert(path.canonicalize().unwrap_or_else(|_| path.clone()), keep);
            }
            hashes.push((sha256, known));
        }
        self.save();
        Ok(hashes)
    }

    /// Keeps what is known. That it cannot be kept is no failure of a merge.
    fn save(&mut self) {
        while self.kept.len() > MOST {
            self.kept.pop_first();
        }
        if let (Some(file), Ok(text)) = (&self.file, serde_json::to_vec(&self.kept)) {
            let _ = write_atomic(file, &text);
        }
    }
}

/// What the system says of a file, for hashes of what a merge depends on.
///
/// # Errors
/// [`Error::Read`].
pub fn stamp_text(path: &Path) -> Result<String> {
    let meta = std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
    let modified = meta.modified().map_or_else(|_| String::new(), |t| format!("{t:?}"));
    Ok(format!("{} {modified} {:?}", meta.len(), stamp(path)?))
}

#[cfg(unix)]
fn stamp(path: &Path) -> Result<Option<Stamp>> {
    use std::os::unix::fs::MetadataExt;
    let m = std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
    Ok(Some(Stamp {
        device: m.dev(),
        inode: m.ino(),
        size: m.size(),
        modified: (m.mtime(), m.mtime_nsec()),
        changed: (m.ctime(), m.ctime_nsec()),
    }))
}

#[cfg(not(unix))]
fn stamp(_: &Path) -> Result<Option<Stamp>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_hashed_again() {
        use std::time::Duration;
        let dir = tempfile::tempdir().unwrap();
        let (file, cache) = (dir.path().join("a"), dir.path().join("cache"));
        let write = |text: &str, age: u64| {
            std::fs::write(&file, text).unwrap();
            let then = SystemTime::now() - Duration::from_secs(age);
            std::fs::File::options().write(true).open(&file).unwrap().set_modified(then).unwrap();
        };
        let stop = Stop::default();
        let hash = || Digests::open(Some(&cache)).of(std::slice::from_ref(&file), &stop).unwrap().remove(0);
        write("one", 100);
        let first = hash();
        assert!(
            !first.1 && !hash().1,
            "a file that may still change is not remembered, however old it says it is"
        );
        std::thread::sleep(Duration::from_secs(YOUNG + 2));
        assert!(!hash().1);
        assert_eq!(hash(), (first.0.clone(), cfg!(unix)));
        // As large and as old, but not the same.
        write("two", 100);
        let second = hash();
        assert!(!second.1 && second.0 != first.0);
        std::fs::write(cache.join("digests.json"), "{").unwrap();
        assert!(!hash().1);
    }
}
