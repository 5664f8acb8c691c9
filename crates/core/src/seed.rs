//! Seeds by label: every source of randomness has its own, and none depends on threads or order.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The generator that seeds give: ChaCha with 8 rounds, the same on every machine.
pub type Rng = ChaCha8Rng;

/// 256 bits from which generators and further seeds are derived.
///
/// ```
/// use consilience_core::seed::Seed;
/// let seed = Seed::new(7);
/// assert_eq!(seed.child("fit"), Seed::new(7).child("fit"));
/// assert_ne!(seed.child("fit"), seed.child("split"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The root seed of a recipe.
    pub fn new(seed: u64) -> Self {
        Self::hashed(b"root", &[], &seed.to_le_bytes())
    }

    /// The seed for the part named `label`.
    #[must_use]
    pub fn child(&self, label: &str) -> Self {
        Self::hashed(b"label", &self.0, label.as_bytes())
    }

    /// The seed for item `index` (a row id, an epoch, a position).
    #[must_use]
    pub fn item(&self, index: u64) -> Self {
        Self::hashed(b"index", &self.0, &index.to_le_bytes())
    }

    /// A generator that starts here.
    pub fn rng(&self) -> Rng {
        ChaCha8Rng::from_seed(self.0)
    }

    /// The first 64 bits, for a library that wants a number.
    pub fn number(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(first)
    }

    fn hashed(kind: &[u8], parent: &[u8], label: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(kind);
        hash.update(parent);
        hash.update(label);
        Self(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_items_and_roots_differ() {
        let s = Seed::new(1);
        let all = [s, s.child(""), s.item(0), Seed::new(0), s.child("a"), s.item(1), s.child("a").item(1)];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }
}
