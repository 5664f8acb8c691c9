//! Games whose payoff is a squared error: every set's value, and the Shapley values, from products of errors.

/// The products `g_ij = sum_r omega_r e_ri . e_rj` of the members' errors: the pool of a set has the loss
/// `sum_{i,j in S} w_i w_j g_ij / (sum_S w_i)^2`.
#[derive(Debug, Clone)]
pub(super) struct Squares {
    /// `[m, m]`, row-major.
    products: Vec<f64>,
    weights: Vec<f64>,
    nobody: f64,
}

impl Squares {
    /// From products, the members' weights, and what the empty set is worth.
    pub(super) fn new(products: Vec<f64>, weights: Vec<f64>, nobody: f64) -> Self {
        Self { products, weights, nobody }
    }

    /// The products of errors `error(member, row, k)` over rows of some weight and `width` numbers a row.
    pub(super) fn products(
        members: usize,
        width: usize,
        row_weight: &[f64],
        error: impl Fn(usize, usize, usize) -> f64,
    ) -> Vec<f64> {
        let mut products = vec![0.0; members * members];
        let mut errors = vec![0.0; members];
        for (row, weight) in row_weight.iter().enumerate() {
            for k in 0..width {
                errors.iter_mut().enumerate().for_each(|(m, e)| *e = error(m, row, k));
                for i in 0..members {
                    let scaled = weight * errors[i];
                    for j in 0..=i {
                        products[i * members + j] += scaled * errors[j];
                    }
                }
            }
        }
        for i in 0..members {
            for j in 0..i {
                products[j * members + i] = products[i * members + j];
            }
        }
        products
    }

    fn count(&self) -> usize {
        self.weights.len()
    }

    fn product(&self, i: usize, j: usize) -> f64 {
        self.products[i * self.count() + j]
    }

    /// Minus the loss of every set, `O(m)` each.
    pub(super) fn values(&self) -> Vec<f64> {
        let m = self.count();
        let (mut sums, mut masses) = (vec![0.0; 1 << m], vec![0.0; 1 << m]);
        for set in 1..1usize << m {
            let (lowest, parent) = (set.trailing_zeros() as usize, set & (set - 1));
            let w = self.weights[lowest];
            let others = (lowest + 1..m).filter(|j| (parent >> j) & 1 == 1);
            let cross: f64 = others.map(|j| self.weights[j] * self.product(lowest, j)).sum();
            sums[set] = sums[parent] + w * (w * self.product(lowest, lowest) + 2.0 * cross);
            masses[set] = masses[parent] + w;
        }
        let value = |(sum, mass): (f64, f64)| if mass > 0.0 { -sum / (mass * mass) } else { self.nobody };
        sums.into_iter().zip(masses).map(value).collect()
    }

    /// What all together are worth.
    pub(super) fn everybody(&self) -> f64 {
        let m = self.count();
        let mass: f64 = self.weights.iter().sum();
        let of =
            |i: usize| (0..m).map(|j| self.weights[i] * self.weights[j] * self.product(i, j)).sum::<f64>();
        -(0..m).map(of).sum::<f64>() / (mass * mass)
    }

    /// Whether every member has the same weight, so that [`Squares::shapley`] holds.
    pub(super) fn even(&self) -> bool {
        self.weights.iter().all(|w| *w == self.weights[0])
    }

    /// The Shapley values of the plain mean, for any number of members: the marginal value of a member, averaged over
    /// the sets of one size, needs the sums of diagonal and other products only.
    pub(super) fn shapley(&self) -> Vec<f64> {
        let m = self.count();
        let diagonal: f64 = (0..m).map(|i| self.product(i, i)).sum();
        let off: Vec<f64> =
            (0..m).map(|i| (0..m).filter(|j| *j != i).map(|j| self.product(i, j)).sum()).collect();
        let all: f64 = off.iter().sum();
        let value = |i: usize| {
            let own = self.product(i, i);
            // Among the others: the sum of diagonal products, and of the products of ordered pairs.
            let (ones, pairs) = (diagonal - own, all - 2.0 * off[i]);
            let marginal = |s: usize| {
                let size = s as f64;
                if s == 0 {
                    return -own - self.nobody;
                }
                let n = (m - 1) as f64;
                let both = if s > 1 { pairs * size * (size - 1.0) / (n * (n - 1.0)) } else { 0.0 };
                let without = ones * size / n + both;
                let with = own + 2.0 * off[i] * size / n + without;
                without / (size * size) - with / ((size + 1.0) * (size + 1.0))
            };
            (0..m).map(marginal).sum::<f64>() / m as f64
        };
        (0..m).map(value).collect()
    }
}
