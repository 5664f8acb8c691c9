//! Members' predictions side by side: checked once, read without a copy.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::model::{Mask, Output, Predictions, Task};

/// Rows in a block of parallel work.
const BLOCK: usize = 1024;
/// Cells in a block of an average: their sums fit a core's cache while all members pass over them.
const CELLS: usize = 8192;
/// Members that an average reads at once: memory answers several streams faster than one after the other.
const TOGETHER: usize = 8;

/// Predictions of the same rows by several members.
pub(super) struct Aligned<'a> {
    first: &'a Predictions,
    views: Vec<ArrayView2<'a, f32>>,
    absent: Vec<&'a Mask>,
    task: &'a Task,
}

impl<'a> Aligned<'a> {
    /// Checks that there are `count` members, all of the same rows and of `task`.
    pub(super) fn new(members: &'a [Predictions], task: &'a Task, count: usize) -> Result<Self> {
        if members.len() != count {
            return Err(Error::model("the composition was fitted to another number of members")
                .expected(format!("{count} members"))
                .got(members.len()));
        }
        let Some(first) = members.first() else {
            return Err(Error::model("a composition needs at least one member"));
        };
        for (i, member) in members.iter().enumerate() {
            if !member.same_rows(first) {
                return Err(Error::model("members predict different rows")
                    .at(format!("member {}", i + 1))
                    .expected(format!("the {} rows of member 1, in the same order", first.rows()))
                    .got(format!("{} rows", member.rows())));
            }
            if member.task() != *task {
                return Err(Error::model("a member predicts something else than at fitting")
                    .at(format!("member {}", i + 1))
                    .expected(describe(task))
                    .got(describe(&member.task())));
            }
        }
        let views: Result<Vec<_>> = members.iter().map(view).collect();
        Ok(Self { first, views: views?, absent: members.iter().map(Predictions::absent).collect(), task })
    }

    /// How many rows.
    pub(super) fn rows(&self) -> usize {
        self.first.rows()
    }

    /// How many members.
    pub(super) fn count(&self) -> usize {
        self.views.len()
    }

    /// Whether a member says something about a row.
    pub(super) fn present(&self, member: usize, row: usize) -> bool {
        !self.absent[member].is_set(row)
    }

    /// What each member says, `[rows, classes]` or `[rows, 1]`; absent rows hold NaN.
    pub(super) fn views(&self) -> &[ArrayView2<'a, f32>] {
        &self.views
    }

    /// Predictions for these rows.
    ///
    /// # Errors
    /// As [`Predictions::for_task`].
    pub(super) fn predictions(&self, output: Matrix) -> Result<Predictions> {
        Predictions::for_rows_of(self.first, self.task, output, self.silent())
    }

    /// The rows that every member left out.
    fn silent(&self) -> Mask {
        if !self.absent.iter().all(|a| a.any()) {
            return Mask::none(self.rows());
        }
        (0..self.rows()).map(|r| (0..self.count()).all(|m| !self.present(m, r))).collect()
    }

    /// Mixes: for each row `sum_m w_m c_m / sum_m w_m` over the members present. `weigh(row, w)` writes the weights,
    /// not negative; `add(c, w, sum)` adds `w` times the contribution of a member's row `c` to `sum`. Where all
    /// present members have weight zero, they count the same.
    pub(super) fn mix(
        &self,
        weigh: impl Fn(usize, &mut [f64]) + Sync,
        add: impl Fn(&[f32], f64, &mut [f64]) + Sync,
    ) -> Result<Predictions> {
        let width = self.task.width();
        let mut out = Matrix::zeros((self.rows(), width));
        let Some(cells) = out.as_slice_mut() else {
            return Err(Error::internal("a fresh matrix is not contiguous"));
        };
        cells.par_chunks_mut(BLOCK * width).enumerate().for_each(|(block, cells)| {
            let mut weights = vec![0.0f64; self.count()];
            let mut sum = vec![0.0f64; width];
            let mut spare = vec![0.0f32; width];
            for (i, cell) in cells.chunks_mut(width).enumerate() {
                let row = block * BLOCK + i;
                weigh(row, &mut weights);
                self.leave_out_absent(row, &mut weights);
                let total: f64 = weights.iter().sum();
                if total <= 0.0 {
                    continue;
                }
                sum.fill(0.0);
                for (view, weight) in self.views.iter().zip(&weights).filter(|(_, w)| **w > 0.0) {
                    let line = view.row(row);
                    match line.as_slice() {
                        Some(slice) => add(slice, *weight, &mut sum),
                        None => {
                            spare.iter_mut().zip(line).for_each(|(s, v)| *s = *v);
                            add(&spare, *weight, &mut sum);
                        }
                    }
                }
                cell.iter_mut().zip(&sum).for_each(|(c, s)| *c = (s / total) as f32);
            }
        });
        self.predictions(out)
    }

    /// [`Aligned::mix`] of the predictions themselves with the same weights on every row.
    pub(super) fn average(&self, weights: &[f64]) -> Result<Predictions> {
        let slices: Option<Vec<&[f32]>> = self.views.iter().map(ArrayView2::to_slice).collect();
        let Some(slices) = slices.filter(|_| !self.absent.iter().any(|a| a.any())) else {
            return self.mix(|_, w| w.copy_from_slice(weights), add_as_is);
        };
        let total: f64 = weights.iter().sum();
        let members: Vec<(&[f32], f64)> =
            slices.into_iter().zip(weights.iter().copied()).filter(|(_, w)| *w > 0.0).collect();
        let mut out = Matrix::zeros((self.rows(), self.task.width()));
        let Some(cells) = out.as_slice_mut() else {
            return Err(Error::internal("a fresh matrix is not contiguous"));
        };
        cells.par_chunks_mut(CELLS).enumerate().for_each(|(block, cells)| {
            let mut sum = [0.0f64; CELLS];
            let sum = &mut sum[..cells.len()];
            let at = block * CELLS..block * CELLS + cells.len();
            let (many, rest) = members.as_chunks::<TOGETHER>();
            many.iter().for_each(|m| add_to(sum, m.map(|(cells, weight)| (&cells[at.clone()], weight))));
            rest.iter().for_each(|(cells, weight)| add_to(sum, [(&cells[at.clone()], *weight)]));
            cells.iter_mut().zip(sum).for_each(|(c, s)| *c = (*s / total) as f32);
        });
        self.predictions(out)
    }

    /// Fills each row that is not silent by `fill(row, out)`; the rows are worked on by blocks.
    pub(super) fn each_row(&self, fill: impl Fn(usize, &mut [f64]) + Sync) -> Result<Predictions> {
        let width = self.task.width();
        let silent = self.silent();
        let mut out = Matrix::zeros((self.rows(), width));
        let Some(cells) = out.as_slice_mut() else {
            return Err(Error::internal("a fresh matrix is not contiguous"));
        };
        cells.par_chunks_mut(BLOCK * width).enumerate().for_each(|(block, cells)| {
            let mut said = vec![0.0f64; width];
            for (i, cell) in cells.chunks_mut(width).enumerate() {
                let row = block * BLOCK + i;
                if !silent.is_set(row) {
                    fill(row, &mut said);
                    cell.iter_mut().zip(&said).for_each(|(c, s)| *c = *s as f32);
                }
            }
        });
        Predictions::for_rows_of(self.first, self.task, out, silent)
    }

    /// Sets the weights of absent members to zero; where all that are left are zero, those present count the same.
    pub(super) fn leave_out_absent(&self, row: usize, weights: &mut [f64]) {
        let mut any = false;
        for (m, w) in weights.iter_mut().enumerate() {
            if !self.present(m, row) {
                *w = 0.0;
            }
            any |= *w > 0.0;
        }
        if !any {
            for (m, w) in weights.iter_mut().enumerate() {
                *w = f64::from(u8::from(self.present(m, row)));
            }
        }
    }
}

/// A contribution that is the prediction itself.
pub(super) fn add_as_is(prediction: &[f32], weight: f64, sum: &mut [f64]) {
    for (s, p) in sum.iter_mut().zip(prediction) {
        *s += weight * f64::from(*p);
    }
}

/// `sum += sum_k w_k c_k`, one after the other.
fn add_to<const K: usize>(sum: &mut [f64], members: [(&[f32], f64); K]) {
    let members = members.map(|(cells, weight)| (&cells[..sum.len()], weight));
    for (i, sum) in sum.iter_mut().enumerate() {
        for (cells, weight) in &members {
            *sum += weight * f64::from(cells[i]);
        }
    }
}

/// What a member says as a matrix, without a copy.
pub(crate) fn view(predictions: &Predictions) -> Result<ArrayView2<'_, f32>> {
    match predictions.output() {
        Output::Probabilities { p, .. } => Ok(p.view()),
        Output::Values(v) => {
            ArrayView2::from_shape((v.len(), 1), v).map_err(|e| Error::internal(e.to_string()))
        }
    }
}

fn describe(task: &Task) -> String {
    match task.classes() {
        Some(c) => format!("classes {}", c.names().join(", ")),
        None => "values".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, said, values};

    #[test]
    fn an_average_is_the_mix_bit_for_bit() {
        // More cells than a block, members beyond those read at once, and one without a weight.
        for data in [
            honest(5000, 2, 11, false),
            honest(3000, 3, 9, false),
            honest(500, 2, 9, true),
            values(9000, 9, false),
            values(300, 3, true),
        ] {
            let weights: Vec<f64> = (0..data.count()).map(|m| m as f64 / 7.0).collect();
            let members = said(&data);
            let task = data.target().task();
            let aligned = Aligned::new(&members, &task, data.count()).unwrap();
            let mixed = aligned.mix(|_, w| w.copy_from_slice(&weights), add_as_is).unwrap();
            let average = aligned.average(&weights).unwrap();
            let bits = |p: &Predictions| p.matrix().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&average), bits(&mixed));
            assert_eq!((average.ids(), average.absent()), (mixed.ids(), mixed.absent()));
        }
    }
}
