//! The methods a recipe may name, with their schemas: what the registries of all crates give.

use consilience_core::Result;
use consilience_core::data::TaskKind;
use consilience_core::registry::{Entry, Method, Registry, resolve, schema_of};
use consilience_merge::MergeMethod;
use serde_json::Value;

/// Builds a way to merge from its parameters.
pub type BuildMerger = fn(&Value) -> Result<Box<dyn MergeMethod>>;

/// A method by name.
#[derive(Debug, Clone)]
pub struct MethodInfo {
    /// The name in recipes.
    pub name: String,
    /// Part of every hash of a step.
    pub version: u32,
    /// One line about it.
    pub about: String,
    /// The JSON schema of its parameters.
    pub schema: Value,
    /// The parameters with every default written out.
    pub resolve: fn(&Value) -> Result<Value>,
    /// Of a way to merge: what says which members it works on.
    pub merger: Option<BuildMerger>,
}

impl MethodInfo {
    /// A way to merge.
    pub fn of_merger(entry: &Entry<dyn MergeMethod>) -> Self {
        Self { merger: Some(entry.build), ..Self::of(entry) }
    }

    /// The method of a registry's entry.
    pub fn of<T: ?Sized>(entry: &Entry<T>) -> Self {
        Self {
            name: entry.name.to_owned(),
            version: entry.version,
            about: entry.about.to_owned(),
            schema: (entry.schema)(),
            resolve: entry.resolve,
            merger: None,
        }
    }

    /// A method that stands in no registry.
    pub fn of_type<M: Method>() -> Self {
        Self {
            name: M::NAME.to_owned(),
            version: M::VERSION,
            about: M::ABOUT.to_owned(),
            schema: schema_of::<M>(),
            resolve: resolve::<M>,
            merger: None,
        }
    }

    /// All methods of a registry, in its order.
    pub fn all<T: ?Sized>(registry: &Registry<T>) -> Vec<Self> {
        registry.entries.iter().map(Self::of).collect()
    }
}

/// A metric by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricInfo {
    /// The name in recipes.
    pub name: String,
    /// One line about it.
    pub about: String,
    /// Whether it judges classes.
    pub classify: bool,
    /// Whether it judges values.
    pub regress: bool,
}

impl MetricInfo {
    /// Whether it suits a task.
    pub fn suits(&self, task: TaskKind) -> bool {
        match task {
            TaskKind::Classify => self.classify,
            TaskKind::Regress => self.regress,
        }
    }
}

/// Everything a recipe can name.
#[derive(Debug, Clone, Default)]
pub struct Methods {
    /// `fit:` learners on features, and networks.
    pub learners: Vec<MethodInfo>,
    /// `fuse:` what composes predictions.
    pub fusers: Vec<MethodInfo>,
    /// `calibrate:` what makes probabilities mean what they say.
    pub calibrators: Vec<MethodInfo>,
    /// `regions:` what says which classes, or values, are possible.
    pub regions: Vec<MethodInfo>,
    /// `fusion:` networks on several modalities.
    pub fusions: Vec<MethodInfo>,
    /// `merge:` what composes weights.
    pub merges: Vec<MethodInfo>,
    /// `adapt:` what matches domains.
    pub adapters: Vec<MethodInfo>,
    /// The steps under `features:`.
    pub features: Vec<MethodInfo>,
    /// The steps under `augment:`.
    pub transforms: Vec<MethodInfo>,
    /// The entry `mixup` of `augment:`, which is no column.
    pub mixup: Option<MethodInfo>,
    /// What `judge:` can name.
    pub metrics: Vec<MetricInfo>,
}

impl Methods {
    /// The metrics by which a task is judged unless the recipe says otherwise: the first known of a short list, else
    /// the first that suits.
    pub fn usual_metric(&self, task: TaskKind) -> Option<&str> {
        let usual: &[&str] = match task {
            TaskKind::Classify => &["log_loss", "accuracy"],
            TaskKind::Regress => &["rmse", "mse", "mae"],
        };
        let suiting = || self.metrics.iter().filter(|m| m.suits(task));
        usual
            .iter()
            .find_map(|u| suiting().find(|m| m.name == *u))
            .or_else(|| suiting().next())
            .map(|m| m.name.as_str())
    }
}

/// The method of a name in a list of methods.
pub(super) fn find<'a>(methods: &'a [MethodInfo], name: &str) -> Option<&'a MethodInfo> {
    methods.iter().find(|m| m.name == name)
}
