//! What every transform promises, tried on each entry of the registry.

use serde_json::{Value, json};

use super::{Augmenter, Draw, REGISTRY, Sample};
use crate::model::{Audios, Batch, Column, Images, Kind, Vectors};
use crate::seed::{Rng, Seed};

/// Expected values by name.
pub(super) fn golden(key: &str) -> Value {
    let text = include_str!("../../../../testdata/golden/augment.json");
    serde_json::from_str::<Value>(text).unwrap()[key].clone()
}

/// Generators, each with its own seed.
pub(super) fn rngs(count: u64) -> impl Iterator<Item = Rng> {
    (0..count).map(|i| Seed::new(11).item(i).rng())
}

/// Rows with an image, a sound and a vector each; every seventh lacks one of the three.
pub(super) fn batch(rows: usize) -> Batch {
    let (mut images, mut sounds) = (Images::default(), Audios::default());
    for r in 0..rows {
        let shape = [5 + r % 3, 4, 1 + 2 * (r % 2)];
        let pixels: Vec<u8> =
            (0..shape.iter().product::<usize>()).map(|i| ((i * 37 + r * 11) % 256) as u8).collect();
        let wave: Vec<f32> = (0..50 + r).map(|i| ((i * (r + 1)) as f32 * 0.1).sin() * 0.5).collect();
        if r % 7 == 3 {
            images.push_absent();
        } else {
            images.push(shape, &pixels).unwrap();
        }
        if r % 7 == 4 {
            sounds.push_absent();
        } else {
            sounds.push(8000, &wave);
        }
    }
    let mut vectors = Vectors::new(vec![2, 3], (0..rows * 6).map(|i| (i % 13) as f32).collect()).unwrap();
    for r in (5..rows).step_by(7) {
        vectors.absent.set(r, true);
    }
    Batch::new((0..rows as u64).map(|r| 1000 + 3 * r).collect())
        .with("image", Column::Image(images))
        .unwrap()
        .with("audio", Column::Audio(sounds))
        .unwrap()
        .with("vector", Column::Vector(vectors))
        .unwrap()
}

const COLUMNS: [(&str, Kind); 3] = [("image", Kind::Image), ("audio", Kind::Audio), ("vector", Kind::Vector)];

#[test]
fn shapes_and_absences_stay_and_the_same_seed_gives_the_same_bytes() {
    for entry in REGISTRY.entries {
        let transform = (entry.build)(&Value::Null).unwrap();
        let accepted: Vec<&str> =
            COLUMNS.iter().filter(|(_, k)| transform.accepts(*k)).map(|(n, _)| *n).collect();
        assert!(!accepted.is_empty(), "{}", entry.name);
        for name in accepted {
            let augmenter = Augmenter::from_value(&json!({name: [{entry.name: {}}]})).unwrap();
            let old = batch(20);
            let apply = |seed| {
                let mut new = old.clone();
                augmenter.apply(&mut new, Seed::new(seed), 0).unwrap();
                new
            };
            let new = apply(1);
            assert_eq!(new, apply(1), "{}", entry.name);
            assert_ne!(new, old, "{}", entry.name);
            assert_ne!(new, apply(2), "{}", entry.name);
            for ((n, a), (_, b)) in old.columns().zip(new.columns()) {
                assert_eq!(a.unavailable(), b.unavailable());
                match (a, b) {
                    _ if n != name => assert_eq!(a, b),
                    (Column::Image(a), Column::Image(b)) => {
                        (0..20).for_each(|r| assert_eq!(a.get(r).map(|x| x.0), b.get(r).map(|x| x.0)));
                    }
                    (Column::Audio(a), Column::Audio(b)) => {
                        let size = |x: &Audios, r| x.get(r).map(|(rate, s)| (rate, s.len()));
                        (0..20).for_each(|r| assert_eq!(size(a, r), size(b, r)));
                        let fine = |s: &f32| (-1.0..=1.0).contains(s);
                        assert!((0..20).filter_map(|r| b.get(r)).all(|(_, s)| s.iter().all(fine)));
                    }
                    (Column::Vector(a), Column::Vector(b)) => {
                        assert_eq!(a.shape, b.shape);
                        assert!(b.data.iter().all(|v| v.is_finite()));
                    }
                    _ => panic!("{} changed the kind", entry.name),
                }
            }
        }
    }
}

#[test]
fn a_recorded_draw_does_the_same_again() {
    for entry in REGISTRY.entries {
        let transform = (entry.build)(&Value::Null).unwrap();
        for (first, second) in [(vec![0u8; 48], vec![0u8; 48]), (vec![200; 48], vec![90; 48])] {
            if !transform.accepts(Kind::Image) {
                continue;
            }
            let draw = |mut pixels: Vec<u8>| {
                let sample = Sample::Image { shape: [4, 4, 3], pixels: &mut pixels };
                transform.draw(&sample, &mut rngs(1).next().unwrap())
            };
            // Only the shape counts: what is drawn for an image serves for its mask.
            assert_eq!(draw(first), draw(second), "{}", entry.name);
        }
        let mut old: Vec<f32> = (0..30).map(|i| (i as f32).sin() * 0.3).collect();
        let mut pixels: Vec<u8> = (0..30).map(|i| i * 8).collect();
        let mut results = Vec::new();
        let mut record: Option<String> = None;
        for _ in 0..2 {
            let (mut old, mut pixels) = (old.clone(), pixels.clone());
            let mut sample = if transform.accepts(Kind::Image) {
                Sample::Image { shape: [5, 6, 1], pixels: &mut pixels }
            } else if transform.accepts(Kind::Audio) {
                Sample::Audio { rate: 100, samples: &mut old }
            } else {
                Sample::Vector { shape: &[30], values: &mut old }
            };
            let draw = match &record {
                None => transform.draw(&sample, &mut rngs(1).next().unwrap()),
                Some(text) => serde_json::from_str::<Draw>(text).unwrap(),
            };
            record = Some(serde_json::to_string(&draw).unwrap());
            transform.apply(&draw, &mut sample).unwrap();
            results.push((old, pixels));
        }
        assert_eq!(results[0], results[1], "{}", entry.name);
        let mut wrong = if transform.accepts(Kind::Vector) {
            Sample::Image { shape: [5, 6, 1], pixels: &mut pixels }
        } else {
            Sample::Vector { shape: &[30], values: &mut old }
        };
        assert!(transform.apply(&Draw::default(), &mut wrong).is_err(), "{}", entry.name);
    }
}

#[test]
fn parameters_have_docs_and_unknown_ones_are_refused() {
    for entry in REGISTRY.entries {
        let schema = (entry.schema)();
        for (key, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}.{key} has no doc", entry.name);
        }
        assert!((entry.build)(&json!({"no_such_parameter": 1})).is_err(), "{}", entry.name);
    }
}
