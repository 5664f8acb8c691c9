//! Sequences the whole way: one file a row, networks and learners on it, fusions with a table, predictions for new rows.

use std::fmt::Write as _;

use serde_json::Value;

use super::sandbox::{Chance, Sandbox, same_bytes};

/// The rows, the last of which are new to the model.
const ROWS: usize = 320;

const DATA: &str = "\
version: 1
name: saws
task: classify
seed: 7
data:
  table: t.csv
  columns:
    id: {role: id}
    y: {role: target}
    part: {role: ignore}
    signal: {type: sequence, path: signal_file}
split: {column: part}
";

const MEMBERS: &str = "\
honest: validation
members:
  reads: {fit: gru, on: [signal], hidden: 16, epochs: 40, rate: 0.02, clip: 1, inner: 0}
  scans: {fit: cnn, on: [signal], channels: [8, 8], epochs: 20, rate: 0.005, inner: 0}
  flat: {fit: mlp, on: [signal], hidden: [8], epochs: 2, inner: 0}
  bag: {fit: random_forest, on: [signal], trees: 50}
  knows: {fit: logistic, on: [table]}
synthesis:
  vote: {fuse: soft_vote, of: [reads, knows]}
  stacked: {fuse: stacking, of: [reads, bag, knows]}
  joint: {fusion: concat, on: [signal, table], encoders: {signal: {gru: {hidden: 8}}}, epochs: 4}
  late: {fusion: late, on: [signal, table], encoders: {signal: {gru: {hidden: 8}}}, epochs: 4}
judge: {choose: log_loss, report: [accuracy], resamples: 500}
";

/// A saw that rises and falls back, or falls and jumps up: at any phase, of any pitch, for 14 to 30 steps. The values of
/// both are the same but for their order, and so are their first and last ones; the second value of a step says nothing.
fn saw(chance: &mut Chance, rises: bool) -> Vec<[f64; 2]> {
    let steps = 14 + (chance.bits() % 17) as usize;
    let (phase, pitch) = (chance.unit(), 0.1 + 0.1 * chance.unit());
    (0..steps)
        .map(|t| {
            let up = (phase + pitch * t as f64).fract();
            [if rises { up } else { 1.0 - up } + 0.03 * chance.noise(), chance.noise()]
        })
        .collect()
}

fn npy(steps: &[[f64; 2]]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}, 2), }}", steps.len());
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    out.extend(header.bytes());
    out.extend(steps.iter().flatten().flat_map(|v| v.to_le_bytes()));
    out
}

/// The files, and the lines of the table with its header first. Every eighth file is an array, every 23rd row has none;
/// the number `a` says a little about the class.
fn saws(sandbox: &Sandbox) -> Vec<String> {
    let mut chance = Chance(5);
    let mut lines = vec!["id,signal_file,a,y,part".to_owned()];
    for i in 0..ROWS {
        let rises = chance.unit() < 0.5;
        let steps = saw(&mut chance, rises);
        let mut name = format!("signals/{i}.csv");
        if i % 8 == 3 {
            name = format!("signals/{i}.npy");
            sandbox.write(&name, npy(&steps));
        } else {
            let mut text = "level,other\n".to_owned();
            steps.iter().for_each(|[a, b]| writeln!(text, "{a:.5},{b:.5}").unwrap());
            sandbox.write(&name, text);
        }
        if i % 23 == 7 {
            name.clear();
        }
        let a = 0.5 * f64::from(u8::from(rises)) + chance.noise();
        let part = ["train", "train", "train", "val", "test"][i % 5];
        lines.push(format!("{i},{name},{a:.4},{},{part}", if rises { "rise" } else { "fall" }));
    }
    lines
}

fn candidate<'a>(outcome: &'a Value, name: &str) -> &'a Value {
    let all = outcome["candidates"].as_array().unwrap();
    all.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

fn score<'a>(outcome: &'a Value, name: &str, metric: &str) -> &'a Value {
    let scores = candidate(outcome, name)["scores"].as_array().unwrap();
    scores.iter().find(|s| s["metric"] == metric).unwrap()
}

/// The rows of predictions, cells apart.
fn cells(sandbox: &Sandbox, name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(sandbox.path(name)).unwrap();
    text.lines().map(|l| l.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn order_is_learned_and_new_rows_are_predicted() {
    let sandbox = Sandbox::new();
    let lines = saws(&sandbox);
    sandbox.table("t.csv", &lines);
    sandbox.write("r.yaml", format!("{DATA}{MEMBERS}"));
    let plan = sandbox.csl(&["plan", "r.yaml"]).fine().out;
    assert!(
        plan.contains("up to 30x2") && plan.contains("signal[30x3]") && plan.contains("signal[13]"),
        "{plan}"
    );
    let outcome = sandbox.csl(&["run", "r.yaml", "--json", "--threads", "1", "--runs", "one"]).fine().json();
    // The resolved recipe is itself a recipe, whatever keys its networks have.
    let resolved = sandbox.run("one").join("recipe.resolved.yaml");
    sandbox.csl(&["check", resolved.to_str().unwrap(), "--data", "."]).fine();
    let number = |v: &Value| v.as_f64().unwrap_or_else(|| panic!("{v}"));
    let accuracy = |name: &str| score(&outcome, name, "accuracy");
    let (reads, bag) = (accuracy("reads"), accuracy("bag"));
    assert!(number(&reads["value"]) > 0.9, "{reads}");
    // What does not know the order guesses, and is worse beyond the interval of the paired difference.
    assert!(number(&bag["interval"]["high"]) < number(&reads["interval"]["low"]), "{bag} {reads}");
    assert!(["reads", "scans"].contains(&outcome["verdict"]["best_single"].as_str().unwrap()));
    let behind = &score(&outcome, "bag", "log_loss")["against_best_single"];
    assert!(number(&behind["low"]) > 0.0, "{behind}");
    for name in ["reads", "bag", "flat"] {
        assert!(
            number(&candidate(&outcome, name)["silent"]) > 0.0,
            "{name} has spoken of rows without a signal"
        );
    }
    for name in ["knows", "vote", "joint", "late"] {
        assert_eq!(candidate(&outcome, name)["silent"], 0, "{name}");
    }
    assert_eq!(candidate(&outcome, "joint")["subsets"].as_array().unwrap().len(), 3);

    sandbox.csl(&["run", "r.yaml", "--threads", "2", "--runs", "two"]).fine();
    same_bytes(&sandbox.run("one"), &sandbox.run("two"));

    // New rows, some without a signal: the exported composition falls back on the table.
    let model = sandbox.run("one").join("model");
    let model = model.to_str().unwrap();
    let fresh: Vec<String> = lines.iter().take(1).chain(&lines[1..60]).cloned().collect();
    sandbox.table("new.csv", &fresh);
    sandbox.csl(&["predict", model, "new.csv", "--out", "p.csv"]).fine();
    let rows = cells(&sandbox, "p.csv");
    assert_eq!((rows[0].join(","), rows.len()), ("id,predicted,fall,rise".to_owned(), 60));
    // A table whose signals are all empty, and one without the column: the same.
    let cut = |keep: bool| -> Vec<String> {
        fresh
            .iter()
            .map(|l| {
                let mut c: Vec<&str> = l.split(',').collect();
                match (c[0], keep) {
                    (_, false) => {
                        c.remove(1);
                    }
                    ("id", true) => {}
                    (_, true) => c[1] = "",
                }
                c.join(",")
            })
            .collect()
    };
    sandbox.table("empty.csv", &cut(true));
    sandbox.table("without.csv", &cut(false));
    for name in ["empty", "without"] {
        sandbox.csl(&["predict", model, &format!("{name}.csv"), "--out", &format!("{name}-p.csv")]).fine();
    }
    assert_eq!(cells(&sandbox, "empty-p.csv"), cells(&sandbox, "without-p.csv"));
}

/// A recipe with one member on the signals, by folds.
fn alone(member: &str) -> String {
    format!(
        "{DATA}honest: {{folds: 3}}\nmembers:\n  one: {member}\njudge: {{choose: log_loss, resamples: 0}}\n"
    )
    .replace("split: {column: part}", "split: {holdout: 0.3}")
}

#[test]
fn the_smallest_recipes_run_by_folds_and_silent_rows_stay_silent() {
    let sandbox = Sandbox::new();
    let lines: Vec<String> = saws(&sandbox).into_iter().take(61).collect();
    sandbox.table("t.csv", &lines);
    // No fold but one holds the longest row; every fold reads it all the same.
    for (i, member) in ["{fit: gru, on: [signal], epochs: 1}", "{fit: random_forest, on: [signal], trees: 5}"]
        .iter()
        .enumerate()
    {
        let runs = format!("runs{i}");
        sandbox.write("r.yaml", alone(member));
        sandbox.csl(&["run", "r.yaml", "--runs", &runs]).fine();
        let model = sandbox.run(&runs).join("model");
        sandbox.csl(&["predict", model.to_str().unwrap(), "t.csv", "--out", "p.csv"]).fine();
        for row in &cells(&sandbox, "p.csv")[1..] {
            let absent = row[0].parse::<usize>().unwrap() % 23 == 7;
            assert_eq!(row[1].is_empty(), absent, "{row:?}");
        }
    }
}

#[test]
fn new_rows_that_do_not_fit_are_refused() {
    let sandbox = Sandbox::new();
    let lines: Vec<String> = saws(&sandbox).into_iter().take(41).collect();
    sandbox.table("t.csv", &lines);
    sandbox.write("r.yaml", alone("{fit: gru, on: [signal], epochs: 1}"));
    sandbox.csl(&["run", "r.yaml"]).fine();
    let model = sandbox.run("runs").join("model");
    let model = model.to_str().unwrap();
    let step = |text: &str, count: usize| text.repeat(count);
    for (name, text, says) in [
        (
            "long.csv",
            step("0.5,0\n", 99),
            &["more steps than the column was brought to", "row 1 of the batch", "99 steps", "longer: last"]
                [..],
        ),
        ("wide.csv", step("1,2,3\n", 4), &["steps of different width", "new.csv:3", "wide.csv", "3"][..]),
        ("turned.csv", format!("other,level\n{}", step("1,2\n", 4)), &["level, other", "other, level"][..]),
        ("text.csv", "1,2\n3,x\n".to_owned(), &["text.csv:2", "no number", "\"x\""][..]),
        ("none.csv", String::new(), &["none.csv", "no steps"][..]),
    ] {
        sandbox.write(name, text);
        // Beside a file that fits; the names of its values are those that the model knows.
        let known = if name == "turned.csv" { name } else { "signals/0.csv" };
        let table = [lines[0].clone(), format!("900,{known},0,rise,test"), format!("901,{name},0,rise,test")];
        sandbox.table("new.csv", &table);
        sandbox.csl(&["predict", model, "new.csv", "--out", "p.csv"]).fails(3, says);
        assert!(!sandbox.path("p.csv").exists());
    }
    // The model can be told to cut instead.
    let cut = "{fit: gru, on: [signal], epochs: 1, features: {signal: [standardize, {steps: {length: 20, longer: last}}]}}";
    sandbox.write("r.yaml", alone(cut));
    sandbox.csl(&["run", "r.yaml", "--runs", "cut"]).fine();
    let model = sandbox.run("cut").join("model");
    let table = [lines[0].clone(), "901,long.csv,0,rise,test".to_owned()];
    sandbox.table("new.csv", &table);
    sandbox.csl(&["predict", model.to_str().unwrap(), "new.csv", "--out", "p.csv"]).fine();
}

#[test]
fn bad_files_are_told_before_anything_is_fitted() {
    let sandbox = Sandbox::new();
    let lines: Vec<String> = saws(&sandbox).into_iter().take(41).collect();
    sandbox.table("t.csv", &lines);
    sandbox.write("signals/5.csv", "level,other\n0.1,0.2\n0.3\n");
    sandbox.write("r.yaml", alone("{fit: gru, on: [signal]}"));
    for command in ["check", "plan", "run"] {
        let says = ["t.csv:7", "signals/5.csv:3", "another number of values", "help: "];
        sandbox.csl(&[command, "r.yaml"]).fails(3, &says);
    }
    sandbox.no_run();
    sandbox.write("signals/5.csv", "0.1,0.2\n");
    sandbox.write("r.yaml", alone("{fit: gru, on: [signal], features: {signal: [standardize]}}"));
    sandbox.csl(&["check", "r.yaml"]).fails(2, &["do not end in a vector", "steps, summary"]);
    sandbox.write("r.yaml", alone("{fit: gru, on: [signal], features: {signal: [summary]}}"));
    sandbox.csl(&["check", "r.yaml"]).fails(2, &["the gru encoder cannot read rows of this shape", "signal"]);
    sandbox.write(
        "r.yaml",
        alone("{fit: gru, on: [signal]}").replace("path: signal_file", "path: signal_file, scale: 2"),
    );
    sandbox.csl(&["check", "r.yaml"]).fails(2, &["\"scale\" has no effect here"]);
}
