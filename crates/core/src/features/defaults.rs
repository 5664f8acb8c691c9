//! The steps that a column goes through when a recipe names none.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::model::{Field, Kind};

/// The steps for a column, each with its parameters, in order.
///
/// | kind | steps |
/// |---|---|
/// | number | impute, standardize |
/// | category | one_hot |
/// | text | tfidf |
/// | image | tensor, standardize |
/// | audio | log_mel, standardize |
/// | vector | standardize |
/// | sequence | none for a network |
///
/// A network keeps the shape of images, sounds and vectors; for anything else they are flattened at the end.
///
/// # Errors
/// [`Error::Argument`] for a sequence that is to be read by anything but a network.
pub fn defaults(field: &Field, network: bool) -> Result<Vec<(&'static str, Value)>> {
    let mut names = match field.kind {
        Kind::Number => vec!["impute", "standardize"],
        Kind::Category => vec!["one_hot"],
        Kind::Text => vec!["tfidf"],
        Kind::Image => vec!["tensor", "standardize"],
        Kind::Audio => vec!["log_mel", "standardize"],
        Kind::Vector => vec!["standardize"],
        Kind::Sequence if network => vec![],
        Kind::Sequence => {
            return Err(Error::argument("this member cannot read sequences").at(&field.name).remedy(
                "take a network that reads sequences, or, if all have one length, the step \"flatten\"",
            ));
        }
    };
    let shaped = match field.kind {
        Kind::Image | Kind::Audio => true,
        Kind::Vector => field.shape.len() > 1,
        _ => false,
    };
    if shaped && !network {
        names.push("flatten");
    }
    Ok(names.into_iter().map(|n| (n, json!({}))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::REGISTRY;
    use crate::features::conformance::{chain, sample};

    #[test]
    fn every_default_chain_fits_and_gives_finite_rows() {
        let kinds = [
            Kind::Number,
            Kind::Category,
            Kind::Text,
            Kind::Image,
            Kind::Audio,
            Kind::Vector,
            Kind::Sequence,
        ];
        for kind in kinds {
            let (field, column) = sample(kind, None);
            for network in [false, true] {
                let steps = match defaults(&field, network) {
                    Ok(steps) => steps,
                    Err(e) => {
                        assert!(kind == Kind::Sequence && !network, "{e}");
                        continue;
                    }
                };
                if kind == Kind::Audio && REGISTRY.get("log_mel").is_err() {
                    continue;
                }
                let (out_field, out) = chain(&steps, &field, &column);
                if kind == Kind::Sequence {
                    assert!(steps.is_empty());
                    continue;
                }
                let crate::model::Column::Vector(v) = out else { panic!("{kind:?}") };
                assert_eq!(v.shape, out_field.shape);
                assert!(v.data.iter().all(|x| x.is_finite()), "{kind:?}");
                assert!(network || v.shape.len() == 1, "{kind:?}");
            }
        }
    }
}
