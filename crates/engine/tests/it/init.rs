//! First recipes: they load as they are written.

use std::collections::BTreeMap;

use consilience_core::data::{ColumnSpec, DataSpec, PerValue, Role, SourceSpec};
use consilience_core::model::{Classes, Field, Kind, Schema, Task};
use consilience_engine::recipe::{Facts, Member, Methods, Synthesis, init, load};

use crate::methods::methods;

fn classes(names: &[&str]) -> Task {
    Task::Classify(Classes::new(names.iter().map(|n| (*n).to_owned()).collect()).unwrap())
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
    let facts = Facts {
        name: "my table",
        data: &table("a b.csv"),
        schema: &schema,
        task: &task,
        rows: 768,
        target: Some("sick"),
        roles: &roles,
        notes: &notes,
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
fn several_modalities_give_a_member_each_and_fusions() {
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
    let facts = Facts {
        name: "digits",
        data: &data,
        schema: &schema,
        task: &task,
        rows: 60_000,
        target: Some("digit"),
        roles: &roles,
        notes: &[],
    };
    let text = init(&facts, &methods());
    insta::assert_snapshot!(text);
    let recipe = load(&text, "first.yaml", &methods()).unwrap_or_else(|f| panic!("{f}")).recipe;
    assert_eq!(recipe.split.time.as_deref(), Some("when"));
    assert_eq!(recipe.split.validation, Some(0.1));
    assert_eq!(recipe.members.len(), 2);
    match &recipe.members[1] {
        (name, Member::Fit { features, on, .. }) => {
            assert_eq!((name.as_str(), on.as_slice()), ("audio_cnn", ["audio".to_owned()].as_slice()));
            assert_eq!(features["audio"][0].name, "log_mel");
        }
        other => panic!("{other:?}"),
    }
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
    let image = Schema { fields: vec![Field::new("x", Kind::Image)] };
    let words = Schema { fields: vec![Field::new("body", Kind::Text)] };
    let none = Schema::default();
    let roles = BTreeMap::new();
    let regress = Task::Regress;
    let cats = classes(&["a # b", "c\nd"]);
    for (data, schema, task, target) in [
        (&table("t.csv"), &wide, &regress, Some("y")),
        (&folder, &image, &cats, None),
        (&npz, &image, &cats, Some("y")),
    ] {
        let name = "con";
        let facts = Facts { name, data, schema, task, rows: 9, target, roles: &roles, notes: &[] };
        let text = init(&facts, &methods);
        let checked = load(&text, "first.yaml", &methods).unwrap_or_else(|f| panic!("{f}\n{text}"));
        assert!(!checked.recipe.members.is_empty(), "{text}");
        assert_eq!(text, init(&facts, &methods));
    }
    // Nothing that could be fitted: the recipe says so, and so does its check.
    for schema in [&words, &none] {
        let data = table("t.csv");
        let facts = Facts {
            name: "n",
            data: &data,
            schema,
            task: &cats,
            rows: 9,
            target: Some("y"),
            roles: &roles,
            notes: &[],
        };
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
