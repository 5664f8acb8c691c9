//! Growing one tree of a forest: on a bootstrap of the rows, each split among a few features drawn at random.

use rand::RngExt;

use super::bins::Binned;
use super::flat::Tree;
use crate::seed::{Rng, Seed};

/// Up to this many rows a node's rows are sorted by comparison, above by counting bins.
const FEW: usize = 96;

/// What the trees are to predict.
pub(in crate::learners) enum Truth<'a> {
    /// A class a row, below `count`, and the weighted share of each class.
    Classes { codes: &'a [u32], count: usize, shares: &'a [f64] },
    /// `count` shares a row that sum to one, and the weighted share of each class among all rows.
    Parts { p: &'a [f64], count: usize, shares: &'a [f64] },
    /// A value a row, around the mean.
    Values(&'a [f64]),
}

/// What every tree of a forest is grown from.
pub(in crate::learners) struct Grower<'a> {
    pub(in crate::learners) data: &'a Binned,
    pub(in crate::learners) truth: Truth<'a>,
    pub(in crate::learners) weight: &'a [f64],
    pub(in crate::learners) bootstrap: bool,
    /// Features drawn at each split.
    pub(in crate::learners) draws: usize,
    pub(in crate::learners) min_leaf: usize,
    pub(in crate::learners) max_depth: usize,
    /// Votes added to a leaf in the shares of the classes.
    pub(in crate::learners) smoothing: f64,
}

/// Where to split a node, and how good it is: the sum over both sides of (sums of weights by class)^2 / weight, or of
/// (sum of values)^2 / weight. It is largest where the Gini impurity, or the variance, is lowered most.
#[derive(Clone, Copy)]
struct Split {
    feature: usize,
    bin: u8,
    score: f64,
}

/// Rows `start..end` of the tree's order, to become a node.
struct Open {
    start: usize,
    end: usize,
    depth: usize,
    node: usize,
}

/// Memory that nodes use again.
struct Scratch {
    order: Vec<u32>,
    keys: Vec<u32>,
    counts: Vec<u32>,
    weight: Vec<f64>,
    class: Vec<u32>,
    value: Vec<f64>,
    codes: Vec<u8>,
    left: Vec<f64>,
    right: Vec<f64>,
    moved: Vec<u32>,
}

impl Grower<'_> {
    /// Grows one tree; everything random comes from `seed`.
    pub(in crate::learners) fn grow(&self, seed: &Seed) -> Tree {
        let mut rng = seed.rng();
        let n = self.data.rows();
        let mut weight = vec![0.0f64; n];
        if self.bootstrap {
            for _ in 0..n {
                weight[rng.random_range(0..n as u64) as usize] += 1.0;
            }
            weight.iter_mut().zip(self.weight).for_each(|(t, w)| *t *= w);
        } else {
            weight.copy_from_slice(self.weight);
        }
        let mut rows: Vec<u32> = (0u32..).take(n).filter(|r| weight[*r as usize] > 0.0).collect();
        let classes = match &self.truth {
            Truth::Classes { count, .. } | Truth::Parts { count, .. } => *count,
            Truth::Values(_) => 0,
        };
        let mut scratch = Scratch {
            order: Vec::new(),
            keys: Vec::new(),
            counts: vec![0; 257],
            weight: Vec::new(),
            class: Vec::new(),
            value: Vec::new(),
            codes: Vec::new(),
            left: vec![0.0; classes],
            right: vec![0.0; classes],
            moved: Vec::new(),
        };
        let mut features: Vec<usize> = (0..self.data.features()).collect();
        let mut tree = Tree::default();
        let mut open = vec![Open { start: 0, end: rows.len(), depth: 0, node: tree.push() }];
        while let Some(Open { start, end, depth, node }) = open.pop() {
            let here = &mut rows[start..end];
            let split = if depth < self.max_depth && here.len() >= 2 * self.min_leaf {
                self.best(here, &weight, &mut features, &mut rng, &mut scratch)
            } else {
                None
            };
            let Some(split) = split else {
                self.leaf(&mut tree, node, here, &weight);
                continue;
            };
            let middle =
                start + partition(here, self.data.column(split.feature), split.bin, &mut scratch.moved);
            let (left, right) = (tree.push(), tree.push());
            tree.split(
                node,
                split.feature,
                self.data.edge(split.feature, usize::from(split.bin)),
                left,
                right,
            );
            open.push(Open { start: middle, end, depth: depth + 1, node: right });
            open.push(Open { start, end: middle, depth: depth + 1, node: left });
        }
        tree
    }

    fn leaf(&self, tree: &mut Tree, node: usize, rows: &[u32], weight: &[f64]) {
        match &self.truth {
            Truth::Values(values) => {
                let (mut sum, mut total) = (0.0, 0.0);
                for &r in rows {
                    sum += weight[r as usize] * values[r as usize];
                    total += weight[r as usize];
                }
                tree.leaf(node, [(sum / total) as f32]);
            }
            Truth::Classes { codes, shares, .. } => {
                let mut votes: Vec<f64> = shares.iter().map(|s| s * self.smoothing).collect();
                for &r in rows {
                    votes[codes[r as usize] as usize] += weight[r as usize];
                }
                let total: f64 = votes.iter().sum();
                tree.leaf(node, votes.iter().map(|v| (v / total) as f32));
            }
            Truth::Parts { p, count, shares } => {
                let mut votes: Vec<f64> = shares.iter().map(|s| s * self.smoothing).collect();
                for &r in rows {
                    let own = &p[r as usize * count..(r as usize + 1) * count];
                    votes.iter_mut().zip(own).for_each(|(v, share)| *v += weight[r as usize] * share);
                }
                let total: f64 = votes.iter().sum();
                tree.leaf(node, votes.iter().map(|v| (v / total) as f32));
            }
        }
    }

    /// The best split among features drawn without replacement: `draws` of them, and more until one can be split.
    fn best(
        &self,
        rows: &[u32],
        weight: &[f64],
        features: &mut [usize],
        rng: &mut Rng,
        scratch: &mut Scratch,
    ) -> Option<Split> {
        scratch.weight.clear();
        scratch.weight.extend(rows.iter().map(|r| weight[*r as usize]));
        match &self.truth {
            Truth::Classes { codes, .. } => {
                scratch.class.clear();
                scratch.class.extend(rows.iter().map(|r| codes[*r as usize]));
                let first = scratch.class.first()?;
                if scratch.class.iter().all(|c| c == first) {
                    return None;
                }
            }
            Truth::Parts { p, count, .. } => {
                let of = |r: u32| &p[r as usize * count..(r as usize + 1) * count];
                let first = of(*rows.first()?);
                if rows.iter().all(|r| of(*r) == first) {
                    return None;
                }
            }
            Truth::Values(values) => {
                scratch.value.clear();
                scratch.value.extend(rows.iter().map(|r| values[*r as usize]));
                let first = scratch.value.first()?;
                if scratch.value.iter().all(|v| v == first) {
                    return None;
                }
            }
        }
        let mut best: Option<Split> = None;
        let total = features.len();
        for drawn in 0..total {
            if drawn >= self.draws && best.is_some() {
                break;
            }
            let pick = rng.random_range(drawn as u64..total as u64) as usize;
            features.swap(drawn, pick);
            let feature = features[drawn];
            if !order(rows, self.data.column(feature), scratch) {
                continue;
            }
            let found = match &self.truth {
                Truth::Classes { .. } => self.scan_classes(scratch),
                Truth::Parts { p, count, .. } => self.scan_parts(scratch, rows, p, *count),
                Truth::Values(_) => self.scan_values(scratch),
            };
            if let Some((bin, score)) = found
                && best.is_none_or(|b| score > b.score)
            {
                best = Some(Split { feature, bin, score });
            }
        }
        best
    }

    fn scan_classes(&self, s: &mut Scratch) -> Option<(u8, f64)> {
        s.left.fill(0.0);
        s.right.fill(0.0);
        for (&c, w) in s.class.iter().zip(&s.weight) {
            s.right[c as usize] += w;
        }
        let mut right: f64 = s.right.iter().sum();
        let (mut left, mut left_square) = (0.0, 0.0);
        let mut right_square: f64 = s.right.iter().map(|v| v * v).sum();
        let mut best: Option<(u8, f64)> = None;
        for (i, pair) in s.order.windows(2).enumerate() {
            let at = pair[0] as usize;
            let (c, w) = (s.class[at] as usize, s.weight[at]);
            left_square += w * (2.0 * s.left[c] + w);
            right_square += w * (w - 2.0 * s.right[c]);
            s.left[c] += w;
            s.right[c] -= w;
            left += w;
            right -= w;
            let bin = s.codes[at];
            if bin == s.codes[pair[1] as usize] || i + 1 < self.min_leaf {
                continue;
            }
            if s.order.len() - i - 1 < self.min_leaf || right <= 0.0 {
                break;
            }
            let score = left_square / left + right_square / right;
            if best.is_none_or(|(_, b)| score > b) {
                best = Some((bin, score));
            }
        }
        best
    }

    /// As [`Grower::scan_classes`], a row with a part of its weight in each class.
    fn scan_parts(&self, s: &mut Scratch, rows: &[u32], p: &[f64], count: usize) -> Option<(u8, f64)> {
        let of = |at: usize| &p[rows[at] as usize * count..(rows[at] as usize + 1) * count];
        s.left.fill(0.0);
        s.right.fill(0.0);
        for (at, w) in s.weight.iter().enumerate() {
            s.right.iter_mut().zip(of(at)).for_each(|(r, share)| *r += w * share);
        }
        let mut right: f64 = s.right.iter().sum();
        let (mut left, mut left_square) = (0.0, 0.0);
        let mut right_square: f64 = s.right.iter().map(|v| v * v).sum();
        let mut best: Option<(u8, f64)> = None;
        for (i, pair) in s.order.windows(2).enumerate() {
            let at = pair[0] as usize;
            for (c, share) in of(at).iter().enumerate() {
                let w = s.weight[at] * share;
                left_square += w * (2.0 * s.left[c] + w);
                right_square += w * (w - 2.0 * s.right[c]);
                s.left[c] += w;
                s.right[c] -= w;
            }
            left += s.weight[at];
            right -= s.weight[at];
            let bin = s.codes[at];
            if bin == s.codes[pair[1] as usize] || i + 1 < self.min_leaf {
                continue;
            }
            if s.order.len() - i - 1 < self.min_leaf || right <= 0.0 {
                break;
            }
            let score = left_square / left + right_square / right;
            if best.is_none_or(|(_, b)| score > b) {
                best = Some((bin, score));
            }
        }
        best
    }

    fn scan_values(&self, s: &mut Scratch) -> Option<(u8, f64)> {
        let (mut right, mut right_sum) = (0.0, 0.0);
        for (v, w) in s.value.iter().zip(&s.weight) {
            right += w;
            right_sum += w * v;
        }
        let (mut left, mut left_sum) = (0.0, 0.0);
        let mut best: Option<(u8, f64)> = None;
        for (i, pair) in s.order.windows(2).enumerate() {
            let at = pair[0] as usize;
            let (v, w) = (s.value[at], s.weight[at]);
            left += w;
            left_sum += w * v;
            right -= w;
            right_sum -= w * v;
            let bin = s.codes[at];
            if bin == s.codes[pair[1] as usize] || i + 1 < self.min_leaf {
                continue;
            }
            if s.order.len() - i - 1 < self.min_leaf || right <= 0.0 {
                break;
            }
            let score = left_sum * left_sum / left + right_sum * right_sum / right;
            if best.is_none_or(|(_, b)| score > b) {
                best = Some((bin, score));
            }
        }
        best
    }
}

/// Puts the node's rows, by position in the node, into `order` by their bin; false if all are in one bin.
fn order(rows: &[u32], column: &[u8], s: &mut Scratch) -> bool {
    s.codes.clear();
    s.codes.extend(rows.iter().map(|r| column[*r as usize]));
    let Some(&first) = s.codes.first() else { return false };
    if s.codes.iter().all(|c| *c == first) {
        return false;
    }
    s.order.clear();
    if rows.len() <= FEW {
        s.keys.clear();
        s.keys.extend(s.codes.iter().zip(0u32..).map(|(c, i)| (u32::from(*c) << 8) | i));
        s.keys.sort_unstable();
        s.order.extend(s.keys.iter().map(|k| k & 0xff));
        return true;
    }
    s.counts.fill(0);
    for &c in &s.codes {
        s.counts[usize::from(c) + 1] += 1;
    }
    for bin in 1..s.counts.len() {
        s.counts[bin] += s.counts[bin - 1];
    }
    s.order.resize(rows.len(), 0);
    for (&c, i) in s.codes.iter().zip(0u32..) {
        let to = &mut s.counts[usize::from(c)];
        s.order[*to as usize] = i;
        *to += 1;
    }
    true
}

/// Brings the rows with a bin of at most `bin` to the front, both sides in their order; how many these are.
pub(super) fn partition(rows: &mut [u32], column: &[u8], bin: u8, moved: &mut Vec<u32>) -> usize {
    moved.clear();
    let mut kept = 0;
    for i in 0..rows.len() {
        let row = rows[i];
        if column[row as usize] <= bin {
            rows[kept] = row;
            kept += 1;
        } else {
            moved.push(row);
        }
    }
    rows[kept..].copy_from_slice(moved);
    kept
}
