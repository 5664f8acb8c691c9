//! Loops over blocks, compiled for every instruction set that the processor may have and chosen when the program runs.

mod arc;
mod bits;
mod blend;
mod combine;
mod convert;
mod draw;
mod edges;
mod exp;
mod gram;
mod keep;
mod ranked;
mod select;
pub mod shares;
mod varied;

pub use arc::{NEAR, arc, opposite};
pub use blend::{Blend, Elect, divisor};
pub use combine::combine;
pub use convert::{decode, decodes, encode, encodes, not_finite, not_finite_bytes, promoted, round};
pub use exp::exp;
pub use gram::{Gram, dot, gram, gram_with_base};
pub use keep::{Band, Chance, densities, portion};
pub use ranked::{Ranked, odds, odds_fit};
pub use select::smallest;
pub use varied::Varied;

/// Runs a loop with the widest vectors that this processor has. `work` must be `#[inline(always)]` to gain anything.
#[inline]
pub fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
