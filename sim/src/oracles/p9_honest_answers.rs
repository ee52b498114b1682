//! P9, honest answers: at the instant a success leaves, as many disks as the degree says hold what it promises.
//!
//! Rule, at each success that leaves a broker (durable means: on `degree` disks of its group): a send's message is durable
//! there (a delayed one's timer); each message of a pop's answer has its durable chain at its home (the broker itself, or
//! the target it escapes to); an acked chain has durably ended as acked; a renewed one is durable under its new pop time; a
//! checkpoint that one broker took from another, or from a client, is durable in the chains of all that it does not tell as
//! acked; what a pull brings, from a master or a slave, is durable; no answer has more messages than were asked for. What a
//! client saw absorbed was durable by then, batches included. What it is told of renewals is in `p9_renewals`, of orders in
//! `p9_orders`, that a pull brings what is there in `p9_pulls`, what it tells beside in `p9_pull_headers`, what an operator is shown in `p9_metrics`. A frame from a broker that cannot be read is a dishonest answer
//! too. Answers made up by the network are no responses of a server.

use std::collections::BTreeSet;

use super::{
    Findings, Reads, p9_breakers, p9_goodbye, p9_look_ups, p9_merging, p9_metrics, p9_orders, p9_pull_headers,
    p9_pulls, p9_refusals, p9_registers, p9_renewals, p9_requests, p9_routed, p9_routes, p9_set_aside, p9_unconfirmed,
};
use crate::{
    evidence::{ChainFact, ChainId, ChainState, Outcome},
    history::{AckVerdict, Seen},
    ledger::{
        ChainLife, Ledger, Place, Stored,
        wire::{Call, Delivery, Send, Settle},
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
    pulled(ledger, found);
    too_many(ledger, found);
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
        let is_there = |life: &ChainLife<'_>| {
            Some(life.id.pop_time) == renewal.renewed && ledger.confirmed_before(life, event).is_some()
        };
        if !ledger.chains_at(place(renewal), &renewal.group).any(is_there) {
            blame(ledger, renewal, event, "a renewal was answered with success, its new chain was not durable", found);
        }
    }
    p9_renewals::check(ledger, found);
    p9_orders::check(ledger, found);
    p9_pull_headers::check(ledger, found);
    p9_pulls::check(ledger, found);
    p9_metrics::check(ledger, found);
    p9_merging::check(ledger, found);
    p9_requests::check(ledger, found);
    p9_routes::check(ledger, found);
    p9_routed::check(ledger, found);
    p9_refusals::check(ledger, found);
    p9_registers::check(ledger, found);
    p9_look_ups::check(ledger, found);
    p9_unconfirmed::check(ledger, found);
    p9_breakers::check(ledger, found);
    p9_goodbye::check(ledger, found);
    p9_set_aside::check(ledger, found);
    seen_absorbed(ledger, found);
    for (event, node, why) in &ledger.wire.unreadable {
        found.broken(ledger.at_ms(*event), node, format!("it sent a frame that cannot be read: {why}"));
    }
}

pub(super) const fn success(call: &Call<'_>) -> Option<usize> {
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
        let timer = timers.any(|it| {
            let (index, _) = it.record;
            it.node == node && ledger.is_confirmed(node, index, it.event, event) && is_mine(&it.message.ledger)
        });
        let mut stored = send.ledger.iter().flat_map(|stamp| ledger.stamped(stamp));
        let stored = stored.any(|it| it.place.node == node && is_confirmed(ledger, it, event));
        let known = send.ledger.is_none() || timer || stored;
        return if known { Ok(()) } else { Err("a delayed send was answered with success and is not durable".into()) };
    }
    let Some((queue, offset)) = send.stored else {
        return Err("a send was answered with success and no place".into());
    };
    // The message is there when the answer leaves; a success that names one which was deleted before promises nothing.
    let era = ledger.first_era_told(node, &send.topic, send.call.event);
    let eras = era..=ledger.era_at(node, &send.topic, event);
    let place = Place { node, topic: &send.topic, queue, offset, era };
    let stored = eras.filter_map(|era| ledger.stored(&Place { era, ..place }));
    let durable: Vec<_> = stored.filter(|stored| is_confirmed(ledger, stored, event)).collect();
    match durable.iter().any(|stored| stored.message.ledger == send.ledger) {
        true => Ok(()),
        false if durable.is_empty() => Err(format!("a send was answered with {place} before it was durable")),
        false => Err(format!("a send was answered with {place}, where another message is")),
    }
}

fn is_confirmed(ledger: &Ledger<'_>, stored: &Stored<'_>, event: usize) -> bool {
    ledger.is_confirmed(stored.place.node, stored.entry.index, stored.event, event)
}

fn handed_over(ledger: &Ledger<'_>, send: &Send<'_>, event: usize) -> Result<(), String> {
    let Some(checkpoint) = send.checkpoint() else { return Ok(()) };
    for (offset, _) in checkpoint.offsets().filter(|(_, is_acked)| !is_acked) {
        let (topic, queue) = (&checkpoint.topic, checkpoint.queue);
        let place = Place { node: &checkpoint.broker, topic, queue, offset, era: 0 };
        let is_there = |life: &ChainLife<'_>| {
            life.node == send.call.to
                && life.id.pop_time == checkpoint.pop_time
                && ledger.confirmed_before(life, event).is_some()
        };
        if !ledger.chains_at(place, &checkpoint.group).any(is_there) {
            let (from, to) = (send.call.from, send.call.to);
            return Err(format!("{to} took a checkpoint from {from}, its chain of {place} was not durable"));
        }
    }
    Ok(())
}

/// What is before a message in its queue is before it in the log: the last one of an answer speaks for all.
fn pulled(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for pull in &ledger.wire.pulls {
        let (Some(event), Some(offset)) = (success(&pull.call), pull.brought.1) else { continue };
        let (node, topic) = (pull.call.to, pull.topic.as_str());
        // A slave that is behind has not heard of its master's deletions either.
        let first = if pull.call.is_to_slave() { 0 } else { ledger.first_era_told(node, topic, pull.call.event) };
        let eras = first..=ledger.era_at(node, topic, event);
        let place = Place { node, topic, queue: pull.queue, offset, era: *eras.start() };
        let mut stored = eras.filter_map(|era| ledger.stored(&Place { era, ..place }));
        if !stored.any(|stored| is_confirmed(ledger, stored, event)) {
            let detail = format!("{} gave it to {} before it was durable", pull.call.server, pull.call.from);
            found.broken(ledger.at_ms(event), place.to_string(), detail);
        }
    }
}

/// Nobody gets more messages in one answer than it asked for.
fn too_many(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for pull in &ledger.wire.pulls {
        let (Some(event), (brought, _)) = (success(&pull.call), pull.brought) else { continue };
        if i64::try_from(brought).is_ok_and(|brought| brought > pull.count) {
            let detail = format!("{brought} messages to {}, which asked for {}", pull.call.from, pull.count);
            found.broken(ledger.at_ms(event), pull.call.server, detail);
        }
    }
    for answer in ledger.wire.deliveries.chunk_by(|one, next| one.call.event == next.call.event) {
        let Delivery { call, at_ms, at_most, .. } = &answer[0];
        if answer.len() > *at_most {
            let detail = format!("{} messages to {}, which asked for {at_most}", answer.len(), call.from);
            found.broken(*at_ms, call.server, detail);
        }
    }
}

fn popped(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for it in &ledger.wire.deliveries {
        let Some(event) = success(&it.call) else { continue };
        let node = it.call.to;
        let place = Place { node, topic: &it.topic, queue: it.message.queue, offset: it.message.offset, era: 0 };
        let target = ledger.obligations.escapes.get(node).map(String::as_str);
        let is_at_home = |life: &ChainLife<'_>| {
            let chain = Some(life).filter(|_| life.id.pop_time == it.pop_time);
            let Some(chain) = chain.and_then(|life| ledger.confirmed_before(life, event)) else { return false };
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

/// Whether a chain about this message, followed through renewals, had durably ended as acked on some disk. What was renewed
/// at one broker may have been handed over since, and ends at another.
fn ends_acked(ledger: &Ledger<'_>, place: Place<'_>, group: &str, pop_time: Option<i64>, event: usize) -> bool {
    let confirmed = |life| ledger.confirmed_before(life, event);
    let states: Vec<&ChainFact> = ledger.chains_at(place, group).filter_map(confirmed).collect();
    let mut sought = BTreeSet::from_iter(pop_time);
    let mut older: BTreeSet<i64> = sought.clone();
    while let Some(renewed) = older.pop_first() {
        let successors =
            states.iter().filter(|chain| chain.id.pop_time == renewed).filter_map(|chain| successor(chain));
        older.extend(successors.filter(|by| sought.insert(by.pop_time)).map(|by| by.pop_time));
    }
    states.iter().any(|chain| is_acked(chain) && (pop_time.is_none() || sought.contains(&chain.id.pop_time)))
}

const fn successor(chain: &ChainFact) -> Option<&ChainId> {
    match &chain.state {
        ChainState::Ended { outcome: Outcome::Superseded(by), .. } => Some(by),
        _ => None,
    }
}

fn seen_absorbed(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for &(event, ack) in &ledger.acks {
        let Some(stamp) = ack.ledger.as_ref().filter(|_| ack.seen == Seen::Ok(AckVerdict::Absorbed)) else { continue };
        let (topic, queue, offset) = &ack.place;
        let holders = ledger.obligations.brokers.iter();
        let mut places = holders.map(|node| Place { node, topic, queue: *queue, offset: *offset, era: 0 });
        let is_within = |place| ledger.foreign.acked_within(place, &ack.group).is_some_and(|at| at < event);
        if !places.any(|place| ends_acked(ledger, place, &ack.group, None, event) || is_within(place)) {
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
        oracles::fixture::{Story, at, chain, encode, message},
    };

    #[test]
    fn a_success_that_names_what_was_deleted_is_none() {
        let mut story = Story::new();
        story.send(1, 0).wait(10).delete_topic();
        let call = story.create_topic().wait(30).ask_send(1);
        story.answer_send(call, 1, 0);
        story.breaks("P9", "before it was durable");
    }

    #[test]
    fn a_success_names_what_was_there_and_not_what_a_successor_gets_there_later() {
        let mut story = Story::new();
        let call = story.ask_send(1);
        story.durable("a", vec![Fact::Message(message("t", 0, 1, 0))]).delete_topic();
        story.answer_send(call, 1, 0).wait(10).create_topic().send(2, 0);
        assert!(!story.judge().violations.iter().any(|it| it.promise == "P9"));
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
        let (mut story, chain) = Story::popped();
        let call = ask(&mut story, &chain, code::ACK);
        story.durable("a", vec![chain.clone().ended(Outcome::Acked).fact()]);
        story.response(("a", "c", call), (code::ACK, 0), &[], b"");
        story.ack(&chain, 1, 0, Seen::Ok(AckVerdict::Absorbed)).holds();

        let (mut story, chain) = Story::popped();
        let call = ask(&mut story, &chain, code::ACK);
        story.response(("a", "c", call), (code::ACK, 0), &[], b"");
        story.durable("a", vec![chain.clone().ended(Outcome::Acked).fact()]);
        story.breaks("P9", "had not durably ended as acked");
    }

    #[test]
    fn an_ack_of_a_handle_that_was_renewed_ends_what_it_became_wherever_that_went() {
        for ends in [true, false] {
            let (mut story, chain) = Story::popped();
            let newer = crate::oracles::fixture::chain("t", 0, story.now_ms + 1);
            let older = chain.clone().ended(Outcome::Superseded(newer.id.clone()));
            story.durable("a", vec![older.fact(), newer.clone().fact()]);
            let call = ask(&mut story, &chain, code::ACK);
            let there = if ends { newer.ended(Outcome::Acked) } else { newer };
            story.durable("b", vec![there.fact()]);
            story.response(("a", "c", call), (code::ACK, 0), &[], b"");
            assert_eq!(story.is_blamed("P9", "had not durably ended as acked"), !ends);
        }
    }

    #[test]
    fn what_a_client_saw_absorbed_was_durable() {
        let (mut story, chain) = Story::popped();
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
        let (mut story, old) = Story::popped();
        let call = ask(&mut story, &old, code::CHANGE_INVISIBLE);
        let mut new = chain("t", 0, story.now_ms);
        new.generation = 1;
        let time = at(story.now_ms).to_string();
        let superseded = old.clone().ended(Outcome::Superseded(new.id.clone()));
        story.durable("a", vec![superseded.fact(), new.clone().fact()]);
        story.response(("a", "c", call), (code::CHANGE_INVISIBLE, 0), &[("popTime", &time)], b"");
        story.absorb(&new, 1, 0);
        assert!(story.holds().reached.contains("renewed"));

        let (mut story, old) = Story::popped();
        let call = ask(&mut story, &old, code::CHANGE_INVISIBLE);
        story.response(("a", "c", call), (code::CHANGE_INVISIBLE, 0), &[("popTime", "7")], b"");
        story.breaks("P9", "its new chain was not durable");
    }

    #[test]
    fn a_checkpoint_is_taken_after_its_chains_are_durable() {
        let hand_over = |durable: bool| {
            let mut story = Story::new();
            story.register("b", "10.0.1.2:10911", r#"{"%RETRY%g_t":{}}"#, Some(0));
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

    /// `a` has to have everything on two disks, and one slave.
    fn of_degree_two() -> Story {
        let mut story = Story::with_slave();
        story.obligations.degrees.insert("a".into(), 2);
        story
    }

    /// Whatever `a` has on its own disk, and on its slave's unless that is what is to be judged.
    fn written(story: &mut Story, replicated: bool, facts: Vec<Fact>) {
        story.durable("a", facts);
        if replicated {
            story.catch_up(1);
        }
    }

    fn is_honest(story: &mut Story) -> bool {
        !story.judge().violations.iter().any(|it| it.promise == "P9")
    }

    #[test]
    fn at_degree_two_a_send_is_answered_after_a_slave_has_it() {
        let send = |replicated| {
            let mut story = of_degree_two();
            let call = story.ask_send(1);
            written(&mut story, replicated, vec![Fact::Message(message("t", 0, 1, 0))]);
            story.answer_send(call, 1, 0).catch_up(1);
            story
        };
        assert!(is_honest(&mut send(true)));
        send(false).breaks("P9", "before it was durable");
    }

    #[test]
    fn at_degree_two_a_pop_is_answered_after_a_slave_has_its_chain() {
        let pop = |replicated| {
            let mut story = of_degree_two();
            story.durable("a", vec![Fact::Message(message("t", 0, 1, 0))]).catch_up(1);
            let opened = chain("t", 0, story.now_ms);
            written(&mut story, replicated, vec![opened.fact()]);
            story.hand_out(&message("t", 0, 1, 0)).catch_up(1);
            story
        };
        assert!(is_honest(&mut pop(true)));
        pop(false).breaks("P9", "before its chain");
    }

    #[test]
    fn at_degree_two_an_ack_is_answered_after_a_slave_has_it() {
        let ack = |replicated| {
            let mut story = of_degree_two();
            let opened = chain("t", 0, story.now_ms);
            story.durable("a", vec![Fact::Message(message("t", 0, 1, 0)), opened.clone().fact()]).catch_up(1);
            let call = ask(&mut story, &opened, code::ACK);
            written(&mut story, replicated, vec![opened.clone().ended(Outcome::Acked).fact()]);
            story.response(("a", "c", call), (code::ACK, 0), &[], b"").catch_up(1);
            story.ack(&opened, 1, 0, Seen::Ok(AckVerdict::Absorbed));
            story
        };
        assert!(is_honest(&mut ack(true)));
        ack(false).breaks("P9", "had not durably ended as acked");
    }

    #[test]
    fn at_degree_two_a_pull_brings_what_a_slave_has() {
        let pull = |replicated| {
            let mut story = of_degree_two();
            written(&mut story, replicated, vec![Fact::Message(message("t", 0, 1, 0))]);
            let (call, body) = (story.read(0), encode(&message("t", 0, 1, 0)));
            story.response(("a", "b", call), (code::PULL, 0), &[], &body).catch_up(1);
            story
        };
        assert!(is_honest(&mut pull(true)));
        pull(false).breaks("P9", "a gave it to b before it was durable");
    }

    #[test]
    fn a_deletion_counts_for_pulls_once_it_is_written() {
        for (later_ms, noticed) in [(19, false), (21, true)] {
            let mut story = Story::new();
            story.send(1, 0).wait(10).delete_topic();
            let (call, body) = (story.wait(later_ms).read(0), encode(&message("t", 0, 1, 0)));
            story.response(("a", "b", call), (code::PULL, 0), &[], &body);
            assert_eq!(story.is_blamed("P9", "a gave it to b before it was durable"), noticed, "{later_ms}");
        }
    }

    #[test]
    fn a_slave_that_is_behind_may_bring_what_was_deleted() {
        let mut story = Story::with_slave();
        story.send(1, 0).wait(10).catch_up(1).delete_topic();
        let (call, body) = (story.wait(1_000).read_slave(0), encode(&message("t", 0, 1, 0)));
        story.response(("a-s1", "b", call), (code::PULL, 0), &[], &body);
        assert!(!story.is_blamed("P9", "gave it to b before it was durable"));
    }

    #[test]
    fn a_deletion_counts_for_pulls_once_the_master_has_heard_that_it_is_confirmed() {
        for heard in [false, true] {
            let mut story = of_degree_two();
            written(&mut story, true, vec![Fact::Message(message("t", 0, 1, 0))]);
            story.delete_topic();
            story.catch_up(2);
            if heard {
                let poll = story.request("a-s1", "a", code::REPLICATE, &[], b"");
                story.response(("a", "a-s1", poll), (code::REPLICATE, 0), &[], b"");
            }
            let (call, body) = (story.wait(30).read(0), encode(&message("t", 0, 1, 0)));
            story.response(("a", "b", call), (code::PULL, 0), &[], &body);
            assert_eq!(story.is_blamed("P9", "a gave it to b before it was durable"), heard);
        }
    }

    #[test]
    fn nobody_gets_more_than_it_asked_for() {
        let answered = |code, asked: &str| {
            let mut story = Story::new();
            let fields = [("topic", "t"), ("queueId", "0"), ("queueOffset", "0"), ("consumerGroup", "g")];
            let fields = [&fields[..], &[("maxMsgNums", asked)]].concat();
            let body = [encode(&message("t", 0, 1, 0)), encode(&message("t", 1, 2, 0))].concat();
            let call = story.request("b", "a", code, &fields, b"");
            story.response(("a", "b", call), (code, 0), &[("popTime", "1")], &body);
            story.is_blamed("P9", "2 messages to b, which asked for 1")
        };
        assert!(answered(code::PULL, "1") && !answered(code::PULL, "2"));
        assert!(answered(code::POP, "1") && !answered(code::POP, "2"));
    }

    #[test]
    fn frames_that_cannot_be_read_are_complained_of() {
        let mut story = Story::new();
        story.request("a", "b", code::PULL, &[], b"");
        story.breaks("P9", "lacks a field");
    }
}
