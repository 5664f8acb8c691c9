//! Merges as users run them: files in, files out.

mod files;
