//! Part of P9: a pull brings what is there.
//!
//! Rule: a master that is asked by another broker for an offset which a confirmed message of its disk had when the request
//! left, and has still when the answer leaves, does not answer that there is nothing: that it is not found, that none
//! matches, that the offset has moved, or with a success that is empty. However large the message is, it comes.

use super::Findings;
use crate::ledger::{Ledger, Place, wire::Pull};

/// Answers that there is no such message: success (when it is empty), not found, try again at once, offset moved.
const NOTHING: [i32; 4] = [0, 19, 20, 21];

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let is_broker = |name: &str| ledger.obligations.brokers.iter().any(|broker| broker == name);
    let asked = ledger.wire.pulls.iter().filter(|pull| is_broker(pull.call.from) && !pull.call.is_to_slave());
    for pull in asked {
        let Some((answered, code)) = pull.call.answer.filter(|(_, code)| NOTHING.contains(code)) else { continue };
        if pull.brought.0 > 0 || pull.is_damaged || !is_there(ledger, pull, answered) {
            continue;
        }
        let (topic, queue, offset) = (&pull.topic, pull.queue, pull.offset);
        let detail = format!("{} asks for {topic}/{queue}/{offset}, which is there, and hears {code}", pull.call.from);
        found.broken(ledger.at_ms(answered), pull.call.to, detail);
    }
}

/// Whether the message was there all the time.
fn is_there(ledger: &Ledger<'_>, pull: &Pull<'_>, answered: usize) -> bool {
    let node = pull.call.to;
    let era = ledger.era_at(node, &pull.topic, answered);
    let place = Place { node, topic: &pull.topic, queue: pull.queue, offset: pull.offset, era };
    let Some(stored) = ledger.stored(&place) else { return false };
    let is_known = ledger.told_ms(node, stored.entry.index, stored.event);
    let is_known = is_known.is_some_and(|told_ms| told_ms < ledger.at_ms(pull.call.event));
    is_known && stored.event < pull.call.event && ledger.expired(stored).is_none_or(|event| event > answered)
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::frame::code,
        oracles::fixture::{Story, encode},
    };

    /// `b` asks `a` for its message 0, and for one that is not there, and is answered so.
    fn is_blamed(offset: i64, answer: i32, brings_it: bool) -> bool {
        let (mut story, _) = Story::due();
        let body = if brings_it { encode(&story.stored_message(0)) } else { Vec::new() };
        let call = story.read(offset);
        story.response(("a", "b", call), (code::PULL, answer), &[], &body);
        story.is_blamed("P9", "which is there, and hears")
    }

    #[test]
    fn what_is_there_comes() {
        assert!([0, 19, 20, 21].iter().all(|answer| is_blamed(0, *answer, false)));
        assert!(!is_blamed(0, 0, true) && !is_blamed(1, 19, false));
        assert!(!is_blamed(0, 2, false), "it is busy, which says nothing of the message");
    }
}
