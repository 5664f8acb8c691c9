//! A mixture of experts: the inputs decide whom to believe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::aligned::{Aligned, add_as_is};
use super::by_voices::by_voices;
use super::evidence::Evidence;
use super::gate_graph::largest;
use super::gate_loss::{GateLoss, shrink};
use super::gate_open::open;
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

/// A mixture of experts over fitted members: `p(y|x) = sum_i g_i(x) p_i(y|x)` with `g(x) = softmax(W f(x) + b)` over the
/// members that say something about the row. Trained on honest predictions by maximum likelihood (least squares for
/// values), from equal weights.
///
/// With `top` the softmax is over the `top` members with the largest `W f(x) + b`, and the others have no weight. It is
/// trained as a dense one first and then with the members left out. With a single one that is kept, whose weight is one, the
/// loss that is lowered is the one expected of a member drawn by the dense `g`, under which members compete. With `balance`
/// the squared coefficient of variation of the members' importance (the mean of their dense `g`) is added to the mean loss,
/// so that no member is starved; it costs accuracy where a member deserves nothing. No noise is added.
///
/// `f(x)` holds, for every member, the entropy and the largest probability of its prediction (for values the value); and
/// the inputs: numbers, and categories as zeros and ones, or, where the rows have neither, two numbers for every image,
/// sound, text, vector or sequence (mean and standard deviation). All are standardized on the fitting rows; a source
/// with gaps there adds a mark for the gap. How a gate opens depends on who else could be asked; so rows about which
/// only some of the members speak are given a gate of these.
///
/// # Reference
/// Jacobs, Jordan, Nowlan and Hinton, "Adaptive mixtures of local experts", Neural Computation 3(1), 1991; Shazeer et al.,
/// "Outrageously large neural networks: the sparsely-gated mixture-of-experts layer", ICLR 2017, for `top` and `balance`
/// (with importance before members are left out, which has a slope with one that is kept too).
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
    /// How many members are asked about each row, from 1 on; without it all are.
    #[schemars(range(min = 1))]
    pub top: Option<u32>,
    /// How much an uneven use of the members costs, in units of the mean loss of a row (log-loss, or squared error over the
    /// variance of the truth). From 0 on.
    #[schemars(range(min = 0.0))]
    pub balance: f64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { l2: 1.0, steps: 200, columns: Vec::new(), top: None, balance: 0.0 }
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
        if self.top == Some(0) {
            return Err(Error::argument("no member is asked").at("top").expected("1 or more"));
        }
        if !self.balance.is_finite() || self.balance < 0.0 {
            return Err(Error::argument("the price of an uneven use is not a number from zero on")
                .at("balance")
                .got(self.balance));
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
        let (count, unit) = (members.len(), evidence.spread());
        let top = self.top.map_or(count, |top| (top as usize).min(count));
        let mut loss =
            GateLoss { evidence: &evidence, features: &features, unit, top: count, balance: self.balance };
        let penalty = self.l2 / evidence.rows.len() as f64;
        let optimizer = Lbfgs { memory: 10, max_steps: self.steps as usize, tolerance: 1e-7 };
        let minimize = |loss: &GateLoss<'_>, start: Vec<f64>| {
            let found = optimizer.minimize(start, |weights, gradient| {
                context.stop.check()?;
                Ok(loss.evaluate(weights, gradient) + shrink(weights, features.ncols(), penalty, gradient))
            })?;
            Ok::<_, Error>(found.x)
        };
        let mut weights = minimize(&loss, vec![0.0; count * (features.ncols() + 1)])?;
        if top < count {
            loss.top = top;
            weights = minimize(&loss, weights)?;
        }
        let shares = loss.shares(&weights, top);
        Ok(Gated { task, among: voices.to_vec(), top, view, weights, shares })
    }
}

/// A fitted gate over members.
struct Gated {
    task: Task,
    /// Which of the members that are given it weighs.
    among: Vec<bool>,
    /// How many of these it keeps for each row.
    top: usize,
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
    // Older ones keep all of them.
    let top: usize = match parts.config.get("top") {
        Some(_) => parts.field("top")?,
        None => shares.len(),
    };
    let fits = (1..=shares.len()).contains(&top)
        && among.iter().filter(|a| **a).count() == shares.len()
        && view.is_whole(&task, shares.len())
        && weights.len() == shares.len() * (view.width(&task) + 1);
    if !fits || weights.iter().chain(&shares).any(|v| !v.is_finite()) {
        return Err(Error::model("the parts of a saved gate do not fit together")
            .remedy("the model directory is damaged; fit the model again"));
    }
    Ok(Box::new(Gated { task, among, top, view, weights, shares }))
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
                open(&self.weights, features, self.top, |m| aligned.present(m, row), gates);
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
        let mut doors = graph.beside(&doors, 1);
        if self.top < count {
            let kept = largest(graph, &doors, count, self.top);
            doors = graph.choose(&kept, &doors, &shut);
        }
        let shares = graph.softmax(&doors);
        let shares: Vec<Value> = (0i64..).take(count).map(|m| graph.columns(&shares, [m])).collect();
        Ok(mixed(graph, &members, &shares, Content::Prediction, false))
    }

    fn save(&self) -> Result<Parts> {
        let mut config = json!({"task": self.task, "among": self.among, "view": self.view});
        if let (true, Some(config)) = (self.top < self.shares.len(), config.as_object_mut()) {
            config.insert("top".to_owned(), json!(self.top));
        }
        Ok(Parts::new(KIND, config)
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
    use crate::fuse::cases::{honest, inputs, loaders, named, said, values};
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
        // The blind side is as sure of itself, and right half of the time.
        two_members(rows, |left, r, x, code| if (x < 0.0) == left { code } else { (r * 11 % 17 % 2) as u32 })
    }

    /// Two members, a left and a right one, of two classes and one input `x` in (-1, 1); each gives .9 to what it says.
    fn two_members(rows: usize, says: impl Fn(bool, usize, f64, u32) -> u32) -> (Honest, Memory) {
        let classes = Classes::new(vec!["no".into(), "yes".into()]).unwrap();
        let x: Vec<f64> =
            (0..rows).map(|r| ((r * 37 % rows) as f64 + 0.5) / rows as f64 * 2.0 - 1.0).collect();
        let codes: Vec<u32> = (0..rows).map(|r| (r * 7 % 13 % 2) as u32).collect();
        let ids: Vec<u64> = (0..rows as u64).collect();
        let member = |left: bool| {
            let p = ndarray::Array2::from_shape_fn((rows, 2), |(r, c)| {
                if c as u32 == says(left, r, x[r], codes[r]) { 0.9 } else { 0.1 }
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

    /// The right one errs wherever the left one does, and more often: seldom where `x < 0`, often elsewhere.
    #[test]
    fn a_gate_that_asks_one_member_starves_the_other_unless_it_is_balanced() {
        let (data, source) = two_members(600, |left, r, x, code| {
            let errs = if left { r % 20 == 0 } else { r % 20 == 0 || r % if x < 0.0 { 30 } else { 6 } == 1 };
            if errs { 1 - code } else { code }
        });
        let shares = |top, balance| {
            let gate = Gate { top, balance, ..Gate::default() };
            fit(&gate, &data, &source).unwrap().weights().unwrap()
        };
        assert_eq!(shares(Some(1), 0.0)[1], 0.0);
        let alive = shares(Some(1), 1.0);
        assert!(alive.iter().all(|s| *s > 0.35), "{alive:?}");
        assert!((alive.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // Who is little worse there is asked where x < 0.
        let gate = Gate { top: Some(1), balance: 1.0, ..Gate::default() };
        let fused = fit(&gate, &data, &source).unwrap();
        let rows: Vec<usize> = (0..600).collect();
        let batch = source.read(&rows, &["x"]).unwrap();
        let p = fused.fuse(&said(&data), Some(&batch)).unwrap().matrix();
        let Column::Number { values, .. } = batch.column("x").unwrap() else { panic!() };
        let (left, right) = (said(&data)[0].matrix(), said(&data)[1].matrix());
        let sides: Vec<(f64, bool)> = rows
            .iter()
            .filter(|r| left.row(**r) != right.row(**r))
            .map(|r| (values[*r], p.row(*r) == right.row(*r)))
            .collect();
        let right_where = |low: bool| {
            let of: Vec<bool> = sides.iter().filter(|s| (s.0 < 0.0) == low).map(|s| s.1).collect();
            of.iter().filter(|r| **r).count() as f64 / of.len() as f64
        };
        assert!(right_where(true) > 0.8 && right_where(false) < 0.2, "{sides:?}");
    }

    fn variants() -> Vec<Gate> {
        let gate = |top, balance| Gate { top, balance, ..Gate::default() };
        vec![gate(Some(1), 0.0), gate(Some(2), 0.0), gate(Some(2), 0.5), gate(Some(1), 0.5), gate(None, 0.5)]
    }

    fn answer(fused: &dyn Fused, members: &[Predictions], source: &Memory) -> Predictions {
        let columns = fused.columns();
        let rows: Vec<usize> = (0..members[0].rows()).collect();
        let batch = source.read(&rows, &columns.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        fused.fuse(members, Some(&batch)).unwrap()
    }

    fn bits(p: &Predictions) -> Vec<u32> {
        p.matrix().iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn whoever_is_asked_it_keeps_what_every_way_to_fuse_must_keep() {
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let (one, two) = (pool(1), pool(2));
        for data in [honest(2500, 3, 3, true), values(2500, 3, true), honest(300, 2, 3, false)] {
            let source = inputs(data.rows());
            for gate in variants() {
                let run = || {
                    let fused = fit(&gate, &data, &source).unwrap();
                    let p = answer(fused.as_ref(), &said(&data), &source);
                    (fused, p)
                };
                let ((fused, p), (again, q)) = (one.install(run), two.install(run));
                let parts = fused.save().unwrap();
                assert_eq!((bits(&p), &parts), (bits(&q), &again.save().unwrap()), "{gate:?}");
                let loaded = loaders().fused(&parts).unwrap();
                assert_eq!(bits(&answer(loaded.as_ref(), &said(&data), &source)), bits(&p), "{gate:?}");
                assert_eq!(p.absent(), &data.silent(), "{gate:?}");
                // Where one is asked it says what that one says.
                if gate.top == Some(1) {
                    let members: Vec<_> = said(&data).iter().map(Predictions::matrix).collect();
                    let p = p.matrix();
                    for r in (0..data.rows()).filter(|r| !data.silent().is_set(*r)) {
                        assert!(members.iter().any(|m| m.row(r) == p.row(r)), "{gate:?}: row {r}");
                    }
                }
                // In another order it asks the same ones, but where two are as good as each other. What is left out of values makes
                // another problem with several ends, of which the order may decide.
                if gate.top.is_some() && data.target().task().classes().is_none() {
                    continue;
                }
                let mut turned = named(&data);
                turned.reverse();
                let turned = Honest::new(turned, data.target().clone(), data.fold().to_vec(), None, None);
                let turned = turned.unwrap();
                let fused = fit(&gate, &turned, &source).unwrap();
                let q = answer(fused.as_ref(), &said(&turned), &source).matrix();
                let far =
                    |r: &usize| p.matrix().row(*r).iter().zip(q.row(*r)).any(|(a, b)| (a - b).abs() > 5e-3);
                let far = (0..data.rows()).filter(far).count();
                assert!(far * 50 <= data.rows(), "{gate:?}: {far} rows of {}", data.rows());
            }
            // Equal members give that member.
            let (_, first, origin) = named(&data).swap_remove(2);
            let copies = (0..3).map(|i| (format!("m{i}"), first.clone(), origin)).collect();
            let same = Honest::new(copies, data.target().clone(), data.fold().to_vec(), None, None).unwrap();
            for gate in variants() {
                let fused = fit(&gate, &same, &source).unwrap();
                let p = answer(fused.as_ref(), &said(&same), &source).matrix();
                let pairs = p.iter().zip(first.matrix());
                assert!(pairs.filter(|(a, _)| !a.is_nan()).all(|(a, b)| (a - b).abs() <= 1e-6), "{gate:?}");
            }
        }
    }

    #[test]
    fn asking_all_is_asking_without_a_limit_and_balance_evens_the_shares() {
        let data = honest(300, 3, 3, false);
        let source = inputs(300);
        let saved = |gate: &Gate| fit(gate, &data, &source).unwrap().save().unwrap();
        let plain = saved(&Gate::default());
        for top in [3, 9] {
            assert!(saved(&Gate { top: Some(top), ..Gate::default() }) == plain, "{top}");
        }
        let spread = |balance| {
            let shares =
                fit(&Gate { balance, ..Gate::default() }, &data, &source).unwrap().weights().unwrap();
            shares.iter().map(|s| (s - 1.0 / 3.0).powi(2)).sum::<f64>()
        };
        let (free, even) = (spread(0.0), spread(10.0));
        assert!(even < 0.01 * free, "{even} of {free}");
        for bad in [json!({"top": 0}), json!({"balance": -1.0}), json!({"top": 1.5})] {
            assert_eq!(REGISTRY.build("gate", &bad).err().unwrap().exit_code(), 2, "{bad}");
        }
        // A limit that does not fit the members is damage.
        let rows: Vec<usize> = (0..300).collect();
        let (inputs, stop) = (Inputs { source: &source, rows: &rows }, Stop::default());
        let context = Context::new(Seed::new(1), &Quiet, &stop);
        let two = Gate { top: Some(2), ..Gate::default() };
        let mut parts = two.gate(&data, &[true; 3], inputs, &context).unwrap().save().unwrap();
        assert_eq!(parts.config["top"], 2);
        loaders().fused(&parts).unwrap();
        for top in [json!(0), json!(4), json!("two")] {
            parts.config["top"] = top;
            assert!(matches!(loaders().fused(&parts).err(), Some(Error::Model(_))));
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
