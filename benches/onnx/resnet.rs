//! An ONNX image network of input `image`, 3 x 224 x 224, and output `logits`, as our sessions compute it, in milliseconds:
//! `resnet FILE BATCH [SECONDS]`. The runtime is what `ORT_DYLIB_PATH` says; threads by RAYON_NUM_THREADS.
//!
//! Prints a line of JSON: median, least, count and the peak of resident memory.

// A bench prints, and what fails in it is a mistake in it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use consilience_engine::foreign::{Data, Package, Rows, Session, runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    // `cargo test` runs benches without arguments.
    let [file, batch, rest @ ..] = arguments.as_slice() else { return };
    let batch: usize = batch.parse().unwrap();
    let seconds: f64 = rest.first().and_then(|s| s.parse().ok()).unwrap_or(4.0);
    let package = Package::read(Path::new(file)).unwrap();
    let session = Session::open(&package, "logits").unwrap();
    let data = (0..batch * 3 * 224 * 224).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect();
    let input = [Rows { name: "image".into(), shape: vec![3, 224, 224], data: Data::F32(data) }];
    let run = || assert_eq!(session.run(batch, &input).unwrap().data.len(), batch * 1000);
    (0..3).for_each(|_| run());
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.len() < 3 || (begin.elapsed().as_secs_f64() < seconds && times.len() < 2000) {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<f64>().ok());
    println!(
        "{{\"wl\": \"b{batch}\", \"ms\": {:.4}, \"min\": {:.4}, \"n\": {}, \"rss\": {:.0}, \"by\": \"{}\"}}",
        times[times.len() / 2],
        times[0],
        times.len(),
        peak.unwrap_or(0.0) / 1024.0,
        runtime().name.split_whitespace().next().unwrap_or_default()
    );
}
