//! What every way to calibrate must do.

use rand::RngExt;
use serde_json::{Value, json};

use super::REGISTRY;
use super::cases::{alone, gaps, member, regrouped, said, several, values};
use super::on_graph::run;
use crate::array::Matrix;
use crate::error::Result;
use crate::model::{
    Context, Fused, Fuser, Honest, Loaders, Predictions, Quiet, Record, Stop, Target, cross_fitted,
    load_parts, save_parts,
};
use crate::seed::Seed;

/// Every way, ready for few rows.
fn ways() -> Vec<(&'static str, Box<dyn Fuser>)> {
    let settings = |name: &str| if name == "isotonic" { json!({"least": 1}) } else { Value::Null };
    REGISTRY.entries.iter().map(|e| (e.name, (e.build)(&settings(e.name)).unwrap())).collect()
}

fn fit(way: &dyn Fuser, data: &Honest) -> Result<Box<dyn Fused>> {
    let stop = Stop::default();
    way.fit(data, None, &Context::new(Seed::new(3), &Quiet, &stop))
}

fn fitted(way: &dyn Fuser, data: &Honest) -> (Box<dyn Fused>, Predictions) {
    let fused = fit(way, data).unwrap();
    let p = fused.fuse(&said(data), None).unwrap();
    (fused, p)
}

fn loss(p: &Predictions, target: &Target) -> f64 {
    let (_, codes) = target.codes().unwrap();
    let matrix = p.p().unwrap();
    let rows: Vec<usize> = (0..p.rows()).filter(|r| !p.absent().is_set(*r)).collect();
    let terms = rows.iter().map(|&r| -f64::from(matrix[[r, codes[r] as usize]].max(1e-7)).ln());
    terms.sum::<f64>() / rows.len() as f64
}

fn far(a: &Predictions, b: &Predictions) -> f32 {
    assert_eq!(a.absent(), b.absent());
    let (a, b) = (a.matrix(), b.matrix());
    a.iter().zip(&b).filter(|(x, _)| !x.is_nan()).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

fn bits(p: &Predictions) -> Vec<u32> {
    p.matrix().iter().map(|v| v.to_bits()).collect()
}

fn loaders() -> Loaders {
    Loaders { fused: super::LOADERS.iter().copied().collect(), ..Loaders::default() }
}

#[test]
fn settings_are_checked_and_values_and_several_members_refused() {
    for entry in REGISTRY.entries {
        assert!((entry.build)(&json!({"no_such": 1})).is_err(), "{}", entry.name);
        assert!((entry.schema)().is_object() && (entry.resolve)(&Value::Null).unwrap().is_object());
    }
    for (name, way) in ways() {
        for data in [values(60), several(60)] {
            let task = data.target().task();
            assert_eq!(way.check(&task, data.count()).unwrap_err().exit_code(), 2, "{name}");
            assert_eq!(fit(way.as_ref(), &data).err().unwrap().exit_code(), 2, "{name}");
        }
    }
}

#[test]
fn what_is_calibrated_stays_nearly_as_it_is() {
    for classes in [2, 4] {
        let data = member(6000, classes, 1.0, 1.0, 1);
        for (name, way) in ways() {
            let (_, p) = fitted(way.as_ref(), &data);
            let moved = (&p.matrix() - &said(&data)[0].matrix()).mapv(f32::abs).mean().unwrap();
            assert!(moved < if name == "isotonic" { 0.02 } else { 0.01 }, "{name} {classes}: {moved}");
        }
    }
    // Where nothing helps, chance decides whether something seems to.
    let auto = REGISTRY.build("auto", &Value::Null).unwrap();
    let kinds = (0..8).map(|seed| fit(auto.as_ref(), &member(300, 2, 1.0, 1.0, 20 + seed)).unwrap().kind());
    assert!(kinds.filter(|kind| *kind == "uncalibrated").count() >= 4);
}

#[test]
fn no_fit_is_worse_on_its_own_rows() {
    for (classes, masked) in [(2, false), (2, true), (5, false)] {
        for data in [member(300, classes, 1.0, 1.0, 12), member(300, classes, 3.0, 2.0, 2)] {
            let data = if masked { gaps(&data) } else { data };
            let before = loss(&said(&data)[0], data.target());
            for (name, way) in ways() {
                // Platt's targets are smoothed; several curves are fitted one by one.
                if name == "platt" || name == "auto" || (classes > 2 && name != "temperature") {
                    continue;
                }
                let after = loss(&fitted(way.as_ref(), &data).1, data.target());
                assert!(after <= before + 1e-7, "{name} {classes}: {after} {before}");
            }
        }
    }
}

#[test]
fn new_rows_of_a_member_that_is_too_sure_are_predicted_better() {
    for classes in [2, 4] {
        let (data, new) = (member(3000, classes, 3.0, 1.0, 3), member(3000, classes, 3.0, 1.0, 4));
        let right = loss(&said(&member(3000, classes, 1.0, 1.0, 4))[0], new.target());
        let before = loss(&said(&new)[0], new.target());
        assert!(before > right + 0.1);
        for (name, way) in ways() {
            let (fused, _) = fitted(way.as_ref(), &data);
            let after = loss(&fused.fuse(&said(&new), None).unwrap(), new.target());
            // Isotonic curves give zeros, which cost much where they are wrong.
            let near = if name == "isotonic" { 0.1 } else { 0.01 };
            assert!(after < right + near && after < before, "{name} {classes}: {after} {before} {right}");
            assert_ne!(fused.kind(), "uncalibrated", "{name}");
        }
    }
}

#[test]
fn the_automatic_choice_is_by_the_cross_fitted_loss() {
    let auto = REGISTRY.build("auto", &Value::Null).unwrap();
    // A shifted member needs more than a temperature.
    let shifted = member(3000, 2, 2.0, 6.0, 5);
    let kind = fit(auto.as_ref(), &shifted).unwrap().kind();
    assert!(["platt", "beta"].contains(&kind), "{kind}");
    // A curve that jumps is isotonic's, if there are rows enough.
    let jump = |rows: usize| {
        let mut rng = Seed::new(8).rng();
        let p = Matrix::from_shape_fn((rows, 2), |(r, c)| {
            let p = (r % 100) as f32 / 100.0;
            if c == 1 { p } else { 1.0 - p }
        });
        let chance = |r: usize| {
            if (30..60).contains(&(r % 100)) { 0.8 } else { 0.2 + 0.6 * f64::from(u8::from(r % 100 >= 60)) }
        };
        let codes = (0..rows).map(|r| u32::from(rng.random::<f64>() < chance(r))).collect();
        alone(p, codes, None)
    };
    assert_eq!(fit(auto.as_ref(), &jump(4000)).unwrap().kind(), "isotonic");
    assert_ne!(fit(auto.as_ref(), &jump(900)).unwrap().kind(), "isotonic");
    // Groups stay together: with one group there is nothing to score on.
    let one = regrouped(&shifted, Some(vec![1; 3000]), vec![0; 3000]);
    assert_eq!(fit(auto.as_ref(), &one).unwrap().kind(), "uncalibrated");
}

#[test]
fn the_order_of_the_rows_does_not_matter() {
    for classes in [2, 3] {
        let folds = (0..400).map(|r| r % 4).collect();
        let data = regrouped(&member(400, classes, 2.0, 2.0, 6), None, folds);
        let back: Vec<usize> = (0..400).rev().collect();
        for (name, way) in ways() {
            let (_, p) = fitted(way.as_ref(), &data);
            let (_, q) = fitted(way.as_ref(), &data.take(&back));
            assert!(far(&p, &q.take(&back)) <= 1e-6, "{name}");
        }
    }
}

#[test]
fn same_bytes_again_and_after_loading() {
    let root = tempfile::tempdir().unwrap();
    let all = [
        gaps(&member(200, 2, 2.0, 1.0, 13)),
        gaps(&member(200, 4, 2.0, 1.0, 14)),
        member(1200, 2, 2.0, 3.0, 7),
    ];
    for (i, data) in all.iter().enumerate() {
        for (name, way) in ways() {
            let (fused, p) = fitted(way.as_ref(), data);
            let (again, q) = fitted(way.as_ref(), data);
            let parts = fused.save().unwrap();
            assert_eq!((bits(&p), &parts), (bits(&q), &again.save().unwrap()), "{name}");
            assert_eq!(p.absent(), said(data)[0].absent(), "{name}");
            assert_eq!(p.ids(), said(data)[0].ids(), "{name}");
            let dir = root.path().join(format!("{name}{i}"));
            save_parts(&dir, &parts, &Record::default()).unwrap();
            let loaded = loaders().fused(&load_parts(&dir).unwrap().0).unwrap();
            assert_eq!((loaded.kind(), loaded.parameters()), (fused.kind(), fused.parameters()));
            assert_eq!(bits(&loaded.fuse(&said(data), None).unwrap()), bits(&p), "{name}");
            assert_eq!(loaded.save().unwrap(), parts, "{name}");
            // A row does not depend on its neighbors.
            let some = [40, 3, 7, 89];
            let few = fused.fuse(&[said(data)[0].take(&some)], None).unwrap();
            assert_eq!(bits(&few), bits(&p.take(&some)), "{name}");
        }
    }
}

#[test]
fn a_graph_says_the_same() {
    for classes in [2, 3] {
        let data = member(300, classes, 2.0, 2.0, 9);
        for (name, way) in ways() {
            let (fused, p) = fitted(way.as_ref(), &data);
            let q = run(fused.as_ref(), &said(&data)[0].matrix());
            let worst = (&p.matrix() - &q).iter().fold(0.0f32, |m, d| m.max(d.abs()));
            assert!(worst <= 1e-6, "{name} {classes}: {worst}");
        }
    }
}

#[test]
fn a_row_weight_counts_as_so_many_rows() {
    let data = member(90, 3, 2.0, 2.0, 10);
    let twice: Vec<usize> = (0..90).chain(0..45).collect();
    let p = said(&data)[0].matrix();
    let codes = data.target().codes().unwrap().1.to_vec();
    let repeated = alone(p.select(ndarray::Axis(0), &twice), twice.iter().map(|r| codes[*r]).collect(), None);
    let weight = (0..90).map(|r| if r < 45 { 2.0 } else { 1.0 }).collect();
    let weighted = alone(p, codes, Some(weight));
    // The automatic choice cuts rows into parts.
    for (name, way) in ways().into_iter().filter(|(name, _)| *name != "auto") {
        let p = fit(way.as_ref(), &repeated).unwrap().fuse(&said(&data), None).unwrap();
        let (_, q) = fitted(way.as_ref(), &weighted);
        assert!(far(&p, &q) <= 1e-6, "{name}: {}", far(&p, &q));
    }
}

#[test]
fn extreme_members_have_finite_calibrations() {
    let two =
        |p: &[f32]| Matrix::from_shape_fn((p.len(), 2), |(r, c)| if c == 1 { p[r] } else { 1.0 - p[r] });
    let truth: Vec<u32> = (0..40).map(|r| u32::from(r >= 20)).collect();
    let rising: Vec<f32> = (0..40).map(|r| 0.3 + 0.01 * r as f32).collect();
    let sure: Vec<f32> = (0..40).map(|r| f32::from(u8::from(r >= 20))).collect();
    let wrong: Vec<f32> = sure.iter().map(|p| 1.0 - p).collect();
    for p in [&rising, &sure, &wrong, &vec![0.25; 40], &vec![0.5; 40], &vec![1.0; 40]] {
        let data = alone(two(p), truth.clone(), None);
        let before = loss(&said(&data)[0], data.target());
        for (name, way) in ways() {
            let (fused, q) = fitted(way.as_ref(), &data);
            for array in fused.save().unwrap().arrays.values() {
                let crate::model::Array::F64(_, numbers) = array else { panic!() };
                assert!(numbers.iter().all(|n| n.is_finite() && n.abs() < 1e4), "{name}: {numbers:?}");
            }
            let after = loss(&q, data.target());
            assert!(after <= before.max(0.05) + 1e-6, "{name} {p:?}: {after} {before}");
        }
    }
    // A member that is the same on every row says how often the classes are.
    let data = alone(two(&[0.1; 40]), (0..40).map(|r| u32::from(r < 10)).collect(), None);
    for name in ["beta", "isotonic", "temperature"] {
        let way = REGISTRY
            .build(name, &if name == "isotonic" { json!({"least": 1}) } else { Value::Null })
            .unwrap();
        let q = fitted(way.as_ref(), &data).1.matrix();
        assert!((q[[0, 1]] - 0.25).abs() < 1e-5, "{name}: {q}");
    }
}

#[test]
fn a_class_without_rows_keeps_its_probability() {
    let data = member(400, 3, 2.0, 2.0, 11);
    let codes = data.target().codes().unwrap().1;
    let rows: Vec<usize> = (0..400).filter(|r| codes[*r] != 2).collect();
    let some = data.take(&rows);
    for name in ["platt", "beta"] {
        let way = REGISTRY.build(name, &Value::Null).unwrap();
        let (fused, q) = fitted(way.as_ref(), &some);
        assert_eq!(fused.save().unwrap().arrays.len(), 2, "{name}");
        assert!(q.matrix().column(2).iter().all(|p| *p > 0.0));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = member(60, 3, 2.0, 1.0, 15);
    for (name, way) in ways() {
        let way = way.as_ref();
        let refused = |data: &Honest| fit(way, data).err().map(|e| (e.exit_code(), e.to_string()));
        assert_eq!(refused(&data.take(&[])).unwrap().0, 3, "{name}");
        assert_eq!(refused(&gaps(&data).take(&[3, 3])).unwrap().0, 3, "{name}");
        let codes = data.target().codes().unwrap().1;
        let one: Vec<usize> = (0..60).filter(|r| codes[*r] == 1).collect();
        let (code, text) = refused(&data.take(&one)).unwrap();
        assert!(code == 3 && text.contains("one class"), "{name}: {text}");
        let p = said(&data)[0].matrix();
        for bad in [-1.0, f32::NAN, 0.0] {
            assert_eq!(
                refused(&alone(p.clone(), codes.to_vec(), Some(vec![bad; 60]))).unwrap().0,
                3,
                "{name}"
            );
        }
        let (fused, _) = fitted(way, &data);
        let other = member(60, 4, 2.0, 1.0, 16);
        let two = vec![said(&data)[0].clone(); 2];
        for wrong in [said(&other), said(&values(60)), two, Vec::new()] {
            assert_eq!(fused.fuse(&wrong, None).unwrap_err().exit_code(), 3, "{name}");
        }
        let mut parts = fused.save().unwrap();
        if !parts.arrays.is_empty() {
            parts.arrays.clear();
            assert_eq!(loaders().fused(&parts).err().unwrap().exit_code(), 3, "{name}");
        }
    }
    let isotonic = REGISTRY.build("isotonic", &Value::Null).unwrap();
    let text = fit(isotonic.as_ref(), &member(999, 2, 1.0, 1.0, 1)).err().unwrap().to_string();
    assert!(text.contains("at least 1000, got 999"), "{text}");
    assert!(fit(isotonic.as_ref(), &member(1000, 2, 1.0, 1.0, 1)).is_ok());
}

#[test]
fn every_way_can_be_cross_fitted() {
    let stop = Stop::default();
    for folds in [1u32, 4] {
        let data = gaps(&member(200, 3, 2.0, 1.0, 17));
        let data = regrouped(&data, None, (0..200).map(|r| r % folds).collect());
        for (name, way) in ways() {
            let context = Context::new(Seed::new(9), &Quiet, &stop);
            let p = cross_fitted(way.as_ref(), &data, None, &context).unwrap();
            assert_eq!(p.absent(), &data.silent(), "{name}");
            assert_eq!(p.ids(), said(&data)[0].ids(), "{name}");
        }
    }
}
