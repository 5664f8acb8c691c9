//! The classes of the fitting rows: one each, or shares of several.

use super::present::Present;
use crate::model::{Classes, Shares};

/// To which of the classes that occur each row belongs, and how far.
pub(super) enum Labels {
    /// One class a row.
    Codes(Vec<u32>),
    /// Shares of `count` classes, a row after the other; those of a row sum to one.
    Shares { p: Vec<f64>, count: usize },
}

impl Labels {
    /// A class a row, below `classes.count()`; and which of the classes occur.
    pub(super) fn codes(classes: &Classes, codes: &[u32]) -> (Present, Self) {
        let present = Present::among(classes, codes);
        let labels = Self::Codes(present.narrow(codes));
        (present, labels)
    }

    /// Shares that were checked; a class occurs where any row has a share of it.
    pub(super) fn shares(shares: Shares<'_>) -> (Present, Self) {
        let some = |c: usize| shares.p.column(c).iter().any(|s| *s > 0.0);
        let present = Present::of((0..shares.classes.count()).map(some).collect());
        let mut p = Vec::with_capacity(shares.p.nrows() * present.count());
        for row in shares.p.rows() {
            let of = |c: &u32| f64::from(row[*c as usize]);
            let sum: f64 = present.seen().iter().map(of).sum();
            p.extend(present.seen().iter().map(|c| of(c) / sum));
        }
        let labels = Self::Shares { p, count: present.count() };
        (present, labels)
    }

    /// Tells each class that a row belongs to, and how far.
    #[inline]
    pub(super) fn each(&self, row: usize, mut tell: impl FnMut(usize, f64)) {
        match self {
            Self::Codes(codes) => tell(codes[row] as usize, 1.0),
            Self::Shares { p, count } => {
                let own = p[row * count..(row + 1) * count].iter().copied().enumerate();
                own.filter(|(_, share)| *share > 0.0).for_each(|(class, share)| tell(class, share));
            }
        }
    }

    /// How far a row belongs to a class.
    #[inline]
    pub(super) fn of(&self, row: usize, class: usize) -> f64 {
        match self {
            Self::Codes(codes) => f64::from(u8::from(codes[row] as usize == class)),
            Self::Shares { p, count } => p[row * count + class],
        }
    }

    /// The class that a row belongs to most, the first on a tie.
    pub(super) fn most(&self, row: usize) -> usize {
        let mut most = (0, 0.0);
        self.each(row, |class, share| {
            if share > most.1 {
                most = (class, share);
            }
        });
        most.0
    }

    /// The weight of each of `count` classes.
    pub(super) fn mass(&self, weight: &[f64], count: usize) -> Vec<f64> {
        let mut mass = vec![0.0; count];
        for (row, w) in weight.iter().enumerate() {
            self.each(row, |class, share| mass[class] += w * share);
        }
        mass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_one_class_are_codes_and_classes_without_a_share_are_left_out() {
        let classes = Classes::new(["a", "b", "c"].map(String::from).to_vec()).unwrap();
        let p = ndarray::array![[0.0f32, 0.0, 1.0], [1.0, 0.0, 0.0], [0.25, 0.0, 0.75], [0.5, 0.0, 0.5]];
        let (present, shares) = Labels::shares(Shares { classes: &classes, p: p.view() });
        let (same, codes) = Labels::codes(&classes, &[2, 0, 2, 0]);
        assert_eq!(present, same);
        for row in 0..2 {
            assert_eq!([0, 1].map(|k| shares.of(row, k)), [0, 1].map(|k| codes.of(row, k)));
        }
        assert_eq!([0, 1, 2, 3].map(|r| shares.most(r)), [0, 1, 2, 3].map(|r| codes.most(r)));
        assert_eq!(shares.mass(&[1.0, 2.0, 4.0, 8.0], 2), [7.0, 8.0]);
        assert_eq!(codes.mass(&[1.0, 2.0, 4.0, 8.0], 2), [10.0, 5.0]);
    }
}
