//! Running moments of batch norms, taken anew: after a merge they belong to no network.

use std::collections::BTreeMap;

use consilience_core::model::{Context, Labelled};
use consilience_core::{Error, Result};
use rand::seq::SliceRandom;

use super::feed::Feed;
use super::run::parted;
use crate::layers::Pass;
use crate::memory::Reuse;
use crate::network::Network;
use crate::pool::within;

/// Raised whenever [`refresh_moments`] gives other numbers; part of every hash.
pub const MOMENTS_VERSION: u32 = 1;

/// At most so many rows are passed through the network.
pub const MOMENT_ROWS: usize = 4096;

/// So many at a time.
const BATCH: usize = 128;

/// A moment gathered so far: the sum over batches of count times moment, and the sum of the counts.
#[derive(Default)]
struct Gathered {
    sums: Vec<f64>,
    count: f64,
}

/// Takes the running moments of batch norms anew: rows are passed through the network with norms by batch, and each moment becomes the
/// mean of those of the batches, weighed by their numbers a channel. Merged weights give other activations than those that the members'
/// moments are of.
///
/// All rows of `data` up to [`MOMENT_ROWS`], else so many of them, drawn by the seed of `context`, in an order drawn by it. Truth and
/// weights of the rows do not count. A network without running moments comes back as it is, and nothing is read. A norm that saw no two
/// numbers a channel keeps its moments.
///
/// # Errors
/// As reading and preparing rows; [`Error::Model`] for a moment that is not finite; [`Error::Interrupted`] when stopped.
///
/// # Reference
/// Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, "Averaging weights leads to wider optima and better generalization", UAI 2018.
pub fn refresh_moments(network: Network, data: &Labelled<'_>, context: &Context<'_>) -> Result<Network> {
    if !network.has_moments() {
        return Ok(network);
    }
    let _reuse = Reuse::begin();
    let mut places: Vec<usize> = (0..data.rows.len()).collect();
    places.shuffle(&mut context.seed.child("moments").rng());
    places.truncate(MOMENT_ROWS);
    let rows: Vec<usize> = places.iter().filter_map(|p| data.rows.get(*p)).copied().collect();
    let target = data.target.take(&places);
    let data = Labelled { rows: &rows, target: &target, weight: None, group: None, ..*data };
    let feed = Feed::new(&data, network.prepare(), None, context)?;
    let bound = network.params().bind(false);
    let order: Vec<usize> = (0..rows.len()).collect();
    let mut gathered: BTreeMap<String, Gathered> = BTreeMap::new();
    let mut done = 0;
    for batch in parted(&order, BATCH, true) {
        context.stop.check()?;
        let pass = Pass::measuring(&bound);
        let inputs = feed.block(batch, None)?.into_inputs();
        within(|| network.architecture().forward(&pass, inputs))?;
        for (name, noted) in pass.noted() {
            let so_far = gathered.entry(name).or_default();
            so_far.sums.resize(noted.moment.len(), 0.0);
            let count = noted.count as f64;
            so_far.sums.iter_mut().zip(&noted.moment).for_each(|(s, m)| *s += count * f64::from(*m));
            so_far.count += count;
        }
        done += batch.len();
        context.progress.step(done as u64, rows.len() as u64, "moments of batch norms");
    }
    drop(bound);
    let mut params = network.params().clone();
    let moment = |g: Gathered| g.sums.into_iter().map(|s| (s / g.count) as f32).collect();
    params.replace(gathered.into_iter().map(|(name, g)| (name, moment(g))).collect());
    match params.not_finite() {
        Some((name, bad)) => Err(Error::model("a moment of the merged network is not finite")
            .at(format!("tensor \"{name}\""))
            .got(bad)
            .remedy("merge fewer members, or nearer ones")),
        None => Ok(network.with_params(params)),
    }
}
