//! Mixup in training.

use consilience_core::augment::Mixup;
use consilience_core::model::{Context, Parts, Quiet, Stop, Target, Vectors};
use consilience_core::seed::Seed;
use consilience_nn::Augmentation;
use serde_json::{Value, json};

use crate::data::{Made, accuracy, method, normal, stripes, xor};

fn fit(made: &Made, name: &str, settings: Value, alpha: Option<f64>) -> consilience_core::model::Fitted {
    let stop = Stop::default();
    let augment = Augmentation { batch: None, mixup: alpha.map(|alpha| Mixup { alpha }) };
    let context = Context::new(Seed::new(3), &Quiet, &stop);
    made.fit_augmented(method(name, settings).as_ref(), augment, &context).unwrap()
}

fn bytes(made: &Made, name: &str, settings: Value, alpha: Option<f64>) -> Parts {
    fit(made, name, settings, alpha).model.save().unwrap()
}

#[test]
fn a_network_learns_from_mixed_rows_and_is_less_sure() {
    let (train, test) = (stripes(300, 8, 1), stripes(300, 8, 2));
    let settings = json!({
        "encoders": {"image": {"cnn": {"channels": [8], "features": 16}}, "vector": {"mlp": {"hidden": [8]}}},
        "epochs": 16, "rate": 0.005, "inner": 0.0,
    });
    for name in ["concat", "late"] {
        let [plain, mixed] = [None, Some(0.2)].map(|alpha| fit(&train, name, settings.clone(), alpha));
        let predictions = mixed.model.predict(&test.batch).unwrap();
        let got = accuracy(&predictions, &test.target);
        // The vector alone gives .77 at best: the normal law at .75.
        assert!(got > 0.85, "{name}: {got}");
        let last = |f: &consilience_core::model::Fitted| f.log[15].fit_loss;
        assert!(last(&mixed) > last(&plain) + 0.02, "{name}: {} and {}", last(&mixed), last(&plain));
    }
}

#[test]
fn values_are_mixed_too() {
    // On a line, rows mixed with their values stay on the line: nothing is lost.
    let x = normal(400, Seed::new(1));
    let y = x.iter().map(|x| 20.0 + 5.0 * x).collect();
    let made = Made::new(vec![("x", Vectors::new(vec![1], x).unwrap())], Target::Values(y));
    let settings = json!({"hidden": [16], "epochs": 40, "rate": 0.01, "inner": 0.0});
    let loss = fit(&made, "mlp", settings, Some(1.0)).log[39].fit_loss;
    assert!(loss < 0.01, "{loss} of the variance is left");
}

#[test]
fn the_bytes_depend_on_alpha_and_not_on_threads() {
    let made = stripes(120, 12, 1);
    let settings = || json!({"epochs": 2, "batch": 32, "inner": 0.2});
    let run = |threads: usize, alpha: Option<f64>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bytes(&made, "concat", settings(), alpha))
    };
    let one = run(1, Some(0.2));
    for threads in [2, 3] {
        assert!(one == run(threads, Some(0.2)), "{threads} threads");
    }
    assert!(one != run(2, Some(0.4)) && one != run(2, None));
}

#[test]
fn held_out_rows_are_not_mixed_and_take_no_part() {
    // One epoch of a rate that moves nothing: the loss on the held-out rows is that of the plain rows.
    let made = xor(200, 1);
    let settings = || json!({"hidden": [4], "epochs": 1, "rate": 1e-30, "inner": 0.3, "optimizer": "sgd"});
    let [plain, mixed] = [None, Some(5.0)].map(|alpha| fit(&made, "mlp", settings(), alpha).log[0].clone());
    assert_eq!(plain.held_loss, mixed.held_loss);
    assert_ne!(plain.fit_loss, mixed.fit_loss);
}

#[test]
fn an_alpha_that_cannot_be_is_refused() {
    let (made, stop) = (xor(20, 1), Stop::default());
    let augment = Augmentation { batch: None, mixup: Some(Mixup { alpha: 0.0 }) };
    let context = Context::new(Seed::new(3), &Quiet, &stop);
    let error = made.fit_augmented(method("mlp", Value::Null).as_ref(), augment, &context).unwrap_err();
    assert!(error.to_string().contains("alpha"), "{error}");
}
