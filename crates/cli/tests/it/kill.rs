//! A run that is killed or interrupted anywhere goes on where it was and ends with the same bytes.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::sandbox::{Chance, Sandbox, same_bytes};
use super::whole_way::{RECIPE, table};

/// How many times a run is killed.
const TIMES: usize = 50;

/// Starts `arguments` and kills them after a random delay, again and again; how often they had not ended by themselves.
fn kill_often(sandbox: &Sandbox, arguments: &[&str], least: u64, most: u64, seed: u64) -> usize {
    let mut chance = Chance(seed);
    let mut killed = 0;
    for _ in 0..TIMES {
        let mut child =
            sandbox.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(least + chance.bits() % (most - least)));
        child.kill().unwrap();
        // No exit code: it was the signal that ended it.
        killed += usize::from(child.wait().unwrap().code().is_none());
    }
    killed
}

/// How long a command takes that does what is asked.
fn millis(sandbox: &Sandbox, arguments: &[&str]) -> u64 {
    let begin = Instant::now();
    sandbox.csl(arguments).fine();
    u64::try_from(begin.elapsed().as_millis()).unwrap()
}

#[test]
fn fifty_kills_change_no_byte() {
    let sandbox = Sandbox::with(&table(), RECIPE);
    let calm = ["run", "r.yaml", "--runs", "calm"];
    let whole = millis(&sandbox, &calm);
    let kept = millis(&sandbox, &calm);
    // Anywhere up to a little after the end of a run whose steps are all kept: once the steps are there, the writing of
    // the run itself is killed too.
    let killed = kill_often(&sandbox, &["run", "r.yaml"], 2, kept + kept / 4 + 3, 11);
    assert!(killed >= TIMES / 4, "only {killed} runs were killed");
    sandbox.csl(&["run", "r.yaml"]).fine();
    sandbox.nothing_half_written();
    same_bytes(&sandbox.run("calm"), &sandbox.run("runs"));
    // A whole run, killed while it does everything again.
    let killed = kill_often(&sandbox, &["run", "r.yaml", "--fresh"], 2, (whole / 2).clamp(3, 80), 12);
    assert!(killed >= TIMES / 4, "only {killed} runs were killed");
    sandbox.csl(&["run", "r.yaml"]).fine();
    sandbox.nothing_half_written();
    same_bytes(&sandbox.run("calm"), &sandbox.run("runs"));
}

#[test]
#[ignore = "minutes: the whole demo, killed fifty times"]
fn fifty_kills_change_no_byte_of_the_demo() {
    let sandbox = Sandbox::new();
    let whole = millis(&sandbox, &["demo", "--runs", "calm"]);
    let killed = kill_often(&sandbox, &["demo"], 10, whole / 15 + 20, 13);
    assert!(killed >= TIMES / 4, "only {killed} runs were killed");
    sandbox.csl(&["demo"]).fine();
    sandbox.nothing_half_written();
    same_bytes(&sandbox.run("calm"), &sandbox.run("runs"));
}

fn finished_steps(store: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(store) else { return 0 };
    entries.flatten().filter(|e| e.path().join("done.json").is_file()).count()
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_so_and_goes_on() {
    let sandbox = Sandbox::with(&table(), RECIPE);
    let child =
        sandbox.command(&["run", "r.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while finished_steps(&sandbox.path("runs/.store")) < 2 {
        assert!(begin.elapsed() < Duration::from_secs(60), "no step was done in a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted") && said.contains("run the same command to go on"), "{said}");
    sandbox.no_run();
    let kept = finished_steps(&sandbox.path("runs/.store"));
    assert!(kept >= 2);
    sandbox.csl(&["run", "r.yaml"]).fine();
    sandbox.csl(&["run", "r.yaml", "--runs", "calm"]).fine();
    sandbox.nothing_half_written();
    same_bytes(&sandbox.run("calm"), &sandbox.run("runs"));
}

#[cfg(unix)]
#[test]
fn a_check_that_is_interrupted_ends_at_once() {
    let sandbox = Sandbox::with(&super::sandbox::classes(300_000, 2, 5), super::sandbox::SMALL);
    let mut child =
        sandbox.command(&["check", "r.yaml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    // No code: the signal came before the program could catch it.
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(130) | None), "{code:?}: it went on to its end");
}
