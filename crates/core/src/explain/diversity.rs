//! How differently members err, pair by pair.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::members::Members;
use crate::error::Result;
use crate::model::Honest;

/// How two members err together, on the rows that both predict, by the rows' weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairDiversity {
    /// The first member.
    pub first: String,
    /// The second member.
    pub second: String,
    /// The correlation of their residuals, `1 - p(true)` or `y - value`; `None` if one of them never varies.
    pub correlation: Option<f64>,
    /// How they decide; `None` for values.
    pub decisions: Option<Agreement>,
    /// How many rows both predict.
    pub rows: usize,
}

/// How two classifiers are right and wrong together: with the shares of rows that both decide right (`a`), the first alone
/// (`b`), the second alone (`c`) and neither (`d`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Yule's Q, `(a d - b c) / (a d + b c)`: 1 where one is right only where the other is, 0 for independence, below zero
    /// where they err on different rows; `None` where it is 0 / 0.
    pub q_statistic: Option<f64>,
    /// `b + c`: the share of rows that one alone decides right.
    pub disagreement: f64,
    /// `d`: the share of rows that both decide wrong.
    pub double_fault: f64,
    /// `2 (a d - b c) / ((a + b)(b + d) + (a + c)(c + d))`: agreement beyond chance; `None` where it is 0 / 0.
    pub kappa: Option<f64>,
}

impl Agreement {
    /// From shares, or numbers, of rows: both right, the first alone, the second alone, neither.
    fn new([a, b, c, d]: [f64; 4]) -> Self {
        let over = |x: f64, y: f64| (y > 0.0).then(|| x / y);
        let (along, across) = (a * d, b * c);
        let total = a + b + c + d;
        Self {
            q_statistic: over(along - across, along + across),
            disagreement: (b + c) / total,
            double_fault: d / total,
            kappa: over(2.0 * (along - across), (a + b) * (b + d) + (a + c) * (c + d)),
        }
    }
}

/// Compares the errors of every pair of members that have rows in common: first with second, first with third, and on.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) for rows that cannot be read.
///
/// # Reference
/// L. I. Kuncheva, C. J. Whitaker, Measures of diversity in classifier ensembles and their relationship with the ensemble
/// accuracy, Machine Learning 51 (2003).
pub fn diversity(honest: &Honest) -> Result<Vec<PairDiversity>> {
    Ok(Errors::new(&Members::new(honest)?).pairs(honest))
}

/// The errors of every member.
pub(super) struct Errors {
    /// `[member][row]`, NaN where absent.
    residuals: Vec<Vec<f64>>,
    /// `[member][row]`; empty for values.
    right: Vec<Vec<bool>>,
    weight: Vec<f64>,
}

impl Errors {
    pub(super) fn new(members: &Members<'_>) -> Self {
        let residual =
            |m: usize, r: usize| if members.present(m, r) { members.residual(m, r) } else { f64::NAN };
        let of = |m: usize| -> Vec<f64> { members.rows.iter().map(|r| residual(m, *r)).collect() };
        let classes = members.honest.target().task().classes().is_some();
        let right = |m: usize| -> Vec<bool> {
            let right = |r: usize| members.present(m, r) && members.right(m, r) == Some(true);
            if classes { members.rows.iter().map(|r| right(*r)).collect() } else { Vec::new() }
        };
        Self {
            residuals: (0..members.count()).into_par_iter().map(of).collect(),
            right: (0..members.count()).into_par_iter().map(right).collect(),
            weight: members.weight.clone(),
        }
    }

    fn pairs(&self, honest: &Honest) -> Vec<PairDiversity> {
        let names = honest.names();
        let count = names.len();
        let pairs: Vec<(usize, usize)> =
            (0..count).flat_map(|i| (i + 1..count).map(move |j| (i, j))).collect();
        let pair = |(i, j): (usize, usize)| {
            let common = || (0..self.weight.len()).filter(move |r| self.both(i, j, *r));
            let rows = common().count();
            let decisions = (!self.right[i].is_empty() && rows > 0).then(|| {
                let mut cells = [0.0; 4];
                for r in common() {
                    let cell = 2 * usize::from(!self.right[i][r]) + usize::from(!self.right[j][r]);
                    cells[cell] += self.weight[r];
                }
                Agreement::new(cells)
            });
            (rows > 0).then(|| PairDiversity {
                first: names[i].to_owned(),
                second: names[j].to_owned(),
                correlation: self.correlation(i, j),
                decisions,
                rows,
            })
        };
        let made: Vec<Option<PairDiversity>> = pairs.into_par_iter().map(pair).collect();
        made.into_iter().flatten().collect()
    }

    fn both(&self, i: usize, j: usize, row: usize) -> bool {
        !self.residuals[i][row].is_nan() && !self.residuals[j][row].is_nan()
    }

    /// The weighted mean of products of deviations over the rows where `here`, with the means.
    pub(super) fn covariance(&self, i: usize, j: usize, here: impl Fn(usize) -> bool) -> f64 {
        let (mut total, mut a, mut b) = (0.0, 0.0, 0.0);
        let rows = || (0..self.weight.len()).filter(|r| here(*r));
        for r in rows() {
            total += self.weight[r];
            a += self.weight[r] * self.residuals[i][r];
            b += self.weight[r] * self.residuals[j][r];
        }
        if total <= 0.0 {
            return 0.0;
        }
        let (a, b) = (a / total, b / total);
        let product = |r: usize| self.weight[r] * (self.residuals[i][r] - a) * (self.residuals[j][r] - b);
        rows().map(product).sum::<f64>() / total
    }

    /// The correlation of two members' residuals; `None` if one does not vary where both speak.
    pub(super) fn correlation(&self, i: usize, j: usize) -> Option<f64> {
        let of = |x: usize, y: usize| self.covariance(x, y, |r| self.both(i, j, r));
        let (own, other) = (of(i, i), of(j, j));
        // What 32-bit predictions round to is no variance.
        let varies = |v: f64| v > 1e-14;
        (varies(own) && varies(other)).then(|| (of(i, j) / (own * other).sqrt()).clamp(-1.0, 1.0))
    }

    /// Whether all members given speak about a row.
    pub(super) fn all(&self, members: &[usize], row: usize) -> bool {
        members.iter().all(|m| !self.residuals[*m][row].is_nan())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, named, values};

    #[test]
    fn tables_by_hand() {
        // 4 both, 1 first alone, 2 second alone, 3 neither.
        let a = Agreement::new([4.0, 1.0, 2.0, 3.0]);
        assert!((a.q_statistic.unwrap() - 10.0 / 14.0).abs() < 1e-12);
        assert!((a.disagreement - 0.3).abs() < 1e-12 && (a.double_fault - 0.3).abs() < 1e-12);
        // Chance agrees on .5 * .6 + .5 * .4 = .5 of the rows, they on .7: Cohen's kappa is .4.
        assert!((a.kappa.unwrap() - 0.4).abs() < 1e-12);
        let perfect = Agreement::new([5.0, 0.0, 0.0, 0.0]);
        assert_eq!((perfect.q_statistic, perfect.kappa, perfect.disagreement), (None, None, 0.0));
    }

    #[test]
    fn a_twin_errs_alike_and_pairs_come_in_order() {
        for data in [honest(60, 3, 3, true), values(60, 3, false)] {
            let mut members = named(&data);
            members.push(("twin".to_owned(), members[1].1.clone(), members[1].2));
            let data = Honest::new(members, data.target().clone(), vec![0; 60], None, None).unwrap();
            let pairs = diversity(&data).unwrap();
            let names: Vec<(&str, &str)> = pairs.iter().map(|p| (&p.first[..], &p.second[..])).collect();
            assert_eq!(names[0], ("m0", "m1"));
            assert_eq!(names.len(), 6);
            let twin = pairs.iter().find(|p| p.first == "m1" && p.second == "twin").unwrap();
            assert!((twin.correlation.unwrap() - 1.0).abs() < 1e-12);
            if let Some(d) = twin.decisions {
                assert_eq!((d.q_statistic, d.disagreement), (Some(1.0), 0.0));
                assert!((d.kappa.unwrap() - 1.0).abs() < 1e-12);
            }
            assert!(pairs[0].correlation.unwrap() < 0.9);
            let text = serde_json::to_string(&pairs).unwrap();
            assert_eq!(serde_json::from_str::<Vec<PairDiversity>>(&text).unwrap().len(), 6);
        }
    }
}
