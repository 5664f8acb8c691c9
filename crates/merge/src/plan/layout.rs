//! Which tensors the result has, and which tensor of which member goes into each.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use consilience_core::document::{Finding, List, Span, quote};
use consilience_core::weights::Tensor;

use crate::config::{Config, ModelName, Module, Slice, Source};
use crate::model::{Model, Place, place, stacks};

/// The most tensors of a result: as many as a checkpoint may have.
const MAX_TENSORS: usize = 200_000;
/// The most layers of a stack of a result.
const MAX_LAYERS: usize = 1 << 16;

/// A tensor of the result before its shape is looked at.
#[derive(Debug, Clone)]
pub struct Laid<'a> {
    /// Its name in the result.
    pub name: String,
    /// The part and slice that it comes from.
    pub module: &'a Module,
    /// The slice.
    pub slice: &'a Slice,
    /// How far its layer is through the slice, from 0 to 1.
    pub t: f64,
    /// Each source's tensor: the source's place in the slice, the name in it.
    pub sources: Vec<(usize, String)>,
    /// The base's tensor, where the base is no source.
    pub base: Option<String>,
}

/// The layers of a stack: the names of the tensors of each, without stack and number, in their order.
type Layers<'a> = BTreeMap<usize, Vec<&'a str>>;

/// The models of a merge by name.
pub struct Models<'a> {
    /// Opened, in the order of [`Config::models`].
    pub all: &'a [Model],
    places: BTreeMap<&'a ModelName, usize>,
    /// The stacks of each model, found when they are first asked for.
    stacks: Vec<OnceCell<BTreeMap<&'a str, Layers<'a>>>>,
}

impl<'a> Models<'a> {
    /// Of a list.
    pub fn new(all: &'a [Model]) -> Self {
        let places = all.iter().enumerate().rev().map(|(i, m)| (&m.name, i)).collect();
        Self { all, places, stacks: all.iter().map(|_| OnceCell::new()).collect() }
    }

    /// A model's place in the list.
    pub fn index(&self, name: &ModelName) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// A model by name.
    pub fn get(&self, name: &ModelName) -> Option<&'a Model> {
        self.all.get(self.index(name)?)
    }

    /// The layers of a stack of a model; `None` if it has no such stack.
    fn layers(&self, name: &ModelName, stack: &str) -> Option<&Layers<'a>> {
        let index = self.index(name)?;
        let model = self.all.get(index)?;
        let stacks = self.stacks.get(index)?.get_or_init(|| {
            let mut stacks: BTreeMap<&str, Layers<'_>> = BTreeMap::new();
            for tensor in model.checkpoint.tensors() {
                if let Place::Layer { stack, layer, rest } = place(tensor.name()) {
                    stacks.entry(stack).or_default().entry(layer).or_default().push(rest);
                }
            }
            stacks
        });
        stacks.get(stack)
    }
}

/// How many layers there are: one more than the last.
fn count(layers: Option<&Layers<'_>>) -> usize {
    layers.and_then(|l| l.last_key_value()).map_or(0, |(last, _)| last + 1)
}

/// The base of a slice: its own, else the merge's.
pub fn base_of<'a>(config: &'a Config, slice: &'a Slice) -> Option<&'a (ModelName, Span)> {
    slice.base.as_ref().or(config.base.as_ref())
}

/// The layers of a result: for each layer, where it comes from.
pub type Origins = BTreeMap<String, Vec<usize>>;

/// Lays out all tensors of the result, in the order of the model whose names it takes; with the layers of each stack as layers of
/// that model.
pub fn lay<'a>(
    config: &'a Config,
    models: &Models<'a>,
    donor: &'a Model,
    findings: &mut List,
) -> (Vec<Laid<'a>>, Origins) {
    let names: Vec<&str> = donor.checkpoint.tensors().iter().map(Tensor::name).collect();
    let stacks = stacks(names.iter().copied());
    let mut owners: BTreeMap<&str, &Module> = BTreeMap::new();
    let mut failed = false;
    for module in &config.modules {
        match stack_of(module, &stacks) {
            Ok(Some(stack)) => {
                if let Some(other) = owners.insert(stack, module) {
                    let finding = Finding::error("two modules mean the same layers", module.span)
                        .expected("modules with layers of their own")
                        .got(format!("{stack}, as in {}", quote(other.name.as_deref().unwrap_or("default"))));
                    findings.push(finding);
                    failed = true;
                }
            }
            Ok(None) => {}
            Err(finding) => {
                findings.push(*finding);
                failed = true;
            }
        }
    }
    let whole = config.modules.iter().find(|m| owners.values().all(|o| !std::ptr::eq(*o, *m)));
    let left: Vec<&str> = stacks.keys().filter(|s| !owners.contains_key(*s)).copied().collect();
    if let (Some(first), None, false, false) = (config.modules.first(), whole, left.is_empty(), failed) {
        findings.push(
            Finding::error("no module says what becomes of other layers of the model", first.span)
                .expected("a module for each stack of layers")
                .got(left.join(", ")),
        );
        failed = true;
    }
    if failed {
        return (Vec::new(), Origins::new());
    }
    // Tensors outside of layers go with the stack whose name begins like theirs.
    let owner = |name: &str| -> Option<&'a Module> {
        if let Place::Layer { stack, .. } = place(name)
            && let Some(module) = owners.get(stack)
        {
            return Some(module);
        }
        let alike = |stack: &str| stack.split('.').zip(name.split('.')).take_while(|(a, b)| a == b).count();
        let nearest = owners.iter().rev().max_by_key(|(stack, _)| alike(stack)).map(|(_, m)| *m);
        whole.or(nearest).or(config.modules.first())
    };
    let mut laid = Vec::new();
    let mut origins = Origins::new();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for name in &names {
        let Some(module) = owner(name) else { continue };
        let (stack, sliced) = match place(name) {
            Place::Layer { stack, .. } => (stack, owners.contains_key(stack) && is_sliced(module)),
            _ => ("", false),
        };
        if sliced {
            // All layers of a stack where its first tensor stands.
            if done.insert(stack) {
                let made = layers(config, module, stack, models, findings);
                origins.insert(stack.to_owned(), made.1);
                laid.extend(made.0);
            }
            continue;
        }
        let at = place(name);
        let slice = match at {
            Place::After => module.slices.last(),
            _ => module.slices.first(),
        };
        let Some(slice) = slice else { continue };
        let t = match at {
            Place::Layer { stack, layer, .. } => fraction(layer, stacks.get(stack).copied().unwrap_or(1)),
            _ => 0.0,
        };
        laid.push(Laid {
            name: (*name).to_owned(),
            module,
            slice,
            t,
            sources: (0..slice.sources.len()).map(|i| (i, (*name).to_owned())).collect(),
            base: base_of(config, slice).map(|_| (*name).to_owned()),
        });
    }
    (laid, origins)
}

fn is_sliced(module: &Module) -> bool {
    module.slices.iter().any(|s| s.sources.iter().any(|s| s.layers.is_some())) || module.slices.len() > 1
}

/// How far a layer is through so many.
fn fraction(layer: usize, count: usize) -> f64 {
    if count > 1 { layer as f64 / (count - 1) as f64 } else { 1.0 }
}

/// The stack that a module means; `None` for a module that is the whole model.
fn stack_of<'a>(module: &Module, stacks: &BTreeMap<&'a str, usize>) -> Result<Option<&'a str>, Box<Finding>> {
    let listed = || stacks.iter().map(|(s, n)| format!("{s} ({n} layers)")).collect::<Vec<_>>().join(", ");
    match &module.name {
        None if !is_sliced(module) => Ok(None),
        None => match stacks.keys().collect::<Vec<_>>().as_slice() {
            [one] => Ok(Some(**one)),
            [] => Err(Box::new(
                Finding::error("the model has no layers to slice", module.span)
                    .expected("tensors with names such as model.layers.0.mlp.weight"),
            )),
            _ => Err(Box::new(
                Finding::error("the model has several stacks of layers", module.span)
                    .expected("modules: with one for each stack")
                    .got(listed()),
            )),
        },
        Some(name) => {
            let one = || stacks.keys().next().copied().filter(|_| stacks.len() == 1);
            let plain = name.split('_').next().unwrap_or(name);
            let pieces = [name.as_str(), plain];
            let fits: Vec<&str> = pieces
                .iter()
                .map(|p| stacks.keys().copied().filter(|s| s.contains(p)).collect::<Vec<_>>())
                .find(|found| found.len() == 1)
                .unwrap_or_default();
            match (fits.first(), one()) {
                (Some(stack), _) => Ok(Some(*stack)),
                (None, Some(stack)) if name == "default" => Ok(Some(stack)),
                _ => Err(Box::new(
                    Finding::error(
                        format!("no layers are named after the module {}", quote(name)),
                        module.span,
                    )
                    .expected(format!("a piece of one of: {}", listed())),
                )),
            }
        }
    }
}

/// The layers of a stack, slice by slice, and which layer of the first source each was.
fn layers<'a>(
    config: &'a Config,
    module: &'a Module,
    stack: &str,
    models: &Models<'a>,
    findings: &mut List,
) -> (Vec<Laid<'a>>, Vec<usize>) {
    let (mut laid, mut origins) = (Vec::new(), Vec::new());
    for slice in &module.slices {
        let Some(first) = slice.sources.first() else { continue };
        let range = |source: &Source| {
            let there = count(models.layers(&source.model, stack));
            (source.layers.unwrap_or((0, there)), there)
        };
        let ((start, end), _) = range(first);
        let mut failed = false;
        let mut ranges = Vec::new();
        for source in &slice.sources {
            let ((a, b), there) = range(source);
            let finding = if b > there {
                Finding::error("the model has no such layers", source.span)
                    .expected(format!("layers 0 to {there} of {stack}"))
                    .got(format!("[{a}, {b}]"))
            } else if b - a != end - start && end > start {
                Finding::error("the sources of a slice have different numbers of layers", source.span)
                    .expected(format!("{} as in {}", end - start, first.model))
                    .got(format!("{} in {}", b - a, source.model))
            } else {
                ranges.push(a);
                continue;
            };
            failed = true;
            findings.push(finding);
        }
        let Some(inner) = models.layers(&first.model, stack).filter(|_| !failed) else { continue };
        let next = origins.len();
        if next + (end - start) > MAX_LAYERS {
            findings.push(
                Finding::error("the result would have too many layers", slice.span)
                    .expected(format!("at most {MAX_LAYERS}"))
                    .got((next + (end - start)).to_string()),
            );
            break;
        }
        origins.extend(start..end);
        for (layer, names) in inner.range(start..end) {
            let at = layer - start;
            for rest in names {
                let of = |from: usize| format!("{stack}.{}.{rest}", from + at);
                laid.push(Laid {
                    name: of(next),
                    module,
                    slice,
                    t: fraction(at, end - start),
                    sources: ranges.iter().enumerate().map(|(i, from)| (i, of(*from))).collect(),
                    base: base_of(config, slice).map(|_| of(start)),
                });
            }
        }
        if laid.len() > MAX_TENSORS {
            findings.push(
                Finding::error("the result would have too many tensors", slice.span)
                    .expected(format!("at most {MAX_TENSORS}, as many as can be read again")),
            );
            break;
        }
    }
    (laid, origins)
}
