//! A mixture of experts: the inputs decide whom to believe.

use ndarray::Array2;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::aligned::{Aligned, add_as_is};
use super::by_voices::by_voices;
use super::evidence::Evidence;
use super::gate_view::View;
use super::mixed::mixed;
use super::pool::{Content, Pool};
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Element, Graph, Value};
use crate::model::{Batch, Context, Fused, Fuser, Honest, Inputs, Loaders, Parts, Predictions, Task};
use crate::registry::Method;
use crate::solve::Lbfgs;

/// The key under which a gate is loaded.
pub(super) const KIND: &str = "gate";
/// Up to this many members every set of them gets a gate; it is the slowest of the fusers.
const EVERY_SET: usize = 4;
/// Rows in a block of parallel work.
const BLOCK: usize = 1024;

/// A dense mixture of experts over fitted members: `p(y|x) = sum_i g_i(x) p_i(y|x)` with
/// `g(x) = softmax(W f(x) + b)` over the members that say something about the row. Trained on honest predictions by
/// maximum likelihood (least squares for values), from equal weights.
///
/// `f(x)` holds, for every member, the entropy and the largest probability of its prediction (for values the value); and
/// the inputs: numbers, and categories as zeros and ones, or, where the rows have neither, two numbers for every image,
/// sound, text, vector or sequence (mean and standard deviation). All are standardized on the fitting rows; a source
/// with gaps there adds a mark for the gap. How a gate opens depends on who else could be asked; so rows about which
/// only some of the members speak are given a gate of these.
///
/// # Reference
/// Jacobs, Jordan, Nowlan and Hinton, "Adaptive mixtures of local experts", Neural Computation 3(1), 1991.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// Penalty on the squared weights of the features, in units of one row's log-loss: `l2 / 2 sum W^2` is added to
    /// the sum of the rows' losses. From 0 on.
    #[schemars(range(min = 0.0))]
    pub l2: f64,
    /// The most steps of the optimizer, from 1 on.
    #[schemars(range(min = 1))]
    pub steps: u32,
    /// The input columns that the gate looks at. Empty: numbers and categories, or all columns where there are none.
    pub columns: Vec<String>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { l2: 1.0, steps: 200, columns: Vec::new() }
    }
}

impl Method for Gate {
    const NAME: &'static str = "gate";
    const VERSION: u32 = 2;
    const ABOUT: &'static str =
        "Mixture of experts: a softmax gate on the inputs weighs the members for each row";

    fn validate(&self) -> Result<()> {
        if !self.l2.is_finite() || self.l2 < 0.0 {
            return Err(Error::argument("the penalty is not a number from zero on").at("l2").got(self.l2));
        }
        if self.steps == 0 {
            return Err(Error::argument("there are no steps").at("steps").expected("1 or more"));
        }
        Ok(())
    }
}

impl Fuser for Gate {
    fn check(&self, _: &Task, _: usize) -> Result<()> {
        self.validate()
    }

    fn wants_inputs(&self) -> bool {
        true
    }

    fn fit(
        &self,
        honest: &Honest,
        inputs: Option<Inputs<'_>>,
        context: &Context<'_>,
    ) -> Result<Box<dyn Fused>> {
        let task = honest.target().task();
        self.check(&task, honest.count())?;
        let Some(inputs) = inputs.filter(|i| i.rows.len() == honest.rows()) else {
            return Err(Error::internal("a gate is fitted with the inputs of the honest rows"));
        };
        let whole = self.gate(honest, &vec![true; honest.count()], inputs, context)?;
        by_voices(
            Box::new(whole),
            honest,
            Some(inputs),
            context,
            EVERY_SET,
            &|honest, rows, voices, context| {
                if voices.iter().filter(|v| **v).count() == 1 {
                    return Ok(Box::new(Pool::among(task.clone(), voices, &[1.0], Content::Prediction)?));
                }
                let own: Vec<usize> = rows.iter().map(|r| inputs.rows[*r]).collect();
                let inputs = Inputs { source: inputs.source, rows: &own };
                Ok(Box::new(self.gate(&honest.take(rows).only(voices), voices, inputs, context)?))
            },
        )
    }
}

impl Gate {
    /// A gate over the members that `honest` holds: of all that there are, those whose voice is set.
    fn gate(
        &self,
        honest: &Honest,
        voices: &[bool],
        inputs: Inputs<'_>,
        context: &Context<'_>,
    ) -> Result<Gated> {
        let task = honest.target().task();
        let evidence = Evidence::new(honest)?;
        let members: Vec<&Predictions> = honest.predictions().collect();
        let (view, features) = View::fit(&members, &task, &evidence.rows, inputs, &self.columns)?;
        let loss = GateLoss { evidence: &evidence, features: &features, unit: evidence.spread() };
        let penalty = self.l2 / evidence.rows.len() as f64;
        let start = vec![0.0; members.len() * (features.ncols() + 1)];
        let optimizer = Lbfgs { memory: 10, max_steps: self.steps as usize, tolerance: 1e-7 };
        let found = optimizer.minimize(start, |weights, gradient| {
            context.stop.check()?;
            Ok(loss.evaluate(weights, gradient) + shrink(weights, features.ncols(), penalty, gradient))
        })?;
        let shares = loss.shares(&found.x);
        Ok(Gated { task, among: voices.to_vec(), view, weights: found.x, shares })
    }
}

/// `penalty / 2 sum W^2` with its gradient; the intercepts, last in each row, are free.
fn shrink(weights: &[f64], features: usize, penalty: f64, gradient: &mut [f64]) -> f64 {
    let mut sum = 0.0;
    for (w, g) in weights.chunks(features + 1).zip(gradient.chunks_mut(features + 1)) {
        for (w, g) in w.iter().zip(g).take(features) {
            sum += 0.5 * penalty * w * w;
            *g += penalty * w;
        }
    }
    sum
}

/// Writes `softmax(W f + b)` over the members present; zeros for the others.
fn open(weights: &[f64], features: &[f64], present: impl Fn(usize) -> bool, out: &mut [f64]) {
    let mut max = f64::NEG_INFINITY;
    for (m, (row, o)) in weights.chunks(features.len() + 1).zip(out.iter_mut()).enumerate() {
        let intercept = row.last().copied().unwrap_or(0.0);
        *o = intercept + row.iter().zip(features).map(|(w, f)| w * f).sum::<f64>();
        if present(m) {
            max = max.max(*o);
        }
    }
    let mut sum = 0.0;
    for (m, o) in out.iter_mut().enumerate() {
        *o = if present(m) { (*o - max).exp() } else { 0.0 };
        sum += *o;
    }
    if sum > 0.0 {
        out.iter_mut().for_each(|o| *o /= sum);
    }
}

/// The mean loss of the mixture.
struct GateLoss<'a> {
    evidence: &'a Evidence<'a>,
    /// `[row, feature]`.
    features: &'a Array2<f64>,
    unit: f64,
}

impl GateLoss<'_> {
    /// The loss, and its gradient by the weights `[member, feature and intercept]`. With `z = W f + b` and
    /// `q = sum g_i a_i` a row of weight `o` adds `-o ln q` and, to the gradient by `z_i`, `-o g_i (a_i - q) / q`; for
    /// values `o (y - q)^2` and `-2 o (y - q) g_i (a_i - q)`.
    fn evaluate(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let rows = self.features.nrows();
        let parts: Vec<(f64, Vec<f64>)> = (0..rows.div_ceil(BLOCK))
            .into_par_iter()
            .map(|b| self.block(b * BLOCK..((b + 1) * BLOCK).min(rows), weights))
            .collect();
        gradient.fill(0.0);
        let mut value = 0.0;
        for (part, slopes) in &parts {
            value += part;
            gradient.iter_mut().zip(slopes).for_each(|(g, s)| *g += s);
        }
        value
    }

    fn block(&self, rows: std::ops::Range<usize>, weights: &[f64]) -> (f64, Vec<f64>) {
        let evidence = self.evidence;
        let width = self.features.ncols();
        let mut gates = vec![0.0; evidence.count()];
        let mut gradient = vec![0.0; weights.len()];
        let mut value = 0.0;
        for row in rows {
            let features = self.features.row(row).to_vec();
            open(weights, &features, |m| evidence.has(m, row), &mut gates);
            let said = |m: usize| f64::from(evidence.at(m, row));
            let q: f64 = gates.iter().enumerate().map(|(m, g)| g * said(m)).sum();
            let weight = evidence.weight[row];
            let pull = match evidence.truth.get(row) {
                None => {
                    value -= weight * q.ln();
                    -weight / q
                }
                Some(y) => {
                    let error = f64::from(*y) - q;
                    value += weight * error * error / self.unit;
                    -2.0 * weight * error / self.unit
                }
            };
            for (m, slopes) in gradient.chunks_mut(width + 1).enumerate() {
                let slope = pull * gates[m] * (said(m) - q);
                if slope != 0.0 {
                    let with_one = features.iter().chain(std::iter::once(&1.0));
                    slopes.iter_mut().zip(with_one).for_each(|(s, f)| *s += slope * f);
                }
            }
        }
        (value, gradient)
    }

    /// The mean opening of the gate for each member.
    fn shares(&self, weights: &[f64]) -> Vec<f64> {
        let mut shares = vec![0.0; self.evidence.count()];
        let mut gates = shares.clone();
        for row in 0..self.features.nrows() {
            let features = self.features.row(row).to_vec();
            open(weights, &features, |m| self.evidence.has(m, row), &mut gates);
            shares.iter_mut().zip(&gates).for_each(|(s, g)| *s += self.evidence.weight[row] * g);
        }
        shares
    }
}

/// A fitted gate over members.
struct Gated {
    task: Task,
    /// Which of the members that are given it weighs.
    among: Vec<bool>,
    view: View,
    /// `[member, feature and intercept]`.
    weights: Vec<f64>,
    /// The mean opening for each member on the fitting rows.
    shares: Vec<f64>,
}

/// Loads a gate.
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Fused>> {
    let task: Task = parts.field("task")?;
    let mut view: View = parts.field("view")?;
    view.mean = parts.f64("mean")?.to_vec();
    view.sd = parts.f64("sd")?.to_vec();
    let weights = parts.f64("weights")?.to_vec();
    let shares = parts.f64("shares")?.to_vec();
    // Gates of version 1 weigh every member.
    let among: Vec<bool> = match parts.config.get("among") {
        Some(_) => parts.field("among")?,
        None => vec![true; shares.len()],
    };
    let fits = among.iter().filter(|a| **a).count() == shares.len()
        && view.is_whole(&task, shares.len())
        && weights.len() == shares.len() * (view.width(&task) + 1);
    if !fits || weights.iter().chain(&shares).any(|v| !v.is_finite()) {
        return Err(Error::model("the parts of a saved gate do not fit together")
            .remedy("the model directory is damaged; fit the model again"));
    }
    Ok(Box::new(Gated { task, among, view, weights, shares }))
}

impl Fused for Gated {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> Vec<String> {
        self.view.columns()
    }

    fn fuse(&self, members: &[Predictions], inputs: Option<&Batch>) -> Result<Predictions> {
        Aligned::new(members, &self.task, self.among.len())?;
        let chosen: Vec<Predictions>;
        let members = if self.among.contains(&false) {
            chosen = members.iter().zip(&self.among).filter(|(_, a)| **a).map(|(m, _)| m.clone()).collect();
            &chosen
        } else {
            members
        };
        let aligned = Aligned::new(members, &self.task, self.shares.len())?;
        let features = self.view.apply(members, &self.task, inputs)?;
        let width = features.ncols();
        let flat: Vec<f64> = features.into_iter().collect();
        aligned.mix(
            |row, gates| {
                let features = &flat[row * width..(row + 1) * width];
                open(&self.weights, features, |m| aligned.present(m, row), gates);
            },
            add_as_is,
        )
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        let members: Vec<Answer> =
            members.iter().zip(&self.among).filter(|(_, a)| **a).map(|(m, _)| m.clone()).collect();
        let features = self.view.graph(graph, &members, &self.task)?;
        let (count, width) = (members.len(), self.view.width(&self.task));
        let weight = |f: usize, m: usize| self.weights[m * (width + 1) + f];
        let slopes = (0..width).flat_map(|f| (0..count).map(move |m| weight(f, m)));
        let slopes = graph.doubles("gate", &[width, count], slopes);
        let intercepts = graph.doubles("gate", &[count], (0..count).map(|m| weight(width, m)));
        let product = graph.product(&features, &slopes);
        let open = graph.add(&product, &intercepts);
        let shut = graph.scalar(Element::F64, f64::NEG_INFINITY);
        let mut doors = Vec::with_capacity(count);
        for (m, member) in (0i64..).zip(&members) {
            let door = graph.columns(&open, [m]);
            doors.push(match &member.present {
                Some(present) => graph.choose(present, &door, &shut),
                None => door,
            });
        }
        let doors = graph.beside(&doors, 1);
        let shares = graph.softmax(&doors);
        let shares: Vec<Value> = (0i64..).take(count).map(|m| graph.columns(&shares, [m])).collect();
        Ok(mixed(graph, &members, &shares, Content::Prediction, false))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(KIND, json!({"task": self.task, "among": self.among, "view": self.view}))
            .with_f64("mean", &self.view.mean)
            .with_f64("sd", &self.view.sd)
            .with_f64("weights", &self.weights)
            .with_f64("shares", &self.shares))
    }

    fn weights(&self) -> Option<Vec<f64>> {
        Some(self.shares.clone())
    }

    fn parameters(&self) -> u64 {
        self.weights.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::REGISTRY;
    use crate::fuse::cases::{honest, loaders, said};
    use crate::model::{
        Audios, Classes, Column, Field, Kind, Mask, Memory, Origin, Quiet, Schema, Source, Stop, Target,
        Vectors,
    };
    use crate::seed::Seed;
    use serde_json::Value;

    fn fit(fuser: &dyn Fuser, data: &Honest, source: &Memory) -> Result<Box<dyn Fused>> {
        let rows: Vec<usize> = (0..data.rows()).collect();
        let stop = Stop::default();
        fuser.fit(data, Some(Inputs { source, rows: &rows }), &Context::new(Seed::new(1), &Quiet, &stop))
    }

    /// Two members: one knows the truth where `x < 0`, the other elsewhere; each guesses on its blind side.
    fn two_experts(rows: usize) -> (Honest, Memory) {
        let classes = Classes::new(vec!["no".into(), "yes".into()]).unwrap();
        let x: Vec<f64> =
            (0..rows).map(|r| ((r * 37 % rows) as f64 + 0.5) / rows as f64 * 2.0 - 1.0).collect();
        let codes: Vec<u32> = (0..rows).map(|r| (r * 7 % 13 % 2) as u32).collect();
        let ids: Vec<u64> = (0..rows as u64).collect();
        let member = |left: bool| {
            let p = ndarray::Array2::from_shape_fn((rows, 2), |(r, c)| {
                // The blind side is as sure of itself, and right half of the time.
                let says = if (x[r] < 0.0) == left { codes[r] } else { (r * 11 % 17 % 2) as u32 };
                if c as u32 == says { 0.9 } else { 0.1 }
            });
            Predictions::probabilities(ids.clone(), classes.clone(), p, Mask::none(rows)).unwrap()
        };
        let members = vec![
            ("left".to_owned(), member(true), Origin::OutOfFold),
            ("right".to_owned(), member(false), Origin::OutOfFold),
        ];
        let target = Target::Classes { classes, codes };
        let data = Honest::new(members, target, vec![0; rows], None, None).unwrap();
        let schema = Schema { fields: vec![Field::new("x", Kind::Number)] };
        let batch =
            Batch::new(ids).with("x", Column::Number { values: x, missing: Mask::none(rows) }).unwrap();
        (data, Memory::new(schema, batch).unwrap())
    }

    #[test]
    fn the_gate_learns_whom_to_believe_where_no_weights_can() {
        let (data, source) = two_experts(400);
        let fused = fit(&Gate::default(), &data, &source).unwrap();
        let rows: Vec<usize> = (0..400).collect();
        let p = fused.fuse(&said(&data), Some(&source.read(&rows, &["x"]).unwrap())).unwrap();
        let (_, codes) = data.target().codes().unwrap();
        let loss = |p: &Predictions| {
            let p = p.p().unwrap();
            codes.iter().enumerate().map(|(r, c)| -f64::from(p[[r, *c as usize]]).ln()).sum::<f64>() / 400.0
        };
        let weights = REGISTRY.build("weighted", &Value::Null).unwrap();
        let pooled = fit(weights.as_ref(), &data, &source).unwrap().fuse(&said(&data), None).unwrap();
        // Knowing whom to ask leaves -ln .9 = .105; the best fixed weights cannot come near.
        assert!(loss(&p) < 0.16, "{}", loss(&p));
        assert!(loss(&pooled) > 0.35, "{}", loss(&pooled));
        let shares = fused.weights().unwrap();
        assert!(shares.iter().all(|s| (s - 0.5).abs() < 0.1), "{shares:?}");
        // Without its inputs it says so, and does not guess.
        assert!(fused.fuse(&said(&data), None).unwrap_err().to_string().contains('x'));
        let turned = source.read(&rows.iter().rev().copied().collect::<Vec<_>>(), &["x"]).unwrap();
        assert!(fused.fuse(&said(&data), Some(&turned)).unwrap_err().to_string().contains("other rows"));
    }

    #[test]
    fn its_gradient_is_that_of_its_loss() {
        for data in [honest(50, 3, 3, true), crate::fuse::cases::values(50, 3, true)] {
            let evidence = Evidence::new(&data).unwrap();
            let features = Array2::from_shape_fn((evidence.rows.len(), 2), |(r, c)| {
                ((r * 5 + c * 3) % 7) as f64 / 3.0 - 1.0
            });
            let loss = GateLoss { evidence: &evidence, features: &features, unit: evidence.spread() };
            let weights: Vec<f64> = (0..9).map(|i| f64::from(i) / 5.0 - 0.8).collect();
            let mut gradient = vec![0.0; 9];
            let mut spare = gradient.clone();
            loss.evaluate(&weights, &mut gradient);
            shrink(&weights, 2, 0.3, &mut gradient);
            for (i, expected) in gradient.iter().enumerate() {
                let at = |step: f64, spare: &mut Vec<f64>| {
                    let mut moved = weights.clone();
                    moved[i] += step;
                    loss.evaluate(&moved, spare) + shrink(&moved, 2, 0.3, &mut [0.0; 9])
                };
                let slope = (at(1e-5, &mut spare) - at(-1e-5, &mut spare)) / 2e-5;
                assert!((slope - expected).abs() < 1e-8, "{i}: {slope} {expected}");
            }
        }
    }

    #[test]
    fn pictures_sounds_and_texts_are_seen_where_there_is_no_table() {
        let data = honest(40, 3, 2, true);
        let ids = data.predictions().next().unwrap().ids().to_vec();
        let mut sounds = Audios::default();
        for r in 0..40 {
            if r % 4 == 0 { sounds.push_absent() } else { sounds.push(8000, &[r as f32 / 40.0, -0.5]) }
        }
        let texts = (0..40).map(|r| "word ".repeat(r % 6)).collect();
        let vectors = Vectors::new(vec![2], (0..80).map(|v| v as f32).collect()).unwrap();
        let fields = vec![
            Field::new("voice", Kind::Audio),
            Field::new("note", Kind::Text),
            Field::vector("embedding", vec![2]),
        ];
        let batch = Batch::new(ids)
            .with("voice", Column::Audio(sounds))
            .unwrap()
            .with("note", Column::Text { values: texts, absent: Mask::none(40) })
            .unwrap()
            .with("embedding", Column::Vector(vectors))
            .unwrap();
        let source = Memory::new(Schema { fields }, batch).unwrap();
        let fused = fit(&Gate::default(), &data, &source).unwrap();
        assert_eq!(fused.columns(), ["voice", "note", "embedding"]);
        // Two members (2 numbers, a mark), three columns (2 numbers), a mark for the voice; and an intercept. Then the
        // two weights of a pool for each member alone.
        assert_eq!(fused.parameters(), 2 * (2 * 2 + 2 + 3 * 2 + 1 + 1) + 2 * 2);
        let rows: Vec<usize> = (0..40).collect();
        let batch = source.read(&rows, &["voice", "note", "embedding"]).unwrap();
        let p = fused.fuse(&said(&data), Some(&batch)).unwrap();
        let again = loaders().fused(&fused.save().unwrap()).unwrap();
        assert_eq!(
            again.fuse(&said(&data), Some(&batch)).unwrap().matrix().map(|v| v.to_bits()),
            p.matrix().map(|v| v.to_bits())
        );
        // A modality that the caller leaves out is absent, a column of another kind is refused.
        let bare = source.read(&rows, &["note", "embedding"]).unwrap();
        assert_eq!(fused.fuse(&said(&data), Some(&bare)).unwrap().absent(), p.absent());
        let number = Column::Number { values: vec![0.0; 40], missing: Mask::none(40) };
        let wrong = bare.with("voice", number).unwrap();
        assert!(fused.fuse(&said(&data), Some(&wrong)).unwrap_err().to_string().contains("voice"));
        let one = Gate { columns: vec!["nose".into()], ..Gate::default() };
        assert!(fit(&one, &data, &source).err().unwrap().to_string().contains("\"note\""));
    }

    #[test]
    fn an_infinite_number_is_refused() {
        let (data, _) = two_experts(20);
        let ids: Vec<u64> = (0..20).collect();
        let mut values = vec![0.5; 20];
        values[7] = f64::INFINITY;
        let batch = Batch::new(ids).with("x", Column::Number { values, missing: Mask::none(20) }).unwrap();
        let source = Memory::new(Schema { fields: vec![Field::new("x", Kind::Number)] }, batch).unwrap();
        let error = fit(&Gate::default(), &data, &source).err().unwrap();
        assert!(error.to_string().contains("row id 7"), "{error}");
    }
}
