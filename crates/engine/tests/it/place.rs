//! A folder with small made-up data, and runs in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use consilience_core::data::{DataSpec, open};
use consilience_core::model::Stop;
use consilience_core::{Error, Result};
use consilience_engine::catalog;
use consilience_engine::outcome::Candidate;
use consilience_engine::recipe::{Recipe, load};
use consilience_engine::run::{Finished, Request, Watch, run};
use serde_json::Value;
use tempfile::TempDir;

/// Numbers from 0 to 1 that look like chance and are the same everywhere.
pub fn uniform(seed: u64, row: usize, column: u64) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (row as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = z.wrapping_add(column.wrapping_mul(0x94d0_49bb_1331_11eb));
    for _ in 0..3 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// Nearly normal: twelve uniform numbers, summed.
pub fn normal(seed: u64, row: usize, column: u64) -> f64 {
    (0..12).map(|i| uniform(seed, row, 100 * column + i)).sum::<f64>() - 6.0
}

/// A row of the data: `a` and `b` say something each, `c` nothing.
pub struct Row {
    pub a: f64,
    pub b: f64,
    pub c: f64,
    pub yes: bool,
    pub value: f64,
}

pub fn row(seed: u64, r: usize) -> Row {
    let (a, b, c) = (normal(seed, r, 1), normal(seed, r, 2), normal(seed, r, 3));
    let value = a + b + 0.3 * normal(seed, r, 4);
    Row { a, b, c, yes: value > 0.0, value }
}

/// The part of a row for splits by column: half for fitting, a fifth for choosing, the rest for judging.
pub fn part(r: usize) -> &'static str {
    match r % 10 {
        0..5 => "train",
        5 | 6 => "val",
        _ => "test",
    }
}

/// `rows` rows as csv, ids from `first` on.
pub fn csv(seed: u64, first: usize, rows: usize) -> String {
    let mut text = "id,a,b,c,third,part,fold,label,value\n".to_owned();
    for r in first..first + rows {
        let x = row(seed, r);
        let label = if x.yes { "yes" } else { "no" };
        let _ = writeln!(
            text,
            "{r},{:.4},{:.4},{:.4},{},{},{},{label},{:.4}",
            x.a,
            x.b,
            x.c,
            r % 3,
            part(r),
            r % 4,
            x.value
        );
    }
    text
}

/// The columns that most recipes here name.
pub const COLUMNS: &str =
    "id: {role: id}, a: {type: number}, b: {type: number}, c: {type: number}, label: {role: target}";

/// A recipe over `rows.csv`, split by the column `part`.
pub fn recipe(honest: &str, members: &str, synthesis: &str) -> String {
    format!(
        "version: 1\nname: t\ntask: classify\nseed: 3\ndata: {{table: rows.csv, only: true, columns: {{{COLUMNS}}}}}\n\
         split: {{column: part}}\nhonest: {honest}\nmembers: {{{members}}}\nsynthesis: {{{synthesis}}}\n\
         judge: {{choose: log_loss, report: [accuracy], resamples: 300}}\n"
    )
}

/// Two members, each of which knows a half, and one that knows nothing.
pub const HALVES: &str =
    "knows_a: {fit: logistic, on: [a]}, knows_b: {fit: logistic, on: [b]}, noise: {fit: logistic, on: [c]}";

/// Notes which steps were done.
#[derive(Default)]
pub struct Seen(Mutex<Vec<(String, bool)>>);

impl Watch for Seen {
    fn begin(&self, _: &str) {}
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
    fn end(&self, name: &str, _: f64, fresh: bool) {
        self.0.lock().unwrap().push((name.to_owned(), fresh));
    }
}

impl Seen {
    /// The steps that were done and not found.
    pub fn done(&self) -> Vec<String> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|(n, fresh)| *fresh && n != "data").map(|(n, _)| n.clone()).collect()
    }
}

pub struct Place {
    dir: TempDir,
}

impl Place {
    /// A folder with `rows.csv` of 400 rows.
    pub fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.write("rows.csv", csv(1, 0, 400));
        place
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    pub fn recipe(&self, text: &str) -> Recipe {
        load(text, "t.yaml", &catalog::methods()).unwrap_or_else(|f| panic!("{f}")).recipe
    }

    pub fn request(&self, text: &str, runs: &str, fresh: bool, watch: &Seen) -> Result<Finished> {
        self.watched(text, runs, fresh, &Stop::default(), watch)
    }

    pub fn watched(
        &self,
        text: &str,
        runs: &str,
        fresh: bool,
        stop: &Stop,
        watch: &dyn Watch,
    ) -> Result<Finished> {
        let recipe = self.recipe(text);
        run(&Request {
            recipe: &recipe,
            root: self.path().to_path_buf(),
            opened: None,
            base: self.path().to_path_buf(),
            runs: self.path().join(runs),
            fresh,
            keep_every: std::time::Duration::ZERO,
            command: "csl run t.yaml".to_owned(),
            stop,
            watch,
        })
    }

    pub fn try_run(&self, text: &str) -> Result<Finished> {
        self.request(text, "runs", false, &Seen::default())
    }

    pub fn run(&self, text: &str) -> Finished {
        self.try_run(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    /// The error of a run that must fail, with how the program would end.
    pub fn refused(&self, text: &str) -> (u8, String) {
        let error: Error = self.try_run(text).err().unwrap_or_else(|| panic!("it ran:\n{text}"));
        (error.exit_code(), error.to_string())
    }

    /// How many steps the store holds.
    pub fn steps(&self) -> usize {
        std::fs::read_dir(self.path().join("runs/.store")).map_or(0, |d| d.flatten().count())
    }

    /// The folder of the step of a run with that name.
    pub fn step(&self, done: &Finished, name: &str) -> PathBuf {
        let steps = json(&done.dir.join("steps.json"));
        let found = steps.as_array().unwrap().iter().find(|s| s["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no step {name} in {steps}"));
        self.path().join("runs/.store").join(found["hash"].as_str().unwrap())
    }
}

pub fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn candidate<'a>(done: &'a Finished, name: &str) -> &'a Candidate {
    done.outcome.candidates.iter().find(|c| c.name == name).unwrap()
}

pub fn has_note(done: &Finished, part: &str) -> bool {
    done.outcome.verdict.notes.iter().chain(&done.outcome.data.notes).any(|n| n.contains(part))
}

/// Every file below a folder, by its path.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                out.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    out
}

/// A column of `predictions.parquet` as numbers, NaN where it is empty.
pub fn predicted(done: &Finished, column: &str) -> Vec<f32> {
    let spec = DataSpec { table: Some("predictions.parquet".to_owned()), ..DataSpec::default() };
    let data = open(&spec, &done.dir, None, None).unwrap();
    let cells = data.roles.cells.get(column).unwrap_or_else(|| panic!("{:?}", data.roles.cells.keys()));
    cells.iter().map(|c| c.parse().unwrap_or(f32::NAN)).collect()
}

/// The digests that a model directory says it was fitted on, and whether they are all.
pub fn fitted_on(model: &Path) -> (BTreeSet<String>, bool) {
    let provenance = json(&model.join("provenance.json"));
    let hex = provenance["fitting_row_digests"].as_str().unwrap();
    let digests = hex.as_bytes().chunks(16).map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
    (digests, provenance["fitting_rows_known"].as_bool().unwrap())
}
