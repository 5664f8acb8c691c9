//! Columns whose rows stand in files of their own: images, sounds, texts. Files are read when rows are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::read::{MAX_FILE_BYTES, decode_image, decode_text, decode_wav, image_shape, read_bounded};
use super::spec::Corrupt;
use super::table::Places;
use crate::error::{Error, Result};
use crate::files::{Hasher, confine, sha256_bytes};
use crate::model::{Audios, Column, Field, Images, Kind, Mask};

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
}

/// What one file held.
enum Payload {
    Image([usize; 3], Vec<u8>),
    Audio(u32, Vec<f32>),
    Text(String),
    Absent,
}

/// What opening one file found.
enum Opened {
    Fine { file: OneFile, shape: Option<[usize; 3]> },
    Corrupt(String),
}

impl PathColumn {
    /// Opens the files that `cells` name, below `root`; an empty cell is an absent modality.
    ///
    /// Every file is read once: hashed, and checked as far as it costs little (sounds and texts wholly, images by their
    /// header). With [`Corrupt::Absent`] images are decoded too, and files that cannot be read are absent and counted.
    ///
    /// # Errors
    /// [`Error::Data`] with the row's place and the file's name if it is not there, outside `root`, or unreadable.
    pub(crate) fn new(
        name: &str,
        kind: Kind,
        cells: &[String],
        root: &Path,
        corrupt: Corrupt,
        places: &Places,
    ) -> Result<(Self, Field, Vec<String>)> {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (row, cell) in cells.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
            first.entry(cell).or_insert(row);
        }
        let opened: Vec<Result<Opened>> = first
            .par_iter()
            .map(|(file, row)| {
                open_one(root, file, kind, corrupt).map_err(|e| {
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
        let mut shapes = Vec::new();
        let mut broken: Vec<String> = Vec::new();
        for (cell, opened) in first.keys().zip(opened) {
            match opened? {
                Opened::Fine { file, shape } => {
                    let position =
                        u32::try_from(files.len()).map_err(|_| Error::internal("too many files"))?;
                    positions.insert(cell, position);
                    files.push(file);
                    shapes.extend(shape);
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
        let mut field = Field::new(name, kind);
        if let Some(shape) = shapes.first().filter(|s| shapes.iter().all(|t| t == *s)) {
            field.shape = shape.to_vec();
        }
        Ok((Self { kind, files, at }, field, notes))
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
                    decode(self.kind, &read_bounded(&file.path, &file.name, MAX_FILE_BYTES)?, &file.name)
                }
                None => Ok(Payload::Absent),
            })
            .collect();
        let (mut images, mut sounds, mut texts) = (Images::default(), Audios::default(), Vec::new());
        let mut absent = Mask::default();
        for payload in payloads {
            let payload = payload?;
            absent.push(matches!(payload, Payload::Absent));
            match payload {
                Payload::Image(shape, pixels) => images.push(shape, &pixels)?,
                Payload::Audio(rate, samples) => sounds.push(rate, &samples),
                Payload::Text(text) => texts.push(text),
                Payload::Absent if self.kind == Kind::Image => images.push_absent(),
                Payload::Absent if self.kind == Kind::Audio => sounds.push_absent(),
                Payload::Absent => texts.push(String::new()),
            }
        }
        Ok(match self.kind {
            Kind::Image => Column::Image(images),
            Kind::Audio => Column::Audio(sounds),
            _ => Column::Text { values: texts, absent },
        })
    }
}

fn decode(kind: Kind, bytes: &[u8], name: &str) -> Result<Payload> {
    Ok(match kind {
        Kind::Image => {
            let (shape, pixels) = decode_image(bytes, name)?;
            Payload::Image(shape, pixels)
        }
        Kind::Audio => {
            let sound = decode_wav(bytes, name)?;
            Payload::Audio(sound.rate, sound.samples)
        }
        _ => Payload::Text(decode_text(bytes, name)?),
    })
}

fn open_one(root: &Path, name: &str, kind: Kind, corrupt: Corrupt) -> Result<Opened> {
    let whole = || -> Result<Opened> {
        let path = confine(root, name)?;
        let bytes = read_bounded(&path, name, MAX_FILE_BYTES)?;
        let shape = match (kind, corrupt) {
            (Kind::Image, Corrupt::Error) => Some(image_shape(&bytes, name)?),
            _ => match decode(kind, &bytes, name)? {
                Payload::Image(shape, _) => Some(shape),
                _ => None,
            },
        };
        let file = OneFile { path, name: name.to_owned(), hash: sha256_bytes(&bytes) };
        Ok(Opened::Fine { file, shape })
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
        PathColumn::new("x", kind, &cells, root, corrupt, &places)
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
}
