//! Kernels of our own, where the backend's operators are far from what the machine can do. Each is an operator with its
//! backward pass; [`crate::backend::operate`] records it.

mod activation;
mod attention;
mod batch_norm;
mod bidirectional;
mod built_in;
mod conv2d;
mod conv_transpose2d;
mod convolution;
mod dense;
mod elementary;
mod embedding_bag;
mod folding;
mod group_norm;
mod gru;
mod layer_norm;
mod lstm;
mod pool;
mod product;
mod recurrent;
#[cfg(test)]
mod reference;
mod scratch;
mod sequence;
mod simd;
mod softmax;
mod standard;
mod transpose;
mod windows;

pub use activation::{Activation, activate};
pub use attention::attention;
pub use batch_norm::{Moments, batch_norm};
pub use bidirectional::{Direction, bidirectional_gru, bidirectional_lstm};
pub use conv_transpose2d::conv_transpose2d;
pub use conv2d::{Moves, conv2d};
pub use convolution::convolution_block;
pub use dense::dense;
pub use embedding_bag::{Bags, Together, embedding_bag};
pub use folding::{Norm, fold};
pub use group_norm::group_norm;
pub use gru::gru;
pub use layer_norm::layer_norm;
pub use lstm::lstm;
pub use pool::{Windows, max_pool, mean_pool};
pub use sequence::Steps;
pub use simd::{PIECE, squares, wide};
pub use softmax::{cross_entropy, log_softmax, softmax};
pub use windows::largest_window;
