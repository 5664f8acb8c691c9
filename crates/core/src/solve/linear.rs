//! Systems of linear equations and least squares.

use faer::linalg::solvers::{Solve, SolveLstsq};
use faer::{Mat, Side};
use ndarray::{Array1, Array2};

use super::symmetric::symmetric_eigen;
use crate::error::{Error, Result};

/// Solves `a x = b` for a symmetric positive definite `a [n, n]` and `b [n, k]` by the Cholesky factors of `a`. `None`
/// if `a` is not positive definite. Only the lower triangle of `a` is read.
///
/// # Errors
/// [`Error::Internal`] if the shapes do not fit.
pub fn cholesky_solve(a: &Array2<f64>, b: &Array2<f64>) -> Result<Option<Array2<f64>>> {
    let n = a.nrows();
    if a.ncols() != n || b.nrows() != n {
        return Err(Error::internal(format!(
            "a system of shape {:?} with a right side {:?}",
            a.dim(),
            b.dim()
        )));
    }
    if n == 0 {
        return Ok(Some(b.clone()));
    }
    let m = Mat::from_fn(n, n, |i, j| a[[i, j]]);
    let Ok(factor) = m.llt(Side::Lower) else { return Ok(None) };
    let x = factor.solve(&Mat::from_fn(n, b.ncols(), |i, j| b[[i, j]]));
    let x = Array2::from_shape_fn(b.dim(), |(i, j)| x[(i, j)]);
    Ok(x.iter().all(|v| v.is_finite()).then_some(x))
}

/// Solves `a x = b` for a symmetric positive semidefinite `a [n, n]` and `b [n, k]`: by Cholesky where `a` is well
/// conditioned, otherwise the solution of the smallest norm, with eigenvalues below `1e-12` of the largest taken for
/// zero.
///
/// # Errors
/// [`Error::Data`] if `a` is not finite or not symmetric; [`Error::Internal`] if the shapes do not fit.
pub fn solve_semidefinite(a: &Array2<f64>, b: &Array2<f64>) -> Result<Array2<f64>> {
    if let Some(x) = cholesky_solve(a, b)? {
        // A nearly singular matrix may pass the factorisation; its solution then does not solve.
        let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let residual = (a.dot(&x) - b).iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let smallest = a.diag().iter().copied().fold(f64::INFINITY, f64::min);
        if residual <= 1e-9 * scale && smallest > 0.0 {
            return Ok(x);
        }
    }
    let eigen = symmetric_eigen(a)?;
    let cut = eigen.values.iter().copied().fold(0.0, f64::max) * 1e-12;
    Ok(eigen.map(|v| if v > cut { 1.0 / v } else { 0.0 }).dot(b))
}

/// The `x [n]` that minimises `|a x - b|^2` for `a [m, n]` with `m >= n` columns of full rank, by QR with column
/// pivoting.
///
/// # Errors
/// [`Error::Data`] if there are fewer rows than columns, an entry is not finite, or the columns depend on each other;
/// [`Error::Internal`] if the shapes do not fit.
pub fn least_squares(a: &Array2<f64>, b: &Array1<f64>) -> Result<Array1<f64>> {
    let (m, n) = a.dim();
    if b.len() != m {
        return Err(Error::internal(format!("least squares of {m} rows with {} values", b.len())));
    }
    if m < n || a.iter().chain(b.iter()).any(|v| !v.is_finite()) {
        return Err(Error::data("least squares need as many rows as columns, and finite numbers")
            .got(format!("{m} rows, {n} columns")));
    }
    if n == 0 {
        return Ok(Array1::zeros(0));
    }
    let qr = Mat::from_fn(m, n, |i, j| a[[i, j]]).col_piv_qr();
    let r = qr.thin_R();
    let largest = (0..n).fold(0.0f64, |s, i| s.max(r[(i, i)].abs()));
    let smallest = (0..n).fold(f64::INFINITY, |s, i| s.min(r[(i, i)].abs()));
    if smallest <= largest * 1e-13 {
        return Err(Error::data("the columns of a least-squares problem depend on each other")
            .remedy("use a ridge penalty"));
    }
    let x = qr.solve_lstsq(&Mat::from_fn(m, 1, |i, _| b[i]));
    Ok(Array1::from_shape_fn(n, |i| x[(i, 0)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_definite_system_is_solved() {
        let a = array![[4.0, 1.0], [1.0, 3.0]];
        let x = cholesky_solve(&a, &array![[1.0], [2.0]]).unwrap().unwrap();
        assert!((x[[0, 0]] - 1.0 / 11.0).abs() < 1e-14 && (x[[1, 0]] - 7.0 / 11.0).abs() < 1e-14);
        assert!(cholesky_solve(&array![[1.0, 2.0], [2.0, 1.0]], &array![[1.0], [2.0]]).unwrap().is_none());
        assert!(cholesky_solve(&a, &array![[1.0]]).is_err());
    }

    #[test]
    fn a_singular_system_gets_the_solution_of_the_smallest_norm() {
        let x = solve_semidefinite(&array![[1.0, 1.0], [1.0, 1.0]], &array![[2.0], [2.0]]).unwrap();
        assert!((x[[0, 0]] - 1.0).abs() < 1e-12 && (x[[1, 0]] - 1.0).abs() < 1e-12);
        let zero = solve_semidefinite(&array![[0.0]], &array![[0.0]]).unwrap();
        assert_eq!(zero, array![[0.0]]);
    }

    #[test]
    fn least_squares_fit_a_line_and_refuse_twins() {
        let a = array![[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0]];
        let x = least_squares(&a, &array![1.0, 3.1, 4.9, 7.0]).unwrap();
        assert!((x[0] - 1.03).abs() < 1e-12 && (x[1] - 1.98).abs() < 1e-12, "{x}");
        let twins = array![[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]];
        assert!(least_squares(&twins, &array![1.0, 2.0, 3.0]).is_err());
        assert!(least_squares(&array![[1.0, 2.0]], &array![1.0]).is_err());
    }
}
