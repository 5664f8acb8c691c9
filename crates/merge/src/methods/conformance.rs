//! Promises that every way to merge keeps, with its defaults and with what changes its way.

use std::sync::Mutex;

use consilience_core::Result;
use consilience_core::registry::Entry;
use consilience_core::seed::Seed;
use serde_json::{Value, json};

use crate::memory::{Held, merge_held};
use crate::method::{BaseNeed, MergeMethod};
use crate::methods::METHODS;
use crate::work::BLOCK;

/// Parameters that lead a method another way than its defaults.
fn ways() -> Vec<(&'static str, Value)> {
    vec![
        ("linear", json!({"normalize": false})),
        ("nuslerp", json!({"nuslerp_flatten": false})),
        ("nuslerp", json!({"nuslerp_flatten": false, "nuslerp_row_wise": true})),
        ("multislerp", json!({"normalize_weights": false})),
        ("karcher", json!({"max_iter": 0})),
        ("task_arithmetic", json!({"normalize": true})),
        ("model_stock", json!({"filter_wise": true})),
        ("ties", json!({"density": 0.5})),
        ("ties", json!({"density": 0.3, "normalize": false, "rescale": true})),
        ("dare_linear", json!({"density": 0.5})),
        ("dare_linear", json!({"density": 0.5, "normalize": true, "rescale": false})),
        ("dare_ties", json!({"density": 0.5})),
        ("breadcrumbs", json!({"density": 0.5, "gamma": 0.2})),
        ("breadcrumbs_ties", json!({"density": 0.5, "normalize": true})),
        ("sce", json!({"select_topk": 0.5})),
        ("ramplus_tl", json!({"r": 1, "alpha": 3})),
    ]
}

/// Methods of which equal members do not give the member: they keep a part of what members added.
const PARTS: [&str; 4] = ["arcee_fusion", "della", "della_linear", "sce"];

/// One method with parameters, and with or without a base.
struct Case {
    entry: &'static Entry<dyn MergeMethod>,
    parameters: Value,
    base: bool,
    members: usize,
}

impl Case {
    fn name(&self) -> String {
        format!("{} {} {}", self.entry.name, self.parameters, if self.base { "with a base" } else { "" })
    }

    fn takes(&self, parameter: &str) -> bool {
        (self.entry.resolve)(&self.parameters).unwrap().get(parameter).is_some()
    }

    /// With other parameters, those only that the method has.
    fn with(&self, more: Value) -> Self {
        let mut parameters = self.parameters.clone();
        for (key, value) in more.as_object().unwrap() {
            if self.takes(key) {
                parameters[key] = value.clone();
            }
        }
        Self { parameters, ..*self }
    }

    fn run(&self, shape: &[usize], base: &[f32], members: &[&[f32]]) -> Result<Vec<f32>> {
        self.run_named(shape, base, members, &["a", "b", "c", "d"][..members.len()])
    }

    fn run_named(
        &self,
        shape: &[usize],
        base: &[f32],
        members: &[&[f32]],
        labels: &[&str],
    ) -> Result<Vec<f32>> {
        let method = (self.entry.build)(&self.parameters).unwrap_or_else(|e| panic!("{}: {e}", self.name()));
        let base = self.base.then_some(base);
        let held = Held { name: "w", shape, labels, members, base, seed: Seed::new(5), compat: false };
        merge_held(method.as_ref(), &held, &Mutex::new(Vec::new()))
    }

    fn merged(&self, shape: &[usize], base: &[f32], members: &[&[f32]]) -> Vec<f32> {
        self.run(shape, base, members).unwrap_or_else(|e| panic!("{} of {shape:?}: {e}", self.name()))
    }
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for entry in METHODS.entries {
        let ways = ways().into_iter().filter(|(name, _)| *name == entry.name).map(|(_, way)| way);
        for mut parameters in std::iter::once(json!({})).chain(ways) {
            if (entry.resolve)(&parameters).is_err() {
                parameters["t"] = json!(0.3);
            }
            let needs = (entry.build)(&parameters).unwrap().needs();
            let members = needs.most.unwrap_or(3).clamp(needs.least, 3);
            let bases: &[bool] = match needs.base {
                BaseNeed::Unknown => &[false],
                BaseNeed::Optional => &[false, true],
                BaseNeed::Needed => &[true],
            };
            all.extend(bases.iter().map(|base| Case {
                entry,
                parameters: parameters.clone(),
                base: *base,
                members,
            }));
        }
    }
    all
}

fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * (0.7 + 0.1 * seed) + seed).sin() + 0.1 * (i as f32 * 3.3).cos()).collect()
}

/// So many members, different ones.
fn members(count: usize, len: usize) -> Vec<Vec<f32>> {
    (0..count).map(|i| numbers(len, i as f32 + 1.0)).collect()
}

fn slices(all: &[Vec<f32>]) -> Vec<&[f32]> {
    all.iter().map(Vec::as_slice).collect()
}

fn apart(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let length = |all: &mut dyn Iterator<Item = f64>| all.map(|v| v * v).sum::<f64>().sqrt();
    let difference = length(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / length(&mut b.iter().map(|b| f64::from(*b))).max(1e-30)
}

const SHAPES: [&[usize]; 9] = [&[], &[1], &[6], &[6, 1], &[1, 6], &[0, 3], &[3, 0], &[4, 5], &[2, 3, 4]];

#[test]
fn equal_members_give_the_member_in_every_shape() {
    for case in cases().iter().filter(|c| !PARTS.contains(&c.entry.name)) {
        let whole = json!({"weight": 1.0 / case.members as f64, "density": 1, "gamma": 0, "t": 0.5});
        let case = case.with(if case.entry.name == "nearswap" { json!({"t": 1e9}) } else { whole });
        for shape in SHAPES {
            let len = shape.iter().product();
            let (base, member) = (numbers(len, 0.0), numbers(len, 1.0));
            // The base of slerp is one of the two.
            let base = if case.entry.name == "slerp" { &member } else { &base };
            let merged = case.merged(shape, base, &vec![&member[..]; case.members]);
            assert!(apart(&merged, &member) <= 1e-6, "{} of {shape:?}: {merged:?}", case.name());
        }
    }
}

#[test]
fn members_equal_to_the_base_give_the_base() {
    for case in cases().iter().filter(|c| c.base) {
        for shape in SHAPES {
            let base = numbers(shape.iter().product(), 2.0);
            let merged = case.merged(shape, &base, &vec![&base[..]; case.members]);
            assert!(apart(&merged, &base) <= 1e-6, "{} of {shape:?}", case.name());
        }
    }
}

#[test]
fn a_member_of_weight_zero_changes_nothing() {
    for case in cases().iter().filter(|c| c.takes("weight")) {
        let (base, mut all) = (numbers(40, 0.0), members(case.members - 1, 40));
        all.push(vec![f32::NAN; 40]);
        let mut weights = vec![0.5; case.members];
        weights[0] = 0.75;
        weights[case.members - 1] = 0.0;
        let merged = case.with(json!({"weight": weights})).merged(&[8, 5], &base, &slices(&all));
        let without = case.with(json!({"weight": weights[..case.members - 1]}));
        let expected = match without.run(&[8, 5], &base, &slices(&all[..case.members - 1])) {
            Ok(expected) => expected,
            // It takes two: the other one is left.
            Err(_) => all[0].clone(),
        };
        assert!(apart(&merged, &expected) <= 1e-6, "{}", case.name());
    }
}

#[test]
fn the_order_of_members_changes_nothing() {
    for case in cases().iter().filter(|c| c.members > 1) {
        let (base, mut all) = (numbers(60, 0.0), members(case.members, 60));
        let mut weights: Vec<f64> = (0..case.members).map(|i| 0.2 + 0.3 * i as f64).collect();
        let mut labels = ["a", "b", "c"][..case.members].to_vec();
        let run = |all: &[Vec<f32>], weights: &[f64], labels: &[&str]| {
            let case = case.with(json!({"weight": weights}));
            case.run_named(&[6, 10], &base, &slices(all), labels).unwrap()
        };
        let one = run(&all, &weights, &labels);
        all.reverse();
        weights.reverse();
        labels.reverse();
        assert!(apart(&run(&all, &weights, &labels), &one) <= 1e-6, "{}", case.name());
    }
}

#[test]
fn threads_change_no_byte() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let pools = [pool(1), pool(2), pool(5)];
    for case in cases() {
        for shape in [&[2 * BLOCK + 77][..], &[301, 257], &[5, 7, 1999]] {
            let len = shape.iter().product();
            let (base, all) = (numbers(len, 0.0), members(case.members, len));
            let run = |pool: &rayon::ThreadPool| -> Vec<u32> {
                let merged = pool.install(|| case.merged(shape, &base, &slices(&all)));
                merged.into_iter().map(f32::to_bits).collect()
            };
            let one = run(&pools[0]);
            assert!(pools[1..].iter().all(|p| run(p) == one), "{} of {shape:?}", case.name());
        }
    }
}

#[test]
fn members_without_a_direction_of_their_own_give_numbers_or_a_typed_error() {
    for case in cases() {
        for shape in SHAPES {
            let len = shape.iter().product();
            let (zero, x) = (vec![0.0; len], numbers(len, 1.0));
            let times = |s: f32| x.iter().map(|v| v * s).collect::<Vec<f32>>();
            let sets = [
                [zero.clone(), zero.clone(), zero.clone()],
                [zero.clone(), x.clone(), x.clone()],
                [x.clone(), zero.clone(), x.clone()],
                [x.clone(), times(-1.0), zero.clone()],
                [times(-2.0), x.clone(), times(3.0)],
            ];
            for (i, set) in sets.iter().enumerate() {
                for base in [&zero, &x, &times(-1.0)] {
                    match case.run(shape, base, &slices(set)[..case.members]) {
                        Ok(merged) => assert!(
                            merged.len() == len && merged.iter().all(|v| v.is_finite()),
                            "{} of {shape:?}, {i}",
                            case.name()
                        ),
                        Err(e) => assert!([2, 3].contains(&e.exit_code()), "{} {i}: {e}", case.name()),
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_is_refused() {
    for case in cases() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut base, mut all) = (numbers(12, 0.0), members(case.members, 12));
            all[0][7] = bad;
            let error = case.run(&[3, 4], &base, &slices(&all)).err();
            assert!(error.is_some_and(|e| e.to_string().contains("not finite")), "{} {bad}", case.name());
            base[7] = bad;
            all[0][7] = 1.0;
            let error = case.run(&[3, 4], &base, &slices(&all)).err();
            let refused = error.is_some_and(|e| e.to_string().contains("not finite"));
            assert!(refused || !case.base, "{} {bad} in the base", case.name());
        }
    }
}

#[test]
fn members_that_do_not_fit_are_refused() {
    for case in cases() {
        let method = (case.entry.build)(&case.parameters).unwrap();
        let needs = method.needs();
        let refused = |members, base| method.check(members, base).is_err_and(|e| e.exit_code() == 2);
        assert!(refused(needs.least - 1, true), "{}", case.name());
        assert!(needs.most.is_none_or(|most| refused(most + 1, true)), "{}", case.name());
        assert_eq!(refused(case.members, false), needs.base == BaseNeed::Needed, "{}", case.name());
        for (name, _) in method.per_member() {
            let short = case.with(json!({name: vec![0.5; case.members + 1]}));
            let error = short.run(&[1], &[1.0], &vec![&[1.0][..]; case.members]).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let error = case.run(&[2], &[1.0, 2.0], &vec![&[1.0][..]; case.members]).unwrap_err();
        assert!(error.to_string().contains("lengths"), "{error}");
    }
}

#[test]
fn parameters_that_are_none_are_refused() {
    for case in cases() {
        let resolved = (case.entry.resolve)(&case.parameters).unwrap();
        let refused = |parameters: &Value| (case.entry.build)(parameters).is_err_and(|e| e.exit_code() == 2);
        for name in resolved.as_object().unwrap().keys() {
            for bad in [json!(f64::NAN), json!("much"), json!([null])] {
                let mut parameters = resolved.clone();
                parameters[name] = bad;
                assert!(refused(&parameters), "{} {name}", case.name());
            }
        }
        let mut parameters = resolved.clone();
        parameters["wieght"] = json!(1);
        assert!(refused(&parameters), "{}", case.name());
        assert_eq!((case.entry.resolve)(&resolved).unwrap(), resolved, "{}", case.name());
    }
}
