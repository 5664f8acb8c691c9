//! A convolution followed by batch norm: by the moments of the batch in training, by running ones folded into the
//! convolution otherwise.

use consilience_core::Result;
use consilience_core::model::graph::Value;

use super::Pass;
use crate::backend::{self, Host, Tensor};
use crate::graph::{self, Sketch};
use crate::kernels::{Moments, Moves, Norm, batch_norm, conv2d, fold};
use crate::params::{Declared, Folded};

/// Added to every variance.
const EPSILON: f32 = 1e-5;

/// The share of a batch's moments that enters the running ones.
pub const SHARE: f32 = 0.1;

/// The names of the running moments.
const MOMENTS: [&str; 2] = ["running_mean", "running_var"];

/// `weight`, which starts at one, `bias`, `running_mean` and `running_var`, all `[channels]`.
pub fn declare(layer: &str, channels: usize) -> [Declared; 4] {
    let name = |part: &str| format!("{layer}.{part}");
    [
        Declared::constant(name("weight"), vec![channels], 1.0),
        Declared::constant(name("bias"), vec![channels], 0.0),
        Declared::moment(name(MOMENTS[0]), vec![channels], 0.0),
        Declared::moment(name(MOMENTS[1]), vec![channels], 1.0),
    ]
}

/// A convolution without bias and the norm behind it.
#[derive(Debug, Clone, Copy)]
pub struct Normed<'a> {
    /// The layer of the convolution, whose parameter is `weight [outputs, inputs, height, width]`.
    pub convolution: &'a str,
    /// The layer of the norm.
    pub norm: &'a str,
    /// How the kernel moves.
    pub moves: Moves,
    /// Whether what is below zero becomes zero at the end.
    pub rectify: bool,
}

impl Normed<'_> {
    /// The parameters of both, the kernel being `[height, width]`. The weight starts uniform with variance
    /// `2 / (outputs height width)`.
    ///
    /// # Reference
    /// He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers".
    pub fn declare(&self, inputs: usize, outputs: usize, [height, width]: [usize; 2]) -> Vec<Declared> {
        let fan_out = (outputs * height * width).max(1) as f64;
        let shape = vec![outputs, inputs, height, width];
        let weight = Declared::within(format!("{}.weight", self.convolution), shape, (6.0 / fan_out).sqrt());
        std::iter::once(weight).chain(declare(self.norm, outputs)).collect()
    }

    /// `norm(w * x) [+ residual]`, rectified where asked. A norm whose weight is trained takes the mean and the variance
    /// of the batch, and notes them for the running ones; one that is frozen, one that predicts, and one that is given a
    /// single number a channel, which has no variance, take the running ones.
    ///
    /// # Shapes
    /// `x [rows, inputs, h, w]` to the output of the convolution, which is also the shape of `residual`.
    ///
    /// # Errors
    /// As [`Pass::param`] and [`Pass::see`].
    pub fn forward(&self, pass: &Pass<'_>, x: Tensor<4>, residual: Option<Tensor<4>>) -> Result<Tensor<4>> {
        if pass.by_batch(self.norm) {
            let weight = pass.param(self.convolution, "weight")?;
            let y = conv2d(x.clone(), weight, None, None, self.moves, false);
            let [rows, _, h, w] = y.dims();
            if rows * h * w > 1 {
                let [gamma, beta] = [pass.param(self.norm, "weight")?, pass.param(self.norm, "bias")?];
                let (y, moments) = batch_norm(y, gamma, beta, residual, EPSILON, self.rectify);
                self.note(pass, moments, rows * h * w);
                return pass.see(self.norm, y);
            }
        }
        let (weight, bias) = self.folded(pass)?;
        pass.see(self.norm, conv2d(x, weight, Some(bias), residual, self.moves, self.rectify))
    }

    /// Writes what [`Normed::forward`] does when predicting.
    ///
    /// # Errors
    /// As [`Sketch::param`].
    pub fn graph(&self, sketch: &mut Sketch<'_>, x: &Value, residual: Option<&Value>) -> Result<Value> {
        let y = graph::conv2d(sketch, self.convolution, x, self.moves)?;
        let y = graph::batch_norm(sketch, self.norm, &y, EPSILON)?;
        let y = residual.map_or_else(|| y.clone(), |r| sketch.graph.add(&y, r));
        Ok(if self.rectify { sketch.graph.one("Relu", &y) } else { y })
    }

    /// Running variances are those of all rows there could be: sums of squares over one less than the count.
    fn note(&self, pass: &Pass<'_>, moments: Moments, count: usize) {
        let unbiased = count as f32 / (count - 1) as f32;
        pass.note(self.norm, MOMENTS[0], moments.mean, count);
        pass.note(self.norm, MOMENTS[1], moments.variance.into_iter().map(|v| v * unbiased).collect(), count);
    }

    /// The convolution with the running moments in it. Where nothing of it is trained, it is made once.
    fn folded(&self, pass: &Pass<'_>) -> Result<Folded> {
        let weight: Tensor<4> = pass.param(self.convolution, "weight")?;
        let of = |name: &str| pass.param::<1>(self.norm, name);
        let [gamma, beta, mean, variance] = [of("weight")?, of("bias")?, of(MOMENTS[0])?, of(MOMENTS[1])?];
        if pass.learns(self.convolution, "weight") || pass.learns(self.norm, "weight") {
            let [outputs, ..] = weight.dims();
            let scale = gamma / (variance + EPSILON).sqrt();
            return Ok((weight * scale.clone().reshape([outputs, 1, 1, 1]), beta - mean * scale));
        }
        pass.bound.folded(self.norm, || {
            let shape = weight.dims();
            let [gamma, beta] = [Host::of(gamma)?, Host::of(beta)?];
            let moments = Moments { mean: backend::read(mean)?, variance: backend::read(variance)? };
            let norm =
                Norm { gamma: gamma.numbers(), beta: beta.numbers(), moments: &moments, epsilon: EPSILON };
            let (weight, bias) = fold(&Host::of(weight)?, None, norm);
            Ok((weight.flat().reshape(shape), bias.flat()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;
    use consilience_core::seed::Seed;

    const LAYER: Normed<'_> = Normed {
        convolution: "conv",
        norm: "bn",
        moves: Moves { stride: 1, padding: [1, 1], dilation: 1, groups: 1 },
        rectify: true,
    };

    fn params() -> Params {
        let mut params = Params::init(&LAYER.declare(2, 3, [3, 3]), Seed::new(1));
        params.replace(std::collections::BTreeMap::from([
            ("bn.weight".to_owned(), vec![1.5, -0.5, 1.0]),
            ("bn.bias".to_owned(), vec![0.1, 0.4, -0.2]),
            ("bn.running_mean".to_owned(), vec![0.2, 0.0, -0.3]),
            ("bn.running_var".to_owned(), vec![0.5, 2.0, 1.0]),
        ]));
        params
    }

    fn x(rows: usize) -> Tensor<4> {
        let numbers = (0..rows * 2 * 4 * 5).map(|i| ((i * 7 + 3) % 11) as f32 / 5.0 - 1.0).collect();
        backend::constant(numbers, [rows, 2, 4, 5])
    }

    #[test]
    fn training_normalizes_by_the_batch_and_moves_the_running_moments() {
        let mut params = params();
        let bound = params.bind_where(|n| !n.contains("running"));
        let pass = Pass::training(&bound, 0.0, Seed::new(1));
        let y = LAYER.forward(&pass, x(6), None).unwrap();
        let weight = bound.get("conv.weight").unwrap();
        let plain = backend::read(conv2d(x(6), weight, None, None, LAYER.moves, false)).unwrap();
        let channel = |c: usize| -> Vec<f64> {
            plain.chunks(20).skip(c).step_by(3).flatten().map(|v| f64::from(*v)).collect()
        };
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let got = backend::read(y).unwrap();
        let moments = pass.moments();
        assert_eq!(moments.keys().collect::<Vec<_>>(), ["bn.running_mean", "bn.running_var"]);
        params.approach(&moments, SHARE);
        for (c, (gamma, beta)) in [(1.5, 0.1), (-0.5, 0.4), (1.0, -0.2)].into_iter().enumerate() {
            let all = channel(c);
            let m = mean(&all);
            let v = mean(&all.iter().map(|a| (a - m).powi(2)).collect::<Vec<_>>());
            let expected = all.iter().map(|a| (gamma * (a - m) / (v + 1e-5).sqrt() + beta).max(0.0));
            let got = got.chunks(20).skip(c).step_by(3).flatten();
            assert!(got.zip(expected).all(|(a, e)| (f64::from(*a) - e).abs() < 1e-5));
            let of = |name: &str| params.iter().find(|(n, _)| *n == name).unwrap().1.numbers()[c];
            let was = [[0.2, 0.0, -0.3][c], [0.5, 2.0, 1.0][c]];
            assert!((f64::from(of("bn.running_mean")) - (0.9 * was[0] + 0.1 * m)).abs() < 1e-6);
            assert!(
                (f64::from(of("bn.running_var")) - (0.9 * was[1] + 0.1 * v * 120.0 / 119.0)).abs() < 1e-6
            );
        }
    }

    #[test]
    fn frozen_and_predicting_norms_take_the_running_moments() {
        let params = params();
        let all = params.bind(false);
        let predicted = backend::read(LAYER.forward(&Pass::predicting(&all), x(2), None).unwrap()).unwrap();
        // The norm is frozen and the convolution is not: gradients go through to its weight.
        let bound = params.bind_where(|n| n.starts_with("conv"));
        let pass = Pass::training(&bound, 0.0, Seed::new(1));
        let y = LAYER.forward(&pass, x(2), None).unwrap();
        let gradients = bound.gradients(backend::backward(&y.clone().sum()).unwrap()).unwrap();
        assert_eq!(gradients.keys().collect::<Vec<_>>(), ["conv.weight"]);
        assert!(gradients["conv.weight"].numbers().iter().any(|g| *g != 0.0));
        assert!(pass.moments().is_empty());
        for (a, e) in backend::read(y).unwrap().iter().zip(&predicted) {
            assert!((a - e).abs() < 1e-5, "{a} {e}");
        }
        // A single number a channel has no variance.
        let bound = params.bind_where(|n| !n.contains("running"));
        let pass = Pass::training(&bound, 0.0, Seed::new(1));
        let moves = Moves { padding: [0, 0], stride: 5, ..LAYER.moves };
        let y = Normed { moves, ..LAYER }.forward(&pass, x(1), None).unwrap();
        assert_eq!(y.dims(), [1, 3, 1, 1]);
        assert!(pass.moments().is_empty());
    }
}
