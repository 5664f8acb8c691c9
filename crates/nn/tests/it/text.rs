//! Networks on text: order counts, what fills rows up does not, and only tokens are read as tokens.

use consilience_core::augment::Mixup;
use consilience_core::features::Reader;
use consilience_core::model::{Batch, Column, Context, Field, Quiet, Stop, Vectors};
use consilience_core::seed::Seed;
use consilience_nn::Augmentation;
use serde_json::{Value, json};

use crate::data::{Made, accuracy, classes, method, normal, phrases, says};

/// Quick settings that learn.
fn settings(name: &str) -> Value {
    match name {
        "text_bag" => json!({"epochs": 20, "rate": 0.01, "inner": 0.0}),
        "text_cnn" => {
            json!({"width": 16, "filters": 16, "reaches": [2, 3], "epochs": 20, "rate": 0.01, "inner": 0.0})
        }
        _ => json!({"width": 32, "heads": 2, "epochs": 30, "rate": 0.003, "inner": 0.0}),
    }
}

const ALL: [&str; 3] = ["text_bag", "text_cnn", "transformer"];

#[test]
fn order_is_learned_by_what_reads_it_and_not_by_a_bag() {
    let (train, test) = (phrases("text", 600, 10, 1), phrases("text", 400, 10, 2));
    for name in ALL {
        let model = train.fit(method(name, settings(name)).as_ref(), 1).unwrap().model;
        let got = accuracy(&model.predict(&test.batch).unwrap(), &test.target);
        // 400 rows: the standard error of one half is .025.
        assert!(if name == "text_bag" { got < 0.6 } else { got > 0.9 }, "{name}: {got}");
    }
}

#[test]
fn a_sequence_of_numbers_is_read_by_a_transformer() {
    // Which of two pulses comes first, at any place.
    let made = |seed: u64| {
        let mut data = normal(400 * 16, Seed::new(seed));
        data.iter_mut().for_each(|v| *v *= 0.1);
        let codes: Vec<u32> = (0..400).map(|r| r / 7 % 2).collect();
        for (r, (row, code)) in data.chunks_mut(16).zip(&codes).enumerate() {
            let (early, late) = (r % 4, 4 + r % 3);
            row[2 * early + *code as usize] += 1.0;
            row[2 * late + 1 - *code as usize] += 1.0;
        }
        Made::new(vec![("x", Vectors::new(vec![8, 2], data).unwrap())], classes(codes, 2))
    };
    let (train, test) = (made(1), made(2));
    let model = train.fit(method("transformer", settings("transformer")).as_ref(), 1).unwrap().model;
    let got = accuracy(&model.predict(&test.batch).unwrap(), &test.target);
    assert!(got > 0.95, "{got}");
}

/// A batch of one column of tokens.
fn batch(rows: &[&[f32]], length: usize) -> Batch {
    let mut data = vec![0.0; rows.len() * length];
    data.chunks_mut(length).zip(rows).for_each(|(out, row)| out[..row.len()].copy_from_slice(row));
    let column = Column::Vector(Vectors::new(vec![length], data).unwrap());
    Batch::new((0..rows.len() as u64).collect()).with("text", column).unwrap()
}

#[test]
fn what_fills_a_row_up_and_other_rows_change_nothing_and_empty_texts_are_finite() {
    let made = phrases("text", 60, 10, 1);
    for name in ALL {
        let quick = method(name, json!({"epochs": 2, "dropout": 0.2}));
        let model = made.fit(quick.as_ref(), 1).unwrap().model;
        let row = |rows: &[&[f32]], which: usize| {
            let p = model.predict(&batch(rows, 10)).unwrap();
            p.p().unwrap().row(which).to_vec()
        };
        let near = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6);
        let short: &[f32] = &[7.0, 1.0, 2.0];
        let long: &[f32] = &[9.0; 10];
        let alone = row(&[short], 0);
        assert!(near(row(&[long, short, &[]], 1), alone.clone()), "{name}");
        assert!(near(row(&[&[0.0, 7.0, 0.0, 1.0, 2.0]], 0), alone.clone()), "{name}");
        assert!(!near(row(&[long], 0), alone), "{name}");
        for rows in [&[&[][..], short][..], &[&[], &[]]] {
            let p = model.predict(&batch(rows, 10)).unwrap();
            assert!(p.p().unwrap().iter().all(|v| v.is_finite()), "{name}");
            assert!(near(row(rows, 0), row(&[&[]], 0)), "{name}");
        }
    }
}

#[test]
fn rows_of_empty_texts_alone_are_fitted() {
    let mut made = phrases("text", 20, 6, 1);
    made.batch = batch(&[&[][..]; 20], 6);
    for name in ALL {
        let model = made.fit(method(name, json!({"epochs": 2, "inner": 0.0})).as_ref(), 1).unwrap().model;
        assert!(model.predict(&made.batch).unwrap().p().unwrap().iter().all(|v| v.is_finite()), "{name}");
    }
}

#[test]
fn only_tokens_are_read_as_tokens_and_only_by_what_reads_tokens() {
    let made = phrases("text", 20, 6, 1);
    let task = made.target.task();
    for name in ["mlp", "concat", "late"] {
        let text = || made.fields[0].clone();
        let other = Field::vector("other", vec![3]);
        let fields = if name == "mlp" { vec![text()] } else { vec![text(), other] };
        let encoders = json!({"encoders": {"text": {"mlp": {}}}});
        let method = method(name, if name == "mlp" { json!({}) } else { encoders });
        says(method.check(&fields, &task).unwrap_err(), &["column \"text\"", "tokens", "text_cnn", "tfidf"]);
    }
    for name in ALL {
        let plain = Field::vector("text", vec![6]);
        let error = method(name, json!({})).check(&[plain], &task).unwrap_err();
        says(error, &["column \"text\"", "tokens"]);
    }
    // A fusion reads tokens by filters where no encoder is named.
    let fields = [made.fields[0].clone(), Field::vector("other", vec![3])];
    let outline = method("concat", json!({})).outline(&fields, &task);
    assert!(outline.lines.contains(&"encoders.text.window3 64".to_owned()), "{:?}", outline.lines);
    assert_eq!(method("concat", json!({})).reader("text"), Reader::Network);
    let named = method("concat", json!({"encoders": {"text": {"transformer": {}}}}));
    assert_eq!((named.reader("text"), named.reader("other")), (Reader::Words, Reader::Network));

    let augment = Augmentation { mixup: Some(Mixup { alpha: 0.2 }), ..Augmentation::default() };
    let stop = Stop::default();
    let context = Context::new(Seed::new(1), &Quiet, &stop);
    let error = made.fit_augmented(method("text_bag", json!({})).as_ref(), augment, &context).unwrap_err();
    says(error, &["mixup", "column \"text\""]);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let made = phrases("text", 20, 6, 1);
    for (name, settings) in [
        ("text_bag", json!({"width": 0})),
        ("text_cnn", json!({"reaches": []})),
        ("text_cnn", json!({"reaches": [3, 3]})),
        ("text_cnn", json!({"reaches": [65]})),
        ("text_cnn", json!({"filters": 0})),
        ("transformer", json!({"heads": 3})),
        ("transformer", json!({"depth": 0})),
        ("transformer", json!({"feedforward": 65})),
        ("transformer", json!({"width": 1u64 << 40, "heads": 1})),
    ] {
        let error = method(name, settings.clone()).check(&made.fields, &made.target.task()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{name} {settings}");
    }
}
