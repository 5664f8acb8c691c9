//! Between the mean of some fine-tunes and their base, by the angle between them.

use consilience_core::registry::Method;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Gram, combine, gram};
use crate::method::{BaseNeed, MergeMethod, Needs};
use crate::work::{Block, Cut, Work};

/// The point between base and mean that is nearest to the center of the fine-tunes: `t mean_i x_i + (1 - t) b` with
/// `t = N c / (1 + (N - 1) c)`, where `c` is the mean cosine between what two of the `N` members added to the base.
///
/// A tensor is one vector; with `filter_wise` each of its rows is one, the numbers of the last dimension. A member that added nothing is at a
/// right angle to all. `t` is held within 0 and 1 (not so in mergekit, where members that pull apart give a `t` of any size), and is 0 where
/// `1 + (N - 1) c` is not positive.
///
/// # Reference
/// Jang, Yun and Han, "Model Stock: all we need is just a few fine-tuned models", ECCV 2024.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelStock {
    /// Whether each row has a `t` of its own.
    pub filter_wise: bool,
}

impl Method for ModelStock {
    const NAME: &'static str = "model_stock";
    const ABOUT: &'static str = "Between a base and the mean of its fine-tunes, by their angles";
}

impl ModelStock {
    /// The share of the mean.
    fn share(gram: &Gram, compat: bool) -> Result<f64> {
        let n = gram.count() as f64;
        let pairs = (0..gram.count()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let sum: f64 = pairs.map(|(i, j)| gram.cosine(i, j).unwrap_or(0.0)).sum();
        let cosine = sum / (n * (n - 1.0) / 2.0);
        let divisor = 1.0 + (n - 1.0) * cosine;
        match (compat, divisor > 0.0) {
            (false, true) => Ok((n * cosine / divisor).clamp(0.0, 1.0)),
            (false, false) => Ok(0.0),
            (true, _) if divisor.abs() < 1e-12 => Err(Error::model(
                "members added the opposite of each other, and the share of their mean is infinite",
            )),
            (true, _) => Ok(n * cosine / divisor),
        }
    }

    fn combined(block: &Block<'_>, t: f64, out: &mut [f32]) {
        let shares = vec![(t / block.members.len().max(1) as f64) as f32; block.members.len()];
        combine(block, 1.0, &shares, out);
    }
}

impl MergeMethod for ModelStock {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 2, most: None }
    }

    fn whole_rows(&self) -> bool {
        self.filter_wise
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        if !self.filter_wise || work.shape.len() < 2 {
            let gram = gram(work, Cut::DELTAS)?;
            gram.finite(work, |_| true)?;
            let t = Self::share(&gram, work.compat)?;
            return work.write(Cut::DELTAS, |block, out| {
                Self::combined(block, t, out);
                Ok(())
            });
        }
        let row = work.row().max(1);
        work.write(Cut::DELTA_ROWS, |block, out| {
            for (i, out) in out.chunks_mut(row).enumerate() {
                let part = |all: &[f32]| i * row..(i * row + row).min(all.len());
                let members: Vec<&[f32]> =
                    block.members.iter().map(|m| m.get(part(m)).unwrap_or_default()).collect();
                let row = Block {
                    start: block.start,
                    base: block.base.and_then(|b| b.get(part(b))),
                    members: &members,
                };
                let gram = Gram::of(&row);
                gram.finite(work, |_| true)?;
                Self::combined(&row, Self::share(&gram, work.compat)?, out);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::merged;

    #[test]
    fn the_share_follows_from_the_angles() {
        let base = [1.0, 1.0];
        let run =
            |a: [f32; 2], b: [f32; 2]| merged(&ModelStock::default(), &[2], &[&a, &b], Some(&base)).unwrap();
        // A cosine of 0.6: t = 1.2 / 1.6.
        let out = run([2.0, 1.0], [1.6, 1.8]);
        assert!((out[0] - 1.6).abs() < 1e-6 && (out[1] - 1.3).abs() < 1e-6, "{out:?}");
        // A right angle, the opposite, and nothing added: the base.
        for b in [[1.0, 2.0], [0.0, 1.0], [-3.0, 1.0], [1.0, 1.0]] {
            assert_eq!(run([2.0, 1.0], b), base, "{b:?}");
        }
    }

    #[test]
    fn rows_have_shares_of_their_own_and_members_that_pull_apart_are_as_told() {
        let method = ModelStock { filter_wise: true };
        let (a, b) = ([1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(merged(&method, &[2, 2], &[&a, &b], Some(&[0.0; 4])).unwrap(), [1.0, 0.0, 0.0, 0.0]);
        let gram = Gram::of_all(&[&[1.0, 0.0], &[-0.6, 0.8]]);
        assert_eq!(ModelStock::share(&gram, false).unwrap(), 0.0);
        assert!((ModelStock::share(&gram, true).unwrap() + 3.0).abs() < 1e-5);
        let gram = Gram::of_all(&[&[1.0, 0.0], &[-2.0, 0.0]]);
        assert_eq!(ModelStock::share(&gram, false).unwrap(), 0.0);
        assert!(ModelStock::share(&gram, true).is_err());
    }
}
