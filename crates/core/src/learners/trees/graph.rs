//! Fitted trees on a graph.

use super::flat::{LEAF, Trees};
use crate::error::{Error, Result};
use crate::model::graph::{Attribute, Element, Graph, Value};

impl Trees {
    /// The sums over trees, `float64 [rows, targets]`, of `x [rows, features]`. A leaf's numbers go to the targets from the
    /// first on, or, where leaves hold one number, those of each tree in turn to the next target.
    ///
    /// A row goes to the left where `x <= threshold`, both in 32 bits as they were fitted; ONNX compares them in 64 bits,
    /// which is the same comparison, and sums in 64 bits before it rounds to 32.
    pub(in crate::learners) fn graph(&self, graph: &mut Graph, x: &Value, targets: usize) -> Result<Value> {
        let count = self.feature.len();
        let mut nodes = Nodes::with_capacity(count);
        let mut leaves = Leaves::default();
        for tree in 0..self.count() {
            let (first, end) = (self.nodes[tree] as usize, self.nodes[tree + 1] as usize);
            for at in first..end {
                let node = (at - first) as i64;
                nodes.trees.push(tree as i64);
                nodes.places.push(node);
                if self.feature[at] != LEAF {
                    nodes.features.push(i64::from(self.feature[at]));
                    nodes.thresholds.push(self.threshold[at]);
                    nodes.modes.push("BRANCH_LEQ".to_owned());
                    nodes.left.push(i64::from(self.left[at]));
                    nodes.right.push(i64::from(self.right[at]));
                    continue;
                }
                nodes.features.push(0);
                nodes.thresholds.push(0.0);
                nodes.modes.push("LEAF".to_owned());
                nodes.left.push(0);
                nodes.right.push(0);
                let leaf = (self.starts[tree] + self.left[at]) as usize;
                let values = &self.values[leaf * self.outputs..(leaf + 1) * self.outputs];
                for (i, value) in values.iter().enumerate() {
                    leaves.trees.push(tree as i64);
                    leaves.places.push(node);
                    leaves.targets.push(if self.outputs == 1 { tree % targets } else { i } as i64);
                    leaves.values.push(*value);
                }
            }
        }
        if self.outputs != 1 && self.outputs != targets {
            return Err(Error::internal(format!("leaves of {} numbers for {targets} targets", self.outputs)));
        }
        let attributes = vec![
            ("n_targets", Attribute::Int(targets as i64)),
            ("nodes_treeids", Attribute::Ints(nodes.trees)),
            ("nodes_nodeids", Attribute::Ints(nodes.places)),
            ("nodes_featureids", Attribute::Ints(nodes.features)),
            ("nodes_values", Attribute::Floats(nodes.thresholds)),
            ("nodes_modes", Attribute::Texts(nodes.modes)),
            ("nodes_truenodeids", Attribute::Ints(nodes.left)),
            ("nodes_falsenodeids", Attribute::Ints(nodes.right)),
            ("target_treeids", Attribute::Ints(leaves.trees)),
            ("target_nodeids", Attribute::Ints(leaves.places)),
            ("target_ids", Attribute::Ints(leaves.targets)),
            ("target_weights", Attribute::Floats(leaves.values)),
        ];
        let x = graph.double(x);
        let sums = graph.node("TreeEnsembleRegressor", &[&x], attributes, Element::F32);
        Ok(graph.double(&sums))
    }
}

/// The nodes of all trees, one entry a node.
struct Nodes {
    trees: Vec<i64>,
    places: Vec<i64>,
    features: Vec<i64>,
    thresholds: Vec<f32>,
    modes: Vec<String>,
    left: Vec<i64>,
    right: Vec<i64>,
}

impl Nodes {
    fn with_capacity(count: usize) -> Self {
        let ints = || Vec::with_capacity(count);
        Self {
            trees: ints(),
            places: ints(),
            features: ints(),
            thresholds: Vec::with_capacity(count),
            modes: Vec::with_capacity(count),
            left: ints(),
            right: ints(),
        }
    }
}

/// The numbers of all leaves, one entry a number.
#[derive(Default)]
struct Leaves {
    trees: Vec<i64>,
    places: Vec<i64>,
    targets: Vec<i64>,
    values: Vec<f32>,
}
