//! A merge that ends in the middle: killed, stopped, out of space, not alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use consilience_core::Error;
use consilience_core::model::{Progress, Stop};
use consilience_merge::model::Places;
use consilience_merge::plan::Options;
use consilience_merge::run::{OnNonfinite, verify};

use crate::tiny::{How, contents, drawn, error, llamas, merge, names, refused, write};

const KILLS: usize = 100;
/// How the child of these tests learns what to do.
const ROOT: &str = "CSL_TEST_MERGE_ROOT";
const WEIGHT: &str = "CSL_TEST_MERGE_WEIGHT";
const RESUME: &str = "CSL_TEST_MERGE_RESUME";

fn linear(weight: &str) -> String {
    format!(
        "merge_method: linear\nmodels:\n- {{model: a, parameters: {{weight: {weight}}}}}\n\
         - {{model: b, parameters: {{weight: 1}}}}\n"
    )
}

/// Eight files of 80 KB each.
fn how() -> How {
    How { options: Options { shard_bytes: Some(80_000), ..Options::default() }, ..How::default() }
}

fn members() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let tensors: Vec<_> = (0..8).map(|i| drawn(&format!("layers.{i}.w"), &[100, 200], seed)).collect();
        write(&dir.path().join(name).join("model.safetensors"), &tensors);
    }
    dir
}

/// Not a test: what the others start and kill.
#[test]
#[ignore = "a child of the other tests"]
fn child() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let weight = std::env::var(WEIGHT).unwrap();
    let how = How { resume: std::env::var_os(RESUME).is_some(), ..how() };
    let (merged, _) =
        how.merge(&linear(&weight), &root, &root.join("out")).map_err(|e| refused::<()>(Err(e))).unwrap();
    println!("kept {}", merged.kept);
}

fn spawn(root: &Path, weight: &str, resume: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "durability::child", "--nocapture", "--ignored", "--test-threads", "1"]);
    command.env(ROOT, root).env(WEIGHT, weight).stdout(Stdio::null()).stderr(Stdio::null());
    if resume {
        command.env(RESUME, "1");
    }
    command.spawn().unwrap()
}

/// A number from 0 to 1 that differs from time to time.
fn draw(i: usize) -> f64 {
    let x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1u64 << 53) as f64
}

#[test]
fn a_killed_merge_leaves_the_old_result_or_the_new_one_and_goes_on() {
    let dir = members();
    let root = dir.path();
    let out = root.join("out");
    let whole = |weight: &str| {
        let other = root.join(format!("wanted-{weight}"));
        how().merge(&linear(weight), root, &other).map_err(|e| refused::<()>(Err(e))).unwrap();
        contents(&other)
    };
    let results = [whole("2"), whole("3")];
    assert_eq!(results[0].keys().filter(|k| k.ends_with(".safetensors")).count(), 8);
    how().merge(&linear("2"), root, &out).map_err(|e| refused::<()>(Err(e))).unwrap();
    // How long one takes, so that the kills fall on all of it.
    let begun = std::time::Instant::now();
    assert!(spawn(root, "2", false).wait().unwrap().success());
    let length = begun.elapsed();
    let (mut halves, mut gone_on, mut changed) = (0, 0, 0);
    let mut old = 0;
    for i in 0..KILLS {
        let new = 1 - old;
        let weight = ["2", "3"][new];
        let mut child = spawn(root, weight, false);
        std::thread::sleep(length.mul_f64(draw(i) * 1.2));
        let _ = child.kill();
        child.wait().unwrap();
        // Whatever was cut off: the old result or the new one, all of it, at any time.
        let there = contents(&out);
        assert!(
            there == results[old] || there == results[new],
            "a mixture after kill {i}: {:?}",
            there.keys()
        );
        let verdict = verify(&out, &Places::of(&root.join("merge.yaml"))).unwrap();
        assert!(verdict.wrong.is_empty() && verdict.changed.is_empty(), "{verdict:?}");
        changed += usize::from(there == results[new]);
        let journal = root.join(".csl-merge-out/journal.jsonl");
        let finished = fs::read_to_string(&journal).map_or(0, |t| t.matches('\n').count().saturating_sub(1));
        halves += usize::from(finished > 0);
        let how = How { resume: true, ..how() };
        if i % 2 == 0 {
            let (merged, _) =
                how.merge(&linear(weight), root, &out).map_err(|e| refused::<()>(Err(e))).unwrap();
            assert!(merged.kept >= finished, "{} files kept of {finished}", merged.kept);
            gone_on += usize::from(merged.kept > 0);
        } else {
            // Without resume everything is made anew, and what was left is gone as well.
            let how = How { resume: false, ..how };
            assert_eq!(
                how.merge(&linear(weight), root, &out).map_err(|e| refused::<()>(Err(e))).unwrap().0.kept,
                0
            );
        }
        assert!(contents(&out) == results[new], "other bytes after kill {i}");
        assert_eq!(names(root), ["a", "b", "out", "wanted-2", "wanted-3"]);
        old = new;
    }
    println!("{halves} of {KILLS} killed with finished files, {gone_on} gone on, {changed} already done");
    assert!(halves > 0 && gone_on > 0, "{halves} {gone_on} {changed}");
}

/// Asks to stop when a tensor's turn comes.
struct StopAt<'a>(&'a Stop, &'a str);

impl Progress for StopAt<'_> {
    fn step(&self, _: u64, _: u64, note: &str) {
        if note == self.1 {
            self.0.request();
        }
    }
}

/// Stops a merge at a tensor.
fn stop_at(how: &How, text: &str, root: &Path, tensor: &str) -> Error {
    let how = How { stop: Stop::default(), ..how.clone() };
    error(how.watched(text, root, &root.join("out"), &StopAt(&how.stop, tensor)))
}

#[test]
fn a_stopped_merge_goes_on_where_it_was() {
    let dir = members();
    let root = dir.path();
    let out = root.join("out");
    assert_eq!(stop_at(&how(), &linear("2"), root, "layers.0.w").exit_code(), 130);
    assert_eq!(names(root), ["a", "b"], "nothing was finished, and nothing is kept");
    assert_eq!(stop_at(&how(), &linear("2"), root, "layers.5.w").exit_code(), 130);
    assert!(!out.exists());
    // A line that was cut, and a file that was begun.
    let hidden = root.join(".csl-merge-out");
    let journal = hidden.join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("{text}{{\"file\": \"model-000")).unwrap();
    fs::write(hidden.join("model-00006-of-00008.safetensors"), "half").unwrap();
    let resume = How { resume: true, ..how() };
    assert_eq!(stop_at(&resume, &linear("2"), root, "layers.6.w").exit_code(), 130);
    let (merged, _) =
        resume.merge(&linear("2"), root, &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(merged.kept, 6);
    how()
        .merge(&linear("2"), root, &root.join("whole"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert!(contents(&out) == contents(&root.join("whole")));
    // Where nothing was begun, going on is beginning.
    assert_eq!(resume.merge(&linear("2"), root, &root.join("other")).unwrap_or_else(|_| panic!()).0.kept, 0);
}

#[test]
fn notes_of_files_that_were_finished_before_are_kept() {
    let dir = members();
    let root = dir.path();
    let mut bad = vec![0.5f32; 20_000];
    bad[7] = f32::NAN;
    let mut tensors = vec![crate::tiny::f32s("layers.0.w", &[100, 200], &bad)];
    tensors.extend((1..8).map(|i| drawn(&format!("layers.{i}.w"), &[100, 200], 9)));
    write(&root.join("a/model.safetensors"), &tensors);
    let keep = How { on_nonfinite: OnNonfinite::Keep, ..how() };
    keep.merge(&linear("2"), root, &root.join("whole")).unwrap_or_else(|_| panic!());
    assert_eq!(stop_at(&keep, &linear("2"), root, "layers.3.w").exit_code(), 130);
    let other = error(How { resume: true, ..how() }.merge(&linear("2"), root, &root.join("out")));
    assert_eq!(other.exit_code(), 2, "what was kept may hold what the other way forbids: {other}");
    let (merged, _) = How { resume: true, ..keep }
        .merge(&linear("2"), root, &root.join("out"))
        .unwrap_or_else(|_| panic!());
    assert!(merged.kept == 3 && merged.notes.iter().any(|n| n.contains("layers.0.w")), "{merged:?}");
    assert!(contents(&root.join("out")) == contents(&root.join("whole")));
}

#[test]
fn what_changed_meanwhile_is_not_gone_on_with() {
    let dir = members();
    let root = dir.path();
    let out = root.join("out");
    let again = |how: &How, text: &str| {
        let error = error(How { resume: true, ..how.clone() }.merge(text, root, &out));
        assert!(error.exit_code() == 2 && error.to_string().contains("another merge"), "{error}");
    };
    stop_at(&how(), &linear("2"), root, "layers.5.w");
    again(&how(), &linear("3"));
    again(&How { options: Options { seed: 1, ..how().options }, ..how() }, &linear("2"));
    again(
        &How { options: Options { shard_bytes: Some(160_000), ..Options::default() }, ..how() },
        &linear("2"),
    );
    let member = root.join("a/model.safetensors");
    let (bytes, time) = (fs::read(&member).unwrap(), fs::metadata(&member).unwrap().modified().unwrap());
    // As large and as old as before.
    std::thread::sleep(Duration::from_millis(20));
    fs::write(&member, &bytes).unwrap();
    fs::File::options().write(true).open(&member).unwrap().set_modified(time).unwrap();
    again(&how(), &linear("2"));
    assert!(!out.exists());
    // Begun anew it is the merge of what is there now.
    how().merge(&linear("2"), root, &out).unwrap_or_else(|_| panic!());
    assert_eq!(names(root), ["a", "b", "out"]);
}

/// Runs something when a tensor's turn comes.
struct Then<F>(&'static str, F);

impl<F: Fn() + Send + Sync> Progress for Then<F> {
    fn step(&self, _: u64, _: u64, note: &str) {
        if note == self.0 {
            (self.1)();
        }
    }
}

#[test]
fn a_second_merge_into_the_same_folder_is_refused() {
    let dir = members();
    let root = dir.path();
    let out = root.join("out");
    let tried = AtomicUsize::new(0);
    let second = Then("layers.4.w", || {
        for resume in [true, false] {
            let done = How { resume, ..how() }.merge(&linear("3"), root, &out);
            let error = error(done);
            assert!(error.exit_code() == 2 && error.to_string().contains("another process"), "{error}");
            tried.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (merged, _) = how().watched(&linear("2"), root, &out, &second).unwrap_or_else(|_| panic!());
    assert_eq!((tried.into_inner(), merged.files.len()), (2, 8));
    assert_eq!(names(root), ["a", "b", "out"]);
}

#[test]
fn a_model_that_changes_while_it_is_merged_is_found() {
    let dir = members();
    let root = dir.path();
    let change = Then("layers.4.w", || {
        let path = root.join("b/model.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    });
    let error = error(how().watched(&linear("2"), root, &root.join("out"), &change));
    assert!(error.to_string().contains("has changed while it was merged"), "{error}");
    assert_eq!(names(root), ["a", "b"]);
}

#[test]
fn what_comes_into_the_way_meanwhile_stays() {
    let dir = members();
    let root = dir.path();
    let out = root.join("out");
    let put = Then("layers.4.w", || {
        fs::create_dir(&out).unwrap();
        fs::write(out.join("letter.txt"), "dear").unwrap();
    });
    let error = error(how().watched(&linear("2"), root, &out, &put));
    assert!(error.exit_code() == 2 && error.to_string().contains("something else in the way"), "{error}");
    assert_eq!(
        (names(root), names(&out)),
        (vec!["a".into(), "b".into(), "out".into()], vec!["letter.txt".into()])
    );
}

#[test]
fn only_a_merge_an_empty_folder_or_what_may_be_replaced_gives_way() {
    let dir = llamas();
    let root = dir.path();
    let text = "merge_method: linear\nmodels: [a, b]\nparameters: {weight: 1}\n";
    let out = root.join("out");
    let refuse = |how: &How, out: &Path| {
        let error = error(how.merge(text, root, out));
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    fs::create_dir(&out).unwrap();
    merge(text, root, &out).unwrap_or_else(|_| panic!());
    merge(text, root, &out).unwrap_or_else(|_| panic!());
    fs::create_dir(root.join("work")).unwrap();
    fs::write(root.join("work/letter.txt"), "dear").unwrap();
    assert!(refuse(&How::default(), &root.join("work")).contains("--replace"));
    let replace = How { replace: true, ..How::default() };
    replace.merge(text, root, &root.join("work")).unwrap_or_else(|_| panic!());
    assert!(!root.join("work/letter.txt").exists());
    // A file is never replaced, nor a model of the merge, nor what holds one.
    fs::write(root.join("file"), "x").unwrap();
    refuse(&replace, &root.join("file"));
    for inside in [root.join("a"), root.to_path_buf()] {
        assert!(refuse(&replace, &inside).contains("made of"), "{}", inside.display());
    }
    for nameless in ["..", ".", "/", ""] {
        refuse(&replace, Path::new(nameless));
    }
    assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "x");
    // Inside a model's folder there is room.
    merge(text, root, &root.join("a/merged")).unwrap_or_else(|_| panic!());
    assert_eq!(names(&root.join("a")), ["config.json", "merged", "model.safetensors"]);
    // A merge as a member, and the goal in its place.
    let error = error(merge("merge_method: linear\nmodels: [out, b]\nparameters: {weight: 1}\n", root, &out));
    assert!(error.to_string().contains("made of"), "{error}");
}

#[test]
fn what_somebody_put_into_an_earlier_merge_is_not_lost() {
    let dir = llamas();
    let root = dir.path();
    let text = "merge_method: linear\nmodels: [a, b]\nparameters: {weight: 1}\n";
    let out = root.join("out");
    let again = |how: &How| how.merge(text, root, &out).map(|_| ());
    again(&How::default()).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    let before = contents(&out);
    let replace = How { replace: true, ..How::default() };
    let spoil: [(&str, &dyn Fn()); 5] = [
        ("precious.txt", &|| fs::write(out.join("precious.txt"), "dear").unwrap()),
        ("notes", &|| fs::create_dir(out.join("notes")).unwrap()),
        ("README.md (changed)", &|| fs::write(out.join("README.md"), "mine").unwrap()),
        ("config.json (changed)", &|| {
            let mut bytes = fs::read(out.join("config.json")).unwrap();
            let at = bytes.iter().position(|b| *b == b'4').unwrap();
            bytes[at] = b'5';
            fs::write(out.join("config.json"), bytes).unwrap();
        }),
        ("provenance.json (changed)", &|| {
            let text = fs::read_to_string(out.join("provenance.json")).unwrap();
            fs::write(out.join("provenance.json"), text.replace("\"seed\": 0", "\"seed\": 1")).unwrap();
        }),
    ];
    for (name, spoil) in spoil {
        spoil();
        let there = contents(&out);
        let told = error(again(&How::default()));
        assert!(told.exit_code() == 2 && told.to_string().contains(name), "{name}: {told}");
        assert!(told.to_string().contains("--replace"), "{told}");
        assert!(contents(&out) == there, "{name}");
        again(&replace).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
        assert!(contents(&out) == before, "{name}");
    }
    // What was lost already stops nobody.
    fs::remove_file(out.join("README.md")).unwrap();
    again(&How::default()).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    // The merge file itself, whatever may be lost.
    let own = out.join("mine.yaml");
    fs::write(&own, text.replace("a, b", "../a, ../b")).unwrap();
    let file = consilience_merge::MergeFile::read(&own).unwrap_or_else(|_| panic!());
    let how = How::default();
    let running = consilience_merge::run::Running {
        resume: false,
        replace: true,
        on_nonfinite: OnNonfinite::Stop,
        cache: None,
        stop: &how.stop,
        progress: &consilience_core::model::Quiet,
    };
    let told = error(file.merge(&out, &how.limits, &how.options, &running));
    assert!(told.exit_code() == 2 && told.to_string().contains("mine.yaml"), "{told}");
    assert!(own.exists());
    // It is foretold too.
    let (ready, _) = file.check(&how.limits, &how.options).unwrap_or_else(|_| panic!());
    assert!(file.foretell(&ready, &out, true).unwrap_err().to_string().contains("mine.yaml"));
    fs::rename(&own, root.join("a.yaml")).unwrap();
    assert!(
        file.foretell(&ready, &out, false).is_ok() && file.foretell(&ready, &root.join("a"), true).is_err()
    );
    fs::create_dir(root.join("full")).unwrap();
    fs::write(root.join("full/x"), "x").unwrap();
    assert_eq!(file.foretell(&ready, &root.join("full"), false).unwrap_err().exit_code(), 2);
}

#[test]
fn a_finished_file_that_changed_is_not_gone_on_with() {
    let dir = members();
    let root = dir.path();
    how().merge(&linear("2"), root, &root.join("whole")).unwrap_or_else(|_| panic!());
    assert_eq!(stop_at(&how(), &linear("2"), root, "layers.5.w").exit_code(), 130);
    let shard = root.join(".csl-merge-out/model-00003-of-00008.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&shard, bytes).unwrap();
    let resume = How { resume: true, ..how() };
    let (merged, _) = resume.merge(&linear("2"), root, &root.join("out")).unwrap_or_else(|_| panic!());
    assert_eq!(merged.kept, 2, "those before it");
    assert!(contents(&root.join("out")) == contents(&root.join("whole")));
}

#[test]
fn a_long_name_is_a_name() {
    let dir = llamas();
    let out = dir.path().join("n".repeat(250));
    let text = "merge_method: passthrough\nmodels: [a]\n";
    merge(text, dir.path(), &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert!(out.join("model.safetensors").exists());
    assert_eq!(names(dir.path()).len(), 4);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_odd_names_are_names() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    let dir = llamas();
    let root = dir.path();
    let text = "merge_method: linear\nmodels: [a, b]\nparameters: {weight: 1}\n";
    fs::create_dir(root.join("real")).unwrap();
    symlink(root.join("real"), root.join("link")).unwrap();
    merge(text, root, &root.join("link")).unwrap_or_else(|_| panic!());
    assert!(root.join("link").symlink_metadata().unwrap().is_symlink());
    assert!(root.join("real/provenance.json").exists());
    symlink(root.join("nowhere"), root.join("dangling")).unwrap();
    let error = error(merge(text, root, &root.join("dangling")));
    assert!(error.exit_code() == 2 && error.to_string().contains("link to nowhere"), "{error}");
    symlink(root.join("a"), root.join("to_a")).unwrap();
    let to_member =
        crate::tiny::error(How { replace: true, ..How::default() }.merge(text, root, &root.join("to_a")));
    assert!(to_member.to_string().contains("made of"), "{to_member}");
    let odd: &[&[u8]] =
        &[b"sp ace", "gr\u{f6}\u{df}e \u{1f600}".as_bytes(), b"not\xffutf8", b"line\nend", b"-o", b"'\"$x"];
    for name in odd {
        let out = root.join(std::ffi::OsStr::from_bytes(name));
        merge(text, root, &out).unwrap_or_else(|e| panic!("{out:?}: {}", refused::<()>(Err(e))));
        assert!(out.join("model.safetensors").exists());
    }
    assert!(names(root).iter().all(|n| !n.starts_with(".csl")), "{:?}", names(root));
    let places = [("/proc/nowhere/out", 74), ("/sys/out", 74)];
    for (place, code) in places {
        let error = crate::tiny::error(merge(text, root, Path::new(place)));
        assert_eq!(error.exit_code(), code, "{error}");
    }
}

/// A small disk, unmounted at the end. `None` where this user may mount none.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(kilobytes: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"]).arg(dir.path());
        let done = mount.stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        if !done {
            println!("skipped: this user may not mount a small disk");
        }
        done.then(|| Self(dir))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn is_full(error: &Error) {
    assert_eq!(error.exit_code(), 74, "{error}");
    assert!(
        matches!(error, Error::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull),
        "{error}"
    );
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let dir = members();
    let root = dir.path();
    // The plan sees it: 640 KB are needed.
    let Some(disk) = Disk::new(500) else { return };
    let out = disk.0.path().join("out");
    is_full(&error(how().merge(&linear("2"), root, &out)));
    assert!(names(disk.0.path()).is_empty(), "{:?}", names(disk.0.path()));
    drop(disk);
    // Space goes while files are written.
    let Some(disk) = Disk::new(1000) else { return };
    let out = disk.0.path().join("out");
    let eat = Then("layers.4.w", || fs::write(disk.0.path().join("other"), vec![1; 500_000]).unwrap());
    is_full(&error(how().watched(&linear("2"), root, &out, &eat)));
    assert_eq!(names(disk.0.path()), ["other"]);
    fs::remove_file(disk.0.path().join("other")).unwrap();
    // The weights fit, and what lies beside them does not.
    fs::write(root.join("a/tokenizer.json"), vec![b' '; 600_000]).unwrap();
    is_full(&error(how().merge(&linear("2"), root, &out)));
    assert!(names(disk.0.path()).is_empty(), "{:?}", names(disk.0.path()));
    fs::remove_file(root.join("a/tokenizer.json")).unwrap();
    // An earlier result stays whole.
    how().merge(&linear("2"), root, &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    let before = contents(&out);
    is_full(&error(how().merge(&linear("3"), root, &out)));
    assert!(contents(&out) == before && names(disk.0.path()) == ["out"]);
    let documents = format!("name: x\n{}---\nname: y\nmerge_method: passthrough\nmodels: [x]\n", linear("2"));
    fs::remove_dir_all(&out).unwrap();
    is_full(&error(how().merge(&documents, root, &out)));
    assert!(names(disk.0.path()).is_empty(), "{:?}", names(disk.0.path()));
}

#[test]
fn documents_go_on_where_they_were() {
    let dir = members();
    let root = dir.path();
    let text = |weight: &str| {
        format!(
            "name: x\n{}---\nname: y\nmerge_method: linear\nmodels: [x, b]\nparameters: {{weight: 1}}\n",
            linear(weight)
        )
    };
    how()
        .merge(&text("2"), root, &root.join("whole"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    /// Stops in the second document.
    struct Second<'a>(&'a Stop, AtomicUsize);
    impl Progress for Second<'_> {
        fn step(&self, _: u64, _: u64, note: &str) {
            if note == "layers.5.w" && self.1.fetch_add(1, Ordering::Relaxed) == 1 {
                self.0.request();
            }
        }
    }
    let stopping = how();
    let stopped =
        stopping.watched(&text("2"), root, &root.join("out"), &Second(&stopping.stop, AtomicUsize::new(0)));
    assert_eq!(error(stopped).exit_code(), 130);
    let resume = How { resume: true, ..how() };
    let other = error(resume.merge(&text("3"), root, &root.join("out")));
    assert!(other.to_string().contains("another merge"), "{other}");
    let other = stop_at(&how(), &text("2"), root, "layers.5.w");
    assert_eq!(other.exit_code(), 130);
    let (merged, _) = resume
        .merge(&text("2"), root, &root.join("out"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(merged.kept, 0, "the first document was stopped, the second not begun");
    for (name, bytes) in contents(&root.join("whole")) {
        let same = contents(&root.join("out"))[&name] == bytes;
        assert!(same, "{name}");
    }
    assert_eq!(names(root), ["a", "b", "out", "whole"]);
}
