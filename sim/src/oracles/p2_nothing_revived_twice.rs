//! P2, nothing revived twice: of each popped message at most one derived message ever becomes visible, on any disk that
//! ever existed, whatever becomes of it later.
//!
//! Rule: per message and group there is at most one copy for each reconsume count, retry topic and dead-letter topic of
//! all disks together; each copy is the one that some chain ended in; each physical message leaves a broker in at most
//! one pop answer per group; each timer fires at most once, at its broker or at the one that took it; a message has one root, however often its producer sent it: it
//! does so with one key, to one broker, and within the time in which a broker knows a send by its key. An operator's reset
//! allows one more of each for what it hands out anew, and ends what else would bring it; a root in a topic that was deleted
//! allows one in its successor. After its topic's deletion no chain is revived by the broker that deleted it, and nothing
//! delayed comes of it. What may be forgotten, and what comes of that, is `p2_forgetting`'s rule; that one broker at a time
//! decides on a chain is `p2_one_home`'s.

use super::{Findings, Reads, p2_forgetting, p2_one_home};
use crate::{
    evidence::{ChainState, DurableEntry, Fact, Outcome, ParkReason},
    history::LedgerId,
    ledger::{
        ChainLife, ChainStep, FiredStep, Ledger, OffsetReset, Place, TakenStep, TimerStep,
        obligations::is_any_copy_topic,
    },
};
use rustc_hash::{FxHashMap, FxHashSet};

pub(super) fn check(ledger: &Ledger<'_>, _: &Reads<'_>, found: &mut Findings<'_>) {
    copies(ledger, found);
    deliveries(ledger, found);
    timers(ledger, found);
    resets(ledger, found);
    resurrections(ledger, found);
    successors(ledger, found);
    p2_forgetting::check(ledger, found);
    p2_one_home::check(ledger, found);
}

fn copies(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let made = copies_of_chains(ledger);
    let mut sends: FxHashMap<&str, usize> = FxHashMap::default();
    for (_, sent) in &ledger.sends {
        *sends.entry(&sent.ledger.0).or_default() += 1;
    }
    let (mut roots, mut copies) = (FxHashMap::<&str, Place<'_>>::default(), FxHashMap::<_, (usize, _)>::default());
    for stored in &ledger.messages {
        let Some(stamp) = &stored.message.ledger else { continue };
        if !is_any_copy_topic(stored.place.topic) {
            let is_over = |place: &Place<'_>| ledger.era_at(place.node, place.topic, stored.event) > place.era;
            if let Some(first) = roots.insert(&*stamp.0, stored.place).filter(|first| !is_over(first)) {
                let sent = sends.get(&*stamp.0).copied().unwrap_or(0);
                let detail = format!("sent {sent} times, stored as {first} and again as {}", stored.place);
                found.message(stored.at_ms, stamp, detail);
            }
            continue;
        }
        let groups = &ledger.obligations.groups;
        let Some(group) = groups.iter().find(|group| group.is_copy_topic(stored.place.topic)) else { continue };
        let times = stored.message.reconsume;
        let known = copies.entry((&*stamp.0, group.name.as_str(), times)).or_insert((0, stored.place));
        known.0 += 1;
        let (count, first) = *known;
        if count > 1 && count > lives(ledger, stamp, &group.name, stored.event) {
            let detail = format!("copy {times} for {} exists as {first} and as {}", group.name, stored.place);
            found.message(stored.at_ms, stamp, detail);
        }
        if !made.contains(&stored.place) {
            found.message(stored.at_ms, stamp, format!("copy {} was made by no chain", stored.place));
        }
    }
}

/// How often a message may have begun to be popped by a group before `event`: once for each root, and once more for each
/// reset to before it or a copy of it.
fn lives(ledger: &Ledger<'_>, stamp: &LedgerId, group: &str, event: usize) -> usize {
    let places: Vec<Place<'_>> = ledger.stamped(stamp).map(|stored| stored.place).collect();
    let roots = places.iter().filter(|place| !is_any_copy_topic(place.topic)).count();
    let is_before = |reset: &&OffsetReset<'_>| reset.event < event;
    let resets = ledger.resets.iter().filter(is_before);
    roots + resets.filter(|reset| places.iter().any(|place| reset.covers(*place, group))).count()
}

/// Where the chains say that their copies are.
fn copies_of_chains<'l>(ledger: &'l Ledger<'_>) -> FxHashSet<Place<'l>> {
    let steps = ledger.chains.iter().flat_map(|life| life.steps.iter().map(|step| (life.node, step)));
    let copied = steps.filter_map(|(node, step)| match &step.chain.state {
        ChainState::Ended { outcome: Outcome::Revived(copy) | Outcome::DeadLettered(copy), .. } => {
            let era = ledger.era_in(node, &copy.topic, step.entry.index);
            Some(Place { node, topic: &copy.topic, queue: copy.queue, offset: copy.offset, era })
        }
        _ => None,
    });
    copied.collect()
}

fn deliveries(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut left: FxHashMap<(Place<'_>, &str), (usize, u64)> = FxHashMap::default();
    for it in &ledger.wire.deliveries {
        let (queue, offset) = (it.message.queue, it.message.offset);
        let spot = Place { node: it.call.to, topic: &it.topic, queue, offset, era: 0 };
        let event = it.call.answer.map_or(it.call.event, |answer| answer.0);
        let place = Place { era: ledger.era_of_pop(spot, &it.group, Some(it.pop_time), event), ..spot };
        let known = left.entry((place, &it.group)).or_insert((0, it.at_ms));
        known.0 += 1;
        let (count, first_ms) = *known;
        let resets = || ledger.resets_of(place, &it.group).filter(|reset| reset.event < event).count();
        if count > 1 && count > 1 + resets() {
            let detail = format!("handed to {} at {first_ms} ms and again at {} ms", it.group, it.at_ms);
            found.stamped(it.at_ms, it.message.ledger.as_ref(), place, detail);
        }
    }
}

fn timers(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut fired = FxHashSet::default();
    let own = ledger.fired.iter().map(|FiredStep { event, node, record, .. }| (*event, *node, *record));
    let others = ledger.taken.iter().map(|TakenStep { event, group, record, .. }| (*event, *group, *record));
    let mut all: Vec<_> = own.chain(others).collect();
    all.sort_unstable();
    for (event, node, record) in all {
        if !fired.insert((node, record)) {
            let subject = format!("{node} timer {}/{}", record.0, record.1);
            let timer = ledger.timers.iter().find(|timer| (timer.node, timer.record) == (node, record));
            let message = timer.and_then(|timer| timer.message.ledger.as_ref());
            found.stamped(ledger.at_ms(event), message, subject, "fired a second time".to_owned());
        }
    }
}

/// A reset that leaves a chain of what it hands out anew: the message comes twice at once.
fn resets(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for reset in &ledger.resets {
        let is_about =
            |life: &&ChainLife<'_>| life.node == reset.to.node && reset.covers(life.origin(), &life.id.group);
        for life in ledger.chains.iter().filter(is_about) {
            let stays = match life.before(reset.event).map(|chain| &chain.state) {
                Some(ChainState::Parked { reason, .. }) => !matches!(reason, ParkReason::UnknownAt { .. }),
                Some(ChainState::Open { .. }) => true,
                _ => false,
            };
            let ends = |step: &ChainStep<'_>| step.entry.index == reset.index;
            if stays && !life.steps.iter().any(ends) {
                let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
                let detail = format!("{} was reset to {}, and the chain goes on", reset.group, reset.to);
                found.stamped(reset.at_ms, stamp, format!("chain {}", life.id), detail);
            }
        }
    }
}

/// A chain that is revived by the very log that says that its topic was deleted before.
fn resurrections(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for life in ledger.chains.iter().filter(|life| life.node == life.id.broker && ledger.is_deleted(life.origin())) {
        let last = &life.steps[life.steps.len() - 1];
        let outcome = match &last.chain.state {
            ChainState::Ended { outcome: outcome @ (Outcome::Revived(_) | Outcome::DeadLettered(_)), .. } => outcome,
            _ => continue,
        };
        if ledger.era_in(life.node, &life.id.topic, last.entry.index) > life.era {
            let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
            let detail = format!("it ends as {outcome:?} after its topic was deleted");
            found.stamped(last.at_ms, stamp, format!("chain {}", life.id), detail);
        }
    }
}

/// Delayed messages of a topic that was deleted, in its successor.
fn successors(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let timers: FxHashMap<_, _> = ledger.timers.iter().map(|timer| ((timer.node, timer.record), timer)).collect();
    for FiredStep { event, node, entry, record } in &ledger.fired {
        let Some(timer) = timers.get(&(*node, *record)) else { continue };
        if ledger.era_in(node, &timer.message.topic, entry.index) > timer.era {
            comes_after_deletion(ledger, timer, (*event, node, entry), found);
        }
    }
    // Nothing is deleted while a slave acts, and what was before, it knows.
    for TakenStep { event, node, entry, group, record } in &ledger.taken {
        let Some(timer) = timers.get(&(*group, *record)) else { continue };
        if ledger.era_at(group, &timer.message.topic, *event) > timer.era {
            comes_after_deletion(ledger, timer, (*event, node, entry), found);
        }
    }
}

fn comes_after_deletion(
    ledger: &Ledger<'_>,
    timer: &TimerStep<'_>,
    (event, node, entry): (usize, &str, &DurableEntry),
    found: &mut Findings<'_>,
) {
    let is_it = |fact: &Fact| matches!(fact, Fact::Message(it) if it.ledger == timer.message.ledger);
    if entry.facts.iter().any(is_it) {
        let detail = "what was sent to a topic that was deleted comes in its successor".to_owned();
        found.stamped(ledger.at_ms(event), timer.message.ledger.as_ref(), node, detail);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{Fact, GoneProof, Outcome, TimerId},
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
        story.durable("a", vec![fired.clone()]);
        story.breaks("P2", "fired a second time");

        let timer = TimerId { due_ms: 1, index: 2, record: 0 };
        let taken = || Fact::TimerTaken { group: "a".into(), term: 1, timer };
        let mut story = Story::new();
        story.durable("b", vec![taken()]).durable("a", vec![Fact::TimerMoved { timer, to: "b".into() }]);
        assert!(!story.is_blamed("P2", "fired a second time"));
        story.durable("a", vec![fired]);
        assert!(story.is_blamed("P2", "fired a second time"), "here, after another group has delivered it");
        let mut story = Story::new();
        story.durable("b", vec![taken()]).durable("b", vec![taken()]);
        assert!(story.is_blamed("P2", "fired a second time"), "twice there");
    }

    #[test]
    fn a_send_has_one_root() {
        let mut story = revived();
        story.durable("a", vec![Fact::Message(message("t", 1, 1, 0))]);
        story.breaks("P2", "sent 1 times, stored as");
    }

    #[test]
    fn a_reset_allows_one_more_and_leaves_no_chain() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let first = story.pop("t", 0, 1, 0);
        story.wait(10_000).revive(&first, 0, 1, 1).wait(10);
        let retried = story.pop("%RETRY%g_t", 0, 1, 1);
        story.absorb(&retried, 1, 1).wait(10).reset(0, &[]).wait(10);
        let again = story.pop("t", 0, 1, 0);
        story.wait(10).reset(0, &[&again]).wait(10);
        let third = story.pop("t", 0, 1, 0);
        story.wait(10_000).revive(&third, 1, 1, 1).wait(10);
        let last = story.pop("%RETRY%g_t", 1, 1, 1);
        assert!(story.absorb(&last, 1, 1).holds().reached.contains("reset-anew"));
        story.hand_out(&message("t", 0, 1, 0));
        story.breaks("P2", "handed to g at");

        let mut story = Story::new();
        story.send(1, 0).wait(10);
        story.pop("t", 0, 1, 0);
        story.wait(10).reset(0, &[]);
        story.breaks("P2", "and the chain goes on");
    }

    #[test]
    fn what_was_delayed_goes_with_its_topic() {
        for is_deleted in [false, true] {
            let mut story = Story::new();
            story.durable("a", vec![Fact::Timer { due_ms: 1, message: message("t", 0, 1, 0) }]);
            let index = story.last_entry_of("a").index;
            if is_deleted {
                story.delete_topic();
            }
            let fired = Fact::TimerFired { due_ms: 1, index, record: 0 };
            story.durable("a", vec![fired.clone()]);
            assert!(!story.is_blamed("P2", "comes in its successor"));
            story.durable("a", vec![Fact::Message(message("t", 0, 1, 0)), fired]);
            assert_eq!(story.is_blamed("P2", "comes in its successor"), is_deleted);
        }
    }

    #[test]
    fn nothing_is_revived_after_its_topic_was_deleted() {
        let popped = || {
            let mut story = Story::new();
            story.send(1, 0).wait(10);
            let chain = story.pop("t", 0, 1, 0);
            let at = story.wait(10).delete_topic();
            (story, chain, at)
        };
        let (mut story, chain, at) = popped();
        let gone = chain.ended(Outcome::Gone(GoneProof::TopicDeleted { at }));
        assert!(story.durable("a", vec![gone.fact()]).holds().reached.contains("gone-with-topic"));
        let (mut story, chain, _) = popped();
        story.wait(10_000).revive(&chain, 0, 1, 1);
        story.breaks("P2", "after its topic was deleted");
    }

    #[test]
    fn a_root_in_a_successor_is_another_one() {
        let mut story = Story::new();
        story.send(1, 0).wait(10).delete_topic();
        let call = story.create_topic().ask_send(1);
        let mut again = message("t", 0, 1, 0);
        again.offset_id = "0102030400000006FFFFFFFFFFFFFFFF".into();
        story.durable("a", vec![Fact::Message(again)]).answer_send(call, 1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        story.absorb(&chain, 1, 0).holds();
        story.durable("a", vec![Fact::Message(message("t", 1, 1, 0))]);
        story.breaks("P2", "stored as");
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
