//! What networks read: fitted preprocessing as a trait, and prepared rows as tensors with presence flags.

use consilience_core::members::{Modality, Prepared};
use consilience_core::model::graph::Graph;
use consilience_core::model::{Batch, Column, Field, Kind, Parts, Schema};
use consilience_core::{Error, Result};
use serde_json::json;

use crate::backend::{self, Tensor};
use crate::memory;

/// Fitted preprocessing: raw columns in, vector columns of known shapes out. Each field it gives is a modality.
pub trait Prepare: Send + Sync {
    /// The raw columns that it reads.
    fn schema(&self) -> &Schema;

    /// The vector columns that it gives, in order, each with its shape.
    fn fields(&self) -> &[Field];

    /// Transforms raw rows. A modality that is absent on a row stays absent.
    ///
    /// # Errors
    /// [`Error::Data`] for columns of another kind or shape.
    fn prepare(&self, raw: &Batch) -> Result<Batch>;

    /// Writes what it does onto a graph: the value of each modality, in order.
    ///
    /// # Errors
    /// [`Error::Model`] naming the column, for a step that no graph can say.
    fn graph(&self, graph: &mut Graph) -> Result<Vec<Modality>>;

    /// Everything needed to load it again.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be said.
    fn save(&self) -> Result<Parts>;
}

/// Takes vector columns as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct AsIs {
    schema: Schema,
}

impl AsIs {
    /// For vector fields with shapes.
    ///
    /// # Errors
    /// [`Error::Argument`] for a field of another kind, or without a shape.
    pub fn new(fields: Vec<Field>) -> Result<Self> {
        if let Some(bad) = fields.iter().find(|f| f.kind != Kind::Vector || f.shape.is_empty()) {
            return Err(Error::argument("a network reads vectors of a known shape")
                .at(format!("column \"{}\"", bad.name))
                .got(bad.kind.name()));
        }
        Ok(Self { schema: Schema { fields } })
    }

    /// Loads what [`Prepare::save`] saved.
    ///
    /// # Errors
    /// [`Error::Model`] for parts of another kind.
    pub fn load(parts: &Parts) -> Result<Self> {
        if parts.kind != "as_is" {
            return Err(Error::model("these are other inputs").expected("as_is").got(&parts.kind));
        }
        Self::new(parts.field("fields")?)
    }
}

impl Prepare for AsIs {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn fields(&self) -> &[Field] {
        &self.schema.fields
    }

    fn prepare(&self, raw: &Batch) -> Result<Batch> {
        Ok(raw.clone())
    }

    fn graph(&self, graph: &mut Graph) -> Result<Vec<Modality>> {
        let one = |f| Ok(Modality { value: graph.column(f)?, present: graph.present(f)? });
        self.schema.fields.iter().map(one).collect()
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new("as_is", json!({"fields": self.schema.fields})))
    }
}

impl Prepare for Prepared {
    fn schema(&self) -> &Schema {
        Self::schema(self)
    }

    fn fields(&self) -> &[Field] {
        Self::fields(self)
    }

    fn prepare(&self, raw: &Batch) -> Result<Batch> {
        self.apply(raw)
    }

    fn graph(&self, graph: &mut Graph) -> Result<Vec<Modality>> {
        Self::graph(self, graph)
    }

    fn save(&self) -> Result<Parts> {
        Self::save(self)
    }
}

/// One modality of some rows: dense numbers, zero where it is absent, and which rows have it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Slot {
    width: usize,
    values: Vec<f32>,
    present: Vec<bool>,
}

/// Prepared rows on the host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    ids: Vec<u64>,
    slots: Vec<Slot>,
}

impl Block {
    /// Reads the modalities out of a prepared batch. A column that the batch lacks is absent on every row.
    ///
    /// # Errors
    /// [`Error::Data`] for a column that is no vector, of another shape, or that holds a number that is not finite.
    pub fn new(batch: &Batch, fields: &[Field]) -> Result<Self> {
        let slots: Result<Vec<Slot>> = fields.iter().map(|f| slot(batch, f)).collect();
        Ok(Self { ids: batch.ids().to_vec(), slots: slots? })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// The stable ids of the rows.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// Mixes each row with the row at the same place of another block of the same fields: `x = l x_i + (1 - l) x_j` with
    /// `l` from `own`, for each modality that both rows have. A modality that one of the two lacks stays as it is in row
    /// `i`, present or absent. Says for each row whether any modality was mixed.
    pub fn mix(&mut self, other: &Self, own: &[f32]) -> Vec<bool> {
        let mut mixed = vec![false; self.rows()];
        for (mine, theirs) in self.slots.iter_mut().zip(&other.slots) {
            let pairs =
                mine.values.chunks_mut(mine.width.max(1)).zip(theirs.values.chunks(theirs.width.max(1)));
            let both = mine.present.iter().zip(&theirs.present).map(|(i, j)| *i && *j);
            for ((((x, y), both), own), mixed) in pairs.zip(both).zip(own).zip(&mut mixed) {
                if both {
                    x.iter_mut().zip(y).for_each(|(x, y)| *x = own * *x + (1.0 - own) * y);
                    *mixed = true;
                }
            }
        }
        mixed
    }

    /// Puts the rows of another block of the same fields after these.
    pub fn append(&mut self, other: Self) {
        self.ids.extend(other.ids);
        if self.slots.is_empty() {
            self.slots = other.slots;
            return;
        }
        for (mine, theirs) in self.slots.iter_mut().zip(other.slots) {
            mine.values.extend_from_slice(&theirs.values);
            mine.present.extend(theirs.present);
            memory::give_back(theirs.values);
        }
    }

    /// Makes room for as many more rows of the same fields.
    pub fn reserve(&mut self, rows: usize) {
        self.ids.reserve_exact(rows);
        for slot in &mut self.slots {
            slot.values.reserve_exact(rows * slot.width);
            slot.present.reserve_exact(rows);
        }
    }

    /// Lets the rows go; their memory is used again.
    pub fn give_back(self) {
        self.slots.into_iter().for_each(|s| memory::give_back(s.values));
    }

    /// The rows given, in that order; they must exist.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        let pick = |s: &Slot| {
            let mut values = memory::fresh(rows.len() * s.width);
            for (out, &r) in values.chunks_mut(s.width.max(1)).zip(rows) {
                out.copy_from_slice(&s.values[r * s.width..(r + 1) * s.width]);
            }
            Slot { width: s.width, values, present: rows.iter().map(|&r| s.present[r]).collect() }
        };
        Self {
            ids: rows.iter().map(|&r| self.ids[r]).collect(),
            slots: self.slots.iter().map(pick).collect(),
        }
    }

    /// The rows as tensors.
    pub fn into_inputs(self) -> Inputs {
        let rows = self.rows();
        let flag = |p: &bool| if *p { 1.0 } else { 0.0 };
        let present: Vec<Vec<f32>> =
            self.slots.iter().map(|s| s.present.iter().map(flag).collect()).collect();
        let values = self
            .slots
            .into_iter()
            .map(|s| s.present.contains(&true).then(|| backend::constant(s.values, [rows, s.width])))
            .collect();
        Inputs { rows, values, present }
    }
}

fn slot(batch: &Batch, field: &Field) -> Result<Slot> {
    let rows = batch.rows();
    let width: usize = field.shape.iter().product();
    let place = || format!("column \"{}\"", field.name);
    let Some(column) = batch.get(&field.name) else {
        return Ok(Slot { width, values: memory::zeros(rows * width), present: vec![false; rows] });
    };
    let Column::Vector(vectors) = column else {
        return Err(Error::data("a network reads vectors").at(place()).got(column.kind().name()));
    };
    if vectors.shape != field.shape || vectors.data.len() != rows * width {
        return Err(Error::data("the vectors have another shape than those of fitting")
            .at(place())
            .expected(format!("{:?}", field.shape))
            .got(format!("{:?}", vectors.shape)));
    }
    let mut values = memory::zeros(rows * width);
    let mut present = vec![false; rows];
    for (r, (out, flag)) in values.chunks_mut(width).zip(&mut present).enumerate() {
        let Some(row) = vectors.get(r) else { continue };
        if let Some(bad) = row.iter().find(|v| !v.is_finite()) {
            let id = batch.ids().get(r).copied().unwrap_or_default();
            return Err(Error::data("a network cannot read a number that is not finite")
                .at(format!("{}, row id {id}", place()))
                .expected("finite numbers")
                .got(bad)
                .remedy("impute or drop such values, or mark the row absent"));
        }
        out.copy_from_slice(row);
        *flag = true;
    }
    Ok(Slot { width, values, present })
}

/// Rows as tensors, one entry a modality. Clones share the numbers.
#[derive(Clone)]
pub struct Inputs {
    /// How many rows.
    pub rows: usize,
    /// `[rows, numbers of a row]`, zero where absent; `None` if absent on every row.
    pub values: Vec<Option<Tensor<2>>>,
    /// One where the modality is present, zero where it is absent.
    pub present: Vec<Vec<f32>>,
}

impl Inputs {
    /// Whether any modality is present, row by row.
    pub fn any(&self) -> Vec<bool> {
        (0..self.rows).map(|r| self.present.iter().any(|p| p.get(r).is_some_and(|v| *v > 0.0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::model::{Mask, Vectors};

    #[test]
    fn absent_rows_have_flag_zero_and_numbers_that_are_not_finite_are_named() {
        let field = Field::vector("x", vec![2]);
        let mut vectors = Vectors::new(vec![2], vec![1.0, 2.0, 9.0, 9.0]).unwrap();
        vectors.absent = Mask::from_marks(vec![false, true]);
        let batch = Batch::new(vec![7, 8]).with("x", Column::Vector(vectors.clone())).unwrap();
        let fields = [field, Field::vector("y", vec![3])];
        let inputs = Block::new(&batch, &fields).unwrap().into_inputs();
        assert_eq!(inputs.present, [vec![1.0, 0.0], vec![0.0, 0.0]]);
        assert_eq!(backend::read(inputs.values[0].clone().unwrap()).unwrap(), [1.0, 2.0, 0.0, 0.0]);
        assert!(inputs.values[1].is_none());
        assert_eq!(inputs.any(), [true, false]);

        vectors.data[1] = f32::NAN;
        let batch = Batch::new(vec![7, 8]).with("x", Column::Vector(vectors)).unwrap();
        let error = Block::new(&batch, &fields).unwrap_err();
        assert!(error.to_string().contains("column \"x\", row id 7"), "{error}");
    }

    #[test]
    fn blocks_are_appended_and_taken() {
        let fields = [Field::vector("x", vec![1])];
        let block = |ids: Vec<u64>, data: Vec<f32>| {
            let column = Column::Vector(Vectors::new(vec![1], data).unwrap());
            Block::new(&Batch::new(ids).with("x", column).unwrap(), &fields).unwrap()
        };
        let mut all = Block::default();
        all.append(block(vec![1, 2], vec![1.0, 2.0]));
        all.append(block(vec![3], vec![3.0]));
        assert_eq!(all.take(&[2, 0]), block(vec![3, 1], vec![3.0, 1.0]));
    }

    #[test]
    fn only_modalities_that_both_rows_have_are_mixed() {
        let fields = [Field::vector("x", vec![2]), Field::vector("y", vec![1])];
        let block = |x: [f32; 6], no_x: [bool; 3], y: [f32; 3], no_y: [bool; 3]| {
            let mut x = Vectors::new(vec![2], x.to_vec()).unwrap();
            x.absent = Mask::from_marks(no_x.to_vec());
            let mut y = Vectors::new(vec![1], y.to_vec()).unwrap();
            y.absent = Mask::from_marks(no_y.to_vec());
            let batch = Batch::new(vec![1, 2, 3]).with("x", Column::Vector(x)).unwrap();
            Block::new(&batch.with("y", Column::Vector(y)).unwrap(), &fields).unwrap()
        };
        let some = [false; 3];
        let mut mine = block([4.0, 8.0, 4.0, 8.0, 4.0, 8.0], some, [2.0; 3], [false, true, true]);
        let theirs = block([0.0, 4.0, 0.0, 4.0, 0.0, 4.0], [false, false, true], [6.0; 3], some);
        assert_eq!(mine.mix(&theirs, &[0.75, 0.5, 0.5]), [true, true, false]);
        let expected = block([3.0, 7.0, 2.0, 6.0, 4.0, 8.0], some, [3.0, 0.0, 0.0], [false, true, true]);
        assert_eq!(mine, expected);
    }
}
