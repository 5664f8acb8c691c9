//! Nested runs: every row is judged once, by what was fitted, composed and chosen without it.

use std::collections::BTreeSet;

use consilience_core::model::Stop;
use consilience_engine::plan::plan;
use consilience_engine::predict;
use consilience_engine::recipe::load;
use consilience_engine::run::Finished;

use crate::place::{HALVES, Place, Seen, candidate, csv, files, fitted_on, has_note, predicted, recipe};

const FUSES: &str = "vote: {fuse: soft_vote, of: [knows_a, knows_b]}, \
                     stacked: {fuse: stacking, of: [knows_a, knows_b, noise]}";

fn nested(honest: &str, split: &str, members: &str, synthesis: &str) -> String {
    recipe(honest, members, synthesis).replace("split: {column: part}", &format!("split: {split}"))
}

fn truth(done: &Finished) -> Vec<bool> {
    predicted(done, "id").iter().map(|id| crate::place::row(1, *id as usize).yes).collect()
}

#[test]
fn every_row_is_judged_once_by_what_has_not_seen_it() {
    for (honest, split) in [("{folds: 3}", "{folds: 4}"), ("validation", "{folds: 4, validation: 0.2}")] {
        let place = Place::new();
        let seen = Seen::default();
        let done = place.request(&nested(honest, split, HALVES, FUSES), "runs", false, &seen).unwrap();
        let verdict = &done.outcome.verdict;
        assert!(verdict.gain && verdict.sentence.starts_with("Gain:"), "{}", verdict.sentence);
        assert!(
            verdict.sentence.contains("on 400 rows, each judged in one of 4 outer folds"),
            "{}",
            verdict.sentence
        );
        assert!(has_note(&done, "was made once more, of all rows, and is itself not judged"));
        // Ids in order, four folds of a hundred.
        let ids = predicted(&done, "id");
        assert_eq!(ids, (0..400).map(|i| i as f32).collect::<Vec<_>>());
        let folds = predicted(&done, "outer fold");
        for fold in 1..=4 {
            assert_eq!(folds.iter().filter(|f| **f == fold as f32).count(), 100);
        }
        let data = &done.outcome.data;
        assert_eq!((data.rows, data.outer_folds, data.parts[2]), (400, 4, 100));
        // The judged score is that of the predictions that were written.
        let yes = predicted(&done, "knows_a: yes");
        let right = yes.iter().zip(truth(&done)).filter(|(p, yes)| (**p > 0.5) == *yes).count();
        let accuracy = candidate(&done, "knows_a").scores[1].value;
        assert!((right as f64 / 400.0 - accuracy).abs() < 1e-9);
        assert!(candidate(&done, "knows_a").cost.predict_micros.is_some());
        // Every fold is fitted in its turn, and everything once more.
        let steps = seen.done();
        for fold in 1..=4 {
            assert!(
                steps.iter().any(|s| *s == format!("outer fold {fold}/4: knows_a, judged: predict")),
                "{steps:?}"
            );
        }
        // What is exported has learned from all rows.
        let (digests, all) = fitted_on(&done.dir.join("model"));
        assert!(all);
        assert_eq!(digests.len(), 400);
        assert!(!done.outcome.importances.is_empty());
        let opened = predict::open(&done.dir.join("model"), &place.path().join("rows.csv"), None).unwrap();
        assert_eq!(opened.predict(&Stop::default()).unwrap().rows(), 400);
        assert!(std::fs::read_to_string(done.dir.join("report.html")).unwrap().contains("in 4 outer folds"));
    }
}

/// A member that keeps its fitting rows by heart says nothing of others: in-sample judging would show it at once.
#[test]
fn nothing_that_judges_has_learned_from_the_row() {
    let place = Place::new();
    let mut text = "id,a,b,c,third,part,fold,label,value\n".to_owned();
    for r in 0..300 {
        let x = crate::place::uniform(9, r, 1);
        let label = if crate::place::uniform(9, r, 2) > 0.5 { "yes" } else { "no" };
        text += &format!("{r},{x:.6},{x:.6},{x:.6},0,train,0,{label},0\n");
    }
    place.write("rows.csv", text);
    let members = "heart: {fit: knn, on: [a], k: 1}, none: {fit: constant, on: [a]}";
    let done =
        place.run(&nested("{folds: 3}", "{folds: 5}", members, "v: {fuse: weighted, of: [heart, none]}"));
    let accuracy = candidate(&done, "heart").scores[1].value;
    assert!((accuracy - 0.5).abs() < 0.1, "{accuracy}");
    assert!(!done.outcome.verdict.gain);
}

/// Where the folds choose differently, what each chose is judged, not the best of them all.
#[test]
fn folds_may_choose_differently() {
    let place = Place::new();
    place.write("rows.csv", csv(1, 0, 60));
    // Two members that know the same half, so that chance chooses between them in each fold.
    let members = "one: {fit: logistic, on: [a, c], c: 1.0}, two: {fit: logistic, on: [a], c: 0.2}, \
                   three: {fit: knn, on: [a], k: 9}";
    let fuses = "v: {fuse: soft_vote, of: [one, two]}, w: {fuse: soft_vote, of: [two, three]}";
    let done = place.run(&nested("{folds: 2}", "{folds: 6}", members, fuses));
    let sentence = &done.outcome.verdict.sentence;
    assert!(sentence.contains("folds, \"") || sentence.contains("in 5 folds"), "{sentence}");
    // No candidate alone is the reference: each has a difference to it.
    let singles = ["one", "two", "three"];
    let without =
        singles.iter().filter(|n| candidate(&done, n).scores[0].against_best_single.is_none()).count();
    assert_eq!(without, 0, "{sentence}");
    assert_eq!(done.outcome.candidates.len(), 5);
}

#[test]
fn nested_runs_are_the_same_bytes_and_resume() {
    let place = Place::new();
    let text = nested("{folds: 2}", "{folds: 3}", HALVES, FUSES);
    let bytes = |runs: &str, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let seen = Seen::default();
        let done = pool.install(|| place.request(&text, runs, false, &seen).unwrap());
        let said = std::fs::read(done.dir.join("predictions.parquet")).unwrap();
        (files(&done.dir.join("model")), said, seen.done().len())
    };
    let (model, said, fresh) = bytes("one", 1);
    let (again, same, kept) = bytes("one", 2);
    assert!(model == again && said == same && fresh > 20 && kept == 0);
    let (other, same, _) = bytes("two", 2);
    assert!(model == other && said == same);
}

#[test]
fn groups_stay_whole_and_the_plan_says_what_is_done() {
    let place = Place::new();
    let grouped = nested("{folds: 2}", "{folds: 3}", HALVES, FUSES)
        .replace("label: {role: target}", "third: {role: group}, label: {role: target}");
    let (code, error) = place.refused(&grouped.replace("folds: 3", "folds: 5"));
    assert!(code == 3 && error.contains("split: folds"), "{code} {error}");
    let by_twenty: String = csv(1, 0, 400)
        .lines()
        .enumerate()
        .map(|(i, line)| if i == 0 { format!("{line},who\n") } else { format!("{line},{}\n", i % 20) })
        .collect();
    place.write("rows.csv", by_twenty);
    let text = nested("{folds: 2}", "{folds: 4}", HALVES, FUSES)
        .replace("label: {role: target}", "who: {role: group}, label: {role: target}");
    let done = place.run(&text);
    let folds = predicted(&done, "outer fold");
    let pairs: BTreeSet<(usize, u32)> =
        folds.iter().enumerate().map(|(i, f)| ((i + 1) % 20, *f as u32)).collect();
    assert_eq!(pairs.len(), 20);
    assert_eq!(done.outcome.data.judged_groups, Some(20));
    let checked = load(&text, "t.yaml", &consilience_engine::catalog::methods()).unwrap();
    let (plan, _) = plan(&checked, place.path(), place.path()).unwrap();
    assert_eq!((plan.outer_folds, plan.members[0].fits), (4, 15));
}
