//! When training has diverged: numbers that are not finite, or a loss that explodes.

use std::collections::{BTreeMap, VecDeque};

use consilience_core::Error;

use crate::backend::Host;
use crate::kernels::{squares, wide};
use crate::params::Params;

/// So many of the last batches are looked at.
const LAST: usize = 20;

/// So many times the loss of the first batch is too much.
const TIMES: f32 = 100.0;

/// Why a fit does not go on.
#[derive(Debug)]
pub enum Halt {
    /// Training diverged; it could be tried at a lower rate.
    Diverged(Error),
    /// Anything else.
    Failed(Error),
}

/// What may halt.
pub type Halting<T = ()> = Result<T, Halt>;

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Halt {
    /// Says where; an outer place is put before an inner one.
    #[must_use]
    pub fn at(self, place: impl std::fmt::Display) -> Self {
        match self {
            Self::Diverged(e) => Self::Diverged(e.at(place)),
            Self::Failed(e) => Self::Failed(e.at(place)),
        }
    }
}

/// A number that is not finite.
pub fn not_finite(what: &str, got: f32) -> Halt {
    Halt::Diverged(Error::model(what).got(got))
}

/// A loss that is not finite though every layer is: the square of a number that is too large.
pub fn too_large(params: &Params, loss: f32) -> Halt {
    let halt = not_finite("the loss is not finite", loss);
    match params.largest() {
        Some(name) => halt.at(format!("parameter {name}, whose numbers are the largest")),
        None => halt,
    }
}

/// The losses of the last batches. The loss has exploded when more than half of the last twenty batches are above a hundred
/// times the larger of one and the loss of the first batch, before any step. A network that learns nothing stays near its
/// first loss, and outliers among the rows spoil a batch here and there, not most of them: training that goes on well does
/// not come near this.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Losses {
    first: Option<f32>,
    last: VecDeque<f32>,
}

impl Losses {
    /// Takes the loss of a batch in, and says whether the loss has exploded.
    pub fn see(&mut self, loss: f32) -> bool {
        self.first.get_or_insert(loss);
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(loss);
        let most = self.most();
        self.last.iter().filter(|l| **l > most).count() * 2 > LAST
    }

    /// The largest loss that is not too much.
    pub fn most(&self) -> f32 {
        TIMES * self.first.unwrap_or_default().max(1.0)
    }

    /// Forgets the last batches, but not the first one.
    pub fn forget(&mut self) {
        self.last.clear();
    }

    /// The first loss and the last ones, to be kept.
    pub fn numbers(&self) -> Vec<f32> {
        self.first.iter().chain(&self.last).copied().collect()
    }

    /// What [`Losses::numbers`] gave; `None` if it cannot be.
    pub fn from_numbers(numbers: &[f32]) -> Option<Self> {
        let fine = numbers.len() <= LAST + 1 && numbers.iter().all(|l| l.is_finite());
        fine.then(|| Self {
            first: numbers.first().copied(),
            last: numbers.iter().skip(1).copied().collect(),
        })
    }
}

/// The error of a loss that has exploded. The parameter with the largest gradient is named.
pub fn exploded(losses: &Losses, loss: f32, gradients: &BTreeMap<String, Host>) -> Halt {
    let norm = |g: &Host| squares(g.numbers());
    let steepest = gradients.iter().max_by(|a, b| norm(a.1).total_cmp(&norm(b.1)));
    let error =
        Error::model(format!("the loss explodes: it is too large in most of the last {LAST} batches"))
            .expected(format!("at most {TIMES} times the larger of 1 and the first loss, {}", losses.most()))
            .got(loss);
    Halt::Diverged(match steepest {
        Some((name, _)) => error.at(format!("parameter {name}, whose gradient is the largest")),
        None => error,
    })
}

/// Scales all gradients so that their common Euclidean norm is at most `limit`.
///
/// # Errors
/// [`Halt::Diverged`] naming the parameter whose gradient is not finite.
pub fn clip(gradients: &mut BTreeMap<String, Host>, limit: Option<f64>) -> Halting {
    let mut square = 0.0f64;
    for (name, gradient) in gradients.iter() {
        let values = gradient.numbers();
        let part = wide(
            #[inline(always)]
            || squares(values),
        );
        if !part.is_finite() {
            let bad = values.iter().find(|v| !v.is_finite()).copied().unwrap_or(f32::INFINITY);
            return Err(not_finite("a gradient is not finite", bad).at(format!("parameter {name}")));
        }
        square += part;
    }
    let norm = square.sqrt();
    if let Some(limit) = limit.filter(|l| norm > *l) {
        let factor = (limit / norm) as f32;
        gradients.values_mut().flat_map(Host::numbers_mut).for_each(|v| *v *= factor);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_shortened_to_the_limit_together_and_bad_ones_are_named() {
        let host = |v: &[f32]| Host::new(v.to_vec(), [v.len()]);
        let mut g = BTreeMap::from([("a".to_owned(), host(&[3.0])), ("b".to_owned(), host(&[0.0, 4.0]))]);
        clip(&mut g, Some(10.0)).unwrap();
        assert_eq!(g["a"].numbers(), [3.0]);
        clip(&mut g, Some(2.5)).unwrap();
        assert_eq!((g["a"].numbers()[0], g["b"].numbers()[1]), (1.5, 2.0));
        g.insert("conv1.weight".to_owned(), host(&[1.0, f32::NAN]));
        let Err(Halt::Diverged(error)) = clip(&mut g, None) else { panic!("clipped") };
        assert!(error.to_string().contains("conv1.weight"), "{error}");
    }

    #[test]
    fn a_loss_explodes_when_most_of_the_last_batches_are_far_above_the_first() {
        let see = |losses: &mut Losses, all: &[f32]| all.iter().map(|l| losses.see(*l)).collect::<Vec<_>>();
        // The first loss of 3 allows 300; the eleventh of twenty above it is too much.
        let mut losses = Losses::default();
        assert!(see(&mut losses, &[3.0; 9]).iter().all(|e| !e));
        assert_eq!(losses.most(), 300.0);
        let got = see(&mut losses, &[301.0; 12]);
        assert_eq!(got.iter().position(|e| *e), Some(10));
        // Half of the batches may be outliers, whatever their size, and twenty times the first loss is no explosion.
        let mut losses = Losses::default();
        let rough: Vec<f32> = (0..200).map(|i| if i % 2 == 1 { 1e30 } else { 60.0 }).collect();
        assert!(see(&mut losses, &rough).iter().all(|e| !e));
        // A first loss near zero allows a hundred, not nearly nothing.
        let mut losses = Losses::default();
        assert!(see(&mut losses, &[1e-6]).iter().chain(&see(&mut losses, &[99.0; 40])).all(|e| !e));
        // What is kept is all there is.
        assert_eq!(Losses::from_numbers(&losses.numbers()).unwrap(), losses);
        assert_eq!(Losses::from_numbers(&[]).unwrap(), Losses::default());
        assert_eq!(Losses::from_numbers(&[f32::NAN]), None);
        let mut once = Losses::default();
        see(&mut once, &[2.0, 1e9]);
        once.forget();
        assert_eq!((once.most(), once.numbers()), (200.0, vec![2.0]));
    }
}
