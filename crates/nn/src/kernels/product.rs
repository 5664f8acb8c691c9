//! Products of matrices into memory that is there already.
//!
//! No bit depends on the number of threads: parallel work is either cut into blocks above this floor, or shared out within
//! one product, where each number of it is still summed by one thread in an order that its sizes alone decide.

/// A matrix inside a slice: `rows x columns` numbers, `down` apart from row to row and `across` from column to column.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    down: usize,
    across: usize,
}

impl<'a> View<'a> {
    /// A dense matrix, row-major.
    pub fn new(numbers: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::apart(numbers, rows, columns, columns)
    }

    /// A matrix whose rows begin `down` numbers apart.
    pub fn apart(numbers: &'a [f32], rows: usize, columns: usize, down: usize) -> Self {
        Self { numbers, rows, columns, down, across: 1 }
    }

    /// Rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, down: self.across, across: self.down, ..self }
    }

    fn fits(&self) -> bool {
        reach(self.rows, self.columns, self.down, self.across) <= self.numbers.len()
    }
}

/// How many numbers a matrix reaches over, from its first to its last.
fn reach(rows: usize, columns: usize, down: usize, across: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * down + (columns - 1) * across + 1 }
}

/// `out = a b`, or `out += a b` where `add` says so, on the calling thread. `out` is `[a.rows, b.columns]`, its rows `down`
/// numbers apart and each of them dense.
///
/// # Panics
/// If the matrices do not fit their memory or each other: callers compute the sizes, never users.
pub fn product(a: View<'_>, b: View<'_>, out: &mut [f32], down: usize, add: bool) {
    multiply(a, b, out, down, add, gemm::Parallelism::None);
}

/// As [`product`], on all threads where there is enough to do.
///
/// # Panics
/// As [`product`].
pub fn product_together(a: View<'_>, b: View<'_>, out: &mut [f32], down: usize, add: bool) {
    multiply(a, b, out, down, add, gemm::Parallelism::Rayon(0));
}

#[allow(unsafe_code)]
fn multiply(
    a: View<'_>,
    b: View<'_>,
    out: &mut [f32],
    down: usize,
    add: bool,
    parallelism: gemm::Parallelism,
) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(a.fits() && b.fits() && k == b.rows, "the factors do not fit: {m} x {k}, {} x {n}", b.rows);
    assert!(down >= n && reach(m, n, down, 1) <= out.len(), "the product {m} x {n} does not fit");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !add {
            (0..m).for_each(|r| out[r * down..r * down + n].fill(0.0));
        }
        return;
    }
    // SAFETY: every address that `gemm` reads or writes is first + r * (distance of rows) + c * (distance of columns) with
    // r and c below the sizes given, and the assertions above keep the largest of them inside its slice. `out` is
    // borrowed alone, so that it overlaps neither factor. Distances are those of slices, hence below `isize::MAX`. Miri runs
    // the tests of this file, on one thread, through `gemm` itself and checks every address: see Tests in CONTRIBUTING.md.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            down as isize,
            add,
            a.numbers.as_ptr(),
            a.across as isize,
            a.down as isize,
            b.numbers.as_ptr(),
            b.across as isize,
            b.down as isize,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, salt: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + salt * 104_729) % 1013) as f32 / 506.5 - 1.0).collect()
    }

    #[test]
    fn products_of_any_layout_are_the_plain_sums() {
        // Miri is some thousand times slower.
        let large = if cfg!(miri) { [(5, 17, 9), (18, 3, 7)] } else { [(17, 33, 65), (64, 288, 49)] };
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (2, 0, 3), (0, 4, 4)].into_iter().chain(large) {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let plain = |r: usize, c: usize| -> f64 {
                (0..k).map(|i| f64::from(a[r * k + i]) * f64::from(b[i * n + c])).sum()
            };
            let transpose = |x: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                (0..rows * columns).map(|i| x[(i % rows) * columns + i / rows]).collect()
            };
            let (at, bt) = (transpose(&a, m, k), transpose(&b, k, n));
            let a_views = [View::new(&a, m, k), View::new(&at, k, m).transposed()];
            let b_views = [View::new(&b, k, n), View::new(&bt, n, k).transposed()];
            for a in a_views {
                for b in b_views {
                    let down = n + 3;
                    let mut out = vec![0.5f32; m * down];
                    product(a, b, &mut out, down, false);
                    product(a, b, &mut out, down, true);
                    for r in 0..m {
                        for c in 0..n {
                            let (got, expected) = (f64::from(out[r * down + c]), 2.0 * plain(r, c));
                            // Sums of k products of numbers below one, in f32.
                            assert!((got - expected).abs() < 1e-5 * (1.0 + k as f64), "{got} {expected}");
                        }
                        assert!(out[r * down + n..(r + 1) * down].iter().all(|v| *v == 0.5));
                    }
                }
            }
        }
    }

    // What is large enough to be shared out takes Miri hours.
    #[test]
    #[cfg_attr(miri, ignore)]
    fn products_of_all_threads_are_those_of_one() {
        for (m, k, n) in [(128, 784, 512), (512, 128, 784), (257, 1000, 129), (10, 4000, 3)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let (a, b) = (View::new(&a, m, k), View::new(&b, k, n));
            let mut alone = vec![0.0f32; m * n];
            product(a, b, &mut alone, n, false);
            for threads in [2, 3, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut together = vec![0.0f32; m * n];
                pool.install(|| product_together(a, b, &mut together, n, false));
                assert!(alone.iter().zip(&together).all(|(a, b)| a.to_bits() == b.to_bits()), "{m} {k} {n}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_product_that_does_not_fit_is_refused() {
        let (a, b) = (numbers(6, 1), numbers(6, 2));
        product(View::new(&a, 2, 3), View::new(&b, 3, 2), &mut [0.0; 3], 2, false);
    }
}
