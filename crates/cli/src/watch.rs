//! Progress in the terminal: one bar for the step at work, a line for each that is done. Quiet without a terminal.

use std::sync::Mutex;

use consilience_engine::run::Watch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// So many characters of the name of a step at work are shown.
const NAME: usize = 18;

/// The step at work: its name, how far it is, what is left of the time, and the note last, which is cut where the terminal
/// ends. Of 100 columns 63 are left for it: loss, metric, rows a second, and mostly the held-out loss too.
const AT_WORK: &str = "  {spinner} {prefix:<18} [{bar:6}] {eta:>4} {wide_msg}";

/// The name of a step in few characters. What comes after its last comma stays: which fold it is.
fn short(name: &str) -> String {
    let (head, tail) = name.rfind(", ").map_or((name, ""), |comma| name.split_at(comma));
    let (long, room) = (name.chars().count() > NAME, NAME.saturating_sub(tail.chars().count() + 1));
    match (long, room) {
        (false, _) => name.to_owned(),
        (true, 0) => name.chars().take(NAME - 1).chain(['…']).collect(),
        (true, room) => head.chars().take(room).chain(['…']).chain(tail.chars()).collect(),
    }
}

/// Shows steps as they come.
pub struct Bars {
    bar: Mutex<Option<ProgressBar>>,
    quiet: bool,
}

impl Bars {
    /// Bars on standard error; none when `quiet` or without a terminal.
    pub fn new(quiet: bool) -> Self {
        Self { bar: Mutex::new(None), quiet }
    }

    fn with(&self, work: impl FnOnce(&mut Option<ProgressBar>)) {
        if !self.quiet {
            work(&mut self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        }
    }
}

impl Watch for Bars {
    fn begin(&self, name: &str) {
        self.with(|bar| {
            if let Some(old) = bar.take() {
                old.finish_and_clear();
            }
            let new = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix} {msg}") {
                new.set_style(style);
            }
            new.set_prefix(name.to_owned());
            *bar = Some(new);
        });
    }

    fn progress(&self, name: &str, done: u64, total: u64, note: &str) {
        self.with(|bar| {
            let Some(bar) = bar else { return };
            if bar.length() != Some(total) {
                bar.set_length(total);
                bar.set_prefix(short(name));
                if let Ok(style) = ProgressStyle::with_template(AT_WORK) {
                    bar.set_style(style.progress_chars("=> "));
                }
                // A fit that goes on where it was stopped has not done all that in no time.
                bar.set_position(done);
                bar.reset_eta();
            }
            bar.set_position(done);
            bar.set_message(note.to_owned());
        });
    }

    fn end(&self, name: &str, seconds: f64, fresh: bool) {
        self.with(|bar| {
            if let Some(old) = bar.take() {
                let how = if fresh { format!("{seconds:.1} s") } else { "kept".to_owned() };
                if !name.contains("predict") {
                    old.println(format!("  {name:<48} {how:>8}"));
                }
                old.finish_and_clear();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_before_their_fold() {
        let cases = [
            ("looks, fold 1/5", "looks, fold 1/5"),
            ("looks_at_images, fold 1/5", "looks_a…, fold 1/5"),
            ("outer 2/5: looks, fold 1/5", "outer 2…, fold 1/5"),
            ("a_single_name_that_is_long", "a_single_name_tha…"),
            ("größer_als_der_platz_hier_ist", "größer_als_der_pl…"),
            ("a, and what comes after is long", "a, and what comes…"),
        ];
        for (name, cut) in cases {
            assert_eq!(short(name), cut);
            assert!(short(name).chars().count() <= NAME);
        }
    }
}
