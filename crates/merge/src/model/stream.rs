//! A tensor of a model as a stream of 32-bit floats: cast, with its adapter added, with its rows in another order.

use std::cell::RefCell;

use consilience_core::weights::{Checkpoint, Dtype, Tensor};
use consilience_core::{Error, Result};

use super::Model;
use super::lora::Product;
use crate::kernels::{decode, decodes, round};
use crate::work::Numbers;

/// So many bytes of a file are read at once: they stay in the processor's cache until they are numbers.
const PIECE: usize = 1 << 16;

thread_local! {
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One tensor of a model.
#[derive(Debug)]
pub struct Stream<'a> {
    checkpoint: &'a Checkpoint,
    tensor: &'a Tensor,
    cast: Option<Dtype>,
    product: Option<Product>,
}

impl<'a> Stream<'a> {
    /// The tensor `name` of a model. With `cast` its numbers are first rounded to that type.
    ///
    /// # Errors
    /// [`Error::Model`] if there is none, or its type cannot be read.
    pub fn open(model: &'a Model, name: &str, cast: Option<Dtype>) -> Result<Self> {
        let missing = || Error::model(format!("the tensor \"{name}\" is missing")).at(&model.name);
        let replaced = model.lora.as_ref().and_then(|l| Some((l.checkpoint(), l.replaced(name)?)));
        let (checkpoint, own) = replaced.unwrap_or((&model.checkpoint, name));
        let tensor = checkpoint.tensor(own).ok_or_else(missing)?;
        let product = match &model.lora {
            Some(lora) => lora.product(name, tensor.shape()).map_err(|e| e.at(&model.name))?,
            None => None,
        };
        let cast = cast.filter(|c| *c != tensor.dtype() || product.is_some());
        Ok(Self { checkpoint, tensor, cast, product })
    }

    /// The numbers of a row.
    pub fn columns(&self) -> usize {
        self.tensor.shape().get(1..).map_or(1, |rest| rest.iter().product())
    }
}

impl Numbers for Stream<'_> {
    fn read(&self, from: usize, out: &mut [f32]) -> Result<()> {
        let dtype = self.tensor.dtype();
        if decodes(dtype) && self.tensor.is_dense() {
            let width = dtype.bytes();
            BYTES.with_borrow_mut(|bytes| -> Result<()> {
                bytes.resize(PIECE, 0);
                let mut at = from * width;
                for out in out.chunks_mut(PIECE / width) {
                    let piece = bytes.get_mut(..out.len() * width).unwrap_or_default();
                    self.checkpoint.read_bytes(self.tensor, at, piece)?;
                    decode(dtype, piece, out);
                    at += piece.len();
                }
                Ok(())
            })?;
        } else {
            self.checkpoint.read_into(self.tensor.name(), from, out)?;
        }
        if let Some(product) = &self.product {
            product.add(from, out);
        }
        if let Some(cast) = self.cast {
            round(cast, out);
        }
        Ok(())
    }
}

/// A tensor whose rows come from elsewhere: each is a mean of rows of some streams, or zero.
#[derive(Debug)]
pub struct Rows<'a> {
    /// The streams.
    pub streams: Vec<Stream<'a>>,
    /// The numbers of a row.
    pub columns: usize,
    /// For each row the streams and rows whose mean it is.
    pub rows: Vec<Box<[(u32, u32)]>>,
}

impl Numbers for Rows<'_> {
    fn read(&self, from: usize, out: &mut [f32]) -> Result<()> {
        let columns = self.columns.max(1);
        let mut other = Vec::new();
        let mut done = 0;
        while done < out.len() {
            let (row, column) = ((from + done) / columns, (from + done) % columns);
            let len = (columns - column).min(out.len() - done);
            let piece = out.get_mut(done..done + len).unwrap_or_default();
            let sources = self.rows.get(row).map(AsRef::as_ref).unwrap_or_default();
            piece.fill(0.0);
            for (i, (stream, row)) in sources.iter().enumerate() {
                let Some(stream) = self.streams.get(*stream as usize) else { continue };
                let start = *row as usize * columns + column;
                if i == 0 {
                    stream.read(start, piece)?;
                } else {
                    other.resize(len, 0.0);
                    stream.read(start, &mut other)?;
                    piece.iter_mut().zip(&other).for_each(|(sum, v)| *sum += v);
                }
            }
            if sources.len() > 1 {
                let share = 1.0 / sources.len() as f32;
                piece.iter_mut().for_each(|v| *v *= share);
            }
            done += len;
        }
        Ok(())
    }
}
