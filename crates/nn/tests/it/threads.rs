//! The same bytes for any number of threads.

use consilience_core::model::Parts;
use rayon::prelude::*;
use serde_json::json;

use crate::data::{method, phrases, stripes};

/// Large enough for every parallel path of the backend: a batch of 64 images of 28 x 28 with 16 and 32 channels.
fn fit(name: &str, threads: usize) -> (Parts, Vec<u32>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let text = ["text_bag", "text_cnn", "transformer"].contains(&name);
        let made = if text { phrases("text", 160, 40, 1) } else { stripes(160, 28, 1) };
        let settings = match name {
            "gru" => json!({"encoders": {"image": {"gru": {"hidden": 96}}}, "epochs": 1}),
            "mlp" => {
                json!({"encoders": {"image": {"mlp": {"hidden": [300, 100]}}}, "epochs": 2, "clip": 1.0})
            }
            "resnet" => json!({"encoders": {"image": {"resnet": {"width": 16}}}, "epochs": 1}),
            _ => json!({"epochs": 1, "dropout": 0.1}),
        };
        let method = method(if text || name == "late" { name } else { "concat" }, settings);
        let model = made.fit(method.as_ref(), 1).unwrap().model;
        let p = model.predict(&made.batch).unwrap();
        (model.save().unwrap(), p.p().unwrap().iter().map(|v| v.to_bits()).collect())
    })
}

#[test]
fn one_two_and_three_threads_give_the_same_bytes() {
    for name in ["cnn", "late", "mlp", "gru", "resnet", "text_bag", "text_cnn", "transformer"] {
        let one = fit(name, 1);
        for threads in [2, 3] {
            assert!(one == fit(name, threads), "{name} differs on {threads} threads");
        }
    }
}

#[test]
fn fits_beside_each_other_do_not_change_each_other() {
    let made = stripes(96, 20, 1);
    let fit = |seed: u64| {
        let method = method("concat", json!({"epochs": 1, "batch": 32}));
        made.fit(method.as_ref(), seed).unwrap().model.save().unwrap()
    };
    let alone: Vec<Parts> = (0..6).map(fit).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let beside: Vec<Parts> = pool.install(|| (0..6).into_par_iter().map(fit).collect());
    assert!(alone == beside);
}
