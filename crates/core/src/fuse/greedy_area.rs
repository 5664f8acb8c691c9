//! The area under the ROC curve that a selection would reach, by sorting the scores of every candidate.

use rayon::prelude::*;

use super::evidence::row_weights;
use super::greedy_rows::Running;
use super::greedy_scores::{Scores, by_blocks};
use crate::array::MIN_PROBABILITY;
use crate::error::{Error, Result};
use crate::model::Honest;

/// Bits of a digit of the sort; three digits make a key.
const DIGIT: u32 = 11;
/// Values of a digit.
const VALUES: usize = 1 << DIGIT;
/// Rows are counted in 32 bits, and twice their number must be.
const MOST_ROWS: usize = 1 << 31;

/// One minus the area under the ROC curve of the second class, exactly: ties count one half. Scores are the mean of the
/// members, as 32-bit floats, which is what a pool says.
pub(super) struct AreaScores<'a> {
    /// Of the second class alone.
    running: Running<'a>,
    codes: &'a [u32],
    /// One a row; empty where all rows weigh the same.
    weight: Vec<f64>,
}

impl<'a> AreaScores<'a> {
    pub(super) fn new(honest: &'a Honest) -> Result<Self> {
        let (_, codes) = honest.target().codes()?;
        let running = Running::new(honest, 1..2)?;
        let rows = &running.rows;
        let weight = if honest.weight().is_some() { row_weights(honest, rows)? } else { Vec::new() };
        let counts = |r: usize| weight.get(r).is_none_or(|w| *w > 0.0);
        let has = |class| rows.iter().enumerate().any(|(i, r)| codes[*r] == class && counts(i));
        if !(has(0) && has(1)) {
            return Err(Error::data("an area under the ROC curve needs rows of both classes")
                .got("rows of one")
                .remedy("choose another objective"));
        }
        if rows.len() > MOST_ROWS {
            return Err(Error::data("too many rows to sort").expected(MOST_ROWS).got(rows.len()));
        }
        Ok(Self { running, codes, weight })
    }

    /// One where the row is of the second class.
    fn positive(&self, row: usize) -> u32 {
        self.codes[self.running.rows[row]]
    }

    /// The mean with a member more.
    fn mean(&self, row: usize, member: usize) -> f64 {
        let mut pooled = [0.0];
        let n = self.running.pooled(row, member, &mut pooled);
        pooled[0] / n
    }

    /// Keys that sort as the means do and end in the class of the row.
    fn keys(&self, member: usize, keys: &mut Vec<u32>) {
        let (sum, all) = (&self.running.sum, self.running.all(member).as_chunks::<2>().0);
        // Positive floats sort as their bits do, and the largest, one, leaves the highest bit free.
        let key = |mean: f64, code: u32| (mean as f32).to_bits() << 1 | code;
        keys.clear();
        if self.running.masked {
            keys.extend((0..sum.len()).map(|r| key(self.mean(r, member), self.positive(r))));
        } else {
            let n = self.running.steps + 1.0;
            let cells = sum.iter().zip(all).zip(self.codes);
            keys.extend(cells.map(|((s, p), code)| key((s + f64::from(p[1])) / n, *code)));
        }
    }

    fn loss(&self, member: usize, keys: &mut Vec<u32>, spare: &mut Vec<u32>) -> f64 {
        self.keys(member, keys);
        if self.weight.is_empty() { 1.0 - area(keys, spare) } else { 1.0 - weighted_area(keys, &self.weight) }
    }
}

impl Scores for AreaScores<'_> {
    fn losses(&mut self, among: &[bool]) -> Vec<f64> {
        let room = || (Vec::new(), Vec::new());
        let one = |(keys, spare): &mut (_, _), (member, among): (usize, &bool)| {
            if *among { self.loss(member, keys, spare) } else { f64::INFINITY }
        };
        among.par_iter().enumerate().map_init(room, one).collect()
    }

    /// The log-loss.
    fn second(&self, member: usize) -> f64 {
        let rows = self.running.rows.len();
        let loss = by_blocks(rows, 1, |rows| {
            let each = rows.map(|row| {
                let mean = self.mean(row, member);
                let p = if self.positive(row) == 1 { mean } else { 1.0 - mean };
                self.weight.get(row).unwrap_or(&1.0) * -p.max(f64::from(MIN_PROBABILITY)).ln()
            });
            vec![each.sum()]
        });
        loss[0]
    }

    fn add(&mut self, member: usize) {
        self.running.add(member);
    }
}

/// Rows of one value of the highest digit, seen in rising order.
#[derive(Clone, Copy, Default)]
struct Seen {
    negatives: u32,
    positives: u32,
    /// How many of the negatives have the last score.
    tied: u32,
    last: u32,
}

/// The area, from keys `score << 1 | class`. Two passes of a radix sort from the lowest digit up; the third need not
/// move anything, since all that it would gather is counted where it is met. Whole numbers throughout.
fn area(keys: &mut [u32], spare: &mut Vec<u32>) -> f64 {
    spare.resize(keys.len(), 0);
    let digit = |key: u32, at: u32| (key >> (at * DIGIT)) as usize % VALUES;
    let mut starts = [vec![0usize; VALUES], vec![0usize; VALUES]];
    for key in keys.iter() {
        starts[0][digit(*key, 0)] += 1;
        starts[1][digit(*key, 1)] += 1;
    }
    for starts in &mut starts {
        let mut sum = 0;
        for start in starts {
            sum += std::mem::replace(start, sum);
        }
    }
    for (at, starts) in (0..).zip(&mut starts) {
        let (from, to) = if at == 0 { (&*keys, &mut spare[..]) } else { (&spare[..], &mut *keys) };
        for key in from {
            let place = &mut starts[digit(*key, at)];
            to[*place] = *key;
            *place += 1;
        }
    }
    // Of keys with one score the negatives come first.
    let mut seen = vec![Seen::default(); VALUES];
    let mut twice = 0u64;
    for key in keys.iter() {
        let seen = &mut seen[digit(*key, 2)];
        let (score, positive) = (key >> 1, key & 1);
        let tied = if score == seen.last { seen.tied } else { 0 };
        seen.last = score;
        seen.tied = tied + (1 - positive);
        seen.negatives += 1 - positive;
        seen.positives += positive;
        twice += u64::from((2 * seen.negatives - seen.tied) * positive);
    }
    let (mut negatives, mut positives) = (0u64, 0u64);
    for seen in &seen {
        twice += 2 * negatives * u64::from(seen.positives);
        negatives += u64::from(seen.negatives);
        positives += u64::from(seen.positives);
    }
    twice as f64 / (2.0 * negatives as f64 * positives as f64)
}

/// The area where rows have weights.
fn weighted_area(keys: &[u32], weight: &[f64]) -> f64 {
    let mut places: Vec<u64> = keys.iter().zip(0..).map(|(key, row)| u64::from(*key) << 32 | row).collect();
    places.sort_unstable();
    let (mut negatives, mut positives, mut tied, mut last, mut area) = (0.0, 0.0, 0.0, u64::MAX, 0.0);
    for place in places {
        let (score, positive) = (place >> 33, place >> 32 & 1 == 1);
        let weight = weight[(place & u64::from(u32::MAX)) as usize];
        if score != last {
            (last, tied) = (score, 0.0);
        }
        if positive {
            area += weight * (negatives - tied / 2.0);
            positives += weight;
        } else {
            negatives += weight;
            tied += weight;
        }
    }
    area / (negatives * positives)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, named};
    use crate::metrics::{Auc, Metric, Sample};
    use crate::model::{Honest, Predictions};

    /// The pool of the members taken, as predictions.
    fn pool(data: &Honest, taken: &[usize]) -> Vec<f32> {
        let members: Vec<&Predictions> = data.predictions().collect();
        let mean = |r: usize| {
            let mut here: Vec<usize> =
                taken.iter().copied().filter(|m| !members[*m].absent().is_set(r)).collect();
            if here.is_empty() {
                here = (0..members.len()).filter(|m| !members[*m].absent().is_set(r)).collect();
            }
            let sum: f64 = here.iter().map(|m| f64::from(members[*m].p().unwrap()[[r, 1]])).sum();
            (sum / here.len() as f64) as f32
        };
        (0..data.rows()).map(mean).collect()
    }

    #[test]
    fn areas_are_those_of_the_metric() {
        for (masked, weighted, ties) in [
            (false, false, false),
            (true, false, false),
            (false, true, true),
            (true, true, true),
            (false, false, true),
        ] {
            let mut data = honest(700, 2, 4, masked);
            let weight = weighted.then(|| (0..700).map(|r| (r % 4) as f32).collect::<Vec<f32>>());
            let members = named(&data).into_iter().map(|(name, p, origin)| {
                let mut cells = p.matrix();
                // Few values, zeros and ones among them, that all add up without rounding.
                for mut row in cells.rows_mut().into_iter().filter(|_| ties) {
                    row[1] = (row[1] * 4.0).round() / 4.0;
                    row[0] = 1.0 - row[1];
                }
                let p =
                    Predictions::for_task(p.ids().to_vec(), &p.task(), cells, p.absent().clone()).unwrap();
                (name, p, origin)
            });
            data = Honest::new(members.collect(), data.target().clone(), vec![0; 700], None, weight.clone())
                .unwrap();
            let mut scores = AreaScores::new(&data).unwrap();
            let silent = data.silent();
            let rows: Vec<usize> = (0..700).filter(|r| !silent.is_set(*r)).collect();
            let target = data.target().take(&rows);
            let weight: Option<Vec<f32>> = weight.map(|w| rows.iter().map(|r| w[*r]).collect());
            let mut taken = Vec::new();
            for pick in [3, 0, 3, 2] {
                let losses = scores.losses(&[true, true, false, true]);
                assert_eq!(losses[2], f64::INFINITY);
                for member in [0, 1, 3] {
                    let with: Vec<usize> = taken.iter().copied().chain([member]).collect();
                    let p = pool(&data, &with);
                    let p = crate::array::Matrix::from_shape_fn((rows.len(), 2), |(r, c)| {
                        if c == 1 { p[rows[r]] } else { 1.0 - p[rows[r]] }
                    });
                    let auc = Auc.score(&Sample::new(&target, p.view(), weight.as_deref())).unwrap();
                    assert!((1.0 - losses[member] - auc).abs() < 1e-12, "{member}: {} {auc}", losses[member]);
                }
                taken.push(pick);
                scores.add(pick);
            }
        }
    }

    #[test]
    fn keys_at_the_edges_are_sorted() {
        let scores = [0.0f32, f32::MIN_POSITIVE, 1e-7, 0.25, 0.25, 0.5, 0.999_999_94, 1.0, 1.0005, 0.25, 1.0];
        let classes = [1u32, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0];
        let mut keys: Vec<u32> = scores.iter().zip(classes).map(|(s, c)| s.to_bits() << 1 | c).collect();
        let (mut pairs, mut right) = (0.0, 0.0);
        for (p, _) in scores.iter().zip(classes).filter(|(_, c)| *c == 1) {
            for (n, _) in scores.iter().zip(classes).filter(|(_, c)| *c == 0) {
                pairs += 1.0;
                right += if p > n { 1.0 } else { 0.5 * f64::from(u8::from(p == n)) };
            }
        }
        assert_eq!(weighted_area(&keys, &[0.5; 11]), right / pairs);
        assert_eq!(area(&mut keys, &mut Vec::new()), right / pairs);
    }

    #[test]
    fn rows_of_one_class_have_no_area() {
        let data = honest(50, 2, 2, false);
        let (classes, codes) = data.target().codes().unwrap();
        let only: Vec<f32> = codes.iter().map(|c| *c as f32).collect();
        let one = crate::model::Target::Classes { classes: classes.clone(), codes: vec![1; 50] };
        let of_one = Honest::new(named(&data), one, vec![0; 50], None, None).unwrap();
        assert!(AreaScores::new(&of_one).is_err());
        // Nor have those of which only one class has a weight.
        let no_weight =
            Honest::new(named(&data), data.target().clone(), vec![0; 50], None, Some(only)).unwrap();
        assert!(AreaScores::new(&no_weight).is_err());
        assert!(AreaScores::new(&data).is_ok());
    }
}
