//! Evaluating a model: whether it has learned from the rows that it is scored on.

use std::path::{Path, PathBuf};

use super::sandbox::{Ran, SMALL, Sandbox, classes, two_classes};

/// A sandbox with a finished run, and its model directory.
fn fitted(recipe: &str) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::with(&two_classes(), recipe);
    sandbox.csl(&["run", "r.yaml"]).fine();
    let model = sandbox.run("runs").join("model");
    (sandbox, model)
}

fn evaluate(sandbox: &Sandbox, model: &Path, data: &str, more: &[&str]) -> Ran {
    let mut arguments = vec!["evaluate", model.to_str().unwrap(), data];
    arguments.extend(more);
    sandbox.csl(&arguments)
}

#[test]
fn rows_that_the_model_has_learned_from_are_counted_and_left_out() {
    let (sandbox, model) = fitted(SMALL);
    // Three tenths of sixty rows are judged; the model has learned from the others.
    let all = evaluate(&sandbox, &model, "t.csv", &[]).fine();
    assert!(all.out.contains("60 rows"), "{}", all.out);
    for part in ["warning: the model has learned from 42 of these 60 rows", "--unseen scores the others"] {
        assert!(all.err.contains(part), "\"{part}\" is not in:\n{}", all.err);
    }
    let all = evaluate(&sandbox, &model, "t.csv", &["--json"]).fine();
    let json = all.json();
    assert_eq!(json["known"], serde_json::json!({"learned": 42, "unknown": null}));
    assert_eq!((json["rows"].as_u64(), json["left_out"].as_u64()), (Some(60), Some(0)));
    assert!(all.err.is_empty(), "{}", all.err);

    // Those that are left are the judged ones, and score as the run says.
    let unseen = evaluate(&sandbox, &model, "t.csv", &["--unseen", "--metrics", "log_loss"]).fine();
    assert!(unseen.err.is_empty(), "{}", unseen.err);
    for part in ["18 rows\n", "42 rows from which the model has learned are left out"] {
        assert!(unseen.out.contains(part), "\"{part}\" is not in:\n{}", unseen.out);
    }
    let unseen =
        evaluate(&sandbox, &model, "t.csv", &["--unseen", "--json", "--metrics", "log_loss"]).fine().json();
    assert_eq!(unseen["known"]["learned"], 0);
    let outcome = std::fs::read_to_string(sandbox.run("runs").join("outcome.json")).unwrap();
    let outcome: serde_json::Value = serde_json::from_str(&outcome).unwrap();
    let exported = outcome["candidates"].as_array().unwrap().iter();
    let exported = exported.into_iter().find(|c| c["name"] == outcome["verdict"]["exported"]).unwrap();
    let (here, there) = (&unseen["scores"][0]["value"], &exported["scores"][0]["value"]);
    assert!((here.as_f64().unwrap() - there.as_f64().unwrap()).abs() < 1e-6, "{here} {there}");

    // New rows need no word, and are all scored either way.
    sandbox.table("new.csv", &classes(50, 2, 77));
    for more in [&[][..], &["--unseen"]] {
        let new = evaluate(&sandbox, &model, "new.csv", more).fine();
        assert!(new.out.contains("50 rows\n") && !new.out.contains("left out"), "{}", new.out);
        assert!(new.err.is_empty(), "{}", new.err);
    }
    // A row counts by what it holds, not by its id or place: the class is part of it.
    let old = two_classes();
    let mut turned: Vec<String> = vec![old[0].clone()];
    turned.extend(old[1..].iter().rev().map(|l| format!("9{l}")));
    sandbox.table("turned.csv", &turned);
    assert_eq!(evaluate(&sandbox, &model, "turned.csv", &["--json"]).fine().json()["known"]["learned"], 42);
    let swapped = old.iter().map(|l| l.replace(",p", ",x").replace(",q", ",p").replace(",x", ",q"));
    sandbox.table("swapped.csv", &swapped.collect::<Vec<_>>());
    assert_eq!(evaluate(&sandbox, &model, "swapped.csv", &["--json"]).fine().json()["known"]["learned"], 0);
}

#[test]
fn without_an_unseen_row_there_is_nothing_to_score() {
    let part = |(i, l): (usize, String)| match i {
        0 => format!("{l},part"),
        1..=42 => format!("{l},train"),
        _ => format!("{l},test"),
    };
    let table: Vec<String> = two_classes().into_iter().enumerate().map(part).collect();
    let sandbox = Sandbox::with(&table, &SMALL.replace("{holdout: 0.3}", "{column: part}"));
    sandbox.csl(&["run", "r.yaml"]).fine();
    let model = sandbox.run("runs").join("model");
    sandbox.table("seen.csv", &table[..43]);
    let says = ["the model has learned from each of the 42 rows", "at: seen.csv", "help: give it other rows"];
    evaluate(&sandbox, &model, "seen.csv", &["--unseen"]).fails(3, &says);
    evaluate(&sandbox, &model, "seen.csv", &[]).fine();
}

#[test]
fn rows_are_found_again_by_columns_that_the_model_does_not_read() {
    // Only the first column tells anything, and a single member is exported, which reads it alone.
    let recipe = SMALL
        .replace("on: [table]", "on: [a]")
        .replace("synthesis:\n  vote: {fuse: soft_vote, of: [linear, bayes]}\n", "");
    let (sandbox, model) = fitted(&recipe);
    let json = evaluate(&sandbox, &model, "t.csv", &["--json"]).fine().json();
    assert_eq!(json["known"], serde_json::json!({"learned": 42, "unknown": null}));
    // Without the other column the model can be scored, and nobody knows.
    let cut = |l: &String| {
        let cells: Vec<&str> = l.split(',').collect();
        format!("{},{},{}", cells[0], cells[1], cells[3])
    };
    sandbox.table("cut.csv", &two_classes().iter().map(cut).collect::<Vec<_>>());
    let cut = evaluate(&sandbox, &model, "cut.csv", &[]).fine();
    for part in ["whether the model has learned from these rows is not known", "no column \"b\""] {
        assert!(cut.err.contains(part), "\"{part}\" is not in:\n{}", cut.err);
    }
    let json = evaluate(&sandbox, &model, "cut.csv", &["--json"]).fine().json();
    assert_eq!(json["known"]["learned"], 0);
    assert!(json["known"]["unknown"].as_str().unwrap().contains("no column \"b\""), "{json}");
    let says = ["which of the rows the model has not seen cannot be told", "no column \"b\"", "help: "];
    evaluate(&sandbox, &model, "cut.csv", &["--unseen"]).fails(3, &says);
}

#[test]
fn a_modality_that_the_data_lack_tells_no_rows_apart() {
    let recipe = "\
version: 1
name: two
task: classify
data:
  table: t.csv
  columns:
    y: {role: target}
    v: {type: vector, columns: [b]}
split: {holdout: 0.3}
honest: {folds: 3}
members:
  linear: {fit: logistic, on: [table]}
judge: {choose: log_loss}
";
    let strip = |from: usize| -> Vec<String> {
        two_classes().iter().map(|l| l.split(',').skip(from).collect::<Vec<_>>().join(",")).collect()
    };
    let sandbox = Sandbox::with(&strip(1), recipe);
    sandbox.csl(&["run", "r.yaml"]).fine();
    let model = sandbox.run("runs").join("model");
    assert_eq!(evaluate(&sandbox, &model, "t.csv", &["--json"]).fine().json()["known"]["learned"], 42);
    let cut: Vec<String> = strip(1)
        .iter()
        .map(|l| {
            let cells: Vec<&str> = l.split(',').collect();
            format!("{},{}", cells[0], cells[2])
        })
        .collect();
    sandbox.table("cut.csv", &cut);
    let cut = evaluate(&sandbox, &model, "cut.csv", &["--json"]).fine().json();
    assert_eq!(cut["known"]["learned"], 0);
    assert!(cut["known"]["unknown"].as_str().unwrap().contains("none has the column \"v\""), "{cut}");
}
