//! Small models for tests, and merges of them.

use std::fs;
use std::path::{Path, PathBuf};

use consilience_core::Error;
use consilience_core::document::Findings;
use consilience_core::model::{Progress, Quiet, Stop};
use consilience_merge::plan::Options;
use consilience_merge::run::{Merged, OnNonfinite, Running};
use consilience_merge::{Limits, MergeFile, Ready, Refused};
use serde_json::{Map, Value, json};

/// A tensor to be written.
pub struct Tensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

pub fn raw(name: &str, dtype: &'static str, shape: &[usize], bytes: Vec<u8>) -> Tensor {
    Tensor { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes }
}

pub fn f32s(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    raw(name, "F32", shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Numbers that differ by name and seed, between -1 and 1.
pub fn drawn(name: &str, shape: &[usize], seed: u32) -> Tensor {
    f32s(name, shape, &numbers(name, shape.iter().product(), seed))
}

pub fn numbers(name: &str, count: usize, seed: u32) -> Vec<f32> {
    let mut state = name.bytes().fold(seed.wrapping_mul(2_654_435_769).wrapping_add(1), |s, b| {
        s.wrapping_mul(16_777_619) ^ u32::from(b)
    });
    let draw = |_| {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(draw).collect()
}

/// Writes a `.safetensors` file.
pub fn write(path: &Path, tensors: &[Tensor]) {
    let (mut header, mut at) = (Map::new(), 0);
    for t in tensors {
        let end = at + t.bytes.len();
        header.insert(t.name.clone(), json!({"dtype": t.dtype, "shape": t.shape, "data_offsets": [at, end]}));
        at = end;
    }
    let text = Value::Object(header).to_string();
    let mut all = (text.len() as u64).to_le_bytes().to_vec();
    all.extend(text.bytes());
    tensors.iter().for_each(|t| all.extend(&t.bytes));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, all).unwrap();
}

pub fn write_json(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}

/// What a tiny Llama is made of.
#[derive(Clone, Copy)]
pub struct Llama {
    pub layers: usize,
    pub tokens: usize,
    pub head: bool,
    pub seed: u32,
}

pub const LLAMA: Llama = Llama { layers: 2, tokens: 6, head: true, seed: 1 };

impl Llama {
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut all = vec![drawn("model.embed_tokens.weight", &[self.tokens, 4], self.seed)];
        for i in 0..self.layers {
            all.push(drawn(&format!("model.layers.{i}.self_attn.q_proj.weight"), &[4, 4], self.seed));
            all.push(drawn(&format!("model.layers.{i}.mlp.up_proj.weight"), &[8, 4], self.seed));
            all.push(drawn(&format!("model.layers.{i}.input_layernorm.weight"), &[4], self.seed));
        }
        all.push(drawn("model.norm.weight", &[4], self.seed));
        if self.head {
            all.push(drawn("lm_head.weight", &[self.tokens, 4], self.seed));
        }
        all
    }

    pub fn config(&self) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"], "num_hidden_layers": self.layers, "hidden_size": 4,
            "vocab_size": self.tokens, "tie_word_embeddings": !self.head, "torch_dtype": "float32",
        })
    }

    /// Writes it into a folder.
    pub fn write(&self, dir: &Path) {
        write(&dir.join("model.safetensors"), &self.tensors());
        write_json(&dir.join("config.json"), &self.config());
    }
}

/// A folder with Llamas `a`, `b`, `c`.
pub fn llamas() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        Llama { seed, ..LLAMA }.write(&dir.path().join(name));
    }
    dir
}

/// How a merge is run.
#[derive(Clone)]
pub struct How {
    pub options: Options,
    pub limits: Limits,
    pub resume: bool,
    pub replace: bool,
    pub on_nonfinite: OnNonfinite,
    pub cache: Option<PathBuf>,
    pub stop: Stop,
}

impl Default for How {
    fn default() -> Self {
        Self {
            options: Options::default(),
            limits: Limits { threads: 2, memory: None },
            resume: false,
            replace: false,
            on_nonfinite: OnNonfinite::Stop,
            cache: None,
            stop: Stop::default(),
        }
    }
}

impl How {
    /// Merges a text whose paths start from `root`.
    pub fn merge(&self, text: &str, root: &Path, out: &Path) -> Result<(Merged, Findings), Refused> {
        self.watched(text, root, out, &Quiet)
    }

    pub fn watched(
        &self,
        text: &str,
        root: &Path,
        out: &Path,
        progress: &dyn Progress,
    ) -> Result<(Merged, Findings), Refused> {
        let file = MergeFile::parse(text.to_owned(), &root.join("merge.yaml"))?;
        let running = Running {
            resume: self.resume,
            replace: self.replace,
            on_nonfinite: self.on_nonfinite,
            cache: self.cache.clone(),
            stop: &self.stop,
            progress,
        };
        file.merge(out, &self.limits, &self.options, &running)
    }

    pub fn check(&self, text: &str, root: &Path) -> Result<(Vec<Ready>, Findings), Refused> {
        MergeFile::parse(text.to_owned(), &root.join("merge.yaml"))?.check(&self.limits, &self.options)
    }
}

pub fn merge(text: &str, root: &Path, out: &Path) -> Result<(Merged, Findings), Refused> {
    How::default().merge(text, root, out)
}

/// The error of a merge that must fail with one.
pub fn error<T>(done: Result<T, Refused>) -> Error {
    match done {
        Ok(_) => panic!("it went well"),
        Err(Refused::Error(error)) => error,
        Err(Refused::Findings(findings)) => panic!("{}", findings.render(false)),
    }
}

/// What a merge that must be refused is told.
pub fn refused<T>(done: Result<T, Refused>) -> String {
    match done {
        Ok(_) => panic!("it went well"),
        Err(Refused::Error(error)) => error.to_string(),
        Err(Refused::Findings(findings)) => findings.render(false),
    }
}

/// Everything in a folder by name.
pub fn contents(dir: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries
        .map(|e| (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).unwrap_or_default()))
        .collect()
}

/// The names in a folder.
pub fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

pub fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
