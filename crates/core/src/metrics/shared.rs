//! Test data: predictions on the credit data and the digits, from the shared folder.

use std::path::PathBuf;

use crate::array::Matrix;
use crate::model::{Classes, Mask, Predictions, Target};

/// The folder, or `None` with a line that says so; a failure where it is required.
fn folder() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let root = std::env::var("CSL_SHARED").unwrap_or_else(|_| default.to_owned());
    let path = PathBuf::from(root).join("data/fusion/predictions");
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CSL_REQUIRE_SHARED").as_deref() != Ok("1"), "{} is not there", path.display());
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// Shape and numbers of a version 1 npy file of 64-bit floats or 32-bit integers in C order.
fn npy(path: PathBuf) -> (Vec<usize>, Vec<f64>) {
    let bytes = std::fs::read(path).unwrap();
    let head = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let text = std::str::from_utf8(&bytes[10..10 + head]).unwrap();
    assert!(text.contains("'fortran_order': False"), "{text}");
    let shape = text.split('(').nth(1).unwrap().split(')').next().unwrap();
    let shape = shape.split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let body = &bytes[10 + head..];
    let numbers = if text.contains("<f8") {
        body.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    } else {
        assert!(text.contains("<i4"), "{text}");
        body.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect()
    };
    (shape, numbers)
}

/// The truth of the test rows, and the members' predictions by refitted models: `("credit" | "digits")`.
pub(super) fn members(name: &str) -> Option<(Target, Vec<Predictions>)> {
    let folder = folder()?;
    let (shape, p) = npy(folder.join(format!("{name}_test_refit.npy")));
    let (_, y) = npy(folder.join(format!("{name}_y_test.npy")));
    let classes = Classes::new((0..shape[2]).map(|k| k.to_string()).collect()).unwrap();
    let size = shape[1] * shape[2];
    let one = |m: usize| {
        let p = p[m * size..(m + 1) * size].iter().map(|v| *v as f32).collect();
        let p = Matrix::from_shape_vec((shape[1], shape[2]), p).unwrap();
        let ids = (0..shape[1] as u64).collect();
        Predictions::probabilities(ids, classes.clone(), p, Mask::none(shape[1])).unwrap()
    };
    let members = (0..shape[0]).map(one).collect();
    Some((
        Target::Classes { classes: classes.clone(), codes: y.iter().map(|v| *v as u32).collect() },
        members,
    ))
}

/// The simplex weights of the members, found by SLSQP on out-of-fold rows.
pub(super) fn weights(name: &str) -> Vec<f64> {
    npy(folder().unwrap().join(format!("{name}_slsqp_w.npy"))).1
}

/// `sum_m w_m p_m`.
pub(super) fn pool(members: &[Predictions], w: &[f64]) -> Predictions {
    let first = &members[0];
    let mut sum = ndarray::Array2::<f64>::zeros(first.p().unwrap().raw_dim());
    for (p, w) in members.iter().zip(w) {
        sum += &p.p().unwrap().mapv(|v| w * f64::from(v));
    }
    let classes = first.task().classes().unwrap().clone();
    let p = sum.mapv(|v| v as f32);
    Predictions::probabilities(first.ids().to_vec(), classes, p, first.absent().clone()).unwrap()
}
