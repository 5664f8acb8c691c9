//! Networks that learn from a teacher.

use std::path::Path;
use std::sync::Mutex;

use consilience_core::Result;
use consilience_core::augment::Mixup;
use consilience_core::model::{
    Classes, Context, Distill, Fitted, Keep, Lesson, Mask, Predictions, Progress, Quiet, Stop, Target, Task,
    Teacher, Vectors,
};
use consilience_core::seed::Seed;
use consilience_nn::Augmentation;
use ndarray::Array2;
use rand::RngExt;
use serde_json::{Value, json};

use crate::data::{Made, classes, method, normal, says, stripes};

/// Rows of two numbers, and the true probability of the second class for each.
fn made(rows: usize, seed: u64) -> (Made, Vec<f32>) {
    let x = normal(2 * rows, Seed::new(seed));
    let truth: Vec<f32> = x.chunks(2).map(|x| 1.0 / (1.0 + (-(1.5 * x[0] - x[1])).exp())).collect();
    let mut rng = Seed::new(seed).child("labels").rng();
    let codes = truth.iter().map(|p| u32::from(rng.random::<f32>() < *p)).collect();
    (Made::new(vec![("x", Vectors::new(vec![2], x).unwrap())], classes(codes, 2)), truth)
}

/// Who says so of the second class; it knows the classes the other way round.
fn teacher(second: &[f32], silent: impl Fn(usize) -> bool) -> Predictions {
    let rows = second.len();
    let names = Classes::new(vec!["class 1".into(), "class 0".into()]).unwrap();
    let p = Array2::from_shape_fn((rows, 2), |(r, k)| if k == 0 { second[r] } else { 1.0 - second[r] });
    let absent: Mask = (0..rows).map(silent).collect();
    Predictions::probabilities((100..100 + rows as u64).collect(), names, p, absent).unwrap()
}

fn fit(
    made: &Made,
    name: &str,
    settings: &Value,
    taught: Option<(&Predictions, f64, f64)>,
) -> Result<Fitted> {
    let stop = Stop::default();
    let teacher =
        taught.map(|(said, temperature, share)| Teacher { said, lesson: Lesson { temperature, share } });
    let context = Context { teacher, ..Context::new(Seed::new(3), &Quiet, &stop) };
    made.fit_in(method(name, settings.clone()).as_ref(), &context)
}

fn second(fitted: &Fitted, made: &Made) -> Vec<f32> {
    fitted.model.predict(&made.batch).unwrap().p().unwrap().column(1).to_vec()
}

#[test]
fn a_student_that_hears_only_its_teacher_comes_close_to_it_at_any_temperature() {
    let (mut made, truth) = made(400, 1);
    // The labels say nothing.
    made.target = classes((0..400).map(|r| r % 2).collect(), 2);
    let said = teacher(&truth, |_| false);
    let settings = json!({"hidden": [16], "epochs": 60, "rate": 0.01, "inner": 0.0});
    for temperature in [1.0, 4.0] {
        let fitted = fit(&made, "mlp", &settings, Some((&said, temperature, 1.0))).unwrap();
        let far: f32 =
            second(&fitted, &made).iter().zip(&truth).map(|(a, b)| (a - b).abs()).sum::<f32>() / 400.0;
        assert!(far < 0.02, "{far} from its teacher at {temperature}");
    }
}

#[test]
fn no_share_changes_no_byte_and_early_stopping_looks_at_the_truth() {
    let made = stripes(120, 8, 1);
    let said = teacher(&vec![0.8; 120], |_| false);
    let settings = json!({"epochs": 2, "batch": 32, "inner": 0.2});
    for name in ["concat", "late"] {
        let bytes = |taught| fit(&made, name, &settings, taught).unwrap().model.save().unwrap();
        let plain = bytes(None);
        assert!(bytes(Some((&said, 3.0, 0.0))) == plain, "{name}");
        assert!(bytes(Some((&said, 3.0, 0.5))) != plain, "{name}");
    }
    // A step that moves nothing.
    let still = json!({"epochs": 1, "rate": 1e-30, "inner": 0.3, "optimizer": "sgd"});
    let plain = fit(&made, "concat", &still, None).unwrap().log[0].clone();
    let taught = fit(&made, "concat", &still, Some((&said, 3.0, 0.9))).unwrap().log[0].clone();
    assert_eq!(plain.held_loss, taught.held_loss);
    assert_ne!(plain.fit_loss, taught.fit_loss);
}

/// Labels of which three in ten are wrong, and a teacher that is nearly right and silent about some rows.
#[test]
fn with_noisy_labels_a_student_beats_who_learns_from_the_labels_alone() {
    let (mut train, truth) = made(300, 2);
    let (test, _) = made(3000, 4);
    let mut rng = Seed::new(5).rng();
    let Target::Classes { codes, .. } = &mut train.target else { panic!("classes") };
    codes.iter_mut().for_each(|c| *c = if rng.random::<f32>() < 0.3 { 1 - *c } else { *c });
    let heard: Vec<f32> =
        truth.iter().map(|p| 1.0 / (1.0 + ((1.0 - p) / p) * rng.random_range(-0.5f32..0.5).exp())).collect();
    let said = teacher(&heard, |r| r % 10 == 0);
    let (_, codes) = test.target.codes().unwrap();
    let settings = json!({"hidden": [32], "epochs": 60, "rate": 0.01, "inner": 0.2, "patience": 10});
    let losses = |taught| -> Vec<f64> {
        let p = second(&fit(&train, "mlp", &settings, taught).unwrap(), &test);
        let own = |(p, c): (&f32, &u32)| -f64::from(if *c == 1 { *p } else { 1.0 - p }.max(1e-7)).ln();
        p.iter().zip(codes).map(own).collect()
    };
    let (alone, taught) = (losses(None), losses(Some((&said, 3.0, 0.9))));
    let gains: Vec<f64> = alone.iter().zip(&taught).map(|(a, t)| a - t).collect();
    let mean = gains.iter().sum::<f64>() / 3000.0;
    let error = (gains.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / 3000.0f64.powi(2)).sqrt();
    println!("log-loss lower by {mean:.4} +- {error:.4}");
    assert!(mean > 3.0 * error, "{mean} +- {error}");
}

#[test]
fn values_are_taught_in_their_own_unit() {
    let x: Vec<f32> = (0..200).map(|r| r as f32 / 100.0 - 1.0).collect();
    let truth: Vec<f32> = x.iter().map(|x| 500.0 + 40.0 * x).collect();
    let made = Made::new(vec![("x", Vectors::new(vec![1], x).unwrap())], Target::Values(truth.clone()));
    let off = truth.iter().map(|v| v + 8.0).collect();
    let said = Predictions::values((100..300).collect(), off, Mask::none(200)).unwrap();
    let settings = json!({"hidden": [16], "epochs": 80, "rate": 0.01, "inner": 0.0});
    let fitted = fit(&made, "mlp", &settings, Some((&said, 1.0, 0.75))).unwrap();
    let got = fitted.model.predict(&made.batch).unwrap().matrix();
    let bias = got.iter().zip(&truth).map(|(a, b)| a - b).sum::<f32>() / 200.0;
    assert!((bias - 6.0).abs() < 0.5, "{bias}");
}

#[test]
fn one_two_and_three_threads_give_the_same_bytes_with_mixup_too() {
    let made = stripes(120, 12, 1);
    let said = teacher(&(0..120).map(|r| (r % 7) as f32 / 7.0).collect::<Vec<_>>(), |r| r % 5 == 0);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (stop, lesson) = (Stop::default(), Lesson { temperature: 2.0, share: 0.7 });
            let teacher = Some(Teacher { said: &said, lesson });
            let context = Context { teacher, ..Context::new(Seed::new(3), &Quiet, &stop) };
            let augment = Augmentation { batch: None, mixup: Some(Mixup::default()) };
            let method = method("concat", json!({"epochs": 2, "batch": 32, "smoothing": 0.1}));
            made.fit_augmented(method.as_ref(), augment, &context).unwrap().model.save().unwrap()
        })
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(one == run(threads), "{threads} threads");
    }
}

/// Asks to stop after a number of steps.
struct Until {
    stop: Stop,
    last: u64,
    told: Mutex<Vec<u64>>,
}

impl Progress for Until {
    fn step(&self, done: u64, _: u64, _: &str) {
        self.told.lock().unwrap().push(done);
        if done == self.last {
            self.stop.request();
        }
    }
}

#[test]
fn a_fit_resumes_amid_an_epoch_with_its_own_teacher_and_no_other() {
    let (made, truth) = made(80, 1);
    let (said, other) = (teacher(&truth, |_| false), teacher(&truth, |r| r == 7));
    let settings = json!({"hidden": [6], "epochs": 3, "batch": 20, "inner": 0.0, "rate": 0.05});
    let run = |said: &Predictions, share: f64, folder: Option<&Path>, last: u64| {
        let until = Until { stop: Stop::default(), last, told: Mutex::default() };
        let mut context = Context::new(Seed::new(1), &until, &until.stop);
        context.checkpoint = folder.map(|folder| Keep { folder, every: std::time::Duration::ZERO });
        context.teacher = Some(Teacher { said, lesson: Lesson { temperature: 3.0, share } });
        let fitted = made.fit_in(method("mlp", settings.clone()).as_ref(), &context);
        let told = until.told.lock().unwrap().clone();
        (fitted, told)
    };
    let whole = run(&said, 0.9, None, 0).0.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (stopped, told) = run(&said, 0.9, Some(folder.path()), 6);
    assert_eq!((stopped.unwrap_err().exit_code(), told.len()), (130, 6));
    // A teacher that says something else, or counts for less, begins anew.
    for (said, share) in [(&other, 0.9), (&said, 0.8), (&said, 0.0)] {
        assert_eq!(run(said, share, Some(folder.path()), 0).1.first(), Some(&1));
    }
    let (resumed, told) = run(&said, 0.9, Some(folder.path()), 0);
    assert_eq!(told.first(), Some(&7));
    assert!(resumed.unwrap().model.save().unwrap() == whole.model.save().unwrap());
}

#[test]
fn what_cannot_be_taught_is_refused() {
    let (made, truth) = made(40, 1);
    let said = teacher(&truth, |_| false);
    let settings = json!({"hidden": [4], "epochs": 1});
    let refused = |said: &Predictions, temperature: f64, share: f64, parts: &[&str]| {
        says(fit(&made, "mlp", &settings, Some((said, temperature, share))).unwrap_err(), parts);
    };
    refused(&said, 0.5, 0.9, &["temperature", "1 to 20"]);
    refused(&said, 3.0, f64::NAN, &["share"]);
    refused(&said.take(&[0, 1]), 3.0, 0.9, &["row id 102", "honest"]);
    let values = Predictions::values((100..140).collect(), vec![0.5; 40], Mask::none(40)).unwrap();
    refused(&values, 3.0, 0.9, &["teacher", "values"]);
    let names = Classes::new(vec!["class 0".into(), "class 2".into()]).unwrap();
    let p = Array2::from_elem((40, 2), 0.5);
    let others = Predictions::probabilities((100..140).collect(), names, p, Mask::none(40)).unwrap();
    refused(&others, 3.0, 0.9, &["class 2", "class 1"]);
    let mlp = method("mlp", settings.clone());
    let usual = mlp.lesson(&made.target.task(), Distill::default()).unwrap();
    assert_eq!(usual, Lesson { temperature: 3.0, share: 0.9 });
    let hot = Distill { temperature: Some(3.0), share: None };
    says(mlp.lesson(&Task::Regress, hot).unwrap_err(), &["temperature"]);
    assert_eq!(mlp.lesson(&Task::Regress, Distill::default()).unwrap().temperature, 1.0);
}
