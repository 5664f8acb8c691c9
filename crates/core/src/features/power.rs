//! Heavy tails are drawn in: the power transform of Yeo and Johnson.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, complete_numbers, damaged, learned, nothing, shaped, single, vectors};
use crate::error::{Error, Result};
use crate::model::graph::{Element, Graph, Value};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Mask, Parts, Vectors};
use crate::registry::Method;

/// Exponents are looked for between this and its negative.
const LIMIT: f64 = 5.0;
/// The search ends when the exponent is known to this.
const PRECISION: f64 = 1e-7;
/// Nearer to a removable singularity than this, its limit is taken.
const NEAR: f64 = 1e-12;

/// Makes numbers more normal, whatever their sign: `((1 + x)^l - 1) / l` for `x >= 0` (`ln(1 + x)` at `l = 0`) and
/// `-((1 - x)^(2 - l) - 1) / (2 - l)` for `x < 0` (`-ln(1 - x)` at `l = 2`). `l = 1` changes nothing, less draws in long
/// upper tails, as of amounts of money, more those below zero.
///
/// Without `lambda`, each position of a row gets the `l` in [-5, 5] under which the transformed training values are
/// most likely to be normal: the one that maximizes `-n/2 ln var + (l - 1) sum_i sign(x_i) ln(1 + |x_i|)`, which is
/// concave in `l`, so that there is one maximum. A position that is constant in training has `l = 1`. Put `standardize`
/// after it: mean and deviation are not touched.
///
/// # Shapes
/// A number gives `[1]`, a vector keeps its shape.
///
/// # Errors
/// Missing numbers are refused (put `impute` before); absent vectors stay absent.
///
/// # Reference
/// Yeo and Johnson, "A new family of power transformations to improve normality or symmetry", Biometrika 87, 2000.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Power {
    /// The exponent, in [-5, 5], for every position; learned for each from the training rows by default.
    #[schemars(range(min = -5.0, max = 5.0))]
    pub lambda: Option<f64>,
}

impl Method for Power {
    const NAME: &'static str = "power";
    const ABOUT: &'static str = "draws in long tails by a power (Yeo-Johnson), learned or given";

    fn validate(&self) -> Result<()> {
        match self.lambda {
            Some(l) if !(-LIMIT..=LIMIT).contains(&l) => {
                Err(Error::argument("the exponent is out of range").at("lambda").expected("-5 to 5").got(l))
            }
            _ => Ok(()),
        }
    }
}

impl Feature for Power {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Number, Kind::Vector])?;
        let shape = if input.kind == Kind::Number { vec![1] } else { input.shape.clone() };
        Ok(Field::vector(&input.name, shape))
    }

    fn fit(&self, input: &Field, column: &Column, context: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let name = &input.name;
        let positions: Vec<Vec<f64>> = if input.kind == Kind::Number {
            vec![complete_numbers(Self::NAME, name, column)?.to_vec()]
        } else {
            let v = vectors(Self::NAME, name, column)?;
            output.shape.clone_from(&v.shape);
            let rows: Vec<&[f32]> = (0..v.len()).filter_map(|r| v.get(r)).collect();
            (0..v.width())
                .map(|i| rows.iter().filter_map(|row| row.get(i)).map(|x| f64::from(*x)).collect())
                .collect()
        };
        if positions.iter().any(Vec::is_empty) {
            return Err(nothing(Self::NAME, name));
        }
        let mut lambdas = Vec::with_capacity(positions.len());
        for values in &positions {
            context.stop.check()?;
            lambdas.push(match self.lambda {
                Some(l) => l,
                None => most_normal(name, values)?,
            });
        }
        Ok(Box::new(Powered { input: input.kind, output, lambdas }))
    }
}

/// `x` under the exponent `l`, given `u = ln(1 + |x|)`: `(e^(l u) - 1) / l`, or its mirror image.
fn transformed(x: f64, u: f64, l: f64) -> f64 {
    let (l, sign) = if x >= 0.0 { (l, 1.0) } else { (2.0 - l, -1.0) };
    sign * if l.abs() < NEAR { u } else { (l * u).exp_m1() / l }
}

/// The exponent under which values are most likely to be normal.
fn most_normal(name: &str, values: &[f64]) -> Result<f64> {
    let first = values.first().copied().unwrap_or_default();
    if values.iter().all(|x| *x == first) {
        return Ok(1.0);
    }
    let logs: Vec<f64> = values.iter().map(|x| x.abs().ln_1p()).collect();
    let n = values.len() as f64;
    let tilt: f64 = values.iter().zip(&logs).map(|(x, u)| if *x >= 0.0 { *u } else { -u }).sum();
    let likelihood = |l: f64| {
        let at: Vec<f64> = values.iter().zip(&logs).map(|(x, u)| transformed(*x, *u, l)).collect();
        let mean = at.iter().sum::<f64>() / n;
        let variance = at.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        -0.5 * n * variance.ln() + (l - 1.0) * tilt
    };
    learned(Power::NAME, name, &[likelihood(1.0)])?;
    Ok(highest(likelihood))
}

/// Where a concave function is highest in [-LIMIT, LIMIT], by golden sections. Where it is not a finite number powers
/// are too large or too small for 64 bits, and the maximum is nearer to 1.
fn highest(f: impl Fn(f64) -> f64) -> f64 {
    let section = (5.0f64.sqrt() - 1.0) / 2.0;
    let rank = |l: f64| Some(f(l)).filter(|v| v.is_finite());
    let (mut low, mut high) = (-LIMIT, LIMIT);
    let (mut left, mut right) = (high - section * (high - low), low + section * (high - low));
    let (mut at_left, mut at_right) = (rank(left), rank(right));
    while high - low > PRECISION {
        let go_left = match (at_left, at_right) {
            (Some(a), Some(b)) => a >= b,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => (left + right) / 2.0 > 1.0,
        };
        if go_left {
            (high, right, at_right) = (right, left, at_left);
            left = high - section * (high - low);
            at_left = rank(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + section * (high - low);
            at_right = rank(right);
        }
    }
    (low + high) / 2.0
}

/// Fitted [`Power`].
struct Powered {
    input: Kind,
    output: Field,
    /// One a position.
    lambdas: Vec<f64>,
}

impl Powered {
    /// `(e^(l u) - 1) / l`, or `u` itself where `l` is zero, with `l` of each position.
    fn branch(&self, graph: &mut Graph, u: &Value, exponent: impl Fn(f64) -> f64) -> Value {
        let shape = &self.output.shape;
        let all: Vec<f64> = self.lambdas.iter().map(|l| exponent(*l)).collect();
        let flat = |l: &f64| f64::from(u8::from(l.abs() < NEAR));
        let near = all.iter().any(|l| l.abs() < NEAR);
        let l = all.iter().map(|l| if l.abs() < NEAR { 1.0 } else { *l });
        let l = graph.doubles("lambda", shape, l);
        let one = graph.scalar(Element::F64, 1.0);
        let product = graph.mul(u, &l);
        let power = graph.one("Exp", &product);
        let less = graph.sub(&power, &one);
        let value = graph.div(&less, &l);
        if !near {
            return value;
        }
        let (straight, curved) = (all.iter().map(flat), all.iter().map(|l| 1.0 - flat(l)));
        let straight = graph.doubles("straight", shape, straight);
        let curved = graph.doubles("curved", shape, curved);
        let (a, b) = (graph.mul(u, &straight), graph.mul(&value, &curved));
        graph.add(&a, &b)
    }
}

impl FittedFeature for Powered {
    fn kind(&self) -> &'static str {
        Power::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let change = |row: usize, l: f64, x: f64| single(name, row, transformed(x, x.abs().ln_1p(), l));
        if self.input == Kind::Number {
            let values = complete_numbers(Power::NAME, name, column)?;
            let l = self.lambdas.first().copied().unwrap_or(1.0);
            let data: Result<Vec<f32>> = values.iter().enumerate().map(|(r, x)| change(r, l, *x)).collect();
            let absent = Mask::none(values.len());
            return Ok(Column::Vector(Vectors { shape: vec![1], data: data?, absent }));
        }
        let vectors = shaped(Power::NAME, name, &self.output.shape, column)?;
        let mut data = vec![0.0; vectors.data.len()];
        for (row, out) in data.chunks_mut(vectors.width()).enumerate() {
            let Some(values) = vectors.get(row) else { continue };
            for ((o, x), l) in out.iter_mut().zip(values).zip(&self.lambdas) {
                *o = change(row, *l, f64::from(*x))?;
            }
        }
        Ok(Column::Vector(Vectors { shape: vectors.shape.clone(), data, absent: vectors.absent.clone() }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let x = graph.double(x);
        let (zero, one) = (graph.scalar(Element::F64, 0.0), graph.scalar(Element::F64, 1.0));
        let size = graph.one("Abs", &x);
        let size = graph.add(&size, &one);
        let logarithm = graph.one("Log", &size);
        let upper = self.branch(graph, &logarithm, |l| l);
        let lower = self.branch(graph, &logarithm, |l| 2.0 - l);
        let lower = graph.one("Neg", &lower);
        let below = graph.node("Less", &[&x, &zero], vec![], Element::Bool);
        let value = graph.choose(&below, &lower, &upper);
        Ok(graph.single(&value))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"input": self.input, "output": self.output}))
            .with_f64("lambdas", &self.lambdas))
    }

    fn names(&self) -> Vec<String> {
        if self.input == Kind::Number { vec![self.output.name.clone()] } else { Vec::new() }
    }
}

/// Loads a fitted [`Power`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let loaded = Powered {
        input: parts.field("input")?,
        output: parts.field("output")?,
        lambdas: parts.f64("lambdas")?.to_vec(),
    };
    let possible = loaded.lambdas.iter().all(|l| (-LIMIT..=LIMIT).contains(l));
    if !possible || loaded.lambdas.len() != loaded.output.shape.iter().product::<usize>() {
        return Err(damaged(parts));
    }
    Ok(Box::new(loaded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::{fit, golden, number};

    fn values(column: Column) -> Vec<f32> {
        let Column::Vector(v) = column else { panic!() };
        v.data
    }

    fn learn(x: &[f64]) -> (f64, Vec<f32>) {
        let step = fit("power", json!({}), &Field::new("x", Kind::Number), &number(x)).unwrap();
        let lambda = step.save().unwrap().f64("lambdas").unwrap()[0];
        (lambda, values(step.apply(&number(x)).unwrap()))
    }

    /// Both search the same maximum: theirs to about 1e-8 by Brent's method on a flat top, ours to 1e-7. What comes out
    /// is held in 32 bits.
    #[test]
    fn exponents_and_values_match_scikit_learn() {
        for case in golden("power").as_array().unwrap() {
            let x: Vec<f64> = serde_json::from_value(case["x"].clone()).unwrap();
            let expected: Vec<f64> = serde_json::from_value(case["z"].clone()).unwrap();
            let (lambda, z) = learn(&x);
            let theirs = case["lambda"].as_f64().unwrap();
            assert!((lambda - theirs).abs() < 1e-5, "{}: {lambda} {theirs}", case["name"]);
            for (a, b) in z.iter().zip(&expected) {
                assert!((f64::from(*a) - b).abs() < 2e-4 * (1.0 + b.abs()), "{}: {a} {b}", case["name"]);
            }
        }
    }

    #[test]
    fn a_given_exponent_is_the_formula() {
        let x = [-3.0, -0.5, 0.0, 1.0, 7.0];
        let power = |x: f64, l: f64| if x >= 0.0 { x.ln_1p() * l } else { -x.abs().ln_1p() * (2.0 - l) };
        for l in [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0] {
            let step =
                fit("power", json!({"lambda": l}), &Field::new("x", Kind::Number), &number(&x)).unwrap();
            for (x, z) in x.iter().zip(values(step.apply(&number(&x)).unwrap())) {
                let want = match (*x >= 0.0, l) {
                    (true, 0.0) => x.ln_1p(),
                    (true, l) => ((power(*x, l)).exp() - 1.0) / l,
                    (false, 2.0) => -x.abs().ln_1p(),
                    (false, l) => -((-power(*x, l)).exp() - 1.0) / (2.0 - l),
                };
                assert!((f64::from(z) - want).abs() < 1e-6 * (1.0 + want.abs()), "{l} {x}: {z} {want}");
            }
            assert_eq!(step.names(), ["x"]);
        }
        for bad in [json!(6), json!(-5.1)] {
            assert!(crate::features::REGISTRY.build("power", &json!({"lambda": bad})).is_err());
        }
    }

    #[test]
    fn constants_and_enormous_values_are_left_as_they_are_or_refused() {
        assert_eq!(learn(&[4.0; 5]), (1.0, vec![4.0; 5]));
        // Powers of it overflow on both sides; what is left is still a maximum inside.
        let (lambda, z) = learn(&[-1e30, 3.0, 1e30, 2.0, -1.0]);
        assert!((lambda - 1.0).abs() < 1.0 && z.iter().all(|v| v.is_finite()), "{lambda} {z:?}");
        let error = fit("power", json!({}), &Field::new("x", Kind::Number), &number(&[1e200, 1.0]));
        assert!(error.err().unwrap().to_string().contains("too large"));
    }

    #[test]
    fn each_position_of_a_vector_has_its_own_exponent() {
        let heavy: Vec<f32> = (0..50).map(|i| (i as f32 * 0.2).exp()).collect();
        let data: Vec<f32> = heavy.iter().zip(0..50).flat_map(|(h, i)| [*h, i as f32 * 0.1 - 2.5]).collect();
        let column = Column::Vector(Vectors::new(vec![2], data).unwrap());
        let step = fit("power", json!({}), &Field::vector("v", vec![2]), &column).unwrap();
        let lambdas = step.save().unwrap().f64("lambdas").unwrap().to_vec();
        assert!(lambdas[0].abs() < 0.2 && (lambdas[1] - 1.0).abs() < 0.1, "{lambdas:?}");
    }
}
