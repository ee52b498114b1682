//! P3, an ack is final: once an ack was answered *absorbed*, the message is never delivered to that group again by any
//! path; *too late* means that it is on its way again or gone; a repeated ack of one handle hears the same.
//!
//! Rule: after the client saw *absorbed* for a copy with reconsume count r, no disk ever holds a copy with a higher one,
//! and no pop answer with the message leaves a broker for that group. When the client saw *too late*, a later copy is
//! durable or the chain durably ended as gone, or by a reset that hands the message out anew. An operator's reset gives
//! what it hands out anew another life; an ack is final for its own. Definite answers for one handle are all equal. No ack
//! is refused as one of nothing known whose chain is open before it and after.

use super::{Findings, Reads, open::open_throughout};
use crate::{
    evidence::{ChainState, Outcome, frame::Handle},
    history::{AckVerdict, Acked, LedgerId, Seen},
    ledger::{Ledger, Place, lives::Lives, wire::Delivery},
};
use rustc_hash::FxHashMap;

pub(super) fn check(ledger: &Ledger<'_>, _: &Reads<'_>, found: &mut Findings<'_>) {
    let lives = Lives::of(ledger);
    let mut first_answer: FxHashMap<(&str, &str), AckVerdict> = FxHashMap::default();
    let mut delivered: FxHashMap<(&LedgerId, &str), Vec<&Delivery<'_>>> = FxHashMap::default();
    for it in &ledger.wire.deliveries {
        if let Some(stamp) = &it.message.ledger {
            delivered.entry((stamp, &it.group)).or_default().push(it);
        }
    }
    for &(event, ack) in &ledger.acks {
        let at_ms = ledger.at_ms(event);
        if let Some(detail) = refused(ledger, ack, event) {
            found.stamped(at_ms, ack.ledger.as_ref(), format!("`{}` of {}", ack.handle, ack.group), detail);
        }
        let (Seen::Ok(verdict), Some(stamp)) = (&ack.seen, &ack.ledger) else { continue };
        let first = first_answer.entry((&ack.group, &ack.handle)).or_insert(*verdict);
        if first != verdict {
            let detail = format!("{} acked `{}` twice and heard {first:?}, then {verdict:?}", ack.group, ack.handle);
            found.message(at_ms, stamp, detail);
        }
        match verdict {
            AckVerdict::Absorbed => {
                copied_after(&lives, ledger, ack, (stamp, at_ms), found);
                let acked = life_of_ack(&lives, ack);
                let again = |it: &Delivery<'_>| {
                    let (node, queue, offset) = (it.call.to, it.message.queue, it.message.offset);
                    let spot = Place { node, topic: &it.topic, queue, offset, era: 0 };
                    is_same(acked, lives.of_pop(spot, &it.group, it.pop_time))
                };
                for it in delivered.get(&(stamp, ack.group.as_str())).into_iter().flatten() {
                    if it.call.answer.is_some_and(|answer| answer.0 > event) && again(it) {
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

/// RocketMQ's `NO_MESSAGE`, with which an ack of nothing known is refused.
const NO_MESSAGE: i32 = 208;

/// An ack that is refused although its chain waits for it.
fn refused(ledger: &Ledger<'_>, ack: &Acked, event: usize) -> Option<String> {
    let Seen::Refused { code: NO_MESSAGE, .. } = &ack.seen else { return None };
    let handle = (ack.handle.as_str(), ack.group.as_str());
    let open = open_throughout(ledger, handle, (ack.began_ms, event))?;
    Some(format!("its ack is refused as one of nothing known, and {open} is open"))
}

/// The life that was acked; `None` if no chain tells.
fn life_of_ack(lives: &Lives<'_, '_>, ack: &Acked) -> Option<usize> {
    let handle = Handle::read(&ack.handle)?;
    let (topic, queue, offset) = (&ack.place.0, ack.place.1, ack.place.2);
    lives.of_pop(Place { node: handle.broker, topic, queue, offset, era: 0 }, &ack.group, handle.pop_time)
}

/// Whether what came later is the life that was acked, as far as anything tells.
fn is_same(acked: Option<usize>, later: Option<usize>) -> bool {
    acked.zip(later).is_none_or(|(acked, later)| acked == later)
}

fn copied_after(
    lives: &Lives<'_, '_>,
    ledger: &Ledger<'_>,
    ack: &Acked,
    (stamp, at_ms): (&LedgerId, u64),
    found: &mut Findings<'_>,
) {
    let Some(group) = ledger.group(&ack.group) else { return };
    let copies = ledger.stamped(stamp).filter(|stored| group.is_copy_topic(stored.place.topic));
    let later = copies.filter(|stored| stored.message.reconsume > ack.reconsume);
    let acked = life_of_ack(lives, ack);
    for copy in later.filter(|stored| is_same(acked, lives.of_copy(&stored.place))) {
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
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::Outcome,
        history::{AckVerdict, Seen},
        oracles::fixture::{Story, message},
    };

    #[test]
    fn an_ack_of_an_open_chain_is_not_refused() {
        for (is_open, blamed) in [(true, true), (false, false)] {
            let mut story = Story::new();
            story.send(1, 0).wait(10);
            let chain = story.pop("t", 0, 1, 0);
            if !is_open {
                story.durable("a", vec![chain.clone().ended(Outcome::Reset).fact()]);
            }
            story.wait(10).ack(&chain, 1, 0, Seen::Refused { code: 208, remark: "unknown".into() });
            let is_blamed = story.judge().violations.iter().any(|it| it.detail.contains("its ack is refused"));
            assert_eq!(is_blamed, blamed);
        }
    }

    #[test]
    fn repeated_acks_that_hear_the_same_are_right() {
        let (mut story, chain) = Story::popped();
        story.absorb(&chain, 1, 0).ack(&chain, 1, 0, Seen::Ok(AckVerdict::Absorbed));
        assert!(story.holds().reached.contains("repeated-ack"));
    }

    #[test]
    fn an_ack_is_final_for_the_life_it_is_of() {
        let (mut story, first) = Story::popped();
        story.wait(10_000).revive(&first, 0, 1, 1).wait(10).reset(0, &[]).wait(10);
        let again = story.pop("t", 0, 1, 0);
        story.absorb(&again, 1, 0).wait(10);
        let retried = story.pop("%RETRY%g_t", 0, 1, 1); // it was copied before the reset
        story.absorb(&retried, 1, 1).holds();
        story.wait(10).revive(&again, 1, 1, 1);
        story.breaks("P3", "copy 1 exists as a/%RETRY%g_t/0/1");
    }

    #[test]
    fn answers_must_not_differ() {
        let (mut story, chain) = Story::popped();
        story.absorb(&chain, 1, 0).ack(&chain, 1, 0, Seen::Ok(AckVerdict::TooLate));
        story.breaks("P3", "heard Absorbed, then TooLate");
    }

    #[test]
    fn nothing_is_copied_after_an_ack() {
        let (mut story, chain) = Story::popped();
        story.absorb(&chain, 1, 0).wait(10_000).revive(&chain, 0, 1, 1);
        story.breaks("P3", "copy 1 exists as");
    }

    #[test]
    fn nothing_is_delivered_after_an_ack() {
        let (mut story, chain) = Story::popped();
        story.absorb(&chain, 1, 0).wait(10).hand_out(&message("t", 0, 1, 0));
        story.breaks("P3", "delivered again afterwards");
    }

    #[test]
    fn too_late_needs_a_copy() {
        let (mut story, chain) = Story::popped();
        story.ack(&chain, 1, 0, Seen::Ok(AckVerdict::TooLate));
        story.breaks("P3", "neither on its way again nor gone");

        let (mut story, first) = Story::popped();
        story.wait(10_000).revive(&first, 0, 1, 1).ack(&first, 1, 0, Seen::Ok(AckVerdict::TooLate));
        let second = story.wait(10).pop("%RETRY%g_t", 0, 1, 1);
        story.absorb(&second, 1, 1).holds();
    }
}
