//! The inner part of the training rows that early stopping looks at.

use std::collections::BTreeMap;

use consilience_core::model::Target;
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use rand::seq::SliceRandom;

/// Divides positions `0..target.len()` into rows to train on and rows to hold out, both in ascending order. About `share`
/// of the rows is held out, the same share of every class; groups stay whole (a group counts for its commonest class).
/// No class loses all its groups (or rows).
///
/// # Errors
/// [`Error::Data`] if there are too few rows or groups to hold any out.
pub fn inner(
    target: &Target,
    group: Option<&[u64]>,
    share: f64,
    seed: Seed,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let units = units(target.len(), group);
    let mut strata: BTreeMap<u32, Vec<Vec<usize>>> = BTreeMap::new();
    for unit in units {
        strata.entry(stratum(target, &unit)).or_default().push(unit);
    }
    // Largest remainders: each stratum gets the whole part of its quota, what is left goes by the fractions.
    let wanted = ((share * target.len() as f64).round() as usize).max(1);
    let quota = |units: &[Vec<usize>]| share * units.iter().map(Vec::len).sum::<usize>() as f64;
    let mut counts: BTreeMap<u32, usize> = strata.iter().map(|(s, u)| (*s, quota(u) as usize)).collect();
    let mut order: Vec<u32> = strata.keys().copied().collect();
    order.sort_by(|a, b| {
        let fraction = |s: &u32| strata.get(s).map_or(0.0, |u| quota(u).fract());
        fraction(b).total_cmp(&fraction(a)).then(a.cmp(b))
    });
    let mut left = wanted.saturating_sub(counts.values().sum());
    for s in &order {
        if left > 0 {
            *counts.entry(*s).or_default() += 1;
            left -= 1;
        }
    }
    let mut held = Vec::new();
    for (s, mut units) in strata {
        units.shuffle(&mut seed.item(u64::from(s)).rng());
        take(&mut units, counts.get(&s).copied().unwrap_or(0), &mut held);
    }
    if held.is_empty() {
        return Err(Error::data("there are too few rows or groups to hold some out for early stopping")
            .got(format!("{} rows", target.len()))
            .remedy("set inner: 0, which trains for exactly the given epochs"));
    }
    held.sort_unstable();
    let fit = (0..target.len()).filter(|r| held.binary_search(r).is_err()).collect();
    Ok((fit, held))
}

/// Moves whole units to `held` while that comes nearer to `wanted` rows; the last unit stays.
fn take(units: &mut Vec<Vec<usize>>, wanted: usize, held: &mut Vec<usize>) {
    let mut count = 0usize;
    while units.len() > 1 && count < wanted {
        let Some(unit) = units.pop() else { return };
        if count + unit.len() > 2 * wanted && count > 0 {
            continue;
        }
        count += unit.len();
        held.extend(unit);
    }
}

fn units(rows: usize, group: Option<&[u64]>) -> Vec<Vec<usize>> {
    match group {
        None => (0..rows).map(|r| vec![r]).collect(),
        Some(groups) => {
            let mut all: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            groups.iter().enumerate().for_each(|(r, g)| all.entry(*g).or_default().push(r));
            all.into_values().collect()
        }
    }
}

fn stratum(target: &Target, unit: &[usize]) -> u32 {
    let Target::Classes { codes, .. } = target else { return 0 };
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for code in unit.iter().filter_map(|r| codes.get(*r)) {
        *counts.entry(*code).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(code, n)| (*n, std::cmp::Reverse(*code))).map_or(0, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::model::Classes;
    use std::collections::BTreeSet;

    fn classes(codes: Vec<u32>) -> Target {
        let names = (0..4).map(|c| format!("c{c}")).collect();
        Target::Classes { classes: Classes::new(names).unwrap(), codes }
    }

    #[test]
    fn every_class_gives_its_share_and_rows_are_whole() {
        let target = classes((0..200u32).map(|r| u32::from(r >= 100) + u32::from(r >= 180)).collect());
        let (fit, held) = inner(&target, None, 0.1, Seed::new(1)).unwrap();
        assert_eq!(held.len(), 20);
        let count = |lo: usize, hi: usize| held.iter().filter(|r| (lo..hi).contains(*r)).count();
        assert_eq!([count(0, 100), count(100, 180), count(180, 200)], [10, 8, 2]);
        let mut all: Vec<usize> = fit.iter().chain(&held).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
        assert_eq!(inner(&target, None, 0.1, Seed::new(1)).unwrap().1, held);
        assert_ne!(inner(&target, None, 0.1, Seed::new(2)).unwrap().1, held);
    }

    #[test]
    fn small_classes_keep_a_row_and_a_share_is_found_across_them() {
        let target = classes(vec![0, 0, 0, 1, 1, 1, 2, 2, 2, 3]);
        let (fit, held) = inner(&target, None, 0.1, Seed::new(1)).unwrap();
        assert_eq!(held.len(), 1);
        assert!(fit.contains(&9));
        assert!(inner(&classes(vec![0, 1]), None, 0.1, Seed::new(1)).is_err());
        assert_eq!(inner(&Target::Values(vec![0.0; 10]), None, 0.2, Seed::new(1)).unwrap().1.len(), 2);
    }

    #[test]
    fn groups_stay_whole() {
        let groups: Vec<u64> = (0..120).map(|r| r / 6).collect();
        let target = classes((0..120u32).map(|r| (r / 6) % 2).collect());
        let (fit, held) = inner(&target, Some(&groups), 0.2, Seed::new(3)).unwrap();
        let of = |rows: &[usize]| rows.iter().map(|r| groups[*r]).collect::<BTreeSet<_>>();
        assert!(of(&fit).is_disjoint(&of(&held)));
        assert!((18..=36).contains(&held.len()), "{}", held.len());
        let whole = vec![7u64; 120];
        let error = inner(&target, Some(&whole), 0.2, Seed::new(3)).unwrap_err();
        assert!(error.to_string().contains("inner: 0"), "{error}");
    }
}
