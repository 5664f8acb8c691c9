//! The nearest neighbours.

use ndarray::{Array1, ArrayView1};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::constant::Same;
use super::present::Present;
use super::rows::{check_fit, check_predict, mean_one, predict_blocks};
use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::model::{Context, FittedLearner, Learner, Loaders, Parts, Target, Task};
use crate::registry::Method;

/// Approximate distances held at once by one block of rows.
const DISTANCES: usize = 2_000_000;

/// How the neighbours' votes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Votes {
    /// All the same.
    Uniform,
    /// By the inverse of their distance; where rows coincide with the one asked about, only those vote.
    Distance,
}

/// The `k` nearest fitting rows by Euclidean distance vote: `p_c = (sum of the votes for c + smoothing * share of c) /
/// (sum of all votes + smoothing)`, or for values the mean weighted by the votes. Votes are multiplied by the rows'
/// weights and, for classes, scaled to a mean of one. On equal distances the row that comes first is the nearer one.
/// The search is exact: 32-bit dot products propose, 64-bit distances decide. Distances compare features as they are:
/// standardize them first.
///
/// # Reference
/// Cover and Hart, *Nearest Neighbor Pattern Classification*, IEEE Transactions on Information Theory 13, 1967.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Knn {
    /// How many neighbours; all rows if there are fewer. Few follow detail, many give better probabilities.
    #[schemars(range(min = 1))]
    pub k: u32,
    /// How the neighbours' votes count.
    pub weights: Votes,
    /// Classes: votes added in the shares of the classes among all rows, so that no class that occurs gets a
    /// probability of zero. 0 for plain shares of the votes.
    #[schemars(range(min = 0.0))]
    pub smoothing: f64,
}

impl Default for Knn {
    fn default() -> Self {
        Self { k: 25, weights: Votes::Uniform, smoothing: 1.0 }
    }
}

impl Method for Knn {
    const NAME: &'static str = "knn";
    const ABOUT: &'static str = "the nearest rows vote (exact Euclidean search)";

    fn validate(&self) -> Result<()> {
        if self.k == 0 {
            return Err(Error::argument("must be at least 1").at("k").got(0));
        }
        if !(self.smoothing.is_finite() && self.smoothing >= 0.0) {
            return Err(Error::argument("must be finite and not negative")
                .at("smoothing")
                .got(self.smoothing));
        }
        Ok(())
    }
}

impl Learner for Knn {
    fn check(&self, _task: &Task) -> Result<()> {
        Ok(())
    }

    fn fit(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        check_fit(x, target, weight)?;
        context.stop.check()?;
        let truth = match target {
            Target::Values(values) => Truth::Values(values.clone()),
            Target::Classes { classes, codes } => {
                let present = Present::among(classes, codes);
                if present.count() < 2 {
                    return Ok(Box::new(Same::of(x.ncols(), target, weight)));
                }
                Truth::Classes { codes: present.narrow(codes), present }
            }
        };
        let weight = mean_one(weight, x.nrows()).iter().map(|w| *w as f32).collect();
        Ok(Box::new(Neighbours::new(self.clone(), x.to_owned(), truth, weight)))
    }
}

/// What the neighbours say.
enum Truth {
    Classes { present: Present, codes: Vec<u32> },
    Values(Vec<f32>),
}

struct Neighbours {
    settings: Knn,
    rows: Matrix,
    truth: Truth,
    weight: Vec<f32>,
    /// Derived: the mean row, the rows around it, and half their squared lengths.
    center: Array1<f32>,
    around: Matrix,
    half: Vec<f32>,
    longest: f64,
    shares: Vec<f64>,
}

impl Neighbours {
    fn new(settings: Knn, rows: Matrix, truth: Truth, weight: Vec<f32>) -> Self {
        let mut mean = Array1::<f64>::zeros(rows.ncols());
        for row in rows.rows() {
            mean.zip_mut_with(&row, |m, v| *m += f64::from(*v));
        }
        let center = mean.mapv(|m| (m / rows.nrows() as f64) as f32);
        let around = &rows - &center;
        let lengths: Vec<f64> = around.rows().into_iter().map(squared).collect();
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let half = lengths.iter().map(|l| (l / 2.0) as f32).collect();
        let shares = match &truth {
            Truth::Values(_) => Vec::new(),
            Truth::Classes { present, codes } => {
                let mut shares = vec![0.0; present.count()];
                for (&c, w) in codes.iter().zip(&weight) {
                    shares[c as usize] += f64::from(*w);
                }
                let all: f64 = shares.iter().sum();
                shares.iter().map(|s| s / all).collect()
            }
        };
        Self { settings, rows, truth, weight, center, around, half, longest, shares }
    }

    /// The nearest rows to `row` with their squared distances, nearest first. `dots` are the approximate dot products
    /// of the centred row with all centred rows.
    fn nearest(&self, row: ArrayView1<'_, f32>, length: f64, dots: ArrayView1<'_, f32>) -> Vec<(f64, usize)> {
        let k = (self.settings.k as usize).min(self.rows.nrows());
        // |a - b|^2 / 2 = |a|^2 / 2 + (|b|^2 / 2 - a.b): the part in brackets orders the rows.
        let near = |i: usize| self.half[i] - dots[i];
        let mut kept: Vec<f32> = Vec::with_capacity(2 * k);
        let mut limit = f32::INFINITY;
        for i in 0..self.rows.nrows() {
            let value = near(i);
            if value < limit {
                kept.push(value);
                if kept.len() == 2 * k {
                    kept.select_nth_unstable_by(k - 1, f32::total_cmp);
                    kept.truncate(k);
                    limit = kept.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                }
            }
        }
        if kept.len() > k {
            kept.select_nth_unstable_by(k - 1, f32::total_cmp);
            kept.truncate(k);
        }
        let bound = kept.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // The errors of centring and of a sum of d rounded products are within d + 8 roundings of |a||b| + |b|^2, on
        // either side of the comparison. What overflowed is looked at exactly.
        let roundings = 2.0 * (self.rows.ncols() as f64 + 8.0) * f64::from(f32::EPSILON);
        let error = roundings * (length.sqrt() * self.longest.sqrt() + self.longest);
        let cut = if kept.len() < k { f64::INFINITY } else { f64::from(bound) + error };
        let mut found: Vec<(f64, usize)> = (0..self.rows.nrows())
            .filter(|&i| !f64::from(near(i)).partial_cmp(&cut).is_some_and(std::cmp::Ordering::is_gt))
            .map(|i| (distance(row, self.rows.row(i)), i))
            .collect();
        found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found.truncate(k);
        found
    }

    /// The votes of the neighbours, in their order.
    fn votes(&self, found: &[(f64, usize)]) -> Vec<f64> {
        let coincide = found.first().is_some_and(|(d, _)| *d == 0.0);
        let vote = |&(d, i): &(f64, usize)| {
            let weight = f64::from(self.weight[i]);
            match self.settings.weights {
                Votes::Uniform => weight,
                Votes::Distance if coincide => weight * f64::from(u8::from(d == 0.0)),
                Votes::Distance => weight / d.sqrt(),
            }
        };
        found.iter().map(vote).collect()
    }

    fn outputs(&self) -> usize {
        match &self.truth {
            Truth::Classes { present, .. } => present.classes(),
            Truth::Values(_) => 1,
        }
    }

    fn answer(&self, found: &[(f64, usize)], out: &mut [f64]) {
        let votes = self.votes(found);
        let sum: f64 = votes.iter().sum();
        match &self.truth {
            Truth::Values(values) => {
                out[0] =
                    found.iter().zip(&votes).map(|((_, i), v)| v * f64::from(values[*i])).sum::<f64>() / sum;
            }
            Truth::Classes { codes, .. } => {
                // Votes by distance have no unit; smoothing counts in neighbours.
                let unit = match self.settings.weights {
                    Votes::Uniform => 1.0,
                    Votes::Distance => votes.iter().filter(|v| **v > 0.0).count() as f64 / sum,
                };
                let smoothing = self.settings.smoothing;
                for (o, share) in out.iter_mut().zip(&self.shares) {
                    *o = smoothing * share;
                }
                for ((_, i), v) in found.iter().zip(&votes) {
                    out[codes[*i] as usize] += v * unit;
                }
                let all = sum * unit + smoothing;
                out.iter_mut().for_each(|o| *o /= all);
            }
        }
    }
}

fn squared(row: ArrayView1<'_, f32>) -> f64 {
    row.iter().map(|v| f64::from(*v).powi(2)).sum()
}

fn distance(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f64 {
    a.iter().zip(b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum()
}

impl FittedLearner for Neighbours {
    fn kind(&self) -> &'static str {
        Knn::NAME
    }

    fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        check_predict(x, self.rows.ncols())?;
        let size = (DISTANCES / self.rows.nrows().max(1)).clamp(1, 64);
        predict_blocks(x, self.outputs(), size, |block| {
            let around = &block - &self.center;
            let dots = around.dot(&self.around.t());
            let narrow = match &self.truth {
                Truth::Classes { present, .. } => present.count(),
                Truth::Values(_) => 1,
            };
            let mut answers = Matrix::zeros((block.nrows(), narrow));
            let mut answer = vec![0.0; narrow];
            for (r, mut out) in answers.rows_mut().into_iter().enumerate() {
                let found = self.nearest(block.row(r), squared(around.row(r)), dots.row(r));
                self.answer(&found, &mut answer);
                out.iter_mut().zip(&answer).for_each(|(o, a)| *o = *a as f32);
            }
            Ok(match &self.truth {
                Truth::Classes { present, .. } => present.widen(answers),
                Truth::Values(_) => answers,
            })
        })
    }

    fn save(&self) -> Result<Parts> {
        let (config, name) = match &self.truth {
            Truth::Classes { present, .. } => {
                (json!({"settings": self.settings, "present": present}), "codes")
            }
            Truth::Values(_) => (json!({"settings": self.settings}), "values"),
        };
        let parts =
            Parts::new(self.kind(), config).with_matrix("rows", &self.rows).with_f32("weight", &self.weight);
        Ok(match &self.truth {
            Truth::Classes { codes, .. } => parts.with_u32(name, codes),
            Truth::Values(values) => parts.with_f32(name, values),
        })
    }

    fn parameters(&self) -> u64 {
        (self.rows.len() + self.weight.len()) as u64
    }
}

pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedLearner>> {
    let settings: Knn = parts.field("settings")?;
    settings.validate()?;
    let rows = parts.matrix("rows")?;
    let weight = parts.f32("weight")?.1.to_vec();
    let (truth, count) = if parts.config.get("present").is_some() {
        let present: Present = parts.field("present")?;
        present.check(2)?;
        let codes = parts.u32("codes")?.to_vec();
        if codes.iter().any(|c| *c as usize >= present.count()) {
            return Err(Error::model("the saved \"knn\" holds a class that is out of range"));
        }
        let count = codes.len();
        (Truth::Classes { present, codes }, count)
    } else {
        let values = parts.f32("values")?.1.to_vec();
        let count = values.len();
        (Truth::Values(values), count)
    };
    if count != rows.nrows() || weight.len() != rows.nrows() || count == 0 {
        return Err(Error::model("the saved \"knn\" has parts of different lengths").got(format!(
            "{} rows, {count} answers, {} weights",
            rows.nrows(),
            weight.len()
        )));
    }
    Ok(Box::new(Neighbours::new(settings, rows, truth, weight)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::RngExt;

    /// The same neighbours as sorting all distances in 64 bits, also far from the origin, with rows that coincide,
    /// and where 32-bit products overflow.
    #[test]
    fn the_search_is_exact() {
        let mut rng = Seed::new(2).rng();
        for (offset, scale) in [(0.0f32, 1.0f32), (10_000.0, 1.0), (0.0, 1e25)] {
            let mut rows =
                Matrix::from_shape_fn((700, 6), |_| offset + scale * rng.random_range(-1.0f32..1.0));
            for i in 0..40 {
                let twin = rows.row(i).to_owned();
                rows.row_mut(i + 300).assign(&twin);
            }
            let values = vec![0.0; 700];
            let settings = Knn { k: 9, ..Knn::default() };
            let fitted = Neighbours::new(settings, rows.clone(), Truth::Values(values), vec![1.0; 700]);
            let asked = Matrix::from_shape_fn((50, 6), |(r, c)| {
                if r < 10 { rows[[r, c]] } else { offset + scale * rng.random_range(-1.0f32..1.0) }
            });
            let around = &asked - &fitted.center;
            let dots = around.dot(&fitted.around.t());
            for r in 0..50 {
                let found = fitted.nearest(asked.row(r), squared(around.row(r)), dots.row(r));
                let mut all: Vec<(f64, usize)> =
                    (0..700).map(|i| (distance(asked.row(r), rows.row(i)), i)).collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                assert_eq!(found, all[..9], "offset {offset}, scale {scale}, row {r}");
            }
        }
    }

    #[test]
    fn smoothing_adds_votes_in_the_shares_of_the_classes() {
        let classes = crate::model::Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let codes = vec![0, 0, 0, 1];
        let present = Present::among(&classes, &codes);
        let rows = ndarray::array![[0.0f32], [1.0], [2.0], [9.0]];
        let settings = Knn { k: 2, ..Knn::default() };
        let fitted = Neighbours::new(settings, rows, Truth::Classes { present, codes }, vec![1.0; 4]);
        let p = fitted.predict(ndarray::array![[0.1f32]].view()).unwrap();
        assert_eq!(p, ndarray::array![[2.75f32 / 3.0, 0.25 / 3.0]]);
    }
}
