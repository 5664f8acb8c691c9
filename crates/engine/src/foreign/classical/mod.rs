//! Models of tables as scikit-learn exports them: the operators of the domain `ai.onnx.ml`, which the runtime that is
//! built in does not know, and the few others that stand among them.

mod attributes;
mod linear;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use consilience_core::{Error, Result};

use super::inspect::Node;
use super::prune::nodes;
use super::runtime::VARIABLE;
use super::session::{Data, Given, Rows};
use super::tensors::{DOUBLE, FLOAT};
use attributes::Attributes;

/// The domain of these operators.
const DOMAIN: &str = "ai.onnx.ml";

/// Rows of numbers, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
struct Table {
    width: usize,
    data: Vec<f64>,
}

impl Table {
    fn rows(&self) -> usize {
        self.data.len() / self.width.max(1)
    }

    fn wide_as(&self, width: usize, what: &str) -> Result<()> {
        if self.width == width && width > 0 {
            return Ok(());
        }
        Err(Error::model(format!("{what} in the ONNX model reads rows of another width"))
            .expected(format!("{width} numbers"))
            .got(self.width))
    }

    /// Every number changed by what its column says.
    fn each(&self, change: impl Fn(usize, f64) -> f64) -> Self {
        let width = self.width.max(1);
        let data = self.data.iter().enumerate().map(|(i, x)| change(i % width, *x)).collect();
        Self { width: self.width, data }
    }
}

/// From one table to one.
trait Operator: Send + Sync {
    fn run(&self, input: &Table) -> Result<Table>;
}

/// What a node does.
enum Act {
    /// Puts tables side by side.
    Join,
    /// Rounds to 32 bits, or nothing.
    Cast {
        single: bool,
    },
    Operator(Box<dyn Operator>),
}

struct Task {
    act: Act,
    inputs: Vec<String>,
    output: String,
}

/// A model of such operators.
pub(super) struct Classical {
    tasks: Vec<Task>,
    output: String,
}

impl Classical {
    /// Reads a model; `None` if it has no operator of this kind.
    ///
    /// # Errors
    /// [`Error::Model`] naming the operators that are not supported.
    pub fn read(file: &[u8], output: &str) -> Result<Option<Self>> {
        let nodes = nodes(file)?;
        if !nodes.iter().any(|n| n.domain == DOMAIN) {
            return Ok(None);
        }
        let (mut tasks, mut unknown) = (Vec::new(), BTreeSet::new());
        for node in &nodes {
            match task(node)? {
                Some(task) => tasks.push(task),
                None => drop(unknown.insert(node.full_name())),
            }
        }
        if !unknown.is_empty() {
            let names: Vec<String> = unknown.into_iter().collect();
            return Err(Error::model(format!(
                "operators of the ONNX model are not supported here: {}",
                names.join(", ")
            ))
            .remedy(format!("set {VARIABLE} to a library of ONNX Runtime, which knows them")));
        }
        Ok(Some(Self { tasks, output: output.to_owned() }))
    }

    /// Computes the output for some rows.
    pub fn run(&self, rows: Range<usize>, inputs: &[Rows]) -> Result<Given> {
        let mut known: BTreeMap<&str, Table> = BTreeMap::new();
        for input in inputs {
            known.insert(&input.name, table(&rows, input)?);
        }
        for task in &self.tasks {
            let mut read = Vec::new();
            for name in &task.inputs {
                let found = known.get(name.as_str());
                read.push(found.ok_or_else(|| {
                    Error::model(format!("the ONNX model reads \"{name}\", which nothing gives"))
                })?);
            }
            let out = match (&task.act, read.as_slice()) {
                (Act::Join, all) => join(all, rows.len()),
                (Act::Cast { single: true }, [one]) => one.each(|_, x| f64::from(x as f32)),
                (Act::Cast { .. }, [one]) => (*one).clone(),
                (Act::Operator(operator), [one]) => operator.run(one)?,
                _ => return Err(Error::model("a node of the ONNX model reads several tables")),
            };
            known.insert(&task.output, out);
        }
        let out = known.remove(self.output.as_str()).unwrap_or_default();
        Ok(Given { shape: vec![out.rows(), out.width], data: out.data.iter().map(|v| *v as f32).collect() })
    }
}

/// What a node does; `None` if its operator is not supported.
fn task(node: &Node<'_>) -> Result<Option<Task>> {
    let attributes = Attributes::of(node);
    let act = match (node.domain, node.operator) {
        ("", "Identity") => Act::Cast { single: false },
        ("", "Cast") => match attributes.int("to")? {
            Some(FLOAT) => Act::Cast { single: true },
            Some(DOUBLE) => Act::Cast { single: false },
            _ => return Ok(None),
        },
        ("", "Concat") if matches!(attributes.int("axis")?, Some(1 | -1)) => Act::Join,
        (DOMAIN, "FeatureVectorizer") => Act::Join,
        (DOMAIN, "Scaler") => Act::Operator(linear::scaler(&attributes)?),
        (DOMAIN, "Imputer") => Act::Operator(linear::imputer(&attributes)?),
        (DOMAIN, "Normalizer") => Act::Operator(linear::normalizer(&attributes)?),
        (DOMAIN, "LinearRegressor") => Act::Operator(linear::regressor(&attributes)?),
        (DOMAIN, "LinearClassifier") => Act::Operator(linear::classifier(&attributes)?),
        (DOMAIN, "TreeEnsembleRegressor") => Act::Operator(trees::regressor(&attributes)?),
        (DOMAIN, "TreeEnsembleClassifier") => Act::Operator(trees::classifier(&attributes)?),
        _ => return Ok(None),
    };
    // Classifiers give labels first, and their scores after them.
    let place = usize::from(node.operator.ends_with("Classifier"));
    let output = node.outputs.get(place).ok_or_else(|| attributes.refuse("it has no output"))?;
    let inputs = node.inputs.iter().map(|i| (*i).to_owned()).collect();
    Ok(Some(Task { act, inputs, output: (*output).to_owned() }))
}

fn join(all: &[&Table], rows: usize) -> Table {
    let width = all.iter().map(|t| t.width).sum();
    let mut data = Vec::with_capacity(rows * width);
    for row in 0..rows {
        for table in all {
            data.extend(table.data.iter().skip(row * table.width).take(table.width));
        }
    }
    Table { width, data }
}

fn table(rows: &Range<usize>, input: &Rows) -> Result<Table> {
    let width: usize = input.shape.iter().product();
    let (skip, take) = (rows.start * width, rows.len() * width);
    let data: Vec<f64> = match &input.data {
        Data::F32(all) => all.iter().skip(skip).take(take).map(|v| f64::from(*v)).collect(),
        Data::F64(all) => all.iter().skip(skip).take(take).copied().collect(),
        Data::I32(all) => all.iter().skip(skip).take(take).map(|v| f64::from(*v)).collect(),
        Data::I64(all) => all.iter().skip(skip).take(take).map(|v| *v as f64).collect(),
        Data::Text(_) => {
            return Err(Error::model("texts in ONNX models are not supported here")
                .at(&input.name)
                .remedy(format!("set {VARIABLE} to a library of ONNX Runtime")));
        }
    };
    if data.len() != take {
        return Err(Error::internal(format!("the input \"{}\" lacks rows", input.name)));
    }
    Ok(Table { width, data })
}
