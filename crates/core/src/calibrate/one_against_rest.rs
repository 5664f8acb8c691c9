//! Calibration of one probability, carried to any number of classes.

use serde_json::json;

use super::rows::{Rows, check, clipped, only};
use crate::array::{MIN_PROBABILITY, Matrix};
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Element, Graph, Value};
use crate::model::{Batch, Classes, Fused, Honest, Loaders, Parts, Predictions, Task};

/// A map from a probability to a calibrated one.
pub(super) trait Curve: Sized + Send + Sync + 'static {
    /// The key under which calibrators with such curves are loaded.
    const KIND: &'static str;

    /// The calibrated probability of a clipped one.
    fn at(&self, p: f64) -> f64;

    /// The same on a graph, for `p`, `float64 [rows, 1]`, clipped.
    fn graph(&self, graph: &mut Graph, p: &Value) -> Value;

    /// Its fitted numbers.
    fn numbers(&self) -> Vec<f64>;

    /// The curve with these numbers; `None` if there is none.
    fn of(numbers: &[f64]) -> Option<Self>;
}

/// A class against the rest.
pub(super) struct Binary<'a> {
    /// The clipped probability of the class.
    pub p: Vec<f64>,
    /// Whether a row is of the class.
    pub hit: Vec<bool>,
    /// The weight of each row.
    pub weight: &'a [f64],
}

/// Two classes: one curve, for the probability of the second. More: a curve for each class, and each row divided by its
/// sum (evenly shared where the sum is zero). A class that no row has keeps its probability until then.
pub(super) struct OneAgainstRest<C> {
    classes: Classes,
    curves: Vec<Option<C>>,
}

impl<C: Curve> OneAgainstRest<C> {
    /// Fits a curve for each class that has rows.
    pub(super) fn fit(honest: &Honest, fit: impl Fn(&Binary<'_>) -> Result<C>) -> Result<Self> {
        check(&honest.target().task(), honest.count())?;
        let rows = Rows::new(honest)?;
        let curves = mapped(&rows.classes).map(|class| {
            let hit: Vec<bool> = rows.codes.iter().map(|c| *c == class).collect();
            if !hit.iter().zip(&rows.weight).any(|(h, w)| *h && *w > 0.0) {
                return Ok(None);
            }
            let p = rows.p.column(class).to_vec();
            let curve = fit(&Binary { p, hit, weight: &rows.weight });
            curve.map(Some).map_err(|e| e.at(format!("class \"{}\"", rows.classes.names()[class])))
        });
        let curves = curves.collect::<Result<_>>()?;
        Ok(Self { classes: rows.classes, curves })
    }

    fn task(&self) -> Task {
        Task::Classify(self.classes.clone())
    }

    fn through(curve: Option<&C>, p: f64) -> f64 {
        curve.map_or(p, |c| c.at(p))
    }
}

/// The classes whose probabilities have a curve.
fn mapped(classes: &Classes) -> std::ops::Range<usize> {
    usize::from(classes.count() == 2)..classes.count()
}

/// What the one member of a calibrator says on a graph.
pub(super) fn value_of(members: &[Answer]) -> Result<&Value> {
    match members {
        [one] => Ok(&one.value),
        _ => Err(Error::model("the calibrator was fitted to one member").got(members.len())),
    }
}

/// Loads a calibrator.
pub(super) fn load<C: Curve>(parts: &Parts, _: &Loaders) -> Result<Box<dyn Fused>> {
    let classes: Classes = parts.field("classes")?;
    let fitted: Vec<usize> = parts.field("fitted")?;
    let damaged = || {
        Error::model(format!("the parts of a saved \"{}\" do not fit together", C::KIND))
            .remedy("the model directory is damaged; fit the model again")
    };
    let curve = |class: usize| {
        if !fitted.contains(&class) {
            return Ok(None);
        }
        let numbers = parts.f64(&format!("curve/{class}"))?;
        if numbers.iter().any(|n| !n.is_finite()) {
            return Err(damaged());
        }
        C::of(numbers).map(Some).ok_or_else(damaged)
    };
    let curves = mapped(&classes).map(curve).collect::<Result<_>>()?;
    Ok(Box::new(OneAgainstRest::<C> { classes, curves }))
}

impl<C: Curve> Fused for OneAgainstRest<C> {
    fn kind(&self) -> &'static str {
        C::KIND
    }

    fn fuse(&self, members: &[Predictions], _: Option<&Batch>) -> Result<Predictions> {
        let task = self.task();
        let said = only(members, &task)?;
        let p = said.p()?;
        let mut out = Matrix::zeros(p.raw_dim());
        let mut row = vec![0.0; p.ncols()];
        for (r, mut to) in out.rows_mut().into_iter().enumerate().filter(|(r, _)| !said.absent().is_set(*r)) {
            match &self.curves[..] {
                [one] => {
                    let q = Self::through(one.as_ref(), clipped(p[[r, 1]]));
                    row.copy_from_slice(&[1.0 - q, q]);
                }
                all => {
                    for ((q, curve), p) in row.iter_mut().zip(all).zip(p.row(r)) {
                        *q = Self::through(curve.as_ref(), clipped(*p));
                    }
                    let sum: f64 = row.iter().sum();
                    let even = 1.0 / row.len() as f64;
                    row.iter_mut().for_each(|q| *q = if sum > 0.0 { *q / sum } else { even });
                }
            }
            to.iter_mut().zip(&row).for_each(|(t, q)| *t = *q as f32);
        }
        Predictions::for_task(said.ids().to_vec(), &task, out, said.absent().clone())
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        let least = f64::from(MIN_PROBABILITY);
        let said = graph.double(value_of(members)?);
        let said = graph.clip(&said, least, 1.0 - least);
        let mut all = Vec::with_capacity(self.classes.count());
        for (class, curve) in mapped(&self.classes).zip(&self.curves) {
            let p = graph.columns(&said, [class as i64]);
            all.push(match curve {
                Some(curve) => curve.graph(graph, &p),
                None => p,
            });
        }
        let one = graph.scalar(Element::F64, 1.0);
        if let [second] = &all[..] {
            let first = graph.sub(&one, second);
            let both = graph.beside(&[first, second.clone()], 1);
            return Ok(graph.single(&both));
        }
        let all = graph.beside(&all, 1);
        let (zero, even) =
            (graph.scalar(Element::F64, 0.0), graph.scalar(Element::F64, 1.0 / self.classes.count() as f64));
        let sum = graph.reduce("ReduceSum", &all, &[1]);
        let some = graph.node("Greater", &[&sum, &zero], vec![], Element::Bool);
        let divisor = graph.choose(&some, &sum, &one);
        let shares = graph.div(&all, &divisor);
        let shares = graph.choose(&some, &shares, &even);
        Ok(graph.single(&shares))
    }

    fn save(&self) -> Result<Parts> {
        let pairs = || mapped(&self.classes).zip(&self.curves).filter_map(|(k, c)| Some((k, c.as_ref()?)));
        let fitted: Vec<usize> = pairs().map(|(k, _)| k).collect();
        let parts = Parts::new(C::KIND, json!({"classes": self.classes, "fitted": fitted}));
        Ok(pairs().fold(parts, |parts, (k, c)| parts.with_f64(&format!("curve/{k}"), &c.numbers())))
    }

    fn parameters(&self) -> u64 {
        self.curves.iter().flatten().map(|c| c.numbers().len() as u64).sum()
    }
}
