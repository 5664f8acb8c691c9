//! Networks learn what they should, and early stopping stops where it should.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use consilience_core::model::{Column, Context, Labelled, Output, Progress, Quiet, Stop, Target, Vectors};
use consilience_core::seed::Seed;
use consilience_nn::{AugmentHook, Augmentation};
use serde_json::json;

use crate::data::{Made, accuracy, classes, method, normal, stripes, xor};

/// Logistic regression by plain gradient descent: what a linear model can do.
fn linear_accuracy(train: &Made, test: &Made) -> f64 {
    let rows = |m: &Made| {
        let Column::Vector(v) = m.batch.column("x").unwrap() else { panic!("vectors") };
        let y: Vec<f32> = m.target.codes().unwrap().1.iter().map(|c| *c as f32).collect();
        (v.data.clone(), y)
    };
    let score = |w: &[f32; 3], x: &[f32]| w[0] * x[0] + w[1] * x[1] + w[2];
    let (x, y) = rows(train);
    let mut w = [0.0f32; 3];
    for _ in 0..500 {
        let mut g = [0.0f32; 3];
        for (x, y) in x.chunks(2).zip(&y) {
            let miss = 1.0 / (1.0 + (-score(&w, x)).exp()) - y;
            g.iter_mut().zip([x[0], x[1], 1.0]).for_each(|(g, x)| *g += miss * x / y.max(1.0) / 400.0);
        }
        w.iter_mut().zip(g).for_each(|(w, g)| *w -= g);
    }
    let (x, y) = rows(test);
    x.chunks(2).zip(&y).filter(|(x, y)| (score(&w, x) > 0.0) == (**y > 0.5)).count() as f64 / y.len() as f64
}

#[test]
fn a_network_learns_what_no_linear_model_can() {
    let (train, test) = (xor(400, 1), xor(400, 2));
    let mlp = method("mlp", json!({"hidden": [16], "epochs": 60, "rate": 0.01, "inner": 0.0}));
    let fitted = train.fit(mlp.as_ref(), 3).unwrap();
    let network = accuracy(&fitted.model.predict(&test.batch).unwrap(), &test.target);
    let linear = linear_accuracy(&train, &test);
    // 400 rows: the standard error of a difference is below .035.
    assert!(linear < 0.65 && network > 0.97, "linear {linear}, network {network}");
    assert_eq!(fitted.log.len(), 60);
    assert_eq!(fitted.best_epoch, None);
}

#[test]
fn a_tiny_batch_is_learned_by_heart() {
    let image = Vectors::new(vec![1, 8, 8], normal(16 * 64, Seed::new(5))).unwrap();
    let made = Made::new(vec![("image", image)], classes((0..16).map(|r| r * 7 % 3).collect(), 3));
    let flat = json!({"epochs": 120, "rate": 0.01, "inner": 0.0, "batch": 16});
    for name in ["mlp", "cnn", "gru"] {
        let fitted = made.fit(method(name, flat.clone()).as_ref(), 1).unwrap();
        let (first, last) = (fitted.log[0].fit_loss, fitted.log[119].fit_loss);
        assert!((first - 3f32.ln()).abs() < 0.2, "{name}: the first loss is {first}");
        assert!(last < 0.05, "{name}: the last loss is {last}");
    }
}

#[test]
fn a_recurrent_layer_remembers_which_pulse_came_first() {
    let made = |seed: u64| {
        let mut data = normal(300 * 20, Seed::new(seed));
        data.iter_mut().for_each(|v| *v *= 0.1);
        let mut codes = Vec::new();
        for r in 0..300 {
            let (early, late) = (r % 5, 5 + r % 5);
            let code = r / 7 % 2;
            let (up, down) = if code == 0 { (early, late) } else { (late, early) };
            data[r * 20 + up * 2] += 1.0;
            data[r * 20 + down * 2 + 1] += 1.0;
            codes.push(code as u32);
        }
        Made::new(vec![("x", Vectors::new(vec![10, 2], data).unwrap())], classes(codes, 2))
    };
    let (train, test) = (made(1), made(2));
    let gru = method("gru", json!({"hidden": 16, "epochs": 15, "rate": 0.02, "clip": 1.0, "inner": 0.0}));
    let model = train.fit(gru.as_ref(), 1).unwrap().model;
    let got = accuracy(&model.predict(&test.batch).unwrap(), &test.target);
    assert!(got > 0.95, "{got}");
}

#[test]
fn values_are_learned_in_their_own_units() {
    let made = |seed: u64| {
        let x = normal(600, Seed::new(seed));
        let y = x.chunks(2).map(|x| 1000.0 + 50.0 * x[0] * x[1]).collect();
        Made::new(vec![("x", Vectors::new(vec![2], x).unwrap())], Target::Values(y))
    };
    let (train, test) = (made(1), made(2));
    for schedule in ["constant", "cosine", "one_cycle", "warm_up"] {
        let settings = json!({"hidden": [32, 16], "epochs": 80, "rate": 0.01, "batch": 32, "inner": 0.0, "schedule": schedule});
        let model = train.fit(method("mlp", settings).as_ref(), 1).unwrap().model;
        let predictions = model.predict(&test.batch).unwrap();
        let Output::Values(p) = predictions.output() else { panic!("values") };
        let y = test.target.values().unwrap();
        let error = |f: &dyn Fn(usize) -> f32| (0..y.len()).map(|i| (y[i] - f(i)).powi(2)).sum::<f32>();
        let share = error(&|i| p[i]) / error(&|_| 1000.0);
        assert!(share < 0.2, "{schedule}: {share} of the variance is left");
    }
}

#[test]
fn both_fusions_beat_their_worse_modality_and_predict_any_subset() {
    let (train, test) = (stripes(400, 8, 1), stripes(400, 8, 2));
    for name in ["concat", "late"] {
        let settings = json!({
            "encoders": {"image": {"cnn": {"channels": [8], "features": 16}}, "vector": {"mlp": {"hidden": [8]}}},
            "epochs": 12, "rate": 0.005, "inner": 0.0,
        });
        let model = train.fit(method(name, settings).as_ref(), 1).unwrap().model;
        let full = accuracy(&model.predict(&test.batch).unwrap(), &test.target);
        // The vector alone gives .77 at best: the normal law at .75.
        assert!(full > 0.87, "{name}: {full}");
        let mut only = consilience_core::model::Batch::new(test.batch.ids().to_vec());
        only.set("vector", test.batch.column("vector").unwrap().clone()).unwrap();
        let predictions = model.predict(&only).unwrap();
        assert!(!predictions.absent().any());
        if name == "late" {
            let alone = accuracy(&predictions, &test.target);
            assert!(alone > 0.7, "the vector alone: {alone}");
        }
    }
}

#[test]
fn early_stopping_restores_the_epoch_with_the_lowest_held_out_loss() {
    // Labels without a pattern: the held-out loss can only rise once they are learned by heart.
    let x = Vectors::new(vec![10], normal(200 * 10, Seed::new(1))).unwrap();
    let codes = normal(200, Seed::new(2)).iter().map(|v| u32::from(*v > 0.0)).collect();
    let mut made = Made::new(vec![("x", x)], classes(codes, 2));
    made.group = Some((0..200).map(|r| r / 2).collect());
    let settings = |epochs: u32| json!({"hidden": [64], "epochs": epochs, "rate": 0.01, "inner": 0.3, "patience": 4, "dropout": 0.2});
    let fitted = made.fit(method("mlp", settings(40)).as_ref(), 1).unwrap();
    let best = fitted.best_epoch.unwrap();
    let losses: Vec<f32> = fitted.log.iter().map(|l| l.held_loss.unwrap()).collect();
    let lowest = losses.iter().copied().fold(f32::INFINITY, f32::min);
    assert_eq!(losses[best as usize - 1], lowest);
    assert_eq!(fitted.log.len() as u32, best + 4, "{losses:?}");
    // Training for exactly that many epochs ends where the best epoch did: same rows, same order, same bits.
    let short = made.fit(method("mlp", settings(best)).as_ref(), 1).unwrap();
    assert_eq!(short.model.save().unwrap(), fitted.model.save().unwrap());
}

#[derive(Default)]
struct Count {
    steps: AtomicU64,
    total: AtomicU64,
}

impl Progress for Count {
    fn step(&self, done: u64, total: u64, note: &str) {
        assert!(note.contains("epoch") && note.contains("loss"), "{note}");
        assert_eq!(done, self.steps.fetch_add(1, Ordering::SeqCst) + 1);
        self.total.store(total, Ordering::SeqCst);
    }
}

#[test]
fn a_refit_takes_exactly_the_epochs_asked_for_and_no_row_is_dropped() {
    let made = xor(65, 1);
    let (count, stop) = (Count::default(), Stop::default());
    let mut context = Context::new(Seed::new(1), &count, &stop);
    context.epochs = Some(3);
    let fitted = made.fit_in(method("mlp", json!({"batch": 64, "epochs": 9})).as_ref(), &context).unwrap();
    assert_eq!(fitted.log.len(), 3);
    assert!(fitted.log.iter().all(|l| l.held_loss.is_none()));
    assert_eq!((count.steps.into_inner(), count.total.into_inner()), (6, 6));
}

#[test]
fn augmentation_sees_raw_training_batches_only() {
    let made = xor(100, 1);
    let source = made.source();
    let rows: Vec<usize> = (0..100).collect();
    let data = Labelled { source: &source, rows: &rows, target: &made.target, weight: None, group: None };
    let stop = Stop::default();
    let context = Context::new(Seed::new(1), &Quiet, &stop);
    let settings = json!({"hidden": [4], "epochs": 2, "inner": 0.2, "batch": 50});
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let same: AugmentHook = Arc::new(move |batch, _, epoch| {
        assert!((1..=2).contains(&epoch));
        counter.fetch_add(batch.rows() as u32, Ordering::SeqCst);
        Ok(())
    });
    let fit = |batch| {
        let augment = Augmentation { batch, mixup: None };
        method("mlp", settings.clone()).fit(&data, made.inputs(), augment, &context)
    };
    let with = fit(Some(same)).unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 160);
    // A hook that changes nothing changes nothing; one that does, does.
    let without = fit(None).unwrap();
    assert_eq!(with.model.save().unwrap(), without.model.save().unwrap());
    let flip: AugmentHook = Arc::new(|batch, _, _| {
        let Column::Vector(mut v) = batch.column("x")?.clone() else { panic!("vectors") };
        v.data.iter_mut().for_each(|x| *x = -*x);
        batch.set("x", Column::Vector(v))
    });
    assert_ne!(fit(Some(flip)).unwrap().model.save().unwrap(), without.model.save().unwrap());
    let broken: AugmentHook = Arc::new(|_, _, _| Err(consilience_core::Error::data("no")));
    assert!(fit(Some(broken)).unwrap_err().to_string().contains("epoch 1, batch 1: no"));
}

#[test]
fn weights_count() {
    // Every row twice, with opposite labels: the heavier label wins.
    let x: Vec<f32> = (0..40).map(|r| (r / 2) as f32 / 20.0).collect();
    let mut made = Made::new(
        vec![("x", Vectors::new(vec![1], x).unwrap())],
        classes((0..40).map(|r| r % 2).collect(), 2),
    );
    made.weight = Some((0..40).map(|r| if r % 2 == 1 { 9.0 } else { 1.0 }).collect());
    let settings = json!({"hidden": [8], "epochs": 60, "rate": 0.02, "inner": 0.0});
    let model = made.fit(method("mlp", settings).as_ref(), 1).unwrap().model;
    let p = model.predict(&made.batch).unwrap();
    for row in p.p().unwrap().rows() {
        assert!((row[1] - 0.9).abs() < 0.05, "{row}");
    }
}

#[test]
fn rows_without_a_modality_do_not_enter_the_moments_of_a_batch() {
    let image = |absent: bool| {
        let mut v = Vectors::new(vec![1, 8, 8], normal(40 * 64, Seed::new(5))).unwrap();
        if absent {
            // What stands where there is nothing is never read.
            v.absent = (0..40).map(|r| r >= 20).collect();
        }
        v
    };
    let other = || Vectors::new(vec![3], normal(120, Seed::new(6))).unwrap();
    let fit = |absent: bool, rows: u32| {
        let made = Made::new(
            vec![("image", image(absent)), ("vector", other())],
            classes((0..40).map(|r| r % 2).collect(), 2),
        );
        let settings = json!({
            "encoders": {"image": {"cnn": {"channels": [3], "norm": "batch", "features": 4}}},
            "epochs": 1, "inner": 0.0, "batch": rows, "rate": 1e-9,
        });
        let parts = made.fit(method("concat", settings).as_ref(), 1).unwrap().model.save().unwrap();
        parts.f32("encoders.image.norm1.running_mean").unwrap().1.to_vec()
    };
    // Of all 40 rows in one batch, 20 have the image: the moments are those of these 20.
    let half = fit(true, 40);
    let made = Made::new(
        vec![("image", Vectors::new(vec![1, 8, 8], normal(20 * 64, Seed::new(5))).unwrap())],
        classes((0..20).map(|r| r % 2).collect(), 2),
    );
    let alone = json!({"channels": [3], "norm": "batch", "features": 4, "epochs": 1, "inner": 0.0, "batch": 40, "rate": 1e-9});
    let parts = made.fit(method("cnn", alone).as_ref(), 1).unwrap().model.save().unwrap();
    let expected = parts.f32("encoders.image.norm1.running_mean").unwrap().1.to_vec();
    for (a, e) in half.iter().zip(&expected) {
        assert!((a - e).abs() < 1e-6, "{half:?} {expected:?}");
    }
    assert_ne!(half, fit(false, 40));
}

#[test]
fn deep_and_long_networks_learn() {
    let made = stripes(120, 12, 1);
    for (encoder, epochs) in [
        (json!({"resnet": {"width": 4, "stem": "small"}}), 6),
        (json!({"spectrogram": {"channels": [6, 8]}}), 12),
        (json!({"cnn": {"norm": "batch", "repeat": 2, "channels": [6]}}), 6),
        (json!({"lstm": {"hidden": 16, "bidirectional": true}}), 20),
    ] {
        let settings = json!({
            "encoders": {"image": encoder, "vector": {"mlp": {"hidden": [2]}}},
            "epochs": epochs, "inner": 0.0, "rate": 0.01, "batch": 20,
        });
        let fitted = made.fit(method("concat", settings).as_ref(), 1).unwrap();
        let test = stripes(120, 12, 2);
        let score = accuracy(&fitted.model.predict(&test.batch).unwrap(), &test.target);
        assert!(score > 0.9, "{encoder}: {score}");
    }
}
