//! Made-up members for the tests of calibrators.

use rand::RngExt;

use crate::array::{Matrix, softmax};
use crate::model::{Classes, Honest, Mask, Origin, Predictions, Target};
use crate::seed::Seed;

/// One member whose probabilities would be right at power `1 / bold` (and are right at 1); the first class `tilt` times
/// as often as it says.
pub(super) fn member(rows: usize, classes: usize, bold: f32, tilt: f32, seed: u64) -> Honest {
    let mut rng = Seed::new(seed).rng();
    let (mut p, mut codes) = (Matrix::zeros((rows, classes)), Vec::with_capacity(rows));
    for mut to in p.rows_mut() {
        let mut logits: Vec<f32> = (0..classes).map(|_| 3.0 * (rng.random::<f32>() - 0.5)).collect();
        let mut truth = logits.clone();
        truth[0] += tilt.ln();
        softmax(&mut truth);
        let (drawn, mut sum) = (rng.random::<f32>(), 0.0);
        let below = |t: &&f32| {
            sum += **t;
            sum <= drawn
        };
        codes.push((truth.iter().take_while(below).count() as u32).min(classes as u32 - 1));
        logits.iter_mut().for_each(|l| *l *= bold);
        softmax(&mut logits);
        to.iter_mut().zip(&logits).for_each(|(t, l)| *t = *l);
    }
    alone(p, codes, None)
}

/// Honest predictions of one member.
pub(super) fn alone(p: Matrix, codes: Vec<u32>, weight: Option<Vec<f32>>) -> Honest {
    let (rows, width) = p.dim();
    let classes = Classes::new((0..width).map(|c| format!("c{c}")).collect()).unwrap();
    let ids = (0..rows as u64).collect();
    let p = Predictions::probabilities(ids, classes.clone(), p, Mask::none(rows)).unwrap();
    let members = vec![("m".to_owned(), p, Origin::Validation)];
    Honest::new(members, Target::Classes { classes, codes }, vec![0; rows], None, weight).unwrap()
}

/// Members with their truth.
fn with(members: Vec<Predictions>, target: Target, fold: Vec<u32>, group: Option<Vec<u64>>) -> Honest {
    let named = members.into_iter().enumerate();
    let named = named.map(|(i, p)| (format!("m{i}"), p, Origin::Validation)).collect();
    Honest::new(named, target, fold, group, None).unwrap()
}

/// The same with every seventh row absent, and row 3.
pub(super) fn gaps(data: &Honest) -> Honest {
    let p = &said(data)[0];
    let absent: Mask = (0..p.rows()).map(|r| r % 7 == 0 || r == 3).collect();
    let p = Predictions::for_task(p.ids().to_vec(), &p.task(), p.matrix(), absent).unwrap();
    with(vec![p], data.target().clone(), data.fold().to_vec(), None)
}

/// The same with other folds and groups.
pub(super) fn regrouped(data: &Honest, group: Option<Vec<u64>>, fold: Vec<u32>) -> Honest {
    with(said(data), data.target().clone(), fold, group)
}

/// Two members.
pub(super) fn several(rows: usize) -> Honest {
    let one = member(rows, 2, 2.0, 1.0, 18);
    with(vec![said(&one)[0].clone(); 2], one.target().clone(), vec![0; rows], None)
}

/// A member of values.
pub(super) fn values(rows: usize) -> Honest {
    let truth: Vec<f32> = (0..rows).map(|r| r as f32).collect();
    let p = Predictions::values((0..rows as u64).collect(), truth.clone(), Mask::none(rows)).unwrap();
    with(vec![p], Target::Values(truth), vec![0; rows], None)
}

/// What the members say.
pub(super) fn said(data: &Honest) -> Vec<Predictions> {
    data.predictions().cloned().collect()
}
