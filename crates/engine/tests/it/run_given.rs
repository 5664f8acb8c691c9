//! Members that were made elsewhere: model directories and tables of predictions.

use std::fmt::Write as _;

use consilience_core::data::{DataSpec, Written, open, write_table};
use consilience_core::model::Stop;
use consilience_engine::predict::open_unlabelled;
use consilience_engine::run::Finished;

use crate::place::{HALVES, Place, candidate, csv, files, fitted_on, has_note, normal, recipe, row};

/// A model fitted on the first 400 rows, copied to `old`.
fn fitted(place: &Place, members: &str, synthesis: &str) -> Finished {
    let done = place.run(&recipe("validation", members, synthesis));
    for (name, bytes) in files(&done.dir.join("model")) {
        let path = place.path().join("old").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    done
}

#[test]
fn a_loaded_model_is_a_member_where_its_rows_are_not() {
    let place = Place::new();
    let first = fitted(&place, HALVES, "");
    let (old_rows, all) = fitted_on(&place.path().join("old"));
    assert!(all);
    assert_eq!(old_rows.len(), 200, "a member has learned from the rows for fitting alone");
    let single = first.outcome.verdict.exported.clone();
    let other = if single == "knows_a" { "b" } else { "a" };
    let members = format!("theirs: {{load: old}}, mine: {{fit: logistic, on: [{other}]}}");
    let both = "both: {fuse: soft_vote, of: [theirs, mine]}, again: {fuse: stacking, of: [theirs, mine]}";

    // The rows on which it was fitted are among those for choosing now.
    let (code, error) = place.refused(&recipe("{folds: 3}", &members, both));
    assert_eq!(code, 3);
    assert!(error.contains("theirs") && error.contains("fitted on 200 of the rows"), "{error}");
    // With the same parts it has seen none of the rows for choosing and judging.
    let same = place.run(&recipe("validation", &members, both));
    assert!(!has_note(&same, "theirs"), "{:?}", same.outcome.verdict.notes);

    // Fresh rows.
    place.write("rows.csv", csv(1, 1000, 400));
    for honest in ["validation", "{folds: 3}"] {
        let done = place.run(&recipe(honest, &members, both));
        assert!(done.outcome.verdict.gain, "{}", done.outcome.verdict.sentence);
        assert!(!has_note(&done, "theirs"), "{:?}", done.outcome.verdict.notes);
        assert_eq!(candidate(&done, "theirs").method, "load");
        // What the composition has learned from holds what its members have.
        let (rows, all) = fitted_on(&done.dir.join("model"));
        assert!(all && old_rows.is_subset(&rows));
        assert_eq!(rows.len(), 200 + if honest == "validation" { 280 } else { 200 });
    }
    // A network may start from a model only if it is a network.
    let (_, error) = place.refused(&recipe(
        "validation",
        "theirs: {load: old}, mine: {fit: mlp, from: theirs, on: [a]}",
        "",
    ));
    assert!(error.contains("network"), "{error}");
}

#[test]
fn what_is_not_known_of_a_loaded_model_is_said() {
    let place = Place::new();
    fitted(&place, HALVES, "");
    // Rows of other columns: their digests say nothing about being the same.
    let text = |seen: &str| {
        recipe(
            "validation",
            &format!("theirs: {{load: old{seen}}}, mine: {{fit: logistic, on: [a, b]}}"),
            "vote: {fuse: soft_vote, of: [theirs, mine]}, stacked: {fuse: stacking, of: [vote, mine]}",
        )
        .replace("c: {type: number}", "c: {type: number}, third: {type: number}")
    };
    let unknown = "what \"theirs\" was fitted on is not known";
    let done = place.run(&text(""));
    assert!(has_note(&done, unknown), "{:?}", done.outcome.verdict.notes);
    assert!(has_note(&place.run(&text(", seen: part")), "has seen some of these rows"));
    let declared = place.run(&text(", seen: none"));
    assert!(!has_note(&declared, unknown), "{:?}", declared.outcome.verdict.notes);
    let notes = &done.outcome.verdict.notes;
    assert_eq!(notes.iter().filter(|n| n.contains(unknown)).count(), 1, "{notes:?}");
    // A composition with it does not claim to know all of its rows.
    place.write("rows.csv", csv(1, 1000, 1200));
    let text = recipe(
        "validation",
        "theirs: {load: old, seen: none}, mine: {fit: logistic, on: [a]}, mine_b: {fit: logistic, on: [b]}",
        "sure: {fuse: stacking, of: [theirs, mine, mine_b]}",
    )
    .replace("c: {type: number}", "c: {type: number}, third: {type: number}");
    let done = place.run(&text);
    assert_eq!(done.outcome.verdict.exported, "sure", "{}", done.outcome.verdict.sentence);
    assert!(!fitted_on(&done.dir.join("model")).1);
}

#[test]
fn loaded_models_that_do_not_fit_are_refused() {
    let place = Place::new();
    fitted(&place, HALVES, "");
    let text = "id,a,b,c,third,part,fold,label,value\n".to_owned()
        + &(0..120)
            .map(|r| {
                format!(
                    "{r},{:.3},{:.3},{:.3},0,{},0,{},0\n",
                    normal(9, r, 1),
                    normal(9, r, 2),
                    normal(9, r, 3),
                    crate::place::part(r),
                    ["no", "yes", "maybe"][r % 3]
                )
            })
            .collect::<String>();
    place.write("rows.csv", text);
    let load = recipe("validation", "theirs: {load: old}", "");
    let (code, error) = place.refused(&load);
    assert_eq!(code, 3);
    assert!(error.contains("theirs") && error.contains("maybe") && error.contains("by name"), "{error}");
    // A regression.
    place.write("rows.csv", csv(1, 1000, 100));
    let (code, error) = place.refused(
        &load
            .replace("classify", "regress")
            .replace("label: {role", "value: {role")
            .replace("log_loss, report: [accuracy]", "rmse"),
    );
    assert!(code == 3 && error.contains("values"), "{error}");
    // A column that it reads is not there.
    let (code, error) = place.refused(&load.replace(", a: {type: number}, b: {type: number}", ""));
    assert!(code == 3 && error.contains("column"), "{error}");
    // A changed byte.
    let path = place.path().join("old/model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (code, error) = place.refused(&load);
    assert!(code == 3 && error.contains("theirs") && error.contains("changed"), "{error}");
    // None at all, and one outside the data folder.
    assert_eq!(place.refused(&load.replace("old", "older")).0, 3);
    let (_, error) = place.refused(&load.replace("old", "../old"));
    assert!(error.contains("outside") || error.contains(".."), "{error}");
}

/// What a maker who knows `a` says of row `r`.
fn said(r: usize) -> f32 {
    (1.0 / (1.0 + (-1.2 * row(1, r).a).exp())) as f32
}

fn table(rows: impl Iterator<Item = usize>, fold: impl Fn(usize) -> u32) -> String {
    let mut text = "id,fold,p_no,yes\n".to_owned();
    for r in rows {
        let _ = writeln!(text, "{r},{},{},{}", fold(r), 1.0 - said(r), said(r));
    }
    text
}

const CSV: &str = "theirs: {predictions: p.csv, fold: fold, columns: {\"no\": p_no}}";

fn with_theirs(honest: &str, theirs: &str) -> String {
    let members = format!("{theirs}, mine: {{fit: logistic, on: [b]}}");
    recipe(honest, &members, "both: {fuse: stacking, of: [theirs, mine]}")
}

/// The exported model says of rows what was judged of them, given what `theirs` said as columns.
fn same_from_columns(place: &Place, done: &Finished) {
    let rows = std::fs::read_to_string(place.path().join("rows.csv")).unwrap();
    let mut lines = rows.lines();
    let mut wide = format!("{},theirs: no,theirs: yes\n", lines.next().unwrap());
    for (r, line) in lines.enumerate() {
        let _ = writeln!(wide, "{line},{},{}", 1.0 - said(r), said(r));
    }
    place.write("wide.csv", wide);
    let opened = open_unlabelled(&done.dir.join("model"), &place.path().join("wide.csv"), None).unwrap();
    let again = opened.predict(&Stop::default()).unwrap();
    let spec = DataSpec { table: Some("predictions.parquet".into()), ..DataSpec::default() };
    let judged = open(&spec, &done.dir, None, None).unwrap();
    let (ids, yes) = (&judged.roles.cells["id"], &judged.roles.cells["both: yes"]);
    assert_eq!(ids.len(), 120);
    for (id, yes) in ids.iter().zip(yes.iter()) {
        let now = again.p().unwrap()[[id.parse::<usize>().unwrap(), 1]];
        assert!((now - yes.parse::<f32>().unwrap()).abs() < 1e-6, "row {id}: {now} and {yes}");
    }
}

#[test]
fn tables_of_predictions_are_members_in_every_format() {
    let place = Place::new();
    // More rows than the data have, in another order.
    place.write("p.csv", table((0..450).rev(), |r| (r % 4) as u32));
    let rows: Vec<usize> = (0..400).collect();
    let columns = [
        ("id".to_owned(), Written::Ids(rows.iter().map(|r| *r as u64).collect())),
        ("fold".to_owned(), Written::Ids(rows.iter().map(|r| (r % 4) as u64).collect())),
        ("no".to_owned(), Written::Numbers(rows.iter().map(|r| 1.0 - said(*r)).collect())),
        ("yes".to_owned(), Written::Numbers(rows.iter().map(|r| said(*r)).collect())),
    ];
    write_table(&place.path().join("p.parquet"), &columns).unwrap();
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (400, 2), }";
    let header = format!("{header:<117}\n");
    npy.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    npy.extend(header.as_bytes());
    rows.iter().for_each(|r| [1.0 - said(*r), said(*r)].iter().for_each(|v| npy.extend(v.to_le_bytes())));
    place.write("p.npy", npy);
    for honest in ["validation", "{folds: 3}"] {
        let mut scores = Vec::new();
        for theirs in
            [CSV, "theirs: {predictions: p.parquet, fold: fold}", "theirs: {predictions: p.npy, fold: fold}"]
        {
            let done = place.run(&with_theirs(honest, theirs));
            let verdict = &done.outcome.verdict;
            assert!(verdict.gain, "{}", verdict.sentence);
            // What is exported reads the table's predictions from columns of its name.
            assert_eq!(verdict.exported, "both");
            assert!(has_note(&done, "from columns of their names: \"theirs: no\", \"theirs: yes\""));
            same_from_columns(&place, &done);
            assert!(has_note(&done, "\"theirs\" was fitted on is not known"));
            scores
                .push((candidate(&done, "theirs").scores[0].value, candidate(&done, "both").scores[0].value));
        }
        assert!(
            scores.windows(2).all(|w| (w[0].0 - w[1].0).abs() < 1e-6 && (w[0].1 - w[1].1).abs() < 1e-6),
            "{scores:?}"
        );
    }
    let declared = place.run(&with_theirs("{folds: 3}", "theirs: {predictions: p.parquet, seen: none}"));
    assert!(!has_note(&declared, "is not known"));
}

#[test]
fn tables_that_cannot_be_honest_are_refused() {
    let place = Place::new();
    let refused = |text: String, code: u8, parts: &[&str]| {
        let (got, error) = place.refused(&text);
        assert_eq!(got, code, "{error}");
        assert!(parts.iter().all(|p| error.contains(p)), "{error}");
    };
    let folds = with_theirs("{folds: 3}", CSV);
    place.write("p.csv", table(0..400, |r| if r % 4 == 1 { 2 } else { (r % 4) as u32 }));
    refused(folds.clone(), 3, &["theirs", "fold 1 is missing"]);
    place.write("p.csv", table(0..400, |_| 0));
    refused(folds.clone(), 3, &["theirs", "one fold"]);
    // Folds counted from one are folds.
    place.write("p.csv", table(0..400, |r| (r % 4) as u32 + 1));
    place.run(&folds);
    place.write("p.csv", table((0..400).filter(|r| *r != 7), |r| (r % 4) as u32));
    refused(folds.clone(), 3, &["theirs", "lack 1 of the judged rows", "row id 7"]);
    place.write("p.csv", table((0..400).filter(|r| *r != 42), |r| (r % 4) as u32));
    refused(folds.clone(), 3, &["theirs", "lack 1 of the honest rows", "row id 42"]);
    let good = table(0..400, |r| (r % 4) as u32);
    place.write("p.csv", good.clone() + "7,0,0.5,0.5\n");
    refused(folds.clone(), 3, &["the row id 7 stands twice"]);
    place.write("p.csv", good.replacen("\n0,0,", "\n0,0,1", 1));
    refused(folds.clone(), 3, &["not a distribution", "row id 0"]);
    place.write("p.csv", good.replacen("\n0,0,", "\n0,0,x", 1));
    refused(folds.clone(), 3, &["not a number", "row 1", "p_no"]);
    place.write("p.csv", good.replacen("\n0,0,", "\nzero,0,", 1));
    refused(folds.clone(), 3, &["whole numbers", "zero"]);
    place.write("p.csv", &good);
    refused(folds.replace("{\"no\": p_no}", "{\"no\": p_noo}"), 3, &["p_noo", "did you mean \"p_no\""]);
    refused(folds.replace("{\"no\": p_no}", "{\"no\": p_no, maybe: p_no}"), 3, &["class \"maybe\""]);
    refused(folds.replace("p.csv", "q.csv"), 3, &["q.csv"]);
    place.write("p.npy", b"\x93NUMPY\x01\x00");
    refused(folds.replace("p.csv, fold: fold, columns: {\"no\": p_no}", "p.npy, fold: fold"), 3, &["p.npy"]);
    // Groups that lie in two of their folds.
    let grouped = folds
        .replace("c: {type: number}", "c: {type: number}, third: {role: group}")
        .replace("{column: part}", "{holdout: .3}");
    let (_, error) = place.refused(&grouped.replace("{folds: 3}", "{folds: 2}"));
    assert!(error.contains("a group lies in two folds of the predictions"), "{error}");
}

#[test]
fn ids_that_are_names_are_found_again() {
    let place = Place::new();
    let named = |text: String| -> String {
        text.lines()
            .enumerate()
            .map(|(i, line)| if i == 0 { format!("{line}\n") } else { format!("row-{line}\n") })
            .collect()
    };
    place.write("p.csv", table((0..420).rev(), |r| (r % 4) as u32));
    let plain = place.run(&with_theirs("validation", CSV));
    place.write("rows.csv", named(csv(1, 0, 400)));
    place.write("p.csv", named(table((0..420).rev(), |r| (r % 4) as u32)));
    let names = place.run(&with_theirs("validation", CSV));
    let score = |done: &Finished| candidate(done, "theirs").scores[0].value;
    assert_eq!(score(&plain), score(&names));
}

/// The first cells of the lines of a csv file.
fn first_cells(text: &str) -> Vec<String> {
    text.lines().skip(1).map(|l| l.split(',').next().unwrap().to_owned()).collect()
}

#[test]
fn ids_that_are_names_are_written_as_such_and_read_again() {
    let place = Place::new();
    let named: String = csv(1, 0, 400)
        .lines()
        .enumerate()
        .map(|(i, line)| if i == 0 { format!("{line}\n") } else { format!("case 0{line}\n") })
        .collect();
    place.write("rows.csv", &named);
    let done = place.run(&recipe("validation", HALVES, "both: {fuse: stacking, of: [knows_a, knows_b]}"));
    // Of the run's own predictions.
    let data = |file: &str, folder: &std::path::Path| {
        let spec = DataSpec { table: Some(file.to_owned()), ..DataSpec::default() };
        open(&spec, folder, None, None).unwrap().roles.cells["id"].to_vec()
    };
    let judged: Vec<String> =
        first_cells(&named).into_iter().enumerate().filter(|(r, _)| r % 10 > 6).map(|(_, id)| id).collect();
    assert_eq!(judged[0], "case 07");
    assert_eq!(data("predictions.parquet", &done.dir), judged);
    // Of predictions for new rows, which are a member of another recipe then.
    let opened = open_unlabelled(&done.dir.join("model"), &place.path().join("rows.csv"), None).unwrap();
    let p = opened.predict(&Stop::default()).unwrap();
    let mut scores = vec![candidate(&done, &done.outcome.verdict.exported).scores[0].value];
    for file in ["p.csv", "p.parquet"] {
        opened.write(&p, &place.path().join(file)).unwrap();
        assert_eq!(data(file, place.path()), first_cells(&named));
        let members =
            format!("theirs: {{predictions: {file}, seen: none}}, mine: {{fit: logistic, on: [c]}}");
        let again = place.run(&recipe("validation", &members, ""));
        scores.push(candidate(&again, "theirs").scores[0].value);
    }
    assert!(scores.windows(2).all(|w| (w[0] - w[1]).abs() < 1e-6), "{scores:?}");
    // Whole numbers stay numbers.
    place.write("rows.csv", csv(1, 0, 400));
    let plain = open_unlabelled(&done.dir.join("model"), &place.path().join("rows.csv"), None).unwrap();
    plain.write(&plain.predict(&Stop::default()).unwrap(), &place.path().join("n.csv")).unwrap();
    let text = std::fs::read_to_string(place.path().join("n.csv")).unwrap();
    assert_eq!(first_cells(&text), (0..400).map(|r| r.to_string()).collect::<Vec<_>>());
}
