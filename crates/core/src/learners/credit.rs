//! The members of the later composition on real data: 30,000 credit-card accounts, will the next payment be missed?

use std::path::PathBuf;

use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::REGISTRY;
use crate::array::Matrix;
use crate::model::{Classes, Context, Quiet, Stop, Target};
use crate::seed::Seed;

struct Credit {
    x: Matrix,
    codes: Vec<u32>,
    judge_x: Matrix,
    judge: Vec<u32>,
}

/// A seeded split with `fit` rows standardized by their own means and deviations; `None` without the shared data.
fn credit(seed: u64, fit: usize) -> Option<Credit> {
    let shared = std::env::var_os("CSL_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = shared.join("data/fusion/credit_default/UCI_Credit_Card.csv");
    let Ok(mut reader) = csv::Reader::from_path(&path) else {
        assert!(std::env::var("CSL_REQUIRE_SHARED").as_deref() != Ok("1"), "{} is missing", path.display());
        println!("skipped: {} is missing", path.display());
        return None;
    };
    let mut rows: Vec<Vec<f64>> =
        reader.records().map(|r| r.unwrap().iter().map(|v| v.parse().unwrap()).collect()).collect();
    assert_eq!(rows.len(), 30_000);
    rows.shuffle(&mut Seed::new(seed).rng());
    let width = rows[0].len() - 2;
    let mean: Vec<f64> =
        (0..width).map(|f| rows[..fit].iter().map(|r| r[f + 1]).sum::<f64>() / fit as f64).collect();
    let deviation: Vec<f64> = (0..width)
        .map(|f| (rows[..fit].iter().map(|r| (r[f + 1] - mean[f]).powi(2)).sum::<f64>() / fit as f64).sqrt())
        .collect();
    let matrix = |rows: &[Vec<f64>]| {
        Matrix::from_shape_fn((rows.len(), width), |(r, f)| {
            ((rows[r][f + 1] - mean[f]) / deviation[f]) as f32
        })
    };
    let codes = |rows: &[Vec<f64>]| rows.iter().map(|r| r[width + 1] as u32).collect::<Vec<u32>>();
    let (train, judge) = (&rows[..fit], &rows[24_000..]);
    Some(Credit { x: matrix(train), codes: codes(train), judge_x: matrix(judge), judge: codes(judge) })
}

/// The share of pairs in the right order, ties half.
fn auc(truth: &[u32], p: &[f32]) -> f64 {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let (mut sum, mut at) = (0.0, 0);
    while at < order.len() {
        let end = (at..order.len()).find(|&j| p[order[j]] != p[order[at]]).unwrap_or(order.len());
        let rank = (at + 1 + end) as f64 / 2.0;
        sum += rank * order[at..end].iter().filter(|i| truth[**i] == 1).count() as f64;
        at = end;
    }
    let ones = truth.iter().filter(|t| **t == 1).count() as f64;
    (sum - ones * (ones + 1.0) / 2.0) / (ones * (truth.len() as f64 - ones))
}

fn log_loss(truth: &[u32], p: &[f32]) -> f64 {
    let own = |(t, p): (&u32, &f32)| -f64::from(if *t == 1 { *p } else { 1.0 - p }.max(1e-7)).ln();
    truth.iter().zip(p).map(own).sum::<f64>() / truth.len() as f64
}

/// Fits and says (AUC, log-loss) of the second class on the judge rows.
fn judged(data: &Credit, name: &str, parameters: Value) -> (f64, f64, Vec<f32>) {
    let learner = REGISTRY.build(name, &parameters).unwrap();
    let classes = Classes::new(vec!["paid".into(), "missed".into()]).unwrap();
    let target = Target::Classes { classes, codes: data.codes.clone() };
    let stop = Stop::default();
    let started = std::time::Instant::now();
    let fitted =
        learner.fit(data.x.view(), &target, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
    let fit_seconds = started.elapsed().as_secs_f64();
    let p = fitted.predict(data.judge_x.view()).unwrap().column(1).to_vec();
    let (a, l) = (auc(&data.judge, &p), log_loss(&data.judge, &p));
    println!(
        "{name} {parameters}: AUC {a:.4}, log-loss {l:.4}, fit {fit_seconds:.1} s, predict {:.1} s, {} numbers",
        started.elapsed().as_secs_f64() - fit_seconds,
        fitted.parameters()
    );
    (a, l, p)
}

#[test]
fn boosting_ranks_late_payers() {
    let Some(data) = credit(7, 24_000) else { return };
    let (auc, loss, _) = judged(&data, "gradient_boosting", json!({}));
    assert!(auc >= 0.775 && loss < 0.435, "{auc} {loss}");
}

/// 60 trees instead of 200, to keep the test short.
#[test]
fn a_forest_ranks_late_payers() {
    let Some(data) = credit(7, 24_000) else { return };
    let (auc, loss, _) = judged(&data, "random_forest", json!({"trees": 60}));
    assert!(auc >= 0.765 && loss < 0.44, "{auc} {loss}");
}

/// Neighbours among a third of the rows, to keep the test short.
#[test]
fn plain_members_rank_late_payers() {
    let Some(data) = credit(7, 24_000) else { return };
    let (auc, loss, _) = judged(&data, "logistic", json!({}));
    assert!(auc >= 0.70 && loss < 0.48, "{auc} {loss}");
    let (auc, _, _) = judged(&data, "naive_bayes", json!({}));
    assert!(auc >= 0.70, "{auc}");
    let Some(data) = credit(7, 8_000) else { return };
    let (auc, loss, _) = judged(&data, "knn", json!({}));
    assert!(auc >= 0.72 && loss < 0.48, "{auc} {loss}");
}

/// Every member at its defaults, or those that `CSL_LEARNERS` gives, a line each: `random_forest {"trees": 50}`.
/// `cargo test -p consilience-core credit::table -- --ignored --nocapture`
#[test]
#[ignore = "prints a table; half a minute"]
fn table() {
    let five = "logistic\nnaive_bayes\nknn\nrandom_forest\ngradient_boosting";
    let list = std::env::var("CSL_LEARNERS").unwrap_or_else(|_| five.to_owned());
    for seed in [7, 1, 2] {
        let Some(data) = credit(seed, 24_000) else { return };
        let mut sum = vec![0.0f32; data.judge.len()];
        for line in list.lines() {
            let (name, parameters) = line.split_once(' ').unwrap_or((line, "{}"));
            let (_, _, p) = judged(&data, name, serde_json::from_str(parameters).unwrap());
            sum.iter_mut().zip(p).for_each(|(s, p)| *s += p);
        }
        let mean = auc(&data.judge, &sum);
        println!("seed {seed}: AUC of the plain mean {mean:.4}");
        assert!(mean > 0.75, "{mean}");
    }
}
