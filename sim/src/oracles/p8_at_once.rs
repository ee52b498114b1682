//! Part of P8: a broker asks another for so much at once and no more, however much waits for it.
//!
//! Rule: of the reads by which a broker asks another for messages, at most [`AT_ONCE`] are under way: neither answered nor so
//! old that they are given up. What ended unseen because something was broken counts no more, nor does what left in the same
//! instant: a connection that is reset takes with it what was put on it before anybody could know.

use std::collections::BTreeMap;

use super::{Findings, p4_reads::last_attempt};
use crate::{history::EventKind, ledger::Ledger, plan::SimMs};

/// How many reads of one peer may be under way.
const AT_ONCE: usize = 8;

/// How long after its attempt began a read may be given up, ms.
const GIVEN_UP_MS: SimMs = 10_000;

/// The reads of one peer by one home.
#[derive(Default)]
struct Way {
    /// When each one that is under way is over, and where in the history the instant began in which it left.
    under_way: Vec<(SimMs, usize)>,
    /// Too many were told of.
    is_told: bool,
}

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let is_broker = |name: &str| ledger.obligations.brokers.iter().any(|broker| broker == name);
    let mut ways: BTreeMap<(&str, &str), Way> = BTreeMap::new();
    for pull in ledger.wire.pulls.iter().filter(|pull| is_broker(pull.call.from)) {
        let call = &pull.call;
        let arrives = |event: usize| match &ledger.history.events[event].kind {
            EventKind::Response(frame) => frame.arrived_ms,
            _ => None,
        };
        // What is asked for in parts is given up as a whole.
        let began_ms = last_attempt(ledger, pull).map_or(call.at_ms, |(_, began_ms)| began_ms.min(call.at_ms));
        let given_up_ms = began_ms + GIVEN_UP_MS;
        let answered_ms = call.answer.and_then(|(event, _)| arrives(event));
        let over_ms = answered_ms.map_or(given_up_ms, |at_ms| at_ms.min(given_up_ms));
        let Way { under_way, is_told } = ways.entry((call.from, call.to)).or_default();
        under_way.retain(|(over_ms, left)| *over_ms > call.at_ms && !ledger.was_disturbed(*left, call.event));
        let instant = ledger.history.events.partition_point(|event| event.at_ms < call.at_ms);
        under_way.push((over_ms, instant));
        let is_over = under_way.len() > AT_ONCE;
        if is_over && !std::mem::replace(is_told, is_over) {
            let detail = format!("{} reads of {} are under way, {AT_ONCE} are allowed", under_way.len(), call.to);
            found.broken(call.at_ms, call.from, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, GIVEN_UP_MS};
    use crate::{history::EventKind, oracles::fixture::Story};

    /// So many reads leave, each so long after the one before.
    fn is_blamed(reads: usize, every_ms: u64) -> bool {
        let mut story = Story::new();
        for _ in 0..reads {
            story.read(0);
            story.wait(every_ms);
        }
        story.is_blamed("P8", "are under way")
    }

    #[test]
    fn what_left_with_a_connection_that_was_reset_is_over() {
        for (later_ms, blamed) in [(0, false), (1, true)] {
            let mut story = Story::new();
            story.event(EventKind::Fault { index: Some(0), text: "reset: b→a request 11".into() }).wait(later_ms);
            for _ in 0..AT_ONCE {
                story.read(0);
            }
            story.wait(1).read(0);
            assert_eq!(story.is_blamed("P8", "are under way"), blamed, "they left {later_ms} ms after it");
        }
    }

    #[test]
    fn so_many_are_under_way_and_no_more() {
        assert!(!is_blamed(AT_ONCE, 1) && is_blamed(AT_ONCE + 1, 1));
        assert!(!is_blamed(5 * AT_ONCE, GIVEN_UP_MS / 8), "the first are given up by then");
    }
}
