//! One merge at a time into a folder: a locked file beside it, which goes with the merge.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

use super::journal::{beside, parent};

/// So often another process may take the file away before it is locked.
const TRIES: usize = 100;

/// Held as long as a merge into a folder is at work; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Locks a goal. The folder that it will lie in is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Argument`] if another process merges into it; [`Error::Write`].
    pub fn take(goal: &Path) -> Result<Self> {
        let mut name: OsString = beside(goal).into();
        name.push(".lock");
        let path = PathBuf::from(name);
        let write = |e| Error::write(&path, e);
        let parent = parent(goal);
        fs::create_dir_all(parent).map_err(|e| Error::write(parent, e))?;
        for _ in 0..TRIES {
            let file =
                OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(write)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(
                        Error::argument("another process is merging into this folder").at(goal.display())
                    );
                }
                // A file system without locks: merging alone is all that can be asked for.
                Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(e)) => return Err(write(e)),
            }
            // Whoever held it before may have removed it since: then this is a file without a name.
            if same(&file, &path) {
                return Ok(Self { path, _file: file });
            }
        }
        Err(Error::argument("other processes are merging into this folder").at(goal.display()))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(unix)]
fn same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(a), Ok(b)) = (file.metadata(), fs::metadata(path)) else { return false };
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let goal = dir.path().join("a/b");
        let lock = Lock::take(&goal).unwrap();
        assert_eq!(Lock::take(&goal).unwrap_err().exit_code(), 2);
        drop(lock);
        drop(Lock::take(&goal).unwrap());
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 0);
    }
}
