//! Members as annotators: votes weighed by confusion matrices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::annotators::{Annotators, Votes};
use crate::error::{Error, Result};
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// Whether the truth of the honest rows is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It is not known: it is estimated with the confusion matrices.
    #[default]
    Ignore,
    /// Confusion matrices are counts of the votes on each true class.
    Use,
}

/// Takes members for annotators whose vote is their most probable class (the first of those that tie). Member m, asked
/// about a row of class k, votes l with probability `e_m(l | k)`, for itself: then
/// `p(k | votes) ~ p(k) prod_m e_m(l_m | k)` over the members present.
///
/// Confusion matrices `e` and class shares `p` are estimated from the votes on the honest rows without a look at the
/// truth, by expectation-maximization from the shares of the votes on. With `truth: use` they are counts (a naive Bayes
/// classifier on votes). Members that err together are counted as if they did not: the result is too sure of itself
/// then.
///
/// # Reference
/// Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm", Journal of the Royal
/// Statistical Society C 28(1), 1979.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DawidSkene {
    /// Whether the truth of the honest rows is looked at.
    pub truth: Truth,
    /// How many votes each member is given in advance for every pair of classes: not negative. Without: none where the
    /// truth is ignored, one where it is used.
    #[schemars(range(min = 0.0))]
    pub smoothing: Option<f64>,
    /// The most rounds of expectation-maximization, from 1 on.
    #[schemars(range(min = 1))]
    pub rounds: u32,
    /// It ends when a round raises the bound of the log-likelihood by less than this a vote.
    #[schemars(range(min = 0.0))]
    pub tolerance: f64,
}

impl Default for DawidSkene {
    fn default() -> Self {
        Self { truth: Truth::Ignore, smoothing: None, rounds: 100, tolerance: 1e-5 }
    }
}

impl Method for DawidSkene {
    const NAME: &'static str = "dawid_skene";
    const ABOUT: &'static str =
        "Votes weighed by confusion matrices, estimated without the truth (for crowds)";

    fn validate(&self) -> Result<()> {
        for (name, value) in [("smoothing", self.smoothing.unwrap_or(0.0)), ("tolerance", self.tolerance)] {
            if !value.is_finite() || value < 0.0 {
                return Err(Error::argument("must be finite and not negative").at(name).got(value));
            }
        }
        if self.rounds == 0 {
            return Err(Error::argument("there are no rounds").at("rounds").expected("1 or more"));
        }
        Ok(())
    }
}

impl Fuser for DawidSkene {
    fn check(&self, task: &Task, _: usize) -> Result<()> {
        self.validate()?;
        if task.classes().is_none() {
            return Err(Error::argument("members cannot vote for a value")
                .expected("task: classify")
                .remedy("use median or weighted for a regression"));
        }
        Ok(())
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        self.check(&honest.target().task(), honest.count())?;
        let votes = Votes::new(honest)?;
        let fused = match self.truth {
            Truth::Ignore => self.estimate(honest, &votes, context)?,
            Truth::Use => {
                let (_, codes) = honest.target().codes()?;
                let mut known = vec![0.0; votes.rows.len() * votes.classes];
                for (r, row) in votes.rows.iter().enumerate() {
                    known[r * votes.classes + codes[*row] as usize] = 1.0;
                }
                Annotators::counted(honest, &votes, &known, self.smoothing.unwrap_or(1.0))?
            }
        };
        Ok(Box::new(fused))
    }
}

impl DawidSkene {
    /// Expectation-maximization: each round asks what the rows are, and then how the annotators err.
    fn estimate(&self, honest: &Honest, votes: &Votes, context: &Context<'_>) -> Result<Annotators> {
        let smoothing = self.smoothing.unwrap_or(0.0);
        let mut truth = votes.shares();
        let mut found = Annotators::counted(honest, votes, &truth, smoothing)?;
        let mut bound = f64::NEG_INFINITY;
        for round in 1..=self.rounds {
            context.stop.check()?;
            votes.weigh(&found, &mut truth);
            found = Annotators::counted(honest, votes, &truth, smoothing)?;
            let next = votes.bound(&found, &truth);
            context.progress.step(u64::from(round), u64::from(self.rounds), &format!("bound {next:.5}"));
            if next - bound < self.tolerance {
                break;
            }
            bound = next;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Matrix;
    use crate::fuse::cases::{honest, said};
    use crate::model::{Classes, Mask, Origin, Predictions, Quiet, Stop, Target};
    use crate::seed::Seed;

    /// Annotators' votes, `None` where they did not answer, with the truth.
    fn crowd(votes: &[Vec<Option<usize>>], truth: &[u32], classes: usize) -> Honest {
        let names = Classes::new((0..classes).map(|c| c.to_string()).collect()).unwrap();
        let members = votes.iter().enumerate().map(|(m, votes)| {
            let p = Matrix::from_shape_fn((votes.len(), classes), |(r, c)| {
                f32::from(u8::from(votes[r] == Some(c)))
            });
            let absent: Mask = votes.iter().map(Option::is_none).collect();
            let ids = (0..votes.len() as u64).collect();
            (
                format!("m{m}"),
                Predictions::probabilities(ids, names.clone(), p, absent).unwrap(),
                Origin::Declared,
            )
        });
        let target = Target::Classes { classes: names.clone(), codes: truth.to_vec() };
        Honest::new(members.collect(), target, vec![0; truth.len()], None, None).unwrap()
    }

    fn fit(method: &DawidSkene, data: &Honest) -> Box<dyn Fused> {
        let stop = Stop::default();
        method.fit(data, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap()
    }

    /// Twelve rows of two classes; two annotators who err once each, on different rows, and one who says the opposite.
    fn three() -> Honest {
        let truth: Vec<u32> = (0..12).map(|r| u32::from(r >= 6)).collect();
        let say = |wrong: &dyn Fn(usize) -> bool| {
            (0..12).map(|r| Some((truth[r] as usize + usize::from(wrong(r))) % 2)).collect::<Vec<_>>()
        };
        crowd(&[say(&|r| r == 2), say(&|r| r == 8), say(&|r| r != 4)], &truth, 2)
    }

    #[test]
    fn known_truths_are_counts_and_bayes() {
        let fused = fit(&DawidSkene { truth: Truth::Use, ..DawidSkene::default() }, &three());
        let parts = fused.save().unwrap();
        // Member 0 on the six rows of class 0: five votes for it, one for the other, and one of each in advance.
        let errors = parts.f64("confusion").unwrap();
        for (got, want) in errors[..4].iter().zip([6.0 / 8.0, 1.0 / 8.0, 2.0 / 8.0, 7.0 / 8.0]) {
            assert!((got - want).abs() < 1e-12, "{errors:?}");
        }
        // Of a row with the votes 0, 0, 1: 3/4 7/8 6/8 against 1/8 2/8 1/8.
        let p = fused.fuse(&said(&three().take(&[0])), None).unwrap();
        let (first, second) = (0.75 * 0.875 * 0.75, 0.125 * 0.25 * 0.125);
        assert!((f64::from(p.p().unwrap()[[0, 0]]) - first / (first + second)).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn an_annotator_who_says_the_opposite_is_understood() {
        let data = three();
        let p = fit(&DawidSkene::default(), &data).fuse(&said(&data), None).unwrap();
        let (_, codes) = data.target().codes().unwrap();
        let right =
            |p: &Predictions| (0..12).filter(|r| p.p().unwrap()[[*r, codes[*r] as usize]] > 0.5).count();
        // The majority is wrong where one of the two good ones is.
        let hard = crate::fuse::HardVote::default();
        let stop = Stop::default();
        let hard = hard.fit(&data, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
        let votes = hard.fuse(&said(&data), None).unwrap();
        assert!(right(&p) > right(&votes), "{} {}", right(&p), right(&votes));
    }

    #[test]
    fn the_truth_is_not_looked_at_unless_it_is_asked_for() {
        let data = honest(80, 3, 4, true);
        let (classes, codes) = data.target().codes().unwrap();
        let codes = codes.iter().map(|c| (c + 1) % 3).collect();
        let target = Target::Classes { classes: classes.clone(), codes };
        let other = Honest::new(crate::fuse::cases::named(&data), target, vec![0; 80], None, None).unwrap();
        let ignore = DawidSkene::default();
        assert_eq!(fit(&ignore, &data).save().unwrap(), fit(&ignore, &other).save().unwrap());
        let using = DawidSkene { truth: Truth::Use, ..DawidSkene::default() };
        assert_ne!(fit(&using, &data).save().unwrap(), fit(&using, &other).save().unwrap());
    }

    #[test]
    fn one_annotator_silent_ones_and_a_thousand_are_no_trouble() {
        let truth: Vec<u32> = (0..300).map(|r| r % 3).collect();
        let one = crowd(&[truth.iter().map(|t| Some(*t as usize)).collect()], &truth, 3);
        let p = fit(&DawidSkene::default(), &one).fuse(&said(&one), None).unwrap();
        assert!((0..300).all(|r| p.p().unwrap()[[r, r % 3]] > 0.999));
        // A thousand annotators, each of whom answers three rows of 300; every third one draws lots.
        let mut votes = vec![vec![None; 300]; 1000];
        for (m, votes) in votes.iter_mut().enumerate() {
            for i in 0..3 {
                let row = (m * 7 + i * 101) % 300;
                let wrong = m % 3 == 0 && (m / 3 + i) % 2 == 0;
                votes[row] = Some((truth[row] as usize + usize::from(wrong)) % 3);
            }
        }
        votes.push(vec![None; 300]);
        let many = crowd(&votes, &truth, 3);
        for method in [DawidSkene::default(), DawidSkene { truth: Truth::Use, ..DawidSkene::default() }] {
            let fused = fit(&method, &many);
            assert_eq!(fused.parameters(), 1001 * 9 + 3);
            let p = fused.fuse(&said(&many), None).unwrap();
            let right =
                (0..300).filter(|r| crate::array::argmax(&p.p().unwrap().row(*r).to_vec()) == Some(r % 3));
            assert!(right.count() > 285);
            // Who never voted tells nothing.
            let mut talks = said(&many.take(&[0]));
            let before = fused.fuse(&talks, None).unwrap();
            let classes = many.target().codes().unwrap().0.clone();
            let vote = Matrix::from_shape_vec((1, 3), vec![0.0, 1.0, 0.0]).unwrap();
            talks[1000] = Predictions::probabilities(vec![0], classes, vote, Mask::none(1)).unwrap();
            let after = fused.fuse(&talks, None).unwrap();
            assert!((&before.matrix() - &after.matrix()).iter().all(|d| d.abs() < 1e-6));
        }
    }
}
