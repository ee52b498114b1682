//! Where the programs of a run write down what they saw.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Event, EventKind, Noted};
use crate::{plan::SimMs, world::World};

/// Takes events in the order in which they happened.
pub trait Sink<N = Noted>: Send + Sync + 'static {
    /// Appends one event.
    fn append(&self, event: Event<N>);
}

impl<N: Send + 'static> Sink<N> for Mutex<Vec<Event<N>>> {
    fn append(&self, event: Event<N>) {
        self.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

/// Stamps what happened with the time since the run began, and hands it to a [`Sink`].
pub struct Recorder<N = Noted> {
    clock: Arc<dyn Fn() -> SimMs + Send + Sync>,
    sink: Arc<dyn Sink<N>>,
}

impl<N> Clone for Recorder<N> {
    fn clone(&self) -> Self {
        Self { clock: self.clock.clone(), sink: self.sink.clone() }
    }
}

impl<N: 'static> Recorder<N> {
    /// Records into `sink`; `clock` gives the simulated ms since the run began.
    pub fn new(clock: Arc<dyn Fn() -> SimMs + Send + Sync>, sink: Arc<dyn Sink<N>>) -> Self {
        Self { clock, sink }
    }

    /// Records into `sink` what happens in `world`, which it does not keep alive.
    #[must_use]
    pub fn of(world: &World, sink: Arc<dyn Sink<N>>) -> Self {
        let world = world.downgrade();
        Self::new(Arc::new(move || world.upgrade().map_or(0, |world| world.now_ms())), sink)
    }

    /// Simulated ms since the run began.
    pub fn now_ms(&self) -> SimMs {
        (self.clock)()
    }

    /// Records that this has happened now.
    pub fn record(&self, noted: N) {
        self.sink.append(Event { at_ms: self.now_ms(), kind: EventKind::Noted(noted) });
    }
}
