//! `csl demo`: written and spoken digits from inside the program.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use consilience_core::files::{AtomicDir, sha256_bytes, sweep_strays};
use consilience_core::model::Stop;
use consilience_core::{Error, Result};

use super::recipes::from_text;
use super::run::go;
use crate::arguments::Places;
use crate::fault::Fault;

const ARCHIVE: &[u8] = include_bytes!("../../../../testdata/demo/digits.zip");
const RECIPE: &str = include_str!("../../../../recipes/demo.yaml");

/// No file of the archive is larger.
const LARGEST: u64 = 4 << 20;

/// Unpacks the data below the runs and runs the recipe on them.
pub fn demo(places: &Places, fresh: bool, json: bool, stop: &Stop) -> std::result::Result<ExitCode, Fault> {
    let data = match &places.data {
        Some(data) => data.clone(),
        None => unpack(&places.runs)?,
    };
    let places = Places { data: Some(data), runs: places.runs.clone(), seed: places.seed };
    let ready = from_text(RECIPE.to_owned(), "demo.yaml".to_owned(), PathBuf::from("."), &places, json)?;
    go(&ready, &places, fresh, false, json, stop, "csl demo".to_owned())
}

/// The folder with the data, unpacked once.
fn unpack(runs: &Path) -> Result<PathBuf> {
    let hash = sha256_bytes(ARCHIVE);
    let parent = runs.join(".demo");
    let goal = parent.join(hash.get(..12).unwrap_or(&hash));
    sweep_strays(&parent)?;
    if goal.is_dir() {
        return Ok(goal);
    }
    let broken = |e: zip::result::ZipError| Error::internal(format!("the embedded archive: {e}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(ARCHIVE)).map_err(broken)?;
    let dir = AtomicDir::begin(&goal)?;
    for i in 0..archive.len() {
        let file = archive.by_index(i).map_err(broken)?;
        let Some(name) = file.enclosed_name() else {
            return Err(Error::internal("the embedded archive holds a path that leads out"));
        };
        if file.is_dir() {
            continue;
        }
        let path = dir.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::write(parent, e))?;
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|e| Error::write(&path, e))?;
        std::fs::write(&path, bytes).map_err(|e| Error::write(&path, e))?;
    }
    dir.commit()?;
    Ok(goal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_unpacks_whole() {
        let dir = tempfile::tempdir().unwrap();
        let goal = unpack(dir.path()).unwrap();
        assert!(goal.join("pairs.csv").is_file());
        assert_eq!(std::fs::read_dir(goal.join("audio")).unwrap().count(), 700);
        assert_eq!(unpack(dir.path()).unwrap(), goal);
    }
}
