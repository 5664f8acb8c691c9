//! Findings for people: file, line and column, the line itself, what is wrong underlined.

use super::finding::{Finding, Findings, Severity};
use super::node::Span;

/// The most findings that are written out; a note counts the rest.
const MAX_SHOWN: usize = 50;
/// The most characters of a line that are shown.
const WIDTH: usize = 110;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// Text that may be colored.
struct Ink {
    color: bool,
}

impl Ink {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("{code}{text}{RESET}") } else { text.to_owned() }
    }
}

/// All findings with a last line that counts them. Nothing for no findings.
pub(super) fn render(all: &Findings, color: bool) -> String {
    if all.is_empty() {
        return String::new();
    }
    let ink = Ink { color };
    let mut out = String::new();
    for finding in all.findings.iter().take(MAX_SHOWN) {
        one(finding, all, &ink, &mut out);
        out.push('\n');
    }
    if let Some(rest) = all.findings.len().checked_sub(MAX_SHOWN).filter(|r| *r > 0) {
        out += &format!("... and {rest} more\n");
    }
    let count = |n: usize, word: &str| match n {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let counts: Vec<String> =
        [count(all.errors(), "error"), count(all.warnings(), "warning")].into_iter().flatten().collect();
    out += &format!("{} in {}\n", counts.join(" and "), visible(&all.file));
    out
}

fn one(finding: &Finding, all: &Findings, ink: &Ink, out: &mut String) {
    let (code, word) = match finding.severity {
        Severity::Error => (RED, "error"),
        Severity::Warning => (YELLOW, "warning"),
    };
    let (line, column) = (finding.span.line, finding.span.column);
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let bar = ink.paint(BLUE, "|");
    let head = ink.paint(BOLD, &format!(": {}", visible(&finding.message)));
    *out += &format!("{}{head}\n", ink.paint(code, word));
    *out += &format!("{margin}{} {}:{line}:{column}\n", ink.paint(BLUE, "-->"), visible(&all.file));
    let (source, offset, length) = excerpt(&all.text, finding.span);
    *out += &format!("{margin} {bar}\n");
    *out += format!("{} {bar} {source}", ink.paint(BLUE, &number)).trim_end();
    *out += &format!("\n{margin} {bar} {}{}\n", " ".repeat(offset), ink.paint(code, &"^".repeat(length)));
    let sign = ink.paint(BLUE, "=");
    let mut note = |text: String| *out += &format!("{margin} {sign} {}\n", visible(&text));
    match (finding.expected.is_empty(), finding.got.is_empty()) {
        (false, false) => note(format!("expected {}, got {}", finding.expected, finding.got)),
        (false, true) => note(format!("expected {}", finding.expected)),
        (true, false) => note(format!("got {}", finding.got)),
        (true, true) => {}
    }
    if let Some(near) = &finding.nearest {
        note(format!("did you mean \"{near}\"?"));
    }
    if !finding.remedy.is_empty() {
        note(finding.remedy.clone());
    }
}

/// The line of a span without what cannot be seen, where the underline begins in it, and how long it is.
fn excerpt(text: &str, span: Span) -> (String, usize, usize) {
    let bounded = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (bounded(span.start), bounded(span.end));
    let before = text.get(..start).unwrap_or_default();
    let first = before.rfind(['\n', '\r']).map_or(0, |p| p + 1);
    let line = text.get(first..).and_then(|rest| rest.split(['\n', '\r']).next()).unwrap_or_default();
    let line: Vec<char> = visible(line.trim_start_matches('\u{feff}')).chars().collect();
    let chars = |from: usize, to: usize| {
        text.get(from..to).map_or(0, |s| s.trim_start_matches('\u{feff}').chars().count())
    };
    let offset = chars(first, start).min(line.len());
    let length = chars(start, end.max(start)).clamp(1, (line.len() - offset).max(1));
    if line.len() <= WIDTH {
        return (line.into_iter().collect(), offset, length);
    }
    // A window around the place, with dots where the line goes on.
    let from = offset.saturating_sub(WIDTH / 3).min(line.len().saturating_sub(WIDTH));
    let mut shown: String = line.iter().skip(from).take(WIDTH).collect();
    let mut lead = 0;
    if from > 0 {
        shown.insert_str(0, "...");
        lead = 3;
    }
    if from + WIDTH < line.len() {
        shown.push_str("...");
    }
    let length = length.min((WIDTH + from).saturating_sub(offset)).max(1);
    (shown, offset - from + lead, length)
}

/// One column a character: tabs become a space, what cannot be seen or turns the writing becomes a box.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                '\u{fffd}'
            }
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, start: usize, end: usize) -> (String, String) {
        let (line, offset, length) = excerpt(text, Span { start, end, line: 1, column: 1 });
        let marked = line.chars().skip(offset).take(length).collect();
        (line, marked)
    }

    #[test]
    fn the_underlined_part_is_the_span() {
        let text = "a: 1\n\tü: {x: \u{1b}[0m}\r\nlast";
        let at = text.find('x').unwrap();
        assert_eq!(shown(text, at, at + 1), (" ü: {x: \u{fffd}[0m}".to_owned(), "x".to_owned()));
        let last = text.find("last").unwrap();
        assert_eq!(shown(text, last, last + 4), ("last".to_owned(), "last".to_owned()));
        assert_eq!(shown(text, 999, 1200).0, "last");
        assert_eq!(shown("", 0, 0), (String::new(), String::new()));
        // A span over several lines is underlined to the end of its first line.
        assert_eq!(shown("a: [1,\n 2]\n", 3, 10).1, "[1,");
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("{}HERE{}", "a".repeat(5000), "b".repeat(5000));
        let (line, marked) = shown(&text, 5000, 5004);
        assert_eq!(marked, "HERE");
        assert!(line.starts_with("...") && line.ends_with("...") && line.chars().count() == WIDTH + 6);
        let (line, marked) = shown(&text, 9_990, 10_004);
        assert!(line.ends_with('b') && marked == "b".repeat(14));
    }

    #[test]
    fn color_changes_nothing_but_color() {
        let findings = vec![
            Finding::error("wrong", Span { start: 3, end: 4, line: 1, column: 4 }).expected("2").got("1"),
            Finding::warning("odd", Span { start: 0, end: 1, line: 1, column: 1 }).near(Some("b")),
        ];
        let all = Findings::new("r.yaml", "a: 1\n", findings);
        let plain = render(&all, false);
        let mut colored = render(&all, true);
        for code in [RED, YELLOW, BLUE, BOLD, RESET] {
            assert!(colored.contains(code));
            colored = colored.replace(code, "");
        }
        assert_eq!(plain, colored);
        assert!(plain.ends_with("1 error and 1 warning in r.yaml\n"));
        assert_eq!(render(&Findings::new("r", "", Vec::new()), true), "");
    }

    #[test]
    fn beyond_fifty_the_rest_is_counted() {
        let many =
            (0..60).map(|i| Finding::error(format!("m{i}"), Span { start: i, ..Span::default() })).collect();
        let text = render(&Findings::new("r.yaml", "x".repeat(80), many), false);
        assert!(text.contains("... and 10 more\n60 errors in r.yaml\n"), "{text}");
    }
}
