//! First recipes: they load as they are written.

use std::collections::BTreeMap;

use consilience_core::data::{ColumnSpec, DataSpec, PerValue, Role, SourceSpec};
use consilience_core::model::{Classes, Field, Kind, Schema, Task};
use consilience_engine::catalog;
use consilience_engine::recipe::{Facts, Member, Methods, Sounds, Synthesis, init, load};

use crate::methods::methods;

fn classes(names: &[&str]) -> Task {
    Task::Classify(Classes::new(names.iter().map(|n| (*n).to_owned()).collect()).unwrap())
}

/// Facts about no columns at all; tests say what they need of them.
fn facts<'a>(data: &'a DataSpec, schema: &'a Schema, task: &'a Task, target: Option<&'a str>) -> Facts<'a> {
    static NO_ROLES: BTreeMap<String, Role> = BTreeMap::new();
    static NO_REASONS: BTreeMap<String, String> = BTreeMap::new();
    static NO_SOUNDS: BTreeMap<String, Sounds> = BTreeMap::new();
    Facts {
        name: "n",
        data,
        schema,
        task,
        rows: 9,
        smallest_class: None,
        target,
        roles: &NO_ROLES,
        reasons: &NO_REASONS,
        sounds: &NO_SOUNDS,
        notes: &[],
    }
}

fn table(file: &str) -> DataSpec {
    DataSpec { table: Some(file.to_owned()), ..DataSpec::default() }
}

#[test]
fn a_table_gives_members_on_it() {
    let schema = Schema {
        fields: vec![
            Field::new("age", Kind::Number),
            Field { levels: vec!["f".into(), "m".into()], ..Field::new("sex", Kind::Category) },
            Field::new("on", Kind::Number),
            Field::new("höhe: cm", Kind::Number),
        ],
    };
    let roles = BTreeMap::from([("patient".to_owned(), Role::Group), ("weight".to_owned(), Role::Weight)]);
    let notes = ["3 rows stand twice".to_owned()];
    let task = classes(&["no", "yes"]);
    let reasons = BTreeMap::from([("patient".to_owned(), "300 of them in 768 rows".to_owned())]);
    let data = table("a b.csv");
    let facts = Facts {
        name: "my table",
        rows: 768,
        smallest_class: Some(5),
        roles: &roles,
        reasons: &reasons,
        notes: &notes,
        ..facts(&data, &schema, &task, Some("sick"))
    };
    let text = init(&facts, &methods());
    insta::assert_snapshot!(text);
    let checked = load(&text, "first.yaml", &methods()).unwrap_or_else(|f| panic!("{f}"));
    assert!(checked.warnings.is_empty(), "{}", checked.warnings);
    let recipe = checked.recipe;
    let names: Vec<&str> = recipe.members.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["logistic", "knn", "random_forest", "mlp"]);
    assert_eq!(recipe.split.group.as_deref(), Some("patient"));
    assert_eq!(recipe.data.columns["sick"].role, Some(Role::Target));
    assert_eq!(recipe.data.columns["höhe: cm"].kind, Some(Kind::Number));
    assert!(recipe.synthesis.iter().all(|(_, s)| matches!(s, Synthesis::Fuse { of, .. } if of.len() == 4)));
}

#[test]
fn several_modalities_give_members_each_and_fusions() {
    let mut data =
        DataSpec { root: Some("shared".into()), table: Some("pairs.csv".into()), ..DataSpec::default() };
    let files =
        PerValue::Map(BTreeMap::from([("train".into(), "t.gz".into()), ("test".into(), "s.gz".into())]));
    data.columns.insert(
        "image".into(),
        ColumnSpec {
            kind: Some(Kind::Image),
            idx: Some(files),
            by: Some("split".into()),
            ..ColumnSpec::default()
        },
    );
    data.columns.insert(
        "audio".into(),
        ColumnSpec { kind: Some(Kind::Audio), path: Some("audio_file".into()), ..ColumnSpec::default() },
    );
    data.columns.insert("digit".into(), ColumnSpec::default());
    let schema = Schema {
        fields: vec![
            Field { shape: vec![28, 28, 1], ..Field::new("image", Kind::Image) },
            Field::new("audio", Kind::Audio),
        ],
    };
    let roles = BTreeMap::from([("when".to_owned(), Role::Time), ("origin".to_owned(), Role::Domain)]);
    let task = classes(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let facts =
        Facts { name: "digits", rows: 60_000, roles: &roles, ..facts(&data, &schema, &task, Some("digit")) };
    let text = init(&facts, &methods());
    insta::assert_snapshot!(text);
    let recipe = load(&text, "first.yaml", &methods()).unwrap_or_else(|f| panic!("{f}")).recipe;
    assert_eq!(recipe.split.time.as_deref(), Some("when"));
    assert_eq!(recipe.split.validation, Some(0.1));
    let names: Vec<&str> = recipe.members.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["image_cnn", "image_logistic", "audio_cnn", "audio_logistic"]);
    let fusions = recipe.synthesis.iter().filter(|(_, s)| matches!(s, Synthesis::Fusion { .. })).count();
    assert_eq!(fusions, 2);
}

#[test]
fn odd_data_give_recipes_that_load() {
    let methods = methods();
    let mut fields: Vec<Field> = (0..200).map(|i| Field::new(format!("v{i}"), Kind::Number)).collect();
    fields.push(Field::new("table", Kind::Vector));
    fields.push(Field::new("Table", Kind::Vector));
    let wide = Schema { fields };
    let folder = DataSpec { folder: Some("pictures".into()), ..DataSpec::default() };
    let npz = DataSpec {
        sources: vec![SourceSpec {
            npz: Some("a.npz".into()),
            x: Some("im".into()),
            y: Some("lb".into()),
            set: BTreeMap::from([("domain".into(), "a: b".into())]),
            ..SourceSpec::default()
        }],
        ..DataSpec::default()
    };
    let image = Schema { fields: vec![Field { shape: vec![8, 8, 1], ..Field::new("x", Kind::Image) }] };
    let sizes = Schema { fields: vec![Field::new("x", Kind::Image)] };
    let words = Schema { fields: vec![Field::new("body", Kind::Text)] };
    let none = Schema::default();
    let regress = Task::Regress;
    let cats = classes(&["a # b", "c\nd"]);
    for (data, schema, task, target) in [
        (&table("t.csv"), &wide, &regress, Some("y")),
        (&folder, &image, &cats, None),
        (&npz, &image, &cats, Some("y")),
    ] {
        let name = "con";
        let facts = Facts { name, ..facts(data, schema, task, target) };
        let text = init(&facts, &methods);
        let checked = load(&text, "first.yaml", &methods).unwrap_or_else(|f| panic!("{f}\n{text}"));
        assert!(!checked.recipe.members.is_empty(), "{text}");
        assert_eq!(text, init(&facts, &methods));
    }
    // Nothing that could be fitted (images of several sizes need a step): the recipe says so, and so does its check.
    for schema in [&words, &sizes, &none] {
        let data = table("t.csv");
        let facts = facts(&data, schema, &cats, Some("y"));
        for methods in [&methods, &Methods::default()] {
            let text = init(&facts, methods);
            let findings = load(&text, "first.yaml", methods).unwrap_err();
            assert!(
                findings.findings.iter().any(|f| f.message == "there is nothing to fit"),
                "{findings}\n{text}"
            );
        }
    }
}

#[test]
fn what_does_not_suit_the_default_steps_is_read_by_others_and_said() {
    let methods = catalog::methods();
    let schema = Schema {
        fields: vec![
            Field::new("photo", Kind::Image),
            Field { shape: vec![200, 100, 3], ..Field::new("scan", Kind::Image) },
            Field { shape: vec![2, 30, 3], ..Field::new("dot", Kind::Image) },
            Field::new("cough", Kind::Audio),
            Field { shape: vec![2], longest: 5000, ..Field::new("pulse", Kind::Sequence) },
            Field::new("note", Kind::Text),
        ],
    };
    let sounds = BTreeMap::from([("cough".to_owned(), Sounds { rate: 44_100, longest: 88_200 })]);
    let (data, task) = (table("t.csv"), classes(&["no", "yes"]));
    let facts = Facts { sounds: &sounds, ..facts(&data, &schema, &task, Some("y")) };
    let text = init(&facts, &methods);
    insta::assert_snapshot!(text);
    let recipe = load(&text, "first.yaml", &methods).unwrap_or_else(|f| panic!("{f}\n{text}")).recipe;
    let steps = |name: &str| -> Vec<String> {
        let Some((_, Member::Fit { features, .. })) = recipe.members.iter().find(|(n, _)| n == name) else {
            panic!("no {name} in\n{text}")
        };
        features.values().flatten().map(|c| c.name.clone()).collect()
    };
    assert_eq!(steps("photo_cnn"), ["tensor", "standardize"]);
    assert_eq!(steps("scan_logistic"), ["tensor", "standardize", "flatten"]);
    assert_eq!(steps("cough_cnn"), ["log_mel", "standardize"]);
    assert_eq!(steps("pulse_gru"), ["standardize", "steps"]);
    assert_eq!(steps("pulse_cnn"), Vec::<String>::new());
    // Two blocks of a cnn would leave nothing of two rows of pixels.
    assert_eq!(steps("dot_cnn"), ["tensor", "standardize"]);
    let fusions = recipe.synthesis.iter().filter_map(|(_, s)| match s {
        Synthesis::Fusion { features, .. } => Some(features.keys().cloned().collect::<Vec<_>>()),
        _ => None,
    });
    assert!(fusions.into_iter().all(|f| f == ["cough", "dot", "photo", "pulse", "scan"]), "{text}");
}
