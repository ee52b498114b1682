//! What is in flight: requests that left and have no answer, on connections of which both ends live. Whether the caller
//! still waits nobody can see.

use std::collections::BTreeMap;

use pop_revive::remoting::code::request::name;

use super::standing::ends_its_life;
use crate::{
    evidence::frame::WireFrame,
    history::{EventKind, Frame, History},
    ledger::biography::SimTime,
    plan::SimMs,
};

/// Bit of a frame's flag: nobody will answer.
const ONE_WAY: i32 = 2;

/// Requests without an answer, in the order in which they left.
pub(super) struct InFlight<'h>(BTreeMap<usize, (SimMs, &'h Frame)>);

impl<'h> InFlight<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let (mut open, mut calls) = (BTreeMap::new(), BTreeMap::new());
        for (number, event) in history.events.iter().enumerate() {
            match &event.kind {
                EventKind::Request(frame) if !is_one_way(frame) => {
                    // An opaque may come again while nobody has answered the first: both are in flight.
                    calls.insert((frame.connection, frame.opaque), number);
                    open.insert(number, (event.at_ms, frame));
                }
                EventKind::Response(frame) => {
                    let call = calls.remove(&(frame.connection, frame.opaque));
                    call.and_then(|number| open.remove(&number));
                }
                EventKind::Node { node, event } if ends_its_life(event) => {
                    open.retain(|_, (_, frame)| *frame.from != **node && *frame.to != **node);
                }
                _ => {}
            }
        }
        Self(open)
    }

    /// What a node waits for, one line each.
    pub(super) fn of_node(&self, node: &str) -> Vec<String> {
        let asked = self.0.values().filter(|(_, frame)| *frame.from == *node);
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
