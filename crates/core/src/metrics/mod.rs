//! Metrics, their intervals and paired tests: one metric a file.
