//! P3, an ack is final: once an ack was answered *absorbed*, the message is never delivered to that group again by any
//! path; *too late* means that it is on its way again or gone; a repeated ack of one handle hears the same.
//!
//! Rule: after the client saw *absorbed* for a copy with reconsume count r, no disk ever holds a copy with a higher one,
//! and no pop answer with the message leaves a broker for that group. When the client saw *too late*, a later copy is
//! durable or the chain durably ended as gone, or by a reset that hands the message out anew. An operator's reset lifts an
//! ack for what it hands out anew. Definite answers for one handle are all equal.

use super::{Findings, Reads};
use crate::{
    evidence::{ChainState, Outcome},
    history::{AckVerdict, Acked, LedgerId, Seen},
    ledger::{Ledger, OffsetReset, wire::Delivery},
};
use rustc_hash::FxHashMap;

pub(super) fn check(ledger: &Ledger<'_>, _: &Reads<'_>, found: &mut Findings<'_>) {
    let mut first_answer: FxHashMap<(&str, &str), AckVerdict> = FxHashMap::default();
    let mut delivered: FxHashMap<(&LedgerId, &str), Vec<&Delivery<'_>>> = FxHashMap::default();
    for it in &ledger.wire.deliveries {
        if let Some(stamp) = &it.message.ledger {
            delivered.entry((stamp, &it.group)).or_default().push(it);
        }
    }
    for &(event, ack) in &ledger.acks {
        let (Seen::Ok(verdict), Some(stamp)) = (&ack.seen, &ack.ledger) else { continue };
        let at_ms = ledger.at_ms(event);
        let first = first_answer.entry((&ack.group, &ack.handle)).or_insert(*verdict);
        if first != verdict {
            let detail = format!("{} acked `{}` twice and heard {first:?}, then {verdict:?}", ack.group, ack.handle);
            found.message(at_ms, stamp, detail);
        }
        match verdict {
            AckVerdict::Absorbed => {
                copied_after(ledger, ack, stamp, at_ms, found);
                let was_reset = |until: usize| was_reset(ledger, ack, stamp, until);
                for it in delivered.get(&(stamp, ack.group.as_str())).into_iter().flatten() {
                    if it.call.answer.is_some_and(|answer| answer.0 > event && !was_reset(answer.0)) {
                        let detail = format!("absorbed for {} at {at_ms} ms, delivered again afterwards", ack.group);
                        found.message(it.at_ms, stamp, detail);
                    }
                }
            }
            AckVerdict::TooLate if !is_on_its_way(ledger, ack, stamp, event) => {
                let detail = format!("{} heard too late, and it is neither on its way again nor gone", ack.group);
                found.message(at_ms, stamp, detail);
            }
            AckVerdict::TooLate => {}
        }
    }
}

/// Whether an operator reset the group to before the message, after its ack began and before `until`.
fn was_reset(ledger: &Ledger<'_>, ack: &Acked, stamp: &LedgerId, until: usize) -> bool {
    let in_time = |reset: &&OffsetReset<'_>| reset.at_ms >= ack.began_ms && reset.event < until;
    let resets = ledger.resets.iter().filter(in_time);
    let covers = |reset: &OffsetReset<'_>| ledger.stamped(stamp).any(|stored| reset.covers(stored.place, &ack.group));
    resets.into_iter().any(covers)
}

fn copied_after(ledger: &Ledger<'_>, ack: &Acked, stamp: &LedgerId, at_ms: u64, found: &mut Findings<'_>) {
    let Some(group) = ledger.group(&ack.group) else { return };
    let copies = ledger.stamped(stamp).filter(|stored| group.is_copy_topic(stored.place.topic));
    let later = copies.filter(|stored| stored.message.reconsume > ack.reconsume);
    for copy in later.filter(|stored| !was_reset(ledger, ack, stamp, stored.event)) {
        let (place, times) = (copy.place, copy.message.reconsume);
        let detail = format!("absorbed for {} at {at_ms} ms, copy {times} exists as {place}", group.name);
        found.message(at_ms.max(copy.at_ms), stamp, detail);
    }
}

fn is_on_its_way(ledger: &Ledger<'_>, ack: &Acked, stamp: &LedgerId, event: usize) -> bool {
    let Some(group) = ledger.group(&ack.group) else { return true };
    let copied = ledger.stamped(stamp).any(|stored| {
        let is_later = stored.event < event && stored.message.reconsume > ack.reconsume;
        is_later && group.is_copy_topic(stored.place.topic)
    });
    let (topic, queue, offset) = &ack.place;
    let is_gone = || {
        ledger.chains.iter().any(|life| {
            let is_it = (&life.id.topic, life.id.queue, life.id.offset) == (topic, *queue, *offset);
            let gone = |state: &ChainState| {
                matches!(state, ChainState::Ended { outcome: Outcome::Gone(_) | Outcome::Reset, .. })
            };
            is_it && life.id.group == ack.group && life.before(event).is_some_and(|chain| gone(&chain.state))
        })
    };
    copied || is_gone()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{
        evidence::ChainFact,
        history::{AckVerdict, Seen},
        oracles::fixture::{Story, message},
    };

    fn popped() -> (Story, ChainFact) {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        story.wait(10);
        (story, chain)
    }

    #[test]
    fn repeated_acks_that_hear_the_same_are_right() {
        let (mut story, chain) = popped();
        story.absorb(&chain, 1, 0).ack(&chain, 1, 0, Seen::Ok(AckVerdict::Absorbed));
        assert!(story.holds().reached.contains("repeated-ack"));
    }

    #[test]
    fn answers_must_not_differ() {
        let (mut story, chain) = popped();
        story.absorb(&chain, 1, 0).ack(&chain, 1, 0, Seen::Ok(AckVerdict::TooLate));
        story.breaks("P3", "heard Absorbed, then TooLate");
    }

    #[test]
    fn nothing_is_copied_after_an_ack() {
        let (mut story, chain) = popped();
        story.absorb(&chain, 1, 0).wait(10_000).revive(&chain, 0, 1, 1);
        story.breaks("P3", "copy 1 exists as");
    }

    #[test]
    fn nothing_is_delivered_after_an_ack() {
        let (mut story, chain) = popped();
        story.absorb(&chain, 1, 0).wait(10).hand_out(&message("t", 0, 1, 0));
        story.breaks("P3", "delivered again afterwards");
    }

    #[test]
    fn too_late_needs_a_copy() {
        let (mut story, chain) = popped();
        story.ack(&chain, 1, 0, Seen::Ok(AckVerdict::TooLate));
        story.breaks("P3", "neither on its way again nor gone");

        let (mut story, first) = popped();
        story.wait(10_000).revive(&first, 0, 1, 1).ack(&first, 1, 0, Seen::Ok(AckVerdict::TooLate));
        let second = story.wait(10).pop("%RETRY%g_t", 0, 1, 1);
        story.absorb(&second, 1, 1).holds();
    }
}
