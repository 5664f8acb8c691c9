//! Eigenvalues of symmetric matrices, and powers of them: the square roots that whitening and colouring need.

use faer::{Mat, Side};
use ndarray::{Array1, Array2};

use crate::error::{Error, Result};

/// Entries that mirror each other may differ by this share of the largest entry; they are averaged.
const ASYMMETRY: f64 = 1e-6;

/// `matrix = vectors * diag(values) * vectors^T`.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigen {
    /// The eigenvalues, in rising order: `[n]`.
    pub values: Array1<f64>,
    /// The eigenvectors, one a column, in the order of the values: `[n, n]`.
    pub vectors: Array2<f64>,
}

impl Eigen {
    /// `vectors * diag(f(values)) * vectors^T`, made exactly symmetric.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Array2<f64> {
        let scaled = &self.vectors * &self.values.mapv(f);
        let full = scaled.dot(&self.vectors.t());
        (&full + &full.t()) * 0.5
    }
}

/// The eigenvalues and eigenvectors of a symmetric matrix `[n, n]`.
///
/// # Errors
/// [`Error::Data`] if it is not square, not finite or not symmetric (mirrored entries may differ by 1e-6 of the
/// largest one), or the iteration does not converge.
pub fn symmetric_eigen(matrix: &Array2<f64>) -> Result<Eigen> {
    let n = checked(matrix)?;
    if n == 0 {
        return Ok(Eigen { values: Array1::zeros(0), vectors: Array2::zeros((0, 0)) });
    }
    let a = Mat::from_fn(n, n, |i, j| (matrix[[i, j]] + matrix[[j, i]]) * 0.5);
    let eigen = a
        .self_adjoint_eigen(Side::Lower)
        .map_err(|e| Error::data(format!("the eigenvalues of a matrix of {n} rows were not found: {e:?}")))?;
    let values = eigen.S().column_vector();
    let vectors = eigen.U();
    Ok(Eigen {
        values: Array1::from_shape_fn(n, |i| values[i]),
        vectors: Array2::from_shape_fn((n, n), |(i, j)| vectors[(i, j)]),
    })
}

/// `matrix^power` of a symmetric matrix `[n, n]`: `V diag(max(lambda, floor)^power) V^T`.
///
/// Eigenvalues below `floor` (which rounding may even make negative) are raised to it first.
///
/// # Errors
/// As [`symmetric_eigen`]; [`Error::Argument`] if `power` or `floor` is not finite or the floor is negative;
/// [`Error::Data`] for a negative power of a singular matrix with a floor of zero.
///
/// ```
/// use consilience_core::solve::symmetric_power;
/// use ndarray::array;
/// let root = symmetric_power(&array![[4.0, 0.0], [0.0, 9.0]], 0.5, 0.0)?;
/// assert!((root[[0, 0]] - 2.0).abs() < 1e-12 && (root[[1, 1]] - 3.0).abs() < 1e-12);
/// # Ok::<(), consilience_core::Error>(())
/// ```
pub fn symmetric_power(matrix: &Array2<f64>, power: f64, floor: f64) -> Result<Array2<f64>> {
    if !power.is_finite() || !floor.is_finite() || floor < 0.0 {
        return Err(Error::argument("a matrix power needs a finite power and a floor that is not negative")
            .got(format!("power {power}, floor {floor}")));
    }
    raised(&symmetric_eigen(matrix)?, power, floor)
}

/// `(matrix^(1/2), matrix^(-1/2))` of a symmetric matrix `[n, n]`, with eigenvalues clamped from below at `1e-12` of
/// the largest one (at the smallest positive number for a matrix of zeros).
///
/// # Errors
/// As [`symmetric_power`].
pub fn sqrt_and_inverse_sqrt(sym: &Array2<f64>) -> Result<(Array2<f64>, Array2<f64>)> {
    let eigen = symmetric_eigen(sym)?;
    let largest = eigen.values.iter().copied().fold(0.0, f64::max);
    let floor = (largest * 1e-12).max(f64::MIN_POSITIVE);
    Ok((raised(&eigen, 0.5, floor)?, raised(&eigen, -0.5, floor)?))
}

fn raised(eigen: &Eigen, power: f64, floor: f64) -> Result<Array2<f64>> {
    let out = eigen.map(|v| v.max(floor).powf(power));
    if out.iter().all(|v| v.is_finite()) {
        return Ok(out);
    }
    Err(Error::data(format!("the matrix has no finite power {power}: it is singular"))
        .remedy("raise the floor of its eigenvalues"))
}

fn checked(matrix: &Array2<f64>) -> Result<usize> {
    let (n, m) = matrix.dim();
    if n != m {
        return Err(Error::data("a symmetric matrix must be square").got(format!("{n} x {m}")));
    }
    if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::data("a matrix holds a number that is not finite")
            .at(format!("entry {i}, {j}"))
            .got(v));
    }
    let largest = matrix.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    for i in 0..n {
        for j in 0..i {
            if (matrix[[i, j]] - matrix[[j, i]]).abs() > ASYMMETRY * largest {
                return Err(Error::data("the matrix is not symmetric")
                    .at(format!("entry {i}, {j}"))
                    .expected(matrix[[j, i]])
                    .got(matrix[[i, j]]));
            }
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use ndarray::array;
    use rand::RngExt;

    fn random_covariance(n: usize) -> Array2<f64> {
        let mut rng = Seed::new(3).rng();
        let a = Array2::from_shape_fn((2 * n, n), |_| rng.random_range(-1.0..1.0));
        a.t().dot(&a)
    }

    fn largest(a: &Array2<f64>) -> f64 {
        a.iter().fold(0.0, |m, v| m.max(v.abs()))
    }

    #[test]
    fn the_root_squared_is_the_matrix_and_the_inverse_root_whitens_it() {
        let a = random_covariance(40);
        let (root, inverse) = sqrt_and_inverse_sqrt(&a).unwrap();
        assert!(largest(&(root.dot(&root) - &a)) < 1e-10 * largest(&a));
        assert!(largest(&(inverse.dot(&a).dot(&inverse) - Array2::<f64>::eye(40))) < 1e-10);
        assert_eq!(root, root.t());
    }

    #[test]
    fn eigenvalues_rise_and_rebuild_the_matrix() {
        let a = array![[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, -5.0]];
        let eigen = symmetric_eigen(&a).unwrap();
        for (got, want) in eigen.values.iter().zip([-5.0, 1.0, 3.0]) {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
        assert!(largest(&(eigen.map(|v| v) - &a)) < 1e-12);
    }

    #[test]
    fn small_eigenvalues_are_raised_to_the_floor() {
        let inverse = symmetric_power(&array![[1.0, 0.0], [0.0, 0.0]], -1.0, 0.5).unwrap();
        assert!(largest(&(inverse - array![[1.0, 0.0], [0.0, 2.0]])) < 1e-12);
        let e = symmetric_power(&array![[1.0, 0.0], [0.0, 0.0]], -1.0, 0.0).unwrap_err();
        assert!(e.to_string().contains("floor"), "{e}");
    }

    #[test]
    fn matrices_that_cannot_be_are_refused() {
        assert!(symmetric_power(&array![[1.0, 2.0]], 0.5, 0.0).is_err());
        assert!(symmetric_power(&array![[1.0, 2.0], [0.0, 1.0]], 0.5, 0.0).is_err());
        assert!(symmetric_power(&array![[1.0, f64::NAN], [0.0, 1.0]], 0.5, 0.0).is_err());
        assert!(symmetric_power(&array![[1.0]], 0.5, -1.0).is_err());
        assert_eq!(symmetric_power(&Array2::zeros((0, 0)), 0.5, 0.0).unwrap().dim(), (0, 0));
    }
}
