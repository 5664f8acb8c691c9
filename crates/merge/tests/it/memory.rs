//! A merge holds blocks, never tensors: its memory does not grow with the model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use consilience_core::weights::Checkpoint;
use consilience_merge::plan::Options;
use serde_json::json;

use crate::tiny::{How, contents, drawn, error, numbers, refused, write};

const ROOT: &str = "CSL_TEST_MEMORY_ROOT";
const METHOD: &str = "CSL_TEST_MEMORY_METHOD";
const THREADS: &str = "CSL_TEST_MEMORY_THREADS";

fn text(method: &str) -> String {
    if method == "union" {
        return "merge_method: linear\nmodels: [t0, t1, t2]\nparameters: {weight: 1}\ntokenizer_source: union\n"
            .to_owned();
    }
    let (base, density) = match method {
        "linear" => ("", ""),
        _ => ("base_model: base\n", ", density: 0.5"),
    };
    format!("merge_method: {method}\n{base}models: [a, b]\nparameters: {{weight: 1{density}}}\n")
}

/// A file of `rows x columns` numbers of 16 bits that is a hole but for some of them.
fn hole(path: &Path, rows: u64, columns: u64, seed: u32) {
    use std::io::{Seek, SeekFrom, Write};
    let bytes = rows * columns * 2;
    let mut header =
        json!({"w": {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [0, bytes]}}).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let start = 8 + header.len() as u64;
    file.set_len(start + bytes).unwrap();
    for (i, value) in numbers("w", 1000, seed).iter().enumerate() {
        file.seek(SeekFrom::Start(start + (i as u64 * 7919 * 64) % (bytes / 2) * 2)).unwrap();
        file.write_all(&((value.to_bits() >> 16) as u16).to_le_bytes()).unwrap();
    }
}

/// What of this process's memory belongs to no file, in bytes.
fn anonymous() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Not a test: what the others start. Writes its largest memory to a file.
#[test]
#[ignore = "a child of the other tests"]
fn child() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let (method, threads) = (std::env::var(METHOD).unwrap(), std::env::var(THREADS).unwrap());
    let done = std::sync::atomic::AtomicBool::new(false);
    let peak = std::thread::scope(|scope| {
        let sampled = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                peak = anonymous().unwrap_or(0).max(peak);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            peak
        });
        let mut how = How::default();
        how.limits.threads = threads.parse().unwrap();
        let merged = how.merge(&text(&method), &root, &root.join("out"));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        merged.unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
        sampled.join().unwrap()
    });
    fs::write(root.join("peak"), peak.to_string()).unwrap();
}

/// The largest memory of a merge in a process of its own, by its estimate at most.
fn measured(root: &Path, method: &str, threads: usize) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "memory::child", "--nocapture", "--ignored", "--test-threads", "1"]);
    command.env(ROOT, root).env(METHOD, method).env(THREADS, threads.to_string());
    let begun = std::time::Instant::now();
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{method}: {}", String::from_utf8_lossy(&output.stderr));
    let peak: u64 = fs::read_to_string(root.join("peak")).unwrap().parse().unwrap();
    let mut how = How::default();
    how.limits.threads = threads;
    let (ready, _) = how.check(&text(method), root).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    let estimate = ready[0].estimate.memory;
    println!(
        "{method}, {threads} threads: {} MB of {}, {:.1} s",
        peak >> 20,
        estimate >> 20,
        begun.elapsed().as_secs_f64()
    );
    assert!(peak <= estimate, "{method}: {peak} of {estimate}");
    peak
}

/// Byte pairs as large tokenizers have them: so many tokens, each but the first 253 made of an earlier one and a letter.
fn pairs(dir: &Path, tokens: usize, seed: u32) {
    let letters: Vec<char> = (0x100..0x100 + 253).filter_map(char::from_u32).collect();
    let mut all: Vec<String> = letters.iter().map(char::to_string).collect();
    let mut known: std::collections::HashSet<String> = all.iter().cloned().collect();
    let (mut state, mut merges) = (seed, Vec::new());
    let mut draw = |below: usize| {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (state >> 4) as usize % below
    };
    while all.len() < tokens {
        let (left, right) = (all[draw(all.len())].clone(), letters[draw(letters.len())]);
        let whole = format!("{left}{right}");
        if whole.chars().count() <= 12 && known.insert(whole.clone()) {
            merges.push(json!([left, right.to_string()]));
            all.push(whole);
        }
    }
    let vocab: serde_json::Map<String, serde_json::Value> =
        all.iter().enumerate().map(|(i, t)| (t.clone(), json!(i))).collect();
    fs::create_dir_all(dir).unwrap();
    let model = json!({"type": "BPE", "vocab": vocab, "merges": merges});
    fs::write(dir.join("tokenizer.json"), json!({"added_tokens": [], "model": model}).to_string()).unwrap();
    write(&dir.join("model.safetensors"), &[drawn("model.embed_tokens.weight", &[tokens, 2], seed)]);
}

#[test]
fn tokenizers_are_counted_and_held_small() {
    if anonymous().is_none() {
        println!("skipped: this system does not tell what memory is anonymous");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    (0..3).for_each(|i| pairs(&root.join(format!("t{i}")), 256_000, i + 1));
    let size = fs::metadata(root.join("t0/tokenizer.json")).unwrap().len();
    let peak = measured(root, "union", 2);
    assert!(peak < 200 << 20, "{} MB for files of {} MB", peak >> 20, size >> 20);
    let mut how = How::default();
    how.limits.memory = Some(60_000_000);
    let told = error(how.check(&text("union"), root));
    assert!(told.exit_code() == 2 && told.to_string().contains("too little"), "{told}");
}

#[test]
fn memory_does_not_follow_the_size_of_the_model() {
    if anonymous().is_none() {
        println!("skipped: this system does not tell what memory is anonymous");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    // One tensor of 128 MB in each of three models, 256 MB where it would be held in 32 bits.
    let (rows, columns) = (1 << 13, 1 << 13);
    for (name, seed) in [("a", 1), ("b", 2), ("base", 3)] {
        hole(&root.join(name).join("model.safetensors"), rows, columns, seed);
    }
    for (method, threads) in [("linear", 1), ("linear", 2), ("ties", 2), ("della", 1), ("della", 2)] {
        let peak = measured(root, method, threads);
        assert!(peak < 200 << 20, "{method} with {threads} threads took {} MB", peak >> 20);
    }
}

#[test]
fn memory_that_is_too_little_is_told_with_the_tensor() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (name, seed) in [("a", 1), ("b", 2), ("base", 3)] {
        let tensors = [drawn("small", &[10], seed), drawn("layers.0.large", &[3, 400_000], seed)];
        write(&root.join(name).join("model.safetensors"), &tensors);
    }
    let with = |memory: u64, threads: usize, options: Options| {
        let mut how = How { options, ..How::default() };
        (how.limits.memory, how.limits.threads) = (Some(memory), threads);
        how
    };
    let told = error(with(1 << 20, 2, Options::default()).check(&text("ties"), root));
    assert!(told.exit_code() == 2 && told.to_string().contains("layers.0.large"), "{told}");
    // The bytes do not depend on threads or memory, in one file or several.
    for method in ["linear", "ties", "della", "dare_ties", "sce", "model_stock"] {
        let text = match method {
            "sce" => "merge_method: sce\nbase_model: base\nmodels: [a, b]\nparameters: {select_topk: 0.5}\n"
                .to_owned(),
            "model_stock" => "merge_method: model_stock\nbase_model: base\nmodels: [a, b]\n".to_owned(),
            _ => text(method),
        };
        let mut results = Vec::new();
        for (memory, threads) in [(1 << 40, 1), (1 << 40, 2), (1 << 40, 5), (100 << 20, 2)] {
            let how = with(memory, threads, Options { seed: 5, ..Options::default() });
            let out = root.join("out");
            how.merge(&text, root, &out).unwrap_or_else(|e| panic!("{method}: {}", refused::<()>(Err(e))));
            results.push(contents(&out));
        }
        assert!(results.windows(2).all(|w| w[0] == w[1]), "{method}");
    }
    assert!(Checkpoint::open(&root.join("out/model.safetensors")).is_ok());
}
