//! Weighted means of what members say, on a graph.

use super::pool::Content;
use crate::model::graph::{Answer, Element, Graph, Value};

/// `sum_m w_m c_m / sum_m w_m` over the members present on a row, `float32`, with a weight `float64`, a single number or
/// `[rows, 1]`, for each member. Where all members present have weight zero they count the same, if `evened` asks for it.
pub(super) fn mixed(
    graph: &mut Graph,
    members: &[Answer],
    weights: &[Value],
    content: Content,
    evened: bool,
) -> Value {
    let weights = weights_of_present(graph, members, weights, evened);
    let mut terms = Vec::with_capacity(members.len());
    for (member, weight) in members.iter().zip(&weights) {
        let said = match content {
            Content::Prediction => graph.double(&member.value),
            Content::Vote => vote(graph, &member.value),
        };
        // What an absent member says may be anything.
        let said = graph.or_zero(member.present.as_ref(), &said);
        terms.push(graph.mul(&said, weight));
    }
    let (all, total) = (graph.sum(&terms), graph.sum(&weights));
    let mean = graph.div(&all, &total);
    graph.single(&mean)
}

/// The weights with zero for members that are absent on a row. Where all that are left are zero, those present have
/// the same, if `evened` asks for it.
pub(super) fn weights_of_present(
    graph: &mut Graph,
    members: &[Answer],
    weights: &[Value],
    evened: bool,
) -> Vec<Value> {
    let mut weights: Vec<Value> =
        members.iter().zip(weights).map(|(m, w)| graph.or_zero(m.present.as_ref(), w)).collect();
    if evened {
        let zero = graph.scalar(Element::F64, 0.0);
        let total = graph.sum(&weights);
        let some = graph.node("Greater", &[&total, &zero], vec![], Element::Bool);
        let one = graph.scalar(Element::F64, 1.0);
        for (weight, member) in weights.iter_mut().zip(members) {
            let same = graph.or_zero(member.present.as_ref(), &one);
            *weight = graph.choose(&some, weight, &same);
        }
    }
    weights
}

/// One vote for the most probable class; classes that tie share it.
fn vote(graph: &mut Graph, p: &Value) -> Value {
    let most = graph.reduce("ReduceMax", p, &[1]);
    let tied = graph.node("Equal", &[p, &most], vec![], Element::Bool);
    let tied = graph.double(&tied);
    let ties = graph.reduce("ReduceSum", &tied, &[1]);
    graph.div(&tied, &ties)
}
