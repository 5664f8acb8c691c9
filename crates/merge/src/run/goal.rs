//! The folder that a result goes to: what must not be in its way.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

use super::record::is_merge;
use crate::model::Model;

/// Where a result really goes: links are followed.
///
/// # Errors
/// [`Error::Argument`] if it is no place for a folder.
pub fn resolve(out: &Path) -> Result<PathBuf> {
    let whole = out.canonicalize();
    let link = out.symlink_metadata().is_ok_and(|m| m.is_symlink());
    match whole {
        Ok(real) if link => Ok(real),
        Err(_) if link => Err(Error::argument("the folder for the result is a link to nowhere")
            .at(out.display())
            .remedy("remove the link, or choose another folder")),
        _ if out.file_name().is_none() => {
            Err(Error::argument("the folder for the result has no name of its own")
                .got(out.display())
                .expected("a folder that the merge can put in place, such as merged"))
        }
        _ => Ok(out.to_path_buf()),
    }
}

/// A folder that is there must be empty, a merge, or meant to be replaced; and no model of the merge may lie in it.
///
/// # Errors
/// [`Error::Argument`].
pub fn check(out: &Path, replace: bool, models: &[Model]) -> Result<()> {
    if out.symlink_metadata().is_err() {
        return Ok(());
    }
    let empty = out.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if !out.is_dir() || !(replace || empty || is_merge(out)) {
        return Err(Error::argument("there is something else in the way of the result")
            .at(out.display())
            .expected("no folder, an empty one, or an earlier merge")
            .remedy(match out.is_dir() {
                true => "choose another folder, or --replace to lose what is there",
                false => "choose another folder",
            }));
    }
    let real = out.canonicalize().map_err(|e| Error::read(out, e))?;
    for model in models {
        let files = model.files().iter().chain(std::iter::once(&model.dir));
        if let Some(inside) = files.filter_map(|f| f.canonicalize().ok()).find(|f| f.starts_with(&real)) {
            return Err(Error::argument("the result would take the place of a model that it is made of")
                .at(out.display())
                .expected("a folder without models of the merge")
                .got(inside.display())
                .remedy("choose another folder"));
        }
    }
    Ok(())
}
