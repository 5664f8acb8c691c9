//! `csl merge`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use consilience_core::model::{Progress, Stop};
use consilience_core::{Error, Result};
use consilience_engine::merging::{
    Act, Analysis, Digests, Limits, MergeFile, Merged, OnMismatch, OnNonfinite, Options, Places, Pull, Ready,
    Running, analyze, verify,
};
use consilience_engine::report::merge_html;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::arguments::{Merge, Mismatch, Nonfinite};
use crate::fault::Fault;
use crate::show;

/// The most rows of a table of tensors.
const MAX_ROWS: usize = 5000;

/// A bar that says which tensor is at work.
struct Bar(Mutex<ProgressBar>);

impl Bar {
    fn new() -> Self {
        const STYLE: &str = "  {spinner} [{bar:20}] {bytes_per_sec:>12} {eta:>4} {wide_msg}";
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(Mutex::new(bar))
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).finish_and_clear();
    }
}

impl Progress for Bar {
    fn step(&self, done: u64, total: u64, note: &str) {
        let bar = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(note.to_owned());
    }
}

/// Merges checkpoints, or says what would be done, or whether a merge is what it was.
pub fn merge(
    how: &Merge,
    threads: Option<u16>,
    json: bool,
    stop: &Stop,
) -> std::result::Result<ExitCode, Fault> {
    // A flag that is not given counts as given to `requires`.
    if how.html.is_some() && !how.analyze {
        return Err(Error::argument("--html writes what --analyze finds")
            .remedy("give both, or neither")
            .into());
    }
    if how.verify {
        return verified(&how.config, json);
    }
    let file = MergeFile::read(&how.config)?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let limits = Limits { threads: threads.map_or_else(cores, usize::from), memory: how.max_memory };
    let options = Options {
        on_mismatch: match how.on_mismatch {
            Mismatch::Error => OnMismatch::Error,
            Mismatch::Skip => OnMismatch::Skip,
            Mismatch::Crop => OnMismatch::Crop,
        },
        compat: how.compat.is_some(),
        seed: how.seed,
        shard_bytes: Some(how.shard_size),
    };
    if how.analyze {
        return analyzed(&file, how, (&limits, &options), json, stop);
    }
    let Some(out) = how.out.as_deref().filter(|_| !how.check) else {
        let (ready, warnings) = file.check(&limits, &options)?;
        if let Some(out) = &how.out {
            file.foretell(&ready, out, how.replace)?;
        }
        if json {
            show::out(&format!(
                "{:#}\n",
                json!({"merges": ready.iter().map(in_json).collect::<Vec<_>>(), "findings": warnings.findings})
            ));
        } else {
            ready.iter().for_each(|r| show::out(&text(r)));
            show::err(&warnings.render(show::color_on_stderr()));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let bar = Bar::new();
    let running = Running {
        resume: how.resume,
        replace: how.replace,
        on_nonfinite: match how.on_nonfinite {
            Nonfinite::Stop => OnNonfinite::Stop,
            Nonfinite::Keep => OnNonfinite::Keep,
        },
        cache: Digests::folder().filter(|_| !how.no_cache),
        stop,
        progress: &bar,
    };
    let started = std::time::Instant::now();
    let done = file.merge(out, &limits, &options, &running);
    bar.clear();
    let (merged, warnings) = match done {
        Ok(done) => done,
        Err(refused) => return Err(Fault::from(refused)),
    };
    if json {
        show::out(&format!("{:#}\n", json!({"merged": merged, "findings": warnings.findings})));
    } else {
        show::err(&warnings.render(show::color_on_stderr()));
        show::out(&done_text(&merged, started.elapsed().as_secs_f64()));
    }
    Ok(ExitCode::SUCCESS)
}

fn done_text(merged: &Merged, seconds: f64) -> String {
    let mut text = format!(
        "{} tensors, {} numbers, {} in {} ({seconds:.1} s)\n",
        merged.tensors,
        merged.numbers,
        size(merged.bytes),
        merged.files.join(", ")
    );
    if merged.kept > 0 {
        text.push_str(&format!("{} files were finished before\n", merged.kept));
    }
    const SHOWN: usize = 10;
    for note in merged.notes.iter().take(SHOWN) {
        text.push_str(&format!("note: {note}\n"));
    }
    if merged.notes.len() > SHOWN {
        text.push_str(&format!("note: {} more in provenance.json\n", merged.notes.len() - SHOWN));
    }
    text.push_str(&format!("model   {}\n", merged.out.display()));
    text
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// Each tensor: name, shape, type in the donor and in the result, and of how many members it is made.
fn rows(ready: &Ready) -> Vec<Vec<String>> {
    let donor = |name: &str| {
        let tensor = ready.models.get(ready.plan.donor).and_then(|m| m.tensor(name));
        tensor.map_or_else(|| "-".to_owned(), |t| t.dtype().to_string())
    };
    let one = |job: &consilience_engine::merging::Job| {
        let (how, count) = match &job.act {
            Act::Merge { members, base, parameters, .. } => {
                let base = if base.is_some() { " + base" } else { "" };
                (parameters.to_string(), format!("{}{base}", members.len()))
            }
            Act::Same(inputs) if inputs.len() == 1 => ("copied".to_owned(), "1".to_owned()),
            Act::Same(inputs) => ("copied: the same in all".to_owned(), inputs.len().to_string()),
        };
        vec![
            job.name.clone(),
            format!("{:?}", job.shape),
            donor(&job.name),
            job.dtype.to_string(),
            count,
            how,
        ]
    };
    ready.plan.jobs.iter().take(MAX_ROWS).map(one).collect()
}

fn in_json(ready: &Ready) -> serde_json::Value {
    let keys = ["name", "shape", "from", "to", "members", "parameters"];
    let tensors: Vec<serde_json::Value> = rows(ready)
        .into_iter()
        .map(|row| keys.iter().zip(row).map(|(k, v)| ((*k).to_owned(), json!(v))).collect())
        .collect();
    json!({
        "method": ready.config.method, "tensors": tensors, "files": ready.plan.shards.len(),
        "estimate": ready.estimate, "notes": ready.plan.notes,
    })
}

fn text(ready: &Ready) -> String {
    let mut text = show::table(&["tensor", "shape", "from", "to", "of", "parameters"], rows(ready), &[]);
    let numbers: u64 = ready.plan.jobs.iter().map(|j| j.len() as u64).sum();
    let estimate = &ready.estimate;
    if ready.plan.jobs.len() > MAX_ROWS {
        text.push_str(&format!("... and {} more\n", ready.plan.jobs.len() - MAX_ROWS));
    }
    let files = ready.plan.shards.len();
    text.push_str(&format!(
        "\n{}: {} tensors, {numbers} numbers in {files} {}\nmemory at most {}, disk {}, reads {}, time about {:.0} s with {} threads\n",
        ready.config.method,
        ready.plan.jobs.len(),
        if files == 1 { "file" } else { "files" },
        size(estimate.memory),
        size(estimate.disk),
        size(estimate.read),
        estimate.seconds.ceil(),
        estimate.threads
    ));
    for note in &ready.plan.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}

/// Says how the members of the last document pull.
fn analyzed(
    file: &MergeFile,
    how: &Merge,
    (limits, options): (&Limits, &Options),
    json: bool,
    stop: &Stop,
) -> std::result::Result<ExitCode, Fault> {
    if file.configs.len() > 1 {
        return Err(Error::argument("only a merge file of one document can be analyzed")
            .at(how.config.display())
            .expected("one document")
            .got(file.configs.len())
            .into());
    }
    let (ready, warnings) = file.check(limits, options)?;
    let Some(ready) = ready.first() else {
        return Err(Error::internal("a merge file without a document").into());
    };
    let bar = Bar::new();
    let analysis = analyze(ready, stop, &bar);
    bar.clear();
    let analysis = analysis?;
    if let Some(path) = &how.html {
        let title = how.config.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let page = merge_html(&title, &ready.config.method, &analysis)?;
        consilience_core::files::write_atomic(path, page.as_bytes())?;
    }
    if json {
        show::out(&format!("{:#}\n", json!(analysis)));
        return Ok(ExitCode::SUCCESS);
    }
    show::err(&warnings.render(show::color_on_stderr()));
    show::out(&analysis_text(&analysis));
    if let Some(path) = &how.html {
        show::out(&format!("page    {}\n", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// A row for each layer, and one for everything.
fn analysis_text(analysis: &Analysis) -> String {
    let shown =
        |v: &Option<f64>, decimals: usize| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.decimals$}"));
    let list = |all: &[Option<f64>], decimals: usize| {
        all.iter().map(|v| shown(v, decimals)).collect::<Vec<_>>().join(" ")
    };
    let row = |pull: &Pull| {
        let names = pull.outliers.iter().filter_map(|i| analysis.members.get(*i));
        vec![
            pull.name.clone(),
            pull.numbers.to_string(),
            format!("{:.1}%", 100.0 * pull.conflicts),
            list(&pull.cosines, 3),
            list(&pull.ratios, 4),
            names.cloned().collect::<Vec<_>>().join(", "),
        ]
    };
    let rows = analysis.layers.iter().chain(std::iter::once(&analysis.whole)).map(row).collect();
    let head = ["layer", "numbers", "conflicts", "cosines of pairs", "lengths by the base", "outliers"];
    let mut text = format!("what each of these changed, from {}:\n", analysis.from);
    analysis.members.iter().for_each(|m| text.push_str(&format!("  {m}\n")));
    text.push('\n');
    text.push_str(&show::table(&head, rows, &[1, 2]));
    analysis.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    text
}

fn verified(dir: &Path, json: bool) -> std::result::Result<ExitCode, Fault> {
    let verdict = verdict(dir)?;
    if json {
        show::out(&format!("{:#}\n", json!(verdict)));
    } else {
        let mut text = String::new();
        verdict.wrong.iter().for_each(|w| text.push_str(&format!("wrong: {w}\n")));
        verdict.changed.iter().for_each(|c| text.push_str(&format!("warning: input: {c}\n")));
        verdict.others.iter().for_each(|o| text.push_str(&format!("note: {o} is no part of the merge\n")));
        let sound = if verdict.wrong.is_empty() {
            "the merge is what it was"
        } else {
            "the merge is not what it was"
        };
        text.push_str(&format!(
            "{sound}: {} files of the result and {} of its inputs have the hashes that were noted\n",
            verdict.sound, verdict.inputs
        ));
        show::out(&text);
    }
    Ok(ExitCode::from(u8::from(!verdict.wrong.is_empty())))
}

fn verdict(dir: &Path) -> Result<consilience_engine::merging::Verdict> {
    if !dir.is_dir() {
        return Err(Error::argument("there is no such folder")
            .at(dir.display())
            .expected("the folder of a merge"));
    }
    verify(dir, &Places::of(dir))
}
