//! Regions of MAPIE: `testdata/golden/conformal.json`, made by `testdata/gen/conformal.py`.

use ndarray::Array2;
use serde_json::{Value, json};

use super::class_score::ClassScore;
use super::threshold::quantile;
use super::{Calibration, Held, REGISTRY, Regions};
use crate::array::Matrix;
use crate::model::{Classes, Mask, Origin, Predictions, Target};
use crate::seed::Seed;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../../../testdata/golden/conformal.json")).unwrap()
}

fn get<T: serde::de::DeserializeOwned>(golden: &Value, key: &str) -> T {
    serde_json::from_value(golden[key].clone()).unwrap()
}

/// Calibration rows and new rows.
fn halves(rows: usize, known: usize) -> (Vec<usize>, Vec<usize>) {
    ((0..known).collect(), (rows - 40..rows).collect())
}

fn probabilities(p: &[Vec<f64>]) -> Predictions {
    let classes = Classes::new((0..p[0].len()).map(|c| c.to_string()).collect()).unwrap();
    let matrix = Matrix::from_shape_fn((p.len(), p[0].len()), |(r, c)| p[r][c] as f32);
    Predictions::probabilities((0..p.len() as u64).collect(), classes, matrix, Mask::none(p.len())).unwrap()
}

fn values(v: &[f32]) -> Predictions {
    Predictions::values((0..v.len() as u64).collect(), v.to_vec(), Mask::none(v.len())).unwrap()
}

fn classes(golden: &Value) -> (Predictions, Target) {
    let p = probabilities(&get::<Vec<Vec<f64>>>(golden, "p"));
    let classes = p.task().classes().unwrap().clone();
    (p, Target::Classes { classes, codes: get(golden, "y") })
}

fn fit(
    name: &str,
    settings: &Value,
    said: &[Predictions],
    target: &Target,
    fold: Option<&[u32]>,
) -> Box<dyn Regions> {
    let mut settings = settings.clone();
    settings["alpha"] = json!(0.2);
    let rows = Calibration { said, origin: Origin::Declared, target, fold, group: None, stratum: None };
    REGISTRY.build(name, &settings).unwrap().fit(&rows, Seed::new(1)).unwrap()
}

fn marks(sets: &[Vec<u8>]) -> Array2<bool> {
    Array2::from_shape_fn((sets.len(), sets[0].len()), |(r, c)| sets[r][c] == 1)
}

fn held(regions: &dyn Regions, said: &[Predictions]) -> Array2<bool> {
    match regions.apply(said, None).unwrap().held() {
        Held::Classes { holds, .. } => holds.clone(),
        Held::Intervals { .. } => panic!(),
    }
}

fn near(regions: &dyn Regions, said: &[Predictions], theirs: &[Vec<f64>]) {
    let sets = regions.apply(said, None).unwrap();
    let Held::Intervals { lower, upper } = sets.held() else { panic!() };
    for ((low, up), theirs) in lower.iter().zip(upper).zip(theirs) {
        assert!((low - theirs[0]).abs() < 1e-6 && (up - theirs[1]).abs() < 1e-6, "{low} {up} {theirs:?}");
    }
}

#[test]
fn lac_sets_are_those_of_mapie() {
    let golden = golden();
    let (p, target) = classes(&golden);
    let (known, new) = halves(p.rows(), get(&golden, "calibrated"));
    let regions = fit("lac", &json!({}), &[p.take(&known)], &target.take(&known), None);
    assert_eq!(held(regions.as_ref(), &[p.take(&new)]), marks(&get::<Vec<Vec<u8>>>(&golden["lac"], "sets")));
}

/// The threshold of scores with the peer's draws, and the sets of new rows by it.
fn drawn(
    golden: &Value,
    score: ClassScore,
    used: &[usize],
    draws: &[f64],
    new_draws: &[f64],
) -> (f64, Array2<bool>) {
    let (p, target) = classes(golden);
    let codes = target.codes().unwrap().1;
    let matrix = p.p().unwrap();
    let (mut order, mut out) = (Vec::new(), vec![0.0; 4]);
    let mut scores = Vec::new();
    for (&r, u) in used.iter().zip(draws) {
        score.of_row(matrix.row(r), *u, &mut order, &mut out);
        scores.push(out[codes[r] as usize]);
    }
    let threshold = quantile(scores, 0.2);
    let mut holds = Array2::from_elem((40, 4), false);
    for (i, mut holds) in holds.rows_mut().into_iter().enumerate() {
        let row = matrix.row(matrix.nrows() - 40 + i);
        score.of_row(row, new_draws.get(i).copied().unwrap_or(0.0), &mut order, &mut out);
        holds.iter_mut().zip(&out).for_each(|(h, s)| *h = *s <= threshold);
        if new_draws.is_empty() && !holds.iter().any(|h| *h) {
            holds[crate::array::argmax(&row.to_vec()).unwrap()] = true;
        }
    }
    (threshold, holds)
}

#[test]
fn adaptive_scores_are_those_of_mapie_with_its_draws() {
    let golden = golden();
    let draws: Vec<f64> = get(&golden, "draws");
    let used: Vec<usize> = (0..get(&golden, "calibrated")).collect();
    let aps = ClassScore::Aps { seed: None };
    let theirs = &golden["aps"];
    let (threshold, holds) = drawn(&golden, aps, &used, &draws, &[]);
    assert!((threshold - get::<f64>(theirs, "threshold")).abs() < 1e-6, "{threshold}");
    assert_eq!(holds, marks(&get::<Vec<Vec<u8>>>(theirs, "sets")));
    // The peer starts its draws again for new rows.
    let (_, holds) = drawn(&golden, aps, &used, &draws, &draws[..40]);
    assert_eq!(holds, marks(&get::<Vec<Vec<u8>>>(theirs, "drawn")));
    let theirs = &golden["raps"];
    let raps = ClassScore::Raps { seed: None, lambda: get(theirs, "lambda"), k_reg: get(theirs, "k_reg") };
    let (used, draws) = (get::<Vec<usize>>(theirs, "used"), get::<Vec<f64>>(theirs, "draws"));
    let (threshold, holds) = drawn(&golden, raps, &used, &draws, &[]);
    assert!((threshold - get::<f64>(theirs, "threshold")).abs() < 1e-6, "{threshold}");
    assert_eq!(holds, marks(&get::<Vec<Vec<u8>>>(theirs, "sets")));
}

#[test]
fn raps_tunes_the_rank_of_mapie_and_the_price_of_the_paper() {
    let golden = golden();
    let (p, target) = classes(&golden);
    let theirs = &golden["raps"];
    let rows: Vec<usize> = get(theirs, "tuning");
    let said = [p];
    let data = Calibration {
        said: &said,
        origin: Origin::Declared,
        target: &target,
        fold: None,
        group: None,
        stratum: None,
    };
    let k_reg = super::raps::usual_rank(&data, &rows, 0.2).unwrap();
    assert_eq!(k_reg, get::<usize>(theirs, "k_reg"));
    assert_eq!(super::raps::best_price(&data, &rows, 0.2, k_reg).unwrap(), get::<f64>(theirs, "best_price"));
}

#[test]
fn intervals_are_those_of_mapie() {
    let golden = golden();
    let truth: Vec<f32> = get(&golden, "truth");
    let (known, new) = halves(truth.len(), get(&golden, "calibrated"));
    let target = Target::Values(truth).take(&known);
    let said = |key: &str| values(&get::<Vec<f32>>(&golden, key));
    let regions = fit("split", &json!({}), &[said("value").take(&known)], &target, None);
    near(regions.as_ref(), &[said("value").take(&new)], &get::<Vec<Vec<f64>>>(&golden, "split"));
    let both = |rows: &[usize]| [said("lower").take(rows), said("upper").take(rows)];
    let regions = fit("cqr", &json!({}), &both(&known), &target, None);
    near(regions.as_ref(), &both(&new), &get::<Vec<Vec<f64>>>(&golden, "cqr"));
}

#[test]
fn cv_plus_is_that_of_mapie() {
    let golden = golden();
    let fold: Vec<u32> = get(&golden, "fold");
    let truth = Target::Values(get(&golden, "truth"));
    let (_, target) = classes(&golden);
    let (known, new) = halves(truth.len(), get(&golden, "fold_rows"));
    let by_fold: Vec<Vec<f32>> = get(&golden, "fold_value");
    let own: Vec<f32> = known.iter().map(|&r| by_fold[fold[r] as usize][r]).collect();
    let regions = fit("cv_plus", &json!({}), &[values(&own)], &truth.take(&known), Some(&fold));
    let said: Vec<Predictions> = by_fold.iter().map(|v| values(v).take(&new)).collect();
    near(regions.as_ref(), &said, &get::<Vec<Vec<f64>>>(&golden, "plus"));
    let by_fold: Vec<Vec<Vec<f64>>> = get(&golden, "fold_p");
    let own: Vec<Vec<f64>> = known.iter().map(|&r| by_fold[fold[r] as usize][r].clone()).collect();
    let regions = fit("cv_plus", &json!({}), &[probabilities(&own)], &target.take(&known), Some(&fold));
    let said: Vec<Predictions> = by_fold.iter().map(|p| probabilities(p).take(&new)).collect();
    assert_eq!(held(regions.as_ref(), &said), marks(&get::<Vec<Vec<u8>>>(&golden, "plus_sets")));
}
