//! What cells mean: missing, a number, a level. Types that are not declared are guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::spec::ColumnSpec;
use super::table::{Cells, Places, TableColumn};
use crate::error::{Error, Result, shown};
use crate::model::{Column, Kind, Mask};
use crate::registry::nearest;

/// What stands for a missing value everywhere.
const MISSING: [&str; 6] = ["", "NA", "NaN", "nan", "null", "None"];

/// From this many numbers for each text on, the texts of a column look like slips.
const NUMBERS_A_STRAY: usize = 9;

/// Which cells of a column are missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing<'a> {
    declared: &'a [String],
    levels: &'a [String],
}

impl<'a> Missing<'a> {
    pub(crate) fn of(spec: &'a ColumnSpec) -> Self {
        Self { declared: &spec.missing, levels: &spec.levels }
    }

    /// Whether a cell, spaces around it removed, stands for a missing value.
    pub(crate) fn is(&self, cell: &str) -> bool {
        let is_level = self.levels.iter().any(|l| l == cell);
        !is_level && (MISSING.contains(&cell) || self.declared.iter().any(|m| m == cell))
    }
}

/// What a single cell says.
enum Cell {
    Missing,
    Finite(f64),
    Infinite,
    Text,
}

fn number_in(cell: &str, missing: Missing) -> Cell {
    if missing.is(cell) {
        return Cell::Missing;
    }
    match cell.parse::<f64>() {
        Ok(x) if x.is_nan() => Cell::Missing,
        Ok(x) if x.is_finite() => Cell::Finite(x),
        Ok(_) => Cell::Infinite,
        Err(_) => Cell::Text,
    }
}

/// A number if every cell that is not missing is one, else a category.
pub(crate) fn guess(column: &TableColumn, missing: Missing) -> Kind {
    let text = match &column.cells {
        Cells::Numbers(..) => false,
        Cells::Texts(t) => (0..t.len()).any(|r| matches!(number_in(t.get(r).trim(), missing), Cell::Text)),
    };
    if text { Kind::Category } else { Kind::Number }
}

/// What to know of a column that would be numbers but for a few texts: the first of them, and how many there are.
pub(crate) fn stray_text(column: &TableColumn, missing: Missing, places: &Places) -> Option<String> {
    let Cells::Texts(texts) = &column.cells else { return None };
    let (mut numbers, mut strays, mut first) = (0usize, 0usize, None);
    for row in 0..texts.len() {
        match number_in(texts.get(row).trim(), missing) {
            Cell::Missing => {}
            Cell::Finite(_) | Cell::Infinite => numbers += 1,
            Cell::Text => {
                strays += 1;
                first.get_or_insert(row);
            }
        }
    }
    let row = first.filter(|_| numbers >= NUMBERS_A_STRAY * strays)?;
    Some(format!(
        "column \"{}\": {numbers} cells are numbers and {strays} are not, first {}: \"{}\"; it is taken for a category \
         (declare type: number to be told of each, or missing: [...])",
        column.name,
        places.of(row),
        shown(texts.get(row).trim(), 60)
    ))
}

/// The column as numbers, with a mask of the missing ones.
///
/// # Errors
/// [`Error::Data`] with file, line, column and cell for a text or an infinite number.
pub(crate) fn numbers(column: &TableColumn, missing: Missing, places: &Places) -> Result<(Vec<f64>, Mask)> {
    let wrong = |row: usize, what: &str, remedy: &str| {
        Error::data(format!("{what} in the number column \"{}\"", column.name))
            .at(places.of(row))
            .expected("a finite number")
            .got(format!("\"{}\"", column.cells.text(row)))
            .remedy(remedy)
    };
    let infinite = |row| {
        wrong(
            row,
            "an infinite number",
            "correct it, or declare it as a missing value (columns: {...: {missing: [inf]}})",
        )
    };
    let mut values = Vec::with_capacity(column.cells.len());
    let mut gone = Mask::default();
    match &column.cells {
        Cells::Texts(texts) => {
            for row in 0..texts.len() {
                let (value, missing) = match number_in(texts.get(row).trim(), missing) {
                    Cell::Missing => (0.0, true),
                    Cell::Finite(x) => (x, false),
                    Cell::Infinite => return Err(infinite(row)),
                    Cell::Text => {
                        let remedy =
                            "correct it, declare it as a missing value, or declare the column a category";
                        return Err(wrong(row, "a text", remedy));
                    }
                };
                values.push(value);
                gone.push(missing);
            }
        }
        Cells::Numbers(numbers, mask) => {
            numbers.each(0..numbers.len(), |x| values.push(x));
            for (row, value) in values.iter_mut().enumerate() {
                let none = mask.is_set(row)
                    || value.is_nan()
                    || (!missing.declared.is_empty() && missing.is(&numbers.text(row)));
                if none {
                    *value = 0.0;
                } else if value.is_infinite() {
                    return Err(infinite(row));
                }
                gone.push(none);
            }
        }
    }
    Ok((values, gone))
}

/// The cells with spaces around them removed; a missing one is empty.
pub(crate) fn plain_cells(column: &TableColumn, missing: Missing) -> Vec<String> {
    (0..column.cells.len())
        .map(|row| {
            let text = column.cells.text(row);
            let cell = text.trim();
            if missing.is(cell) { String::new() } else { cell.to_owned() }
        })
        .collect()
}

/// How levels are completed by what is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A cell that is no declared level is an error.
    Refuse,
    /// It becomes a level after those that are declared, in order.
    Append,
}

/// The column as levels. Without declared ones: those seen, in order.
///
/// # Errors
/// [`Error::Data`] with file and line for a cell that is none of the declared levels, where that is refused.
pub(crate) fn categories(
    column: &TableColumn,
    missing: Missing,
    declared: &[String],
    unknown: Unknown,
    places: &Places,
) -> Result<Column> {
    let cells = plain_cells(column, missing);
    let mut levels = declared.to_vec();
    let known: BTreeSet<&str> = declared.iter().map(String::as_str).collect();
    let fresh: BTreeSet<&str> =
        cells.iter().map(String::as_str).filter(|c| !c.is_empty() && !known.contains(c)).collect();
    if !declared.is_empty() && unknown == Unknown::Refuse && !fresh.is_empty() {
        let row = cells.iter().position(|c| fresh.contains(c.as_str())).unwrap_or(0);
        let cell = cells.get(row).cloned().unwrap_or_default();
        return Err(not_a_level(&column.name, &cell, declared).at(places.of(row)));
    }
    levels.extend(in_order(fresh.into_iter().map(str::to_owned).collect()));
    let codes: BTreeMap<&str, u32> =
        levels.iter().enumerate().map(|(i, l)| (l.as_str(), u32::try_from(i).unwrap_or(u32::MAX))).collect();
    let missing: Mask = cells.iter().map(String::is_empty).collect();
    let codes = cells.iter().map(|c| codes.get(c.as_str()).copied().unwrap_or(0)).collect();
    Ok(Column::Category { levels: Arc::new(levels), codes, missing })
}

/// The error about a cell that is none of the declared levels.
pub(crate) fn not_a_level(column: &str, cell: &str, levels: &[String]) -> Error {
    let error = Error::data(format!("\"{cell}\" is no level of the column \"{column}\""))
        .expected(format!("one of {}", levels.join(", ")));
    match nearest(cell, levels.iter().map(String::as_str)) {
        Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
        None => error.remedy("correct the cell; levels are those that the recipe, or the model, names"),
    }
}

/// Names in order: by value if all are finite numbers, else by name.
pub(crate) fn in_order(mut names: Vec<String>) -> Vec<String> {
    let numbers: Option<Vec<f64>> =
        names.iter().map(|n| n.parse::<f64>().ok().filter(|x| x.is_finite())).collect();
    match numbers {
        Some(numbers) => {
            let mut pairs: Vec<(f64, String)> = numbers.into_iter().zip(names).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
            pairs.into_iter().map(|p| p.1).collect()
        }
        None => {
            names.sort();
            names
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::Texts;

    fn column(cells: &[&str]) -> (TableColumn, Places) {
        let mut texts = Texts::default();
        cells.iter().for_each(|c| texts.push(c));
        let lines = (2..).take(cells.len()).collect();
        (TableColumn { name: "x".to_owned(), cells: Cells::Texts(texts) }, Places::lines("t.csv", lines))
    }

    #[test]
    fn numbers_are_guessed_and_missing_values_marked() {
        let spec = ColumnSpec::default();
        let (c, places) = column(&["1", " 2.5 ", "NaN", "", "None", "-1e3"]);
        assert_eq!(guess(&c, Missing::of(&spec)), Kind::Number);
        let (values, gone) = numbers(&c, Missing::of(&spec), &places).unwrap();
        assert_eq!(values, [1.0, 2.5, 0.0, 0.0, 0.0, -1000.0]);
        assert_eq!(gone.marks(), [false, false, true, true, true, false]);
        let (c, _) = column(&["1", "?"]);
        assert_eq!(guess(&c, Missing::of(&spec)), Kind::Category);
        let declared = ColumnSpec { missing: vec!["?".to_owned()], ..ColumnSpec::default() };
        assert_eq!(guess(&c, Missing::of(&declared)), Kind::Number);
    }

    #[test]
    fn a_text_among_many_numbers_is_told() {
        let spec = ColumnSpec::default();
        let mut cells = vec!["1"; 10];
        cells[4] = "l";
        let (c, places) = column(&cells);
        let said = stray_text(&c, Missing::of(&spec), &places).unwrap();
        assert!(said.contains("9 cells are numbers and 1 are not, first t.csv:6: \"l\""), "{said}");
        cells[5] = "o";
        let (c, places) = column(&cells);
        assert_eq!(stray_text(&c, Missing::of(&spec), &places), None);
    }

    #[test]
    fn infinite_numbers_and_texts_are_errors_with_their_place() {
        let spec = ColumnSpec::default();
        for (cell, says) in
            [("inf", "infinite"), ("-Infinity", "infinite"), ("1e999", "infinite"), ("x", "a text")]
        {
            let (c, places) = column(&["1", cell]);
            let error = numbers(&c, Missing::of(&spec), &places).unwrap_err().to_string();
            assert!(
                error.starts_with("t.csv:3: ") && error.contains(says) && error.contains(cell),
                "{error}"
            );
            assert!(error.contains("\"x\""), "{error}");
        }
        let declared = ColumnSpec { missing: vec!["inf".to_owned()], ..ColumnSpec::default() };
        let (c, places) = column(&["1", "inf"]);
        assert_eq!(numbers(&c, Missing::of(&declared), &places).unwrap().1.count(), 1);
    }

    #[test]
    fn levels_are_sorted_or_as_declared() {
        let spec = ColumnSpec::default();
        let levels = |cells: &[&str]| -> Vec<String> {
            let (c, places) = column(cells);
            let made = categories(&c, Missing::of(&spec), &[], Unknown::Refuse, &places).unwrap();
            let Column::Category { levels, .. } = made else { panic!() };
            levels.as_ref().clone()
        };
        assert_eq!(levels(&["10", "9", "", "10"]), ["9", "10"]);
        assert_eq!(levels(&["10", "9", "b"]), ["10", "9", "b"]);
        let declared = ColumnSpec { levels: vec!["low".into(), "None".into()], ..ColumnSpec::default() };
        let (c, places) = column(&["None", "low", "lwo"]);
        let missing = Missing::of(&declared);
        let error =
            categories(&c, missing, &declared.levels, Unknown::Refuse, &places).unwrap_err().to_string();
        assert!(error.starts_with("t.csv:4: ") && error.contains("did you mean \"low\""), "{error}");
        let Column::Category { levels, codes, missing } =
            categories(&c, missing, &declared.levels, Unknown::Append, &places).unwrap()
        else {
            panic!()
        };
        assert_eq!(levels.as_slice(), ["low", "None", "lwo"]);
        assert_eq!((codes, missing.any()), (vec![1, 0, 2], false));
    }
}
