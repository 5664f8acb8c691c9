//! Which deltas are kept: all, some by the order of their magnitudes, some by chance.

use consilience_core::Result;

use crate::kernels::bits::{Bits, INFINITE};
use crate::kernels::blend::Keep;
use crate::kernels::draw::Draw;
use crate::kernels::edges::{Edge, edges, magnitudes};
use crate::kernels::wide;
use crate::method::PerMember;
use crate::work::{Block, Work};

/// What remains of an order of `|d|` when the largest are dropped, and all behind the next ones.
pub struct Band {
    /// For each member where the dropped ones end, and where the kept ones do.
    edges: Vec<(Edge, Edge)>,
}

impl Band {
    /// Drops the `skip` largest deltas of each member and keeps the `keep` next ones, given as `(skip, keep)` for each.
    ///
    /// # Errors
    /// What reading gives.
    pub fn find(work: &Work<'_>, counts: &[(usize, usize)]) -> Result<Self> {
        let counts: Vec<Vec<usize>> =
            counts.iter().map(|(skip, keep)| vec![*skip, skip.saturating_add(*keep)]).collect();
        let found = edges(work, &counts, &magnitudes)?;
        let pair = |lane: Vec<Edge>| {
            let mut lane = lane.into_iter();
            (lane.next().unwrap_or(Edge::NONE), lane.next().unwrap_or(Edge::ALL))
        };
        Ok(Self { edges: found.into_iter().map(pair).collect() })
    }

    /// Drops a part of each member's deltas, the largest, and keeps the next ones; fewer are dropped where too few would remain.
    ///
    /// # Errors
    /// What reading gives.
    pub fn middle(work: &Work<'_>, densities: &[f64], gamma: &PerMember) -> Result<Self> {
        let counts = |(i, density): (usize, &f64)| {
            let keep = portion(work, *density);
            let skip = (gamma.of(i) * work.len() as f64) as usize;
            // mergekit drops all where it would drop none of the largest.
            let keep = if work.compat && skip == 0 && keep < work.len() { 0 } else { keep };
            (skip.min(work.len().saturating_sub(keep)), keep)
        };
        let counts: Vec<(usize, usize)> = densities.iter().enumerate().map(counts).collect();
        Self::find(work, &counts)
    }
}

impl Keep for Band {
    /// For each member the places of its edges.
    type Seen = Vec<(usize, usize)>;

    fn see(&self, block: &Block<'_>) -> Self::Seen {
        let places = |(member, (high, low)): (usize, &(Edge, Edge))| {
            (high.place(block, member, &magnitudes), low.place(block, member, &magnitudes))
        };
        self.edges.iter().enumerate().map(places).collect()
    }

    fn fill(&self, seen: &Self::Seen, block: &Block<'_>, member: usize, from: usize, out: &mut [f32]) {
        let deltas =
            block.members.get(member).and_then(|m| m.get(from..from + out.len())).unwrap_or_default();
        let Some(((high, low), &(high_place, low_place))) = self.edges.get(member).zip(seen.get(member))
        else {
            return out.fill(0.0);
        };
        if self.whole(member) {
            return out.copy_from_slice(deltas);
        }
        // Between the places of the edges the keys that are kept are the same.
        let (a, b) = (high_place.min(low_place), high_place.max(low_place));
        let mut start = 0;
        for end in [a, b, usize::MAX] {
            let end = end.saturating_sub(from).min(out.len()).max(start);
            let least = low.least(from + start < low_place);
            let most = high.least(from + start < high_place);
            let values = deltas.get(start..end).unwrap_or_default();
            let out = out.get_mut(start..end).unwrap_or_default();
            wide(
                #[inline(always)]
                || {
                    for (out, d) in out.iter_mut().zip(values) {
                        let key = d.to_bits() & 0x7fff_ffff;
                        let kept = ((key >= least) & (key < most)) | (key >= INFINITE);
                        *out = if kept { *d } else { 0.0 };
                    }
                },
            );
            start = end;
        }
    }

    fn whole(&self, member: usize) -> bool {
        self.edges.get(member).is_some_and(|(high, low)| *high == Edge::NONE && *low == Edge::ALL)
    }
}

/// Each delta is kept with the same probability.
pub struct Chance {
    /// For each member the source of its draws and how many of `2^32` are below the probability; `None` if all are kept.
    members: Vec<Option<(Draw, u32)>>,
}

impl Chance {
    /// Keeps the deltas of each member with its probability.
    pub fn new(work: &Work<'_>, densities: &[f64]) -> Self {
        let member = |(i, density): (usize, &f64)| {
            (*density < 1.0).then(|| (Draw::new(work.seed_of(i)), (density * 2f64.powi(32)) as u32))
        };
        Self { members: densities.iter().enumerate().map(member).collect() }
    }
}

impl Keep for Chance {
    type Seen = Vec<Bits>;
    const COSTLY: bool = true;

    fn see(&self, block: &Block<'_>) -> Self::Seen {
        let bits = |member: &Option<(Draw, u32)>| match member {
            Some((draw, below)) => {
                Bits::below(*below, block.len(), |from, out| draw.fill(block.start + from, out))
            }
            None => Bits::default(),
        };
        self.members.iter().map(bits).collect()
    }

    fn fill(&self, seen: &Self::Seen, block: &Block<'_>, member: usize, from: usize, out: &mut [f32]) {
        let deltas =
            block.members.get(member).and_then(|m| m.get(from..from + out.len())).unwrap_or_default();
        match seen.get(member) {
            Some(bits) if !self.whole(member) => bits.keep(from, deltas, out),
            _ => out.copy_from_slice(deltas),
        }
    }

    fn whole(&self, member: usize) -> bool {
        self.members.get(member).is_none_or(Option::is_none)
    }
}

/// The densities of the members; those that do not count drop nothing.
pub fn densities(density: &PerMember, weight: &PerMember, members: usize) -> Vec<f64> {
    (0..members).map(|i| if weight.of(i) == 0.0 { 1.0 } else { density.of(i) }).collect()
}

/// How many of the numbers of a tensor are a part of them, rounded down. Says so if that is none.
pub fn portion(work: &Work<'_>, density: f64) -> usize {
    let part = (density * work.len() as f64) as usize;
    if part == 0 && density > 0.0 && !work.is_empty() {
        work.note(format!("a density of {density} keeps none of {} numbers", work.len()));
    }
    part
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use consilience_core::seed::Seed;

    use super::*;
    use crate::work::{BLOCK, Cut, Numbers, Sink};

    struct Nowhere(Mutex<Vec<f32>>);

    impl Sink for Nowhere {
        fn write(&self, from: usize, values: &[f32]) -> Result<()> {
            self.0.lock().unwrap()[from..from + values.len()].copy_from_slice(values);
            Ok(())
        }
    }

    #[test]
    fn a_band_is_what_sorting_gives() {
        let n = 2 * BLOCK + 777;
        let wave = |k: f32| (0..n).map(move |i| ((i as f32 * k).sin() * 43758.547).fract() - 0.5);
        let smooth: Vec<f32> = wave(12.9898).collect();
        let coarse: Vec<f32> = wave(78.233).map(|v| (v * 8.0).round() / 64.0).collect();
        let flat = vec![-0.25f32; n];
        let sparse: Vec<f32> = wave(3.7).map(|v| if v < 0.45 { 0.0 } else { v * 1e-30 }).collect();
        let all = [smooth, coarse, flat, sparse];
        let zeros = vec![0.0f32; n];
        let base = zeros.as_slice();
        let slices: Vec<&[f32]> = all.iter().map(Vec::as_slice).collect();
        let notes = Mutex::new(Vec::new());
        for (skip, keep) in
            [(0, 1), (0, n / 2), (1, n / 2), (n / 3, n / 3), (0, n), (n / 2, n), (n - 1, 1), (5, 0)]
        {
            let out = Nowhere(Mutex::new(vec![0.0; n]));
            let work = Work {
                name: "w",
                shape: &[n],
                members: slices.iter().map(|m| m as &dyn Numbers).collect(),
                base: Some(&base),
                seed: Seed::new(0),
                labels: vec!["a", "b", "c", "d"],
                compat: false,
                stop: &consilience_core::model::Stop::default(),
                out: &out,
                notes: &notes,
            };
            let band = Band::find(&work, &[(skip, keep); 4]).unwrap();
            for (member, values) in slices.iter().enumerate() {
                work.write(Cut::DELTAS, |block, out| {
                    for (i, part) in out.chunks_mut(1024).enumerate() {
                        band.fill(&band.see(block), block, member, i * 1024, part);
                    }
                    Ok(())
                })
                .unwrap();
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
                let mut expected = vec![0.0; n];
                for i in order.into_iter().skip(skip).take(keep) {
                    expected[i] = values[i];
                }
                assert!(*out.0.lock().unwrap() == expected, "{member} {skip} {keep}");
            }
        }
    }
}
