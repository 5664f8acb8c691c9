//! A frozen ONNX encoder as a feature step.

use std::path::Path;

use consilience_core::files::confine;
use consilience_core::model::{
    Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Parts, Vectors,
};
use consilience_core::registry::Method;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::inspect::{Port, Signature};
use super::package::{Package, is_onnx};
use super::session::{Data, Rows, Session};
use super::tensors::{DOUBLE, FLOAT};

/// What an ONNX model gives for a row: a frozen encoder. Nothing of it is fitted. The file becomes part of the model.
///
/// # Shapes
/// The model has one input, of floats, whose rows have the vector's shape; the output keeps the shape that the model
/// gives it.
///
/// # Errors
/// Files outside the data folder, damaged or hostile files, operators that the runtime does not know.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Onnx {
    /// The `.onnx` file, relative to the data folder. Required.
    pub file: String,
    /// The output to take; needed where the model has several of floats.
    pub output: Option<String>,
}

impl Method for Onnx {
    const NAME: &'static str = "onnx";
    const ABOUT: &'static str = "what a frozen ONNX model gives for a row";

    fn validate(&self) -> Result<()> {
        if !is_onnx(&self.file) {
            return Err(Error::argument("a file is needed")
                .at("file")
                .expected("an .onnx file in the data folder")
                .got(format!("\"{}\"", self.file)));
        }
        Ok(())
    }
}

impl Feature for Onnx {
    fn output(&self, input: &Field) -> Result<Field> {
        if input.kind != Kind::Vector {
            return Err(Error::argument("\"onnx\" cannot read a column of this kind")
                .at(&input.name)
                .expected("vector")
                .got(input.kind.name())
                .remedy("put steps before it that give numbers, as tensor does for images"));
        }
        Ok(Field::vector(&input.name, Vec::new()))
    }

    fn learns(&self) -> bool {
        false
    }

    fn files(&self) -> Vec<String> {
        vec![self.file.clone()]
    }

    fn fit(&self, input: &Field, column: &Column, context: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        self.output(input)?;
        let root = context.root.ok_or_else(|| {
            Error::argument("\"onnx\" reads a file, but no data folder was given")
                .at(&input.name)
                .remedy("set data.root in the recipe, or --data")
        })?;
        let package = Package::read(&confine(root, &self.file)?)?;
        let named = output(&package.signature, self.output.as_deref()).map_err(|e| e.at(&self.file))?;
        let output_name = named.name.clone();
        let vectors = vectors(&input.name, column)?;
        let row = (0..vectors.len()).find(|r| vectors.get(*r).is_some());
        let row = row.ok_or_else(|| {
            Error::data("\"onnx\" has no row to be fitted to")
                .at(&input.name)
                .expected("at least one training row with a value")
        })?;
        let mut step = Encoder {
            input: input_of(&package.signature, &vectors.shape).map_err(|e| e.at(&self.file))?,
            session: Session::open(&package, &output_name).map_err(|e| e.at(&self.file))?,
            package,
            output_name,
            shape: vectors.shape.clone(),
            output: Field::vector(&input.name, Vec::new()),
        };
        // The first row tells the shape of what comes out.
        let first = Vectors::new(vectors.shape.clone(), vectors.get(row).unwrap_or_default().to_vec())?;
        let given = step.session.run(1, &[step.rows(first.data)]).map_err(|e| e.at(&self.file))?;
        step.output.shape = if given.shape.is_empty() { vec![1] } else { given.shape };
        Ok(Box::new(step))
    }
}

/// The float output that is named, or the only one.
fn output<'a>(signature: &'a Signature, named: Option<&str>) -> Result<&'a Port> {
    let floats = |p: &&Port| matches!(p.element, Ok(FLOAT | DOUBLE));
    let all: Vec<&Port> = signature.outputs.iter().filter(floats).collect();
    let found = match (named, all.as_slice()) {
        (Some(name), all) => all.iter().find(|p| p.name == name).copied(),
        (None, [only]) => Some(*only),
        (None, _) => None,
    };
    found.ok_or_else(|| {
        let known: Vec<String> = signature.outputs.iter().map(Port::describe).collect();
        Error::argument(match named {
            Some(name) => format!("the ONNX model has no output of floats named \"{name}\""),
            None => "the ONNX model has several outputs of floats, or none".to_owned(),
        })
        .expected(format!("output: one of {}", known.join("; ")))
    })
}

fn input_of(signature: &Signature, shape: &[usize]) -> Result<String> {
    let [port] = signature.inputs.as_slice() else {
        return Err(Error::argument("a frozen encoder has one input")
            .got(format!("{} inputs", signature.inputs.len())));
    };
    let dims = port.shape.as_ref().and_then(|s| s.split_first()).map(|(_, dims)| dims);
    let fits = dims.is_none_or(|dims| {
        dims.len() == shape.len() && dims.iter().zip(shape).all(|(d, s)| d.is_none_or(|d| d == *s as u64))
    });
    if port.element != Ok(FLOAT) || !fits {
        return Err(Error::argument("the rows do not fit the input of the ONNX model")
            .expected(port.describe())
            .got(format!("rows of floats of shape {shape:?}"))
            .remedy("give steps before it that bring rows to this shape (tensor with height and width)"));
    }
    Ok(port.name.clone())
}

fn vectors<'a>(name: &str, column: &'a Column) -> Result<&'a Vectors> {
    match column {
        Column::Vector(v) => Ok(v),
        other => Err(Error::data("\"onnx\" was given a column of another kind")
            .at(name)
            .expected("vector")
            .got(other.kind().name())),
    }
}

/// Fitted [`Onnx`].
struct Encoder {
    package: Package,
    session: Session,
    input: String,
    output_name: String,
    /// The shape of a row that comes in.
    shape: Vec<usize>,
    output: Field,
}

impl Encoder {
    fn rows(&self, data: Vec<f32>) -> Rows {
        Rows { name: self.input.clone(), shape: self.shape.clone(), data: Data::F32(data) }
    }
}

impl FittedFeature for Encoder {
    fn kind(&self) -> &'static str {
        Onnx::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let from = vectors(name, column)?;
        if from.shape != self.shape {
            return Err(Error::data("\"onnx\" was given rows of another shape")
                .at(name)
                .expected(format!("{:?}", self.shape))
                .got(format!("{:?}", from.shape)));
        }
        let present: Vec<usize> = (0..from.len()).filter(|r| from.get(*r).is_some()).collect();
        let data: Vec<f32> = present.iter().filter_map(|r| from.get(*r)).flatten().copied().collect();
        let given = self.session.run(present.len(), &[self.rows(data)])?;
        let width: usize = self.output.shape.iter().product();
        if given.data.len() != width * present.len() {
            return Err(Error::model("the ONNX model gives rows of another shape than before")
                .at(name)
                .expected(format!("{:?}", self.output.shape))
                .got(format!("{:?}", given.shape)));
        }
        if let Some(bad) = given.data.iter().find(|v| !v.is_finite()) {
            return Err(Error::data("the ONNX model gives a number that is not finite").at(name).got(bad));
        }
        let mut out = vec![0.0; from.len() * width];
        for (numbers, row) in given.data.chunks(width.max(1)).zip(&present) {
            if let Some(place) = out.get_mut(row * width..(row + 1) * width) {
                place.copy_from_slice(numbers);
            }
        }
        Ok(Column::Vector(Vectors {
            shape: self.output.shape.clone(),
            data: out,
            absent: from.absent.clone(),
        }))
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({
            "input": self.input, "from": self.output_name, "shape": self.shape, "output": self.output,
        });
        Ok(self.package.save(Parts::new(self.kind(), config)))
    }
}

/// Loads a fitted [`Onnx`].
///
/// # Errors
/// [`Error::Model`] for damaged parts, or an operator that this machine's runtime does not know.
pub fn load_step(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let package = Package::load(parts)?;
    let (output, output_name): (Field, String) = (parts.field("output")?, parts.field("from")?);
    let session = Session::open(&package, &output_name)?;
    let (input, shape) = (parts.field("input")?, parts.field("shape")?);
    Ok(Box::new(Encoder { package, session, input, output_name, shape, output }))
}

/// The files on which a feature step's results depend beside one that it names: those that an ONNX model has its numbers in.
///
/// # Errors
/// As [`Package::read`].
pub fn files_beside(path: &Path) -> Result<Vec<String>> {
    Ok(Package::read(path)?.hashes().into_values().collect())
}
