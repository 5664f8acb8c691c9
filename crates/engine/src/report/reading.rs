//! The outcome as the report reads it: the choosing metric, how it is written, which candidates are marked.

use super::number::{self, drawable};
use super::svg;
use super::text;
use crate::outcome::{Candidate, Interval, Outcome, Role, Score};

/// The candidates that tables list; the rest is counted.
pub(super) const LISTED: usize = 500;

/// What a difference to the best single member says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Its interval lies on the good side of zero.
    Better,
    /// Its interval lies on the bad side of zero.
    Worse,
    /// Its interval holds zero.
    Unclear,
}

impl Side {
    /// The side of a difference (candidate less best single member, in units of the metric).
    pub(super) fn of(difference: &Interval, greater_is_better: bool) -> Self {
        let (good, bad) = if greater_is_better {
            (difference.low > 0.0, difference.high < 0.0)
        } else {
            (difference.high < 0.0, difference.low > 0.0)
        };
        match (good, bad) {
            (true, false) => Self::Better,
            (false, true) => Self::Worse,
            _ => Self::Unclear,
        }
    }

    /// In a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Unclear => "not clear",
        }
    }

    /// As a class of the page's style.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Unclear => "unclear",
        }
    }

    /// As a sign beside a number; nothing where it is not clear.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Better => "▲",
            Self::Worse => "▼",
            Self::Unclear => "",
        }
    }
}

/// What the page calls a role.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Fuse => "fuse",
        Role::Fusion => "fusion",
        Role::Merge => "merge",
        Role::Distill => "distill",
        Role::Adapt => "adapt",
    }
}

/// What a role is, in a clause.
pub(super) fn role_about(role: Role) -> &'static str {
    match role {
        Role::Member => "one model",
        Role::Fuse => "predictions composed",
        Role::Fusion => "a network over several modalities",
        Role::Merge => "weights averaged",
        Role::Distill => "one student of a composition",
        Role::Adapt => "a member carried to another domain",
    }
}

/// A role's marker within a line of text.
pub(super) fn sign(role: Role) -> String {
    let mut svg = svg::Svg::sign();
    svg.marker(role, (6.0, 6.0), 4.2);
    svg.finish()
}

/// The outcome with what every section asks of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    /// What the run found.
    pub(super) outcome: &'a Outcome,
    /// The metric that chose.
    pub(super) metric: &'a str,
    /// Whether more of it is better.
    pub(super) greater: bool,
}

impl<'a> Reading<'a> {
    /// Reads.
    pub(super) fn of(outcome: &'a Outcome) -> Self {
        let metric = outcome.verdict.metric.as_str();
        let greater = outcome
            .candidates
            .iter()
            .flat_map(|c| &c.scores)
            .find(|s| s.metric == metric)
            .is_some_and(|s| s.greater_is_better);
        Self { outcome, metric, greater }
    }

    /// A candidate's score by a metric.
    pub(super) fn score(&self, candidate: &'a Candidate, metric: &str) -> Option<&'a Score> {
        candidate.scores.iter().find(|s| s.metric == metric)
    }

    /// A candidate's score by the choosing metric.
    pub(super) fn chosen(&self, candidate: &'a Candidate) -> Option<&'a Score> {
        self.score(candidate, self.metric)
    }

    /// The best single member.
    pub(super) fn best_single(&self) -> Option<&'a Candidate> {
        self.named(&self.outcome.verdict.best_single)
    }

    /// A candidate by name.
    pub(super) fn named(&self, name: &str) -> Option<&'a Candidate> {
        self.outcome.candidates.iter().find(|c| c.name == name)
    }

    /// Whether a candidate was exported.
    pub(super) fn exported(&self, candidate: &Candidate) -> bool {
        candidate.name == self.outcome.verdict.exported
    }

    /// The choosing metric in words.
    pub(super) fn metric_words(&self) -> String {
        text::words(self.metric)
    }

    /// Which way is better, in words.
    pub(super) fn direction(&self) -> &'static str {
        direction(self.greater)
    }

    /// The level of the intervals: "95%".
    pub(super) fn level(&self) -> String {
        number::percent(self.outcome.level)
    }

    /// The other metrics, in the order in which the candidates give them.
    pub(super) fn others(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for score in self.outcome.candidates.iter().flat_map(|c| &c.scores) {
            if score.metric != self.metric && !names.contains(&score.metric.as_str()) {
                names.push(&score.metric);
            }
        }
        names
    }

    /// The decimals in which a metric is written: by the width of its intervals, else four significant digits.
    pub(super) fn decimals(&self, metric: &str) -> usize {
        let scores = || self.outcome.candidates.iter().filter_map(|c| self.score(c, metric));
        let digits = number::decimals(scores().map(|s| s.value));
        number::decimals_of(scores().filter_map(|s| s.interval.as_ref()))
            .map_or(digits, |d| d.min(digits + 1))
    }

    /// The range of the choosing metric that shows most candidates well: those more than eight times farther from
    /// the best than the middle one are left to the edge.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let scores: Vec<&Score> = self
            .outcome
            .candidates
            .iter()
            .take(LISTED)
            .filter_map(|c| self.chosen(c))
            .filter(|s| drawable(s.value))
            .collect();
        let values: Vec<f64> = scores.iter().map(|s| s.value).collect();
        let limit = far(&values, self.greater);
        let best = best(&values, self.greater)?;
        let reference = self.best_single().and_then(|c| self.chosen(c)).map(|s| s.value);
        let seen = scores.iter().filter(|s| (s.value - best).abs() <= limit).flat_map(|s| {
            let ends = s.simultaneous.or(s.interval);
            [Some(s.value), ends.map(|i| i.low), ends.map(|i| i.high)]
        });
        svg::range(seen.chain([reference]).flatten())
    }
}

/// Which way is better, in words.
pub(super) fn direction(greater: bool) -> &'static str {
    if greater { "higher is better" } else { "lower is better" }
}

/// The best of values.
fn best(values: &[f64], greater: bool) -> Option<f64> {
    let by = |a: &&f64, b: &&f64| if greater { a.total_cmp(b) } else { b.total_cmp(a) };
    values.iter().max_by(by).copied()
}

/// The distance from the best beyond which a value would flatten the picture of the others.
fn far(values: &[f64], greater: bool) -> f64 {
    let Some(best) = best(values, greater) else { return f64::INFINITY };
    let mut distances: Vec<f64> = values.iter().map(|v| (v - best).abs()).collect();
    distances.sort_by(f64::total_cmp);
    match distances.get(distances.len() / 2) {
        Some(middle) if distances.len() >= 4 && *middle > 0.0 => middle * 8.0,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_does_not_flatten_the_rest() {
        let values = [0.20, 0.22, 0.24, 0.26, 0.30, 2.3];
        let limit = far(&values, false);
        assert!(limit > 0.1 && limit < 2.0);
        assert!(far(&[0.2, 0.3, 0.4, 0.5, 0.6], false) > 0.4);
        assert!(far(&[0.1, 2.3], false).is_infinite());
        assert!(far(&[], true).is_infinite());
    }

    #[test]
    fn sides_follow_the_direction() {
        let up = Interval { value: 0.02, low: 0.01, high: 0.03 };
        assert_eq!(Side::of(&up, true), Side::Better);
        assert_eq!(Side::of(&up, false), Side::Worse);
        let both = Interval { value: 0.02, low: -0.01, high: 0.03 };
        assert_eq!(Side::of(&both, true), Side::Unclear);
        let nothing = Interval { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        assert_eq!(Side::of(&nothing, true), Side::Unclear);
    }
}
