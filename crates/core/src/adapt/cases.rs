//! Made-up domains for the tests of this room.

use rand::RngExt;

use crate::array::Matrix;
use crate::model::{Adapted, Adapter, Classes, Context, Quiet, Stop, Target};
use crate::seed::Seed;

/// Correlated features `[rows, width]` of a domain of its own, with a mean of `scale`.
pub(super) fn domain(rows: usize, width: usize, seed: u64, scale: f32) -> Matrix {
    let mut rng = Seed::new(seed).rng();
    let mix = Matrix::from_shape_simple_fn((width, width), || rng.random::<f32>() - 0.5);
    let raw = Matrix::from_shape_simple_fn((rows, width), || rng.random::<f32>() - 0.5);
    raw.dot(&mix) * scale + scale
}

/// Two classes by turns.
pub(super) fn labels(rows: usize) -> Target {
    let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
    Target::Classes { classes, codes: (0..rows).map(|r| (r % 2) as u32).collect() }
}

/// Fits with labels by turns.
pub(super) fn adapted(adapter: &dyn Adapter, source: &Matrix, target: &Matrix) -> Box<dyn Adapted> {
    let stop = Stop::default();
    let context = Context::new(Seed::new(1), &Quiet, &stop);
    adapter.fit(source.view(), &labels(source.nrows()), target.view(), &context).unwrap()
}
