//! Paths that stay inside their folder: nothing outside the data folder or a model directory is read.

use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};

/// Joins `relative` to `root` and makes sure that the result, links followed, lies inside `root`.
///
/// # Errors
/// [`Error::Data`] for an absolute path, a `..` component, a link that leads out, a pipe or a device; [`Error::Read`] for a file that
/// is not there.
pub fn confine(root: &Path, relative: &str) -> Result<PathBuf> {
    let outside = || {
        Error::data("the path leads outside the data folder")
            .at(relative)
            .expected(format!("a path below {}", root.display()))
            .remedy(
                "move the file below the data folder, or point root (or --data) at a folder that holds both",
            )
    };
    let path = Path::new(relative);
    if !path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(outside());
    }
    let root_real = root.canonicalize().map_err(|e| Error::read(root, e))?;
    let joined = root.join(path);
    let real = joined.canonicalize().map_err(|e| Error::read(&joined, e))?;
    if !real.starts_with(&root_real) {
        return Err(outside());
    }
    let kind = real.metadata().map_err(|e| Error::read(&joined, e))?;
    if kind.is_file() || kind.is_dir() {
        return Ok(real);
    }
    Err(Error::data("this is neither a file nor a folder")
        .at(relative)
        .expected("a file or a folder: pipes and devices may have no end")
        .remedy("write what it holds to a file first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_root_pass() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("in"), "").unwrap();
        std::fs::write(dir.path().join("out"), "").unwrap();
        assert!(confine(&root, "in").is_ok());
        assert!(confine(&root, "./in").is_ok());
        for bad in ["../out", "/etc/passwd", "a/../../out"] {
            assert!(confine(&root, bad).unwrap_err().to_string().contains("outside"), "{bad}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.path().join("out"), root.join("link")).unwrap();
            assert!(confine(&root, "link").unwrap_err().to_string().contains("outside"));
            // A socket stands for everything that is no file.
            let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
            assert!(
                confine(&root, "socket").unwrap_err().to_string().contains("neither a file nor a folder")
            );
        }
        assert_eq!(confine(&root, "absent").unwrap_err().exit_code(), 3);
    }
}
