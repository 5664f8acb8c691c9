//! A text becomes the numbers of its first tokens.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reading::{accept, damaged, nothing, texts};
use super::words::{self, MOST, Vocabulary};
use crate::error::{Error, Result};
use crate::files::confine;
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Parts, Vectors};
use crate::registry::Method;

/// The numbers of a text's tokens, for networks that read words in their order (`text_bag`, `text_cnn`, `transformer`).
///
/// The vocabulary is learned from the training texts: the 256 bytes, and whatever neighbors stand together most often, joined one
/// after the other (byte pairs), so that frequent words are one token and rare ones several. Words keep the space before them;
/// tokens do not reach over words. Or it is given in a file, whose contents the model then holds.
///
/// Tokens are numbered from 1 on; 0 fills the row up behind the last one. **Only the first `length` tokens of a text are kept.** A
/// text without any is a row of zeros.
///
/// # Shapes
/// A text gives `[length]`.
///
/// # Errors
/// A file that cannot be read: byte pairs (BPE) and word pieces (WordPiece) can, with the usual ways to clean and split.
///
/// # Reference
/// Sennrich, Haddow and Birch (2016), "Neural machine translation of rare words with subword units"; on bytes: Radford et al.
/// (2019), "Language models are unsupervised multitask learners".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// At most so many tokens are learned, the 256 bytes among them.
    #[schemars(range(min = 256, max = 100000))]
    pub vocabulary: usize,
    /// So many tokens of a text are kept, the first ones.
    #[schemars(range(min = 1, max = 65536))]
    pub length: usize,
    /// Neighbors that stand together in fewer places are not joined.
    #[schemars(range(min = 1))]
    pub min_count: usize,
    /// Everything is read in lower case.
    pub lowercase: bool,
    /// A vocabulary to take instead of learning one: a `tokenizer.json` of Hugging Face's library, relative to the data folder.
    pub file: Option<String>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { vocabulary: 4000, length: 128, min_count: 2, lowercase: false, file: None }
    }
}

impl Method for Tokens {
    const NAME: &'static str = "tokens";
    const ABOUT: &'static str =
        "numbers of words and parts of words in their order, for networks that read text";

    fn validate(&self) -> Result<()> {
        let (most, longest) = (100_000, 65_536);
        for (key, value, range) in [
            ("vocabulary", self.vocabulary, 256..=most),
            ("length", self.length, 1..=longest),
            ("min_count", self.min_count, 1..=usize::MAX),
        ] {
            if !range.contains(&value) {
                let expected = match *range.end() {
                    usize::MAX => "1 or more".to_owned(),
                    end => format!("{} to {end}", range.start()),
                };
                return Err(Error::argument("the number is out of range")
                    .at(key)
                    .expected(expected)
                    .got(value));
            }
        }
        let learning = Self { length: self.length, file: self.file.clone(), ..Self::default() };
        if self.file.is_some() && *self != learning {
            return Err(Error::argument(
                "vocabulary, min_count and lowercase say how a vocabulary is learned",
            )
            .at("file")
            .remedy("leave them out, or the file"));
        }
        Ok(())
    }
}

impl Feature for Tokens {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Text])?;
        // How many tokens a file has is known once it is read.
        Ok(match self.file {
            None => field(&input.name, self.length, self.vocabulary),
            Some(_) => Field::vector(&input.name, Vec::new()),
        })
    }

    fn files(&self) -> Vec<String> {
        self.file.iter().cloned().collect()
    }

    fn fit(&self, input: &Field, column: &Column, context: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        self.output(input)?;
        let (values, absent) = texts(Self::NAME, &input.name, column)?;
        if absent.count() == values.len() {
            return Err(nothing(Self::NAME, &input.name));
        }
        let vocabulary = if let Some(file) = &self.file {
            let root = context.root.ok_or_else(|| {
                Error::argument("\"tokens\" reads a file, but no data folder was given")
                    .at(&input.name)
                    .remedy("set data.root in the recipe, or --data")
            })?;
            words::read(&confine(root, file)?)?
        } else {
            let rows = values.iter().enumerate().filter(|(r, _)| !absent.is_set(*r));
            let texts = rows.map(|(_, text)| text.as_str());
            Vocabulary::learned(texts, self.lowercase, [self.vocabulary, self.min_count], context.stop)?
        };
        Ok(Box::new(Numbered { output: field(&input.name, self.length, vocabulary.size()), vocabulary }))
    }
}

/// Rows of `length` tokens out of a vocabulary of a size; zero stands for none.
fn field(name: &str, length: usize, size: usize) -> Field {
    Field { words: size + 1, ..Field::vector(name, vec![length]) }
}

/// Fitted [`Tokens`].
struct Numbered {
    output: Field,
    vocabulary: Vocabulary,
}

impl FittedFeature for Numbered {
    fn kind(&self) -> &'static str {
        Tokens::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let (values, absent) = texts(Tokens::NAME, &self.output.name, column)?;
        let shape = self.output.shape.clone();
        let length: usize = shape.iter().product();
        let mut data = vec![0.0f32; values.len() * length];
        data.par_chunks_mut(length.max(1)).zip(values).enumerate().for_each(|(row, (out, text))| {
            if !absent.is_set(row) {
                for (o, token) in out.iter_mut().zip(self.vocabulary.encode(text, length)) {
                    *o = (token + 1) as f32;
                }
            }
        });
        Ok(Column::Vector(Vectors { shape, data, absent: absent.clone() }))
    }

    fn save(&self) -> Result<Parts> {
        let mut parts = self.vocabulary.save(self.kind());
        if let Value::Object(config) = &mut parts.config {
            config.insert("name".to_owned(), self.output.name.clone().into());
            config.insert("length".to_owned(), self.output.shape.iter().product::<usize>().into());
        }
        Ok(parts)
    }
}

/// Loads a fitted [`Tokens`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let vocabulary = Vocabulary::load(parts)?;
    let (name, length): (String, usize) = (parts.field("name")?, parts.field("length")?);
    if length == 0 || length > MOST {
        return Err(damaged(parts));
    }
    Ok(Box::new(Numbered { output: field(&name, length, vocabulary.size()), vocabulary }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::features::conformance::{fit, fit_in, text};

    /// A change of a file, and what the error says of it.
    type Change<'a> = (&'a dyn Fn(&mut Value), &'a str);

    fn golden() -> Value {
        serde_json::from_str(include_str!("../../../../testdata/golden/tokens.json")).unwrap()
    }

    fn strings(value: &Value) -> Vec<String> {
        serde_json::from_value(value.clone()).unwrap()
    }

    /// Token numbers of rows, from zero on, without what fills them up.
    fn rows(step: &dyn FittedFeature, texts: &[String]) -> Vec<Vec<u32>> {
        let Column::Vector(out) = step.apply(&text(texts)).unwrap() else { panic!() };
        let row = |row: &[f32]| row.iter().filter(|v| **v > 0.0).map(|v| *v as u32 - 1).collect();
        out.data.chunks(out.width()).map(row).collect()
    }

    fn expected(value: &Value) -> Vec<Vec<u32>> {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn field() -> Field {
        Field::new("t", Kind::Text)
    }

    /// A folder with a file of a vocabulary, and the step on it.
    fn given(file: &[u8]) -> Result<Box<dyn FittedFeature>> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("tokenizer.json"), file).unwrap();
        let parameters = json!({"file": "tokenizer.json"});
        fit_in("tokens", parameters, &field(), &text(&["one".to_owned()]), root.path())
    }

    #[test]
    fn what_is_learned_is_what_hugging_face_learns() {
        let golden = golden();
        let (train, test) = (strings(&golden["train"]), strings(&golden["test"]));
        for case in golden["learned"].as_array().unwrap() {
            let mut parameters = case["parameters"].clone();
            parameters["length"] = json!(300);
            let step = fit("tokens", parameters.clone(), &field(), &text(&train)).unwrap();
            let merges = case["merges"].as_array().unwrap().len();
            assert_eq!(step.output().words, 1 + 256 + merges, "{parameters}");
            for ((got, expected), text) in rows(&*step, &test).iter().zip(expected(&case["rows"])).zip(&test)
            {
                assert_eq!(*got, expected, "{parameters}: {text:?}");
            }
        }
    }

    #[test]
    fn files_are_read_as_hugging_face_reads_them() {
        for case in golden()["given"].as_array().unwrap() {
            let step = given(case["file"].to_string().as_bytes()).unwrap();
            let again = load(&step.save().unwrap(), &Loaders::default()).unwrap();
            let texts = strings(&case["texts"]);
            let kind = &case["file"]["model"]["type"];
            for ((text, expected), again) in
                texts.iter().zip(expected(&case["rows"])).zip(rows(&*again, &texts))
            {
                let cut = &expected[..expected.len().min(128)];
                assert_eq!(rows(&*step, std::slice::from_ref(text))[0], cut, "{kind}: {text:?}");
                assert_eq!(again, cut, "{kind}: {text:?}");
            }
        }
    }

    #[test]
    fn texts_are_cut_at_their_end_and_filled_up_with_zeros() {
        let texts = ["ab ab ab", "b", ""].map(str::to_owned);
        let step = fit("tokens", json!({"length": 4, "vocabulary": 258}), &field(), &text(&texts)).unwrap();
        let Column::Vector(out) = step.apply(&text(&texts)).unwrap() else { panic!() };
        // " ab" is token 257, and then numbers begin at 1.
        assert_eq!(step.output().words, 259);
        assert_eq!(out.data[..4], [258.0, 258.0, 258.0, 0.0]);
        assert_eq!(out.data[6..], [0.0; 6]);
        let long = "x".repeat(3_000_000);
        let Column::Vector(out) = step.apply(&text(&[long])).unwrap() else { panic!() };
        assert!(out.data.iter().all(|v| *v > 0.0));
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        let golden = golden();
        let file = |change: &dyn Fn(&mut Value)| {
            let mut file = golden["given"][0]["file"].clone();
            change(&mut file);
            given(file.to_string().as_bytes()).err().map(|e| {
                assert_eq!(e.exit_code(), 3, "{e}");
                e.to_string()
            })
        };
        assert_eq!(file(&|_| {}), None);
        let changes: [Change<'_>; 14] = [
            (&|f| f["model"]["type"] = json!("Unigram"), "Unigram"),
            (&|f| f["model"] = json!({"type": "Unigram", "vocab": [["a", -1.0]]}), "Unigram"),
            (&|f| f["model"] = json!({"vocab": {"a": 0}}), "without a type"),
            (&|f| f["pre_tokenizer"] = json!({"type": "Metaspace"}), "Metaspace"),
            (&|f| f["normalizer"] = json!({"type": "Precompiled"}), "Precompiled"),
            (&|f| f["model"]["byte_fallback"] = json!(true), "byte_fallback"),
            (&|f| f["model"]["end_of_word_suffix"] = json!("</w>"), "end_of_word_suffix"),
            (&|f| f["model"]["dropout"] = json!(0.1), "dropout"),
            (&|f| f["model"]["merges"] = json!([["a", "nowhere"]]), "nowhere"),
            (&|f| f["model"]["merges"] = json!([["!", "\""]]), "gives no token"),
            (&|f| f["model"]["merges"] = json!(["ab"]), "no pair"),
            (&|f| f["model"]["vocab"] = json!({}), "at least one token"),
            (&|f| f["model"]["vocab"]["b"] = json!(4_000_000), "1000000"),
            (&|f| f["added_tokens"] = json!([{"content": "zebra", "special": false}]), "zebra"),
        ];
        for (change, says) in changes {
            let said = file(change).unwrap_or_default();
            assert!(said.contains(says), "{says}: {said}");
        }
        // Merges that go round lead to tokens that are there, and end with the symbols.
        let round = json!({"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1, "aaa": 2},
            "merges": ["a a", "aa a", "a aa", "a a"]}});
        let step = given(round.to_string().as_bytes()).unwrap();
        assert_eq!(rows(&*step, &["a".repeat(7)]), [[2, 2, 0]]);
        let huge = format!("{{\"model\": \"{}\"}}", "x".repeat(33 << 20));
        assert!(given(huge.as_bytes()).err().unwrap().to_string().contains("32 MiB"));
        let deep =
            format!("{{\"normalizer\": {}", "{\"type\":\"Sequence\",\"normalizers\":[".repeat(100_000));
        assert_eq!(given(deep.as_bytes()).err().unwrap().exit_code(), 3);
        let outside = fit("tokens", json!({"file": "../t.json"}), &field(), &text(&["a".to_owned()]));
        assert!(outside.err().unwrap().to_string().contains("outside"));
    }

    #[test]
    fn no_damage_to_a_file_is_more_than_an_error() {
        let golden = golden();
        let hard = ["the boats港\0 é\u{301} 1987".to_owned(), "x".repeat(40), " ".to_owned()];
        let mut state = 7u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as usize) % below.max(1)
        };
        let files: Vec<Vec<u8>> =
            golden["given"].as_array().unwrap().iter().map(|g| g["file"].to_string().into_bytes()).collect();
        let (mut read, mut refused) = (0, 0);
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("tokenizer.json");
        for round in 0..20_000 {
            let mut bytes = files[round % files.len()].clone();
            for _ in 0..=next(3) {
                let (at, other) = (next(bytes.len()), next(bytes.len()));
                match next(6) {
                    0 => bytes[at] = b"{}[]\",:0129-\\u ae\xff\0"[next(18)],
                    1 => bytes[at] ^= 1 << next(8),
                    2 => drop(bytes.drain(at..(at + next(40)).min(bytes.len()))),
                    3 => bytes.truncate(at),
                    4 => {
                        let copy = bytes[other..(other + next(60)).min(bytes.len())].to_vec();
                        drop(bytes.splice(at..at, copy));
                    }
                    _ => drop(bytes.splice(at..at, *b"99999999")),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            match words::read(&path) {
                Ok(vocabulary) => {
                    assert!(vocabulary.size() <= MOST);
                    hard.iter().for_each(|text| assert!(vocabulary.encode(text, 9).len() <= 9));
                    read += 1;
                }
                Err(e) => {
                    assert!(matches!(e, Error::Data(_)), "{e}");
                    refused += 1;
                }
            }
        }
        assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused");
    }

    #[test]
    fn threads_and_orders_change_nothing() {
        let train = strings(&golden()["train"]);
        let bytes = |threads: usize, texts: &[String]| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let step = fit("tokens", json!({}), &field(), &text(texts)).unwrap();
                (step.save().unwrap(), step.apply(&text(&train)).unwrap())
            })
        };
        let turned: Vec<String> = train.iter().rev().cloned().collect();
        let one = bytes(1, &train);
        assert!(one == bytes(3, &train) && one == bytes(2, &turned));
    }
}
