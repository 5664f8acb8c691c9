//! A text becomes the weights of its words.

use std::collections::{BTreeMap, HashMap, HashSet};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, damaged, nothing, texts};
use crate::error::{Error, Result};
use crate::model::{Array, Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Parts, Vectors};
use crate::registry::Method;

/// Words, and runs of words, weighted by how often they stand in the text and how few training texts hold them.
///
/// A word is a run of at least two letters or digits, in lower case. A term is a run of 1 to `ngrams` words. The weight
/// of a term that stands `c` times in the text and in `d` of the `n` training texts is
/// `tf * (ln((1 + n) / (1 + d)) + 1)`, with `tf = 1 + ln c` (or `c`, if not `sublinear`); a row is then divided by its
/// Euclidean length. A text without known terms is a row of zeros.
///
/// # Shapes
/// A text gives `[terms]`, in the order of the terms.
///
/// # Reference
/// Salton, Buckley 1988, Term-weighting approaches in automatic text retrieval; smoothing as in scikit-learn.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TfIdf {
    /// Words in the longest term: 1 takes single words, 2 also pairs of neighbors.
    #[schemars(range(min = 1, max = 3))]
    pub ngrams: usize,
    /// At most so many terms, those in the most training texts (on a tie the first by name).
    #[schemars(range(min = 1, max = 1000000))]
    pub max_features: usize,
    /// A term in fewer training texts is left out.
    #[schemars(range(min = 1))]
    pub min_count: usize,
    /// Counts grow as `1 + ln c` instead of `c`.
    pub sublinear: bool,
}

impl Default for TfIdf {
    fn default() -> Self {
        Self { ngrams: 2, max_features: 5000, min_count: 1, sublinear: true }
    }
}

impl Method for TfIdf {
    const NAME: &'static str = "tfidf";
    const ABOUT: &'static str = "words and pairs of words, weighted by how telling they are";

    fn validate(&self) -> Result<()> {
        for (key, value, high) in [
            ("ngrams", self.ngrams, 3),
            ("max_features", self.max_features, 1_000_000),
            ("min_count", self.min_count, usize::MAX),
        ] {
            if !(1..=high).contains(&value) {
                let most = if high == usize::MAX { "1 or more".to_owned() } else { format!("1 to {high}") };
                return Err(Error::argument("the number is out of range").at(key).expected(most).got(value));
            }
        }
        Ok(())
    }
}

impl Feature for TfIdf {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Text])?;
        Ok(Field::vector(&input.name, Vec::new()))
    }

    fn fit(&self, input: &Field, column: &Column, context: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        self.output(input)?;
        let (values, absent) = texts(Self::NAME, &input.name, column)?;
        let mut rows = 0usize;
        let mut counts: HashMap<String, u32> = HashMap::new();
        for (_, text) in values.iter().enumerate().filter(|(r, _)| !absent.is_set(*r)) {
            if rows.is_multiple_of(256) {
                context.stop.check()?;
            }
            rows += 1;
            let mut seen = HashSet::new();
            for_each_term(text, self.ngrams, |term| {
                if seen.insert(term.to_owned()) {
                    *counts.entry(term.to_owned()).or_default() += 1;
                }
            });
        }
        if rows == 0 {
            return Err(nothing(Self::NAME, &input.name));
        }
        // What the map's order was is lost in sorting: no two terms are equal.
        let mut kept: Vec<(String, u32)> =
            counts.into_iter().filter(|(_, n)| *n as usize >= self.min_count).collect();
        kept.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        kept.truncate(self.max_features);
        kept.sort();
        if kept.is_empty() {
            return Err(Error::data("the training texts hold no word that could be used")
                .at(&input.name)
                .expected(format!("words of two letters or more in at least {} texts", self.min_count))
                .remedy("lower min_count, or leave the column out"));
        }
        let idf = |d: u32| ((1.0 + rows as f64) / (1.0 + f64::from(d))).ln() + 1.0;
        let idf = kept.iter().map(|(_, d)| idf(*d)).collect();
        let terms = kept.into_iter().map(|(t, _)| t).collect();
        Ok(Box::new(Weighted::new(&input.name, terms, idf, self.ngrams, self.sublinear)))
    }
}

/// Calls `take` with every term of a text in order: words, and runs of up to `longest` words joined by a space.
fn for_each_term(text: &str, longest: usize, mut take: impl FnMut(&str)) {
    let text = text.to_lowercase();
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| w.chars().nth(1).is_some()).collect();
    let mut joined = String::new();
    for length in 1..=longest {
        for run in words.windows(length) {
            joined.clear();
            for (i, word) in run.iter().enumerate() {
                if i > 0 {
                    joined.push(' ');
                }
                joined.push_str(word);
            }
            take(&joined);
        }
    }
}

/// Fitted [`TfIdf`].
struct Weighted {
    output: Field,
    terms: Vec<String>,
    places: HashMap<String, usize>,
    idf: Vec<f64>,
    ngrams: usize,
    sublinear: bool,
}

impl Weighted {
    fn new(name: &str, terms: Vec<String>, idf: Vec<f64>, ngrams: usize, sublinear: bool) -> Self {
        let places = terms.iter().enumerate().map(|(i, t)| (t.clone(), i)).collect();
        Self { output: Field::vector(name, vec![terms.len()]), terms, places, idf, ngrams, sublinear }
    }

    fn row(&self, text: &str, out: &mut [f32]) {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        for_each_term(text, self.ngrams, |term| {
            if let Some(place) = self.places.get(term) {
                *counts.entry(*place).or_default() += 1.0;
            }
        });
        for (place, value) in &mut counts {
            let tf = if self.sublinear { 1.0 + value.ln() } else { *value };
            *value = tf * self.idf.get(*place).copied().unwrap_or(0.0);
        }
        let length = counts.values().map(|v| v * v).sum::<f64>().sqrt();
        for (place, value) in counts {
            if let Some(o) = out.get_mut(place) {
                *o = (value / length) as f32;
            }
        }
    }
}

impl FittedFeature for Weighted {
    fn kind(&self) -> &'static str {
        TfIdf::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let (values, absent) = texts(TfIdf::NAME, &self.output.name, column)?;
        let width = self.terms.len();
        let mut data = vec![0.0; values.len() * width];
        data.par_chunks_mut(width).zip(values).enumerate().for_each(|(row, (out, text))| {
            if !absent.is_set(row) {
                self.row(text, out);
            }
        });
        Ok(Column::Vector(Vectors { shape: vec![width], data, absent: absent.clone() }))
    }

    fn save(&self) -> Result<Parts> {
        let terms = self.terms.join("\n").into_bytes();
        let config = json!({"name": self.output.name, "ngrams": self.ngrams, "sublinear": self.sublinear});
        Ok(Parts::new(self.kind(), config)
            .with("terms", Array::U8(vec![terms.len()], terms))
            .with_f64("idf", &self.idf))
    }

    fn names(&self) -> Vec<String> {
        self.terms.iter().map(|t| format!("{}: {t}", self.output.name)).collect()
    }
}

/// Loads a fitted [`TfIdf`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let Some(Array::U8(_, bytes)) = parts.arrays.get("terms") else { return Err(damaged(parts)) };
    let text = std::str::from_utf8(bytes).map_err(|_| damaged(parts))?;
    let terms: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let idf = parts.f64("idf")?.to_vec();
    let ngrams: usize = parts.field("ngrams")?;
    let ordered = terms.windows(2).all(|w| matches!(w, [a, b] if a < b));
    if terms.len() != idf.len() || !ordered || !(1..=3).contains(&ngrams) {
        return Err(damaged(parts));
    }
    let name: String = parts.field("name")?;
    Ok(Box::new(Weighted::new(&name, terms, idf, ngrams, parts.field("sublinear")?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::{fit, golden, text};

    #[test]
    fn weights_match_scikit_learn() {
        let golden = golden("tfidf");
        let strings = |v: &serde_json::Value| -> Vec<String> { serde_json::from_value(v.clone()).unwrap() };
        let (train, test) = (strings(&golden["train"]), strings(&golden["test"]));
        for case in golden["cases"].as_array().unwrap() {
            let parameters = case["parameters"].clone();
            let step = fit("tfidf", parameters.clone(), &Field::new("t", Kind::Text), &text(&train)).unwrap();
            let names: Vec<String> = strings(&case["terms"]).iter().map(|t| format!("t: {t}")).collect();
            assert_eq!(step.names(), names, "{parameters}");
            let Column::Vector(out) = step.apply(&text(&test)).unwrap() else { panic!() };
            let expected: Vec<f64> = serde_json::from_value(case["rows"].clone()).unwrap();
            assert_eq!(out.data.len(), expected.len());
            for (a, b) in out.data.iter().zip(&expected) {
                assert!((f64::from(*a) - b).abs() < 1e-6, "{parameters}: {a} {b}");
            }
        }
    }

    #[test]
    fn the_cap_takes_the_most_common_terms_then_the_first_by_name() {
        let train = ["bb aa cc", "bb aa dd", "bb dd cc"].map(str::to_owned);
        let parameters = json!({"ngrams": 1, "max_features": 3});
        let step = fit("tfidf", parameters, &Field::new("t", Kind::Text), &text(&train)).unwrap();
        assert_eq!(step.names(), ["t: aa", "t: bb", "t: cc"]);
        let unusable = ["a ! b".to_owned()];
        let Err(error) = fit("tfidf", json!({}), &Field::new("t", Kind::Text), &text(&unusable)) else {
            panic!()
        };
        assert!(error.to_string().contains("no word"), "{error}");
    }
}
