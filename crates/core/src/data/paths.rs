//! Columns whose rows stand in files of their own: images, sounds, texts, sequences. Files are read when rows are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::read::{
    MAX_FILE_BYTES, StepFile, decode_image, decode_steps, decode_text, decode_wav, image_shape, read_bounded,
};
use super::spec::Corrupt;
use super::table::Places;
use crate::error::{Error, Result};
use crate::files::{Hasher, confine, sha256_bytes};
use crate::model::{Audios, Column, Field, Images, Kind, Mask, Sequences};

/// A file that rows name.
#[derive(Debug, Clone)]
struct OneFile {
    path: PathBuf,
    name: String,
    hash: String,
}

/// A column over files. Rows may share a file.
#[derive(Debug, Clone)]
pub(crate) struct PathColumn {
    kind: Kind,
    files: Vec<OneFile>,
    at: Vec<Option<u32>>,
    /// Sequence: values in a step.
    width: usize,
    /// Sequence: what separates the cells of a line, where the recipe says so.
    delimiter: Option<char>,
}

/// What one file held.
enum Payload {
    Image([usize; 3], Vec<u8>),
    Audio(u32, Vec<f32>),
    Text(String),
    Steps(StepFile),
    Absent,
}

/// What opening one file found.
enum Opened {
    Fine(OneFile, Form),
    Corrupt(String),
}

/// The form of what a file holds.
enum Form {
    Image([usize; 3]),
    Steps { width: usize, steps: usize, names: Vec<String> },
    Any,
}

impl PathColumn {
    /// Opens the files that `cells` name, below `root`; an empty cell is an absent modality.
    ///
    /// Every file is read once: hashed, and checked as far as it costs little (images by their header, the others
    /// wholly). With [`Corrupt::Absent`] images are decoded too, and files that cannot be read are absent and counted.
    ///
    /// # Errors
    /// [`Error::Data`] with the row's place and the file's name if it is not there, outside `root`, or unreadable, or if
    /// its steps have another width or other names than those of the first file.
    pub(crate) fn new(
        name: &str,
        kind: Kind,
        cells: &[String],
        root: &Path,
        settings: (Corrupt, Option<char>),
        places: &Places,
    ) -> Result<(Self, Field, Vec<String>)> {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (row, cell) in cells.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
            first.entry(cell).or_insert(row);
        }
        let opened: Vec<Result<Opened>> = first
            .par_iter()
            .map(|(file, row)| {
                open_one(root, file, kind, settings).map_err(|e| {
                    let said = match &e {
                        Error::Read { source, .. } => Error::data(format!(
                            "the file cannot be read ({source})"
                        ))
                        .at(file)
                        .remedy(
                            "check the path; data: {corrupt: absent} leaves such files out and counts them",
                        ),
                        _ => e,
                    };
                    said.at(format!("{} (column \"{name}\")", places.of(*row)))
                })
            })
            .collect();
        let mut files = Vec::new();
        let mut positions: BTreeMap<&str, u32> = BTreeMap::new();
        let mut forms: Vec<(usize, Form)> = Vec::new();
        let mut broken: Vec<String> = Vec::new();
        for ((cell, row), opened) in first.iter().zip(opened) {
            match opened? {
                Opened::Fine(file, form) => {
                    let position =
                        u32::try_from(files.len()).map_err(|_| Error::internal("too many files"))?;
                    positions.insert(cell, position);
                    files.push(file);
                    forms.push((*row, form));
                }
                Opened::Corrupt(why) => broken.push(why),
            }
        }
        let at: Vec<Option<u32>> = cells.iter().map(|c| positions.get(c.as_str()).copied()).collect();
        let mut notes = Vec::new();
        if let Some(why) = broken.first() {
            let rows = at.iter().zip(cells).filter(|(a, c)| a.is_none() && !c.is_empty()).count();
            notes.push(format!(
                "column \"{name}\": {} files cannot be read, so it is absent in {rows} rows (first: {why})",
                broken.len()
            ));
        }
        forms.sort_by_key(|(row, _)| *row);
        let field = field_of(name, kind, &forms, cells, places)?;
        let width = if kind == Kind::Sequence { field.shape.first().copied().unwrap_or(0) } else { 0 };
        Ok((Self { kind, files, at, width, delimiter: settings.1 }, field, notes))
    }

    /// How many rows are absent.
    pub(crate) fn absent(&self) -> usize {
        self.at.iter().filter(|a| a.is_none()).count()
    }

    /// A hash of what every row holds, in order.
    pub(crate) fn content(&self) -> String {
        let hashes = self.at.iter().map(|a| self.file(*a).map_or("", |f| f.hash.as_str()));
        hashes.fold(Hasher::new(), |h, part| h.part(part)).finish()
    }

    /// Adds what a row holds to its digest.
    pub(crate) fn digest(&self, row: usize, hash: &mut Sha256) {
        match self.file(self.at.get(row).copied().flatten()) {
            Some(file) => {
                hash.update([1u8]);
                hash.update(file.hash.as_bytes());
            }
            None => hash.update([0u8]),
        }
    }

    fn file(&self, at: Option<u32>) -> Option<&OneFile> {
        at.and_then(|i| self.files.get(i as usize))
    }

    /// Reads rows; files in parallel, rows in order.
    pub(crate) fn read(&self, rows: &[usize]) -> Result<Column> {
        let payloads: Vec<Result<Payload>> = rows
            .par_iter()
            .map(|r| match self.file(self.at.get(*r).copied().flatten()) {
                Some(file) => {
                    let bytes = read_bounded(&file.path, &file.name, MAX_FILE_BYTES)?;
                    match decode(self.kind, &bytes, &file.name, self.delimiter)? {
                        Payload::Steps(f) if f.width != self.width => Err(changed(file, self.width, f.width)),
                        payload => Ok(payload),
                    }
                }
                None => Ok(Payload::Absent),
            })
            .collect();
        let (mut images, mut sounds, mut texts) = (Images::default(), Audios::default(), Vec::new());
        let mut sequences = Sequences::new(self.width);
        let mut absent = Mask::default();
        for payload in payloads {
            let payload = payload?;
            absent.push(matches!(payload, Payload::Absent));
            match payload {
                Payload::Image(shape, pixels) => images.push(shape, &pixels)?,
                Payload::Audio(rate, samples) => sounds.push(rate, &samples),
                Payload::Text(text) => texts.push(text),
                Payload::Steps(file) => sequences.push(&file.values)?,
                Payload::Absent if self.kind == Kind::Image => images.push_absent(),
                Payload::Absent if self.kind == Kind::Audio => sounds.push_absent(),
                Payload::Absent if self.kind == Kind::Sequence => sequences.push_absent(),
                Payload::Absent => texts.push(String::new()),
            }
        }
        Ok(match self.kind {
            Kind::Image => Column::Image(images),
            Kind::Audio => Column::Audio(sounds),
            Kind::Sequence => Column::Sequence(sequences),
            _ => Column::Text { values: texts, absent },
        })
    }
}

fn changed(file: &OneFile, expected: usize, got: usize) -> Error {
    Error::data("the file's steps have another width than when it was opened")
        .at(&file.name)
        .expected(expected)
        .got(got)
        .remedy("leave the data as they are while they are used")
}

/// What all files have in common: the shape of images where it is one, the width and names of steps, which must be.
fn field_of(
    name: &str,
    kind: Kind,
    forms: &[(usize, Form)],
    cells: &[String],
    places: &Places,
) -> Result<Field> {
    let mut field = Field::new(name, kind);
    let mut shapes = forms.iter().filter_map(|(_, f)| if let Form::Image(s) = f { Some(s) } else { None });
    if let Some(first) = shapes.next()
        && shapes.all(|s| s == first)
    {
        field.shape = first.to_vec();
    }
    let file = |row: usize| cells.get(row).map_or("", String::as_str);
    let (mut first, mut named) = (0, 0);
    for (row, form) in forms {
        let Form::Steps { width, steps, names } = form else { continue };
        let differs = |what: &str, as_in: usize| {
            Error::data(format!("the files of the column \"{name}\" have steps of different {what}"))
                .at(format!("{}: {}", places.of(*row), file(*row)))
                .remedy(format!(
                    "every file of a column holds the same values in the same order, as in {}",
                    file(as_in)
                ))
        };
        if field.shape.is_empty() {
            (field.shape, first) = (vec![*width], *row);
        }
        if field.shape != [*width] {
            return Err(differs("width", first).expected(format!("{} values", field.shape[0])).got(width));
        }
        if field.channels.is_empty() && !names.is_empty() {
            (field.channels, named) = (names.clone(), *row);
        }
        if !names.is_empty() && field.channels != *names {
            return Err(differs("names", named).expected(field.channels.join(", ")).got(names.join(", ")));
        }
        field.longest = field.longest.max(*steps);
    }
    Ok(field)
}

fn decode(kind: Kind, bytes: &[u8], name: &str, delimiter: Option<char>) -> Result<Payload> {
    Ok(match kind {
        Kind::Image => {
            let (shape, pixels) = decode_image(bytes, name)?;
            Payload::Image(shape, pixels)
        }
        Kind::Audio => {
            let sound = decode_wav(bytes, name)?;
            Payload::Audio(sound.rate, sound.samples)
        }
        Kind::Sequence => Payload::Steps(decode_steps(bytes, name, delimiter)?),
        _ => Payload::Text(decode_text(bytes, name)?),
    })
}

fn open_one(root: &Path, name: &str, kind: Kind, settings: (Corrupt, Option<char>)) -> Result<Opened> {
    let (corrupt, delimiter) = settings;
    let whole = || -> Result<Opened> {
        let path = confine(root, name)?;
        let bytes = read_bounded(&path, name, MAX_FILE_BYTES)?;
        let form = match (kind, corrupt) {
            (Kind::Image, Corrupt::Error) => Form::Image(image_shape(&bytes, name)?),
            _ => match decode(kind, &bytes, name, delimiter)? {
                Payload::Image(shape, _) => Form::Image(shape),
                Payload::Steps(f) => Form::Steps { width: f.width, steps: f.steps(), names: f.names },
                _ => Form::Any,
            },
        };
        Ok(Opened::Fine(OneFile { path, name: name.to_owned(), hash: sha256_bytes(&bytes) }, form))
    };
    match whole() {
        // A path that leads outside is never a damaged file.
        Err(e) if corrupt == Corrupt::Absent && !e.to_string().contains("outside the data folder") => {
            Ok(Opened::Corrupt(e.to_string()))
        }
        other => other,
    }
}

#[cfg(all(test, feature = "image", feature = "audio"))]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use image::ExtendedColorType;

    use super::super::read::tests::{png, wav};
    use super::*;

    fn opened(
        root: &Path,
        kind: Kind,
        cells: &[&str],
        corrupt: Corrupt,
    ) -> Result<(PathColumn, Field, Vec<String>)> {
        let cells: Vec<String> = cells.iter().map(|c| (*c).to_owned()).collect();
        let places = Places::lines("t.csv", (2..).take(cells.len()).collect());
        PathColumn::new("x", kind, &cells, root, (corrupt, None), &places)
    }

    #[test]
    fn rows_share_files_and_empty_names_are_absent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.png"), png(2, 1, ExtendedColorType::L8, &[5, 6])).unwrap();
        std::fs::write(dir.path().join("a.wav"), wav(1, 16, &[16384])).unwrap();
        std::fs::write(dir.path().join("a.txt"), "hello").unwrap();
        let (column, field, _) =
            opened(dir.path(), Kind::Image, &["a.png", "", "./a.png"], Corrupt::Error).unwrap();
        assert_eq!((field.shape.as_slice(), column.absent()), (&[1, 2, 1][..], 1));
        let Column::Image(i) = column.read(&[2, 1, 0]).unwrap() else { panic!() };
        assert_eq!((i.get(0), i.get(1)), (Some(([1, 2, 1], &[5u8, 6][..])), None));
        let (column, ..) = opened(dir.path(), Kind::Audio, &["a.wav"], Corrupt::Error).unwrap();
        let Column::Audio(a) = column.read(&[0]).unwrap() else { panic!() };
        assert_eq!(a.get(0), Some((8000, &[0.5f32][..])));
        let (column, ..) = opened(dir.path(), Kind::Text, &["", "a.txt"], Corrupt::Error).unwrap();
        let Column::Text { values, absent } = column.read(&[0, 1]).unwrap() else { panic!() };
        assert_eq!((values, absent.count()), (vec![String::new(), "hello".to_owned()], 1));
    }

    #[test]
    fn bad_files_stop_or_are_absent_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("a.png"), png(2, 1, ExtendedColorType::L8, &[5, 6])).unwrap();
        std::fs::write(root.join("b.png"), "no image").unwrap();
        let sound = wav(1, 16, &[1, 2, 3]);
        std::fs::write(root.join("c.wav"), &sound[..sound.len() - 2]).unwrap();
        std::fs::write(dir.path().join("out.png"), "").unwrap();
        for (kind, cell, says) in [
            (Kind::Image, "b.png", "t.csv:3 (column \"x\"): b.png: the file is no readable image"),
            (Kind::Audio, "c.wav", "t.csv:3 (column \"x\"): c.wav: the sound was cut short"),
            (Kind::Image, "none.png", "t.csv:3 (column \"x\"): none.png: the file cannot be read"),
            (Kind::Image, "../out.png", "t.csv:3 (column \"x\"): ../out.png: the path leads outside"),
        ] {
            let error = opened(&root, kind, &["", cell], Corrupt::Error).unwrap_err();
            assert!(error.to_string().starts_with(says), "{error} is not {says}");
            assert_eq!(error.exit_code(), 3);
        }
        let cells = ["a.png", "b.png", "b.png", "none.png"];
        let (column, _, notes) = opened(&root, Kind::Image, &cells, Corrupt::Absent).unwrap();
        assert_eq!(column.absent(), 3);
        assert!(notes[0].contains("2 files cannot be read, so it is absent in 3 rows"), "{notes:?}");
        assert!(opened(&root, Kind::Image, &["../out.png"], Corrupt::Absent).is_err());
    }
    #[test]
    fn sequences_share_a_width_and_names_and_tell_the_longest() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("a.csv", "u,v\n1,2\n3,4\n");
        write("b.csv", "5,6\n");
        write("c.csv", "1,2,3\n");
        write("d.csv", "v,u\n1,2\n");
        let open = |cells: &[&str], corrupt| opened(dir.path(), Kind::Sequence, cells, corrupt);
        let (column, field, _) = open(&["b.csv", "", "a.csv"], Corrupt::Error).unwrap();
        assert_eq!((field.shape.as_slice(), field.longest), (&[2][..], 2));
        assert_eq!((field.channels.join(" "), column.absent()), ("u v".to_owned(), 1));
        let Column::Sequence(s) = column.read(&[2, 1, 0]).unwrap() else { panic!() };
        assert_eq!((s.get(0), s.get(1)), (Some(&[1.0f32, 2.0, 3.0, 4.0][..]), None));
        assert_eq!(s.get(2), Some(&[5.0f32, 6.0][..]));
        for corrupt in [Corrupt::Error, Corrupt::Absent] {
            let error = open(&["b.csv", "c.csv"], corrupt).unwrap_err().to_string();
            assert!(error.starts_with("t.csv:3: c.csv: the files of the column \"x\""), "{error}");
            assert!(error.contains("expected 2 values, got 3") && error.contains("as in b.csv"), "{error}");
            let error = open(&["b.csv", "a.csv", "d.csv"], corrupt).unwrap_err().to_string();
            assert!(error.contains("t.csv:4: d.csv") && error.contains("expected u, v, got v, u"), "{error}");
        }
        write("e.csv", "1,2\n3,x\n");
        let error = open(&["e.csv"], Corrupt::Error).unwrap_err().to_string();
        assert!(error.starts_with("t.csv:2 (column \"x\"): e.csv:2: a value of a step"), "{error}");
        let (column, field, notes) = open(&["e.csv", ""], Corrupt::Absent).unwrap();
        assert_eq!((column.absent(), field.shape.len(), notes.len()), (2, 0, 1));
        // A file that changes under us is told, and not read as something else.
        let (column, ..) = open(&["b.csv"], Corrupt::Error).unwrap();
        write("b.csv", "5,6,7\n");
        assert!(column.read(&[0]).unwrap_err().to_string().contains("another width"));
    }
}
