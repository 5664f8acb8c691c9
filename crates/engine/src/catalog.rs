//! Every method of every crate, in one place: what recipes can name, how it is built, how it is loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use consilience_core::augment::{Augmenter, Mixup};
use consilience_core::features::Reader;
use consilience_core::fuse::{Calibrated, Pruned};
use consilience_core::members::{Prepared, Preprocess, Steps, Tabular};
use consilience_core::model::{
    Batch, Classes, Context, Distill, Estimator, Feature, Fitted, Fuser, Labelled, Lesson, Loaders, Model,
    Outline, Parts, Schema, Task,
};
use consilience_core::registry::{Entry, Method, Registry};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use consilience_core::{adapt, augment, calibrate, entry, features, fuse, learners, members, metrics};
use consilience_merge::{METHODS, MergeMethod};
use consilience_nn::{AugmentHook, Augmentation, FUSIONS, NETWORKS, Network, NetworkMethod};
use serde::Serialize;
use serde_json::{Value, json};

use crate::foreign::{self, Onnx};
use crate::recipe::{Call, MethodInfo, Methods, MetricInfo, augment_value, recipe_schema};
use crate::regioned;
use crate::run::{Build, Ground, Keyed};
use crate::soup::GreedySoup;

/// The feature steps: core's, and the one that needs a runtime for foreign models.
pub static FEATURES: Registry<dyn Feature> = Registry { what: "feature step", entries: &STEPS };

const STEPS: [Entry<dyn Feature>; features::ENTRIES.len() + 1] = {
    let mut all = [entry!(dyn Feature, Onnx); features::ENTRIES.len() + 1];
    let mut i = 0;
    while i < features::ENTRIES.len() {
        all[i] = features::ENTRIES[i];
        i += 1;
    }
    all
};

/// The ways to merge weights: those of checkpoints, and the one that needs rows to choose by.
pub static MERGERS: Registry<dyn MergeMethod> = Registry { what: "way to merge", entries: &WAYS };

const WAYS: [Entry<dyn MergeMethod>; METHODS.entries.len() + 1] = {
    let mut all = [entry!(dyn MergeMethod, GreedySoup); METHODS.entries.len() + 1];
    let mut i = 0;
    while i < METHODS.entries.len() {
        all[i] = METHODS.entries[i];
        i += 1;
    }
    all
};

/// How everything that was saved is loaded.
pub fn loaders() -> Loaders {
    let mut loaders = Loaders {
        models: members::LOADERS.iter().copied().collect(),
        features: features::LOADERS.iter().copied().collect(),
        learners: learners::LOADERS.iter().copied().collect(),
        fused: fuse::LOADERS.iter().chain(calibrate::LOADERS).copied().collect(),
        adapted: adapt::LOADERS.iter().copied().collect(),
    };
    loaders.models.insert("network", load_network);
    loaders.models.insert("onnx", foreign::load);
    loaders.models.insert(regioned::KIND, regioned::load);
    loaders.features.insert("onnx", foreign::load_step);
    loaders
}

fn load_network(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Model>> {
    Ok(Box::new(open_network(parts, loaders)?))
}

/// A network of ours.
pub(crate) fn open_network(parts: &Parts, loaders: &Loaders) -> Result<Network> {
    let prepared = Prepared::load(&parts.nested("inputs")?, loaders)?;
    Network::load(parts, Box::new(prepared))
}

fn infos<T: ?Sized>(registry: &Registry<T>) -> Vec<MethodInfo> {
    registry.entries.iter().map(MethodInfo::of).collect()
}

/// What recipes can name, for checking them.
pub fn methods() -> Methods {
    let mut fitted = infos(&learners::REGISTRY);
    fitted.extend(infos(&NETWORKS));
    Methods {
        learners: fitted,
        fusers: infos(&fuse::REGISTRY),
        calibrators: infos(&calibrate::REGISTRY),
        regions: regions(),
        fusions: infos(&FUSIONS),
        merges: MERGERS.entries.iter().map(MethodInfo::of_merger).collect(),
        adapters: infos(&adapt::REGISTRY),
        features: infos(&FEATURES),
        transforms: infos(&augment::REGISTRY),
        mixup: Some(MethodInfo::of_type::<Mixup>()),
        metrics: metrics::ALL.iter().map(|m| metric_info(*m)).collect(),
    }
}

/// The kinds of regions that one model has: not those that need two, or one a fold.
fn regions() -> Vec<MethodInfo> {
    let all = infos(&calibrate::conformal::REGISTRY);
    all.into_iter().filter(|m| !["cqr", "cv_plus"].contains(&m.name.as_str())).collect()
}

fn metric_info(metric: &dyn metrics::Metric) -> MetricInfo {
    let two = Classes::new(vec!["a".to_owned(), "b".to_owned()]).map(Task::Classify);
    MetricInfo {
        name: metric.name().to_owned(),
        about: metric.about().to_owned(),
        classify: two.is_ok_and(|task| metric.suits(&task)),
        regress: metric.suits(&Task::Regress),
    }
}

/// The JSON schema of recipes as text, for editors.
///
/// # Errors
/// [`Error::Internal`] if it cannot be written.
pub fn schema_text() -> Result<String> {
    let text = serde_json::to_string_pretty(&recipe_schema(&methods()));
    text.map(|t| t + "\n").map_err(|e| Error::internal(e.to_string()))
}

/// One kind of method, for `csl list`.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The kind.
    pub kind: &'static str,
    /// Where recipes name them.
    pub place: &'static str,
    /// The methods.
    pub methods: Vec<ListedMethod>,
}

/// One method, for `csl list`.
#[derive(Debug, Clone, Serialize)]
pub struct ListedMethod {
    /// The name in recipes.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The JSON schema of its parameters; null for metrics.
    pub parameters: Value,
}

/// Every method by kind.
pub fn list() -> Vec<Listed> {
    fn of<T: ?Sized>(kind: &'static str, place: &'static str, registry: &Registry<T>) -> Listed {
        let one = |e: &Entry<T>| ListedMethod { name: e.name, about: e.about, parameters: (e.schema)() };
        Listed { kind, place, methods: registry.entries.iter().map(one).collect() }
    }
    vec![
        of("learners", "members: {name: {fit: ...}}", &learners::REGISTRY),
        of("networks", "members: {name: {fit: ...}}", &NETWORKS),
        of("fusers", "synthesis: {name: {fuse: ...}}", &fuse::REGISTRY),
        of("calibrators", "members and synthesis: {name: {..., calibrate: ...}}", &calibrate::REGISTRY),
        Listed {
            kind: "regions",
            place: "regions: {name: {...}}",
            methods: calibrate::conformal::REGISTRY
                .entries
                .iter()
                .filter(|e| regions().iter().any(|m| m.name == e.name))
                .map(|e| ListedMethod { name: e.name, about: e.about, parameters: (e.schema)() })
                .collect(),
        },
        of("fusions", "synthesis: {name: {fusion: ...}}", &FUSIONS),
        of("mergers", "synthesis: {name: {merge: ...}}", &MERGERS),
        of("adapters", "synthesis: {name: {adapt: ...}}", &adapt::REGISTRY),
        of("features", "features: {column: [...]}", &FEATURES),
        of("transforms", "augment: {column: [...]}", &augment::REGISTRY),
        Listed {
            kind: "metrics",
            place: "judge: {choose: ..., report: [...]}",
            methods: metrics::ALL
                .iter()
                .map(|m| ListedMethod { name: m.name(), about: m.about(), parameters: Value::Null })
                .collect(),
        },
    ]
}

/// A way to fuse, with members taken out of it and its probabilities calibrated where that is asked for.
pub(crate) fn fuser(call: &Call, prune: Option<f64>, calibrate: Option<&Call>) -> Result<Box<dyn Fuser>> {
    let mut fuser = fuse::REGISTRY.build(&call.name, &call.parameters)?;
    if let Some(slack) = prune {
        fuser = Box::new(Pruned { fuser, slack });
    }
    if let Some(call) = calibrate {
        let calibrator = calibrate::REGISTRY.build(&call.name, &call.parameters)?;
        fuser = Box::new(Calibrated { fuser, calibrator });
    }
    Ok(fuser)
}

/// The preprocessing of a member: its own steps, else the recipe's, else the defaults.
pub(crate) fn preprocess(
    ground: &Ground<'_>,
    on: &[String],
    own: &BTreeMap<String, Vec<Call>>,
    reader: impl Fn(&str) -> Reader,
) -> Result<Keyed> {
    let mut steps: BTreeMap<String, Steps> = BTreeMap::new();
    for (column, calls) in ground.recipe.features.iter().chain(own) {
        steps.insert(column.clone(), calls.iter().map(|c| (c.name.clone(), c.parameters.clone())).collect());
    }
    let preprocess = Preprocess::new(&FEATURES, ground.schema, on, &steps, reader)?;
    let files = ground.files_key(&preprocess.files())?;
    let key = json!({"steps": preprocess.describe(), "files": files});
    Ok((preprocess, key))
}

/// What a method reads, as its entry in the recipe says.
#[derive(Clone, Copy)]
pub(crate) struct Reads<'a> {
    pub on: &'a [String],
    pub features: &'a BTreeMap<String, Vec<Call>>,
    pub augment: &'a BTreeMap<String, Vec<Call>>,
}

/// A member that is fitted: a learner on features, or a network.
pub(crate) fn member(ground: &Ground<'_>, call: &Call, reads: Reads<'_>) -> Result<Build> {
    if let Ok(entry) = learners::REGISTRY.get(&call.name) {
        if !reads.augment.is_empty() {
            return Err(Error::argument(format!(
                "\"{}\" is fitted to features, which are not augmented",
                call.name
            ))
            .expected("augment: beside a network")
            .remedy("leave augment out"));
        }
        let (preprocess, key) = preprocess(ground, reads.on, reads.features, |_| Reader::Matrix)?;
        let estimator = Box::new(Tabular::new(preprocess, (entry.build)(&call.parameters)?));
        let key = json!({"learner": call, "version": entry.version, "features": key});
        return Ok(Build { estimator, key });
    }
    network(ground, &NETWORKS, call, reads)
}

/// A network over several modalities.
pub(crate) fn fusion(ground: &Ground<'_>, call: &Call, reads: Reads<'_>) -> Result<Build> {
    network(ground, &FUSIONS, call, reads)
}

fn network(
    ground: &Ground<'_>,
    registry: &'static Registry<dyn NetworkMethod>,
    call: &Call,
    reads: Reads<'_>,
) -> Result<Build> {
    let entry = registry.get(&call.name)?;
    let method = (entry.build)(&call.parameters)?;
    let (preprocess, key) = preprocess(ground, reads.on, reads.features, |column| method.reader(column))?;
    let augmented = augmented(ground, reads, &preprocess.schema())?;
    let mut augmenter = Augmenter::from_value(&augmented)?;
    augmenter.check(&preprocess.schema())?;
    let mixup = augmenter.mixup.take();
    let batch: Option<AugmentHook> = if augmenter.is_empty() {
        None
    } else {
        Some(Arc::new(move |batch: &mut Batch, seed: Seed, epoch: u32| augmenter.apply(batch, seed, epoch)))
    };
    let weights = ground.files_key(&method.files())?;
    let mut key = json!({"network": call, "version": entry.version, "features": key, "augment": augmented});
    if let (false, Some(map)) = (weights.is_empty(), key.as_object_mut()) {
        map.insert("weights".to_owned(), json!(weights));
    }
    let augmentation = Augmentation { batch, mixup };
    let root = ground.root.to_path_buf();
    Ok(Build { estimator: Box::new(Networked { preprocess, method, augmentation, root }), key })
}

/// The transforms of a network's training rows: its own, and the recipe's for the other columns that it reads.
fn augmented(ground: &Ground<'_>, reads: Reads<'_>, schema: &Schema) -> Result<Value> {
    let concerns = |column: &str| column == Mixup::NAME || schema.fields.iter().any(|f| f.name == column);
    if let Some(other) = reads.augment.keys().find(|column| !concerns(column)) {
        return Err(Error::argument(format!("it does not read the column \"{other}\""))
            .at("augment")
            .expected(format!("one of {}", schema.names().join(", "))));
    }
    let all = ground.recipe.augment.iter().filter(|(column, _)| concerns(column));
    let mut all: BTreeMap<&String, &Vec<Call>> = all.collect();
    all.extend(reads.augment);
    all.retain(|_, steps| !steps.is_empty());
    Ok(augment_value(all))
}

/// A network with the preprocessing and augmentation of its recipe.
struct Networked {
    preprocess: Preprocess,
    method: Box<dyn NetworkMethod>,
    augmentation: Augmentation,
    root: PathBuf,
}

impl Estimator for Networked {
    fn check(&self, schema: &Schema, task: &Task) -> Result<()> {
        for field in &self.preprocess.schema().fields {
            schema.field(&field.name)?;
        }
        // A width that only fitting tells (levels, vocabularies) is one at least; other shapes are checked then.
        let mut fields = self.preprocess.fields()?;
        for field in &mut fields {
            if let [width @ 0] = field.shape.as_mut_slice() {
                *width = 1;
            }
        }
        if fields.iter().any(|f| f.shape.is_empty() || f.shape.contains(&0)) {
            return self.method.training().check(task);
        }
        self.method.check(&fields, task)?;
        self.method.check_files(&fields, task, &self.root)
    }

    fn lesson(&self, task: &Task, asked: Distill) -> Result<Lesson> {
        self.method.lesson(task, asked)
    }

    fn fit(&self, data: &Labelled<'_>, context: &Context<'_>) -> Result<Fitted> {
        // A network that starts from another one reads its inputs the same way.
        let prepared = match context.start {
            None => self.preprocess.fit(data, &context.child("features"))?,
            Some(start) => {
                let parts = start.save()?;
                if parts.kind != "network" {
                    return Err(Error::argument("a network can only start from a network")
                        .got(format!("a {}", parts.kind))
                        .remedy("name another member in from:"));
                }
                Prepared::load(&parts.nested("inputs")?, &loaders())?
            }
        };
        self.method.fit(data, Box::new(prepared), self.augmentation.clone(), &context.child("network"))
    }

    fn outline(&self, _: &Schema, task: &Task) -> Outline {
        let inputs = self.preprocess.fields().unwrap_or_default();
        if inputs.iter().any(|f| f.shape.is_empty() || f.shape.contains(&0)) {
            return Outline { inputs, ..Outline::default() };
        }
        Outline { inputs: inputs.clone(), ..self.method.outline(&inputs, task) }
    }
}
