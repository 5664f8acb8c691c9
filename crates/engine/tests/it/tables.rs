//! People who only have tables of predictions: from tables to a recipe, a model, and new tables composed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use consilience_core::Result;
use consilience_core::data::{DataSpec, Pieces, Written, open, write_table};
use consilience_core::model::Stop;
use consilience_engine::guess::{Tables, TablesRecipe, recipe_of_tables};
use consilience_engine::tables::{Composed, Composing, compose};

use crate::place::{Place, candidate, row};

const ROWS: usize = 300;

/// What a member says of a row: the probability of `yes`.
fn said(member: usize, r: usize) -> f32 {
    let x = row(1, r);
    let logit = [x.a, x.b, x.c][member] * [1.5, 1.5, 0.5][member];
    (1.0 / (1.0 + (-logit).exp())) as f32
}

fn truth(r: usize) -> &'static str {
    if row(1, r).yes { "yes" } else { "no" }
}

/// Three tables in three formats, and the truth with folds and parts.
fn place() -> (Place, Vec<PathBuf>) {
    let place = Place::new();
    let mut table = "id,no,yes\n".to_owned();
    let mut target = "id,label,fold,part,who\n".to_owned();
    for r in 0..ROWS {
        let _ = writeln!(table, "r{r},{},{}", 1.0 - said(0, r), said(0, r));
        let part = if r % 3 == 2 { "test" } else { "train" };
        let _ = writeln!(target, "r{r},{},{},{part},{}", truth(r), r % 4, r / 2);
    }
    place.write("a.csv", table);
    place.write("truth.csv", target);
    let columns = [
        ("id".to_owned(), Written::Texts((0..ROWS).map(|r| format!("r{r}")).collect())),
        ("yes".to_owned(), Written::Numbers((0..ROWS).map(|r| said(1, r)).collect())),
    ];
    write_table(&place.path().join("b.parquet"), &columns).unwrap();
    place.write("c.npy", npy("(300,)", (0..ROWS).map(|r| said(2, r))));
    let paths = ["a.csv", "b.parquet", "c.npy"].map(|n| place.path().join(n));
    (place, paths.to_vec())
}

fn npy(shape: &str, values: impl Iterator<Item = f32>) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    values.for_each(|v| bytes.extend(v.to_le_bytes()));
    bytes
}

fn tables<'a>(predictions: &'a [PathBuf], target: &'a Path) -> Tables<'a> {
    Tables {
        predictions,
        target: Some(target),
        fold: Some("fold"),
        label: Some("label"),
        ..Tables::default()
    }
}

fn refused(made: Result<TablesRecipe>) -> (u8, String) {
    let error = made.err().unwrap();
    (error.exit_code(), error.to_string())
}

#[test]
fn tables_are_composed_and_the_model_composes_new_ones() {
    let (place, paths) = place();
    let target = place.path().join("truth.csv");
    let made = recipe_of_tables(&tables(&paths, &target)).unwrap();
    assert_eq!(made.root, place.path().canonicalize().unwrap());
    let text = made.text.replace("judge: {", "judge: {resamples: 200, ");
    let done = place.run(&text);
    let verdict = &done.outcome.verdict;
    assert!(verdict.gain, "{}", verdict.sentence);
    assert!(
        verdict.sentence.contains("300 rows, each judged in one of 4 outer folds"),
        "{}",
        verdict.sentence
    );
    let soft = candidate(&done, "soft_vote").scores[0].value;
    assert!(candidate(&done, "stacking").scores[0].value < soft);

    // New tables, whose members are told by the names of the files.
    let model = done.dir.join("model");
    let out = place.path().join("out.csv");
    let composing = Composing { model: &model, predictions: &paths, names: &[], id: None, out: &out };
    let composed = compose(&composing, &Stop::default()).unwrap();
    assert_eq!(composed, Composed { rows: ROWS, silent: 0 });
    let written = std::fs::read_to_string(&out).unwrap();
    assert!(written.starts_with("id,no,yes\nr0,"), "{written}");
    let right = written.lines().skip(1).enumerate().filter(|(r, line)| {
        let yes: f32 = line.split(',').nth(2).unwrap().parse().unwrap();
        (yes > 0.5) == (truth(*r) == "yes")
    });
    let right = right.count();
    assert!(right > 270, "{right} of {ROWS}");
    // By row blocks, the same: the columns of the whole are the columns of the pieces.
    let mut pieces = Pieces::open(&out, 7).unwrap();
    let mut rows = 0;
    while let Some(piece) = pieces.next(Some(0), &[1, 2], 7).unwrap() {
        rows += piece.rows;
    }
    assert_eq!(rows, ROWS);
    // The same through `csl predict` on one wide table.
    let wide: Vec<(String, Written)> = ["a", "b", "c"]
        .iter()
        .enumerate()
        .flat_map(|(m, name)| {
            let yes: Vec<f32> = (0..ROWS).map(|r| said(m, r)).collect();
            let no = yes.iter().map(|p| 1.0 - p).collect();
            [(format!("{name}: no"), Written::Numbers(no)), (format!("{name}: yes"), Written::Numbers(yes))]
        })
        .chain([("id".to_owned(), Written::Texts((0..ROWS).map(|r| format!("r{r}")).collect()))])
        .collect();
    write_table(&place.path().join("wide.csv"), &wide).unwrap();
    let opened =
        consilience_engine::predict::open_unlabelled(&model, &place.path().join("wide.csv"), None).unwrap();
    let p = opened.predict(&Stop::default()).unwrap();
    let spec = DataSpec { table: Some("out.csv".into()), ..DataSpec::default() };
    let yes = open(&spec, place.path(), None, None).unwrap().roles.cells["yes"].clone();
    for r in 0..ROWS {
        assert!((p.p().unwrap()[[r, 1]] - yes[r].parse::<f32>().unwrap()).abs() < 1e-5);
    }
}

#[test]
fn members_of_one_array_are_named_and_judged_on_a_part() {
    let place = Place::new();
    place.write(
        "all.npy",
        npy("(3, 300, 2)", (0..3).flat_map(|m| (0..ROWS).flat_map(move |r| [1.0 - said(m, r), said(m, r)]))),
    );
    place.write("y.npy", npy("(300,)", (0..ROWS).map(|r| f32::from(u8::from(row(1, r).yes)))));
    place.write("fold.npy", npy("(300,)", (0..ROWS).map(|r| (r % 5) as f32)));
    let (all, y) = (place.path().join("all.npy"), place.path().join("y.npy"));
    let fold = place.path().join("fold.npy").display().to_string();
    let names = ["first".to_owned(), "second".to_owned(), "third".to_owned()];
    let by = ["weighted".to_owned(), "stacking".to_owned()];
    let predictions = [all];
    let wanted = Tables {
        predictions: &predictions,
        target: Some(&y),
        fold: Some(&fold),
        names: &names,
        by: &by,
        ..Tables::default()
    };
    let made = recipe_of_tables(&wanted).unwrap();
    assert!(made.text.contains("second: {predictions: all.npy, seen: none, member: 1}"), "{}", made.text);
    assert!(made.text.contains("split: {column: fold, folds: 5}"), "{}", made.text);
    let done = place.run(&made.text.replace("judge: {", "judge: {resamples: 200, "));
    assert!(done.outcome.verdict.gain, "{}", done.outcome.verdict.sentence);
    // The array again, with the names in order; without them its members are not known.
    let out = place.path().join("out.parquet");
    let model = done.dir.join("model");
    let composing =
        Composing { model: &model, predictions: &predictions, names: &names, id: None, out: &out };
    assert_eq!(compose(&composing, &Stop::default()).unwrap().rows, ROWS);
    let error = compose(&Composing { names: &[], ..composing }, &Stop::default()).unwrap_err();
    assert!(
        error.to_string().contains("no table gives it") && error.to_string().contains("all_0"),
        "{error}"
    );
}

#[test]
fn what_is_not_said_is_asked_for() {
    let (place, paths) = place();
    let target = place.path().join("truth.csv");
    let base = tables(&paths, &target);
    let (code, error) = refused(recipe_of_tables(&Tables { fold: None, ..base }));
    assert!(code == 2 && error.contains("honest") && error.contains("--unseen"), "{error}");
    assert!(
        recipe_of_tables(&Tables { fold: None, unseen: true, ..base })
            .unwrap()
            .text
            .contains("split: {folds: 5}")
    );
    let part = Tables { fold: None, unseen: true, split: Some("part"), ..base };
    assert!(recipe_of_tables(&part).unwrap().text.contains("split: {column: part}"));
    let (_, error) = refused(recipe_of_tables(&Tables { label: Some("lable"), ..base }));
    assert!(error.contains("did you mean \"label\""), "{error}");
    let (_, error) = refused(recipe_of_tables(&Tables { group: Some("whom"), ..base }));
    assert!(error.contains("no column \"whom\""), "{error}");
    let one = ["only".to_owned()];
    let (_, error) = refused(recipe_of_tables(&Tables { names: &one, ..base }));
    assert!(error.contains("3 names"), "{error}");
    let twice = [paths[0].clone(), paths[0].clone()];
    let (_, error) = refused(recipe_of_tables(&Tables { predictions: &twice, ..base }));
    assert!(error.contains("two members are called \"a\""), "{error}");
    let gone = [place.path().join("gone.csv")];
    let (code, error) = refused(recipe_of_tables(&Tables { predictions: &gone, ..base }));
    assert!(code == 2 && error.contains("gone.csv"), "{error}");
    // Groups that the folds tear apart.
    let torn = recipe_of_tables(&Tables { group: Some("who"), ..base }).unwrap();
    let (code, error) = place.refused(&torn.text);
    assert!(code == 3 && error.contains("group"), "{error}");
}

#[test]
fn tables_of_other_rows_are_not_composed() {
    let (place, paths) = place();
    let target = place.path().join("truth.csv");
    let text = recipe_of_tables(&tables(&paths, &target)).unwrap().text;
    let done = place.run(&text.replace("judge: {", "judge: {resamples: 100, "));
    let model = done.dir.join("model");
    let out = place.path().join("out.csv");
    let error = |predictions: &[PathBuf], names: &[String]| {
        let composing = Composing { model: &model, predictions, names, id: None, out: &out };
        let error = compose(&composing, &Stop::default()).err().unwrap();
        assert!(!out.exists());
        error.to_string()
    };
    let two = error(&paths[..2], &[]);
    assert!(two.contains("\"c: no\"") && two.contains("a table called \"c\""), "{two}");
    let a = std::fs::read_to_string(&paths[0]).unwrap();
    place.write("a2.csv", a.lines().take(200).collect::<Vec<_>>().join("\n"));
    let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let short = [place.path().join("a2.csv"), paths[1].clone(), paths[2].clone()];
    let said = error(&short, &names);
    assert!(said.contains("different numbers of rows") && said.contains("199"), "{said}");
    let few = error(&short, &names[..2]);
    assert!(few.contains("3 names"), "{few}");
    let over = Composing { model: &model, predictions: &paths, names: &[], id: None, out: &paths[0] };
    let over = compose(&over, &Stop::default()).err().unwrap().to_string();
    assert!(over.contains("would replace a table"), "{over}");
    assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), a);
    place.write("a2.csv", a.replace("\nr7,", "\nr8x,"));
    let said = error(&short, &names);
    assert!(said.contains("another order") && said.contains("row 8"), "{said}");
}
