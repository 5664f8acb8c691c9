//! From a merge file to its result: read, open the models, plan, run, document by document.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use consilience_core::Error;
use consilience_core::document::{Finding, Findings, List, Severity};
use consilience_core::files::{STRAY_PREFIX, write_atomic};

use crate::config::{Config, read_all};
use crate::model::{Model, Places};
use crate::plan::{Estimate, Options, Plan, check_parameters, donor_of, estimate, make};
use crate::run::{
    Along, Lock, Merged, Provenance, Running, State, WriteTokenizer, another, beside, check_goal,
    check_space, copy_tokenizer, goal, key, run,
};
use crate::tokens::{self, check_template, check_words, has_policy};

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
    /// Where it lies.
    pub path: PathBuf,
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
        let size = fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::argument("there is no such merge file").at(path.display()).remedy("check the path")
            }
            _ => Error::read(path, e),
        })?;
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
        let (configs, mut findings) = read_all(&text);
        let places = Places::of(path);
        if findings.has_errors() {
            // All that can be known in spite of it.
            beyond(&configs, &configs, &places, &mut findings)?;
            return Err(Refused::Findings(Box::new(Findings::new(name, text, findings.into_vec()))));
        }
        Ok(Self { name, path: path.to_path_buf(), text, configs, warnings: findings.into_vec(), places })
    }

    fn refused(&self, list: Vec<Finding>) -> Refused {
        Refused::Findings(Box::new(self.findings(list)))
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
        let mut findings = List::default();
        let places = Places { named: made.clone(), ..self.places.clone() };
        let models = open(config, &places, &BTreeSet::new(), &mut findings)?;
        check_words(config, &mut findings);
        if models.len() < config.models().len() || findings.has_errors_under("tokenizer") {
            check_parameters(config, &mut findings);
            return Err(self.refused(findings.into_vec()));
        }
        if let Some(donor) = donor_of(config, &models) {
            check_template(config, donor, &mut findings);
        }
        // What is written at the end is planned here too, so that nothing can be wrong with it then.
        let (mut rows, mut tokenizers) = (None, 0);
        if let Some(tokens) = tokens::read(config, &models, Some(limits), &mut findings)?
            && let Some(merged) = tokens.merged(&mut findings)
        {
            tokenizers = tokens.bytes(&merged);
            rows = Some(Arc::new(merged.rows));
        }
        if config.tokenizer.is_some() && rows.is_none() {
            check_parameters(config, &mut findings);
            return Err(self.refused(findings.into_vec()));
        }
        let failed = findings.has_errors();
        let mut all = findings.into_vec();
        let plan = match make(config, &models, rows.as_ref(), options) {
            Ok((plan, told)) => {
                all.extend(told);
                if failed {
                    return Err(self.refused(all));
                }
                plan
            }
            Err(told) => return Err(self.refused(all.into_iter().chain(told).collect())),
        };
        let estimate = estimate(&plan, &models, tokenizers, limits.threads, limits.memory)?;
        Ok((Ready { config: config.clone(), models, plan, estimate }, all))
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
            let (ready, told) = match self.prepare(config, &made, limits, options) {
                Err(Refused::Findings(one)) => {
                    warnings.extend(one.findings);
                    let rest = self.configs.get(i + 1..).unwrap_or_default();
                    let mut findings = List::default();
                    beyond(rest, &self.configs, &self.places, &mut findings)?;
                    warnings.extend(findings.into_vec());
                    return Err(self.refused(warnings));
                }
                other => other?,
            };
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

    /// Says whether anything is in the way of a result that was checked: what lies in its place, or a disk without room for it.
    ///
    /// # Errors
    /// [`Error::Argument`]; [`Error::Write`] for a disk that is too full.
    pub fn foretell(&self, ready: &[Ready], out: &Path, replace: bool) -> Result<(), Error> {
        let goal = goal(out)?;
        for one in ready {
            check_goal(&goal, replace, &one.models, &self.path)?;
        }
        check_space(&goal, out, ready.iter().map(|r| r.estimate.disk).sum())
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
                let write = |dir: &Path| tokens::write(&ready, dir);
                let tokenizer = has_policy(config).then_some(&write as &WriteTokenizer<'_>);
                let along = Along { text: &self.text, file: &self.path, tokenizer };
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

/// Opens the models of a document, in its order, but for those that are results of others. Those that cannot be opened are told.
///
/// # Errors
/// [`Error::Internal`].
fn open(
    config: &Config,
    places: &Places,
    made: &BTreeSet<&str>,
    findings: &mut List,
) -> Result<Vec<Model>, Error> {
    let mut models = Vec::new();
    for (name, span) in config.models() {
        if made.contains(name.path.as_str()) {
            continue;
        }
        match Model::open(name, places) {
            Ok(model) => models.push(model),
            Err(error @ Error::Internal(_)) => return Err(error),
            Err(error) if places.find(name).is_ok() => {
                findings.push(Finding::of(&error, span).of_file());
            }
            Err(error) => findings.push(Finding::of(&error, span)),
        }
    }
    Ok(models)
}

/// What can be told of documents that cannot be laid out, because of something else. `all` are those of the file.
///
/// # Errors
/// [`Error::Internal`].
fn beyond(some: &[Config], all: &[Config], places: &Places, findings: &mut List) -> Result<(), Error> {
    let made = all.iter().filter_map(|c| c.name.as_deref()).collect();
    for config in some {
        open(config, places, &made, findings)?;
        check_words(config, findings);
        check_parameters(config, findings);
    }
    Ok(())
}

/// What a merge may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Threads.
    pub threads: usize,
    /// Bytes of memory beside the system's cache of files.
    pub memory: Option<u64>,
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
        return tokens::write(ready, dir).map(drop);
    }
    let donor = ready.models.get(plan.donor).ok_or_else(|| Error::internal("a plan without a donor"))?;
    copy_tokenizer(&donor.dir, dir)
}

/// Whether a folder is a merge as it was written.
fn is_whole(dir: &Path) -> Result<bool, Error> {
    let Ok(merge) = Provenance::read(dir) else { return Ok(false) };
    let mut sound = merge.is_sealed;
    for file in &merge.files {
        sound = sound && file.state(dir, u64::MAX)? == State::Sound;
    }
    Ok(sound)
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
            Ok(_) => is_whole(&self.dir.join(i.to_string())),
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
