//! The simulated world: nodes with a network, a disk and a clock each, and the faults of one plan.
//!
//! Everything draws from named streams of one seed and runs on madsim's single thread, so a run is a function of seed,
//! plan and code. Locks are held for the length of a table look-up only: never while the tap or madsim is called.

pub mod clock;
mod commit;
mod connection;
mod disk;
mod image;
mod lane;
mod net;
mod node;
mod protocol;
mod supervisor;
pub mod tap;

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use madsim::{runtime::Handle, time::TimeHandle};
use tokio::sync::mpsc;

pub(crate) use self::{
    connection::{Connection, Fate, Spoiling, Spoils},
    node::{Life, NodeIndex},
};
use self::{
    net::Net,
    node::Nodes,
    supervisor::Order,
    tap::{NodeEvent, Tap},
};
pub use self::{
    node::{BoxFuture, CrashKind, StopSignal},
    protocol::{End, FrameKind, Header, InTurn, Protocol},
};
use crate::{
    faults::{Armed, Strike, clock_drift, frozen_clock},
    plan::{Plan, SimMs},
    random::Streams,
};

/// One run's world; clones are handles to the same one.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    streams: Streams,
    handle: Handle,
    time: TimeHandle,
    /// madsim's instant zero.
    zero: Instant,
    /// madsim's time at which the run began.
    origin: Duration,
    protocol: Arc<dyn Protocol>,
    tap: Arc<dyn Tap>,
    nodes: Mutex<Nodes>,
    net: Mutex<Net>,
    armed: Mutex<Armed>,
    orders: mpsc::UnboundedSender<Order>,
}

impl World {
    /// Creates an empty world in which `plan` is armed, and whose nodes speak `protocol`. Call it on the main task of a madsim
    /// runtime.
    ///
    /// # Panics
    /// Outside a madsim runtime.
    #[must_use]
    pub fn new(seed: u64, plan: &Plan, protocol: Arc<dyn Protocol>, tap: Arc<dyn Tap>) -> Self {
        let time = TimeHandle::current();
        let origin = time.elapsed();
        let zero = time.now_instant() - origin;
        let streams = Streams::new(seed);
        let mut nodes = Nodes::default();
        let (armed, schedule) = Armed::new(plan, |name| nodes.index(name, &streams));
        let (orders, received) = mpsc::unbounded_channel();
        let world = Self {
            inner: Arc::new(Inner {
                streams,
                handle: Handle::current(),
                time,
                zero,
                origin,
                protocol,
                tap,
                nodes: Mutex::new(nodes),
                net: Mutex::new(Net::default()),
                armed: Mutex::new(armed),
                orders,
            }),
        };
        tokio::spawn(supervisor::supervise(world.downgrade(), received));
        for (at_ms, strike) in schedule {
            world.schedule(at_ms, strike);
        }
        world
    }

    /// Strikes after a while.
    pub(crate) fn strike_after(&self, after: Duration, strike: Strike) {
        let (weak, wait) = (self.downgrade(), self.sleep_until(self.now() + after));
        tokio::spawn(async move {
            wait.await;
            if let Some(world) = weak.upgrade() {
                strike.land(&world);
            }
        });
    }

    /// Strikes at `at_ms`: now, when that has come already.
    fn schedule(&self, at_ms: SimMs, strike: Strike) {
        let at = Duration::from_millis(at_ms);
        if at <= self.now() {
            return strike.land(self);
        }
        self.strike_after(at - self.now(), strike);
    }

    /// Simulated milliseconds since the run began.
    #[must_use]
    pub fn now_ms(&self) -> SimMs {
        SimMs::try_from(self.now().as_millis()).unwrap_or(SimMs::MAX)
    }

    /// Ends every fault now: windows close, pauses end, nodes that are down come back, nothing planned strikes any more.
    pub fn heal(&self) {
        clock_drift::end_all(self);
        frozen_clock::end_all(self);
        let (open, first) = {
            let now_ms = self.now_ms();
            let mut armed = lock(&self.inner.armed);
            (armed.open_windows(now_ms), armed.heal())
        };
        let over = self.armed().over();
        over.cancel(); // unlocked, for whoever waits for it may run at once
        for (fault, text) in open {
            self.tap_fault(Some(fault), &text);
        }
        if first {
            self.tap_fault(None, "healed");
        }
        self.reset_holed();
        self.revive_all();
    }

    /// The plan's faults that never struck, by position. A window that no frame met has not struck.
    #[must_use]
    pub fn unfired(&self) -> Vec<usize> {
        lock(&self.inner.armed).unfired()
    }

    /// How often the plan's fault at `index` struck; 0 for a position outside the plan.
    #[must_use]
    pub fn fired(&self, index: usize) -> u64 {
        lock(&self.inner.armed).fired(index)
    }

    /// Ends the run: kills every node, lets their tasks be dropped and frees the disks. Nothing is tapped any more.
    ///
    /// madsim never drops tasks that wait for a timer, so a world that is not ended leaks its memory.
    pub async fn end(self) {
        lock(&self.inner.armed).heal();
        self.bury_all();
        self.sleep_until(self.now() + Duration::from_millis(1)).await;
        lock(&self.inner.nodes).clear();
    }

    /// Tells the tap what is durable on every disk, now that the run is over.
    pub fn rest(&self) {
        let disks = lock(&self.inner.nodes).disks();
        for (node, platters) in disks {
            for (file, content) in platters.at_rest() {
                self.inner.tap.at_rest(self.now_ms(), &node, &file, &content);
            }
        }
    }

    /// The streams that everything in this world is drawn from.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.inner.streams
    }

    /// Leaves what would have come for another future, from 1: whatever is drawn from now on is drawn anew, and no fault
    /// strikes any more that has not begun. Call it where a task of the run could draw.
    pub fn turn(&self, future: u64) {
        self.armed().forgo(self.now_ms());
        self.inner.streams.turn(future);
        // The order of tasks has one generator for all, which cannot be seeded anew: it goes on from another place.
        for _ in 0..future {
            let _: u64 = madsim::rand::random();
        }
    }

    pub(crate) fn downgrade(&self) -> WeakWorld {
        WeakWorld { inner: Arc::downgrade(&self.inner) }
    }

    /// Simulated time since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.inner.time.elapsed() - self.inner.origin
    }

    /// Waits until exactly `at`; madsim's own sleeps take at least a millisecond. Holds no handle to the world.
    pub(crate) fn sleep_until(&self, at: Duration) -> impl Future<Output = ()> + Send + 'static {
        let mut sleep = Box::pin(self.inner.time.sleep(Duration::ZERO));
        sleep.as_mut().reset(self.inner.zero + self.inner.origin + at);
        sleep
    }

    /// Has `waker` woken at `at`; wakes it at once when that has come.
    fn wake_at(&self, at: Duration, waker: &std::task::Waker) {
        let mut sleep = pin!(self.inner.time.sleep(Duration::ZERO));
        sleep.as_mut().reset(self.inner.zero + self.inner.origin + at);
        if sleep.poll(&mut std::task::Context::from_waker(waker)).is_ready() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn armed(&self) -> MutexGuard<'_, Armed> {
        lock(&self.inner.armed)
    }

    pub(crate) fn tap_fault(&self, fault: Option<usize>, text: &str) {
        self.inner.tap.fault(self.now_ms(), fault, text);
    }

    pub(crate) fn tap_node(&self, node: &str, event: NodeEvent) {
        self.inner.tap.node(self.now_ms(), node, event);
    }

    /// The faults that strike before the node's `sync_no`-th sync takes effect.
    fn before_sync(&self, node: NodeIndex, sync_no: u64) {
        let due = self.armed().before_sync(node, sync_no);
        due.into_iter().for_each(|strike| strike.land(self));
    }

    /// Tells what a file holds of which pages alone do not tell whether it is in force.
    fn left_with(&self, node: NodeIndex, syncs: u64, file: &str, content: &Bytes) {
        let name = self.name(node);
        self.inner.tap.left_with(self.now_ms(), &name, syncs, file, content);
    }

    /// Tells of writes that became durable, then lets the faults strike that wait for this sync.
    fn synced(&self, node: NodeIndex, sync_no: u64, file: &str, writes: &[(u64, Bytes)]) {
        let name = self.name(node);
        self.inner.tap.synced(self.now_ms(), &name, sync_no, file, writes);
        let due = self.armed().after_sync(node, sync_no);
        due.into_iter().for_each(|strike| strike.land(self));
    }
}

/// A handle that does not keep the world alive, for tasks and timers that may outlast the run.
#[derive(Clone)]
pub(crate) struct WeakWorld {
    inner: Weak<Inner>,
}

impl WeakWorld {
    pub(crate) fn upgrade(&self) -> Option<World> {
        self.inner.upgrade().map(|inner| World { inner })
    }
}

/// Locks; what a panicking holder left behind is usable, for no holder runs foreign code.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
