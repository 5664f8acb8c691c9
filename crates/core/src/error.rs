//! The error of this crate: what went wrong, where, what was expected, what was found, what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// The parts of a finding that a user can act on. Empty parts are not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Trouble {
    /// What is wrong, in a clause: "the target column is missing".
    pub what: String,
    /// The file, line, column, tensor or member it is about.
    pub place: String,
    /// What would have been right.
    pub expected: String,
    /// What was found instead.
    pub got: String,
    /// What to do about it.
    pub remedy: String,
}

/// As many characters of each part of an error are shown.
pub(crate) const SHOWN: usize = 600;

/// A text that may hold what users wrote, for people: what cannot be seen is escaped, so that nothing in it reaches the
/// terminal, and what is longer than `most` characters is cut.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == most {
            out.push('…');
            break;
        }
        match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_debug()),
            c => out.push(c),
        }
    }
    out
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}", self.what)?;
        match (self.expected.is_empty(), self.got.is_empty()) {
            (false, false) => write!(f, " (expected {}, got {})", self.expected, self.got)?,
            (false, true) => write!(f, " (expected {})", self.expected)?,
            (true, false) => write!(f, " (got {})", self.got)?,
            (true, true) => {}
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// What can go wrong. The variant decides the exit code, the [`Trouble`] what is said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument or setting that cannot be: exit code 2.
    #[error("{0}")]
    Argument(Box<Trouble>),
    /// Data that are missing, malformed or impossible: exit code 3.
    #[error("{0}")]
    Data(Box<Trouble>),
    /// A model, checkpoint or table of predictions that cannot serve: exit code 3.
    #[error("{0}")]
    Model(Box<Trouble>),
    /// A file could not be read: exit code 3.
    #[error("{}: cannot be read ({source})", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file could not be written: exit code 74.
    #[error("{}: cannot be written ({source})", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The user asked to stop: exit code 130.
    #[error("interrupted")]
    Interrupted,
    /// A broken promise of our own: exit code 70.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl Error {
    /// An [`Error::Argument`] about `what`.
    pub fn argument(what: impl Into<String>) -> Self {
        Self::Argument(Box::new(Trouble { what: shown(&what.into(), SHOWN), ..Trouble::default() }))
    }

    /// An [`Error::Data`] about `what`.
    pub fn data(what: impl Into<String>) -> Self {
        Self::Data(Box::new(Trouble { what: shown(&what.into(), SHOWN), ..Trouble::default() }))
    }

    /// An [`Error::Model`] about `what`.
    pub fn model(what: impl Into<String>) -> Self {
        Self::Model(Box::new(Trouble { what: shown(&what.into(), SHOWN), ..Trouble::default() }))
    }

    /// An [`Error::Internal`].
    pub fn internal(what: impl Into<String>) -> Self {
        Self::Internal(what.into())
    }

    /// An [`Error::Read`] of `path`.
    pub fn read(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Read { path: path.as_ref().to_path_buf(), source }
    }

    /// An [`Error::Write`] of `path`.
    pub fn write(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Write { path: path.as_ref().to_path_buf(), source }
    }

    /// Says where; an outer place is put before an inner one.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        if let Some(t) = self.trouble_mut() {
            let place = shown(&place.to_string(), SHOWN);
            t.place = if t.place.is_empty() { place } else { format!("{place}: {}", t.place) };
        }
        self
    }

    /// Says what would have been right.
    #[must_use]
    pub fn expected(mut self, expected: impl fmt::Display) -> Self {
        if let Some(t) = self.trouble_mut() {
            t.expected = shown(&expected.to_string(), SHOWN);
        }
        self
    }

    /// Says what was found.
    #[must_use]
    pub fn got(mut self, got: impl fmt::Display) -> Self {
        if let Some(t) = self.trouble_mut() {
            t.got = shown(&got.to_string(), SHOWN);
        }
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        if let Some(t) = self.trouble_mut() {
            t.remedy = remedy.into();
        }
        self
    }

    /// The structured parts, where the variant has them.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Argument(t) | Self::Data(t) | Self::Model(t) => Some(t),
            _ => None,
        }
    }

    /// What to do about it, where that can be said.
    pub fn help(&self) -> Option<&str> {
        use std::io::ErrorKind;
        match self {
            Self::Argument(t) | Self::Data(t) | Self::Model(t) => {
                Some(t.remedy.as_str()).filter(|r| !r.is_empty())
            }
            Self::Read { source, .. } => Some(match source.kind() {
                ErrorKind::NotFound => {
                    "check the path; those in a recipe start from the data folder (--data)"
                }
                ErrorKind::PermissionDenied => "allow this user to read it",
                ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
                    "check the path: a file is meant where a folder is, or a folder where a file is"
                }
                _ => "check the path and the disk",
            }),
            Self::Write { source, .. } => Some(match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space on this disk",
                _ => "choose a place that can be written, or allow this user to write there",
            }),
            Self::Interrupted => Some("run the same command to go on"),
            Self::Internal(_) => None,
        }
    }

    fn trouble_mut(&mut self) -> Option<&mut Trouble> {
        match self {
            Self::Argument(t) | Self::Data(t) | Self::Model(t) => Some(t),
            _ => None,
        }
    }

    /// The exit code of a program that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Argument(_) => 2,
            Self::Data(_) | Self::Model(_) | Self::Read { .. } => 3,
            Self::Write { .. } => 74,
            Self::Interrupted => 130,
            Self::Internal(_) => 70,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_shown_in_order_and_empty_ones_are_not() {
        let e = Error::data("a cell is not a number")
            .at("a.csv:3")
            .expected("a number")
            .got("\"x\"")
            .remedy("declare it a category");
        assert_eq!(
            e.to_string(),
            "a.csv:3: a cell is not a number (expected a number, got \"x\"); declare it a category"
        );
        assert_eq!(e.exit_code(), 3);
        assert_eq!(Error::argument("no").to_string(), "no");
        assert_eq!(Error::argument("no").at("in").at("out").to_string(), "out: in: no");
    }

    #[test]
    fn what_users_wrote_is_cut_and_nothing_in_it_reaches_the_terminal() {
        let e = Error::data("\u{1b}[31mred").at("a\nb.csv").got("x".repeat(5_000_000));
        assert!(e.to_string().starts_with("a\\nb.csv: \\u{1b}[31mred (got xxx"), "{e}");
        assert!(e.to_string().chars().count() < 700);
        assert_eq!(shown("größer \u{202e}", 60), "größer \\u{202e}");
    }
}
