//! The members' explanations against brute force and scikit-learn (`testdata/gen/explain.py`), and against the exact values
//! of twelve members on the credit data in the shared folder.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shapley::exact;
use super::*;
use crate::array::Matrix;
use crate::model::{Classes, Honest, Mask, Origin, Predictions, Stop, Target};
use crate::seed::Seed;

/// Inputs are exact in 32 bits and both sides compute in 64; only the order of sums differs.
const TOLERANCE: f64 = 1e-11;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../../testdata/golden/explain.json")).unwrap()
}

fn get<T: DeserializeOwned>(value: &Value, key: &str) -> T {
    serde_json::from_value(value[key].clone()).unwrap()
}

fn names(count: usize) -> Classes {
    Classes::new((0..count).map(|k| k.to_string()).collect()).unwrap()
}

fn honest(golden: &Value, classes: bool, masked: bool, weighted: bool) -> Honest {
    let target = if classes {
        Target::Classes { classes: names(3), codes: get(golden, "y") }
    } else {
        Target::Values(get::<Vec<f32>>(golden, "truth").iter().map(|v| v / 64.0).collect())
    };
    let present: Vec<Vec<u8>> = get(golden, "present");
    let said: Vec<Vec<f32>> = get(golden, if classes { "p" } else { "values" });
    let rows = target.len();
    let made = said.iter().enumerate().map(|(m, said)| {
        let width = said.len() / rows;
        let output = Matrix::from_shape_fn((rows, width), |(r, k)| said[r * width + k] / 64.0);
        let absent: Mask = (0..rows).map(|r| masked && present[m][r] == 0).collect();
        let ids = (0..rows as u64).collect();
        (
            format!("m{m}"),
            Predictions::for_task(ids, &target.task(), output, absent).unwrap(),
            Origin::OutOfFold,
        )
    });
    let weight = weighted.then(|| get(golden, "weight"));
    Honest::new(made.collect(), target.clone(), vec![0; rows], None, weight).unwrap()
}

#[test]
fn shapley_values_are_those_of_every_order() {
    let golden = golden();
    let games: Vec<Value> = get(&golden, "games");
    assert_eq!(games.len(), 16);
    for game in &games {
        let payoff: Payoff = get(game, "payoff");
        let data =
            honest(&golden, payoff != Payoff::SquaredError, get(game, "masked"), get(game, "weighted"));
        let settings = ShapleySettings::default();
        let got = shapley_values(&data, payoff, None, &settings, Seed::new(1), &Stop::default()).unwrap();
        for (a, b) in got.values.iter().zip(get::<Vec<f64>>(game, "values")) {
            assert!((a - b).abs() < TOLERANCE, "{payoff:?}: {a} {b}");
        }
        assert!((got.nobody - get::<f64>(game, "nobody")).abs() < TOLERANCE);
        assert!((got.everybody - get::<f64>(game, "everybody")).abs() < TOLERANCE);
    }
}

#[test]
fn pairs_and_explained_shares_are_those_of_the_peers() {
    let golden = golden();
    let data = honest(&golden, true, false, false);
    let wanted: Vec<Value> = get(&golden, "pairs");
    let pairs = diversity(&data).unwrap();
    assert_eq!(pairs.len(), wanted.len());
    for (got, want) in pairs.iter().zip(&wanted) {
        assert_eq!((got.first.clone(), got.second.clone()), (get(want, "first"), get(want, "second")));
        let decisions = got.decisions.unwrap();
        for (key, got) in [
            ("correlation", got.correlation.unwrap()),
            ("q_statistic", decisions.q_statistic.unwrap()),
            ("disagreement", decisions.disagreement),
            ("double_fault", decisions.double_fault),
            ("kappa", decisions.kappa.unwrap()),
        ] {
            assert!((got - get::<f64>(want, key)).abs() < TOLERANCE, "{key}: {got} {want}");
        }
    }
    let explained: Vec<f64> = get(&golden, "explained");
    for (got, want) in redundancy(&data, None).unwrap().iter().zip(explained) {
        assert!((got.explained.unwrap() - want).abs() < 1e-9, "{got:?} {want}");
    }
}

/// The folder with the members' predictions, or `None` with a line that says so; a failure where it is required.
fn shared() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let root = std::env::var("CSL_SHARED").unwrap_or_else(|_| default.to_owned());
    let path = PathBuf::from(root).join("data/fusion/predictions");
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CSL_REQUIRE_SHARED").as_deref() != Ok("1"), "{} is not there", path.display());
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// The numbers of a version 1 npy file of 64-bit floats or 32-bit integers in C order.
fn npy(path: PathBuf) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    let head = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let text = std::str::from_utf8(&bytes[10..10 + head]).unwrap();
    let body = &bytes[10 + head..];
    if text.contains("<f8") {
        return body.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    }
    assert!(text.contains("<i4"), "{text}");
    body.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect()
}

/// The out-of-fold predictions of twelve members for 24000 rows of the credit data.
fn credit() -> Option<(PathBuf, Honest)> {
    let folder = shared()?;
    let codes: Vec<u32> = npy(folder.join("credit_y_train.npy")).iter().map(|v| *v as u32).collect();
    let fold: Vec<u32> = npy(folder.join("credit_fold.npy")).iter().map(|v| *v as u32).collect();
    let meta: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("credit_meta.json")).unwrap()).unwrap();
    let p = npy(folder.join("credit_oof.npy"));
    let size = 2 * codes.len();
    let member = |(m, name): (usize, String)| {
        let p = p[m * size..(m + 1) * size].iter().map(|v| *v as f32).collect();
        let p = Matrix::from_shape_vec((size / 2, 2), p).unwrap();
        let ids = (0..codes.len() as u64).collect();
        (name, Predictions::probabilities(ids, names(2), p, Mask::none(size / 2)).unwrap(), Origin::OutOfFold)
    };
    let members = get::<Vec<String>>(&meta, "models").into_iter().enumerate().map(member).collect();
    let target = Target::Classes { classes: names(2), codes: codes.clone() };
    Some((folder, Honest::new(members, target, fold, None, None).unwrap()))
}

#[test]
fn twelve_members_of_the_credit_data_have_the_values_of_the_peer() {
    let Some((folder, data)) = credit() else { return };
    let (_, codes) = data.target().codes().unwrap();
    let game = Game::new(&data, Payoff::LogLoss, None).unwrap();
    let got = game.values(&Stop::default()).unwrap();
    let want = npy(folder.join("credit_shapley_v.npy"));
    assert_eq!(got.len(), want.len());
    // Ours reads probabilities of 32 bits and raises the mean to 1e-7; the peer's are of 64 bits and not raised. That tells
    // in four sets of members that are quite sure of something false.
    let apart: Vec<usize> = (0..want.len()).filter(|s| (got[*s] - want[*s]).abs() > 1e-8).collect();
    assert_eq!(apart, [4, 16, 20, 32]);
    for set in &apart {
        let sure = |row: usize| {
            let said = data.predictions().enumerate().filter(|(m, _)| (set >> m) & 1 == 1);
            let said: Vec<f64> =
                said.map(|(_, p)| f64::from(p.p().unwrap()[[row, codes[row] as usize]])).collect();
            said.iter().sum::<f64>() / (said.len() as f64) < 1e-7
        };
        assert!((0..data.rows()).any(sure) && got[*set] > want[*set], "{set}");
    }
    // The values of the peer's game are the peer's.
    for (a, b) in exact(&want, 12).iter().zip(npy(folder.join("credit_shapley_phi.npy"))) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
    let settings = ShapleySettings::default();
    let all =
        shapley_values(&data, Payoff::LogLoss, None, &settings, Seed::new(1), &Stop::default()).unwrap();
    assert_eq!(all.values, exact(&got, 12));
    let drawn = ShapleySettings { budget: 0.0, pairs: 40 };
    let drawn = shapley_values(&data, Payoff::LogLoss, None, &drawn, Seed::new(1), &Stop::default()).unwrap();
    for ((a, b), error) in drawn.values.iter().zip(&all.values).zip(drawn.standard_errors.as_ref().unwrap()) {
        assert!((a - b).abs() < 4.0 * error, "{a} {b} {error}");
    }
}
