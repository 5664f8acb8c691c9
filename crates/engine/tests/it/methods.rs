//! A small stand-in for the registries: methods with parameters of every kind that a schema can have.

use consilience_core::error::{Error, Result};
use consilience_core::registry::{Method, Registry};
use consilience_engine::recipe::{MethodInfo, Methods, MetricInfo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The contract of the stand-ins: none.
pub trait Any {}

macro_rules! method {
    ($type:ident, $name:literal, $about:literal { $($(#[$attr:meta])* $field:ident : $kind:ty = $default:expr),* $(,)? }
     $(check $check:expr)?) => {
        #[doc = $about]
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $type { $($(#[$attr])* $field: $kind),* }

        impl Default for $type {
            fn default() -> Self { Self { $($field: $default),* } }
        }

        impl Any for $type {}

        impl Method for $type {
            const NAME: &'static str = $name;
            const ABOUT: &'static str = $about;
            $(fn validate(&self) -> Result<()> { $check(self) })?
        }
    };
}

method!(Logistic, "logistic", "Logistic regression." {
    /// Inverse strength of the penalty.
    #[schemars(range(min = 1e-6, max = 1e6))]
    c: f64 = 1.0,
    /// Weigh classes by how rare they are.
    balanced: bool = false,
});
method!(Forest, "random_forest", "Many trees on resampled rows." {
    /// How many trees.
    #[schemars(range(min = 1, max = 10_000))]
    trees: u32 = 200,
    /// The deepest tree; unbounded without.
    #[schemars(range(min = 1))]
    depth: Option<u32> = None,
});
method!(Knn, "knn", "The nearest neighbors vote." {
    /// How many neighbors.
    #[schemars(range(min = 1))]
    k: u32 = 5,
});
method!(Cnn, "cnn", "A small convolutional network." {
    /// Channels of each block.
    #[schemars(length(min = 1, max = 8))]
    channels: Vec<u32> = vec![16, 32],
    /// How many times it sees all rows.
    #[schemars(range(min = 1, max = 10_000))]
    epochs: u32 = 8,
    /// Rows a step.
    #[schemars(range(min = 1))]
    batch: u32 = 64,
    /// The step size.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    rate: f64 = 1e-3,
    /// What is minimized.
    loss: Loss = Loss::CrossEntropy,
    /// How the step size falls.
    schedule: Schedule = Schedule::default(),
} check |m: &Cnn| if m.batch > 4096 && m.rate > 0.5 {
    Err(Error::argument("such a rate cannot work with large batches").expected("a rate of at most 0.5"))
} else if m.channels.iter().any(|c| c % 2 == 1) {
    Err(Error::argument("channels must be even").got(format!("{:?}", m.channels)).remedy("double them"))
} else {
    Ok(())
});
method!(Mlp, "mlp", "A network of dense layers." {
    /// Widths of the hidden layers.
    hidden: Vec<u32> = vec![64],
    /// Where to stop.
    epochs: u32 = 20,
});
method!(SoftVote, "soft_vote", "The mean of the probabilities." {});
method!(Weighted, "weighted", "A weight a member." {});
method!(Greedy, "greedy", "Adds members one by one, the best each time." {
    /// How many are added.
    #[schemars(range(min = 1))]
    steps: u32 = 20,
});
method!(Stacking, "stacking", "A regression on the members' predictions." {
    /// Inverse strength of the penalty.
    c: f64 = 1.0,
    /// Start values for the weights, by class.
    start: Option<Vec<f32>> = None,
});
method!(Concat, "concat", "Features side by side." {
    /// Width of the shared layer.
    hidden: u32 = 64,
    /// How many times it sees all rows.
    epochs: u32 = 8,
});
method!(Late, "late", "Heads that vote." { /// As for networks.
    epochs: u32 = 8 });
method!(Linear, "linear", "The weighted mean of the weights." {
    /// The weight of each member; equal without.
    weight: Option<Vec<f64>> = None,
});
method!(Coral, "coral", "Matches covariances." {
    /// Added to the diagonal.
    ridge: f64 = 1e-3,
});
method!(Standardize, "standardize", "Mean zero, variance one." {});
method!(LogMel, "log_mel", "The logarithm of mel bands." {
    /// How many bands.
    #[schemars(range(min = 8, max = 256))]
    bands: u16 = 40,
    /// From where to where, in Hz.
    range: (f64, f64) = (20.0, 8000.0),
});
method!(Crop, "random_crop", "A random window of the padded image." {
    /// Pixels on each side.
    padding: u8 = 2,
});
method!(Rotate, "rotate", "A random turn." {
    /// At most this many degrees.
    #[schemars(range(min = 0, max = 180))]
    degrees: f64 = 10.0,
});
method!(Mixup, "mixup", "Mixes pairs of rows." {
    /// Of the beta distribution.
    #[schemars(range(min = 0.01))]
    alpha: f64 = 0.2,
});

/// What a network minimizes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Of classes.
    CrossEntropy,
    /// Of values.
    Squared,
}

/// How a step size falls.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Not at all.
    Flat,
    /// By half a cosine.
    Cosine {
        /// Epochs of rising first.
        warmup: u32,
    },
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Cosine { warmup: 1 }
    }
}

macro_rules! all {
    ($($type:ty),*) => {
        MethodInfo::all(&Registry::<dyn Any> {
            what: "method",
            entries: const { &[$(consilience_core::entry!(dyn Any, $type)),*] },
        })
    };
}

/// Everything a recipe of these tests can name.
pub fn methods() -> Methods {
    let metric = |name: &str, classify: bool, regress: bool| MetricInfo {
        name: name.into(),
        about: format!("The metric {name}."),
        classify,
        regress,
    };
    Methods {
        learners: all![Logistic, Forest, Knn, Cnn, Mlp],
        fusers: all![SoftVote, Weighted, Greedy, Stacking],
        calibrators: vec![],
        regions: vec![],
        fusions: all![Concat, Late],
        merges: all![Linear],
        adapters: all![Coral],
        features: all![Standardize, LogMel],
        transforms: all![Crop, Rotate],
        mixup: Some(MethodInfo::of_type::<Mixup>()),
        metrics: vec![
            metric("accuracy", true, false),
            metric("log_loss", true, false),
            metric("ece", true, false),
            metric("rmse", false, true),
            metric("mae", false, true),
            metric("r2", false, true),
        ],
    }
}
