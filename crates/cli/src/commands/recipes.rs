//! Reading a recipe and finding its data, the same for every command.

use std::path::{Path, PathBuf};

use consilience_core::Error;
use consilience_engine::catalog;
use consilience_engine::recipe::{Checked, load};

use crate::arguments::Places;
use crate::fault::Fault;
use crate::show;

/// No recipe is longer, in bytes.
const LONGEST: u64 = 8 << 20;

/// A checked recipe with the folder of its data and its own.
pub struct Ready {
    /// The recipe with its tree.
    pub checked: Checked,
    /// Its name for findings.
    pub name: String,
    /// The data folder.
    pub root: PathBuf,
    /// The recipe's folder.
    pub base: PathBuf,
}

/// Reads and checks a recipe; warnings go to standard error.
pub fn read(path: &Path, places: &Places, json: bool) -> Result<Ready, Fault> {
    // A pipe or a device could be endless; a longer file is refused when it is parsed.
    if std::fs::metadata(path).is_ok_and(|m| !m.is_file() || m.len() > LONGEST) {
        return Err(Error::argument("the recipe is no file of a recipe's size")
            .at(path.display())
            .expected(format!("a YAML file of at most {LONGEST} bytes"))
            .into());
    }
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::argument("there is no such recipe").at(path.display()).remedy("csl init DATA writes one")
        }
        std::io::ErrorKind::InvalidData => Error::argument("the recipe is no UTF-8 text").at(path.display()),
        _ => Error::read(path, e),
    })?;
    let base =
        path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new(".")).to_path_buf();
    from_text(text, path.display().to_string(), base, places, json)
}

/// Checks the text of a recipe.
pub fn from_text(
    text: String,
    name: String,
    base: PathBuf,
    places: &Places,
    json: bool,
) -> Result<Ready, Fault> {
    let mut checked = load(&text, &name, &catalog::methods())?;
    if let Some(seed) = places.seed {
        checked.recipe.seed = seed;
    }
    if !json && !checked.warnings.is_empty() {
        show::err(&checked.warnings.render(show::color_on_stderr()));
    }
    let root = match (&places.data, &checked.recipe.data.root) {
        (Some(data), _) => data.clone(),
        (None, Some(root)) => base.join(root),
        (None, None) => base.clone(),
    };
    if !root.is_dir() {
        return Err(Error::data("the data folder is not there")
            .at(root.display())
            .remedy("set root: in data:, or --data DIR")
            .into());
    }
    Ok(Ready { checked, name, root, base })
}
