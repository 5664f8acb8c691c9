//! Rows by a condition: `third == 1 and not (sex in [m, f] or age < 18)`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::dataset::Dataset;
use crate::error::{Error, Result};
use crate::registry::nearest;

/// How deep parentheses and negations may go.
const MAX_DEPTH: usize = 64;

/// A condition on the text of the table's columns.
///
/// `column op value` with `==`, `!=`, `<`, `<=`, `>`, `>=`; `column in [a, b]` and `column not in [a, b]`; joined by `and`,
/// `or`, `not` and parentheses (`and` binds closer than `or`). A column of other signs than letters, digits, `_` and `.`
/// stands in backquotes, a value of other signs in quotes.
///
/// A value without quotes that is a number is compared as a number with cells that are numbers; anything else as text. A
/// missing cell is the empty text: `x == ""` finds it, and it is neither above nor below anything.
///
/// ```
/// use consilience_core::data::RowFilter;
/// let filter = RowFilter::parse("third == 1 and split in [train, val]")?;
/// assert_eq!(filter.columns().into_iter().collect::<Vec<_>>(), ["split", "third"]);
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RowFilter {
    text: String,
    tree: Node,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Or(Vec<Node>),
    And(Vec<Node>),
    Not(Box<Node>),
    Compare { column: String, at: usize, op: Op, value: Value },
    In { column: String, at: usize, values: Vec<Value> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

#[derive(Debug, Clone, PartialEq)]
struct Value {
    text: String,
    /// The number, for a value without quotes that is one.
    number: Option<f64>,
}

impl Value {
    fn equals(&self, cell: &str) -> bool {
        match (self.number, number(cell)) {
            (Some(a), Some(b)) => a == b,
            _ => self.text == cell,
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|x| x.is_finite())
}

impl RowFilter {
    /// Reads a condition.
    ///
    /// # Errors
    /// [`Error::Argument`] with the column of the text where it cannot be understood.
    pub fn parse(text: &str) -> Result<Self> {
        let tokens = tokens(text)?;
        let mut p = Parser { text, tokens: &tokens, next: 0 };
        let tree = p.or(0)?;
        match p.peek() {
            None => Ok(Self { text: text.to_owned(), tree }),
            Some(_) => Err(p.wrong("the end, \"and\" or \"or\"")),
        }
    }

    /// The columns that it reads.
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut out = BTreeSet::new();
        self.tree.columns(&mut out);
        out
    }

    /// Those of `rows` that the condition keeps, in order.
    ///
    /// # Errors
    /// [`Error::Argument`] for a column that the data lack, with the nearest name, or if no row is kept; [`Error::Data`]
    /// for a text where a number is compared by size.
    pub fn keep(&self, data: &Dataset, rows: &[usize]) -> Result<Vec<usize>> {
        let marks = self.marks(&data.roles.cells, rows)?;
        let kept: Vec<usize> = rows.iter().zip(marks).filter(|(_, m)| *m).map(|(r, _)| *r).collect();
        if kept.is_empty() {
            return Err(Error::argument("no row fits the condition")
                .at(format!("rows: {}", self.text))
                .got(format!("0 of {} rows", rows.len()))
                .remedy("check the values; texts are compared letter by letter"));
        }
        Ok(kept)
    }

    /// Whether the condition keeps each of `rows`.
    ///
    /// # Errors
    /// As [`RowFilter::keep`], but for no row kept.
    pub fn marks(&self, cells: &BTreeMap<String, Arc<Vec<String>>>, rows: &[usize]) -> Result<Vec<bool>> {
        self.tree.marks(&self.text, cells, rows)
    }
}

impl Node {
    fn columns<'a>(&'a self, out: &mut BTreeSet<&'a str>) {
        match self {
            Self::Or(all) | Self::And(all) => all.iter().for_each(|n| n.columns(out)),
            Self::Not(one) => one.columns(out),
            Self::Compare { column, .. } | Self::In { column, .. } => {
                out.insert(column);
            }
        }
    }

    fn marks(
        &self,
        text: &str,
        cells: &BTreeMap<String, Arc<Vec<String>>>,
        rows: &[usize],
    ) -> Result<Vec<bool>> {
        let find = |column: &str, at: usize| {
            cells.get(column).ok_or_else(|| {
                let error = place(Error::argument(format!("the data have no column \"{column}\"")), text, at);
                match nearest(column, cells.keys().map(String::as_str)) {
                    Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
                    None => {
                        let names: Vec<&str> = cells.keys().map(String::as_str).take(12).collect();
                        error.expected(format!("one of {}", names.join(", ")))
                    }
                }
            })
        };
        let cell = |column: &Arc<Vec<String>>, row: usize| column.get(row).cloned().unwrap_or_default();
        match self {
            Self::Or(all) | Self::And(all) => {
                let any = matches!(self, Self::Or(_));
                let mut out = vec![!any; rows.len()];
                for node in all {
                    for (o, m) in out.iter_mut().zip(node.marks(text, cells, rows)?) {
                        *o = if any { *o || m } else { *o && m };
                    }
                }
                Ok(out)
            }
            Self::Not(one) => Ok(one.marks(text, cells, rows)?.into_iter().map(|m| !m).collect()),
            Self::In { column, at, values } => {
                let column = find(column, *at)?;
                Ok(rows
                    .iter()
                    .map(|r| cell(column, *r))
                    .map(|c| values.iter().any(|v| v.equals(&c)))
                    .collect())
            }
            Self::Compare { column: name, at, op, value } => {
                let column = find(name, *at)?;
                rows.iter()
                    .map(|row| {
                        let cell = cell(column, *row);
                        let order = match op {
                            Op::Equal => return Ok(value.equals(&cell)),
                            Op::Unequal => return Ok(!value.equals(&cell)),
                            _ if cell.is_empty() => return Ok(false),
                            _ => match value.number {
                                None => cell.as_str().cmp(&value.text),
                                Some(b) => number(&cell)
                                    .ok_or_else(|| {
                                        let e = Error::data(format!("a text in the column \"{name}\""))
                                            .expected(format!("a number to compare with {}", value.text))
                                            .got(format!("\"{cell}\" in row {row}"))
                                            .remedy("put the value in quotes to compare texts");
                                        place(e, text, *at)
                                    })?
                                    .total_cmp(&b),
                            },
                        };
                        Ok(match op {
                            Op::Below => order.is_lt(),
                            Op::AtMost => order.is_le(),
                            Op::Above => order.is_gt(),
                            _ => order.is_ge(),
                        })
                    })
                    .collect()
            }
        }
    }
}

fn place(e: Error, text: &str, at: usize) -> Error {
    e.at(format!("rows: {text} (column {})", at + 1))
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A name, number or word without quotes.
    Bare(String),
    /// In quotes.
    Quoted(String),
    /// In backquotes: a column.
    Column(String),
    /// An operator.
    Op(Op),
    /// `(`, `)`, `[`, `]` or a comma.
    Sign(char),
}

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+' | ':' | '/')
}

/// The tokens with their positions in characters.
fn tokens(text: &str) -> Result<Vec<(Token, usize)>> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while let Some(&c) = chars.get(i) {
        let start = i;
        let second = chars.get(i + 1) == Some(&'=');
        i += 1;
        let token = match c {
            _ if c.is_whitespace() => continue,
            '(' | ')' | '[' | ']' | ',' => Token::Sign(c),
            '\'' | '"' | '`' => {
                let end = chars.iter().skip(i).position(|d| *d == c).ok_or_else(|| {
                    place(
                        Error::argument("a quote is never closed").expected(format!("another {c}")),
                        text,
                        start,
                    )
                })?;
                let inner: String = chars.iter().skip(i).take(end).collect();
                i += end + 1;
                if c == '`' { Token::Column(inner) } else { Token::Quoted(inner) }
            }
            '=' | '!' if second => {
                i += 1;
                Token::Op(if c == '=' { Op::Equal } else { Op::Unequal })
            }
            '<' | '>' => {
                i += usize::from(second);
                Token::Op(match (c, second) {
                    ('<', false) => Op::Below,
                    ('<', true) => Op::AtMost,
                    (_, false) => Op::Above,
                    (_, true) => Op::AtLeast,
                })
            }
            _ if is_bare(c) => {
                let more = chars.iter().skip(i).take_while(|d| is_bare(**d)).count();
                i += more;
                Token::Bare(chars.iter().skip(start).take(more + 1).collect())
            }
            _ => {
                let error = Error::argument(format!("the sign \"{c}\" is not understood"));
                let error = if c == '=' { error.remedy("equality is written ==") } else { error };
                return Err(place(error, text, start));
            }
        };
        out.push((token, start));
    }
    Ok(out)
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [(Token, usize)],
    next: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|t| &t.0)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.chars().count(), |t| t.1)
    }

    fn word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Bare(w)) if w == word);
        self.next += usize::from(is);
        is
    }

    fn sign(&mut self, sign: char) -> bool {
        let is = self.peek() == Some(&Token::Sign(sign));
        self.next += usize::from(is);
        is
    }

    fn wrong(&self, expected: &str) -> Error {
        let got = match self.peek() {
            None => "the end".to_owned(),
            Some(Token::Bare(t) | Token::Quoted(t) | Token::Column(t)) => format!("\"{t}\""),
            Some(Token::Sign(c)) => format!("\"{c}\""),
            Some(Token::Op(_)) => "an operator".to_owned(),
        };
        place(
            Error::argument("the condition cannot be understood").expected(expected).got(got),
            self.text,
            self.at(),
        )
        .remedy("write it like: third == 1 and split in [train, val]")
    }

    fn or(&mut self, depth: usize) -> Result<Node> {
        if depth > MAX_DEPTH {
            return Err(place(Error::argument("the condition is nested too deeply"), self.text, self.at()));
        }
        let mut all = vec![self.and(depth)?];
        while self.word("or") {
            all.push(self.and(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::Or(all) })
    }

    fn and(&mut self, depth: usize) -> Result<Node> {
        let mut all = vec![self.not(depth)?];
        while self.word("and") {
            all.push(self.not(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::And(all) })
    }

    fn not(&mut self, depth: usize) -> Result<Node> {
        if self.word("not") {
            let mut count = 1usize;
            while self.word("not") {
                count += 1;
            }
            let one = self.not(depth)?;
            return Ok(if count % 2 == 1 { Node::Not(Box::new(one)) } else { one });
        }
        if self.sign('(') {
            let inner = self.or(depth + 1)?;
            return if self.sign(')') { Ok(inner) } else { Err(self.wrong("\")\"")) };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node> {
        let at = self.at();
        let column = match self.peek() {
            Some(Token::Bare(name) | Token::Column(name)) => name.clone(),
            _ => return Err(self.wrong("a column")),
        };
        self.next += 1;
        if let Some(Token::Op(op)) = self.peek() {
            let op = *op;
            self.next += 1;
            return Ok(Node::Compare { column, at, op, value: self.value()? });
        }
        let negated = self.word("not");
        if !self.word("in") {
            return Err(self.wrong("one of == != < <= > >= in"));
        }
        if !self.sign('[') {
            return Err(self.wrong("\"[\""));
        }
        let mut values = Vec::new();
        while !self.sign(']') {
            values.push(self.value()?);
            if self.peek() != Some(&Token::Sign(']')) && !self.sign(',') {
                return Err(self.wrong("\",\" or \"]\""));
            }
        }
        let node = Node::In { column, at, values };
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn value(&mut self) -> Result<Value> {
        let value = match self.peek() {
            Some(Token::Bare(text)) => Value { text: text.clone(), number: number(text) },
            Some(Token::Quoted(text)) => Value { text: text.clone(), number: None },
            _ => return Err(self.wrong("a value")),
        };
        self.next += 1;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells() -> BTreeMap<String, Arc<Vec<String>>> {
        let column = |texts: [&str; 4]| Arc::new(texts.map(str::to_owned).to_vec());
        [
            ("third".to_owned(), column(["1", "1.0", "2", ""])),
            ("split".to_owned(), column(["train", "val", "test", "train"])),
            ("a b".to_owned(), column(["x", "y", "x", "z"])),
        ]
        .into()
    }

    fn kept(text: &str) -> Vec<usize> {
        let marks = RowFilter::parse(text).unwrap().marks(&cells(), &[0, 1, 2, 3]).unwrap();
        (0..4).filter(|r| marks[*r]).collect()
    }

    #[test]
    fn conditions_keep_the_right_rows() {
        for (text, rows) in [
            ("third == 1", vec![0, 1]),
            ("third == \"1\"", vec![0]),
            ("third != 1", vec![2, 3]),
            ("third == ''", vec![3]),
            ("third >= 1.5", vec![2]),
            ("third < 9", vec![0, 1, 2]),
            ("split in [train, val]", vec![0, 1, 3]),
            ("split not in [train]", vec![1, 2]),
            ("third in [2]", vec![2]),
            ("third in []", vec![]),
            ("not split == train", vec![1, 2]),
            ("not not split == train", vec![0, 3]),
            ("split == train and third == 1 or split == test", vec![0, 2]),
            ("split == train and (third == 1 or split == train)", vec![0, 3]),
            ("`a b` == x", vec![0, 2]),
            ("split > \"t\" and split < tf", vec![2]),
        ] {
            assert_eq!(kept(text), rows, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_column() {
        for (text, says) in [
            ("", "(column 1)"),
            ("third = 1", "equality is written =="),
            ("third == ", "got the end"),
            ("third == 1 and", "(column 15)"),
            ("(third == 1", "\")\""),
            ("third == 1)", "the end, \"and\" or \"or\""),
            ("third in 1", "\"[\""),
            ("third in [1 2]", "(column 13)"),
            ("third == 'x", "never closed"),
            ("third ~ 1", "\"~\""),
            ("third", "one of =="),
        ] {
            let error = RowFilter::parse(text).unwrap_err();
            assert!(error.to_string().contains(says), "{text}: {error} lacks {says}");
            assert_eq!(error.exit_code(), 2);
        }
        let deep = "(".repeat(100_000);
        assert!(RowFilter::parse(&deep).unwrap_err().to_string().contains("too deeply"));
        let marks = |t: &str| RowFilter::parse(t).unwrap().marks(&cells(), &[0, 1, 2, 3]);
        let error = marks("spilt == train").unwrap_err().to_string();
        assert!(error.contains("did you mean \"split\"?") && error.contains("(column 1)"), "{error}");
        assert_eq!(marks("split < 3").unwrap_err().exit_code(), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        /// No text can panic.
        #[test]
        fn any_text_is_parsed_or_refused(
            words in prop::collection::vec(
                prop::sample::select(vec!["(", ")", "not", "and", "or", "in", "[", "]", ",", "==", "<", "x", "1", "'", "\u{e9}", " "]),
                0..20,
            )
        ) {
            let _ = RowFilter::parse(&words.concat());
            let _ = RowFilter::parse(&words.join(" "));
        }
    }
}
