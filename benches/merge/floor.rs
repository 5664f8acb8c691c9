//! The floor of a merge: a plain program that reads all files on two threads and writes one of the size of the first model, in pieces of
//! four megabytes, and waits until it is on the disk.
//!
//! `floor --bench OUT FILE...`: the two files of each model follow each other.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

fn main() {
    let files: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let Some((out, inputs)) = files.split_first() else { return };
    if inputs.is_empty() {
        return;
    }
    let size: u64 = inputs.iter().take(2).map(|f| std::fs::metadata(f).unwrap().len()).sum();
    let next = AtomicUsize::new(0);
    let read = || {
        let mut piece = vec![0u8; 1 << 16];
        let mut sum = 0u64;
        while let Some(file) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut file = File::open(file).unwrap();
            loop {
                let n = file.read(&mut piece).unwrap();
                if n == 0 {
                    break;
                }
                sum = sum.wrapping_add(u64::from(piece[0]));
            }
        }
        sum
    };
    std::thread::scope(|scope| {
        let write = scope.spawn(|| {
            let piece = vec![7u8; 4 << 20];
            let mut file = File::create(out).unwrap();
            let mut left = size;
            while left > 0 {
                let n = left.min(piece.len() as u64);
                file.write_all(&piece[..n as usize]).unwrap();
                left -= n;
            }
            file.sync_all().unwrap();
        });
        let other = scope.spawn(read);
        std::hint::black_box(read());
        std::hint::black_box(other.join().unwrap());
        write.join().unwrap();
    });
}
