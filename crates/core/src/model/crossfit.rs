//! Scoring a composition on rows that it was not fitted to.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;

use super::estimator::Context;
use super::fuser::{Fuser, Honest, Inputs, Voices};
use super::predictions::Predictions;
use super::target::Target;
use crate::error::{Error, Result};
use crate::seed::Seed;

/// Parts into which a single fold (a validation part) is cut.
pub const PARTS: usize = 5;

/// Predictions of a composition for all honest rows, in order, each made by a fit without the row's fold. Where there is
/// a single fold, the rows are cut into five parts first: by group where there are groups, otherwise with the classes
/// spread evenly, seeded. This is what compositions are chosen by; their loss on the rows they were fitted to is not.
///
/// # Errors
/// What the fits say, with the fold's number; [`Error::Data`] if there are fewer rows (or groups) than two.
pub fn cross_fitted(
    fuser: &dyn Fuser,
    honest: &Honest,
    inputs: Option<Inputs<'_>>,
    context: &Context<'_>,
) -> Result<Predictions> {
    if let Some(i) = inputs.filter(|i| i.rows.len() != honest.rows()) {
        return Err(Error::internal(format!("{} rows of inputs for {} rows", i.rows.len(), honest.rows())));
    }
    let part = parts(honest, context.seed.child("parts"))?;
    let numbers: BTreeSet<u32> = part.iter().copied().collect();
    // No other rows are to come than those that are scored here.
    let heard: BTreeSet<Voices> = honest.heard().into_keys().collect();
    let mut pieces = Vec::with_capacity(numbers.len());
    let mut order = Vec::with_capacity(honest.rows());
    for number in numbers {
        context.stop.check()?;
        let (left_out, used): (Vec<usize>, Vec<usize>) = (0..honest.rows()).partition(|r| part[*r] == number);
        let known = honest.take(&used).expecting(heard.clone())?;
        let own = context.child(&format!("part/{number}"));
        let piece = one_part(fuser, (&known, &used), (honest, &left_out), inputs, &own);
        pieces.push(piece.map_err(|e| e.at(format!("without part {number}")))?);
        order.extend(left_out);
    }
    let mut back = vec![0usize; order.len()];
    for (position, row) in order.iter().enumerate() {
        back[*row] = position;
    }
    Ok(Predictions::concat(&pieces)?.take(&back))
}

/// Fits to `known`, which are the rows `used`, and predicts the rows `left_out`.
fn one_part(
    fuser: &dyn Fuser,
    (known, used): (&Honest, &[usize]),
    (honest, left_out): (&Honest, &[usize]),
    inputs: Option<Inputs<'_>>,
    context: &Context<'_>,
) -> Result<Predictions> {
    let here: Vec<usize> = inputs.map_or_else(Vec::new, |i| used.iter().map(|&r| i.rows[r]).collect());
    let fit_inputs = inputs.map(|i| Inputs { source: i.source, rows: &here });
    let fused = fuser.fit(known, fit_inputs, context)?;
    let members: Vec<Predictions> = honest.predictions().map(|p| p.take(left_out)).collect();
    let columns = fused.columns();
    let batch = match inputs {
        Some(i) if fuser.wants_inputs() => {
            let rows: Vec<usize> = left_out.iter().map(|&r| i.rows[r]).collect();
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            Some(i.source.read(&rows, &names)?)
        }
        _ => None,
    };
    fused.fuse(&members, batch.as_ref())
}

/// The part of each row: its fold, or one of [`PARTS`] where there is a single fold. What is chosen by some parts is scored on the
/// others.
///
/// # Errors
/// [`Error::Data`] if there are fewer rows (or groups) than two.
pub fn parts(honest: &Honest, seed: Seed) -> Result<Vec<u32>> {
    if honest.fold().iter().any(|f| Some(f) != honest.fold().first()) {
        return Ok(honest.fold().to_vec());
    }
    // Units that stay together, in classes that are spread evenly.
    let mut strata: BTreeMap<u32, Vec<Vec<usize>>> = BTreeMap::new();
    if let Some(groups) = honest.group() {
        let mut by_group: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (row, group) in groups.iter().enumerate() {
            by_group.entry(*group).or_default().push(row);
        }
        strata.insert(0, by_group.into_values().collect());
    } else {
        for row in 0..honest.rows() {
            let class = match honest.target() {
                Target::Classes { codes, .. } => codes[row],
                Target::Values(_) => 0,
            };
            strata.entry(class).or_default().push(vec![row]);
        }
    }
    let units: usize = strata.values().map(Vec::len).sum();
    if units < 2 {
        return Err(Error::data("there are too few honest rows to score a composition by cross-fitting")
            .expected("at least two rows (or groups)")
            .got(units));
    }
    let count = PARTS.min(units);
    let mut part = vec![0u32; honest.rows()];
    let mut sizes = vec![0usize; count];
    let mut rng = seed.rng();
    for mut stratum in strata.into_values() {
        stratum.shuffle(&mut rng);
        stratum.sort_by_key(|unit| std::cmp::Reverse(unit.len()));
        for unit in stratum {
            let smallest = (0..count).min_by_key(|p| sizes[*p]).unwrap_or(0);
            sizes[smallest] += unit.len();
            unit.iter().for_each(|&row| part[row] = smallest as u32);
        }
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{self, honest};
    use crate::model::{Quiet, Stop};

    #[test]
    fn a_single_fold_is_cut_by_class_or_by_group() {
        let data = honest(60, 3, 2, false);
        let part = parts(&data, Seed::new(1)).unwrap();
        assert_eq!(part, parts(&data, Seed::new(1)).unwrap());
        assert_ne!(part, parts(&data, Seed::new(2)).unwrap());
        let Target::Classes { codes, .. } = data.target() else { panic!() };
        for class in 0..3 {
            let of_class = codes.iter().filter(|c| **c == class).count();
            for p in 0..PARTS as u32 {
                let n = (0..60).filter(|r| codes[*r] == class && part[*r] == p).count();
                assert!(
                    n >= of_class / PARTS && n <= of_class.div_ceil(PARTS),
                    "class {class} part {p}: {n}"
                );
            }
        }
        let groups: Vec<u64> = (0..60).map(|r| r / 7).collect();
        let grouped = cases::regrouped(&data, Some(groups.clone()), vec![0; 60]).unwrap();
        let part = parts(&grouped, Seed::new(1)).unwrap();
        let pairs: Vec<(&u64, &u32)> = groups.iter().zip(&part).collect();
        for pair in pairs.windows(2).filter(|p| p[0].0 == p[1].0) {
            assert_eq!(pair[0].1, pair[1].1);
        }
        assert_eq!(part.iter().max(), Some(&4));
        let lonely = cases::regrouped(&data, Some(vec![3; 60]), vec![0; 60]).unwrap();
        assert!(parts(&lonely, Seed::new(1)).is_err());
    }

    #[test]
    fn each_row_is_predicted_without_its_fold_and_in_its_place() {
        let fold: Vec<u32> = (0..60).map(|r| (r * 7 % 3) as u32).collect();
        let data = cases::regrouped(&honest(60, 3, 3, false), None, fold.clone()).unwrap();
        let fuser = crate::fuse::REGISTRY.build("weighted", &serde_json::Value::Null).unwrap();
        let stop = Stop::default();
        let context = Context::new(Seed::new(5), &Quiet, &stop);
        let all = cross_fitted(fuser.as_ref(), &data, None, &context).unwrap();
        assert_eq!(all.ids(), data.predictions().next().unwrap().ids());
        // By hand for one fold.
        let (out, used): (Vec<usize>, Vec<usize>) = (0..60).partition(|r| fold[*r] == 1);
        let fused = fuser.fit(&data.take(&used), None, &context).unwrap();
        let members: Vec<Predictions> = data.predictions().map(|p| p.take(&out)).collect();
        assert_eq!(fused.fuse(&members, None).unwrap(), all.take(&out));
    }
}
