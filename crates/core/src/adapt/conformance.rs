//! What every way to adapt must do.

use serde_json::{Value, json};

use super::cases::{adapted, domain, labels};
use super::{LOADERS, REGISTRY};
use crate::array::Matrix;
use crate::model::{Adapter, Context, Loaders, Quiet, Record, Stop, load_parts, save_parts};
use crate::seed::Seed;

fn all() -> Vec<(&'static str, Box<dyn Adapter>)> {
    REGISTRY.entries.iter().map(|e| (e.name, (e.build)(&Value::Null).unwrap())).collect()
}

fn bits(x: &Matrix) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn every_entry_has_a_schema_and_refuses_what_it_does_not_know() {
    assert_eq!(REGISTRY.entries.len(), LOADERS.len());
    for entry in REGISTRY.entries {
        assert!((entry.schema)().is_object());
        assert!((entry.build)(&json!({"no_such": 1})).is_err(), "{}", entry.name);
    }
}

#[test]
fn the_same_bytes_again_on_other_threads_and_after_loading() {
    let (source, target) = (domain(80, 5, 1, 1.0), domain(60, 5, 2, 2.0));
    let loaders = Loaders { adapted: LOADERS.iter().copied().collect(), ..Loaders::default() };
    let root = tempfile::tempdir().unwrap();
    for (name, adapter) in all() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| adapted(adapter.as_ref(), &source, &target))
        };
        let (one, two) = (run(1), run(2));
        let parts = one.save().unwrap();
        assert_eq!(parts, two.save().unwrap(), "{name}");
        save_parts(&root.path().join(name), &parts, &Record::default()).unwrap();
        let loaded = loaders.adapted(&load_parts(&root.path().join(name)).unwrap().0).unwrap();
        assert_eq!(loaded.kind(), one.kind());
        for (a, b) in [(&one, &two), (&one, &loaded)] {
            assert_eq!(
                bits(&a.source(source.view()).unwrap()),
                bits(&b.source(source.view()).unwrap()),
                "{name}"
            );
            assert_eq!(
                bits(&a.target(target.view()).unwrap()),
                bits(&b.target(target.view()).unwrap()),
                "{name}"
            );
        }
        assert_eq!(one.source(source.view()).unwrap().nrows(), 80, "{name}");
    }
}

#[test]
fn equal_domains_are_left_as_they_are() {
    let x = domain(200, 5, 1, 1.0);
    for (name, adapter) in all() {
        let mapped = adapted(adapter.as_ref(), &x, &x).source(x.view()).unwrap();
        let off = mapped.iter().zip(&x).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-5, "{name}: {off}");
    }
}

#[test]
fn few_rows_and_constant_columns_give_finite_numbers() {
    let mut flat = domain(40, 5, 3, 1.0);
    flat.column_mut(2).fill(7.0);
    let zeros = Matrix::zeros((12, 5));
    let cases = [
        (domain(3, 5, 1, 1.0), domain(4, 5, 2, 2.0)),
        (domain(1, 5, 1, 1.0), domain(40, 5, 2, 2.0)),
        (domain(40, 5, 1, 1.0), domain(1, 5, 2, 2.0)),
        (flat.clone(), domain(40, 5, 2, 2.0)),
        (domain(40, 5, 2, 2.0), flat),
        (zeros.clone(), domain(40, 5, 2, 2.0)),
        (domain(40, 5, 2, 2.0), zeros),
        (domain(40, 1, 2, 2.0), domain(40, 1, 4, 2.0)),
    ];
    for (source, target) in &cases {
        for (name, adapter) in all() {
            let fitted = adapted(adapter.as_ref(), source, target);
            for x in [fitted.source(source.view()).unwrap(), fitted.target(target.view()).unwrap()] {
                assert!(x.iter().all(|v| v.is_finite()), "{name}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (source, target) = (domain(20, 4, 1, 1.0), domain(20, 4, 2, 2.0));
    let mut holed = source.clone();
    holed[[3, 1]] = f32::NAN;
    let stop = Stop::default();
    let context = Context::new(Seed::new(1), &Quiet, &stop);
    for (name, adapter) in all() {
        let none = Matrix::zeros((0, 4));
        let wide = domain(20, 5, 2, 2.0);
        for (s, l, t) in [
            (&none, labels(0), &target),
            (&source, labels(20), &none),
            (&source, labels(20), &wide),
            (&source, labels(19), &target),
            (&holed, labels(20), &target),
            (&source, labels(20), &holed),
        ] {
            let error = adapter.fit(s.view(), &l, t.view(), &context).err().unwrap();
            assert_eq!(error.exit_code(), 3, "{name}: {error}");
        }
        let fitted = adapted(adapter.as_ref(), &source, &target);
        for x in [&wide, &holed] {
            assert!(fitted.source(x.view()).is_err() && fitted.target(x.view()).is_err(), "{name}");
        }
        let mut parts = fitted.save().unwrap();
        parts.config = json!({});
        let loaders = Loaders { adapted: LOADERS.iter().copied().collect(), ..Loaders::default() };
        assert_eq!(loaders.adapted(&parts).err().unwrap().exit_code(), 3, "{name}");
    }
}
