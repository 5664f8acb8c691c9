//! Matching the covariances of two domains.

use ndarray::{Array1, Array2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::domains::{check_domains, check_width};
use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::model::graph::{Element, Graph, Value};
use crate::model::{Adapted, Adapter, Array, Context, Loaders, Parts, Target};
use crate::registry::Method;
use crate::solve::symmetric_power;

/// The key under which it is loaded.
pub(super) const KIND: &str = "coral";
/// Share of the mean variance that `auto` adds to a covariance.
const SHARE: f64 = 1e-3;

/// Takes the mean and covariance of the source to those of the target: `(x - m_s) (C_s + a I)^-1/2 (C_t + b I)^1/2 + m_t`
/// for rows x of the source; the target stays as it is. Uses no labels.
///
/// # Reference
/// Sun, Feng and Saenko, "Return of frustratingly easy domain adaptation", AAAI 2016.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Coral {
    /// What is added to the diagonals of the covariances: `auto` (the default) adds to each .001 of its mean variance; a
    /// number above zero adds that to both (the paper: 1, which on rows of unit length is nearly no adaptation).
    pub regularization: Regularization,
    /// Whether rows of both domains are first divided by their length (rows of zeros stay).
    pub unit: bool,
}

/// How much is added to the diagonal of a covariance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Regularization {
    /// By the covariance itself.
    Word(Auto),
    /// A number above zero.
    Number(f64),
}

/// The word `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auto {
    /// The word.
    Auto,
}

impl Default for Regularization {
    fn default() -> Self {
        Self::Word(Auto::Auto)
    }
}

impl Regularization {
    /// What to add to a covariance; with `auto` and no variance at all, 1.
    fn amount(self, covariance: &Array2<f64>) -> f64 {
        match self {
            Self::Number(n) => n,
            Self::Word(Auto::Auto) => {
                let mean = covariance.diag().sum() / covariance.nrows() as f64;
                if mean > 0.0 { SHARE * mean } else { 1.0 }
            }
        }
    }
}

impl Method for Coral {
    const NAME: &'static str = "coral";
    const ABOUT: &'static str = "Takes the mean and covariance of the source's features to the target's";

    fn validate(&self) -> Result<()> {
        match self.regularization {
            Regularization::Number(n) if !n.is_finite() || n <= 0.0 => {
                Err(Error::argument("the regularization is not above zero").at("regularization").got(n))
            }
            _ => Ok(()),
        }
    }
}

impl Adapter for Coral {
    fn fit(
        &self,
        source: ArrayView2<'_, f32>,
        labels: &Target,
        target: ArrayView2<'_, f32>,
        context: &Context<'_>,
    ) -> Result<Box<dyn Adapted>> {
        self.validate()?;
        check_domains(source, labels, target)?;
        let (from, c_source) = mean_and_covariance(&prepared(source, self.unit));
        context.stop.check()?;
        let (to, c_target) = mean_and_covariance(&prepared(target, self.unit));
        context.stop.check()?;
        let whiten = symmetric_power(&raised(c_source, self.regularization), -0.5, f64::MIN_POSITIVE)?;
        context.stop.check()?;
        let color = symmetric_power(&raised(c_target, self.regularization), 0.5, 0.0)?;
        Ok(Box::new(Matched { unit: self.unit, from, to, map: whiten.dot(&color) }))
    }
}

fn raised(mut covariance: Array2<f64>, by: Regularization) -> Array2<f64> {
    let amount = by.amount(&covariance);
    covariance.diag_mut().mapv_inplace(|v| v + amount);
    covariance
}

/// Rows in 64 bits, of unit length if wanted.
fn prepared(x: ArrayView2<'_, f32>, unit: bool) -> Array2<f64> {
    let mut x = x.mapv(f64::from);
    if unit {
        for mut row in x.rows_mut() {
            let length = row.dot(&row).sqrt();
            if length > 0.0 {
                row /= length;
            }
        }
    }
    x
}

/// The mean, and the covariance over `n - 1` (over 1 for a single row, where it is zero).
fn mean_and_covariance(x: &Array2<f64>) -> (Array1<f64>, Array2<f64>) {
    let mean = x.sum_axis(ndarray::Axis(0)) / x.nrows() as f64;
    let centered = x - &mean;
    let covariance = centered.t().dot(&centered) / x.nrows().saturating_sub(1).max(1) as f64;
    (mean, covariance)
}

/// A fitted match.
struct Matched {
    unit: bool,
    from: Array1<f64>,
    to: Array1<f64>,
    /// `[feature, feature]`, applied from the right.
    map: Array2<f64>,
}

/// Loads it.
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Adapted>> {
    let from = Array1::from(parts.f64("from")?.to_vec());
    let to = Array1::from(parts.f64("to")?.to_vec());
    let d = from.len();
    let map = Array2::from_shape_vec((d, d), parts.f64("map")?.to_vec());
    match map {
        Ok(map) if to.len() == d && map.iter().chain(&from).chain(&to).all(|v| v.is_finite()) => {
            Ok(Box::new(Matched { unit: parts.field("unit")?, from, to, map }))
        }
        _ => Err(Error::model("the parts of a saved adaptation do not fit together")
            .remedy("the model directory is damaged; fit it again")),
    }
}

impl Adapted for Matched {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn source(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        check_width(x, self.from.len())?;
        let moved = (prepared(x, self.unit) - &self.from).dot(&self.map) + &self.to;
        let moved = moved.mapv(|v| v as f32);
        match moved.iter().all(|v| v.is_finite()) {
            true => Ok(moved),
            false => Err(Error::data("a mapped feature is too large for 32 bits")
                .remedy("standardize the features first, or raise the regularization")),
        }
    }

    fn target(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        check_width(x, self.from.len())?;
        Ok(prepared(x, self.unit).mapv(|v| v as f32))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        if !self.unit {
            return Ok(x.clone());
        }
        let x = graph.double(x);
        let square = graph.mul(&x, &x);
        let square = graph.reduce("ReduceSum", &square, &[1]);
        let length = graph.one("Sqrt", &square);
        let zero = graph.scalar(Element::F64, 0.0);
        let long = graph.node("Greater", &[&length, &zero], vec![], Element::Bool);
        let unit = graph.div(&x, &length);
        let unit = graph.choose(&long, &unit, &x);
        Ok(graph.single(&unit))
    }

    fn save(&self) -> Result<Parts> {
        let d = self.from.len();
        Ok(Parts::new(KIND, json!({"unit": self.unit}))
            .with_f64("from", &self.from.to_vec())
            .with_f64("to", &self.to.to_vec())
            .with("map", Array::F64(vec![d, d], self.map.iter().copied().collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::cases::{adapted, domain, labels};

    fn covariance(x: &Matrix) -> Array2<f64> {
        mean_and_covariance(&x.mapv(f64::from)).1
    }

    fn far(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
        a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn mean_and_covariance_of_the_mapped_source_are_those_of_the_target() {
        let (source, target) = (domain(300, 6, 1, 1.0), domain(200, 6, 2, 3.0));
        let coral = Coral { regularization: Regularization::Number(1e-9), unit: false };
        let mapped = adapted(&coral, &source, &target).source(source.view()).unwrap();
        let scale = covariance(&target).diag().sum() / 6.0;
        assert!(far(&covariance(&mapped), &covariance(&target)) < 1e-5 * scale);
        let mean = |x: &Matrix| x.mapv(f64::from).mean_axis(ndarray::Axis(0)).unwrap();
        assert!((mean(&mapped) - mean(&target)).iter().all(|d| d.abs() < 1e-5));
        // The default is within its own regularization of it.
        let mapped = adapted(&Coral::default(), &source, &target).source(source.view()).unwrap();
        let off = far(&covariance(&mapped), &covariance(&target));
        assert!(off < 0.03 * scale && off > 1e-5 * scale, "{off} of {scale}");
        // And the target is left alone.
        let same = adapted(&Coral::default(), &source, &target).target(target.view()).unwrap();
        assert_eq!(same, target);
    }

    #[test]
    fn a_large_regularization_only_moves_the_mean() {
        let (source, target) = (domain(50, 4, 1, 1.0), domain(50, 4, 2, 3.0));
        let coral = Coral { regularization: Regularization::Number(1e9), unit: false };
        let mapped = adapted(&coral, &source, &target).source(source.view()).unwrap();
        assert!(far(&covariance(&mapped), &covariance(&source)) < 1e-5);
    }

    #[test]
    fn unit_rows_have_unit_length_and_zero_rows_stay() {
        let (mut source, target) = (domain(20, 4, 1, 1.0), domain(20, 4, 2, 3.0));
        source.row_mut(3).fill(0.0);
        let match_ = adapted(&Coral { unit: true, ..Coral::default() }, &source, &target);
        let unit = match_.target(target.view()).unwrap();
        assert!(unit.rows().into_iter().all(|r| (r.dot(&r) - 1.0).abs() < 1e-5));
        assert!(match_.target(source.view()).unwrap().row(3).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn settings_are_words_or_numbers_and_labels_change_nothing() {
        use crate::registry::decode;
        use serde_json::json;
        assert_eq!(
            decode::<Coral>(&json!({"regularization": "auto"})).unwrap().regularization,
            Regularization::default()
        );
        let number = decode::<Coral>(&json!({"regularization": 0.5})).unwrap();
        assert_eq!(number.regularization, Regularization::Number(0.5));
        for bad in
            [json!({"regularization": 0}), json!({"regularization": -1.0}), json!({"regularization": "much"})]
        {
            assert!(decode::<Coral>(&bad).is_err(), "{bad}");
        }
        let (source, target) = (domain(30, 3, 1, 1.0), domain(30, 3, 2, 2.0));
        let stop = crate::model::Stop::default();
        let context = Context::new(crate::seed::Seed::new(1), &crate::model::Quiet, &stop);
        let with = |t: Target| {
            Coral::default().fit(source.view(), &t, target.view(), &context).unwrap().save().unwrap()
        };
        assert_eq!(with(labels(30)), with(Target::Values(vec![1.0; 30])));
    }
}
