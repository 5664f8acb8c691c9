//! Features as at most 255 bins each: the same few thresholds for every tree.

use rayon::prelude::*;

use crate::array::{ArrayView1, ArrayView2};
use crate::error::Result;
use crate::model::Stop;

/// Binned rows, feature by feature.
///
/// The bin of a value is the number of edges below it: bin `b` holds `edge[b - 1] < x <= edge[b]`, so a split after bin
/// `b` is the comparison `x <= edge[b]` on the values themselves.
pub(in crate::learners) struct Binned {
    edges: Vec<Vec<f32>>,
    codes: Vec<u8>,
    rows: usize,
}

impl Binned {
    /// Bins every feature: a bin a value where there are at most `max_bins` of them, otherwise bins of about the same
    /// number of rows. Edges lie half way between neighbouring values.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::Error::Interrupted).
    pub(in crate::learners) fn new(x: ArrayView2<'_, f32>, max_bins: usize, stop: &Stop) -> Result<Self> {
        let max_bins = max_bins.clamp(2, 255);
        let columns: Vec<(Vec<f32>, Vec<u8>)> = (0..x.ncols())
            .into_par_iter()
            .map(|f| {
                stop.check()?;
                let column = x.column(f);
                let edges = edges(column, max_bins);
                let codes = column.iter().map(|v| edges.partition_point(|e| e < v) as u8).collect();
                Ok((edges, codes))
            })
            .collect::<Result<_>>()?;
        let mut out = Self { edges: Vec::new(), codes: Vec::with_capacity(x.len()), rows: x.nrows() };
        for (edges, codes) in columns {
            out.edges.push(edges);
            out.codes.extend_from_slice(&codes);
        }
        Ok(out)
    }

    pub(in crate::learners) fn rows(&self) -> usize {
        self.rows
    }

    pub(in crate::learners) fn features(&self) -> usize {
        self.edges.len()
    }

    /// How many bins a feature has.
    pub(in crate::learners) fn bins(&self, feature: usize) -> usize {
        self.edges[feature].len() + 1
    }

    /// The bins of a feature, one a row.
    pub(in crate::learners) fn column(&self, feature: usize) -> &[u8] {
        &self.codes[feature * self.rows..(feature + 1) * self.rows]
    }

    /// The threshold of a split after bin `bin`.
    pub(in crate::learners) fn edge(&self, feature: usize, bin: usize) -> f32 {
        self.edges[feature][bin]
    }
}

fn edges(column: ArrayView1<'_, f32>, max_bins: usize) -> Vec<f32> {
    // Adding zero turns a negative zero into a positive one, so that equal values are neighbours.
    let mut sorted: Vec<f32> = column.iter().map(|v| v + 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut distinct: Vec<(f32, usize)> = Vec::new();
    for v in sorted {
        match distinct.last_mut() {
            Some((last, count)) if *last == v => *count += 1,
            _ => distinct.push((v, 1)),
        }
    }
    if distinct.len() <= max_bins {
        return distinct.windows(2).map(|w| between(w[0].0, w[1].0)).collect();
    }
    let mut edges = Vec::with_capacity(max_bins - 1);
    let (mut left_rows, mut filled) = (column.len(), 0);
    for w in distinct.windows(2) {
        filled += w[0].1;
        let left_bins = max_bins - edges.len();
        if left_bins < 2 {
            break;
        }
        if filled * left_bins >= left_rows {
            edges.push(between(w[0].0, w[1].0));
            left_rows -= filled;
            filled = 0;
        }
    }
    edges
}

/// A number in `[low, high)`, half way if the floats allow.
fn between(low: f32, high: f32) -> f32 {
    let middle = (f64::from(low) + f64::from(high)) / 2.0;
    let middle = middle as f32;
    if middle >= low && middle < high { middle } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn few_values_get_a_bin_each_and_many_get_equal_shares() {
        let x = Array2::from_shape_fn((1000, 2), |(r, c)| if c == 0 { (r % 3) as f32 } else { r as f32 });
        let binned = Binned::new(x.view(), 10, &Stop::default()).unwrap();
        assert_eq!((binned.rows(), binned.features(), binned.bins(0), binned.bins(1)), (1000, 2, 3, 10));
        assert_eq!(&binned.column(0)[..4], [0, 1, 2, 0]);
        for bin in 0..10 {
            assert_eq!(binned.column(1).iter().filter(|b| **b == bin).count(), 100);
        }
        for f in 0..2 {
            for (row, &code) in binned.column(f).iter().enumerate() {
                for bin in 0..binned.bins(f) - 1 {
                    assert_eq!(usize::from(code) <= bin, x[[row, f]] <= binned.edge(f, bin));
                }
            }
        }
    }

    #[test]
    fn neighbouring_floats_and_signed_zeros_are_told_apart_as_comparisons_do() {
        let next = f32::from_bits(1.0f32.to_bits() + 1);
        assert_eq!(between(1.0, next), 1.0);
        assert_eq!(between(f32::MIN, f32::MAX), 0.0);
        let x = ndarray::array![[-0.0f32], [0.0], [1.0], [next]];
        let binned = Binned::new(x.view(), 255, &Stop::default()).unwrap();
        assert_eq!(binned.column(0), [0, 0, 1, 2]);
    }
}
