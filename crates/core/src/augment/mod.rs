//! Augmentation: one transform a file, keyed by seed, epoch, row and position.
