//! Shapley values over members: how much each adds, averaged over every order in which they could join.

use rand::seq::SliceRandom;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::game::{Game, MOST_EXACT, Payoff};
use crate::error::{Error, Result};
use crate::model::{Honest, Stop};
use crate::seed::Seed;

/// When every set of members is scored, and how many orders are drawn otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShapleySettings {
    /// The most sums (rows, times numbers of a row, times sets) that scoring every set may take.
    #[schemars(range(min = 0.0))]
    pub budget: f64,
    /// Above that, or for more than 20 members: how many pairs of an order and its reverse are drawn.
    #[schemars(range(min = 2))]
    pub pairs: usize,
}

impl Default for ShapleySettings {
    fn default() -> Self {
        Self { budget: 3e10, pairs: 500 }
    }
}

/// How Shapley values were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShapleyMethod {
    /// By every set of members, or in closed form.
    Exact,
    /// By drawn orders.
    Sampled {
        /// How many pairs of an order and its reverse.
        pairs: usize,
    },
}

/// The Shapley value of each member: they sum to `everybody - nobody`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shapley {
    /// The unit of the values; greater is better.
    pub payoff: Payoff,
    /// The members.
    pub members: Vec<String>,
    /// Their values, in order.
    pub values: Vec<f64>,
    /// The standard errors of drawn ones, over the draws (not over the choice of rows).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_errors: Option<Vec<f64>>,
    /// What the prior alone is worth.
    pub nobody: f64,
    /// What all members together are worth.
    pub everybody: f64,
    /// How they were found.
    pub method: ShapleyMethod,
    /// How many rows were scored.
    pub rows: usize,
}

/// The Shapley values of the members in the game of [`Game`]: with `weights` the pool of those, otherwise the plain mean.
///
/// `phi_i = sum_{S without i} |S|! (m - |S| - 1)! / m! (v(S + i) - v(S))`. Up to 20 members, within the budget, every set is
/// scored; squared errors of the plain mean have a closed form for any number of members where none is absent. Otherwise
/// orders are drawn, each with its reverse, and the values have standard errors.
///
/// # Errors
/// As [`Game::new`]; [`Error::Argument`] for fewer than two pairs where orders are drawn;
/// [`Error::Interrupted`] when stopped.
///
/// # Reference
/// L. S. Shapley, A value for n-person games, 1953; R. Mitchell, J. Cooper, E. Frank, G. Holmes, Sampling permutations for
/// Shapley value estimation, JMLR 23 (2022), section 2.2 (antithetic orders).
pub fn shapley_values(
    honest: &Honest,
    payoff: Payoff,
    weights: Option<&[f64]>,
    settings: &ShapleySettings,
    seed: Seed,
    stop: &Stop,
) -> Result<Shapley> {
    let game = Game::new(honest, payoff, weights)?;
    let made = |values: Vec<f64>, nobody: f64, everybody: f64| Shapley {
        payoff,
        members: game.names().to_vec(),
        values,
        standard_errors: None,
        nobody,
        everybody,
        method: ShapleyMethod::Exact,
        rows: game.rows(),
    };
    if let Some(squares) = game.squares().filter(|s| s.even()) {
        return Ok(made(squares.shapley(), game.nobody(), squares.everybody()));
    }
    if game.count() <= MOST_EXACT && game.cost() <= settings.budget {
        let v = game.values(stop)?;
        return Ok(made(exact(&v, game.count()), v[0], v[v.len() - 1]));
    }
    if settings.pairs < 2 {
        return Err(Error::argument("too few pairs of orders for a standard error")
            .at("pairs")
            .expected("2 at least")
            .got(settings.pairs));
    }
    let drawn = Drawn::new(&game, settings.pairs, seed.child("shapley"), stop)?;
    Ok(Shapley {
        standard_errors: Some(drawn.errors),
        method: ShapleyMethod::Sampled { pairs: settings.pairs },
        ..made(drawn.values, drawn.nobody, drawn.everybody)
    })
}

/// The Shapley values of a game given by what every set is worth: bit `i` of an index says that player `i` is in.
pub(super) fn exact(v: &[f64], members: usize) -> Vec<f64> {
    // k! (m - k - 1)! / m! = 1 / (m C(m - 1, k)).
    let mut share = Vec::with_capacity(members);
    let mut ways = 1.0;
    for k in 0..members {
        share.push(1.0 / (members as f64 * ways));
        ways *= (members - 1 - k) as f64 / (k + 1) as f64;
    }
    let of = |i: usize| {
        let without = (0..v.len()).filter(|set| (set >> i) & 1 == 0);
        without.map(|set| share[set.count_ones() as usize] * (v[set | (1 << i)] - v[set])).sum()
    };
    (0..members).into_par_iter().map(of).collect()
}

/// What each member gains in a pair of orders, and the two ends of the game.
type Pair = (Vec<f64>, (f64, f64));

/// Values from drawn orders.
struct Drawn {
    values: Vec<f64>,
    errors: Vec<f64>,
    nobody: f64,
    everybody: f64,
}

impl Drawn {
    fn new(game: &Game, pairs: usize, seed: Seed, stop: &Stop) -> Result<Self> {
        let members = game.count();
        let one = |pair: usize| {
            stop.check()?;
            let mut order: Vec<usize> = (0..members).collect();
            order.shuffle(&mut seed.item(pair as u64).rng());
            let mut gains = vec![0.0; members];
            let mut ends = (0.0, 0.0);
            for _ in 0..2 {
                let v = game.along(&order);
                for (step, member) in v.windows(2).zip(&order) {
                    gains[*member] += 0.5 * (step[1] - step[0]);
                }
                ends = (v[0], v[members]);
                order.reverse();
            }
            Ok((gains, ends))
        };
        let drawn: Result<Vec<Pair>> = (0..pairs).into_par_iter().map(one).collect();
        let drawn = drawn?;
        let n = pairs as f64;
        let mean = |i: usize| drawn.iter().map(|d| d.0[i]).sum::<f64>() / n;
        let values: Vec<f64> = (0..members).map(mean).collect();
        let error = |i: usize| {
            let squares: f64 = drawn.iter().map(|d| (d.0[i] - values[i]).powi(2)).sum();
            (squares / (n - 1.0) / n).sqrt()
        };
        let errors = (0..members).map(error).collect();
        let (nobody, everybody) = drawn.first().map_or((0.0, 0.0), |d| d.1);
        Ok(Self { values, errors, nobody, everybody })
    }
}

#[cfg(test)]
#[path = "shapley_tests.rs"]
mod tests;
