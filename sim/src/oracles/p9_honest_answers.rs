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
            blame(ledger, ack, event, "an ack was answered with success, its chain had not durably ended as acked", found);
        }
    }
    for renewal in &ledger.wire.renewals {
        let Some(event) = success(&renewal.call) else { continue };
        let is_there = |life: &ChainLife<'_>| Some(life.id.pop_time) == renewal.renewed && life.before(event).is_some();
        if !ledger.chains_of(place(renewal), &renewal.group).any(is_there) {
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
    Place { node: &settle.broker, topic: &settle.topic, queue: settle.queue, offset: settle.offset }
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
    let place = Place { node, topic: &send.topic, queue, offset };
    match ledger.stored(&place) {
        Some(stored) if stored.event < event && stored.message.ledger == send.ledger => Ok(()),
        Some(stored) if stored.event < event => Err(format!("a send was answered with {place}, where another message is")),
        _ => Err(format!("a send was answered with {place} before it was durable")),
    }
}

fn handed_over(ledger: &Ledger<'_>, send: &Send<'_>, event: usize) -> Result<(), String> {
    let Some(checkpoint) = send.checkpoint() else { return Ok(()) };
    for difference in &checkpoint.differences {
        let offset = checkpoint.start + difference;
        let (topic, queue) = (&checkpoint.topic, checkpoint.queue);
        let place = Place { node: &checkpoint.broker, topic, queue, offset };
        let is_there = |life: &ChainLife<'_>| {
            life.node == send.call.to && life.id.pop_time == checkpoint.pop_time && life.before(event).is_some()
        };
        if !ledger.chains_of(place, &checkpoint.group).any(is_there) {
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
        let place = Place { node, topic: &it.topic, queue: it.message.queue, offset: it.message.offset };
        let target = ledger.obligations.escapes.get(node).map(String::as_str);
        let is_at_home = |life: &ChainLife<'_>| {
            let Some(chain) = life.before(event).filter(|_| life.id.pop_time == it.pop_time) else { return false };
            let is_leaving = matches!(chain.state, ChainState::Moving { .. } | ChainState::Moved { .. });
            (life.node == node && !is_leaving) || Some(life.node) == target
        };
        if !ledger.chains_of(place, &it.group).any(is_at_home) {
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
    let mut lives = ledger.chains_of(place, group).filter(|life| is_it(life.id));
    lives.any(|life| ledger.newest_before(life.node, life.id, event).is_some_and(is_acked))
}

fn seen_absorbed(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for &(event, ack) in &ledger.acks {
        let Some(stamp) = ack.ledger.as_ref().filter(|_| ack.seen == Seen::Ok(AckVerdict::Absorbed)) else { continue };
        let (topic, queue, offset) = &ack.place;
        let holders = ledger.obligations.brokers.iter();
        let mut places = holders.map(|node| Place { node, topic, queue: *queue, offset: *offset });
        if !places.any(|place| ends_acked(ledger, place, &ack.group, None, event)) {
            let detail = format!("{} saw its ack absorbed, no disk held a chain that had ended as acked", ack.group);
            found.message(ledger.at_ms(event), stamp, detail);
        }
    }
}
