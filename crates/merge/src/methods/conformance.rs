//! Promises that every way to merge keeps.
