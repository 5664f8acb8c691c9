//! How good the mean of the members taken so far would be with each further one.

use std::ops::Range;

use rayon::prelude::*;

/// Rows in a block of parallel work: its running sums fit a core's cache while all members pass over them.
const BLOCK: usize = 8192;

/// The state of a selection.
pub(super) trait Scores {
    /// The loss with each member added: infinite for those that are not `among` the candidates, and for those that
    /// cannot be the best, nor tie with it when losses are rounded to [`PRECISION`](super::greedy::PRECISION).
    fn losses(&mut self, among: &[bool]) -> Vec<f64>;
    /// What decides between members whose rounded losses tie.
    fn second(&self, member: usize) -> f64;
    /// Adds a member, one of those of the last losses that are finite.
    fn add(&mut self, member: usize);
}

/// Sums of what `block` gives for blocks of rows, `width` numbers each: the same for any number of threads.
pub(super) fn by_blocks(
    rows: usize,
    width: usize,
    block: impl Fn(Range<usize>) -> Vec<f64> + Sync,
) -> Vec<f64> {
    let blocks = 0..rows.div_ceil(BLOCK);
    let parts: Vec<Vec<f64>> =
        blocks.into_par_iter().map(|b| block(b * BLOCK..((b + 1) * BLOCK).min(rows))).collect();
    let mut total = vec![0.0; width];
    for part in &parts {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
    }
    total
}
