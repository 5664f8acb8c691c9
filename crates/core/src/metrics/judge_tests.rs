use rand::RngExt;

use super::*;
use crate::metrics::{
    self, Accuracy, Auc, Brier, Delong, Ks, LogLoss, Mae, Verdict, delong, difference, shared,
};
use crate::metrics::{auc_interval, per_row_loss};
use crate::model::{Classes, Mask};

fn settings(resamples: usize) -> BootstrapSettings {
    BootstrapSettings { resamples, level: 0.95, seed: Seed::new(1) }
}

fn classes() -> Classes {
    Classes::new(vec!["no".into(), "yes".into()]).unwrap()
}

fn binary(p: &[f32]) -> Predictions {
    let m = Matrix::from_shape_fn((p.len(), 2), |(r, k)| if k == 1 { p[r] } else { 1.0 - p[r] });
    Predictions::probabilities((0..p.len() as u64).collect(), classes(), m, Mask::none(p.len())).unwrap()
}

/// Calibrated probabilities with their labels, and the same with noise on the logits.
fn made(rows: usize, seed: u64) -> (Target, Predictions, Predictions) {
    let mut rng = Seed::new(seed).rng();
    let logit: Vec<f32> = (0..rows).map(|_| rng.random_range(-3.0f32..3.0)).collect();
    let p: Vec<f32> = logit.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    let codes = p.iter().map(|p| u32::from(rng.random::<f32>() < *p)).collect();
    let noisy: Vec<f32> =
        logit.iter().map(|x| 1.0 / (1.0 + (-(x + rng.random_range(-2.0f32..2.0))).exp())).collect();
    (Target::Classes { classes: classes(), codes }, binary(&p), binary(&noisy))
}

#[test]
fn the_interval_of_a_mean_has_the_width_of_theory() {
    let (target, p, _) = made(2000, 1);
    let out = judge(&[&LogLoss], &target, &[("m", &p)], None, None, None, &settings(2000)).unwrap();
    let s = &out[0].scores[0];
    let loss = per_row_loss(&target, &p).unwrap();
    let mean = loss.iter().sum::<f64>() / 2000.0;
    let se = (loss.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 2000.0 / 2000.0).sqrt();
    assert!((s.value - mean).abs() < 1e-12);
    // Both ends of 2000 resamples have a deviation of 0.06 standard errors.
    let (low, high) = ((s.low.unwrap() - mean) / se, (s.high.unwrap() - mean) / se);
    assert!((low + 1.96).abs() < 0.2 && (high - 1.96).abs() < 0.2, "{low} {high}");
    assert!(s.simultaneous.is_none() && s.against_reference.is_none());
    assert_eq!((s.rows, s.resamples), (2000, 2000));
}

#[test]
fn the_stratified_bootstrap_of_auc_agrees_with_delong() {
    let (target, good, bad) = made(1500, 2);
    let models = [("good", &good), ("bad", &bad)];
    let out = judge(&[&Auc], &target, &models, Some(1), None, None, &settings(2000)).unwrap();
    let s = &out[0].scores[0];
    let one = auc_interval(&target, &good, 0.95).unwrap();
    assert!((s.value - one.value).abs() < 1e-12);
    let ratio = (s.high.unwrap() - s.low.unwrap()) / (one.high - one.low);
    assert!((ratio - 1.0).abs() < 0.08, "{ratio}");
    let d = s.against_reference.as_ref().unwrap();
    let Delong { difference, low, high, p_value, .. } = delong(&target, &good, &bad, 0.95).unwrap();
    assert!((d.value - difference).abs() < 1e-12);
    let ratio = (d.high.unwrap() - d.low.unwrap()) / (high - low);
    assert!((ratio - 1.0).abs() < 0.08, "{ratio}");
    assert_eq!(d.verdict, Verdict::Gain);
    assert!(p_value < 1e-4);
    let (low, high) = s.simultaneous.unwrap();
    assert!(low < s.low.unwrap() && high > s.high.unwrap());
}

#[test]
fn groups_are_resampled_whole() {
    let (target, p, _) = made(400, 3);
    // Every row four times, as a group: the interval must be that of the 400 rows, not of 1600.
    let rows: Vec<usize> = (0..1600).map(|i| i / 4).collect();
    let group: Vec<u64> = rows.iter().map(|r| *r as u64).collect();
    let values =
        Predictions::for_task((0..1600).collect(), &target.task(), p.take(&rows).matrix(), Mask::none(1600))
            .unwrap();
    let (many, metrics): (_, [&dyn Metric; 2]) = (target.take(&rows), [&LogLoss, &Auc]);
    let judged = |t: &Target, p: &Predictions, g: Option<&[u64]>| {
        judge(&metrics, t, &[("m", p)], None, g, None, &settings(1000)).unwrap().remove(0)
    };
    let (few, grouped, naive) =
        (judged(&target, &p, None), judged(&many, &values, Some(&group)), judged(&many, &values, None));
    assert_eq!((grouped.groups, few.groups), (Some(400), None));
    for k in 0..2 {
        let width = |m: &ModelScores| m.scores[k].high.unwrap() - m.scores[k].low.unwrap();
        assert!((width(&grouped) / width(&few) - 1.0).abs() < 0.1, "{k}");
        assert!((width(&naive) / width(&few) - 0.5).abs() < 0.08, "{k}");
    }
}

#[test]
fn identical_models_do_not_differ_and_threads_change_nothing() {
    let (target, p, q) = made(300, 4);
    let metrics = metrics::default_reports(&target.task());
    let models = [("a", &p), ("b", &q), ("c", &p)];
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| judge(&metrics, &target, &models, Some(0), None, None, &settings(200)).unwrap())
    };
    let out = run(1);
    assert_eq!(out, run(3));
    assert_eq!(serde_json::from_str::<Vec<ModelScores>>(&serde_json::to_string(&out).unwrap()).unwrap(), out);
    for s in &out[2].scores {
        let d = s.against_reference.as_ref().unwrap();
        assert_eq!((d.value, d.low, d.high, d.verdict), (0.0, Some(0.0), Some(0.0), Verdict::NoGain));
    }
    for m in &out {
        for s in &m.scores {
            let (low, high) = (s.low.unwrap(), s.high.unwrap());
            assert!(low <= s.value && s.value <= high, "{} {} {low} {high}", s.metric, s.value);
            assert_eq!(s.plain.is_some(), ["ks", "ece"].contains(&s.metric.as_str()));
        }
    }
}

#[test]
fn intervals_cover_about_as_often_as_they_say() {
    // Truth by a large sample; 150 samples of 250 rows; a coverage of 0.95 has a deviation of 0.018.
    let metrics: [&dyn Metric; 4] = [&LogLoss, &Auc, &Brier, &Ks];
    let (target, p, _) = made(200_000, 99);
    let truth: Vec<f64> = metrics
        .iter()
        .map(|m| m.score(&Sample::new(&target, p.p().unwrap().view(), None)).unwrap())
        .collect();
    let mut covered = [0.0; 4];
    for i in 0..150 {
        let (target, p, _) = made(250, 1000 + i);
        let out = judge(&metrics, &target, &[("m", &p)], None, None, None, &settings(200)).unwrap();
        for (k, s) in out[0].scores.iter().enumerate() {
            covered[k] += f64::from(u8::from((s.low.unwrap()..=s.high.unwrap()).contains(&truth[k]))) / 150.0;
        }
    }
    assert!(covered.iter().all(|c| *c > 0.87), "{covered:?}");
}

#[test]
fn rows_that_one_model_does_not_predict_are_left_out_for_all() {
    let y = Target::Values(vec![1.0, 2.0, 3.0, 4.0]);
    let of = |v: [f32; 4], absent: [bool; 4]| {
        Predictions::values(vec![5, 6, 7, 8], v.to_vec(), Mask::from_marks(absent.to_vec())).unwrap()
    };
    let a = of([1.5, 0.0, 3.0, 4.0], [false, true, false, false]);
    let b = of([1.0, 2.0, 5.0, 9.0], [false, false, false, true]);
    let weight = [1.0, 9.0, 3.0, 9.0];
    let none = settings(0);
    let out = judge(&[&Mae], &y, &[("a", &a), ("b", &b)], Some(0), None, Some(&weight), &none).unwrap();
    assert_eq!((out[0].rows, out[0].left_out), (2, 2));
    assert_eq!(out[0].scores[0].value, 0.125);
    assert_eq!(out[1].scores[0].value, 1.5);
    assert_eq!(out[1].scores[0].low, None);
    assert_eq!(out[1].scores[0].against_reference.as_ref().unwrap().verdict, Verdict::NoGain);
    let c = of([0.0; 4], [true, false, true, true]);
    let error = judge(&[&Mae], &y, &[("a", &a), ("c", &c)], None, None, None, &none).unwrap_err();
    assert!(error.to_string().contains("no row that every model predicts"), "{error}");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let (target, p, _) = made(20, 5);
    let other = Predictions::probabilities((5..25).collect(), classes(), p.matrix(), Mask::none(20)).unwrap();
    let go = |metrics: &[&dyn Metric], models: &[(&str, &Predictions)], reference, group: Option<&[u64]>| {
        judge(metrics, &target, models, reference, group, None, &settings(100)).unwrap_err().to_string()
    };
    assert!(go(&[], &[("p", &p)], None, None).contains("no metric"));
    assert!(go(&[&LogLoss], &[], None, None).contains("no model"));
    assert!(go(&[&LogLoss], &[("p", &p)], Some(1), None).contains("reference"));
    assert!(go(&[&LogLoss], &[("p", &p), ("q", &other)], None, None).contains("q: "));
    assert!(go(&[&LogLoss], &[("p", &p)], None, Some(&[1])).contains("group"));
    assert!(go(&[&Mae], &[("p", &p)], None, None).contains("does not suit"));
    let one = judge(&[&LogLoss], &target, &[("p", &p)], None, Some(&[3; 20]), None, &settings(100)).unwrap();
    assert_eq!(one[0].scores[0].low, None);
}

#[test]
fn the_credit_pool_gains_one_standard_error_and_the_figures_are_the_peers() {
    let Some((target, members)) = shared::members("credit") else { return };
    // Members in order: lr lda qda gnb knn dt rf et hgb gb mlp nys; hgb is the best single one.
    let best = &members[8];
    let pool = shared::pool(&members, &shared::weights("credit"));
    let metrics = metrics::default_reports(&target.task());
    let models = [("best", best), ("pool", &pool)];
    let out = judge(&metrics, &target, &models, Some(0), None, None, &settings(1000)).unwrap();
    let value = |m: usize, name: &str| out[m].scores.iter().find(|s| s.metric == name).unwrap();
    for (m, name, want, tolerance) in [
        (0, "log_loss", 0.42552, 1e-5),
        (0, "auc", 0.78318, 1e-5),
        (0, "brier", 0.13312, 1e-5),
        (1, "log_loss", 0.42476, 1e-5),
        (1, "auc", 0.78467, 1e-5),
        (1, "brier", 0.13290, 1e-5),
    ] {
        assert!((value(m, name).value - want).abs() < tolerance, "{m} {name} {}", value(m, name).value);
    }
    assert!((value(0, "ks").plain.unwrap() - 0.4347).abs() < 1e-4, "{:?}", value(0, "ks"));
    assert!((value(1, "ks").plain.unwrap() - 0.4340).abs() < 1e-4, "{:?}", value(1, "ks"));
    assert!(value(0, "ks").value < 0.4347);
    let gain = value(1, "log_loss").against_reference.clone().unwrap();
    let se = (gain.high.unwrap() - gain.low.unwrap()) / 2.0 / 1.96;
    assert!((gain.value + 0.00075).abs() < 2e-5 && (se - 0.00071).abs() < 6e-5, "{gain:?} {se}");
    assert_eq!(gain.verdict, Verdict::NoGain);
    let again = difference(&LogLoss, &target, &pool, best, None, None, &settings(1000)).unwrap();
    assert_eq!(again, gain);
}

/// Prints how long the judge takes: `cargo test -p consilience-core --lib speed -- --ignored --nocapture`.
#[test]
#[ignore = "measures, and asserts only that intervals are there"]
fn speed() {
    let mut rng = Seed::new(9).rng();
    let mut time = |what: &str, metrics: &[&dyn Metric], rows: usize, k: usize, models: usize| {
        let classes = Classes::new((0..k).map(|c| c.to_string()).collect()).unwrap();
        let codes = (0..rows).map(|_| rng.random_range(0..k as u32)).collect();
        let target = Target::Classes { classes: classes.clone(), codes };
        let predictions: Vec<Predictions> = (0..models)
            .map(|_| {
                let mut p = Matrix::from_shape_fn((rows, k), |_| rng.random_range(0.01f32..1.0));
                for mut row in p.rows_mut() {
                    let sum = row.sum();
                    row /= sum;
                }
                let ids = (0..rows as u64).collect();
                Predictions::probabilities(ids, classes.clone(), p, Mask::none(rows)).unwrap()
            })
            .collect();
        let named: Vec<(&str, &Predictions)> = predictions.iter().map(|p| ("m", p)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let start = std::time::Instant::now();
        let out =
            pool.install(|| judge(metrics, &target, &named, Some(0), None, None, &settings(2000)).unwrap());
        eprintln!("{what}: {rows} rows, {k} classes, {models} models: {:.2?}", start.elapsed());
        assert!(out.iter().all(|m| m.scores.iter().all(|s| s.low.is_some())));
    };
    time("log_loss and accuracy", &[&LogLoss, &metrics::Accuracy], 10_000, 10, 12);
    time("auc", &[&Auc], 6_000, 2, 11);
    time("auc", &[&Auc], 10_000, 10, 1);
    let all: Vec<&dyn Metric> = metrics::ALL[..9].to_vec();
    time("all nine metrics", &all, 6_000, 2, 12);
}

#[test]
fn several_comparisons_with_one_reference_are_held_to_more() {
    let (target, good, bad) = made(800, 3);
    let half = binary(&vec![0.5; 800]);
    let models = [("good", &good), ("bad", &bad), ("half", &half), ("same", &good)];
    let out = judge(&[&LogLoss, &Accuracy], &target, &models, Some(0), None, None, &settings(500)).unwrap();
    for k in 0..2 {
        assert!(out[0].scores[k].p_values.is_none());
        let p: Vec<_> = out[1..].iter().map(|m| m.scores[k].p_values.unwrap()).collect();
        for p in &p {
            assert_eq!(p.comparisons, 3);
            assert!(p.alone <= p.max_t && p.max_t <= 1.0 && p.holm <= p.bonferroni, "{p:?}");
        }
        // Guessing is worse in every resample; the same model differs in none.
        assert!((p[1].max_t - 1.0 / 501.0).abs() < 1e-12 && p[2].max_t == 1.0);
    }
    let pair = judge(&[&LogLoss], &target, &models[..2], Some(0), None, None, &settings(500)).unwrap();
    let p = pair[1].scores[0].p_values.unwrap();
    assert!(p.alone == p.max_t && p.alone == p.holm && p.alone == p.bonferroni);
    let none = judge(&[&LogLoss], &target, &models[..2], Some(0), None, None, &settings(0)).unwrap();
    assert!(none[1].scores[0].p_values.is_none());
}
