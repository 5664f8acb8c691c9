//! Other tasks and other rows: domains, regressions, weights, groups, rows about which nothing is said.

use std::fmt::Write as _;

use crate::place::{Place, candidate, has_note, normal, part, predicted, row};

#[test]
fn an_adapted_member_is_judged_and_not_chosen() {
    let place = Place::new();
    let mut text = "id,a,b,place,label\n".to_owned();
    for r in 0..400 {
        let x = row(5, r);
        let (shift, scale, place) = if r % 2 == 0 { (0.0, 1.0, "here") } else { (4.0, 2.0, "there") };
        let (a, b) = (shift + scale * x.a, shift + scale * x.b);
        let _ = writeln!(text, "{r},{a:.4},{b:.4},{place},{}", if x.yes { "yes" } else { "no" });
    }
    place.write("rows.csv", text);
    let recipe = |split: &str, rows: &str| {
        format!(
            "version: 1\nname: d\ntask: classify\n\
             data: {{table: rows.csv, columns: {{id: {{role: id}}, label: {{role: target}}, place: {{role: domain}}}}}}\n\
             split: {split}\nhonest: {{folds: 3}}\nmembers: {{plain: {{fit: logistic, on: [a, b]{rows}}}}}\n\
             synthesis:\n  moved: {{adapt: coral, member: plain, source: {{place: here}}, target: {{place: there}}}}\n\
             judge: {{choose: log_loss, report: [accuracy], resamples: 100}}\n"
        )
    };
    let done = place.run(&recipe("{domain: there}", ""));
    let moved = candidate(&done, "moved");
    assert_eq!(moved.honest, None);
    assert_eq!(
        (done.outcome.verdict.exported.as_str(), done.outcome.verdict.best_composition.clone()),
        ("plain", None)
    );
    assert!(has_note(
        &done,
        "transductive: it saw the inputs (not the labels) of 200 of the 200 judged rows"
    ));
    assert!(has_note(&done, "it is judged, not chosen"));
    let accuracy = |name: &str| candidate(&done, name).scores[1].value;
    assert!(accuracy("moved") > accuracy("plain") + 0.1, "{} {}", accuracy("moved"), accuracy("plain"));
    // The filter of the member's rows holds for its adaptation too.
    let filtered = place.run(&recipe("{domain: there}", ", rows: 'id < 100'"));
    assert_ne!(candidate(&filtered, "moved").scores[0].value, moved.scores[0].value);
    // Rows of both domains are judged.
    let mixed = place.run(&recipe("{holdout: .3}", ""));
    assert!(has_note(&mixed, "takes all rows for the target domain's"));
    // No row for fitting is of the source domain.
    let (code, error) = place.refused(&recipe("{domain: here}", ""));
    assert_eq!(code, 3);
    assert!(error.contains("moved") && error.contains("source domain"), "{error}");
}

#[test]
fn values_are_predicted_composed_and_judged() {
    let place = Place::new();
    let done = place.run(
        "version: 1\nname: v\ntask: regress\n\
         data: {table: rows.csv, only: true, columns: {id: {role: id}, a: {}, b: {}, value: {role: target}}}\n\
         split: {holdout: .3}\nhonest: {folds: 3}\n\
         members: {of_a: {fit: linear, on: [a]}, of_b: {fit: linear, on: [b]}, net: {fit: mlp, on: [b], hidden: [4], epochs: 3}}\n\
         synthesis: {stacked: {fuse: stacking, of: [of_a, of_b, net]}, vote: {fuse: soft_vote, of: [of_a, of_b]}}\n\
         judge: {choose: rmse, report: [mae, r2], resamples: 200}\n",
    );
    let verdict = &done.outcome.verdict;
    assert!(verdict.gain && verdict.exported == "stacked", "{}", verdict.sentence);
    let stacked = candidate(&done, "stacked");
    assert!(stacked.scores[0].value < 0.5, "rmse {}", stacked.scores[0].value);
    assert!(stacked.scores[2].greater_is_better && stacked.scores[2].value > 0.9);
    assert!(done.outcome.classes.is_empty() && done.outcome.confusion.is_empty());
    assert_eq!(predicted(&done, "stacked").len(), 120);
    let truth = predicted(&done, "target");
    let squares: f64 =
        truth.iter().zip(predicted(&done, "stacked")).map(|(t, p)| f64::from(t - p).powi(2)).sum();
    assert!(((squares / 120.0).sqrt() - stacked.scores[0].value).abs() < 1e-6);
}

#[test]
fn rows_about_which_nothing_is_said_are_scored_by_the_class_shares() {
    let place = Place::new();
    let mut text = "id,note,b,part,label\n".to_owned();
    for r in 0..300 {
        let yes = r % 3 == 0;
        let note = match (r % 7, yes) {
            (0, _) => "",
            (_, true) => "warm red",
            (_, false) => "cold blue",
        };
        let _ = writeln!(
            text,
            "{r},{note},{:.3},{},{}",
            normal(2, r, 1),
            part(r),
            if yes { "yes" } else { "no" }
        );
    }
    place.write("rows.csv", text);
    let done = place.run(
        "version: 1\nname: s\ntask: classify\n\
         data: {table: rows.csv, only: true, columns: {id: {role: id}, label: {role: target}, note: {type: text}, b: {}}}\n\
         split: {column: part}\nmembers: {words: {fit: logistic, on: [note]}, nothing: {fit: constant, on: [b]}}\n\
         synthesis: {vote: {fuse: soft_vote, of: [words, nothing]}}\nhonest: validation\n\
         judge: {choose: log_loss, report: [accuracy], resamples: 100}\n",
    );
    let judged: Vec<usize> = (0..300).filter(|r| part(*r) == "test").collect();
    let silent = judged.iter().filter(|r| *r % 7 == 0).count();
    let words = candidate(&done, "words");
    assert_eq!((words.silent, candidate(&done, "vote").silent), (silent, 0));
    assert!(has_note(&done, &format!("\"words\" said nothing about {silent} of the judged rows")));
    // The log-loss by hand, the shares of the rows for fitting where nothing is said.
    let fit: Vec<usize> = (0..300).filter(|r| part(*r) == "train").collect();
    let share = fit.iter().filter(|r| *r % 3 == 0).count() as f64 / fit.len() as f64;
    let yes = predicted(&done, "words: yes");
    let mut loss = 0.0;
    for (r, p) in judged.iter().zip(&yes) {
        assert_eq!(p.is_nan(), r % 7 == 0);
        let p = if p.is_nan() { share } else { f64::from(*p) };
        loss -= if r % 3 == 0 { p.ln() } else { (1.0 - p).ln() };
    }
    assert!(
        (loss / judged.len() as f64 - words.scores[0].value).abs() < 1e-4,
        "{loss} {:?}",
        words.scores[0]
    );
    // With one modality only: rows that can be predicted are counted.
    let subsets = &candidate(&done, "vote").subsets;
    let notes = subsets.iter().find(|s| s.on == ["note"]).unwrap();
    assert!(subsets.len() == 3 && notes.rows >= judged.len() - silent);
}

/// Every row eight times: the group role says so, or it does not.
#[test]
fn intervals_resample_groups() {
    let place = Place::new();
    let mut text = "id,a,person,part,label\n".to_owned();
    for r in 0..800 {
        let x = row(8, r / 8);
        let _ =
            writeln!(text, "{r},{:.4},p{},{},{}", x.a, r / 8, part(r / 8), if x.yes { "yes" } else { "no" });
    }
    place.write("rows.csv", text);
    let width = |role: &str| {
        let done = place.run(&format!(
            "version: 1\nname: g\ntask: classify\n\
             data: {{table: rows.csv, only: true, columns: {{id: {{role: id}}, a: {{}}, label: {{role: target}}, person: {{role: {role}}}}}}}\n\
             split: {{column: part}}\nhonest: validation\nmembers: {{one: {{fit: logistic, on: [a]}}}}\n\
             judge: {{choose: log_loss, resamples: 500}}\n"
        ));
        let i = candidate(&done, "one").scores[0].interval.unwrap();
        (done.outcome.data.judged_groups, i.high - i.low, i.value)
    };
    let (groups, wide, value) = width("group");
    let (none, narrow, same) = width("ignore");
    assert_eq!((groups, none), (Some(30), None));
    assert!((value - same).abs() < 1e-9);
    assert!(wide > 2.0 * narrow && wide < 4.0 * narrow, "{wide} {narrow}");
}

#[test]
fn weights_count_in_every_score() {
    let place = Place::new();
    let mut text = "id,a,w,part,label\n".to_owned();
    for r in 0..300 {
        let x = row(8, r);
        let _ = writeln!(
            text,
            "{r},{:.4},{},{},{}",
            x.a,
            if x.yes { 5 } else { 1 },
            part(r),
            if x.yes { "yes" } else { "no" }
        );
    }
    place.write("rows.csv", text);
    let done = place.run(
        "version: 1\nname: w\ntask: classify\n\
         data: {table: rows.csv, only: true, columns: {id: {role: id}, a: {}, label: {role: target}, w: {role: weight}}}\n\
         split: {column: part}\nhonest: validation\nmembers: {one: {fit: logistic, on: [a]}, flat: {fit: constant, on: [a]}}\n\
         synthesis: {both: {fuse: weighted, of: [one, flat]}}\njudge: {choose: log_loss, report: [accuracy], resamples: 100}\n",
    );
    let yes = predicted(&done, "one: yes");
    let (mut right, mut all) = (0.0, 0.0);
    for (r, p) in (0..300).filter(|r| part(*r) == "test").zip(&yes) {
        let truth = row(8, r).yes;
        let w = if truth { 5.0 } else { 1.0 };
        all += w;
        right += if (*p > 0.5) == truth { w } else { 0.0 };
    }
    assert!((candidate(&done, "one").scores[1].value - right / all).abs() < 1e-9);
    // The classes are balanced by number; by weight the first is five times as common.
    assert!(predicted(&done, "flat: yes")[0] > 0.7);
}
