//! A connection between two nodes, and the stream each of them holds of it.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    World,
    lane::{Alarm, Lane, Load, Taken},
    lock,
    node::{Life, NodeIndex},
    protocol::{End, FrameKind, Header},
    tap::FrameFacts,
};
use crate::{
    faults::{damaged_answer, lost_answer},
    plan::Damage,
};

/// More than this, which is RocketMQ's largest frame, is handed over without waiting for a flush.
const LARGEST_FRAME: usize = 16 * 1024 * 1024;

/// How one side learns that the other is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// End of stream.
    Close,
    /// Connection reset.
    Reset,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is delivered.
    Deliver,
    /// It is delivered; its answer will not arrive as it leaves.
    DeliverThen(Spoiling),
    /// It is delivered twice.
    DeliverTwice,
    /// It is delivered so much later than it would have been; others may overtake it.
    DeliverLate(Duration),
    /// It is gone.
    Vanish,
}

/// What becomes of an answer, and the position of the fault that does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spoiling {
    pub(crate) fault: usize,
    pub(crate) spoils: Spoils,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoils {
    /// It never arrives.
    Loses,
    /// It arrives as something else.
    Damages(Damage),
}

/// A request that was delivered and not answered yet.
#[derive(Debug, Clone, Copy)]
struct Asked {
    code: i32,
    nth: u64,
    /// What will become of the answer.
    spoiling: Option<Spoiling>,
    /// How often it was delivered, and with that how often it will be answered.
    answers: u32,
}

/// A connection. Side 0 dialled, side 1 accepted.
pub(crate) struct Connection {
    pub(super) number: u64,
    pub(super) names: [Arc<str>; 2],
    pub(super) lives: [Arc<Life>; 2],
    state: Mutex<State>,
}

struct State {
    /// By the side that reads.
    lanes: [Lane; 2],
    /// By the side that asked. Only ever looked up by opaque.
    asked: [HashMap<i32, Asked>; 2],
    /// Sides that read no more: what is sent to them is answered with a reset.
    gone: [bool; 2],
    /// Until when nobody says that a side is gone: what is sent to it is lost.
    unsaid_until: [Duration; 2],
    /// A partition swallowed something: the connection cannot go on when it ends.
    holed: bool,
}

/// Wakes the reader of one lane.
struct LaneAlarm {
    connection: Weak<Connection>,
    side: usize,
}

impl Wake for LaneAlarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(connection) = self.connection.upgrade() else { return };
        let reader = lock(&connection.state).lanes[self.side].ring();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Connection {
    pub(super) fn new(number: u64, names: [Arc<str>; 2], lives: [Arc<Life>; 2]) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let lane = |side| Lane::new(Waker::from(Arc::new(LaneAlarm { connection: this.clone(), side })));
            let lanes = [lane(0), lane(1)];
            let unsaid_until = [Duration::ZERO; 2];
            let state = State { lanes, asked: Default::default(), gone: [false; 2], unsaid_until, holed: false };
            Self { number, names, lives, state: Mutex::new(state) }
        })
    }

    pub(super) fn node(&self, side: usize) -> NodeIndex {
        self.lives[side].node
    }

    pub(super) fn is_holed(&self) -> bool {
        lock(&self.state).holed
    }

    fn post(&self, world: &World, to: usize, load: Load, due: Duration) {
        let alarm = lock(&self.state).lanes[to].post(load, due);
        set(world, alarm);
    }

    /// Both sides learn, a latency from now, that the connection is reset.
    pub(crate) fn reset(&self, world: &World) {
        lock(&self.state).gone = [true; 2];
        for to in 0..2 {
            self.end(world, 1 - to, Parting::Reset);
        }
    }

    /// `side` is gone: the other learns it a latency from now, or not at all while the two are partitioned.
    pub(super) fn part(&self, world: &World, side: usize, parting: Parting) {
        let writer = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.gone[side], true) {
                return;
            }
            state.lanes[side].abandon()
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        self.tell(world, side, parting);
    }

    fn tell(&self, world: &World, side: usize, parting: Parting) {
        let (from, to) = (self.node(side), self.node(1 - side));
        if world.swallows(from, to) {
            lock(&self.state).holed = true;
        } else {
            self.end(world, side, parting);
        }
    }

    /// The other side hears, now or when a fault lets it, that `side` reads and writes no more.
    fn end(&self, world: &World, side: usize, parting: Parting) {
        let (from, to) = (self.node(side), self.node(1 - side));
        let due = world.due(from, to);
        let late = world.armed().closes_late(world.now_ms(), from, to);
        let due = late.map_or(due, |until| {
            lock(&self.state).unsaid_until[side] = until;
            due.max(until)
        });
        self.post(world, 1 - side, Load::End(parting), due);
    }

    /// `side` hands over what it flushed.
    fn send(&self, world: &World, side: usize, bytes: Bytes) {
        if !self.lives[side].is_alive() {
            return;
        }
        match world.inner.protocol.read(&bytes, End::at(side)) {
            None if self.is_swallowed(world, side) => {}
            None => self.deliver(world, side, bytes, None),
            Some(header) if header.kind == FrameKind::Response => self.send_response(world, side, header, bytes),
            Some(header) => self.send_request(world, side, header, bytes),
        }
    }

    fn send_request(&self, world: &World, side: usize, header: Header, bytes: Bytes) {
        let (from, to) = (self.node(side), self.node(1 - side));
        let nth = world.count_request(from, to, header.code);
        let facts = self.facts(world, side, header, Some(nth), None, bytes.clone());
        world.inner.tap.request_sent(&facts);
        let (verdict, moments) = world.armed().judge(world.now_ms(), from, to, header.code);
        if self.lives[side].is_alive() && !self.is_swallowed(world, side) {
            let fate = verdict.map_or(Fate::Deliver, |verdict| verdict.strike(world, self, side, &facts));
            let (spoiling, answers, late) = match fate {
                Fate::Deliver => (None, 1, Duration::ZERO),
                Fate::DeliverThen(spoiling) => (Some(spoiling), 1, Duration::ZERO),
                Fate::DeliverTwice => (None, 2, Duration::ZERO),
                Fate::DeliverLate(late) => (None, 1, late),
                Fate::Vanish => (None, 0, Duration::ZERO),
            };
            if header.kind == FrameKind::Request && answers > 0 {
                let asked = Asked { code: header.code, nth, spoiling, answers };
                lock(&self.state).asked[side].insert(header.opaque, asked);
            }
            for _ in 0..answers {
                self.deliver_late(world, side, bytes.clone(), Some(Box::new(facts.clone())), late);
            }
        }
        moments.into_iter().for_each(|strike| strike.land(world));
    }

    fn send_response(&self, world: &World, side: usize, header: Header, bytes: Bytes) {
        let asked = self.answered(1 - side, header.opaque);
        let code = asked.map_or(0, |asked| asked.code);
        let moments = world.armed().answers(self.node(side), self.node(1 - side), code);
        moments.into_iter().for_each(|strike| strike.land(world));
        if !self.lives[side].is_alive() {
            return; // it has not left
        }
        let facts = self.facts(world, side, header, asked.map(|a| a.nth), asked.map(|a| a.code), bytes.clone());
        world.inner.tap.response_sent(&facts);
        if self.is_swallowed(world, side) {
            return;
        }
        match asked.and_then(|asked| asked.spoiling) {
            Some(spoiling) => self.spoil(world, side, spoiling, facts),
            None => self.deliver(world, side, bytes, Some(Box::new(facts))),
        }
    }

    /// An answer that a fault waits for has left.
    fn spoil(&self, world: &World, side: usize, Spoiling { fault, spoils }: Spoiling, facts: FrameFacts) {
        let (damaged, what) = match spoils {
            Spoils::Loses => (None, lost_answer::describe(&facts)),
            Spoils::Damages(damage) => match world.inner.protocol.damage(&facts.bytes, damage, facts.nth) {
                Some(damaged) => (Some(damaged), damaged_answer::describe(damage, &facts)),
                None => return self.deliver(world, side, facts.bytes.clone(), Some(Box::new(facts))),
            },
        };
        if !world.armed().spoil_answer(fault) {
            return self.deliver(world, side, facts.bytes.clone(), Some(Box::new(facts)));
        }
        world.tap_fault(Some(fault), &what);
        if let Some(damaged) = damaged {
            self.deliver(world, side, damaged, None);
        }
    }

    /// The request that is answered; it is forgotten when it will not be answered again.
    fn answered(&self, side: usize, opaque: i32) -> Option<Asked> {
        let asked = &mut lock(&self.state).asked[side];
        let known = asked.get_mut(&opaque)?;
        known.answers = known.answers.saturating_sub(1);
        let answered = *known;
        if answered.answers == 0 {
            asked.remove(&opaque);
        }
        Some(answered)
    }

    /// The caller at `side` gets `code` as the answer to the request `asked`, without the callee's knowing.
    pub(crate) fn answer_for(&self, world: &World, side: usize, asked: &FrameFacts, code: i32) {
        let Some(bytes) = world.inner.protocol.answer(code, asked.opaque) else {
            panic!("the plan has a request answered with {code}, and the protocol has no such answer");
        };
        let header = Header { kind: FrameKind::Response, code, opaque: asked.opaque };
        let facts = self.facts(world, 1 - side, header, Some(asked.nth), Some(asked.code), bytes.clone());
        self.deliver(world, 1 - side, bytes, Some(Box::new(facts)));
    }

    fn is_swallowed(&self, world: &World, side: usize) -> bool {
        let swallowed = world.swallows(self.node(side), self.node(1 - side));
        if swallowed {
            lock(&self.state).holed = true;
        }
        swallowed
    }

    fn deliver(&self, world: &World, side: usize, bytes: Bytes, facts: Option<Box<FrameFacts>>) {
        self.deliver_late(world, side, bytes, facts, Duration::ZERO);
    }

    /// Delivers it `late` later than it would arrive.
    fn deliver_late(&self, world: &World, side: usize, bytes: Bytes, facts: Option<Box<FrameFacts>>, late: Duration) {
        let (from, to) = (self.node(side), self.node(1 - side));
        let due = world.due(from, to) + world.queued(from, to, bytes.len());
        let alarm = {
            let mut state = lock(&self.state);
            if state.gone[1 - side] && world.now() < state.unsaid_until[1 - side] {
                None
            } else if state.gone[1 - side] {
                let due = due + due.saturating_sub(world.now()); // there and back
                state.lanes[side].post(Load::End(Parting::Reset), due)
            } else if late > Duration::ZERO {
                state.lanes[1 - side].post_late(bytes, facts, due + late)
            } else {
                state.lanes[1 - side].post(Load::Frame(bytes, facts), due)
            }
        };
        set(world, alarm);
    }

    fn facts(
        &self,
        world: &World,
        side: usize,
        header: Header,
        nth: Option<u64>,
        request_code: Option<i32>,
        bytes: Bytes,
    ) -> FrameFacts {
        FrameFacts {
            at_ms: world.now_ms(),
            number: world.count_frame(),
            from: self.names[side].clone(),
            to: self.names[1 - side].clone(),
            connection: self.number,
            is_response: header.kind == FrameKind::Response,
            code: header.code,
            opaque: header.opaque,
            request_code,
            nth: nth.unwrap_or(0),
            bytes,
        }
    }
}

/// Sets the alarm; with the connection unlocked, for one that is due already rings at once.
fn set(world: &World, alarm: Option<Alarm>) {
    if let Some(Alarm { at, waker }) = alarm {
        world.wake_at(at, &waker);
    }
}

/// One node's end of a connection.
pub(super) struct PipeStream {
    world: World,
    connection: Arc<Connection>,
    side: usize,
    /// Written and not flushed.
    written: BytesMut,
    shut_down: bool,
}

impl PipeStream {
    pub(super) fn new(world: World, connection: Arc<Connection>, side: usize) -> Self {
        Self { world, connection, side, written: BytesMut::new(), shut_down: false }
    }

    fn is_dead(&self) -> bool {
        !self.connection.lives[self.side].is_alive()
    }

    fn hand_over(&mut self) {
        while !self.written.is_empty() {
            let frame = self.world.inner.protocol.split_first(&mut self.written);
            self.connection.send(&self.world, self.side, frame);
        }
    }
}

impl AsyncRead for PipeStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_dead() {
            return Poll::Pending; // the dead hear nothing
        }
        let now = self.world.now();
        let (taken, writer) = lock(&self.connection.state).lanes[self.side].take(now, buf, cx);
        if let Some(writer) = writer {
            writer.wake();
        }
        match taken {
            Taken::Bytes(facts) => {
                if let Some(mut facts) = facts {
                    facts.at_ms = self.world.now_ms();
                    self.world.inner.tap.delivered(&facts);
                }
                Poll::Ready(Ok(()))
            }
            Taken::End(Parting::Close) => Poll::Ready(Ok(())),
            Taken::End(Parting::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Taken::Nothing(alarm) => {
                set(&self.world, alarm);
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for PipeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_dead() {
            return Poll::Pending;
        }
        if self.shut_down {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.written.is_empty() {
            let now = self.world.now();
            let state = &mut *lock(&self.connection.state);
            if state.lanes[self.side].is_reset(now) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if !state.lanes[1 - self.side].has_room(cx) {
                return Poll::Pending;
            }
        }
        self.written.extend_from_slice(data);
        if self.written.len() > LARGEST_FRAME {
            self.hand_over();
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hand_over();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hand_over();
        if !self.shut_down && !self.is_dead() {
            self.shut_down = true;
            self.connection.tell(&self.world, self.side, Parting::Close);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeStream {
    fn drop(&mut self) {
        if !self.is_dead() {
            self.connection.part(&self.world, self.side, Parting::Close);
        }
        self.world.forget(self.connection.number, self.side);
    }
}
