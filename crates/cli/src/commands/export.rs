//! `csl export`.

use std::path::Path;
use std::process::ExitCode;

use consilience_engine::portable::{Slot, write_onnx, write_tensors};
use serde_json::{Map, json};

use crate::fault::Fault;
use crate::show;

/// Writes a model for other programs.
pub fn export(
    model: &Path,
    onnx: Option<&Path>,
    safetensors: Option<&Path>,
    torch_names: bool,
    json: bool,
) -> Result<ExitCode, Fault> {
    let mut done = Map::new();
    if let Some(out) = onnx {
        let graph = write_onnx(model, out)?;
        if json {
            done.insert("onnx".to_owned(), json!({"file": out, "graph": graph}));
        } else {
            let slot = |what: &str, s: &Slot| {
                vec![
                    what.to_owned(),
                    s.name.clone(),
                    s.element.to_owned(),
                    format!("[{}]", s.shape.join(", ")),
                ]
            };
            let cells = graph.inputs.iter().map(|s| slot("input", s));
            let cells = cells.chain(graph.outputs.iter().map(|s| slot("output", s)));
            show::out(&show::table(&["", "name", "type", "shape"], cells.collect(), &[]));
            show::out(&format!(
                "{} operators, {} bytes -> {}\n",
                graph.operators,
                graph.bytes,
                out.display()
            ));
        }
    }
    if let Some(out) = safetensors {
        let arrays = write_tensors(model, out, torch_names)?;
        if json {
            done.insert("safetensors".to_owned(), json!({"file": out, "tensors": arrays}));
        } else {
            let cells = arrays.arrays.iter().map(|(name, shape)| vec![name.clone(), format!("{shape:?}")]);
            show::out(&show::table(&["tensor", "shape"], cells.collect(), &[]));
            show::out(&format!(
                "{} tensors, {} numbers -> {}\n",
                arrays.arrays.len(),
                arrays.numbers,
                out.display()
            ));
        }
    }
    if json {
        show::out(&format!("{:#}\n", serde_json::Value::Object(done)));
    }
    Ok(ExitCode::SUCCESS)
}
