//! What of a merge is done: one line for each finished file, so that a merge that was killed goes on.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The journal's name in the folder of a merge that is not done.
const NAME: &str = "journal.jsonl";

/// A finished file of the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Its name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its contents.
    pub sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
}

/// The folder of a merge at work: hidden beside its goal, held by one process at a time.
pub struct Journal {
    dir: PathBuf,
    file: File,
    /// Files that were finished before.
    pub finished: Vec<Finished>,
}

impl Journal {
    /// Opens the folder of a merge into `goal`. With `resume` what was finished by a merge with the same key is kept; without, all of it
    /// is removed.
    ///
    /// # Errors
    /// [`Error::Argument`] if another process is at it, or there is nothing to go on with; [`Error::Write`].
    pub fn open(goal: &Path, key: &str, resume: bool) -> Result<Self> {
        let dir = beside(goal);
        let path = dir.join(NAME);
        let write = |e| Error::write(&path, e);
        let nothing = || {
            Error::argument("there is nothing to go on with")
                .at("--resume")
                .expected("a merge into the same folder that was stopped after its first file")
                .remedy("leave --resume out to begin it")
        };
        if resume && !path.exists() {
            return Err(nothing());
        }
        fs::create_dir_all(&dir).map_err(|e| Error::write(&dir, e))?;
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(&path).map_err(write)?;
        if file.try_lock().is_err() {
            return Err(Error::argument("another process is merging into this folder").at(goal.display()));
        }
        let text = fs::read_to_string(&path).map_err(|e| Error::read(&path, e))?;
        let mut lines = text.lines();
        let head: Option<Head> = lines.next().and_then(|l| serde_json::from_str(l).ok());
        if resume {
            match head {
                None => return Err(nothing()),
                Some(head) if head.key != key => {
                    return Err(Error::argument("what was begun is another merge")
                        .at("--resume")
                        .expected("the same merge file, options, program and models as before")
                        .remedy("leave --resume out to begin anew"));
                }
                Some(_) => {}
            }
            // The last line may have been cut by the end of the process.
            let finished: Vec<Finished> = lines.map_while(|l| serde_json::from_str(l).ok()).collect();
            let finished = finished
                .into_iter()
                .filter(|f| dir.join(&f.file).metadata().is_ok_and(|m| m.len() == f.bytes));
            let finished: Vec<Finished> = finished.collect();
            return Ok(Self { dir, file, finished });
        }
        clear(&dir)?;
        file.set_len(0).map_err(write)?;
        let line = serde_json::to_string(&Head { key: key.to_owned() }).unwrap_or_default() + "\n";
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(write)?;
        Ok(Self { dir, file, finished: Vec::new() })
    }

    /// Where the result's files are written.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Notes a finished file, which is on the disk already.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn finish(&mut self, done: Finished) -> Result<()> {
        let line = serde_json::to_string(&done).unwrap_or_default() + "\n";
        let path = self.dir.join(NAME);
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(|e| Error::write(path, e))?;
        self.finished.push(done);
        Ok(())
    }

    /// Ends the journal: what is left in the folder is the result.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn close(self) -> Result<PathBuf> {
        let path = self.dir.join(NAME);
        fs::remove_file(&path).map_err(|e| Error::write(path, e))?;
        Ok(self.dir)
    }

    /// Removes everything: for a merge that failed and cannot go on.
    pub fn discard(self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The folder of an unfinished merge into `goal`.
pub fn beside(goal: &Path) -> PathBuf {
    let name = goal.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let parent = goal.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.join(format!(".csl-merge-{name}"))
}

/// Removes everything in a folder but the journal.
fn clear(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|e| Error::read(dir, e))?.flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|n| n == NAME) {
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|e| Error::write(&path, e))?;
    }
    Ok(())
}
