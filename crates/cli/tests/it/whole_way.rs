//! The whole way on small tables: init, check, plan, run, predict, evaluate, report, runs; and the promise that the same
//! recipe gives the same bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use super::sandbox::{Chance, Sandbox, same_bytes, tree};

/// Quick members on two modalities, and every light fuser.
pub const RECIPE: &str = "\
version: 1
name: whole
task: classify
seed: 7
data:
  table: t.csv
  columns:
    id: {role: id}
    y: {role: target}
    kind: {type: category}
    v: {type: vector, columns: [v1, v2, v3]}
split: {holdout: 0.3}
honest: {folds: 3}
members:
  linear: {fit: logistic, on: [table]}
  bayes: {fit: naive_bayes, on: [table]}
  forest: {fit: random_forest, on: [table], trees: 20}
  other: {fit: logistic, on: [v]}
synthesis:
  vote: {fuse: soft_vote, of: [linear, bayes, forest, other]}
  weighted: {fuse: weighted, of: [linear, bayes, forest, other]}
  stacked: {fuse: stacking, of: [linear, bayes, forest, other]}
  experts: {fuse: gate, of: [linear, bayes, forest, other]}
  greedy: {fuse: greedy, of: [linear, bayes, forest, other]}
judge: {choose: log_loss, report: [accuracy]}
";

/// 300 rows of three classes: the numbers tell `lo` from the others, the vector tells `hi` from the others. Some numbers
/// and categories are missing, some vectors absent.
pub fn table() -> Vec<String> {
    let mut chance = Chance(1);
    let mut lines = vec!["id,a,b,kind,v1,v2,v3,y".to_owned()];
    for i in 0..300 {
        let class = i % 3;
        let (low, high) = (f64::from(u8::from(class == 0)), f64::from(u8::from(class == 2)));
        let a =
            if chance.unit() < 0.1 { String::new() } else { format!("{:.4}", 3.0 * low + chance.noise()) };
        let b = 2.0 * low + chance.noise();
        let kind = ["x", "y", "z", ""][(chance.bits() % 4) as usize];
        let mut v = String::new();
        let absent = chance.unit() < 0.05;
        for _ in 0..3 {
            let value = format!("{:.4}", 2.0 * high + chance.noise());
            v.push_str(if absent { "" } else { &value });
            v.push(',');
        }
        lines.push(format!("r{i},{a},{b:.4},{kind},{v}{}", ["lo", "mid", "hi"][class]));
    }
    lines
}

/// The lines of a csv file, cells apart.
fn cells(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|l| l.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn classes_from_init_to_prune() {
    let sandbox = Sandbox::with(&table(), RECIPE);
    let written = sandbox.csl(&["init", "t.csv", "--target", "y", "--out", "recipes/first.yaml"]).fine().out;
    assert!(written.contains("csl plan recipes/first.yaml"), "{written}");
    let said = sandbox.csl(&["check", "recipes/first.yaml"]).fine().out;
    assert!(said.contains("fine; 300 rows"), "{said}");
    sandbox.csl(&["check", "r.yaml"]).fine();
    let plan = sandbox.csl(&["plan", "r.yaml"]).fine().out;
    for part in
        ["300 rows: 210 for fitting", "90 for judging", "3 folds", "vector", "fuse: gate", "memory about"]
    {
        assert!(plan.contains(part), "\"{part}\" is not in:\n{plan}");
    }
    assert!(!sandbox.path("runs").exists());

    let out = sandbox.csl(&["run", "r.yaml"]).fine().out;
    assert!(out.contains("Gain:") || out.contains("gain"), "{out}");
    let run = sandbox.run("runs");
    for file in [
        "recipe.resolved.yaml",
        "env.json",
        "cost.json",
        "metrics.jsonl",
        "steps.json",
        "predictions.parquet",
        "report.html",
        "outcome.json",
        "model/config.json",
        "model/manifest.json",
    ] {
        assert!(run.join(file).is_file(), "{file} is not there");
    }
    // What was resolved is a recipe again, and means the same.
    sandbox.write("again.yaml", std::fs::read(run.join("recipe.resolved.yaml")).unwrap());
    sandbox.csl(&["run", "again.yaml", "--data", "."]).fine();
    assert_eq!(sandbox.runs("runs").len(), 1);

    let model = run.join("model");
    let model = model.to_str().unwrap();
    predictions_of(&sandbox, model);

    let scores = sandbox.csl(&["evaluate", model, "t.csv", "--json"]).fine().json();
    assert_eq!(scores["rows"].as_u64().unwrap() + scores["silent"].as_u64().unwrap(), 300);
    let accuracy =
        scores["scores"].as_array().unwrap().iter().find(|s| s["metric"] == "accuracy").unwrap().clone();
    assert!(accuracy["value"].as_f64().unwrap() > 0.7, "{accuracy}");
    let one = sandbox.csl(&["evaluate", model, "t.csv", "--metrics", "brier,ece", "--json"]).fine().json();
    assert_eq!(one["scores"].as_array().unwrap().len(), 2);

    let report = std::fs::read(run.join("report.html")).unwrap();
    std::fs::remove_file(run.join("report.html")).unwrap();
    sandbox.csl(&["report", run.to_str().unwrap()]).fine();
    assert!(std::fs::read(run.join("report.html")).unwrap() == report, "the report changed");
    let listed = sandbox.csl(&["runs"]).fine().out;
    assert!(listed.contains("whole-"), "{listed}");

    // Steps of a run that is gone are pruned, those of the other stay.
    sandbox.csl(&["run", "r.yaml", "--seed", "8"]).fine();
    assert_eq!(sandbox.runs("runs").len(), 2);
    let before = tree(&sandbox.path("runs/.store")).len();
    for gone in sandbox.runs("runs").into_iter().filter(|r| !run.ends_with(r)) {
        std::fs::remove_dir_all(sandbox.path("runs").join(gone)).unwrap();
    }
    let pruned = sandbox.csl(&["runs", "--prune", "--json"]).fine().json();
    assert!(pruned["removed_steps"].as_u64().unwrap() > 5, "{pruned}");
    assert!(tree(&sandbox.path("runs/.store")).len() < before);
    let done = marks(&sandbox, "runs");
    sandbox.csl(&["run", "r.yaml"]).fine();
    assert_eq!(marks(&sandbox, "runs"), done);
}

/// Predictions as csv and parquet, with parts of the inputs missing.
fn predictions_of(sandbox: &Sandbox, model: &str) {
    sandbox.csl(&["predict", model, "t.csv", "--out", "p.csv"]).fine();
    sandbox.csl(&["predict", model, "t.csv", "--out", "p.parquet"]).fine();
    let parquet = std::fs::read(sandbox.path("p.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let rows = cells(&sandbox.path("p.csv"));
    assert_eq!(rows[0], ["id", "predicted", "hi", "lo", "mid"]);
    assert_eq!(rows.len(), 301);
    // Ids stand as they do in the data.
    assert!((0..300).all(|r| rows[r + 1][0] == format!("r{r}")));
    let sum: f64 = rows[1][2..].iter().map(|c| c.parse::<f64>().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-4);
    // A table without the vector, and one whose vectors are empty: the same predictions, from the numbers alone.
    let part = |from: usize, to: usize| -> Vec<String> {
        let cut = |l: &String| {
            l.split(',')
                .enumerate()
                .filter(|(i, _)| !(from..to).contains(i))
                .map(|(_, c)| c)
                .collect::<Vec<_>>()
                .join(",")
        };
        table().iter().map(cut).collect()
    };
    sandbox.table("narrow.csv", &part(4, 7));
    let blank = |l: &String| {
        let c: Vec<&str> = l.split(',').collect();
        if c[0] == "id" { l.clone() } else { format!("{},,,,{}", c[..4].join(","), c[7]) }
    };
    sandbox.table("blank.csv", &table().iter().map(blank).collect::<Vec<_>>());
    for name in ["narrow", "blank"] {
        let out = format!("{name}-p.csv");
        let ran = sandbox.csl(&["predict", model, &format!("{name}.csv"), "--out", &out, "--json"]).fine();
        assert_eq!(ran.json()["rows"], 300);
    }
    let narrow = cells(&sandbox.path("narrow-p.csv"));
    assert_eq!(narrow, cells(&sandbox.path("blank-p.csv")));
    assert_ne!(narrow, rows);
    // Numbers belong to the table: one that is not there is an error, not a guess.
    sandbox.table("less.csv", &part(1, 2));
    sandbox
        .csl(&["predict", model, "less.csv", "--out", "no.csv"])
        .fails(3, &["no column \"a\"", "at: less.csv"]);
    assert!(!sandbox.path("no.csv").exists());
}

const REGRESSION: &str = "\
version: 1
name: values
task: regress
seed: 7
data:
  table: t.csv
  columns:
    y: {role: target}
split: {holdout: 0.3}
honest: {folds: 3}
members:
  linear: {fit: linear, on: [table]}
  forest: {fit: random_forest, on: [table], trees: 20}
synthesis:
  vote: {fuse: soft_vote, of: [linear, forest]}
  weighted: {fuse: weighted, of: [linear, forest]}
  stacked: {fuse: stacking, of: [linear, forest]}
  experts: {fuse: gate, of: [linear, forest]}
  greedy: {fuse: greedy, of: [linear, forest]}
judge: {choose: rmse, report: [mae, r2]}
";

#[test]
fn values_from_init_to_evaluate() {
    let mut chance = Chance(2);
    let mut lines = vec!["a,b,kind,y".to_owned()];
    for i in 0..300 {
        let (a, b) = (chance.noise(), chance.noise());
        let bump = f64::from(i % 3) * if b > 0.0 { 2.0 } else { -1.0 };
        let shown = if chance.unit() < 0.05 { String::new() } else { format!("{b:.4}") };
        lines.push(format!(
            "{a:.4},{shown},{},{:.4}",
            ["u", "v", "w"][i as usize % 3],
            2.0 * a + bump + 0.1 * chance.noise()
        ));
    }
    let sandbox = Sandbox::with(&lines, REGRESSION);
    let first = sandbox.csl(&["init", "t.csv", "--target", "y"]).fine().out;
    assert!(first.contains("task: regress"), "{first}");
    sandbox.csl(&["plan", "r.yaml"]).fine();
    let outcome = sandbox.csl(&["run", "r.yaml", "--json"]).fine().json();
    assert_eq!(outcome["candidates"].as_array().unwrap().len(), 7);
    let model = sandbox.run("runs").join("model");
    let model = model.to_str().unwrap();
    sandbox.csl(&["predict", model, "t.csv", "--out", "p.csv"]).fine();
    let rows = cells(&sandbox.path("p.csv"));
    assert_eq!(rows[0], ["id", "value"]);
    assert_eq!(rows.len(), 301);
    let scores = sandbox.csl(&["evaluate", model, "t.csv", "--metrics", "r2", "--json"]).fine().json();
    assert!(scores["scores"][0]["value"].as_f64().unwrap() > 0.5, "{scores}");
}

#[test]
fn every_command_speaks_json() {
    let sandbox = Sandbox::with(&table(), RECIPE);
    let parse = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let ran = sandbox.csl(&arguments).fine();
        ran.json()
    };
    assert!(parse(&["init", "t.csv", "--target", "y"])["recipe"].is_string());
    assert_eq!(parse(&["init", "t.csv", "--target", "y", "--out", "new.yaml"])["recipe"], "new.yaml");
    assert_eq!(parse(&["check", "r.yaml"])["ok"], true);
    assert_eq!(parse(&["plan", "r.yaml"])["rows"], 300);
    assert!(parse(&["run", "r.yaml"])["verdict"]["sentence"].is_string());
    let run = sandbox.run("runs");
    let model = run.join("model");
    assert_eq!(parse(&["predict", model.to_str().unwrap(), "t.csv", "--out", "p.csv"])["rows"], 300);
    assert!(parse(&["evaluate", model.to_str().unwrap(), "t.csv"])["scores"].is_array());
    assert!(parse(&["report", run.to_str().unwrap()])["report"].is_string());
    assert_eq!(parse(&["runs"]).as_array().unwrap().len(), 1);
    assert_eq!(parse(&["runs", "--prune"])["removed_steps"], 0);
    assert!(parse(&["list"]).is_array());
    assert!(parse(&["schema"])["properties"].is_object());
    assert!(parse(&["doctor"])["threads"].is_string());
}

/// When each stored step was done.
fn marks(sandbox: &Sandbox, runs: &str) -> BTreeMap<String, SystemTime> {
    let store = sandbox.path(runs).join(".store");
    let entries = std::fs::read_dir(&store).unwrap().flatten();
    entries
        .map(|e| {
            let done = std::fs::metadata(e.path().join("done.json")).unwrap().modified().unwrap();
            (e.file_name().to_string_lossy().into_owned(), done)
        })
        .collect()
}

#[test]
fn the_same_recipe_gives_the_same_bytes() {
    let sandbox = Sandbox::with(&table(), RECIPE);
    sandbox.csl(&["run", "r.yaml", "--threads", "1", "--runs", "one"]).fine();
    sandbox.csl(&["run", "r.yaml", "--threads", "2", "--runs", "deep/two"]).fine();
    let (one, two) = (sandbox.run("one"), sandbox.run("deep/two"));
    assert_eq!(one.file_name(), two.file_name());
    same_bytes(&one, &two);
    // Every step is kept.
    let (first, steps) = (tree(&one.join("model")), marks(&sandbox, "one"));
    assert!(steps.len() > 20, "{}", steps.len());
    sandbox.csl(&["run", "r.yaml", "--threads", "2", "--runs", "one"]).fine();
    assert_eq!(marks(&sandbox, "one"), steps);
    assert_eq!(tree(&one.join("model")), first);
    same_bytes(&one, &two);
    // Every step is done again.
    sandbox.csl(&["run", "r.yaml", "--fresh", "--runs", "one"]).fine();
    let again = marks(&sandbox, "one");
    assert_eq!(again.keys().collect::<Vec<_>>(), steps.keys().collect::<Vec<_>>());
    assert!(again.iter().all(|(hash, time)| *time > steps[hash]), "a step was not done again");
    same_bytes(&one, &two);
    // Data from another place, and another name of the recipe's file.
    sandbox.write("elsewhere/t.csv", std::fs::read(sandbox.path("t.csv")).unwrap());
    sandbox.write("q.yaml", RECIPE);
    sandbox.csl(&["run", "q.yaml", "--data", "elsewhere", "--runs", "three"]).fine();
    same_bytes(&one, &sandbox.run("three"));
    // Another seed is another run.
    sandbox.csl(&["run", "r.yaml", "--seed", "8", "--runs", "four"]).fine();
    let four = sandbox.run("four");
    assert_ne!(four.file_name(), one.file_name());
    let read = |run: &Path| std::fs::read(run.join("predictions.parquet")).unwrap();
    assert!(read(&four) != read(&one), "the seed changes nothing");
}
