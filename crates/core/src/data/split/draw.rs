//! Parts that are drawn: at random and stratified, by groups, or the latest.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::Rows;
use crate::error::{Error, Result};
use crate::seed::Seed;

/// How many rows a setting asks for: a fraction below 1 of `rows`, or a number from 2 up.
pub(super) fn size(amount: Option<f64>, rows: usize, setting: &str) -> Result<Option<usize>> {
    let Some(amount) = amount else { return Ok(None) };
    let size = if amount > 0.0 && amount < 1.0 {
        ((amount * rows as f64).round() as usize).max(1)
    } else if amount >= 2.0 && amount.fract() == 0.0 && amount < 1e15 {
        amount as usize
    } else {
        return Err(Error::argument(format!("split: {setting} is no share of the rows"))
            .expected("a fraction between 0 and 1, or a whole number from 2 up")
            .got(amount));
    };
    Ok(Some(size))
}

/// Takes `size` rows at random, as many of each stratum as its share (to within one row); whole groups where there are any,
/// as near to that as they allow.
pub(super) fn at_random(
    rows: &Rows,
    among: &[usize],
    size: usize,
    seed: Seed,
    notes: &mut Vec<String>,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let n = among.len();
    if rows.groups.is_some() {
        let share = size as f64 / n as f64;
        let parts = deal_groups(rows, among, &[1.0 - share, share], seed)?;
        let (mut taken, mut rest) = (Vec::new(), Vec::new());
        for (row, part) in among.iter().zip(parts) {
            if part == 1 { taken.push(*row) } else { rest.push(*row) }
        }
        if taken.len().abs_diff(size) * 5 > size {
            notes.push(format!(
                "a part of {size} rows was asked for; groups that stay together allow {}",
                taken.len()
            ));
        }
        return Ok((taken, rest));
    }
    let order = by_stratum(rows, among, seed);
    // Every n/size-th row of the strata one after the other, from a random start: each stratum gives its share.
    let start = if n == 0 { 0 } else { seed.child("start").rng().random_range(0..n) };
    let (mut taken, mut rest) = (Vec::new(), Vec::new());
    for (i, row) in order.into_iter().enumerate() {
        if ((i + 1) * size + start) / n > (i * size + start) / n { taken.push(row) } else { rest.push(row) }
    }
    taken.sort_unstable();
    rest.sort_unstable();
    Ok((taken, rest))
}

/// The rows stratum by stratum, shuffled within each.
pub(super) fn by_stratum(rows: &Rows, among: &[usize], seed: Seed) -> Vec<usize> {
    let mut order = among.to_vec();
    order.shuffle(&mut seed.rng());
    order.sort_by_key(|r| rows.stratum(*r));
    order
}

/// Deals whole groups to parts so that each part gets its share of every stratum as nearly as it can: the largest group first,
/// each to the part where it lowers `sum over parts p and strata c of (n_pc - s_p n_c)^2 / (s_p n_c)` most, `s_p` being the
/// part's share and `n_c` the stratum's size.
pub(super) fn deal_groups(rows: &Rows, among: &[usize], shares: &[f64], seed: Seed) -> Result<Vec<usize>> {
    let strata = among.iter().map(|r| rows.stratum(*r) as usize).max().map_or(1, |m| m + 1);
    let mut sizes: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let mut totals = vec![0.0f64; strata];
    for row in among {
        let stratum = rows.stratum(*row) as usize;
        let size = sizes.entry(rows.group(*row)).or_insert_with(|| vec![0.0; strata]);
        if let (Some(s), Some(t)) = (size.get_mut(stratum), totals.get_mut(stratum)) {
            *s += 1.0;
            *t += 1.0;
        }
    }
    if sizes.len() < shares.len() {
        return Err(Error::data("there are fewer groups than parts or folds")
            .expected(format!("at least {} groups", shares.len()))
            .got(sizes.len())
            .remedy("ask for fewer folds, or split by something else than groups"));
    }
    let mut order: Vec<(u64, Vec<f64>)> = sizes.into_iter().collect();
    order.shuffle(&mut seed.rng());
    order.sort_by(|a, b| b.1.iter().sum::<f64>().total_cmp(&a.1.iter().sum::<f64>()));
    let mut counts = vec![vec![0.0f64; strata]; shares.len()];
    let mut part_of: BTreeMap<u64, usize> = BTreeMap::new();
    let mut members = vec![Vec::new(); shares.len()];
    for (group, size) in &order {
        let mut best: Option<(f64, f64, usize)> = None;
        for (part, (share, count)) in shares.iter().zip(&counts).enumerate() {
            let cost: f64 = size
                .iter()
                .zip(count)
                .zip(&totals)
                .filter(|((g, _), _)| **g > 0.0)
                .map(|((g, c), t)| g * (2.0 * c - 2.0 * share * t + g) / (share * t))
                .sum();
            let filled = count.iter().sum::<f64>() / share;
            if best.is_none_or(|b| (cost, filled) < (b.0, b.1)) {
                best = Some((cost, filled, part));
            }
        }
        let part = best.map_or(0, |b| b.2);
        part_of.insert(*group, part);
        if let (Some(count), Some(m)) = (counts.get_mut(part), members.get_mut(part)) {
            count.iter_mut().zip(size).for_each(|(c, g)| *c += g);
            // The smallest stand last.
            m.push(*group);
        }
    }
    // No part stays empty: it gets the smallest group of the part with most groups.
    while let Some(empty) = members.iter().position(Vec::is_empty) {
        let fullest = (0..members.len()).max_by_key(|p| members.get(*p).map_or(0, Vec::len)).unwrap_or(0);
        let Some(group) = members.get_mut(fullest).filter(|m| m.len() > 1).and_then(Vec::pop) else {
            return Err(Error::internal("groups cannot fill all parts"));
        };
        part_of.insert(group, empty);
        if let Some(m) = members.get_mut(empty) {
            m.push(group);
        }
    }
    Ok(among.iter().map(|r| part_of.get(&rows.group(*r)).copied().unwrap_or(0)).collect())
}

/// Takes the latest `size` rows; rows of one time stay together, on the side that comes nearer to `size`.
pub(super) fn latest(rows: &[usize], size: usize, times: &[f64]) -> Result<(Vec<usize>, Vec<usize>)> {
    let time = |r: &usize| times.get(*r).copied().unwrap_or(f64::NEG_INFINITY);
    let mut order = rows.to_vec();
    order.sort_by(|a, b| time(a).total_cmp(&time(b)).then(a.cmp(b)));
    let cut = order.len() - size;
    let at = order.get(cut).map_or(f64::INFINITY, time);
    let before = order.iter().filter(|r| time(r) < at).count();
    let after = order.iter().filter(|r| time(r) <= at).count();
    let cut =
        if before > 0 && (cut - before <= after - cut || after == order.len()) { before } else { after };
    if cut == 0 || cut == order.len() {
        return Err(Error::data("all rows are of one time and cannot be split by it"));
    }
    let mut taken = order.split_off(cut);
    taken.sort_unstable();
    order.sort_unstable();
    Ok((taken, order))
}
