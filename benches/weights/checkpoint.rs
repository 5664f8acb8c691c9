//! A checkpoint of 45 MB, of the tensors of ResNet-18: opened, and all of it read as 32-bit floats.
//!
//! `checkpoint FILE [SECONDS]`; a `.safetensors` FILE that is not there is made. Prints a line of JSON: median, least, count and the
//! peak of resident memory.

// A bench prints, and what fails in it is a mistake in it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use consilience_core::model::Array;
use consilience_core::weights::{Checkpoint, matching, write_arrays};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let Some(path) = arguments.first().map(Path::new) else { return };
    let seconds: f64 = arguments.get(1).and_then(|s| s.parse().ok()).unwrap_or(2.0);
    if !path.exists() {
        write_arrays(path, &resnet18()).unwrap();
    }
    let read = || {
        let checkpoint = Checkpoint::open(path).unwrap();
        let wanted = checkpoint.tensors().iter().map(|t| (t.name().to_owned(), t.shape().to_vec())).collect();
        matching(&checkpoint, &wanted, &[]).unwrap()
    };
    let bytes: usize = read().values().map(Array::bytes).sum();
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.len() < 3 || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        drop(std::hint::black_box(read()));
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let (median, least, n) = (times[times.len() / 2], times[0], times.len());
    println!(
        "{{\"wl\": \"{}\", \"mb\": {:.1}, \"ms\": {median:.2}, \"min\": {least:.2}, \"n\": {n}, \"rss\": {}}}",
        path.extension().unwrap_or_default().to_string_lossy(),
        bytes as f64 / 1e6,
        peak()
    );
}

/// The names and shapes of torchvision's ResNet-18, with numbers that differ.
fn resnet18() -> BTreeMap<String, Array> {
    let mut arrays = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let numbers = (0..shape.iter().product()).map(|i: usize| (i % 1013) as f32 * 1e-3).collect();
        arrays.insert(name, Array::F32(shape.to_vec(), numbers));
    };
    let mut convolution = |conv: String, norm: String, shape: [usize; 4]| {
        add(format!("{conv}.weight"), &shape);
        for part in ["weight", "bias", "running_mean", "running_var"] {
            add(format!("{norm}.{part}"), &shape[..1]);
        }
    };
    convolution("conv1".to_owned(), "bn1".to_owned(), [64, 3, 7, 7]);
    for (layer, width) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let name = format!("layer{}.{block}", layer + 1);
            let input = if block == 0 && layer > 0 { width / 2 } else { width };
            convolution(format!("{name}.conv1"), format!("{name}.bn1"), [width, input, 3, 3]);
            convolution(format!("{name}.conv2"), format!("{name}.bn2"), [width, width, 3, 3]);
            if input != width {
                let down = format!("{name}.downsample");
                convolution(format!("{down}.0"), format!("{down}.1"), [width, input, 1, 1]);
            }
        }
    }
    add("fc.weight".to_owned(), &[1000, 512]);
    add("fc.bias".to_owned(), &[1000]);
    arrays
}

/// The peak of resident memory in MB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
