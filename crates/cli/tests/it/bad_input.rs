//! Bad recipes and bad data: a typed error with place and remedy, the exit code as designed, nothing half written.

use super::sandbox::{SMALL, Sandbox, classes, two_classes};

/// A gray picture of 4 by 4 pixels.
const PNG: &[u8] = &[
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 4, 0, 0, 0, 4, 8, 0, 0, 0, 0, 140,
    154, 193, 162, 0, 0, 0, 28, 73, 68, 65, 84, 120, 156, 99, 96, 208, 8, 168, 96, 16, 176, 72, 232, 96, 80,
    240, 40, 152, 193, 96, 16, 209, 176, 2, 0, 43, 52, 5, 65, 94, 252, 253, 11, 0, 0, 0, 0, 73, 69, 78, 68,
    174, 66, 96, 130,
];

fn row(mut table: Vec<String>, line: usize, text: &str) -> Vec<String> {
    table[line - 1] = text.to_owned();
    table
}

/// Runs the small recipe on a table that is refused: `says` are the place, the trouble and the remedy.
fn refused(table: &[String], recipe: &str, says: &[&str]) {
    let sandbox = Sandbox::with(table, recipe);
    for command in ["check", "plan", "run"] {
        sandbox.csl(&[command, "r.yaml"]).fails(3, says);
        assert!(!sandbox.path("runs").exists(), "{command} wrote before it checked");
        sandbox.no_run();
    }
}

#[test]
fn an_empty_file() {
    refused(
        &[],
        SMALL,
        &["the table is empty", "at: t.csv", "a header and rows", "help: get the file again"],
    );
    let sandbox = Sandbox::with(&[], SMALL);
    let says = ["the table is empty", "at: t.csv", "help: "];
    sandbox.csl(&["init", "t.csv", "--target", "y", "--out", "new.yaml"]).fails(3, &says);
    assert!(!sandbox.path("new.yaml").exists());
}

#[test]
fn a_header_only() {
    let says = ["a header and no rows", "at: t.csv", "at least one row", "help: add rows"];
    refused(&two_classes()[..1], SMALL, &says);
}

#[test]
fn one_class() {
    let table: Vec<String> = two_classes().iter().map(|l| l.replace(",q", ",p")).collect();
    let says = ["only one class", "at: t.csv", "column \"y\"", "got: only \"p\"", "help: check the column"];
    refused(&table, SMALL, &says);
}

#[test]
fn one_row_a_class_with_five_folds() {
    let five = SMALL.replace("folds: 3", "folds: 5");
    let says = ["more folds than rows", "at: honest", "at most 4", "got: 5", "help: ask for fewer folds"];
    refused(&classes(6, 6, 1), &five, &says);
    let says = [
        "all its rows for fitting in one fold",
        "at least two folds",
        "got: 1 row",
        "help: leave the class out",
    ];
    refused(&classes(9, 9, 1), &five, &says);
}

#[test]
fn a_target_that_is_missing() {
    let table = row(two_classes(), 6, "4,0.1,0.2,");
    let says =
        ["the target is missing", "at: t.csv:6", "column \"y\"", "help: fill it in, or remove the row"];
    refused(&table, SMALL, &says);
    let sandbox = Sandbox::with(&two_classes(), &SMALL.replace("    y: {role: target}\n", ""));
    let says =
        ["no column has the role target", "r.yaml:7:3", "^^^", "expected one column with role: target"];
    sandbox.csl(&["run", "r.yaml"]).fails(2, &says);
    sandbox.no_run();
}

#[test]
fn infinite_numbers() {
    for cell in ["inf", "-Infinity", "1e999"] {
        let table = row(two_classes(), 6, &format!("4,0.1,{cell},p"));
        let got = format!("got: \"{cell}\"");
        refused(
            &table,
            SMALL,
            &["infinite", "column \"b\"", "at: t.csv:6", &got, "help: correct it, or declare"],
        );
    }
}

#[test]
fn nan_is_a_missing_value_and_is_said() {
    let sandbox = Sandbox::with(&row(two_classes(), 6, "4,NaN,0.1,p"), SMALL);
    let said = sandbox.csl(&["check", "r.yaml"]).fine().out;
    assert!(said.contains("column \"a\": missing in 1 of 60 rows"), "{said}");
    let table = row(two_classes(), 6, "4,0.2,0.1,NaN");
    refused(&table, SMALL, &["the target is missing", "at: t.csv:6", "got: \"NaN\"", "help: "]);
}

#[test]
fn text_where_a_number_was() {
    let table = row(two_classes(), 6, "4,hello,0.1,p");
    let declared = SMALL.replace("    y:", "    a: {type: number}\n    y:");
    let says = ["a text in the number column \"a\"", "at: t.csv:6", "got: \"hello\"", "help: correct it"];
    refused(&table, &declared, &says);
    // Where no type is declared it may be a category, and that is said before any work.
    let sandbox = Sandbox::with(&table, SMALL);
    let said = sandbox.csl(&["check", "r.yaml"]).fine().out;
    let note = "column \"a\": 59 cells are numbers and 1 are not, first t.csv:6: \"hello\"";
    assert!(said.contains(note), "{said}");
}

/// A table with a file a row, in the column `file`, and a recipe that reads only those.
fn files(kind: &str, ending: &str, bytes: &[u8]) -> Sandbox {
    let mut table = two_classes();
    table[0].push_str(",file");
    let recipe = SMALL
        .replace(
            "    y:",
            &format!("    file: {{role: ignore}}\n    it: {{type: {kind}, path: file}}\n    y:"),
        )
        .replace("[table]", "[it]")
        .replace("naive_bayes", "logistic");
    let sandbox = Sandbox::new();
    for (i, line) in table.iter_mut().enumerate().skip(1) {
        line.push_str(&format!(",f/{i}.{ending}"));
        sandbox.write(&format!("f/{i}.{ending}"), bytes);
    }
    sandbox.table("t.csv", &table);
    sandbox.write("r.yaml", recipe);
    sandbox.csl(&["check", "r.yaml"]).fine();
    sandbox
}

fn run_refused(sandbox: &Sandbox, says: &[&str]) {
    sandbox.csl(&["run", "r.yaml"]).fails(3, says);
    sandbox.no_run();
}

#[test]
fn an_image_that_is_none() {
    let sandbox = files("image", "png", PNG);
    sandbox.write("f/8.png", "this is no picture");
    let place = "at: t.csv:9 (column \"it\"): f/8.png";
    run_refused(&sandbox, &["no readable image", place, "a PNG or JPEG image", "help: it is damaged"]);
    // Half a picture, and a picture whose head claims more than any memory.
    sandbox.write("f/8.png", &PNG[..PNG.len() / 2]);
    run_refused(&sandbox, &["no readable image", ": f/8.png", "help: it is damaged"]);
    let mut huge = PNG.to_vec();
    huge[16..24].fill(0x7f);
    sandbox.write("f/8.png", huge);
    run_refused(&sandbox, &[place]);
    std::fs::remove_file(sandbox.path("f/8.png")).unwrap();
    run_refused(&sandbox, &["f/8.png", "help: "]);
}

fn wav() -> Vec<u8> {
    let samples: Vec<u8> =
        (0..800i32).flat_map(|i| i16::try_from((i * 37) % 9000 - 4500).unwrap().to_le_bytes()).collect();
    let mut out = b"RIFF".to_vec();
    out.extend((36 + samples.len() as u32).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    for half in [1u16, 1] {
        out.extend(half.to_le_bytes());
    }
    for word in [8000u32, 16000] {
        out.extend(word.to_le_bytes());
    }
    for half in [2u16, 16] {
        out.extend(half.to_le_bytes());
    }
    out.extend(b"data");
    out.extend((samples.len() as u32).to_le_bytes());
    out.extend(samples);
    out
}

#[test]
fn a_sound_that_was_cut_short() {
    let sandbox = files("audio", "wav", &wav());
    let place = "at: t.csv:9 (column \"it\"): f/8.wav";
    for (length, expected) in [(300, "1600 bytes of \"data\""), (30, "16 bytes of \"fmt \"")] {
        sandbox.write("f/8.wav", &wav()[..length]);
        run_refused(&sandbox, &["the sound was cut short", place, expected, "help: get the file again"]);
    }
    sandbox.write("f/8.wav", "");
    run_refused(&sandbox, &[place]);
}

#[test]
fn an_array_that_claims_more_than_it_has() {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 1), }";
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([0; 64]);
    let recipe =
        SMALL.replace("    y:", "    v: {type: vector, npy: v.npy}\n    y:").replace("[table]", "[v]");
    let sandbox = Sandbox::with(&two_classes(), &recipe);
    sandbox.write("v.npy", bytes);
    let says = [
        "claims another size",
        "at: v.npy",
        "64 bytes of values",
        "1152921504606846976",
        "help: the file was cut",
    ];
    run_refused(&sandbox, &says);
}

#[test]
fn paths_that_lead_out_of_the_data_folder() {
    let says = ["leads outside the data folder", "help: move the file below the data folder"];
    for path in ["../t.csv", "/etc/hostname"] {
        let sandbox = Sandbox::with(&two_classes(), &SMALL.replace("t.csv", path));
        let place = format!("at: {path}");
        run_refused(&sandbox, &[says[0], says[1], &place]);
    }
    let sandbox = files("image", "png", PNG);
    let text = std::fs::read_to_string(sandbox.path("t.csv")).unwrap();
    sandbox.write("t.csv", text.replace("f/8.png", "../secret.png"));
    run_refused(&sandbox, &[says[0], says[1], "at: t.csv:9 (column \"it\"): ../secret.png"]);
    let recipe = SMALL.replace("bayes: {fit: naive_bayes, on: [table]}", "bayes: {load: ../model}");
    let sandbox = Sandbox::with(&two_classes(), &recipe);
    run_refused(&sandbox, &[says[0], says[1], "bayes", "../model"]);
}

#[test]
fn ids_that_stand_twice() {
    let mut table = two_classes();
    table[9] = table[8].clone();
    let says =
        ["the id \"7\" (column \"id\") stands twice", "at: t.csv:9 and t.csv:10", "help: remove the copy"];
    refused(&table, SMALL, &says);
}

#[test]
fn a_recipe_of_many_brackets() {
    for recipe in
        ["[".repeat(100_000), format!("{SMALL}augment: {}{}\n", "[".repeat(100_000), "]".repeat(100_000))]
    {
        let sandbox = Sandbox::with(&two_classes(), &recipe);
        for command in ["check", "plan", "run"] {
            let says = ["nested too deeply", "r.yaml:", "^", "expected at most 64 levels"];
            sandbox.csl(&[command, "r.yaml"]).fails(2, &says);
            sandbox.no_run();
        }
    }
}

#[test]
fn a_folder_of_runs_that_cannot_be_written() {
    let sandbox = Sandbox::with(&two_classes(), SMALL);
    sandbox.write("file", "x");
    for runs in ["file", "file/runs"] {
        for command in [vec!["run", "r.yaml"], vec!["demo"], vec!["doctor"]] {
            let arguments: Vec<&str> = command.into_iter().chain(["--runs", runs]).collect();
            let says = ["file", "cannot be written", "help: choose a place that can be written"];
            sandbox.csl(&arguments).fails(74, &says);
            sandbox.no_run();
        }
    }
    let says = ["file", "cannot be written", "help: "];
    sandbox.csl(&["init", "t.csv", "--target", "y", "--out", "file/r.yaml"]).fails(74, &says);
    assert_eq!(std::fs::read(sandbox.path("file")).unwrap(), b"x");
}

#[test]
fn every_unknown_key_is_told_at_once() {
    let recipe = SMALL
        .replace("task: classify", "task: clasify")
        .replace("seed: 7", "sead: 7")
        .replace("role: id", "rolle: id")
        .replace("naive_bayes", "naive_bays")
        .replace("of: [linear, bayes]", "of: [linear, bayez]");
    let sandbox = Sandbox::with(&two_classes(), &recipe);
    let says = [
        "r.yaml:3:7",
        "did you mean \"classify\"?",
        "r.yaml:4:1",
        "did you mean \"seed\"?",
        "r.yaml:8:10",
        "did you mean \"role\"?",
        "r.yaml:14:16",
        "did you mean \"naive_bayes\"?",
        "r.yaml:16:40",
        "did you mean \"bayes\"?",
        "5 errors in r.yaml",
        "^^^^",
    ];
    sandbox.csl(&["run", "r.yaml"]).fails(2, &says);
    sandbox.no_run();
    let json = sandbox.csl(&["check", "r.yaml", "--json"]);
    assert_eq!(json.code, Some(2));
    assert_eq!(json.json()["findings"].as_array().unwrap().len(), 5);
}

#[test]
fn every_unknown_column_is_told_at_once() {
    // Columns that the members name.
    let recipe = SMALL
        .replace("logistic, on: [table]", "logistic, on: [a, other]")
        .replace("naive_bayes, on: [table]", "naive_bayes, on: [b, more]");
    let sandbox = Sandbox::with(&two_classes(), &recipe);
    for command in ["check", "run"] {
        let says = [
            "\"other\"",
            "r.yaml:13:35",
            "\"more\"",
            "r.yaml:14:37",
            "one of a, b",
            "2 errors in r.yaml",
            "^^^^",
        ];
        sandbox.csl(&[command, "r.yaml"]).fails(2, &says);
        sandbox.no_run();
    }
    // Columns that are declared, beside those.
    let recipe = recipe
        .replace("y: {role: target}", "yy: {role: target}\n    nope: {type: number}")
        .replace("[b, more]", "[b, nope, more]");
    let sandbox = Sandbox::with(&two_classes(), &recipe);
    let says = [
        "\"yy\"",
        "r.yaml:9:5",
        "\"nope\"",
        "r.yaml:10:5",
        "\"other\"",
        "r.yaml:14:35",
        "\"more\"",
        "r.yaml:15:43",
        "one of id, a, b, y",
        "4 errors in r.yaml",
    ];
    sandbox.csl(&["run", "r.yaml"]).fails(2, &says);
    sandbox.no_run();
}

#[test]
fn what_methods_conditions_and_settings_refuse_is_told_at_once_and_before_any_work() {
    let recipe = SMALL
        .replace(
            "  bayes: {fit: naive_bayes, on: [table]}\n",
            "  bayes: {fit: naive_bayes, on: [table], rows: \"a > 1e9\"}\n  net: {fit: mlp, on: [table], from: linear}\n  \
             wide: {fit: mlp, on: [table], hidden: [2000000000]}\n  maps: {fit: cnn, on: [table]}\n  \
             values: {fit: linear, on: [table]}\n",
        )
        .replace("of: [linear, bayes]", "of: [linear, bayes], weights: [1, 2, 3]")
        .replace("report: [accuracy]", "report: [accuracy], resamples: 7");
    let sandbox = Sandbox::with(&two_classes(), &recipe);
    for command in ["check", "plan", "run"] {
        let says = [
            "no row fits the condition",
            "r.yaml:14:",
            "a network can only start from a network",
            "r.yaml:15:",
            "too many parameters",
            "r.yaml:16:",
            "cnn encoder cannot read rows of this shape",
            "r.yaml:17:",
            "predicts values, not classes",
            "r.yaml:18:",
            "not one weight for each member",
            "r.yaml:20:",
            "too few bootstrap resamples",
            "r.yaml:21:",
            "7 errors in r.yaml",
        ];
        sandbox.csl(&[command, "r.yaml"]).fails(2, &says);
        assert!(!sandbox.path("runs").exists(), "{command} wrote before it checked");
    }
    let recipe = SMALL
        .replace(
            "  bayes: {fit: naive_bayes, on: [table]}\n",
            "  bayes: {fit: naive_bayes, on: [table]}\n  one: {fit: mlp, on: [table], epochs: 1}\n  \
             two: {fit: mlp, on: [table], epochs: 1, hidden: [3], from: one, bag: true}\n",
        )
        .replace(
            "judge:",
            "  soup: {merge: linear, of: [one, two]}\n  salad: {merge: linear, of: [linear, bayes]}\njudge:",
        )
        .replace("honest: {folds: 3}", "honest: validation")
        .replace("{holdout: 0.3}", "{holdout: 0.3, validation: 0.2}");
    sandbox.write("r.yaml", &recipe);
    let says = [
        "another shape than \"one\"",
        "bag keeps the models of the folds",
        "r.yaml:16:",
        "the members differ in shape",
        "r.yaml:19:",
        "r.yaml:20:",
        "4 errors in r.yaml",
    ];
    sandbox.csl(&["check", "r.yaml"]).fails(2, &says);
    for (rows, says) in [("a <", "cannot be understood"), ("zz > 1", "no column")] {
        sandbox.write("r.yaml", SMALL.replace("naive_bayes,", &format!("naive_bayes, rows: \"{rows}\",")));
        sandbox.csl(&["check", "r.yaml"]).fails(2, &[says, "r.yaml:14:"]);
    }
}

#[test]
fn a_cell_reaches_the_terminal_cut_and_escaped() {
    let long = format!("4,0.1,\u{1b}[31m{},p", "x".repeat(100_000));
    let table = row(two_classes(), 6, &long);
    let sandbox = Sandbox::with(&table, SMALL);
    let said = sandbox.csl(&["check", "r.yaml"]).fine().out;
    assert!(said.contains("\\u{1b}[31mxxx") && said.len() < 2000, "{} bytes", said.len());
    let declared = SMALL.replace("    y:", "    b: {type: number}\n    y:");
    refused(&table, &declared, &["at: t.csv:6", "got: \"\\u{1b}[31mxxx"]);
    let file: Vec<String> = two_classes().iter().map(|l| l.replace(',', ";")).collect();
    let sandbox = Sandbox::with(&file, SMALL);
    sandbox.csl(&["check", "r.yaml"]).fails(2, &["no column \"id\"", "set data: {delimiter: ...}"]);
}

#[test]
fn arguments_that_cannot_be() {
    let sandbox = Sandbox::with(&two_classes(), SMALL);
    for arguments in [
        vec!["run", "r.yaml", "--threads", "0"],
        vec!["run", "r.yaml", "--threads", "many"],
        vec!["run", "r.yaml", "--threads", "100000"],
        vec!["run", "r.yaml", "--seed", "-1"],
        vec!["run", "r.yaml", "--require", "luck"],
        vec!["run"],
        vec!["walk"],
        vec!["list", "lerners"],
        vec!["report", "."],
        vec!["init", "nothing.csv"],
        vec!["init", "t.csv"],
    ] {
        sandbox.csl(&arguments).fails(2, &["error"]);
        sandbox.no_run();
    }
    let says = ["the data folder is not there", "at: nowhere", "help: set root"];
    sandbox.csl(&["run", "r.yaml", "--data", "nowhere"]).fails(3, &says);
    sandbox.write("here.yaml", "x");
    let says = ["the file is there already", "at: here.yaml", "help: name another"];
    sandbox.csl(&["init", "t.csv", "--target", "y", "--out", "here.yaml"]).fails(2, &says);
    assert_eq!(std::fs::read(sandbox.path("here.yaml")).unwrap(), b"x");
}

#[test]
fn errors_are_json_where_that_is_asked_for() {
    let sandbox = Sandbox::with(&row(two_classes(), 6, "4,inf,0.1,p"), SMALL);
    let ran = sandbox.csl(&["run", "r.yaml", "--json"]);
    assert_eq!(ran.code, Some(3));
    let value = ran.json();
    assert_eq!(value["exit_code"], 3);
    assert_eq!(value["parts"]["place"], "t.csv:6");
    assert!(value["help"].as_str().unwrap().contains("correct it"));
}
