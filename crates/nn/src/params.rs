//! Parameters as named arrays on the host, and as leaves of one forward pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use consilience_core::model::{Array, Parts};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use rand::RngExt;

use crate::backend::{self, Gradients, Host, Tensor};

/// A parameter that an architecture asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its name: layers from the outside in, then `weight` or `bias`, with dots between.
    pub name: String,
    /// Its shape, in the order of PyTorch (outputs first).
    pub shape: Vec<usize>,
    /// It starts uniform in `[center - bound, center + bound)`.
    pub bound: f64,
    /// See `bound`.
    pub center: f64,
    /// Whether gradients move it. Running moments are moved by what their layer sees.
    pub learned: bool,
}

impl Declared {
    /// A parameter that starts uniform within `1 / sqrt(fan_in)`: Kaiming's uniform law with `a = sqrt 5`.
    ///
    /// # Reference
    /// He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers".
    pub fn new(name: impl Into<String>, shape: Vec<usize>, fan_in: usize) -> Self {
        Self::within(name, shape, 1.0 / (fan_in.max(1) as f64).sqrt())
    }

    /// A parameter that starts uniform within `bound` of zero.
    pub fn within(name: impl Into<String>, shape: Vec<usize>, bound: f64) -> Self {
        Self { name: name.into(), shape, bound, center: 0.0, learned: true }
    }

    /// A parameter all of whose numbers start at `value`.
    pub fn constant(name: impl Into<String>, shape: Vec<usize>, value: f64) -> Self {
        Self { center: value, ..Self::within(name, shape, 0.0) }
    }

    /// A running moment, all of whose numbers start at `value`.
    pub fn moment(name: impl Into<String>, shape: Vec<usize>, value: f64) -> Self {
        Self { learned: false, ..Self::constant(name, shape, value) }
    }

    /// Whether it is a running variance: the moment that does not start at zero.
    pub fn is_variance(&self) -> bool {
        !self.learned && self.center > 0.0
    }

    /// How many numbers it has.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// All parameters of a network, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(BTreeMap<String, Host>);

impl Params {
    /// Draws starting values; those of a name depend on the seed and the name alone.
    pub fn init(declared: &[Declared], seed: Seed) -> Self {
        let draw = |d: &Declared| {
            let mut rng = seed.child(&d.name).rng();
            let (bound, center) = (d.bound as f32, d.center as f32);
            let values = (0..d.size()).map(|_| center + (rng.random::<f32>() * 2.0 - 1.0) * bound).collect();
            (d.name.clone(), Host::new(values, d.shape.clone()))
        };
        Self(declared.iter().map(draw).collect())
    }

    /// Takes the declared parameters from saved parts.
    ///
    /// # Errors
    /// [`Error::Model`] naming the tensor that is missing, has another shape, or holds a number that is not finite.
    pub fn from_parts(declared: &[Declared], parts: &Parts) -> Result<Self> {
        let mut all = BTreeMap::new();
        for d in declared {
            let tensor = || format!("tensor {}", d.name);
            let (shape, values) = parts.f32(&d.name).map_err(|e| e.at(tensor()))?;
            if shape != d.shape.as_slice() {
                return Err(Error::model("a tensor has another shape than the architecture says")
                    .at(tensor())
                    .expected(format!("{:?}", d.shape))
                    .got(format!("{shape:?}")));
            }
            if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
                return Err(Error::model("a tensor holds a number that is not finite").at(tensor()).got(bad));
            }
            if let Some(bad) = values.iter().find(|v| d.is_variance() && **v < 0.0) {
                return Err(Error::model("a running variance is below 0").at(tensor()).got(bad));
            }
            all.insert(d.name.clone(), Host::new(values.to_vec(), d.shape.clone()));
        }
        Ok(Self(all))
    }

    /// Adds the parameters to parts, each under its name.
    #[must_use]
    pub fn write(&self, parts: Parts) -> Parts {
        self.0.iter().fold(parts, |p, (name, v)| p.with(name, Array::F32(v.shape(), v.numbers().to_vec())))
    }

    /// The numbers of all parameters as bytes, in order of their names.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.values().flat_map(|p| p.numbers()).flat_map(|v| v.to_le_bytes()).collect()
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&Host> {
        self.0.get(name)
    }

    /// The parameters by name, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Host)> {
        self.0.iter().map(|(n, p)| (n.as_str(), p))
    }

    /// The parameters by name, in order, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Host)> {
        self.0.iter_mut().map(|(n, p)| (n.as_str(), p))
    }

    /// The parameters as tensors for a forward pass: leaves that take gradients, or constants. They share their numbers
    /// with these parameters, which should not be changed before the tensors are dropped: they would be copied then.
    pub fn bind(&self, gradients: bool) -> Bound {
        self.bind_where(|_| gradients)
    }

    /// The same, where only the parameters whose names are wanted take gradients.
    pub fn bind_where(&self, wanted: impl Fn(&str) -> bool) -> Bound {
        let leaf = |(n, p): (&String, &Host)| {
            let learns = wanted(n);
            let flat = if learns { backend::leaf(p) } else { p.flat() };
            (n.clone(), Leaf { shape: p.shape(), flat, learns })
        };
        Bound { leaves: self.0.iter().map(leaf).collect(), folded: Mutex::default() }
    }

    /// Moves running moments towards those of a batch: `r <- (1 - share) r + share m`.
    pub fn approach(&mut self, moments: &BTreeMap<String, Vec<f32>>, share: f32) {
        for (name, seen) in moments {
            if let Some(running) = self.0.get_mut(name) {
                running.numbers_mut().iter_mut().zip(seen).for_each(|(r, m)| *r += share * (m - *r));
            }
        }
    }

    /// Takes in other numbers for the parameters named, which must have as many.
    pub fn replace(&mut self, others: BTreeMap<String, Vec<f32>>) {
        for (name, numbers) in others {
            if let Some(host) = self.0.get_mut(&name) {
                *host = Host::new(numbers, host.shape());
            }
        }
    }

    /// The parameter that holds the number farthest from zero.
    pub fn largest(&self) -> Option<&str> {
        let far = |p: &Host| p.numbers().iter().fold(0.0f32, |far, v| far.max(v.abs()));
        self.iter().max_by(|a, b| far(a.1).total_cmp(&far(b.1))).map(|(n, _)| n)
    }

    /// The first parameter that holds a number that is not finite, and that number.
    pub fn not_finite(&self) -> Option<(&str, f32)> {
        let bad = |p: &Host| p.numbers().iter().copied().find(|v| !v.is_finite());
        self.iter().find_map(|(n, p)| Some((n, bad(p)?)))
    }
}

struct Leaf {
    shape: Vec<usize>,
    flat: Tensor<1>,
    learns: bool,
}

/// A convolution that a batch norm was folded into: its weight and its bias.
pub type Folded = (Tensor<4>, Tensor<1>);

/// Parameters as the tensors of one or more forward passes.
pub struct Bound {
    leaves: BTreeMap<String, Leaf>,
    folded: Mutex<BTreeMap<String, Folded>>,
}

impl Bound {
    /// Whether gradients of a parameter are wanted.
    pub fn learns(&self, name: &str) -> bool {
        self.leaves.get(name).is_some_and(|leaf| leaf.learns)
    }

    /// What was folded for a layer, or is now.
    ///
    /// # Errors
    /// Those of `fold`.
    pub fn folded(&self, layer: &str, fold: impl FnOnce() -> Result<Folded>) -> Result<Folded> {
        let mut all = self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folded) = all.get(layer) {
            return Ok(folded.clone());
        }
        let folded = fold()?;
        all.insert(layer.to_owned(), folded.clone());
        Ok(folded)
    }

    /// A parameter in its shape.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is none of that name with `D` dimensions.
    pub fn get<const D: usize>(&self, name: &str) -> Result<Tensor<D>> {
        let Leaf { shape, flat, .. } =
            self.leaves.get(name).ok_or_else(|| Error::internal(format!("no parameter \"{name}\"")))?;
        let shape: [usize; D] = shape.as_slice().try_into().map_err(|_| {
            Error::internal(format!("parameter \"{name}\" has shape {shape:?}, not {D} dimensions"))
        })?;
        Ok(flat.clone().reshape(shape))
    }

    /// The gradients of all parameters that a loss depends on, by name, flat.
    ///
    /// # Errors
    /// [`Error::Internal`] if the backend cannot give them.
    pub fn gradients(&self, mut gradients: Gradients) -> Result<BTreeMap<String, Host>> {
        let mut all = BTreeMap::new();
        for (name, leaf) in self.leaves.iter().filter(|(_, leaf)| leaf.learns) {
            if let Some(values) = backend::take_gradient(&leaf.flat, &mut gradients)? {
                all.insert(name.clone(), values);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn starting_values_depend_on_seed_and_name_alone_and_stay_within_the_bound() {
        let (a, b) = (Declared::new("a", vec![100, 25], 25), Declared::new("b", vec![4], 4));
        let both = Params::init(&[a.clone(), b.clone()], Seed::new(1));
        let one = Params::init(std::slice::from_ref(&b), Seed::new(1));
        assert_eq!(both.0["b"], one.0["b"]);
        assert_ne!(both.0["b"], Params::init(&[b], Seed::new(2)).0["b"]);
        let values = both.0["a"].numbers();
        assert!(values.iter().all(|v| v.abs() <= 0.2));
        // Uniform within .2: mean 0 and deviation .2 / sqrt 3, within five standard errors.
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 2500.0;
        let spread = (values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 2500.0).sqrt();
        assert!(mean.abs() < 5.0 * 0.1155 / 50.0, "{mean}");
        assert!((spread - 0.11547).abs() < 0.005, "{spread}");
        assert_eq!(both.bytes().len(), 4 * 2504);
    }

    #[test]
    fn constants_start_at_their_value() {
        let declared = [1.0, 0.0, -0.1].map(|v| Declared::constant(format!("at {v}"), vec![2, 3], v));
        let params = Params::init(&declared, Seed::new(1));
        for (d, (name, p)) in declared.iter().rev().zip(params.iter()) {
            assert_eq!((name, p.shape()), (d.name.as_str(), d.shape.clone()));
            assert_eq!(p.numbers(), [d.center as f32; 6]);
        }
    }

    #[test]
    fn only_what_is_wanted_takes_a_gradient_and_a_bad_number_is_found() {
        let declared = ["a", "b"].map(|n| Declared::constant(n, vec![2], 3.0));
        let mut params = Params::init(&declared, Seed::new(1));
        let bound = params.bind_where(|name| name == "b");
        let loss = (bound.get::<1>("a").unwrap() * bound.get::<1>("b").unwrap()).sum();
        let gradients = bound.gradients(backend::backward(&loss).unwrap()).unwrap();
        assert_eq!(gradients.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(gradients["b"].numbers(), [3.0, 3.0]);
        assert_eq!(params.not_finite(), None);
        params.iter_mut().next().unwrap().1.numbers_mut()[1] = -4.0;
        assert_eq!(params.largest(), Some("a"));
        params.iter_mut().last().unwrap().1.numbers_mut()[1] = f32::INFINITY;
        assert_eq!(params.not_finite(), Some(("b", f32::INFINITY)));
    }

    #[test]
    fn loading_names_the_tensor_that_is_wrong() {
        let declared = [Declared::new("w", vec![2], 2)];
        let empty = Parts::new("x", Value::Null);
        let wrong = empty.clone().with_f32("w", &[1.0]);
        let bad = empty.clone().with_f32("w", &[1.0, f32::NAN]);
        for parts in [&empty, &wrong, &bad] {
            let error = Params::from_parts(&declared, parts).unwrap_err();
            assert!(error.to_string().contains("tensor w"), "{error}");
        }
        let fine = Params::from_parts(&declared, &empty.clone().with_f32("w", &[1.0, 2.0])).unwrap();
        assert_eq!(fine.write(empty).f32("w").unwrap().1, [1.0, 2.0]);
    }
}
