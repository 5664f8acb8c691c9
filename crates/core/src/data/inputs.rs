//! The inputs: each column of the recipe, or of the table where the recipe names none, as something that can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::arrays::ArrayColumn;
use super::gather::Gathered;
use super::names::{table_name, used_columns, vector_columns};
use super::paths::PathColumn;
use super::spec::{ColumnSpec, Corrupt, DataSpec, Role};
use super::stored::Held;
use super::table::{Table, TableColumn};
use super::typing::{Missing, Unknown, categories, guess, numbers, plain_cells, stray_text};
use crate::error::{Error, Result};
use crate::model::{Audios, Column, Field, Images, Kind, Mask, Schema, Sequences, Vectors};

/// The inputs in order, and what was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) fields: Vec<Field>,
    pub(crate) held: BTreeMap<String, Held>,
    pub(crate) hashes: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Inputs {
    fn push(&mut self, (field, held): (Field, Held)) {
        if let Held::Paths(paths) = &held {
            self.hashes.push(paths.content());
        }
        self.held.insert(field.name.clone(), held);
        self.fields.push(field);
    }
}

/// The data that were gathered, with the recipe's words about them.
pub(crate) struct Maker<'a> {
    pub(crate) spec: &'a DataSpec,
    pub(crate) root: &'a Path,
    pub(crate) all: &'a Gathered,
}

impl Maker<'_> {
    fn table(&self) -> &Table {
        &self.all.table
    }

    /// The inputs that the recipe says or the table has: table columns in the table's order, then modalities by name.
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Argument`] naming the column.
    pub(crate) fn all_inputs(
        &self,
        roles: &BTreeMap<Role, String>,
        split_column: Option<&str>,
    ) -> Result<Inputs> {
        let used = used_columns(self.spec, self.table(), split_column);
        let role_names: BTreeSet<&str> = roles.values().map(String::as_str).collect();
        let mut inputs = Inputs::default();
        let mut made: BTreeSet<&str> = BTreeSet::new();
        let empty = ColumnSpec::default();
        let is_input = |name: &str, c: &ColumnSpec| c.role.is_none() && !role_names.contains(name);
        for column in &self.table().columns {
            let name = column.name.as_str();
            // Under its own name, under others that are `from` it, or guessed.
            for (other, c) in &self.spec.columns {
                let its = c.from.as_deref() == Some(name) || (c.from.is_none() && other == name);
                if its && is_input(other, c) && self.is_plain(other, c) {
                    self.add(&mut inputs, other, c)?;
                    made.insert(other);
                }
            }
            let guessed = !self.spec.only
                && !self.spec.columns.contains_key(name)
                && !role_names.contains(name)
                && !used.contains(name)
                && !self.all.constant.contains(name)
                && self.all.listing.as_deref() != Some(name);
            if guessed {
                self.add(&mut inputs, name, &empty)?;
            }
        }
        for (name, c) in &self.spec.columns {
            if is_input(name, c) && !made.contains(name.as_str()) {
                self.add(&mut inputs, name, c)?;
            }
        }
        for name in self.all.arrays.keys() {
            if !self.spec.columns.contains_key(name) && !self.spec.only {
                self.add(&mut inputs, name, &empty)?;
            }
        }
        if let Some(listing) = &self.all.listing {
            let named = self.spec.columns.values().any(|c| c.path.as_ref() == Some(listing));
            let typed = self.spec.columns.values().any(|c| c.role.is_none());
            if !named && !typed {
                let c = ColumnSpec { path: Some(listing.clone()), ..ColumnSpec::default() };
                let kind = self.kind_of_files(listing, &c)?;
                let c = ColumnSpec { kind: Some(kind), ..c };
                self.add(&mut inputs, kind.name(), &c)?;
            }
        }
        Ok(inputs)
    }

    fn add(&self, inputs: &mut Inputs, name: &str, c: &ColumnSpec) -> Result<()> {
        let made = self.input(name, c, None, &mut inputs.notes)?;
        inputs.push(made);
        Ok(())
    }

    /// The inputs that a model wants, in its order. A modality that the data lack is absent on every row.
    ///
    /// # Errors
    /// [`Error::Data`] with the nearest name for a table column that is not there, or another shape than the model's.
    pub(crate) fn model_inputs(&self, schema: &Schema) -> Result<Inputs> {
        let mut inputs = Inputs::default();
        let empty = ColumnSpec::default();
        for field in &schema.fields {
            let c = self.spec.columns.get(&field.name).unwrap_or(&empty);
            let c = ColumnSpec { kind: Some(field.kind), ..c.clone() };
            if !field.kind.is_tabular() && self.lacks(&field.name, &c) {
                inputs.notes.push(format!("column \"{}\" is absent: the data lack it", field.name));
                inputs.push((field.clone(), Held::Ready(absent_column(field, self.table().rows))));
                continue;
            }
            let (made, held) = self.input(&field.name, &c, Some(field), &mut inputs.notes)?;
            if field.kind == Kind::Sequence && held.unavailable() == self.table().rows {
                inputs.push((field.clone(), Held::Ready(absent_column(field, self.table().rows))));
                continue;
            }
            if !field.channels.is_empty() && !made.channels.is_empty() && made.channels != field.channels {
                return Err(Error::data(format!(
                    "the steps of the column \"{}\" hold other values than the model's",
                    field.name
                ))
                .at(self.table().places.files())
                .expected(field.channels.join(", "))
                .got(made.channels.join(", "))
                .remedy("give the values of a step in the order of the files that the model was fitted on"));
            }
            let fixed = matches!(field.kind, Kind::Vector | Kind::Sequence) && !field.shape.is_empty();
            if fixed && made.shape != field.shape {
                return Err(Error::data(format!(
                    "the column \"{}\" has another shape than the model's",
                    field.name
                ))
                .at(self.table().places.files())
                .expected(format!("{:?}", field.shape))
                .got(format!("{:?}", made.shape)));
            }
            inputs.push((field.clone(), held));
        }
        Ok(inputs)
    }

    /// Whether nothing of what a modality is made of is in the data.
    fn lacks(&self, name: &str, c: &ColumnSpec) -> bool {
        let table = self.table();
        let has = |n: &str| table_name(self.spec, table, n).is_ok();
        if self.all.arrays.contains_key(name) {
            return false;
        }
        if !c.columns.is_empty() {
            return !c.columns.iter().any(|n| match n.strip_suffix('*') {
                Some(prefix) => table.columns.iter().any(|t| t.name.starts_with(prefix)),
                None => has(n),
            });
        }
        match (&c.path, c.kind) {
            (Some(path), _) => !has(path),
            (None, Some(Kind::Image | Kind::Audio | Kind::Text | Kind::Sequence)) => {
                !has(name) && self.all.listing.is_none()
            }
            _ => true,
        }
    }

    /// Whether a named column is made of cells of its own table column.
    fn is_plain(&self, name: &str, c: &ColumnSpec) -> bool {
        let tabular = matches!(c.kind, None | Some(Kind::Number | Kind::Category | Kind::Text));
        tabular && c.path.is_none() && c.columns.is_empty() && !self.all.arrays.contains_key(name)
    }

    fn kind_of_files(&self, path: &str, c: &ColumnSpec) -> Result<Kind> {
        let column = self.table().column(table_name(self.spec, self.table(), path)?)?;
        let cells = plain_cells(column, Missing::of(c));
        let first = cells.iter().find(|c| !c.is_empty()).cloned().unwrap_or_default();
        let ending = first.rsplit('.').next().unwrap_or_default().to_lowercase();
        match ending.as_str() {
            "png" | "jpg" | "jpeg" => Ok(Kind::Image),
            "wav" => Ok(Kind::Audio),
            "txt" | "md" => Ok(Kind::Text),
            "csv" | "tsv" | "npy" => Ok(Kind::Sequence),
            _ => Err(Error::argument("what the files hold cannot be told from their endings")
                .at(path)
                .expected("type: image, audio, text or sequence")
                .got(format!("\"{first}\""))),
        }
    }

    fn kind(&self, name: &str, c: &ColumnSpec) -> Result<Kind> {
        if let Some(kind) = c.kind {
            return Ok(kind);
        }
        if let Some(path) = &c.path {
            return self.kind_of_files(path, c);
        }
        if let Some(stack) = self.all.arrays.get(name) {
            let image = c.idx.is_some() && stack.parts.iter().all(|a| a.shape.len() >= 3);
            return Ok(if image { Kind::Image } else { Kind::Vector });
        }
        if !c.columns.is_empty() {
            return Ok(Kind::Vector);
        }
        Ok(guess(self.table().column(table_name(self.spec, self.table(), name)?)?, Missing::of(c)))
    }

    /// One input.
    fn input(
        &self,
        name: &str,
        c: &ColumnSpec,
        wanted: Option<&Field>,
        notes: &mut Vec<String>,
    ) -> Result<(Field, Held)> {
        let (spec, table) = (self.spec, self.table());
        let kind = self.kind(name, c)?;
        if let Some(stack) = self.all.arrays.get(name) {
            let (column, field) = ArrayColumn::new(name, kind, c, stack.clone(), &table.places)?;
            return Ok((field, Held::Array(column)));
        }
        let own = |name| -> Result<&TableColumn> { table.column(table_name(spec, table, name)?) };
        let missing = Missing::of(c);
        match kind {
            Kind::Number => {
                let (values, missing) = numbers(own(name)?, missing, &table.places)?;
                Ok((Field::new(name, kind), Held::Ready(Column::Number { values, missing })))
            }
            Kind::Category => {
                let (declared, unknown) = match wanted {
                    Some(field) if !field.levels.is_empty() => (&field.levels, Unknown::Append),
                    _ => (&c.levels, Unknown::Refuse),
                };
                let guessed = wanted.is_none() && c.kind.is_none() && c.levels.is_empty();
                notes.extend(guessed.then(|| stray_text(own(name).ok()?, missing, &table.places)).flatten());
                let made = categories(own(name)?, missing, declared, unknown, &table.places)?;
                let mut field = Field::new(name, kind);
                if let Column::Category { levels, .. } = &made {
                    field.levels = levels.as_ref().clone();
                }
                Ok((field, Held::Ready(made)))
            }
            Kind::Vector if !c.columns.is_empty() => self.vector(name, c),
            Kind::Image | Kind::Audio | Kind::Text | Kind::Sequence => {
                let path = match (&c.path, kind) {
                    (Some(path), _) => Some(path.as_str()),
                    (None, Kind::Text) if table_name(spec, table, name).is_ok() => None,
                    (None, _) if table_name(spec, table, name).is_ok() => Some(name),
                    (None, _) => Some(self.all.listing.as_deref().ok_or_else(|| nowhere(name, kind))?),
                };
                let Some(path) = path else { return Ok(self.texts(name, own(name)?, c)) };
                let cells = plain_cells(own(path)?, missing);
                let settings = (spec.corrupt.unwrap_or(Corrupt::Error), spec.delimiter);
                let (column, field, said) =
                    PathColumn::new(name, kind, &cells, self.root, settings, &table.places)?;
                notes.extend(said);
                Ok((field, Held::Paths(column)))
            }
            Kind::Vector => Err(nowhere(name, kind)),
        }
    }

    /// Texts in cells: as they stand; only an empty one, or one that is declared missing, is absent.
    fn texts(&self, name: &str, column: &TableColumn, c: &ColumnSpec) -> (Field, Held) {
        let mut values = Vec::with_capacity(column.cells.len());
        let mut absent = Mask::default();
        for row in 0..column.cells.len() {
            let text = column.cells.text(row);
            let none = text.trim().is_empty() || c.missing.iter().any(|m| m == text.trim());
            values.push(if none { String::new() } else { text.into_owned() });
            absent.push(none);
        }
        (Field::new(name, Kind::Text), Held::Ready(Column::Text { values, absent }))
    }

    /// A vector of number columns. A row without any of them is absent; one without some is an error.
    fn vector(&self, name: &str, c: &ColumnSpec) -> Result<(Field, Held)> {
        let table = self.table();
        let names = vector_columns(self.spec, table, &c.columns)?;
        let mut parts = Vec::with_capacity(names.len());
        for part in &names {
            parts.push(numbers(table.column(part)?, Missing::of(c), &table.places)?);
        }
        let shape = if c.shape.is_empty() { vec![names.len()] } else { c.shape.clone() };
        if shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b)) != Some(names.len()) {
            return Err(Error::argument("shape does not fit the columns")
                .at(format!("column \"{name}\""))
                .expected(format!("{} values", names.len()))
                .got(format!("{shape:?}")));
        }
        let scale = c.scale.unwrap_or(1.0);
        let mut data = Vec::with_capacity(table.rows * names.len());
        let mut absent = Mask::default();
        for row in 0..table.rows {
            let gone = parts.iter().filter(|(_, m)| m.is_set(row)).count();
            if gone != 0 && gone != parts.len() {
                let which = parts.iter().position(|(_, m)| m.is_set(row)).and_then(|i| names.get(i));
                return Err(Error::data(format!("part of the vector \"{name}\" is missing"))
                    .at(table.places.of(row))
                    .expected("all of its columns, or none of them for an absent vector")
                    .got(format!("no value in \"{}\"", which.map_or("", String::as_str)))
                    .remedy("fill it in, or use the columns as numbers and an imputing feature"));
            }
            absent.push(gone != 0);
            for (which, (values, _)) in parts.iter().enumerate() {
                let value = (values.get(row).copied().unwrap_or(0.0) * scale) as f32;
                if !value.is_finite() {
                    return Err(Error::data(format!("a number of the vector \"{name}\" is too large"))
                        .at(table.places.of(row))
                        .expected("a number within the range of 32-bit floats")
                        .got(format!("column \"{}\"", names.get(which).map_or("", String::as_str))));
                }
                data.push(value);
            }
        }
        let vectors = Vectors { shape: shape.clone(), data, absent };
        Ok((Field::vector(name, shape), Held::Ready(Column::Vector(vectors))))
    }
}

fn nowhere(name: &str, kind: Kind) -> Error {
    Error::argument(format!("the column \"{name}\" does not say where it stands"))
        .expected(match kind {
            Kind::Image => "path: column of file names, idx: file or npy: file",
            Kind::Audio => "path: column of file names, or npy: file with rate",
            Kind::Vector => "columns: [names or prefix*], or npy: file",
            Kind::Text => "path: column of file names, or a table column of its name",
            _ => "path: column of file names, or npy: file",
        })
        .remedy("see the manual on data: {columns: ...}")
}

/// A modality of which no row is there.
fn absent_column(field: &Field, rows: usize) -> Column {
    match field.kind {
        Kind::Image => {
            let mut c = Images::default();
            (0..rows).for_each(|_| c.push_absent());
            Column::Image(c)
        }
        Kind::Audio => {
            let mut c = Audios::default();
            (0..rows).for_each(|_| c.push_absent());
            Column::Audio(c)
        }
        Kind::Sequence => {
            let mut c = Sequences::new(field.shape.last().copied().unwrap_or(1));
            (0..rows).for_each(|_| c.push_absent());
            Column::Sequence(c)
        }
        Kind::Vector => {
            let width: usize = field.shape.iter().product();
            Column::Vector(Vectors {
                shape: field.shape.clone(),
                data: vec![0.0; rows * width],
                absent: Mask::from_marks(vec![true; rows]),
            })
        }
        Kind::Text | Kind::Number | Kind::Category => {
            Column::Text { values: vec![String::new(); rows], absent: Mask::from_marks(vec![true; rows]) }
        }
    }
}
