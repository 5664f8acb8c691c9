//! Findings: what is wrong with a recipe, where, what would have been right.

use std::fmt;

use crate::error::Error;
use crate::registry::nearest;
use serde::Serialize;

use super::node::Span;
use super::render;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The recipe cannot be run.
    Error,
    /// It can, but it may not say what was meant.
    Warning,
}

/// One thing that is wrong. Empty parts are not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in a clause.
    pub message: String,
    /// Where: bytes, line and column.
    #[serde(flatten)]
    pub span: Span,
    /// The keys that lead there: `members.looks.epochs`, `data.sources[0].npz`.
    pub path: String,
    /// What would have been right.
    pub expected: String,
    /// What was found instead.
    pub got: String,
    /// The known name nearest to what was written.
    pub nearest: Option<String>,
    /// What to do about it.
    pub remedy: String,
    /// Whether a file that the text names is at fault, and not the text.
    #[serde(skip)]
    pub of_file: bool,
}

impl Finding {
    /// An error at a place.
    pub fn error(message: impl Into<String>, span: Span) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span,
            path: String::new(),
            expected: String::new(),
            got: String::new(),
            nearest: None,
            remedy: String::new(),
            of_file: false,
        }
    }

    /// A warning at a place.
    pub fn warning(message: impl Into<String>, span: Span) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message, span) }
    }

    /// What an error of a method says, at a place.
    pub fn of(error: &Error, span: Span) -> Self {
        match error.trouble() {
            Some(t) => {
                let message =
                    if t.place.is_empty() { t.what.clone() } else { format!("{}: {}", t.place, t.what) };
                Self::error(message, span).expected(&t.expected).got(&t.got).remedy(&t.remedy)
            }
            None => Self::error(error.to_string(), span),
        }
    }

    /// Says which keys lead there.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Says what would have been right.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    /// Says what was found.
    #[must_use]
    pub fn got(mut self, got: impl Into<String>) -> Self {
        self.got = got.into();
        self
    }

    /// Names the nearest known name.
    #[must_use]
    pub fn near(mut self, nearest: Option<&str>) -> Self {
        self.nearest = nearest.map(str::to_owned);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Says that a file is at fault which the text names.
    #[must_use]
    pub fn of_file(mut self) -> Self {
        self.of_file = true;
        self
    }

    /// Whether it stands at `path` or below it.
    pub fn is_under(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

/// The most findings of each severity that are kept of one recipe.
pub const MAX_KEPT: usize = 500;

/// Findings while a recipe is checked. Beyond [`MAX_KEPT`] of a severity, further ones are dropped: whoever has that
/// many will read again after mending some.
#[derive(Debug, Default)]
pub struct List {
    kept: Vec<Finding>,
    errors: usize,
}

impl List {
    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        let error = finding.severity == Severity::Error;
        let kept = if error { self.errors } else { self.kept.len() - self.errors };
        if kept < MAX_KEPT {
            self.errors += usize::from(error);
            self.kept.push(finding);
        }
    }

    /// Adds findings.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|f| self.push(f));
    }

    /// Whether there is no room for another error.
    pub fn is_full(&self) -> bool {
        self.errors >= MAX_KEPT
    }

    /// Whether there is an error.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether there is an error at a path or below it.
    pub fn has_errors_under(&self, path: &str) -> bool {
        self.errors_under(path).next().is_some()
    }

    /// The errors at a path or below it.
    pub fn errors_under(&self, path: &str) -> impl Iterator<Item = &Finding> {
        self.kept.iter().filter(move |f| f.severity == Severity::Error && f.is_under(path))
    }

    /// All that was kept.
    pub fn into_vec(self) -> Vec<Finding> {
        self.kept
    }
}

/// The nearest of known names, where there is something to gain from looking for it.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MAX_LENGTH: usize = 64;
    const MAX_KNOWN: usize = 1000;
    if name.len() > MAX_LENGTH {
        return None;
    }
    nearest(name, known.into_iter().take(MAX_KNOWN).filter(|k| k.len() <= MAX_LENGTH))
}

/// All findings in one recipe, by position, with the text they are about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// The file's name, as the user gave it.
    pub file: String,
    /// The text.
    #[serde(skip)]
    pub text: String,
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Findings {
    /// Puts findings in the order of the text, each once.
    pub fn new(file: impl Into<String>, text: impl Into<String>, mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| {
            let key = |f: &Finding| (f.span.start, f.span.end, f.severity);
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
        findings.dedup();
        Self { file: file.into(), text: text.into(), findings }
    }

    /// How many are errors.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|f| f.severity == Severity::Error).count()
    }

    /// The exit code of a program that ends with them: 2 for a mistake in the text, 3 if only files that it names are at fault.
    pub fn exit_code(&self) -> u8 {
        let mut errors = self.findings.iter().filter(|f| f.severity == Severity::Error).peekable();
        if errors.peek().is_some() && errors.all(|f| f.of_file) { 3 } else { 2 }
    }

    /// How many are warnings.
    pub fn warnings(&self) -> usize {
        self.findings.len() - self.errors()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// The findings for people: file, line, the text with what is wrong underlined. `color` adds ANSI colors.
    pub fn render(&self, color: bool) -> String {
        render::render(self, color)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Findings {}

/// A user's word in double quotes: cut after 60 characters, what cannot be seen escaped.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for (i, c) in text.chars().enumerate() {
        if i == 60 {
            out.push('…');
            break;
        }
        match c {
            '\'' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stand_in_the_order_of_the_text_and_once() {
        let span = |start| Span { start, end: start + 1, line: 1, column: start + 1 };
        let all = Findings::new(
            "a.yaml",
            "abc",
            vec![
                Finding::warning("later", span(2)),
                Finding::error("b", span(0)),
                Finding::error("a", span(0)),
                Finding::error("b", span(0)),
            ],
        );
        let order: Vec<&str> = all.findings.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(order, ["a", "b", "later"]);
        assert_eq!((all.errors(), all.warnings()), (2, 1));
    }

    #[test]
    fn a_word_is_cut_and_nothing_in_it_reaches_the_terminal() {
        assert_eq!(quote("it's \"x\""), "\"it's \\\"x\\\"\"");
        assert_eq!(quote("\u{1b}[31m\u{202e}"), "\"\\u{1b}[31m\\u{202e}\"");
        assert_eq!(quote(&"a".repeat(99)).chars().count(), 63);
    }

    #[test]
    fn warnings_never_push_an_error_out() {
        let mut list = List::default();
        list.extend((0..2000).map(|i| Finding::warning(format!("w{i}"), Span::default())));
        assert!(!list.has_errors());
        list.push(Finding::error("e", Span::default()).at("a.b"));
        assert!(list.has_errors_under("a") && !list.has_errors_under("b") && !list.is_full());
        list.extend((0..2000).map(|i| Finding::error(format!("e{i}"), Span::default())));
        assert!(list.is_full());
        assert_eq!(list.into_vec().len(), 2 * MAX_KEPT);
    }

    #[test]
    fn a_path_is_under_its_parents_only() {
        let f = |p: &str| Finding::error("", Span::default()).at(p);
        assert!(f("members.a.b").is_under("members.a"));
        assert!(f("members.a[0]").is_under("members.a"));
        assert!(f("members.a").is_under("members.a"));
        assert!(!f("members.ab").is_under("members.a"));
    }
}
