//! How the members of a merge pull, layer by layer: conflicts of signs, cosines between task vectors, their lengths.

use consilience_merge::analyze::{Analysis, Pull};

use super::bars::strip;
use super::number::{NONE, count, fixed};
use super::text;
use crate::outcome::Outcome;

/// The most layers of one table.
const ROWS: usize = 200;
/// The most members that get columns of their own, and a column for each pair.
const MEMBERS: usize = 4;

/// One layer.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) numbers: String,
    pub(super) conflicts: String,
    pub(super) strip: String,
    pub(super) cosines: Vec<String>,
    pub(super) ratios: Vec<Cell>,
    pub(super) outliers: String,
}

/// A length with whether it is an outlier.
pub(super) struct Cell {
    pub(super) value: String,
    pub(super) outlier: bool,
}

/// The table of one merge.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) from: String,
    pub(super) members: Vec<String>,
    pub(super) pairs: Vec<String>,
    pub(super) lengths: Vec<String>,
    pub(super) many: bool,
    pub(super) sentence: String,
    pub(super) rows: Vec<Row>,
    pub(super) more: usize,
}

/// The most merges that are shown.
const TABLES: usize = 8;

/// The tables of the merges of a run. Merges of the same members from the same base pull alike, and are shown once.
pub(super) fn tables(outcome: &Outcome) -> Vec<Table> {
    let mut seen: Vec<&Analysis> = Vec::new();
    let mut tables = Vec::new();
    let all = || outcome.candidates.iter().filter_map(|c| c.pull.as_ref());
    // What a base says is more than what the mean says.
    let better = |a: &Analysis| a.is_centered() && all().any(|b| !b.is_centered() && b.members == a.members);
    for candidate in &outcome.candidates {
        let shown = |a: &&Analysis| !seen.contains(a) && !better(a);
        let Some(analysis) = candidate.pull.as_ref().filter(shown) else { continue };
        seen.push(analysis);
        tables.push(table(&candidate.name, &candidate.method, analysis));
    }
    tables.truncate(TABLES);
    tables
}

/// The table of an analysis.
pub(super) fn table(name: &str, method: &str, analysis: &Analysis) -> Table {
    let members = analysis.members.len();
    let each = members <= MEMBERS;
    let letter = |i: usize| char::from(b'A' + (i % 26) as u8).to_string();
    let pairs = || (0..members).flat_map(move |i| (i + 1..members).map(move |j| (i, j)));
    let rows = std::iter::once(&analysis.whole).chain(&analysis.layers).take(ROWS + 1);
    Table {
        name: text::name(name),
        method: text::name(method),
        from: text::name(&analysis.from),
        members: analysis
            .members
            .iter()
            .enumerate()
            .map(|(i, m)| if each { format!("{}: {}", letter(i), text::name(m)) } else { text::name(m) })
            .collect(),
        pairs: match each {
            true => pairs().map(|(i, j)| format!("{} {}", letter(i), letter(j))).collect(),
            false => vec!["least".to_owned(), "mean".to_owned()],
        },
        lengths: match each {
            true => (0..members).map(letter).collect(),
            false => vec!["shortest".to_owned(), "longest".to_owned()],
        },
        many: !each,
        sentence: said(analysis),
        rows: rows.map(|pull| row(pull, each, &analysis.members)).collect(),
        more: analysis.layers.len().saturating_sub(ROWS),
    }
}

fn row(pull: &Pull, each: bool, members: &[String]) -> Row {
    let known: Vec<f64> = pull.cosines.iter().flatten().copied().collect();
    let lengths: Vec<f64> = pull.ratios.iter().flatten().copied().collect();
    let shown = |v: Option<f64>, decimals: usize| v.map_or_else(|| NONE.to_owned(), |v| fixed(v, decimals));
    let least = |all: &[f64]| all.iter().copied().min_by(f64::total_cmp);
    let most = |all: &[f64]| all.iter().copied().max_by(f64::total_cmp);
    let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
    let plain = |value| Cell { value, outlier: false };
    Row {
        name: if pull.name == "all" { "all layers".to_owned() } else { text::name(&pull.name) },
        numbers: count(pull.numbers),
        conflicts: format!("{} %", fixed(100.0 * pull.conflicts, 1)),
        strip: strip("accent", (0.0, 1.0), pull.conflicts, None),
        cosines: match each {
            true => pull.cosines.iter().map(|c| shown(*c, 3)).collect(),
            false => vec![shown(least(&known), 3), shown(mean, 3)],
        },
        ratios: match each {
            true => pull
                .ratios
                .iter()
                .enumerate()
                .map(|(i, r)| Cell { value: shown(*r, 4), outlier: pull.outliers.contains(&i) })
                .collect(),
            false => vec![plain(shown(least(&lengths), 4)), plain(shown(most(&lengths), 4))],
        },
        outliers: match each {
            true => String::new(),
            false => pull
                .outliers
                .iter()
                .filter_map(|i| members.get(*i))
                .map(|m| text::name(m))
                .collect::<Vec<_>>()
                .join(", "),
        },
    }
}

/// What there is to say in words: of the whole, and of numbers that are not finite.
fn said(analysis: &Analysis) -> String {
    const NOTES: usize = 3;
    let notes = analysis.notes.iter().take(NOTES).map(|note| format!(" {}.", text::whole(note)));
    notes.fold(sentence(analysis), |all, note| all + &note)
}

/// What the whole says, in words.
fn sentence(analysis: &Analysis) -> String {
    let whole = &analysis.whole;
    let known: Vec<f64> = whole.cosines.iter().flatten().copied().collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let how = match mean {
        _ if analysis.is_centered() => {
            "there is no base, so that members lie around their mean, and cosines below zero mean nothing"
        }
        _ if known.is_empty() => "no two members changed anything",
        m if m > 0.5 => "members pull mostly one way: averaging loses little",
        m if m > 0.1 => "members share some of their direction",
        m if m > -0.1 => "members pull in directions of their own: their changes can be added",
        _ => "members pull against each other: an average undoes them",
    };
    let outliers: Vec<String> =
        whole.outliers.iter().filter_map(|i| analysis.members.get(*i)).map(|m| text::name(m)).collect();
    let far = match outliers.is_empty() {
        true => String::new(),
        false => format!("; {} changed twice as much as the middle member, or half", outliers.join(", ")),
    };
    format!("{} % of the numbers are pulled both ways; {how}{far}.", fixed(100.0 * whole.conflicts, 1))
}
