//! P2, nothing revived twice: of each popped message at most one derived message ever becomes visible, on any disk that
//! ever existed, whatever becomes of it later.
//!
//! Rule: per message and group there is at most one copy for each reconsume count, retry topic and dead-letter topic of
//! all disks together; each copy is the one that some chain ended in; each physical message leaves a broker in at most
//! one pop answer per group; each timer fires at most once; a message has one root, however often its producer sent it: it
//! does so with one key, to one broker, and within the time in which a broker knows a send by its key; what
//! may be forgotten, and what comes of that, is `p2_forgetting`'s rule.

use super::{Findings, Reads, p2_forgetting};
use crate::{
    evidence::{ChainState, Outcome},
    ledger::{Ledger, Place, obligations::is_any_copy_topic},
};
use rustc_hash::{FxHashMap, FxHashSet};

pub(super) fn check(ledger: &Ledger<'_>, _: &Reads<'_>, found: &mut Findings<'_>) {
    copies(ledger, found);
    deliveries(ledger, found);
    timers(ledger, found);
    p2_forgetting::check(ledger, found);
}

fn copies(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let made = copies_of_chains(ledger);
    let mut sends: FxHashMap<&str, usize> = FxHashMap::default();
    for (_, sent) in &ledger.sends {
        *sends.entry(&sent.ledger.0).or_default() += 1;
    }
    let (mut roots, mut copies) = (FxHashMap::<&str, Place<'_>>::default(), FxHashMap::default());
    for stored in &ledger.messages {
        let Some(stamp) = &stored.message.ledger else { continue };
        if !is_any_copy_topic(stored.place.topic) {
            if let Some(first) = roots.insert(&*stamp.0, stored.place) {
                let sent = sends.get(&*stamp.0).copied().unwrap_or(0);
                let detail = format!("sent {sent} times, stored as {first} and again as {}", stored.place);
                found.message(stored.at_ms, stamp, detail);
            }
            continue;
        }
        let groups = &ledger.obligations.groups;
        let Some(group) = groups.iter().find(|group| group.is_copy_topic(stored.place.topic)) else { continue };
        let times = stored.message.reconsume;
        if let Some(first) = copies.insert((&*stamp.0, group.name.as_str(), times), stored.place) {
            let detail = format!("copy {times} for {} exists as {first} and as {}", group.name, stored.place);
            found.message(stored.at_ms, stamp, detail);
        }
        if !made.contains(&stored.place) {
            found.message(stored.at_ms, stamp, format!("copy {} was made by no chain", stored.place));
        }
    }
}

/// Where the chains say that their copies are.
fn copies_of_chains<'l>(ledger: &'l Ledger<'_>) -> FxHashSet<Place<'l>> {
    let steps = ledger.chains.iter().flat_map(|life| life.steps.iter().map(|step| (life.node, step.chain)));
    let copied = steps.filter_map(|(node, chain)| match &chain.state {
        ChainState::Ended { outcome: Outcome::Revived(copy) | Outcome::DeadLettered(copy), .. } => {
            Some(Place { node, topic: &copy.topic, queue: copy.queue, offset: copy.offset })
        }
        _ => None,
    });
    copied.collect()
}

fn deliveries(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut left: FxHashMap<(Place<'_>, &str), u64> = FxHashMap::default();
    for it in &ledger.wire.deliveries {
        let (queue, offset) = (it.message.queue, it.message.offset);
        let place = Place { node: it.call.to, topic: &it.topic, queue, offset };
        if let Some(first_ms) = left.insert((place, &it.group), it.at_ms) {
            let detail = format!("handed to {} at {first_ms} ms and again at {} ms", it.group, it.at_ms);
            found.stamped(it.at_ms, it.message.ledger.as_ref(), place, detail);
        }
    }
}

fn timers(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut fired = FxHashSet::default();
    for (event, node, due_ms, index, record) in &ledger.fired {
        if !fired.insert((node, index, record)) {
            let subject = format!("{node} timer {index}/{record}");
            found.other(ledger.at_ms(*event), subject, format!("due {due_ms}, fired a second time"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{
        evidence::Fact,
        oracles::fixture::{Story, message},
    };

    fn revived() -> Story {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let first = story.pop("t", 0, 1, 0);
        story.wait(10_000).revive(&first, 0, 1, 1).wait(10);
        let second = story.pop("%RETRY%g_t", 0, 1, 1);
        story.absorb(&second, 1, 1);
        story
    }

    #[test]
    fn one_copy_is_right() {
        revived().holds();
    }

    #[test]
    fn a_second_copy_is_not_on_any_disk() {
        let mut story = revived();
        story.durable("b", vec![Fact::Message(message("%RETRY%g_t", 0, 1, 1))]);
        story.breaks("P2", "copy 1 for g exists as");
    }

    #[test]
    fn a_dead_letter_beside_a_retry_copy_is_one_too_many() {
        let mut story = revived();
        story.durable("a", vec![Fact::Message(message("%DLQ%g", 0, 1, 1))]);
        story.breaks("P2", "copy 1 for g exists as");
    }

    #[test]
    fn a_copy_needs_its_chain() {
        let mut story = revived();
        story.durable("a", vec![Fact::Message(message("%RETRY%g_t", 1, 1, 2))]);
        story.breaks("P2", "was made by no chain");
    }

    #[test]
    fn a_message_leaves_once() {
        let mut story = revived();
        story.hand_out(&message("t", 0, 1, 0));
        story.breaks("P2", "handed to g at");
    }

    #[test]
    fn a_timer_fires_once() {
        let mut story = Story::new();
        let fired = Fact::TimerFired { due_ms: 1, index: 2, record: 0 };
        story.durable("a", vec![fired.clone()]);
        story.holds();
        story.durable("a", vec![fired]);
        story.breaks("P2", "fired a second time");
    }

    #[test]
    fn a_send_has_one_root() {
        let mut story = revived();
        story.durable("a", vec![Fact::Message(message("t", 1, 1, 0))]);
        story.breaks("P2", "sent 1 times, stored as");
    }

    #[test]
    fn a_send_that_is_repeated_has_one_root() {
        let mut story = Story::new();
        story.ask_send(1);
        let again = story.ask_send(1);
        story
            .durable("a", vec![Fact::Message(message("t", 0, 1, 0))])
            .answer_send(again, 1, 0)
            .answer_send(again, 1, 0);
        let chain = story.wait(10).pop("t", 0, 1, 0);
        assert!(story.absorb(&chain, 1, 0).holds().reached.contains("repeated-send"));
        story.durable("a", vec![Fact::Message(message("t", 1, 1, 0))]);
        story.breaks("P2", "sent 2 times, stored as");
    }
}
