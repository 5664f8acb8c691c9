//! Writing the files of a merged tokenizer.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use consilience_core::files::write_atomic;
use consilience_core::{Error, Result};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::json::{self, Json};
use super::merged::MergedTokenizer;
use super::vocabulary::{Kind, LARGEST_OTHER, Vocabulary, template};
use crate::model::read_file;
use crate::run::beside_weights;

/// Files that are right for any vocabulary that keeps the donor's tokens.
const KEPT: [&str; 2] = ["special_tokens_map.json", "generation_config.json"];
/// Files that hold the donor's tokens.
const OF_DONOR: [&str; 8] = [
    "tokenizer.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
];
/// The largest of them.
const LARGEST: u64 = 200 << 20;
/// The settings.
const CONFIG: &str = "tokenizer_config.json";
/// The template in a file of its own, which goes before that in the settings.
const TEMPLATE: &str = "chat_template.jinja";
/// The same, as older programs write it.
const OLD_TEMPLATE: &str = "chat_template.json";

/// Whether a folder has a tokenizer, of whichever kind.
pub fn has_tokenizer(dir: &Path) -> bool {
    OF_DONOR.iter().chain(&[CONFIG]).any(|name| dir.join(name).is_file())
}

/// The chat template of a model's folder.
///
/// # Errors
/// [`Error::Read`]; [`Error::Model`] for files that cannot be understood.
pub fn own_template(dir: &Path) -> Result<Option<String>> {
    template(dir, settings_of(dir)?.as_ref())
}

/// The settings of a tokenizer, where there are any.
pub(super) fn settings_of(dir: &Path) -> Result<Option<Json>> {
    let path = dir.join(CONFIG);
    path.exists().then(|| json::read(&path, LARGEST_OTHER, "a map of settings")).transpose()
}

/// Copies a tokenizer of whichever kind from folder to folder, with another chat template if there is one, and gives the names of its
/// files.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`]; [`Error::Model`] for settings that cannot be understood.
pub fn copy_with_template(from: &Path, to: &Path, chat_template: Option<&str>) -> Result<Vec<String>> {
    let mut written = Vec::new();
    for path in beside_weights(from) {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let replaced = [CONFIG, TEMPLATE, OLD_TEMPLATE].contains(&name.as_str());
        if !(replaced && chat_template.is_some()) {
            write_atomic(&to.join(&name), &read_file(&path, u64::MAX - 1)?)?;
            written.push(name);
        }
    }
    if let Some(text) = chat_template {
        let mut config = settings_of(from)?.unwrap_or_else(plain_settings);
        config.set("chat_template", Json::string(text));
        write_atomic(&to.join(CONFIG), &pretty(&config)?)?;
        written.push(CONFIG.to_owned());
    }
    Ok(written)
}

/// The settings of a tokenizer that has none.
fn plain_settings() -> Json {
    Json::Map(vec![("tokenizer_class".to_owned(), Json::string("PreTrainedTokenizerFast"))])
}

impl MergedTokenizer<'_> {
    /// Writes the tokenizer's files into a folder that is there, one that appears whole later, and gives their names. A chat
    /// template goes into `tokenizer_config.json`; without one, that of the donor stays.
    ///
    /// Where there are tokens that the donor has not, `tokenizer.json` and `tokenizer_config.json` are made anew: all tokens, added
    /// ones too, stand in the vocabulary with their numbers. Files of older kinds (`vocab.json`, `tokenizer.model`) are then left out.
    /// Else the donor's files are copied.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Write`]; [`Error::Model`] for a file of the donor that is too large, and for a Unigram model whose
    /// numbers have gaps.
    pub fn write(&self, out: &Path, chat_template: Option<&str>) -> Result<Vec<String>> {
        let from = &self.vocabulary.dir;
        let mut written: Vec<String> =
            self.is_extended().then(|| "tokenizer.json".to_owned()).into_iter().collect();
        let mut put = |name: &str, bytes: &[u8]| {
            written.push(name.to_owned());
            write_atomic(&out.join(name), bytes)
        };
        let mut copied: Vec<&str> = KEPT.to_vec();
        if self.is_extended() {
            self.vocabulary.write(&out.join("tokenizer.json"))?;
        } else {
            copied.extend(OF_DONOR);
        }
        if chat_template.is_none() {
            copied.push(TEMPLATE);
        }
        match self.config(chat_template) {
            Some(config) => put(CONFIG, &pretty(&config)?)?,
            None => copied.push(CONFIG),
        }
        for name in copied {
            let path = from.join(name);
            if path.exists() {
                let most = if OF_DONOR.contains(&name) { LARGEST } else { LARGEST_OTHER };
                put(name, &read_file(&path, most)?)?;
            }
        }
        Ok(written)
    }

    /// The donor's files that hold only its own tokens, where the result has more.
    pub(super) fn left_out(&self) -> Vec<&'static str> {
        let there = |name: &&str| *name != "tokenizer.json" && self.vocabulary.dir.join(name).exists();
        let all = if self.is_extended() { &OF_DONOR[..] } else { &[] };
        all.iter().copied().filter(there).collect()
    }

    /// The settings, where they are not the donor's.
    fn config(&self, chat_template: Option<&str>) -> Option<Json> {
        let theirs = self.vocabulary.config.as_ref();
        if chat_template.is_none() && (theirs.is_none() || !self.is_extended()) {
            return None;
        }
        let mut config = theirs.cloned().unwrap_or_else(plain_settings);
        if self.is_extended()
            && let Some(listed) = config.get("added_tokens_decoder")
        {
            let mut listed = listed.clone();
            for (id, added) in &self.vocabulary.added {
                if listed.get(&id.to_string()).is_none() {
                    let flags = [
                        ("content", Json::string(&added.content)),
                        ("lstrip", Json::Scalar(added.lstrip.into())),
                        ("normalized", Json::Scalar(added.normalized.into())),
                        ("rstrip", Json::Scalar(added.rstrip.into())),
                        ("single_word", Json::Scalar(added.single_word.into())),
                        ("special", Json::Scalar(added.special.into())),
                    ];
                    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
                    listed.set(&id.to_string(), Json::Map(flags));
                }
            }
            config.set("added_tokens_decoder", listed);
        }
        if let Some(text) = chat_template {
            config.set("chat_template", Json::string(text));
        }
        Some(config)
    }
}

fn pretty(config: &Json) -> Result<Vec<u8>> {
    let bytes = serde_json::to_vec_pretty(config);
    bytes.map_err(|e| Error::internal(format!("the settings of a tokenizer cannot be written: {e}")))
}

impl Vocabulary {
    /// Writes a `tokenizer.json`, piece by piece: it may be large.
    fn write(&self, path: &Path) -> Result<()> {
        if self.kind == Kind::Unigram
            && let Some(gap) = self.tokens.iter().position(|t| t.is_none())
        {
            return Err(Error::model("a Unigram model cannot leave out a number")
                .at(self.dir.join("tokenizer.json").display())
                .expected("tokens numbered without a gap")
                .got(format!("no token has the number {gap}"))
                .remedy("take source: base or one of the models"));
        }
        let written = || {
            let mut file = BufWriter::new(File::create(path)?);
            serde_json::to_writer_pretty(&mut file, &Whole(self))?;
            file.into_inner()?.sync_all()
        };
        written().map_err(|e: io::Error| Error::write(path, e))
    }

    /// The tokens with their numbers, in order.
    fn numbered(&self) -> impl Iterator<Item = (&str, u32)> {
        self.tokens.iter().zip(0u32..).filter_map(|(token, id)| token.map(|t| (t, id)))
    }
}

/// The file.
struct Whole<'a>(&'a Vocabulary);
/// What stands under `model`.
struct Model<'a>(&'a Vocabulary, &'a Json);
/// What stands under `vocab`.
struct Tokens<'a>(&'a Vocabulary);
/// What stands under `merges`.
struct Merges<'a>(&'a Vocabulary);

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(all) = self;
        let added: Vec<_> = all.added.values().collect();
        let entries = all.frame.entries();
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in entries {
            match key.as_str() {
                "added_tokens" => map.serialize_entry(key, &added)?,
                "model" => map.serialize_entry(key, &Model(all, value))?,
                _ => map.serialize_entry(key, value)?,
            }
        }
        if !entries.iter().any(|(key, _)| key == "added_tokens") {
            map.serialize_entry("added_tokens", &added)?;
        }
        map.end()
    }
}

impl Serialize for Model<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(all, frame) = self;
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in frame.entries() {
            match key.as_str() {
                "vocab" => map.serialize_entry(key, &Tokens(all))?,
                "merges" => map.serialize_entry(key, &Merges(all))?,
                _ => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

impl Serialize for Tokens<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(all) = self;
        if all.kind == Kind::Unigram {
            // Added tokens are found before scores are looked at: theirs must only not be better than others.
            let lowest = all.scores.values().copied().fold(0.0, f64::min);
            let mut list = serializer.serialize_seq(Some(all.tokens.len()))?;
            for (token, id) in all.numbered() {
                list.serialize_element(&(token, all.scores.get(&id).unwrap_or(&lowest)))?;
            }
            return list.end();
        }
        let mut map = serializer.serialize_map(Some(all.tokens.len()))?;
        all.numbered().try_for_each(|(token, id)| map.serialize_entry(token, &id))?;
        map.end()
    }
}

impl Serialize for Merges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(all) = self;
        let pairs =
            || all.merges.iter().filter_map(|[left, right]| Some((all.token(*left)?, all.token(*right)?)));
        // A space between, unless a token has one.
        let joined = all.joined && !pairs().any(|(left, right)| left.contains(' ') || right.contains(' '));
        let mut list = serializer.serialize_seq(Some(all.merges.len()))?;
        for (left, right) in pairs() {
            match joined {
                true => list.serialize_element(&format!("{left} {right}"))?,
                false => list.serialize_element(&(left, right))?,
            }
        }
        list.end()
    }
}
