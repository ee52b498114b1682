//! Writes the history: what the world shows, and what the programs of the run note.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::{Event, EventKind, Frame, History, Recorder, Sink};
use crate::{
    plan::SimMs,
    world::{
        World,
        tap::{FrameFacts, NodeEvent, Tap},
    },
};

/// The one writer of a run's history.
///
/// It is a [`Tap`], so it can be given to a [`World`] as it is. Whatever keeps books of its own besides wraps it.
pub struct Log<N> {
    inner: Mutex<Inner<N>>,
    past: Notify,
    turn: OnceLock<Turning>,
}

/// What is done at a turn.
type Turning = Box<dyn Fn() + Send + Sync>;

struct Inner<N> {
    history: History<N>,
    /// What happens later is not noted.
    until_ms: Option<SimMs>,
    /// Something has happened later.
    is_past: bool,
    /// Number of a frame that has left → position of its event. Only ever looked up.
    under_way: FxHashMap<u64, usize>,
    /// The turn comes once there are so many events.
    turn_after: Option<usize>,
    /// The second of simulated time that is running, and how many events it has had.
    second: (SimMs, usize),
    most: Most,
}

/// With more events than this something goes round in circles: a run that would never end ends here.
#[derive(Clone, Copy)]
struct Most {
    /// In one second of simulated time.
    per_second: usize,
    /// In a whole run.
    in_all: usize,
}

const MOST: Most = Most { per_second: 1_000_000, in_all: 4_000_000 };

impl<N> Inner<N> {
    /// # Panics
    /// Something goes round in circles; the panic ends the run and is reported with its seed.
    fn count(&mut self, at_ms: SimMs) {
        let Most { per_second, in_all } = self.most;
        let known = self.history.events.len();
        assert!(known <= in_all, "more than {in_all} events up to {at_ms} ms: something goes round in circles");
        let (second, known) = self.second;
        self.second = if second == at_ms / 1000 { (second, known + 1) } else { (at_ms / 1000, 1) };
        let is_within = self.second.1 <= per_second;
        assert!(is_within, "more than {per_second} events within the second at {at_ms} ms: something spins");
    }
}

impl<N> Default for Log<N> {
    fn default() -> Self {
        Self::until(None)
    }
}

impl<N> Log<N> {
    /// An empty history, up to a time if there is one.
    #[must_use]
    pub fn until(until_ms: Option<SimMs>) -> Self {
        Self::bounded(until_ms, MOST)
    }

    fn bounded(until_ms: Option<SimMs>, most: Most) -> Self {
        let (history, second) = (History::default(), (0, 0));
        let under_way = FxHashMap::default();
        let inner = Inner { history, until_ms, is_past: false, under_way, turn_after: None, second, most };
        Self { inner: Mutex::new(inner), past: Notify::new(), turn: OnceLock::new() }
    }

    /// Has `turn` called, once, right after what makes it so many events was noted: before whoever tells of that goes on.
    pub fn turn_after(&self, events: usize, turn: impl Fn() + Send + Sync + 'static) {
        self.lock().turn_after = Some(events);
        let _ = self.turn.set(Box::new(turn)); // a run has one turn
    }

    /// Adds one event.
    pub fn push(&self, at_ms: SimMs, kind: EventKind<N>) {
        self.push_all(at_ms, [kind]);
    }

    /// Adds events that stay together.
    pub fn push_all(&self, at_ms: SimMs, kinds: impl IntoIterator<Item = EventKind<N>>) {
        let (is_past, turns) = {
            let mut inner = self.lock();
            for kind in kinds {
                match inner.until_ms {
                    Some(until_ms) if at_ms > until_ms => inner.is_past = true,
                    _ => inner.history.events.push(Event { at_ms, kind }),
                }
                inner.count(at_ms);
            }
            let known = inner.history.events.len();
            (inner.is_past, inner.turn_after.take_if(|after| known >= *after).is_some())
        };
        if is_past {
            self.past.notify_one();
        }
        if let Some(turn) = self.turn.get().filter(|_| turns) {
            turn();
        }
    }

    /// Adds a frame that leaves, with its bytes if something reads them.
    pub fn sent(&self, facts: &FrameFacts, keep_bytes: bool) {
        {
            let mut inner = self.lock();
            let position = inner.history.events.len();
            inner.under_way.insert(facts.number, position);
        }
        let frame = Frame::of(facts, keep_bytes);
        let kind = if facts.is_response { EventKind::Response(frame) } else { EventKind::Request(frame) };
        self.push(facts.at_ms, kind);
    }

    /// Notes at the frame's own event when it arrived, if it has not before.
    pub fn arrived(&self, facts: &FrameFacts) {
        let mut inner = self.lock();
        let is_noted = inner.until_ms.is_none_or(|until_ms| facts.at_ms <= until_ms);
        let Some(position) = inner.under_way.remove(&facts.number).filter(|_| is_noted) else { return };
        // What left later than what is noted has no event.
        if let Some(Event { kind: EventKind::Request(frame) | EventKind::Response(frame), .. }) =
            inner.history.events.get_mut(position)
        {
            frame.arrived_ms = Some(facts.at_ms);
        }
    }

    /// Waits for the first thing that happens later than what is to be noted. No timer says so: one more timer in the
    /// world might change the order of those that are due together.
    pub async fn past(&self) {
        while !self.lock().is_past {
            self.past.notified().await;
        }
    }

    /// Takes the history out; what happens later is not in it.
    pub fn take(&self) -> History<N> {
        std::mem::take(&mut self.lock().history)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<N>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N: Send + 'static> Log<N> {
    /// What a program of `world` notes things with.
    #[must_use]
    pub fn recorder(self: &Arc<Self>, world: &World) -> Recorder<N> {
        Recorder::of(world, self.clone())
    }
}

impl<N: Send + 'static> Sink<N> for Log<N> {
    fn append(&self, event: Event<N>) {
        self.push(event.at_ms, event.kind);
    }
}

impl<N: Send> Tap for Log<N> {
    fn request_sent(&self, facts: &FrameFacts) {
        self.sent(facts, true);
    }

    fn response_sent(&self, facts: &FrameFacts) {
        self.sent(facts, true);
    }

    fn delivered(&self, facts: &FrameFacts) {
        self.arrived(facts);
    }

    fn synced(&self, at_ms: SimMs, node: &str, sync: u64, _: &str, writes: &[(u64, Bytes)]) {
        self.push(at_ms, EventKind::synced(node, sync, writes));
    }

    fn fault(&self, at_ms: SimMs, index: Option<usize>, text: &str) {
        self.push(at_ms, EventKind::Fault { index, text: text.into() });
    }

    fn node(&self, at_ms: SimMs, node: &str, event: NodeEvent) {
        let node = node.into();
        self.push(
            at_ms,
            match event {
                NodeEvent::ClockStands(stands) => EventKind::ClockStands { node, stands },
                NodeEvent::ClockGained(ms) => EventKind::ClockGained { node, ms },
                event => EventKind::Node { node, event: event.to_string() },
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many events, so far apart.
    fn events(count: u64, apart_ms: u64) {
        let log = Log::<()>::bounded(None, Most { per_second: 10, in_all: 100 });
        (0..count).for_each(|number| log.push(number * apart_ms, EventKind::Over));
    }

    #[test]
    fn events_go_on_for_as_long_as_they_must() {
        events(10, 0);
        events(100, 100);
    }

    #[test]
    #[should_panic(expected = "more than 10 events within the second at 0 ms: something spins")]
    fn but_not_without_end_in_one_second() {
        events(11, 0);
    }

    #[test]
    #[should_panic(expected = "more than 100 events up to 100000 ms: something goes round in circles")]
    fn nor_in_one_run() {
        events(101, 1_000);
    }
}
