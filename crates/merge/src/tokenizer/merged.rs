//! One tokenizer out of several.

use std::borrow::Cow;
use std::collections::HashSet;

use consilience_core::document::{Finding, List, quote};

use super::Member;
use super::file::{Added, MOST};
use super::json::Json;
use super::rows::Rows;
use super::settings::{Source, TokenizerSettings};
use super::vocabulary::Vocabulary;

/// Settings of a tokenizer that decide which tokens a text becomes.
const DECIDE: [&str; 3] = ["normalizer", "pre_tokenizer", "decoder"];
/// The same, of its model.
const MODEL_DECIDES: [&str; 4] =
    ["continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"];

/// A merged tokenizer: its vocabulary, and where the rows of the merged embedding come from.
pub struct MergedTokenizer<'a> {
    /// Where the rows come from.
    pub rows: Rows,
    donor: usize,
    pub(super) vocabulary: Cow<'a, Vocabulary>,
}

impl<'a> MergedTokenizer<'a> {
    /// Merges the tokenizers of members. `base` is the place of the base among them.
    ///
    /// Union: the base's tokens keep their numbers; then come those that only other members have, member by member, each in the
    /// order of its numbers. Merges of byte pairs come in the same order, as far as both parts and what they give are tokens of the
    /// result. Tokens for which a member has no row do not count as its own.
    ///
    /// Findings of everything that cannot be, and warnings; `None` if there is no vocabulary to go on with.
    pub fn plan(
        settings: &TokenizerSettings,
        members: &[Member<'a>],
        base: Option<usize>,
        findings: &mut List,
    ) -> Option<Self> {
        let donor = match settings.source {
            Source::Union | Source::Base => base.unwrap_or(0),
            Source::Member(member) => member,
        };
        let Some(first) = members.get(donor) else {
            findings.push(Finding::error("there is no model to take a tokenizer from", settings.span));
            return None;
        };
        for member in members {
            leftover(member, settings, findings);
        }
        let mut vocabulary = Cow::Borrowed(first.vocabulary);
        if settings.source == Source::Union {
            let others = members.iter().enumerate().filter(|(i, _)| *i != donor).map(|(_, m)| m);
            if !same_kind(first, others.clone(), settings, findings) {
                return None;
            }
            for other in others {
                extend(&mut vocabulary, first, other, settings, findings)?;
            }
            for said in &settings.tokens {
                if vocabulary.number(&said.token).is_none() {
                    add(&mut vocabulary, &said.token, settings, findings)?;
                    // Nothing makes it but looking for it.
                    let number = vocabulary.len().saturating_sub(1) as u32;
                    let flags = Added::plain(number, &said.token);
                    vocabulary.to_mut().added.insert(number, flags);
                }
            }
        }
        let rows = Rows::find(&vocabulary, settings, members, base, findings);
        let merged = Self { rows, donor, vocabulary };
        let left_out = merged.left_out();
        if !left_out.is_empty() {
            let what = format!("{} only hold the tokens of {}", left_out.join(", "), quote(first.name));
            findings.push(
                Finding::warning(what, settings.span)
                    .expected("all tokens in tokenizer.json; the result goes without these older files"),
            );
        }
        Some(merged)
    }

    /// The member whose files the result has: where special tokens move, `config.json` takes their numbers from it.
    pub fn donor(&self) -> usize {
        self.donor
    }

    /// The vocabulary of the result.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Whether it has tokens that its donor has not.
    pub fn is_extended(&self) -> bool {
        matches!(self.vocabulary, Cow::Owned(_))
    }
}

/// Says which rows of a member belong to no token, and which tokens have no row.
fn leftover(member: &Member<'_>, settings: &TokenizerSettings, findings: &mut List) {
    let (tokens, rows) = (member.vocabulary.len(), member.rows);
    let name = quote(member.name);
    if tokens < rows {
        findings.push(
            Finding::warning(format!("{} rows of {name} belong to no token", rows - tokens), settings.span)
                .expected("a token for every row; these rows are left out")
                .remedy("pad_to_multiple_of makes the result's rows as many as a device likes"),
        );
    }
    if tokens > rows {
        findings.push(
            Finding::warning(format!("{name} has tokens without a row"), settings.span)
                .expected(format!("numbers below {rows}"))
                .got(format!("numbers up to {}", tokens - 1)),
        );
    }
}

fn same_kind<'m, 'a: 'm>(
    first: &Member<'a>,
    others: impl Iterator<Item = &'m Member<'a>>,
    settings: &TokenizerSettings,
    findings: &mut List,
) -> bool {
    let mut same = true;
    for other in others {
        let (a, b) = (first.vocabulary, other.vocabulary);
        if a.kind != b.kind {
            same = false;
            findings.push(
                Finding::error("tokenizers of different kinds have no union", settings.span)
                    .expected(format!("{} as in {}", a.kind.name(), quote(first.name)))
                    .got(format!("{} in {}", b.kind.name(), quote(other.name)))
                    .remedy("take source: base or one of the models; rows go by the tokens that both have"),
            );
            continue;
        }
        let differ = |key: &&&str| a.frame.get(key) != b.frame.get(key);
        let model_differs = |key: &&&str| a.setting(key) != b.setting(key);
        let keys: Vec<&str> = (DECIDE.iter().filter(differ))
            .chain(MODEL_DECIDES.iter().filter(model_differs))
            .copied()
            .collect();
        if !keys.is_empty() {
            findings.push(
                Finding::warning(
                    format!("{} and {} cut texts in different ways", quote(first.name), quote(other.name)),
                    settings.span,
                )
                .got(format!("they differ in {}", keys.join(", ")))
                .remedy("the result cuts them as the first does; tokens that only the second has may never come up"),
            );
        }
    }
    same
}

/// Adds a token behind the last one.
fn add(
    vocabulary: &mut Cow<'_, Vocabulary>,
    token: &str,
    settings: &TokenizerSettings,
    findings: &mut List,
) -> Option<()> {
    let number = u32::try_from(vocabulary.len()).unwrap_or(u32::MAX);
    if let Err(error) = vocabulary.to_mut().insert(token, number) {
        findings.push(Finding::of(&error, settings.span).remedy(format!("the union may have {MOST} tokens")));
        return None;
    }
    Some(())
}

/// Adds what another member has.
fn extend(
    merged: &mut Cow<'_, Vocabulary>,
    first: &Member<'_>,
    other: &Member<'_>,
    settings: &TokenizerSettings,
    findings: &mut List,
) -> Option<()> {
    let theirs = other.vocabulary;
    let mut differing: Vec<&str> = Vec::new();
    for (id, token) in theirs.tokens.iter().enumerate().take(other.rows) {
        let Some(token) = token else { continue };
        let flags = theirs.added.get(&(id as u32));
        if let Some(number) = merged.number(token) {
            let known = merged.added.get(&number);
            let differ = match (known, flags) {
                (Some(a), Some(b)) => a.flags() != b.flags(),
                (None, Some(b)) => b.special,
                (_, None) => false,
            };
            if differ {
                differing.push(token);
            }
            continue;
        }
        let number = merged.len() as u32;
        add(merged, token, settings, findings)?;
        if let Some(flags) = flags {
            merged.to_mut().added.insert(number, Added { id: number, ..flags.clone() });
        }
        if let Some(score) = theirs.scores.get(&(id as u32)) {
            merged.to_mut().scores.insert(number, *score);
        }
    }
    if let Some(token) = differing.first() {
        let what = format!(
            "{} tokens are added in another way in {} than before it",
            differing.len(),
            quote(other.name)
        );
        findings.push(
            Finding::warning(what, settings.span)
                .expected(format!("the same flags as in {} or an earlier model", quote(first.name)))
                .got(format!("the first that differs is {}", quote(token)))
                .remedy("the result has them as the earlier model does"),
        );
    }
    if !theirs.merges.is_empty() {
        join(merged, theirs);
    }
    Some(())
}

/// Appends the merges of another vocabulary that are new and whose parts and result are tokens.
fn join(merged: &mut Cow<'_, Vocabulary>, theirs: &Vocabulary) {
    let prefix =
        merged.setting("continuing_subword_prefix").and_then(Json::text).unwrap_or_default().to_owned();
    let known: HashSet<[u32; 2]> = merged.merges.iter().copied().collect();
    let mut new = Vec::new();
    for [left, right] in &theirs.merges {
        let (Some(left), Some(right)) = (theirs.token(*left), theirs.token(*right)) else { continue };
        let whole = format!("{left}{}", right.strip_prefix(prefix.as_str()).unwrap_or(right));
        let numbers = (merged.number(left), merged.number(right), merged.number(&whole));
        if let (Some(left), Some(right), Some(_)) = numbers
            && !known.contains(&[left, right])
        {
            new.push([left, right]);
        }
    }
    if !new.is_empty() {
        merged.to_mut().merges.extend(new);
    }
}
