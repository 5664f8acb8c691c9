//! Members and models that do not fit: loaded ones, tables of predictions, damaged directories.

use super::sandbox::{SMALL, Sandbox, classes, tree, two_classes};

/// A sandbox with a fitted model in `model/` and no runs.
fn fitted() -> Sandbox {
    let sandbox = Sandbox::with(&two_classes(), SMALL);
    sandbox.csl(&["run", "r.yaml"]).fine();
    std::fs::rename(sandbox.run("runs").join("model"), sandbox.path("model")).unwrap();
    std::fs::remove_dir_all(sandbox.path("runs")).unwrap();
    sandbox
}

fn loading() -> String {
    SMALL.replace("bayes: {fit: naive_bayes, on: [table]}", "bayes: {load: model, seen: none}")
}

#[test]
fn a_loaded_member_must_have_the_same_classes_and_not_have_seen_the_judged_rows() {
    let sandbox = fitted();
    sandbox.write("r.yaml", loading());
    // The same rows: those on which it was fitted are now for choosing.
    let says =
        ["was fitted on", "of the rows for choosing and judging", "at: bayes (", "help: split the data"];
    sandbox.csl(&["run", "r.yaml"]).fails(3, &says);
    sandbox.no_run();
    // Other rows with a class more.
    sandbox.table("t.csv", &classes(60, 3, 55));
    let says = [
        "predicts something else than the target",
        "at: bayes",
        "the classes p, q, r",
        "help: its classes must be the same",
    ];
    sandbox.csl(&["run", "r.yaml"]).fails(3, &says);
    sandbox.no_run();
    // Other rows with the same classes are fine.
    sandbox.table("t.csv", &classes(60, 2, 55));
    sandbox.csl(&["run", "r.yaml"]).fine();
    sandbox.nothing_half_written();
    std::fs::remove_dir_all(sandbox.path("model")).unwrap();
    let says = ["is not there", "at: bayes: model", "help: check the path"];
    sandbox.csl(&["check", "r.yaml"]).fails(3, &says);
}

#[test]
fn a_model_directory_with_a_changed_byte() {
    let sandbox = fitted();
    sandbox.write("loads.yaml", loading());
    sandbox.table("t.csv", &classes(60, 2, 55));
    let files = tree(&sandbox.path("model"));
    assert!(files.len() >= 6, "{:?}", files.keys());
    for (name, bytes) in &files {
        let path = format!("model/{name}");
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        sandbox.write(&path, &changed);
        // A change in the manifest shows at the file that it is about.
        let place = if name == "manifest.json" { "model/" } else { &path };
        let says = [place, "help: "];
        sandbox.csl(&["predict", "model", "t.csv", "--out", "out.csv"]).fails(3, &says);
        sandbox.csl(&["evaluate", "model", "t.csv"]).fails(3, &says);
        sandbox.csl(&["run", "loads.yaml"]).fails(3, &says);
        // Half a file, no file.
        sandbox.write(&path, &bytes[..bytes.len() / 2]);
        sandbox.csl(&["predict", "model", "t.csv", "--out", "out.csv"]).fails(3, &[place]);
        std::fs::remove_file(sandbox.path(&path)).unwrap();
        sandbox.csl(&["predict", "model", "t.csv", "--out", "out.csv"]).fails(3, &["model", "help: "]);
        sandbox.write(&path, bytes);
    }
    sandbox.write("model/more.txt", "x");
    let says = ["not in the manifest", "model/more.txt", "help: "];
    sandbox.csl(&["predict", "model", "t.csv", "--out", "out.csv"]).fails(3, &says);
    std::fs::remove_file(sandbox.path("model/more.txt")).unwrap();
    assert!(!sandbox.path("out.csv").exists());
    sandbox.no_run();
    sandbox.csl(&["predict", "model", "t.csv", "--out", "out.csv"]).fine();
}

/// Predictions for every row of `two_classes`, in three folds.
fn predictions() -> Vec<String> {
    let header = std::iter::once("id,fold,p,q".to_owned());
    header.chain((0..60).map(|i| format!("{i},{},0.4,0.6", i % 3))).collect()
}

#[test]
fn tables_of_predictions_must_be_whole() {
    let recipe = SMALL.replace(
        "bayes: {fit: naive_bayes, on: [table]}",
        "bayes: {predictions: p.csv, id: id, fold: fold, seen: none}",
    );
    let sandbox = Sandbox::with(&two_classes(), &recipe);
    let fails = |says: &[&str]| {
        sandbox.csl(&["run", "r.yaml"]).fails(3, says);
        sandbox.no_run();
        // Nothing was fitted before it was looked at.
        assert!(
            std::fs::read_dir(sandbox.path("runs/.store")).is_ok_and(|d| d.count() == 0)
                || !sandbox.path("runs").exists()
        );
    };
    fails(&["is not there", "at: bayes: p.csv", "help: "]);
    let without = |fold: &str| -> Vec<String> {
        predictions().into_iter().filter(|l| l.split(',').nth(1) != Some(fold)).collect()
    };
    sandbox.table("p.csv", &without("1"));
    fails(&[
        "fold 1 is missing",
        "at: bayes",
        "folds 0 to 2",
        "help: give the out-of-fold predictions of every fold",
    ]);
    sandbox.table("p.csv", &without("2"));
    fails(&[
        "the predictions lack",
        "of the honest rows",
        "at: bayes",
        "none for row id",
        "help: add the rows",
    ]);
    let with = |line: usize, text: &str| {
        let mut table = predictions();
        table[line] = text.to_owned();
        sandbox.table("p.csv", &table);
    };
    with(3, "2,2,0.9,0.5");
    fails(&["not a distribution", "bayes", "p.csv", "row id 2", "got: [0.9, 0.5]\n"]);
    with(3, "2,2,inf,0");
    fails(&["bayes", "p.csv"]);
    with(3, "2,2,,0.5");
    fails(&["only some of its predictions", "p.csv, row 3", "all of them, or none"]);
    with(3, "2,2,much,0.5");
    fails(&["not a number", "p.csv, row 3, column \"p\"", "got: \"much\""]);
    with(3, "1,1,0.5,0.5");
    fails(&["the row id 1 stands twice", "rows 2 and 3"]);
    with(0, "id,fold,p,z");
    fails(&["no column \"q\"", "bayes", "p.csv", "one of fold, id, p, z"]);
    sandbox.table("p.csv", &predictions());
    sandbox.write("r.yaml", recipe.replace(", fold: fold", ""));
    // Its maker has seen none of the rows, so that folds have no meaning.
    sandbox.csl(&["run", "r.yaml"]).fine();
    sandbox.write("r.yaml", recipe.replace(", fold: fold, seen: none", ", seen: unknown"));
    sandbox.csl(&["run", "r.yaml"]).fails(2, &["fold"]);
    sandbox.write("r.yaml", &recipe);
    sandbox.csl(&["run", "r.yaml"]).fine();
    sandbox.nothing_half_written();
}

#[test]
fn data_that_a_model_cannot_read() {
    let sandbox = fitted();
    let lines = |text: &[&str]| text.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
    for (table, says) in [
        (
            lines(&["id,a,b", "1,0.5,1", "2,hello,1"]),
            vec!["a text in the number column \"a\"", "at: x.csv:3", "help: "],
        ),
        (lines(&["id,a,b", "1,0.5,1", "2,inf,1"]), vec!["an infinite number", "at: x.csv:3", "help: "]),
        (lines(&["id,b", "1,0.5"]), vec!["no column \"a\"", "at: x.csv", "one of id, b", "help: "]),
        (lines(&["id,a,b", "1,0.5,1", "1,0.5,1"]), vec!["stands twice", "at: x.csv:2 and x.csv:3", "help: "]),
        (lines(&["id,a,b", "x7,1,1", "x7,0.5,1"]), vec!["the id \"x7\"", "x.csv:2 and x.csv:3", "help: "]),
        (lines(&["id,a,b", "x7,1,1", ",0.5,1"]), vec!["the id is missing", "at: x.csv:3", "help: "]),
        (lines(&["id,a,b"]), vec!["a header and no rows", "at: x.csv", "help: "]),
        (lines(&[]), vec!["the table is empty", "at: x.csv", "help: "]),
    ] {
        sandbox.table("x.csv", &table);
        sandbox.csl(&["predict", "model", "x.csv", "--out", "out.csv"]).fails(3, &says);
    }
    sandbox
        .csl(&["predict", "model", "none.csv", "--out", "out.csv"])
        .fails(3, &["none.csv", "help: check the path"]);
    sandbox
        .csl(&["predict", "f", "t.csv", "--out", "out.csv"])
        .fails(3, &["no model directory", "at: f", "help: "]);
    sandbox
        .csl(&["predict", "model", "t.csv", "--out", "out.txt"])
        .fails(2, &["at: out.txt", ".csv or .parquet"]);
    let says = ["cannot be written", "help: choose a place"];
    sandbox.csl(&["predict", "model", "t.csv", "--out", "r.yaml/out.csv"]).fails(74, &says);
    assert!(!sandbox.path("out.csv").exists());
    // To predict needs no truth; to evaluate does, in the classes of the model.
    sandbox.table("x.csv", &lines(&["id,a,b,y", "1,0.5,1,", "2,0.5,1,unheard"]));
    sandbox.csl(&["predict", "model", "x.csv", "--out", "out.csv"]).fine();
    sandbox
        .csl(&["evaluate", "model", "x.csv"])
        .fails(3, &["the target is missing", "at: x.csv:2", "help: "]);
    sandbox.table("x.csv", &lines(&["id,a,b,y", "1,0.5,1,p", "2,0.5,1,unheard"]));
    sandbox
        .csl(&["evaluate", "model", "x.csv"])
        .fails(3, &["\"unheard\"", "at: x.csv:3", "one of p, q", "help: "]);
    sandbox.table("x.csv", &lines(&["id,a,b", "1,0.5,1"]));
    let says = ["no target column", "at: x.csv", "a column \"y\" with the truth", "help: evaluate needs"];
    sandbox.csl(&["evaluate", "model", "x.csv"]).fails(3, &says);
    let says = ["no metric named \"acuracy\"", "did you mean \"accuracy\"?"];
    sandbox.csl(&["evaluate", "model", "t.csv", "--metrics", "acuracy"]).fails(2, &says);
    sandbox.no_run();
}
