//! Runs the operators that calibrators write onto a graph.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis};

use crate::array::Matrix;
use crate::model::graph::{Answer, Attribute, Graph, Node, Numbers};
use crate::model::{Field, Fused};

/// What a fitted calibrator's graph gives for `p`.
pub(crate) fn run(fused: &dyn Fused, p: &Matrix) -> Matrix {
    let mut graph = Graph::default();
    let value = graph.column(&Field::vector("p", vec![p.ncols()])).unwrap();
    let said = fused.graph(&mut graph, &[Answer { value, present: None }]).unwrap();
    let mut known: BTreeMap<String, Array2<f64>> = BTreeMap::new();
    known.insert("p".to_owned(), p.mapv(f64::from));
    for constant in graph.constants() {
        let numbers: Vec<f64> = match &constant.numbers {
            Numbers::F32(v) => v.iter().map(|v| f64::from(*v)).collect(),
            Numbers::F64(v) => v.clone(),
            Numbers::I64(v) => v.iter().map(|v| *v as f64).collect(),
        };
        let row = Array2::from_shape_vec((1, numbers.len()), numbers).unwrap();
        known.insert(constant.name.to_string(), row);
    }
    for node in graph.nodes() {
        let inputs: Vec<&Array2<f64>> = node.inputs.iter().map(|i| &known[&**i]).collect();
        let out = apply(node, &inputs);
        known.insert(node.outputs[0].to_string(), out);
    }
    let out = known[said.name()].mapv(|v| v as f32);
    if out.dim() == p.dim() { out } else { out.broadcast(p.dim()).unwrap().to_owned() }
}

fn apply(node: &Node, inputs: &[&Array2<f64>]) -> Array2<f64> {
    let x = inputs[0];
    let with = |other: &Array2<f64>, f: &dyn Fn(f64, f64) -> f64| {
        let rows = x.nrows().max(other.nrows());
        let columns = x.ncols().max(other.ncols());
        let (a, b) = (x.broadcast((rows, columns)).unwrap(), other.broadcast((rows, columns)).unwrap());
        Array2::from_shape_fn((rows, columns), |at| f(a[at], b[at]))
    };
    match node.operator {
        "Identity" => x.clone(),
        "Cast" => match node.attributes[0].1 {
            // ONNX's number of 32-bit floats.
            Attribute::Int(1) => x.mapv(|v| f64::from(v as f32)),
            _ => x.clone(),
        },
        "Clip" => x.mapv(|v| v.clamp(inputs[1][[0, 0]], inputs[2][[0, 0]])),
        "Log" => x.mapv(f64::ln),
        "Sigmoid" => x.mapv(|v| 1.0 / (1.0 + (-v).exp())),
        "Add" => with(inputs[1], &|a, b| a + b),
        "Sub" => with(inputs[1], &|a, b| a - b),
        "Mul" => with(inputs[1], &|a, b| a * b),
        "Div" => with(inputs[1], &|a, b| a / b),
        "Max" => with(inputs[1], &f64::max),
        "Min" => with(inputs[1], &f64::min),
        "Greater" => with(inputs[1], &|a, b| f64::from(u8::from(a > b))),
        "Where" => {
            let (a, b) = (inputs[1], inputs[2]);
            let (rows, columns) = (x.nrows().max(a.nrows()), a.ncols().max(b.ncols()));
            let views = [x, a, b].map(|v| v.broadcast((rows, columns)).unwrap());
            Array2::from_shape_fn((rows, columns), |at| {
                if views[0][at] > 0.0 { views[1][at] } else { views[2][at] }
            })
        }
        "Gather" => x.select(Axis(1), &inputs[1].iter().map(|i| *i as usize).collect::<Vec<_>>()),
        "Concat" => {
            ndarray::concatenate(Axis(1), &inputs.iter().map(|i| i.view()).collect::<Vec<_>>()).unwrap()
        }
        "ReduceSum" => x.sum_axis(Axis(1)).insert_axis(Axis(1)),
        "Softmax" => {
            let mut out = x.clone();
            for mut row in out.rows_mut() {
                let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                row.mapv_inplace(|v| (v - most).exp());
                let sum = row.sum();
                row /= sum;
            }
            out
        }
        other => panic!("{other}"),
    }
}
