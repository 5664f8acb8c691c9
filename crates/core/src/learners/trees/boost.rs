//! Growing one tree of a boosting: second-order, the leaf that gains most is split first.

use rayon::prelude::*;

use super::bins::Binned;
use super::flat::Tree;
use super::forest::partition;

/// Below this many cells of work a node is done on one thread; the result is the same.
const PARALLEL: usize = 50_000;

/// How a tree is grown from the first and second derivatives of the loss, `g` and `h` of each row.
///
/// A leaf says `-rate * G / (H + l2)` with the sums `G`, `H` of its rows; a split gains
/// `GL^2 / (HL + l2) + GR^2 / (HR + l2) - G^2 / (H + l2)`.
pub(in crate::learners) struct Booster<'a> {
    pub(in crate::learners) data: &'a Binned,
    pub(in crate::learners) rate: f64,
    pub(in crate::learners) max_leaves: usize,
    pub(in crate::learners) max_depth: usize,
    pub(in crate::learners) min_leaf: usize,
    pub(in crate::learners) min_hessian: f64,
    pub(in crate::learners) l2: f64,
}

/// Sums over the rows in a bin.
#[derive(Clone, Copy, Default)]
struct Cell {
    g: f64,
    h: f64,
    rows: u32,
}

impl Cell {
    fn add(&mut self, other: Self) {
        self.g += other.g;
        self.h += other.h;
        self.rows += other.rows;
    }

    fn minus(self, other: Self) -> Self {
        Self { g: self.g - other.g, h: (self.h - other.h).max(0.0), rows: self.rows - other.rows }
    }
}

/// A split after bin `bin` of a feature; `left` are the sums of its left side.
#[derive(Clone, Copy)]
struct Split {
    feature: usize,
    bin: usize,
    gain: f64,
    left: Cell,
}

/// A leaf that may yet be split.
struct Open {
    start: usize,
    end: usize,
    depth: usize,
    node: usize,
    sums: Cell,
    split: Option<Split>,
    /// A histogram for each of the tree's features.
    cells: Vec<Vec<Cell>>,
}

impl Booster<'_> {
    /// Grows a tree on `rows`, among `features`.
    pub(in crate::learners) fn grow(
        &self,
        mut rows: Vec<u32>,
        features: &[usize],
        gradient: &[f32],
        hessian: &[f32],
    ) -> Tree {
        let mut tree = Tree::default();
        let mut moved = Vec::new();
        let mut leaves = vec![self.root(&rows, features, gradient, hessian, tree.push())];
        while leaves.len() < self.max_leaves {
            let mut best: Option<(usize, f64)> = None;
            for (i, leaf) in leaves.iter().enumerate() {
                if let Some(split) = leaf.split
                    && best.is_none_or(|(_, gain)| split.gain > gain)
                {
                    best = Some((i, split.gain));
                }
            }
            let Some((at, _)) = best else { break };
            let parent = leaves.remove(at);
            let Some(split) = parent.split else { break };
            let here = &mut rows[parent.start..parent.end];
            let column = self.data.column(split.feature);
            let middle = parent.start + partition(here, column, split.bin as u8, &mut moved);
            let (left, right) = (tree.push(), tree.push());
            tree.split(parent.node, split.feature, self.data.edge(split.feature, split.bin), left, right);
            let mut first = Open {
                start: parent.start,
                end: middle,
                depth: parent.depth + 1,
                node: left,
                sums: split.left,
                split: None,
                cells: Vec::new(),
            };
            let mut second = Open {
                start: middle,
                end: parent.end,
                depth: parent.depth + 1,
                node: right,
                sums: parent.sums.minus(split.left),
                split: None,
                cells: Vec::new(),
            };
            if leaves.len() + 2 < self.max_leaves && first.depth < self.max_depth {
                let (small, large) = if first.end - first.start <= second.end - second.start {
                    (&mut first, &mut second)
                } else {
                    (&mut second, &mut first)
                };
                let sides = Sides { small, large, cells: parent.cells };
                self.children(sides, &rows, features, gradient, hessian);
            }
            leaves.push(first);
            leaves.push(second);
        }
        leaves.sort_unstable_by_key(|l| l.node);
        for leaf in leaves {
            let value = -self.rate * leaf.sums.g / (leaf.sums.h + self.l2).max(f64::MIN_POSITIVE);
            tree.leaf(leaf.node, [value as f32]);
        }
        tree
    }

    fn root(&self, rows: &[u32], features: &[usize], gradient: &[f32], hessian: &[f32], node: usize) -> Open {
        let pairs = gather(rows, gradient, hessian);
        let mut sums = Cell { rows: rows.len() as u32, ..Cell::default() };
        for (g, h) in &pairs {
            sums.g += f64::from(*g);
            sums.h += f64::from(*h);
        }
        let one = |&f: &usize| {
            let cells = self.histogram(f, rows, &pairs);
            let split = self.scan(f, &cells, sums);
            (cells, split)
        };
        let found: Vec<(Vec<Cell>, Option<Split>)> = if rows.len() * features.len() >= PARALLEL {
            features.par_iter().map(one).collect()
        } else {
            features.iter().map(one).collect()
        };
        let splittable = self.max_leaves > 1 && self.max_depth > 0;
        let split = best(found.iter().map(|f| f.1)).filter(|_| splittable);
        let cells = found.into_iter().map(|f| f.0).collect();
        Open { start: 0, end: rows.len(), depth: 0, node, sums, split, cells }
    }

    /// Histograms and splits of two new leaves: the smaller one is counted, the larger one is what is left.
    fn children(
        &self,
        sides: Sides<'_>,
        rows: &[u32],
        features: &[usize],
        gradient: &[f32],
        hessian: &[f32],
    ) {
        let Sides { small, large, cells } = sides;
        let few = &rows[small.start..small.end];
        let pairs = gather(few, gradient, hessian);
        let (small_sums, large_sums) = (small.sums, large.sums);
        let one = |(&f, mut rest): (&usize, Vec<Cell>)| {
            let counted = self.histogram(f, few, &pairs);
            for (r, c) in rest.iter_mut().zip(&counted) {
                *r = r.minus(*c);
            }
            let splits = (self.scan(f, &counted, small_sums), self.scan(f, &rest, large_sums));
            (counted, rest, splits)
        };
        let found: Vec<_> = if few.len() * features.len() >= PARALLEL {
            features.par_iter().zip(cells).map(one).collect()
        } else {
            features.iter().zip(cells).map(one).collect()
        };
        small.split = best(found.iter().map(|f| f.2.0));
        large.split = best(found.iter().map(|f| f.2.1));
        for (counted, rest, _) in found {
            small.cells.push(counted);
            large.cells.push(rest);
        }
    }

    fn histogram(&self, feature: usize, rows: &[u32], pairs: &[(f32, f32)]) -> Vec<Cell> {
        let column = self.data.column(feature);
        let mut cells = vec![Cell::default(); self.data.bins(feature)];
        for (&row, &(g, h)) in rows.iter().zip(pairs) {
            let cell = &mut cells[usize::from(column[row as usize])];
            cell.g += f64::from(g);
            cell.h += f64::from(h);
            cell.rows += 1;
        }
        cells
    }

    fn scan(&self, feature: usize, cells: &[Cell], sums: Cell) -> Option<Split> {
        let score = |c: Cell| c.g * c.g / (c.h + self.l2).max(f64::MIN_POSITIVE);
        let fits = |c: Cell| c.rows as usize >= self.min_leaf && c.h >= self.min_hessian;
        let whole = score(sums);
        let mut left = Cell::default();
        let mut best: Option<Split> = None;
        for (bin, cell) in cells.iter().enumerate().take(cells.len().saturating_sub(1)) {
            left.add(*cell);
            if cell.rows == 0 || !fits(left) {
                continue;
            }
            let right = sums.minus(left);
            if !fits(right) {
                break;
            }
            let gain = score(left) + score(right) - whole;
            if gain > whole.abs() * 1e-12 && best.is_none_or(|b| gain > b.gain) {
                best = Some(Split { feature, bin, gain, left });
            }
        }
        best
    }
}

/// Two new leaves, and the histograms of their parent.
struct Sides<'a> {
    small: &'a mut Open,
    large: &'a mut Open,
    cells: Vec<Vec<Cell>>,
}

/// The largest gain, the first on a tie.
fn best(splits: impl Iterator<Item = Option<Split>>) -> Option<Split> {
    let mut best: Option<Split> = None;
    for split in splits.flatten() {
        if best.is_none_or(|b| split.gain > b.gain) {
            best = Some(split);
        }
    }
    best
}

fn gather(rows: &[u32], gradient: &[f32], hessian: &[f32]) -> Vec<(f32, f32)> {
    rows.iter().map(|r| (gradient[*r as usize], hessian[*r as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stop;
    use ndarray::{Array2, array};

    fn grow(x: &Array2<f32>, y: &[f32], booster: impl Fn(&Binned) -> Tree) -> Vec<f32> {
        let data = Binned::new(x.view(), 255, &Stop::default()).unwrap();
        let tree = booster(&data);
        assert_eq!(y.len(), x.nrows());
        x.rows().into_iter().map(|r| tree.value(r, 1)[0]).collect()
    }

    #[test]
    fn leaves_hold_the_regularised_means() {
        let x = array![[0.0f32], [0.0], [1.0], [1.0], [2.0]];
        let y = [1.0f32, 3.0, 10.0, 12.0, 30.0];
        let gradient: Vec<f32> = y.iter().map(|v| -v).collect();
        let said = grow(&x, &y, |data| {
            let b = Booster {
                data,
                rate: 1.0,
                max_leaves: 3,
                max_depth: 9,
                min_leaf: 1,
                min_hessian: 0.0,
                l2: 0.5,
            };
            b.grow(vec![0, 1, 2, 3, 4], &[0], &gradient, &[1.0; 5])
        });
        let want = [1.6f32, 1.6, 8.8, 8.8, 20.0];
        assert!(said.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{said:?}");
    }

    #[test]
    fn limits_are_kept() {
        let x = Array2::from_shape_fn((64, 1), |(r, _)| r as f32);
        let y: Vec<f32> = (0..64).map(|r| (r * r) as f32).collect();
        let gradient: Vec<f32> = y.iter().map(|v| -v).collect();
        for (max_leaves, max_depth, min_leaf, want) in
            [(5, 99, 1, 5), (99, 2, 1, 4), (99, 99, 20, 3), (1, 9, 1, 1)]
        {
            let mut said = grow(&x, &y, |data| {
                let b =
                    Booster { data, rate: 1.0, max_leaves, max_depth, min_leaf, min_hessian: 0.0, l2: 0.0 };
                b.grow((0..64).collect(), &[0], &gradient, &[1.0; 64])
            });
            said.dedup();
            assert_eq!(said.len(), want, "{max_leaves} {max_depth} {min_leaf}");
        }
    }
}
