//! A fit of its own for every set of members that may speak about a row together.
//!
//! What a composition learns from its members holds for those members together. A weight says how much a member adds
//! to the others and not how good it is: of two that say the same one may get nothing, and where the other is absent
//! its word would be missed. A stack adds up logits, each scaled for its share in the sum: one member alone is then
//! too sure or not sure enough, and whatever stands in for the logits of the others moves the sum further. So a method
//! is fitted once more for every set of members that may be needed, to all honest rows about which the whole set
//! speaks, whoever else does; the others are hidden. That is the fit that the method would make had the recipe named
//! these members alone, and it needs no assumption on how members depend on each other. Filling in the expected logits
//! of the absent members (linear in those of the present ones) needs no further fits, and was tried instead: it is
//! equal where few are absent, and far off where the members present are of the odd kind, since logits of sure members
//! are far from normal.
//!
//! Where every member speaks the fit of the whole answers, exactly as if there were no others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::aligned::Aligned;
use super::evidence::{row_weights, voiced_rows};
use crate::array::{MIN_PROBABILITY, Matrix};
use crate::error::{Error, Result};
use crate::model::graph::{Answer as Said, Graph, Value, refused};
use crate::model::{
    Batch, Context, Fused, Honest, Inputs, Loaders, Mask, Parts, Predictions, Target, Task, Voices,
};

/// The key under which it is loaded.
pub(super) const KIND: &str = "by_voices";
/// Up to this many members every set of them gets a fit, of methods that are quickly fitted.
pub(super) const EVERY_SET: usize = 6;
/// At most this many sets, the most frequent ones, are taken from the honest rows.
const MOST_HEARD: usize = 64;
/// Sets that no honest row shows are fitted if their fits together read no more predictions than this.
const MOST_READ: usize = 1 << 28;
/// On a graph every set of members that may speak together gets its answer, of at most so many that may be absent each for
/// itself.
const MOST_ABSENT: usize = 10;

/// Fits a method to the honest rows at some positions, about all of which the members speak whose voice is set. What
/// it gives is asked only about rows about which no others speak.
pub(super) type FitSet<'a> = dyn Fn(&Honest, &[usize], &[bool], &Context<'_>) -> Result<Box<dyn Fused>> + 'a;

/// Adds to `whole`, a fit to all members, the fits for fewer of them: for all sets that [`Honest::expected`] names if
/// it names 64 at most, and for the single members with them. Otherwise for single members, for the 64 sets that most
/// honest rows show, and for every set if there are up to `every` members, for all members but one if there are more.
///
/// A set is passed over if the rows about which it speaks lack a class, or are fewer than the features of a stack on
/// them.
///
/// # Errors
/// What the fits say.
pub(super) fn by_voices(
    whole: Box<dyn Fused>,
    honest: &Honest,
    inputs: Option<Inputs<'_>>,
    context: &Context<'_>,
    every: usize,
    fit: &FitSet<'_>,
) -> Result<Box<dyn Fused>> {
    let rows = voiced_rows(honest)?;
    let task = honest.target().task();
    let mut fits = BTreeMap::new();
    let sets = sets(honest, rows.len(), every);
    if sets.is_empty() {
        return Ok(whole);
    }
    let prior = Prior::new(honest, &rows)?;
    for voices in sets {
        context.stop.check()?;
        let own = rows_of(honest, &rows, &voices);
        if prior.is_enough(&own, rows.len(), &voices) {
            let label = voices.iter().map(|v| if *v { '1' } else { '0' }).collect::<String>();
            let fused = fit(honest, &own, &voices, &context.child(&format!("voices/{label}")))?;
            fits.insert(voices, Answer { fused, gain: 0.0 });
        }
    }
    // Where every set has its fit, nobody will ask which is the best within another.
    if honest.count() > every || fits.len() + 2 < 1 << honest.count() {
        for (voices, answer) in &mut fits {
            context.stop.check()?;
            let own = rows_of(honest, &rows, voices);
            answer.gain = prior.gain(answer.fused.as_ref(), honest, &own, voices, inputs)?;
        }
    }
    Ok(Box::new(ByVoices { task, count: honest.count(), whole, fits }))
}

/// The rows about which all members speak whose voice is set.
fn rows_of(honest: &Honest, rows: &[usize], voices: &[bool]) -> Vec<usize> {
    let masks: Vec<&Mask> =
        honest.predictions().zip(voices).filter(|(_, v)| **v).map(|(p, _)| p.absent()).collect();
    rows.iter().copied().filter(|r| masks.iter().all(|m| !m.is_set(*r))).collect()
}

/// The sets that get a fit, the whole not among them.
fn sets(honest: &Honest, rows: usize, every: usize) -> BTreeSet<Voices> {
    let count = honest.count();
    let singles = || (0..count).map(|m| (0..count).map(|i| i == m).collect::<Voices>());
    let fewer = |set: &Voices| set.contains(&true) && set.contains(&false);
    let mut out: BTreeSet<Voices>;
    match honest.expected().filter(|e| e.len() <= MOST_HEARD) {
        Some(expected) => {
            out = expected.iter().filter(|s| fewer(s)).cloned().collect();
            if !out.is_empty() {
                out.extend(singles());
            }
        }
        None => {
            let mut heard: Vec<(Voices, usize)> = honest.heard().into_iter().collect();
            // The more frequent first; equals in the order of the map.
            heard.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
            out = singles().chain(heard.into_iter().take(MOST_HEARD).map(|(s, _)| s)).collect();
            let more: Vec<Voices> = if count <= every {
                (1..1u32 << count).map(|bits| (0..count).map(|m| bits >> m & 1 == 1).collect()).collect()
            } else {
                singles().map(|s| s.into_iter().map(|v| !v).collect()).collect()
            };
            let read: usize = more.iter().map(|s| rows * s.iter().filter(|v| **v).count()).sum();
            if read <= MOST_READ {
                out.extend(more);
            }
        }
    }
    out.retain(fewer);
    out
}

/// What is known without any member: the class shares, or the mean, of all honest rows.
struct Prior<'a> {
    target: &'a Target,
    /// One a honest row.
    weight: Vec<f64>,
    shares: Vec<f64>,
}

impl<'a> Prior<'a> {
    fn new(honest: &'a Honest, rows: &[usize]) -> Result<Self> {
        let mut weight = vec![0.0; honest.rows()];
        rows.iter().zip(row_weights(honest, rows)?).for_each(|(r, w)| weight[*r] = w);
        let target = honest.target();
        let shares = match target {
            Target::Classes { classes, codes } => {
                let mut shares = vec![0.0; classes.count()];
                codes.iter().zip(&weight).for_each(|(c, w)| shares[*c as usize] += w);
                shares
            }
            Target::Values(values) => {
                vec![values.iter().zip(&weight).map(|(v, w)| f64::from(*v) * w).sum()]
            }
        };
        Ok(Self { target, weight, shares })
    }

    /// Whether a fit to `own` of `all` rows can stand: every class is among them, and they are not fewer than the
    /// features of a stack of the set.
    fn is_enough(&self, own: &[usize], all: usize, voices: &[bool]) -> bool {
        let features = voices.iter().filter(|v| **v).count() * self.shares.len();
        let whole = match self.target {
            Target::Classes { codes, .. } => {
                let mut left = self.shares.clone();
                own.iter().filter(|r| self.weight[**r] > 0.0).for_each(|r| left[codes[*r] as usize] = 0.0);
                left.iter().all(|s| *s == 0.0)
            }
            Target::Values(_) => own.iter().any(|r| self.weight[*r] > 0.0),
        };
        whole && (own.len() == all || own.len() > features)
    }

    /// The share of the prior's loss on some rows (log-loss, squared error) that a fit takes away, with the members
    /// hidden whose voice is not set.
    fn gain(
        &self,
        fused: &dyn Fused,
        honest: &Honest,
        rows: &[usize],
        voices: &[bool],
        inputs: Option<Inputs<'_>>,
    ) -> Result<f64> {
        let mut members = Vec::with_capacity(voices.len());
        for (member, voice) in honest.predictions().zip(voices) {
            let there = member.take(rows);
            members.push(if *voice { there } else { hidden(&there)? });
        }
        let columns = fused.columns();
        let batch = match inputs {
            Some(i) if !columns.is_empty() => {
                let rows: Vec<usize> = rows.iter().map(|r| i.rows[*r]).collect();
                Some(i.source.read(&rows, &columns.iter().map(String::as_str).collect::<Vec<_>>())?)
            }
            _ => None,
        };
        let said = fused.fuse(&members, batch.as_ref())?.matrix();
        let (mut before, mut after) = (0.0, 0.0);
        for (row, line) in rows.iter().zip(said.rows()) {
            let losses = match self.target {
                Target::Classes { codes, .. } => {
                    let class = codes[*row] as usize;
                    let p = f64::from(line[class].max(MIN_PROBABILITY));
                    (-self.shares[class].ln(), -p.ln())
                }
                Target::Values(values) => {
                    let y = f64::from(values[*row]);
                    ((y - self.shares[0]).powi(2), (y - f64::from(line[0])).powi(2))
                }
            };
            before += self.weight[*row] * losses.0;
            after += self.weight[*row] * losses.1;
        }
        Ok(if before > 0.0 { 1.0 - after / before } else { 0.0 })
    }
}

/// A member that says nothing.
fn hidden(member: &Predictions) -> Result<Predictions> {
    let rows = member.rows();
    let task = member.task();
    let nothing = Matrix::zeros((rows, task.width()));
    Predictions::for_task(member.ids().to_vec(), &task, nothing, Mask::from_marks(vec![true; rows]))
}

/// A fit for some of the members.
struct Answer {
    fused: Box<dyn Fused>,
    /// The share of the prior's loss that it takes away where its members speak.
    gain: f64,
}

/// Fits of one method to all members and to fewer. A row is answered by the fit for those that speak about it. If they
/// have none, by the one among the fits for some of them that gains most; by that of the whole if there is none.
struct ByVoices {
    task: Task,
    count: usize,
    whole: Box<dyn Fused>,
    fits: BTreeMap<Voices, Answer>,
}

impl ByVoices {
    fn answer(&self, voices: &[bool]) -> &dyn Fused {
        if !voices.contains(&false) {
            return self.whole.as_ref();
        }
        if let Some(exact) = self.fits.get(voices) {
            return exact.fused.as_ref();
        }
        let within = self.fits.iter().filter(|(set, _)| set.iter().zip(voices).all(|(s, v)| *v || !*s));
        let mut best: Option<&Answer> = None;
        for (_, answer) in within {
            if best.is_none_or(|b| answer.gain > b.gain) {
                best = Some(answer);
            }
        }
        best.map_or(self.whole.as_ref(), |b| b.fused.as_ref())
    }
}

/// Loads it.
pub(super) fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Fused>> {
    let task: Task = parts.field("task")?;
    let count: usize = parts.field("members")?;
    let sets: Vec<Voices> = parts.field("sets")?;
    let gains = parts.f64("gains")?;
    if sets.len() != gains.len() || sets.iter().any(|s| s.len() != count) || gains.iter().any(|g| g.is_nan())
    {
        return Err(Error::model("the parts of a saved composition do not fit together")
            .remedy("the model directory is damaged; fit the model again"));
    }
    let whole = loaders.fused(&parts.nested("whole")?)?;
    let mut fits = BTreeMap::new();
    for (i, (voices, gain)) in sets.into_iter().zip(gains).enumerate() {
        let fused = loaders.fused(&parts.nested(&format!("set_{i}"))?)?;
        fits.insert(voices, Answer { fused, gain: *gain });
    }
    Ok(Box::new(ByVoices { task, count, whole, fits }))
}

impl Fused for ByVoices {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> Vec<String> {
        let mut columns = self.whole.columns();
        for more in self.fits.values().flat_map(|a| a.fused.columns()) {
            if !columns.contains(&more) {
                columns.push(more);
            }
        }
        columns
    }

    fn fuse(&self, members: &[Predictions], inputs: Option<&Batch>) -> Result<Predictions> {
        let aligned = Aligned::new(members, &self.task, self.count)?;
        let mut rows: BTreeMap<Voices, Vec<usize>> = BTreeMap::new();
        let mut voices = vec![true; self.count];
        for row in 0..aligned.rows() {
            voices.iter_mut().enumerate().for_each(|(m, v)| *v = aligned.present(m, row));
            match rows.get_mut(&voices) {
                Some(rows) => rows.push(row),
                None => drop(rows.insert(voices.clone(), vec![row])),
            }
        }
        if rows.len() <= 1 {
            let voices = rows.into_keys().next().unwrap_or(voices);
            return self.answer(&voices).fuse(members, inputs);
        }
        let mut out = Matrix::zeros((aligned.rows(), self.task.width()));
        for (voices, rows) in rows.iter().filter(|(v, _)| v.contains(&true)) {
            let some: Vec<Predictions> = members.iter().map(|m| m.take(rows)).collect();
            let batch = inputs.map(|b| b.take(rows)).transpose()?;
            let said = self.answer(voices).fuse(&some, batch.as_ref())?.matrix();
            for (row, line) in rows.iter().zip(said.rows()) {
                out.row_mut(*row).assign(&line);
            }
        }
        aligned.predictions(out)
    }

    fn graph(&self, graph: &mut Graph, members: &[Said]) -> Result<Value> {
        // Members that read the same columns are absent together.
        let mut reasons: Vec<&Value> = Vec::new();
        for present in members.iter().filter_map(|m| m.present.as_ref()) {
            if !reasons.contains(&present) {
                reasons.push(present);
            }
        }
        if reasons.len() > MOST_ABSENT {
            let why = format!("{} members of which each may be absent for itself", reasons.len());
            return Err(refused("a composition that answers each set of members by its own fit", &why));
        }
        let mut said = self.whole.graph(graph, members)?;
        for there in (0..(1u32 << reasons.len()) - 1).rev() {
            let has = |r: usize| there >> r & 1 == 1;
            let place = |m: &Said| m.present.as_ref().and_then(|p| reasons.iter().position(|r| *r == p));
            let voices: Voices = members.iter().map(|m| place(m).is_none_or(has)).collect();
            let answer = self.answer(&voices);
            if !voices.contains(&true) || std::ptr::addr_eq(answer, self.whole.as_ref()) {
                continue;
            }
            let label = voices.iter().map(|v| if *v { '1' } else { '0' }).collect::<String>();
            let other = graph.within(&label, |graph| answer.graph(graph, members))?;
            let conditions: Vec<Value> = reasons
                .iter()
                .enumerate()
                .map(|(r, v)| if has(r) { (*v).clone() } else { graph.not(v) })
                .collect();
            if let Some(condition) = graph.all(&conditions) {
                said = graph.choose(&condition, &other, &said);
            }
        }
        Ok(said)
    }

    fn save(&self) -> Result<Parts> {
        let sets: Vec<&Voices> = self.fits.keys().collect();
        let gains: Vec<f64> = self.fits.values().map(|a| a.gain).collect();
        let mut parts = Parts::new(KIND, json!({"task": self.task, "members": self.count, "sets": sets}))
            .with_f64("gains", &gains)
            .nest("whole", self.whole.save()?);
        for (i, answer) in self.fits.values().enumerate() {
            parts = parts.nest(&format!("set_{i}"), answer.fused.save()?);
        }
        Ok(parts)
    }

    fn weights(&self) -> Option<Vec<f64>> {
        self.whole.weights()
    }

    fn parameters(&self) -> u64 {
        self.whole.parameters() + self.fits.values().map(|a| a.fused.parameters()).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::softmax;
    use crate::fuse::REGISTRY;
    use crate::fuse::cases::{loaders, named, said};
    use crate::model::{Classes, Column, Field, Kind, Memory, Origin, Quiet, Schema, Source, Stop};
    use crate::seed::Seed;
    use rand::RngExt;
    use serde_json::Value;

    /// Members of three classes: a good one and a copy of it with a little noise, one that is fair and four times too
    /// sure of itself, one that is worse and not sure enough, one that hardly knows anything.
    fn unequal(rows: usize, seed: u64) -> Honest {
        let names = Classes::new(vec!["a".into(), "b".into(), "c".into()]).unwrap();
        let mut rng = Seed::new(seed).rng();
        let mut draw = move || (0..6).map(|_| rng.random::<f32>()).sum::<f32>() - 3.0;
        let mut matrices = vec![Matrix::zeros((rows, 3)); 5];
        let mut codes = Vec::new();
        for r in 0..rows {
            let class = r * 7 % 3;
            codes.push(class as u32);
            let mut first = [0.0; 3];
            for (m, (skill, scale)) in
                [(1.8, 1.8), (1.8, 1.6), (1.2, 4.8), (0.9, 0.3), (0.1, 0.1)].into_iter().enumerate()
            {
                let mut logits = [0.0f32; 3];
                for (k, l) in logits.iter_mut().enumerate() {
                    let noise = if m == 1 { first[k] + 0.3 * draw() } else { draw() };
                    *l = noise;
                }
                if m == 0 {
                    first = logits;
                }
                logits[class] += skill;
                logits.iter_mut().for_each(|l| *l *= scale);
                softmax(&mut logits);
                matrices[m].row_mut(r).iter_mut().zip(logits).for_each(|(p, l)| *p = l);
            }
        }
        let members = matrices.into_iter().enumerate().map(|(m, p)| {
            let ids = (0..rows as u64).collect();
            let p = Predictions::probabilities(ids, names.clone(), p, Mask::none(rows)).unwrap();
            (format!("m{m}"), p, Origin::OutOfFold)
        });
        let target = Target::Classes { classes: names.clone(), codes };
        Honest::new(members.collect(), target, vec![0; rows], None, None).unwrap()
    }

    const METHODS: [&str; 4] = ["stacking", "weighted", "greedy", "gate"];

    /// A number for each row, which says nothing.
    fn inputs(rows: usize) -> Memory {
        let values = (0..rows).map(|r| (r * 37 % 101) as f64).collect();
        let column = Column::Number { values, missing: Mask::none(rows) };
        let batch = Batch::new((0..rows as u64).collect()).with("x", column).unwrap();
        Memory::new(Schema { fields: vec![Field::new("x", Kind::Number)] }, batch).unwrap()
    }

    fn fit(method: &str, data: &Honest) -> Box<dyn Fused> {
        let stop = Stop::default();
        let fuser = REGISTRY.build(method, &Value::Null).unwrap();
        let (source, rows) = (inputs(data.rows()), (0..data.rows()).collect::<Vec<_>>());
        let inputs = fuser.wants_inputs().then_some(Inputs { source: &source, rows: &rows });
        fuser.fit(data, inputs, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap()
    }

    fn fuse(fused: &dyn Fused, members: &[Predictions], rows: &[usize]) -> Predictions {
        let batch = inputs(rows.iter().max().unwrap() + 1).read(rows, &["x"]).unwrap();
        fused.fuse(members, Some(&batch)).unwrap()
    }

    /// The members with those hidden whose voice is not set.
    fn some(data: &Honest, voices: &[bool]) -> Vec<Predictions> {
        let pairs = data.predictions().zip(voices);
        pairs.map(|(p, v)| if *v { p.clone() } else { hidden(p).unwrap() }).collect()
    }

    fn loss(p: &Predictions, data: &Honest) -> f64 {
        let (_, codes) = data.target().codes().unwrap();
        let p = p.p().unwrap();
        let terms = codes.iter().enumerate().map(|(r, c)| -f64::from(p[[r, *c as usize]].max(1e-7)).ln());
        terms.sum::<f64>() / codes.len() as f64
    }

    #[test]
    fn no_set_of_members_does_worse_than_the_best_of_them() {
        let (data, fresh) = (unequal(2000, 1), unequal(2000, 2));
        let rows: Vec<usize> = (0..2000).collect();
        let alone: Vec<f64> = fresh.predictions().map(|p| loss(p, &fresh)).collect();
        for method in METHODS {
            let fused = fit(method, &data);
            for bits in 1..1u32 << 5 {
                let voices: Voices = (0..5).map(|m| bits >> m & 1 == 1).collect();
                let here = loss(&fuse(fused.as_ref(), &some(&fresh, &voices), &rows), &fresh);
                let best = alone.iter().zip(&voices).filter(|(_, v)| **v).map(|(l, _)| *l);
                let best = best.fold(f64::INFINITY, f64::min);
                // What a fit to 2000 rows may lose on others.
                assert!(here <= best + 0.005, "{method} {voices:?}: {here} and {best}");
                // What the method makes of these members alone; of five a gate has no fits for two and three.
                if method == "gate" && [2, 3].contains(&bits.count_ones()) {
                    continue;
                }
                let own = fit(method, &data.clone().only(&voices));
                let own = loss(&fuse(own.as_ref(), &said(&fresh.clone().only(&voices)), &rows), &fresh);
                assert!((here - own).abs() < 1e-6, "{method} {voices:?}: {here} and {own}");
            }
        }
        // The fit of the whole is not such a fit.
        for method in METHODS {
            let whole = fit(method, &data.clone().expecting(BTreeSet::new()).unwrap());
            let fused = fit(method, &data);
            let worse = (1..1u32 << 5).map(|bits| {
                let voices: Voices = (0..5).map(|m| bits >> m & 1 == 1).collect();
                let members = some(&fresh, &voices);
                let here = |f: &dyn Fused| loss(&fuse(f, &members, &rows), &fresh);
                (here(whole.as_ref()) - here(fused.as_ref()), voices)
            });
            let worst = worse.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            assert!(worst.0 > 0.05, "{method} {worst:?}");
        }
    }

    #[test]
    fn where_all_speak_the_whole_answers_and_rows_are_put_back_in_place() {
        let data = unequal(400, 3);
        let mixed: Vec<Predictions> = data
            .predictions()
            .enumerate()
            .map(|(m, p)| {
                let gone = (0..400).map(|r| r == 7 || r % 5 == m && r > 100).collect();
                Predictions::for_task(p.ids().to_vec(), &p.task(), p.matrix(), gone).unwrap()
            })
            .collect();
        let rows: Vec<usize> = (0..400).collect();
        for method in METHODS {
            let (fused, whole) =
                (fit(method, &data), fit(method, &data.clone().expecting(BTreeSet::new()).unwrap()));
            let all = fuse(fused.as_ref(), &said(&data), &rows);
            assert_eq!(all, fuse(whole.as_ref(), &said(&data), &rows), "{method}");
            assert_eq!(fused.weights(), whole.weights());
            let p = fuse(fused.as_ref(), &mixed, &rows);
            assert_eq!(p.ids(), all.ids());
            assert!(p.absent().is_set(7) && p.absent().count() == 1);
            for r in [3, 101, 250, 399] {
                let one: Vec<Predictions> = mixed.iter().map(|m| m.take(&[r])).collect();
                let one = fuse(fused.as_ref(), &one, &[r]);
                assert!(
                    (&p.take(&[r]).matrix() - &one.matrix()).iter().all(|d| d.abs() < 1e-6),
                    "{method} {r}"
                );
            }
        }
    }

    #[test]
    fn sets_are_those_expected_or_heard_or_all_of_a_few() {
        let data = unequal(60, 4);
        let set = |text: &str| text.chars().map(|c| c == '1').collect::<Voices>();
        // Five members: all 31 sets but the whole.
        assert_eq!(sets(&data, 60, 6).len(), 30);
        let expecting = |all: &[&str]| data.clone().expecting(all.iter().map(|s| set(s)).collect()).unwrap();
        assert!(sets(&expecting(&["11111"]), 60, 6).is_empty());
        let some = sets(&expecting(&["11111", "11000", "00000"]), 60, 6);
        assert_eq!(some.len(), 6, "{some:?}");
        assert!(some.contains(&set("11000")) && some.contains(&set("00010")));
        assert!(data.clone().expecting(BTreeSet::from([vec![true]])).is_err());
        // Seven members: the single ones, all but one, and what the rows show.
        let mut seven = named(&data);
        for (i, of) in [0, 2].into_iter().enumerate() {
            let (_, p, origin) = seven[of].clone();
            let gone = (0..60).map(|r| r < 20 + i).collect();
            let p = Predictions::for_task(p.ids().to_vec(), &p.task(), p.matrix(), gone).unwrap();
            seven.push((format!("more{i}"), p, origin));
        }
        let seven = Honest::new(seven, data.target().clone(), vec![0; 60], None, None).unwrap();
        assert_eq!(seven.heard()[&set("1111100")], 20);
        let some = sets(&seven, 60, 6);
        assert_eq!(some.len(), 7 + 7 + 1, "{some:?}");
        // Where they would be too long a work, only what must be.
        assert_eq!(sets(&seven, MOST_READ, 6).len(), 7 + 2);
    }

    #[test]
    fn a_set_without_a_fit_is_answered_by_the_best_fit_within() {
        let data = unequal(3000, 5);
        let singles = BTreeSet::from([vec![false, false, false, false, true]]);
        let fused = fit("stacking", &data.clone().expecting(singles).unwrap());
        // The third is better than the fourth, and too sure of itself.
        let both = fused.fuse(&some(&data, &[false, false, true, true, false]), None).unwrap();
        let third = fused.fuse(&some(&data, &[false, false, true, false, false]), None).unwrap();
        assert_eq!(both, third);
        assert!(loss(&third, &data) < loss(data.predictions().nth(2).unwrap(), &data) - 0.1);
        // Without any, by the whole.
        let whole = fit("stacking", &data.clone().expecting(BTreeSet::new()).unwrap());
        assert_eq!(whole.kind(), "stacking");
        assert_eq!(fused.kind(), KIND);
    }

    #[test]
    fn sets_whose_rows_lack_a_class_or_are_few_get_no_fit() {
        let data = unequal(90, 6);
        let (_, codes) = data.target().codes().unwrap();
        let without = |gone: &dyn Fn(usize) -> bool| {
            let mut members = named(&data);
            let p = members[4].1.clone();
            let mask = (0..90).map(gone).collect();
            members[4].1 = Predictions::for_task(p.ids().to_vec(), &p.task(), p.matrix(), mask).unwrap();
            Honest::new(members, data.target().clone(), vec![0; 90], None, None).unwrap()
        };
        let count = |data: &Honest| {
            let parts = fit("weighted", data).save().unwrap();
            parts.field::<Vec<Voices>>("sets").unwrap().len()
        };
        assert_eq!(count(&data), 30);
        // Fifteen sets have the last member and another; with itself alone they are sixteen, one of them the whole.
        assert_eq!(count(&without(&|r| codes[r] == 2)), 15);
        assert_eq!(count(&without(&|r| r >= 9)), 15 + 5);
    }

    #[test]
    fn who_is_silent_can_tell_a_stack_something() {
        let data = unequal(1200, 7).only(&[true, false, false, true, false]);
        let (_, codes) = data.target().codes().unwrap();
        // The good member is absent on half of the rows of one class, and on no others.
        let mut members = named(&data);
        let gone: Mask = codes.iter().enumerate().map(|(r, c)| *c == 1 && r % 2 == 0).collect();
        let p = members[0].1.clone();
        members[0].1 = Predictions::for_task(p.ids().to_vec(), &p.task(), p.matrix(), gone.clone()).unwrap();
        let data = Honest::new(members, data.target().clone(), vec![0; 1200], None, None).unwrap();
        let p = fit("stacking", &data).fuse(&said(&data), None).unwrap();
        let given: Vec<f32> = (0..1200).filter(|r| gone.is_set(*r)).map(|r| p.p().unwrap()[[r, 1]]).collect();
        let mean = given.iter().sum::<f32>() / given.len() as f32;
        // What the other member says of these rows is far from that.
        let other = said(&data)[1].p().unwrap().column(1).sum() / 1200.0;
        assert!(mean > 0.95 && other < 0.5, "{mean} {other}");
    }

    #[test]
    fn damaged_parts_are_refused() {
        let parts = fit("weighted", &unequal(60, 8)).save().unwrap();
        assert!(loaders().fused(&parts).is_ok());
        let spoil = |change: &dyn Fn(&mut Parts)| {
            let mut parts = parts.clone();
            change(&mut parts);
            loaders().fused(&parts).err().unwrap().exit_code()
        };
        assert_eq!(spoil(&|p| p.config["sets"] = json!([[true]])), 3);
        assert_eq!(spoil(&|p| p.config["set_3"] = json!(null)), 3);
        assert_eq!(spoil(&|p| p.config["members"] = json!(4)), 3);
        assert_eq!(spoil(&|p| drop(p.arrays.remove("gains"))), 3);
    }
}
