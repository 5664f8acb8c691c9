//! Recipes from text to [`Recipe`](consilience_engine::recipe::Recipe), and everything that can be wrong with one.

use consilience_core::Error;
use consilience_core::data::{HonestSpec, TaskKind, Validation};
use consilience_core::document::MAX_DEPTH;
use consilience_core::model::{Classes, Field, Kind, Schema, Task};
use consilience_core::seed::Seed;
use consilience_engine::recipe::{
    Checked, Finding, Findings, Member, Methods, Recipe, Seen, Severity, Synthesis, augment_value,
    check_against, load, resolved_yaml,
};
use serde_json::json;

use crate::methods::methods;

/// A recipe that uses all of the grammar.
const WHOLE: &str = r#"
version: 1
name: digits
task: classify
seed: 18446744073709551615
data:
  root: .
  table: pairs.csv
  columns:
    image: {type: image, idx: {train: train.gz, test: test.gz}, by: part, index: image_row}
    audio: {type: audio, path: audio_file}
    age:   {type: number, missing: ["-1", "?"]}
    label: {role: target, levels: ["0", "1", "2"]}
    voice: {role: group}
    origin: {role: domain}
split: {column: part, fit: [train], choose: [val], judge: [test]}
features: {audio: [{log_mel: {bands: 64}}], age: [standardize]}
augment:
  image: [{random_crop: {padding: 2}}, {rotate: {degrees: 10}, p: 0.5}, rotate]
  mixup: {}
members:
  looks:  {fit: cnn, on: [image], channels: [8, 16], epochs: 4, rate: 1e-2}
  sounds:
    fit: cnn
    on: [audio]
    bag: true
    schedule: {kind: flat}
    features: {audio: [log_mel, {standardize: {}}]}
  tuned:  {fit: cnn, from: looks, rows: "third == 1", on: [image]}
  table:  {fit: logistic}
  theirs: {load: models/old, seen: none}
  other:  {predictions: preds.parquet, id: row, fold: fold, columns: {"0": p0, "1": p1}}
synthesis:
  vote:  {fuse: soft_vote, of: [looks, sounds]}
  best:  {fuse: stacking, of: [vote, table, other], c: 3, start: [0.5, 1]}
  joint: {fusion: concat, on: [image, audio, table], hidden: 32}
  soup:  {merge: linear, of: [looks, tuned], weight: [1, 3]}
  moved: {adapt: coral, member: looks, source: {origin: mnist}, target: {origin: usps}}
judge: {choose: log_loss, report: [accuracy, ece], level: 0.9}
"#;

/// The least that can be run.
const LEAST: &str = "version: 1\ntask: classify\ndata: {table: a.csv, columns: {y: {role: target}}}\n\
                     split: {holdout: .2}\nmembers: {a: {fit: logistic}}\n";

fn loaded(text: &str, methods: &Methods) -> Checked {
    load(text, "r.yaml", methods).unwrap_or_else(|f| panic!("{f}"))
}

fn found(text: &str) -> Findings {
    match load(text, "r.yaml", &methods()) {
        Ok(checked) => checked.warnings,
        Err(findings) => findings,
    }
}

/// `LEAST` with lines added or, by `a -> b`, replaced.
fn least(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(LEAST.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in {text}");
        text.replace(from, to)
    })
}

#[test]
fn a_whole_recipe_is_decoded_with_its_defaults() {
    let methods = methods();
    let checked = loaded(WHOLE, &methods);
    assert!(checked.warnings.is_empty(), "{}", checked.warnings);
    let recipe = checked.recipe;
    assert_eq!((recipe.seed, recipe.task), (u64::MAX, TaskKind::Classify));
    assert_eq!(recipe.honest, HonestSpec::Validation(Validation::Validation));
    let names: Vec<&str> = recipe.members.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["looks", "sounds", "tuned", "table", "theirs", "other"]);
    match &recipe.members[0].1 {
        Member::Fit { method, on, .. } => {
            assert_eq!(on, &["image"]);
            assert_eq!(method.name, "cnn");
            assert_eq!(
                method.parameters,
                json!({"channels": [8, 16], "epochs": 4, "batch": 64, "rate": 0.01, "loss": "cross_entropy",
                       "schedule": {"kind": "cosine", "warmup": 1}})
            );
        }
        other => panic!("{other:?}"),
    }
    match &recipe.members[1].1 {
        Member::Fit { features, bag, .. } => {
            assert!(bag);
            let steps = &features["audio"];
            assert_eq!(steps[0].parameters, json!({"bands": 40, "range": [20.0, 8000.0]}));
            assert_eq!((steps[1].name.as_str(), &steps[1].parameters), ("standardize", &json!({})));
        }
        other => panic!("{other:?}"),
    }
    match &recipe.members[2].1 {
        Member::Fit { from, rows, .. } => {
            assert_eq!((from.as_deref(), rows.as_deref()), (Some("looks"), Some("third == 1")));
        }
        other => panic!("{other:?}"),
    }
    match &recipe.members[3].1 {
        Member::Fit { on, .. } => assert_eq!(on, &["table"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(recipe.members[4].1, Member::Load { path: "models/old".into(), seen: Seen::None, onnx: None });
    match &recipe.members[5].1 {
        Member::Predictions { id, fold, columns, seen, .. } => {
            assert_eq!((id.as_deref(), fold.as_deref(), *seen), (Some("row"), Some("fold"), Seen::Unknown));
            assert_eq!(columns["0"], "p0");
        }
        other => panic!("{other:?}"),
    }
    match &recipe.synthesis[1] {
        (name, Synthesis::Fuse { method, of, .. }) => {
            assert_eq!((name.as_str(), of.len()), ("best", 3));
            assert_eq!(method.parameters, json!({"c": 3.0, "start": [0.5, 1.0]}));
        }
        other => panic!("{other:?}"),
    }
    match &recipe.synthesis[4].1 {
        Synthesis::Adapt { member, source, target, .. } => {
            assert_eq!((member.as_str(), source["origin"].as_str()), ("looks", "mnist"));
            assert_eq!(target["origin"], "usps");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        augment_value(&recipe.augment),
        json!({
            "image": [{"random_crop": {"padding": 2}}, {"rotate": {"degrees": 10.0}, "p": 0.5}, {"rotate": {"degrees": 10.0}}],
            "mixup": {"alpha": 0.2},
        })
    );
    assert_eq!((recipe.judge.resamples, recipe.judge.level), (2000, 0.9));
}

#[test]
fn the_least_recipe_says_all_its_defaults_when_resolved() {
    let methods = methods();
    let checked = loaded(LEAST, &methods);
    insta::assert_snapshot!(resolved_yaml(&checked.recipe).unwrap());
    let regress = loaded(&least(&[("task: classify", "task: regress")]), &methods);
    assert_eq!(regress.recipe.judge.choose, "rmse");
    assert_eq!(regress.recipe.name, "r");
    let part = loaded(&least(&[("holdout: .2", "holdout: .2, validation: 100")]), &methods);
    assert_eq!(part.recipe.honest, HonestSpec::Validation(Validation::Validation));
}

#[test]
fn a_resolved_recipe_is_the_same_recipe() {
    let methods = methods();
    let odd = WHOLE
        .replace("third == 1", "name == \\\"it's: #1\\\" and x > 1e-3\\n")
        .replace("p0", "\"yes\"")
        .replace("\"1\": p1", "\"on\": \"off\", \"a: b\": \"\\u00e9, {\", ~: \"~\"")
        .replace("models/old", "\"models/öld one\"");
    for text in [WHOLE.to_owned(), LEAST.to_owned(), odd] {
        let recipe: Recipe = loaded(&text, &methods).recipe;
        let resolved = resolved_yaml(&recipe).unwrap();
        let again = loaded(&resolved, &methods);
        assert_eq!(again.recipe, recipe, "{resolved}");
        assert_eq!(resolved_yaml(&again.recipe).unwrap(), resolved);
    }
    insta::assert_snapshot!(resolved_yaml(&loaded(WHOLE, &methods).recipe).unwrap());
}

const MISTAKES: &str = "\
version: 1
name: ten mistakes
task: clasify
sed: 7
data:
  table: pairs.csv
  columns:
    image: {type: picture, idx: images.gz}
    label: {role: target}
split: {holdout: 1.5, stratify: label}
augment: {image: [{rotat: {degrees: 10}}, {rotate: {degrees: 200}}]}
members:
  looks:  {fit: cnn, on: [image], epochs: 0, chanels: [8, 16]}
  odd:    {fit: cnn, on: [image], channels: [3]}
  table:  {fit: logistc, on: table, c: \"1\"}
  both:   {fit: cnn, load: models/old}
  none:   {on: [image]}
  other:  {predictions: preds.csv}
synthesis:
  vote:  {fuse: soft_vote, of: [lokks, odd, odd]}
  a:     {fuse: greedy, of: [b, odd], steps: 2.5}
  b:     {fuse: soft_vote, of: [a, label]}
  soup:  {merge: linear, of: [vote, other]}
  moved: {adapt: coral, member: odd, source: {domain: 1}}
judge: {choose: rmse, report: [acuracy], level: 1}
";

#[test]
fn every_mistake_is_found_at_once() {
    let findings = load(MISTAKES, "recipes/mistakes.yaml", &methods()).unwrap_err();
    insta::assert_snapshot!("mistakes", findings.render(false));
    insta::assert_snapshot!(
        "mistakes_first_in_color",
        findings.render(true).lines().take(8).collect::<Vec<_>>().join("\n").replace('\u{1b}', "ESC")
    );
    let json = serde_json::to_value(&findings).unwrap();
    assert_eq!(json["file"], "recipes/mistakes.yaml");
    let first = &json["findings"][0];
    assert_eq!(first["severity"], "error");
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(2), Some(7)));
    assert_eq!(first["path"], "name");
    for f in &findings.findings {
        assert!(f.span.start <= f.span.end && f.span.end <= MISTAKES.len(), "{f:?}");
        let line = MISTAKES[..f.span.start].matches('\n').count() + 1;
        assert_eq!(f.span.line, line, "{f:?}");
    }
}

/// One mistake each: what is changed in `LEAST`, the path and the words of the only finding.
#[test]
fn one_mistake_gives_one_finding() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let a = "a: {fit: logistic}";
    let cases: &[Case<'_>] = &[
        (&[("version: 1", "version: 2")], "version", "2 is not known here; expected 1"),
        (&[("version: 1\n", "")], "", "the key \"version\" is missing"),
        (&[("task: classify", "taks: classify")], "taks", "did you mean task"),
        (&[("task: classify", "task:")], "task", "a value is missing; expected one of classify, regress"),
        (&[("task: classify", "task: 7")], "task", "this is a whole number"),
        (&[("holdout: .2", "holdout: 0")], "split.holdout", "no part of the rows"),
        (&[("holdout: .2", "holdout: 2.5")], "split.holdout", "no part of the rows"),
        (&[("holdout: .2", "holdout: .5, validation: .5")], "split.validation", "no rows are left"),
        (&[("holdout: .2", "folds: 1")], "split.folds", "too few folds"),
        (
            &[("holdout: .2", "folds: 5000000000")],
            "split.folds",
            "expected a whole number from 0 to 4294967295",
        ),
        (&[("holdout: .2", "stratify: y")], "split", "no rows for judging"),
        (&[("holdout: .2", "holdout: .2, column: y")], "split.holdout", "stand side by side"),
        (&[("holdout: .2", "holdout: .2, judge: [a]")], "split.judge", "judge without column"),
        (&[("split:", "honest: validation\nsplit:")], "honest", "no rows for choosing"),
        (&[("split:", "honest: valdation\nsplit:")], "honest", "did you mean validation"),
        (&[("split:", "honest: {folds: 1}\nsplit:")], "honest.folds", "too few folds"),
        (
            &[("split:", "honest: {folds: 5, fold: 5}\nsplit:")],
            "honest.fold",
            "the key \"fold\" is not known",
        ),
        (&[("split:", "honest: {}\nsplit:")], "honest", "the key \"folds\" is missing"),
        (&[("split:", "honest: 5\nsplit:")], "honest", "expected validation, or a map with the key folds"),
        (&[("split:", "seed: -1\nsplit:")], "seed", "out of range"),
        (&[("split:", "seed: 1.5\nsplit:")], "seed", "expected a whole number of at least 0"),
        (&[("split:", "name: a/b\nsplit:")], "name", "cannot be the name of a folder"),
        (&[("{role: target}", "{type: number}")], "data.columns", "no column has the role target"),
        (
            &[("split:", "augment: {y2: [{rotate: {}, p: 2}]}\nsplit:")],
            "augment.y2[0].p",
            "a number from 0 to 1",
        ),
        (&[("split:", "augment: {y2: [{p: 0.5}]}\nsplit:")], "augment.y2[0]", "names no transform"),
        (&[("split:", "augment: {y2: [{}]}\nsplit:")], "augment.y2[0]", "names no transform"),
        (
            &[("split:", "augment: {y2: [{rotate: {}, random_crop: {}}]}\nsplit:")],
            "augment.y2[0]",
            "several transforms",
        ),
        (
            &[("split:", "augment: {y2: [{rotate: {degree: 1}}]}\nsplit:")],
            "augment.y2[0].rotate.degree",
            "degrees",
        ),
        (&[("split:", "augment: {y2: [rotat]}\nsplit:")], "augment.y2[0]", "did you mean rotate"),
        (
            &[("split:", "features: {y2: [{standardize: {}, p: 1}]}\nsplit:")],
            "features.y2[0].p",
            "no feature named",
        ),
        (&[("split:", "augment: {mixup: {alpha: 0}}\nsplit:")], "augment.mixup.alpha", "out of range"),
        (&[("split:", "augment: {mixup: [mixup]}\nsplit:")], "augment.mixup", "this is a list"),
        (&[("holdout: .2", "folds: 5, time: t")], "split.time", "time beside folds"),
        (&[("y: {role: target}", "y: {role: target}, table: {}")], "data.columns.table", "another name"),
        (&[("holdout: .2", "domain: usps")], "split.domain", "no column has the role domain"),
        (&[("{role: target}", "{role: taget}")], "data.columns.y.role", "did you mean target"),
        (
            &[("y: {role: target}", "y: {role: target}, z: {role: target}")],
            "data.columns.z.role",
            "two columns",
        ),
        (&[("table: a.csv", "tabel: a.csv")], "data.tabel", "did you mean table"),
        (&[("table: a.csv", "table: a.csv, folder: b")], "data.folder", "stand side by side"),
        (&[("table: a.csv", "table: a.csv, delimiter: ab")], "data.delimiter", "text of one character"),
        (&[("table: a.csv", "table: 7")], "data.table", "put it in quotes"),
        (&[(a, "a: {fit: logistic, c: 0}")], "members.a.c", "out of range"),
        (&[(a, "a: {fit: logistic, c: high}")], "members.a.c", "this is text"),
        (&[(a, "a: {fit: logistic, balanced: 1}")], "members.a.balanced", "expected true or false"),
        (&[(a, "a: {fit: logistic, epochs: 1}")], "members.a.epochs", "logistic has no key"),
        (&[(a, "a: {fit: logistic, of: [a]}")], "members.a.of", "logistic has no key"),
        (&[(a, "a: {fit: 3}")], "members.a.fit", "this is a whole number"),
        (&[(a, "a: {}")], "members.a", "this member has no method"),
        (&[(a, "a: logistic")], "members.a", "a map with one of the keys fit, load, predictions"),
        (&[(a, "a: {ft: logistic}")], "members.a", "did you mean fit"),
        (&[(a, "a: {fit: logistic, load: m}")], "members.a", "stand in one entry"),
        (&[(a, "a: {fit: logistic, on: []}")], "members.a.on", "wrong length"),
        (&[(a, "a: {fit: logistic, on: [y]}")], "members.a.on[0]", "no input: its role is target"),
        (&[(a, "a: {fit: logistic, on: [z, z]}")], "members.a.on[1]", "twice"),
        (&[(a, "a: {fit: logistic, from: b}")], "members.a.from", "names no member"),
        (&[(a, "a: {fit: logistic, from: a}")], "members.a.from", "cannot start from itself"),
        (&[(a, "a: {fit: cnn, channels: [1]}")], "members.a.channels", "cnn: channels must be even"),
        (&[(a, "a: {fit: cnn, rate: .9, batch: 5000}")], "members.a.rate", "such a rate"),
        (&[(a, "a: {fit: cnn, loss: cross}")], "members.a.loss", "one of cross_entropy, squared"),
        (&[(a, "a: {fit: cnn, schedule: {kind: cosin, warmup: 1}}")], "members.a.schedule.kind", "cosine"),
        (
            &[(a, "a: {fit: cnn, schedule: {kind: cosine, warmup: 1, warmdown: 2}}")],
            "members.a.schedule.warmdown",
            "not known",
        ),
        (&[(a, "a: {fit: cnn, channels: []}")], "members.a.channels", "1 to 8 entries"),
        (&[(a, "a: {fit: logistic}, A: {fit: knn}")], "members.A", "the name \"A\" is taken"),
        (&[(a, "con: {fit: logistic}")], "members.con", "cannot be the name of a folder"),
        (&[(a, "a: {predictions: p.csv}")], "members.a", "out-of-fold"),
        (&[(a, "a: {predictions: p.csv, seen: part}")], "members.a", "out-of-fold"),
        (&[(a, "a: {predictions: p.csv, seen: nobody}")], "members.a.seen", "one of none, part, unknown"),
        (&[("members: {a: {fit: logistic}}\n", "")], "members", "there is nothing to fit"),
        (&[("members: {a: {fit: logistic}}", "members:")], "members", "a value is missing"),
        (
            &[("a: {fit", "b: {fit: knn, from: c}, c: {fit: knn, from: b}, a: {fit")],
            "members.b",
            "in a circle",
        ),
    ];
    let mut wrong = String::new();
    for (changes, path, words) in cases {
        let findings = found(&least(changes));
        let all: Vec<String> = findings.findings.iter().map(words_of).collect();
        if !(all.len() == 1 && findings.findings[0].path == *path && all[0].contains(words)) {
            let paths: Vec<&str> = findings.findings.iter().map(|f| f.path.as_str()).collect();
            wrong += &format!("{changes:?}\n  expected {path}: {words}\n  found {paths:?}: {all:#?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn words_of(f: &Finding) -> String {
    let near = f.nearest.as_ref().map_or(String::new(), |n| format!("did you mean {n}"));
    format!("{}; expected {}; {near}; {}", f.message, f.expected, f.remedy)
}

#[test]
fn one_mistake_in_a_synthesis_gives_one_finding() {
    for (line, path, words) in [
        ("{fuse: soft_vote}", "synthesis.s", "the key \"of\" is missing"),
        ("{fuse: soft_vote, of: a}", "synthesis.s.of", "a list of names"),
        ("{fuse: soft_vote, of: [a, b, a]}", "synthesis.s.of[2]", "twice"),
        ("{fuse: soft_vote, of: [s]}", "synthesis.s", "in a circle"),
        ("{fuse: soft_vot, of: [a, b]}", "synthesis.s.fuse", "did you mean soft_vote"),
        ("{fuse: concat, of: [a, b]}", "synthesis.s.fuse", "no way to fuse named \"concat\""),
        ("{merge: linear, of: [a, t]}", "synthesis.s.of[1]", "is a synthesis"),
        ("{merge: linear, of: [a, p]}", "synthesis.s.of[1]", "has no weights"),
        ("{merge: linear, of: [a, b], weight: [1, x]}", "synthesis.s.weight[1]", "this is text"),
        ("{fusion: concat, of: [a]}", "synthesis.s.of", "concat has no key"),
        ("{fusion: concat, on: [table]}", "synthesis.s.on", "only one modality"),
        ("{adapt: coral, member: p, source: {d: x}, target: {d: z}}", "synthesis.s.member", "no settings"),
        ("{adapt: coral, member: a, source: {}, target: {d: z}}", "synthesis.s.source", "the map is empty"),
        ("{adapt: coral, member: a, source: {d: x}, target: {d: x}}", "synthesis.s.target", "the same rows"),
        (
            "{adapt: coral, member: a, source: {d: 1}, target: {d: z}}",
            "synthesis.s.source.d",
            "put it in quotes",
        ),
    ] {
        let text = least(&[(
            "a: {fit: logistic}",
            "a: {fit: logistic}, b: {fit: knn}, p: {predictions: p.csv, seen: none}",
        )]) + &format!("synthesis:\n  s: {line}\n  t: {{fuse: soft_vote, of: [a, b]}}\n");
        let findings = found(&text);
        let all: Vec<String> = findings.findings.iter().map(words_of).collect();
        assert!(
            all.len() == 1 && findings.findings[0].path == path && all[0].contains(words),
            "{line}: {path}: {words}\n{findings}"
        );
    }
}

#[test]
fn columns_are_checked_where_the_recipe_says_them_all() {
    let closed = |extra: &str| {
        format!(
            "version: 1\ntask: classify\ndata: {{sources: [{{npz: a.npz, x: im, y: lb, set: {{domain: a}}}}], columns: \
             {{x: {{type: image}}, y: {{role: target}}, domain: {{role: domain}}}}}}\nsplit: {{holdout: 0.2}}\n{extra}"
        )
    };
    let good = closed("members: {a: {fit: cnn, on: [x]}}\naugment: {x: [rotate]}\n");
    assert!(found(&good).is_empty(), "{}", found(&good));
    for (extra, path) in [
        ("members: {a: {fit: cnn, on: [z]}}\n", "members.a.on[0]"),
        ("members: {a: {fit: cnn, on: [domain]}}\n", "members.a.on[0]"),
        ("members: {a: {fit: cnn, on: [x], features: {z: []}}}\n", "members.a.features.z"),
        ("members: {a: {fit: cnn, on: [x]}}\naugment: {images: [rotate]}\n", "augment.images"),
        (
            "members: {a: {fit: cnn, on: [x]}}\nsynthesis: {s: {adapt: coral, member: a, source: {dom: a}, target: {domain: b}}}\n",
            "synthesis.s.source.dom",
        ),
    ] {
        let findings = found(&closed(extra));
        assert_eq!(findings.findings.len(), 1, "{extra}: {findings}");
        assert_eq!((findings.errors(), findings.findings[0].path.as_str()), (1, path), "{findings}");
    }
    // A table may hold more columns than are named: a near name is a warning, a new one nothing.
    let open = least(&[("y: {role: target}", "image: {type: image, path: f}, y: {role: target}")]);
    let with = |on: &str| found(&open.replace("{fit: logistic}", &format!("{{fit: logistic, on: [{on}]}}")));
    assert!(with("age").is_empty());
    let near = with("imag");
    assert_eq!((near.errors(), near.warnings()), (0, 1), "{near}");
    assert_eq!(near.findings[0].nearest.as_deref(), Some("image"));
}

#[test]
fn opened_data_are_checked_at_the_recipes_places() {
    let methods = methods();
    let text = WHOLE;
    let checked = loaded(text, &methods);
    let field = |n: &str, k: Kind| Field::new(n, k);
    let all = [field("image", Kind::Image), field("audio", Kind::Audio), field("age", Kind::Number)];
    let classes = Task::Classify(Classes::new(vec!["0".into(), "1".into(), "2".into()]).unwrap());
    let schema = Schema { fields: all.to_vec() };
    assert_eq!(check_against(&checked, &schema, &classes), []);

    let schema = Schema { fields: vec![field("images", Kind::Image), field("audio", Kind::Audio)] };
    let findings = check_against(&checked, &schema, &Task::Regress);
    let rendered = checked.findings(findings.clone()).render(false);
    insta::assert_snapshot!(rendered);
    assert!(findings.iter().all(|f| f.severity == Severity::Error));
    let by =
        |path: &str| findings.iter().find(|f| f.path == path).unwrap_or_else(|| panic!("{path}: {rendered}"));
    assert_eq!(by("members.looks.on[0]").nearest.as_deref(), Some("images"));
    assert!(by("members.table").expected.contains("one of images, audio"));
    assert!(by("task").expected.contains("regress"));

    let late = checked
        .finding(&["members", "sounds", "epochs"], &Error::data("too short").expected("1 s").got("0 s"));
    assert_eq!(&text[late.span.start..late.span.end], "sounds");
    assert_eq!((late.expected.as_str(), late.path.as_str()), ("1 s", "members.sounds.epochs"));
}

#[test]
fn loaded_members_that_may_have_seen_the_rows_are_a_warning() {
    let load = |seen: &str| found(&least(&[("a: {fit: logistic}", &format!("a: {{load: m{seen}}}"))]));
    assert!(load(", seen: none").is_empty());
    assert_eq!((load("").errors(), load("").warnings()), (0, 1));
    assert_eq!((load(", seen: part").errors(), load(", seen: part").warnings()), (0, 1));
}

#[test]
fn long_chains_and_long_circles_end() {
    let chain = |n: usize, last: &str| {
        let members: String = (1..n).map(|i| format!("  m{i}: {{fit: knn, from: m{}}}\n", i - 1)).collect();
        least(&[("members: {a: {fit: logistic}}\n", "")])
            + &format!("members:\n  m0: {{fit: knn{last}}}\n{members}")
    };
    assert!(found(&chain(5000, "")).is_empty());
    let findings = found(&chain(5000, ", from: m4999"));
    assert_eq!(findings.findings.len(), 1, "{findings}");
    assert!(findings.findings[0].message.contains("circle"));
    // Two circles and one that leads into the first: two findings.
    let text = least(&[("members: {a: {fit: logistic}}\n", "")])
        + "members:\n  x: {fit: knn, from: a}\n  a: {fit: knn, from: b}\n  b: {fit: knn, from: a}\n  c: {fit: knn, from: d}\n  d: {fit: knn, from: c}\n";
    let paths: Vec<String> = found(&text).findings.into_iter().map(|f| f.path).collect();
    assert_eq!(paths, ["members.a", "members.c"]);
}

#[test]
fn a_hundred_thousand_brackets_are_one_finding() {
    for open in ["[", "{", "- ", "{a: ", "[[{a: "] {
        for text in [open.repeat(100_000), format!("data: {}", open.repeat(100_000))] {
            let findings = load(&text, "r.yaml", &methods()).unwrap_err();
            assert_eq!(findings.findings.len(), 1, "{open:?}");
            assert!(findings.render(true).len() < 2000, "{open:?}");
        }
    }
    let nested = format!("{}{}", "[".repeat(MAX_DEPTH - 3), "]".repeat(MAX_DEPTH - 3));
    let findings = found(&least(&[("a: {fit: logistic}", &format!("a: {{fit: logistic, c: {nested}}}"))]));
    assert_eq!(findings.findings.len(), 1, "{findings}");
    assert!(findings.findings[0].message.contains("this is a list"));
}

#[test]
fn anchors_and_laughs_are_findings() {
    let mut text = LEAST.to_owned() + "x0: &x0 [lol, lol]\n";
    for i in 1..40 {
        text += &format!("x{i}: &x{i} [*x{0}, *x{0}, *x{0}, *x{0}, *x{0}]\n", i - 1);
    }
    let findings = load(&text, "r.yaml", &methods()).unwrap_err();
    assert!(findings.errors() >= 100, "{}", findings.errors());
    assert!(findings.findings[0].message.contains("no anchors"));
}

/// What would be slow, were it compared pair by pair or named again and again.
#[test]
fn large_recipes_of_the_worst_kind_end() {
    let many = |n: usize, line: &dyn Fn(usize) -> String| (0..n).map(line).collect::<String>();
    let rest = least(&[("members: {a: {fit: logistic}}\n", "")]);
    let keys = LEAST.to_owned() + &many(90_000, &|i| format!("k{i}: 1\n"));
    let columns =
        "version: 1\ntask: classify\nsplit: {holdout: 0.2}\ndata:\n  columns:\n    y: {role: target}\n"
            .to_owned()
            + &many(30_000, &|i| format!("    column_number_{i}: {{}}\n"))
            + "members:\n  a:\n    fit: logistic\n    on:\n"
            + &many(30_000, &|i| format!("    - column_nunber_{i}\n"));
    let fused = LEAST.to_owned()
        + "synthesis:\n  s:\n    fuse: soft_vote\n    of:\n"
        + &many(100_000, &|i| format!("    - b{i}\n"));
    let report =
        LEAST.to_owned() + &format!("judge: {{choose: accuracy, report: [{}]}}\n", "ece, ".repeat(150_000));
    let names = rest.clone() + "members:\n" + &many(40_000, &|i| format!("  -{i}: {{fit: logistik}}\n"));
    let long_key = LEAST.to_owned() + &format!("? {}\n: 1\n", "k".repeat(2_000_000));
    let long_word = least(&[("logistic", &"l".repeat(2_000_000))]);
    let sound = rest + "members:\n" + &many(10_000, &|i| format!("  m{i}: {{fit: logistic, on: [table]}}\n"));
    for (text, errors, warnings) in [
        (keys, 500, 0),
        (columns, 500, 0),
        (fused, 500, 0),
        (report, 0, 500),
        (names, 500, 0),
        (long_key, 1, 0),
        (long_word, 1, 0),
        (sound, 0, 0),
    ] {
        let findings = found(&text);
        let head: String = text.chars().take(200).collect();
        assert_eq!((findings.errors(), findings.warnings()), (errors, warnings), "{head}");
        assert!(findings.render(false).len() < 100_000, "{head}");
    }
}

/// A cheap stream of numbers for mutations.
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = Seed::new(seed).child("mutations").number() | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    }
}

#[test]
fn no_mutation_of_a_recipe_makes_a_panic() {
    let methods = methods();
    let sources = [WHOLE.to_owned(), MISTAKES.to_owned()];
    let words = [
        "{", "}", "[", "]", ": ", "- ", "&a ", "*a", "!t ", "'", "\"", "\n", "#", "~", "\t", "é", "\u{feff}",
        "? ", "|\n", "1e999", "on", "\r", "\u{0}",
    ];
    let mut next = numbers(1);
    let mut sound = 0;
    for round in 0..2500 {
        let mut bytes = sources[round % 2].clone().into_bytes();
        for _ in 0..=next(3) {
            let (at, end) = (next(bytes.len()), next(bytes.len()));
            match next(5) {
                0 => bytes[at] ^= 1 << next(8),
                1 => {
                    bytes.drain(at..(at + next(40)).min(bytes.len()));
                }
                2 => {
                    let word = words[next(words.len())].as_bytes();
                    bytes.splice(at..at, word.iter().copied());
                }
                3 => bytes.truncate(at.max(1)),
                _ => {
                    let piece = bytes[at.min(end)..at.max(end)].to_vec();
                    let to = next(bytes.len());
                    bytes.splice(to..to, piece.into_iter().take(300));
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        match load(&text, "r.yaml", &methods) {
            Ok(checked) => {
                sound += 1;
                let resolved = resolved_yaml(&checked.recipe).unwrap();
                let again = load(&resolved, "r.yaml", &methods).unwrap_or_else(|f| panic!("{f}\n{resolved}"));
                assert_eq!(again.recipe, checked.recipe);
            }
            Err(findings) => {
                assert!(findings.errors() > 0, "{text}");
                assert!(
                    !findings.findings.iter().any(|f| f.message.contains("internal error")),
                    "{findings}\n{text}"
                );
                assert!(findings.findings.iter().all(|f| f.span.end <= text.len()), "{findings}");
                assert!(!findings.render(false).is_empty());
            }
        }
    }
    assert!(sound > 20, "only {sound} mutations left a sound recipe");
}
