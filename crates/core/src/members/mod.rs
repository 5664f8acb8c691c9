//! Members put together from the contracts: features before a learner, an adaptation between them, compositions of
//! models. Everything here works on any registered feature step, learner, adapter or fuser.

mod composition;
mod given;
mod prepared;
mod preprocess;
mod tabular;
mod transferred;

pub use composition::Composition;
pub use given::{Given, given_columns};
pub use prepared::{Modality, Prepared};
pub use preprocess::{Preprocess, Steps, TABLE};
pub(crate) use tabular::agree;
pub use tabular::{Tabular, TabularModel};
pub use transferred::{Transferred, transfer};

use crate::model::{Load, Model};

/// How the models of this folder are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn Model>)] = &[
    (composition::KIND, composition::load),
    (given::KIND, given::load),
    (tabular::KIND, tabular::load),
    (transferred::KIND, transferred::load),
];

#[cfg(test)]
mod distilled;
#[cfg(test)]
mod tests;
