//! A vocabulary: which token has which number, as a model's files give it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consilience_core::document::{quote, suggest};
use consilience_core::{Error, Result};

use super::file::{Added, MOST, Merges, Parsed, Tokens};
use super::json::{self, Json};
use super::names::Names;
use super::write::settings_of;
use crate::model::read_file;

/// The largest `tokenizer.json`.
const LARGEST: u64 = 200 << 20;
/// The largest of the other files.
pub(super) const LARGEST_OTHER: u64 = 32 << 20;
/// The largest chat template.
const LARGEST_TEMPLATE: u64 = 1 << 20;

/// How a tokenizer cuts words into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bpe,
    WordPiece,
    WordLevel,
    Unigram,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Bpe, Self::WordPiece, Self::WordLevel, Self::Unigram];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bpe => "BPE",
            Self::WordPiece => "WordPiece",
            Self::WordLevel => "WordLevel",
            Self::Unigram => "Unigram",
        }
    }
}

/// The tokens of a tokenizer with their numbers, those that were added later among them.
///
/// Numbers may have gaps. What the files say beside (normalizers, flags of added tokens, the chat template) is kept.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    pub(super) dir: PathBuf,
    pub(super) kind: Kind,
    pub(super) tokens: Names,
    /// By number.
    pub(super) added: BTreeMap<u32, Added>,
    /// In the order in which they are tried.
    pub(super) merges: Vec<[u32; 2]>,
    /// Merges are written with a space between, as older libraries do.
    pub(super) joined: bool,
    /// Of a Unigram model; added tokens may have none.
    pub(super) scores: BTreeMap<u32, f64>,
    /// `tokenizer.json` without the lists above.
    pub(super) frame: Json,
    /// `tokenizer_config.json`, where there is one.
    pub(super) config: Option<Json>,
    template: Option<String>,
}

impl Vocabulary {
    /// Reads the files of a tokenizer in a model's folder: `tokenizer.json`, and `tokenizer_config.json`, `added_tokens.json` and
    /// `chat_template.jinja` where they are there.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no `tokenizer.json`, naming what is there instead; if a file is too large or cannot be
    /// understood; if a number is no number of a token (negative, above 4 million) or two tokens have the same; if the files
    /// contradict each other. [`Error::Read`].
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        if !path.exists() {
            return Err(absent(dir));
        }
        let parsed = json::read(&path, LARGEST, "a tokenizer.json as the library tokenizers writes it")?;
        let mut all = Self::of(dir, parsed).map_err(|e| e.at(path.display()))?;
        if let Some(config) = settings_of(dir)? {
            all.listed(&config).map_err(|e| e.at(dir.join("tokenizer_config.json").display()))?;
            all.config = Some(config);
        }
        let path = dir.join("added_tokens.json");
        if path.exists() {
            let listed: BTreeMap<String, u32> =
                json::read(&path, LARGEST_OTHER, "a map from added tokens to their numbers")?;
            for (content, id) in listed {
                all.learn(Added::plain(id, &content)).map_err(|e| e.at(path.display()))?;
            }
        }
        all.template = template(dir, all.config.as_ref())?;
        Ok(all)
    }

    fn of(dir: &Path, parsed: Parsed) -> Result<Self> {
        let Parsed { frame, added, tokens, merges } = parsed;
        let kind = match frame.get("model").and_then(|m| m.get("type")).map(|t| t.text().unwrap_or_default())
        {
            Some(name) => Kind::ALL.into_iter().find(|k| k.name() == name).ok_or_else(|| {
                Error::model("the kind of the tokenizer is not known")
                    .expected("BPE, WordPiece, WordLevel or Unigram")
                    .got(quote(name))
            })?,
            // Older files do not say it.
            None if merges.is_some() => Kind::Bpe,
            None if matches!(tokens, Tokens::Scored(..)) => Kind::Unigram,
            None => {
                let error = Error::model("the tokenizer does not say of which kind it is").at("model.type");
                return Err(error.expected("BPE, WordPiece, WordLevel or Unigram"));
            }
        };
        let mut all = Self {
            dir: dir.to_path_buf(),
            kind,
            tokens: Names::default(),
            added: BTreeMap::new(),
            merges: Vec::new(),
            joined: false,
            scores: BTreeMap::new(),
            frame,
            config: None,
            template: None,
        };
        match (tokens, kind == Kind::Unigram) {
            (Tokens::Numbered(tokens, numbers), false) => {
                for (token, id) in tokens.iter().zip(numbers) {
                    all.insert(token, id)?;
                }
            }
            (Tokens::Scored(tokens, scores), true) => {
                for (id, (token, score)) in tokens.iter().zip(scores).enumerate() {
                    all.insert(token, id as u32)?;
                    all.scores.insert(id as u32, score);
                }
            }
            (_, scored) => {
                let what =
                    if scored { "a list of tokens with scores" } else { "a map from tokens to numbers" };
                let error = Error::model("the vocabulary is not of the kind of the model");
                return Err(error.at("model.vocab").expected(what).got(kind.name()));
            }
        }
        added.into_iter().try_for_each(|token| all.learn(token))?;
        if all.is_empty() {
            return Err(Error::model("there is no token").at("model.vocab"));
        }
        let Merges { texts, joined } = merges.unwrap_or_default();
        all.joined = joined;
        for i in (0..texts.len()).step_by(2) {
            let id = |i: usize| {
                let token = texts.get(i).unwrap_or_default();
                all.number(token).ok_or_else(|| {
                    Error::model(format!("a merge has the token {}, which has no number", quote(token)))
                        .at("model.merges")
                })
            };
            let pair = [id(i)?, id(i + 1)?];
            all.merges.push(pair);
        }
        Ok(all)
    }

    /// A token with a number that must be free.
    pub(super) fn insert(&mut self, token: &str, id: u32) -> Result<()> {
        if id as usize >= MOST {
            return Err(Error::model(format!("the number of the token {} is too large", quote(token)))
                .expected(format!("below {MOST}"))
                .got(id));
        }
        if let Some(other) = self.number(token) {
            let error = Error::model(format!("the token {} has two numbers", quote(token)));
            return Err(error.got(format!("{other} and {id}")));
        }
        if let Some(other) = self.token(id) {
            let what = format!("the tokens {} and {} have the same number", quote(other), quote(token));
            return Err(Error::model(what).got(id));
        }
        match self.tokens.insert(token, id) {
            true => Ok(()),
            false => Err(Error::model("the tokens are too long")),
        }
    }

    /// An added token: it may stand in the vocabulary already, with the same number. What was said first counts.
    fn learn(&mut self, added: Added) -> Result<()> {
        if self.number(&added.content) != Some(added.id) {
            self.insert(&added.content, added.id)?;
        }
        self.added.entry(added.id).or_insert(added);
        Ok(())
    }

    /// What `tokenizer_config.json` says of added tokens.
    fn listed(&mut self, config: &Json) -> Result<()> {
        if !matches!(config, Json::Map(_)) {
            return Err(Error::model("the file cannot be understood").expected("a map of settings"));
        }
        for (id, token) in config.get("added_tokens_decoder").map(Json::entries).unwrap_or_default() {
            let at = |e: Error| e.at(format!("added_tokens_decoder.{id}"));
            let flag = |key: &str| token.get(key) == Some(&Json::Scalar(true.into()));
            let (Some(content), Ok(id)) = (token.get("content").and_then(Json::text), id.parse()) else {
                return Err(at(Error::model("this is no added token")
                    .expected("a number, and under it a map with content")));
            };
            self.learn(Added {
                id,
                content: content.to_owned(),
                single_word: flag("single_word"),
                lstrip: flag("lstrip"),
                rstrip: flag("rstrip"),
                normalized: flag("normalized"),
                special: flag("special"),
            })
            .map_err(at)?;
        }
        Ok(())
    }

    /// How many numbers there are: one more than the largest.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.len() == 0
    }

    /// The number of a token.
    pub fn number(&self, token: &str) -> Option<u32> {
        self.tokens.number(token)
    }

    /// The token with a number; `None` in a gap.
    pub fn token(&self, number: u32) -> Option<&str> {
        self.tokens.get(number)
    }

    /// The chat template, Jinja text: `chat_template.jinja`, else what `tokenizer_config.json` has (of several the one named
    /// "default").
    pub fn chat_template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// Its bytes in memory, nearly: what is long in it.
    pub fn bytes(&self) -> u64 {
        const ADDED: usize = 128;
        const SCORE: usize = 24;
        let beside = self.merges.capacity() * 8 + self.added.len() * ADDED + self.scores.len() * SCORE;
        (self.tokens.bytes() + beside) as u64
    }

    /// The added token that is nearest to a text.
    pub(super) fn nearest(&self, text: &str) -> Option<&str> {
        suggest(text, self.added.values().map(|a| a.content.as_str()))
    }

    /// A setting of the model.
    pub(super) fn setting(&self, key: &str) -> Option<&Json> {
        self.frame.get("model").and_then(|m| m.get(key))
    }
}

/// The chat template of a folder with these settings.
pub(super) fn template(dir: &Path, config: Option<&Json>) -> Result<Option<String>> {
    let path = dir.join("chat_template.jinja");
    if path.exists() {
        let bytes = read_file(&path, LARGEST_TEMPLATE)?;
        let text = String::from_utf8(bytes);
        return text
            .map(Some)
            .map_err(|_| Error::model("the chat template is no text").at(path.display()).expected("UTF-8"));
    }
    let Some(value) = config.and_then(|c| c.get("chat_template")) else { return Ok(None) };
    let named = |t: &&Json| t.get("name").and_then(Json::text) == Some("default");
    let of_several = || value.items().iter().find(named)?.get("template")?.text();
    Ok(value.text().or_else(of_several).map(str::to_owned))
}

/// What to say where there is no `tokenizer.json`.
fn absent(dir: &Path) -> Error {
    let error = Error::model("there is no tokenizer.json")
        .at(dir.display())
        .expected("the file tokenizer.json, from which vocabularies are merged");
    let others = ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt"];
    match others.into_iter().find(|name| dir.join(name).exists()) {
        Some(name) => error
            .got(format!("only {name}, which is not supported alone"))
            .remedy("load the tokenizer with the library transformers, which converts it, and save it into the folder"),
        None => error.remedy("put the model's tokenizer.json there, or leave the tokenizer out of the merge file"),
    }
}
