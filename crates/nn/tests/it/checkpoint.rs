//! A fit that was stopped goes on where it was.

use std::path::Path;
use std::sync::{Arc, Mutex};

use consilience_core::Result;
use consilience_core::augment::Mixup;
use consilience_core::model::{Context, Fitted, Keep, Progress, Stop};
use consilience_core::seed::Seed;
use consilience_nn::{AugmentHook, Augmentation};
use serde_json::{Value, json};

use crate::data::{method, stripes, xor};

/// Asks to stop after a number of steps, and remembers the steps it was told of.
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

/// After every batch.
fn often(folder: &Path) -> Keep<'_> {
    Keep { folder, every: std::time::Duration::ZERO }
}

/// Fits two modalities with mixup, and gives the steps that were done. With `lazy` every row is read anew for each batch,
/// by the thread that prepares them.
fn fit(
    settings: &Value,
    seed: u64,
    lazy: bool,
    folder: Option<&Path>,
    last: u64,
) -> (Result<Fitted>, Vec<u64>) {
    let made = stripes(80, 8, 1);
    let until = Until { stop: Stop::default(), last, told: Mutex::default() };
    let mut context = Context::new(Seed::new(seed), &until, &until.stop);
    context.checkpoint = folder.map(often);
    let same: AugmentHook = Arc::new(|_, _, _| Ok(()));
    let augment = Augmentation { batch: lazy.then_some(same), mixup: Some(Mixup::default()) };
    let fitted = made.fit_augmented(method("concat", settings.clone()).as_ref(), augment, &context);
    let told = until.told.lock().unwrap().clone();
    (fitted, told)
}

fn same(a: &Fitted, b: &Fitted) {
    assert!(a.model.save().unwrap() == b.model.save().unwrap());
    let bits = |f: &Fitted| -> Vec<(u32, u32, Option<u32>)> {
        f.log.iter().map(|l| (l.epoch, l.fit_loss.to_bits(), l.held_loss.map(f32::to_bits))).collect()
    };
    assert_eq!((bits(a), a.best_epoch, &a.notes), (bits(b), b.best_epoch, &b.notes));
}

#[test]
fn a_fit_that_is_stopped_after_any_batch_resumes_with_the_same_bytes() {
    let mlp = json!({"mlp": {"hidden": [6]}});
    let normed = json!({"cnn": {"channels": [3], "norm": "batch", "features": 4}});
    let cases = [("adam", 0.2, false, &mlp), ("sgd", 0.0, true, &mlp), ("adam", 0.0, false, &normed)];
    for (optimizer, inner, lazy, image) in cases {
        let settings = json!({
            "encoders": {"image": image, "vector": {"mlp": {"hidden": [4]}}},
            "epochs": 3, "batch": 20, "optimizer": optimizer, "inner": inner, "dropout": 0.2, "hidden": 8,
            "schedule": "one_cycle", "weight_decay": 0.01, "rate": 0.05, "average": 0.9, "smoothing": 0.1,
            "class_weights": {"class 1": 2}, "rates": {"encoders.image": 0.5}, "retries": 1,
        });
        let (whole, told) = fit(&settings, 1, lazy, None, 0);
        let whole = whole.unwrap();
        // 64 rows, or 80: four batches an epoch.
        assert_eq!(told, (1..=12).collect::<Vec<_>>());
        for last in 1..=12 {
            let folder = tempfile::tempdir().unwrap();
            let (stopped, told) = fit(&settings, 1, lazy, Some(folder.path()), last);
            assert_eq!(told, (1..=last).collect::<Vec<_>>());
            match stopped {
                Err(e) => assert_eq!(e.exit_code(), 130, "{e}"),
                // After the last batch of all nothing asks any more, unless rows are held out.
                Ok(fitted) => same(&fitted, &whole),
            }
            let (resumed, told) = fit(&settings, 1, lazy, Some(folder.path()), 0);
            assert_eq!(told, (last + 1..=12).collect::<Vec<_>>(), "{optimizer}: stopped after {last}");
            same(&resumed.unwrap(), &whole);
        }
        // Stopped after every batch, again and again; fits with other seeds or settings share the folder and do not meddle.
        let folder = tempfile::tempdir().unwrap();
        for last in 1..12 {
            let (stopped, told) = fit(&settings, 1, lazy, Some(folder.path()), last);
            assert_eq!((stopped.unwrap_err().exit_code(), told), (130, vec![last]));
            if last == 5 {
                let (other, told) = fit(&settings, 2, lazy, Some(folder.path()), 0);
                assert_eq!((told.len() as u64, other.is_ok()), (12, true));
            }
        }
        let (resumed, told) = fit(&settings, 1, lazy, Some(folder.path()), 0);
        assert_eq!(told, [12]);
        same(&resumed.unwrap(), &whole);
        // Once more: everything is done already.
        let (again, told) = fit(&settings, 1, lazy, Some(folder.path()), 0);
        assert_eq!(told.len(), 0);
        same(&again.unwrap(), &whole);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}

#[test]
fn a_stop_is_kept_though_it_is_not_time_yet() {
    let made = xor(60, 1);
    let mlp = || method("mlp", json!({"hidden": [4], "epochs": 2, "batch": 10, "inner": 0.0}));
    let folder = tempfile::tempdir().unwrap();
    let fit = |last: u64| {
        let until = Until { stop: Stop::default(), last, told: Mutex::default() };
        let mut context = Context::new(Seed::new(1), &until, &until.stop);
        context.checkpoint =
            Some(Keep { folder: folder.path(), every: std::time::Duration::from_secs(3600) });
        let fitted = made.fit_in(mlp().as_ref(), &context);
        let told = until.told.lock().unwrap().clone();
        (fitted, told)
    };
    assert_eq!(fit(4).0.unwrap_err().exit_code(), 130);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let (resumed, told) = fit(0);
    assert_eq!(told, (5..=12).collect::<Vec<_>>());
    same(&resumed.unwrap(), &made.fit(mlp().as_ref(), 1).unwrap());
}

#[test]
fn early_stopping_is_not_forgotten() {
    let made = xor(60, 1);
    let mlp =
        || method("mlp", json!({"hidden": [64], "epochs": 30, "rate": 0.2, "patience": 2, "inner": 0.3}));
    let folder = tempfile::tempdir().unwrap();
    let stop = Stop::default();
    let mut context = Context::new(Seed::new(1), &consilience_core::model::Quiet, &stop);
    context.checkpoint = Some(often(folder.path()));
    let first = made.fit_in(mlp().as_ref(), &context).unwrap();
    assert!(first.log.len() < 30, "it never stopped early");
    same(&made.fit_in(mlp().as_ref(), &context).unwrap(), &first);
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let made = xor(40, 1);
    let mlp = || method("mlp", json!({"hidden": [4], "epochs": 1, "inner": 0.0}));
    let folder = tempfile::tempdir().unwrap();
    let stop = Stop::default();
    let mut context = Context::new(Seed::new(1), &consilience_core::model::Quiet, &stop);
    context.checkpoint = Some(often(folder.path()));
    made.fit_in(mlp().as_ref(), &context).unwrap();
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = made.fit_in(mlp().as_ref(), &context).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    let text = error.to_string();
    assert!(text.contains(".safetensors") && text.contains("remove the file"), "{text}");
}
