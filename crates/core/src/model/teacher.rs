//! Learning from another model beside the truth.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mask::Mask;
use super::predictions::Predictions;
use super::target::{Target, Task};
use crate::array::Matrix;
use crate::error::{Error, Result};

/// How a student listens to its teacher: `share` of the loss is the teacher's and `1 - share` that of the truth.
///
/// With classes, `p` what the teacher says and `z` the logits of the student, a row has the loss
/// `share T^2 CE(softmax(ln p / T), softmax(z / T)) + (1 - share) CE(y, softmax(z))`, where `CE(q, r) = -sum q_k ln r_k`; it
/// differs from one with the divergence `KL` for `CE` by what does not depend on the student. With values it has
/// `share (p - z)^2 + (1 - share) (y - z)^2`.
///
/// # Reference
/// Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network*, 2015.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// `T`, from 1 to 20: above 1 what the teacher says of the less probable classes counts more.
    pub temperature: f64,
    /// How much the teacher counts, from 0 (not at all) to 1 (the truth does not).
    pub share: f64,
}

impl Lesson {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let range = |name: &str, fits: bool, expected: &str, got: f64| {
            if fits {
                return Ok(());
            }
            Err(Error::argument("the setting is out of range").at(name).expected(expected).got(got))
        };
        let temperature = (1.0..=20.0).contains(&self.temperature);
        range("temperature", temperature, "a number from 1 to 20", self.temperature)?;
        range("share", (0.0..=1.0).contains(&self.share), "a share in [0, 1]", self.share)
    }
}

/// What a recipe asks of a distillation; an estimator fills in the rest (see
/// [`Estimator::lesson`](super::Estimator::lesson)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Distill {
    /// Softens what teacher and student say of classes, from 1 to 20: `softmax(ln p / temperature)`. Only networks have
    /// one above 1.
    #[schemars(range(min = 1, max = 20))]
    pub temperature: Option<f64>,
    /// The teacher's part of the loss, from 0 to 1; the rest is the truth's.
    #[schemars(range(min = 0, max = 1))]
    pub share: Option<f64>,
}

impl Distill {
    /// What is asked for, and the rest as usual.
    ///
    /// # Errors
    /// As [`Lesson::validate`].
    pub fn or(self, usual: Lesson) -> Result<Lesson> {
        let lesson = Lesson {
            temperature: self.temperature.unwrap_or(usual.temperature),
            share: self.share.unwrap_or(usual.share),
        };
        lesson.validate()?;
        Ok(lesson)
    }

    /// The same for a student that has no logits to soften.
    ///
    /// # Errors
    /// As [`Distill::or`]; [`Error::Argument`] for a temperature other than 1.
    pub fn plain(self, share: f64) -> Result<Lesson> {
        let lesson = self.or(Lesson { temperature: 1.0, share })?;
        if lesson.temperature == 1.0 {
            return Ok(lesson);
        }
        Err(Error::argument("only a network that tells classes has a temperature")
            .at("temperature")
            .expected(1)
            .got(lesson.temperature)
            .remedy("leave temperature out"))
    }
}

impl From<Lesson> for Distill {
    fn from(lesson: Lesson) -> Self {
        Self { temperature: Some(lesson.temperature), share: Some(lesson.share) }
    }
}

/// What a fit learns from beside the truth.
///
/// `said` must be honest: what the teacher said of rows that it was not fitted to. What it says of its own fitting rows is
/// too good, and a student that copies it is no better than one that learns the labels by heart.
#[derive(Debug, Clone, Copy)]
pub struct Teacher<'a> {
    /// What it said, of all rows that are fitted to and possibly of others, in any order. Rows about which it is silent
    /// have the truth alone.
    pub said: &'a Predictions,
    /// How the student listens.
    pub lesson: Lesson,
}

impl Teacher<'_> {
    /// What the teacher says of rows, found by their ids, its classes in the order of the task.
    ///
    /// # Errors
    /// As [`Lesson::validate`]; [`Error::Model`] if it predicts something else or other classes; [`Error::Data`] naming a
    /// row about which it was not asked, or asked twice.
    pub fn on(&self, ids: &[u64], task: &Task) -> Result<Heard> {
        self.lesson.validate()?;
        let columns = columns(&self.said.task(), task)?;
        let mut places: Vec<(u64, usize)> = self.said.ids().iter().copied().zip(0..).collect();
        places.sort_unstable();
        if let Some(twice) = places.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(
                Error::data("the teacher says two things of a row").at(format!("row id {}", twice[0].0))
            );
        }
        let place = |id: &u64| {
            let found = places.binary_search_by_key(id, |(id, _)| *id).map(|at| places[at].1);
            found.map_err(|_| {
                Error::data("the teacher was not asked about a row that is fitted to")
                    .at(format!("row id {id}"))
                    .expected("an honest prediction of every row that is fitted to")
                    .got(format!("predictions of {} rows", places.len()))
                    .remedy(
                        "set honest: {folds: 5}, so that there are honest predictions of all fitting rows",
                    )
            })
        };
        let rows = ids.iter().map(place).collect::<Result<Vec<usize>>>()?;
        let said = self.said.take(&rows);
        let silent = said.absent().clone();
        let mut matrix = said.matrix().select(ndarray::Axis(1), &columns);
        for (mut row, _) in matrix.rows_mut().into_iter().zip(silent.marks()).filter(|(_, s)| **s) {
            row.fill(0.0);
        }
        Ok(Heard { said: matrix, silent, lesson: self.lesson })
    }
}

/// Where the columns of a task stand among those of what the teacher predicts.
fn columns(theirs: &Task, ours: &Task) -> Result<Vec<usize>> {
    match (theirs, ours) {
        (Task::Regress, Task::Regress) => return Ok(vec![0]),
        (Task::Classify(theirs), Task::Classify(ours)) if theirs.count() == ours.count() => {
            let places: Option<Vec<usize>> = ours.names().iter().map(|n| theirs.position(n)).collect();
            if let Some(places) = places {
                return Ok(places);
            }
        }
        _ => {}
    }
    let name = |task: &Task| {
        task.classes().map_or_else(
            || "values".to_owned(),
            |c| format!("{} classes: {}", c.count(), c.names().join(", ")),
        )
    };
    Err(Error::model("the teacher predicts something else than its student")
        .expected(name(ours))
        .got(name(theirs))
        .remedy("distill from a model of the same target"))
}

/// What a teacher says of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Probabilities `[rows, classes]` in the order of the task, or values `[rows, 1]`; zeros where it is silent.
    pub said: Matrix,
    /// The rows about which it is silent.
    pub silent: Mask,
    /// How the student listens.
    pub lesson: Lesson,
}

impl Heard {
    /// How much the teacher counts on a row.
    pub fn share(&self, row: usize) -> f64 {
        if self.silent.is_set(row) { 0.0 } else { self.lesson.share }
    }

    /// `share p + (1 - share) y` for each row, with `y` one for the true class and zero for the others, or the true value:
    /// `[rows, outputs]`.
    ///
    /// # Errors
    /// [`Error::Internal`] if there are other rows than truths.
    pub fn mixed(&self, target: &Target) -> Result<Matrix> {
        if target.len() != self.said.nrows() {
            return Err(Error::internal("a teacher was heard on other rows than are fitted to"));
        }
        let truth = |r: usize, k: usize| match target {
            Target::Classes { codes, .. } => f64::from(u8::from(codes[r] as usize == k)),
            Target::Values(values) => f64::from(values[r]),
        };
        Ok(Matrix::from_shape_fn(self.said.dim(), |(r, k)| {
            let share = self.share(r);
            (share * f64::from(self.said[[r, k]]) + (1.0 - share) * truth(r, k)) as f32
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Classes;

    fn classes(names: [&str; 3]) -> Classes {
        Classes::new(names.map(str::to_owned).to_vec()).unwrap()
    }

    /// Rows 7, 8 and 9 by a teacher whose classes stand in another order; it is silent about 8.
    fn said() -> Predictions {
        let p = ndarray::array![[0.5, 0.3, 0.2], [0.0, 0.0, 0.0], [0.1, 0.2, 0.7]];
        let absent = Mask::from_marks(vec![false, true, false]);
        Predictions::probabilities(vec![7, 8, 9], classes(["c", "a", "b"]), p, absent).unwrap()
    }

    #[test]
    fn rows_are_found_by_id_and_classes_by_name() {
        let said = said();
        let teacher = Teacher { said: &said, lesson: Lesson { temperature: 1.0, share: 0.5 } };
        let target = Target::Classes { classes: classes(["a", "b", "c"]), codes: vec![2, 0, 1, 2] };
        let heard = teacher.on(&[9, 8, 7, 9], &target.task()).unwrap();
        assert_eq!(heard.silent.marks(), [false, true, false, false]);
        assert_eq!(heard.said.row(0).to_vec(), [0.2, 0.7, 0.1]);
        assert_eq!([0, 1].map(|r| heard.share(r)), [0.5, 0.0]);
        let mixed = heard.mixed(&target).unwrap();
        let want = [[0.1, 0.35, 0.55], [1.0, 0.0, 0.0], [0.15, 0.6, 0.25], [0.1, 0.35, 0.55]];
        for (row, want) in mixed.rows().into_iter().zip(want) {
            assert!(row.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-7), "{row}");
        }
        assert!(heard.mixed(&target.take(&[0])).is_err());
    }

    #[test]
    fn what_cannot_be_taught_is_refused_by_name() {
        let said = said();
        let lesson = Lesson { temperature: 1.0, share: 0.5 };
        let ours = Task::Classify(classes(["a", "b", "c"]));
        let refused = |teacher: Teacher<'_>, ids: &[u64], task: &Task, code: u8, says: &str| {
            let error = teacher.on(ids, task).unwrap_err();
            assert_eq!(error.exit_code(), code, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        };
        let teacher = Teacher { said: &said, lesson };
        refused(teacher, &[7, 5], &ours, 3, "row id 5");
        refused(teacher, &[7], &Task::Classify(classes(["a", "b", "d"])), 3, "a, b, d");
        refused(teacher, &[7], &Task::Regress, 3, "expected values");
        let two = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        refused(teacher, &[7], &Task::Classify(two), 3, "2 classes");
        let twice = said.take(&[0, 0]);
        refused(Teacher { said: &twice, lesson }, &[7], &ours, 3, "two things");
        for (temperature, share, name) in [
            (0.5, 0.5, "temperature"),
            (21.0, 0.5, "temperature"),
            (f64::NAN, 0.5, "temperature"),
            (1.0, 1.5, "share"),
            (1.0, -0.1, "share"),
            (1.0, f64::NAN, "share"),
        ] {
            refused(Teacher { said: &said, lesson: Lesson { temperature, share } }, &[7], &ours, 2, name);
        }
        assert!(Distill { temperature: Some(2.0), share: None }.plain(0.5).is_err());
        assert_eq!(Distill::default().plain(0.5).unwrap(), lesson);
        assert!(Distill { share: Some(2.0), temperature: None }.or(lesson).is_err());
    }
}
