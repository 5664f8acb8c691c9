//! Rows and columns exchanged.

use rayon::prelude::*;

use super::simd::{LANES, wide};

/// Columns of the input, rows of the output, in a piece of work.
const PIECE: usize = 64;

/// `[rows, columns]` to `[columns, rows]`, on all threads.
pub fn transpose(numbers: &[f32], rows: usize, columns: usize, out: &mut [f32]) {
    out.par_chunks_mut((PIECE * rows).max(1)).enumerate().for_each(|(piece, out)| {
        wide(
            #[inline(always)]
            || {
                let first = piece * PIECE;
                let count = out.len() / rows.max(1);
                // Square blocks, so that what is read and what is written both stay in the first cache.
                for block in (0..rows).step_by(LANES) {
                    let last = (block + LANES).min(rows);
                    for c in 0..count {
                        let out = &mut out[c * rows + block..c * rows + last];
                        for (v, r) in out.iter_mut().zip(block..last) {
                            *v = numbers[r * columns + first + c];
                        }
                    }
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::numbers;

    #[test]
    fn rows_become_columns() {
        for (rows, columns) in [(1, 1), (3, 200), (130, 67), (0, 4), (16, 64)] {
            let x = numbers(rows * columns, 1);
            let mut out = vec![f32::NAN; x.len()];
            transpose(&x, rows, columns, &mut out);
            assert!((0..x.len()).all(|i| out[i] == x[(i % rows) * columns + i / rows]), "{rows} {columns}");
        }
    }
}
