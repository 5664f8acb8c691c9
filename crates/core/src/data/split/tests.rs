//! Splits of small data that tests write down row by row.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::data::dataset::Roles;
use crate::data::spec::Validation;
use crate::model::{Batch, Classes, Column, Field, Kind, Mask, Memory, Schema};

const FIVE: HonestSpec = HonestSpec::Folds { folds: 5 };
const VALIDATION: HonestSpec = HonestSpec::Validation(Validation::Validation);

/// Rows with the classes given, and columns of cells; a column `g` has the role group.
fn data(labels: &[u32], columns: &[(&str, Vec<String>)]) -> Dataset {
    let n = labels.len();
    let values = (0..n).map(|i| i as f64).collect();
    let batch = Batch::new((0..n as u64).collect())
        .with("x", Column::Number { values, missing: Mask::none(n) })
        .unwrap();
    let schema = Schema { fields: vec![Field::new("x", Kind::Number)] };
    let count = labels.iter().max().unwrap() + 1;
    let names = (0..count.max(2)).map(|i| format!("k{i}")).collect();
    let cells: BTreeMap<String, Arc<Vec<String>>> =
        columns.iter().map(|(n, c)| ((*n).to_owned(), Arc::new(c.clone()))).collect();
    let group = cells.get("g").map(|c| {
        (codes(c).into_iter().map(u64::from).collect(), {
            in_order(c.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect())
        })
    });
    let domain = cells.get("d").map(|c| c.as_ref().clone());
    Dataset {
        source: Arc::new(Memory::new(schema, batch).unwrap()),
        target: Some(Target::Classes { classes: Classes::new(names).unwrap(), codes: labels.to_vec() }),
        roles: Roles { cells, group, domain, ..Roles::default() },
        content: String::new(),
        digests: (0..n as u64).collect(),
        notes: Vec::new(),
    }
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|v| v.to_string()).collect()
}

fn holdout(share: f64) -> SplitSpec {
    SplitSpec { holdout: Some(share), ..SplitSpec::default() }
}

/// Every row is in one part, every row for fitting in one fold.
fn is_whole(out: &Split, rows: usize) {
    let mut all: Vec<usize> = [&out.fit, &out.choose, &out.judge].into_iter().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..rows).collect::<Vec<_>>());
    assert!(out.folds.is_empty() || out.folds.len() == out.fit.len());
}

#[test]
fn a_random_split_is_stratified_exact_and_repeatable() {
    let labels: Vec<u32> = (0..100).map(|i| u32::from(i % 10 == 0)).collect();
    let data = data(&labels, &[]);
    let spec = SplitSpec { validation: Some(0.2), ..holdout(0.3) };
    let out = split(&spec, &FIVE, &data, Seed::new(1)).unwrap();
    is_whole(&out, 100);
    assert_eq!((out.fit.len(), out.choose.len(), out.judge.len()), (50, 20, 30));
    let rare = |rows: &[usize]| rows.iter().filter(|r| labels[**r] == 1).count();
    assert_eq!((rare(&out.fit), rare(&out.choose), rare(&out.judge)), (5, 2, 3));
    for fold in 0..5 {
        let rows: Vec<usize> =
            out.fit.iter().zip(&out.folds).filter(|(_, f)| **f == fold).map(|(r, _)| *r).collect();
        assert_eq!((rows.len(), rare(&rows)), (10, 1));
    }
    assert_eq!(out, split(&spec, &FIVE, &data, Seed::new(1)).unwrap());
    assert_ne!(out.judge, split(&spec, &FIVE, &data, Seed::new(2)).unwrap().judge);
    assert_eq!(split(&holdout(7.0), &FIVE, &data, Seed::new(1)).unwrap().judge.len(), 7);
}

#[test]
fn groups_stay_together_and_balance_as_the_peer_does() {
    let golden = &crate::data::golden_tests::golden()["folds"];
    let numbers = |name: &str| -> Vec<u64> {
        golden[name].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
    };
    let labels: Vec<u32> = numbers("label").into_iter().map(|l| l as u32).collect();
    let groups = numbers("group");
    let data = data(&labels, &[("g", texts(&groups))]);
    let out = split(&holdout(0.25), &FIVE, &data, Seed::new(3)).unwrap();
    is_whole(&out, 1000);
    let torn = |a: &[usize], b: &[usize]| a.iter().any(|r| b.iter().any(|s| groups[*r] == groups[*s]));
    assert!(!torn(&out.fit, &out.judge));
    assert!(out.judge.len().abs_diff(250) <= 5, "{}", out.judge.len());

    // The balance of scikit-learn's StratifiedGroupKFold, the median of ten seeds of each.
    let nested = SplitSpec { folds: Some(5), ..SplitSpec::default() };
    let mut ours: Vec<f64> = (0..10)
        .map(|seed| {
            let folds = super::nested(&nested, &FIVE, &data, Seed::new(seed)).unwrap().outer;
            let mut worst = 0.0f64;
            for class in 0..3 {
                let fair = labels.iter().filter(|l| **l == class).count() as f64 / 5.0;
                for out in &folds {
                    let n = out.judge.iter().filter(|r| labels[**r] == class).count() as f64;
                    worst = worst.max((n / fair - 1.0).abs());
                }
            }
            worst
        })
        .collect();
    ours.sort_by(f64::total_cmp);
    let (median, peer) = (ours[5], golden["peer_balance"].as_f64().unwrap());
    println!("largest relative deviation of a class in a fold: {median:.3}, peer {peer:.3}");
    assert!(median <= peer, "{median} is worse than the peer's {peer}");
}

#[test]
fn columns_name_the_parts() {
    let labels = [0, 1, 0, 1, 0, 1];
    let parts = texts(["train", "Train", "val", "val", "TEST", "test"]);
    let d = data(&labels, &[("split", parts)]);
    let spec = SplitSpec { column: Some("split".into()), ..SplitSpec::default() };
    let out = split(&spec, &VALIDATION, &d, Seed::new(0)).unwrap();
    assert_eq!((out.fit, out.choose, out.judge), (vec![0, 1], vec![2, 3], vec![4, 5]));
    let listed = SplitSpec { fit: vec!["val".into()], judge: vec!["test".into()], ..spec.clone() };
    let error = split(&listed, &VALIDATION, &d, Seed::new(0)).unwrap_err().to_string();
    assert!(error.contains("row 0") && error.contains("got \"train\""), "{error}");
    let misspelt = SplitSpec { fit: vec!["tarin".into()], ..spec.clone() };
    let error = split(&misspelt, &VALIDATION, &d, Seed::new(0)).unwrap_err().to_string();
    assert!(error.contains("did you mean \"train\"?"), "{error}");
    let unknown = SplitSpec { column: Some("spilt".into()), ..SplitSpec::default() };
    let error = split(&unknown, &VALIDATION, &d, Seed::new(0)).unwrap_err().to_string();
    assert!(error.contains("did you mean \"split\"?"), "{error}");
}

#[test]
fn a_group_in_two_parts_is_an_error_that_names_it() {
    let columns =
        [("split", texts(["train", "train", "test", "test"])), ("g", texts(["ann", "bob", "bob", "eve"]))];
    let d = data(&[0, 1, 0, 1], &columns);
    let spec = SplitSpec { column: Some("split".into()), ..SplitSpec::default() };
    let error = split(&spec, &HonestSpec::Folds { folds: 2 }, &d, Seed::new(0)).unwrap_err();
    assert!(
        error.to_string().contains("group leak: the group \"bob\" is both for fitting and for judging"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 3);
    // The group may also be named by the split.
    let d = data(&[0, 1, 0, 1], &[("split", columns[0].1.clone()), ("who", columns[1].1.clone())]);
    let spec = SplitSpec { group: Some("who".into()), ..spec };
    let error = split(&spec, &HonestSpec::Folds { folds: 2 }, &d, Seed::new(0)).unwrap_err();
    assert!(error.to_string().contains("\"bob\""), "{error}");
}

#[test]
fn the_latest_rows_judge_and_ties_stay_together() {
    let labels: Vec<u32> = (0..20).map(|i| i % 2).collect();
    let days = texts((0..20).map(|i| format!("2024-01-{:02}", 1 + (19 - i) / 2)));
    let d = data(&labels, &[("day", days.clone())]);
    let spec = SplitSpec { time: Some("day".into()), validation: Some(4.0), ..holdout(5.0) };
    let out = split(&spec, &HonestSpec::Folds { folds: 3 }, &d, Seed::new(0)).unwrap();
    is_whole(&out, 20);
    assert!(matches!(out.judge.len(), 4 | 6), "{:?}", out.judge);
    let latest = |rows: &[usize]| rows.iter().map(|r| days[*r].clone()).max().unwrap();
    let earliest = |rows: &[usize]| rows.iter().map(|r| days[*r].clone()).min().unwrap();
    assert!(latest(&out.fit) < earliest(&out.choose) && latest(&out.choose) < earliest(&out.judge));
    // Folds are blocks of time.
    for (a, fa) in out.fit.iter().zip(&out.folds) {
        for (b, fb) in out.fit.iter().zip(&out.folds) {
            assert!(days[*a] >= days[*b] || fa <= fb);
        }
    }
    let flat = data(&labels, &[("day", texts(["2024-01-01"; 20]))]);
    assert!(split(&spec, &FIVE, &flat, Seed::new(0)).unwrap_err().to_string().contains("one time"));
}

#[test]
fn a_domain_judges() {
    let d = data(&[0, 1, 0, 1, 0, 1], &[("d", texts(["a", "a", "b", "b", "a", "a"]))]);
    let spec = SplitSpec { domain: Some("b".into()), ..SplitSpec::default() };
    let out = split(&spec, &HonestSpec::Folds { folds: 2 }, &d, Seed::new(0)).unwrap();
    assert_eq!((out.fit, out.judge), (vec![0, 1, 4, 5], vec![2, 3]));
    let none = SplitSpec { domain: Some("c".into()), ..SplitSpec::default() };
    assert_eq!(split(&none, &FIVE, &d, Seed::new(0)).unwrap_err().exit_code(), 2);
}

#[test]
fn nested_folds_judge_every_row_once() {
    let labels: Vec<u32> = (0..40).map(|i| i % 2).collect();
    let d = data(&labels, &[]);
    let spec = SplitSpec { folds: Some(4), validation: Some(0.2), ..SplitSpec::default() };
    let Nested { whole, outer: all } = nested(&spec, &VALIDATION, &d, Seed::new(5)).unwrap();
    assert_eq!((whole.fit.len(), whole.choose.len(), whole.judge.len()), (32, 8, 0));
    let mut judged: Vec<usize> = all.iter().flat_map(|s| s.judge.clone()).collect();
    judged.sort_unstable();
    assert_eq!(judged, (0..40).collect::<Vec<_>>());
    all.iter().for_each(|s| is_whole(s, 40));
    assert!(all.iter().all(|s| s.choose.len() == 6));
    assert!(split(&spec, &VALIDATION, &d, Seed::new(5)).is_err());
    let both = SplitSpec { holdout: Some(0.1), ..spec };
    assert_eq!(nested(&both, &VALIDATION, &d, Seed::new(5)).unwrap_err().exit_code(), 2);
}

#[test]
fn what_cannot_be_split_is_refused() {
    let d = data(&[0, 1, 2, 0, 1, 0, 1, 0, 1, 0, 1], &[]);
    let error = split(&holdout(2.0), &FIVE, &d, Seed::new(2)).unwrap_err().to_string();
    let lone = data(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[]);
    let every = split(&holdout(2.0), &FIVE, &lone, Seed::new(0)).unwrap_err().to_string();
    assert!(every.contains("all its rows for fitting in one fold") && every.contains("got 1 row"), "{every}");
    assert!(error.contains("\"k2\"") || error.contains("one fold"), "{error}");
    let few = data(&[0, 1, 0, 1, 0, 1, 0, 1], &[("g", texts([1, 1, 2, 2, 3, 3, 4, 4]))]);
    let error = split(&holdout(2.0), &FIVE, &few, Seed::new(0)).unwrap_err().to_string();
    assert!(error.contains("fewer groups than parts or folds") && error.contains("got 3"), "{error}");
    let some = data(&[0, 1, 0, 1, 0, 1], &[("s", texts(["train"; 6]))]);
    let column = SplitSpec { column: Some("s".into()), ..SplitSpec::default() };
    let error = split(&column, &FIVE, &some, Seed::new(0)).unwrap_err().to_string();
    assert!(error.contains("no rows are for judging"), "{error}");
    let error = split(&holdout(0.5), &VALIDATION, &some, Seed::new(0)).unwrap_err().to_string();
    assert!(error.contains("no rows are for choosing") && error.contains("validation: 0.2"), "{error}");
    for spec in [
        SplitSpec::default(),
        holdout(1.0),
        holdout(0.0),
        holdout(2.5),
        holdout(f64::NAN),
        SplitSpec { column: Some("s".into()), ..holdout(0.2) },
        SplitSpec { fit: vec!["train".into()], ..holdout(0.2) },
        SplitSpec { time: Some("s".into()), ..SplitSpec::default() },
        SplitSpec { domain: Some("a".into()), ..SplitSpec::default() },
        SplitSpec { stratify: Some("none".into()), ..holdout(0.2) },
    ] {
        assert!(split(&spec, &FIVE, &some, Seed::new(0)).is_err(), "{spec:?}");
    }
    assert!(
        split(&holdout(6.0), &FIVE, &some, Seed::new(0)).unwrap_err().to_string().contains("not enough rows")
    );
}

#[test]
fn copies_across_parts_are_told() {
    let mut d = data(&[0, 1, 0, 1], &[("s", texts(["train", "train", "test", "test"]))]);
    d.digests = vec![5, 6, 5, 7];
    let column = SplitSpec { column: Some("s".into()), ..SplitSpec::default() };
    let spec = HonestSpec::Folds { folds: 2 };
    let error = split(&column, &spec, &d, Seed::new(0)).unwrap_err().to_string();
    assert!(error.contains("one fold"), "two rows of two classes cannot have folds: {error}");
    let mut d =
        data(&[0, 1, 0, 1, 0, 1], &[("s", texts(["train", "train", "train", "train", "test", "test"]))]);
    d.digests = vec![5, 6, 8, 9, 5, 7];
    let out = split(&column, &spec, &d, Seed::new(0)).unwrap();
    assert!(out.notes.iter().any(|n| n.starts_with("leak: 1 of 2 rows for judging")), "{:?}", out.notes);
}
