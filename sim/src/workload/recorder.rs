//! Where clients write down what they saw.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    history::{Event, EventKind},
    plan::SimMs,
};

/// Takes events in the order in which they happened.
pub trait Sink: Send + Sync + 'static {
    /// Appends one event.
    fn append(&self, event: Event);
}

impl Sink for Mutex<Vec<Event>> {
    fn append(&self, event: Event) {
        self.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

/// Stamps what happened with the time since the run began, and hands it to a [`Sink`].
#[derive(Clone)]
pub struct Recorder {
    clock: Arc<dyn Fn() -> SimMs + Send + Sync>,
    sink: Arc<dyn Sink>,
}

impl Recorder {
    /// Records into `sink`; `clock` gives the simulated ms since the run began.
    pub fn new(clock: Arc<dyn Fn() -> SimMs + Send + Sync>, sink: Arc<dyn Sink>) -> Self {
        Self { clock, sink }
    }

    /// Simulated ms since the run began.
    pub fn now_ms(&self) -> SimMs {
        (self.clock)()
    }

    /// Records that this has happened now.
    pub fn record(&self, kind: EventKind) {
        self.sink.append(Event { at_ms: self.now_ms(), kind });
    }
}
