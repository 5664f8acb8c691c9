//! Forests and boosted trees.

use std::collections::BTreeMap;

use consilience_core::Result;

use super::attributes::{Attributes, Finish, logistic};
use super::{Operator, Table};

/// How a node chooses.
#[derive(Debug, Clone, Copy)]
enum Test {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
}

/// A node: a test with two ways, or a leaf with weights.
#[derive(Debug, Clone)]
enum Tree {
    Branch { test: Test, column: usize, value: f64, nan: bool, yes: usize, no: usize },
    Leaf(Vec<(usize, f64)>),
}

/// How the trees of a model become one score each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sum {
    Sum,
    Mean,
}

struct Ensemble {
    nodes: Vec<Tree>,
    roots: Vec<usize>,
    /// The largest column that a node asks for, and one.
    columns: usize,
    scores: usize,
    base: Vec<f64>,
    sum: Sum,
    /// One score that stands for two classes: whether it is a probability.
    doubled: Option<bool>,
    finish: Finish,
}

pub(super) fn regressor(attributes: &Attributes<'_>) -> Result<Box<dyn Operator>> {
    if attributes.int("n_targets")?.unwrap_or(1) != 1 {
        return Err(attributes.refuse("it predicts several values").expected("one"));
    }
    let sum = match attributes.text("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => Sum::Sum,
        "AVERAGE" => Sum::Mean,
        other => {
            return Err(
                attributes.refuse(format!("trees that are put together by {other} are not supported"))
            );
        }
    };
    let mut ensemble = Ensemble::read(attributes, "target", 1)?;
    ensemble.sum = sum;
    Ok(Box::new(ensemble))
}

pub(super) fn classifier(attributes: &Attributes<'_>) -> Result<Box<dyn Operator>> {
    let classes = attributes.classes()?;
    let mut ensemble = Ensemble::read(attributes, "class", classes)?;
    let ids = attributes.ints("class_ids")?;
    if classes == 2 && ids.iter().all(|id| Some(id) == ids.first()) {
        // All weights are of one class; the other is what is left.
        if ids.first() != Some(&0) || ensemble.base.len() > 1 {
            return Err(attributes.refuse("its weights are all of the second class, which is not supported"));
        }
        ensemble.scores = 1;
        ensemble.doubled = Some(attributes.floats("class_weights")?.iter().all(|w| *w >= 0.0));
    }
    Ok(Box::new(ensemble))
}

impl Ensemble {
    fn read(attributes: &Attributes<'_>, what: &str, scores: usize) -> Result<Self> {
        let trees = attributes.indices("nodes_treeids")?;
        let ids = attributes.indices("nodes_nodeids")?;
        let columns = attributes.indices("nodes_featureids")?;
        let values = attributes.floats("nodes_values")?;
        let modes = attributes.texts("nodes_modes")?;
        let yes = attributes.indices("nodes_truenodeids")?;
        let no = attributes.indices("nodes_falsenodeids")?;
        let nan = attributes.ints("nodes_missing_value_tracks_true")?;
        let count = trees.len();
        if [ids.len(), columns.len(), values.len(), modes.len(), yes.len(), no.len()]
            .iter()
            .any(|n| *n != count)
            || !(nan.is_empty() || nan.len() == count)
        {
            return Err(attributes.refuse("its lists of nodes differ in length"));
        }
        let places: BTreeMap<(usize, usize), usize> =
            trees.iter().copied().zip(ids.iter().copied()).enumerate().map(|(i, key)| (key, i)).collect();
        let place = |tree: usize, node: usize| {
            places
                .get(&(tree, node))
                .copied()
                .ok_or_else(|| attributes.refuse(format!("tree {tree} has no node {node}")))
        };
        let mut nodes = Vec::with_capacity(count);
        let mut parents = vec![0usize; count];
        let all = trees.iter().zip(&columns).zip(&values).zip(&modes).zip(&yes).zip(&no).enumerate();
        for (i, (((((tree, column), value), mode), yes), no)) in all {
            let test = match *mode {
                "LEAF" => {
                    nodes.push(Tree::Leaf(Vec::new()));
                    continue;
                }
                "BRANCH_LEQ" => Test::AtMost,
                "BRANCH_LT" => Test::Below,
                "BRANCH_GTE" => Test::AtLeast,
                "BRANCH_GT" => Test::Above,
                "BRANCH_EQ" => Test::Equal,
                "BRANCH_NEQ" => Test::Unequal,
                other => {
                    return Err(attributes.refuse(format!("nodes of the mode {other} are not supported")));
                }
            };
            let (yes, no) = (place(*tree, *yes)?, place(*tree, *no)?);
            [yes, no].into_iter().filter_map(|n| parents.get_mut(n).map(|p| *p += 1)).count();
            let nan = nan.get(i).is_some_and(|n| *n != 0);
            nodes.push(Tree::Branch { test, column: *column, value: *value, nan, yes, no });
        }
        // With one parent each, no walk from a root can come back to where it was.
        if parents.iter().any(|p| *p > 1) || places.len() != count {
            return Err(attributes.refuse("its nodes are no trees"));
        }
        let roots: Vec<usize> =
            parents.iter().enumerate().filter(|(_, p)| **p == 0).map(|(i, _)| i).collect();
        let key = |part: &str| format!("{what}_{part}");
        let (in_trees, in_nodes) =
            (attributes.indices(&key("treeids"))?, attributes.indices(&key("nodeids"))?);
        let (of, weights) = (attributes.indices(&key("ids"))?, attributes.floats(&key("weights"))?);
        if [in_nodes.len(), of.len(), weights.len()].iter().any(|n| *n != in_trees.len()) {
            return Err(attributes.refuse("its lists of weights differ in length"));
        }
        for (((tree, node), score), weight) in in_trees.iter().zip(&in_nodes).zip(&of).zip(&weights) {
            if *score >= scores {
                return Err(attributes.refuse(format!("it weighs class {score} of {scores}")));
            }
            if let Some(Tree::Leaf(leaf)) = nodes.get_mut(place(*tree, *node)?) {
                leaf.push((*score, *weight));
            }
        }
        let base = attributes.floats("base_values")?;
        let finish = attributes.finish()?;
        let columns = columns.iter().max().map_or(0, |c| c + 1);
        if base.len() > scores {
            return Err(attributes.refuse("it has more base values than scores"));
        }
        Ok(Self { nodes, roots, columns, scores, base, sum: Sum::Sum, doubled: None, finish })
    }

    /// The leaf of a row in one tree.
    fn leaf(&self, root: usize, row: &[f64]) -> &[(usize, f64)] {
        let mut at = root;
        loop {
            match self.nodes.get(at) {
                Some(Tree::Leaf(weights)) => return weights,
                Some(Tree::Branch { test, column, value, nan, yes, no }) => {
                    let x = row.get(*column).copied().unwrap_or(f64::NAN);
                    let holds = match test {
                        Test::AtMost => x <= *value,
                        Test::Below => x < *value,
                        Test::AtLeast => x >= *value,
                        Test::Above => x > *value,
                        Test::Equal => x == *value,
                        Test::Unequal => x != *value,
                    };
                    at = if holds || (*nan && x.is_nan()) { *yes } else { *no };
                }
                None => return &[],
            }
        }
    }
}

impl Operator for Ensemble {
    fn run(&self, input: &Table) -> Result<Table> {
        if input.width < self.columns {
            input.wide_as(self.columns, "TreeEnsemble")?;
        }
        let width = if self.doubled.is_some() { 2 } else { self.scores };
        let mut data = Vec::with_capacity(input.rows() * width);
        for row in input.data.chunks(input.width.max(1)) {
            let mut scores = vec![0.0; self.scores];
            for root in &self.roots {
                for (score, weight) in self.leaf(*root, row) {
                    if let Some(s) = scores.get_mut(*score) {
                        *s += weight;
                    }
                }
            }
            if self.sum == Sum::Mean {
                scores.iter_mut().for_each(|s| *s /= self.roots.len().max(1) as f64);
            }
            scores.iter_mut().zip(&self.base).for_each(|(s, b)| *s += b);
            match (self.doubled, scores.as_slice()) {
                (Some(true), [p]) => data.extend([1.0 - p, *p]),
                (Some(false), [s]) if self.finish == Finish::Logistic => {
                    data.extend([logistic(-s), logistic(*s)])
                }
                (Some(false), [s]) => data.extend([-s, *s]),
                _ => {
                    self.finish.apply(&mut scores);
                    data.extend(scores);
                }
            }
        }
        Ok(Table { width, data })
    }
}
