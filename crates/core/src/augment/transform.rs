//! The contract of a transform: draw, then act.

use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Kind;
use crate::seed::{Rng, Seed};

/// One row of one column, to be changed in place; its shape stays.
#[derive(Debug)]
#[non_exhaustive]
pub enum Sample<'a> {
    /// An image of bytes, channels innermost.
    Image {
        /// `[height, width, channels]`.
        shape: [usize; 3],
        /// Rows top to bottom, pixels left to right.
        pixels: &'a mut [u8],
    },
    /// A sound.
    Audio {
        /// Samples in a second.
        rate: u32,
        /// From -1 to 1.
        samples: &'a mut [f32],
    },
    /// Numbers of some shape.
    Vector {
        /// The shape.
        shape: &'a [usize],
        /// Row-major.
        values: &'a mut [f32],
    },
}

impl Sample<'_> {
    /// What it is a row of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Image { .. } => Kind::Image,
            Self::Audio { .. } => Kind::Audio,
            Self::Vector { .. } => Kind::Vector,
        }
    }

    /// The error of the transform `name` that was given this kind of sample.
    pub(super) fn refused(&self, name: &str) -> Error {
        Error::data(format!("\"{name}\" cannot change a column of kind {}", self.kind().name()))
    }
}

/// What a transform drew for one sample: enough to do the same again, to it or to what must follow it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    /// The parameters drawn; what each stands for is the transform's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<f64>,
    /// Where noise of the sample's size starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<u64>,
}

impl Draw {
    /// A draw of parameters only.
    pub fn of(values: impl Into<Vec<f64>>) -> Self {
        Self { values: values.into(), noise: None }
    }

    /// A draw of parameters and of the start of noise.
    pub fn noisy(values: impl Into<Vec<f64>>, rng: &mut Rng) -> Self {
        Self { values: values.into(), noise: Some(rng.random()) }
    }

    /// The parameter at `index`; 0 if it was not drawn.
    pub fn value(&self, index: usize) -> f64 {
        self.values.get(index).copied().unwrap_or(0.0)
    }

    /// Independent standard normal numbers, the same ones each time.
    pub fn normals(&self) -> impl Iterator<Item = f64> + use<> {
        let mut rng = Seed::new(self.noise.unwrap_or(0)).child("noise").rng();
        std::iter::repeat_with(move || rng.sample(StandardNormal))
    }
}

/// A random change of one sample.
///
/// Drawing and acting are apart, so that one draw can move an image and its mask, be recorded, and be replayed; a
/// transform made of others (all, one of, some of) draws for them.
pub trait Transform: Send + Sync {
    /// Whether it can change columns of this kind.
    fn accepts(&self, kind: Kind) -> bool;

    /// Draws its parameters. Reads of the sample only its shape, never its values.
    fn draw(&self, sample: &Sample<'_>, rng: &mut Rng) -> Draw;

    /// Changes the sample as was drawn; nothing random happens here.
    ///
    /// # Errors
    /// [`Error::Data`] for a sample of a kind that it does not accept.
    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()>;
}

/// A number from `low` to `high`, all equally likely.
pub(super) fn uniform(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// Checks a parameter against its range.
///
/// # Errors
/// [`Error::Argument`] naming it.
pub(super) fn within(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::argument("the number is out of range").at(key).expected(format!("{low} to {high}")).got(value))
}
