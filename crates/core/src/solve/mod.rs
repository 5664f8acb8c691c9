//! Linear algebra and optimisers, in 64-bit floats and on one thread, so that every result is the same on any number
//! of threads.

mod bounded;
mod lbfgs;
mod linear;
mod symmetric;

pub use bounded::{Bound, ProjectedNewton};
pub use lbfgs::{Lbfgs, Minimum};
pub use linear::{cholesky_solve, least_squares, solve_semidefinite};
pub use symmetric::{Eigen, sqrt_and_inverse_sqrt, symmetric_eigen, symmetric_power};
