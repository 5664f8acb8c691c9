//! ONNX files that were changed by chance or cut off: a typed error or a model, within a bound of memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use consilience_engine::foreign::{Package, Session, inspect};

/// Counts what a thread holds beyond what it held when its count began, and the most that it ever was.
struct Counting;

thread_local! {
    static HELD: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

fn count(bytes: i64) {
    // A thread that is being torn down counts nothing.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}

#[allow(unsafe_code)]
// SAFETY: every call goes to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that this thread held while `work` ran.
fn most<T>(work: impl FnOnce() -> T) -> (T, i64) {
    HELD.with(|h| h.set((0, 0)));
    let out = work();
    (out, HELD.with(Cell::get).1)
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/onnx"));
    let mut seeds = Vec::new();
    for name in [
        "logistic",
        "logistic_zipmap",
        "imputed",
        "columns",
        "network",
        "boosting_values",
        "forest_three",
        "encoder",
    ] {
        seeds.push((name.to_owned(), std::fs::read(folder.join(format!("{name}.onnx"))).unwrap()));
    }
    let cnn = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/onnx/digits_cnn.onnx");
    seeds.push(("digits_cnn".to_owned(), std::fs::read(cnn).unwrap()));
    seeds
}

/// Some bytes changed, dropped, doubled or made large; the same for the same turn.
fn mutated(seed: &[u8], turn: u64) -> Vec<u8> {
    let mut state = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |most: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % most.max(1)
    };
    let mut out = seed.to_vec();
    for _ in 0..1 + next(4) {
        // The structure stands at the end and the beginning more often than in the middle.
        let at = next(out.len());
        match next(6) {
            0 => out[at] ^= 1 << next(8),
            1 => out[at] = next(256) as u8,
            2 => out[at] = 0xff,
            3 => drop(out.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x7f])),
            4 => drop(out.drain(at..(at + 1 + next(16)).min(out.len()))),
            _ => {
                let piece = out[at..(at + 1 + next(64)).min(out.len())].to_vec();
                drop(out.splice(at..at, piece));
            }
        }
        if out.is_empty() {
            break;
        }
    }
    out
}

fn bound(file: &[u8]) -> i64 {
    64 * 1024 * 1024 + 4 * file.len() as i64
}

#[test]
fn what_draws_numbers_or_learns_from_a_batch_is_refused() {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat();
    let model = |node: &[u8]| {
        let graph = [field(1, node), field(12, &field(1, b"y"))].concat();
        [field(7, &graph), field(8, &[16, 17])].concat()
    };
    let node = |operator: &[u8], more: &[Vec<u8>]| {
        [&field(2, b"y")[..], &field(4, operator), &more.concat()].concat()
    };
    let said = |node: &[u8]| inspect(&model(node)).map_err(|e| e.to_string());
    assert!(said(&node(b"Relu", &[field(1, b"x")])).is_ok());
    let text = said(&node(b"RandomNormal", &[])).unwrap_err();
    assert!(text.contains("RandomNormal") && text.contains("at random"), "{text}");
    let inputs = |third: &[u8]| vec![field(1, b"x"), field(1, b"ratio"), field(1, third)];
    assert!(said(&node(b"Dropout", &inputs(b""))).is_ok());
    assert!(said(&node(b"Dropout", &inputs(b"training"))).unwrap_err().contains("evaluation mode"));
    let mode = |on: u8| vec![field(5, &[&field(1, b"training_mode")[..], &[3 << 3, on]].concat())];
    assert!(said(&node(b"BatchNormalization", &mode(0))).is_ok());
    assert!(said(&node(b"BatchNormalization", &mode(1))).unwrap_err().contains("by the batch"));
}

#[test]
fn a_loop_without_end_is_refused() {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat();
    let file = |turns: &[u8]| {
        let node = [field(1, b"turns"), field(2, b"y"), field(4, b"Loop")].concat();
        let tensor = [&[2 << 3, 7][..], &field(7, turns), &field(8, b"turns")].concat();
        let graph = [field(1, &node), field(5, &tensor), field(12, &field(1, b"y"))].concat();
        [field(7, &graph), field(8, &[16, 17])].concat()
    };
    assert!(inspect(&file(&[100])).is_ok());
    // 10^9 in seven bits a byte.
    let error = inspect(&file(&[0x80, 0x94, 0xeb, 0xdc, 0x03])).unwrap_err();
    assert!(error.to_string().contains("1000000000"), "{error}");
}

#[test]
fn changed_files_are_inspected_within_bounds() {
    for (name, seed) in seeds() {
        let mut sound = 0;
        for turn in 0..20_000 {
            let file = mutated(&seed, turn);
            let (result, held) = most(|| inspect(&file).map_err(|e| e.exit_code()));
            assert!(held <= bound(&file), "{name} {turn}: {held} bytes");
            match result {
                Ok(_) => sound += 1,
                Err(code) => assert_eq!(code, 3, "{name} {turn}"),
            }
        }
        // Both happen, or the changes are too rough or too gentle to test anything.
        assert!((100..19_900).contains(&sound), "{name}: {sound}");
    }
}

#[test]
fn files_cut_off_anywhere_are_errors() {
    for (name, seed) in seeds() {
        let whole = inspect(&seed).unwrap();
        for length in 0..seed.len() {
            match inspect(&seed[..length]) {
                Err(error) => assert_eq!(error.exit_code(), 3, "{name} {length}"),
                // What is cut off there says the version of operators that it does not use, or says it twice.
                Ok(signature) => assert!(signature == whole && seed.len() - length < 30, "{name} {length}"),
            }
        }
    }
}

#[test]
fn changed_files_are_opened_or_refused_and_nothing_breaks_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    for (name, seed) in seeds() {
        if ["encoder", "columns"].contains(&name.as_str()) {
            continue;
        }
        for turn in 0..300 {
            let file = mutated(&seed, turn);
            if inspect(&file).is_err() {
                continue;
            }
            std::fs::write(&path, &file).unwrap();
            let (opened, held) = most(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    let package = Package::read(&path)?;
                    let output = package.signature.outputs.last().map(|p| p.name.clone()).unwrap_or_default();
                    Session::open(&package, &output).map(drop)
                }))
            });
            let opened = opened.unwrap_or_else(|_| panic!("{name} {turn} broke off"));
            assert!(held <= bound(&file), "{name} {turn}: {held} bytes");
            if let Err(error) = opened {
                assert_eq!(error.exit_code(), 3, "{name} {turn}: {error}");
            }
        }
    }
}
