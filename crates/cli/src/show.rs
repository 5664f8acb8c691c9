//! What is printed: standard output for results, standard error for the rest.

use std::io::{IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, presets};
use consilience_core::Error;
use consilience_engine::outcome::Outcome;

use crate::leaderboard::leaderboard;

/// Prints to standard output; a closed pipe is no error.
pub fn out(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Prints to standard error.
pub fn err(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a warning.
pub fn warn(text: &str) {
    err(&format!("warning: {text}\n"));
}

/// Whether colors are wanted on standard error.
pub fn color_on_stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Prints an error with its parts on lines of their own.
pub fn error(error: &Error) {
    let bold =
        |text: &str| if color_on_stderr() { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_owned() };
    let mut text = String::new();
    match error.trouble() {
        Some(t) => {
            text.push_str(&format!("{}: {}\n", bold("error"), t.what));
            for (label, part) in
                [("  at", &t.place), ("  expected", &t.expected), ("  got", &t.got), ("  help", &t.remedy)]
            {
                if !part.is_empty() {
                    text.push_str(&format!("{label}: {part}\n"));
                }
            }
        }
        None => {
            text.push_str(&format!("{}: {error}\n", bold("error")));
            if let Some(help) = error.help() {
                text.push_str(&format!("  help: {help}\n"));
            }
        }
    }
    err(&text);
}

/// A plain table of cells.
pub fn table(head: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    let mut table = Table::new();
    let style = presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─'));
    table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.set_width(140);
    }
    table.set_header(head.to_vec());
    for row in rows {
        let cells = row.into_iter().enumerate().map(|(i, text)| {
            let alignment = if right.contains(&i) { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(text).set_alignment(alignment)
        });
        table.add_row(cells);
    }
    format!("{table}\n")
}

/// The leaderboard, the verdict and where things are.
pub fn outcome(outcome: &Outcome, dir: &std::path::Path) -> String {
    let width = std::io::stdout().is_terminal().then(|| Table::new().width()).flatten().map(usize::from);
    let mut text = leaderboard(outcome, width);
    text.push_str(&format!("\n{}\n", outcome.verdict.sentence));
    if let Some(found) = &outcome.regions {
        text.push_str(&format!("{}.\n", consilience_engine::report::regions_sentence(found)));
    }
    for note in &outcome.verdict.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(&format!("\nreport  {}\n", dir.join("report.html").display()));
    if dir.join("model").is_dir() {
        text.push_str(&format!("model   {} ({})\n", dir.join("model").display(), outcome.verdict.exported));
    }
    text
}
