//! What mergekit reads is read, and means the same.

use std::path::Path;

use consilience_core::weights::{Checkpoint, Dtype};
use serde_json::Value;

use crate::tiny::{How, llamas, numbers, refused};

/// The parameters of the first tensor of a merge, and what was told.
fn parameters(text: &str, root: &Path) -> (Value, String) {
    let (ready, told) =
        How::default().check(text, root).unwrap_or_else(|e| panic!("{text}{}", refused::<()>(Err(e))));
    let of = |name: &str| match &ready[0].plan.jobs.iter().find(|j| j.name.contains(name)).unwrap().act {
        consilience_merge::plan::Act::Merge { parameters, .. } => parameters.clone(),
        consilience_merge::plan::Act::Same(_) => Value::Null,
    };
    (Value::Array(vec![of("mlp"), of("norm")]), told.render(false))
}

#[test]
fn values_of_other_kinds_are_what_python_takes_them_for() {
    let dir = llamas();
    let of = |normalize: &str| {
        let text = format!(
            "merge_method: linear\nmodels: [a, b]\nparameters: {{weight: 1, normalize: {normalize}}}\n"
        );
        let (all, told) = parameters(&text, dir.path());
        assert!(told.is_empty(), "{told}");
        [all[0]["normalize"].as_bool().unwrap(), all[1]["normalize"].as_bool().unwrap()]
    };
    for (text, mlp, norm) in [
        ("1.0", true, true),
        ("0", false, false),
        ("0.0", false, false),
        ("yes", true, true),
        ("[{filter: mlp, value: 0}, {value: 1}]", false, true),
    ] {
        assert_eq!(of(text), [mlp, norm], "{text}");
    }
    for (text, weight) in [("\"0.3\"", 0.3), ("1_0.0", 10.0), ("'1e-2'", 0.01)] {
        let text = format!("merge_method: linear\nmodels: [a, b]\nparameters: {{weight: {text}}}\n");
        assert_eq!(parameters(&text, dir.path()).0[0]["weight"][1], weight, "{text}");
    }
}

#[test]
fn words_and_lines_of_mergekit_are_known() {
    let dir = llamas();
    let root = dir.path();
    let text = "%YAML 1.1\n---\nmerge_method: linear\nmodels: [a, b]\nparameters: {weight: 1, embed_slerp: true}\n\
                dtype: torch.float16\narchitecture: foo\n";
    let (_, told) = parameters(text, root);
    assert!(told.contains("0 errors") || !told.contains("error"), "{told}");
    assert!(
        told.contains("embed_slerp has no effect") && told.contains("architecture has no effect"),
        "{told}"
    );
    How::default()
        .merge(text, root, &root.join("out"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    let made = Checkpoint::open(&root.join("out/model.safetensors")).unwrap();
    assert!(made.tensors().iter().all(|t| t.dtype() == Dtype::F16));
}

#[test]
fn numbers_that_two_versions_of_yaml_read_differently_are_refused() {
    let dir = llamas();
    let told = |number: &str| {
        let text = format!("merge_method: linear\nmodels: [a, b]\nparameters: {{weight: {number}}}\n");
        How::default().check(&text, dir.path()).map(|_| ()).map_err(|e| refused::<()>(Err(e)))
    };
    let shown = told("010").unwrap_err();
    assert!(shown.contains("write 8 or 10") && shown.contains("3:22"), "{shown}");
    for same in ["01", "08", "10", "0.10", "'010'"] {
        assert!(told(same).is_ok(), "{same}");
    }
}

#[test]
fn what_is_one_for_all_members_is_not_taken_from_one() {
    let dir = llamas();
    let root = dir.path();
    let merge = |text: &str| {
        let out = root.join("out");
        let (_, told) =
            How::default().merge(text, root, &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
        let made = Checkpoint::open(&out.join("model.safetensors")).unwrap();
        (made.read_f32("model.norm.weight").unwrap(), told.render(false))
    };
    let text = "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1, normalize: false}}\n\
                - {model: b, parameters: {weight: 3}}\n";
    let (own, told) = merge(text);
    let (a, b) = (numbers("model.norm.weight", 4, 1), numbers("model.norm.weight", 4, 2));
    for ((own, a), b) in own.iter().zip(a).zip(b) {
        assert!((own - (a + 3.0 * b) / 4.0).abs() < 1e-6);
    }
    assert!(
        told.contains("\"normalize\" of a single member has no effect") && told.contains(":3:"),
        "{told}"
    );
    let task = |lambda: &str| {
        let text = format!(
            "merge_method: task_arithmetic\nbase_model: c\nmodels:\n- {{model: a, parameters: {{weight: 1{lambda}}}}}\n\
             - {{model: b, parameters: {{weight: 3}}}}\n"
        );
        merge(&text).0
    };
    assert_eq!(task(", lambda: 2"), task(""));
    let text = "merge_method: slerp\nbase_model: a\nmodels:\n- {model: b, parameters: {t: 0.5}}\n";
    let shown = refused(How::default().check(text, root));
    assert!(shown.contains("cannot do without t") && shown.contains("\"t\" of a single member"), "{shown}");
}
