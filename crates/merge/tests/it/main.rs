//! Merges against those of others: tensor by tensor, and files as users run them.

mod files;
mod goldens;
