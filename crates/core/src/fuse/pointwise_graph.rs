//! Means of numbers on a graph.

use super::mixed::weights_of_present;
use super::pointwise::{Exponent, Limit, Rule};
use crate::array::MIN_PROBABILITY;
use crate::model::Task;
use crate::model::graph::{Answer, Element, Graph, Numbers, Value};

/// What a rule makes of the members, `float32`. NaN on rows whose values have no such mean.
pub(super) fn drawn(
    graph: &mut Graph,
    members: &[Answer],
    task: &Task,
    rule: Rule,
    weights: &[f64],
) -> Value {
    let least = graph.scalar(Element::F32, f64::from(MIN_PROBABILITY));
    let said: Vec<Value> = members
        .iter()
        .map(|m| match task {
            Task::Classify(_) => graph.node("Max", &[&m.value, &least], vec![], Element::F32),
            Task::Regress => m.value.clone(),
        })
        .collect();
    let mean = match rule {
        Rule::Power(exponent) => power(graph, members, &said, exponent, weights),
        _ => middle(graph, members, &said, rule, task.width()),
    };
    let mean = match task {
        Task::Classify(_) => {
            let sum = graph.reduce("ReduceSum", &mean, &[1]);
            graph.div(&mean, &sum)
        }
        Task::Regress => mean,
    };
    graph.single(&mean)
}

/// What members say where they are present, and a number where they are not.
fn filled(graph: &mut Graph, members: &[Answer], said: &[Value], with: f64) -> Vec<Value> {
    let mut out = Vec::with_capacity(said.len());
    for (member, said) in members.iter().zip(said) {
        out.push(match &member.present {
            Some(present) => {
                let with = graph.scalar(said.element(), with);
                graph.choose(present, said, &with)
            }
            None => said.clone(),
        });
    }
    out
}

/// The largest ("Max") or smallest ("Min") of several values, entry by entry.
fn extreme(graph: &mut Graph, operator: &'static str, of: &[Value]) -> Value {
    match of {
        [one] => one.clone(),
        _ => {
            let element = of.first().map_or(Element::F32, Value::element);
            graph.node(operator, &of.iter().collect::<Vec<_>>(), vec![], element)
        }
    }
}

fn power(
    graph: &mut Graph,
    members: &[Answer],
    said: &[Value],
    exponent: Exponent,
    weights: &[f64],
) -> Value {
    // Members that weigh nothing have no say, unless nobody else is there.
    let masked = members.iter().any(|m| m.present.is_some());
    let evened = weights.contains(&0.0) && masked;
    let values: Vec<Value> = weights.iter().map(|w| graph.scalar(Element::F64, *w)).collect();
    let of_present = weights_of_present(graph, members, &values, evened);
    let zero = graph.scalar(Element::F64, 0.0);
    let counts: Vec<Answer> = members
        .iter()
        .zip(weights)
        .zip(&of_present)
        .map(|((m, weight), of_present)| {
            let counts = graph.node("Greater", &[of_present, &zero], vec![], Element::Bool);
            let always = m.present.is_none() && *weight > 0.0 && !evened;
            Answer { value: m.value.clone(), present: (!always).then_some(counts) }
        })
        .collect();
    let said: Vec<Value> = said.iter().map(|s| graph.double(s)).collect();
    let lowest = filled(graph, &counts, &said, f64::INFINITY);
    let lowest = extreme(graph, "Min", &lowest);
    let highest = filled(graph, &counts, &said, f64::NEG_INFINITY);
    let highest = extreme(graph, "Max", &highest);
    let exponent = match exponent {
        Exponent::Limit(Limit::Max) => return highest,
        Exponent::Limit(Limit::Min) => return lowest,
        Exponent::Number(e) => e,
    };
    let total = graph.sum(&of_present);
    let unit = if exponent > 0.0 { &highest } else { &lowest };
    let by = graph.scalar(Element::F64, exponent);
    // In units of what counts most; of members that do not count as that itself.
    let mut terms = Vec::with_capacity(said.len());
    for ((said, member), weight) in said.iter().zip(&counts).zip(&of_present) {
        let term = if exponent == 1.0 {
            graph.or_zero(member.present.as_ref(), said)
        } else {
            let said = match &member.present {
                Some(present) => graph.choose(present, said, unit),
                None => said.clone(),
            };
            let share = graph.div(&said, unit);
            let log = graph.one("Log", &share);
            if exponent == 0.0 {
                log
            } else {
                let raised = graph.mul(&log, &by);
                graph.one("Exp", &raised)
            }
        };
        terms.push(graph.mul(&term, weight));
    }
    let sum = graph.sum(&terms);
    let mean = graph.div(&sum, &total);
    if exponent == 1.0 {
        return mean;
    }
    let log = if exponent == 0.0 {
        mean
    } else {
        let log = graph.one("Log", &mean);
        graph.div(&log, &by)
    };
    let factor = graph.one("Exp", &log);
    let mean = graph.mul(unit, &factor);
    let positive = graph.node("Greater", &[&lowest, &zero], vec![], Element::Bool);
    let none = graph.scalar(Element::F64, f64::NAN);
    graph.choose(&positive, &mean, &none)
}

/// The mean of the numbers whose rank is not among those left out.
fn middle(graph: &mut Graph, members: &[Answer], said: &[Value], rule: Rule, width: usize) -> Value {
    let count = members.len();
    let (wide, many) = (width as i64, count as i64);
    // Absent ones come last, and are left out there: only as many count as are present.
    let said = filled(graph, members, said, f64::from(f32::MAX));
    let columns: Vec<Value> = said.iter().map(|s| graph.reshape(s, &[-1, wide, 1])).collect();
    let all = graph.beside(&columns, 2);
    let ours = graph.reshape(&all, &[-1, wide, many, 1]);
    let theirs = graph.reshape(&all, &[-1, wide, 1, many]);
    let below = graph.node("Greater", &[&ours, &theirs], vec![], Element::Bool);
    let equal = graph.node("Equal", &[&ours, &theirs], vec![], Element::Bool);
    // Of equals the first comes first.
    let first = (0..count * count).map(|i| f32::from(u8::from(i % count < i / count)));
    let first = graph.singles("first", &[count, count], first);
    let first = graph.cast(&first, Element::Bool);
    let tied = graph.node("And", &[&equal, &first], vec![], Element::Bool);
    let below = graph.node("Or", &[&below, &tied], vec![], Element::Bool);
    let below = graph.single(&below);
    let rank = graph.reduce("ReduceSum", &below, &[3]);
    let rank = graph.reshape(&rank, &[-1, wide, many]);
    let cut = graph.singles("cut", &[count + 1], (0..=count).map(|n| rule.cut(n) as f32));
    let one = graph.scalar(Element::F32, 1.0);
    let there: Vec<Value> = members
        .iter()
        .map(|m| match &m.present {
            Some(present) => graph.single(present),
            None => one.clone(),
        })
        .collect();
    let present = if members.iter().all(|m| m.present.is_none()) {
        graph.constant("members", &[1, 1], Numbers::F32(vec![count as f32]))
    } else {
        graph.sum(&there)
    };
    let index = graph.cast(&present, Element::I64);
    let low = graph.gather(&cut, &index, 0);
    let high = graph.sub(&present, &low);
    let (low, high) = (graph.reshape(&low, &[-1, 1, 1]), graph.reshape(&high, &[-1, 1, 1]));
    let early = graph.node("Greater", &[&low, &rank], vec![], Element::Bool);
    let late = graph.node("Greater", &[&high, &rank], vec![], Element::Bool);
    let kept = graph.not(&early);
    let kept = graph.node("And", &[&kept, &late], vec![], Element::Bool);
    let all = graph.double(&all);
    let terms = graph.or_zero(Some(&kept), &all);
    let kept = graph.double(&kept);
    let sum = graph.reduce("ReduceSum", &terms, &[2]);
    let number = graph.reduce("ReduceSum", &kept, &[2]);
    let mean = graph.div(&sum, &number);
    graph.reshape(&mean, &[-1, wide])
}
