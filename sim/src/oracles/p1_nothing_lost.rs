//! P1, nothing lost: each message that a send answered with success and that a group's filter takes settles for that
//! group. Its lineage (the message, its retry copies on any broker, and theirs) has a leaf that was acked by a client,
//! is readable in the dead-letter topic, is gone with proof, or is parked for a good reason.
//!
//! Rule: folded over all disks, every chain about the message must have ended in one of these, or go on in a chain or
//! copy that is durable and does. A message or copy without a chain was never popped: lost. A chain that ended acked
//! counts only if a client tried to ack it. `Gone` is believed of a topic whose owner deleted it or created it again, and
//! of a message that its owner let expire by `p1_retention`'s rule; a park, be it resumed or not, is believed by `p1_park`'s. What an operator
//! deletes with its topic, or skips by a reset, is owed no longer; what a reset hands out anew has to be popped again. What
//! a client's own checkpoint tells as acked needs no chain.

use super::{Findings, Reads, p1_park, p1_retention, p1_salvage, stuck};
use crate::{
    evidence::{ChainState, CopyPlace, GoneProof, Outcome},
    history::{Seen, Sent},
    ledger::{ChainLife, GroupSpec, Ledger, Place, Stored, TakenStep, obligations::is_any_copy_topic},
};
use rustc_hash::FxHashSet;

/// No honest lineage is longer: reconsume limits are far lower.
const LONGEST_LINEAGE: usize = 256;

/// How close to the end of the run a timer may fall due without being owed, ms.
const TIMER_GRACE_MS: u64 = 60_000;

struct Settling<'l, 'h> {
    ledger: &'l Ledger<'h>,
    reads: &'l Reads<'l>,
    /// Group, topic, queue and offset of every ack that a client tried.
    tried: FxHashSet<(&'h str, &'h str, i32, i64)>,
}

pub(super) fn check(ledger: &Ledger<'_>, reads: &Reads<'_>, found: &mut Findings<'_>) {
    let place = |ack: &crate::history::Acked| (ack.place.1, ack.place.2);
    let tried = ledger.acks.iter().map(|(_, ack)| {
        let (queue, offset) = place(ack);
        (ack.group.as_str(), ack.place.0.as_str(), queue, offset)
    });
    p1_retention::check(ledger, found);
    p1_salvage::check(ledger, found);
    p1_park::check_resumed(ledger, reads, found);
    let settling = Settling { ledger, reads, tried: tried.collect() };
    let end_ms = ledger.history.events.last().map_or(0, |event| event.at_ms);
    for (_, sent) in &ledger.sends {
        if !matches!(sent.seen, Seen::Ok(_)) {
            continue;
        }
        let wants = |group: &&GroupSpec| group.topic == sent.topic && group.wants(sent.tag.as_deref());
        let is_root = |stored: &&Stored<'_>| stored.place.topic == sent.topic && !is_any_copy_topic(stored.place.topic);
        let roots: Vec<_> = ledger.stamped(&sent.ledger).filter(is_root).copied().collect();
        for group in ledger.obligations.groups.iter().filter(wants) {
            if roots.is_empty() && settling.is_due(sent, end_ms) && !settling.went_with_its_topic(sent) {
                let why = settling.without_root(sent);
                found.message(end_ms, &sent.ledger, format!("lost for {}: {why}", group.name));
            }
            for root in &roots {
                if !settling.is_owed(root, group) {
                    continue;
                }
                if let Err(why) = settling.settle(root, group, 0) {
                    found.message(end_ms, &sent.ledger, format!("lost for {}: {why}", group.name));
                }
            }
        }
    }
}

impl<'h> Settling<'_, 'h> {
    fn is_due(&self, sent: &Sent, end_ms: u64) -> bool {
        let delay = sent.delay_ms.unwrap_or(0);
        sent.began_ms.saturating_add(delay).saturating_add(TIMER_GRACE_MS) <= end_ms || sent.delay_ms.is_none()
    }

    /// It waited as a delayed message when its topic was deleted.
    fn went_with_its_topic(&self, sent: &Sent) -> bool {
        let mut timers = self.ledger.timers.iter();
        timers.any(|timer| {
            let (node, topic) = (timer.node, &*timer.message.topic);
            let place = Place { node, topic, queue: 0, offset: 0, era: timer.era };
            timer.message.ledger.as_ref() == Some(&sent.ledger) && self.ledger.is_deleted(place)
        })
    }

    fn without_root(&self, sent: &Sent) -> String {
        let timer = self.ledger.timers.iter().find(|timer| timer.message.ledger.as_ref() == Some(&sent.ledger));
        match timer {
            Some(timer) => format!("{} accepted it as a delayed message that never fired", timer.node),
            None => format!("{} answered success and no disk holds it", sent.broker),
        }
    }

    /// A group that starts at the end owes nothing before the first offset it committed, unless it had begun elsewhere.
    fn is_owed(&self, root: &Stored<'h>, group: &GroupSpec) -> bool {
        if !group.starts_at_end || self.ledger.chains_of(root.place, &group.name).next().is_some() {
            return true;
        }
        if self.began_where_it_was_delayed(root, group) {
            return true;
        }
        let place = root.place;
        let is_first = |step: &&crate::ledger::OffsetMove<'_>| {
            step.from.is_none() && step.group == group.name && Place { offset: place.offset, ..step.to } == place
        };
        let first = self.ledger.offsets.iter().find(is_first);
        first.is_some_and(|first| place.offset >= first.to.offset)
    }

    /// The message is the first of a queue that it came to as a delayed one of another broker, where the group had begun.
    fn began_where_it_was_delayed(&self, root: &Stored<'h>, group: &GroupSpec) -> bool {
        let is_it = |taken: &&TakenStep<'_>| taken.node == root.place.node && taken.entry.index == root.entry.index;
        let Some(taken) = self.ledger.taken.iter().find(is_it).filter(|_| root.place.offset == 0) else { return false };
        let has_begun = |step: &crate::ledger::OffsetMove<'_>| {
            (step.to.node, step.to.topic, step.group) == (taken.group, root.place.topic, &group.name)
                && step.event < taken.event
        };
        self.ledger.offsets.iter().any(has_begun)
    }

    fn settle(&self, stored: &Stored<'h>, group: &GroupSpec, depth: usize) -> Result<(), String> {
        if depth > LONGEST_LINEAGE {
            return Err(format!("its lineage has more than {LONGEST_LINEAGE} copies"));
        }
        if self.ledger.is_deleted(stored.place) {
            return Ok(());
        }
        let mut last_popped = None;
        for life in self.ledger.chains_of(stored.place, &group.name) {
            last_popped = last_popped.max(Some(life.steps[0].event));
            self.leaf(stored, life, group, depth)?;
        }
        let last_reset = self.ledger.resets_of(stored.place, &group.name).last().map(|reset| reset.event);
        let is_skipped = self
            .ledger
            .resets
            .iter()
            .any(|reset| reset.skips(stored.place, &group.name) && Some(reset.event) > last_popped.max(last_reset));
        match (last_popped, last_reset) {
            _ if is_skipped => Ok(()),
            (None, _) if self.ledger.expired(stored).is_some() => Ok(()),
            (None, _) if self.is_acked_within_checkpoint(stored.place, group) => Ok(()),
            (None, _) => Err(self.never_popped(stored.place, group)),
            (Some(popped), Some(reset)) if popped < reset && self.ledger.expired(stored).is_none() => {
                let at_ms = self.ledger.at_ms(reset);
                Err(format!("{} was reset to before it at {at_ms} ms, and it was never popped again", group.name))
            }
            (Some(_), _) => Ok(()),
        }
    }

    /// A client had a checkpoint stored that tells the message as acked, and acked it.
    fn is_acked_within_checkpoint(&self, place: Place<'_>, group: &GroupSpec) -> bool {
        let is_tried = self.tried.contains(&(&group.name, place.topic, place.queue, place.offset));
        is_tried && self.ledger.foreign.acked_within(place, &group.name).is_some()
    }

    fn leaf(&self, stored: &Stored<'h>, life: &ChainLife<'h>, group: &GroupSpec, depth: usize) -> Result<(), String> {
        let (id, home) = (life.id, life.node);
        match &life.last().state {
            ChainState::Open { .. } => {
                Err(format!("chain {id} is still open at {home} {}", stuck::waits_for(self.ledger, life)))
            }
            ChainState::Moving { to, .. } => {
                let waits = stuck::waits_for(self.ledger, life);
                Err(format!("chain {id} is still being handed from {home} to {to} {waits}"))
            }
            ChainState::Moved { to } if self.ledger.chain_at(to, id).is_none() => {
                Err(format!("chain {id} was handed from {home} to {to}, whose disk does not know it"))
            }
            ChainState::Moved { .. } => Ok(()),
            ChainState::Parked { reason, .. } => p1_park::check(self.ledger, self.reads, life, reason),
            ChainState::Ended { outcome, .. } => self.ended(stored, life, outcome, group, depth),
        }
    }

    fn ended(
        &self,
        stored: &Stored<'h>,
        life: &ChainLife<'h>,
        outcome: &'h Outcome,
        group: &GroupSpec,
        depth: usize,
    ) -> Result<(), String> {
        let (id, home) = (life.id, life.node);
        match outcome {
            Outcome::Acked => {
                let was_tried = self.tried.contains(&(&*id.group, &*id.topic, id.queue, id.offset))
                    || self.ledger.wire.ack_was_sent(&id.group, &id.topic, id.queue, id.offset);
                if was_tried { Ok(()) } else { Err(format!("chain {id} ended acked, and nobody acked it")) }
            }
            Outcome::Superseded(by) if self.ledger.chain_at(home, by).is_none() => {
                Err(format!("chain {id} goes on as {by}, which {home} does not hold"))
            }
            Outcome::Superseded(_) => Ok(()),
            Outcome::Reset => {
                let is_it = |reset: &crate::ledger::OffsetReset<'_>| reset.index == life.last_index();
                let real = home == id.broker && self.ledger.resets_of(stored.place, &group.name).any(is_it);
                if real { Ok(()) } else { Err(format!("chain {id} ended by a reset that never was")) }
            }
            Outcome::Gone(proof) => self.gone(life, proof),
            Outcome::Revived(copy) => {
                if !group.is_retry_topic(&copy.topic) {
                    return Err(format!("revived to {}, which {} does not pop", copy.topic, group.name));
                }
                let copied = self.copied(stored, life, copy)?;
                self.settle(&copied, group, depth + 1)
            }
            Outcome::DeadLettered(copy) => {
                if stored.message.reconsume < group.reconsume_limit {
                    let (times, limit) = (stored.message.reconsume, group.reconsume_limit);
                    return Err(format!("a dead letter after {times} revivals, the limit is {limit}"));
                }
                if !group.is_dead_letter_topic(&copy.topic) {
                    return Err(format!("a dead letter in {}, not in %DLQ%{}", copy.topic, group.name));
                }
                let place = self.copied(stored, life, copy)?.place;
                self.unreadable(place).map_or(Ok(()), |why| Err(format!("its dead letter cannot be read: {why}")))
            }
        }
    }

    /// The durable copy of a message, with the same stamp.
    fn copied(&self, stored: &Stored<'h>, life: &ChainLife<'h>, copy: &'h CopyPlace) -> Result<Stored<'h>, String> {
        let place = self.ledger.copied_to(life, copy);
        match self.ledger.stored(&place) {
            Some(copied) if copied.message.ledger == stored.message.ledger => Ok(*copied),
            Some(_) => Err(format!("its copy {place} is another message")),
            None => Err(format!("its copy {place} is on no disk")),
        }
    }

    fn gone(&self, life: &ChainLife<'_>, proof: &GoneProof) -> Result<(), String> {
        let id = life.id;
        let proved = match proof {
            GoneProof::BelowMinimum { minimum } => p1_retention::is_proved(self.ledger, life, *minimum),
            GoneProof::TopicDeleted { at } => {
                let deletions = self.ledger.deletions_of(&id.broker, &id.topic);
                let real = deletions.iter().any(|deletion| deletion.at == *at);
                real && *at > life.last().epoch
            }
            GoneProof::TopicRecreated { epoch } => {
                let steps = self.ledger.topics.get(&(&*id.broker, &*id.topic));
                let real = steps.is_some_and(|steps| steps.iter().any(|step| step.epoch == *epoch));
                real && *epoch > life.last().epoch
            }
        };
        if proved {
            return Ok(());
        }
        Err(format!("chain {id} ended as gone at {} by {proof:?}, which the owner's disk does not bear out", life.node))
    }

    fn unreadable(&self, place: Place<'_>) -> Option<String> {
        let Some(topic) = self.ledger.topic(place.node, place.topic) else {
            return Some(format!("{} does not know topic {}", place.node, place.topic));
        };
        if topic.perm & 4 == 0 {
            return Some(format!("topic {} is not readable at {}", place.topic, place.node));
        }
        (place.queue >= topic.read_queues)
            .then(|| format!("queue {} of {} is not read at {}", place.queue, place.topic, place.node))
    }

    fn never_popped(&self, place: Place<'_>, group: &GroupSpec) -> String {
        let normal = Place { topic: &group.topic, queue: 0, ..place };
        let why = self.unreadable(place).or_else(|| self.unreadable(normal)).or_else(|| self.unrouted(normal));
        let passed = self
            .ledger
            .offsets
            .iter()
            .rev()
            .find(|step| step.group == group.name && Place { offset: place.offset, ..step.to } == place);
        match (why, passed) {
            (Some(why), _) => format!("{place} cannot be popped: {why}"),
            (None, Some(step)) if step.to.offset > place.offset => {
                format!("{place} was passed (offset {}) without a chain", step.to.offset)
            }
            _ => format!("{place} was never popped"),
        }
    }

    /// No registration with a name server lists the topic.
    fn unrouted(&self, normal: Place<'_>) -> Option<String> {
        let key = format!("\"{}\":", normal.topic);
        let lists = |body: &bytes::Bytes| body.is_empty() || memchr::memmem::find(body, key.as_bytes()).is_some();
        let mut registrations = self.ledger.wire.registrations.iter();
        let listed = registrations.any(|(_, node, body)| *node == normal.node && lists(body));
        (!listed).then(|| format!("{} never registered topic {}", normal.node, normal.topic))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{Fact, GoneProof, Outcome, Position},
        history::{AckVerdict, EventKind, Seen},
        oracles::fixture::{Story, message},
    };

    /// One message, popped once.
    #[test]
    fn an_acked_message_is_settled() {
        let (mut story, chain) = Story::popped();
        story.absorb(&chain, 1, 0);
        let verdict = story.holds();
        assert_eq!((verdict.counts.sent, verdict.counts.acked, verdict.counts.lost), (1, 1, 0));
    }

    #[test]
    fn a_revived_message_is_settled_by_its_copy_alone() {
        let (mut story, first) = Story::popped();
        story.wait(10_000).revive(&first, 0, 1, 1);
        story.breaks("P1", "a/%RETRY%g_t/0/0 was never popped");

        let (mut story, first) = Story::popped();
        story.wait(10_000).revive(&first, 0, 1, 1).wait(10);
        let second = story.pop("%RETRY%g_t", 0, 1, 1);
        story.absorb(&second, 1, 1);
        assert!(story.holds().reached.contains("revived"));
    }

    #[test]
    fn a_copy_that_is_on_no_disk_is_a_loss() {
        let (mut story, chain) = Story::popped();
        story.durable("a", vec![chain.revived("%RETRY%g_t", -1).fact()]);
        story.breaks("P1", "is on no disk");
    }

    #[test]
    fn a_message_nobody_popped_is_lost() {
        let mut story = Story::new();
        story.send(1, 0);
        story.breaks("P1", "a/t/0/0 was never popped");
    }

    #[test]
    fn a_message_that_the_filter_leaves_out_is_not_owed() {
        let mut story = Story::new();
        story.obligations.groups[0].tag_filter = "B".into();
        story.send(1, 0);
        story.holds();
    }

    #[test]
    fn a_copy_without_a_route_is_lost() {
        let (mut story, first) = Story::popped();
        story.history.events.retain(|event| !matches!(&event.kind, EventKind::Request(it) if &*it.from == "a"));
        story.wait(10_000).revive(&first, 0, 1, 1);
        story.breaks("P1", "a never registered topic t");
    }

    #[test]
    fn an_end_as_acked_needs_an_ack() {
        let (mut story, chain) = Story::popped();
        story.durable("a", vec![chain.ended(Outcome::Acked).fact()]);
        story.breaks("P1", "nobody acked it");

        let (mut story, chain) = Story::popped();
        story.durable("a", vec![chain.clone().ended(Outcome::Acked).fact()]);
        story.ack(&chain, 1, 0, Seen::Unknown { cause: "timeout".into() });
        assert!(story.holds().reached.contains("ack-unknown"));
    }

    #[test]
    fn gone_needs_a_proof_that_the_disk_bears_out() {
        let (mut story, chain) = Story::popped();
        let proof = GoneProof::BelowMinimum { minimum: 9 };
        story.durable("a", vec![chain.ended(Outcome::Gone(proof)).fact()]);
        story.breaks("P1", "does not bear out");

        let (mut story, chain) = Story::popped();
        let epoch = Position { term: 1, index: 3 };
        let again = Fact::Topic { name: "t".into(), perm: 6, read_queues: 1, write_queues: 1, epoch };
        let gone = chain.ended(Outcome::Gone(GoneProof::TopicRecreated { epoch }));
        story.durable("a", vec![again]).durable("a", vec![gone.fact()]);
        story.holds();
    }

    #[test]
    fn what_a_reset_hands_out_anew_has_to_be_popped_again() {
        let reset = || {
            let (mut story, chain) = Story::popped();
            story.absorb(&chain, 1, 0).wait(10).reset(0, &[]).wait(10);
            story
        };
        reset().breaks("P1", "it was never popped again");
        reset().reset(1, &[]).holds();
        let (mut story, chain) = Story::popped();
        story.durable("a", vec![chain.ended(Outcome::Reset).fact()]);
        story.breaks("P1", "ended by a reset that never was");
    }

    #[test]
    fn a_deletion_ends_what_is_owed_and_nothing_of_the_successor() {
        let (mut story, _) = Story::popped();
        story.delete_topic();
        let open = story.judge().violations;
        assert!(open.iter().all(|it| it.promise == "P4"), "a chain has to end: {open:?}");
        story.create_topic().send(2, 0);
        story.breaks("P1", "a/t/0/0 was never popped");
    }

    #[test]
    fn a_dead_letter_counts_once_the_limit_is_reached() {
        let (mut story, mut chain) = Story::popped();
        chain.reconsume_limit = 0;
        let copy = crate::evidence::CopyPlace { topic: "%DLQ%g".into(), queue: 0, offset: 0 };
        let dead = Fact::Message(message("%DLQ%g", 0, 1, 1));
        story.wait(10_000);
        story.durable("a", vec![dead, chain.ended(Outcome::DeadLettered(copy)).fact()]);
        story.obligations.groups[0].reconsume_limit = 0;
        story.holds();
        story.obligations.groups[0].reconsume_limit = 1;
        story.breaks("P1", "a dead letter after 0 revivals, the limit is 1");
    }

    #[test]
    fn a_send_without_a_durable_message_is_lost() {
        let mut story = Story::new();
        let call = story.ask_send(1);
        story.answer_send(call, 1, 0);
        story.breaks("P1", "no disk holds it");
    }

    #[test]
    fn a_chain_handed_to_nobody_is_a_loss() {
        let (mut story, mut chain) = Story::popped();
        chain.state = crate::evidence::ChainState::Moved { to: "b".into() };
        story.durable("a", vec![chain.fact()]);
        story.breaks("P1", "whose disk does not know it");
    }

    #[test]
    fn a_late_ack_does_not_settle_what_was_revived() {
        let (mut story, first) = Story::popped();
        story.wait(10_000).revive(&first, 0, 1, 1);
        story.ack(&first, 1, 0, Seen::Ok(AckVerdict::TooLate));
        let verdict = story.judge();
        assert_eq!(verdict.counts.lost, 1);
        assert!(verdict.reached.contains("late-ack"));
    }
}
