//! Readers, splits and checks: from files to rows.
