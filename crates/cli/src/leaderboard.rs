//! The leaderboard in a terminal: what is less needed is left out where there is no room, and a line says what.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, presets};
use consilience_engine::outcome::{Candidate, Interval, Outcome, Role};

/// A name is not cut into pieces that are shorter, even if lines become too long.
const LEAST_NAME: usize = 8;

/// What is shown beside name, chosen metric and the difference to the best single member, which always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// The intervals of the reported metrics.
    reported_intervals: bool,
    /// How many of the reported metrics, from the left.
    reported: usize,
    /// Seconds to fit, and microseconds a row.
    costs: bool,
    /// The interval of the chosen metric.
    interval: bool,
    /// What a candidate is.
    how: bool,
}

impl Shape {
    /// From all to the least.
    fn all(reported: usize) -> Vec<Self> {
        let whole = Self { reported_intervals: true, reported, costs: true, interval: true, how: true };
        let mut shapes = vec![whole];
        shapes.extend((0..=reported).rev().map(|n| Self { reported_intervals: false, reported: n, ..whole }));
        let mut last = Self { reported_intervals: false, reported: 0, ..whole };
        last.costs = false;
        shapes.push(last);
        last.interval = false;
        shapes.push(last);
        last.how = false;
        shapes.push(last);
        shapes
    }
}

/// The candidates with their scores, in lines of at most `width` columns; without a width in lines that are as long as
/// they need be. At the least, names are wrapped that are longer than the room left.
pub fn leaderboard(outcome: &Outcome, width: Option<usize>) -> String {
    let metrics: Vec<&str> = outcome
        .candidates
        .first()
        .map(|c| c.scores.iter().map(|s| s.metric.as_str()).collect())
        .unwrap_or_default();
    let reported = metrics.len().saturating_sub(1);
    let Some(width) = width else {
        // Not for a terminal: every number once, intervals where they decide.
        let shape = Shape { reported_intervals: false, ..Shape::all(reported)[0] };
        return text(&lines(&table(outcome, shape, usize::MAX)));
    };
    let mut least = Shape::all(reported)[0];
    for shape in Shape::all(reported) {
        least = shape;
        let lines = lines(&table(outcome, shape, usize::MAX));
        if longest(&lines) <= width {
            return text(&lines) + &left_out(&metrics, shape, width);
        }
    }
    let name = outcome.candidates.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
    let rest = longest(&lines(&table(outcome, least, usize::MAX))).saturating_sub(name);
    let room = width.saturating_sub(rest).max(LEAST_NAME);
    text(&lines(&table(outcome, least, room))) + &left_out(&metrics, least, width)
}

/// The table, with names in pieces of at most `room` signs.
fn table(outcome: &Outcome, shape: Shape, room: usize) -> Table {
    let metrics = outcome.candidates.first().map(|c| c.scores.as_slice()).unwrap_or_default();
    let mut head = vec!["  name".to_owned()];
    head.extend(shape.how.then(|| "how".to_owned()));
    head.extend(metrics.iter().take(1 + shape.reported).map(|s| s.metric.clone()));
    head.push("against best single".to_owned());
    head.extend(shape.costs.then(|| ["fit s".to_owned(), "us/row".to_owned()]).into_iter().flatten());
    let mut table = Table::new();
    let style = presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─'));
    table.load_style(style).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    for candidate in &outcome.candidates {
        table.add_row(row(candidate, outcome, shape, room));
    }
    let first_number = 1 + usize::from(shape.how);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if i >= first_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn row(c: &Candidate, outcome: &Outcome, shape: Shape, room: usize) -> Vec<String> {
    let mark = if c.name == outcome.verdict.exported { "*" } else { " " };
    let name: Vec<char> = c.name.chars().collect();
    let pieces: Vec<String> = name.chunks(room).map(|piece| piece.iter().collect()).collect();
    let mut cells = vec![format!("{mark} {}", pieces.join("\n  "))];
    if shape.how {
        let role = match c.role {
            Role::Member => "",
            Role::Fuse => "fuse: ",
            Role::Fusion => "fusion: ",
            Role::Merge => "merge: ",
            Role::Distill => "distill: ",
            Role::Adapt => "adapt: ",
        };
        cells.push(format!("{role}{}", c.method));
    }
    for (i, s) in c.scores.iter().take(1 + shape.reported).enumerate() {
        let wanted = if i == 0 { shape.interval } else { shape.reported_intervals };
        cells.push(match s.interval.filter(|_| wanted) {
            Some(Interval { low, high, .. }) => format!("{:.4} [{low:.4}, {high:.4}]", s.value),
            None => format!("{:.4}", s.value),
        });
    }
    cells.push(match c.scores.first().and_then(|s| s.against_best_single) {
        Some(d) => format!("{:+.4} [{:+.4}, {:+.4}]", d.value, d.low, d.high),
        None if c.name == outcome.verdict.best_single => "best single".to_owned(),
        None => String::new(),
    });
    if shape.costs {
        cells.push(format!("{:.1}", c.cost.fit_seconds));
        cells.push(c.cost.predict_micros.map_or_else(String::new, |m| format!("{m:.0}")));
    }
    cells
}

fn lines(table: &Table) -> Vec<String> {
    let mut lines: Vec<String> = table.lines().map(|l| l.trim_end().to_owned()).collect();
    // The rule below the head is as long as the padding of the last column, which is cut off elsewhere.
    if lines.len() > 1 {
        let rule = lines.remove(1);
        lines.insert(1, rule.chars().take(longest(&lines)).collect());
    }
    lines
}

fn longest(lines: &[String]) -> usize {
    lines.iter().map(|l| l.chars().count()).max().unwrap_or(0)
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|l| format!("{l}\n")).collect()
}

/// What a shape leaves out, in lines that fit.
fn left_out(metrics: &[&str], shape: Shape, width: usize) -> String {
    let (kept, gone) = metrics.get(1..).unwrap_or_default().split_at(shape.reported);
    let mut parts: Vec<String> = gone.iter().map(|m| (*m).to_owned()).collect();
    if !shape.costs {
        parts.push("costs".to_owned());
    }
    if !shape.interval {
        parts.extend(metrics.first().map(|m| format!("the interval of {m}")));
    }
    if !shape.how {
        parts.push("methods".to_owned());
    }
    if !shape.reported_intervals && !kept.is_empty() {
        parts.push("intervals of the other metrics".to_owned());
    }
    if parts.is_empty() {
        return String::new();
    }
    let mut text = format!("no room in {width} columns for {}; the report has them", parts.join(", "));
    let mut out = String::new();
    while text.chars().count() > width {
        // At the last space that leaves a line short enough.
        let Some((at, _)) = text.char_indices().take(width + 1).filter(|(_, c)| *c == ' ').last() else {
            break;
        };
        let rest = text.split_off(at);
        out.push_str(&text);
        out.push('\n');
        text = rest.trim_start().to_owned();
    }
    format!("{out}{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_engine::outcome::{Cost, DataSummary, Reproduce, Score, Verdict};
    use std::collections::BTreeMap;

    fn outcome(metrics: &[&str], longest_name: &str) -> Outcome {
        let interval = |value: f64| Some(Interval { value, low: value - 0.07, high: value + 0.08 });
        let names = ["stacked", "looks", longest_name, "sounds"];
        let candidates = names.iter().enumerate().map(|(i, name)| Candidate {
            name: (*name).to_owned(),
            role: [Role::Fuse, Role::Member, Role::Fusion, Role::Member][i],
            method: ["stacking", "gradient_boosting", "concat", "cnn"][i].to_owned(),
            of: Vec::new(),
            honest: Some(0.5),
            scores: metrics
                .iter()
                .enumerate()
                .map(|(m, metric)| Score {
                    metric: (*metric).to_owned(),
                    greater_is_better: m > 0,
                    value: 0.2147 + 0.1 * m as f64,
                    interval: interval(0.2147),
                    simultaneous: None,
                    against_best_single: (i != 1).then(|| interval(-0.4531)).flatten(),
                })
                .collect(),
            cost: Cost { fit_seconds: 12.3, predict_micros: Some(561.0), ..Cost::default() },
            weights: None,
            spending: Vec::new(),
            pull: None,
            subsets: Vec::new(),
            curve: Vec::new(),
            silent: 0,
        });
        let candidates = candidates.collect();
        Outcome {
            run: "demo-1".to_owned(),
            classes: Vec::new(),
            level: 0.95,
            verdict: Verdict {
                sentence: String::new(),
                gain: true,
                metric: metrics[0].to_owned(),
                best_composition: Some("stacked".to_owned()),
                best_single: "looks".to_owned(),
                exported: "stacked".to_owned(),
                difference: None,
                honest_difference: None,
                notes: Vec::new(),
            },
            data: DataSummary::default(),
            candidates,
            confusion: Vec::new(),
            reliability: BTreeMap::new(),
            explained: None,
            regions: None,
            importances: Vec::new(),
            reproduce: Reproduce::default(),
            seconds: 1.0,
        }
    }

    const MANY: [&str; 7] = ["log_loss", "accuracy", "balanced_accuracy", "macro_f1", "auc", "brier", "ece"];

    #[test]
    fn lines_fit_and_what_decides_is_always_there() {
        for metrics in [&MANY[..], &MANY[..2], &MANY[..1]] {
            for width in [60, 80, 120, 200, 400] {
                let shown = leaderboard(&outcome(metrics, "joint"), Some(width));
                assert!(shown.lines().all(|l| l.chars().count() <= width), "{width}:\n{shown}");
                // The head, a rule, a line for each candidate.
                let lines: Vec<&str> = shown.lines().collect();
                assert!(lines[0].contains("name") && lines[0].contains("log_loss"), "{shown}");
                assert!(lines[0].contains("against best single") && lines[1].starts_with("──"), "{shown}");
                for (line, name) in lines[2..6].iter().zip(["* stacked", "  looks", "  joint", "  sounds"]) {
                    assert!(line.starts_with(name) && line.contains("0.2147"), "{shown}");
                    let difference =
                        if name == "  looks" { "best single" } else { "-0.4531 [-0.5231, -0.3731]" };
                    assert!(line.contains(difference), "{shown}");
                }
                // Every other metric is there or said to be left out.
                let has = |lines: &[&str], word: &str| {
                    let text = lines.join(" ");
                    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word)
                };
                for metric in &metrics[1..] {
                    assert!(
                        has(&lines[..1], metric) != has(&lines[6..], metric),
                        "{metric}, {width}:\n{shown}"
                    );
                }
                let said = lines[6..].join(" ");
                assert!(
                    said.is_empty()
                        || said.starts_with("no room in") && said.ends_with("the report has them")
                );
            }
        }
    }

    #[test]
    fn the_less_needed_goes_first() {
        let all = |width| leaderboard(&outcome(&MANY, "joint"), Some(width));
        // Four hundred columns have room for every interval; two hundred for every number.
        let wide = all(400);
        assert_eq!(wide.matches("0.2147 [0.1447, 0.2947]").count(), 4);
        assert_eq!(wide.matches("[0.1447, 0.2947]").count(), 4 * 7, "{wide}");
        assert!(!wide.contains("no room"));
        let less = all(200);
        assert!(less.contains("ece") && less.contains("us/row"), "{less}");
        assert!(
            less.contains("no room in 200 columns for intervals of the other metrics; the report has them")
        );
        // Then metrics from the right, then costs, then the interval of the chosen metric, then methods.
        let narrow = all(120);
        assert!(
            narrow.contains("for balanced_accuracy, macro_f1, auc, brier, ece, intervals of the other"),
            "{narrow}"
        );
        let eighty = all(80);
        assert!(eighty.contains("costs") && eighty.contains("fusion: concat"), "{eighty}");
        assert!(eighty.contains("the interval of log_loss") && !eighty.contains("us/row"), "{eighty}");
        let sixty = all(60);
        assert!(sixty.contains("methods") && !sixty.contains("concat"), "{sixty}");
    }

    #[test]
    fn long_names_are_wrapped_at_worst_and_nothing_is_where_no_terminal_asks() {
        let name = "a_member_with_a_very_long_name_that_somebody_has_given_it";
        let shown = leaderboard(&outcome(&MANY, name), Some(60));
        assert!(shown.lines().all(|l| l.chars().count() <= 60), "{shown}");
        assert_eq!(shown.matches("-0.4531 [-0.5231, -0.3731]").count(), 3, "{shown}");
        assert_eq!(shown.matches("0.2147").count(), 4);
        let piped = leaderboard(&outcome(&MANY, name), None);
        assert_eq!(piped.lines().count(), 6);
        assert!(piped.contains(name) && MANY.iter().all(|m| piped.contains(m)), "{piped}");
        assert_eq!(piped.matches("[0.1447, 0.2947]").count(), 4);
    }
}
