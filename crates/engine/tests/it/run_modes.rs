//! Ways to honest predictions, and members of every kind that is fitted.

use consilience_core::model::{Parts, load_parts};
use consilience_engine::outcome::Role;

use crate::place::{HALVES, Place, Seen, candidate, files, fitted_on, has_note, json, recipe};

const FUSES: &str = "vote: {fuse: soft_vote, of: [knows_a, knows_b]}, \
                     stacked: {fuse: stacking, of: [knows_a, knows_b, noise]}, \
                     again: {fuse: weighted, of: [vote, knows_a]}";

#[test]
fn halves_gain_together_by_validation_and_by_folds() {
    for honest in ["validation", "{folds: 3}"] {
        let place = Place::new();
        let done = place.run(&recipe(honest, HALVES, FUSES));
        let verdict = &done.outcome.verdict;
        assert!(verdict.gain, "{honest}: {}", verdict.sentence);
        assert!(verdict.sentence.starts_with("Gain:"), "{}", verdict.sentence);
        assert_eq!(verdict.best_composition.as_deref(), Some(verdict.exported.as_str()));
        assert!(["vote", "stacked", "again"].contains(&verdict.exported.as_str()));
        let honest_difference = verdict.honest_difference.unwrap();
        assert!(honest_difference.high < 0.0 && honest_difference.low <= honest_difference.value);
        // The best single member is the one with the best honest score.
        let single = candidate(&done, &verdict.best_single);
        for name in ["knows_a", "knows_b", "noise"] {
            assert!(single.honest.unwrap() <= candidate(&done, name).honest.unwrap());
        }
        assert_eq!(single.scores[0].against_best_single, None);
        // A composition of a composition is one like any other.
        let again = candidate(&done, "again");
        assert_eq!(
            (again.role, again.of.as_slice()),
            (Role::Fuse, &["vote".to_owned(), "knows_a".to_owned()][..])
        );
        assert!(again.honest.unwrap() < candidate(&done, "noise").honest.unwrap());
        // What it needs is fitted once, however often it is used.
        let seconds = |name: &str| candidate(&done, name).cost.fit_seconds;
        assert!(seconds("again") < seconds("vote") + seconds("knows_a") + 1.0);
        let parts = done.outcome.data.parts;
        assert_eq!(parts, [200, 80, 120]);
        let unused = has_note(&done, "80 rows for choosing are not used");
        assert_eq!(unused, honest != "validation");
        // A composition has learned from the rows for fitting, and from those by which it was weighed.
        let (digests, all) = fitted_on(&done.dir.join("model"));
        assert!(all);
        assert_eq!(digests.len(), if honest == "validation" { 280 } else { 200 });
    }
}

fn arrays(place: &Place, done: &consilience_engine::run::Finished, step: &str) -> Vec<(String, Vec<f32>)> {
    let (parts, _): (Parts, _) = load_parts(&place.step(done, step).join("model")).unwrap();
    let weights = parts.arrays.keys().filter(|n| parts.f32(n).is_ok()).cloned().collect::<Vec<_>>();
    weights.into_iter().map(|n| (n.clone(), parts.f32(&n).unwrap().1.to_vec())).collect()
}

fn distance(a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)]) -> f32 {
    assert_eq!(a.iter().map(|x| &x.0).collect::<Vec<_>>(), b.iter().map(|x| &x.0).collect::<Vec<_>>());
    let pairs = a.iter().zip(b).flat_map(|(x, y)| x.1.iter().zip(&y.1));
    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn every_training_setting_runs_from_a_recipe_and_a_fit_that_diverged_says_so() {
    let members = "all: {fit: mlp, on: [table], hidden: [6], epochs: 3, smoothing: 0.1, class_weights: balanced, \
         average: 0.9, rates: {encoders.table: 0.5, head: 2}, retries: 1}, \
         named: {fit: mlp, on: [table], hidden: [6], epochs: 2, class_weights: {\"yes\": 2.5, \"no\": 1}}, \
         wild: {fit: mlp, on: [table], hidden: [6], epochs: 20, optimizer: sgd, rate: 10000, retries: 10}";
    let place = Place::new();
    let done = place.run(&recipe("validation", members, "vote: {fuse: soft_vote, of: [all, named]}"));
    assert!(has_note(&done, "wild: training diverged (epoch "), "{:?}", done.outcome.verdict.notes);
    assert!(!has_note(&done, "all: training") && !has_note(&done, "named: training"));
    let found = json(&place.step(&done, "wild").join("log.json"));
    assert!(found["notes"][0].as_str().unwrap().ends_with("at 1/2 of the rate"), "{found}");
    // More yeses are predicted where they weigh more.
    let yes = |name: &str| crate::place::predicted(&done, &format!("{name}: yes")).iter().sum::<f32>();
    assert!(yes("named") > yes("all"));
    for (bad, says) in [
        ("class_weights: {maybe: 2}", "there is no class \"maybe\""),
        ("rates: {encoder.table: 0.1}", "did you mean \"encoders.table\"?"),
        ("rates: {encoders: 0, head: 0}", "every part is frozen"),
    ] {
        let members = format!("one: {{fit: mlp, on: [table], {bad}}}, two: {{fit: logistic}}");
        let (code, text) = place.refused(&recipe("validation", &members, ""));
        assert!(code == 2 && text.contains("one: ") && text.contains(says), "{code}: {text}");
    }
}

#[test]
fn networks_from_one_start_are_merged() {
    // `still` moves so little that it shows where it started.
    let members = "start: {fit: mlp, on: [table], hidden: [8], epochs: 4, inner: 0}, \
         still: {fit: mlp, from: start, rows: \"third == 1\", on: [table], hidden: [8], epochs: 1, inner: 0, rate: 1e-9}, \
         tuned: {fit: mlp, from: start, rows: \"third == 2\", on: [table], hidden: [8], epochs: 2, inner: 0}";
    let soup = "soup: {merge: linear, of: [still, tuned]}, vote: {fuse: soft_vote, of: [soup, start]}";
    let place = Place::new();
    let done = place.run(&recipe("validation", members, soup));
    let of = |name: &str| arrays(&place, &done, name);
    assert!(distance(&of("still"), &of("start")) < 1e-6);
    assert!(distance(&of("tuned"), &of("start")) > 1e-4);
    let mean = |a: Vec<(String, Vec<f32>)>, b: Vec<(String, Vec<f32>)>| -> Vec<(String, Vec<f32>)> {
        a.into_iter()
            .zip(b)
            .map(|(x, y)| (x.0, x.1.iter().zip(&y.1).map(|(p, q)| (p + q) / 2.0).collect()))
            .collect()
    };
    assert!(distance(&of("soup"), &mean(of("still"), of("tuned"))) < 1e-6);
    assert_eq!(candidate(&done, "soup").role, Role::Merge);
    assert!(candidate(&done, "soup").honest.is_some());

    let done = place.run(&recipe("{folds: 2}", members, soup));
    for fold in ["fold 1/2", "fold 2/2"] {
        let of = |name: &str| arrays(&place, &done, &format!("{name}, {fold}"));
        // The fold's model starts from the start's model of that fold, never from the one that saw all rows.
        assert!(distance(&of("still"), &of("start")) < 1e-6, "{fold}");
        assert!(distance(&of("still"), &arrays(&place, &done, "start")) > 1e-4, "{fold}");
        assert!(distance(&of("soup"), &mean(of("still"), of("tuned"))) < 1e-6, "{fold}");
    }
    assert!(candidate(&done, "soup").honest.is_some());
}

#[test]
fn a_filter_holds_for_the_folds_too() {
    // Rows of the rarer class only: whoever learns from them alone says that class, everywhere.
    let place = Place::new();
    let text = "id,a,label\n".to_owned()
        + &(0..200)
            .map(|r| format!("{r},{},{}\n", r % 7, if r % 4 == 0 { "yes" } else { "no" }))
            .collect::<String>();
    place.write("rows.csv", text);
    let done = place.run(
        "version: 1\nname: f\ntask: classify\ndata: {table: rows.csv, columns: {id: {role: id}, label: {role: target}}}\n\
         split: {holdout: .2}\nhonest: {folds: 4}\n\
         members: {all: {fit: constant, on: [a]}, rare: {fit: constant, on: [a], rows: 'label == yes'}}\n\
         judge: {choose: accuracy, resamples: 100}\n",
    );
    assert!((candidate(&done, "all").honest.unwrap() - 0.75).abs() < 0.01);
    assert!((candidate(&done, "rare").honest.unwrap() - 0.25).abs() < 0.01);
    assert_eq!(done.outcome.verdict.exported, "all");
    assert!(done.outcome.verdict.sentence.starts_with("Nothing was composed"));
    let (code, error) = place.refused(
        "version: 1\nname: f\ntask: classify\ndata: {table: rows.csv, columns: {id: {role: id}, label: {role: target}}}\n\
         split: {holdout: .2}\nhonest: {folds: 4}\nmembers: {none: {fit: constant, on: [a], rows: 'label == maybe'}}\n",
    );
    assert_eq!(code, 2);
    assert!(error.contains("none") && error.contains("no row fits"), "{error}");
}

#[test]
fn a_bag_keeps_the_models_of_the_folds() {
    let place = Place::new();
    let members = "bagged: {fit: logistic, on: [a, b], bag: true}";
    let done = place.run(&recipe("{folds: 3}", members, ""));
    let kept = files(&done.dir.join("model"));
    for fold in 1..=3 {
        assert!(kept.contains_key(&format!("members/fold{fold}/model.safetensors")), "{:?}", kept.keys());
    }
    let cost = &candidate(&done, "bagged").cost;
    assert!(cost.bytes.unwrap() > 0 && cost.parameters.unwrap() > 3);
    let names: Vec<String> = json(&done.dir.join("steps.json"))
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(!names.contains(&"bagged".to_owned()), "a bag needs no fit on all rows: {names:?}");
    let (code, error) = place.refused(&recipe("validation", members, ""));
    assert_eq!(code, 2);
    assert!(error.contains("bag") && error.contains("honest: {folds: 5}"), "{error}");
}

#[test]
fn a_bag_may_begin_with_a_row_about_which_nothing_is_said() {
    let place = Place::new();
    let text = "id,note,part,label\n".to_owned()
        + &(0..90)
            .map(|r| {
                let note = if r < 6 {
                    ""
                } else if r % 2 == 0 {
                    "red fox"
                } else {
                    "blue owl"
                };
                format!("{r},{note},{},{}\n", crate::place::part(r), if r % 2 == 0 { "yes" } else { "no" })
            })
            .collect::<String>();
    place.write("rows.csv", text);
    let done = place.run(
        "version: 1\nname: s\ntask: classify\n\
         data: {table: rows.csv, only: true, columns: {id: {role: id}, label: {role: target}, note: {type: text}}}\n\
         split: {column: part}\nhonest: {folds: 3}\nmembers: {words: {fit: logistic, on: [note], bag: true}}\n\
         judge: {choose: log_loss, resamples: 100}\n",
    );
    assert!(done.dir.join("model/members/fold1").is_dir());
}

#[test]
fn another_member_changes_nothing_for_those_that_are_there() {
    let place = Place::new();
    let first = "one: {fit: mlp, on: [table], hidden: [4], epochs: 2}";
    let twin = "one: {fit: mlp, on: [table], hidden: [4], epochs: 2}, two: {fit: mlp, on: [table], hidden: [4], epochs: 2}";
    let before = place.run(&recipe("validation", first, ""));
    let seen = Seen::default();
    let after = place.request(
        &recipe("validation", twin, "vote: {fuse: soft_vote, of: [one, two]}"),
        "runs",
        false,
        &seen,
    );
    let after = after.unwrap();
    let done = seen.done();
    assert!(done.iter().all(|n| !n.starts_with("one")), "{done:?}");
    assert!(done.iter().any(|n| n == "two"), "equal settings, another name, another seed: {done:?}");
    assert_eq!(candidate(&before, "one").scores[0].value, candidate(&after, "one").scores[0].value);
    assert_ne!(candidate(&after, "one").scores[0].value, candidate(&after, "two").scores[0].value);
}
