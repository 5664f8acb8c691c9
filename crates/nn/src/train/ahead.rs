//! Work that is done ahead, in a thread of its own.

use std::sync::mpsc::sync_channel;

use consilience_core::{Error, Result};

/// So many results wait at most.
const WAITING: usize = 2;

/// Makes something of each item, and uses it; all in order. With `ahead` a thread of its own makes what is needed next while
/// `take` is at work, up to two results ahead; what comes out is the same.
///
/// On a thread of a rayon pool nothing is made ahead: `take` would wait on that thread, and `make` may need it.
///
/// # Errors
/// The first of `make` or `take`, in order; what was made ahead is dropped then.
pub fn each<I: Sync, T: Send, E: From<Error>>(
    items: &[I],
    ahead: bool,
    make: impl Fn(&I) -> Result<T> + Sync,
    mut take: impl FnMut(&I, T) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if !ahead || items.len() < 2 || rayon::current_thread_index().is_some() {
        return items.iter().try_for_each(|item| take(item, make(item)?));
    }
    let make = &make;
    std::thread::scope(|scope| {
        // The receiver is dropped when this closure ends, before the scope waits for the thread: whatever the thread
        // wants to hand over then is refused, and it ends.
        let (sender, receiver) = sync_channel(WAITING);
        let work = move || {
            for item in items {
                let made = make(item);
                let failed = made.is_err();
                if sender.send(made).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("batches".to_owned());
        if let Err(e) = thread.spawn_scoped(scope, work) {
            return Err(Error::internal(format!("no thread to prepare batches: {e}")).into());
        }
        for item in items {
            let made = receiver.recv().map_err(|_| Error::internal("the batches ended early"))?;
            take(item, made?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn run(
        ahead: bool,
        make: impl Fn(&usize) -> Result<usize> + Sync,
        take: impl Fn(usize) -> Result<()>,
    ) -> (Result<()>, Vec<usize>) {
        let items: Vec<usize> = (0..50).collect();
        let mut seen = Vec::new();
        let result = each(&items, ahead, make, |_, made| {
            seen.push(made);
            take(made)
        });
        (result, seen)
    }

    #[test]
    fn the_order_is_kept_and_no_more_than_two_wait() {
        let made = AtomicUsize::new(0);
        let make = |i: &usize| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(i * i)
        };
        let far = AtomicUsize::new(0);
        let take = |value: usize| {
            let at = value.isqrt() + 1;
            far.fetch_max(made.load(Ordering::SeqCst) - at, Ordering::SeqCst);
            if at.is_multiple_of(10) {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            Ok(())
        };
        let (result, seen) = run(true, make, take);
        result.unwrap();
        assert_eq!(seen, (0..50).map(|i| i * i).collect::<Vec<_>>());
        // Two wait, and one is in the hands of the thread.
        assert!(far.load(Ordering::SeqCst) <= WAITING + 1, "{far:?}");
        assert_eq!(run(false, |i| Ok(i * i), |_| Ok(())).1, seen);
    }

    #[test]
    fn it_is_made_by_another_thread_but_not_within_a_pool() {
        let own = std::thread::current().id();
        let other = |_: &usize| Ok(usize::from(std::thread::current().id() != own));
        assert_eq!(run(true, other, |_| Ok(())).1, [1; 50]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let seen = pool.install(|| {
            let own = std::thread::current().id();
            // Whatever needs the only thread of the pool gets it.
            let make = |_: &usize| {
                let (one, _) = rayon::join(|| usize::from(std::thread::current().id() != own), || ());
                Ok(one)
            };
            run(true, make, |_| Ok(())).1
        });
        assert_eq!(seen, [0; 50]);
    }

    #[test]
    fn errors_of_both_sides_come_through_and_nobody_waits_for_ever() {
        for ahead in [false, true] {
            let make = |i: &usize| if *i == 7 { Err(Error::data("seven")) } else { Ok(*i) };
            let (result, seen) = run(ahead, make, |_| Ok(()));
            assert_eq!((result.unwrap_err().to_string().as_str(), seen.len()), ("seven", 7));
            // The consumer stops while the thread wants to hand over more.
            let (result, seen) =
                run(ahead, |i| Ok(*i), |i| if i == 3 { Err(Error::Interrupted) } else { Ok(()) });
            assert_eq!((result.unwrap_err().exit_code(), seen.len()), (130, 4));
        }
    }
}
