//! What a model looks at, and what each member of a composition is worth to it.
//!
//! Of one model: [`permutation_importance`] and [`subset_scores`]. Of the members of a composition, on honest predictions:
//! [`shapley_values`], [`pool_shares`], [`pool_ablations`], [`diversity`], [`redundancy`]; [`read_members`] puts them
//! together, with a sentence a member.

mod ablation;
mod diversity;
mod game;
mod members;
mod parts;
mod permutation;
mod predict;
mod reading;
mod redundancy;
mod sentence;
mod shapley;
mod shares;
mod squares;
mod subsets;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod toy;

pub use ablation::{Ablation, Cost, Refit, pool_ablations, refitted_ablations};
pub use diversity::{Agreement, PairDiversity, diversity};
pub use game::{Game, MOST_EXACT, Payoff};
pub use parts::Part;
pub use permutation::{Importance, PermutationImportance, PermutationSettings, permutation_importance};
pub use predict::Rows;
pub use reading::{Composition, MemberReading, MemberReadings, ReadingSettings, Role, read_members};
pub use redundancy::{Nearest, Redundancy, redundancy};
pub use shapley::{Shapley, ShapleyMethod, ShapleySettings, shapley_values};
pub use shares::{PoolShares, pool_shares};
pub use subsets::{SubsetScore, SubsetScores, subset_scores};
