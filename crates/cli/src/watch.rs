//! Progress in the terminal: one bar for the step at work, a line for each that is done. Quiet without a terminal.

use std::sync::Mutex;

use consilience_engine::run::Watch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix:<34.34} {msg}") {
                new.set_style(style);
            }
            new.set_prefix(name.to_owned());
            *bar = Some(new);
        });
    }

    fn progress(&self, _: &str, done: u64, total: u64, note: &str) {
        self.with(|bar| {
            let Some(bar) = bar else { return };
            if bar.length() != Some(total) {
                bar.set_length(total);
                let template = "  {spinner} {prefix:<34.34} [{bar:24}] {percent:>3}% {msg} {eta:>4}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("=> "));
                }
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
