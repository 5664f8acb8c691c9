//! The steps that a column goes through when a recipe names none.

use serde_json::{Value, json};

use crate::model::{Field, Kind};

/// What reads a column after its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A learner on a matrix.
    Matrix,
    /// A network, which reads numbers in their shape.
    Network,
    /// A network that reads a text token by token.
    Words,
    /// A network that reads a sound sample by sample.
    Samples,
}

/// The steps for a column, each with its parameters, in order.
///
/// | kind | steps |
/// |---|---|
/// | number | impute, standardize |
/// | category | one_hot |
/// | text | tokens for a network that reads them; tfidf for anything else |
/// | image | tensor, standardize |
/// | audio | waveform for a network that reads samples; log_mel, standardize for anything else |
/// | vector | standardize |
/// | sequence | standardize, steps for a network; summary, standardize for anything else |
///
/// A network keeps the shape of images, sounds, vectors and sequences; for anything else images, sounds and vectors are
/// flattened at the end.
pub fn defaults(field: &Field, reader: Reader) -> Vec<(&'static str, Value)> {
    let network = reader != Reader::Matrix;
    let mut names = match field.kind {
        Kind::Number => vec!["impute", "standardize"],
        Kind::Category => vec!["one_hot"],
        Kind::Text if reader == Reader::Words => vec!["tokens"],
        Kind::Text => vec!["tfidf"],
        Kind::Image => vec!["tensor", "standardize"],
        Kind::Audio if reader == Reader::Samples => vec!["waveform"],
        Kind::Audio => vec!["log_mel", "standardize"],
        Kind::Vector => vec!["standardize"],
        Kind::Sequence if network => vec!["standardize", "steps"],
        Kind::Sequence => vec!["summary", "standardize"],
    };
    let shaped = match field.kind {
        Kind::Image | Kind::Audio => true,
        Kind::Vector => field.shape.len() > 1,
        _ => false,
    };
    if shaped && !network {
        names.push("flatten");
    }
    names.into_iter().map(|n| (n, json!({}))).collect()
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
            for reader in [Reader::Matrix, Reader::Network, Reader::Words, Reader::Samples] {
                let steps = defaults(&field, reader);
                if kind == Kind::Audio && REGISTRY.get("log_mel").is_err() {
                    continue;
                }
                let (out_field, out) = chain(&steps, &field, &column);
                let crate::model::Column::Vector(v) = out else { panic!("{kind:?}") };
                assert_eq!(v.shape, out_field.shape);
                assert!(v.data.iter().all(|x| x.is_finite()), "{kind:?}");
                assert!(reader != Reader::Matrix || v.shape.len() == 1, "{kind:?}");
            }
        }
    }
}
