//! Memory that kernels use for a moment, kept by each thread for the next time.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `length` numbers whose values nobody promises. Where debug assertions are on they are not numbers, so
/// that a forgotten one is seen.
pub fn scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut memory = KEPT.with(|kept| kept.borrow_mut().pop()).unwrap_or_default();
    if memory.len() < length {
        memory.resize(length, 0.0);
    }
    if cfg!(debug_assertions) {
        memory[..length].fill(f32::NAN);
    }
    let result = work(&mut memory[..length]);
    KEPT.with(|kept| kept.borrow_mut().push(memory));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_nested_uses_do_not_meet() {
        let first = scratch(10, |a| {
            a.fill(1.0);
            scratch(5, |b| b.fill(2.0));
            assert_eq!(a, [1.0; 10]);
            a.as_ptr() as usize
        });
        assert_eq!(KEPT.with(|k| k.borrow().len()), 2);
        let again = scratch(1, |a| a.as_ptr() as usize);
        assert!(again == first || KEPT.with(|k| k.borrow().len()) == 2);
    }
}
