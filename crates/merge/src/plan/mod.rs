//! What a merge will do, from headers alone: every tensor of the result, what goes into it, and what it takes.

mod config_json;
mod estimate;
mod layout;
mod parameters;
mod shapes;

use std::collections::BTreeSet;
use std::sync::Arc;

use consilience_core::document::{Finding, List, Span};
use consilience_core::weights::Dtype;
use serde_json::Value;

use crate::config::{Config, Settings};
use crate::kernels::encodes;
use crate::method::{BaseNeed, MergeMethod};
use crate::model::Model;
use crate::tokenizer::Rows;
use layout::{Laid, Models, base_of, lay};
use parameters::{Known, Levels, build};

pub(crate) use estimate::FIXED;
pub use estimate::{Estimate, estimate, free_space, megabytes};
pub use parameters::resolved;

/// The most files of a result: as many as a checkpoint may have.
const MAX_SHARDS: usize = 500;

/// What to do where members do not hold a tensor in one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMismatch {
    /// An error.
    #[default]
    Error,
    /// Members that hold it in another shape than the base (or the first member), or not at all, are left out of it.
    Skip,
    /// Rows beyond those that all members have are cut off. Only the number of rows may differ.
    Crop,
}

/// What the user chooses beside the merge file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What to do about different shapes.
    pub on_mismatch: OnMismatch,
    /// Do as mergekit does where it differs on purpose.
    pub compat: bool,
    /// What random methods draw from.
    pub seed: u64,
    /// The most bytes of one file of the result; `None` for 5 GB.
    pub shard_bytes: Option<u64>,
}

/// Where numbers of one tensor come from.
#[derive(Debug, Clone)]
pub struct Input {
    /// The model's place in the list.
    pub model: usize,
    /// The tensor's name in it.
    pub tensor: String,
    /// Its rows where a merged tokenizer has them; the tokenizer's members are the models of the plan.
    pub rows: Option<Arc<Rows>>,
}

/// What is done for one tensor of the result.
pub enum Act {
    /// The method is run.
    Merge {
        /// With its parameters.
        method: Box<dyn MergeMethod>,
        /// Its parameters, for the record.
        parameters: Value,
        /// The members.
        members: Vec<Input>,
        /// The base.
        base: Option<Input>,
    },
    /// The bytes are copied: of one model that is taken as it is, or of numbers that are no floats and the same in all of these.
    Same(Vec<Input>),
}

/// A tensor of the result.
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its type in the result.
    pub dtype: Dtype,
    /// What is done.
    pub act: Act,
}

impl Job {
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes in the result.
    pub fn bytes(&self) -> u64 {
        self.len() as u64 * self.dtype.bytes() as u64
    }
}

/// A merge that can be run.
pub struct Plan {
    /// The tensors of the result, in their order in its files.
    pub jobs: Vec<Job>,
    /// How many jobs each file of the result holds.
    pub shards: Vec<usize>,
    /// What members are rounded to when they are read.
    pub cast: Option<Dtype>,
    /// The method's name and version.
    pub method: (String, u32),
    /// The model whose configuration and tokenizer the result takes.
    pub donor: usize,
    /// The result's `config.json`, if the donor has one.
    pub config: Option<Value>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Lays out a merge. `models` are opened in the order of [`Config::models`].
///
/// # Errors
/// Everything that is wrong with it, warnings too. With a plan come the warnings only.
pub fn make(
    config: &Config,
    models: &[Model],
    vocabulary: Option<&Arc<Rows>>,
    options: &Options,
) -> Result<(Plan, Vec<Finding>), Vec<Finding>> {
    let mut findings = List::default();
    let list = Models::new(models);
    let Some(mut known) = Known::of(&config.method) else { return Err(Vec::new()) };
    known.check(config, &mut findings);
    let Some(donor) = donor(config, &list) else { return Err(findings.into_vec()) };
    let Some(donor_model) = models.get(donor) else { return Err(findings.into_vec()) };
    let (laid, origins) = lay(config, &list, donor_model, &mut findings);
    let mut maker = Maker {
        config,
        list,
        known,
        options,
        vocabulary,
        donor: donor_model,
        nothing: &Settings::new(),
        findings,
        notes: Vec::new(),
        seen: BTreeSet::new(),
        heads: models.iter().filter_map(Model::head).collect(),
    };
    let tied = maker.tie();
    let mut jobs = Vec::new();
    for laid in &laid {
        if tied == Tie::Together && donor_model.head() == Some(&laid.name) {
            continue;
        }
        jobs.extend(maker.job(laid));
        if tied == Tie::Apart
            && donor_model.head().is_none()
            && donor_model.embedding() == Some(laid.name.as_str())
        {
            jobs.extend(maker.head_of(laid));
        }
    }
    if config.modules.len() <= 1 && !laid.is_empty() {
        maker.check_left_over(&laid);
    }
    maker.check_filters(&laid);
    maker.check_density(&jobs);
    let Maker { mut findings, mut notes, known, .. } = maker;
    if jobs.is_empty() && !findings.has_errors() {
        findings.push(Finding::error("there is no tensor to merge", config.method_span));
    }
    let shards = shard(&jobs, options.shard_bytes.unwrap_or(5_000_000_000));
    if shards.len() > MAX_SHARDS {
        findings.push(
            Finding::error("the result would have too many files", config.method_span)
                .expected(format!("at most {MAX_SHARDS}, as many as can be read again"))
                .got(shards.len().to_string())
                .remedy("choose a larger --shard-size"),
        );
    }
    if findings.has_errors() {
        return Err(findings.into_vec());
    }
    let mut rest = jobs.as_mut_slice();
    for count in &shards {
        let (own, others) = rest.split_at_mut(*count.min(&rest.len()));
        // The widest numbers first: then all begin where a number of their width may begin.
        own.sort_by_key(|j| std::cmp::Reverse(j.dtype.bytes()));
        rest = others;
    }
    let untied = tied == Tie::Apart && apart(&jobs, models);
    let json = config_json::of(donor_model, &jobs, &origins, untied, &mut notes);
    let plan = Plan {
        jobs,
        shards,
        cast: config.dtype,
        method: (config.method.clone(), known.version()),
        donor,
        config: json,
        notes,
    };
    Ok((plan, findings.into_vec()))
}

/// Finds parameters and values that the method does not take; the models need not be there.
pub fn check_parameters(config: &Config, findings: &mut List) {
    if let Some(mut known) = Known::of(&config.method) {
        known.check(config, findings);
    }
}

/// The model whose names, configuration and tokenizer the result takes: the base, else the first that is named.
fn donor(config: &Config, list: &Models<'_>) -> Option<usize> {
    let first = config.modules.first()?.slices.first()?;
    let base = base_of(config, first).map(|(name, _)| name);
    list.index(base.or(first.sources.first().map(|s| &s.model))?)
}

/// As [`Plan::donor`], before there is a plan.
pub(crate) fn donor_of<'a>(config: &Config, models: &'a [Model]) -> Option<&'a Model> {
    models.get(donor(config, &Models::new(models))?)
}

/// Whether a result has both embeddings.
fn apart(jobs: &[Job], models: &[Model]) -> bool {
    let has = |of: fn(&Model) -> Option<&str>| {
        let names: BTreeSet<&str> = models.iter().filter_map(of).collect();
        jobs.iter().any(|j| names.contains(j.name.as_str()))
    };
    has(Model::embedding) && has(Model::head)
}

/// How many jobs go into each file.
fn shard(jobs: &[Job], most: u64) -> Vec<usize> {
    let mut shards = Vec::new();
    let (mut count, mut bytes) = (0, 0u64);
    for job in jobs {
        if count > 0 && bytes + job.bytes() > most {
            shards.push(count);
            (count, bytes) = (0, 0);
        }
        count += 1;
        bytes += job.bytes();
    }
    shards.push(count);
    shards
}

/// Whether input and output embedding are one tensor in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    Together,
    Apart,
}

struct Maker<'a> {
    config: &'a Config,
    list: Models<'a>,
    known: Known,
    options: &'a Options,
    vocabulary: Option<&'a Arc<Rows>>,
    donor: &'a Model,
    nothing: &'a Settings,
    findings: List,
    notes: Vec<String>,
    /// Mistakes that were told already: of a thousand tensors one is named.
    seen: BTreeSet<String>,
    /// What the models call their output embedding.
    heads: BTreeSet<&'a str>,
}

impl<'a> Maker<'a> {
    /// Tells a mistake once for each place, with the first tensor that has it.
    fn tell(&mut self, finding: Finding) {
        let key = format!("{}:{}:{}", finding.span.start, finding.message, finding.got);
        self.tell_once(key, finding);
    }

    fn tell_once(&mut self, key: String, finding: Finding) {
        if self.seen.insert(key) {
            self.findings.push(finding);
        }
    }

    fn tie(&mut self) -> Tie {
        let all = self.list.all;
        let tied = all.iter().filter(|m| m.is_tied()).count();
        if tied == all.len() && self.donor.embedding().is_some() {
            if self.donor.head().is_some() {
                self.notes
                    .push("input and output embedding are one tensor, which is written once".to_owned());
            }
            return Tie::Together;
        }
        if tied > 0 {
            self.notes.push(format!(
                "{tied} of {} models have input and output embedding as one tensor; in the result they are two",
                all.len()
            ));
        }
        Tie::Apart
    }

    /// The name of a tensor in a model: of the head where it is tied, the embedding.
    fn name_in<'n>(&self, model: &'n Model, name: &'n str) -> &'n str {
        if self.heads.contains(name)
            && model.is_tied()
            && let Some(embedding) = model.embedding()
        {
            return embedding;
        }
        name
    }

    /// The output embedding of a result whose donor has none of its own.
    fn head_of(&mut self, embedding: &Laid<'a>) -> Option<Job> {
        let name = self.list.all.iter().find_map(Model::head)?.to_owned();
        let slice = embedding.module.slices.last()?;
        let head = Laid {
            name: name.clone(),
            slice,
            sources: (0..slice.sources.len()).map(|i| (i, name.clone())).collect(),
            base: base_of(self.config, slice).map(|_| name.clone()),
            ..embedding.clone()
        };
        self.job(&head)
    }

    fn job(&mut self, laid: &Laid<'a>) -> Option<Job> {
        let mut members: Vec<(Input, Span, &'a Settings)> = Vec::new();
        let mut base: Option<(Input, Span)> = None;
        let base_name = base_of(self.config, laid.slice);
        let separate = self.known.base() != BaseNeed::Unknown;
        for (i, tensor) in &laid.sources {
            let source = laid.slice.sources.get(*i)?;
            let input = self.input(&source.model, tensor)?;
            if separate && base_name.is_some_and(|(b, _)| *b == source.model) {
                base = Some((input, source.span));
            } else {
                members.push((input, source.span, &source.parameters));
            }
        }
        if let (Some((name, span)), Some(tensor)) = (base_name, &laid.base)
            && base.is_none()
        {
            let input = self.input(name, tensor)?;
            let listed = laid.slice.sources.iter().any(|s| s.model == *name);
            let whole = laid.slice.sources.iter().all(|s| s.layers.is_none());
            match (separate, listed) {
                (true, _) => base = Some((input, *span)),
                // A base is a member like the others to a method that knows none; of layers there are those that are named.
                (false, false) if whole => members.push((input, *span, self.nothing)),
                (false, _) => {}
            }
        }
        let (shape, dtype) = self.agree(laid, &mut members, &mut base)?;
        if !crate::kernels::decodes(dtype) {
            let inputs = base.into_iter().map(|(i, _)| i).chain(members.into_iter().map(|(i, ..)| i));
            return Some(Job { name: laid.name.clone(), shape, dtype, act: Act::Same(inputs.collect()) });
        }
        let levels = Levels {
            members: members.iter().map(|(_, span, s)| (*s, *span)).collect(),
            shared: [&laid.slice.parameters, &laid.module.parameters, &self.config.parameters],
            method: self.config.method_span,
        };
        let made = build(&self.known, &levels, &laid.name, laid.t, self.options.compat);
        let (method, parameters) = match made {
            Ok(made) => made,
            Err(all) => {
                for finding in all {
                    let key = format!("{}:{}", finding.span.start, finding.message);
                    self.tell_once(key, finding);
                }
                return None;
            }
        };
        if let Err(error) = method.check(members.len(), base.is_some()) {
            let span = if base.is_none() { self.config.method_span } else { laid.slice.span };
            self.tell(Finding::of(&error, span));
            return None;
        }
        let from = dtype;
        let dtype = self.config.out_dtype.or(self.config.dtype).unwrap_or(dtype);
        let cast = self.config.dtype.is_some_and(|c| c != from);
        if let ([(input, ..)], None) = (members.as_slice(), &base)
            && method.copies()
            && (dtype == from && !cast)
            && input.rows.is_none()
            && self.list.all.get(input.model).is_some_and(|m| m.is_plain(&input.tensor))
        {
            let act = Act::Same(vec![input.clone()]);
            return Some(Job { name: laid.name.clone(), shape, dtype, act });
        }
        if !encodes(dtype) {
            self.tell(Finding::error(
                format!("numbers of type {dtype} cannot be written"),
                self.config.method_span,
            ));
            return None;
        }
        Some(Job {
            name: laid.name.clone(),
            shape,
            dtype,
            act: Act::Merge {
                method,
                parameters,
                members: members.into_iter().map(|(i, ..)| i).collect(),
                base: base.map(|(i, _)| i),
            },
        })
    }
}
