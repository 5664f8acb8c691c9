//! Work on a thread of the pool.

/// Runs `work` on a thread of the current pool: what it does in parallel is then shared out from within, instead of being
/// handed over piece by piece from outside while the caller sleeps.
pub fn within<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}
