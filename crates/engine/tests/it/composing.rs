//! Compositions that are calibrated, pruned, cascaded, distilled; regions; budgets.

use consilience_core::data::{DataSpec, open};
use consilience_core::model::{ModelDir, Stop};
use consilience_engine::catalog;
use consilience_engine::outcome::Role;
use consilience_engine::predict::open_unlabelled;

use crate::place::{HALVES, Place, candidate, has_note, predicted, recipe};

#[test]
fn what_is_calibrated_says_what_it_means() {
    let place = Place::new();
    let members = HALVES.replace("knows_a: {fit: logistic", "knows_a: {calibrate: platt, fit: logistic");
    let both = "plain: {fuse: soft_vote, of: [knows_a, knows_b]}, \
                calm: {fuse: soft_vote, of: [knows_a, knows_b], calibrate: temperature}";
    for honest in ["validation", "{folds: 3}"] {
        let done = place.run(&recipe(honest, &members, both));
        assert_eq!(candidate(&done, "knows_a").method, "logistic, platt");
        assert_eq!(candidate(&done, "knows_a").role, Role::Member);
        assert_eq!(candidate(&done, "calm").method, "soft_vote, temperature");
        // The mean of two who each know a half is not sure enough.
        let (plain, calm) =
            (candidate(&done, "plain").scores[0].value, candidate(&done, "calm").scores[0].value);
        assert!(calm < plain - 0.02, "{calm} and {plain}");
        assert_eq!(done.outcome.verdict.exported, "calm");
        // The exported model says of the judged rows what was judged.
        let opened = open_unlabelled(&done.dir.join("model"), &place.path().join("rows.csv"), None).unwrap();
        let now = opened.predict(&Stop::default()).unwrap();
        let spec = DataSpec { table: Some("predictions.parquet".into()), ..DataSpec::default() };
        let ids = open(&spec, &done.dir, None, None).unwrap().roles.cells["id"].clone();
        for (id, yes) in ids.iter().zip(predicted(&done, "calm: yes")) {
            let said = now.p().unwrap()[[id.parse::<usize>().unwrap(), 1]];
            assert!((said - yes).abs() < 1e-6, "row {id}: {said} and {yes}");
        }
    }
    let (code, error) = place.refused(&recipe(
        "validation",
        HALVES,
        "few: {fuse: soft_vote, of: [knows_a, knows_b], calibrate: isotonic}",
    ));
    assert!(code == 3 && error.contains("1000"), "{error}");
}

#[test]
fn what_is_pruned_is_neither_kept_nor_asked() {
    let place = Place::new();
    let done = place.run(&recipe(
        "{folds: 3}",
        HALVES,
        "few: {fuse: stacking, of: [knows_a, knows_b, noise], prune: 0.003}",
    ));
    assert_eq!(done.outcome.verdict.exported, "few", "{}", done.outcome.verdict.sentence);
    let kept = std::fs::read_dir(done.dir.join("model/members")).unwrap();
    let mut kept: Vec<String> =
        kept.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    kept.sort();
    assert_eq!(kept, ["knows_a", "knows_b"]);
    let model = ModelDir::open(&done.dir.join("model")).unwrap().model(&catalog::loaders()).unwrap();
    assert_eq!(model.schema().names(), ["a", "b"]);
    // Explained with all its members, of which one is out.
    let explained = done.outcome.explained.as_ref().unwrap();
    assert_eq!(explained.composition, "few");
    assert_eq!(explained.readings.members.len(), 3);
    let noise = explained.readings.members.iter().find(|m| m.member == "noise").unwrap();
    let others = explained.readings.members.iter().filter(|m| m.member != "noise");
    assert!(others.clone().all(|m| m.shapley > noise.shapley), "{:?}", explained.readings.members);
    assert!(
        others.clone().all(|m| m.sentence.contains("taking it out costs")),
        "{:?}",
        explained.readings.members
    );
}

#[test]
fn a_cascade_asks_the_dear_member_less_and_says_what_that_costs() {
    let place = Place::new();
    let members = "cheap: {fit: logistic, on: [a]}, dear: {fit: knn, on: [a, b], k: 15}";
    let turn = "turn: {fuse: cascade, of: [cheap, dear], slack: 0.05}";
    let done = place.run(&recipe("{folds: 3}", members, turn));
    let found = candidate(&done, "turn");
    assert!(found.spending.len() > 10);
    let (first, last) = (found.spending.first().unwrap(), found.spending.last().unwrap());
    assert!(first.cost < last.cost && last.threshold.is_infinite(), "{first:?} {last:?}");
    assert!(first.loss > last.loss + 0.05 && first.auc.unwrap() < last.auc.unwrap(), "{first:?} {last:?}");
    let page = std::fs::read_to_string(done.dir.join("report.html")).unwrap();
    assert!(page.contains("What a cascade saves") && page.contains("ask all"));
    // Within the slack of asking everybody, on honest rows.
    let all = place.run(&recipe("{folds: 3}", members, "turn: {fuse: cascade, of: [cheap, dear], slack: 0}"));
    let (some, all) = (found.honest.unwrap(), candidate(&all, "turn").honest.unwrap());
    assert!(some <= all + 0.08, "{some} and {all}");
    let (code, error) = place.refused(
        &recipe(
            "{folds: 3}",
            "m: {fit: linear, on: [a]}, n: {fit: linear, on: [b]}",
            "t: {fuse: cascade, of: [m, n]}",
        )
        .replace("task: classify", "task: regress")
        .replace("label: {role: target}", "label: {role: ignore}, value: {role: target}")
        .replace("choose: log_loss, report: [accuracy]", "choose: rmse"),
    );
    assert!(code == 2 && error.contains("values do not say it"), "{error}");
}

#[test]
fn regions_hold_the_truth_as_often_as_they_promise_and_are_written_with_predictions() {
    let place = Place::new();
    place.write("rows.csv", crate::place::csv(1, 0, 1200));
    let text = recipe("validation", HALVES, "both: {fuse: stacking, of: [knows_a, knows_b]}").replace(
        "split: {column: part}",
        "split: {column: part, regions: 0.5}\nregions: {lac: {alpha: 0.2}}",
    );
    let done = place.run(&text);
    let found = done.outcome.regions.as_ref().unwrap();
    assert_eq!((found.rows, found.guaranteed), (300, Some(0.8)));
    let all = &found.coverage.all;
    let expected = all.expected.unwrap();
    assert!(all.rows == 360 && expected.low <= all.coverage && all.coverage <= expected.high, "{all:?}");
    assert_eq!(found.coverage.by_class.len(), 2);
    let page = std::fs::read_to_string(done.dir.join("report.html")).unwrap();
    assert!(page.contains("Regions (lac) promise 80.0 %"));
    let opened = open_unlabelled(&done.dir.join("model"), &place.path().join("rows.csv"), None).unwrap();
    let said = opened.predict(&Stop::default()).unwrap();
    let out = place.path().join("out.csv");
    opened.write(&said, &out).unwrap();
    let spec = DataSpec { table: Some("out.csv".into()), ..DataSpec::default() };
    let sets = open(&spec, place.path(), None, None).unwrap().roles.cells["set"].clone();
    let mut kinds: Vec<&str> = sets.iter().map(String::as_str).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert!(kinds.contains(&"no") && kinds.contains(&"yes"), "{kinds:?}");

    // By the values of a column.
    let by = text.replace("{lac: {alpha: 0.2}}", "{lac: {alpha: 0.2, by: stratum}, stratum: third}");
    let done = place.run(&by);
    assert_eq!(done.outcome.regions.as_ref().unwrap().coverage.by_stratum.len(), 3);
    let opened = open_unlabelled(&done.dir.join("model"), &place.path().join("rows.csv"), None).unwrap();
    opened.write(&opened.predict(&Stop::default()).unwrap(), &out).unwrap();

    for (from, to, says) in [
        ("regions: 0.5", "validation: 0.1", "no rows that set the thresholds"),
        ("\nregions: {lac: {alpha: 0.2}}", "", "there are none"),
        ("alpha: 0.2", "alpha: 1.5", "alpha"),
        ("lac: {alpha: 0.2}", "lca: {alpha: 0.2}", "lac"),
        ("lac: {alpha: 0.2}", "split: {alpha: 0.2}", "values"),
    ] {
        let text = text.replace(from, to);
        let error = match consilience_engine::recipe::load(&text, "t.yaml", &catalog::methods()) {
            Err(findings) => findings.to_string(),
            Ok(_) => place.refused(&text).1,
        };
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn a_student_learns_from_what_its_teacher_says_of_rows_it_has_not_seen() {
    let place = Place::new();
    let both = "both: {fuse: stacking, of: [knows_a, knows_b]}, small: {distill: logistic, teacher: both, on: [a, b]}, \
                net: {distill: mlp, teacher: both, on: [a, b], hidden: [8], epochs: 60, rate: 0.01, share: 0.8, temperature: 2}";
    let done = place.run(&recipe("{folds: 3}", HALVES, both));
    for name in ["small", "net"] {
        let student = candidate(&done, name);
        assert_eq!(student.role, Role::Distill);
        let (here, noise) = (student.scores[0].value, candidate(&done, "noise").scores[0].value);
        assert!(here < noise - 0.1, "{name}: {here} and {noise}");
    }
    assert!(
        candidate(&done, "small").scores[0].value < candidate(&done, "knows_a").scores[0].value - 0.1,
        "it reads both columns"
    );
    // The student is as cheap as one model.
    assert!(candidate(&done, "small").cost.parameters < candidate(&done, "both").cost.parameters);
    let again = place.run(&recipe("{folds: 3}", HALVES, both));
    assert_eq!(predicted(&done, "net: yes"), predicted(&again, "net: yes"));
    // A number out of range, a learner that cannot, rows that the teacher has seen.
    let vote = |student: &str| {
        format!("both: {{fuse: soft_vote, of: [knows_a, knows_b]}}, s: {{{student}, teacher: both, on: [a]}}")
    };
    let text = recipe("{folds: 3}", HALVES, &vote("distill: logistic, share: 2"));
    let findings =
        consilience_engine::recipe::load(&text, "t.yaml", &catalog::methods()).unwrap_err().to_string();
    assert!(findings.contains("share: 2") && findings.contains("out of range"), "{findings}");
    let (code, error) = place.refused(&recipe("{folds: 3}", HALVES, &vote("distill: knn")));
    assert!(code == 2 && error.contains("teacher"), "{error}");
    let (code, error) = place.refused(&recipe("validation", HALVES, &vote("distill: logistic")));
    assert!(code >= 2 && error.contains("teacher"), "{error}");
}

#[test]
fn a_budget_bounds_what_is_exported() {
    let place = Place::new();
    let both = "both: {fuse: stacking, of: [knows_a, knows_b]}";
    let free = place.run(&recipe("{folds: 3}", HALVES, both));
    assert_eq!(free.outcome.verdict.exported, "both");
    let most = candidate(&free, "knows_a").cost.parameters.unwrap();
    let bound = |parameters: u64| {
        recipe("{folds: 3}", HALVES, both)
            .replace("resamples: 300", &format!("resamples: 300, budget: {{parameters: {parameters}}}"))
    };
    let done = place.run(&bound(most));
    assert_eq!(done.outcome.verdict.exported, done.outcome.verdict.best_single);
    assert!(has_note(&done, "not to be chosen: \"both\""), "{:?}", done.outcome.verdict.notes);
    let (code, error) = place.refused(&bound(0));
    assert!(code == 2 && error.contains("budget"), "{error}");
}
