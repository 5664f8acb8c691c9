//! One file of the result as it is written: blocks come in any order and go out in the order of the file, hashed on their way.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consilience_core::files::Sha256;
use consilience_core::{Error, Result};

/// So many bytes are written at once.
const CHUNK: usize = 4 << 20;
/// Writes past the system's cache begin and end at multiples of this, in the file and in memory.
const ALIGN: usize = 4096;
/// So many chunks wait to be written or hashed, each.
const WAITING: usize = 3;

/// So many bytes may come before those in front of them until threads wait.
const EARLY: usize = 8 << 20;
/// As long a thread waits for bytes in front of its own.
const PATIENCE: Duration = Duration::from_secs(2);

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
    /// Their bytes.
    waiting: usize,
    senders: Option<[SyncSender<Arc<Chunk>>; 2]>,
}

/// A file that is being written.
pub struct Output {
    path: PathBuf,
    stage: Mutex<Stage>,
    /// Told when bytes have gone on.
    moved: Condvar,
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
                waiting: 0,
                senders: Some([hash_to, write_to]),
            }),
            moved: Condvar::new(),
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
        let begun = Instant::now();
        // A thread that is held up must not fill the memory with what the others make meanwhile. They wait for it, but not for ever: it
        // may have failed.
        while offset != stage.next && stage.waiting > EARLY && begun.elapsed() < PATIENCE {
            let woken = self.moved.wait_timeout(stage, PATIENCE);
            stage = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        if offset != stage.next {
            stage.waiting += bytes.len();
            stage.early.insert(offset, bytes.to_vec());
            return Ok(());
        }
        self.in_order(&mut stage, bytes)?;
        while let Some(early) = {
            let next = stage.next;
            stage.early.remove(&next)
        } {
            stage.waiting = stage.waiting.saturating_sub(early.len());
            self.in_order(&mut stage, &early)?;
        }
        drop(stage);
        self.moved.notify_all();
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
    if bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::files::sha256_file;

    fn written(path: &Path, blocks: &[(u64, Vec<u8>)], reserved: u64) -> Result<String> {
        std::thread::scope(|scope| {
            let (output, ends) = Output::begin(scope, path, reserved)?;
            let put = blocks.iter().try_for_each(|(at, bytes)| output.put(*at, bytes));
            put.and_then(|()| output.end(ends))
        })
    }

    #[test]
    fn blocks_in_any_order_make_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for total in [0usize, 1, ALIGN, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5] {
            let all: Vec<u8> = (0..total).map(|i| (i * 31 / 7) as u8).collect();
            let cuts = all.chunks(100_003).enumerate();
            let mut blocks: Vec<(u64, Vec<u8>)> =
                cuts.map(|(i, b)| (i as u64 * 100_003, b.to_vec())).collect();
            for pair in blocks.chunks_mut(3) {
                pair.reverse();
            }
            let hash = written(&path, &blocks, total as u64).unwrap();
            assert!(std::fs::read(&path).unwrap() == all, "{total}");
            assert_eq!(hash, sha256_file(&path).unwrap());
        }
        let gap = written(&path, &[(0, vec![1]), (5, vec![2])], 6).unwrap_err();
        assert_eq!(gap.exit_code(), 70);
    }

    #[test]
    fn space_that_goes_while_a_file_is_written_is_told() {
        // Takes what is written, and never has room.
        let full = Path::new("/dev/full");
        if !full.exists() {
            println!("skipped: this system has no /dev/full");
            return;
        }
        let blocks: Vec<(u64, Vec<u8>)> = (0..40).map(|i| (i << 20, vec![1; 1 << 20])).collect();
        let error = written(full, &blocks, 40 << 20).unwrap_err();
        let is_full = |e: &Error| matches!(e, Error::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull);
        assert!(is_full(&error) && error.exit_code() == 74, "{error:?}");
    }
}
