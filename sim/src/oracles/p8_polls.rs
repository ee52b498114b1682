//! Part of P8: who waits for messages is told of them.
//!
//! Rule: no pop is answered with nothing while a message that its group wants has lain where the group goes on for
//! [`SEEN_MS`], on a broker that nothing has befallen since the message came. Brokers whose slaves confirm are left out:
//! since when a message is there for a pop they alone know.

use rustc_hash::FxHashMap;

use super::Findings;
use crate::{
    evidence::{DurableEntry, Fact, StoredMessage},
    ledger::{GroupSpec, Ledger, wire::VainPop},
    plan::SimMs,
};

/// How long after it was written a message is seen by whoever waits for it, ms: a look, and what is under way before it.
const SEEN_MS: SimMs = 2_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for broker in &ledger.obligations.brokers {
        let pops = ledger.wire.empty_pops.iter().filter(|pop| pop.call.server == broker);
        let mut pops: Vec<(usize, &VainPop<'_>)> = pops.filter_map(|pop| Some((pop.call.answer?.0, pop))).collect();
        if pops.is_empty() || ledger.obligations.other_disks(broker) > 0 {
            continue;
        }
        pops.sort_by_key(|(answered, _)| *answered);
        let mut queues = Queues::default();
        let mut log = ledger.logs.get(broker.as_str()).into_iter().flatten().peekable();
        for (answered, pop) in pops {
            while let Some(step) = log.next_if(|step| step.event < answered) {
                queues.written(step.event, step.entry);
            }
            let Some(group) = ledger.group(&pop.group).filter(|group| group.topic == pop.topic) else { continue };
            let seen_ms = SEEN_MS + ledger.obligations.writes_within_ms(broker);
            let has_lain = |since: usize| {
                let (from_ms, to_ms) = (ledger.at_ms(since), ledger.at_ms(answered));
                from_ms + seen_ms + ledger.stood_ms(broker, from_ms, to_ms) < to_ms
                    && !ledger.was_disturbed(since, answered)
            };
            if let Some((topic, queue, offset)) = queues.first_waiting(group, has_lain) {
                let detail = format!("a pop of {} brings nothing beside {topic}/{queue}/{offset}", group.name);
                found.broken(ledger.at_ms(answered), broker, detail);
            }
        }
    }
}

/// A broker's queues, as its disk tells them.
#[derive(Default)]
struct Queues<'l> {
    /// Topic and queue → the messages that came, and when.
    messages: FxHashMap<(&'l str, i32), Vec<(usize, &'l StoredMessage)>>,
    /// Group, topic and queue → where the group goes on. Until a group has begun at a queue nothing is owed to it there.
    next: FxHashMap<(&'l str, &'l str, i32), i64>,
}

impl<'l> Queues<'l> {
    fn written(&mut self, event: usize, entry: &'l DurableEntry) {
        for fact in &entry.facts {
            match fact {
                Fact::Message(message) => {
                    self.messages.entry((&*message.topic, message.queue)).or_default().push((event, message));
                }
                Fact::Offset { group, topic, queue, offset } => {
                    self.next.insert((group, topic, *queue), *offset);
                }
                // What is told of them afterwards says where they go on, and what is left.
                Fact::OffsetReset { .. } => self.next.clear(),
                Fact::Expired { .. } | Fact::TopicDeleted { .. } => {
                    self.next.clear();
                    self.messages.clear();
                }
                _ => {}
            }
        }
    }

    /// The first message that the group wants, has not had, and that lies there since a time that counts.
    fn first_waiting(&self, group: &GroupSpec, counts: impl Fn(usize) -> bool) -> Option<(&'l str, i32, i64)> {
        let own = self.next.iter().filter(|((name, topic, _), _)| {
            *name == group.name && (*topic == group.topic || group.is_retry_topic(topic))
        });
        let mut waiting: Vec<_> = own
            .filter_map(|((_, topic, queue), next)| {
                let messages = self.messages.get(&(*topic, *queue))?;
                let first = messages.partition_point(|(_, message)| message.offset < *next);
                let wanted = messages[first..].iter().find(|(_, message)| group.wants(message.property("TAGS")))?;
                counts(wanted.0).then_some((*topic, *queue, wanted.1.offset))
            })
            .collect();
        waiting.sort_unstable();
        waiting.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::SEEN_MS;
    use crate::{
        evidence::{Fact, frame::code},
        oracles::fixture::{Story, message},
    };

    /// The group has begun, a message comes, and so much later a pop that waits is answered with nothing.
    fn is_blamed(after_ms: u64, tag: &str) -> bool {
        let (mut story, chain) = Story::popped();
        story.obligations.groups[0].tag_filter = "A".into();
        story.absorb(&chain, 1, 0);
        let pop = story.request("c", "a", code::POP, &[("consumerGroup", "g"), ("topic", "t")], b"");
        let mut came = message("t", 1, 2, 0);
        came.properties.retain(|(name, _)| name != "TAGS");
        came.properties.push(("TAGS".into(), tag.into()));
        story.wait(10).durable("a", vec![Fact::Message(came)]).wait(after_ms);
        story.response(("a", "c", pop), (code::POP, 210), &[], b"");
        story.is_blamed("P8", "a pop of g brings nothing beside t/0/1")
    }

    #[test]
    fn who_waits_is_told() {
        assert!(!is_blamed(SEEN_MS, "A") && is_blamed(SEEN_MS + 1, "A"));
        assert!(!is_blamed(SEEN_MS + 1, "B"), "nobody wants it");
    }
}
