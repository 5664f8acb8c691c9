//! What a model looks at.

mod parts;
mod permutation;
mod predict;
mod subsets;

#[cfg(test)]
mod toy;

pub use parts::Part;
pub use permutation::{Importance, PermutationImportance, PermutationSettings, permutation_importance};
pub use predict::Rows;
pub use subsets::{SubsetScore, SubsetScores, subset_scores};
