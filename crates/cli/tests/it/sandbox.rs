//! A folder of its own for a test: small data, small recipes, the program run in it, and what it left there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How the names of unfinished files and folders begin.
const STRAY: &str = ".csl-tmp-";

/// A recipe over `t.csv` of [`two_classes`]: quick members, one fuser.
pub const SMALL: &str = "\
version: 1
name: small
task: classify
seed: 7
data:
  table: t.csv
  columns:
    id: {role: id}
    y: {role: target}
split: {holdout: 0.3}
honest: {folds: 3}
members:
  linear: {fit: logistic, on: [table]}
  bayes: {fit: naive_bayes, on: [table]}
synthesis:
  vote: {fuse: soft_vote, of: [linear, bayes]}
judge: {choose: log_loss, report: [accuracy]}
";

/// Numbers from 0 to 1 and noise, the same every time.
pub struct Chance(pub u64);

impl Chance {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Nearly normal with deviation 1.
    pub fn noise(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Rows `id,a,b,y` of the classes `p`, `q`, ... in turn; the first line is the header.
pub fn classes(rows: usize, count: usize, seed: u64) -> Vec<String> {
    let mut chance = Chance(seed);
    let mut lines = vec!["id,a,b,y".to_owned()];
    for i in 0..rows {
        let class = i % count;
        let a = class as f64 + 0.6 * chance.noise();
        let name = char::from(b'p' + u8::try_from(class).unwrap());
        lines.push(format!("{i},{a:.4},{:.4},{name}", chance.noise()));
    }
    lines
}

/// [`classes`] with two of them.
pub fn two_classes() -> Vec<String> {
    classes(60, 2, 3)
}

/// A gray picture, uncompressed.
pub fn png(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(!0u32, |mut c, b| {
            c ^= u32::from(*b);
            (0..8).for_each(|_| c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 });
            c
        })
    };
    let adler = |bytes: &[u8]| {
        let (mut a, mut b) = (1u32, 0u32);
        bytes.iter().for_each(|v| (a, b) = ((a + u32::from(*v)) % 65_521, (b + a + u32::from(*v)) % 65_521));
        (b << 16) | a
    };
    let mut raw = Vec::new();
    for row in pixels.chunks(width as usize) {
        raw.push(0);
        raw.extend(row);
    }
    let length = u16::try_from(raw.len()).unwrap();
    let mut packed = vec![0x78, 0x01, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(&raw);
    packed.extend(adler(&raw).to_be_bytes());
    let mut head = Vec::new();
    head.extend(width.to_be_bytes());
    head.extend(height.to_be_bytes());
    head.extend([8, 0, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, body) in [(b"IHDR", &head), (b"IDAT", &packed), (b"IEND", &Vec::new())] {
        out.extend((body.len() as u32).to_be_bytes());
        let part = [&name[..], body.as_slice()].concat();
        out.extend(&part);
        out.extend(crc(&part).to_be_bytes());
    }
    out
}

/// How a command ended.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// It did what was asked.
    pub fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }

    /// It ended with `code` and said all of `says`.
    pub fn fails(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        for part in says {
            assert!(self.err.contains(part), "\"{part}\" is not in:\n{}", self.err);
        }
        self
    }

    /// What it printed as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e} in:\n{}", self.out))
    }
}

/// See the module.
pub struct Sandbox(tempfile::TempDir);

impl Sandbox {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a table and a recipe.
    pub fn with(table: &[String], recipe: &str) -> Self {
        let sandbox = Self::new();
        sandbox.table("t.csv", table);
        sandbox.write("r.yaml", recipe);
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn table(&self, name: &str, lines: &[String]) {
        let mut text = String::new();
        lines.iter().for_each(|l| writeln!(text, "{l}").unwrap());
        self.write(name, text);
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_csl"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn csl(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The only finished or begun run below `runs`.
    pub fn run(&self, runs: &str) -> PathBuf {
        let all = self.runs(runs);
        assert_eq!(all.len(), 1, "{all:?}");
        self.path(runs).join(&all[0])
    }

    /// The names of the runs below `runs`.
    pub fn runs(&self, runs: &str) -> Vec<String> {
        names(&self.path(runs)).into_iter().filter(|n| !n.starts_with('.')).collect()
    }

    /// No stray anywhere, and every stored step is whole.
    pub fn nothing_half_written(&self) {
        for file in tree(self.0.path()).keys() {
            assert!(!file.contains(STRAY), "a stray: {file}");
        }
        let store = self.path("runs/.store");
        for step in names(&store) {
            assert!(store.join(&step).join("done.json").is_file(), "half a step: {step}");
        }
    }

    /// As [`Sandbox::nothing_half_written`], and there is no run.
    pub fn no_run(&self) {
        self.nothing_half_written();
        assert_eq!(self.runs("runs"), Vec::<String>::new());
    }
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every file below a folder, and every empty folder, by its path with its bytes.
pub fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for name in names(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            let inner = tree(&path);
            if inner.is_empty() {
                out.insert(format!("{name}/"), Vec::new());
            }
            out.extend(inner.into_iter().map(|(n, b)| (format!("{name}/{n}"), b)));
        } else {
            out.insert(name, std::fs::read(&path).unwrap());
        }
    }
    out
}

/// What two runs of one recipe must have in common, byte for byte.
pub fn same_bytes(a: &Path, b: &Path) {
    let (left, right) = (tree(&a.join("model")), tree(&b.join("model")));
    assert!(left.contains_key("manifest.json"), "{} has no model", a.display());
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, bytes) in &left {
        assert!(right[name] == *bytes, "model/{name} differs");
    }
    for name in ["predictions.parquet", "metrics.jsonl", "recipe.resolved.yaml", "steps.json"] {
        let read = |run: &Path| std::fs::read(run.join(name)).unwrap();
        assert!(read(a) == read(b), "{name} differs");
    }
}
