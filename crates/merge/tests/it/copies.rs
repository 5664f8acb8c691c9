//! One model that is taken as it is: its bytes are copied.

use std::fs;

use consilience_core::weights::Checkpoint;
use consilience_merge::run::OnNonfinite;

use crate::tiny::{How, error, merge, raw, refused, write};

#[test]
fn numbers_of_64_bits_are_copied_and_not_rounded() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let doubles = |all: &[f64]| all.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let values = doubles(&[0.1, 1e300, -1e-300, 1.0 + f64::EPSILON]);
    write(&root.join("a/model.safetensors"), &[raw("w", "F64", &[4], values.clone())]);
    let text = "merge_method: passthrough\nmodels: [a]\n";
    let bytes = |out: &str| {
        let made = Checkpoint::open(&root.join(out).join("model.safetensors")).unwrap();
        let tensor = made.tensor("w").unwrap();
        let mut bytes = vec![0; tensor.len() * tensor.dtype().bytes()];
        made.read_bytes(tensor, 0, &mut bytes).unwrap();
        bytes
    };
    merge(text, root, &root.join("out")).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(bytes("out"), values);
    // With anything to be computed it is no copy.
    for more in ["dtype: float32\n", "parameters: {scale: 2}\n"] {
        let done = merge(&format!("{text}{more}"), root, &root.join("other"));
        assert!(error(done).to_string().contains("1"), "1e300 is no number of 32 bits");
    }
    // What is not finite is found all the same.
    let odd = doubles(&[0.5, f64::NAN]);
    write(&root.join("a/model.safetensors"), &[raw("w", "F64", &[2], odd.clone())]);
    let told = error(merge(text, root, &root.join("out")));
    assert!(told.exit_code() == 3 && told.to_string().contains("position 1"), "{told}");
    let keep = How { on_nonfinite: OnNonfinite::Keep, ..How::default() };
    let (merged, _) = keep.merge(text, root, &root.join("out")).unwrap_or_else(|_| panic!());
    assert!(bytes("out") == odd && merged.notes.iter().any(|n| n.contains("not finite")), "{merged:?}");
    assert!(fs::read(root.join("out/provenance.json")).is_ok());
}
