//! The fingerprint of a run: a hash of its whole event log, and the log's lines.

use std::fmt::{self, Write as _};

use super::{Event, EventKind, Frame, History, Noted};

/// The event log's hash, 16 hex digits. Two equal runs have equal ones; so have, but for a collision, only they.
#[must_use]
pub fn fingerprint(history: &History) -> String {
    digest(history, |line, event| match &event.kind {
        // The checksum on disk covers the facts, whose text is by far the largest part of the log.
        EventKind::Noted(Noted::Durable { node, sync, entry }) => {
            let _ = write!(
                line,
                "{} durable {node} #{sync} {}/{} {:08x}",
                event.at_ms, entry.term, entry.index, entry.checksum
            );
        }
        _ => write_line(line, event),
    })
}

/// The hash of an event log whose lines `write` writes, 16 hex digits.
pub fn digest<N>(history: &History<N>, write: impl Fn(&mut String, &Event<N>)) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut line = String::new();
    for event in &history.events {
        line.clear();
        write(&mut line, event);
        hasher.update(line.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// The whole log.
pub fn lines<N: fmt::Debug>(history: &History<N>) -> String {
    let mut lines = String::new();
    for event in &history.events {
        write_line(&mut lines, event);
    }
    lines
}

/// Writes one event as one line of the log.
pub fn write_line<N: fmt::Debug>(line: &mut String, event: &Event<N>) {
    // Writing to a String cannot fail.
    let _ = write!(line, "{:>12} ", event.at_ms);
    let _ = match &event.kind {
        EventKind::Request(frame) => write_frame(line, "request", frame),
        EventKind::Response(frame) => write_frame(line, "response", frame),
        EventKind::Synced { node, sync, bytes } => write!(line, "synced {node} #{sync} {bytes} B"),
        EventKind::ClockStands { node, stands } => write!(line, "clock of {node} stands {stands}"),
        EventKind::ClockGained { node, ms } => write!(line, "clock of {node} gained {ms}"),
        EventKind::Node { node, event } => write!(line, "node {node} {event}"),
        EventKind::Noted(noted) => write!(line, "{noted:?}"),
        other => write!(line, "{other:?}"),
    };
    line.push('\n');
}

fn write_frame(line: &mut String, what: &str, frame: &Frame) -> std::fmt::Result {
    let Frame { from, to, connection, opaque, request_code, code, arrived_ms: _, length, bytes } = frame;
    let sum = crc32fast::hash(bytes);
    write!(line, "{what} {from}>{to} c{connection} #{opaque} {request_code}/{code} {length} B {sum:08x}")
}
