//! A tensor of a model as a stream of 32-bit floats: cast, with its adapter added, with its rows in another order.

use std::cell::RefCell;
use std::sync::Arc;

use consilience_core::weights::{Checkpoint, Dtype, Tensor};
use consilience_core::{Error, Result};

use super::Model;
use super::lora::Product;
use crate::kernels::{decode, decodes, round};
use crate::tokenizer::{Row, Rows};
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
        let (checkpoint, tensor) = model.stored(name).ok_or_else(missing)?;
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

/// An embedding of one model with its rows where a merged tokenizer has them.
#[derive(Debug)]
pub struct Mapped<'a> {
    /// The embedding of every model, in the order of the tokenizer's members; of those that are needed.
    pub streams: Vec<Option<Stream<'a>>>,
    /// Where rows come from.
    pub rows: Arc<Rows>,
    /// Which of the members this is.
    pub member: usize,
    /// The numbers of a row.
    columns: usize,
    /// The row of padding.
    padding: Vec<f32>,
}

impl<'a> Mapped<'a> {
    /// The embedding of `member`. Where rows are padding, their mean is computed here, which reads the embedding once.
    ///
    /// # Errors
    /// [`Error::Model`] if two of the embeddings are not equally wide; [`Error::Read`].
    pub fn open(streams: Vec<Option<Stream<'a>>>, rows: Arc<Rows>, member: usize) -> Result<Self> {
        let mut widths = streams.iter().flatten().map(Stream::columns);
        let columns = widths.next().unwrap_or(1);
        if let Some(other) = widths.find(|w| *w != columns) {
            return Err(Error::model("embeddings of different widths have no rows in common")
                .expected(format!("{columns} numbers a row"))
                .got(other)
                .remedy("only models of one width can be merged"));
        }
        let mut mapped = Self { streams, rows, member, columns, padding: Vec::new() };
        let own = mapped.rows.of.get(member).cloned().unwrap_or_default();
        if own.contains(&Row::Padding) {
            let mut sums = vec![0.0f64; columns];
            let mut row = vec![0.0f32; columns];
            let mut count = 0u32;
            for kind in own.iter().filter(|r| **r != Row::Padding) {
                mapped.row(*kind, 0, &mut row)?;
                sums.iter_mut().zip(&row).for_each(|(sum, v)| *sum += f64::from(*v));
                count += 1;
            }
            mapped.padding = sums.iter().map(|s| (s / f64::from(count.max(1))) as f32).collect();
        }
        Ok(mapped)
    }

    /// Some columns of a row.
    fn row(&self, row: Row, column: usize, out: &mut [f32]) -> Result<()> {
        let read = |member: usize, row: u32, out: &mut [f32]| match self.streams.get(member) {
            Some(Some(stream)) => stream.read(row as usize * self.columns + column, out),
            _ => Err(Error::internal("a row comes from an embedding that was not opened")),
        };
        match row {
            Row::Own(row) => read(self.member, row, out)?,
            Row::Other { member, row } => read(member as usize, row, out)?,
            Row::Mean { .. } => {
                let parts = self.rows.mean(row);
                let mut other = vec![0.0; out.len()];
                out.fill(0.0);
                for (member, row) in parts {
                    read(*member as usize, *row, &mut other)?;
                    out.iter_mut().zip(&other).for_each(|(sum, v)| *sum += v);
                }
                let share = 1.0 / parts.len().max(1) as f32;
                out.iter_mut().for_each(|v| *v *= share);
            }
            Row::Zero => out.fill(0.0),
            Row::Padding => {
                let part = self.padding.get(column..column + out.len()).unwrap_or_default();
                out.iter_mut().zip(part).for_each(|(out, v)| *out = *v);
            }
        }
        Ok(())
    }
}

impl Numbers for Mapped<'_> {
    fn read(&self, from: usize, out: &mut [f32]) -> Result<()> {
        let columns = self.columns.max(1);
        let own = self.rows.of.get(self.member).map(Vec::as_slice).unwrap_or_default();
        let mut done = 0;
        while done < out.len() {
            let (row, column) = ((from + done) / columns, (from + done) % columns);
            let len = (columns - column).min(out.len() - done);
            let piece = out.get_mut(done..done + len).unwrap_or_default();
            self.row(own.get(row).copied().unwrap_or(Row::Zero), column, piece)?;
            done += len;
        }
        Ok(())
    }
}
