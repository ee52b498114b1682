//! P9, honest answers: at the instant a success leaves, the disk holds what it promises.
//!
//! Rule, at each success that leaves a broker: a send's message is durable there (a delayed one's timer); each message
//! of a pop's answer has its durable chain at its home (the broker itself, or the target it escapes to); an acked chain
//! has durably ended as acked; a renewed one is durable under its new pop time; a checkpoint that one broker took from
//! another is durable in all its chains. What a client saw absorbed was durable by then, batches included. A frame from a broker
//! that cannot be read is a dishonest answer too. Answers made up by the network are no responses of a server.

use super::{Findings, Reads};
use crate::{
    evidence::{ChainFact, ChainId, ChainState, Outcome},
    history::{AckVerdict, Seen},
    ledger::{
        ChainLife, Ledger, Place,
        wire::{Call, Send, Settle},
    },
};

/// Properties that ask for delayed delivery.
const DELAYS: [&str; 4] = ["DELAY", "TIMER_DELIVER_MS", "TIMER_DELAY_SEC", "TIMER_DELAY_MS"];

pub(super) fn check(ledger: &Ledger<'_>, _: &Reads<'_>, found: &mut Findings<'_>) {
    for send in &ledger.wire.sends {
        let Some(event) = success(&send.call) else { continue };
        if let Err(why) = sent(ledger, send, event) {
            found.stamped(ledger.at_ms(event), send.ledger.as_ref(), send.call.to, why);
        }
    }
    popped(ledger, found);
    for ack in &ledger.wire.acks {
        let Some(event) = success(&ack.call) else { continue };
        if !ends_acked(ledger, place(ack), &ack.group, Some(ack.pop_time), event) {
            blame(
                ledger,
                ack,
                event,
                "an ack was answered with success, its chain had not durably ended as acked",
                found,
            );
        }
    }
    for renewal in &ledger.wire.renewals {
        let Some(event) = success(&renewal.call) else { continue };
        let is_there = |life: &ChainLife<'_>| Some(life.id.pop_time) == renewal.renewed && life.before(event).is_some();
        if !ledger.chains_at(place(renewal), &renewal.group).any(is_there) {
            blame(ledger, renewal, event, "a renewal was answered with success, its new chain was not durable", found);
        }
    }
    seen_absorbed(ledger, found);
    for (event, node, why) in &ledger.wire.unreadable {
        found.other(ledger.at_ms(*event), node, format!("it sent a frame that cannot be read: {why}"));
    }
}

const fn success(call: &Call<'_>) -> Option<usize> {
    match call.answer {
        Some((event, 0)) => Some(event),
        _ => None,
    }
}

fn place<'a>(settle: &'a Settle<'_>) -> Place<'a> {
    Place { node: &settle.broker, topic: &settle.topic, queue: settle.queue, offset: settle.offset, era: 0 }
}

fn blame(ledger: &Ledger<'_>, settle: &Settle<'_>, event: usize, what: &str, found: &mut Findings<'_>) {
    let place = place(settle);
    let stamp = ledger.stored(&place).and_then(|stored| stored.message.ledger.as_ref());
    let detail = format!("{}, {} for {}", what, settle.pop_time, settle.group);
    found.stamped(ledger.at_ms(event), stamp, place, detail);
}

fn sent(ledger: &Ledger<'_>, send: &Send<'_>, event: usize) -> Result<(), String> {
    let node = send.call.to;
    if send.topic.starts_with("rmq_sys_REVIVE_LOG_") {
        return handed_over(ledger, send, event);
    }
    let is_mine = |stamp: &Option<_>| send.ledger.is_some() && *stamp == send.ledger;
    let is_delayed = DELAYS.iter().any(|name| send.property(name).is_some());
    if is_delayed {
        let mut timers = ledger.timers.iter();
        let timer = timers.any(|it| it.node == node && it.event < event && is_mine(&it.message.ledger));
        let mut stored = send.ledger.iter().flat_map(|stamp| ledger.stamped(stamp));
        let stored = stored.any(|it| it.place.node == node && it.event < event);
        let known = send.ledger.is_none() || timer || stored;
        return if known { Ok(()) } else { Err("a delayed send was answered with success and is not durable".into()) };
    }
    let Some((queue, offset)) = send.stored else {
        return Err("a send was answered with success and no place".into());
    };
    // The message is there when the answer leaves; a success that names one which was deleted before promises nothing.
    let era = ledger.era_at(node, &send.topic, send.call.event);
    let eras = era..=ledger.era_at(node, &send.topic, event);
    let place = Place { node, topic: &send.topic, queue, offset, era };
    let stored = eras.rev().find_map(|era| ledger.stored(&Place { era, ..place }));
    match stored {
        Some(stored) if stored.event < event && stored.message.ledger == send.ledger => Ok(()),
        Some(stored) if stored.event < event => {
            Err(format!("a send was answered with {place}, where another message is"))
        }
        _ => Err(format!("a send was answered with {place} before it was durable")),
    }
}

fn handed_over(ledger: &Ledger<'_>, send: &Send<'_>, event: usize) -> Result<(), String> {
    let Some(checkpoint) = send.checkpoint() else { return Ok(()) };
    for difference in &checkpoint.differences {
        let offset = checkpoint.start + difference;
        let (topic, queue) = (&checkpoint.topic, checkpoint.queue);
        let place = Place { node: &checkpoint.broker, topic, queue, offset, era: 0 };
        let is_there = |life: &ChainLife<'_>| {
            life.node == send.call.to && life.id.pop_time == checkpoint.pop_time && life.before(event).is_some()
        };
        if !ledger.chains_at(place, &checkpoint.group).any(is_there) {
            let (from, to) = (send.call.from, send.call.to);
            return Err(format!("{to} took a checkpoint from {from}, its chain of {place} was not durable"));
        }
    }
    Ok(())
}

fn popped(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for it in &ledger.wire.deliveries {
        let Some(event) = success(&it.call) else { continue };
        let node = it.call.to;
        let place = Place { node, topic: &it.topic, queue: it.message.queue, offset: it.message.offset, era: 0 };
        let target = ledger.obligations.escapes.get(node).map(String::as_str);
        let is_at_home = |life: &ChainLife<'_>| {
            let Some(chain) = life.before(event).filter(|_| life.id.pop_time == it.pop_time) else { return false };
            let is_leaving = matches!(chain.state, ChainState::Moving { .. } | ChainState::Moved { .. });
            (life.node == node && !is_leaving) || Some(life.node) == target
        };
        if !ledger.chains_at(place, &it.group).any(is_at_home) {
            let detail = format!("handed to {} before its chain ({}) was durable at its home", it.group, it.pop_time);
            found.stamped(it.at_ms, it.message.ledger.as_ref(), place, detail);
        }
    }
}

fn is_acked(chain: &ChainFact) -> bool {
    matches!(chain.state, ChainState::Ended { outcome: Outcome::Acked, .. })
}

/// Whether a chain about this message, followed through renewals, had durably ended as acked on some disk.
fn ends_acked(ledger: &Ledger<'_>, place: Place<'_>, group: &str, pop_time: Option<i64>, event: usize) -> bool {
    let is_it = |id: &ChainId| pop_time.is_none_or(|pop_time| id.pop_time == pop_time);
    let mut lives = ledger.chains_at(place, group).filter(|life| is_it(life.id));
    lives.any(|life| ledger.newest_before(life.node, life.id, event).is_some_and(is_acked))
}

fn seen_absorbed(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for &(event, ack) in &ledger.acks {
        let Some(stamp) = ack.ledger.as_ref().filter(|_| ack.seen == Seen::Ok(AckVerdict::Absorbed)) else { continue };
        let (topic, queue, offset) = &ack.place;
        let holders = ledger.obligations.brokers.iter();
        let mut places = holders.map(|node| Place { node, topic, queue: *queue, offset: *offset, era: 0 });
        if !places.any(|place| ends_acked(ledger, place, &ack.group, None, event)) {
            let detail = format!("{} saw its ack absorbed, no disk held a chain that had ended as acked", ack.group);
            found.message(ledger.at_ms(event), stamp, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{ChainFact, Fact, Outcome, frame::code},
        history::{AckVerdict, Seen},
        oracles::fixture::{Story, at, chain, message},
    };

    #[test]
    fn a_success_that_names_what_was_deleted_is_none() {
        let mut story = Story::new();
        story.send(1, 0).wait(10).delete_topic();
        let call = story.create_topic().wait(10).ask_send(1);
        story.answer_send(call, 1, 0);
        story.breaks("P9", "before it was durable");
    }

    fn popped() -> (Story, ChainFact) {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        story.wait(10);
        (story, chain)
    }

    /// A request about the chain's handle leaves the client; its number.
    fn ask(story: &mut Story, chain: &ChainFact, code: i32) -> i32 {
        let handle = format!("0 {} 10000 1001 0 a 0 0", chain.id.pop_time);
        let ext =
            [("consumerGroup", "g"), ("topic", "t"), ("queueId", "0"), ("offset", "0"), ("extraInfo", handle.as_str())];
        story.request("c", "a", code, &ext, b"")
    }

    #[test]
    fn an_ack_is_answered_after_it_is_durable() {
        let (mut story, chain) = popped();
        let call = ask(&mut story, &chain, code::ACK);
        story.durable("a", vec![chain.clone().ended(Outcome::Acked).fact()]);
        story.response(("a", "c", call), (code::ACK, 0), &[], b"");
        story.ack(&chain, 1, 0, Seen::Ok(AckVerdict::Absorbed)).holds();

        let (mut story, chain) = popped();
        let call = ask(&mut story, &chain, code::ACK);
        story.response(("a", "c", call), (code::ACK, 0), &[], b"");
        story.durable("a", vec![chain.clone().ended(Outcome::Acked).fact()]);
        story.breaks("P9", "had not durably ended as acked");
    }

    #[test]
    fn what_a_client_saw_absorbed_was_durable() {
        let (mut story, chain) = popped();
        story.ack(&chain, 1, 0, Seen::Ok(AckVerdict::Absorbed));
        story.durable("a", vec![chain.ended(Outcome::Acked).fact()]);
        story.breaks("P9", "saw its ack absorbed");
    }

    #[test]
    fn a_send_is_answered_after_it_is_durable() {
        let mut story = Story::new();
        let call = story.ask_send(1);
        story.answer_send(call, 1, 0).durable("a", vec![Fact::Message(message("t", 0, 1, 0))]);
        story.breaks("P9", "before it was durable");

        let mut story = Story::new();
        story.send(1, 0);
        let call = story.ask_send(2);
        story.answer_send(call, 2, 0);
        story.breaks("P9", "where another message is");
    }

    #[test]
    fn a_pop_is_answered_after_its_chain_is_durable_at_its_home() {
        let mut story = Story::new();
        story.send(1, 0).hand_out(&message("t", 0, 1, 0));
        story.breaks("P9", "before its chain");

        let mut story = Story::new();
        story.send(1, 0);
        let mut leaving = chain("t", 0, story.now_ms);
        leaving.state = crate::evidence::ChainState::Moving { to: "b".into(), due_ms: 0, revive_ms: 0 };
        story.durable("a", vec![leaving.fact()]).hand_out(&message("t", 0, 1, 0));
        story.breaks("P9", "before its chain");
    }

    #[test]
    fn a_renewal_is_answered_after_its_chain_is_durable() {
        let (mut story, old) = popped();
        let call = ask(&mut story, &old, code::CHANGE_INVISIBLE);
        let new = chain("t", 0, story.now_ms);
        let time = at(story.now_ms).to_string();
        let superseded = old.clone().ended(Outcome::Superseded(new.id.clone()));
        story.durable("a", vec![superseded.fact(), new.clone().fact()]);
        story.response(("a", "c", call), (code::CHANGE_INVISIBLE, 0), &[("popTime", &time)], b"");
        story.absorb(&new, 1, 0);
        assert!(story.holds().reached.contains("renewed"));

        let (mut story, old) = popped();
        let call = ask(&mut story, &old, code::CHANGE_INVISIBLE);
        story.response(("a", "c", call), (code::CHANGE_INVISIBLE, 0), &[("popTime", "7")], b"");
        story.breaks("P9", "its new chain was not durable");
    }

    #[test]
    fn a_checkpoint_is_taken_after_its_chains_are_durable() {
        let hand_over = |durable: bool| {
            let mut story = Story::new();
            let time = at(story.now_ms);
            let body = format!(r#"{{"bn":"a","c":"g","d":[0],"n":1,"pt":{time},"q":0,"so":0,"t":"t"}}"#);
            let ext = [("b", "rmq_sys_REVIVE_LOG_C"), ("i", "TAGS\u{1}ck\u{2}")];
            let call = story.request("a", "b", code::SEND_V2, &ext, body.as_bytes());
            if durable {
                let chain = chain("t", 0, story.now_ms).ended(Outcome::Acked);
                story.durable("b", vec![chain.fact()]);
            }
            story.response(("b", "a", call), (code::SEND_V2, 0), &[("queueId", "0"), ("queueOffset", "0")], b"");
            story
        };
        hand_over(true).holds();
        hand_over(false).breaks("P9", "b took a checkpoint from a");
    }

    #[test]
    fn frames_that_cannot_be_read_are_complained_of() {
        let mut story = Story::new();
        story.request("a", "b", code::PULL, &[], b"");
        story.breaks("P9", "lacks a field");
    }
}
