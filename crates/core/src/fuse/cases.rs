//! Made-up members for the tests of this room.

use rand::RngExt;

use crate::array::{Matrix, softmax};
use crate::error::Result;
use crate::model::{
    Batch, Classes, Column, Field, Honest, Images, Kind, Loaders, Mask, Memory, Origin, Predictions, Schema,
    Target,
};
use crate::seed::Seed;

/// Members of growing skill on `rows` rows of `classes` classes, one fold. Where `masked`, each is absent on some rows,
/// and row 3 is absent from all.
pub(crate) fn honest(rows: usize, classes: usize, members: usize, masked: bool) -> Honest {
    let names = Classes::new((0..classes).map(|c| format!("c{c}")).collect()).unwrap();
    let mut rng = Seed::new(11).rng();
    let codes: Vec<u32> = (0..rows).map(|_| rng.random_range(0..classes as u32)).collect();
    let made = (0..members).map(|m| {
        let mut p = Matrix::zeros((rows, classes));
        for (r, mut row) in p.rows_mut().into_iter().enumerate() {
            let mut logits: Vec<f32> = (0..classes).map(|_| 2.0 * rng.random::<f32>()).collect();
            logits[codes[r] as usize] += 0.5 + 0.4 * m as f32;
            softmax(&mut logits);
            row.iter_mut().zip(&logits).for_each(|(p, l)| *p = *l);
        }
        let p = Predictions::probabilities(ids(rows), names.clone(), p, absent(rows, m, masked)).unwrap();
        (format!("m{m}"), p, Origin::Validation)
    });
    let made = made.collect();
    Honest::new(made, Target::Classes { classes: names, codes }, vec![0; rows], None, None).unwrap()
}

/// The same for values, all above zero: members with a bias and a spread of their own.
pub(crate) fn values(rows: usize, members: usize, masked: bool) -> Honest {
    let mut rng = Seed::new(12).rng();
    let truth: Vec<f32> = (0..rows).map(|_| 3.0 + 10.0 * rng.random::<f32>()).collect();
    let made = (0..members).map(|m| {
        let spread = 4.0 / (m + 1) as f32;
        let said = truth.iter().map(|y| y + spread * (rng.random::<f32>() - 0.4)).collect();
        let p = Predictions::values(ids(rows), said, absent(rows, m, masked)).unwrap();
        (format!("m{m}"), p, Origin::OutOfFold)
    });
    let made = made.collect();
    Honest::new(made, Target::Values(truth), vec![0; rows], None, None).unwrap()
}

fn ids(rows: usize) -> Vec<u64> {
    (0..rows as u64).map(|r| 100 + r).collect()
}

fn absent(rows: usize, member: usize, masked: bool) -> Mask {
    (0..rows).map(|r| masked && (r == 3 || (r + 3 * member).is_multiple_of(7))).collect()
}

/// The members' predictions, as a composition is given them.
pub(crate) fn said(honest: &Honest) -> Vec<Predictions> {
    honest.predictions().cloned().collect()
}

/// The same members and truth with other folds and groups.
pub(crate) fn regrouped(honest: &Honest, group: Option<Vec<u64>>, fold: Vec<u32>) -> Result<Honest> {
    Honest::new(named(honest), honest.target().clone(), fold, group, None)
}

/// Members as `Honest::new` takes them.
pub(crate) fn named(honest: &Honest) -> Vec<(String, Predictions, Origin)> {
    let names = honest.names();
    let origins = honest.origins();
    honest.predictions().zip(names).zip(origins).map(|((p, n), o)| (n.to_owned(), p.clone(), o)).collect()
}

/// Raw inputs of `rows` rows: a number with gaps, a level with gaps, a picture with gaps.
pub(crate) fn inputs(rows: usize) -> Memory {
    let mut rng = Seed::new(13).rng();
    let schema = Schema {
        fields: vec![
            Field::new("age", Kind::Number),
            Field::new("color", Kind::Category),
            Field::new("picture", Kind::Image),
        ],
    };
    let missing: Mask = (0..rows).map(|r| r % 11 == 5).collect();
    let mut pictures = Images::default();
    for r in 0..rows {
        if r % 5 == 0 {
            pictures.push_absent();
        } else {
            pictures.push([2, 2, 1], &[r as u8, (3 * r % 256) as u8, 7, 200]).unwrap();
        }
    }
    let batch = Batch::new(ids(rows))
        .with(
            "age",
            Column::Number { values: (0..rows).map(|_| rng.random()).collect(), missing: missing.clone() },
        )
        .unwrap()
        .with(
            "color",
            Column::Category {
                levels: std::sync::Arc::new(vec!["red".into(), "blue".into(), "never".into()]),
                codes: (0..rows).map(|_| rng.random_range(0..2)).collect(),
                missing,
            },
        )
        .unwrap()
        .with("picture", Column::Image(pictures))
        .unwrap();
    Memory::new(schema, batch).unwrap()
}

/// Loaders of this room and of those below.
pub(crate) fn loaders() -> Loaders {
    Loaders {
        fused: crate::fuse::LOADERS.iter().chain(crate::calibrate::LOADERS).copied().collect(),
        learners: crate::learners::LOADERS.iter().copied().collect(),
        ..Loaders::default()
    }
}
