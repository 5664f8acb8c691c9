//! Numbers that are used again: the same shapes come back at every step, and fresh memory costs a fault for every page.

use std::collections::HashMap;
use std::sync::Mutex;

/// Shorter runs of numbers are left to the allocator: 64 KiB.
const LEAST: usize = 1 << 14;

/// No more numbers than this are kept: 1 GiB.
const MOST: usize = 1 << 28;

static KEPT: Mutex<Kept> = Mutex::new(Kept { users: 0, numbers: 0, by_length: None });

struct Kept {
    users: usize,
    numbers: usize,
    by_length: Option<HashMap<usize, Runs>>,
}

/// Runs of numbers of one length: those that are kept, and how many more were asked for than came back. No more come back
/// than were asked for, so that what others made does not gather here.
#[derive(Default)]
struct Runs {
    kept: Vec<Vec<f32>>,
    out: usize,
}

/// While one of these lives, memory that kernels let go is kept for the next that ask for as much. It is given back to the
/// system with the last of them.
#[derive(Debug)]
pub struct Reuse(());

impl Reuse {
    /// Begins to keep memory.
    #[must_use]
    pub fn begin() -> Self {
        with(|kept| kept.users += 1);
        Self(())
    }
}

impl Drop for Reuse {
    fn drop(&mut self) {
        let old = with(|kept| {
            kept.users -= 1;
            if kept.users > 0 {
                return None;
            }
            kept.numbers = 0;
            kept.by_length.take()
        });
        drop(old);
    }
}

fn with<R>(work: impl FnOnce(&mut Kept) -> R) -> R {
    work(&mut KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// `length` numbers whose values nobody promises: whoever asks writes them all. Where debug assertions are on they are not
/// numbers, so that a forgotten one is seen.
pub fn fresh(length: usize) -> Vec<f32> {
    let mut numbers = kept(length).unwrap_or_else(|| vec![0.0; length]);
    if cfg!(debug_assertions) {
        numbers.fill(f32::NAN);
    }
    numbers
}

/// `length` zeros.
pub fn zeros(length: usize) -> Vec<f32> {
    match kept(length) {
        Some(mut numbers) => {
            numbers.fill(0.0);
            numbers
        }
        None => vec![0.0; length],
    }
}

fn kept(length: usize) -> Option<Vec<f32>> {
    if length < LEAST {
        return None;
    }
    with(|kept| {
        if kept.users == 0 {
            return None;
        }
        let runs = kept.by_length.get_or_insert_default().entry(length).or_default();
        runs.out += 1;
        let numbers = runs.kept.pop()?;
        kept.numbers -= length;
        Some(numbers)
    })
}

/// Takes numbers back that nobody needs any more.
pub fn give_back(numbers: Vec<f32>) {
    let length = numbers.len();
    if length < LEAST {
        return;
    }
    with(|kept| {
        let Some(runs) = kept.by_length.as_mut().and_then(|all| all.get_mut(&length)) else { return };
        if runs.out > 0 && kept.numbers + length <= MOST {
            runs.out -= 1;
            runs.kept.push(numbers);
            kept.numbers += length;
        }
    });
}

/// Whether a run of numbers is worth giving back.
pub fn worth(length: usize) -> bool {
    length >= LEAST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Host;

    #[test]
    fn what_is_let_go_is_used_again_and_zeros_are_zeros() {
        // A length that no other test asks for, since all of them share what is kept.
        let length = 54_321;
        let _reuse = Reuse::begin();
        give_back(vec![1.0; length]);
        assert!(with(|kept| kept.by_length.as_ref().is_none_or(|all| !all.contains_key(&length))));
        let mut numbers = fresh(length);
        assert!(!cfg!(debug_assertions) || numbers.iter().all(|v| v.is_nan()));
        numbers.fill(3.0);
        let host = Host::new(numbers, [length]);
        let (place, other) = (host.numbers().as_ptr(), host.clone());
        drop(host);
        assert_eq!(other.numbers()[7], 3.0);
        drop(other);
        let again = zeros(length);
        assert_eq!(again.as_ptr(), place);
        assert!(again.iter().all(|v| *v == 0.0));
        give_back(again);
        let once_more = fresh(length);
        assert_eq!(once_more.as_ptr(), place);
    }
}
