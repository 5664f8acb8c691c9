//! A fit that was stopped goes on where it was.

use std::path::Path;
use std::sync::Mutex;

use consilience_core::Result;
use consilience_core::augment::Mixup;
use consilience_core::model::{Context, Fitted, Keep, Progress, Stop};
use consilience_core::seed::Seed;
use consilience_nn::Augmentation;
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

/// After every epoch.
fn often(folder: &Path) -> Keep<'_> {
    Keep { folder, every: std::time::Duration::ZERO }
}

/// Fits two modalities with mixup, and gives the steps that were done.
fn fit(settings: &Value, seed: u64, folder: Option<&Path>, last: u64) -> (Result<Fitted>, Vec<u64>) {
    let made = stripes(80, 8, 1);
    let until = Until { stop: Stop::default(), last, told: Mutex::default() };
    let mut context = Context::new(Seed::new(seed), &until, &until.stop);
    context.checkpoint = folder.map(often);
    let augment = Augmentation { batch: None, mixup: Some(Mixup::default()) };
    let fitted = made.fit_augmented(method("concat", settings.clone()).as_ref(), augment, &context);
    let told = until.told.lock().unwrap().clone();
    (fitted, told)
}

fn same(a: &Fitted, b: &Fitted) {
    assert!(a.model.save().unwrap() == b.model.save().unwrap());
    assert_eq!((&a.log, a.best_epoch), (&b.log, b.best_epoch));
}

#[test]
fn a_stopped_fit_resumes_with_the_same_bytes() {
    for (optimizer, inner) in [("adam", 0.2), ("sgd", 0.0)] {
        let folder = tempfile::tempdir().unwrap();
        let settings = json!({
            "encoders": {"image": {"cnn": {"channels": [4], "features": 8}}, "vector": {"mlp": {"hidden": [4]}}},
            "epochs": 6, "batch": 20, "optimizer": optimizer, "inner": inner, "dropout": 0.2,
            "schedule": "one_cycle", "weight_decay": 0.01, "rate": 0.005,
        });
        let batches = if inner > 0.0 { 64u64.div_ceil(20) } else { 4 };
        let (whole, told) = fit(&settings, 1, None, 0);
        let whole = whole.unwrap();
        assert_eq!(told.len() as u64, 6 * batches);
        // Stopped in the first batch of the fourth epoch: that batch is lost, the three epochs are not.
        let (stopped, _) = fit(&settings, 1, Some(folder.path()), 3 * batches + 1);
        assert_eq!(stopped.unwrap_err().exit_code(), 130);
        // Fits with other seeds or settings share the folder and do not meddle.
        let (other, told) = fit(&settings, 2, Some(folder.path()), 0);
        assert_eq!((told.len() as u64, other.is_ok()), (6 * batches, true));
        let (resumed, told) = fit(&settings, 1, Some(folder.path()), 0);
        assert_eq!(told, (3 * batches + 1..=6 * batches).collect::<Vec<_>>());
        same(&resumed.unwrap(), &whole);
        // Once more: everything is done already.
        let (again, told) = fit(&settings, 1, Some(folder.path()), 0);
        assert_eq!(told.len(), 0);
        same(&again.unwrap(), &whole);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
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
