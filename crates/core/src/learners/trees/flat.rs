//! Fitted trees as plain arrays.

use ndarray::ArrayView1;

use crate::error::{Error, Result};
use crate::model::{Array, Parts};

/// The feature of a node that is a leaf.
pub(super) const LEAF: u32 = u32::MAX;

/// One growing tree. Node 0 is the root; children come after their parent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::learners) struct Tree {
    feature: Vec<u32>,
    threshold: Vec<f32>,
    left: Vec<u32>,
    right: Vec<u32>,
    /// `outputs` numbers a leaf, in the order in which leaves were made.
    values: Vec<f32>,
    leaves: u32,
}

impl Tree {
    /// Adds a node without content and says where it is.
    pub(in crate::learners) fn push(&mut self) -> usize {
        self.feature.push(LEAF);
        self.threshold.push(0.0);
        self.left.push(0);
        self.right.push(0);
        self.feature.len() - 1
    }

    /// Makes a node a split: rows with `x[feature] <= threshold` go left.
    pub(in crate::learners) fn split(
        &mut self,
        node: usize,
        feature: usize,
        threshold: f32,
        left: usize,
        right: usize,
    ) {
        self.feature[node] = feature as u32;
        self.threshold[node] = threshold;
        self.left[node] = left as u32;
        self.right[node] = right as u32;
    }

    /// Makes a node a leaf that says `values`.
    pub(in crate::learners) fn leaf(&mut self, node: usize, values: impl IntoIterator<Item = f32>) {
        self.left[node] = self.leaves;
        self.right[node] = self.leaves;
        self.values.extend(values);
        self.leaves += 1;
    }
}

impl Tree {
    /// The leaf's values for a row, of a tree with `outputs` numbers a leaf.
    pub(in crate::learners) fn value(&self, row: ArrayView1<'_, f32>, outputs: usize) -> &[f32] {
        let mut node = 0;
        while self.feature[node] != LEAF {
            let goes_left = row[self.feature[node] as usize] <= self.threshold[node];
            node = if goes_left { self.left[node] } else { self.right[node] } as usize;
        }
        let leaf = self.left[node] as usize;
        &self.values[leaf * outputs..(leaf + 1) * outputs]
    }
}

/// Fitted trees, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::learners) struct Trees {
    pub(super) width: usize,
    pub(super) outputs: usize,
    /// Where each tree's nodes and leaves start; one entry more than trees.
    pub(super) nodes: Vec<u32>,
    pub(super) starts: Vec<u32>,
    pub(super) feature: Vec<u32>,
    pub(super) threshold: Vec<f32>,
    pub(super) left: Vec<u32>,
    pub(super) right: Vec<u32>,
    pub(super) values: Vec<f32>,
}

impl Trees {
    /// Puts trees on `width` features with `outputs` numbers a leaf one after the other.
    ///
    /// # Errors
    /// [`Error::Data`] if they have more than 2^32 nodes.
    pub(in crate::learners) fn new(width: usize, outputs: usize, trees: Vec<Tree>) -> Result<Self> {
        let mut all = Self { width, outputs, nodes: vec![0], starts: vec![0], ..Self::default() };
        for tree in trees {
            all.feature.extend(tree.feature);
            all.threshold.extend(tree.threshold);
            all.left.extend(tree.left);
            all.right.extend(tree.right);
            all.values.extend(tree.values);
            let ends = (u32::try_from(all.feature.len()), u32::try_from(all.values.len() / outputs.max(1)));
            let (Ok(nodes), Ok(leaves)) = ends else {
                return Err(
                    Error::data("the trees have more than 4,294,967,295 nodes").remedy("fit fewer trees")
                );
            };
            all.nodes.push(nodes);
            all.starts.push(leaves);
        }
        Ok(all)
    }

    pub(in crate::learners) fn count(&self) -> usize {
        self.nodes.len() - 1
    }

    pub(in crate::learners) fn width(&self) -> usize {
        self.width
    }

    pub(in crate::learners) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Thresholds and leaf values.
    pub(in crate::learners) fn parameters(&self) -> u64 {
        (self.feature.iter().filter(|f| **f != LEAF).count() + self.values.len()) as u64
    }

    /// What tree `tree` says of a row of `width` features.
    pub(in crate::learners) fn value(&self, tree: usize, row: ArrayView1<'_, f32>) -> &[f32] {
        let first = self.nodes[tree] as usize;
        let mut node = first;
        while self.feature[node] != LEAF {
            let goes_left = row[self.feature[node] as usize] <= self.threshold[node];
            node = first + if goes_left { self.left[node] } else { self.right[node] } as usize;
        }
        let leaf = (self.starts[tree] + self.left[node]) as usize;
        &self.values[leaf * self.outputs..(leaf + 1) * self.outputs]
    }

    /// Adds the arrays to parts.
    pub(in crate::learners) fn save(&self, parts: Parts) -> Parts {
        let leaves = self.values.len() / self.outputs.max(1);
        parts
            .with_u32("nodes", &self.nodes)
            .with_u32("starts", &self.starts)
            .with_u32("feature", &self.feature)
            .with_f32("threshold", &self.threshold)
            .with_u32("left", &self.left)
            .with_u32("right", &self.right)
            .with("values", Array::F32(vec![leaves, self.outputs], self.values.clone()))
    }

    /// Reads the arrays from parts and checks that every walk from a root ends in a leaf.
    ///
    /// # Errors
    /// [`Error::Model`] if they are damaged.
    pub(in crate::learners) fn load(parts: &Parts, width: usize, outputs: usize) -> Result<Self> {
        let trees = Self {
            width,
            outputs,
            nodes: parts.u32("nodes")?.to_vec(),
            starts: parts.u32("starts")?.to_vec(),
            feature: parts.u32("feature")?.to_vec(),
            threshold: parts.f32("threshold")?.1.to_vec(),
            left: parts.u32("left")?.to_vec(),
            right: parts.u32("right")?.to_vec(),
            values: parts.f32("values")?.1.to_vec(),
        };
        if trees.sound() {
            return Ok(trees);
        }
        Err(Error::model(format!("the saved trees of \"{}\" are damaged", parts.kind))
            .remedy("fit the model again"))
    }

    fn sound(&self) -> bool {
        let count = self.feature.len();
        let lengths = [self.threshold.len(), self.left.len(), self.right.len()];
        let leaves = self.starts.last().map_or(0, |s| *s as usize);
        if lengths.iter().any(|l| *l != count)
            || self.nodes.first() != Some(&0)
            || self.starts.first() != Some(&0)
            || self.nodes.last().map(|n| *n as usize) != Some(count)
            || self.nodes.len() != self.starts.len()
            || leaves.checked_mul(self.outputs) != Some(self.values.len())
        {
            return false;
        }
        let mut pairs = self.nodes.windows(2).zip(self.starts.windows(2));
        pairs.all(|(n, s)| {
            let (first, end) = (n[0] as usize, n[1] as usize);
            // Children come after their parent, so no walk goes round in circles.
            first < end
                && s[0] <= s[1]
                && end <= count
                && (first..end).all(|node| {
                    let (left, right) = (self.left[node] as usize, self.right[node] as usize);
                    if self.feature[node] == LEAF {
                        return self.left[node] < s[1] - s[0];
                    }
                    let here = node - first;
                    (self.feature[node] as usize) < self.width
                        && left > here
                        && right > here
                        && first + left < end
                        && first + right < end
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use serde_json::Value;

    fn stump() -> Trees {
        let mut tree = Tree::default();
        let root = tree.push();
        let (left, right) = (tree.push(), tree.push());
        tree.split(root, 1, 0.5, left, right);
        tree.leaf(left, [1.0, 0.0]);
        tree.leaf(right, [0.0, 1.0]);
        let mut single = Tree::default();
        let root = single.push();
        single.leaf(root, [0.5, 0.5]);
        Trees::new(2, 2, vec![tree, single]).unwrap()
    }

    #[test]
    fn walks_end_in_the_right_leaf() {
        let trees = stump();
        assert_eq!((trees.count(), trees.parameters()), (2, 7));
        assert_eq!(trees.value(0, array![9.0, 0.5].view()), [1.0, 0.0]);
        assert_eq!(trees.value(0, array![0.0, 0.6].view()), [0.0, 1.0]);
        assert_eq!(trees.value(1, array![0.0, 0.6].view()), [0.5, 0.5]);
    }

    #[test]
    fn arrays_come_back_and_damaged_ones_are_refused() {
        let parts = stump().save(Parts::new("t", Value::Null));
        assert_eq!(Trees::load(&parts, 2, 2).unwrap(), stump());
        assert!(Trees::load(&parts, 1, 2).is_err(), "a feature out of range");
        assert!(Trees::load(&parts, 2, 3).is_err(), "values of another width");
        for (name, bad) in [
            ("left", vec![0u32, 0, 1, 0]),
            ("left", vec![1, 2, 1, 0]),
            ("right", vec![7, 0, 1, 0]),
            ("nodes", vec![0, 3]),
            ("nodes", vec![0, 5, 4]),
            ("starts", vec![0, 3, 2]),
            ("feature", vec![1, LEAF]),
        ] {
            let damaged = parts.clone().with_u32(name, &bad);
            assert!(Trees::load(&damaged, 2, 2).is_err(), "{name} {bad:?}");
        }
    }
}
