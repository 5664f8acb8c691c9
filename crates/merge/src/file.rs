//! From a merge file to its result: read, open the models, plan, run, document by document.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use consilience_core::Error;
use consilience_core::document::{Content, Finding, Findings, List, Node, Severity};
use consilience_core::files::{STRAY_PREFIX, write_atomic};

use crate::config::{Config, ModelName, read};
use crate::model::{Model, Places};
use crate::plan::{Estimate, Options, Plan, check_parameters, estimate, make};
use crate::run::{Along, Lock, Merged, Running, another, beside, copy_tokenizer, goal, is_merge, key, run};
use crate::tokenizer::{Member, MergedTokenizer, TokenizerSettings, Vocabulary, chat_template};

/// The longest merge file, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Why a merge did not come about.
#[derive(Debug)]
pub enum Refused {
    /// Mistakes in the merge file, all of them.
    Findings(Box<Findings>),
    /// Everything else.
    Error(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A document that can be run.
pub struct Ready {
    /// The document.
    pub config: Config,
    /// Its models, opened.
    pub models: Vec<Model>,
    /// What will be done.
    pub plan: Plan,
    /// What it takes.
    pub estimate: Estimate,
}

/// A merge file that was read.
pub struct MergeFile {
    /// Its name in findings.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Its documents.
    pub configs: Vec<Config>,
    /// Warnings about it.
    pub warnings: Vec<Finding>,
    places: Places,
}

impl MergeFile {
    /// Reads a merge file and checks its grammar.
    ///
    /// # Errors
    /// Every finding; [`Error::Read`].
    pub fn read(path: &Path) -> Result<Self, Refused> {
        let size = fs::metadata(path).map_err(|e| Error::read(path, e))?;
        if !size.is_file() || size.len() > MAX_FILE {
            return Err(Error::argument("this is no merge file")
                .at(path.display())
                .expected(format!("a file of YAML of at most {MAX_FILE} bytes"))
                .into());
        }
        let bytes = fs::read(path).map_err(|e| Error::read(path, e))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::argument("the merge file is no text").at(path.display()).expected("UTF-8"))?;
        Self::parse(text, path)
    }

    /// As [`MergeFile::read`], of a text. `path` names it in findings, and relative paths start from its folder after the working one.
    ///
    /// # Errors
    /// Every finding.
    pub fn parse(text: String, path: &Path) -> Result<Self, Refused> {
        let name = path.display().to_string();
        let (configs, warnings) = read(&text, &name).map_err(|f| Refused::Findings(Box::new(f)))?;
        Ok(Self { name, text, configs, warnings: warnings.findings, places: Places::of(path) })
    }

    /// Findings with the text that they are about.
    pub fn findings(&self, list: Vec<Finding>) -> Findings {
        let all = self.warnings.iter().cloned().chain(list).collect();
        Findings::new(self.name.clone(), self.text.clone(), all)
    }

    /// Opens the models of a document and plans it. `made` holds the folders of earlier documents by name.
    ///
    /// # Errors
    /// Every finding; [`Error::Argument`] if the memory that is allowed is too little.
    pub fn prepare(
        &self,
        config: &Config,
        made: &BTreeMap<String, PathBuf>,
        limits: &Limits,
        options: &Options,
    ) -> Result<(Ready, Vec<Finding>), Refused> {
        let mut models = Vec::new();
        let mut missing = Vec::new();
        let places = Places { named: made.clone(), ..self.places.clone() };
        for (name, span) in config.models() {
            match Model::open(name, &places) {
                Ok(model) => models.push(model),
                Err(error @ Error::Internal(_)) => return Err(error.into()),
                Err(error) => missing.push(Finding::of(&error, span)),
            }
        }
        if !missing.is_empty() {
            let mut findings = List::default();
            check_parameters(config, &mut findings);
            missing.extend(findings.into_vec());
            return Err(Refused::Findings(Box::new(self.findings(missing))));
        }
        let mut findings = List::default();
        // What is written at the end is planned here too, so that nothing can be wrong with it then.
        let tokens = tokens(&with_tokenizer(config), &models, &mut findings)?;
        let merged = tokens.as_ref().and_then(|t| t.merged(&mut findings)).map(|m| Arc::new(m.rows));
        let rows = merged.filter(|_| config.tokenizer.is_some());
        drop(tokens);
        if let Some((setting, span)) = &config.chat_template
            && let Err(error) = chat_template(setting, &[])
        {
            findings.push(Finding::of(&error, *span).at("chat_template"));
        }
        if findings.has_errors() {
            return Err(Refused::Findings(Box::new(self.findings(findings.into_vec()))));
        }
        let (plan, told) = make(config, &models, rows.as_ref(), options)
            .map_err(|all| Refused::Findings(Box::new(self.findings(all))))?;
        let mut warnings = findings.into_vec();
        warnings.extend(told);
        let estimate = estimate(&plan, &models, limits.threads, limits.memory)?;
        Ok((Ready { config: config.clone(), models, plan, estimate }, warnings))
    }

    /// Plans every document from headers alone. Earlier documents stand in for their results with headers without numbers.
    ///
    /// # Errors
    /// As [`MergeFile::prepare`].
    pub fn check(&self, limits: &Limits, options: &Options) -> Result<(Vec<Ready>, Findings), Refused> {
        let hollow = (self.configs.len() > 1).then(tempdir).transpose()?;
        let mut made = BTreeMap::new();
        let (mut all, mut warnings) = (Vec::new(), Vec::new());
        for (i, config) in self.configs.iter().enumerate() {
            let (ready, told) = self.prepare(config, &made, limits, options)?;
            warnings.extend(told);
            if let (Some(hollow), Some(name)) = (&hollow, &config.name) {
                let dir = hollow.0.join(i.to_string());
                write_hollow(&dir, &ready)?;
                made.insert(name.clone(), dir);
            }
            all.push(ready);
        }
        Ok((all, self.findings(warnings)))
    }

    /// Merges: every document, the last into `out`.
    ///
    /// # Errors
    /// As [`MergeFile::prepare`] and [`run`]. The documents before the last are planned, and all that headers tell is known, before any
    /// number is read.
    pub fn merge(
        &self,
        out: &Path,
        limits: &Limits,
        options: &Options,
        running: &Running<'_>,
    ) -> Result<(Merged, Findings), Refused> {
        let several = self.configs.len() > 1;
        if several {
            // What is wrong with the result should not be found after hours of work on the first.
            self.check(limits, options)?;
        }
        let parts = several.then(|| Parts::open(out, running.resume)).transpose()?;
        let done = self.merge_all(out, parts.as_ref(), limits, options, running);
        if let Some(parts) = parts {
            // What was merged is kept only where it can be gone on with.
            parts.end(matches!(done, Err(Refused::Error(Error::Interrupted | Error::Read { .. }))));
        }
        done
    }

    fn merge_all(
        &self,
        out: &Path,
        parts: Option<&Parts>,
        limits: &Limits,
        options: &Options,
        running: &Running<'_>,
    ) -> Result<(Merged, Findings), Refused> {
        let (mut made, mut warnings) = (BTreeMap::new(), Vec::new());
        let last = self.configs.len().saturating_sub(1);
        let mut merged = None;
        for (i, config) in self.configs.iter().enumerate() {
            let (ready, told) = self.prepare(config, &made, limits, options)?;
            warnings.extend(told);
            let part = parts.filter(|_| i != last);
            let dir = part.map_or_else(|| out.to_path_buf(), |p| p.dir.join(i.to_string()));
            let key = match part {
                Some(_) => key((config, options), &ready.models, &ready.plan, running.on_nonfinite)?,
                None => String::new(),
            };
            let is_done = part.map_or(Ok(false), |p| p.is_done(i, &key))?;
            if !is_done {
                let write = |dir: &Path| write_tokens(&ready, dir);
                let along = Along { text: &self.text, tokenizer: has_policy(config).then_some(&write) };
                merged = Some(run(
                    (config, options),
                    &ready.models,
                    &ready.plan,
                    &ready.estimate,
                    &along,
                    &dir,
                    running,
                )?);
                if let Some(part) = part {
                    part.done(i, &key)?;
                }
            }
            made.extend(config.name.clone().map(|n| (n, dir)));
        }
        let merged = merged.ok_or_else(|| Error::internal("a merge file without a document"))?;
        let findings = self.findings(warnings);
        Ok((
            merged,
            Findings {
                findings: findings.findings.into_iter().filter(|f| f.severity == Severity::Warning).collect(),
                ..findings
            },
        ))
    }
}

/// The vocabularies of all models, and what the merge file says of them. They are large: what is found in them is kept, not they.
struct Tokens {
    settings: TokenizerSettings,
    names: Vec<String>,
    vocabularies: Vec<Vocabulary>,
    rows: Vec<usize>,
    base: Option<usize>,
}

impl Tokens {
    fn members(&self) -> Vec<Member<'_>> {
        let all = self.names.iter().zip(&self.vocabularies).zip(&self.rows);
        all.map(|((name, vocabulary), rows)| Member { name, vocabulary, rows: *rows }).collect()
    }

    fn merged(&self, findings: &mut List) -> Option<MergedTokenizer<'_>> {
        MergedTokenizer::plan(&self.settings, &self.members(), self.base, findings)
    }
}

/// Reads the vocabularies that a `tokenizer` section speaks of; `None` without one.
fn tokens(config: &Config, models: &[Model], findings: &mut List) -> Result<Option<Tokens>, Refused> {
    let Some(node) = &config.tokenizer else { return Ok(None) };
    let find = |node: &Node, path: &str, findings: &mut List| -> Option<usize> {
        let (name, span) = ModelName::read(node, path, findings)?;
        let found = models.iter().position(|m| m.name == name);
        if found.is_none() {
            findings.push(
                Finding::error("this is no model of the merge", span)
                    .at(path)
                    .expected(models.iter().map(|m| m.name.to_string()).collect::<Vec<_>>().join(", ")),
            );
        }
        found
    };
    let settings = TokenizerSettings::decode(node, "tokenizer", &find, findings);
    let mut vocabularies = Vec::new();
    for model in models {
        match Vocabulary::read(&model.dir) {
            Ok(vocabulary) => vocabularies.push(vocabulary),
            Err(error) => findings.push(Finding::of(&error, node.span).at("tokenizer")),
        }
        if model.embedding().is_none() {
            findings.push(
                Finding::error("a model has no embedding whose rows a tokenizer could name", node.span)
                    .at("tokenizer")
                    .got(model.name.to_string()),
            );
        }
    }
    if findings.has_errors() {
        return Ok(None);
    }
    let rows = |m: &Model| m.embedding().and_then(|e| m.tensor(e)?.shape().first().copied()).unwrap_or(0);
    Ok(Some(Tokens {
        settings,
        names: models.iter().map(|m| m.name.to_string()).collect(),
        vocabularies,
        rows: models.iter().map(rows).collect(),
        base: config.base.as_ref().and_then(|(b, _)| models.iter().position(|m| m.name == *b)),
    }))
}

/// A document with a `tokenizer`: one that has a chat template alone takes that of the base, else of the first model.
fn with_tokenizer(config: &Config) -> Config {
    let mut config = config.clone();
    if let (None, Some((_, span))) = (&config.tokenizer, &config.chat_template) {
        config.tokenizer = Some(Node { content: Content::String("base".to_owned()), span: *span });
    }
    config
}

/// Writes the files of the merged tokenizer and the chat template.
fn write_tokens(ready: &Ready, dir: &Path) -> Result<Vec<String>, Error> {
    let mut findings = List::default();
    let config = with_tokenizer(&ready.config);
    let again = || Error::internal("a tokenizer that was planned cannot be planned again");
    let tokens = match tokens(&config, &ready.models, &mut findings) {
        Ok(tokens) => tokens.ok_or_else(again)?,
        Err(Refused::Error(error)) => return Err(error),
        Err(Refused::Findings(_)) => return Err(again()),
    };
    let merged = tokens.merged(&mut findings).ok_or_else(again)?;
    let chat = match &config.chat_template {
        Some((setting, _)) => chat_template(setting, &tokens.members())?,
        None => None,
    };
    merged.write(dir, chat.as_deref())
}

/// What a merge may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Threads.
    pub threads: usize,
    /// Bytes of memory beside the system's cache of files.
    pub memory: Option<u64>,
}

/// Whether the result's tokenizer is another one than the donor's.
fn has_policy(config: &Config) -> bool {
    config.tokenizer.is_some() || config.chat_template.is_some()
}

/// A folder that goes when it is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A new folder among the system's temporary ones.
fn tempdir() -> Result<Temporary, Error> {
    const TRIES: u64 = 1000;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut tries = 0;
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("{STRAY_PREFIX}{}-{n}-check", std::process::id()));
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(Temporary(dir)),
            // Another process had the same number.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && tries < TRIES => tries += 1,
            Err(e) => return Err(Error::write(&dir, e)),
        }
    }
}

/// A model that has headers and no numbers, with its configuration and tokenizer.
fn write_hollow(dir: &Path, ready: &Ready) -> Result<(), Error> {
    let plan = &ready.plan;
    fs::create_dir_all(dir).map_err(|e| Error::write(dir, e))?;
    let path = dir.join("model.safetensors");
    let header = crate::run::header(&plan.jobs)?;
    let bytes = header.len() as u64 + plan.jobs.iter().map(|j| j.bytes()).sum::<u64>();
    let mut file = File::create(&path).map_err(|e| Error::write(&path, e))?;
    file.write_all(&header).and_then(|()| file.set_len(bytes)).map_err(|e| Error::write(&path, e))?;
    if let Some(config) = &plan.config {
        let path = dir.join("config.json");
        fs::write(&path, config.to_string()).map_err(|e| Error::write(&path, e))?;
    }
    if has_policy(&ready.config) {
        return write_tokens(ready, dir).map(drop);
    }
    let donor = ready.models.get(plan.donor).ok_or_else(|| Error::internal("a plan without a donor"))?;
    copy_tokenizer(&donor.dir, dir)
}

/// The results of the documents before the last, in a hidden folder beside the last one's.
struct Parts {
    dir: PathBuf,
    _lock: Lock,
}

impl Parts {
    fn open(out: &Path, resume: bool) -> Result<Self, Error> {
        let out = goal(out)?;
        let mut dir = beside(&out).into_os_string();
        dir.push(".parts");
        let dir = PathBuf::from(dir);
        let lock = Lock::take(&dir)?;
        if !resume {
            // What was begun of the last document came from other results of those before.
            let _own = Lock::take(&out)?;
            for old in [&dir, &beside(&out)].into_iter().filter(|d| d.exists()) {
                fs::remove_dir_all(old).map_err(|e| Error::write(old, e))?;
            }
        }
        fs::create_dir_all(&dir).map_err(|e| Error::write(&dir, e))?;
        Ok(Self { dir, _lock: lock })
    }

    fn key(&self, i: usize) -> PathBuf {
        self.dir.join(format!("{i}.key"))
    }

    /// Whether a document is merged already.
    ///
    /// # Errors
    /// [`Error::Argument`] if it was merged from other models or with other options.
    fn is_done(&self, i: usize, key: &str) -> Result<bool, Error> {
        match fs::read_to_string(self.key(i)) {
            Ok(other) if other != key => Err(another()),
            Ok(_) => Ok(is_merge(&self.dir.join(i.to_string()))),
            Err(_) => Ok(false),
        }
    }

    fn done(&self, i: usize, key: &str) -> Result<(), Error> {
        write_atomic(&self.key(i), key.as_bytes())
    }

    fn end(self, keep: bool) {
        let _ = if keep { fs::remove_dir(&self.dir) } else { fs::remove_dir_all(&self.dir) };
    }
}
