//! Merges that are chosen: greedy soup, and all combinations of some values.

use consilience_core::Result;
use consilience_core::registry::Method;
use consilience_merge::{BaseNeed, Linear, MergeMethod, Needs, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// So many combinations of values are tried at most.
pub const MOST_TRIES: usize = 200;

/// The plain average of those members that are the better for it. Members come in the order of their honest scores by `judge.choose`, best
/// first; each joins the average if the average does not get worse by it.
///
/// What is said here of members holds for a run, which has rows to choose by; of given members this is their plain average.
///
/// # Reference
/// Wortsman and others, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
/// increasing inference time", ICML 2022.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GreedySoup {}

impl Method for GreedySoup {
    const NAME: &'static str = "greedy_soup";
    const ABOUT: &'static str = "Average of those networks that make it no worse on honest rows";
}

impl MergeMethod for GreedySoup {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Unknown, least: 1, most: None }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        Linear::default().merge(work)
    }
}

/// The members of a greedy soup, ascending. `score` scores the average of some members, `better` says whether the first of two scores
/// is the better one.
///
/// # Errors
/// Those of `score`.
pub fn greedy(
    members: usize,
    better: impl Fn(f64, f64) -> bool,
    mut score: impl FnMut(&[usize]) -> Result<f64>,
) -> Result<Vec<usize>> {
    let mut alone = Vec::with_capacity(members);
    for i in 0..members {
        alone.push((i, score(&[i])?));
    }
    alone.sort_by(|(_, a), (_, b)| match (better(*a, *b), better(*b, *a)) {
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        _ => std::cmp::Ordering::Equal,
    });
    let mut soup: Vec<usize> = Vec::new();
    let mut reached = None;
    for (i, own) in alone {
        let mut larger = soup.clone();
        larger.push(i);
        larger.sort_unstable();
        let score = if soup.is_empty() { own } else { score(&larger)? };
        if reached.is_none_or(|r| !better(r, score)) {
            (soup, reached) = (larger, Some(score));
        }
    }
    Ok(soup)
}

/// All combinations of so many values each, the last changing fastest; one of none.
pub fn combinations(counts: &[usize]) -> Vec<Vec<usize>> {
    counts.iter().fold(vec![Vec::new()], |all, count| {
        let longer = |one: Vec<usize>| (0..*count).map(move |i| [one.as_slice(), &[i]].concat());
        all.into_iter().flat_map(longer).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_it_worse_stays_out_and_who_changes_nothing_comes_in() {
        // The scores of members, and of the averages that are asked for.
        let scores = |soup: &[usize]| -> f64 {
            match soup {
                [0] => 0.7,
                [1] => 0.9,
                [2] => 0.8,
                [3] => 0.6,
                [1, 2] => 0.9,
                [0, 1, 2] => 0.85,
                [1, 2, 3] => 0.95,
                other => panic!("{other:?}"),
            }
        };
        let mut asked = 0;
        let soup = greedy(
            4,
            |a, b| a > b,
            |soup| {
                asked += 1;
                Ok(scores(soup))
            },
        );
        assert_eq!((soup.unwrap(), asked), (vec![1, 2, 3], 7));
        // By a loss, of which less is better; of equals the first comes first.
        let soup = greedy(3, |a, b| a < b, |soup| Ok(if soup.len() == 1 { 1.0 } else { 1.5 }));
        assert_eq!(soup.unwrap(), [0]);
    }

    #[test]
    fn combinations_are_all_of_them_in_order() {
        assert_eq!(combinations(&[]), [Vec::<usize>::new()]);
        assert_eq!(combinations(&[2, 2]), [[0, 0], [0, 1], [1, 0], [1, 1]]);
        assert!(combinations(&[2, 0]).is_empty());
    }
}
