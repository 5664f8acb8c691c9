//! A checkpoint from outside: which tensors it has, and their numbers, read in pieces.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::archive;
use super::header;
use super::layout::{Tensor, places};
use super::opened::Opened;
use super::{pickle, pth, shards};
use crate::error::{Error, Result, shown};

/// As many bytes of a file are read at once; a piece stays in the processor's cache.
const PIECE: usize = 1 << 16;

/// As many numbers one thread reads.
const BLOCK: usize = 1 << 18;

/// As many bytes of a storage are held while a tensor is read whose numbers do not follow each other.
const WINDOW: u64 = 32 << 20;

/// Tensors by name, in one file or several. Only their description is in memory; numbers are read when asked for.
///
/// Three kinds are known, told apart by what is in the file and not by its ending: `.safetensors`, an index of several of them
/// (`model.safetensors.index.json`), and `.pth` files of `torch.save`. A `.pth` file is never executed: its pickle is
/// first scanned, and refused if it names anything but what tensors need.
///
/// Whatever the file holds, reading takes at most 64 MiB and four times its size of memory, each number read being one
/// of 32 bits.
///
/// # Names
/// A state dictionary gives its names. A dictionary that holds one under `state_dict`, `model_state_dict`, `model`, `module`,
/// `weights` or `params` is a training checkpoint, and only that entry is listed ([`Checkpoint::entry`] tells which); if several of
/// them hold tensors, [`Checkpoint::open_entry`] has to say which is meant. Whatever else lies in dictionaries, lists and
/// tuples gets names with dots: `{"a": [t]}` gives `a.0`.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<Opened>,
    tensors: Vec<Tensor>,
    /// The numbers of the tensors, ordered by name.
    by_name: Vec<u32>,
    entry: Option<String>,
}

impl Checkpoint {
    /// Opens a checkpoint and reads what its tensors are.
    ///
    /// # Errors
    /// [`Error::Read`] if a file cannot be read; [`Error::Model`] if it is no checkpoint, damaged, asks for more than tensors, or several
    /// entries could be meant; [`Error::Data`] for an index that leads out of its folder.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, None).map_err(|e| e.at(path.display()))
    }

    /// Opens one entry of a training checkpoint, such as `ema` or `generator`.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], and [`Error::Model`] if there is no such entry.
    pub fn open_entry(path: &Path, entry: &str) -> Result<Self> {
        Self::open_as(path, Some(entry)).map_err(|e| e.at(path.display()))
    }

    fn open_as(path: &Path, entry: Option<&str>) -> Result<Self> {
        let opened = Opened::open(path)?;
        let start = opened.bytes(0, opened.size().min(64))?;
        let is_pickle = |start: &[u8]| start.starts_with(archive::MAGIC) || start.starts_with(pth::OLD_MAGIC);
        if entry.is_some() && !is_pickle(&start) {
            return Err(Error::model("only files of torch.save have entries").remedy("name no entry"));
        }
        let (files, tensors, entry) = if header::is_meant(&start, opened.size()) {
            let tensors = header::tensors(&opened, 0)?;
            (vec![opened], tensors, None)
        } else if start.starts_with(archive::MAGIC) {
            let (tensors, entry) = pth::tensors(&opened, entry)?;
            (vec![opened], tensors, entry)
        } else if start.starts_with(pth::OLD_MAGIC) {
            let (tensors, entry) = pth::old_tensors(&opened, entry)?;
            (vec![opened], tensors, entry)
        } else if start.trim_ascii_start().starts_with(b"{") {
            let (files, tensors) = shards::open(&opened)?;
            (files, tensors, None)
        } else {
            return Err(stranger(&opened, &start));
        };
        Self::of(path, files, tensors, entry)
    }

    /// Opens a `.safetensors` file and nothing else.
    ///
    /// # Errors
    /// [`Error::Read`] if it cannot be read; [`Error::Model`] if it is no valid one.
    pub(super) fn open_safetensors(path: &Path) -> Result<Self> {
        let opened = Opened::open(path)?;
        let tensors = header::tensors(&opened, 0).map_err(|e| e.at(path.display()))?;
        Self::of(path, vec![opened], tensors, None)
    }

    fn of(path: &Path, files: Vec<Opened>, tensors: Vec<Tensor>, entry: Option<String>) -> Result<Self> {
        let by_name = by_name(&tensors)?;
        Ok(Self { path: path.to_path_buf(), files, tensors, by_name, entry })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The entry of a training checkpoint that the tensors come from, if it is one.
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// All tensors: in the order of the file, or shard by shard.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Its files: one, or the shards that the index names. [`Tensor::file`] is a place in this list.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(Opened::path)
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        let of = |i: &u32| self.tensors.get(*i as usize);
        let found = self.by_name.binary_search_by(|i| of(i).map_or("", Tensor::name).cmp(name)).ok()?;
        self.by_name.get(found).and_then(of)
    }

    /// All numbers of a tensor, row by row.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no such tensor, or its type is not one of real numbers; [`Error::Read`].
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.known(name)?;
        let mut out = vec![0.0; tensor.len()];
        match tensor.place.strides {
            None if out.len() > BLOCK => out
                .par_chunks_mut(BLOCK)
                .enumerate()
                .try_for_each(|(i, block)| self.read(tensor, i * BLOCK, block))?,
            _ => self.read(tensor, 0, &mut out)?,
        }
        Ok(out)
    }

    /// Numbers of a tensor, row by row from number `from` on, until `out` is full. So that a tensor is read in blocks, in
    /// any order and from any thread. Where numbers do not follow each other in the file (a transposed tensor in a `.pth` file), each
    /// call reads all of them.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`]; [`Error::Argument`] if the tensor has fewer.
    pub fn read_into(&self, name: &str, from: usize, out: &mut [f32]) -> Result<()> {
        let tensor = self.known(name)?;
        if from.checked_add(out.len()).is_none_or(|end| end > tensor.len()) {
            return Err(Error::argument(format!("the tensor \"{name}\" has no such numbers"))
                .at(self.path.display())
                .expected(format!("numbers 0 to {}", tensor.len()))
                .got(format!("{} numbers from {from} on", out.len())));
        }
        self.read(tensor, from, out)
    }

    /// Bytes of a tensor as they are in its file, little-endian, row by row, from byte `from` on, until `out` is full. From any thread.
    ///
    /// # Errors
    /// [`Error::Argument`] if the tensor has fewer bytes, or its numbers do not follow each other in the file
    /// ([`Tensor::is_dense`]); [`Error::Read`].
    pub fn read_bytes(&self, tensor: &Tensor, from: usize, out: &mut [u8]) -> Result<()> {
        let there = tensor.len() * tensor.dtype().bytes();
        if !tensor.is_dense() || from.checked_add(out.len()).is_none_or(|end| end > there) {
            return Err(Error::argument(format!("the tensor \"{}\" has no such bytes", tensor.name()))
                .at(self.path.display())
                .expected(format!("bytes 0 to {there}, row by row"))
                .got(format!("{} bytes from {from} on", out.len())));
        }
        self.file(tensor)?.fill(tensor.place.start + from as u64, out)
    }

    /// The bytes of a tensor of a `.safetensors` file, as they are there.
    pub(super) fn raw(&self, tensor: &Tensor) -> Result<Vec<u8>> {
        self.file(tensor)?.bytes(tensor.place.start, tensor.len() as u64 * tensor.dtype().bytes() as u64)
    }

    fn known(&self, name: &str) -> Result<&Tensor> {
        let Some(tensor) = self.tensor(name) else {
            return Err(
                Error::model(format!("the checkpoint has no tensor \"{name}\"")).at(self.path.display())
            );
        };
        if tensor.dtype().is_real() {
            return Ok(tensor);
        }
        Err(Error::model(format!("the tensor \"{name}\" has a type that cannot be read"))
            .at(self.path.display())
            .expected("real numbers of 16, 32 or 64 bits, integers or truth values")
            .got(tensor.dtype()))
    }

    fn file(&self, tensor: &Tensor) -> Result<&Opened> {
        self.files.get(tensor.place.file).ok_or_else(|| Error::internal("a tensor lies in no file"))
    }

    fn read(&self, tensor: &Tensor, from: usize, out: &mut [f32]) -> Result<()> {
        let (file, dtype, start) = (self.file(tensor)?, tensor.dtype(), tensor.place.start);
        let width = dtype.bytes();
        match &tensor.place.strides {
            None => {
                let mut piece = vec![0; PIECE.min(out.len() * width)];
                let mut at = start + (from * width) as u64;
                for out in out.chunks_mut(PIECE / width) {
                    let bytes = piece.get_mut(..out.len() * width).unwrap_or_default();
                    file.fill(at, bytes)?;
                    dtype.decode(bytes, out);
                    at += bytes.len() as u64;
                }
            }
            Some(strides) => {
                let span =
                    tensor.shape().iter().zip(strides).map(|(&n, &s)| (n as u64 - 1) * s).sum::<u64>() + 1;
                let window = WINDOW / width as u64;
                for first in (0..span).step_by(window as usize) {
                    let numbers = window.min(span - first);
                    let bytes = file.bytes(start + first * width as u64, numbers * width as u64)?;
                    for (out, place) in out.iter_mut().zip(places(tensor.shape(), strides, from)) {
                        let Some(at) = place.checked_sub(first).filter(|&at| at < numbers) else { continue };
                        let at = at as usize * width;
                        dtype
                            .decode(bytes.get(at..at + width).unwrap_or_default(), std::slice::from_mut(out));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The order of the names.
///
/// # Errors
/// [`Error::Model`] if a name is there twice.
fn by_name(tensors: &[Tensor]) -> Result<Vec<u32>> {
    let name = |i: &u32| tensors.get(*i as usize).map_or("", Tensor::name);
    let mut order: Vec<u32> = (0..tensors.len()).filter_map(|i| u32::try_from(i).ok()).collect();
    order.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    let twice = order.windows(2).find_map(|pair| match pair {
        [a, b] if name(a) == name(b) => Some(name(a)),
        _ => None,
    });
    match twice {
        None => Ok(order),
        Some(name) => Err(Error::model(format!("two tensors have the name \"{}\"", shown(name, 100)))
            .expected("each tensor once")
            .remedy("get it again, or save it again with each tensor in one file")),
    }
}

/// The error about a file that is no checkpoint; one that asks to run something is told so.
fn stranger(opened: &Opened, start: &[u8]) -> Error {
    const LONGEST: u64 = 1 << 20;
    if opened.size() == 0 {
        return Error::model("the file is empty").expected("a checkpoint").remedy("get it again");
    }
    if start.starts_with(b"version https://git-lfs") {
        return Error::model("the file is a pointer of Git LFS and not the checkpoint itself")
            .remedy("run git lfs pull where it was cloned");
    }
    let bytes = opened.bytes(0, opened.size().min(LONGEST)).unwrap_or_default();
    // With a protocol's number, or without one in the oldest, where only the end shows that it is none of many texts.
    let is_pickle = matches!(bytes.as_slice(), [0x80, 0..=5, ..] | [b'c' | b'(', .., b'.']);
    if let Some(error) = is_pickle.then(|| pickle::scan(&bytes).err()).flatten() {
        return error;
    }
    Error::model("the file is no checkpoint that can be read")
        .expected("safetensors, an index of several, or a file of torch.save")
        .remedy("save the weights with torch.save(model.state_dict(), path), or as safetensors")
}
