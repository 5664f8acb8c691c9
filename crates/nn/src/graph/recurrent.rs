//! Recurrent layers.

use consilience_core::Result;
use consilience_core::model::graph::{Attribute, Element, Numbers, Value};

use super::Sketch;
use crate::layers::recurrence::Cell;

/// The operator of a cell.
fn operator(cell: Cell) -> &'static str {
    match cell {
        Cell::Gru => "GRU",
        Cell::Lstm => "LSTM",
    }
}

/// The gates of an array `[gates width, ..]` in the order of ONNX: reset, update, new as update, reset, new; input, forget,
/// new, output as input, output, forget, new.
fn sorted(cell: Cell, numbers: &[f32]) -> Vec<f32> {
    let order: &[usize] = match cell {
        Cell::Gru => &[1, 0, 2],
        Cell::Lstm => &[0, 3, 1, 2],
    };
    let size = numbers.len() / order.len();
    order.iter().flat_map(|g| &numbers[g * size..(g + 1) * size]).copied().collect()
}

/// `levels` recurrent layers one above the other, from `x [rows, steps, inputs]` to the state after the last step
/// `[rows, hidden]`; read in both directions with that of the reading backwards after the first step beside it,
/// `[rows, 2 hidden]`. Parameters are named as PyTorch does: `weight_ih_l0`, `bias_hh_l1_reverse`.
///
/// # Errors
/// As [`Sketch::param`].
pub fn recurrent(
    sketch: &mut Sketch<'_>,
    cell: Cell,
    layer: &str,
    levels: usize,
    bidirectional: bool,
    x: &Value,
) -> Result<Value> {
    // ONNX reads [steps, rows, inputs].
    let mut x = sketch.graph.transpose(x, &[1, 0, 2]);
    for level in 0..levels {
        let back = bidirectional.then(|| format!("_l{level}_reverse"));
        let ends: Vec<String> = std::iter::once(format!("_l{level}")).chain(back).collect();
        let hidden =
            sketch.host(&format!("{layer}.weight_hh_l{level}"))?.shape().get(1).copied().unwrap_or(0);
        let weight = array(sketch, cell, layer, &["weight_ih"], &ends)?;
        let state = array(sketch, cell, layer, &["weight_hh"], &ends)?;
        let bias = array(sketch, cell, layer, &["bias_ih", "bias_hh"], &ends)?;
        let mut attributes = vec![("hidden_size", Attribute::Int(hidden as i64))];
        if bidirectional {
            attributes.push(("direction", Attribute::Text("bidirectional".to_owned())));
        }
        if cell == Cell::Gru {
            attributes.push(("linear_before_reset", Attribute::Int(1)));
        }
        let inputs = [&x, &weight, &state, &bias];
        let joined = (ends.len() * hidden) as i64;
        if level + 1 < levels {
            // [steps, directions, rows, hidden]
            let states = sketch.graph.node(operator(cell), &inputs, attributes, Element::F32);
            let states = sketch.graph.transpose(&states, &[0, 2, 1, 3]);
            x = sketch.graph.reshape(&states, &[0, 0, joined]);
        } else {
            // [directions, rows, hidden]
            let last = sketch.graph.node_at(operator(cell), &inputs, attributes, 1, Element::F32);
            let last = sketch.graph.transpose(&last, &[1, 0, 2]);
            x = sketch.graph.reshape(&last, &[0, joined]);
        }
    }
    Ok(x)
}

/// Arrays of both directions in one, `[directions, gates width, ..]`; two biases stand one behind the other.
fn array(sketch: &mut Sketch<'_>, cell: Cell, layer: &str, names: &[&str], ends: &[String]) -> Result<Value> {
    let mut numbers = Vec::new();
    let mut shape = Vec::new();
    for end in ends {
        for name in names {
            let host = sketch.host(&format!("{layer}.{name}{end}"))?;
            numbers.extend(sorted(cell, host.numbers()));
            shape = host.shape();
        }
    }
    if let Some(first) = shape.first_mut() {
        *first *= names.len();
    }
    shape.insert(0, ends.len());
    Ok(sketch.graph.constant(&format!("{layer}.{}", names.join("+")), &shape, Numbers::F32(numbers)))
}
