//! What an event is called where a whole sentence has no room.

use std::borrow::Cow;

use pop_revive::remoting::code::{request, response};

use crate::history::{EventKind, LedgerId, Noted, Popped, Seen};

/// A few words.
pub(super) fn label(kind: &EventKind) -> Cow<'_, str> {
    match kind {
        EventKind::Request(frame) => request::name(frame.request_code),
        EventKind::Response(frame) => {
            format!("{} answered {}", request::name(frame.request_code), response::name(frame.code)).into()
        }
        EventKind::Synced { sync, .. } => format!("sync {sync}").into(),
        EventKind::Node { event, .. } => event.into(),
        EventKind::ClockStands { stands: true, .. } => "its clock stands still".into(),
        EventKind::ClockStands { stands: false, .. } => "its clock goes on".into(),
        EventKind::ClockGained { .. } => "its clock has gained".into(),
        EventKind::Fault { text, .. } => text.into(),
        EventKind::Healed => "all faults end".into(),
        EventKind::Over => "the run is over".into(),
        EventKind::Noted(noted) => noted_label(noted),
    }
}

fn noted_label(noted: &Noted) -> Cow<'_, str> {
    match noted {
        Noted::Sent(it) => format!("send {}{}", it.ledger, end(&it.seen)).into(),
        Noted::Popped(it) => popped(it),
        Noted::Acked(it) => format!("ack {}{}", stamp(it.ledger.as_ref()), end(&it.seen)).into(),
        Noted::Renewed(it) => format!("renew {}{}", stamp(it.ledger.as_ref()), end(&it.seen)).into(),
        Noted::Operated { command, .. } => command.into(),
        Noted::Durable { entry, .. } => format!("entry {}/{}", entry.term, entry.index).into(),
        Noted::Again { term, index, .. } => format!("entry {term}/{index} again").into(),
        Noted::Scraped(_) => "scraped".into(),
        Noted::AtRest { .. } => "at rest".into(),
    }
}

fn popped(popped: &Popped) -> Cow<'static, str> {
    match &popped.seen {
        Seen::Ok(messages) => match messages.as_slice() {
            [] => "pop nothing".into(),
            [only] => format!("pop {}", stamp(only.ledger.as_ref())).into(),
            several => format!("pop {} messages", several.len()).into(),
        },
        seen => format!("pop{}", end(seen)).into(),
    }
}

fn stamp(ledger: Option<&LedgerId>) -> &str {
    ledger.map_or("a message without stamp", |ledger| &ledger.0)
}

/// How it ended, unless it worked.
const fn end<T>(seen: &Seen<T>) -> &'static str {
    match seen {
        Seen::Ok(_) => "",
        Seen::Refused { .. } => ": refused",
        Seen::Unknown { .. } => ": unknown",
    }
}
