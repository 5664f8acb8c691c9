//! Merges in recipes: what is wrong with them, bases, moments, and choices on honest rows.

use std::collections::BTreeMap;

use consilience_core::model::{Parts, load_parts};
use consilience_engine::catalog;
use consilience_engine::recipe::{Finding, Recipe, Synthesis, load, resolved_yaml};
use serde_json::{Value, json};

use crate::place::{Place, Seen, candidate, files, has_note, json as read, predicted, recipe};

/// A recipe for checks: `a` and `b` start from `start`, `c` from `other`.
fn text(merge: &str) -> String {
    let net = "fit: mlp, hidden: [4]";
    format!(
        "version: 1\ntask: classify\ndata: {{table: a.csv, columns: {{y: {{role: target}}}}}}\nsplit: {{holdout: .2}}\nmembers: \
         {{start: {{{net}}}, other: {{{net}}}, a: {{{net}, from: start}}, b: {{{net}, from: start}}, c: {{{net}, from: other}}, \
         p: {{predictions: p.csv, seen: none}}}}\nsynthesis:\n  v: {{fuse: soft_vote, of: [a, b]}}\n  s: {merge}\n"
    )
}

fn found(merge: &str) -> Vec<Finding> {
    match load(&text(merge), "r.yaml", &catalog::methods()) {
        Ok(checked) => checked.warnings.findings,
        Err(findings) => findings.findings,
    }
}

fn merge_of(recipe: &Recipe) -> (&Value, Option<&str>, &BTreeMap<String, Vec<Value>>) {
    match &recipe.synthesis[1].1 {
        Synthesis::Merge { method, base, search, .. } => (&method.parameters, base.as_deref(), search),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_mistake_in_a_merge_gives_one_finding_at_its_place() {
    for (merge, path, words) in [
        ("{merge: tie, of: [a, b]}", "synthesis.s.merge", "did you mean ties"),
        ("{merge: linear, of: [a, b], base: start}", "synthesis.s.base", "works on the members alone"),
        ("{merge: greedy_soup, of: [a, b], base: start}", "synthesis.s.base", "leave out base"),
        ("{merge: ties, of: [a, c]}", "synthesis.s.merge", "write base: start"),
        ("{merge: ties, of: [start, other]}", "synthesis.s.merge", "write base: and its name"),
        ("{merge: ties, of: [a, start], base: start}", "synthesis.s.base", "one of the members"),
        ("{merge: ties, of: [a, b], base: strat}", "synthesis.s.base", "did you mean start"),
        ("{merge: ties, of: [a, b], base: v}", "synthesis.s.base", "is a synthesis"),
        ("{merge: ties, of: [a, b], base: p}", "synthesis.s.base", "has no weights"),
        ("{merge: slerp, of: [a, b], t: 0.5}", "synthesis.s.of", "not take so many members"),
        ("{merge: nuslerp, of: [a]}", "synthesis.s.of", "not take so many members"),
        ("{merge: model_stock, of: [a]}", "synthesis.s.of", "2 or more beside the base"),
        ("{merge: slerp, of: [a]}", "synthesis.s", "needs the key \"t\""),
        (
            "{merge: linear, of: [a, b], weight: [1, 2, 3]}",
            "synthesis.s.weight",
            "one number for each member",
        ),
        ("{merge: ties, of: [a, b], density: 1.5}", "synthesis.s.density", "from 0 to 1"),
        (
            "{merge: ties, of: [a, b], search: {densty: [0.5]}}",
            "synthesis.s.search.densty",
            "did you mean density",
        ),
        ("{merge: ties, of: [a, b], search: {density: 0.5}}", "synthesis.s.search.density", "a list"),
        (
            "{merge: ties, of: [a, b], search: {density: []}}",
            "synthesis.s.search.density",
            "at least 1 entry",
        ),
        ("{merge: ties, of: [a, b], search: {}}", "synthesis.s.search", "empty"),
        (
            "{merge: ties, of: [a, b], search: {density: [0.5, x]}}",
            "synthesis.s.search.density[1]",
            "this is text",
        ),
        (
            "{merge: ties, of: [a, b], search: {density: [0.5, 2]}}",
            "synthesis.s.search.density[1]",
            "from 0 to 1",
        ),
        (
            "{merge: ties, of: [a, b], search: {weight: [1, [1, 2, 3]]}}",
            "synthesis.s.search.weight[1]",
            "each member",
        ),
        (
            "{merge: ties, of: [a, b], density: 0.5, search: {density: [0.5, 0.6]}}",
            "synthesis.s.search.density",
            "given and searched",
        ),
        ("{merge: greedy_soup, of: [a, b], search: {weight: [1]}}", "synthesis.s.search", "has no key"),
    ] {
        let all = found(merge);
        let words_of = |f: &Finding| {
            let near = f.nearest.as_ref().map_or(String::new(), |n| format!("did you mean {n}"));
            format!("{}; expected {}; {near}; {}", f.message, f.expected, f.remedy)
        };
        assert!(
            all.len() == 1 && all[0].path == path && words_of(&all[0]).contains(words),
            "{merge}\nexpected {path}: {words}\nfound {all:#?}"
        );
    }
    let numbers = |n: usize| (1..=n).map(|i| format!("0.{i:02}")).collect::<Vec<_>>().join(", ");
    let many = |n| {
        format!("{{merge: ties, of: [a, b], search: {{density: [{}], lambda: [1, 2, 3, 4]}}}}", numbers(n))
    };
    assert_eq!(found(&many(50)), []);
    let all = found(&many(51));
    assert!(all.len() == 1 && all[0].path == "synthesis.s.search" && all[0].got == "204", "{all:#?}");
}

#[test]
fn a_common_start_is_the_base_and_what_is_resolved_is_the_same_recipe() {
    for (merge, base) in [
        ("{merge: ties, of: [a, b]}", Some("start")),
        ("{merge: ties, of: [a, b], base: other}", Some("other")),
        ("{merge: slerp, of: [c], t: 0.5}", Some("other")),
        ("{merge: multislerp, of: [a, b]}", None),
        ("{merge: multislerp, of: [a, b], base: start}", Some("start")),
        ("{merge: linear, of: [a, b]}", None),
        ("{merge: slerp, of: [a], search: {t: [0.25, 0.5]}}", Some("start")),
        ("{merge: greedy_soup, of: [a, b]}", None),
    ] {
        let load =
            |text: &str| load(text, "r.yaml", &catalog::methods()).unwrap_or_else(|f| panic!("{f}")).recipe;
        let recipe = load(&text(merge));
        assert_eq!(merge_of(&recipe).1, base, "{merge}");
        let resolved = resolved_yaml(&recipe).unwrap();
        assert_eq!(base.is_some(), resolved.contains("base: "), "{resolved}");
        assert_eq!(load(&resolved), recipe, "{resolved}");
    }
    let recipe = load(
        &text("{merge: ties, of: [a, b], search: {density: [0.2, 0.9], weight: [2, [1, 3]]}}"),
        "r.yaml",
        &catalog::methods(),
    );
    let recipe = recipe.unwrap().recipe;
    let (parameters, _, search) = merge_of(&recipe);
    assert_eq!((&parameters["density"], &parameters["weight"]), (&json!(0.2), &json!(2.0)));
    assert_eq!(search["weight"], [json!(2), json!([1, 3])]);
    assert!(resolved_yaml(&recipe).unwrap().contains("search: {density: [0.2, 0.9], weight: [2, [1, 3]]}"));
}

/// One start and three that go on from it by heart, the third with rows of one class alone.
const THREE: &str = "start: {fit: mlp, on: [a, b, c], hidden: [32], epochs: 4, inner: 0, batch: 16, rate: 0.01}, \
     one: {fit: mlp, from: start, rows: \"third == 0\", on: [a, b, c], hidden: [32], epochs: 30, inner: 0, batch: 16, rate: 0.01}, \
     two: {fit: mlp, from: start, rows: \"third == 1\", on: [a, b, c], hidden: [32], epochs: 30, inner: 0, batch: 16, rate: 0.01}, \
     lost: {fit: mlp, from: start, rows: \"third == 2 and label == yes\", on: [a, b, c], hidden: [32], epochs: 8, inner: 0, batch: 16, \
     rate: 0.03}";

fn honest_scores(done: &consilience_engine::run::Finished, names: &[&str]) -> Vec<f64> {
    names.iter().map(|n| candidate(done, n).honest.unwrap()).collect()
}

#[test]
fn a_greedy_soup_leaves_out_who_makes_it_worse() {
    let soups = "average: {merge: linear, of: [one, two, lost]}, pair: {merge: linear, of: [one, two]}, \
                 greedy: {merge: greedy_soup, of: [lost, one, two]}";
    for honest in ["validation", "{folds: 3}"] {
        let place = Place::new();
        let done = place.run(&recipe(honest, THREE, soups));
        let greedy = candidate(&done, "greedy");
        let weights: BTreeMap<&str, f64> =
            greedy.weights.as_ref().unwrap().iter().map(|(n, w)| (n.as_str(), *w)).collect();
        assert_eq!(weights, BTreeMap::from([("lost", 0.0), ("one", 0.5), ("two", 0.5)]), "{honest}");
        if honest == "validation" {
            let scores = honest_scores(&done, &["greedy", "one", "two", "average"]);
            assert!(scores[0] < 0.8 * scores[1] && scores[0] < 0.8 * scores[3], "{scores:?}");
        }
        // It is the average of those that were chosen.
        for column in ["yes", "no"] {
            assert_eq!(
                predicted(&done, &format!("greedy: {column}")),
                predicted(&done, &format!("pair: {column}"))
            );
        }
        assert!(has_note(&done, "\"greedy\": the average of \"one\", \"two\" was chosen of "));
        let log = read(&place.step(&done, "greedy, search").join("search.json"));
        assert_eq!(log["parts"].as_array().unwrap().len(), if honest == "validation" { 5 } else { 3 });
    }
}

#[test]
fn a_search_is_made_again_without_the_rows_that_it_predicts() {
    let place = Place::new();
    let synthesis = "ties: {merge: ties, of: [one, two, lost], search: {density: [0.3, 0.6, 1], lambda: [0.5, 1]}}, \
         fixed: {merge: ties, of: [one, two, lost], density: 0.6, lambda: 0.5}";
    let seen = Seen::default();
    let done = place.request(&recipe("validation", THREE, synthesis), "runs", false, &seen).unwrap();
    let log = read(&place.step(&done, "ties, search").join("search.json"));
    let tried = log["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 6);
    // The best by the metric that chooses, on all honest rows.
    let best = tried.iter().min_by(|a, b| a[1].as_f64().unwrap().total_cmp(&b[1].as_f64().unwrap())).unwrap();
    assert_eq!(best[0], log["chosen"]);
    let own = candidate(&done, "ties").honest.unwrap();
    assert!(own >= best[1].as_f64().unwrap() - 1e-9, "{own} is better than the best that was tried");
    assert_eq!(log["parts"].as_array().unwrap().len(), 5);
    // A try scores like the merge with these settings.
    let fixed = tried
        .iter()
        .find(|t| t[0]["parameters"]["density"] == json!(0.6) && t[0]["parameters"]["lambda"] == json!(0.5));
    assert!((fixed.unwrap()[1].as_f64().unwrap() - candidate(&done, "fixed").honest.unwrap()).abs() < 1e-9);
    let parameters = &log["chosen"]["parameters"];
    let words = format!(
        "\"ties\": density {}, lambda {} was chosen of 6",
        parameters["density"], parameters["lambda"]
    );
    assert!(has_note(&done, &words), "{words}: {:?}", done.outcome.verdict.notes);
    // Rows for judging change nothing of it.
    let before = log;
    let rows = std::fs::read_to_string(place.path().join("rows.csv")).unwrap();
    let turned: String = rows
        .lines()
        .map(|line| match line.contains(",test,") {
            true if line.contains(",yes,") => line.replace(",yes,", ",no,") + "\n",
            true => line.replace(",no,", ",yes,") + "\n",
            false => line.to_owned() + "\n",
        })
        .collect();
    place.write("rows.csv", turned);
    let done = place.run(&recipe("validation", THREE, synthesis));
    assert_eq!(read(&place.step(&done, "ties, search").join("search.json")), before);
    // Other values are tried anew; nothing that was fitted is.
    let seen = Seen::default();
    place
        .request(
            &recipe("validation", THREE, &synthesis.replace("[0.5, 1]", "[1, 0.5]")),
            "runs",
            false,
            &seen,
        )
        .unwrap();
    let again = seen.done();
    assert!(again.contains(&"ties, search".to_owned()) && !again.contains(&"one".to_owned()), "{again:?}");
}

#[test]
fn every_fold_has_its_own_base_and_random_merges_are_the_same_for_any_threads() {
    let synthesis = "some: {merge: dare_ties, of: [one, two], density: 0.5}, half: {merge: slerp, of: [one], t: 0}, \
                     stock: {merge: model_stock, of: [one, two, lost]}";
    let run = |threads: usize, seed: u64| {
        let place = Place::new();
        let text = recipe("{folds: 2}", THREE, synthesis).replace("seed: 3", &format!("seed: {seed}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let done = pool.install(|| place.run(&text));
        let of = |name: &str| files(&place.step(&done, name).join("model"));
        let drawn = ["some", "some, fold 1/2", "some, fold 2/2"].map(of);
        // At the base itself a merge is the base: of the fold, in each fold.
        let arrays = |name: &str| -> Parts { load_parts(&place.step(&done, name).join("model")).unwrap().0 };
        for fold in ["", ", fold 1/2", ", fold 2/2"] {
            assert_eq!(arrays(&format!("half{fold}")), arrays(&format!("start{fold}")));
        }
        (drawn, predicted(&done, "some: yes"))
    };
    let one = run(1, 3);
    assert_eq!(one, run(2, 3));
    assert_ne!(one.0[0], run(1, 4).0[0]);
    assert_ne!(one.0[1], one.0[2]);
}

#[test]
fn a_table_of_predictions_or_another_shape_is_no_base() {
    let place = Place::new();
    let members = THREE.to_owned() + ", wide: {fit: mlp, on: [a, b, c], hidden: [9], epochs: 1, inner: 0}";
    let (code, said) =
        place.refused(&recipe("validation", &members, "t: {merge: ties, of: [one, two], base: wide}"));
    assert!(code == 3 && said.contains("\"wide\"") && said.contains("hidden"), "{code}: {said}");
    let twice = THREE.replace("start: {", "start: {bag: true, ");
    assert!(place.refused(&recipe("validation", &twice, "")).1.contains("bag"));
}

#[test]
fn what_a_method_notes_is_told() {
    let place = Place::new();
    let few = "few: {merge: ties, of: [one, two], density: 0.02}";
    let done = place.run(&recipe("validation", THREE, few));
    assert!(has_note(&done, "few: ") && has_note(&done, "keeps none of"), "{:?}", done.outcome.verdict.notes);
}
