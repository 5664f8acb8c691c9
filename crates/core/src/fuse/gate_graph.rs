//! A gate on a graph.

use super::gate_view::{Look, View};
use crate::error::Result;
use crate::model::graph::{Answer, Element, Graph, Value, refused};
use crate::model::{Field, Kind, Task};

/// Below this a probability adds nothing to an entropy; it is the smallest that 32 bits hold in full.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// Some numbers of a source, `float64 [rows, width]`, and whether rows have it.
type Told = (Value, Option<Value>);

impl View {
    /// What [`View::apply`] does, on a graph: `float64 [rows, features]`.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) for a column that no member reads, or that no graph turns into numbers.
    pub(super) fn graph(&self, graph: &mut Graph, members: &[Answer], task: &Task) -> Result<Value> {
        let mut all: Vec<Told> = Vec::new();
        for member in members {
            all.push((member_graph(graph, &member.value, task), member.present.clone()));
        }
        for look in &self.looks {
            all.push(look.graph(graph)?);
        }
        let (mut parts, mut marks, mut start) = (Vec::new(), Vec::new(), 0);
        let widths = self.starts(task);
        for (i, (value, present)) in all.iter().enumerate() {
            let end = widths.get(i + 1).copied().unwrap_or(start);
            let mean = graph.doubles("mean", &[end - start], self.mean[start..end].iter().copied());
            let sd = graph.doubles("sd", &[end - start], self.sd[start..end].iter().copied());
            let centered = graph.sub(value, &mean);
            let scaled = graph.div(&centered, &sd);
            parts.push(graph.or_zero(present.as_ref(), &scaled));
            if self.flagged[i] {
                marks.push(match present {
                    Some(present) => {
                        let absent = graph.not(present);
                        graph.double(&absent)
                    }
                    None => {
                        let never = graph.doubles("never", &[1, 1], [0.0]);
                        graph.repeated(&never, 1, value)
                    }
                });
            }
            start = end;
        }
        parts.extend(marks);
        Ok(graph.beside(&parts, 1))
    }
}

/// Whether each of `count` numbers of a row is among its `top` largest, of equal ones the first: `bool [rows, count]`.
pub(super) fn largest(graph: &mut Graph, x: &Value, count: usize, top: usize) -> Value {
    // So many come before it: those that are larger, and those that are equal and stand before it.
    let (mine, theirs) = (graph.reshape(x, &[0, -1, 1]), graph.reshape(x, &[0, 1, -1]));
    let larger = graph.node("Greater", &[&theirs, &mine], vec![], Element::Bool);
    let equal = graph.node("Equal", &[&theirs, &mine], vec![], Element::Bool);
    let first = (0..count * count).map(|i| f64::from(u8::from(i % count < i / count)));
    let first = graph.doubles("before", &[count, count], first);
    let (larger, equal) = (graph.double(&larger), graph.double(&equal));
    let equal = graph.mul(&equal, &first);
    let before = graph.add(&larger, &equal);
    let before = graph.reduce("ReduceSum", &before, &[2]);
    let before = graph.flat(&before);
    let most = graph.scalar(Element::F64, top as f64);
    graph.node("Less", &[&before, &most], vec![], Element::Bool)
}

impl Look {
    fn graph(&self, graph: &mut Graph) -> Result<Told> {
        let what = || format!("a gate that looks at the {} column \"{}\"", self.kind.name(), self.column);
        let Some(x) = graph.given(&self.column) else {
            return Err(refused(&what(), "a column that no member reads"));
        };
        let present = graph.present(&Field::new(&self.column, self.kind))?;
        let value = match self.kind {
            Kind::Number => x,
            Kind::Category => {
                let codes = self.levels.iter().cloned().zip(0i64..);
                let codes = graph.codes(&x, codes, self.levels.len() as i64);
                let hot = graph.hot(&codes, self.levels.len());
                graph.double(&hot)
            }
            Kind::Image | Kind::Vector => {
                let flat = graph.flat(&x);
                let flat = graph.double(&flat);
                let unit = graph.scalar(Element::F64, if self.kind == Kind::Image { 255.0 } else { 1.0 });
                let x = graph.div(&flat, &unit);
                let mean = graph.reduce("ReduceMean", &x, &[1]);
                let gap = graph.sub(&x, &mean);
                let square = graph.mul(&gap, &gap);
                let variance = graph.reduce("ReduceMean", &square, &[1]);
                let deviation = graph.one("Sqrt", &variance);
                graph.beside(&[mean, deviation], 1)
            }
            Kind::Text | Kind::Audio | Kind::Sequence => return Err(refused(&what(), "")),
        };
        Ok((value, present))
    }
}

/// Entropy over its largest possible value, and the largest probability; for values the value.
fn member_graph(graph: &mut Graph, said: &Value, task: &Task) -> Value {
    let said = graph.double(said);
    let Some(classes) = task.classes() else { return said };
    let floor = graph.scalar(Element::F64, TINY);
    let raised = graph.node("Max", &[&said, &floor], vec![], Element::F64);
    let logarithm = graph.one("Log", &raised);
    let terms = graph.mul(&said, &logarithm);
    let sum = graph.reduce("ReduceSum", &terms, &[1]);
    let most = graph.scalar(Element::F64, -(classes.count() as f64).ln());
    let entropy = graph.div(&sum, &most);
    let largest = graph.reduce("ReduceMax", &said, &[1]);
    graph.beside(&[entropy, largest], 1)
}
