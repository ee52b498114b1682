//! Does many runs on several threads, and hands the results out in order.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

/// Makes runs of all of `work` on `jobs` threads; `each` is called in the order of `work`, whatever the order of ending.
///
/// `each` gets the work, its result and how long it took; it returns whether to go on.
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the sweep lives outside the simulation")]
pub fn sweep_by<W: Send + Sync, R: Send>(
    work: Vec<W>,
    jobs: NonZero<usize>,
    run: impl Fn(&W) -> R + Sync,
    mut each: impl FnMut(&W, R, Duration) -> bool,
) {
    let (work, run) = (Arc::new(work), &run);
    let next = Arc::new(AtomicUsize::new(0));
    let (done, results) = mpsc::sync_channel(jobs.get());
    let results = Mutex::new(results);
    std::thread::scope(|scope| {
        for _ in 0..jobs.get().min(work.len()) {
            let (work, next, done) = (work.clone(), next.clone(), done.clone());
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    let Some(wanted) = work.get(at) else { return };
                    let began = std::time::Instant::now();
                    let result = run(wanted);
                    if done.send((at, result, began.elapsed())).is_err() {
                        return; // nobody wants more
                    }
                }
            });
        }
        drop(done);
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut early = BTreeMap::new();
        let mut at = 0;
        for (index, result, took) in results {
            early.insert(index, (result, took));
            while let Some((result, took)) = early.remove(&at) {
                let go_on = each(&work[at], result, took);
                at += 1;
                if !go_on {
                    next.store(usize::MAX / 2, Ordering::SeqCst);
                    return;
                }
            }
        }
    });
}
