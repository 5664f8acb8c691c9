//! Opening data of every shape, and everything that can be wrong with them.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::read::tests::{idx, npy};
use super::*;
use crate::error::Result;
use crate::model::{Classes, Column, Kind, Target, Task};

fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn spec(json: Value) -> DataSpec {
    serde_json::from_value(json).unwrap()
}

fn classify(json: Value, root: &Path) -> Result<Dataset> {
    open(&spec(json), root, Some(TaskKind::Classify), None)
}

fn codes(data: &Dataset) -> Vec<u32> {
    data.target.as_ref().unwrap().codes().unwrap().1.to_vec()
}

fn columns(data: &Dataset) -> Vec<(String, Kind)> {
    data.source.schema().fields.iter().map(|f| (f.name.clone(), f.kind)).collect()
}

fn table(text: &str) -> (tempfile::TempDir, Value) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "t.csv", text);
    (dir, json!({"table": "t.csv", "columns": {"y": {"role": "target"}}}))
}

#[test]
fn a_table_gives_inputs_roles_and_a_target() {
    let (dir, _) = table(
        "id,age,sex,y,who,when\n7,31,m,10,ann,2024-01-02\n9,,f,9,bob,2024-01-01\n8,3,m,9,ann,2023-12-31\n",
    );
    let json = json!({"table": "t.csv", "columns": {
        "y": {"role": "target"}, "id": {"role": "id"}, "who": {"role": "group"}, "when": {"role": "time"}
    }});
    let data = classify(json, dir.path()).unwrap();
    assert_eq!(columns(&data), [("age".to_owned(), Kind::Number), ("sex".to_owned(), Kind::Category)]);
    assert_eq!(data.source.ids(), [7, 9, 8]);
    assert_eq!(data.target.as_ref().unwrap().codes().unwrap().0.names(), ["9", "10"]);
    assert_eq!(codes(&data), [1, 0, 0]);
    assert_eq!(data.roles.group, Some((vec![0, 1, 0], vec!["ann".to_owned(), "bob".to_owned()])));
    assert_eq!(data.roles.time, Some(vec![2.0, 1.0, 0.0]));
    assert_eq!(data.roles.cells["age"].as_slice(), ["31", "", "3"]);
    let batch = data.source.read(&[2, 1], &["sex", "age"]).unwrap();
    assert_eq!(batch.ids(), [8, 9]);
    let Column::Number { values, missing } = batch.column("age").unwrap() else { panic!() };
    assert_eq!((values[0], missing.marks()), (3.0, &[false, true][..]));
    let Column::Category { levels, codes, .. } = batch.column("sex").unwrap() else { panic!() };
    assert_eq!((levels.as_slice(), codes.as_slice()), (&["f".to_owned(), "m".to_owned()][..], &[1, 0][..]));
    assert!(data.source.read(&[3], &["age"]).is_err());
    assert!(data.source.read(&[0], &["y"]).is_err(), "the target is no input");
}

#[test]
fn bad_tables_are_refused_with_their_place() {
    let target = json!({"y": {"role": "target"}});
    for (text, columns, says) in [
        ("", target.clone(), "t.csv: the table is empty"),
        ("x,y\n", target.clone(), "t.csv: the table has a header and no rows"),
        ("x,y\n1,a\n2,\n", target.clone(), "t.csv:3: the target is missing"),
        ("x,y\n1,a\n2,a\n", target.clone(), "t.csv: the target has only one class"),
        ("x,y\n1,a\ninf,b\n", target.clone(), "t.csv:3: an infinite number in the number column \"x\""),
        (
            "x,y\n1,1\n2,1.0\n",
            target.clone(),
            "column \"y\": the classes \"1\" and \"1.0\" are the same number",
        ),
        ("x,z\n1,a\n", target.clone(), "t.csv: the data have no column \"y\""),
        (
            "x,y\n1,a\nten,b\n",
            json!({"y": {"role": "target"}, "x": {"type": "number"}}),
            "t.csv:3: a text in the number column \"x\" (expected a finite number, got \"ten\")",
        ),
        (
            "x,v,y\n1,3,a\n1,4,b\n",
            json!({"y": {"role": "target"}, "x": {"role": "id"}}),
            "t.csv:2 and t.csv:3: the id \"1\" (column \"x\") stands twice",
        ),
        (
            "x,y,g\n1,a,1\n1,b,\n",
            json!({"y": {"role": "target"}, "g": {"role": "group"}}),
            "t.csv:3: the group is missing",
        ),
        (
            "x,y,w\n1,a,1\n1,b,0\n",
            json!({"y": {"role": "target"}, "w": {"role": "weight"}}),
            "t.csv:3: the weight is missing or not positive",
        ),
        (
            "x,y,t\n1,a,1/2/2020\n1,b,10/2/2020\n",
            json!({"y": {"role": "target"}, "t": {"role": "time"}}),
            "t.csv:2: the texts of the time column \"t\" do not sort by time",
        ),
        (
            "x,y\n1,lo\n1,hgh\n",
            json!({"y": {"role": "target", "levels": ["lo", "high"]}}),
            "t.csv:3: \"hgh\" is no level of the column \"y\" (expected one of lo, high); did you mean \"high\"?",
        ),
        (
            "x1,x2,y\n1,2,a\n1,,b\n",
            json!({"y": {"role": "target"}, "v": {"columns": ["x*"]}}),
            "t.csv:3: part of the vector \"v\" is missing",
        ),
    ] {
        let (dir, _) = table(text);
        let error = classify(json!({"table": "t.csv", "columns": columns}), dir.path()).unwrap_err();
        assert!(error.to_string().starts_with(says), "{error} is not {says}");
        assert_eq!(error.exit_code(), 3);
    }
    let (dir, json) = table("x,y\n1,2\n2,zwei\n");
    let error = open(&spec(json.clone()), dir.path(), Some(TaskKind::Regress), None).unwrap_err().to_string();
    assert!(error.starts_with("t.csv:3: a text in the number column \"y\""), "{error}");
    write(dir.path(), "t.csv", "x,y\n1,2\n2,1e300\n");
    let error = open(&spec(json), dir.path(), Some(TaskKind::Regress), None).unwrap_err().to_string();
    assert!(error.starts_with("t.csv:3: the target is out of the range"), "{error}");
}

#[test]
fn nothing_outside_the_root_is_read() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "t.csv", "x,y\n1,a\n2,b\n");
    write(dir.path(), "in/t.csv", "file,y\n../t.csv,a\n,b\n");
    let root = dir.path().join("in");
    for json in [
        json!({"table": "../t.csv", "columns": {"y": {"role": "target"}}}),
        json!({"table": "t.csv", "columns": {"y": {"role": "target"}, "x": {"type": "text", "path": "file"}}}),
        json!({"folder": "../in"}),
        json!({"columns": {"x": {"npy": "/etc/passwd"}}}),
    ] {
        let error = classify(json, &root).unwrap_err();
        assert!(error.to_string().contains("outside the data folder"), "{error}");
    }
}

#[test]
fn regression_values_and_missing_marks() {
    let (dir, json) = table("x,y\n?,1.5\n2,-2\n");
    let data = open(&spec(json.clone()), dir.path(), Some(TaskKind::Regress), None).unwrap();
    assert_eq!(data.target, Some(Target::Values(vec![1.5, -2.0])));
    assert_eq!(columns(&data)[0].1, Kind::Category);
    let mut json = json;
    json["columns"]["x"] = json!({"missing": ["?"]});
    let data = open(&spec(json.clone()), dir.path(), None, None).unwrap();
    assert_eq!((columns(&data)[0].1, data.target), (Kind::Number, None));
    assert!(data.notes[0].contains("missing in 1 of 2 rows (50.0%)"), "{:?}", data.notes);
}

#[test]
fn arrays_are_chosen_by_a_column_and_an_index() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "t.csv", "split,i,a,y\ntrain,1,0,p\ntest,0,1,q\ntrain,0,,p\n");
    write(dir.path(), "train.idx", idx(&[2, 1, 2], &[1, 2, 3, 4]));
    write(dir.path(), "test.idx", idx(&[1, 1, 2], &[5, 6]));
    write(dir.path(), "a.npy", npy("|u1", "False", "(2, 2)", &[10, 20, 30, 40]));
    let json = json!({"table": "t.csv", "columns": {
        "y": {"role": "target"},
        "image": {"type": "image", "idx": {"train": "train.idx", "test": "test.idx"}, "index": "i"},
        "sound": {"type": "vector", "npy": "a.npy", "index": "a", "shape": [1, 2], "scale": 0.1}
    }});
    let open_it =
        |json: &Value| open(&spec(json.clone()), dir.path(), Some(TaskKind::Classify), Some("split"));
    let data = open_it(&json).unwrap();
    assert_eq!(columns(&data), [("image".to_owned(), Kind::Image), ("sound".to_owned(), Kind::Vector)]);
    assert_eq!(data.source.schema().fields[1].shape, [1, 2]);
    let batch = data.source.read(&[0, 1, 2], &["image", "sound"]).unwrap();
    let Column::Image(images) = batch.column("image").unwrap() else { panic!() };
    let pixels: Vec<&[u8]> = (0..3).map(|r| images.get(r).unwrap().1).collect();
    assert_eq!(pixels, [[3, 4], [5, 6], [1, 2]]);
    let Column::Vector(v) = batch.column("sound").unwrap() else { panic!() };
    assert_eq!((v.get(1), v.get(2)), (Some(&[3.0f32, 4.0][..]), None));
    for (text, says) in [
        ("split,i,a,y\ntrain,2,0,p\ntest,0,1,q\n", "t.csv:2: \"i\" is no row of train.idx"),
        ("split,i,a,y\ntrain,-1,0,p\ntest,0,1,q\n", "t.csv:2: \"i\" is no row of train.idx"),
        (
            "split,i,a,y\ntrain,1,0,p\ntset,0,1,q\n",
            "t.csv:3: no file of the column \"image\" is for split = \"tset\"",
        ),
    ] {
        write(dir.path(), "t.csv", text);
        let error = open_it(&json).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error} is not {says}");
    }
    write(dir.path(), "t.csv", "split,i,a,y\ntrain,1,0,p\ntest,0,1,q\n");
    write(dir.path(), "a.npy", npy("<f8", "False", "(1152921504606846976,)", &[0; 8]));
    let error = open_it(&json).unwrap_err().to_string();
    assert!(error.starts_with("a.npy: the header claims another size"), "{error}");
    let mut json = json;
    json["columns"]["sound"] = json!({"type": "image", "path": "a", "rate": 8000});
    assert_eq!(open_it(&json).unwrap_err().exit_code(), 2);
}

#[test]
fn arrays_need_no_table() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "x.idx", idx(&[3, 2, 2], &[7; 12]));
    write(dir.path(), "y.idx", idx(&[3], &[4, 2, 4]));
    let json = json!({"columns": {"x": {"idx": "x.idx"}, "digit": {"idx": "y.idx", "role": "target"}}});
    let data = classify(json.clone(), dir.path()).unwrap();
    assert_eq!(columns(&data), [("x".to_owned(), Kind::Image)]);
    assert_eq!((codes(&data), data.source.ids()), (vec![1, 0, 1], &[0u64, 1, 2][..]));
    write(dir.path(), "y.idx", idx(&[2], &[4, 2]));
    assert!(classify(json, dir.path()).unwrap_err().to_string().contains("another number of rows"));
    assert_eq!(classify(json!({}), dir.path()).unwrap_err().exit_code(), 2);
}

#[test]
fn texts_stand_in_cells_or_in_class_folders() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "t.csv", "note,y\nNone,a\n,b\n");
    let json = json!({"table": "t.csv", "columns": {"y": {"role": "target"}, "note": {"type": "text"}}});
    let data = classify(json, dir.path()).unwrap();
    let batch = data.source.read(&[0, 1], &["note"]).unwrap();
    let Column::Text { values, absent } = batch.column("note").unwrap() else { panic!() };
    assert_eq!((values[0].as_str(), absent.marks()), ("None", &[false, true][..]));
    for (name, text) in [("d/neg/1.txt", "bad"), ("d/neg/2.txt", "worse"), ("d/pos/1.txt", "good")] {
        write(dir.path(), name, text);
    }
    let data = classify(json!({"folder": "d"}), dir.path()).unwrap();
    assert_eq!((columns(&data), codes(&data)), (vec![("text".to_owned(), Kind::Text)], vec![0, 0, 1]));
    let data =
        classify(json!({"folder": "d", "columns": {"words": {"type": "text", "path": "file"}}}), dir.path());
    assert_eq!(columns(&data.unwrap()), [("words".to_owned(), Kind::Text)]);
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_numbers_stay_numbers() {
    use arrow_array::{Float64Array, Int64Array, StringArray};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let number = 0.1f64 + 0.2;
    super::read::tests::write_parquet(
        &path,
        vec![
            ("f", Arc::new(Float64Array::from(vec![Some(number), None]))),
            ("y", Arc::new(Int64Array::from(vec![10, 9]))),
            ("s", Arc::new(StringArray::from(vec!["u", "v"]))),
        ],
    );
    let json = json!({"table": "t.parquet", "columns": {"y": {"role": "target"}}});
    let data = classify(json, dir.path()).unwrap();
    let batch = data.source.read(&[0, 1], &["f"]).unwrap();
    let Column::Number { values, missing } = batch.column("f").unwrap() else { panic!() };
    assert_eq!((values[0].to_bits(), missing.marks()), (number.to_bits(), &[false, true][..]));
    assert_eq!(data.target.unwrap().codes().unwrap().0.names(), ["9", "10"]);
}

#[test]
fn notes_tell_of_duplicates_leaks_and_empty_columns() {
    let (dir, json) = table("x,copy,one,none,y\n1,q,5,,a\n1,q,5,,b\n2,p,5,,b\n1,q,5,,a\n3,q,5,,c\n");
    let data = classify(json, dir.path()).unwrap();
    let said = data.notes.join("\n");
    assert!(said.contains("2 rows are exact copies of the inputs of an earlier row; 3 rows have"), "{said}");
    assert!(said.contains("columns with one value only: one"), "{said}");
    assert!(said.contains("columns without any value: none"), "{said}");
    assert!(said.contains("classes with fewer than two rows: c"), "{said}");
    assert!(!said.contains("leak"), "{said}");
    let (dir, json) = table("x,z,y\n1,q,a\n1,p,b\n2,p,b\n");
    let said = classify(json, dir.path()).unwrap().notes.join("\n");
    assert!(said.contains("column \"z\" equals the target row by row"), "{said}");
}

#[test]
fn digests_know_rows_again_and_content_knows_files_but_not_paths() {
    let (dir, json) = table("x,y\n1,a\n2,b\n1,a\n1,b\n");
    let one = classify(json.clone(), dir.path()).unwrap();
    let d = &one.digests;
    assert_eq!(d[0], d[2]);
    assert!(d[0] != d[1] && d[0] != d[3]);
    write(dir.path(), "other/u.csv", "x,y\n2,b\n1,a\n");
    let mut moved = json.clone();
    moved["table"] = json!("other/u.csv");
    let two = classify(moved.clone(), dir.path()).unwrap();
    assert_eq!(two.digests, [d[1], d[0]]);
    assert_ne!(one.content, two.content);
    write(dir.path(), "other/u.csv", "x,y\n1,a\n2,b\n1,a\n1,b\n");
    assert_eq!(one.content, classify(moved.clone(), dir.path()).unwrap().content);
    moved["columns"]["x"] = json!({"type": "category"});
    assert_ne!(one.content, classify(moved, dir.path()).unwrap().content);
}

#[test]
fn new_data_are_read_as_the_model_wants_them() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "t.csv", "age,sex,note,y\n1,m,hi,a\n2,f,ho,b\n");
    let json = json!({"table": "t.csv", "columns": {
        "y": {"role": "target"}, "note": {"type": "text"}, "age": {"from": "age"}
    }});
    let spec = spec(json);
    let data = open(&spec, dir.path(), Some(TaskKind::Classify), None).unwrap();
    let schema = data.source.schema().clone();
    let task = Task::Classify(Classes::new(vec!["a".into(), "b".into()]).unwrap());
    let new = dir.path().join("elsewhere/new.csv");
    write(dir.path(), "elsewhere/new.csv", "extra,sex,age\n0,x,4\n0,m,5\n");
    let root = dir.path().join("elsewhere");
    let data = open_for(&schema, &spec, &new, &root, Some(&task)).unwrap();
    assert_eq!((data.source.schema(), data.target.is_none()), (&schema, true));
    let batch = data.source.read(&[0, 1], &["age", "sex", "note"]).unwrap();
    let Column::Category { levels, codes, .. } = batch.column("sex").unwrap() else { panic!() };
    assert_eq!((levels.as_slice(), codes.as_slice()), (&["f", "m", "x"].map(str::to_owned)[..], &[2, 1][..]));
    assert_eq!(batch.column("note").unwrap().unavailable().count(), 2);
    write(dir.path(), "elsewhere/new.csv", "sex,age,note,y\nm,4,x,b\n");
    let data = open_for(&schema, &spec, &new, &root, Some(&task)).unwrap();
    assert_eq!(self::codes(&data), [1]);
    write(dir.path(), "elsewhere/new.csv", "sex,aeg,y\nm,4,c\n");
    let error = open_for(&schema, &spec, &new, &root, Some(&task)).unwrap_err().to_string();
    assert!(error.contains("no column \"age\"") && error.contains("did you mean \"aeg\"?"), "{error}");
    write(dir.path(), "elsewhere/new.csv", "sex,age,y\nm,4,c\n");
    let error = open_for(&schema, &spec, &new, &root, Some(&task)).unwrap_err().to_string();
    assert!(error.starts_with("new.csv:2: \"c\" is no level"), "{error}");
}
