//! The folder that a result goes to: what must not be in its way.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

use super::listed::{PROVENANCE, Provenance, State};
use crate::model::Model;

/// Files of an earlier merge up to this size are hashed before they are replaced; of larger ones the size is looked at.
const HASHED: u64 = 64 << 20;

/// So many names are told.
const TOLD: usize = 10;

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

/// A folder that is there must be empty, an earlier merge as that was written, or meant to be replaced; and neither a model of the merge
/// nor the merge file may lie in it.
///
/// # Errors
/// [`Error::Argument`].
pub fn check(out: &Path, replace: bool, models: &[Model], merge_file: &Path) -> Result<()> {
    if out.symlink_metadata().is_err() {
        return Ok(());
    }
    let empty = out.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    let earlier = Provenance::read(out).ok();
    if !out.is_dir() || !(replace || empty || earlier.is_some()) {
        return Err(Error::argument("there is something else in the way of the result")
            .at(out.display())
            .expected("no folder, an empty one, or an earlier merge")
            .remedy(match out.is_dir() {
                true => "choose another folder, or --replace to lose what is there",
                false => "choose another folder",
            }));
    }
    let real = out.canonicalize().map_err(|e| Error::read(out, e))?;
    let own = merge_file.canonicalize().ok();
    if let Some(inside) = own.filter(|f| f.starts_with(&real)) {
        return Err(Error::argument("the result would take the place of the merge file")
            .at(out.display())
            .expected("a folder without the merge file")
            .got(inside.display())
            .remedy("choose another folder, or put the merge file elsewhere"));
    }
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
    match earlier {
        Some(earlier) if !replace => untouched(out, &earlier),
        _ => Ok(()),
    }
}

/// An earlier merge gives way without a word only if all that it holds can be made again.
fn untouched(out: &Path, earlier: &Provenance) -> Result<()> {
    let mut lost: Vec<String> = earlier.others(out)?.into_iter().collect();
    for file in &earlier.files {
        if file.state(out, HASHED)? == State::Changed {
            lost.push(format!("{} (changed)", file.file));
        }
    }
    if !earlier.is_sealed {
        lost.push(format!("{PROVENANCE} (changed)"));
    }
    if lost.is_empty() {
        return Ok(());
    }
    let more = lost.len().saturating_sub(TOLD);
    lost.truncate(TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Error::argument("the earlier merge holds what it was not written with")
        .at(out.display())
        .expected("the files that the merge wrote, as it wrote them")
        .got(format!("{}{more}", lost.join(", ")))
        .remedy("choose another folder, or --replace to lose them"))
}
