//! The store of steps: `<runs>/.store/<hash>/`. A step that is there is not done again, by any recipe.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use consilience_core::files::{AtomicDir, Hasher, STRAY_PREFIX, sweep_strays};
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The folder of the store inside the folder of the runs.
pub const FOLDER: &str = ".store";

/// One step of a run, as `steps.json` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// What it is for: "member looks, fold 3".
    pub name: String,
    /// What is done: fit, predict, fuse, ...
    pub kind: String,
    /// The hash of everything that its result depends on.
    pub hash: String,
}

/// A finished step.
#[derive(Debug, Clone)]
pub struct Step {
    /// The hash of everything that its result depends on.
    pub hash: String,
    /// The folder with its result.
    pub path: PathBuf,
    /// The seconds that it took when it was done.
    pub seconds: f64,
    /// Whether it was done in this run.
    pub fresh: bool,
}

/// The steps of all recipes whose runs are in one folder.
pub struct Store {
    root: PathBuf,
    redo: bool,
    used: Mutex<Vec<StepRecord>>,
}

#[derive(Serialize, Deserialize)]
struct Done {
    seconds: f64,
}

/// What never changes a hash is kept out of it: times, paths, threads. What is in it: the kind, the parameters, the
/// seed, the inputs' hashes, the device and the instruction set.
fn hash_of(kind: &str, key: &Value) -> String {
    let (set, device) = (instruction_set(), crate::device::name());
    Hasher::new().part(kind).part(set).part(device).part(canonical(key)).finish()
}

/// JSON with sorted keys and no white space.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(k, _)| k.as_str());
            let inner: Vec<String> = entries
                .iter()
                .map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical(v)))
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// The widest vector instructions of this processor: results agree across them only within a tolerance.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            return "x86_64-avx512";
        }
        if std::is_x86_feature_detected!("avx2") {
            return "x86_64-avx2";
        }
    }
    std::env::consts::ARCH
}

impl Store {
    /// Opens the store below `runs`, sweeping what a killed run left unfinished. With `redo`, steps of this run are
    /// done again even if they are there.
    ///
    /// # Errors
    /// [`Error::Write`] if the folder cannot be made.
    pub fn open(runs: &Path, redo: bool) -> Result<Self> {
        let root = runs.join(FOLDER);
        fs::create_dir_all(&root).map_err(|e| Error::write(&root, e))?;
        sweep_strays(&root)?;
        Ok(Self { root, redo, used: Mutex::new(Vec::new()) })
    }

    /// Does a step, or finds it done. `work` writes into the folder it is given; the folder appears in the store only
    /// when `work` has succeeded.
    ///
    /// # Errors
    /// What `work` says, or [`Error::Write`].
    pub fn step(
        &self,
        name: &str,
        kind: &str,
        key: &Value,
        work: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Step> {
        let hash = hash_of(kind, key);
        let path = self.root.join(&hash);
        let kept = self.kept(kind, key);
        let already = self.record(name, kind, &hash);
        if path.join("done.json").is_file() && (!self.redo || already) {
            let seconds = fs::read_to_string(path.join("done.json"))
                .ok()
                .and_then(|t| serde_json::from_str::<Done>(&t).ok())
                .map_or(0.0, |d| d.seconds);
            return Ok(Step { hash, path, seconds, fresh: false });
        }
        if self.redo && !already {
            forget(&kept)?;
        }
        let dir = AtomicDir::begin(&path)?;
        let start = Instant::now();
        work(dir.path())?;
        let seconds = start.elapsed().as_secs_f64();
        let done = serde_json::to_vec(&Done { seconds }).map_err(|e| Error::internal(e.to_string()))?;
        let mark = dir.path().join("done.json");
        fs::write(&mark, done).map_err(|e| Error::write(&mark, e))?;
        dir.commit()?;
        forget(&kept)?;
        Ok(Step { hash, path, seconds, fresh: true })
    }

    /// The folder where a long step keeps what it has reached, for when it is begun again; it goes when the step is done.
    /// It need not be there.
    pub fn kept(&self, kind: &str, key: &Value) -> PathBuf {
        self.root.join(format!("{}.kept", hash_of(kind, key)))
    }

    /// Notes that this run uses a step; whether it did so before.
    fn record(&self, name: &str, kind: &str, hash: &str) -> bool {
        let mut used = self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let already = used.iter().any(|s| s.hash == hash);
        if !already {
            used.push(StepRecord { name: name.to_owned(), kind: kind.to_owned(), hash: hash.to_owned() });
        }
        already
    }

    /// The steps of this run so far, in order.
    pub fn used(&self) -> Vec<StepRecord> {
        self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

fn forget(kept: &Path) -> Result<()> {
    match fs::remove_dir_all(kept) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::write(kept, e)),
        _ => Ok(()),
    }
}

/// Removes the steps that no run below `runs` names, and what unfinished ones have kept; the number of steps removed and the bytes freed.
///
/// # Errors
/// [`Error::Read`] or [`Error::Write`] naming the path.
pub fn prune(runs: &Path) -> Result<(usize, u64)> {
    let mut wanted = std::collections::BTreeSet::new();
    for entry in fs::read_dir(runs).map_err(|e| Error::read(runs, e))?.flatten() {
        let steps = entry.path().join("steps.json");
        let Ok(text) = fs::read_to_string(&steps) else { continue };
        let records: Vec<StepRecord> = serde_json::from_str(&text).map_err(|e| {
            Error::data(format!("the list of steps cannot be understood: {e}")).at(steps.display())
        })?;
        wanted.extend(records.into_iter().map(|r| r.hash));
    }
    let store = runs.join(FOLDER);
    let (mut count, mut bytes) = (0, 0);
    sweep_strays(&store)?;
    let Ok(entries) = fs::read_dir(&store) else { return Ok((0, 0)) };
    for entry in entries.flatten() {
        let path = entry.path();
        // What is still unfinished after the sweep belongs to a run at work.
        let unfinished = entry.file_name().to_string_lossy().starts_with(STRAY_PREFIX);
        if path.is_dir() && !unfinished && !wanted.contains(&entry.file_name().to_string_lossy().into_owned())
        {
            bytes += size_of_tree(&path);
            fs::remove_dir_all(&path).map_err(|e| Error::write(&path, e))?;
            count += 1;
        }
    }
    Ok((count, bytes))
}

/// The bytes of all files below a folder.
pub fn size_of_tree(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|e| match e.metadata() {
            Ok(m) if m.is_dir() => size_of_tree(&e.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_step_is_done_once_and_a_failed_one_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), false).unwrap();
        let key = json!({"b": 1, "a": [2, "x"]});
        let failed = store.step("s", "fit", &key, |p| {
            fs::write(p.join("half"), "1").unwrap();
            Err(Error::Interrupted)
        });
        assert!(failed.is_err());
        let write = |p: &Path| fs::write(p.join("x"), "1").map_err(|e| Error::write(p, e));
        let first = store.step("s", "fit", &key, write).unwrap();
        assert!(first.fresh);
        let again =
            store.step("s", "fit", &json!({"a": [2, "x"], "b": 1}), |_| panic!("done twice")).unwrap();
        assert_eq!((again.fresh, &again.hash), (false, &first.hash));
        assert_ne!(store.step("s", "fit", &json!({"b": 2}), write).unwrap().hash, first.hash);
        assert_ne!(store.step("s", "predict", &key, write).unwrap().hash, first.hash);
        let redo = Store::open(dir.path(), true).unwrap();
        assert!(redo.step("s", "fit", &key, write).unwrap().fresh);
        assert!(!redo.step("s", "fit", &key, write).unwrap().fresh);
        assert_eq!(redo.used().len(), 1);
    }

    #[test]
    fn what_a_step_has_reached_stays_until_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), false).unwrap();
        let key = json!({"epochs": 3});
        let kept = store.kept("fit", &key);
        let begin = |_: &Path| {
            fs::create_dir_all(&kept).and_then(|()| fs::write(kept.join("epoch"), "2")).unwrap();
            Err(Error::Interrupted)
        };
        assert!(store.step("s", "fit", &key, begin).is_err());
        let again = Store::open(dir.path(), false).unwrap();
        let reached = |_: &Path| {
            assert_eq!(fs::read_to_string(kept.join("epoch")).unwrap(), "2");
            Ok(())
        };
        again.step("s", "fit", &key, reached).unwrap();
        assert!(!kept.exists());
        // Doing it afresh starts at the beginning.
        fs::create_dir(&kept).unwrap();
        let fresh = |_: &Path| {
            assert!(!kept.exists());
            Ok(())
        };
        Store::open(dir.path(), true).unwrap().step("s", "fit", &key, fresh).unwrap();
    }

    #[test]
    fn pruning_keeps_what_a_run_names() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), false).unwrap();
        let write = |p: &Path| fs::write(p.join("x"), "1").map_err(|e| Error::write(p, e));
        let kept = store.step("a", "fit", &json!(1), write).unwrap();
        fs::create_dir(dir.path().join("run-1")).unwrap();
        fs::write(dir.path().join("run-1/steps.json"), serde_json::to_string(&store.used()).unwrap())
            .unwrap();
        let gone = store.step("b", "fit", &json!(2), write).unwrap();
        // Process 1 is always there.
        let at_work = dir.path().join(FOLDER).join(format!("{STRAY_PREFIX}1-0-x"));
        fs::create_dir(&at_work).unwrap();
        let (count, bytes) = prune(dir.path()).unwrap();
        assert_eq!(count, 1);
        assert!(bytes > 0);
        assert!(at_work.exists());
        assert!(kept.path.exists() && !gone.path.exists());
    }
}
