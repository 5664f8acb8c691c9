//! Where networks are computed: each device in a process of its own.

use serde_json::Value;

use super::sandbox::{Sandbox, classes};

const RECIPE: &str = "\
version: 1
name: three
task: classify
seed: 7
data:
  table: t.csv
  columns:
    id: {role: id}
    y: {role: target}
split: {holdout: 0.3}
members:
  network: {fit: mlp, on: [table], hidden: [16], epochs: 20, inner: 0}
judge: {choose: log_loss, report: [accuracy], resamples: 200}
";

/// The log-loss of the network, or what the program said instead.
fn log_loss(device: &str) -> Result<f64, String> {
    let sandbox = Sandbox::with(&classes(240, 3, 5), RECIPE);
    let ran = sandbox.csl(&["run", "r.yaml", "--json", "--device", device]);
    if ran.code != Some(0) {
        return Err(format!("{}{}", ran.out, ran.err));
    }
    let outcome = ran.json();
    let found = |list: &Value, key: &str, name: &str| -> Value {
        list.as_array().unwrap().iter().find(|v| v[key] == name).unwrap().clone()
    };
    let scores = found(&outcome["candidates"], "name", "network")["scores"].clone();
    Ok(found(&scores, "metric", "log_loss")["value"].as_f64().unwrap())
}

#[test]
fn a_gpu_agrees_with_the_processor_where_there_is_one() {
    let cpu = log_loss("cpu").unwrap();
    for device in ["cuda", "wgpu"] {
        match log_loss(device) {
            // Twenty epochs of the same steps in another order of sums.
            Ok(gpu) => assert!((gpu - cpu).abs() < 0.01 * cpu, "{device}: {gpu}, cpu: {cpu}"),
            Err(why) if why.contains(&format!("there is no {}", device.replace("cuda", "CUDA"))) => {
                assert!(why.contains("--device cpu"), "{why}");
                eprintln!("skipped on {device}: {}", why.lines().next().unwrap_or_default());
            }
            Err(why) => panic!("{device}: {why}"),
        }
    }
}

#[test]
fn a_device_that_is_not_there_is_refused_with_what_to_do() {
    let sandbox = Sandbox::with(&classes(60, 3, 5), RECIPE);
    sandbox.csl(&["run", "r.yaml", "--device", "abacus"]).fails(2, &["abacus", "auto, cpu, cuda, wgpu"]);
    sandbox.csl(&["list", "--device", "cpu"]).fine();
    let known = sandbox.csl(&["doctor"]).fine().out;
    if known.contains("cuda: not in this build") {
        let says = ["there is no CUDA device", "--features cuda", "--device cpu"];
        sandbox.csl(&["run", "r.yaml", "--device", "cuda"]).fails(2, &says);
        sandbox.no_run();
    }
}
