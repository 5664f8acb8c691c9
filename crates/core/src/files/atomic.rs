//! Writes that are there whole or not at all: temporary beside the goal, fsync, rename, fsync of the folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// How the names of unfinished files and folders begin.
pub const STRAY_PREFIX: &str = ".csl-tmp-";

static COUNTER: AtomicU64 = AtomicU64::new(0);

fn temporary_beside(goal: &Path) -> PathBuf {
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = goal.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    parent_of(goal).join(format!("{STRAY_PREFIX}{}-{n}-{name}", std::process::id()))
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::write(dir, e))
}

/// Writes `bytes` to `path`: after a crash there is the old file or the new one, never a part.
///
/// # Errors
/// [`Error::Write`] naming the path.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::begin(path)?;
    file.write_all(bytes).map_err(|e| Error::write(path, e))?;
    file.commit()
}

/// A file that is written piece by piece and appears under its name only when [`AtomicFile::commit`] is called; dropped before, it is
/// removed.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    goal: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Starts a file that will be `goal`; folders that lack are made.
    ///
    /// # Errors
    /// [`Error::Write`] naming the path.
    pub fn begin(goal: &Path) -> Result<Self> {
        let parent = parent_of(goal);
        fs::create_dir_all(&parent).map_err(|e| Error::write(&parent, e))?;
        let temporary = temporary_beside(goal);
        let file = File::create(&temporary).map_err(|e| Error::write(goal, e))?;
        Ok(Self { file, temporary, goal: goal.to_path_buf(), committed: false })
    }

    /// Puts the file in its place. One that is there already is replaced.
    ///
    /// # Errors
    /// [`Error::Write`] naming the goal.
    pub fn commit(mut self) -> Result<()> {
        let placed = self.file.sync_all().and_then(|()| fs::rename(&self.temporary, &self.goal));
        placed.map_err(|e| Error::write(&self.goal, e))?;
        self.committed = true;
        sync_dir(&parent_of(&self.goal))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // The stray is swept later if even this fails.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A folder that appears under its name only when [`AtomicDir::commit`] is called; dropped before, it is removed.
#[derive(Debug)]
pub struct AtomicDir {
    temporary: PathBuf,
    goal: PathBuf,
    committed: bool,
}

impl AtomicDir {
    /// Starts a folder that will be `goal`.
    ///
    /// # Errors
    /// [`Error::Write`] if the temporary folder cannot be made.
    pub fn begin(goal: impl Into<PathBuf>) -> Result<Self> {
        let goal = goal.into();
        let temporary = temporary_beside(&goal);
        fs::create_dir_all(&temporary).map_err(|e| Error::write(&goal, e))?;
        Ok(Self { temporary, goal, committed: false })
    }

    /// Where to write until the commit.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Puts the folder in its place. One that is there already is replaced.
    ///
    /// # Errors
    /// [`Error::Write`] naming the goal.
    pub fn commit(mut self) -> Result<()> {
        sync_tree(&self.temporary)?;
        put_in_place(&self.temporary, &self.goal)?;
        self.committed = true;
        Ok(())
    }
}

/// Moves a folder to its goal. One that is there already is replaced: at any moment there is the old folder or the new one.
///
/// # Errors
/// [`Error::Write`] naming the goal.
pub fn put_in_place(folder: &Path, goal: &Path) -> Result<()> {
    let parent = parent_of(goal);
    if !goal.exists() {
        fs::rename(folder, goal).map_err(|e| Error::write(goal, e))?;
        return sync_dir(&parent);
    }
    let old = if exchange(folder, goal) {
        folder.to_path_buf()
    } else {
        let old = temporary_beside(goal);
        fs::rename(goal, &old).map_err(|e| Error::write(goal, e))?;
        if let Err(e) = fs::rename(folder, goal) {
            // Better the old one than none.
            let _ = fs::rename(&old, goal);
            return Err(Error::write(goal, e));
        }
        old
    };
    sync_dir(&parent)?;
    fs::remove_dir_all(&old).map_err(|e| Error::write(&old, e))
}

/// Exchanges two folders in one step, where the system can.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> bool {
    false
}

impl Drop for AtomicDir {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Waits until everything below a folder is on the disk.
///
/// # Errors
/// [`Error::Write`] naming the file.
pub fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|e| Error::read(dir, e))? {
        let path = entry.map_err(|e| Error::read(dir, e))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path).and_then(|f| f.sync_all()).map_err(|e| Error::write(&path, e))?;
        }
    }
    sync_dir(dir)
}

/// Removes what a killed process left unfinished in `dir` (not below it). Strays of a running process stay.
///
/// # Errors
/// [`Error::Write`] if a stray cannot be removed.
pub fn sweep_strays(dir: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(STRAY_PREFIX) else { continue };
        let alive = rest.split('-').next().is_some_and(|pid| {
            pid != std::process::id().to_string() && Path::new("/proc").join(pid).exists()
        });
        if alive {
            continue;
        }
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|e| Error::write(&path, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let goal = root.path().join("model");
        let dir = AtomicDir::begin(&goal).unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        assert!(!goal.exists());
        drop(dir);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        for content in ["1", "2"] {
            let dir = AtomicDir::begin(&goal).unwrap();
            fs::write(dir.path().join("a"), content).unwrap();
            dir.commit().unwrap();
            assert_eq!(fs::read_to_string(goal.join("a")).unwrap(), content);
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn strays_are_swept_and_files_are_replaced() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(format!("{STRAY_PREFIX}4294967-0-x")), "half").unwrap();
        let path = root.path().join("x");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        sweep_strays(root.path()).unwrap();
        let names: Vec<_> = fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["x"]);
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn an_unwritable_place_is_named() {
        let error = write_atomic(Path::new("/proc/nowhere/x"), b"").unwrap_err();
        assert_eq!(error.exit_code(), 74);
        assert!(error.to_string().contains("/proc/nowhere"), "{error}");
    }
}
