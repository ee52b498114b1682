//! P7, identity: the revived message is the popped one, whether it was read locally or remotely.
//!
//! Rule: body, flag, system flag (but for the two address bits), born time and stamp of every copy are those of the
//! message its chain is about; so are its properties, but for [`MAY_DIFFER`]; its reconsume count is one more. It tells when
//! the message was popped for the first time, lies in the retry topic of its group and topic, or, when the group's limit was
//! reached and not before, in the group's dead-letter topic and says where it is from; that limit is the group's own when
//! it was popped. What a
//! client was handed is one that its group's filter wants, and the durable message likewise, and so is what a slave's answer to a read brings. An id names one message (see `p7_message_ids`). The message that
//! was stored has the body and the properties that were sent, but for [`BROKER_S_OWN`], and tells a client's address.

use super::{Findings, Reads, p7_message_ids};
use crate::{
    evidence::{ChainState, Outcome, StoredMessage, frame::Handle},
    history::{EventKind, Noted, Seen},
    ledger::{ChainLife, Ledger, Place, obligations::is_any_copy_topic, wire::Send},
    plan::SimMs,
};
use rustc_hash::FxHashMap;
use std::net::Ipv4Addr;

/// The properties in which a copy or a delivery may differ from its original.
pub const MAY_DIFFER: [&str; 4] = ["1ST_POP_TIME", "POP_CK", "DLQ_ORIGIN_TOPIC", "DLQ_ORIGIN_MESSAGE_ID"];

/// The properties that a broker sets itself, whatever a client says.
const BROKER_S_OWN: [&str; 2] = ["POP_CK", "CLUSTER"];

/// System flag bits that tell how addresses are stored.
const ADDRESS_BITS: i32 = 0x30;

pub(super) fn check(ledger: &Ledger<'_>, _: &Reads<'_>, found: &mut Findings<'_>) {
    limits(ledger, found);
    copies(ledger, found);
    deliveries(ledger, found);
    handed_out(ledger, found);
    replicated(ledger, found);
    roots(ledger, found);
    p7_message_ids::check(ledger, found);
}

/// Messages under another topic than their consumer asked for, whatever topic they lie in, ones that it does not want, and
/// redelivered ones that do not tell where they lie.
fn handed_out(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for it in &ledger.wire.deliveries {
        let (stamp, place) = (it.message.ledger.as_ref(), format!("{}/{}", it.topic, it.message.offset));
        if it.named != it.asked {
            let detail = format!("handed out as a message of {}, {} was asked for", it.named, it.asked);
            found.stamped(it.at_ms, stamp, &place, detail);
        }
        let tag = property(&it.message, "TAGS");
        if ledger.group(&it.group).is_some_and(|group| !group.wants(tag)) {
            let detail = format!("handed out to {}, whose filter does not want {tag:?}", it.group);
            found.stamped(it.at_ms, stamp, &place, detail);
        }
        if it.message.reconsume > 0 && property(&it.message, "POP_CK").is_none() {
            found.stamped(it.at_ms, stamp, &place, "redelivered without its handle".into());
        }
    }
}

/// Chains that allow their message another number of redeliveries than its group did when it was popped.
fn limits(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for life in &ledger.chains {
        let (first, id) = (&life.steps[0], life.id);
        let Some(configured) = ledger.limits.get(&(id.broker.as_str(), id.group.as_str())) else { continue };
        let popped = ledger.chain_at(&id.broker, id);
        let popped_ms = popped.map_or(first.at_ms, |popped| popped.steps[0].at_ms);
        // A renewed chain keeps what the first was given; a slave that acts may lack what its master has not confirmed.
        let is_popped_here = popped.is_some() && first.chain.generation == 0;
        let since = if is_popped_here { popped_ms } else { 0 };
        let until = |at: usize| configured.get(at + 1).map_or(SimMs::MAX, |(changed_ms, _)| *changed_ms);
        let mut in_effect = configured
            .iter()
            .enumerate()
            .filter(|(at, (from_ms, _))| *from_ms <= popped_ms && until(*at) >= since)
            .map(|(_, (_, limit))| *limit)
            .peekable();
        if in_effect.peek().is_some() && in_effect.all(|limit| limit != first.chain.reconsume_limit) {
            let detail = format!("at {} it allows {} redeliveries", life.node, first.chain.reconsume_limit);
            found.broken(first.at_ms, format!("chain {id}"), detail);
        }
    }
}

fn copies(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for life in &ledger.chains {
        let state = &life.last().state;
        let ChainState::Ended { outcome: Outcome::Revived(copy) | Outcome::DeadLettered(copy), .. } = state else {
            continue;
        };
        let place = ledger.copied_to(life, copy);
        let Some((parent, copy)) = ledger.stored(&life.origin()).zip(ledger.stored(&place)) else { continue };
        let mut wrongs = differences(parent.message, copy.message);
        let (old, new) = (parent.message.reconsume, copy.message.reconsume);
        if new != old + 1 {
            wrongs.push(format!("reconsume count {new} after {old}"));
        }
        wrongs.extend(wrong_place(life, parent.message, copy.place.topic));
        wrongs.extend(wrong_notes(life, parent.message, copy.message));
        if !wrongs.is_empty() {
            let detail = format!("copy of {}: {}", parent.place, wrongs.join(", "));
            found.stamped(copy.at_ms, parent.message.ledger.as_ref(), place, detail);
        }
    }
}

/// A copy in another topic than it belongs to.
fn wrong_place(life: &ChainLife<'_>, parent: &StoredMessage, topic: &str) -> Option<String> {
    let group = &life.id.group;
    let expected = if parent.reconsume >= life.last().reconsume_limit {
        format!("%DLQ%{group}")
    } else if is_any_copy_topic(&life.id.topic) {
        life.id.topic.clone()
    } else {
        format!("%RETRY%{group}_{}", life.id.topic)
    };
    (topic != expected).then(|| format!("in {topic}, belongs to {expected}"))
}

/// What a copy says of its past.
fn wrong_notes(life: &ChainLife<'_>, parent: &StoredMessage, copy: &StoredMessage) -> Vec<String> {
    let own = life.id.pop_time.to_string();
    let before = property(parent, "1ST_POP_TIME").filter(|_| parent.reconsume > 0);
    let mut expected = vec![("1ST_POP_TIME", before.unwrap_or(&own))];
    if matches!(life.last().state, ChainState::Ended { outcome: Outcome::DeadLettered(_), .. }) {
        expected.push(("DLQ_ORIGIN_TOPIC", &life.id.topic));
        expected.push(("DLQ_ORIGIN_MESSAGE_ID", &parent.offset_id));
    }
    let wrong = expected.into_iter().filter(|(name, value)| property(copy, name) != Some(value));
    wrong.map(|(name, value)| format!("{name} {:?}, expected {value}", property(copy, name))).collect()
}

fn property<'m>(message: &'m StoredMessage, name: &str) -> Option<&'m str> {
    message.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn differences(original: &StoredMessage, other: &StoredMessage) -> Vec<String> {
    let mut wrongs = Vec::new();
    if original.body != other.body {
        wrongs.push(format!("body of {} bytes, was {}", other.body.len(), original.body.len()));
    }
    if original.flag != other.flag {
        wrongs.push(format!("flag {}, was {}", other.flag, original.flag));
    }
    if (original.sys_flag ^ other.sys_flag) & !ADDRESS_BITS != 0 {
        wrongs.push(format!("system flag {:#x}, was {:#x}", other.sys_flag, original.sys_flag));
    }
    if original.born_timestamp != other.born_timestamp {
        wrongs.push(format!("born {}, was {}", other.born_timestamp, original.born_timestamp));
    }
    wrongs.extend(property_difference(&original.properties, &other.properties));
    wrongs
}

fn property_difference(original: &[(String, String)], other: &[(String, String)]) -> Option<String> {
    if kept(original).eq(kept(other)) {
        return None;
    }
    let (old, new): (Vec<_>, Vec<_>) = (kept(original).collect(), kept(other).collect());
    Some(format!("properties {new:?}, were {old:?}"))
}

fn kept(list: &[(String, String)]) -> impl Iterator<Item = &(String, String)> {
    list.iter().filter(|(name, _)| !MAY_DIFFER.contains(&name.as_str()))
}

fn deliveries(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for (position, event) in ledger.history.events.iter().enumerate() {
        let EventKind::Noted(Noted::Popped(popped)) = &event.kind else { continue };
        let Seen::Ok(deliveries) = &popped.seen else { continue };
        for it in deliveries {
            let spot = Place { node: &popped.broker, topic: &it.topic, queue: it.queue, offset: it.offset, era: 0 };
            let pop_time = Handle::read(&it.handle).map(|handle| handle.pop_time);
            let place = Place { era: ledger.era_of_pop(spot, &popped.group, pop_time, position), ..spot };
            let Some(stored) = ledger.stored(&place) else {
                found.stamped(event.at_ms, it.ledger.as_ref(), place, "delivered, and no disk holds it".into());
                continue;
            };
            let mut wrongs = Vec::new();
            if stored.message.body != it.body {
                wrongs.push(format!("body of {} bytes, was {}", it.body.len(), stored.message.body.len()));
            }
            if stored.message.reconsume != it.reconsume {
                wrongs.push(format!("reconsume count {}, was {}", it.reconsume, stored.message.reconsume));
            }
            wrongs.extend(property_difference(&stored.message.properties, &it.properties));
            if !wrongs.is_empty() {
                let detail = format!("delivered with {}", wrongs.join(", "));
                found.stamped(event.at_ms, stored.message.ledger.as_ref(), place, detail);
            }
        }
    }
}

/// What slaves gave out. One that is behind may still have what lay there before its topic was deleted.
fn replicated(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for pull in &ledger.wire.pulls {
        let (node, topic, event) = (pull.call.to, &pull.topic, pull.call.answer.map_or(0, |answer| answer.0));
        for message in &pull.replicated {
            let eras = 0..=ledger.era_at(node, topic, event);
            let place = |era| Place { node, topic, queue: message.queue, offset: message.offset, era };
            let stored = eras.rev().filter_map(|era| ledger.stored(&place(era)));
            let mut wrongs: Vec<_> = stored.map(|stored| differences(stored.message, message)).collect();
            if wrongs.iter().any(Vec::is_empty) {
                continue;
            }
            wrongs.truncate(1);
            let why = wrongs.pop().map_or_else(|| "its master never stored it".into(), |wrongs| wrongs.join(", "));
            let detail = format!("{} gave out another message: {why}", pull.call.server);
            found.stamped(ledger.at_ms(event), message.ledger.as_ref(), place(0), detail);
        }
    }
}

fn roots(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let sent = ledger.wire.sends.iter().filter_map(|send| Some((send.ledger.as_ref()?, send)));
    let sent: FxHashMap<_, _> = sent.collect();
    for stored in ledger.messages.iter().filter(|stored| !is_any_copy_topic(stored.place.topic)) {
        let Some((stamp, send)) = stored.message.ledger.as_ref().and_then(|it| Some((it, sent.get(it)?))) else {
            continue;
        };
        for detail in wrongly_stored(send, stored.message) {
            found.message(stored.at_ms, stamp, detail);
        }
    }
}

/// What was stored otherwise than it was sent.
fn wrongly_stored(send: &Send<'_>, stored: &StoredMessage) -> Vec<String> {
    let mut wrongs = Vec::new();
    if send.body != &stored.body[..] {
        wrongs.push(format!("sent with a body of {} bytes, stored with {}", send.body.len(), stored.body.len()));
    }
    let is_kept = |(name, _): &&(String, String)| !BROKER_S_OWN.contains(&name.as_str());
    for (name, value) in send.properties.iter().filter(is_kept) {
        if property(stored, name) != Some(value) {
            wrongs.push(format!("sent with {name} {value:?}, stored with {:?}", property(stored, name)));
        }
    }
    let born = stored.born_host.rsplit_once(':').and_then(|(address, _)| address.parse::<Ipv4Addr>().ok());
    let is_broker_s = |born: Ipv4Addr| stored.offset_id.starts_with(&format!("{:08X}", u32::from(born)));
    if born.is_some_and(is_broker_s) {
        wrongs.push(format!("born at {}, where it is stored", stored.born_host));
    }
    wrongs
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use bytes::Bytes;

    use crate::{
        evidence::{Fact, StoredMessage, frame::code},
        history::{EventKind, Noted},
        oracles::fixture::{Story, encode, message},
    };

    /// A message is revived as a copy that was changed so.
    fn story(change: impl FnOnce(&mut StoredMessage)) -> Story {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let first = story.pop("t", 0, 1, 0);
        let mut copy = message("%RETRY%g_t", 0, 1, 1);
        change(&mut copy);
        let chain = first.revived("%RETRY%g_t", 0).fact();
        story.wait(10_000).durable("a", vec![Fact::Message(copy), chain]);
        story
    }

    #[test]
    fn the_allowed_properties_may_differ() {
        let mut story = story(|copy| {
            copy.properties.insert(0, ("POP_CK".into(), "1".into()));
            copy.born_host = "9.9.9.9:9".into();
            copy.sys_flag = 0x20;
        });
        assert!(story.judge().violations.iter().all(|it| it.promise != "P7"));
    }

    #[test]
    fn nothing_else_may() {
        type Change = fn(&mut StoredMessage);
        let changes: [(Change, &str); 6] = [
            (|copy| copy.body = Bytes::from_static(b"<<p#1>>bo"), "body of 9 bytes, was 11"),
            (|copy| copy.flag = 4, "flag 4, was 3"),
            (|copy| copy.sys_flag = 1, "system flag 0x1, was 0x0"),
            (|copy| copy.born_timestamp += 1, "born"),
            (|copy| copy.reconsume = 2, "reconsume count 2 after 0"),
            (|copy| copy.properties.clear(), "properties []"),
        ];
        for (change, words) in changes {
            story(change).breaks("P7", words);
        }
    }

    #[test]
    fn a_copy_lies_where_it_belongs_and_tells_where_it_is_from() {
        story(|copy| copy.properties.push(("1ST_POP_TIME".into(), "1".into())))
            .breaks("P7", "1ST_POP_TIME Some(\"1\")");
        let mut elsewhere = story(|_| ());
        for event in &mut elsewhere.history.events {
            let EventKind::Noted(Noted::Durable { entry, .. }) = &mut event.kind else { continue };
            for fact in &mut std::sync::Arc::make_mut(entry).facts {
                if let Fact::Chain(chain) = fact {
                    chain.reconsume_limit = 0;
                }
            }
        }
        elsewhere.breaks("P7", "in %RETRY%g_t, belongs to %DLQ%g");

        let mut early = Story::new();
        early.send(1, 0).wait(10);
        let copy = crate::evidence::CopyPlace { topic: "%DLQ%g".into(), queue: 0, offset: 0 };
        let ended = early.pop("t", 0, 1, 0).ended(crate::evidence::Outcome::DeadLettered(copy)).fact();
        early.wait(10_000).durable("a", vec![Fact::Message(message("%DLQ%g", 0, 1, 1)), ended]);
        early.breaks("P7", "in %DLQ%g, belongs to %RETRY%g_t");
    }

    #[test]
    fn a_redelivered_message_has_its_topic_s_name_and_its_handle() {
        for (topic, handle, words) in [
            ("t", true, None),
            ("%RETRY%g_t", true, Some("handed out as a message of %RETRY%g_t, t was asked for")),
            ("t", false, Some("redelivered without its handle")),
        ] {
            let mut story = Story::new();
            let mut handed = message("%RETRY%g_t", 0, 1, 1);
            let asked = story.request("c", "a", code::POP, &[("consumerGroup", "g"), ("topic", "t")], b"");
            handed.topic = topic.into();
            if handle {
                handed.properties.push(("POP_CK".into(), "0 1 10000 1001 1 a 0 0".into()));
            }
            story.response(("a", "c", asked), (code::POP, 0), &[("popTime", "1")], &encode(&handed));
            for wrong in ["handed out as a message of", "redelivered without its handle"] {
                assert_eq!(
                    story.is_blamed("P7", wrong),
                    words.is_some_and(|words| words.starts_with(wrong)),
                    "{topic}"
                );
            }
        }
    }

    #[test]
    fn a_chain_allows_as_many_redeliveries_as_its_group() {
        for (limit, is_right) in [(2, true), (16, false)] {
            let mut story = Story::new();
            story.durable("a", vec![Fact::Group { name: "g".into(), retry_max_times: limit }]);
            story.send(1, 0).wait(10);
            story.pop("t", 0, 1, 0);
            let blamed = story.judge().violations.iter().any(|it| it.detail.contains("it allows 2 redeliveries"));
            assert_eq!(blamed, !is_right);
        }
    }

    #[test]
    fn clients_get_what_is_stored() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        story.pop("t", 0, 1, 0);
        let mut other = message("t", 0, 1, 0);
        other.body = Bytes::from_static(b"<<p#1>>else");
        story.hand_out(&other);
        story.breaks("P7", "delivered with body");
    }

    #[test]
    fn nobody_gets_what_his_filter_does_not_want() {
        for (filter, noticed) in [("*", false), ("A", false), ("B", true)] {
            let mut story = Story::new();
            story.obligations.groups[0].tag_filter = filter.into();
            let mut tagged = message("t", 0, 1, 0);
            tagged.properties.push(("TAGS".into(), "A".into()));
            let asked = story.request("c", "a", code::POP, &[("consumerGroup", "g"), ("topic", "t")], b"");
            story.response(("a", "c", asked), (code::POP, 0), &[("popTime", "1")], &encode(&tagged));
            assert_eq!(story.is_blamed("P7", "whose filter does not want"), noticed, "{filter}");
        }
    }

    #[test]
    fn a_slave_gives_out_what_its_master_stored() {
        type Change = fn(&mut StoredMessage);
        let changes: [(Change, Option<&str>); 3] = [
            (|_| (), None),
            (|message| message.body = Bytes::from_static(b"<<p#1>>else"), Some("a-s1 gave out another message: body")),
            (|message| message.offset = 5, Some("its master never stored it")),
        ];
        for (change, words) in changes {
            let mut story = Story::with_slave();
            story.send(1, 0).catch_up(1).wait(10);
            let mut given = message("t", 0, 1, 0);
            change(&mut given);
            let call = story.read_slave(0);
            story.response(("a-s1", "b", call), (code::PULL, 0), &[], &encode(&given));
            match words {
                Some(words) => story.breaks("P7", words),
                None => assert!(story.judge().violations.iter().all(|it| it.promise != "P7")),
            }
        }
    }

    #[test]
    fn what_was_sent_is_stored() {
        let mut story = Story::new();
        let call = story.ask_send(1);
        let mut cut = message("t", 0, 1, 0);
        cut.body = Bytes::from_static(b"<<p#1>>");
        story.durable("a", vec![Fact::Message(cut)]).answer_send(call, 1, 0);
        story.breaks("P7", "sent with a body of 11 bytes, stored with 7");
    }

    #[test]
    fn what_was_said_of_it_is_stored_too() {
        let stored = |change: fn(&mut StoredMessage)| {
            let mut story = Story::new();
            let call = story.ask_send(1);
            let mut other = message("t", 0, 1, 0);
            change(&mut other);
            story.durable("a", vec![Fact::Message(other)]).answer_send(call, 1, 0);
            story
        };
        stored(|it| it.properties.retain(|(name, _)| name != "TAGS"))
            .breaks("P7", "sent with TAGS \"A\", stored with None");
        let at_broker = |it: &mut StoredMessage| {
            (it.born_host, it.offset_id) = ("10.0.1.1:5".into(), "0A00010100002A9F0000000000000001".into());
        };
        stored(at_broker).breaks("P7", "born at 10.0.1.1:5, where it is stored");
    }
}
