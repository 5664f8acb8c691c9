//! A file that is read in pieces, from several threads.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An open regular file.
#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Opened {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Read`] if it cannot be opened; [`Error::Model`] for a folder, pipe or device.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let kind = std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
        if !kind.is_file() {
            return Err(Error::model("this is no file").at(path.display()).expected("a checkpoint"));
        }
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let size = file.metadata().map_err(|e| Error::read(path, e))?.len();
        Ok(Self { path: path.to_path_buf(), file, size })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Fills `out` with what lies at `start`.
    pub(super) fn fill(&self, start: u64, out: &mut [u8]) -> Result<()> {
        read_exact_at(&self.file, out, start).map_err(|e| Error::read(&self.path, e))
    }

    /// The `len` bytes at `start`. Memory is taken only for what the file has.
    ///
    /// # Errors
    /// [`Error::Model`] if they are not all in the file.
    pub(super) fn bytes(&self, start: u64, len: u64) -> Result<Vec<u8>> {
        let there = start.checked_add(len).is_some_and(|end| end <= self.size);
        let Some(len) = usize::try_from(len).ok().filter(|_| there) else {
            return Err(self.cut_short(start.saturating_add(len)));
        };
        let mut out = vec![0; len];
        self.fill(start, &mut out)?;
        Ok(out)
    }

    /// The error about a file that should go on to `end`.
    pub(super) fn cut_short(&self, end: u64) -> Error {
        Error::model("the file is damaged or cut short")
            .expected(format!("at least {end} bytes"))
            .got(format!("{} bytes", self.size))
            .remedy("get it again")
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], start: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, start)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut start: u64) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !out.is_empty() {
        match file.seek_read(out, start)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                out = out.get_mut(n..).unwrap_or_default();
                start += n as u64;
            }
        }
    }
    Ok(())
}
