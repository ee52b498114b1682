//! What is on this disk but not yet on as many as it has to be: until then nobody sees it, and nobody is told.
//!
//! A commit makes its entries durable here. They are confirmed once enough other members have them too, which somebody
//! else counts and tells. What waits for that stands in a queue, in log order: the state to show, the entries to announce,
//! and the steps whose callers are to hear of it. A step that recorded nothing waits as well, for what it read.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{CommitListener, StoreError, view::Committed, waiting::Batch};
use crate::{model::record::LogEntry, sabotage};

/// Who decides that an entry is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirms {
    /// This disk alone: what is durable is confirmed.
    Alone,
    /// Others have to have it too, which [`Store::confirm`](super::Store::confirm) tells.
    WhenTold {
        /// How long a step's caller waits for that; when it has taken longer, nothing more is written until it has come.
        within: Duration,
    },
}

/// What is durable here and not confirmed.
pub(super) struct Unconfirmed {
    /// The state that it leads to, or the one that its steps have read.
    pub(super) state: Arc<Committed>,
    pub(super) entries: Vec<Arc<LogEntry>>,
    /// Steps whose callers wait.
    pub(super) batch: Batch,
}

/// How far entries are confirmed: what may leave memory, for no confirmed entry is ever taken back.
pub(super) struct Known {
    /// Up to here, others said, everything is confirmed; may be beyond the end of this log.
    pub(super) told: u64,
    /// The last confirmed state of this log that is at hand.
    pub(super) state: Option<Arc<Committed>>,
}

impl Known {
    /// Up to which index rows of a log that ends at `last` can be settled.
    pub(super) fn settleable(&self, last: u64) -> u64 {
        match (self.told >= last, &self.state) {
            (true, _) => last,
            (false, Some(state)) => state.last_index(),
            (false, None) => 0,
        }
    }
}

struct Waiting {
    since: Instant,
    /// It is confirmed when this entry is.
    last_index: u64,
    /// The state to show then. There is none while the database is gone: a state would keep its file open.
    state: Option<Arc<Committed>>,
    entries: Vec<Arc<LogEntry>>,
    batch: Batch,
}

/// The confirmed part of the log, and the queue behind it.
pub(super) struct Confirmation {
    confirms: Confirms,
    listener: CommitListener,
    state: Mutex<State>,
}

struct State {
    /// Up to here, others said, everything is confirmed; may be beyond the end of this log.
    told: u64,
    /// How far what is announced goes.
    confirmed_index: u64,
    /// What views show; `None` while the store is being reopened.
    shown: Option<Arc<Committed>>,
    waiting: VecDeque<Waiting>,
}

impl Confirmation {
    /// Of a store that was just opened; `shown` is known to be confirmed.
    pub(super) fn new(confirms: Confirms, listener: CommitListener, shown: Arc<Committed>) -> Self {
        let confirmed_index = shown.last_index();
        let told = match confirms {
            Confirms::Alone => u64::MAX,
            Confirms::WhenTold { .. } => confirmed_index,
        };
        let state = State { told, confirmed_index, shown: Some(shown), waiting: VecDeque::new() };
        Self { confirms, listener, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What views show.
    pub(super) fn shown(&self) -> Option<Arc<Committed>> {
        self.state().shown.clone()
    }

    /// What is known of it by now.
    pub(super) fn known(&self) -> Known {
        let state = self.state();
        Known { told: state.told, state: state.shown.clone() }
    }

    /// How far the confirmed part of this log goes.
    pub(super) fn confirmed_index(&self) -> u64 {
        self.state().confirmed_index
    }

    /// How long the oldest entry that waits has waited.
    pub(super) fn waited(&self) -> Option<Duration> {
        self.state().waiting.front().map(|oldest| oldest.since.elapsed())
    }

    /// Refuses what would have to wait behind something that has waited too long.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match (self.confirms, self.waited()) {
            (Confirms::WhenTold { within }, Some(waited)) if waited > within && !sabotage!("writes-on-unconfirmed") => {
                Err(StoreError::ConfirmationStalled)
            }
            _ => Ok(()),
        }
    }

    /// Everything up to `index` is confirmed. Tells whether that is news.
    pub(super) fn confirm(&self, index: u64) -> bool {
        let mut state = self.state();
        let is_news = index > state.told;
        if is_news {
            state.told = index;
            self.release(&mut state);
        }
        is_news
    }

    /// Takes in what became durable after all that was taken in before.
    pub(super) fn durable(&self, what: Unconfirmed) {
        let mut state = self.state();
        let what = match sabotage!("answers-before-confirmed") {
            true => what.answered(),
            false => what,
        };
        let Unconfirmed { state: reached, entries, batch } = what;
        let last_index = reached.last_index();
        state.waiting.push_back(Waiting { since: Instant::now(), last_index, state: Some(reached), entries, batch });
        self.release(&mut state);
    }

    /// The store ends: whoever waits hears that nobody will ever tell.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.shown = None;
        let abandoned = std::mem::take(&mut state.waiting);
        drop(state);
        drop(abandoned);
    }

    /// The database is gone: nothing can be read until it is [`reopened`](Self::reopened).
    pub(super) fn lost(&self) {
        let mut state = self.state();
        state.shown = None;
        state.waiting.iter_mut().for_each(|waiting| waiting.state = None);
    }

    /// What is not confirmed is taken back: whoever waits for it hears that nobody will ever tell. Nothing can be read
    /// until it is [`reopened`](Self::reopened).
    pub(super) fn cut_back(&self, index: u64) {
        let mut state = self.state();
        state.shown = None;
        state.told = state.told.min(index);
        let abandoned = std::mem::take(&mut state.waiting);
        drop(state);
        drop(abandoned);
    }

    /// The database is back, and with it `shown`, which was confirmed, and `survived`, which nobody has heard of.
    pub(super) fn reopened(&self, shown: &Arc<Committed>, survived: Unconfirmed) {
        let mut state = self.state();
        state.confirmed_index = shown.last_index();
        state.shown = Some(shown.clone());
        let known = state.waiting.iter_mut().filter(|waiting| waiting.last_index <= shown.last_index());
        known.for_each(|waiting| waiting.state = Some(shown.clone()));
        let Unconfirmed { state: head, entries, batch } = survived;
        let last_index = head.last_index();
        if last_index > shown.last_index() || !entries.is_empty() {
            let (since, head) = (Instant::now(), Some(head));
            state.waiting.push_back(Waiting { since, last_index, state: head, entries, batch });
        }
        self.release(&mut state);
    }

    /// Shows, announces and answers what is confirmed by now, in log order; not while nothing can be shown.
    fn release(&self, state: &mut State) {
        if state.shown.is_none() {
            return;
        }
        while let Some(next) = state.waiting.pop_front_if(|next| next.last_index <= state.told) {
            let Waiting { last_index, state: reached, entries, batch, .. } = next;
            state.confirmed_index = last_index;
            let batch = match reached {
                Some(reached) => {
                    state.shown = Some(reached);
                    if !entries.is_empty() {
                        (self.listener)(&entries);
                    }
                    batch
                }
                // Its state went with the database: it is shown, announced and told of with what comes next.
                None => state.carry_over(entries, batch),
            };
            batch.into_iter().for_each(|step| step.finish(Ok(())));
        }
    }
}

impl State {
    /// Has entries announced, and whoever waits for them told, together with the next ones: nobody may be told of what
    /// others do not see yet. Gives back whom there is nothing to wait with for.
    fn carry_over(&mut self, mut entries: Vec<Arc<LogEntry>>, mut batch: Batch) -> Batch {
        let Some(next) = self.waiting.front_mut() else { return batch };
        entries.append(&mut next.entries);
        batch.append(&mut next.batch);
        (next.entries, next.batch) = (entries, batch);
        Batch::new()
    }
}

impl Unconfirmed {
    /// The planted defect: callers hear of it although nothing is confirmed.
    fn answered(self) -> Self {
        self.batch.into_iter().for_each(|step| step.finish(Ok(())));
        Self { batch: Vec::new(), ..self }
    }
}

#[cfg(test)]
#[path = "confirmation_tests.rs"]
mod tests;
