//! What every kind of region must do.

use serde_json::{Value, json};

use super::cases::{Rows, classes, values};
use super::{
    Calibration, Conformal, Coverage, Held, REGISTRY, Regions, Sets, coverage_interval, load, measure,
};
use crate::error::Result;
use crate::model::{Mask, Origin, Predictions, Record, Target, load_parts, save_parts};
use crate::seed::Seed;

/// How many predictions of new rows a kind wants.
fn new_rows(name: &str, said: &[Predictions]) -> Vec<Predictions> {
    if name == "cv_plus" { vec![said[0].clone(); 3] } else { said.to_vec() }
}

fn rows_for(name: &str, n: usize, seed: u64, masked: bool) -> Vec<Rows> {
    match name {
        "lac" | "aps" | "raps" => vec![classes(n, 2, seed, masked), classes(n, 5, seed, masked)],
        "cqr" => vec![values(n, true, seed, masked)],
        "split" => vec![values(n, false, seed, masked)],
        _ => vec![classes(n, 4, seed, masked), values(n, false, seed, masked)],
    }
}

/// Every kind with every choice of its settings but alpha.
fn kinds() -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    for entry in REGISTRY.entries {
        let by: &[&str] = match entry.name {
            "lac" | "aps" | "raps" => &["all", "class", "stratum"],
            "cv_plus" => &[],
            _ => &["all", "stratum"],
        };
        for by in by {
            all.push((entry.name, json!({"by": by})));
        }
        match entry.name {
            "aps" | "raps" => all.push((entry.name, json!({"randomized": true}))),
            "cv_plus" => {
                all.push((entry.name, json!({})));
                all.push((entry.name, json!({"score": "aps", "randomized": true})));
            }
            _ => {}
        }
    }
    all.push(("raps", json!({"k_reg": 1, "lambda": 0.05})));
    all.push(("lac", json!({"allow_empty": false})));
    all
}

fn build(name: &str, settings: &Value, alpha: f64) -> Box<dyn Conformal> {
    let mut settings = settings.clone();
    settings["alpha"] = json!(alpha);
    REGISTRY.build(name, &settings).unwrap()
}

fn fit(conformal: &dyn Conformal, rows: &Rows) -> Result<Box<dyn Regions>> {
    conformal.fit(&rows.calibration(), Seed::new(5))
}

fn sets(name: &str, regions: &dyn Regions, rows: &Rows) -> Sets {
    regions.apply(&new_rows(name, &rows.said), Some(&rows.stratum)).unwrap()
}

fn coverage(name: &str, regions: &dyn Regions, rows: &Rows) -> Coverage {
    let sets = sets(name, regions, rows);
    measure(&sets, &rows.target, Some(&rows.stratum), &regions.promise()).unwrap()
}

#[test]
fn settings_are_checked() {
    for entry in REGISTRY.entries {
        assert!((entry.build)(&json!({"no_such": 1})).is_err(), "{}", entry.name);
        for alpha in [0.0, 1.0, -0.1, 1.5] {
            let error = (entry.build)(&json!({"alpha": alpha})).err().unwrap();
            assert!(error.exit_code() == 2 && error.to_string().contains("alpha"), "{error}");
        }
        assert!((entry.schema)().is_object() && (entry.resolve)(&Value::Null).unwrap().is_object());
    }
    assert!(REGISTRY.build("raps", &json!({"lambda": -1.0})).is_err());
}

#[test]
fn coverage_is_what_is_promised() {
    for (name, settings) in kinds() {
        for alpha in [0.05, 0.1, 0.3] {
            let conformal = build(name, &settings, alpha);
            for (known, new) in rows_for(name, 600, 1, true).iter().zip(rows_for(name, 3000, 2, true)) {
                let regions = fit(conformal.as_ref(), known).unwrap();
                let found = coverage(name, regions.as_ref(), &new);
                let what = format!("{name} {settings} {alpha}: {:?}", found.all);
                if name == "cv_plus" {
                    // The three models are one, so that this is a split of all rows.
                    assert!((found.all.coverage - (1.0 - alpha)).abs() < 0.05, "{what}");
                    assert_eq!(found.all.expected, None);
                    continue;
                }
                let promise = regions.promise();
                assert_eq!(promise.guaranteed, Some(1.0 - alpha));
                let shares: Vec<(usize, &super::Share)> = match promise.by {
                    super::By::All => vec![(promise.rows[&0], &found.all)],
                    super::By::Class => {
                        promise.rows.values().copied().zip(found.by_class.iter().map(|(_, s)| s)).collect()
                    }
                    super::By::Stratum => {
                        promise.rows.values().copied().zip(found.by_stratum.values()).collect()
                    }
                };
                for (n, share) in shares {
                    assert!(share.expected.is_some(), "{what}");
                    let bounds = coverage_interval(n, share.rows, alpha, 0.9999).unwrap();
                    assert!(share.coverage >= bounds.low, "{what}: {share:?} {bounds:?}");
                    // Sets that are filled hold more, and so do cumulated scores without draws, which tie at one.
                    let cumulated = ["aps", "raps"].contains(&name) && settings["randomized"] != json!(true);
                    let exact = settings["allow_empty"].is_null() && !cumulated;
                    assert!(!exact || share.coverage <= bounds.high, "{what}: {share:?} {bounds:?}");
                }
            }
        }
    }
}

#[test]
fn one_threshold_for_all_leaves_hard_strata_behind() {
    let (known, new) = (classes(3000, 4, 3, false), classes(6000, 4, 4, false));
    let of = |settings: Value| {
        let regions = fit(build("lac", &settings, 0.1).as_ref(), &known).unwrap();
        coverage("lac", regions.as_ref(), &new)
    };
    let (all, strata) = (of(json!({})), of(json!({"by": "stratum"})));
    assert!(all.by_stratum[&2].coverage < 0.85, "{all:?}");
    assert!((strata.by_stratum[&2].coverage - 0.9).abs() < 0.03, "{strata:?}");
    assert!(strata.by_stratum[&2].size > all.by_stratum[&2].size);
}

#[test]
fn a_smaller_alpha_gives_larger_regions() {
    for (name, settings) in kinds() {
        // What is tuned depends on alpha.
        if name == "raps" && settings["lambda"].is_null() {
            continue;
        }
        for (known, new) in rows_for(name, 300, 5, false).iter().zip(rows_for(name, 200, 6, false)) {
            let mut before: Option<Sets> = None;
            for alpha in [0.5, 0.2, 0.1, 0.02, 0.001] {
                let regions = fit(build(name, &settings, alpha).as_ref(), known).unwrap();
                let now = sets(name, regions.as_ref(), &new);
                if let Some(before) = &before {
                    match (before.held(), now.held()) {
                        (Held::Classes { holds: a, .. }, Held::Classes { holds: b, .. }) => {
                            assert!(a.iter().zip(b).all(|(a, b)| !a || *b), "{name} {settings} {alpha}");
                        }
                        (Held::Intervals { lower: a, upper: b }, Held::Intervals { lower: c, upper: d }) => {
                            assert!(a.iter().zip(c).all(|(a, c)| a >= c), "{name} {alpha}");
                            assert!(b.iter().zip(d).all(|(b, d)| b <= d), "{name} {alpha}");
                        }
                        _ => panic!(),
                    }
                }
                before = Some(now);
            }
            // 300 rows are not enough for one in a thousand.
            let last = before.unwrap();
            assert!((0..200).all(|r| last.is_full(r)), "{name} {settings}");
        }
    }
}

#[test]
fn too_few_rows_hold_everything_and_say_so() {
    for (name, settings) in kinds() {
        for known in rows_for(name, 12, 7, false) {
            let regions = fit(build(name, &settings, 0.01).as_ref(), &known).unwrap();
            let found = coverage(name, regions.as_ref(), &known);
            assert_eq!((found.full, found.all.coverage), (1.0, 1.0), "{name} {settings}");
            assert_eq!(found.all.expected, None);
            let notes = regions.notes().join("; ");
            assert!(notes.contains("99 that alpha 0.01 needs"), "{name} {settings}: {notes}");
        }
    }
}

#[test]
fn an_unseen_stratum_or_class_holds_everything() {
    for (name, settings) in kinds().into_iter().filter(|(_, s)| s["by"] == "stratum") {
        for known in rows_for(name, 300, 8, false) {
            let regions = fit(build(name, &settings, 0.1).as_ref(), &known).unwrap();
            let strange = vec![77; 300];
            let sets = regions.apply(&known.said, Some(&strange)).unwrap();
            assert!((0..300).all(|r| sets.is_full(r)), "{name}");
            assert_eq!(regions.apply(&known.said, None).unwrap_err().exit_code(), 2, "{name}");
            assert_eq!(regions.apply(&known.said, Some(&[1])).unwrap_err().exit_code(), 3, "{name}");
        }
    }
    let known = classes(300, 3, 9, false);
    let codes = known.target.codes().unwrap().1.to_vec();
    let one = known.take(&(0..300).filter(|r| codes[*r] == 1).collect::<Vec<_>>());
    let regions = fit(build("lac", &json!({"by": "class"}), 0.1).as_ref(), &one).unwrap();
    let sets = sets("lac", regions.as_ref(), &known);
    let Held::Classes { holds, .. } = sets.held() else { panic!() };
    assert!(holds.column(0).iter().chain(holds.column(2)).all(|h| *h));
    let notes = regions.notes();
    assert!(
        notes.len() == 2 && notes[0].contains("class \"c0\"") && notes[0].contains("0 calibration rows"),
        "{notes:?}"
    );
    // One class in all rows is no reason to refuse where all share a threshold.
    assert!(fit(build("aps", &json!({}), 0.1).as_ref(), &one).unwrap().notes().is_empty());
}

#[test]
fn same_bytes_again_and_after_loading() {
    let root = tempfile::tempdir().unwrap();
    for (i, (name, settings)) in kinds().into_iter().enumerate() {
        for (j, known) in rows_for(name, 200, 10, true).iter().enumerate() {
            let conformal = build(name, &settings, 0.15);
            let regions = fit(conformal.as_ref(), known).unwrap();
            let parts = regions.save().unwrap();
            assert_eq!(parts, fit(conformal.as_ref(), known).unwrap().save().unwrap(), "{name}");
            let dir = root.path().join(format!("{i}-{j}"));
            save_parts(&dir, &parts, &Record::default()).unwrap();
            let loaded = load(&load_parts(&dir).unwrap().0).unwrap();
            let new = &rows_for(name, 100, 11, true)[j];
            let (a, b) = (sets(name, regions.as_ref(), new), sets(name, loaded.as_ref(), new));
            // NaN ends of absent rows are not equal.
            assert_eq!(format!("{a:?}"), format!("{b:?}"), "{name}");
            assert_eq!(loaded.save().unwrap(), parts, "{name}");
            assert_eq!((loaded.kind(), loaded.notes()), (regions.kind(), regions.notes()));
            assert_eq!(loaded.promise(), regions.promise());
            assert_eq!(a.absent(), new.said[0].absent());
            let mut broken = parts.clone();
            broken.arrays.clear();
            assert_eq!(load(&broken).err().unwrap().exit_code(), 3, "{name}");
            broken.kind = "other".into();
            assert_eq!(load(&broken).err().unwrap().exit_code(), 3, "{name}");
        }
    }
}

#[test]
fn neither_the_order_of_the_rows_nor_the_neighbors_matter() {
    for (name, settings) in kinds() {
        // What is set aside for tuning depends on the rows' positions.
        if name == "raps" && settings["lambda"].is_null() {
            continue;
        }
        for known in rows_for(name, 200, 12, true) {
            let conformal = build(name, &settings, 0.15);
            let regions = fit(conformal.as_ref(), &known).unwrap();
            let back = known.take(&(0..200).rev().collect::<Vec<_>>());
            assert_eq!(fit(conformal.as_ref(), &back).unwrap().save().unwrap(), regions.save().unwrap());
            let some = [50, 3, 7];
            let (all, few) =
                (sets(name, regions.as_ref(), &known), sets(name, regions.as_ref(), &known.take(&some)));
            for (i, r) in some.iter().enumerate() {
                assert_eq!(all.size(*r), few.size(i), "{name}");
            }
        }
    }
}

#[test]
fn empty_sets_are_filled_on_request() {
    let (known, new) = (classes(400, 4, 13, false), classes(400, 4, 14, false));
    for name in ["lac", "aps", "raps", "cv_plus"] {
        let of = |allow: bool| {
            let settings = match name {
                "aps" | "raps" => json!({"allow_empty": allow, "randomized": true}),
                _ => json!({"allow_empty": allow}),
            };
            let regions = fit(build(name, &settings, 0.6).as_ref(), &known).unwrap();
            coverage(name, regions.as_ref(), &new)
        };
        let (empty, filled) = (of(true), of(false));
        assert!(empty.empty > 0.0 && filled.empty == 0.0, "{name}: {empty:?}");
        assert!(filled.all.coverage > empty.all.coverage, "{name}");
    }
}

#[test]
fn out_of_fold_scores_promise_nothing_of_another_model() {
    let mut known = classes(300, 3, 15, false);
    known.origin = Origin::OutOfFold;
    let regions = fit(build("lac", &json!({}), 0.1).as_ref(), &known).unwrap();
    assert_eq!(regions.promise().guaranteed, None);
    assert!(regions.notes()[0].contains("out-of-fold"), "{:?}", regions.notes());
    let plus = fit(build("cv_plus", &json!({}), 0.1).as_ref(), &known).unwrap();
    assert_eq!(plus.promise().guaranteed, Some(0.8));
    // The model of each fold is needed for new rows.
    let error = plus.apply(&known.said, None).unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("3 predictions"), "{error}");
    // And the folds of the known ones.
    for fold in [None, Some(vec![0; 300]), Some(vec![5; 300])] {
        let rows = Calibration { fold: fold.as_deref(), ..known.calibration() };
        let error = build("cv_plus", &json!({}), 0.1).fit(&rows, Seed::new(1)).err().unwrap();
        assert_eq!(error.exit_code(), 2, "{error}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for (name, settings) in kinds() {
        let conformal = build(name, &settings, 0.1);
        for known in rows_for(name, 60, 16, false) {
            let code = |rows: &Rows| fit(conformal.as_ref(), rows).err().map(|e| e.exit_code());
            assert_eq!(code(&known.take(&[])), Some(3), "{name}");
            let silent = Mask::from_marks(vec![true; 60]);
            let mut gone = known.take(&(0..60).collect::<Vec<_>>());
            gone.said[0] = Predictions::for_task(
                known.said[0].ids().to_vec(),
                &known.said[0].task(),
                known.said[0].matrix(),
                silent,
            )
            .unwrap();
            assert_eq!(code(&gone), Some(3), "{name}");
            let mut twice = known.take(&(0..60).collect::<Vec<_>>());
            twice.said.push(known.said[0].clone());
            assert_eq!(code(&twice), Some(3), "{name}");
            let mut short = known.take(&(0..60).collect::<Vec<_>>());
            short.target = short.target.take(&[0, 1]);
            assert_eq!(code(&short), Some(3), "{name}");
            if let Target::Values(truth) = &mut twice.target {
                truth[3] = f32::NAN;
                twice.said.pop();
                assert_eq!(code(&twice), Some(3), "{name}");
            }
            let regions = fit(conformal.as_ref(), &known).unwrap();
            let other = match known.target {
                Target::Classes { .. } => values(60, false, 1, false),
                Target::Values(_) => classes(60, 2, 1, false),
            };
            let strange = vec![other.said[0].clone(); if name == "cqr" { 2 } else { 3 }];
            for wrong in [Vec::new(), strange] {
                assert_eq!(regions.apply(&wrong, Some(&known.stratum)).unwrap_err().exit_code(), 3, "{name}");
            }
            let found = sets(name, regions.as_ref(), &known);
            assert!(measure(&found, &other.target, None, &regions.promise()).is_err());
            assert!(measure(&found, &known.target.take(&[0]), None, &regions.promise()).is_err());
        }
        if name != "cv_plus" {
            let wrong = match name {
                "split" | "cqr" => classes(60, 2, 1, false),
                _ => values(60, false, 1, false),
            };
            assert_eq!(fit(conformal.as_ref(), &wrong).err().unwrap().exit_code(), 2, "{name}");
        }
    }
    let by_class = REGISTRY.build("split", &json!({"by": "class"})).unwrap();
    assert_eq!(by_class.check(&values(9, false, 1, false).target.task()).unwrap_err().exit_code(), 2);
}
