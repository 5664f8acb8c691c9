//! What a run leaves: every file, the same bytes, a model that says what was reported.

use consilience_core::model::Stop;
use consilience_engine::predict;
use consilience_engine::run::{Request, open_data, run};

use crate::place::{HALVES, Place, Seen, candidate, files, has_note, json, predicted, recipe};

const FUSES: &str = "vote: {fuse: soft_vote, of: [knows_a, knows_b]}, \
                     net: {fusion: concat, on: [table, v], epochs: 2, encoders: {table: {mlp: {hidden: [4]}}, v: {mlp: {hidden: [4]}}}}";

/// Halves, a vote, and a network over a table and a vector made of its columns.
fn text() -> String {
    recipe("validation", &format!("{HALVES}, deep: {{fit: mlp, on: [table], hidden: [6], epochs: 6}}"), FUSES)
        .replace("c: {type: number}", "c: {type: number}, v: {type: vector, columns: [a, b]}")
}

#[test]
fn a_run_leaves_every_file_and_a_model_that_says_what_was_reported() {
    let place = Place::new();
    let done = place.run(&text());
    let left = files(&done.dir);
    for name in [
        "recipe.resolved.yaml",
        "env.json",
        "cost.json",
        "metrics.jsonl",
        "steps.json",
        "outcome.json",
        "predictions.parquet",
        "report.html",
        "model/config.json",
        "model/model.safetensors",
        "model/README.md",
        "model/metrics.json",
        "model/provenance.json",
        "model/manifest.json",
    ] {
        assert!(left.get(name).is_some_and(|b| !b.is_empty()), "{name} of {:?}", left.keys());
    }
    for line in String::from_utf8(left["metrics.jsonl"].clone()).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let outcome: consilience_engine::outcome::Outcome =
        serde_json::from_value(json(&done.dir.join("outcome.json"))).unwrap();
    assert_eq!(outcome.verdict, done.outcome.verdict);
    let costs = json(&done.dir.join("cost.json"));
    assert_eq!(costs["candidates"].as_object().unwrap().len(), 6);
    assert!(!json(&done.dir.join("env.json"))["instruction set"].as_str().unwrap().is_empty());
    for said in ["env.json", "model/provenance.json"] {
        assert_eq!(json(&done.dir.join(said))["device"], "cpu", "{said}");
    }
    let folder = place.path().to_string_lossy().into_owned();
    for (name, bytes) in &left {
        let inside = bytes.windows(folder.len()).any(|w| w == folder.as_bytes());
        assert!(!inside, "{name} names a path of this machine");
    }
    // The exported model predicts what predictions.parquet says.
    let exported = &done.outcome.verdict.exported;
    let opened = predict::open(&done.dir.join("model"), &place.path().join("rows.csv"), None).unwrap();
    let all = opened.predict(&Stop::default()).unwrap();
    let ids = predicted(&done, "id");
    assert_eq!(ids.len(), 120);
    for (k, class) in ["no", "yes"].iter().enumerate() {
        let said = predicted(&done, &format!("{exported}: {class}"));
        for (id, p) in ids.iter().zip(&said) {
            let again = all.p().unwrap()[[*id as usize, k]];
            assert!((again - p).abs() < 1e-6, "row {id}: {again} {p}");
        }
    }
    let accuracy = candidate(&done, exported).scores[1].value;
    let yes = predicted(&done, &format!("{exported}: yes"));
    let right = ids.iter().zip(&yes).filter(|(id, p)| (**p > 0.5) == crate::place::row(1, **id as usize).yes);
    assert!((right.count() as f64 / 120.0 - accuracy).abs() < 1e-9);
    // What it looks at.
    assert!(!done.outcome.importances.is_empty());
    assert_eq!(candidate(&done, "net").subsets.len(), 3);
}

#[test]
fn runs_are_the_same_bytes_and_done_steps_are_kept() {
    let place = Place::new();
    let kept = |runs: &str, threads: usize, fresh: bool| {
        let pool = rayon_threads(threads);
        let seen = Seen::default();
        let done = pool(&|| place.request(&text(), runs, fresh, &seen).unwrap());
        let mut bytes = files(&done.dir.join("model"));
        bytes.insert("predictions".into(), std::fs::read(done.dir.join("predictions.parquet")).unwrap());
        bytes.insert("steps".into(), std::fs::read(done.dir.join("steps.json")).unwrap());
        (bytes, seen.done(), done.outcome.run)
    };
    let (one, done, name) = kept("one", 1, false);
    assert!(done.len() > 15);
    let (two, _, same) = kept("two", 2, false);
    assert!(one == two && name == same, "threads change bytes: {:?}", differing(&one, &two));
    let (again, done, _) = kept("one", 2, false);
    assert_eq!(done, Vec::<String>::new());
    assert!(one == again, "{:?}", differing(&one, &again));
    let (fresh, done, _) = kept("one", 2, true);
    assert!(done.len() > 15);
    assert!(one == fresh, "{:?}", differing(&one, &fresh));
}

type Files = std::collections::BTreeMap<String, Vec<u8>>;

fn differing(a: &Files, b: &Files) -> Vec<String> {
    a.iter().filter(|(n, v)| b.get(*n) != Some(v)).map(|(n, _)| n.clone()).collect()
}

fn rayon_threads<T: Send>(threads: usize) -> impl Fn(&(dyn Fn() -> T + Sync)) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    move |work| pool.install(work)
}

#[test]
fn the_resolved_recipe_is_the_same_run() {
    let place = Place::new();
    let done = place.run(&text());
    let resolved = std::fs::read_to_string(done.dir.join("recipe.resolved.yaml")).unwrap();
    let seen = Seen::default();
    let again = place.request(&resolved, "runs", false, &seen).unwrap();
    assert_eq!((again.outcome.run, seen.done()), (done.outcome.run.clone(), Vec::new()));
    assert_eq!(std::fs::read_to_string(again.dir.join("recipe.resolved.yaml")).unwrap(), resolved);
    // Another seed and other data are other runs.
    let other = place.run(&text().replace("seed: 3", "seed: 4"));
    assert_ne!(other.outcome.run, done.outcome.run);
    place.write("rows.csv", crate::place::csv(2, 0, 400));
    assert_ne!(place.run(&text()).outcome.run, done.outcome.run);
}

#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let place = Place::new();
    let stop = Stop::default();
    let watch = StopAfter { stop: stop.clone(), left: std::sync::Mutex::new(4), progress: false };
    let error = place.watched(&text(), "runs", false, &stop, &watch).unwrap_err();
    assert_eq!(error.exit_code(), 130);
    let before = place.steps();
    assert!(before >= 3, "{before}");
    let whole = {
        let other = Place::new();
        files(&other.run(&text()).dir.join("model"))
    };
    let seen = Seen::default();
    let done = place.request(&text(), "runs", false, &seen).unwrap();
    assert_eq!(place.steps(), before + seen.done().len());
    assert!(files(&done.dir.join("model")) == whole);
}

#[test]
fn a_stopped_fit_goes_on_at_its_batch() {
    let place = Place::new();
    let text = recipe(
        "validation",
        "deep: {fit: mlp, on: [table], hidden: [6], epochs: 30, batch: 50, patience: 30}",
        "",
    );
    let stop = Stop::default();
    // 160 rows are learned from, in four batches: the twelfth epoch is cut short.
    let watch = StopAfter { stop: stop.clone(), left: std::sync::Mutex::new(46), progress: true };
    let error = place.watched(&text, "runs", false, &stop, &watch).unwrap_err();
    assert_eq!(error.exit_code(), 130);
    let store = files(&place.path().join("runs/.store"));
    let kept: Vec<&String> = store.keys().filter(|n| n.contains(".kept/network-")).collect();
    assert_eq!((kept.len(), store.len()), (1, 1), "{:?}", store.keys());
    let told = Told::default();
    let done = place.watched(&text, "runs", false, &Stop::default(), &told).unwrap();
    let first = *told.0.lock().unwrap().first().unwrap();
    assert_eq!(first, 46 + 1);
    assert!(!files(&place.path().join("runs/.store")).keys().any(|n| n.contains(".kept")));
    let whole = place.request(&text, "calm", false, &Seen::default()).unwrap();
    assert!(files(&done.dir.join("model")) == files(&whole.dir.join("model")));
}

/// Notes how far each fit has come.
#[derive(Default)]
struct Told(std::sync::Mutex<Vec<u64>>);

impl consilience_engine::run::Watch for Told {
    fn begin(&self, _: &str) {}
    fn progress(&self, _: &str, done: u64, _: u64, note: &str) {
        if note.starts_with("epoch") {
            self.0.lock().unwrap().push(done);
        }
    }
    fn end(&self, _: &str, _: f64, _: bool) {}
}

/// Stops after so many steps of a run, or of a fit.
struct StopAfter {
    stop: Stop,
    left: std::sync::Mutex<u32>,
    progress: bool,
}

impl StopAfter {
    fn count(&self) {
        let mut left = self.left.lock().unwrap();
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.stop.request();
        }
    }
}

impl consilience_engine::run::Watch for StopAfter {
    fn begin(&self, _: &str) {}
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {
        if self.progress {
            self.count();
        }
    }
    fn end(&self, _: &str, _: f64, _: bool) {
        if !self.progress {
            self.count();
        }
    }
}

#[test]
fn impossible_metrics_are_found_before_any_work() {
    let place = Place::new();
    let text = "id,a,part,label\n".to_owned()
        + &(0..90)
            .map(|r| format!("{r},{},{},{}\n", r % 5, crate::place::part(r), ["x", "y", "z"][r % 3]))
            .collect::<String>();
    place.write("rows.csv", text);
    let recipe = "version: 1\nname: m\ntask: classify\n\
         data: {table: rows.csv, only: true, columns: {id: {role: id}, a: {}, label: {role: target}}}\n\
         split: {column: part}\nhonest: validation\nmembers: {one: {fit: logistic, on: [a]}}\n\
         judge: {choose: log_loss, report: [ks]}\n";
    let (code, error) = place.refused(recipe);
    assert!(code == 2 && error.contains("ks"), "{error}");
    assert_eq!(place.steps(), 0);
    let few = recipe.replace("report: [ks]", "report: [accuracy], resamples: 20");
    let (code, error) = place.refused(&few);
    assert!(code == 2 && error.contains("judge") && error.contains("resamples"), "{error}");
    assert_eq!(place.steps(), 0);
    let alone = "version: 1\nname: m\ntask: classify\n\
         data: {table: rows.csv, only: true, columns: {id: {role: id}, a: {}, v: {type: vector, columns: [a]}, label: {role: target}}}\n\
         split: {column: part}\nhonest: validation\nsynthesis: {net: {fusion: late, on: [table, v]}}\n";
    let (code, error) = place.refused(alone);
    assert!(code == 2 && error.contains("single member"), "{error}");
    assert_eq!(place.steps(), 0);
}

#[test]
fn without_resamples_there_is_no_verdict() {
    let place = Place::new();
    let text = recipe("validation", HALVES, "vote: {fuse: soft_vote, of: [knows_a, knows_b]}");
    let done = place.run(&text.replace("resamples: 300", "resamples: 0"));
    let verdict = &done.outcome.verdict;
    assert!(verdict.sentence.starts_with("No verdict"), "{}", verdict.sentence);
    assert!(!verdict.gain && verdict.difference.is_none());
    assert_eq!(verdict.exported, verdict.best_single);
    assert!(!has_note(&done, "did not show the gain"));
}

#[test]
fn data_that_were_opened_for_the_plan_are_not_opened_again() {
    let place = Place::new();
    let text = recipe("validation", HALVES, "vote: {fuse: soft_vote, of: [knows_a, knows_b]}");
    let whole = place.run(&text);
    let recipe = place.recipe(&text);
    let opened = open_data(&recipe, place.path()).unwrap();
    let table = std::fs::read(place.path().join("rows.csv")).unwrap();
    std::fs::remove_file(place.path().join("rows.csv")).unwrap();
    let again = |opened| {
        run(&Request {
            recipe: &recipe,
            root: place.path().to_path_buf(),
            opened,
            base: place.path().to_path_buf(),
            runs: place.path().join("other"),
            fresh: false,
            keep_every: std::time::Duration::ZERO,
            command: "csl run t.yaml".to_owned(),
            stop: &Stop::default(),
            watch: &Seen::default(),
        })
    };
    let done = again(Some(&opened)).unwrap();
    assert_eq!(done.dir.file_name(), whole.dir.file_name());
    assert!(files(&done.dir.join("model")) == files(&whole.dir.join("model")), "the model differs");
    assert!(again(None).unwrap_err().to_string().contains("rows.csv"));
    place.write("rows.csv", table);
    again(None).unwrap();
}
