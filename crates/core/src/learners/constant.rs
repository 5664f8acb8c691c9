//! The floor: the same answer for every row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::labels::Labels;
use super::present::Present;
use super::rows::{as_given, check_lengths, check_shares};
use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value};
use crate::model::{ByShares, Context, FittedLearner, Learner, Loaders, Parts, Shares, Target, Task};
use crate::registry::Method;

/// Says the same of every row and looks at no feature: the share of each class, `p_c = sum of the weights of class c /
/// sum of all weights`, or the weighted mean of the values. What cannot beat it has learnt nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Constant {}

impl Method for Constant {
    const NAME: &'static str = "constant";
    const ABOUT: &'static str =
        "class shares or the mean, whatever the row: the floor that everything must beat";
}

impl Learner for Constant {
    fn check(&self, _task: &Task) -> Result<()> {
        Ok(())
    }

    fn fit(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        _context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        if x.nrows() == 0 {
            return Err(Error::data("there are no rows to fit to"));
        }
        check_lengths(x.nrows(), target, weight)?;
        Ok(Box::new(Same::of(x.ncols(), target, weight)))
    }

    fn by_shares(&self) -> Option<&dyn ByShares> {
        Some(self)
    }
}

impl ByShares for Constant {
    fn fit_shares(
        &self,
        x: ArrayView2<'_, f32>,
        shares: Shares<'_>,
        weight: Option<&[f32]>,
        _context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        check_shares(x, shares, weight)?;
        let (present, labels) = Labels::shares(shares);
        Ok(Box::new(Same::among(x, &present, &labels, weight)))
    }
}

/// The fitted answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Same {
    width: usize,
    output: Vec<f32>,
}

impl Same {
    /// The shares of the classes that occur.
    pub(super) fn among(
        x: ArrayView2<'_, f32>,
        present: &Present,
        labels: &Labels,
        weight: Option<&[f32]>,
    ) -> Self {
        let weight = as_given(weight, x.nrows());
        let mass = labels.mass(&weight, present.count());
        let total: f64 = weight.iter().sum();
        let narrow = Matrix::from_shape_fn((1, mass.len()), |(_, k)| (mass[k] / total) as f32);
        Self { width: x.ncols(), output: present.widen(narrow).into_iter().collect() }
    }

    /// The class shares, or the mean. Lengths were checked.
    pub(super) fn of(width: usize, target: &Target, weight: Option<&[f32]>) -> Self {
        let weight = as_given(weight, target.len());
        let total: f64 = weight.iter().sum();
        let mut sums = vec![0.0f64; target.task().width()];
        match target {
            Target::Classes { codes, .. } => {
                for (&code, w) in codes.iter().zip(&weight) {
                    sums[code as usize] += w;
                }
            }
            Target::Values(values) => {
                for (&value, w) in values.iter().zip(&weight) {
                    sums[0] += f64::from(value) * w;
                }
            }
        }
        Self { width, output: sums.iter().map(|s| (s / total) as f32).collect() }
    }
}

impl FittedLearner for Same {
    fn kind(&self) -> &'static str {
        Constant::NAME
    }

    fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        super::rows::check_predict(x, self.width)?;
        Ok(Matrix::from_shape_fn((x.nrows(), self.output.len()), |(_, c)| self.output[c]))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"width": self.width, "outputs": self.output.len()}))
            .with_f32("output", &self.output))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let width = self.output.len();
        let row = graph.singles("output", &[1, width], self.output.iter().copied());
        Ok(graph.repeated(&row, width, x))
    }

    fn parameters(&self) -> u64 {
        self.output.len() as u64
    }
}

pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedLearner>> {
    let output = parts.f32("output")?.1.to_vec();
    if output.is_empty() || output.len() != parts.field::<usize>("outputs")? {
        return Err(
            Error::model("the saved \"constant\" is damaged").got(format!("{} outputs", output.len()))
        );
    }
    Ok(Box::new(Same { width: parts.field("width")?, output }))
}
