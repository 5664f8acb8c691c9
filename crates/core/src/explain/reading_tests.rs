use rand::RngExt;

use super::*;
use crate::array::{Matrix, softmax};
use crate::fuse::cases::{honest, named, values};
use crate::fuse::{REGISTRY, cross_fitted};
use crate::metrics::{Accuracy, Auc, LogLoss, Rmse};
use crate::model::{Classes, Context, Mask, Origin, Quiet, Target};

fn bootstrap() -> BootstrapSettings {
    BootstrapSettings { resamples: 300, level: 0.95, seed: Seed::new(5) }
}

fn read(honest: &Honest, composition: &Composition<'_>, metric: &dyn Metric) -> MemberReadings {
    let settings = ReadingSettings::default();
    read_members(honest, composition, metric, &settings, &bootstrap(), &Stop::default()).unwrap()
}

/// 2000 rows of two classes. Members see the logit through noise: "good" and "other" each their own, "copy" nearly that of
/// "good", "wrong" the opposite, "flat" nothing.
fn made() -> Honest {
    let rows = 2000;
    let classes = Classes::new(vec!["no".into(), "yes".into()]).unwrap();
    let mut rng = Seed::new(8).rng();
    let codes: Vec<u32> = (0..rows).map(|_| rng.random_range(0..2)).collect();
    let mut noise =
        |scale: f32| -> Vec<f32> { (0..rows).map(|_| scale * rng.random_range(-1.0..1.0f32)).collect() };
    let (one, two, three, small) = (noise(3.0), noise(3.0), noise(3.0), noise(0.8));
    let made = |name: &str, logit: &dyn Fn(usize, f32) -> f32| {
        let p = Matrix::from_shape_fn((rows, 2), |(r, k)| {
            let side = if codes[r] == 1 { 1.0 } else { -1.0 };
            let mut pair = [0.0, logit(r, side)];
            softmax(&mut pair);
            pair[k]
        });
        let ids = (0..rows as u64).collect();
        let p = Predictions::probabilities(ids, classes.clone(), p, Mask::none(rows)).unwrap();
        (name.to_owned(), p, Origin::OutOfFold)
    };
    let members = vec![
        made("good", &|r, side| side + one[r]),
        made("other", &|r, side| side + two[r]),
        made("copy", &|r, side| side + one[r] + small[r]),
        made("wrong", &|r, side| three[r] - side),
        made("flat", &|_, _| 0.3),
    ];
    let target = Target::Classes { classes: classes.clone(), codes: codes.clone() };
    Honest::new(members, target, (0..2000).map(|r| r % 4).collect(), None, None).unwrap()
}

#[test]
fn every_member_is_told_what_it_is() {
    let data = made();
    let out = read(&data, &Composition::Pool(&[0.6, 0.4, 0.0, 0.0, 0.0]), &LogLoss);
    let by = |name: &str| out.members.iter().find(|m| m.member == name).unwrap();
    assert_eq!(by("good").role, Role::Needed);
    let text = &by("good").sentence;
    assert!(
        text.starts_with("weight .60: taking it out costs .") && text.ends_with("] of log-loss"),
        "{text}"
    );
    assert_eq!(by("copy").role, Role::Redundant);
    let text = &by("copy").sentence;
    assert!(text.starts_with("weight 0: redundant with \"good\" (errors correlate ."), "{text}");
    assert_eq!(by("wrong").role, Role::Harmful);
    let text = &by("wrong").sentence;
    assert!(text.starts_with("weight 0: it would make the composition worse (log-loss rises by ."), "{text}");
    assert!(text.ends_with(" at weight .05)"), "{text}");
    assert_eq!(by("flat").sentence, "weight 0: constant, it says the same of every row");
    // The slope says what the trial says.
    for m in out.members.iter().filter(|m| m.weight == Some(0.0)) {
        let (slope, trial) = (m.redundancy.slope.unwrap(), m.trial.unwrap().value);
        assert!(
            (trial - 0.05 * slope).abs() < 0.25 * (0.05 * slope).abs() + 1e-4,
            "{} {slope} {trial}",
            m.member
        );
    }
    assert!(by("good").trial.is_none() && by("wrong").shapley < 0.0 && by("good").shapley > 0.0);
    assert_eq!(out.pairs.len(), 10);
    assert!((by("good").score.unwrap() - 0.5).abs() < 0.3 && by("good").rows == 2000);
    let text = serde_json::to_string(&out).unwrap();
    let back: MemberReadings = serde_json::from_str(&text).unwrap();
    assert_eq!(
        back.members.iter().map(|m| m.role).collect::<Vec<_>>(),
        out.members.iter().map(|m| m.role).collect::<Vec<_>>()
    );
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
}

#[test]
fn copies_that_share_weight_can_do_without_each_other() {
    let out = read(&made(), &Composition::Pool(&[0.3, 0.4, 0.3, 0.0, 0.0]), &LogLoss);
    assert_eq!(out.members[2].role, Role::Replaceable, "{:?}", out.members[2]);
    assert_eq!(out.members[2].sentence, "weight .30, but taking it out changes nothing beyond its interval");
    let out = read(&made(), &Composition::Pool(&[0.5, 0.0, 0.0, 0.5, 0.0]), &Accuracy);
    assert_eq!(out.members[3].role, Role::Hindering, "{:?}", out.members[3]);
    assert!(
        out.members[3].sentence.starts_with("weight .50: taking it out gains ."),
        "{}",
        out.members[3].sentence
    );
}

#[test]
fn what_has_no_weights_is_fitted_anew() {
    let data = made();
    let stacking = REGISTRY.build("stacking", &serde_json::Value::Null).unwrap();
    let stop = Stop::default();
    let context = Context::new(Seed::new(1), &Quiet, &stop);
    let refit = |honest: &Honest| cross_fitted(stacking.as_ref(), honest, None, &context);
    let out = read(&data, &Composition::Other(&refit), &Auc);
    for m in &out.members {
        assert!(m.weight.is_none() && m.trial.is_none() && m.redundancy.slope.is_none());
        assert!(m.ablation.as_ref().unwrap().refitted);
        assert!(!m.sentence.starts_with("weight"), "{}", m.sentence);
    }
    // A stack turns the wrong one round: it is needed as "other" is.
    assert_eq!((out.members[1].role, out.members[3].role), (Role::Needed, Role::Needed));
    assert_eq!(out.members[4].role, Role::Constant);
    let weights = [0.6, 0.4, 0.0, 0.0, 0.0];
    let both = read(&data, &Composition::Refitted(&weights, &refit), &Auc);
    assert_eq!(both.members[0].ablation, out.members[0].ablation);
    assert_eq!(both.members[3].weight, Some(0.0));
}

#[test]
fn values_masks_and_one_member() {
    let data = values(80, 3, true);
    let out = read(&data, &Composition::Pool(&[0.2, 0.3, 0.5]), &Rmse);
    assert_eq!(out.shapley.payoff, Payoff::SquaredError);
    assert!(out.members.iter().all(|m| m.rows < 80 && m.ablation.is_some()), "{out:?}");
    let alone = read(&honest(40, 2, 1, false), &Composition::Pool(&[1.0]), &LogLoss);
    assert_eq!((alone.members[0].role, &alone.members[0].sentence[..]), (Role::Alone, "the only member"));
    assert_eq!(alone.pairs.len(), 0);
}

#[test]
fn a_member_whom_nobody_replaces_is_needed_for_its_rows() {
    let data = honest(60, 2, 2, false);
    let mut members = named(&data);
    let mask: Mask = (0..60).map(|r| r < 5).collect();
    let p = members[1].1.matrix();
    members[1].1 =
        Predictions::for_task(members[1].1.ids().to_vec(), &data.target().task(), p, mask).unwrap();
    let data = Honest::new(members, data.target().clone(), vec![0; 60], None, None).unwrap();
    let out = read(&data, &Composition::Pool(&[0.01, 0.99]), &LogLoss);
    assert_eq!(out.members[0].role, Role::Needed);
    assert!(out.members[0].sentence.ends_with("5 rows have nobody else"), "{}", out.members[0].sentence);
}

#[test]
fn settings_are_checked() {
    let settings = ReadingSettings { trial_weight: 1.0, ..Default::default() };
    assert!(settings.validate().unwrap_err().to_string().contains("trial_weight"));
    let data = honest(30, 2, 2, false);
    let out = read_members(
        &data,
        &Composition::Pool(&[1.0]),
        &LogLoss,
        &ReadingSettings::default(),
        &bootstrap(),
        &Stop::default(),
    );
    assert!(out.is_err());
}
