//! Moments of batch norms that are taken anew.

use consilience_core::model::{Column, Context, Labelled, Model, Quiet, Stop, Vectors};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use consilience_nn::{AsIs, Network, refresh_moments};
use serde_json::json;

use crate::data::{Made, accuracy, classes, method, normal, stripes};

/// A network as it would be loaded.
fn loaded(model: &dyn Model) -> Network {
    let parts = model.save().unwrap();
    let inputs = AsIs::load(&parts.nested("inputs").unwrap()).unwrap();
    Network::load(&parts, Box::new(inputs)).unwrap()
}

/// Images with a stripe, and nothing beside them.
fn images(rows: usize, side: usize, seed: u64) -> Made {
    let made = stripes(rows, side, seed);
    let Column::Vector(images) = made.batch.column("image").unwrap().clone() else { panic!("no images") };
    Made::new(vec![("image", images)], made.target)
}

fn refreshed(network: Network, made: &Made, rows: &[usize], seed: u64) -> Result<Network> {
    let target = made.target.take(rows);
    let source = made.source();
    let data = Labelled { source: &source, rows, target: &target, weight: None, group: None };
    refresh_moments(network, &data, &Context::new(Seed::new(seed), &Quiet, &Stop::default()))
}

fn numbers<'a>(network: &'a Network, name: &str) -> &'a [f32] {
    network.params().get(name).unwrap_or_else(|| panic!("no {name}")).numbers()
}

/// The outputs of a 3 x 3 convolution with a border of zeros, of one channel in: those of each channel out.
fn convolved(images: &[f32], side: usize, weight: &[f32]) -> Vec<Vec<f64>> {
    let at = |image: &[f32], y: usize, x: usize| -> f64 {
        let inside = (1..=side).contains(&y) && (1..=side).contains(&x);
        if inside { f64::from(image[(y - 1) * side + x - 1]) } else { 0.0 }
    };
    let one = |kernel: &[f32]| {
        let mut out = Vec::new();
        for image in images.chunks(side * side) {
            for (y, x) in (0..side * side).map(|i| (i / side, i % side)) {
                let taps = (0..9).map(|k| f64::from(kernel[k]) * at(image, y + k / 3, x + k % 3));
                out.push(taps.sum::<f64>());
            }
        }
        out
    };
    weight.chunks(9).map(one).collect()
}

#[test]
fn they_are_those_of_the_rows() {
    let image = Vectors::new(vec![1, 6, 6], normal(300 * 36, Seed::new(5))).unwrap();
    let images = image.data.clone();
    let made = Made::new(vec![("image", image)], classes((0..300).map(|r| r % 2).collect(), 2));
    let cnn = method("cnn", json!({"channels": [4], "norm": "batch", "epochs": 1, "inner": 0.0}));
    let fitted = made.fit(cnn.as_ref(), 3).unwrap();
    let names = ["running_mean", "running_var"].map(|n| format!("encoders.image.norm1.{n}"));
    for rows in [100, 300] {
        let places: Vec<usize> = (0..rows).collect();
        let one = refreshed(loaded(fitted.model.as_ref()), &made, &places, 1).unwrap();
        let weight = numbers(&one, "encoders.image.conv1.weight");
        for (c, all) in convolved(&images[..rows * 36], 6, weight).iter().enumerate() {
            let n = all.len() as f64;
            let mean = all.iter().sum::<f64>() / n;
            let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
            assert!((f64::from(numbers(&one, &names[0])[c]) - mean).abs() < 1e-5);
            // Several batches have each a mean of their own, of which the variance does not tell.
            let close = if rows == 100 { 1e-5 } else { 1e-2 };
            let told = f64::from(numbers(&one, &names[1])[c]);
            assert!((told / variance - 1.0).abs() < close, "{told} {variance}");
        }
        // Nothing else is touched.
        for (name, param) in one.params().iter().filter(|(n, _)| !names.contains(&(*n).to_owned())) {
            assert_eq!(param.numbers(), numbers(&loaded(fitted.model.as_ref()), name), "{name}");
        }
        let again = refreshed(loaded(fitted.model.as_ref()), &made, &places, 1).unwrap();
        assert_eq!(again.params().bytes(), one.params().bytes());
    }
}

#[test]
fn networks_that_are_one_in_different_scales_are_merged_by_them() {
    let (train, test) = (images(300, 12, 1), images(200, 12, 2));
    let parameters = json!({"channels": [8, 8], "norm": "batch", "features": 16, "epochs": 15, "rate": 0.01, "inner": 0.0});
    let one = loaded(train.fit(method("cnn", parameters).as_ref(), 3).unwrap().model.as_ref());
    // Behind a norm the scale of a convolution does not matter: its moments go with it.
    let scaled = |by: f32| {
        let mut params = one.params().clone();
        for (name, param) in params.iter_mut() {
            let by = match name {
                n if n.contains(".conv") || n.ends_with("running_mean") => by,
                n if n.ends_with("running_var") => by * by,
                _ => 1.0,
            };
            param.numbers_mut().iter_mut().for_each(|v| *v *= by);
        }
        params
    };
    let members: Vec<_> = std::iter::once(100.0).chain([1.0; 15]).map(scaled).collect();
    let right = |network: &Network| accuracy(&network.predict(&test.batch).unwrap(), &test.target);
    for params in &members[..2] {
        let alone = right(&loaded(&one).with_params(params.clone()));
        assert!(alone > 0.95, "{alone}");
    }
    let mut mean = members[0].clone();
    for (name, param) in mean.iter_mut() {
        for (i, v) in param.numbers_mut().iter_mut().enumerate() {
            *v = members.iter().map(|m| m.get(name).unwrap().numbers()[i] / 16.0).sum();
        }
    }
    let stale = loaded(&one).with_params(mean);
    let rows: Vec<usize> = (0..300).collect();
    let fresh = refreshed(loaded(&stale), &train, &rows, 1).unwrap();
    assert!(right(&stale) < 0.75 && right(&fresh) > 0.95, "{} {}", right(&stale), right(&fresh));
}

#[test]
fn a_network_without_norms_reads_nothing_and_a_fit_that_is_stopped_stops() {
    let made = images(20, 8, 1);
    let plain = made.fit(method("cnn", json!({"channels": [2], "epochs": 1})).as_ref(), 1).unwrap();
    let network = loaded(plain.model.as_ref());
    let before = network.params().bytes();
    // No such row is there.
    assert_eq!(refreshed(network, &made, &[], 1).unwrap().params().bytes(), before);
    let cnn = method("cnn", json!({"channels": [2], "norm": "batch", "epochs": 1}));
    let network = loaded(made.fit(cnn.as_ref(), 1).unwrap().model.as_ref());
    let (source, rows, stop) = (made.source(), [0, 1, 2], Stop::default());
    let target = made.target.take(&rows);
    let data = Labelled { source: &source, rows: &rows, target: &target, weight: None, group: None };
    stop.request();
    let stopped = refresh_moments(network, &data, &Context::new(Seed::new(1), &Quiet, &stop));
    assert!(matches!(stopped, Err(Error::Interrupted)));
}
