//! The shared data sets, in place: `CSL_SHARED` locates them, `CSL_REQUIRE_SHARED=1` makes their absence a failure.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::model::{Column, Kind};
use crate::seed::Seed;

fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CSL_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join("data").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CSL_REQUIRE_SHARED").as_deref() != Ok("1"), "{} is not there", path.display());
    println!("skipped: {} is not there", path.display());
    None
}

fn spec(json: Value) -> DataSpec {
    serde_json::from_value(json).unwrap()
}

fn by_column(column: &str) -> SplitSpec {
    SplitSpec { column: Some(column.to_owned()), ..SplitSpec::default() }
}

const VALIDATION: HonestSpec = HonestSpec::Validation(Validation::Validation);

#[test]
fn images_and_sounds_of_av_mnist() {
    let Some(root) = shared("multimodal/av-mnist") else { return };
    let train = "mnist/train-images-idx3-ubyte.gz";
    let spec = spec(json!({"table": "manifest.csv", "columns": {
        "image": {"type": "image", "by": "split", "index": "mnist_index",
            "idx": {"train": train, "val": train, "test": "mnist/t10k-images-idx3-ubyte.gz"}},
        "audio": {"type": "vector", "npy": "audio_noisy_logmel_u8.npy", "index": "audio_row",
            "shape": [1, 32, 64], "scale": 1.0 / 255.0},
        "label": {"role": "target"},
        "audio_file": {"role": "group"}
    }}));
    let data = open(&spec, &root, Some(TaskKind::Classify), Some("split")).unwrap();
    let kinds: Vec<_> =
        data.source.schema().fields.iter().map(|f| (f.name.as_str(), f.kind, f.shape.clone())).collect();
    assert_eq!(kinds, [("audio", Kind::Vector, vec![1, 32, 64]), ("image", Kind::Image, vec![28, 28, 1])]);
    let parts = split(&by_column("split"), &VALIDATION, &data, Seed::new(7)).unwrap();
    assert_eq!((parts.fit.len(), parts.choose.len(), parts.judge.len()), (10_000, 2_000, 10_000));
    // The labels of the manifest are those of MNIST's own label file.
    let labels = read_idx(&root.join("mnist/t10k-labels-idx1-ubyte.gz")).unwrap().to_f64();
    let codes = data.target.as_ref().unwrap().codes().unwrap().1;
    let at = &data.roles.cells["mnist_index"];
    for row in &parts.judge {
        assert_eq!(f64::from(codes[*row]), labels[at[*row].parse::<usize>().unwrap()]);
    }
    let batch = data.source.read(&parts.judge[..3], &["image", "audio"]).unwrap();
    let Column::Image(images) = batch.column("image").unwrap() else { panic!() };
    assert_eq!(images.uniform_shape(), Some([28, 28, 1]));
    let Column::Vector(sounds) = batch.column("audio").unwrap() else { panic!() };
    assert!(sounds.data.iter().all(|x| (0.0..=1.0).contains(x)));
}

#[test]
fn recordings_of_av_mnist() {
    let Some(root) = shared("multimodal/av-mnist") else { return };
    let spec = spec(json!({"table": "audio_index.csv", "only": true, "columns": {
        "sound": {"type": "audio", "path": "path"}, "digit": {"role": "target"}
    }}));
    // The index names files without their folder; a table with the folder is made for it.
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(root.join("audio_index.csv")).unwrap();
    let mut lines = text.lines();
    let mut table = format!("path,{}\n", lines.next().unwrap());
    for line in lines.take(50) {
        let file = line.split(',').next().unwrap();
        table.push_str(&format!("{file},{line}\n"));
    }
    std::fs::write(dir.path().join("new.csv"), table).unwrap();
    let schema = crate::model::Schema { fields: vec![crate::model::Field::new("sound", Kind::Audio)] };
    let data = open_for(&schema, &spec, &dir.path().join("new.csv"), &root.join("recordings"), None).unwrap();
    let batch = data.source.read(&(0..50).collect::<Vec<_>>(), &["sound"]).unwrap();
    let Column::Audio(sounds) = batch.column("sound").unwrap() else { panic!() };
    assert!((0..50).all(|r| sounds.get(r).is_some_and(|(rate, s)| rate == 8000 && s.len() > 1000)));
}

#[test]
fn two_domains_of_digits() {
    let Some(root) = shared("adaptation/digits") else { return };
    let source = |name: &str| json!({"npz": "mnist_usps_jpda.npz", "x": format!("{name}_X"), "y": format!("{name}_y"), "set": {"domain": name}});
    let spec =
        spec(json!({"sources": [source("mnist"), source("usps")], "columns": {"x": {"shape": [1, 16, 16]}}}));
    let data = open(&spec, &root, Some(TaskKind::Classify), None).unwrap();
    assert_eq!(data.source.rows(), 3_800);
    assert_eq!(data.source.schema().fields[0].shape, [1, 16, 16]);
    assert_eq!(data.target.as_ref().unwrap().codes().unwrap().0.count(), 10);
    assert_eq!(data.roles.domain.as_ref().unwrap()[1_999..2_001], ["mnist", "usps"]);
    let usps = SplitSpec { domain: Some("usps".to_owned()), ..SplitSpec::default() };
    let parts = split(&usps, &HonestSpec::Folds { folds: 5 }, &data, Seed::new(7)).unwrap();
    assert_eq!((parts.fit.len(), parts.judge.len(), parts.folds.len()), (2_000, 1_800, 2_000));
}

#[test]
fn the_credit_table() {
    let Some(root) = shared("fusion/credit_default") else { return };
    let spec = spec(json!({"table": "UCI_Credit_Card.csv", "columns": {
        "ID": {"role": "ignore"}, "default.payment.next.month": {"role": "target"}, "SEX": {"type": "category"}
    }}));
    let data = open(&spec, &root, Some(TaskKind::Classify), None).unwrap();
    assert_eq!((data.source.rows(), data.source.schema().fields.len()), (30_000, 23));
    let holdout = SplitSpec { holdout: Some(0.2), ..SplitSpec::default() };
    let parts = split(&holdout, &HonestSpec::Folds { folds: 5 }, &data, Seed::new(7)).unwrap();
    assert_eq!((parts.fit.len(), parts.judge.len()), (24_000, 6_000));
    let codes = data.target.as_ref().unwrap().codes().unwrap().1;
    let positive = |rows: &[usize]| rows.iter().filter(|r| codes[**r] == 1).count();
    assert!(positive(&parts.judge).abs_diff((positive(&parts.fit) + positive(&parts.judge)) / 5) <= 1);
}

#[test]
fn the_views_of_mfeat_stand_beside_each_other() {
    let Some(root) = shared("multimodal/mfeat") else { return };
    let beside = |view: &str| json!({"table": format!("mfeat-{view}.csv"), "prefix": format!("{view}_"), "header": "skip"});
    let spec = spec(json!({
        "table": "split.csv", "only": true, "beside": [beside("fac"), beside("mor")],
        "columns": {
            "label": {"role": "target"},
            "fac": {"columns": ["fac_*"]}, "fac_c217": {"role": "ignore"},
            "mor": {"columns": ["mor_*"]}, "mor_c7": {"role": "ignore"}
        }
    }));
    let data = open(&spec, &root, Some(TaskKind::Classify), Some("split")).unwrap();
    let shapes: Vec<_> = data.source.schema().fields.iter().map(|f| f.shape.clone()).collect();
    assert_eq!((data.source.rows(), shapes), (2_000, vec![vec![216], vec![6]]));
    // The views repeat the label in their last column.
    assert_eq!(data.roles.cells["fac_c217"], data.roles.cells["label"]);
}

#[test]
fn x_rays_with_notes_and_a_table() {
    let Some(root) = shared("multimodal/covid-cxr") else { return };
    let spec = spec(json!({"table": "cxr.csv", "only": true, "columns": {
        "view": {}, "image": {"type": "image"}, "text": {"type": "text"}, "age": {"type": "number"},
        "label": {"role": "target"}, "patientid": {"role": "group"}
    }}));
    let data = open(&spec, &root, Some(TaskKind::Classify), Some("fold")).unwrap();
    let parts = SplitSpec {
        column: Some("fold".to_owned()),
        fit: vec!["1".into(), "2".into(), "3".into()],
        choose: vec!["4".into()],
        judge: vec!["0".into()],
        ..SplitSpec::default()
    };
    let parts = split(&parts, &VALIDATION, &data, Seed::new(1)).unwrap();
    let all = parts.fit.len() + parts.choose.len() + parts.judge.len();
    assert_eq!((all, data.source.rows()), (279, 279));
    let batch = data.source.read(&parts.judge, &["image", "text", "age"]).unwrap();
    let Column::Image(images) = batch.column("image").unwrap() else { panic!() };
    assert_eq!(images.uniform_shape().map(|s| [s[0], s[1]]), Some([128, 128]));
    assert!(batch.column("age").unwrap().unavailable().any());
}
