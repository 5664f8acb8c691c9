//! One file of the result as it is written: blocks come in any order and go out in the order of the file, hashed on their way.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use consilience_core::files::Sha256;
use consilience_core::{Error, Result};

/// So many bytes are written at once.
const CHUNK: usize = 4 << 20;
/// Writes past the system's cache begin and end at multiples of this, in the file and in memory.
const ALIGN: usize = 4096;
/// So many chunks wait to be written or hashed, each.
const WAITING: usize = 3;

/// Bytes that are written at once. When nobody needs them any more their memory is used again.
struct Chunk {
    memory: Vec<u8>,
    /// Where the aligned part begins.
    start: usize,
    len: usize,
    offset: u64,
    pool: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Chunk {
    fn new(pool: &Arc<Mutex<Vec<Vec<u8>>>>, offset: u64) -> Self {
        let free = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = free.unwrap_or_else(|| vec![0; CHUNK + ALIGN]);
        let start = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { memory, start, len: 0, offset, pool: Arc::clone(pool) }
    }

    /// Takes as many bytes as there is room for, and says how many.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(CHUNK - self.len);
        let from = self.start + self.len;
        if let (Some(room), Some(bytes)) = (self.memory.get_mut(from..from + n), bytes.get(..n)) {
            room.copy_from_slice(bytes);
        }
        self.len += n;
        n
    }

    fn is_full(&self) -> bool {
        self.len == CHUNK
    }

    fn bytes(&self, len: usize) -> &[u8] {
        self.memory.get(self.start..self.start + len).unwrap_or_default()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }
}

/// What is between blocks that come and chunks that go.
struct Stage {
    /// The first byte that has not come in order yet.
    next: u64,
    chunk: Chunk,
    /// Blocks that came before those in front of them.
    early: BTreeMap<u64, Vec<u8>>,
    senders: Option<[SyncSender<Arc<Chunk>>; 2]>,
}

/// A file that is being written.
pub struct Output {
    path: PathBuf,
    stage: Mutex<Stage>,
    pool: Arc<Mutex<Vec<Vec<u8>>>>,
    failed: Arc<Mutex<Option<std::io::Error>>>,
    has_failed: Arc<AtomicBool>,
}

/// The threads of a file: what they give when all bytes are there.
pub struct Ends<'s> {
    hash: std::thread::ScopedJoinHandle<'s, String>,
    write: std::thread::ScopedJoinHandle<'s, std::io::Result<()>>,
}

impl Output {
    /// Starts a file of `bytes` bytes, whose space is taken at once where the file system can.
    ///
    /// # Errors
    /// [`Error::Write`] if it cannot be made, or there is no room for it.
    pub fn begin<'s>(
        scope: &'s std::thread::Scope<'s, '_>,
        path: &Path,
        bytes: u64,
    ) -> Result<(Self, Ends<'s>)> {
        let failed = |e| Error::write(path, e);
        let plain = OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(failed)?;
        reserve(&plain, bytes).map_err(failed)?;
        let direct = past_the_cache(path);
        let (hash_to, hash_from) = sync_channel::<Arc<Chunk>>(WAITING);
        let (write_to, write_from) = sync_channel::<Arc<Chunk>>(WAITING);
        let pool = Arc::new(Mutex::new(Vec::new()));
        let output = Self {
            path: path.to_path_buf(),
            stage: Mutex::new(Stage {
                next: 0,
                chunk: Chunk::new(&pool, 0),
                early: BTreeMap::new(),
                senders: Some([hash_to, write_to]),
            }),
            pool,
            failed: Arc::default(),
            has_failed: Arc::default(),
        };
        let hash = scope.spawn(move || {
            let mut hash = Sha256::new();
            for chunk in hash_from {
                hash.update(chunk.bytes(chunk.len));
            }
            hash.finish()
        });
        let (slot, flag) = (Arc::clone(&output.failed), Arc::clone(&output.has_failed));
        let write = scope.spawn(move || {
            let done = write_all(&plain, direct.as_ref(), write_from, bytes, |e| {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
                flag.store(true, Ordering::Release);
            });
            done.and_then(|()| plain.sync_all())
        });
        Ok((output, Ends { hash, write }))
    }

    /// Takes bytes of the file from `offset` on, each byte once, in any order.
    ///
    /// # Errors
    /// [`Error::Write`] if the disk failed, also at earlier bytes.
    pub fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.has_failed.load(Ordering::Acquire) {
            return Err(self.failure());
        }
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if offset != stage.next {
            stage.early.insert(offset, bytes.to_vec());
            return Ok(());
        }
        self.in_order(&mut stage, bytes)?;
        while let Some(early) = {
            let next = stage.next;
            stage.early.remove(&next)
        } {
            self.in_order(&mut stage, &early)?;
        }
        Ok(())
    }

    fn in_order(&self, stage: &mut Stage, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let n = stage.chunk.take(bytes);
            stage.next += n as u64;
            bytes = bytes.get(n..).unwrap_or_default();
            if stage.chunk.is_full() {
                self.send(stage)?;
            }
        }
        Ok(())
    }

    fn send(&self, stage: &mut Stage) -> Result<()> {
        let fresh = Chunk::new(&self.pool, stage.next);
        let full = Arc::new(std::mem::replace(&mut stage.chunk, fresh));
        for sender in stage.senders.iter().flatten() {
            if sender.send(Arc::clone(&full)).is_err() {
                return Err(self.failure());
            }
        }
        Ok(())
    }

    fn failure(&self) -> Error {
        // Whichever thread asks gets the same answer.
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let source = failed.as_ref().map(|e| std::io::Error::new(e.kind(), e.to_string()));
        Error::write(&self.path, source.unwrap_or_else(|| std::io::Error::other("the disk failed")))
    }

    /// Ends the file: everything is on the disk when this returns. Gives its SHA-256.
    ///
    /// # Errors
    /// [`Error::Write`] if the disk failed.
    pub fn end(self, ends: Ends<'_>) -> Result<String> {
        let sent = {
            let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
            let sent = if stage.chunk.len > 0 { self.send(&mut stage) } else { Ok(()) };
            stage.senders = None;
            let complete = stage.early.is_empty();
            sent.and(if complete { Ok(()) } else { Err(Error::internal("a file of the result has a gap")) })
        };
        let died = |_| Error::internal("a thread that writes has died");
        let hash = ends.hash.join().map_err(died)?;
        let written = ends.write.join().map_err(died)?;
        sent?;
        written.map_err(|e| Error::write(&self.path, e))?;
        Ok(hash)
    }
}

/// Writes chunks as they come. After a failure, which is told, the rest is taken and dropped.
fn write_all(
    plain: &File,
    direct: Option<&File>,
    chunks: Receiver<Arc<Chunk>>,
    bytes: u64,
    tell: impl Fn(std::io::Error),
) -> std::io::Result<()> {
    let mut padded = false;
    let mut direct = direct;
    let mut done = Ok(());
    for chunk in chunks {
        if done.is_err() {
            continue;
        }
        let whole = chunk.len.next_multiple_of(ALIGN);
        let past = direct.map(|file| write_at(file, chunk.bytes(whole), chunk.offset));
        done = match past {
            Some(Ok(())) => {
                padded |= whole != chunk.len;
                Ok(())
            }
            // Some file systems take the flag and then no such write.
            Some(Err(e)) if e.kind() == std::io::ErrorKind::InvalidInput => {
                direct = None;
                write_at(plain, chunk.bytes(chunk.len), chunk.offset)
            }
            Some(Err(e)) => Err(e),
            None => write_at(plain, chunk.bytes(chunk.len), chunk.offset),
        };
        if let Err(e) = &done {
            tell(std::io::Error::new(e.kind(), e.to_string()));
        }
    }
    done?;
    if padded { plain.set_len(bytes) } else { Ok(()) }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let n = file.seek_write(bytes, offset)?;
        bytes = bytes.get(n..).unwrap_or_default();
        offset += n as u64;
    }
    Ok(())
}

/// The file once more, for writes that do not go through the system's cache: they take no processor time, and leave in the cache what
/// is read. `None` where that cannot be.
#[cfg(target_os = "linux")]
fn past_the_cache(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flag = rustix::fs::OFlags::DIRECT.bits() as i32;
    OpenOptions::new().write(true).custom_flags(flag).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn past_the_cache(_: &Path) -> Option<File> {
    None
}

/// Takes the space of a file at once, so that a full disk is known before hours of work.
#[cfg(target_os = "linux")]
fn reserve(file: &File, bytes: u64) -> std::io::Result<()> {
    use rustix::io::Errno;
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes.max(1)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64) -> std::io::Result<()> {
    Ok(())
}
