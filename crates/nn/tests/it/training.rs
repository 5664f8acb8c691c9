//! What the training loop can do beside stepping: weights, smoothing, averages, rates by part, going on after a divergence.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use consilience_core::Result;
use consilience_core::model::{
    Column, Context, Field, Fitted, Keep, Parts, Progress, Quiet, Stop, Target, Task, Vectors,
};
use consilience_core::seed::Seed;
use consilience_nn::{AugmentHook, Augmentation, FUSIONS, NETWORKS};
use serde_json::{Value, json};

use crate::data::{Made, classes, method, normal, says, stripes, xor};

/// Settings on top of others.
fn with(mut settings: Value, more: Value) -> Value {
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

fn mlp(made: &Made, settings: Value) -> Fitted {
    made.fit(method("mlp", settings).as_ref(), 1).unwrap()
}

fn parts(fitted: &Fitted) -> Parts {
    fitted.model.save().unwrap()
}

/// Noise that says nothing, and nine rows of the first class for one of the second.
fn rare(rows: usize) -> Made {
    let x = Vectors::new(vec![2], normal(rows * 2, Seed::new(1))).unwrap();
    Made::new(vec![("x", x)], classes((0..rows as u32).map(|r| u32::from(r % 10 == 0)).collect(), 2))
}

/// The mean probability of the second class.
fn second(fitted: &Fitted, made: &Made) -> f64 {
    let p = fitted.model.predict(&made.batch).unwrap();
    let p = p.p().unwrap();
    p.column(1).iter().map(|v| f64::from(*v)).sum::<f64>() / p.nrows() as f64
}

#[test]
fn weights_of_classes_multiply_the_weights_of_rows() {
    let mut made = rare(200);
    let settings = json!({"hidden": [3], "epochs": 15, "rate": 0.02, "inner": 0.2, "patience": 15});
    let plain = mlp(&made, settings.clone());
    let balanced = mlp(&made, with(settings.clone(), json!({"class_weights": "balanced"})));
    let (rarely, evenly) = (second(&plain, &made), second(&balanced, &made));
    assert!(rarely < 0.2 && (0.4..0.6).contains(&evenly), "{rarely}, {evenly}");
    // Given as a column of weights, or by name, they are the same; what is held out is weighed too.
    let named = mlp(&made, with(settings.clone(), json!({"class_weights": {"class 1": 8}})));
    let column: Vec<f32> = (0..200).map(|r| if r % 10 == 0 { 8.0 } else { 1.0 }).collect();
    made.weight = Some(column);
    let weighed = mlp(&made, settings.clone());
    assert_eq!(parts(&named), parts(&weighed));
    assert_eq!(named.log, weighed.log);
    // Both at once are multiplied.
    made.weight = Some((0..200).map(|r| if r % 10 == 0 { 2.0 } else { 1.0 }).collect());
    let both = mlp(&made, with(settings.clone(), json!({"class_weights": {"class 1": 4}})));
    assert_eq!(parts(&both), parts(&weighed));
    made.weight = None;
    let none = mlp(&made, with(settings, json!({"class_weights": "none"})));
    assert_eq!(parts(&none), parts(&plain));
}

#[test]
fn a_smoothed_truth_is_what_the_network_learns() {
    let x = Vectors::new(vec![1], (0..60).map(|r| (r % 3) as f32 * 4.0 - 4.0).collect()).unwrap();
    let made = Made::new(vec![("x", x)], classes((0..60).map(|r| r % 3).collect(), 3));
    let settings = json!({"hidden": [16], "epochs": 150, "rate": 0.02, "inner": 0.0});
    let largest = |fitted: &Fitted| -> Vec<f32> {
        let p = fitted.model.predict(&made.batch).unwrap();
        p.p().unwrap().rows().into_iter().map(|r| r.iter().copied().fold(0.0, f32::max)).collect()
    };
    assert!(largest(&mlp(&made, settings.clone())).iter().all(|p| *p > 0.98));
    // (1 - .3) + .3 / 3.
    let smooth = mlp(&made, with(settings, json!({"smoothing": 0.3})));
    assert!(largest(&smooth).iter().all(|p| (p - 0.8).abs() < 0.02), "{:?}", largest(&smooth));
    // A step that moves nothing: held-out rows are scored by their plain truth.
    let still = json!({"hidden": [4], "epochs": 1, "rate": 1e-30, "inner": 0.3, "optimizer": "sgd"});
    let plain = mlp(&made, still.clone()).log[0].clone();
    let smooth = mlp(&made, with(still, json!({"smoothing": 0.3}))).log[0].clone();
    assert_eq!(plain.held_loss, smooth.held_loss);
    assert_ne!(plain.fit_loss, smooth.fit_loss);
}

#[test]
fn the_averaged_parameters_are_scored_and_fitted() {
    // Two kinds of rows, so that what is held out is scored like all rows.
    let x = Vectors::new(vec![1], (0..80).map(|r| (r % 2) as f32 * 2.0 - 1.0).collect()).unwrap();
    let made = Made::new(vec![("x", x)], classes((0..80).map(|r| r % 2).collect(), 2));
    let settings = json!({"hidden": [4], "epochs": 4, "batch": 8, "rate": 0.03, "inner": 0.2, "patience": 9});
    for optimizer in ["adam", "sgd"] {
        let settings = with(settings.clone(), json!({"optimizer": optimizer}));
        let plain = mlp(&made, settings.clone());
        let averaged = mlp(&made, with(settings.clone(), json!({"average": 0.98})));
        let losses = |f: &Fitted| f.log.iter().map(|l| l.fit_loss).collect::<Vec<_>>();
        assert_eq!(losses(&plain), losses(&averaged), "training itself is the same");
        for fitted in [&plain, &averaged] {
            let p = fitted.model.predict(&made.batch).unwrap();
            let p = p.p().unwrap();
            let loss = -(f64::from(p[[0, 0]]).ln() + f64::from(p[[1, 1]]).ln()) / 2.0;
            let best = fitted.best_epoch.unwrap() as usize;
            let told = f64::from(fitted.log[best - 1].held_loss.unwrap());
            assert!((loss - told).abs() < 1e-5, "{optimizer}: {loss} and {told}");
        }
        // It lags behind, and the model is another one.
        assert!(averaged.log[3].held_loss > plain.log[3].held_loss);
        assert_ne!(parts(&plain), parts(&averaged));
        // An average that forgets at once is the parameters, but for the last rounding.
        let all = with(settings, json!({"inner": 0.0}));
        let (plain, close) = (mlp(&made, all.clone()), mlp(&made, with(all, json!({"average": 1e-12}))));
        for (name, a) in parts(&plain).arrays {
            let (a, b) = (Parts::default().with(&name, a), parts(&close));
            let (Ok(a), Ok(b)) = (a.f32(&name), b.f32(&name)) else { continue };
            a.1.iter().zip(b.1).for_each(|(a, b)| assert!((a - b).abs() <= 2e-7 * (1.0 + a.abs())));
        }
    }
}

#[test]
fn a_frozen_part_keeps_its_bytes_and_a_factor_is_a_lower_rate() {
    let made = stripes(60, 8, 1);
    let encoders =
        json!({"image": {"cnn": {"channels": [3], "features": 5}}, "vector": {"mlp": {"hidden": [4]}}});
    let stop = Stop::default();
    for name in ["concat", "late"] {
        let start = method(name, json!({"encoders": encoders, "epochs": 1}));
        let start = made.fit(start.as_ref(), 1).unwrap().model;
        let before = start.save().unwrap();
        for optimizer in ["adam", "sgd"] {
            let settings = json!({
                "encoders": encoders, "epochs": 2, "batch": 16, "optimizer": optimizer, "weight_decay": 0.1,
                "rates": {"encoders.image": 0, "encoders.image.dense": 0.5}, "average": 0.9, "rate": 0.01,
            });
            let mut context = Context::new(Seed::new(9), &Quiet, &stop);
            context.start = Some(start.as_ref());
            let after = parts(&made.fit_in(method(name, settings).as_ref(), &context).unwrap());
            let weights = before.arrays.keys().filter(|n| n.ends_with("weight"));
            for (array, frozen) in weights.map(|n| (n, n.starts_with("encoders.image.conv"))) {
                assert_eq!(
                    before.arrays[array] == after.arrays[array],
                    frozen,
                    "{name}, {optimizer}: {array}"
                );
            }
            let bias = "encoders.image.conv1.bias";
            assert_eq!(before.arrays[bias], after.arrays[bias]);
        }
    }
    // Half of the rate for every part is half of the rate: in the decay and in the momentum too.
    let made = xor(60, 1);
    for optimizer in ["adam", "sgd"] {
        let settings = json!({"hidden": [6], "epochs": 3, "optimizer": optimizer, "weight_decay": 0.1});
        let parted = json!({"rate": 0.02, "rates": {"encoders": 0.5, "head": 0.5, "encoders.x": 0.5}});
        let half = mlp(&made, with(settings.clone(), json!({"rate": 0.01})));
        assert_eq!(parts(&mlp(&made, with(settings.clone(), parted))), parts(&half));
        assert_ne!(parts(&mlp(&made, with(settings, json!({"rate": 0.02})))), parts(&half));
    }
}

#[test]
fn a_batch_that_only_frozen_parts_see_moves_nothing() {
    let mut made = stripes(40, 8, 1);
    let settings = json!({
        "encoders": {"image": {"mlp": {"hidden": [3]}}}, "epochs": 2, "batch": 8, "inner": 0.0,
        "rates": {"encoders.vector": 0, "heads.vector": 0},
    });
    let gone = (0..40).map(|r| r != 3).collect();
    let image = made.batch.column("image").unwrap().without(&gone).unwrap();
    made.batch.set("image", image).unwrap();
    let fitted = made.fit(method("late", settings).as_ref(), 1).unwrap();
    assert_eq!(fitted.log.len(), 2);
    // The one row with an image is all that anything is learned from.
    assert!(fitted.log[1].fit_loss < fitted.log[0].fit_loss);
}

#[test]
fn settings_that_do_not_suit_the_task_or_the_network_are_refused_before_any_work() {
    let field = [Field::vector("x", vec![4])];
    let two = [Field::vector("x", vec![4]), Field::vector("y", vec![4])];
    let kinds = classes(vec![], 2).task();
    let mut checked = 0;
    for entry in NETWORKS.entries.iter().chain(FUSIONS.entries) {
        let fields: &[Field] = if FUSIONS.get(entry.name).is_ok() { &two } else { &field };
        let check = |settings: Value, task: &Task| method(entry.name, settings).check(fields, task);
        // Others read images, sounds, sequences or tokens.
        if let Err(error) = check(json!({}), &kinds) {
            says(error, &["column \"x\"", "cannot read rows of this shape"]);
            continue;
        }
        checked += 1;
        check(json!({"smoothing": 0.1, "class_weights": "balanced", "rates": {"encoders.x": 0}}), &kinds)
            .unwrap();
        let refused = |settings: Value, task: &Task| {
            let error = check(settings, task).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error
        };
        says(refused(json!({"smoothing": 0.1}), &Task::Regress), &["smoothing", "classes"]);
        says(refused(json!({"class_weights": "balanced"}), &Task::Regress), &["class_weights", "classes"]);
        says(
            refused(json!({"class_weights": {"clas 1": 2}}), &kinds),
            &["class_weights", "\"clas 1\"", "did you mean \"class 1\""],
        );
        says(
            refused(json!({"rates": {"encoder.x": 0.1}}), &kinds),
            &[
                "rates",
                "\"encoder.x\"",
                "encoders, encoders.x, encoders.x.dense1",
                "did you mean \"encoders.x\"",
            ],
        );
        let parts = ["encoders", "fusion", "head", "heads"].map(|p| (p, json!({"rates": {p: 0}})));
        let all: serde_json::Map<String, Value> = parts
            .iter()
            .filter(|(_, alone)| check(alone.clone(), &kinds).is_ok())
            .map(|(p, _)| ((*p).to_owned(), json!(0)))
            .collect();
        assert!(all.len() >= 2, "{all:?}");
        says(refused(json!({"rates": all}), &kinds), &["rates", "frozen"]);
    }
    // And by the fit itself.
    let made = Made::new(
        vec![("x", Vectors::new(vec![1], vec![0.0; 20]).unwrap())],
        Target::Values((0..20).map(|r| r as f32).collect()),
    );
    says(made.fit(method("mlp", json!({"smoothing": 0.1})).as_ref(), 1).unwrap_err(), &["smoothing"]);
    let refused = NETWORKS.build("mlp", &json!({"class_weights": {"a": 0}})).err().unwrap();
    says(refused, &["mlp", "class_weights"]);
    says(NETWORKS.build("mlp", &json!({"retries": 11})).err().unwrap(), &["mlp", "retries"]);
    assert_eq!(checked, 3);
}

/// Rows on a plane, for which a rate that is too high sends everything to infinity.
fn plane() -> Made {
    let x = normal(120, Seed::new(1));
    let y = x.chunks(2).map(|x| 10.0 + 3.0 * x[0] - 2.0 * x[1]).collect();
    Made::new(vec![("x", Vectors::new(vec![2], x).unwrap())], Target::Values(y))
}

fn wild() -> Value {
    json!({"hidden": [8], "epochs": 12, "batch": 10, "rate": 3.0, "optimizer": "sgd", "momentum": 0.5, "inner": 0.2, "patience": 12})
}

#[test]
fn training_that_diverges_goes_on_at_half_the_rate_and_says_so() {
    let made = plane();
    let error = made.fit(method("mlp", wild()).as_ref(), 1).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    says(error, &["epoch ", "batch ", "retries: 3"]);
    let error = made.fit(method("mlp", with(wild(), json!({"retries": 1}))).as_ref(), 1).unwrap_err();
    says(error, &["epoch ", "batch ", "half the rate once; lower"]);
    let calm = mlp(&made, with(wild(), json!({"retries": 10})));
    assert!((2..=10).contains(&calm.notes.len()), "{:?}", calm.notes);
    for (i, note) in calm.notes.iter().enumerate() {
        assert!(note.contains("layer ") || note.contains("parameter "), "{note}");
        let share = format!("at 1/{} of the rate", 2u32 << i);
        assert!(note.starts_with("training diverged (epoch ") && note.ends_with(&share), "{note}");
    }
    let lowest = calm.log.iter().filter_map(|l| l.held_loss).fold(f32::INFINITY, f32::min);
    assert!(lowest < 0.2, "{lowest} of the variance is left: {:?}", calm.notes);
    assert_eq!(calm.log.len(), 12);
    // All of them went back to the start: nothing is left of what diverged, neither in the parameters nor in the optimizer.
    assert!(calm.notes.iter().all(|n| n.contains("from the start")), "{:?}", calm.notes);
    let rate = 3.0 / f64::from(1u32 << calm.notes.len());
    let slow = mlp(&made, with(wild(), json!({"rate": rate})));
    assert_eq!((parts(&calm), &calm.log), (parts(&slow), &slow.log));
    // A fit that goes well is the same with retries as without, and says nothing.
    let fine = with(wild(), json!({"rate": 0.01}));
    let plain = mlp(&made, fine.clone());
    let guarded = mlp(&made, with(fine, json!({"retries": 10})));
    assert_eq!((parts(&plain), &plain.log), (parts(&guarded), &guarded.log));
    assert_eq!(guarded.notes, Vec::<String>::new());
}

/// Asks to stop at a step by its place among all that were told.
struct After {
    stop: Stop,
    left: Mutex<usize>,
}

impl Progress for After {
    fn step(&self, _: u64, _: u64, _: &str) {
        let mut left = self.left.lock().unwrap();
        *left -= 1;
        if *left == 0 {
            self.stop.request();
        }
    }
}

#[test]
fn a_fit_that_goes_on_after_divergence_resumes_with_the_same_bytes() {
    let made = plane();
    // The rate rises over three epochs, so that some of them are good before it is too high.
    let settings = with(
        wild(),
        json!({"retries": 10, "average": 0.9, "epochs": 30, "schedule": "warm_up", "patience": 3}),
    );
    let fit = |folder: &Path, left: usize| -> (Result<Fitted>, usize) {
        let after = After { stop: Stop::default(), left: Mutex::new(left) };
        let mut context = Context::new(Seed::new(1), &after, &after.stop);
        context.checkpoint = Some(Keep { folder, every: std::time::Duration::from_secs(3600) });
        let fitted = made.fit_in(method("mlp", settings.clone()).as_ref(), &context);
        let used = left - *after.left.lock().unwrap();
        (fitted, used)
    };
    let folder = tempfile::tempdir().unwrap();
    let (whole, steps) = fit(folder.path(), usize::MAX);
    let whole = whole.unwrap();
    assert!(whole.notes.iter().any(|n| n.contains("from the end of epoch")), "{:?}", whole.notes);
    assert!(whole.notes.len() > 1 && steps > 30, "{steps}: {:?}", whole.notes);
    // Once in a while, often enough to be stopped before, between and after the divergences.
    for every in [1, 3, 7] {
        let folder = tempfile::tempdir().unwrap();
        let mut stops = 0;
        let done = loop {
            match fit(folder.path(), every) {
                (Ok(done), _) => break done,
                (Err(e), _) => assert_eq!(e.exit_code(), 130, "{e}"),
            }
            stops += 1;
            assert!(stops <= steps, "it does not get on");
        };
        assert!(stops >= steps / every - 1, "{stops} stops");
        assert!(parts(&done) == parts(&whole));
        assert_eq!((&done.log, done.best_epoch, &done.notes), (&whole.log, whole.best_epoch, &whole.notes));
    }
}

#[test]
fn a_fit_that_is_stopped_after_the_step_that_ruins_it_ends_as_if_it_had_not_been() {
    let made = plane();
    let settings =
        json!({"hidden": [8], "epochs": 2, "batch": 20, "rate": 1e300, "optimizer": "sgd", "inner": 0.0});
    let fit = |folder: Option<&Path>, left: usize| {
        let after = After { stop: Stop::default(), left: Mutex::new(left) };
        let mut context = Context::new(Seed::new(1), &after, &after.stop);
        context.checkpoint = folder.map(|folder| Keep { folder, every: std::time::Duration::ZERO });
        made.fit_in(method("mlp", settings.clone()).as_ref(), &context).unwrap_err()
    };
    let whole = fit(None, usize::MAX).to_string();
    assert!(whole.starts_with("epoch 1, batch 2: "), "{whole}");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(fit(Some(folder.path()), 1).exit_code(), 130);
    assert_eq!(fit(Some(folder.path()), usize::MAX).to_string(), whole);
}

#[test]
fn a_loss_that_explodes_but_stays_finite_is_divergence_too() {
    // With clipped gradients steps are long, but numbers never run away to infinity.
    let settings = json!({"hidden": [8], "epochs": 40, "batch": 10, "rate": 200.0, "optimizer": "sgd", "inner": 0.0, "clip": 1.0});
    let error = plane().fit(method("mlp", settings).as_ref(), 1).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    says(error, &["epoch ", "batch ", "parameter ", "explodes", "retries"]);
}

#[test]
fn what_diverges_at_the_end_of_an_epoch_is_named_too() {
    let made = plane();
    // The only step of the epoch makes every number too large for its layer, or for itself.
    let last = |rate: f64, inner: f64| {
        let settings = json!({"hidden": [8], "epochs": 1, "batch": 60, "rate": rate, "optimizer": "sgd", "inner": inner});
        made.fit(method("mlp", settings).as_ref(), 1).unwrap_err()
    };
    says(last(1e30, 0.2), &["epoch 1, held-out rows", "layer ", "clip"]);
    says(last(1e300, 0.0), &["epoch 1, its end", "parameter ", "clip"]);
}

#[test]
fn batches_are_prepared_by_another_thread_with_the_same_bytes() {
    let made = stripes(90, 8, 1);
    let settings =
        json!({"encoders": {"image": {"mlp": {"hidden": [4]}}}, "epochs": 2, "batch": 16, "inner": 0.2});
    let stop = Stop::default();
    let context = Context::new(Seed::new(1), &Quiet, &stop);
    let threads: Arc<Mutex<Vec<ThreadId>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let flip: AugmentHook = Arc::new(move |batch, _, epoch| {
        seen.lock().unwrap().push(std::thread::current().id());
        let Column::Vector(mut v) = batch.column("image")?.clone() else { panic!("vectors") };
        v.data.iter_mut().for_each(|x| *x += epoch as f32);
        batch.set("image", Column::Vector(v))
    });
    let fit = || {
        let augment = Augmentation { batch: Some(flip.clone()), mixup: None };
        made.fit_augmented(method("concat", settings.clone()).as_ref(), augment, &context).unwrap()
    };
    let ahead = fit();
    let own = std::thread::current().id();
    assert!(threads.lock().unwrap().iter().all(|t| *t != own));
    // Within a pool the one thread does all of it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    threads.lock().unwrap().clear();
    let (alone, own) = pool.install(|| (fit(), std::thread::current().id()));
    assert!(threads.lock().unwrap().iter().all(|t| *t == own));
    assert_eq!((parts(&ahead), &ahead.log), (parts(&alone), &alone.log));
}

#[test]
fn a_batch_that_cannot_be_prepared_is_named_and_a_stop_is_heard_while_others_wait() {
    let made = xor(90, 1);
    let settings = json!({"hidden": [4], "epochs": 3, "batch": 10, "inner": 0.0});
    let fit = |hook: AugmentHook, context: &Context<'_>| {
        let augment = Augmentation { batch: Some(hook), mixup: None };
        made.fit_augmented(method("mlp", settings.clone()).as_ref(), augment, context)
    };
    let stop = Stop::default();
    let context = Context::new(Seed::new(1), &Quiet, &stop);
    let count = Mutex::new(0);
    let broken: AugmentHook = Arc::new(move |_, _, _| {
        let mut count = count.lock().unwrap();
        *count += 1;
        if *count == 12 { Err(consilience_core::Error::data("no")) } else { Ok(()) }
    });
    says(fit(broken, &context).unwrap_err(), &["epoch 2, batch 3: no"]);
    for last in [1, 4, 9, 13] {
        let after = After { stop: Stop::default(), left: Mutex::new(last) };
        let context = Context::new(Seed::new(1), &after, &after.stop);
        let error = fit(Arc::new(|_, _, _| Ok(())), &context).unwrap_err();
        assert_eq!((error.exit_code(), *after.left.lock().unwrap()), (130, 0));
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn step(&self, _: u64, _: u64, note: &str) {
        self.0.lock().unwrap().push(note.to_owned());
    }
}

#[test]
fn progress_tells_loss_metric_pace_and_the_last_held_out_loss() {
    let stop = Stop::default();
    let notes = |made: &Made, settings: Value| {
        let notes = Notes::default();
        let fitted =
            made.fit_in(method("mlp", settings).as_ref(), &Context::new(Seed::new(1), &notes, &stop));
        (fitted.unwrap(), notes.0.into_inner().unwrap())
    };
    let number = |note: &str, before: &str| -> f64 {
        let rest = note.split_once(before).unwrap_or_else(|| panic!("no {before} in {note}")).1;
        rest.split([',', ' ']).next().unwrap().parse().unwrap()
    };
    // Nothing moves: what is told at the end of the epoch is what the model says of the rows.
    let still =
        json!({"hidden": [6], "epochs": 2, "batch": 7, "rate": 1e-30, "optimizer": "sgd", "inner": 0.0});
    let made = xor(60, 1);
    let (fitted, told) = notes(&made, still.clone());
    let right = crate::data::accuracy(&fitted.model.predict(&made.batch).unwrap(), &made.target);
    let last = &told[8];
    assert!(last.starts_with("epoch 1/2, loss ") && last.ends_with(" rows/s"), "{last}");
    assert!((number(last, "accuracy ") - right).abs() < 0.001, "{last}, {right}");
    assert!((number(last, "loss ") - f64::from(fitted.log[0].fit_loss)).abs() < 0.001, "{last}");
    assert!(number(last, "accuracy 0.").is_finite() && !last.contains("held"));
    let plane = plane();
    let (_, told) = notes(&plane, with(still.clone(), json!({"inner": 0.25})));
    let (first, next) = (&told[0], told.last().unwrap());
    assert!(
        first.contains(", rmse ") && !first.contains("held") && next.contains(", held "),
        "{first}; {next}"
    );
    let (fitted, told) = notes(&plane, still);
    let predicted = fitted.model.predict(&plane.batch).unwrap();
    let consilience_core::model::Output::Values(p) = predicted.output() else { panic!("values") };
    let y = plane.target.values().unwrap();
    let error = (y.iter().zip(p).map(|(y, p)| f64::from(y - p).powi(2)).sum::<f64>() / y.len() as f64).sqrt();
    assert!((number(&told[8], "rmse ") / error - 1.0).abs() < 0.001, "{}, {error}", told[8]);
}
