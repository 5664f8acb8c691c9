//! What is concluded and exported, and that judged rows change neither.

use crate::place::{HALVES, Place, candidate, files, has_note, part, recipe};

#[test]
fn a_composition_with_noise_is_no_gain_and_not_exported() {
    for honest in ["validation", "{folds: 3}"] {
        let place = Place::new();
        let members = "knows: {fit: logistic, on: [a, b]}, noise: {fit: logistic, on: [c]}";
        let done = place.run(&recipe(honest, members, "vote: {fuse: soft_vote, of: [knows, noise]}"));
        let verdict = &done.outcome.verdict;
        assert!(!verdict.gain);
        assert!(verdict.sentence.starts_with("No gain: \"vote\" is worse than"), "{}", verdict.sentence);
        assert_eq!((verdict.exported.as_str(), verdict.best_single.as_str()), ("knows", "knows"));
        assert!(verdict.honest_difference.unwrap().low > 0.0);
        assert!(verdict.difference.unwrap().low > 0.0);
        // By a metric of which more is better, the signs turn.
        let text = recipe(honest, members, "vote: {fuse: soft_vote, of: [knows, noise], weights: [1, 9]}");
        let done = place
            .run(&text.replace("choose: log_loss, report: [accuracy]", "choose: auc, report: [log_loss]"));
        let verdict = &done.outcome.verdict;
        assert!(!verdict.gain && verdict.exported == "knows", "{}", verdict.sentence);
        assert!(verdict.honest_difference.unwrap().value <= 0.0);
    }
}

#[test]
fn a_gain_by_a_metric_of_which_more_is_better_is_exported() {
    let place = Place::new();
    let text = recipe("validation", HALVES, "vote: {fuse: soft_vote, of: [knows_a, knows_b]}");
    let done =
        place.run(&text.replace("choose: log_loss, report: [accuracy]", "choose: auc, report: [log_loss]"));
    let verdict = &done.outcome.verdict;
    assert!(verdict.gain && verdict.exported == "vote", "{}", verdict.sentence);
    assert!(verdict.honest_difference.unwrap().low > 0.0);
}

#[test]
fn the_same_member_twice_is_no_gain() {
    let place = Place::new();
    let members = "one: {fit: logistic, on: [a]}, two: {fit: logistic, on: [a]}";
    let done = place.run(&recipe("validation", members, "vote: {fuse: soft_vote, of: [one, two]}"));
    let verdict = &done.outcome.verdict;
    assert!(!verdict.gain && verdict.exported == "one", "{}", verdict.sentence);
    assert!(verdict.sentence.contains("does not beat"), "{}", verdict.sentence);
    assert_eq!(verdict.difference.unwrap().value, 0.0);
    assert_eq!(verdict.honest_difference.unwrap().value, 0.0);
}

/// The honest rows show a gain, the judged rows are of another kind: the export follows the honest ones, and the verdict
/// says what the judged ones show. And the other way round.
#[test]
fn the_export_follows_the_honest_interval_only() {
    // Stacking is surer than its members, so it loses more where labels are turned.
    let sure = recipe("validation", HALVES, "sure: {fuse: stacking, of: [knows_a, knows_b]}");
    let text = recipe("validation", HALVES, "vote: {fuse: soft_vote, of: [knows_a, knows_b]}");
    let turn = |csv: String, which: &str| -> String {
        csv.lines()
            .map(|line| {
                let mut cells: Vec<&str> = line.split(',').collect();
                if cells[5] == which {
                    cells[7] = if cells[7] == "yes" { "no" } else { "yes" };
                }
                cells.join(",") + "\n"
            })
            .collect()
    };
    let place = Place::new();
    place.write("rows.csv", turn(crate::place::csv(1, 0, 1200), "test"));
    let done = place.run(&sure);
    let verdict = &done.outcome.verdict;
    assert_eq!(verdict.exported, "sure");
    assert!(!verdict.gain && verdict.honest_difference.unwrap().high < 0.0, "{}", verdict.sentence);
    assert!(has_note(&done, "the judged rows do not confirm it"));
    place.write("rows.csv", turn(crate::place::csv(1, 0, 1200), "val"));
    let done = place.run(&text);
    let verdict = &done.outcome.verdict;
    assert_ne!(verdict.exported, "vote");
    assert!(verdict.gain && verdict.honest_difference.unwrap().low > 0.0, "{}", verdict.sentence);
    assert!(has_note(&done, "the honest predictions, which alone decide, did not show the gain"));
}

/// Judged rows are turned to nonsense: what is fitted, chosen and exported stays the same to the bit.
#[test]
fn judged_rows_change_nothing_but_scores() {
    for honest in ["validation", "{folds: 3}"] {
        let members =
            format!("{HALVES}, deep: {{fit: mlp, on: [table], hidden: [6], epochs: 8, patience: 2}}");
        let synthesis = "vote: {fuse: soft_vote, of: [knows_a, knows_b]}, \
                         stacked: {fuse: stacking, of: [knows_a, knows_b, deep]}, \
                         experts: {fuse: gate, of: [knows_a, knows_b]}, \
                         greedy: {fuse: greedy, of: [knows_a, knows_b, noise, deep]}";
        let text = recipe(honest, &members, synthesis);
        let place = Place::new();
        let before = place.run(&text);
        let spoiled: String = crate::place::csv(1, 0, 400)
            .lines()
            .enumerate()
            .map(|(i, line)| {
                let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
                if i > 0 && part(i - 1) == "test" {
                    for (k, cell) in cells.iter_mut().enumerate().skip(1).take(3) {
                        *cell = format!("{}", 1000 * k + i);
                    }
                    cells[7] = if i % 2 == 0 { "yes".to_owned() } else { "no".to_owned() };
                }
                cells.join(",") + "\n"
            })
            .collect();
        place.write("rows.csv", spoiled);
        let after = place.run(&text);
        assert_ne!(before.outcome.run, after.outcome.run);
        let (one, two) = (&before.outcome.verdict, &after.outcome.verdict);
        assert_eq!(
            (&one.exported, &one.best_single, &one.best_composition),
            (&two.exported, &two.best_single, &two.best_composition)
        );
        assert_eq!(one.honest_difference, two.honest_difference);
        for c in &before.outcome.candidates {
            assert_eq!(c.honest, candidate(&after, &c.name).honest, "{}", c.name);
            assert_ne!(c.scores[0].value, candidate(&after, &c.name).scores[0].value, "{}", c.name);
        }
        let weights = |done: &consilience_engine::run::Finished| {
            let mut all = files(&done.dir.join("model"));
            all.retain(|n, _| n.ends_with("config.json") || n.ends_with("model.safetensors"));
            all
        };
        assert!(weights(&before) == weights(&after), "{honest}: the judged rows changed the model");
        for step in ["deep", "stacked", "experts"] {
            let of = |done: &consilience_engine::run::Finished| {
                let mut all = files(&place.step(done, step));
                all.retain(|n, _| n.ends_with(".safetensors"));
                all
            };
            assert!(of(&before) == of(&after), "{honest}: the judged rows changed {step}");
        }
    }
}
