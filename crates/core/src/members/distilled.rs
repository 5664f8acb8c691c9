//! Learners on tables that learn from a teacher.

use std::collections::BTreeMap;

use rand::RngExt;
use serde_json::{Value, json};

use super::{Preprocess, Tabular};
use crate::array::Matrix;
use crate::error::Result;
use crate::features::{REGISTRY, Reader};
use crate::learners;
use crate::model::{
    Batch, Classes, Column, Context, Distill, Estimator, Field, Fitted, Labelled, Lesson, Mask, Memory,
    Predictions, Quiet, Schema, Source, Stop, Target, Task, Teacher, Vectors,
};
use crate::seed::Seed;

/// Rows of two numbers, and the true probability of "yes" for each.
struct Case {
    source: Memory,
    rows: Vec<usize>,
    truth: Vec<f32>,
    target: Target,
}

fn classes() -> Classes {
    Classes::new(vec!["no".into(), "yes".into()]).unwrap()
}

fn case(rows: usize, seed: u64) -> Case {
    let mut rng = Seed::new(seed).rng();
    let x: Vec<f32> = (0..2 * rows).map(|_| rng.random_range(-2.0f32..2.0)).collect();
    let truth: Vec<f32> = x.chunks(2).map(|x| 1.0 / (1.0 + (-(1.5 * x[0] - x[1])).exp())).collect();
    let codes = truth.iter().map(|p| u32::from(rng.random::<f32>() < *p)).collect();
    let fields = vec![Field::vector("x", vec![2])];
    let column = Column::Vector(Vectors::new(vec![2], x).unwrap());
    let batch = Batch::new((0..rows as u64).map(|r| 1000 + r).collect()).with("x", column).unwrap();
    let source = Memory::new(Schema { fields }, batch).unwrap();
    Case { source, rows: (0..rows).collect(), truth, target: Target::Classes { classes: classes(), codes } }
}

/// Who says so of "yes", in reverse order of the rows and with the classes the other way round.
fn says(yes: &[f32], silent: impl Fn(usize) -> bool) -> Predictions {
    let rows = yes.len();
    let names = Classes::new(vec!["yes".into(), "no".into()]).unwrap();
    let p = Matrix::from_shape_fn((rows, 2), |(i, k)| {
        let p = yes[rows - 1 - i];
        if k == 0 { p } else { 1.0 - p }
    });
    let ids = (0..rows as u64).map(|i| 1000 + rows as u64 - 1 - i).collect();
    let absent: Mask = (0..rows).map(|i| silent(rows - 1 - i)).collect();
    Predictions::probabilities(ids, names, p, absent).unwrap()
}

fn member(source: &Memory, learner: &str, parameters: Value) -> Tabular {
    let given: BTreeMap<String, super::Steps> = BTreeMap::new();
    let on = ["x".to_owned()];
    let preprocess = Preprocess::new(&REGISTRY, source.schema(), &on, &given, |_| Reader::Matrix).unwrap();
    Tabular::new(preprocess, learners::REGISTRY.build(learner, &parameters).unwrap())
}

fn fit(case: &Case, member: &Tabular, teacher: Option<(&Predictions, f64, f64)>) -> Result<Fitted> {
    let data =
        Labelled { source: &case.source, rows: &case.rows, target: &case.target, weight: None, group: None };
    let stop = Stop::default();
    let teacher =
        teacher.map(|(said, temperature, share)| Teacher { said, lesson: Lesson { temperature, share } });
    member.fit(&data, &Context { teacher, ..Context::new(Seed::new(3), &Quiet, &stop) })
}

fn predict(fitted: &Fitted, case: &Case) -> Matrix {
    let said = fitted.model.predict(&case.source.read(&case.rows, &["x"]).unwrap()).unwrap();
    said.matrix()
}

const LEARNERS: [&str; 5] = ["constant", "logistic", "naive_bayes", "random_forest", "gradient_boosting"];

fn quick(learner: &str) -> Value {
    match learner {
        "random_forest" => json!({"trees": 12}),
        "gradient_boosting" => json!({"rounds": 30}),
        _ => json!({}),
    }
}

#[test]
fn a_student_that_hears_only_its_teacher_comes_close_to_it() {
    // The labels say nothing: whatever is learnt is learnt from the teacher.
    let mut case = case(600, 1);
    case.target = Target::Classes { classes: classes(), codes: (0..600).map(|r| r % 2).collect() };
    let said = says(&case.truth, |_| false);
    for (learner, parameters, far) in
        [("logistic", json!({}), 0.02), ("gradient_boosting", json!({"rounds": 400}), 0.05)]
    {
        let member = member(&case.source, learner, parameters);
        let student = predict(&fit(&case, &member, Some((&said, 1.0, 1.0))).unwrap(), &case);
        let mean: f32 =
            student.column(1).iter().zip(&case.truth).map(|(a, b)| (a - b).abs()).sum::<f32>() / 600.0;
        assert!(mean < far, "{learner}: {mean} from its teacher");
    }
}

#[test]
fn no_share_and_silence_change_no_byte() {
    let case = case(300, 2);
    let (loud, mute) = (says(&case.truth, |_| false), says(&case.truth, |_| true));
    for learner in LEARNERS {
        let member = member(&case.source, learner, quick(learner));
        let bytes = |teacher| fit(&case, &member, teacher).unwrap().model.save().unwrap();
        let plain = bytes(None);
        assert!(bytes(Some((&loud, 1.0, 0.0))) == plain, "{learner}: a share of 0");
        assert!(bytes(Some((&mute, 1.0, 0.9))) == plain, "{learner}: a silent teacher");
        assert!(bytes(Some((&loud, 1.0, 0.5))) != plain, "{learner}: a teacher that is not heard");
    }
}

/// Labels of which three in ten are wrong, and a teacher that is nearly right. The student is the same learner.
#[test]
fn with_noisy_labels_a_student_beats_who_learns_from_the_labels_alone() {
    let mut train = case(400, 3);
    let test = case(4000, 4);
    let mut rng = Seed::new(5).rng();
    let Target::Classes { codes, .. } = &mut train.target else { panic!() };
    codes.iter_mut().for_each(|c| *c = if rng.random::<f32>() < 0.3 { 1 - *c } else { *c });
    let heard: Vec<f32> = train
        .truth
        .iter()
        .map(|p| 1.0 / (1.0 + ((1.0 - p) / p) * rng.random_range(-0.5f32..0.5).exp()))
        .collect();
    let said = says(&heard, |r| r % 10 == 0);
    let (_, codes) = test.target.codes().unwrap();
    for learner in ["logistic", "random_forest", "gradient_boosting"] {
        let member = member(&train.source, learner, quick(learner));
        let losses = |teacher| -> Vec<f64> {
            let p = predict(&fit(&train, &member, teacher).unwrap(), &test);
            codes.iter().enumerate().map(|(r, c)| -f64::from(p[[r, *c as usize]].max(1e-7)).ln()).collect()
        };
        let (alone, taught) = (losses(None), losses(Some((&said, 1.0, 0.5))));
        let gains: Vec<f64> = alone.iter().zip(&taught).map(|(a, t)| a - t).collect();
        let mean = gains.iter().sum::<f64>() / 4000.0;
        let error = (gains.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / 4000.0f64.powi(2)).sqrt();
        println!("{learner}: log-loss lower by {mean:.4} +- {error:.4}");
        assert!(mean > 3.0 * error, "{learner}: {mean} +- {error}");
    }
}

#[test]
fn values_are_mixed_with_the_truth() {
    let mut case = case(200, 6);
    let values: Vec<f32> = case.truth.iter().map(|p| 10.0 * p).collect();
    case.target = Target::Values(values.clone());
    let off: Vec<f32> = values.iter().map(|v| v + 2.0).collect();
    let ids = (1000..1200).collect();
    let said = Predictions::values(ids, off, Mask::none(200)).unwrap();
    for learner in ["linear", "knn", "gradient_boosting"] {
        let member = member(&case.source, learner, json!({}));
        let student = predict(&fit(&case, &member, Some((&said, 1.0, 0.25))).unwrap(), &case);
        let mixed = Target::Values(values.iter().map(|v| 0.25 * (v + 2.0) + 0.75 * v).collect());
        let truth = std::mem::replace(&mut case.target, mixed);
        let plain = predict(&fit(&case, &member, None).unwrap(), &case);
        case.target = truth;
        let far = student.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-3, "{learner}: {far}");
    }
}

#[test]
fn what_cannot_learn_says_so_before_any_work_and_in_the_fit() {
    let case = case(40, 7);
    let said = says(&case.truth, |_| false);
    let task = case.target.task();
    let deaf = member(&case.source, "knn", json!({}));
    for error in [
        deaf.lesson(&task, Distill::default()).unwrap_err(),
        fit(&case, &deaf, Some((&said, 1.0, 0.5))).unwrap_err(),
    ] {
        assert!(error.exit_code() == 2 && error.to_string().contains("one class a row"), "{error}");
    }
    // Of values it is told a mean.
    assert_eq!(deaf.lesson(&Task::Regress, Distill::default()).unwrap().share, 0.5);
    let member = member(&case.source, "logistic", json!({}));
    assert_eq!(member.lesson(&task, Distill::default()).unwrap(), Lesson { temperature: 1.0, share: 0.5 });
    let hot = Distill { temperature: Some(3.0), share: None };
    assert!(member.lesson(&task, hot).unwrap_err().to_string().contains("temperature"));
    assert!(member.lesson(&Task::Regress, Distill::default()).is_err());
    for (temperature, share, part) in
        [(3.0, 0.5, "temperature"), (1.0, f64::NAN, "share"), (1.0, 1.5, "share")]
    {
        let error = fit(&case, &member, Some((&said, temperature, share))).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains(part), "{error}");
    }
    let few = said.take(&[0, 1, 2]);
    let error = fit(&case, &member, Some((&few, 1.0, 0.5))).unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("row id 1000"), "{error}");
    let values = Predictions::values((1000..1040).collect(), vec![0.5; 40], Mask::none(40)).unwrap();
    let error = fit(&case, &member, Some((&values, 1.0, 0.5))).unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("values"), "{error}");
    // Whoever makes predictions of what is no number is stopped there.
    assert!(Predictions::values(vec![1], vec![f32::NAN], Mask::none(1)).is_err());
}
