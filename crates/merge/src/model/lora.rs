//! Adapters of low rank in peft's layout: `W + s B A`, added while a tensor is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use consilience_core::document::quote;
use consilience_core::weights::Checkpoint;
use consilience_core::{Error, Result};
use serde::Deserialize;

use super::files::{open_weights, read_json};

/// The longest `adapter_config.json`, in bytes.
const MAX_CONFIG: u64 = 4 << 20;

/// What of `adapter_config.json` matters.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
struct Settings {
    peft_type: String,
    r: f64,
    lora_alpha: f64,
    use_rslora: bool,
    use_dora: bool,
    fan_in_fan_out: bool,
    rank_pattern: BTreeMap<String, f64>,
    alpha_pattern: BTreeMap<String, f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            peft_type: "LORA".to_owned(),
            r: 8.0,
            lora_alpha: 8.0,
            use_rslora: false,
            use_dora: false,
            fan_in_fan_out: false,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        }
    }
}

/// An opened adapter.
#[derive(Debug)]
pub struct Lora {
    settings: Settings,
    file: PathBuf,
    checkpoint: Checkpoint,
    /// For each tensor of the model that it changes, what it does.
    changes: BTreeMap<String, Change>,
}

#[derive(Debug, Clone)]
enum Change {
    /// The product of two factors is added.
    Product { a: String, b: String, module: String, embedding: bool },
    /// The tensor is another one.
    Replaced(String),
}

/// What an adapter adds to one tensor of `rows x columns`: `scale * b a`, with `b` of `rows x rank` and `a` of `rank x columns`.
#[derive(Debug, Clone)]
pub struct Product {
    rank: usize,
    columns: usize,
    scale: f32,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Lora {
    /// Opens an adapter in peft's layout: a folder with `adapter_config.json` and `adapter_model.safetensors` (or `.bin`).
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Model`] for an adapter of another kind, or one whose tensors are not understood.
    pub fn open(dir: &Path) -> Result<Self> {
        let file = dir.join("adapter_config.json");
        let at = |e: Error| e.at(file.display());
        let settings: Settings = serde_json::from_value(read_json(&file, MAX_CONFIG)?)
            .map_err(|e| at(Error::model(format!("this is no configuration of an adapter: {e}"))))?;
        if !settings.peft_type.eq_ignore_ascii_case("lora") || settings.use_dora {
            let kind = if settings.use_dora { "DORA" } else { &settings.peft_type };
            return Err(at(Error::model("an adapter of this kind cannot be added")
                .expected("LORA")
                .got(kind)
                .remedy("merge it into its model with peft first")));
        }
        let whole = |v: f64| v.is_finite() && v > 0.0;
        if !whole(settings.r) || !settings.lora_alpha.is_finite() {
            return Err(at(Error::model("rank and alpha of the adapter cannot be").expected("r above zero")));
        }
        for (name, rank) in &settings.rank_pattern {
            if !whole(*rank) {
                return Err(at(Error::model("a rank of the adapter cannot be")
                    .at(format!("rank_pattern.{name}"))
                    .expected("a number above zero")
                    .got(rank)));
            }
        }
        let patterns = settings.rank_pattern.keys().chain(settings.alpha_pattern.keys());
        for name in patterns {
            if name.contains(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
                return Err(at(Error::model(
                    "a pattern of the adapter is no plain name, which cannot be read",
                )
                .expected("the end of a module's name, such as q_proj")
                .got(quote(name))
                .remedy("merge the adapter into its model with peft first")));
            }
        }
        let checkpoint = open_weights(dir, "adapter_model")?;
        let changes = changes(&checkpoint).map_err(|e| e.at(dir.display()))?;
        Ok(Self { settings, file, checkpoint, changes })
    }

    /// The tensors of the model that it changes.
    pub fn changed(&self) -> impl Iterator<Item = &str> {
        self.changes.keys().map(String::as_str)
    }

    /// Its `adapter_config.json`.
    pub fn settings_file(&self) -> &Path {
        &self.file
    }

    /// Its files.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The tensor of the adapter that stands for a tensor of the model, if it has one.
    pub fn replaced(&self, name: &str) -> Option<&str> {
        match self.changes.get(name) {
            Some(Change::Replaced(other)) => Some(other),
            _ => None,
        }
    }

    /// The bytes that the factors for a tensor have in memory.
    pub fn bytes(&self, name: &str) -> u64 {
        let len = |t: &str| self.checkpoint.tensor(t).map_or(0, |t| t.len() as u64);
        match self.changes.get(name) {
            Some(Change::Product { a, b, .. }) => (len(a) + len(b)) * 4,
            _ => 0,
        }
    }

    /// What it adds to a tensor of a shape, read into memory.
    ///
    /// # Errors
    /// [`Error::Model`] if the factors do not fit the tensor.
    pub fn product(&self, name: &str, shape: &[usize]) -> Result<Option<Product>> {
        let Some(Change::Product { a, b, module, embedding }) = self.changes.get(name) else {
            return Ok(None);
        };
        let shape_of = |t: &str| self.checkpoint.tensor(t).map(|t| t.shape().to_vec()).unwrap_or_default();
        let (shape_a, shape_b) = (shape_of(a), shape_of(b));
        let transposed = *embedding || self.settings.fan_in_fan_out;
        let fits = match (shape, shape_a.as_slice(), shape_b.as_slice()) {
            ([rows, columns], [rank, input], [output, rank_b]) => {
                let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
                rank == rank_b && rows == output && columns == input
            }
            _ => false,
        };
        if !fits {
            return Err(Error::model("an adapter does not fit the tensor that it is for")
                .at(name)
                .expected(format!("factors of {shape:?}"))
                .got(format!("A {shape_a:?}, B {shape_b:?}"))
                .remedy("use it with the model that it was trained on"));
        }
        // The first of several that fit would count, and their order is not known here.
        let pattern = |of: &BTreeMap<String, f64>, default: f64| {
            let mut fits = of.iter().filter(|(key, _)| ends_in(module, key));
            match (fits.next(), fits.next()) {
                (Some((a, _)), Some((b, _))) => {
                    Err(Error::model("two patterns of an adapter mean the same module")
                        .at(name)
                        .expected("one pattern for each module")
                        .got(format!("{} and {}", quote(a), quote(b)))
                        .remedy("merge the adapter into its model with peft first"))
                }
                (first, _) => Ok(first.map_or(default, |(_, v)| *v)),
            }
        };
        let rank = shape_a.first().copied().unwrap_or(1);
        let r = pattern(&self.settings.rank_pattern, self.settings.r)?;
        if r != rank as f64 {
            return Err(Error::model(
                "the factors of an adapter have another rank than its configuration says",
            )
            .at(name)
            .expected(format!("rank {r}"))
            .got(rank)
            .remedy("get the adapter again"));
        }
        let alpha = pattern(&self.settings.alpha_pattern, self.settings.lora_alpha)?;
        let scale = if self.settings.use_rslora { alpha / r.sqrt() } else { alpha / r };
        let (mut a, mut b) = (self.checkpoint.read_f32(a)?, self.checkpoint.read_f32(b)?);
        if transposed {
            // (B A)' = A' B': what is added to a transposed weight.
            let (a_t, b_t) = (transpose(&a, rank), transpose(&b, shape_b.first().copied().unwrap_or(1)));
            (a, b) = (b_t, a_t);
        }
        Ok(Some(Product { rank, columns: shape.last().copied().unwrap_or(1), scale: scale as f32, a, b }))
    }
}

/// What the tensors of an adapter do.
///
/// # Errors
/// [`Error::Model`] for a tensor that is not understood.
fn changes(checkpoint: &Checkpoint) -> Result<BTreeMap<String, Change>> {
    const PAIRS: [(&str, &str, bool); 2] =
        [(".lora_A", ".lora_B", false), (".lora_embedding_A", ".lora_embedding_B", true)];
    let mut changes = BTreeMap::new();
    let mut seconds = BTreeSet::new();
    for tensor in checkpoint.tensors() {
        let name = tensor.name();
        let inner = name.strip_prefix("base_model.model.").unwrap_or(name);
        let strange = |why: &str| {
            Err(Error::model(format!("the adapter has \"{name}\", which is not understood: {why}"))
                .expected("LORA: factors A and B of each module, without more")
                .remedy("merge the adapter into its model with peft first"))
        };
        if inner.contains(".lora_magnitude_vector") {
            return strange("it belongs to DORA");
        }
        let first = PAIRS.iter().find_map(|(a, b, e)| Some((inner.split_once(a)?, *a, *b, *e)));
        let (target, change) = if let Some(((module, rest), a, b, embedding)) = first {
            if !matches!(rest, "" | ".weight" | ".default" | ".default.weight") {
                return strange("it is no plain factor");
            }
            let other = name.replacen(a, b, 1);
            if checkpoint.tensor(&other).is_none() {
                return Err(Error::model(format!("the adapter has \"{name}\" and no \"{other}\""))
                    .remedy("get the adapter again"));
            }
            seconds.insert(other.clone());
            let module = module.to_owned();
            let target = format!("{module}.weight");
            (target, Change::Product { a: name.to_owned(), b: other, module, embedding })
        } else if PAIRS.iter().any(|(_, b, _)| inner.contains(b)) {
            continue;
        } else {
            let target = inner.replace(".modules_to_save.default", "").replace(".modules_to_save", "");
            (target.replace(".base_layer", ""), Change::Replaced(name.to_owned()))
        };
        if changes.insert(target, change).is_some() {
            return strange("it changes a tensor that another one changes already");
        }
    }
    let is_second = |name: &str| PAIRS.iter().any(|(_, b, _)| name.contains(b));
    let mut names = checkpoint.tensors().iter().map(|t| t.name());
    match names.find(|n| is_second(n) && !seconds.contains(*n)) {
        Some(odd) => {
            Err(Error::model(format!("the adapter has \"{odd}\" without the factor A that it is for"))
                .expected("LORA: factors A and B of each module, without more")
                .remedy("get the adapter again, or merge it into its model with peft first"))
        }
        None => Ok(changes),
    }
}

/// Whether a module's name is `end`, or ends in it after a dot.
fn ends_in(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A matrix of so many rows with rows and columns exchanged.
fn transpose(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows.max(1);
    let at = |r: usize, c: usize| values.get(r * columns + c).copied().unwrap_or(0.0);
    (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| at(r, c)).collect()
}

impl Product {
    /// Adds it to numbers of the tensor from `from` on, row by row.
    pub fn add(&self, from: usize, out: &mut [f32]) {
        let columns = self.columns.max(1);
        let mut done = 0;
        while done < out.len() {
            let (row, column) = ((from + done) / columns, (from + done) % columns);
            let len = (columns - column).min(out.len() - done);
            let piece = out.get_mut(done..done + len).unwrap_or_default();
            for k in 0..self.rank {
                let weight = self.scale * self.b.get(row * self.rank + k).copied().unwrap_or(0.0);
                let start = k * columns + column;
                let a = self.a.get(start..start + len).unwrap_or_default();
                for (out, a) in piece.iter_mut().zip(a) {
                    *out += weight * a;
                }
            }
            done += len;
        }
    }
}
