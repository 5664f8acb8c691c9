//! Bootstrap resamples as counts of rows: of rows or whole groups, over everything or within the classes.

use std::collections::BTreeMap;

use rand::Rng as _;

use super::metric::Draw;
use crate::error::{Error, Result};
use crate::model::Target;
use crate::seed::{Rng, Seed};

/// How intervals are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BootstrapSettings {
    /// How many resamples: 0 for no intervals, otherwise 100 at least. Default 2000.
    pub resamples: usize,
    /// The coverage aimed at, in (0, 1). Default 0.95.
    pub level: f64,
    /// Where the resamples come from. Default `Seed::new(0)`.
    pub seed: Seed,
}

impl Default for BootstrapSettings {
    fn default() -> Self {
        Self { resamples: 2000, level: 0.95, seed: Seed::new(0) }
    }
}

impl BootstrapSettings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        if (1..100).contains(&self.resamples) {
            return Err(Error::argument("too few bootstrap resamples")
                .at("resamples")
                .expected("0 (no intervals), or 100 at least")
                .got(self.resamples));
        }
        check_level(self.level)
    }
}

/// Checks that a level of confidence lies in (0, 1).
pub(super) fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::argument("the level of an interval is out of range")
        .at("level")
        .expected("a number between 0 and 1, exclusive")
        .got(level))
}

/// Draws resamples of rows with replacement. Where rows have groups, whole groups are drawn, as many as there are, and
/// a resample's number of rows varies. Stratified: within each class as many rows as it has; a group belongs to
/// its most frequent class (the first on a tie).
///
/// # Reference
/// B. Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics 7 (1979); C. A. Field, A. H. Welsh,
/// Bootstrapping clustered data, JRSS B 69 (2007).
#[derive(Debug, Clone)]
pub struct Resampler {
    rows: usize,
    units: usize,
    /// The unit of each row, where units are groups.
    unit_of: Option<Vec<u32>>,
    /// The units of each stratum; `None` for one stratum of all.
    strata: Option<Vec<Vec<u32>>>,
}

impl Resampler {
    /// For `rows` rows with a group each, if there are groups. With a target of classes it is stratified by them.
    ///
    /// # Errors
    /// [`Error::Data`] for no rows, more than 4294967295, or another number of groups or labels.
    pub fn new(rows: usize, group: Option<&[u64]>, stratify: Option<&Target>) -> Result<Self> {
        if rows == 0 || u32::try_from(rows).is_err() {
            return Err(Error::data("so many rows cannot be resampled")
                .expected("1 to 4294967295")
                .got(rows));
        }
        let other =
            [group.map(<[u64]>::len), stratify.map(Target::len)].into_iter().flatten().find(|n| *n != rows);
        if let Some(other) = other {
            return Err(Error::data("there is not one group and one label a row").expected(rows).got(other));
        }
        let unit_of = group.map(|group| {
            let mut ids: BTreeMap<u64, u32> = group.iter().map(|g| (*g, 0)).collect();
            for (unit, id) in (0u32..).zip(ids.values_mut()) {
                *id = unit;
            }
            (ids.len(), group.iter().map(|g| ids.get(g).copied().unwrap_or(0)).collect::<Vec<u32>>())
        });
        let (units, unit_of) = unit_of.map_or((rows, None), |(n, of)| (n, Some(of)));
        let strata = match stratify {
            Some(Target::Classes { classes, codes }) => {
                let mut strata = vec![Vec::new(); classes.count()];
                for (unit, class) in (0u32..).zip(unit_classes(units, unit_of.as_deref(), codes)) {
                    if let Some(stratum) = strata.get_mut(class) {
                        stratum.push(unit);
                    }
                }
                Some(strata)
            }
            _ => None,
        };
        Ok(Self { rows, units, unit_of, strata })
    }

    /// How many rows or groups are drawn among.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Draws a resample into `draw`; `scratch` is room for the counts of groups.
    pub fn draw(&self, seed: Seed, draw: &mut Draw, scratch: &mut Vec<f64>) {
        let mut rng = seed.rng();
        draw.counts.clear();
        draw.counts.resize(self.rows, 0.0);
        let Some(unit_of) = &self.unit_of else {
            self.draw_units(&mut rng, &mut draw.counts);
            draw.total = self.rows as f64;
            return;
        };
        scratch.clear();
        scratch.resize(self.units, 0.0);
        self.draw_units(&mut rng, scratch);
        draw.total = 0.0;
        for (count, unit) in draw.counts.iter_mut().zip(unit_of) {
            *count = scratch[*unit as usize];
            draw.total += *count;
        }
    }

    fn draw_units(&self, rng: &mut Rng, counts: &mut [f64]) {
        match &self.strata {
            None => {
                for _ in 0..self.units {
                    counts[below(rng, self.units)] += 1.0;
                }
            }
            Some(strata) => {
                for stratum in strata {
                    for _ in 0..stratum.len() {
                        counts[stratum[below(rng, stratum.len())] as usize] += 1.0;
                    }
                }
            }
        }
    }
}

/// A whole number below `n`, each equally likely to within `n / 2^64`.
fn below(rng: &mut Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// The class of each unit: the most frequent one of its rows.
fn unit_classes(units: usize, unit_of: Option<&[u32]>, codes: &[u32]) -> Vec<usize> {
    let Some(unit_of) = unit_of else { return codes.iter().map(|c| *c as usize).collect() };
    let mut seen: Vec<BTreeMap<u32, usize>> = vec![BTreeMap::new(); units];
    for (unit, code) in unit_of.iter().zip(codes) {
        *seen[*unit as usize].entry(*code).or_default() += 1;
    }
    let most = |classes: &BTreeMap<u32, usize>| {
        let best = classes.iter().max_by_key(|(code, n)| (**n, std::cmp::Reverse(**code)));
        best.map_or(0, |(code, _)| *code as usize)
    };
    seen.iter().map(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Classes;

    fn drawn(resampler: &Resampler, seed: u64) -> Draw {
        let mut draw = Draw::default();
        resampler.draw(Seed::new(seed), &mut draw, &mut Vec::new());
        draw
    }

    #[test]
    fn groups_stay_whole_and_strata_keep_their_size() {
        let group = [7, 7, 9, 9, 9, 1];
        let by_group = Resampler::new(6, Some(&group), None).unwrap();
        let codes = vec![0, 0, 0, 1, 1, 1, 1, 1];
        let target = Target::Classes { classes: Classes::new(vec!["a".into(), "b".into()]).unwrap(), codes };
        let by_class = Resampler::new(8, None, Some(&target)).unwrap();
        let mut totals = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let c = drawn(&by_group, seed);
            assert!(c.counts[0] == c.counts[1] && c.counts[2] == c.counts[3] && c.counts[3] == c.counts[4]);
            assert_eq!(c.counts[0] + c.counts[2] + c.counts[5], 3.0);
            assert_eq!(c.total, c.counts.iter().sum::<f64>());
            totals.insert(c.total as u64);
            let s = drawn(&by_class, seed);
            assert_eq!(s.counts[..3].iter().sum::<f64>(), 3.0);
            assert_eq!(s.total, 8.0);
        }
        assert!(totals.len() > 3, "{totals:?}");
        assert_eq!(by_group.units(), 3);
    }

    #[test]
    fn a_group_belongs_to_its_most_frequent_class() {
        let unit_of = [0, 0, 0, 1, 1];
        assert_eq!(unit_classes(2, Some(&unit_of), &[2, 1, 2, 1, 0]), [2, 0]);
    }

    #[test]
    fn every_row_is_drawn_once_on_average() {
        let resampler = Resampler::new(5, None, None).unwrap();
        let mut sums = [0.0; 5];
        for seed in 0..2000 {
            for (sum, c) in sums.iter_mut().zip(drawn(&resampler, seed).counts) {
                *sum += c / 2000.0;
            }
        }
        // A count has variance 0.8, so that a mean of 2000 has deviation 0.02.
        assert!(sums.iter().all(|s| (s - 1.0).abs() < 0.08), "{sums:?}");
    }

    #[test]
    fn settings_are_checked() {
        assert!(BootstrapSettings::default().validate().is_ok());
        assert!(BootstrapSettings { resamples: 0, ..Default::default() }.validate().is_ok());
        assert!(BootstrapSettings { resamples: 20, ..Default::default() }.validate().is_err());
        assert!(BootstrapSettings { level: 1.0, ..Default::default() }.validate().is_err());
        assert!(Resampler::new(0, None, None).is_err());
        assert!(Resampler::new(2, Some(&[1]), None).is_err());
    }
}
