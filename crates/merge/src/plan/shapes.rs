//! Whether members hold a tensor in one shape, and what to do where they do not.

use consilience_core::document::{Finding, Span, quote};
use consilience_core::weights::Dtype;

use super::layout::Laid;
use super::{Act, Input, Job, Maker, OnMismatch};
use crate::config::{ModelName, Settings};
use crate::kernels::{decodes, promoted};
use crate::model::Model;

/// A member of a tensor: where its numbers are, where it is named, its parameters.
pub type Member<'a> = (Input, Span, &'a Settings);

impl<'a> Maker<'a> {
    /// Where the numbers of a tensor are in a model.
    pub fn input(&self, model: &ModelName, tensor: &str) -> Option<Input> {
        let index = self.list.index(model)?;
        let opened = self.list.get(model)?;
        let name = self.name_in(opened, tensor);
        let vocabulary =
            self.vocabulary.filter(|_| opened.embedding() == Some(name) || opened.head() == Some(name));
        let there = opened.tensor(name).and_then(|t| t.shape().first().copied()).unwrap_or(0);
        let rows = vocabulary.filter(|v| !v.is_whole(index, there)).cloned();
        Some(Input { model: index, tensor: name.to_owned(), rows })
    }

    fn model(&self, input: &Input) -> Option<&'a Model> {
        self.list.all.get(input.model)
    }

    /// The shape and type of an input, once its rows are in the order of the result.
    fn shape_of(&self, input: &Input) -> Option<(Vec<usize>, Dtype)> {
        let tensor = self.model(input)?.tensor(&input.tensor)?;
        let mut shape = tensor.shape().to_vec();
        if let (Some(rows), Some(first)) = (&input.rows, shape.first_mut()) {
            *first = rows.tokens;
        }
        Some((shape, tensor.dtype()))
    }

    /// Whether a tensor has as many rows as the model's embedding.
    fn has_row_for_each_token(&self, input: &Input) -> bool {
        let rows = |m: &Model, name: &str| m.tensor(name).and_then(|t| t.shape().first().copied());
        self.model(input).is_some_and(|m| {
            let tokens = m.embedding().or(m.head()).and_then(|e| rows(m, e));
            tokens.is_some() && rows(m, &input.tensor) == tokens
        })
    }

    /// The shape and type of a tensor of the result. Members that do not fit are told, left out or cut.
    pub fn agree(
        &mut self,
        laid: &Laid<'a>,
        members: &mut Vec<Member<'a>>,
        base: &mut Option<(Input, Span)>,
    ) -> Option<(Vec<usize>, Dtype)> {
        let all: Vec<(Input, Span)> =
            base.iter().cloned().chain(members.iter().map(|(i, s, _)| (i.clone(), *s))).collect();
        let known: Vec<Option<(Vec<usize>, Dtype)>> = all.iter().map(|(i, _)| self.shape_of(i)).collect();
        let name = |input: &Input| self.model(input).map_or_else(String::new, |m| m.name.to_string());
        let (first, (shape, dtype)) =
            all.iter().zip(&known).find_map(|((input, _), k)| Some((name(input), k.clone()?)))?;
        let mut unlike = Vec::new();
        for ((input, span), known) in all.iter().zip(&known) {
            let Some((_, other)) = known else { continue };
            let finding = if !other.is_real() {
                Finding::error("a tensor has a type that cannot be merged", *span)
                    .expected("floats of 16, 32 or 64 bits, or integers that are the same in all members")
                    .got(format!("{other} of {} in {}", quote(&input.tensor), name(input)))
                    .remedy("use the model as it was before it was quantized")
            } else if *other != dtype && !(decodes(*other) && decodes(dtype)) {
                Finding::error("members hold a tensor in types that cannot be merged", *span)
                    .expected(format!("{dtype} of {} as in {first}", quote(&laid.name)))
                    .got(format!("{other} in {}", name(input)))
            } else {
                continue;
            };
            unlike.push(finding);
        }
        if !unlike.is_empty() {
            unlike.into_iter().for_each(|finding| self.tell(finding));
            return None;
        }
        let floats = known.iter().flatten().map(|(_, other)| *other).filter(|other| decodes(*other));
        let dtype = floats.fold(dtype, promoted);
        if known.iter().flatten().all(|(s, _)| *s == shape) && known.iter().all(Option::is_some) {
            return Some((shape, dtype));
        }
        let mut wrong = Vec::new();
        for ((input, span), known) in all.iter().zip(&known) {
            match known {
                Some((other, _)) if *other == shape => {}
                Some((other, _)) => wrong.push((
                    Finding::error("members hold a tensor in different shapes", *span)
                        .expected(format!("{} {shape:?} as in {first}", quote(&laid.name)))
                        .got(format!("{other:?} in {}", name(input)))
                        .remedy("choose --on-mismatch skip or crop, or a tokenizer policy for embeddings"),
                    Some(other.clone()),
                )),
                None => wrong.push((
                    Finding::error("a member lacks a tensor", *span)
                        .expected(format!("{} as in {first}", quote(&input.tensor)))
                        .got(format!("none in {}", name(input)))
                        .remedy("choose --on-mismatch skip to merge it without this member"),
                    None,
                )),
            }
        }
        match self.options.on_mismatch {
            OnMismatch::Error => {}
            OnMismatch::Skip => {
                let fits = |i: &Input| self.shape_of(i).is_some_and(|(s, _)| s == shape);
                let before = members.len();
                let kept: Vec<Member<'a>> = members.iter().filter(|(i, ..)| fits(i)).cloned().collect();
                let base_fits = base.as_ref().is_none_or(|(i, _)| fits(i));
                if base_fits && !kept.is_empty() {
                    self.notes.push(format!(
                        "{} is merged without {} of {before} members, which hold it in another shape or not at all",
                        quote(&laid.name),
                        before - kept.len()
                    ));
                    *members = kept;
                    return Some((shape, dtype));
                }
            }
            OnMismatch::Crop => {
                let shapes: Vec<&Vec<usize>> = known.iter().flatten().map(|(s, _)| s).collect();
                // A matrix of another kind would not fit the rest of the model any more.
                let is_vocabulary = |(i, _): &(Input, Span)| self.has_row_for_each_token(i);
                let alike = all.iter().all(is_vocabulary)
                    && shapes.iter().all(|s| s.len() == shape.len() && s.get(1..) == shape.get(1..));
                let fewest = shapes.iter().filter_map(|s| s.first().copied()).min();
                if alike
                    && shapes.len() == all.len()
                    && let Some(fewest) = fewest
                {
                    let most = shapes.iter().filter_map(|s| s.first().copied()).max().unwrap_or(fewest);
                    self.notes.push(format!(
                        "{} is cut to {fewest} rows; the largest member has {most}",
                        quote(&laid.name)
                    ));
                    // Rows are cut at the end, so that what is read from the start is the result.
                    let mut shape = shape;
                    if let Some(rows) = shape.first_mut() {
                        *rows = fewest;
                    }
                    return Some((shape, dtype));
                }
            }
        }
        wrong.into_iter().for_each(|(finding, _)| self.tell(finding));
        None
    }

    /// Tensors of members that no tensor of the result is made of.
    pub fn check_left_over(&mut self, laid: &[Laid<'a>]) {
        if self
            .config
            .modules
            .iter()
            .any(|m| m.slices.iter().any(|s| s.sources.iter().any(|s| s.layers.is_some())))
        {
            return;
        }
        let used: std::collections::BTreeSet<&str> = laid.iter().map(|l| l.name.as_str()).collect();
        for (model, span) in self.config.models() {
            let Some(opened) = self.list.get(model) else { continue };
            let left: Vec<&str> = opened
                .checkpoint
                .tensors()
                .iter()
                .map(|t| t.name())
                .filter(|n| !used.contains(n) && opened.head() != Some(*n))
                .collect();
            let Some(one) = left.first() else { continue };
            match self.options.on_mismatch {
                OnMismatch::Error => self.findings.push(
                    Finding::error("a model has tensors that the result would lack", span)
                        .expected(format!("the tensors of {}", self.donor.name))
                        .got(format!("{} more, {} among them", left.len(), quote(one)))
                        .remedy("choose --on-mismatch skip to leave them out"),
                ),
                _ => self.notes.push(format!(
                    "{} tensors of {model} are not in the result, {} among them",
                    left.len(),
                    quote(one)
                )),
            }
        }
    }

    /// A method that drops small changes, told to drop none: by its default, most likely not on purpose.
    pub fn check_density(&mut self, jobs: &[Job]) {
        let drops = |job: &Job| match &job.act {
            Act::Merge { parameters, .. } => match parameters.get("density").and_then(|d| d.as_array()) {
                Some(all) => all.iter().any(|d| d.as_f64() != Some(1.0)),
                None => false,
            },
            Act::Same(_) => false,
        };
        let merged = jobs.iter().any(|j| matches!(j.act, Act::Merge { .. }));
        if self.known.drops() && merged && jobs.iter().all(|j| !drops(j)) {
            let finding = Finding::warning("nothing is dropped: every density is 1", self.config.method_span);
            self.findings.push(
                finding
                    .at("merge_method")
                    .expected("a density below 1")
                    .remedy("give density under parameters, for example 0.5"),
            );
        }
    }

    /// Filters that are in no tensor's name.
    pub fn check_filters(&mut self, laid: &[Laid<'a>]) {
        let slices = || self.config.modules.iter().flat_map(|m| &m.slices);
        let all = std::iter::once(&self.config.parameters)
            .chain(self.config.modules.iter().map(|m| &m.parameters))
            .chain(slices().map(|s| &s.parameters))
            .chain(slices().flat_map(|s| s.sources.iter().map(|s| &s.parameters)));
        let mut found = Vec::new();
        for setting in all.flat_map(|s| s.values()) {
            for filter in setting.filters() {
                if !laid.is_empty() && laid.iter().all(|l| !l.name.contains(filter)) {
                    found.push(
                        Finding::warning(
                            format!("the filter {} is in no tensor's name", quote(filter)),
                            setting.span,
                        )
                        .expected("a piece of a name such as those that csl merge --check shows"),
                    );
                }
            }
        }
        self.findings.extend(found);
    }
}
