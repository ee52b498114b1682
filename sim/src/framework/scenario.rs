//! What the runner has to know of a system: who runs, what breaks, what is written down, and what is promised.

use std::{fmt, sync::Arc, time::Duration};

use super::oracle::Violation;
use crate::{
    history::{EventKind, History, Log, fingerprint},
    plan::{Plan, SimMs},
    world::{InTurn, Protocol, World, tap::Tap},
};

/// How long a run is broken, and how long it goes on once everything has healed, by default.
const MINUTE: Duration = Duration::from_secs(60);

/// A system under test, its clients, what breaks it and what it promises.
///
/// The simulator of this repository's broker is one of these, and so is whatever you bring. A run is a function of the
/// scenario and the seed: nothing in it may look at a real clock, start a thread or draw from anything but the world's
/// [streams](World::streams).
pub trait Scenario: Send + Sync {
    /// Who writes the history; [`Log`] is what most need.
    type Witness: Witness;
    /// What a run comes to; a list of [`Violation`]s is what most need.
    type Verdict: Judged;

    /// What is broken under this seed.
    fn plan(&self, seed: u64) -> Plan;

    /// The one who writes the history of one run.
    fn witness(&self) -> Arc<Self::Witness>;

    /// Adds the nodes and starts what runs on them.
    fn start(&self, world: &World, witness: &Arc<Self::Witness>);

    /// What the run came to.
    fn judge(&self, history: &<Self::Witness as Witness>::History) -> Self::Verdict;

    /// How long faults may strike; then everything heals. A minute, unless it is known better.
    fn duration(&self) -> Duration {
        MINUTE
    }

    /// What the network reads of the bytes that it carries.
    fn protocol(&self) -> Arc<dyn Protocol> {
        Arc::new(InTurn)
    }

    /// Lets the healed world go on until nothing is left to happen: a minute, unless it is known better.
    fn settle(&self, world: &World, witness: &Self::Witness) -> impl Future<Output = ()> {
        let _ = (world, witness);
        tokio::time::sleep(MINUTE)
    }

    /// What comes first on the thread of a run, which is its own.
    fn prepare(&self) {}
}

/// An observer of the world that keeps what it saw.
pub trait Witness: Tap + 'static {
    /// What it keeps.
    type History: Send;

    /// All faults have ended.
    fn healed(&self, at_ms: SimMs);

    /// The run is over.
    fn over(&self, at_ms: SimMs);

    /// Returns once nothing more is to be seen, with the time up to which it is; never, for a run that goes to its end.
    fn cut_short(&self) -> impl Future<Output = Option<SimMs>> {
        std::future::pending()
    }

    /// Takes out what was kept.
    fn take(&self) -> Self::History;

    /// A hash of all of it: equal for equal runs, and only for these.
    fn fingerprint(history: &Self::History) -> String;

    /// All of it, in lines of text that end alike.
    fn lines(history: &Self::History) -> String;
}

impl<N: fmt::Debug + Send + 'static> Witness for Log<N> {
    type History = History<N>;

    fn healed(&self, at_ms: SimMs) {
        self.push(at_ms, EventKind::Healed);
    }

    fn over(&self, at_ms: SimMs) {
        self.push(at_ms, EventKind::Over);
    }

    fn take(&self) -> History<N> {
        self.take()
    }

    fn fingerprint(history: &History<N>) -> String {
        fingerprint::digest(history, fingerprint::write_line)
    }

    fn lines(history: &History<N>) -> String {
        fingerprint::lines(history)
    }
}

/// What a run came to, as far as the runner has to know it.
pub trait Judged: Send {
    /// The broken promises.
    fn violations(&self) -> &[Violation];
}

impl Judged for Vec<Violation> {
    fn violations(&self) -> &[Violation] {
        self
    }
}
