//! Rows of a batch mixed with partners from all rows that are fitted to.

use consilience_core::augment::{Augmenter, Mixup};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};

use super::feed::Feed;
use crate::inputs::Block;

/// Which rows those of a batch were mixed with.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// For each row its partner, by position among the training rows.
    pub partners: Vec<usize>,
    /// For each row the weight `l` of its own part, in [0, 1]; one where nothing was mixed.
    pub own: Vec<f32>,
}

/// Draws partners and mixes. What a row becomes depends on the seed, the epoch, its id and the rows that are fitted to:
/// not on the batch, its order, or the number of threads.
pub struct Mixing<'a> {
    mixup: &'a Mixup,
    seed: Seed,
    rows: &'a [usize],
}

impl<'a> Mixing<'a> {
    /// Partners come from `rows`, the positions that are fitted to.
    pub fn new(mixup: &'a Mixup, seed: Seed, rows: &'a [usize]) -> Self {
        Self { mixup, seed, rows }
    }

    /// Mixes each row of a batch with its partner as that is in the same epoch (augmented in the same way), modality by
    /// modality as [`Block::mix`] does. A pair without a common modality is not mixed: its truth stays too. Of any other
    /// pair the truth is mixed with the same weight as the numbers, also if a modality of theirs was not.
    ///
    /// # Errors
    /// As [`Feed::block`].
    pub fn mix(&self, block: &mut Block, feed: &Feed<'_>, epoch: u32) -> Result<Pairs> {
        let mut pairs = Pairs { partners: Vec::new(), own: Vec::new() };
        for id in block.ids() {
            let key = Augmenter::mixup_key(self.seed, epoch, *id);
            let (at, own) = self.mixup.mixup_partner(key, self.rows.len());
            let partner = self.rows.get(at).ok_or_else(|| Error::internal("a partner that is no row"))?;
            pairs.partners.push(*partner);
            pairs.own.push(own);
        }
        let partners = feed.block(&pairs.partners, Some(epoch))?;
        let mixed = block.mix(&partners, &pairs.own);
        partners.give_back();
        pairs.own.iter_mut().zip(mixed).filter(|(_, mixed)| !mixed).for_each(|(own, _)| *own = 1.0);
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::AsIs;
    use consilience_core::model::{
        Batch, Column, Context, Field, Labelled, Mask, Memory, Quiet, Schema, Stop, Target, Vectors,
    };

    #[test]
    fn pairs_do_not_depend_on_the_batch_and_never_leave_the_rows_that_are_fitted_to() {
        let fields = vec![Field::vector("x", vec![1]), Field::vector("y", vec![1])];
        let x = Vectors::new(vec![1], (0..40).map(|r| r as f32).collect()).unwrap();
        let mut y = x.clone();
        y.absent = Mask::from_marks((0..40).map(|r| r % 3 == 0).collect());
        let batch = Batch::new((0..40).map(|r| r * r).collect()).with("x", Column::Vector(x)).unwrap();
        let batch = batch.with("y", Column::Vector(y)).unwrap();
        let source = Memory::new(Schema { fields: fields.clone() }, batch).unwrap();
        let rows: Vec<usize> = (0..40).collect();
        let target = Target::Values(vec![0.0; 40]);
        let data = Labelled { source: &source, rows: &rows, target: &target, weight: None, group: None };
        let (prepare, stop) = (AsIs::new(fields).unwrap(), Stop::default());
        let context = Context::new(Seed::new(1), &Quiet, &stop);
        let feed = Feed::new(&data, &prepare, None, &context).unwrap();
        let fitted: Vec<usize> = rows.iter().copied().filter(|r| r % 4 != 1).collect();
        let mixup = Mixup { alpha: 1.0 };
        let mixing = Mixing::new(&mixup, Seed::new(2), &fitted);
        let mix = |positions: &[usize], epoch: u32| {
            let mut block = feed.block(positions, Some(epoch)).unwrap();
            let pairs = mixing.mix(&mut block, &feed, epoch).unwrap();
            (block, pairs)
        };
        let (whole, pairs) = mix(&fitted, 1);
        assert!(pairs.partners.iter().all(|p| fitted.contains(p)));
        assert!(pairs.own.iter().filter(|l| **l < 1.0).count() > 20);
        assert_ne!(mix(&fitted, 2).1, pairs);
        // Another order, and each row alone.
        let order: Vec<usize> = (0..fitted.len()).map(|i| (i * 7 + 3) % fitted.len()).collect();
        let shuffled: Vec<usize> = order.iter().map(|i| fitted[*i]).collect();
        let (block, other) = mix(&shuffled, 1);
        assert_eq!(block, whole.take(&order));
        for (place, at) in order.into_iter().enumerate() {
            assert_eq!((other.partners[place], other.own[place]), (pairs.partners[at], pairs.own[at]));
            assert_eq!(mix(&fitted[at..=at], 1).0, whole.take(&[at]));
        }
    }
}
