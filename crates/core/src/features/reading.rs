//! Reading a column as the kind that a step needs, with the errors that all steps share.

use crate::error::{Error, Result};
use crate::model::{Column, Field, Images, Kind, Mask, Parts, Sequences, Vectors};

/// Refuses a field of another kind before anything is fitted.
pub(super) fn accept(step: &str, field: &Field, kinds: &[Kind]) -> Result<()> {
    if field.words > 0 {
        return Err(Error::argument(format!(
            "\"{step}\" cannot read the numbers of tokens: they are names, not amounts"
        ))
        .at(&field.name)
        .remedy("make tokens the last step"));
    }
    if kinds.contains(&field.kind) {
        return Ok(());
    }
    let names: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
    Err(Error::argument(format!("\"{step}\" cannot read a column of this kind"))
        .at(&field.name)
        .expected(names.join(" or "))
        .got(field.kind.name()))
}

/// Rows that came as another kind than the step was fitted to.
pub(super) fn wrong_kind(step: &str, name: &str, expected: Kind, got: &Column) -> Error {
    Error::data(format!("\"{step}\" was given a column of another kind"))
        .at(name)
        .expected(expected.name())
        .got(got.kind().name())
}

/// A step that found nothing to learn from.
pub(super) fn nothing(step: &str, name: &str) -> Error {
    Error::data(format!("\"{step}\" has no row to be fitted to"))
        .at(name)
        .expected("at least one training row with a value")
        .got("none")
        .remedy("leave the column out, or give training rows that hold it")
}

/// A row whose shape is not the one that the step was fitted to.
pub(super) fn other_shape(step: &str, name: &str, expected: &[usize], got: &[usize]) -> Error {
    Error::data(format!("\"{step}\" was given rows of another shape"))
        .at(name)
        .expected(format!("{expected:?}"))
        .got(format!("{got:?}"))
}

/// Numbers with their marks.
pub(super) fn numbers<'a>(step: &str, name: &str, column: &'a Column) -> Result<(&'a [f64], &'a Mask)> {
    match column {
        Column::Number { values, missing } => {
            for (row, value) in values.iter().enumerate() {
                if !value.is_finite() && !missing.is_set(row) {
                    return Err(not_finite(name, row));
                }
            }
            Ok((values, missing))
        }
        other => Err(wrong_kind(step, name, Kind::Number, other)),
    }
}

/// Numbers none of which may be missing.
pub(super) fn complete_numbers<'a>(step: &str, name: &str, column: &'a Column) -> Result<&'a [f64]> {
    let (values, missing) = numbers(step, name, column)?;
    if missing.any() {
        return Err(Error::data(format!("\"{step}\" was given missing numbers"))
            .at(name)
            .expected("a number on every row")
            .got(format!("{} of {} rows without one", missing.count(), missing.len()))
            .remedy("put the step \"impute\" before it"));
    }
    Ok(values)
}

/// Vectors whose buffer fits their shape and whose present rows are finite.
pub(super) fn vectors<'a>(step: &str, name: &str, column: &'a Column) -> Result<&'a Vectors> {
    let Column::Vector(vectors) = column else {
        return Err(wrong_kind(step, name, Kind::Vector, column));
    };
    let width = vectors.width();
    if width == 0 || width.checked_mul(vectors.len()) != Some(vectors.data.len()) {
        return Err(Error::data("the numbers do not fill the rows")
            .at(name)
            .expected(format!("{} rows of shape {:?}", vectors.len(), vectors.shape))
            .got(format!("{} numbers", vectors.data.len())));
    }
    for (row, values) in vectors.data.chunks(width).enumerate() {
        if !vectors.absent.is_set(row) && !values.iter().all(|v| v.is_finite()) {
            return Err(not_finite(name, row));
        }
    }
    Ok(vectors)
}

/// Vectors of the shape that a step was fitted to.
pub(super) fn shaped<'a>(step: &str, name: &str, shape: &[usize], column: &'a Column) -> Result<&'a Vectors> {
    let vectors = vectors(step, name, column)?;
    if vectors.shape != shape {
        return Err(other_shape(step, name, shape, &vectors.shape));
    }
    Ok(vectors)
}

/// Images.
pub(super) fn images<'a>(step: &str, name: &str, column: &'a Column) -> Result<&'a Images> {
    match column {
        Column::Image(images) => Ok(images),
        other => Err(wrong_kind(step, name, Kind::Image, other)),
    }
}

/// Sounds, each with samples that are finite.
#[cfg(feature = "audio")]
pub(super) fn audios<'a>(step: &str, name: &str, column: &'a Column) -> Result<&'a crate::model::Audios> {
    let Column::Audio(audios) = column else {
        return Err(wrong_kind(step, name, Kind::Audio, column));
    };
    for row in 0..audios.len() {
        let Some((_, samples)) = audios.get(row) else { continue };
        if samples.is_empty() {
            return Err(Error::data("a sound holds no samples")
                .at(format!("{name}: row {row} of the batch"))
                .remedy("repair the file, or leave its cell empty so that the sound is absent"));
        }
        if !samples.iter().all(|v| v.is_finite()) {
            return Err(not_finite(name, row));
        }
    }
    Ok(audios)
}

/// The rate that all sounds have, in Hz: the one asked for, or that of the first.
#[cfg(feature = "audio")]
pub(super) fn one_rate(
    step: &str,
    name: &str,
    sounds: &crate::model::Audios,
    asked: Option<u32>,
) -> Result<u32> {
    let mut rates = (0..sounds.len()).filter_map(|r| sounds.get(r)).map(|(rate, _)| rate);
    let first = rates.next().ok_or_else(|| nothing(step, name))?;
    let rate = asked.unwrap_or(first);
    match std::iter::once(first).chain(rates).find(|r| *r != rate) {
        Some(other) => Err(other_rate(name, rate, other)),
        None => Ok(rate),
    }
}

/// A sound of another rate than that of fitting.
#[cfg(feature = "audio")]
pub(super) fn other_rate(name: &str, expected: u32, got: u32) -> Error {
    Error::data("the sounds have different rates")
        .at(name)
        .expected(format!("{expected} Hz"))
        .got(format!("{got} Hz"))
        .remedy("bring the files to one rate; nothing is resampled silently")
}

/// Texts with their marks.
pub(super) fn texts<'a>(step: &str, name: &str, column: &'a Column) -> Result<(&'a [String], &'a Mask)> {
    match column {
        Column::Text { values, absent } => Ok((values, absent)),
        other => Err(wrong_kind(step, name, Kind::Text, other)),
    }
}

/// Sequences whose present rows have steps, all of them finite.
pub(super) fn sequences<'a>(step: &str, name: &str, column: &'a Column) -> Result<&'a Sequences> {
    let Column::Sequence(sequences) = column else {
        return Err(wrong_kind(step, name, Kind::Sequence, column));
    };
    for row in 0..sequences.len() {
        let Some(steps) = sequences.get(row) else { continue };
        if steps.is_empty() {
            return Err(Error::data("a sequence holds no steps")
                .at(format!("{name}: row {row} of the batch"))
                .remedy("leave its cell empty so that the sequence is absent"));
        }
        if !steps.iter().all(|v| v.is_finite()) {
            return Err(not_finite(name, row));
        }
    }
    Ok(sequences)
}

/// Sequences whose steps have the width that a step was fitted to.
pub(super) fn wide<'a>(step: &str, name: &str, width: usize, column: &'a Column) -> Result<&'a Sequences> {
    let sequences = sequences(step, name, column)?;
    // Rows that are all absent may come without a width.
    let any = (0..sequences.len()).any(|r| sequences.get(r).is_some());
    if any && sequences.width() != width {
        return Err(Error::data(format!("\"{step}\" was given steps of another width"))
            .at(name)
            .expected(format!("{width} values in a step"))
            .got(sequences.width()));
    }
    Ok(sequences)
}

/// Categories as the name of each row's level, `None` where it is missing.
pub(super) fn levels<'a>(step: &str, name: &str, column: &'a Column) -> Result<Vec<Option<&'a str>>> {
    let Column::Category { levels, codes, missing } = column else {
        return Err(wrong_kind(step, name, Kind::Category, column));
    };
    codes
        .iter()
        .enumerate()
        .map(|(row, code)| {
            if missing.is_set(row) {
                return Ok(None);
            }
            levels.get(*code as usize).map(|l| Some(l.as_str())).ok_or_else(|| {
                Error::data("a level's code has no name")
                    .at(format!("{name}: row {row} of the batch"))
                    .expected(format!("a code below {}", levels.len()))
                    .got(code)
            })
        })
        .collect()
}

/// A number as it is stored in vectors.
///
/// # Errors
/// If it does not fit.
pub(super) fn single(name: &str, row: usize, value: f64) -> Result<f32> {
    let single = value as f32;
    if single.is_finite() { Ok(single) } else { Err(not_finite(name, row).got(format!("{value:e}"))) }
}

/// Checks that numbers learned from the rows are finite: sums of enormous values are not.
pub(super) fn learned(step: &str, name: &str, values: &[f64]) -> Result<()> {
    if values.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    Err(Error::data(format!("the values are too large for \"{step}\": a sum over them is not finite"))
        .at(name)
        .remedy("give the column in a larger unit"))
}

/// Saved parts that contradict themselves.
pub(super) fn damaged(parts: &Parts) -> Error {
    Error::model(format!("the saved \"{}\" contradicts itself", parts.kind))
        .remedy("the model directory is damaged or was made by another version; fit it again")
}

fn not_finite(name: &str, row: usize) -> Error {
    Error::data("a value is not a finite number that 32 bits can hold")
        .at(format!("{name}: row {row} of the batch"))
        .expected("a finite number")
        .remedy("correct the cell, or leave it empty so that it is missing")
}
