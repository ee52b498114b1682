//! Gathers what jobs came to, so that results that arrive together are concluded in one transaction.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::engine::Event;
use crate::{buggify, model::chain::ChainId};

/// Most results that one transaction takes in.
const AT_ONCE: usize = 256;

/// A chain's result.
pub(super) type Outcome = (ChainId, Event);

/// Results that wait for their transaction; each brings along what has to be let go after it.
pub(super) struct Results<C> {
    inner: Mutex<Inner<C>>,
}

struct Inner<C> {
    waiting: VecDeque<(Vec<Outcome>, C)>,
    /// Somebody concludes what waits.
    at_work: bool,
}

impl<C> Default for Results<C> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { waiting: VecDeque::new(), at_work: false }) }
    }
}

impl<C> Results<C> {
    /// Adds results; `true` if nobody is at work, and the caller has to be, until [`take`](Self::take) gives nothing.
    #[must_use]
    pub(super) fn add(&self, outcomes: Vec<Outcome>, claim: C) -> bool {
        let mut inner = self.lock();
        inner.waiting.push_back((outcomes, claim));
        !std::mem::replace(&mut inner.at_work, true)
    }

    /// What has come by now, as much as one transaction takes; `None` ends the caller's work.
    pub(super) fn take(&self) -> Option<(Vec<Outcome>, Vec<C>)> {
        let mut inner = self.lock();
        let at_once = buggify!("concludes-one", 1, AT_ONCE);
        let (mut outcomes, mut claims) = (Vec::new(), Vec::new());
        while let Some((more, claim)) = inner.waiting.pop_front() {
            if !outcomes.is_empty() && outcomes.len() + more.len() > at_once {
                inner.waiting.push_front((more, claim));
                break;
            }
            outcomes.extend(more);
            claims.push(claim);
        }
        inner.at_work = !claims.is_empty();
        inner.at_work.then_some((outcomes, claims))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<C>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::revive::samples::{OTHER, chain};

    fn outcomes(count: usize) -> Vec<Outcome> {
        (0..count).map(|_| (chain(OTHER).id, Event::Due)).collect()
    }

    #[test]
    fn one_concludes_for_all_until_nothing_is_left() {
        let results = Results::default();
        assert!(results.add(outcomes(2), "a"));
        assert!(!results.add(outcomes(3), "b"), "somebody is at work");
        let (taken, mut claims) = results.take().unwrap();
        claims.sort_unstable();
        assert_eq!((taken.len(), claims), (5, vec!["a", "b"]));
        assert!(!results.add(outcomes(1), "c"), "still at work");
        assert_eq!(results.take().unwrap().0.len(), 1);
        assert!(results.take().is_none());
        assert!(results.add(outcomes(1), "d"), "the next one begins anew");
    }

    #[test]
    fn a_transaction_is_bounded_and_a_larger_result_goes_alone() {
        let results = Results::default();
        for count in [AT_ONCE / 2, AT_ONCE, AT_ONCE / 2, AT_ONCE * 2] {
            let _ = results.add(outcomes(count), ());
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| results.take().map(|(taken, _)| taken.len())).collect();
        assert_eq!(sizes, [AT_ONCE / 2, AT_ONCE, AT_ONCE / 2, AT_ONCE * 2]);
    }
}
