//! The confusion matrix.

use serde::{Deserialize, Serialize};

use super::decisions::top;
use super::metric::Sample;
use crate::error::Result;

/// Rows by their true class and the class decided for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// `counts[truth][decided]`: how many rows, or the sum of their weights.
    pub counts: Vec<Vec<f64>>,
    /// How many rows.
    pub rows: usize,
}

impl Confusion {
    /// Counts the rows of a classification. The class decided for is the most probable one, the first on a tie.
    ///
    /// # Errors
    /// As [`Sample::check`]; [`Error::Argument`](crate::Error::Argument) for values.
    pub fn new(sample: &Sample<'_>) -> Result<Self> {
        let (classes, codes) = sample.target.codes()?;
        sample.check()?;
        let mut counts = vec![vec![0.0; classes.count()]; classes.count()];
        for (r, (code, (decided, _))) in codes.iter().zip(top(sample)).enumerate() {
            counts[*code as usize][decided as usize] += sample.weight.map_or(1.0, |w| f64::from(w[r]));
        }
        Ok(Self { classes: classes.names().to_vec(), counts, rows: sample.rows() })
    }

    /// The share of each class's rows that are decided right; `None` for a class without rows.
    pub fn recall(&self) -> Vec<Option<f64>> {
        let shares = self.counts.iter().enumerate().map(|(k, row)| share(row.get(k), row.iter().sum()));
        shares.collect()
    }

    /// The share of the rows decided to be of each class that are of it; `None` for a class never decided for.
    pub fn precision(&self) -> Vec<Option<f64>> {
        let column = |k: usize| self.counts.iter().filter_map(|row| row.get(k)).sum();
        let shares = self.counts.iter().enumerate().map(|(k, row)| share(row.get(k), column(k)));
        shares.collect()
    }
}

fn share(part: Option<&f64>, whole: f64) -> Option<f64> {
    part.filter(|_| whole > 0.0).map(|p| p / whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Matrix;
    use crate::model::{Classes, Target};

    #[test]
    fn rows_are_truth_and_columns_are_decisions() {
        let classes = Classes::new(vec!["a".into(), "b".into(), "c".into()]).unwrap();
        let p = vec![0.5, 0.5, 0.0, 0.1, 0.8, 0.1, 0.1, 0.8, 0.1];
        let p = Matrix::from_shape_vec((3, 3), p).unwrap();
        let target = Target::Classes { classes, codes: vec![0, 0, 1] };
        let confusion = Confusion::new(&Sample::new(&target, p.view(), Some(&[1.0, 3.0, 2.0]))).unwrap();
        assert_eq!(confusion.counts, [[1.0, 3.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]);
        assert_eq!(confusion.recall(), [Some(0.25), Some(1.0), None]);
        assert_eq!(confusion.precision(), [Some(1.0), Some(0.4), None]);
    }
}
