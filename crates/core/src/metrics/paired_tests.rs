//! The classical tests of two models, where their conditions hold.

use serde::{Deserialize, Serialize};

use super::corrected_t::{CorrectedT, corrected_t_over_folds};
use super::delong::{Delong, delong};
use super::mcnemar::{McNemar, mcnemar};
use super::metric::Metric;
use crate::error::Result;
use crate::model::{Predictions, Target};

/// Tests of two models on the same rows, beside the bootstrap interval that decides. A test that does not suit is left
/// out, and `left_out` says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedTests {
    /// Of the areas under the ROC curve: two classes, without groups or weights.
    pub delong: Option<Delong>,
    /// Of the accuracies: classes, without groups or weights.
    pub mcnemar: Option<McNemar>,
    /// Of the metric over the folds, where there are two at least.
    pub corrected_t: Option<CorrectedT>,
    /// Why tests are not there.
    pub left_out: Vec<String>,
}

/// Runs the tests whose conditions hold: [`delong`] and [`mcnemar`] take rows as independent and count each once, so that
/// they are left out where rows have groups or weights; [`corrected_t_over_folds`] takes folds as they are.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) if rows or classes differ.
pub fn paired_tests(
    metric: &dyn Metric,
    target: &Target,
    [candidate, reference]: [&Predictions; 2],
    fold: Option<&[u32]>,
    group: Option<&[u64]>,
    weight: Option<&[f32]>,
    level: f64,
) -> Result<PairedTests> {
    super::row_loss::matches(target, candidate)?;
    super::row_loss::matches(target, reference)?;
    let mut left_out = Vec::new();
    let mut keep = |name: &str, why: String| left_out.push(format!("{name}: {why}"));
    let (mut area, mut right, mut over_folds) = (None, None, None);
    let classes = target.task().classes().map(|c| c.count());
    if classes.is_some() && (group.is_some() || weight.is_some()) {
        let what = if group.is_some() { "rows have groups" } else { "rows have weights" };
        keep("DeLong, McNemar", format!("{what}, and these tests take rows as independent and equal"));
    } else if let Some(classes) = classes {
        match mcnemar(target, candidate, reference) {
            Ok(test) => right = Some(test),
            Err(e) => keep("McNemar", e.to_string()),
        }
        if classes == 2 {
            match delong(target, candidate, reference, level) {
                Ok(test) => area = Some(test),
                Err(e) => keep("DeLong", e.to_string()),
            }
        }
    }
    if let Some(fold) = fold.filter(|f| f.iter().any(|x| Some(x) != f.first())) {
        match corrected_t_over_folds(metric, target, candidate, reference, fold, weight, level) {
            Ok(test) => over_folds = Some(test),
            Err(e) => keep("corrected t", e.to_string()),
        }
    }
    Ok(PairedTests { delong: area, mcnemar: right, corrected_t: over_folds, left_out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Matrix;
    use crate::metrics::{LogLoss, Rmse};
    use crate::model::{Classes, Mask};

    #[test]
    fn tests_run_where_their_conditions_hold() {
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let codes: Vec<u32> = (0..60).map(|r| u32::from(r * 7 % 5 < 2)).collect();
        let target = Target::Classes { classes: classes.clone(), codes: codes.clone() };
        let said = |step: usize| {
            let p = |r: usize| 0.2 + 0.3 * codes[r] as f32 + (r * step % 11) as f32 / 25.0;
            let p = Matrix::from_shape_fn((60, 2), |(r, k)| if k == 1 { p(r) } else { 1.0 - p(r) });
            Predictions::probabilities((0..60).collect(), classes.clone(), p, Mask::none(60)).unwrap()
        };
        let (a, b) = (said(3), said(5));
        let fold: Vec<u32> = (0..60).map(|r| r % 4).collect();
        let group: Vec<u64> = (0..60).map(|r| r % 20).collect();
        let run = |group: Option<&[u64]>, weight: Option<&[f32]>, fold: Option<&[u32]>| {
            paired_tests(&LogLoss, &target, [&a, &b], fold, group, weight, 0.95).unwrap()
        };
        let all = run(None, None, Some(&fold));
        assert!(all.delong.is_some() && all.mcnemar.is_some() && all.left_out.is_empty());
        assert_eq!(all.corrected_t.unwrap().folds, 4);
        for out in [run(Some(&group), None, Some(&[0; 60])), run(None, Some(&[1.0; 60]), None)] {
            assert!(out.delong.is_none() && out.mcnemar.is_none() && out.corrected_t.is_none());
            assert!(out.left_out[0].contains("take rows as independent"), "{:?}", out.left_out);
        }
        let values = |v: f32| Predictions::values(vec![0, 1], vec![v, 1.0], Mask::none(2)).unwrap();
        let (a, b) = (values(0.5), values(2.0));
        let target = Target::Values(vec![0.0, 1.0]);
        let out = paired_tests(&Rmse, &target, [&a, &b], None, None, None, 0.95).unwrap();
        assert!(out.delong.is_none() && out.left_out.is_empty());
        assert!(paired_tests(&Rmse, &target, [&a, &b.take(&[0])], None, None, None, 0.95).is_err());
    }
}
