//! Twenty thousand damaged copies of each kind of checkpoint: no panic, no wait, no more memory than is promised.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use consilience_core::seed::Seed;
use rand::RngExt;

use crate::allocations::peak;
use crate::checkpoints::golden;
use crate::hostile::{bound, read_all};

const MUTATIONS: usize = 20_000;

/// Words that are the edge of something.
const EDGES: [u64; 10] = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 63, u64::MAX];

/// Damages a file: bytes, words, pieces moved, left out or cut off.
fn damage(bytes: &mut Vec<u8>, rng: &mut impl RngExt) {
    for _ in 0..rng.random_range(1..4) {
        let n = bytes.len().max(1);
        let (at, from) = (rng.random_range(0..n), rng.random_range(0..n));
        let len = rng.random_range(1..17).min(n - at.max(from));
        match rng.random_range(0..8) {
            0..3 => bytes[at..].iter_mut().take(1).for_each(|b| *b = rng.random()),
            3 => bytes[at..].iter_mut().take(1).for_each(|b| *b ^= 1 << rng.random_range(0..8)),
            4 => {
                let word = EDGES[rng.random_range(0..EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][rng.random_range(0..4)];
                bytes[at..].iter_mut().zip(&word[..width]).for_each(|(b, w)| *b = *w);
            }
            5 => bytes.copy_within(from..(from + len).min(n), at),
            6 => drop(bytes.drain(at..(at + len).min(n))),
            _ => {
                let piece = bytes[from..(from + len).min(n)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.is_empty() {
            return;
        }
    }
    if rng.random_range(0..20) == 0 {
        bytes.truncate(rng.random_range(0..bytes.len()));
    }
}

/// Damages one of the files of a checkpoint at a time, and reads it from the first.
fn survive(name: &str, files: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let whole: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(golden(f)).unwrap()).collect();
    // Written over in place: a file that is emptied first is flushed to the disk each time.
    let write = |file: &str, bytes: &[u8]| {
        let path = dir.path().join(file);
        let mut file = File::options().write(true).create(true).truncate(false).open(path).unwrap();
        file.write_all(bytes).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    };
    files.iter().zip(&whole).for_each(|(file, bytes)| write(file, bytes));
    let path = dir.path().join(files[0]);
    read_all(&path).unwrap();
    let mut rng = Seed::new(7).child(name).rng();
    let mut read = 0;
    for i in 0..MUTATIONS {
        let which = i % files.len();
        let mut bytes = whole[which].clone();
        damage(&mut bytes, &mut rng);
        write(files[which], &bytes);
        let all = whole.iter().map(Vec::len).sum::<usize>() - whole[which].len() + bytes.len();
        let start = Instant::now();
        let taken = peak(|| read += usize::from(read_all(&path).is_ok()));
        assert!(taken <= bound(all), "{name}, mutation {i}: {taken} bytes");
        assert!(start.elapsed() < Duration::from_secs(5), "{name}, mutation {i}: {:?}", start.elapsed());
        if files.len() > 1 {
            write(files[which], &whole[which]);
        }
    }
    // Damage must reach the reader, and be seen by it.
    assert!(read > 0 && read < MUTATIONS * 3 / 4, "{name}: {read} of {MUTATIONS} were read");
}

#[test]
fn damaged_safetensors() {
    survive("safetensors", &["types.safetensors"]);
}

#[test]
fn damaged_shards() {
    survive(
        "shards",
        &[
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ],
    );
}

#[test]
fn damaged_archives() {
    survive("archive", &["views.pth"]);
}

#[test]
fn damaged_training_checkpoints() {
    survive("training", &["training.pth"]);
}

#[test]
fn damaged_old_files() {
    survive("old", &["old_views.pth"]);
}
