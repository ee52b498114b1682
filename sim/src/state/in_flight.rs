//! What is in flight: requests that left and have no answer, on connections of which both ends live. Whether the caller
//! still waits nobody can see.

use std::collections::BTreeMap;

use pop_revive::remoting::code::request::name;

use super::standing::ends_its_life;
use crate::{
    evidence::frame::WireFrame,
    history::{Event, EventKind, Frame, History},
    ledger::biography::SimTime,
    plan::SimMs,
};

/// Bit of a frame's flag: nobody will answer.
const ONE_WAY: i32 = 2;

/// Requests without an answer, in the order in which they left.
#[derive(Default)]
pub(crate) struct InFlight<'h> {
    open: BTreeMap<usize, (SimMs, &'h Frame)>,
    /// Connection and opaque → the last request with them.
    calls: BTreeMap<(u64, i32), usize>,
}

impl<'h> InFlight<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut in_flight = Self::default();
        for (number, event) in history.events.iter().enumerate() {
            in_flight.note(number, event);
        }
        in_flight
    }

    /// Takes the next event in; the positions of the requests that are in flight no more.
    pub(crate) fn note(&mut self, number: usize, event: &'h Event) -> Vec<usize> {
        match &event.kind {
            EventKind::Request(frame) if !is_one_way(frame) => {
                // An opaque may come again while nobody has answered the first: both are in flight.
                self.calls.insert((frame.connection, frame.opaque), number);
                self.open.insert(number, (event.at_ms, frame));
                Vec::new()
            }
            EventKind::Response(frame) => {
                let call = self.calls.remove(&(frame.connection, frame.opaque));
                call.filter(|number| self.open.remove(number).is_some()).into_iter().collect()
            }
            EventKind::Node { node, event } if ends_its_life(event) => {
                let is_lost = |frame: &Frame| *frame.from == **node || *frame.to == **node;
                self.open.extract_if(.., |_, (_, frame)| is_lost(frame)).map(|(number, _)| number).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether the request at this position is in flight.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.open.contains_key(&number)
    }

    /// What a node waits for, one line each.
    pub(super) fn of_node(&self, node: &str) -> Vec<String> {
        let asked = self.open.values().filter(|(_, frame)| *frame.from == *node);
        asked.map(|(since, frame)| line(*since, frame)).collect()
    }
}

fn line(since: SimMs, frame: &Frame) -> String {
    let Frame { to, connection, opaque, .. } = frame;
    format!("→ {to} {} since {} (c{connection} #{opaque})", name(frame.request_code), SimTime(since))
}

fn is_one_way(frame: &Frame) -> bool {
    WireFrame::read(&frame.bytes).is_ok_and(|read| read.flag & ONE_WAY != 0)
}
