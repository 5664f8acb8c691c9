//! Files of one sequence: a step a line of numbers, or an npy array.

use super::npy::read_npy_from;
use super::text::decode_text;
use crate::error::{Error, Result};

/// The steps of one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StepFile {
    /// Values in a step.
    pub(crate) width: usize,
    /// The names of the values, if the file's first line holds names.
    pub(crate) names: Vec<String>,
    /// `[steps, width]`, row-major; finite, one step at least.
    pub(crate) values: Vec<f32>,
}

impl StepFile {
    /// How many steps.
    pub(crate) fn steps(&self) -> usize {
        self.values.len() / self.width.max(1)
    }
}

/// What stands between the cells of a line.
#[derive(Debug, Clone, Copy)]
enum Between {
    One(char),
    Spaces,
}

/// The steps of a file's bytes: an npy array `[steps, width]` or `[steps]`, else text with a step a line.
///
/// Cells of text are separated by `delimiter`, a comma without one, a tab in files that end in `.tsv`, and by any spaces in
/// files that end in `.txt`. A first line of words, none of them a number, holds the names of the values.
///
/// # Errors
/// [`Error::Data`] with file and line for a cell that is no finite number, a line of another width, a blank line between
/// steps, and a file without steps; as [`super::read_npy`] and [`decode_text`].
pub(crate) fn decode_steps(bytes: &[u8], name: &str, delimiter: Option<char>) -> Result<StepFile> {
    if bytes.starts_with(b"\x93NUMPY") {
        return from_array(bytes, name);
    }
    let lower = name.to_lowercase();
    let between = match delimiter {
        _ if lower.ends_with(".txt") => Between::Spaces,
        Some(c) => Between::One(c),
        None if lower.ends_with(".tsv") => Between::One('\t'),
        None => Between::One(','),
    };
    from_text(&decode_text(bytes, name)?, name, between)
}

fn from_array(mut bytes: &[u8], name: &str) -> Result<StepFile> {
    let length = bytes.len() as u64;
    let array = read_npy_from(&mut bytes, length, name)?;
    let width = match *array.shape.as_slice() {
        [_] => 1,
        [_, width] => width,
        _ => {
            return Err(Error::data("the array holds no sequence")
                .at(name)
                .expected("[steps, width] or [steps]")
                .got(format!("{:?}", array.shape))
                .remedy("one file holds one row; an array of all rows goes under npy: instead of path:"));
        }
    };
    let mut values = Vec::with_capacity(array.data.len());
    array.data.each(0..array.data.len(), |x| values.push(x as f32));
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(no_number("NaN, infinite or too large").at(format!(
            "{name} (step {}, value {})",
            i / width,
            i % width
        ))),
        None => Ok(StepFile { width, names: Vec::new(), values }),
    }
}

fn from_text(text: &str, name: &str, between: Between) -> Result<StepFile> {
    let mut file = StepFile { width: 0, names: Vec::new(), values: Vec::new() };
    let mut blank = None;
    for (line, cells) in (1usize..).zip(text.lines()) {
        let place = || format!("{name}:{line}");
        if cells.trim().is_empty() {
            blank.get_or_insert(line);
            continue;
        }
        if let Some(blank) = blank {
            return Err(Error::data("a blank line before a step")
                .at(format!("{name}:{blank}"))
                .remedy("remove the line; a step without values cannot be"));
        }
        let cells = split(cells, between);
        if file.width == 0 {
            file.width = cells.len();
            if cells.iter().all(|c| c.contains(char::is_alphabetic) && c.parse::<f64>().is_err()) {
                file.names = cells.into_iter().map(str::to_owned).collect();
                continue;
            }
        }
        if cells.len() != file.width {
            return Err(Error::data("the step has another number of values than the first line")
                .at(place())
                .expected(file.width)
                .got(cells.len())
                .remedy("every line is one step; for another separator set data: {delimiter: ...}"));
        }
        for cell in cells {
            match cell.parse::<f64>().map(|x| x as f32) {
                Ok(x) if x.is_finite() => file.values.push(x),
                _ => return Err(no_number(&format!("\"{cell}\"")).at(place())),
            }
        }
    }
    if file.values.is_empty() {
        return Err(Error::data("the file holds no steps")
            .at(name)
            .expected("a line of numbers for each step")
            .remedy("leave its cell in the table empty, so that the sequence is absent in that row"));
    }
    Ok(file)
}

/// The cells of a line without spaces and quotes around them.
fn split(line: &str, between: Between) -> Vec<&str> {
    match between {
        Between::One(c) => line.split(c).map(bare).collect(),
        Between::Spaces => line.split_whitespace().map(bare).collect(),
    }
}

fn bare(cell: &str) -> &str {
    let cell = cell.trim();
    cell.strip_prefix('"').and_then(|c| c.strip_suffix('"')).unwrap_or(cell)
}

fn no_number(got: &str) -> Error {
    Error::data("a value of a step is no number")
        .expected("a finite number within the range of 32-bit floats")
        .got(got)
        .remedy("fill it in beforehand, or, for another separator, set data: {delimiter: ...}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::npy::tests::npy;
    use super::*;

    fn read(name: &str, text: &str) -> Result<StepFile> {
        decode_steps(text.as_bytes(), name, None)
    }

    #[test]
    fn a_line_is_a_step_with_or_without_names() {
        let plain = read("a.csv", "\u{feff}1, 2\n3,-4e1\r\n\n").unwrap();
        assert_eq!((plain.width, plain.steps(), plain.names.len()), (2, 2, 0));
        assert_eq!(plain.values, [1.0, 2.0, 3.0, -40.0]);
        let named = read("a.csv", "\"x\",y\n1,2\n").unwrap();
        assert_eq!((named.names, named.values), (vec!["x".to_owned(), "y".to_owned()], vec![1.0, 2.0]));
        assert_eq!(read("a.tsv", "1\t2\n").unwrap().width, 2);
        assert_eq!(read("a.TXT", "  1   2\n 3 4").unwrap().values, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(decode_steps(b"1;2\n", "a.csv", Some(';')).unwrap().width, 2);
    }

    #[test]
    fn an_array_is_steps_by_width() {
        let bytes = |v: &[f64]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let two = npy("<f8", "False", "(2, 2)", &bytes(&[1., 2., 3., 4.]));
        let made = decode_steps(&two, "a.npy", Some(';')).unwrap();
        assert_eq!((made.width, made.values), (2, vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(decode_steps(&npy("|u1", "False", "(3,)", &[1, 2, 3]), "a.npy", None).unwrap().width, 1);
        for (bytes, says) in [
            (npy("<f8", "False", "(2,)", &bytes(&[1.0, f64::NAN])), "a.npy (step 1, value 0): a value"),
            (npy("<f8", "False", "(1,)", &bytes(&[1e300])), "a.npy (step 0, value 0): a value"),
            (npy("|u1", "False", "(1, 1, 2)", &[1, 2]), "a.npy: the array holds no sequence"),
            (two[..two.len() - 1].to_vec(), "a.npy: the header claims another size"),
        ] {
            let error = decode_steps(&bytes, "a.npy", None).unwrap_err();
            assert!(error.to_string().starts_with(says) && error.exit_code() == 3, "{error}");
        }
    }

    #[test]
    fn bad_lines_are_refused_with_their_place() {
        for (text, says) in [
            ("", "a.csv: the file holds no steps"),
            ("x,y\n", "a.csv: the file holds no steps"),
            ("1,2\n3\n", "a.csv:2: the step has another number of values"),
            ("x\n1,2\n", "a.csv:2: the step has another number of values"),
            ("1,2\n3,x\n", "a.csv:2: a value of a step is no number"),
            ("x,2\n", "a.csv:1: a value of a step is no number"),
            ("x,y\nz,1\n", "a.csv:2: a value of a step is no number"),
            ("1,\n", "a.csv:1: a value of a step is no number"),
            ("1\nnan\n", "a.csv:2: a value of a step is no number"),
            ("1\n-inf\n", "a.csv:2: a value of a step is no number"),
            ("1\n1e39\n", "a.csv:2: a value of a step is no number"),
            ("1\n\n2\n", "a.csv:2: a blank line"),
            ("1;2\n", "a.csv:1: a value of a step is no number"),
        ] {
            let error = read("a.csv", text).unwrap_err();
            assert!(error.to_string().starts_with(says), "{error} is not {says}");
            assert_eq!(error.exit_code(), 3);
        }
        assert!(decode_steps(b"1\n\xff", "a.csv", None).unwrap_err().to_string().contains("UTF-8"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// What is written as a csv is read back, whatever its size.
        #[test]
        fn written_steps_are_read_back(width in 1usize..5, values in prop::collection::vec(-1e30f32..1e30, 1..40)) {
            let whole = values.len() / width * width;
            prop_assume!(whole > 0);
            let lines: Vec<String> = values[..whole]
                .chunks(width)
                .map(|s| s.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(","))
                .collect();
            let made = read("a.csv", &lines.join("\n")).unwrap();
            prop_assert_eq!((made.width, &made.values[..]), (width, &values[..whole]));
        }

        /// No bytes can panic.
        #[test]
        fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_steps(&bytes, "a.csv", None);
        }
    }
}
