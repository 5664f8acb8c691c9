//! Ask the cheap members first, and the dear ones only about rows of which the cheap ones are not sure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::calibrated::renumbered;
use super::cascade_curve::{Point, Stages, curve};
use super::evidence::{row_weights, voiced_rows};
use super::weighted::Weighted;
use crate::calibrate;
use crate::error::{Error, Result};
use crate::model::{
    Batch, Context, Fused, Fuser, Honest, Inputs, Loaders, Mask, Origin, Parts, Predictions, Staged, Task,
    Voices, cross_fitted,
};
use crate::registry::Method;

/// The key under which a cascade is loaded.
pub(super) const KIND: &str = "cascade";

/// Members by rising cost. After each, what those asked so far say together (the linear pool of the best weights) is the answer if its largest
/// probability, calibrated by a temperature, reaches a threshold; else the next one is asked. The last answer stands.
///
/// The threshold is the one that spends least while the log-loss stays within `slack` of that of asking everybody, on cross-fitted
/// answers. A model that was made of a cascade does not compute the members that it does not ask.
///
/// Costs are what one row costs, in any unit: `costs`, else the numbers of parameters of the members where all are known, else the
/// same for all, and then the better members come first. Measured times take no part, so that the result is the same on every machine.
///
/// # Reference
/// Viola and Jones, "Rapid object detection using a boosted cascade of simple features", CVPR 2001; Wang and others, "Wisdom of
/// committees: an overlooked approach to faster and more accurate models", ICLR 2022.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cascade {
    /// How much log-loss a row may lose on average against asking everybody, from 0 on.
    #[schemars(range(min = 0.0))]
    pub slack: f64,
    /// What each member costs, in order: above zero. Empty: as declared by the members.
    pub costs: Vec<f64>,
}

impl Default for Cascade {
    fn default() -> Self {
        Self { slack: 0.001, costs: Vec::new() }
    }
}

impl Method for Cascade {
    const NAME: &'static str = "cascade";
    const ABOUT: &'static str = "Cheap members first, dear ones only where these are not sure";

    fn validate(&self) -> Result<()> {
        if !self.slack.is_finite() || self.slack < 0.0 {
            return Err(Error::argument("the slack is not a number from zero on")
                .at("slack")
                .got(self.slack));
        }
        if self.costs.iter().any(|c| !c.is_finite() || *c <= 0.0) {
            return Err(Error::argument("a cost is not a number above zero")
                .at("costs")
                .got(format!("{:?}", self.costs)));
        }
        Ok(())
    }
}

impl Fuser for Cascade {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        self.validate()?;
        if task.classes().is_none() {
            return Err(Error::argument(
                "a cascade needs to know how sure its members are, and values do not say it",
            )
            .expected("a classification"));
        }
        if !self.costs.is_empty() && self.costs.len() != members {
            return Err(Error::argument("there is not one cost for each member")
                .at("costs")
                .expected(format!("{members} costs, in the order of the members"))
                .got(self.costs.len()));
        }
        Ok(())
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        let task = honest.target().task();
        self.check(&task, honest.count())?;
        let rows = voiced_rows(honest)?;
        let costs = match (self.costs.as_slice(), honest.costs()) {
            ([], None) => vec![1.0; honest.count()],
            ([], Some(known)) => known.to_vec(),
            (given, _) => given.to_vec(),
        };
        let order = order(honest, &costs, &rows)?;
        let calibrator = calibrate::REGISTRY.build("temperature", &Value::Null)?;
        let (mut fitted, mut answers, mut sure) = (Vec::new(), Vec::new(), Vec::new());
        for asked in 1..=order.len() {
            context.stop.check()?;
            let voices: Voices = (0..honest.count()).map(|m| order[..asked].contains(&m)).collect();
            let own = honest.clone().only(&voices);
            let context = context.child(&format!("stage/{asked}"));
            let pool = Weighted {}.fit(&own, None, &context)?;
            let answer = cross_fitted(&Weighted {}, &own, None, &context.child("crossed"))?;
            let alone = alone(honest, answer.clone())?;
            let calibrated = calibrator.fit(&alone, None, &context.child("calibrator"))?;
            sure.push(cross_fitted(calibrator.as_ref(), &alone, None, &context.child("sure"))?);
            answers.push(answer);
            fitted.push(Stage { voices, pool, calibrated });
        }
        let spent: Vec<f64> = order
            .iter()
            .scan(0.0, |sum, m| {
                *sum += costs[*m];
                Some(*sum)
            })
            .collect();
        let weight = row_weights(honest, &rows)?;
        let stages = Stages {
            answers: &answers,
            sure: &sure,
            target: honest.target(),
            rows: &rows,
            weight: &weight,
            spent: &spent,
        };
        let curve = curve(&stages)?;
        let everybody = curve.last().map_or(f64::INFINITY, |p| p.loss);
        let best = curve
            .iter()
            .filter(|p| p.loss <= everybody + self.slack)
            .min_by(|a, b| a.cost.total_cmp(&b.cost).then(a.loss.total_cmp(&b.loss)));
        let threshold = best.map_or(f64::INFINITY, |p| p.threshold);
        Ok(Box::new(Cascaded { task, order, stages: fitted, threshold, curve }))
    }
}

/// Members by rising cost; of equal cost the better first, so that their order in the recipe does not matter.
fn order(honest: &Honest, costs: &[f64], rows: &[usize]) -> Result<Vec<usize>> {
    let (_, codes) = honest.target().codes()?;
    let weight = row_weights(honest, rows)?;
    let mut losses = Vec::new();
    for p in honest.predictions() {
        let matrix = p.p()?;
        let here = || rows.iter().zip(&weight).filter(|(r, _)| !p.absent().is_set(**r));
        let sum: f64 = here()
            .map(|(r, w)| {
                -w * f64::from(matrix[[*r, codes[*r] as usize]].max(crate::array::MIN_PROBABILITY)).ln()
            })
            .sum();
        losses.push(sum / here().map(|(_, w)| w).sum::<f64>().max(f64::MIN_POSITIVE));
    }
    let names = honest.names();
    let mut order: Vec<usize> = (0..honest.count()).collect();
    order.sort_by(|a, b| {
        let by_cost = costs[*a].total_cmp(&costs[*b]);
        by_cost.then(losses[*a].total_cmp(&losses[*b])).then_with(|| names[*a].cmp(names[*b]))
    });
    Ok(order)
}

/// Some members asked: who they are, what they say together, and how sure that is.
struct Stage {
    voices: Voices,
    pool: Box<dyn Fused>,
    calibrated: Box<dyn Fused>,
}

/// A fitted cascade.
struct Cascaded {
    task: Task,
    order: Vec<usize>,
    /// One for each number of members asked.
    stages: Vec<Stage>,
    threshold: f64,
    curve: Vec<Point>,
}

/// Loads one.
pub(super) fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Fused>> {
    let order: Vec<usize> = parts.field("order")?;
    let threshold: Option<f64> = parts.field("threshold")?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if order.is_empty() || sorted.iter().copied().ne(0..order.len()) {
        return Err(Error::model("a cascade does not ask every member once").got(format!("{order:?}")));
    }
    let mut stages = Vec::new();
    for asked in 1..=order.len() {
        let voices = (0..order.len()).map(|m| order.get(..asked).is_some_and(|o| o.contains(&m))).collect();
        let fused = |what: &str| loaders.fused(&parts.nested(&format!("{what}_{asked}"))?);
        stages.push(Stage { voices, pool: fused("pool")?, calibrated: fused("calibrated")? });
    }
    let threshold = threshold.unwrap_or(f64::INFINITY);
    Ok(Box::new(Cascaded {
        task: parts.field("task")?,
        order,
        stages,
        threshold,
        curve: parts.field("curve")?,
    }))
}

/// What a saved cascade spends and loses by its threshold, on rows that it was not fitted to; nothing for other compositions.
///
/// # Errors
/// [`Error::Model`] for damaged parts.
pub fn spending(parts: &Parts) -> Result<Vec<Point>> {
    if parts.kind == KIND { parts.field("curve") } else { Ok(Vec::new()) }
}

impl Cascaded {
    fn stage(&self, asked: usize) -> Result<&Stage> {
        let stage = asked.checked_sub(1).and_then(|i| self.stages.get(i));
        stage.ok_or_else(|| Error::internal("a cascade has no such stage"))
    }

    /// What the first `asked` members say together.
    fn answer(&self, members: &[Predictions], asked: usize) -> Result<Predictions> {
        let Stage { voices, pool, .. } = self.stage(asked)?;
        if members.len() != self.order.len() {
            return Err(Error::model("the composition was fitted to another number of members")
                .expected(format!("{} members", self.order.len()))
                .got(members.len()));
        }
        let own: Vec<Predictions> =
            members.iter().zip(voices).filter(|(_, v)| **v).map(|(m, _)| m.clone()).collect();
        pool.fuse(&own, None)
    }

    /// The rows about which the answer after `asked` members is sure enough.
    fn sure(&self, answer: &Predictions, asked: usize) -> Result<Mask> {
        if asked >= self.order.len() {
            return Ok(Mask::from_marks(vec![true; answer.rows()]));
        }
        let calibrated = self.stage(asked)?.calibrated.fuse(std::slice::from_ref(answer), None)?;
        let p = calibrated.p()?;
        let sure =
            |r: usize| !answer.absent().is_set(r) && p.row(r).iter().any(|v| f64::from(*v) >= self.threshold);
        Ok((0..answer.rows()).map(sure).collect())
    }
}

/// Honest predictions of one member: what a stage says.
fn alone(honest: &Honest, said: Predictions) -> Result<Honest> {
    let member = vec![(KIND.to_owned(), said, Origin::OutOfFold)];
    let (group, weight) = (honest.group().map(<[u64]>::to_vec), honest.weight().map(<[f32]>::to_vec));
    Honest::new(member, honest.target().clone(), renumbered(honest.fold()), group, weight)
}

impl Fused for Cascaded {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fuse(&self, members: &[Predictions], _: Option<&Batch>) -> Result<Predictions> {
        let mut out = self.answer(members, 1)?;
        if out.task() != self.task {
            return Err(Error::model("a member predicts something else than at fitting"));
        }
        let mut open: Vec<usize> = (0..out.rows()).collect();
        let mut matrix = out.matrix();
        let mut absent: Vec<bool> = out.absent().marks().to_vec();
        for asked in 1..=self.order.len() {
            let some: Vec<Predictions> = members.iter().map(|m| m.take(&open)).collect();
            let answer = self.answer(&some, asked)?;
            let said = answer.p()?;
            for (from, row) in open.iter().enumerate() {
                if !answer.absent().is_set(from) || asked == self.order.len() {
                    matrix.row_mut(*row).assign(&said.row(from));
                    absent[*row] = answer.absent().is_set(from);
                }
            }
            let sure = self.sure(&answer, asked)?;
            open = open
                .into_iter()
                .enumerate()
                .filter(|(from, _)| !sure.is_set(*from))
                .map(|(_, r)| r)
                .collect();
            if open.is_empty() {
                break;
            }
        }
        out = Predictions::for_task(out.ids().to_vec(), &self.task, matrix, Mask::from_marks(absent))?;
        Ok(out)
    }

    fn save(&self) -> Result<Parts> {
        // JSON has no infinity.
        let threshold = self.threshold.is_finite().then_some(self.threshold);
        let config =
            json!({"task": self.task, "order": self.order, "threshold": threshold, "curve": self.curve});
        let mut parts = Parts::new(KIND, config);
        for (stage, asked) in self.stages.iter().zip(1..) {
            parts = parts.nest(&format!("pool_{asked}"), stage.pool.save()?);
            parts = parts.nest(&format!("calibrated_{asked}"), stage.calibrated.save()?);
        }
        Ok(parts)
    }

    fn parameters(&self) -> u64 {
        1 + self.stages.iter().map(|s| s.pool.parameters() + s.calibrated.parameters()).sum::<u64>()
    }

    fn staged(&self) -> Option<&dyn Staged> {
        Some(self)
    }
}

impl Staged for Cascaded {
    fn order(&self) -> &[usize] {
        &self.order
    }

    fn settled(&self, members: &[Predictions], asked: usize) -> Result<Mask> {
        self.sure(&self.answer(members, asked)?, asked)
    }
}
