//! What of a merge is done: one line for each finished file, so that a merge that was killed goes on.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use consilience_core::files::sha256_bytes;
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::listed::{Listed, State};

/// The journal's name in the folder of a merge that is not done.
const NAME: &str = "journal.jsonl";

/// The longest name of a goal that is a part of the names of what lies beside it, in bytes.
const LONGEST_NAME: usize = 200;

/// A finished file of the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Its name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its contents.
    pub sha256: String,
    /// What the user should know of its tensors.
    #[serde(default)]
    pub notes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
}

/// The folder of a merge at work, hidden beside its goal. Whoever opens it holds the goal's [`Lock`](super::lock::Lock).
pub struct Journal {
    dir: PathBuf,
    file: File,
    /// Files that were finished before.
    pub finished: Vec<Finished>,
}

impl Journal {
    /// Opens the folder of a merge into `goal`. With `resume` what was finished by a merge with the same key is kept; without, or where
    /// nothing was begun, all of it is removed.
    ///
    /// # Errors
    /// [`Error::Argument`] if what was begun is another merge; [`Error::Write`], and then nothing is left.
    pub fn open(goal: &Path, key: &str, resume: bool) -> Result<Self> {
        let dir = beside(goal);
        let path = dir.join(NAME);
        if resume && let Some(text) = fs::read(&path).ok().map(|b| String::from_utf8_lossy(&b).into_owned()) {
            // The last line may have been cut by the end of the process; what is whole ends with a line's end.
            let lines = || text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
            let head = lines().next().and_then(|l| Some((l.len(), serde_json::from_str::<Head>(l).ok()?)));
            if let Some((begin, head)) = head {
                if head.key != key {
                    return Err(another());
                }
                return Self::go_on(dir, lines().skip(1), begin as u64);
            }
        }
        let new = || -> Result<Self> {
            let write = |e| Error::write(&path, e);
            fs::create_dir_all(&dir).map_err(|e| Error::write(&dir, e))?;
            clear(&dir)?;
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).open(&path).map_err(write)?;
            let line = serde_json::to_string(&Head { key: key.to_owned() }).unwrap_or_default() + "\n";
            file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(write)?;
            Ok(Self { dir: dir.clone(), file, finished: Vec::new() })
        };
        new().inspect_err(|_| {
            let _ = fs::remove_dir_all(&dir);
        })
    }

    /// Keeps what was finished and is still as it was, and removes the rest.
    fn go_on<'l>(dir: PathBuf, lines: impl Iterator<Item = &'l str>, begin: u64) -> Result<Self> {
        let path = dir.join(NAME);
        let write = |e| Error::write(&path, e);
        let (mut finished, mut end) = (Vec::<Finished>::new(), begin);
        for line in lines {
            let Ok(one) = serde_json::from_str::<Finished>(line) else { break };
            let listed = Listed { file: one.file.clone(), bytes: one.bytes, sha256: one.sha256.clone() };
            if !is_plain(&one.file) || listed.state(&dir, u64::MAX)? != State::Sound {
                break;
            }
            end += line.len() as u64;
            finished.push(one);
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(write)?;
        file.set_len(end).map_err(write)?;
        for entry in fs::read_dir(&dir).map_err(|e| Error::read(&dir, e))?.flatten() {
            let name = entry.file_name();
            if name != NAME && finished.iter().all(|f| name != f.file.as_str()) {
                remove(&entry.path())?;
            }
        }
        Ok(Self { dir, file, finished })
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

/// The error about a merge that was begun and is not the one that is to go on.
pub fn another() -> Error {
    Error::argument("what was begun is another merge")
        .at("--resume")
        .expected("the same merge file, options, program and models as before")
        .remedy("leave --resume out to begin anew")
}

/// The folder in which a goal lies.
pub fn parent(goal: &Path) -> &Path {
    goal.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder of an unfinished merge into `goal`.
pub fn beside(goal: &Path) -> PathBuf {
    let mut name = OsString::from(".csl-merge-");
    let own = goal.file_name().unwrap_or_default();
    match own.as_encoded_bytes() {
        // With what goes before and behind it, it would be too long for a name.
        bytes if bytes.len() > LONGEST_NAME => name.push(sha256_bytes(bytes)),
        _ => name.push(own),
    }
    parent(goal).join(name)
}

/// A name in a folder and no path.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

fn remove(path: &Path) -> Result<()> {
    let folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
    let removed = if folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|e| Error::write(path, e))
}

/// Removes everything in a folder.
fn clear(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|e| Error::read(dir, e))?.flatten() {
        remove(&entry.path())?;
    }
    Ok(())
}
