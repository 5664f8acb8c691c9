//! Weighted sums of tensors.

use crate::kernels::wide;
use crate::work::Block;

/// `out = base_weight * b + sum_i weights_i x_i` in 32 bits, in the order of the members. Members of weight zero are left out, and so is
/// the base: what they hold, numbers or not, changes nothing.
pub fn combine(block: &Block<'_>, base_weight: f32, weights: &[f32], out: &mut [f32]) {
    let base = block.base.filter(|_| base_weight != 0.0).map(|b| (base_weight, b));
    let members = weights.iter().copied().zip(block.members.iter().copied()).filter(|(w, _)| *w != 0.0);
    let mut terms = base.into_iter().chain(members);
    match terms.next() {
        None => out.fill(0.0),
        Some((weight, values)) => wide(
            #[inline(always)]
            || {
                for (out, v) in out.iter_mut().zip(values) {
                    *out = weight * v;
                }
            },
        ),
    }
    for (weight, values) in terms {
        wide(
            #[inline(always)]
            || {
                for (out, v) in out.iter_mut().zip(values) {
                    *out += weight * v;
                }
            },
        );
    }
}
