//! Batches of prepared rows: read, augmented, prepared; kept in memory where they fit.

use consilience_core::model::{Context, Field, Labelled};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};

use super::AugmentHook;
use crate::inputs::{Block, Prepare};

/// Prepared rows of up to this many bytes are kept in memory; more are read again in every epoch.
const KEEP: u64 = 1 << 30;

/// Rows are read and prepared this many at a time.
const CHUNK: usize = 256;

/// Gives prepared rows by their position among the training rows.
pub struct Feed<'a> {
    data: &'a Labelled<'a>,
    prepare: &'a dyn Prepare,
    augment: Option<&'a AugmentHook>,
    seed: Seed,
    fields: Vec<Field>,
    kept: Option<Block>,
}

impl<'a> Feed<'a> {
    /// Prepares all rows once where they fit in memory and nothing augments them.
    ///
    /// # Errors
    /// As [`Labelled::read`] and [`Prepare::prepare`]; [`Error::Interrupted`] when stopped.
    pub fn new(
        data: &'a Labelled<'a>,
        prepare: &'a dyn Prepare,
        augment: Option<&'a AugmentHook>,
        context: &Context<'_>,
    ) -> Result<Self> {
        let fields = prepare.fields().to_vec();
        let width: u64 = fields.iter().map(|f| f.shape.iter().product::<usize>() as u64).sum();
        let seed = Self::seed(context);
        let mut feed = Self { data, prepare, augment, seed, fields, kept: None };
        if augment.is_none() && width * 4 * data.rows.len() as u64 <= KEEP {
            let mut kept = Block::default();
            let all: Vec<usize> = (0..data.rows.len()).collect();
            for rows in all.chunks(CHUNK) {
                context.stop.check()?;
                let first = kept.rows() == 0;
                kept.append(feed.make(rows, None)?);
                if first {
                    kept.reserve(data.rows.len().saturating_sub(rows.len()));
                }
            }
            feed.kept = Some(kept);
        }
        Ok(feed)
    }

    /// Whether rows are read and prepared anew each time, which is worth doing ahead. Rows that are kept are only copied: to
    /// hand them from one thread to another saved nothing where it was measured.
    pub fn reads(&self) -> bool {
        self.kept.is_none()
    }

    /// The seed of everything that augments the rows of a fit.
    pub fn seed(context: &Context<'_>) -> Seed {
        context.seed.child("augment")
    }

    /// The rows at these positions; with an epoch they are augmented for it.
    ///
    /// # Errors
    /// As [`Labelled::read`], the augmentation and [`Prepare::prepare`].
    pub fn block(&self, positions: &[usize], epoch: Option<u32>) -> Result<Block> {
        match &self.kept {
            Some(kept) => Ok(kept.take(positions)),
            None => self.make(positions, epoch),
        }
    }

    fn make(&self, positions: &[usize], epoch: Option<u32>) -> Result<Block> {
        let row = |p: &usize| {
            self.data
                .rows
                .get(*p)
                .copied()
                .ok_or_else(|| Error::internal(format!("no training row at position {p}")))
        };
        let rows: Result<Vec<usize>> = positions.iter().map(row).collect();
        let mut raw = self.data.source.read(&rows?, &self.prepare.schema().names())?;
        if let (Some(augment), Some(epoch)) = (self.augment, epoch) {
            augment(&mut raw, self.seed, epoch)?;
        }
        Block::new(&self.prepare.prepare(&raw)?, &self.fields)
    }
}
