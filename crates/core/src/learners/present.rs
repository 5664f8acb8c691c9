//! The classes that occur among the fitting rows. The others get a probability of zero.

use serde::{Deserialize, Serialize};

use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::model::Classes;
use crate::model::graph::{Attribute, Graph, Value};

/// More classes than any task has; a saved model that claims more is damaged.
const MOST: usize = 1 << 22;

/// Which of all classes occur, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Present {
    /// How many classes the task has.
    classes: usize,
    /// The positions of those that occur, rising.
    seen: Vec<u32>,
}

impl Present {
    /// The classes among `codes`.
    pub(super) fn among(classes: &Classes, codes: &[u32]) -> Self {
        let mut marks = vec![false; classes.count()];
        for &code in codes {
            if let Some(mark) = marks.get_mut(code as usize) {
                *mark = true;
            }
        }
        Self::of(marks)
    }

    /// The classes that are marked, of as many as there are marks.
    pub(super) fn of(marks: Vec<bool>) -> Self {
        let seen = marks.iter().zip(0u32..).filter(|(m, _)| **m).map(|(_, c)| c).collect();
        Self { classes: marks.len(), seen }
    }

    /// The positions of the classes that occur, rising.
    pub(super) fn seen(&self) -> &[u32] {
        &self.seen
    }

    /// How many occur.
    pub(super) fn count(&self) -> usize {
        self.seen.len()
    }

    /// How many classes the task has.
    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// The codes as positions among the classes that occur.
    pub(super) fn narrow(&self, codes: &[u32]) -> Vec<u32> {
        let mut position = vec![0; self.classes];
        for (&class, p) in self.seen.iter().zip(0u32..) {
            position[class as usize] = p;
        }
        codes.iter().map(|&c| position[c as usize]).collect()
    }

    /// Probabilities of the classes that occur `[rows, count]` as those of all classes `[rows, classes]`.
    pub(super) fn widen(&self, narrow: Matrix) -> Matrix {
        if self.count() == self.classes {
            return narrow;
        }
        let mut out = Matrix::zeros((narrow.nrows(), self.classes));
        for (p, &class) in self.seen.iter().enumerate() {
            out.column_mut(class as usize).assign(&narrow.column(p));
        }
        out
    }

    /// The same on a graph.
    pub(super) fn widen_graph(&self, graph: &mut Graph, narrow: &Value) -> Value {
        if self.count() == self.classes {
            return narrow.clone();
        }
        // One more column, of zeros, for the classes that do not occur.
        let ends = graph.ints([0, 0, 0, 1]);
        let mode = vec![("mode", Attribute::Text("constant".to_owned()))];
        let padded = graph.node("Pad", &[narrow, &ends], mode, narrow.element());
        let zeros = self.count() as i64;
        let place = |class: u32| self.seen.binary_search(&class).map_or(zeros, |p| p as i64);
        graph.columns(&padded, (0u32..).take(self.classes).map(place))
    }

    /// Checks what was loaded.
    ///
    /// # Errors
    /// [`Error::Model`] if the positions do not rise or are out of range, or fewer than `least` occur.
    pub(super) fn check(&self, least: usize) -> Result<()> {
        let rising = self.seen.windows(2).all(|w| w[0] < w[1]);
        let within =
            self.seen.last().is_none_or(|last| (*last as usize) < self.classes) && self.classes <= MOST;
        if rising && within && self.seen.len() >= least {
            return Ok(());
        }
        Err(Error::model("the saved classes are damaged").got(format!("{:?} of {}", self.seen, self.classes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_classes_are_taken_out_and_put_back() {
        let classes = Classes::new(["a", "b", "c", "d"].map(String::from).to_vec()).unwrap();
        let present = Present::among(&classes, &[3, 1, 3]);
        assert_eq!((present.count(), present.classes()), (2, 4));
        assert_eq!(present.narrow(&[3, 1, 3]), [1, 0, 1]);
        let wide = present.widen(ndarray::array![[0.25, 0.75]]);
        assert_eq!(wide, ndarray::array![[0.0, 0.25, 0.0, 0.75]]);
        assert!(present.check(2).is_ok() && present.check(3).is_err());
        assert!(Present { classes: 2, seen: vec![0, 2] }.check(1).is_err());
        assert!(Present { classes: 3, seen: vec![1, 1] }.check(1).is_err());
    }
}
