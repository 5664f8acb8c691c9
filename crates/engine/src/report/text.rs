//! Words of the outcome made fit to be shown: no control characters, no endless names.

/// The most characters of a name in running text.
const NAME: usize = 60;
/// The most characters of a name in a tooltip.
const FULL: usize = 300;

/// A character that could hide or reorder others.
fn treacherous(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// All of a text, its control and direction characters replaced by U+FFFD.
pub(super) fn whole(text: &str) -> String {
    text.chars().map(|c| if treacherous(c) { '\u{fffd}' } else { c }).collect()
}

/// A text on one line of at most `most` characters, shortened in the middle, where names differ least.
pub(super) fn short(text: &str, most: usize) -> String {
    let line: Vec<char> = whole(text).chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).collect();
    if line.len() <= most {
        return line.into_iter().collect();
    }
    let tail = most.saturating_sub(1) / 3;
    let head = most.saturating_sub(1 + tail);
    let start: String = line.iter().take(head).collect();
    let end: String = line.iter().skip(line.len() - tail).collect();
    format!("{start}…{end}")
}

/// A name as running text shows it.
pub(super) fn name(text: &str) -> String {
    short(text, NAME)
}

/// A name as a tooltip shows it.
pub(super) fn full(text: &str) -> String {
    short(text, FULL)
}

/// Names one after the other, the last ones counted where they are many.
pub(super) fn list(names: &[String], most: usize) -> String {
    let mut shown: Vec<String> = names.iter().take(most).map(|n| short(n, 32)).collect();
    if names.len() > most {
        shown.push(format!("and {} more", names.len() - most));
    }
    shown.join(", ")
}

/// An identifier as words: `log_loss` is "log loss".
pub(super) fn words(identifier: &str) -> String {
    name(&identifier.replace('_', " "))
}

/// The text with `&`, `<`, `>` and both quotes made harmless in HTML text and attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if treacherous(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(short("abcdefghij", 10), "abcdefghij");
        assert_eq!(short("abcdefghijk", 10), "abcdef…ijk");
        assert_eq!(short("é\nü", 3), "é ü");
        assert_eq!(short("abc", 0), "…");
    }

    #[test]
    fn what_hides_is_replaced() {
        assert_eq!(whole("a\u{202e}b\0c\nd"), "a\u{fffd}b\u{fffd}c\nd");
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn lists_say_how_many_more() {
        let names: Vec<String> = ["a", "b", "c"].iter().map(ToString::to_string).collect();
        assert_eq!(list(&names, 3), "a, b, c");
        assert_eq!(list(&names, 1), "a, and 2 more");
        assert_eq!(words("log_loss"), "log loss");
    }
}
