//! The program as a user runs it: arguments, exit codes, what is printed.

use std::path::Path;
use std::process::{Command, Output};

fn csl(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_csl")).current_dir(dir).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn flags_of_merge_that_do_not_go_together() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("m.yaml"), "merge_method: passthrough\nmodels: [a]\n").unwrap();
    for (arguments, words) in [
        (&["merge", "m.yaml", "out", "--html", "page.html"][..], "--html writes what --analyze finds"),
        (&["merge", "--verify", "out", "--resume"], "--resume"),
        (&["merge", "absent.yaml", "out"], "no such merge file"),
        // With a folder, --check asks for no more than without one.
        (&["merge", "m.yaml", "out", "--check"], "not on this machine"),
    ] {
        let done = csl(dir.path(), arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        assert!(text(&done.stderr).contains(words), "{arguments:?}: {}", text(&done.stderr));
    }
}

#[test]
fn list_names_methods_and_helps_with_spelling() {
    let dir = tempfile::tempdir().unwrap();
    let all = csl(dir.path(), &["list"]);
    assert!(all.status.success());
    for name in
        ["logistic", "cnn", "soft_vote", "concat", "linear", "coral", "standardize", "rotate", "log_loss"]
    {
        assert!(text(&all.stdout).contains(name), "{name} is not listed");
    }
    let wrong = csl(dir.path(), &["list", "lerners"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("did you mean \"learners\""), "{}", text(&wrong.stderr));
    let json = csl(dir.path(), &["list", "metrics", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value[0]["kind"], "metrics");
}

#[test]
fn the_committed_schema_is_the_program_s() {
    let dir = tempfile::tempdir().unwrap();
    let printed = text(&csl(dir.path(), &["schema"]).stdout);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/schema/recipe.schema.json");
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(printed == committed, "run `just schema` and look at the difference");
}

#[test]
fn missing_recipes_and_broken_ones_end_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let missing = csl(dir.path(), &["run", "nothing.yaml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("there is no such recipe"));
    std::fs::write(dir.path().join("r.yaml"), "[".repeat(100_000)).unwrap();
    let deep = csl(dir.path(), &["check", "r.yaml"]);
    assert_eq!(deep.status.code(), Some(2), "{}", text(&deep.stderr));
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn doctor_and_runs_say_where_they_looked() {
    let dir = tempfile::tempdir().unwrap();
    let doctor = csl(dir.path(), &["doctor"]);
    assert!(doctor.status.success());
    assert!(text(&doctor.stdout).contains("can be written"));
    assert!(!dir.path().join("runs").exists());
    assert_eq!(csl(dir.path(), &["runs"]).status.code(), Some(2));
}

#[test]
fn doctor_says_what_computes_onnx_models_and_a_library_that_cannot_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("no-library.so"), "no library").unwrap();
    let doctor = |library: &std::ffi::OsStr| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_csl"));
        let out =
            command.current_dir(dir.path()).arg("doctor").env("ORT_DYLIB_PATH", library).output().unwrap();
        assert!(out.status.success(), "{}", text(&out.stderr));
        text(&out.stdout)
    };
    assert!(doctor("".as_ref()).contains("rten"), "{}", doctor("".as_ref()));
    for library in ["no-library.so", "nowhere.so"] {
        let said = doctor(dir.path().join(library).as_os_str());
        assert!(said.contains("built in") && said.contains(library), "{said}");
    }
}
