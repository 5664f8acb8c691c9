//! Operators of our own, where those of the backend are far from what the processor can do. They compute on plain
//! slices; matrix products go through [`Host::product`](crate::backend::Host::product).

mod convolution;

pub use convolution::convolution_block;
