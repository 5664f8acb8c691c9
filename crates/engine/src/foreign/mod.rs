//! Models that other programs made, as ONNX files: members of compositions, and frozen encoders as feature steps.
//!
//! A file is inspected by our own bounded reader before any runtime sees it ([`inspect`]), and cut down to the output that is
//! asked for. It is computed by ONNX Runtime where a library of it is found ([`runtime`]); else by `rten`, which is built in, or,
//! if it has scikit-learn's own operators, by ours. Bytes are the same for any number of threads ([`Session`]).

mod built_in;
mod classical;
mod declare;
mod feed;
mod inspect;
mod library;
mod model;
mod package;
mod prune;
mod runtime;
mod session;
mod step;
mod tensors;
mod wire;

pub use declare::{Declared, Ground, Refused, declare};
pub use inspect::{Port, Signature, inspect};
pub use model::{Foreign, Gives, Missing, load};
pub use package::{Package, is_onnx};
pub use runtime::{Runtime, VARIABLE, describe, runtime};
pub use session::{Data, Given, Rows, Session};
pub use step::{Onnx, files_beside, load_step};
