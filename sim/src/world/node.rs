//! The nodes of the world: their incarnations, how they go down, and the supervisor that brings them back.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use madsim::task::NodeId;
use pop_revive::seams::Host;

use super::{
    World,
    clock::{Offset, SimClock},
    commit::Commits,
    connection::Parting,
    disk::{Draws, NodeDisk, Platters},
    lock,
    net::NodeNet,
    supervisor::Task,
    tap::NodeEvent,
};
use crate::{
    faults::slow_start,
    plan::{SimMs, Volume},
    random::Streams,
};

/// What a node runs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks one incarnation of a node to stop in order.
pub type StopSignal = tokio_util::sync::CancellationToken;

/// The shortest time between the end of an incarnation and the next: its tasks must be gone.
const SHORTEST_DOWN_MS: SimMs = 1;

/// How a node goes down without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashKind {
    /// The process dies; everything it wrote stays.
    Kill,
    /// The machine loses power; un-synced writes stay in part.
    PowerLoss,
    /// The process dies and begins anew at another address.
    Replace {
        /// What it finds on its disk.
        volume: Volume,
    },
}

/// A node's position in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeIndex(pub(super) usize);

/// One incarnation of a node. Streams and disk handles ask it whether they still mean anything.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) node: NodeIndex,
    pub(crate) number: u64,
    alive: AtomicBool,
    stop: StopSignal,
}

impl Life {
    /// The incarnation before the first: a name that was only heard of.
    fn unborn(node: NodeIndex) -> Arc<Self> {
        Arc::new(Self { node, number: 0, alive: AtomicBool::new(false), stop: StopSignal::new() })
    }

    /// The incarnation after this one.
    pub(super) fn next(&self) -> Arc<Self> {
        let number = self.number + 1;
        Arc::new(Self { node: self.node, number, alive: AtomicBool::new(true), stop: StopSignal::new() })
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// It was asked to stop.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// # Errors
    /// This incarnation is dead.
    pub(crate) fn fence(&self) -> io::Result<()> {
        if self.is_alive() { Ok(()) } else { Err(io::Error::other("the node that opened this is dead")) }
    }
}

type Boot = Arc<dyn Fn(Host, StopSignal) -> BoxFuture<()> + Send + Sync>;

pub(super) struct Node {
    pub(super) name: Arc<str>,
    pub(super) ip: Option<Arc<str>>,
    pub(super) id: Option<NodeId>,
    pub(super) boot: Option<Boot>,
    pub(super) life: Arc<Life>,
    pub(super) paused: bool,
    /// Set while it is asked to stop: how long it stays away then.
    pub(super) stopping: Option<SimMs>,
    /// Its boot future returned unasked; healing does not run it again.
    pub(super) finished: bool,
    pub(super) offset: Arc<Offset>,
    pub(super) platters: Arc<Platters>,
}

/// All nodes, in the order in which their names were first heard.
#[derive(Default)]
pub(super) struct Nodes {
    pub(super) nodes: Vec<Node>,
    /// How often one has moved to another address.
    moved: usize,
    /// The run is over: nobody starts again.
    pub(super) ended: bool,
}

impl Nodes {
    /// The index of `name`, which is entered when it is new.
    pub(super) fn index(&mut self, name: &str, streams: &Streams) -> NodeIndex {
        if let Some(known) = self.nodes.iter().position(|node| *node.name == *name) {
            return NodeIndex(known);
        }
        let index = NodeIndex(self.nodes.len());
        let sync_time = streams.stream(&format!("disk/{name}"));
        let crash = streams.stream(&format!("crash/{name}"));
        let failed_sync = streams.stream(&format!("failed-sync/{name}"));
        let slow = streams.stream(&format!("slow-disk/{name}"));
        let flip = streams.stream(&format!("flipped-read/{name}"));
        self.nodes.push(Node {
            name: name.into(),
            ip: None,
            id: None,
            boot: None,
            life: Life::unborn(index),
            paused: false,
            stopping: None,
            finished: false,
            offset: Arc::default(),
            platters: Arc::new(Platters::new(Draws { sync_time, crash, failed_sync, slow, flip })),
        });
        index
    }

    /// The node that `host` (an address or a name) names, if it was added.
    pub(super) fn resolve(&self, host: &str) -> Option<NodeIndex> {
        let named = |node: &Node| node.ip.as_deref().is_some_and(|ip| ip == host || *node.name == *host);
        self.nodes.iter().position(named).map(NodeIndex)
    }

    pub(super) fn life(&self, node: NodeIndex) -> Arc<Life> {
        self.nodes[node.0].life.clone()
    }

    pub(super) fn name(&self, node: NodeIndex) -> Arc<str> {
        self.nodes[node.0].name.clone()
    }

    pub(super) fn ip(&self, node: NodeIndex) -> Arc<str> {
        let node = &self.nodes[node.0];
        node.ip.clone().unwrap_or_else(|| node.name.clone())
    }

    /// Forgets what the run kept in memory.
    pub(super) fn clear(&mut self) {
        for node in &mut self.nodes {
            node.boot = None;
            node.platters.wipe();
        }
    }

    /// Every disk, with the name of its node.
    pub(super) fn disks(&self) -> Vec<(Arc<str>, Arc<Platters>)> {
        self.nodes.iter().map(|node| (node.name.clone(), node.platters.clone())).collect()
    }

    fn indices(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.nodes.len()).map(NodeIndex)
    }
}

impl World {
    /// Adds a node; `ip` and `name` are both good as the host part of an address.
    ///
    /// # Panics
    /// A node has that name or address already.
    pub fn add_node(&self, name: &str, ip: &str) {
        let mut nodes = lock(&self.inner.nodes);
        let taken = nodes.resolve(name).or_else(|| nodes.resolve(ip)).is_some();
        let index = nodes.index(name, &self.inner.streams);
        if !taken {
            let node = &mut nodes.nodes[index.0];
            node.ip = Some(ip.into());
            node.life = node.life.next();
        }
        drop(nodes);
        assert!(!taken, "the world has a node {name:?} or {ip} already");
    }

    /// Has the disk of `node` read everything rightly that a log entry lies in, whatever faults there are: what is lost of a log
    /// nobody could tell from what must not be.
    ///
    /// # Panics
    /// `node` was not added.
    pub(crate) fn spare_entries(&self, node: &str) {
        let node = self.expect_node(node);
        lock(&self.inner.nodes).nodes[node.0].platters.spare_entries();
    }

    /// The machine `node` as its current incarnation sees it; what it hands out fails or falls silent with it.
    ///
    /// # Panics
    /// `node` was not added.
    #[must_use]
    pub fn host(&self, node: &str) -> Host {
        self.host_of(self.expect_node(node))
    }

    /// Boots `node` as a madsim node that runs `boot` with a fresh host per incarnation.
    ///
    /// # Panics
    /// `node` was not added.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        &self,
        node: &str,
        boot: impl Fn(Host, StopSignal) -> F + Send + Sync + 'static,
    ) {
        let index = self.expect_node(node);
        let boot: Boot = Arc::new(move |host, stop| Box::pin(boot(host, stop)));
        {
            let node = &mut lock(&self.inner.nodes).nodes[index.0];
            node.boot = Some(boot);
            node.offset.gained_ms(self.now()); // what it is off from the start it has not gained
        }
        self.tap_node(node, NodeEvent::Started);
        let world = self.downgrade();
        let init = move || {
            let world = world.clone();
            async move {
                if let Some(boot) = world.upgrade().and_then(|world| world.boot(index)) {
                    boot.await;
                }
            }
        };
        let id = self.inner.handle.create_node().name(node).init(init).build().id();
        lock(&self.inner.nodes).nodes[index.0].id = Some(id);
    }

    /// Whether the node's current incarnation lives.
    ///
    /// # Panics
    /// `node` was not added.
    #[must_use]
    pub fn is_up(&self, node: &str) -> bool {
        self.life(self.expect_node(node)).is_alive()
    }

    /// Takes `node` down now; it stays down until [`World::restart`] or [`World::heal`].
    ///
    /// # Panics
    /// `node` was not added.
    pub fn crash_now(&self, node: &str, kind: CrashKind) {
        self.crash(self.expect_node(node), kind, None);
    }

    /// Starts the next incarnation of `node`, a millisecond from now, if it is down by then.
    ///
    /// # Panics
    /// `node` was not added.
    pub fn restart(&self, node: &str) {
        let life = self.life(self.expect_node(node));
        self.order(&life, Task::Restart(SHORTEST_DOWN_MS));
    }

    /// From now on `node` goes by what its wall clock shows, as a process does that begins: tells what that has gained since it
    /// last did so. The world knows of that when an incarnation starts; what runs later, or anew within one, says so here.
    ///
    /// # Panics
    /// `node` was not added.
    pub fn goes_by_its_clock(&self, node: &str) {
        let index = self.expect_node(node);
        let gained_ms = lock(&self.inner.nodes).nodes[index.0].offset.gained_ms(self.now());
        if gained_ms != 0 {
            self.tap_node(node, NodeEvent::ClockGained(gained_ms));
        }
    }

    /// Steps the wall clock of `node` by `delta_ms`; sleepers for a stored time notice at once.
    ///
    /// # Panics
    /// `node` was not added.
    pub fn step(&self, node: &str, delta_ms: i64) {
        self.set_clock(self.expect_node(node), delta_ms);
        self.tap_fault(None, &format!("the clock of {node} steps by {delta_ms} ms"));
    }

    /// Steps a wall clock without a word.
    pub(crate) fn set_clock(&self, node: NodeIndex, delta_ms: i64) {
        let offset = lock(&self.inner.nodes).nodes[node.0].offset.clone();
        offset.step(delta_ms, self.now());
    }

    /// Lets a wall clock gain so much more, in parts in a million; gives how far it is off now, µs.
    pub(crate) fn pace_clock(&self, node: NodeIndex, more_ppm: i64) -> i64 {
        let offset = lock(&self.inner.nodes).nodes[node.0].offset.clone();
        offset.pace(more_ppm, self.now())
    }

    /// Has the clocks of `node` stand still.
    pub(crate) fn stop_clocks(&self, node: NodeIndex) {
        let offset = lock(&self.inner.nodes).nodes[node.0].offset.clone();
        offset.stand(self.now());
    }

    /// Has the clocks of `node` go on.
    pub(crate) fn start_clocks(&self, node: NodeIndex) {
        let offset = lock(&self.inner.nodes).nodes[node.0].offset.clone();
        offset.go_on(self.now());
    }

    /// Whether `node` has seen that its clocks stand still, or last did.
    pub(crate) fn have_stood(&self, node: NodeIndex) -> bool {
        lock(&self.inner.nodes).nodes[node.0].offset.have_stood()
    }

    /// Takes `node` down; false when it is down already.
    pub(crate) fn crash(&self, node: NodeIndex, kind: CrashKind, down_ms: Option<SimMs>) -> bool {
        let life = self.life(node);
        if !life.alive.swap(false, Ordering::Relaxed) {
            return false;
        }
        let event = match kind {
            CrashKind::Kill => NodeEvent::Killed,
            CrashKind::Replace { volume } => {
                self.move_away(node, volume);
                NodeEvent::Killed
            }
            CrashKind::PowerLoss => {
                let platters = lock(&self.inner.nodes).nodes[node.0].platters.clone();
                let files = platters.lose_power();
                let name = self.name(node);
                for (file, content) in &files {
                    self.inner.tap.left_with(self.now_ms(), &name, platters.syncs(), file, content);
                }
                NodeEvent::Crashed
            }
        };
        self.lay_out(&life, Parting::Reset, event, down_ms);
        true
    }

    /// Keeps what is durable on the disk of `node` now, for whoever puts it back.
    pub(crate) fn take_snapshot(&self, node: NodeIndex) {
        let platters = lock(&self.inner.nodes).nodes[node.0].platters.clone();
        platters.take_snapshot(self.now_ms());
    }

    /// Gives `node` an address that none has had, and another disk if it does not keep its own.
    fn move_away(&self, node: NodeIndex, volume: Volume) {
        let (name, platters) = {
            let nodes = &mut *lock(&self.inner.nodes);
            nodes.moved += 1;
            let node = &mut nodes.nodes[node.0];
            node.ip = Some(format!("10.1.{}.{}", nodes.moved / 250, nodes.moved % 250 + 1).into());
            (node.name.clone(), node.platters.clone())
        };
        self.tap_node(&name, NodeEvent::Moved);
        match volume {
            Volume::Kept => {}
            Volume::Lost => {
                platters.wipe();
                self.tap_node(&name, NodeEvent::LostDisk);
            }
            Volume::AsOf(at_ms) => {
                let Some(files) = platters.put_back(at_ms) else { return };
                self.tap_node(&name, NodeEvent::GotOlderDisk);
                for (file, content) in &files {
                    self.inner.tap.left_with(self.now_ms(), &name, platters.syncs(), file, content);
                }
            }
        }
    }

    /// Asks `node` to stop; false when it is down or stopping already.
    pub(crate) fn stop(&self, node: NodeIndex, down_ms: SimMs) -> bool {
        let (life, name) = {
            let mut nodes = lock(&self.inner.nodes);
            let node = &mut nodes.nodes[node.0];
            if !node.life.is_alive() || node.stopping.is_some() {
                return false;
            }
            node.stopping = Some(down_ms);
            (node.life.clone(), node.name.clone())
        };
        self.tap_node(&name, NodeEvent::Stopping);
        self.order(&life, Task::LimitStop);
        life.stop.cancel();
        true
    }

    /// Freezes `node`; false when it is down, not started or frozen already.
    pub(crate) fn pause(&self, node: NodeIndex, for_ms: SimMs) -> bool {
        let (life, name, id) = {
            let mut nodes = lock(&self.inner.nodes);
            let node = &mut nodes.nodes[node.0];
            let Some(id) = node.id.filter(|_| node.life.is_alive() && !node.paused) else { return false };
            node.paused = true;
            (node.life.clone(), node.name.clone(), id)
        };
        self.tap_node(&name, NodeEvent::Paused);
        self.inner.handle.pause(id);
        self.order(&life, Task::Resume(for_ms));
        true
    }

    /// Resumes, restarts or gives up on nothing: every node that a fault keeps from running runs again.
    pub(super) fn revive_all(&self) {
        let indices = lock(&self.inner.nodes).indices();
        for index in indices {
            let (life, paused, resting) = {
                let nodes = lock(&self.inner.nodes);
                let node = &nodes.nodes[index.0];
                (node.life.clone(), node.paused, node.finished || node.ip.is_none())
            };
            if life.is_alive() && paused {
                self.resume(&life);
            } else if !life.is_alive() && !resting {
                self.order(&life, Task::Restart(SHORTEST_DOWN_MS));
            }
        }
    }

    /// Ends every incarnation without a word to anybody.
    pub(super) fn bury_all(&self) {
        let indices = {
            let mut nodes = lock(&self.inner.nodes);
            nodes.ended = true;
            nodes.indices()
        };
        for index in indices {
            let life = self.life(index);
            life.alive.store(false, Ordering::Relaxed);
            self.order(&life, Task::Bury(None));
        }
    }

    pub(super) fn life(&self, node: NodeIndex) -> Arc<Life> {
        lock(&self.inner.nodes).life(node)
    }

    /// Which of its incarnations a node is in.
    pub(crate) fn incarnation(&self, node: NodeIndex) -> u64 {
        self.life(node).number
    }

    pub(crate) fn name(&self, node: NodeIndex) -> Arc<str> {
        lock(&self.inner.nodes).name(node)
    }

    /// The name of the node whose code runs now.
    pub(crate) fn who_acts(&self) -> Option<String> {
        self.node_that_asks().map(|node| self.name(node).to_string())
    }

    /// The node whose code runs now.
    pub(crate) fn node_that_asks(&self) -> Option<NodeIndex> {
        let id = madsim::plugin::node();
        let nodes = lock(&self.inner.nodes);
        nodes.nodes.iter().position(|node| node.id == Some(id)).map(NodeIndex)
    }

    fn expect_node(&self, name: &str) -> NodeIndex {
        let found = lock(&self.inner.nodes).resolve(name);
        found.unwrap_or_else(|| panic!("the world has no node {name:?}; add_node comes first"))
    }

    fn host_of(&self, index: NodeIndex) -> Host {
        let (life, offset, platters) = {
            let nodes = lock(&self.inner.nodes);
            let node = &nodes.nodes[index.0];
            (node.life.clone(), node.offset.clone(), node.platters.clone())
        };
        Host {
            transport: Arc::new(NodeNet { world: self.clone(), life: life.clone() }),
            clock: Arc::new(SimClock { world: self.clone(), offset }),
            disk: Arc::new(NodeDisk { world: self.clone(), life: life.clone(), platters: platters.clone() }),
            blocking: Arc::new(Commits { world: self.clone(), life, platters, thread: tokio::sync::Mutex::default() }),
        }
    }

    /// The life of one incarnation, from its boot to its return.
    fn boot(&self, index: NodeIndex) -> Option<impl Future<Output = ()> + use<>> {
        let boot = lock(&self.inner.nodes).nodes[index.0].boot.clone()?;
        let (world, life, host) = (self.clone(), self.life(index), self.host_of(index));
        Some(async move {
            if slow_start::wait(&world, &life).await {
                boot(host, life.stop.clone()).await;
            }
            world.returned(&life);
        })
    }

    /// The boot future of `life` came to its end.
    fn returned(&self, life: &Arc<Life>) {
        if !life.alive.swap(false, Ordering::Relaxed) {
            return;
        }
        let down_ms = {
            let mut nodes = lock(&self.inner.nodes);
            let node = &mut nodes.nodes[life.node.0];
            node.finished = node.stopping.is_none();
            node.stopping
        };
        self.lay_out(life, Parting::Close, NodeEvent::Stopped, down_ms);
    }

    /// What follows the end of an incarnation: its peers notice, observers are told, its tasks go.
    fn lay_out(&self, life: &Arc<Life>, parting: Parting, event: NodeEvent, down_ms: Option<SimMs>) {
        let name = {
            let mut nodes = lock(&self.inner.nodes);
            let node = &mut nodes.nodes[life.node.0];
            node.paused = false;
            node.stopping = None;
            node.name.clone()
        };
        self.sever(life, parting);
        self.tap_node(&name, event);
        self.order(life, Task::Bury(down_ms.map(|ms| ms.max(SHORTEST_DOWN_MS))));
    }
}
