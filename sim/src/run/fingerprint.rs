//! The fingerprint of a run: a hash of its whole event log, and the log's lines.

use std::fmt::Write as _;

use crate::history::{Event, EventKind, Frame, History};

/// The event log's hash, 16 hex digits. Two equal runs have equal ones; so have, but for a collision, only they.
#[must_use]
pub fn fingerprint(history: &History) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut line = String::new();
    for event in &history.events {
        line.clear();
        match &event.kind {
            // The checksum on disk covers the facts, whose text is by far the largest part of the log.
            EventKind::Durable { node, sync, entry } => {
                let _ = write!(
                    line,
                    "{} durable {node} #{sync} {}/{} {:08x}",
                    event.at_ms, entry.term, entry.index, entry.checksum
                );
            }
            _ => write_line(&mut line, event),
        }
        hasher.update(line.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Writes one event as one line of the log.
pub fn write_line(line: &mut String, event: &Event) {
    // Writing to a String cannot fail.
    let _ = write!(line, "{:>12} ", event.at_ms);
    let _ = match &event.kind {
        EventKind::Request(frame) => write_frame(line, "request", frame),
        EventKind::Response(frame) => write_frame(line, "response", frame),
        EventKind::Synced { node, sync, bytes } => write!(line, "synced {node} #{sync} {bytes} B"),
        EventKind::ClockGained { node, ms } => write!(line, "clock of {node} gained {ms}"),
        EventKind::Node { node, event } => write!(line, "node {node} {event}"),
        other => write!(line, "{other:?}"),
    };
    line.push('\n');
}

fn write_frame(line: &mut String, what: &str, frame: &Frame) -> std::fmt::Result {
    let Frame { from, to, connection, opaque, request_code, code, length, bytes } = frame;
    let sum = crc32fast::hash(bytes);
    write!(line, "{what} {from}>{to} c{connection} #{opaque} {request_code}/{code} {length} B {sum:08x}")
}
