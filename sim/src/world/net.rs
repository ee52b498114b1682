//! The network: who listens where, how long a frame takes, and which connections there are.
//!
//! What is sent into a partition is lost, and the connection it was sent on is reset when the partition ends: the
//! network does not resend. What was under way when a partition began still arrives.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    ops::RangeInclusive,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use pop_revive::seams::{BoxStream, Listener, Transport};
use rand::RngExt;
use tokio::sync::mpsc;

use super::{
    World,
    connection::{Connection, Parting, PipeStream},
    lock,
    node::{Life, NodeIndex},
};
use crate::random::Stream;

/// How long a frame takes from node to node unless it is told otherwise, in microseconds: the network of one data centre.
const LATENCY_US: RangeInclusive<u64> = 200..=1_999;

/// Connections that wait to be accepted; more are refused.
const BACKLOG: usize = 1024;

/// The first port that a bind to port 0 gets, and the first of dialling ends.
const FREE_PORTS: u16 = 40_000;

/// The longest that a frame takes once all is healed, whatever the scenario's links are like: what is asked can be answered
/// in time.
const HEALED_LATENCY: Duration = Duration::from_millis(250);

type Incoming = (BoxStream, String);

/// The tables of the network.
pub(super) struct Net {
    /// How long a frame takes where no fault says otherwise, µs.
    latency_us: RangeInclusive<u64>,
    links: BTreeMap<(NodeIndex, NodeIndex), Link>,
    listeners: BTreeMap<(NodeIndex, u16), Listening>,
    connections: BTreeMap<u64, Registered>,
    /// How many connections there have been.
    dialled: u64,
    /// How many frames there have been.
    frames: u64,
    /// How many requests left, by sender, receiver and code. Never iterated.
    requests: HashMap<(NodeIndex, NodeIndex, i32), u64>,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            latency_us: LATENCY_US,
            links: BTreeMap::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            dialled: 0,
            frames: 0,
            requests: HashMap::new(),
        }
    }
}

/// The random streams from one node to another.
struct Link {
    usual: Stream,
    slow: Stream,
    /// Until when it is busy with what a fault lets it send only slowly.
    busy_until: Duration,
}

struct Listening {
    /// The incarnation that listens.
    incarnation: u64,
    queue: mpsc::Sender<Incoming>,
}

struct Registered {
    connection: Weak<Connection>,
    /// Ends that were not dropped yet.
    held: [bool; 2],
}

impl World {
    /// Has frames take so long from now on, drawn for each; faults go on top. Without it they take 0.2 to 2 ms. After the heal
    /// none takes more than 250 ms.
    pub fn set_latency(&self, latency: RangeInclusive<Duration>) {
        let micros = |span: &Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
        let (min_us, max_us) = (micros(latency.start()), micros(latency.end()));
        lock(&self.inner.net).latency_us = min_us..=max_us.max(min_us);
    }

    /// When a frame that leaves now arrives.
    pub(super) fn due(&self, from: NodeIndex, to: NodeIndex) -> Duration {
        let slow = self.armed().slow(self.now_ms(), from, to);
        let mut net = lock(&self.inner.net);
        if !net.links.contains_key(&(from, to)) {
            drop(net);
            let path = format!("{}→{}", self.name(from), self.name(to));
            let streams = &self.inner.streams;
            let (usual, slow) = (streams.stream(&format!("net/{path}")), streams.stream(&format!("slow/{path}")));
            let link = Link { usual, slow, busy_until: Duration::ZERO };
            net = lock(&self.inner.net);
            net.links.insert((from, to), link);
        }
        let (mut latency, usual_us) = (Duration::ZERO, net.latency_us.clone());
        if let Some(link) = net.links.get_mut(&(from, to)) {
            // Drawn also when a fault overrides it, so that the fault leaves later frames as they were.
            latency = Duration::from_micros(link.usual.random_range(usual_us));
            if self.armed().is_healed() {
                latency = latency.min(HEALED_LATENCY);
            }
            if let Some((min_ms, max_ms)) = slow {
                let span = min_ms.saturating_mul(1_000)..=max_ms.max(min_ms).saturating_mul(1_000);
                latency = Duration::from_micros(link.slow.random_range(span)).max(Duration::from_micros(1));
            }
        }
        let held = self.armed().holds_up(self.now_ms(), from, to);
        held.map_or(self.now(), |until| until.max(self.now())) + latency
    }

    /// How long a frame of so many bytes waits and is sent, when a fault limits its link; it was given its latency before.
    pub(super) fn queued(&self, from: NodeIndex, to: NodeIndex, bytes: usize) -> Duration {
        let limit = self.armed().limit(self.now_ms(), from, to);
        let Some((fault, bytes_per_second)) = limit else { return Duration::ZERO };
        let now = self.now();
        let mut net = lock(&self.inner.net);
        let Some(link) = net.links.get_mut(&(from, to)) else { return Duration::ZERO };
        let took = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000) / bytes_per_second.max(1);
        link.busy_until = link.busy_until.max(now) + Duration::from_micros(took);
        let queued = link.busy_until - now;
        drop(net);
        self.armed().struck(fault);
        queued
    }

    /// Counts a frame; gives its number.
    pub(super) fn count_frame(&self) -> u64 {
        let mut net = lock(&self.inner.net);
        net.frames += 1;
        net.frames
    }

    /// Counts a request; gives its ordinal.
    pub(super) fn count_request(&self, from: NodeIndex, to: NodeIndex, code: i32) -> u64 {
        let mut net = lock(&self.inner.net);
        let count = net.requests.entry((from, to, code)).or_default();
        *count += 1;
        *count
    }

    /// Whether a partition swallows what goes from `from` to `to` now.
    pub(super) fn swallows(&self, from: NodeIndex, to: NodeIndex) -> bool {
        self.armed().swallows(self.now_ms(), from, to)
    }

    /// An incarnation is over: its listeners go, its peers notice.
    pub(super) fn sever(&self, life: &Life, parting: Parting) {
        let (listeners, connections) = {
            let mut net = lock(&self.inner.net);
            let kept = net.listeners.iter().filter(|((node, _), _)| *node == life.node).map(|(key, _)| *key);
            let keys: Vec<_> = kept.collect();
            let listeners: Vec<_> = keys.iter().filter_map(|key| net.listeners.remove(key)).collect();
            (listeners, net.alive())
        };
        drop(listeners); // unlocked: streams that wait in their queues part from their peers
        for connection in connections {
            for side in 0..2 {
                let this = &connection.lives[side];
                if this.node == life.node && this.number == life.number {
                    connection.part(self, side, parting);
                }
            }
        }
    }

    /// Resets the connections that lost something to a partition and are no longer cut.
    pub(crate) fn reset_holed(&self) {
        let connections = lock(&self.inner.net).alive();
        for connection in connections {
            let (one, other) = (connection.node(0), connection.node(1));
            let cut = {
                let (now_ms, armed) = (self.now_ms(), self.armed());
                armed.is_cut(now_ms, one, other) || armed.is_cut(now_ms, other, one)
            };
            if !cut && connection.is_holed() {
                connection.reset(self);
            }
        }
    }

    /// `side` dropped its stream.
    pub(super) fn forget(&self, connection: u64, side: usize) {
        let mut net = lock(&self.inner.net);
        if let Some(entry) = net.connections.get_mut(&connection) {
            entry.held[side] = false;
            if entry.held == [false; 2] {
                net.connections.remove(&connection);
            }
        }
    }

    /// Connects the dialling `life` to whoever listens at `to`; `None` when nobody does.
    fn join(&self, life: &Arc<Life>, to: NodeIndex, port: u16) -> Option<PipeStream> {
        let (names, lives, ip) = {
            let nodes = lock(&self.inner.nodes);
            let callee = nodes.life(to);
            ([nodes.name(life.node), nodes.name(to)], [life.clone(), callee], nodes.ip(life.node))
        };
        let (connection, queue) = {
            let mut net = lock(&self.inner.net);
            let listening = net.listeners.get(&(to, port))?;
            if !lives[1].is_alive() || listening.incarnation != lives[1].number {
                return None;
            }
            let queue = listening.queue.clone();
            net.dialled += 1;
            let number = net.dialled;
            let connection = Connection::new(number, names, lives);
            let entry = Registered { connection: Arc::downgrade(&connection), held: [true; 2] };
            net.connections.insert(number, entry);
            (connection, queue)
        };
        let port = u64::from(FREE_PORTS) + connection.number % 20_000;
        let accepted = PipeStream::new(self.clone(), connection.clone(), 1);
        let dialled = PipeStream::new(self.clone(), connection, 0);
        queue.try_send((Box::new(accepted), format!("{ip}:{port}"))).ok()?;
        Some(dialled)
    }
}

impl Net {
    fn alive(&self) -> Vec<Arc<Connection>> {
        self.connections.values().filter_map(|entry| entry.connection.upgrade()).collect()
    }
}

/// The network as one incarnation of a node sees it.
pub(super) struct NodeNet {
    pub(super) world: World,
    pub(super) life: Arc<Life>,
}

impl NodeNet {
    fn parse(&self, address: &str) -> io::Result<(Option<NodeIndex>, u16)> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("{address:?} is not host:port"));
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let node = if host == "0.0.0.0" { Some(self.life.node) } else { lock(&self.world.inner.nodes).resolve(host) };
        Ok((node, port))
    }
}

#[async_trait]
impl Transport for NodeNet {
    async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        let (node, port) = self.parse(address)?;
        let unknown = || io::Error::new(io::ErrorKind::HostUnreachable, format!("no node at {address}"));
        let (world, from, to) = (&self.world, self.life.node, node.ok_or_else(unknown)?);
        if !self.life.is_alive() || world.swallows(from, to) || world.swallows(to, from) {
            return std::future::pending().await; // silence: the caller's timeout ends it
        }
        world.sleep_until(world.due(from, to)).await;
        if !self.life.is_alive() {
            return std::future::pending().await;
        }
        let stream = world.join(&self.life, to, port);
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, format!("nobody listens at {address}"));
        Ok(Box::new(stream.ok_or_else(refused)?))
    }

    async fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.life.fence()?;
        let (node, port) = self.parse(address)?;
        if node != Some(self.life.node) {
            let foreign = format!("{address} is not an address of this node");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, foreign));
        }
        let ip = lock(&self.world.inner.nodes).ip(self.life.node);
        let node = self.life.node;
        let mut net = lock(&self.world.inner.net);
        let is_free = |port: &u16| !net.listeners.contains_key(&(node, *port));
        let wanted = if port == 0 { (FREE_PORTS..).find(is_free) } else { Some(port).filter(is_free) };
        let taken = || io::Error::new(io::ErrorKind::AddrInUse, format!("{address} is taken"));
        let port = wanted.ok_or_else(taken)?;
        let (queue, incoming) = mpsc::channel(BACKLOG);
        net.listeners.insert((node, port), Listening { incarnation: self.life.number, queue });
        drop(net);
        let accept = Accept {
            world: self.world.clone(),
            life: self.life.clone(),
            port,
            address: format!("{ip}:{port}"),
            incoming,
        };
        Ok(Box::new(accept))
    }
}

/// A bound port.
struct Accept {
    world: World,
    life: Arc<Life>,
    port: u16,
    address: String,
    incoming: mpsc::Receiver<Incoming>,
}

#[async_trait]
impl Listener for Accept {
    fn local_address(&self) -> String {
        self.address.clone()
    }

    async fn accept(&mut self) -> io::Result<(BoxStream, String)> {
        match self.incoming.recv().await {
            Some(incoming) => Ok(incoming),
            None => std::future::pending().await, // its node is dead
        }
    }
}

impl Drop for Accept {
    fn drop(&mut self) {
        let key = (self.life.node, self.port);
        let removed = {
            let mut net = lock(&self.world.inner.net);
            let own = net.listeners.get(&key).is_some_and(|listening| listening.incarnation == self.life.number);
            if own { net.listeners.remove(&key) } else { None }
        };
        drop(removed); // unlocked, for what waits in its queue
    }
}
