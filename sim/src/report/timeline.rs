//! A run as text, one line per event: simulated time, node, what happened.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use pop_revive::remoting::code::{request as asked, response as answered};

use super::facts;
use crate::{
    evidence::frame::code,
    history::{AckVerdict, Acked, Event, EventKind, Frame, History, LedgerId, Noted, Popped, Renewed, Seen, Sent},
    ledger::biography::SimTime,
    plan::SimMs,
};

/// How much of a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Everything.
    All,
    /// Without idle traffic: polls that find nothing, heartbeats, registrations, route look-ups, bare syncs.
    Busy,
    /// What clients saw, what broke, what became of nodes and chains.
    Condensed,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Position of its event in the history.
    pub event: usize,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// Where; empty when nowhere in particular.
    pub node: String,
    /// What.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, node, text, .. } = self;
        write!(f, "{:>16}  {node:<12}  {text}", SimTime(*at_ms).to_string())
    }
}

/// The lines of a run, in order.
pub fn lines(history: &History, view: View) -> impl Iterator<Item = Line> {
    let answers = if view == View::Busy { pop_answers(history) } else { HashMap::new() };
    let slaves = slaves(history);
    history.events.iter().enumerate().filter_map(move |(number, event)| {
        let shown = match view {
            View::All => true,
            View::Busy => !is_idle(&event.kind, &answers),
            View::Condensed => is_essential(&event.kind) && !is_copied(&event.kind, &slaves),
        };
        if !shown {
            return None;
        }
        let (node, text) = words(event, view)?;
        Some(Line { event: number, at_ms: event.at_ms, node: node.to_owned(), text })
    })
}

/// Faults, and what happened to nodes: what a message's life is to be read beside.
pub fn disturbances(history: &History) -> impl Iterator<Item = Line> {
    lines(history, View::Condensed).filter(|line| {
        let kind = history.events.get(line.event).map(|event| &event.kind);
        matches!(kind, Some(EventKind::Fault { .. } | EventKind::Node { .. } | EventKind::Healed | EventKind::Over))
    })
}

/// The nodes that follow the log of another one.
fn slaves(history: &History) -> BTreeSet<&str> {
    let frames = history.events.iter().filter_map(|event| match &event.kind {
        EventKind::Request(frame) if frame.request_code == code::REPLICATE => Some(&*frame.from),
        _ => None,
    });
    frames.collect()
}

/// A slave has what its master's line has told already.
fn is_copied(kind: &EventKind, slaves: &BTreeSet<&str>) -> bool {
    matches!(kind, EventKind::Noted(Noted::Durable { node, .. }) if slaves.contains(node.as_str()))
}

/// A call: caller, connection, opaque.
type Call<'h> = (&'h str, u64, i32);

/// What each answered pop was answered with last; an opaque may come again.
fn pop_answers(history: &History) -> HashMap<Call<'_>, i32> {
    let frames = history.events.iter().filter_map(|event| match &event.kind {
        EventKind::Response(frame) if frame.request_code == POP => Some(frame),
        _ => None,
    });
    frames.map(|frame| ((&*frame.to, frame.connection, frame.opaque), frame.code)).collect()
}

const POP: i32 = asked::POP_MESSAGE;
/// What goes on while nothing happens: heartbeats, registrations, look-ups of routes, slaves that ask for more.
const CHATTER: [i32; 5] = [
    asked::HEART_BEAT,
    asked::REGISTER_BROKER,
    asked::GET_ROUTEINFO_BY_TOPIC,
    asked::GET_BROKER_CLUSTER_INFO,
    code::REPLICATE,
];

fn is_idle(kind: &EventKind, answers: &HashMap<Call<'_>, i32>) -> bool {
    match kind {
        EventKind::Synced { .. } => true,
        EventKind::Noted(Noted::Popped(popped)) => matches!(&popped.seen, Seen::Ok(messages) if messages.is_empty()),
        EventKind::Request(frame) if frame.request_code == POP => {
            answers.get(&(&*frame.from, frame.connection, frame.opaque)).is_some_and(|code| *code != 0)
        }
        EventKind::Response(frame) if frame.request_code == POP => frame.code != 0,
        EventKind::Request(frame) | EventKind::Response(frame) => CHATTER.contains(&frame.request_code),
        _ => false,
    }
}

fn is_essential(kind: &EventKind) -> bool {
    match kind {
        EventKind::Noted(Noted::Popped(popped)) => !matches!(&popped.seen, Seen::Ok(messages) if messages.is_empty()),
        EventKind::Request(_) | EventKind::Response(_) | EventKind::Synced { .. } => false,
        _ => true,
    }
}

fn words(event: &Event, view: View) -> Option<(&str, String)> {
    Some(match &event.kind {
        EventKind::Noted(Noted::Sent(it)) => (&it.producer, sent(it)),
        EventKind::Noted(Noted::Popped(it)) => (&it.consumer, popped(it)),
        EventKind::Noted(Noted::Acked(it)) => (&it.consumer, acked(it)),
        EventKind::Noted(Noted::Renewed(it)) => (&it.consumer, renewed(it)),
        EventKind::Noted(Noted::Operated { command, result }) => {
            let result = result.as_ref().map_or_else(|why| format!("failed: {why}"), ToString::to_string);
            ("operator", format!("{command}: {result}"))
        }
        EventKind::Request(frame) => (&frame.from, request(frame)),
        EventKind::Response(frame) => (&frame.from, response(frame)),
        EventKind::Noted(Noted::Durable { node, sync, entry }) => {
            let facts = facts::entry(entry, view == View::Condensed)?;
            (node, format!("durable by sync {sync}: {facts}"))
        }
        EventKind::Noted(Noted::Again { node, sync, term, index }) => {
            (node, format!("durable again by sync {sync}: entry {term}/{index}"))
        }
        EventKind::Noted(Noted::AtRest { .. } | Noted::Scraped(_)) => return None,
        EventKind::Synced { node, sync, bytes } => (node, format!("sync {sync} of {bytes} bytes")),
        EventKind::ClockGained { node, ms } => {
            (node, format!("its clock has gained {ms} ms since it last began to run"))
        }
        EventKind::ClockStands { node, stands: true } => (node, "its clock stands still".into()),
        EventKind::ClockStands { node, stands: false } => (node, "its clock goes on".into()),
        EventKind::Node { node, event } => (node, event.clone()),
        EventKind::Fault { text, .. } => ("", format!("FAULT {text}")),
        EventKind::Healed => ("", "all faults end".into()),
        EventKind::Over => ("", "the run is over".into()),
    })
}

/// A request, as it left.
pub(crate) fn request(frame: &Frame) -> String {
    let Frame { to, connection, opaque, length, .. } = frame;
    format!("→ {to} {} (c{connection} #{opaque}, {length} bytes)", asked::name(frame.request_code))
}

/// A response, as it left.
pub(crate) fn response(frame: &Frame) -> String {
    let Frame { to, connection, opaque, length, .. } = frame;
    let (request, answer) = (asked::name(frame.request_code), answered::name(frame.code));
    format!("→ {to} {request} answered {answer} (c{connection} #{opaque}, {length} bytes)")
}

/// What a producer saw of a send.
pub(crate) fn sent(sent: &Sent) -> String {
    let seen = told(&sent.seen, |(queue, offset)| format!("stored at {queue}/{offset}"));
    let delay = sent.delay_ms.map_or_else(String::new, |ms| format!(", due {ms} ms later"));
    format!("sent {} to {} of {}{delay}: {seen}", sent.ledger, sent.topic, sent.broker)
}

fn popped(popped: &Popped) -> String {
    let seen = told(&popped.seen, |messages| {
        if messages.is_empty() {
            return "nothing".into();
        }
        let list = messages.iter().map(|it| {
            let again = if it.reconsume > 0 { format!(" revived {}×", it.reconsume) } else { String::new() };
            format!("{} at {}/{}/{}{again}", stamp(it.ledger.as_ref()), it.topic, it.queue, it.offset)
        });
        list.collect::<Vec<_>>().join(", ")
    });
    format!("popped {} of {} for {}: {seen}", popped.topic, popped.broker, popped.group)
}

/// What a consumer saw of an ack.
pub(crate) fn acked(acked: &Acked) -> String {
    let seen = told(&acked.seen, |verdict| match verdict {
        AckVerdict::Absorbed => "absorbed".into(),
        AckVerdict::TooLate => "too late".into(),
    });
    let (topic, queue, offset) = &acked.place;
    format!("acked {} at {topic}/{queue}/{offset} for {}: {seen}", stamp(acked.ledger.as_ref()), acked.group)
}

/// What a consumer saw of a renewal.
pub(crate) fn renewed(renewed: &Renewed) -> String {
    let seen = told(&renewed.seen, |handle| match handle {
        Some(_) => "done".into(),
        None => "too late".into(),
    });
    format!("renewed {} for {}: {seen}", stamp(renewed.ledger.as_ref()), renewed.group)
}

fn stamp(ledger: Option<&LedgerId>) -> &str {
    ledger.map_or("a message without stamp", |ledger| &ledger.0)
}

fn told<T>(seen: &Seen<T>, ok: impl FnOnce(&T) -> String) -> String {
    match seen {
        Seen::Ok(value) => ok(value),
        Seen::Refused { code, remark } if remark.is_empty() => format!("refused, {}", answered::name(*code)),
        Seen::Refused { code, remark } => format!("refused, {}: {remark}", answered::name(*code)),
        Seen::Unknown { cause } => format!("unknown, {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop_frame(code: i32) -> Frame {
        let (from, to) = ("consumer-1".into(), "broker-a".into());
        Frame {
            from,
            to,
            connection: 1,
            opaque: 7,
            request_code: POP,
            code,
            arrived_ms: None,
            length: 9,
            bytes: bytes::Bytes::new(),
        }
    }

    fn history(code: i32) -> History {
        let request = EventKind::Request(pop_frame(0));
        let mut answer = pop_frame(code);
        std::mem::swap(&mut answer.from, &mut answer.to);
        let kinds = [request, EventKind::Response(answer), EventKind::Healed];
        let events = kinds.into_iter().enumerate().map(|(at, kind)| Event { at_ms: at as u64 * 1000, kind });
        History { events: events.collect() }
    }

    #[test]
    fn polls_that_find_nothing_are_idle() {
        assert_eq!(lines(&history(210), View::Busy).count(), 1);
        assert_eq!(lines(&history(210), View::All).count(), 3);
        assert_eq!(lines(&history(0), View::Busy).count(), 3);
        assert_eq!(lines(&history(0), View::Condensed).count(), 1);
    }

    #[test]
    fn what_a_slave_copies_is_told_once() {
        let mut history = history(0);
        let entry = crate::evidence::DurableEntry {
            term: 1,
            index: 1,
            checksum: 0,
            length: 1,
            at_ms: 0,
            facts: vec![crate::oracles::fixture::chain("t", 0, 0).fact()],
        };
        for node in ["broker-a", "broker-a-s1"] {
            let entry = std::sync::Arc::new(entry.clone());
            history
                .events
                .push(Event { at_ms: 9, kind: EventKind::Noted(Noted::Durable { node: node.into(), sync: 1, entry }) });
        }
        assert_eq!(lines(&history, View::Condensed).filter(|line| line.text.contains("durable")).count(), 2);
        let (from, to) = ("broker-a-s1".into(), "broker-a".into());
        let asked = Frame { from, to, request_code: code::REPLICATE, ..pop_frame(0) };
        history.events.push(Event { at_ms: 9, kind: EventKind::Request(asked) });
        assert_eq!(lines(&history, View::Condensed).filter(|line| line.text.contains("durable")).count(), 1);
        assert_eq!(lines(&history, View::All).filter(|line| line.text.contains("durable")).count(), 2);
    }

    #[test]
    fn a_line_reads_time_node_and_what() {
        let line = lines(&history(0), View::Busy).nth(1).map(|line| line.to_string());
        let wanted = "  0h00m01.000s  broker-a      → consumer-1 POP_MESSAGE answered SUCCESS (c1 #7, 9 bytes)";
        assert_eq!(line.as_deref().map(str::trim_start), Some(wanted.trim_start()));
    }
}
