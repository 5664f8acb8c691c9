//! Where each row of a merged embedding comes from.

use std::collections::HashMap;

use consilience_core::document::{Finding, List, quote};
use consilience_core::files::Hasher;

use super::Member;
use super::settings::{Origin, Override, TokenizerSettings};
use super::vocabulary::Vocabulary;

/// Where a member's row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// It is this row of the member itself.
    Own(u32),
    /// It is a row of another member.
    Other {
        /// Which member.
        member: u32,
        /// Which of its rows.
        row: u32,
    },
    /// It is the mean of rows of several members, see [`Rows::mean`].
    Mean {
        /// The first of them.
        from: u32,
        /// How many.
        count: u32,
    },
    /// It is zero.
    Zero,
    /// No token has it: it is the mean of all rows that tokens have, so that it is never the likeliest.
    Padding,
}

/// Where the rows of a merged embedding come from, in each member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// How many rows the result has.
    pub tokens: usize,
    /// For each member, as many.
    pub of: Vec<Vec<Row>>,
    means: Vec<(u32, u32)>,
}

impl Rows {
    /// The rows that a [`Row::Mean`] is the mean of, as members and rows; none for other kinds.
    pub fn mean(&self, row: Row) -> &[(u32, u32)] {
        match row {
            Row::Mean { from, count } => {
                self.means.get(from as usize..(from + count) as usize).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// Its bytes in memory.
    pub fn bytes(&self) -> u64 {
        let rows: usize = self.of.iter().map(Vec::capacity).sum();
        (rows * size_of::<Row>() + self.means.capacity() * size_of::<(u32, u32)>()) as u64
    }

    /// Adds all of it to a hash.
    pub(crate) fn hashed(&self, mut hash: Hasher) -> Hasher {
        let mut bytes = Vec::new();
        for all in &self.of {
            bytes.clear();
            for row in all {
                let (kind, a, b) = match *row {
                    Row::Own(row) => (0u8, row, 0),
                    Row::Other { member, row } => (1, member, row),
                    Row::Mean { from, count } => (2, from, count),
                    Row::Zero => (3, 0, 0),
                    Row::Padding => (4, 0, 0),
                };
                bytes.push(kind);
                bytes.extend(a.to_le_bytes());
                bytes.extend(b.to_le_bytes());
            }
            hash = hash.part(&bytes);
        }
        bytes.clear();
        for (member, row) in &self.means {
            bytes.extend(member.to_le_bytes());
            bytes.extend(row.to_le_bytes());
        }
        hash.part(&bytes)
    }

    /// Whether a member's rows are taken as they are, all `rows` of them in their order.
    pub fn is_whole(&self, member: usize, rows: usize) -> bool {
        let own = |(i, row): (usize, &Row)| matches!(row, Row::Own(r) if *r as usize == i);
        self.tokens == rows && self.of.get(member).is_some_and(|all| all.iter().enumerate().all(own))
    }

    /// Finds the rows for a merged vocabulary.
    pub(super) fn find(
        merged: &Vocabulary,
        settings: &TokenizerSettings,
        members: &[Member<'_>],
        base: Option<usize>,
        findings: &mut List,
    ) -> Self {
        let multiple = settings.pad_to_multiple_of.unwrap_or(1).max(1);
        let tokens = merged.len().div_ceil(multiple) * multiple;
        let overrides = checked(merged, &settings.tokens, members, findings);
        let mut rows =
            Self { tokens, of: vec![Vec::with_capacity(tokens); members.len()], means: Vec::new() };
        let mut lost: Vec<&str> = Vec::new();
        for token in merged.tokens.iter() {
            let own: Vec<Option<u32>> = match token {
                Some(token) => members.iter().map(|m| m.row(token)).collect(),
                None => Vec::new(),
            };
            let said = token.and_then(|t| overrides.get(t));
            let lacking = match (token, said) {
                (None, _) => Row::Padding,
                (Some(_), Some((_, row))) => *row,
                (Some(token), None) => rows.default(&own, base).unwrap_or_else(|| {
                    lost.push(token);
                    Row::Zero
                }),
            };
            let force = said.is_some_and(|(force, _)| *force);
            for (i, all) in rows.of.iter_mut().enumerate() {
                all.push(match (own.get(i).copied().flatten(), lacking) {
                    (Some(row), _) if !force => Row::Own(row),
                    (_, Row::Other { member, row }) if member as usize == i => Row::Own(row),
                    (_, lacking) => lacking,
                });
            }
        }
        for all in &mut rows.of {
            all.resize(tokens, Row::Padding);
        }
        if let Some(first) = lost.first() {
            findings.push(
                Finding::warning(format!("{} tokens have no row in any model", lost.len()), settings.span)
                    .got(format!("the first is {}", quote(first)))
                    .expected("a row for every token; these rows become zero"),
            );
        }
        rows
    }

    /// The row of members that lack a token: the base's, else that of the one model that has it, else the mean of those that do.
    fn default(&mut self, own: &[Option<u32>], base: Option<usize>) -> Option<Row> {
        let whole = |member: usize, row: u32| Row::Other { member: member as u32, row };
        if let Some(base) = base
            && let Some(row) = own.get(base).copied().flatten()
        {
            return Some(whole(base, row));
        }
        let having: Vec<(usize, u32)> =
            own.iter().enumerate().filter_map(|(i, row)| row.map(|row| (i, row))).collect();
        match having.as_slice() {
            [] => None,
            [(member, row)] => Some(whole(*member, *row)),
            // Where nobody lacks it, nobody asks.
            all if all.len() == own.len() => Some(Row::Zero),
            all => {
                let from = self.means.len() as u32;
                self.means.extend(all.iter().map(|(member, row)| (*member as u32, *row)));
                Some(Row::Mean { from, count: all.len() as u32 })
            }
        }
    }
}

/// What is said of tokens, by token; what cannot be becomes a finding.
fn checked<'a>(
    merged: &Vocabulary,
    overrides: &'a [Override],
    members: &[Member<'_>],
    findings: &mut List,
) -> HashMap<&'a str, (bool, Row)> {
    let mut all = HashMap::new();
    for said in overrides {
        let name = |member: usize| members.get(member).map(|m| m.name).unwrap_or_default();
        let wrong =
            |what: String| Finding::error(what, said.span).at(format!("tokenizer.tokens.{}", said.token));
        if merged.number(&said.token).is_none() {
            findings.push(
                wrong(format!("the vocabulary has no token {}", quote(&said.token)))
                    .remedy("take source: union, which adds it"),
            );
            continue;
        }
        let row = match &said.origin {
            Origin::Zero => Some(Row::Zero),
            Origin::Row(member, row) => {
                let rows = members.get(*member).map_or(0, |m| m.rows);
                if *row >= rows {
                    findings.push(
                        wrong(format!("{} has no such row", quote(name(*member))))
                            .expected(format!("a token_id below {rows}"))
                            .got(row.to_string()),
                    );
                }
                (*row < rows).then_some(Row::Other { member: *member as u32, row: *row as u32 })
            }
            Origin::Token(member, token) => {
                let row = members.get(*member).and_then(|m| m.row(token));
                if row.is_none() {
                    findings.push(
                        wrong(format!("{} has no row for the token {}", quote(name(*member)), quote(token)))
                            .expected("a token of this model")
                            .near(members.get(*member).and_then(|m| m.vocabulary.nearest(token))),
                    );
                }
                row.map(|row| Row::Other { member: *member as u32, row })
            }
        };
        if !said.force && members.iter().all(|m| m.row(&said.token).is_some()) {
            findings.push(
                Finding::warning(format!("no model lacks the token {}", quote(&said.token)), said.span)
                    .at(format!("tokenizer.tokens.{}", said.token))
                    .remedy(
                        "write force: true to take this row for all models; as it stands it has no effect",
                    ),
            );
        }
        if let Some(row) = row {
            all.insert(said.token.as_str(), (said.force, row));
        }
    }
    all
}
