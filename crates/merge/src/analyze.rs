//! How members of a merge pull: in one direction or against each other, layer by layer.

use std::collections::BTreeMap;
use std::sync::Mutex;

use consilience_core::model::{Array, Parts, Progress, Stop};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::file::Ready;
use crate::kernels::{Gram, wide};
use crate::model::{Place, place};
use crate::parts::PREPARATION;
use crate::plan::{Act, Job};
use crate::run::{OnNonfinite, Workbench};
use crate::work::{Block, Cut, Numbers, Sink, Work};

/// A member whose task vector is so many times as long as the middle one, or as short, is an outlier.
const OUTLIER: f64 = 2.0;

/// What task vectors start from where there is no base.
const CENTER: &str = "the mean of the members";

/// How the members of one tensor, or of some together, pull.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    /// The tensor, or the layer.
    pub name: String,
    /// How many numbers.
    pub numbers: u64,
    /// The part of the numbers in which at least two members changed the base, and not all in one direction.
    pub conflicts: f64,
    /// The cosine between the task vectors of each pair of members `(i, j)`, `i < j`, row by row; `None` where one of them is zero or
    /// not finite.
    pub cosines: Vec<Option<f64>>,
    /// For each member the length of its task vector by that of the base; `None` where the base is zero, or one of them not finite.
    pub ratios: Vec<Option<f64>>,
    /// Members whose task vectors are at least twice as long as the middle one, or at most half as long.
    pub outliers: Vec<usize>,
}

/// How the members of a merge pull, tensor by tensor and layer by layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The members' names.
    pub members: Vec<String>,
    /// What task vectors start from: the base's name, or "the mean of the members".
    pub from: String,
    /// Layers, in the order of the result.
    pub layers: Vec<Pull>,
    /// Tensors, in the order of the result.
    pub tensors: Vec<Pull>,
    /// Everything.
    pub whole: Pull,
    /// Tensors of members that hold numbers that are not finite: nothing can be said of their lengths and directions.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Analysis {
    /// Whether members were compared with their mean, for want of a base. They lie around it, so that cosines are near `-1 / (n - 1)`
    /// for `n` members that have nothing in common, and say little.
    pub fn is_centered(&self) -> bool {
        self.from == CENTER
    }
}

/// Sums over numbers: what pulls are made of.
#[derive(Debug, Clone)]
pub struct Sums {
    numbers: u64,
    conflicts: u64,
    /// Products of all pairs of task vectors, the lower triangle.
    products: Vec<f64>,
    base: f64,
    members: usize,
    /// Which members hold numbers that are not finite.
    odd: Vec<bool>,
}

impl Sums {
    /// Of no numbers.
    fn none(members: usize) -> Self {
        Self {
            numbers: 0,
            conflicts: 0,
            products: vec![0.0; members * (members + 1) / 2],
            base: 0.0,
            members,
            odd: vec![false; members],
        }
    }

    /// Looks at a tensor. Its members hold their numbers; without a base they are compared with their mean.
    ///
    /// # Errors
    /// What reading gives.
    pub fn of(work: &Work<'_>) -> Result<Self> {
        let members = work.members.len();
        let deltas = work.base.is_some();
        let cut = if deltas { Cut::DELTAS } else { Cut::NUMBERS };
        let blocks =
            work.look(cut, |block| if deltas { Self::block(block) } else { Self::centered(block) })?;
        Ok(blocks.iter().fold(Self::none(members), |all, one| all.add(one)))
    }

    fn add(mut self, other: &Self) -> Self {
        self.numbers += other.numbers;
        self.conflicts += other.conflicts;
        self.base += other.base;
        self.products.iter_mut().zip(&other.products).for_each(|(sum, v)| *sum += v);
        self.odd.iter_mut().zip(&other.odd).for_each(|(all, one)| *all |= one);
        self
    }

    fn centered(block: &Block<'_>) -> Self {
        let mut mean = vec![0.0f32; block.len()];
        let share = 1.0 / block.members.len().max(1) as f32;
        for member in block.members {
            mean.iter_mut().zip(*member).for_each(|(sum, v)| *sum += share * v);
        }
        let off: Vec<Vec<f32>> =
            block.members.iter().map(|m| m.iter().zip(&mean).map(|(v, mean)| v - mean).collect()).collect();
        let members: Vec<&[f32]> = off.iter().map(Vec::as_slice).collect();
        // The mean of numbers one of which is not finite is not finite, and nobody's distance from it.
        let odd = block.members.iter().map(|m| !crate::kernels::dot(m, m).is_finite()).collect();
        Self { odd, ..Self::block(&Block { start: block.start, base: Some(&mean), members: &members }) }
    }

    fn block(block: &Block<'_>) -> Self {
        let count = block.members.len();
        let gram = Gram::of(block);
        let products = (0..count).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| gram.dot(i, j));
        let mut signs = vec![0u8; block.len()];
        for member in block.members {
            wide(
                #[inline(always)]
                || {
                    for (sign, v) in signs.iter_mut().zip(*member) {
                        *sign |= u8::from(*v > 0.0) | u8::from(*v < 0.0) << 1;
                    }
                },
            );
        }
        let base = block.base.map_or(0.0, |b| crate::kernels::dot(b, b));
        Self {
            numbers: block.len() as u64,
            conflicts: signs.iter().filter(|s| **s == 3).count() as u64,
            products: products.collect(),
            base,
            members: count,
            odd: (0..count).map(|i| !gram.dot(i, i).is_finite()).collect(),
        }
    }

    /// The length of the task vector of a member.
    fn norm(&self, i: usize) -> f64 {
        length(self.products.get(i * (i + 3) / 2).copied().unwrap_or(0.0))
    }

    /// What they say, under a name.
    pub fn pull(&self, name: impl Into<String>) -> Pull {
        let dot = |i: usize, j: usize| self.products.get(i * (i + 1) / 2 + j).copied().unwrap_or(0.0);
        let norms: Vec<f64> = (0..self.members).map(|i| self.norm(i)).collect();
        let mut cosines = Vec::new();
        for (i, a) in norms.iter().enumerate() {
            for (j, b) in norms.iter().enumerate().skip(i + 1) {
                let both = a * b;
                let known = both > 0.0 && both.is_finite();
                cosines.push(known.then(|| (dot(j, i) / both).clamp(-1.0, 1.0)));
            }
        }
        let base = length(self.base);
        let mut sorted: Vec<f64> = norms.iter().copied().filter(|n| n.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        let far = |n: f64| middle > 0.0 && (n >= OUTLIER * middle || n <= middle / OUTLIER);
        Pull {
            name: name.into(),
            numbers: self.numbers,
            conflicts: self.conflicts as f64 / self.numbers.max(1) as f64,
            cosines,
            ratios: norms.iter().map(|n| (base > 0.0).then(|| n / base).filter(|r| r.is_finite())).collect(),
            outliers: if self.members > 2 {
                (0..self.members).filter(|i| far(norms[*i])).collect()
            } else {
                Vec::new()
            },
        }
    }
}

/// The length of a vector by the sum of its squares; none where that is none.
fn length(squares: f64) -> f64 {
    if squares.is_finite() { squares.max(0.0).sqrt() } else { f64::NAN }
}

/// What gathers sums into an analysis.
pub struct Gathered {
    members: Vec<String>,
    from: String,
    tensors: Vec<(String, Sums)>,
}

impl Gathered {
    /// Of no tensors yet. `base` is the base's name, if there is one.
    pub fn new(members: Vec<String>, base: Option<String>) -> Self {
        Self { members, from: base.unwrap_or_else(|| CENTER.to_owned()), tensors: Vec::new() }
    }

    /// Adds a tensor.
    pub fn add(&mut self, name: &str, sums: Sums) {
        self.tensors.push((name.to_owned(), sums));
    }

    /// The analysis.
    pub fn finish(self) -> Analysis {
        let mut order: Vec<String> = Vec::new();
        let mut layers: BTreeMap<String, Sums> = BTreeMap::new();
        let mut whole = Sums::none(self.members.len());
        for (name, sums) in &self.tensors {
            let layer = layer(name);
            whole = whole.add(sums);
            match layers.get_mut(&layer) {
                Some(all) => *all = all.clone().add(sums),
                None => {
                    layers.insert(layer.clone(), sums.clone());
                    order.push(layer);
                }
            }
        }
        let mut notes = Vec::new();
        for (name, sums) in &self.tensors {
            let names = self.members.iter().zip(&sums.odd).filter(|(_, odd)| **odd).map(|(name, _)| name);
            let base = Some(&self.from).filter(|from| *from != CENTER && length(sums.base).is_nan());
            // Of a base that is not finite no change is.
            let wrong: Vec<&String> = match base {
                Some(base) => vec![base],
                None => names.collect(),
            };
            notes.extend(wrong.into_iter().map(|n| format!("{n}: {name} holds numbers that are not finite")));
        }
        Analysis {
            notes,
            layers: order.iter().filter_map(|l| Some(layers.get(l)?.pull(l.as_str()))).collect(),
            tensors: self.tensors.iter().map(|(name, sums)| sums.pull(name.as_str())).collect(),
            whole: whole.pull("all"),
            members: self.members,
            from: self.from,
        }
    }
}

/// The layer that a tensor belongs to: `model.layers.3`, else its name without the last part.
fn layer(name: &str) -> String {
    match place(name) {
        Place::Layer { stack, layer, .. } => format!("{stack}.{layer}"),
        _ => name.rsplit_once('.').map_or(name, |(front, _)| front).to_owned(),
    }
}

/// Takes nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn write(&self, _: usize, _: &[f32]) -> Result<()> {
        Err(Error::internal("an analysis writes nothing"))
    }
}

/// Looks at all members of a merge that was prepared, in one pass over their files.
///
/// # Errors
/// [`Error::Argument`] for a merge of fewer than two members; what reading gives; [`Error::Interrupted`].
pub fn analyze(ready: &Ready, stop: &Stop, progress: &dyn Progress) -> Result<Analysis> {
    let notes = Mutex::new(Vec::new());
    let bench = Workbench {
        models: &ready.models,
        cast: None,
        seed: Seed::new(0),
        compat: false,
        on_nonfinite: OnNonfinite::Keep,
        stop,
        notes: &notes,
    };
    let name = |model: usize| ready.models.get(model).map_or_else(String::new, |m| m.name.to_string());
    let mut gathered: Option<Gathered> = None;
    let total: u64 = ready.plan.jobs.iter().map(Job::bytes).sum();
    let mut done = 0;
    for job in &ready.plan.jobs {
        progress.step(done, total, &job.name);
        done += job.bytes();
        let Act::Merge { members, base, .. } = &job.act else { continue };
        // Of two models one of which is the base there is one task vector, and nothing to compare it with.
        if members.len() < 2 || job.is_empty() {
            continue;
        }
        let names: Vec<String> = members.iter().map(|i| name(i.model)).collect();
        let own = gathered
            .get_or_insert_with(|| Gathered::new(names.clone(), base.as_ref().map(|b| name(b.model))));
        if own.members != names {
            // Slices of other members: they cannot be added up with these.
            continue;
        }
        let opened = members.iter().map(|i| bench.open(i)).collect::<Result<Vec<Box<dyn Numbers + '_>>>>()?;
        let opened_base = base.as_ref().map(|b| bench.open(b)).transpose()?;
        let work = Work {
            name: &job.name,
            shape: &job.shape,
            members: opened.iter().map(AsRef::as_ref).collect(),
            base: opened_base.as_deref(),
            seed: bench.seed,
            labels: Vec::new(),
            compat: false,
            stop,
            out: &Nowhere,
            notes: &notes,
        };
        let sums = Sums::of(&work).map_err(|e| e.at(format!("tensor \"{}\"", job.name)))?;
        own.add(&job.name, sums);
    }
    match gathered {
        Some(gathered) => Ok(gathered.finish()),
        None => Err(Error::argument("there is nothing to compare")
            .expected("a merge of at least two members beside the base")),
    }
}

/// Looks at members that lie in memory: networks of one shape, with the base that they started from where there is one. Arrays
/// that are no 32-bit floats, and those of the preprocessing, are passed over.
///
/// # Errors
/// [`Error::Argument`] for fewer than two members; [`Error::Model`] for members that lack an array.
pub fn analyze_parts(members: &[(String, Parts)], base: Option<(&str, &Parts)>) -> Result<Analysis> {
    if members.len() < 2 {
        return Err(Error::argument("there is nothing to compare").expected("at least two members"));
    }
    let names = members.iter().map(|(name, _)| name.clone()).collect();
    let mut gathered = Gathered::new(names, base.map(|(name, _)| name.to_owned()));
    let parts: Vec<&Parts> = members.iter().map(|(_, p)| p).collect();
    gather_level(&mut gathered, "", &parts, base.map(|(_, p)| p))?;
    Ok(gathered.finish())
}

fn gather_level(
    gathered: &mut Gathered,
    prefix: &str,
    members: &[&Parts],
    base: Option<&Parts>,
) -> Result<()> {
    let Some(first) = members.first() else { return Ok(()) };
    let (stop, notes) = (Stop::default(), Mutex::new(Vec::new()));
    for (name, array) in &first.arrays {
        if name.starts_with(PREPARATION) || !matches!(array, Array::F32(..)) {
            continue;
        }
        let of = |parts: &&'_ Parts| match parts.arrays.get(name) {
            Some(Array::F32(shape, values)) if shape == array.shape() => Ok(values.clone()),
            _ => Err(Error::model(format!("the tensor \"{name}\" is missing, or of another shape"))),
        };
        let values: Vec<Vec<f32>> = members.iter().map(of).collect::<Result<_>>()?;
        let slices: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        let base_values = base.as_ref().map(of).transpose()?;
        let base_slice = base_values.as_deref();
        let work = Work {
            name,
            shape: array.shape(),
            members: slices.iter().map(|m| m as &dyn Numbers).collect(),
            base: base_slice.as_ref().map(|b| b as &dyn Numbers),
            seed: Seed::new(0),
            labels: Vec::new(),
            compat: false,
            stop: &stop,
            out: &Nowhere,
            notes: &notes,
        };
        gathered.add(&format!("{prefix}{name}"), Sums::of(&work)?);
    }
    for name in first.members.keys() {
        let inner: Vec<&Parts> = members.iter().filter_map(|m| m.members.get(name)).collect();
        let base = base.and_then(|b| b.members.get(name));
        gather_level(gathered, &format!("{prefix}{name}."), &inner, base)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(members: &[&[f32]], base: Option<&[f32]>) -> Sums {
        let stop = Stop::default();
        let notes = Mutex::new(Vec::new());
        let shape = [members[0].len()];
        let work = Work {
            name: "w",
            shape: &shape,
            members: members.iter().map(|m| m as &dyn Numbers).collect(),
            base: base.as_ref().map(|b| b as &dyn Numbers),
            seed: Seed::new(0),
            labels: Vec::new(),
            compat: false,
            stop: &stop,
            out: &Nowhere,
            notes: &notes,
        };
        Sums::of(&work).unwrap()
    }

    #[test]
    fn conflicts_cosines_ratios_and_outliers() {
        let base = [3.0, 4.0, 0.0, 0.0];
        let a = [4.0, 4.0, 0.0, 0.0];
        let b = [2.0, 4.0, 1.0, 0.0];
        let c = [3.0, 4.0, 9.0, 0.0];
        let pull = sums(&[&a, &b, &c], Some(&base)).pull("w");
        // The first number is pulled both ways, the third one way by two, the second and last by none.
        assert_eq!((pull.numbers, pull.conflicts), (4, 0.25));
        let expected = [Some(-1.0 / 2f64.sqrt()), Some(0.0), Some(1.0 / 2f64.sqrt())];
        for (own, expected) in pull.cosines.iter().zip(expected) {
            assert!((own.unwrap() - expected.unwrap()).abs() < 1e-12, "{pull:?}");
        }
        assert!(
            (pull.ratios[0].unwrap() - 0.2).abs() < 1e-12 && (pull.ratios[2].unwrap() - 1.8).abs() < 1e-12
        );
        assert_eq!(pull.outliers, [2]);
        let still = sums(&[&base, &base], Some(&base)).pull("w");
        assert_eq!((still.conflicts, still.cosines), (0.0, vec![None]));
        // What is not finite is not zero: nothing is said of it, and of the others as before.
        let bad = [f32::NAN, 4.0, 1.0, 0.0];
        let pull = sums(&[&a, &bad, &c], Some(&base)).pull("w");
        assert!(pull.ratios[1].is_none() && pull.ratios[0].is_some() && pull.outliers == [0], "{pull:?}");
        assert!(pull.cosines[0].is_none() && pull.cosines[1].is_some(), "{pull:?}");
        let mut gathered = Gathered::new(vec!["a".into(), "bad".into()], Some("base".into()));
        gathered.add("w", sums(&[&a, &bad], Some(&base)));
        gathered.add("x", sums(&[&a, &b], Some(&bad)));
        let notes = gathered.finish().notes;
        let mut centered = Gathered::new(vec!["a".into(), "bad".into()], None);
        centered.add("w", sums(&[&a, &bad], None));
        assert_eq!(centered.finish().notes, ["bad: w holds numbers that are not finite"]);
        assert_eq!(
            notes,
            ["bad: w holds numbers that are not finite", "base: x holds numbers that are not finite"]
        );
        // Without a base two members pull away from their mean, against each other.
        let apart = sums(&[&a, &b], None).pull("w");
        assert!((apart.cosines[0].unwrap() + 1.0).abs() < 1e-12 && apart.conflicts == 0.5);
    }

    #[test]
    fn tensors_gather_into_layers() {
        let base = [1.0];
        let mut gathered = Gathered::new(vec!["a".into(), "b".into()], Some("base".into()));
        gathered.add("m.layers.0.up.weight", sums(&[&[2.0], &[3.0]], Some(&base)));
        gathered.add("m.layers.0.down.weight", sums(&[&[2.0], &[0.0]], Some(&base)));
        gathered.add("m.norm.weight", sums(&[&[1.0], &[1.0]], Some(&base)));
        let all = gathered.finish();
        let names: Vec<&str> = all.layers.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["m.layers.0", "m.norm"]);
        assert_eq!((all.layers[0].conflicts, all.layers[0].numbers, all.whole.numbers), (0.5, 2, 3));
        assert_eq!(all.tensors.len(), 3);
    }

    #[test]
    fn networks_in_memory_are_compared_too() {
        use serde_json::json;
        let network = |v: f32| {
            let mut parts = Parts::new("network", json!({})).with_f32("head.weight", &[v, -v]);
            parts.arrays.insert("inputs/age/mean".into(), Array::F32(vec![1], vec![40.0 + v]));
            parts
        };
        let outer = |v: f32| {
            let mut parts = network(v);
            parts.members.insert("part".into(), network(-v));
            parts
        };
        let (base, a, b) = (outer(0.0), outer(1.0), outer(-2.0));
        let members = [("a".to_owned(), a), ("b".to_owned(), b)];
        let all = analyze_parts(&members, Some(("start", &base))).unwrap();
        assert_eq!(all.from, "start");
        let names: Vec<&str> = all.layers.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["head", "part.head"]);
        assert_eq!((all.whole.numbers, all.whole.conflicts, all.whole.cosines[0]), (4, 1.0, Some(-1.0)));
        assert!(analyze_parts(&members[..1], None).is_err());
    }
}
