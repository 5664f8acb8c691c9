//! From what a recipe says of an ONNX model, and what its file says itself, to a member. Everything that does not fit is said at
//! once, each at its place in the recipe.

use std::collections::BTreeMap;
use std::path::Path;

use consilience_core::model::{Column, Context, Feature, Kind, Quiet, Schema, Source, Stop, Task};
use consilience_core::registry::{Registry, nearest};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::feed::{Fed, Feed};
use super::inspect::{Port, Signature};
use super::model::{Foreign, Gives, Missing, Said, schema_of};
use super::package::Package;
use super::session::Session;
use super::tensors::{DOUBLE, FLOAT, INT32, INT64, STRING};
use crate::recipe::Call;

/// What a recipe says of an ONNX model that is a member.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// For each input of the model the columns that feed it, in order.
    pub inputs: BTreeMap<String, Vec<String>>,
    /// The steps of some columns.
    pub features: BTreeMap<String, Vec<Call>>,
    /// The output that predicts; the only one of floats by default.
    pub output: Option<String>,
    /// What its numbers are.
    pub gives: Gives,
    /// What stands for a missing number.
    pub missing: Missing,
    /// The classes in the order of the model's outputs.
    pub classes: Vec<String>,
}

/// What does not fit, with the keys below the member that lead to it.
#[derive(Debug)]
pub struct Refused {
    /// The keys: `["inputs", "X"]`.
    pub at: Vec<String>,
    /// What is wrong.
    pub error: Error,
}

/// What is declared is compared with.
pub struct Ground<'a> {
    /// The feature steps that there are.
    pub features: &'a Registry<dyn Feature>,
    /// The columns of the data.
    pub schema: &'a Schema,
    /// The rows.
    pub source: &'a dyn Source,
    /// The data folder.
    pub root: &'a Path,
    /// What is to be predicted.
    pub task: &'a Task,
}

/// Reads the model at `path` and makes a member of it.
///
/// # Errors
/// Everything that does not fit; a file that is damaged is refused alone, at the key `load`.
pub fn declare(
    ground: &Ground<'_>,
    declared: &Declared,
    path: &Path,
) -> std::result::Result<Foreign, Vec<Refused>> {
    let alone = |error| vec![Refused { at: vec!["load".to_owned()], error }];
    let package = Package::read(path).map_err(alone)?;
    let mut said = Complaints::default();
    let output = said.note(&["output"], output(&package.signature, declared));
    let places = said.note(&["classes"], places(ground.task, declared, output, &package.signature.classes));
    let feeds = feeds(ground, declared, &package.signature, &mut said);
    let (Some(output), Some(places)) = (output, places) else { return Err(said.0) };
    if !said.0.is_empty() {
        return Err(said.0);
    }
    let session = Session::open(&package, &output.name).map_err(alone)?;
    let said = Said { output: output.name.clone(), gives: declared.gives, missing: declared.missing, places };
    Ok(Foreign { session, schema: schema_of(&feeds), feeds, task: ground.task.clone(), said, package })
}

#[derive(Default)]
struct Complaints(Vec<Refused>);

impl Complaints {
    fn note<T>(&mut self, at: &[&str], result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(Refused { at: at.iter().map(|k| (*k).to_owned()).collect(), error });
                None
            }
        }
    }
}

fn listed(ports: &[Port]) -> String {
    ports.iter().map(Port::describe).collect::<Vec<_>>().join("; ")
}

/// A port by name; else an error that lists what is there.
fn named<'a>(ports: &'a [Port], what: &str, name: &str) -> Result<&'a Port> {
    ports.iter().find(|p| p.name == name).ok_or_else(|| {
        let error =
            Error::argument(format!("the ONNX model has no {what} \"{name}\"")).expected(listed(ports));
        match nearest(name, ports.iter().map(|p| p.name.as_str())) {
            Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
            None => error,
        }
    })
}

fn output<'a>(signature: &'a Signature, declared: &Declared) -> Result<&'a Port> {
    let of_numbers = |p: &&Port| matches!(p.element, Ok(FLOAT | DOUBLE));
    let port = match &declared.output {
        Some(name) => named(&signature.outputs, "output", name)?,
        None => {
            let all: Vec<&Port> = signature.outputs.iter().filter(of_numbers).collect();
            match all.as_slice() {
                [only] => only,
                [] => match signature.outputs.iter().find(|p| p.element.is_err()) {
                    Some(other) => other,
                    None => {
                        return Err(Error::argument("the ONNX model has no output of floats")
                            .got(listed(&signature.outputs)));
                    }
                },
                _ => {
                    return Err(Error::argument("the ONNX model has several outputs")
                        .expected(format!("output: one of {}", listed(&signature.outputs))));
                }
            }
        }
    };
    if of_numbers(&port) {
        return Ok(port);
    }
    let error = Error::argument(format!("the output \"{}\" of the ONNX model cannot be read", port.name))
        .expected("a tensor of floats")
        .got(port.describe());
    Err(match port.element {
        Err("a sequence" | "a map") => {
            error.remedy("export the scikit-learn model with options={id(model): {\"zipmap\": False}}: it gives a table of probabilities then")
        }
        _ => error.remedy(format!("the outputs are {}", listed(&signature.outputs))),
    })
}

/// For each class of the task its place among the outputs.
fn places(task: &Task, declared: &Declared, output: Option<&Port>, named: &[String]) -> Result<Vec<usize>> {
    let width = output.and_then(|p| p.shape.as_ref()).and_then(|s| match s.as_slice() {
        [_] => Some(1),
        [_, rest @ ..] => rest.iter().try_fold(1u64, |p, d| d.map(|d| p.saturating_mul(d))),
        [] => None,
    });
    let Some(classes) = task.classes() else {
        if !declared.classes.is_empty() || declared.gives == Gives::Logits {
            return Err(Error::argument(
                "classes and gives: logits are for classes, and the target holds numbers",
            ));
        }
        return match width {
            Some(w) if w != 1 => Err(Error::argument("the output of the ONNX model is no single value")
                .got(format!("{w} numbers a row"))),
            _ => Ok(vec![0]),
        };
    };
    let expected = format!("the classes {} in the order of the model's outputs", classes.names().join(", "));
    if declared.classes.is_empty() {
        return Err(Error::argument("the classes of the ONNX model are not declared")
            .expected(format!("classes: {expected}")));
    }
    let mut sorted = declared.classes.clone();
    sorted.sort_unstable();
    let mut known = classes.names().to_vec();
    known.sort_unstable();
    if sorted != known {
        return Err(Error::argument("the classes of the ONNX model are not those of the target")
            .expected(expected)
            .got(declared.classes.join(", ")));
    }
    // What the file calls its classes is of use where these are the same names.
    let mut names = named.to_vec();
    names.sort_unstable();
    if names == sorted && *named != declared.classes {
        return Err(Error::argument("the ONNX file has its classes in another order")
            .expected(format!("classes: [{}]", named.join(", ")))
            .got(declared.classes.join(", ")));
    }
    match width {
        Some(w) if w != classes.count() as u64 && !(w == 1 && classes.count() == 2) => {
            return Err(Error::argument(
                "the ONNX model has another number of outputs than there are classes",
            )
            .expected(format!("{} outputs", classes.count()))
            .got(output.map_or_else(String::new, Port::describe)));
        }
        _ => {}
    }
    Ok(classes.names().iter().filter_map(|c| declared.classes.iter().position(|d| d == c)).collect())
}

fn feeds(
    ground: &Ground<'_>,
    declared: &Declared,
    signature: &Signature,
    said: &mut Complaints,
) -> Vec<Feed> {
    let mut feeds = Vec::new();
    for (name, columns) in &declared.inputs {
        let at = ["inputs", name.as_str()];
        let Some(port) = said.note(&at, named(&signature.inputs, "input", name)) else { continue };
        let mut fed = Vec::new();
        for column in columns {
            let calls = declared.features.get(column);
            let place: &[&str] = if calls.is_some() { &["features", column] } else { &at };
            fed.extend(said.note(place, prepared(ground, column, calls.map_or(&[], Vec::as_slice), port)));
        }
        if fed.len() == columns.len() {
            feeds.extend(said.note(&at, feed(port, fed)));
        }
    }
    let missing: Vec<&str> = signature
        .inputs
        .iter()
        .map(|p| p.name.as_str())
        .filter(|n| !declared.inputs.contains_key(*n))
        .collect();
    if !missing.is_empty() {
        said.note::<()>(
            &["inputs"],
            Err(Error::argument("inputs of the ONNX model are not fed")
                .expected(format!("the columns for each of {}", listed(&signature.inputs)))
                .got(format!("nothing for {}", missing.join(", ")))),
        );
    }
    let unused = declared.features.keys().find(|c| !declared.inputs.values().flatten().any(|i| i == *c));
    if let Some(column) = unused {
        let error = Error::argument(format!("the column \"{column}\" feeds no input of the ONNX model"));
        said.note::<()>(
            &["features", column],
            Err(error.remedy("name it in inputs, or leave its steps out")),
        );
    }
    feeds
}

/// A column with its steps, and the shape of a row after them.
fn prepared(ground: &Ground<'_>, name: &str, calls: &[Call], port: &Port) -> Result<(Fed, Vec<usize>)> {
    let field = ground.schema.field(name)?.clone();
    let texts = port.element == Ok(STRING);
    if calls.is_empty() {
        let shape = match field.kind {
            Kind::Category | Kind::Text if texts => vec![1],
            Kind::Number if !texts => vec![1],
            Kind::Vector if !texts && !field.shape.is_empty() => field.shape.clone(),
            _ => {
                return Err(Error::argument(format!(
                    "the column \"{name}\" cannot feed the input \"{}\" as it is",
                    port.name
                ))
                .expected(if texts { "a category or text" } else { "numbers" })
                .got(field.kind.name())
                .remedy("give it steps that end in numbers: features: {column: [tensor]}"));
            }
        };
        return Ok((Fed { field, steps: Vec::new() }, shape));
    }
    let mut column = sample(ground.source, name)?;
    let stop = Stop::default();
    let context = Context { root: Some(ground.root), ..Context::new(Seed::new(0), &Quiet, &stop) };
    let (mut current, mut steps) = (field.clone(), Vec::new());
    for call in calls {
        let step = ground.features.build(&call.name, &call.parameters)?;
        if step.learns() {
            return Err(Error::argument(format!("\"{}\" learns from the rows it is fitted to", call.name))
                .expected(
                    "steps that learn nothing: the model was fitted elsewhere, on what its maker prepared",
                )
                .remedy("use normalize with the maker's means and deviations, scale, or tensor"));
        }
        let fitted = step.fit(&current, &column, &context)?;
        column = fitted.apply(&column)?;
        current = fitted.output().clone();
        steps.push(fitted);
    }
    if current.kind != Kind::Vector {
        return Err(Error::argument(format!("the steps of \"{name}\" do not end in numbers"))
            .got(current.kind.name()));
    }
    Ok((Fed { field, steps }, current.shape))
}

/// The first row that has the column, alone: it tells shapes, and nothing is learned from it.
fn sample(source: &dyn Source, name: &str) -> Result<Column> {
    const BLOCK: usize = 16;
    let rows: Vec<usize> = (0..source.rows()).collect();
    for block in rows.chunks(BLOCK) {
        let batch = source.read(block, &[name])?;
        let column = batch.column(name)?;
        let gone = column.unavailable();
        if let Some(row) = (0..column.len()).find(|r| !gone.is_set(*r)) {
            return column.take(&[row]);
        }
    }
    Err(Error::data("no row has a value in the column").at(format!("column \"{name}\"")))
}

/// Whether columns fill an input of the model.
fn feed(port: &Port, fed: Vec<(Fed, Vec<usize>)>) -> Result<Feed> {
    let element = match port.element {
        Ok(element @ (FLOAT | DOUBLE | INT32 | INT64 | STRING)) => element,
        _ => {
            return Err(Error::argument(format!(
                "the input \"{}\" of the ONNX model is of a type that is not supported",
                port.name
            ))
            .expected("a tensor of float, double, int32, int64 or string")
            .got(port.describe()));
        }
    };
    let shapes: Vec<&Vec<usize>> = fed.iter().map(|(_, shape)| shape).collect();
    let mut shape = match shapes.as_slice() {
        [one] => (*one).clone(),
        several => {
            if let Some(wide) = several.iter().find(|s| s.len() > 1) {
                return Err(Error::argument("columns side by side hold rows of one dimension")
                    .got(format!("rows of shape {wide:?}"))
                    .remedy("put the step flatten at its end"));
            }
            vec![several.iter().map(|s| s.iter().product::<usize>()).sum()]
        }
    };
    if let Some(dims) = &port.shape {
        let (_, row) = dims.split_first().ok_or_else(|| {
            Error::argument("the input of the ONNX model has no dimension of rows").got(port.describe())
        })?;
        if row.is_empty() && shape == [1] {
            shape.clear();
        }
        if row.len() != shape.len() || row.iter().zip(&shape).any(|(d, s)| d.is_some_and(|d| d != *s as u64))
        {
            return Err(Error::argument(format!(
                "the columns do not fill the input \"{}\" of the ONNX model",
                port.name
            ))
            .expected(port.describe())
            .got(format!("rows of shape {shape:?}"))
            .remedy(if fed.iter().any(|(f, _)| f.field.kind == Kind::Image) {
                "give tensor a height and a width, or declare how many channels the column has"
            } else {
                "name the columns that its maker used, in their order"
            }));
        }
    }
    let columns = fed.into_iter().map(|(fed, _)| fed).collect();
    Ok(Feed { input: port.name.clone(), element, shape, columns })
}
