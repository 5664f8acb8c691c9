//! New tables of predictions composed by a model that was made of tables of the same members, some rows at a time.

use std::path::{Path, PathBuf};

use consilience_core::data::{Piece, Pieces, TableWriter, Written};
use consilience_core::members::given_columns;
use consilience_core::model::{Batch, Column, Mask, Model, ModelDir, Stop, Task};
use consilience_core::registry::nearest;
use consilience_core::{Error, Result};

use crate::catalog;

/// Rows are read, composed and written in blocks of this many.
const BLOCK: usize = 1 << 16;

/// What is to be composed.
#[derive(Debug, Clone, Copy)]
pub struct Composing<'a> {
    /// The directory of the model.
    pub model: &'a Path,
    /// The tables, with the same rows in the same order.
    pub predictions: &'a [PathBuf],
    /// The members' names, in the order of the tables; those of the files by default.
    pub names: &'a [String],
    /// The column of row ids; `id` where there is one.
    pub id: Option<&'a str>,
    /// Where to write: `.csv` or `.parquet`.
    pub out: &'a Path,
}

/// What was composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Composed {
    /// How many rows.
    pub rows: usize,
    /// Rows about which no table says anything.
    pub silent: usize,
}

/// One table with the columns of it that the model reads, by the model's names for them.
struct Side {
    pieces: Pieces,
    path: PathBuf,
    id: Option<usize>,
    /// What is read: positions in the table.
    read: Vec<usize>,
    /// The model's column that each of them is; of two classes also that of the other class.
    give: Vec<(String, Option<String>)>,
}

/// Composes tables. The file is there whole or not at all, and no more than some rows of each table are in memory.
///
/// # Errors
/// [`Error::Model`] if the model reads other columns than predictions, or a table of a member that it needs is not there;
/// [`Error::Data`] for tables of different rows, or cells that are no numbers; [`Error::Write`].
pub fn compose(composing: &Composing<'_>, stop: &Stop) -> Result<Composed> {
    let model = ModelDir::open(composing.model)?.model(&catalog::loaders())?;
    let mut sides = sides(composing, model.as_ref())?;
    let place = |path: &Path| path.canonicalize().ok();
    let out = place(composing.out);
    if out.is_some() && composing.predictions.iter().any(|p| place(p) == out) {
        return Err(Error::argument("what is composed would replace a table that it is made from")
            .at(composing.out.display())
            .remedy("name another file with --out"));
    }
    let mut writer = TableWriter::begin(composing.out)?;
    let mut done = Composed { rows: 0, silent: 0 };
    loop {
        stop.check()?;
        let Some((ids, batch)) = next(&mut sides, done.rows)? else { break };
        let said = model.predict(&batch)?;
        done.silent += said.absent().count();
        let matrix = said.matrix();
        let rows = said.rows();
        let mut columns = vec![("id".to_owned(), ids)];
        let names = match model.task() {
            Task::Classify(classes) => classes.names().to_vec(),
            Task::Regress => vec!["value".to_owned()],
        };
        for (name, column) in names.into_iter().zip(matrix.columns()) {
            columns.push((name, Written::Numbers(column.to_vec())));
        }
        writer.put(&columns)?;
        done.rows += rows;
    }
    if done.rows == 0 {
        return Err(Error::data("the tables have no rows"));
    }
    writer.finish()?;
    Ok(done)
}

/// The tables opened, each with what the model wants of it.
fn sides(composing: &Composing<'_>, model: &dyn Model) -> Result<Vec<Side>> {
    let mut names = composing.names.iter();
    let mut sides = Vec::new();
    let mut known: Vec<String> = Vec::new();
    let width = model.task().width();
    for path in composing.predictions {
        let pieces = Pieces::open(path, BLOCK)?;
        let stem = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let wanted = |member: &str| -> Vec<String> {
            given_columns(model.task(), member)
                .into_iter()
                .filter(|c| model.schema().names().contains(&c.as_str()))
                .collect()
        };
        let mut side = Side { pieces, path: path.clone(), id: None, read: Vec::new(), give: Vec::new() };
        match side.pieces.members() {
            Some([members, columns]) => {
                for member in 0..members {
                    let plain = if members == 1 { stem.clone() } else { format!("{stem}_{member}") };
                    let name = names.next().cloned().unwrap_or(plain);
                    let all = wanted(&name);
                    known.push(name);
                    if columns == 1 && width == 2 {
                        // The probability of the second class tells that of the first.
                        if let [first, second] = all.as_slice() {
                            side.read.push(member);
                            side.give.push((second.clone(), Some(first.clone())));
                        }
                        continue;
                    }
                    if columns != width {
                        return Err(Error::model(
                            "the array has another number of columns than the model has classes",
                        )
                        .at(path.display())
                        .expected(width)
                        .got(columns));
                    }
                    side.read.extend((0..all.len()).map(|k| member * columns + k));
                    side.give.extend(all.into_iter().map(|c| (c, None)));
                }
            }
            None => {
                let name = names.next().cloned().unwrap_or(stem);
                let all = wanted(&name);
                let position = |column: &str| side.pieces.names().iter().position(|n| n == column);
                side.id = match composing.id {
                    Some(id) => Some(position(id).ok_or_else(|| lacks(&side, id))?),
                    None => position("id"),
                };
                // As the member's own table has them: called as the classes, or as the model calls them.
                let own: Vec<String> = match model.task() {
                    Task::Classify(classes) => classes.names().to_vec(),
                    Task::Regress => vec!["value".to_owned()],
                };
                let places = own.iter().zip(&all).map(|(o, a)| position(o).or_else(|| position(a)));
                let found: Vec<(usize, usize)> =
                    places.enumerate().filter_map(|(k, place)| place.map(|p| (k, p))).collect();
                // Of two classes one tells the other.
                let single = side.pieces.names().len() == 1 + usize::from(side.id.is_some());
                let one = all.len() == 2 && found.len() == 1 && single;
                if let Some(k) = (0..all.len()).find(|k| !one && !found.iter().any(|(f, _)| f == k)) {
                    return Err(lacks(&side, own.get(k).map_or("", String::as_str)));
                }
                for (k, place) in found {
                    let other = all.get(1 - k.min(1)).filter(|_| one).cloned();
                    side.read.push(place);
                    side.give.extend(all.get(k).map(|column| (column.clone(), other)));
                }
                known.push(name);
            }
        }
        sides.push(side);
    }
    if !composing.names.is_empty() && composing.names.len() != known.len() {
        return Err(Error::argument("there is not one name for each member of the tables")
            .at("--names")
            .expected(format!("{} names", known.len()))
            .got(composing.names.len()));
    }
    let given = |column: &str| {
        sides.iter().flat_map(|s| &s.give).any(|(a, b)| a == column || b.as_deref() == Some(column))
    };
    if let Some(missing) = model.schema().names().into_iter().find(|c| !given(c)) {
        let member = missing.split_once(": ").map_or(missing, |(m, _)| m);
        let error = Error::model(format!("the model reads \"{missing}\", and no table gives it"))
            .expected(format!("a table called \"{member}\""))
            .got(known.join(", "));
        return Err(match nearest(member, known.iter().map(String::as_str)) {
            Some(near) => error
                .remedy(format!("is it \"{near}\"? --names gives the tables their members' names, in order")),
            None => error.remedy("--names gives the tables their members' names, in order"),
        });
    }
    Ok(sides)
}

fn lacks(side: &Side, column: &str) -> Error {
    Error::data(format!("the table has no column \"{column}\""))
        .at(side.path.display())
        .expected(format!("one of {}", side.pieces.names().join(", ")))
}

/// The next rows of all tables, put side by side, with their ids.
fn next(sides: &mut [Side], from: usize) -> Result<Option<(Written, Batch)>> {
    let mut ids: Option<(Vec<String>, PathBuf)> = None;
    let mut batch: Option<Batch> = None;
    let mut first: Option<(usize, PathBuf)> = None;
    for side in sides.iter_mut() {
        let piece = side.pieces.next(side.id, &side.read, BLOCK)?.unwrap_or_default();
        match &first {
            None => first = Some((piece.rows, side.path.clone())),
            Some((rows, path)) if *rows != piece.rows => {
                return Err(Error::data("the tables have different numbers of rows")
                    .at(side.path.display())
                    .expected(format!("the {} rows of {}", from + rows, path.display()))
                    .got(from + piece.rows));
            }
            Some(_) => {}
        }
        if piece.rows == 0 {
            continue;
        }
        same_ids(&mut ids, &piece, side, from)?;
        let rows = piece.rows as u64;
        let into = batch.get_or_insert_with(|| Batch::new((from as u64..from as u64 + rows).collect()));
        for (values, (name, other)) in piece.columns.into_iter().zip(&side.give) {
            let column = |f: &dyn Fn(f32) -> f64| Column::Number {
                missing: values.iter().map(|v| v.is_nan()).collect::<Mask>(),
                values: values.iter().map(|v| f(*v)).collect(),
            };
            into.set(name, column(&f64::from))?;
            if let Some(other) = other {
                into.set(other, column(&|v| 1.0 - f64::from(v)))?;
            }
        }
    }
    Ok(batch.map(|batch| {
        let ids = match ids {
            Some((texts, _)) => Written::Texts(texts),
            None => Written::Ids(batch.ids().to_vec()),
        };
        (ids, batch)
    }))
}

/// Rows stand in the same order everywhere.
fn same_ids(
    known: &mut Option<(Vec<String>, PathBuf)>,
    piece: &Piece,
    side: &Side,
    from: usize,
) -> Result<()> {
    if piece.ids.is_empty() {
        return Ok(());
    }
    let Some((first, path)) = known else {
        *known = Some((piece.ids.clone(), side.path.clone()));
        return Ok(());
    };
    match piece.ids.iter().zip(first.iter()).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(r) => Err(Error::data("the tables hold rows in another order")
            .at(format!("{}, row {}", side.path.display(), from + r + 1))
            .expected(format!("id {} as in {}", first.get(r).map_or("", String::as_str), path.display()))
            .got(piece.ids.get(r).map_or("", String::as_str))
            .remedy("sort every table by its ids")),
    }
}
