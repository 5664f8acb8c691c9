//! Parts of a network that learn at rates of their own, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::registry::nearest;
use consilience_core::{Error, Result};

use crate::params::Declared;

/// By what the rate is multiplied for each parameter; one where nothing is said, zero for running moments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Factors(BTreeMap<String, f64>);

impl Factors {
    /// From factors by part. A part is a parameter's name or its beginning up to a dot (`encoders.image`, `head`); of
    /// several that a parameter is in, the longest counts.
    ///
    /// # Errors
    /// [`Error::Argument`] listing the parts if one holds no parameter, or if all of them are frozen.
    pub fn new(rates: &BTreeMap<String, f64>, declared: &[Declared]) -> Result<Self> {
        if let Some(other) = rates.keys().find(|part| !declared.iter().any(|d| within(&d.name, part))) {
            return Err(no_part(other, declared));
        }
        let mut all = BTreeMap::new();
        for d in declared {
            if !d.learned {
                all.insert(d.name.clone(), 0.0);
                continue;
            }
            // Of two parts that one parameter is in, one begins with the other.
            let longest = rates.iter().filter(|(p, _)| within(&d.name, p)).max_by_key(|(p, _)| p.len());
            if let Some((_, factor)) = longest {
                all.insert(d.name.clone(), *factor);
            }
        }
        let factors = Self(all);
        if !declared.is_empty() && declared.iter().all(|d| factors.frozen(&d.name)) {
            return Err(Error::argument("every part is frozen, and nothing is left to train")
                .at("rates")
                .remedy("give some part a factor above 0"));
        }
        Ok(factors)
    }

    /// The factor of a parameter.
    pub fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(1.0)
    }

    /// Whether no gradient moves a parameter: of a frozen part, or a running moment.
    pub fn frozen(&self, name: &str) -> bool {
        self.of(name) == 0.0
    }
}

/// Whether a parameter is in a part.
fn within(name: &str, part: &str) -> bool {
    name.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn no_part(name: &str, declared: &[Declared]) -> Error {
    let mut parts: BTreeSet<&str> = BTreeSet::new();
    for d in declared {
        parts.extend(d.name.match_indices('.').map(|(dot, _)| &d.name[..dot]));
    }
    let error = Error::argument(format!("the network has no part \"{name}\""))
        .at("rates")
        .expected(format!("one of {}", parts.iter().copied().collect::<Vec<_>>().join(", ")));
    match nearest(name, parts) {
        Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(rates: &[(&str, f64)]) -> Result<Factors> {
        let names =
            ["encoders.image.conv1.weight", "encoders.image2.conv1.weight", "head.bias", "head.weight"];
        let declared = names.map(|n| Declared::new(n, vec![1], 1));
        Factors::new(&rates.iter().map(|(p, f)| ((*p).to_owned(), *f)).collect(), &declared)
    }

    #[test]
    fn the_longest_part_counts_and_parts_end_at_dots() {
        let f = factors(&[("encoders", 0.5), ("encoders.image", 0.0), ("head.bias", 2.0)]).unwrap();
        assert_eq!(f.of("encoders.image.conv1.weight"), 0.0);
        assert!(f.frozen("encoders.image.conv1.weight"));
        assert_eq!(f.of("encoders.image2.conv1.weight"), 0.5);
        assert_eq!((f.of("head.bias"), f.of("head.weight")), (2.0, 1.0));
        assert_eq!(factors(&[]).unwrap(), Factors::default());
    }

    #[test]
    fn what_is_no_part_is_named_with_the_parts_there_are() {
        for other in ["encoders.imag", "head.", "hea", ""] {
            let error = factors(&[(other, 0.5)]).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            assert!(text.starts_with("rates: "), "{text}");
            assert!(text.contains("encoders, encoders.image, encoders.image.conv1, "), "{text}");
        }
        let text = factors(&[("encoders.imag", 0.5)]).unwrap_err().to_string();
        assert!(text.contains("did you mean \"encoders.image\"?"), "{text}");
        let text = factors(&[("encoders", 0.0), ("head", 0.0)]).unwrap_err().to_string();
        assert!(text.contains("every part is frozen"), "{text}");
    }
}
