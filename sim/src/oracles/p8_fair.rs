//! Part of P8: how many pops pass by what waits is bounded.
//!
//! Rule: of the queues that a group pops together (its topic's and those of its retry topic at one broker) none is passed by
//! in which messages lie that the group has not had: of the pops of that group that began since the first of them was
//! there, at most [`PASSES_PER_QUEUE`] for each queue of the kind, and as many once more, are answered with messages before
//! it goes on there. Where slaves confirm, a message is there once its broker has heard that they have it.

use rustc_hash::FxHashMap;

use super::Findings;
use crate::{
    evidence::{DurableEntry, Fact},
    ledger::{GroupSpec, Ledger},
    plan::SimMs,
};

/// How many pops may pass by a queue for each queue of its topic. A queue's turn comes once for each of them, at retry
/// topics with every fifth pop; twice that is for pops that are under way together.
const PASSES_PER_QUEUE: usize = 10;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for broker in &ledger.obligations.brokers {
        let mut queues = Queues::default();
        for (event, happened) in happened(ledger, broker) {
            match happened {
                Happened::Written(entry) => queues.written(there_since(ledger, broker, event, entry), entry),
                Happened::Began => queues.begin_anew(event),
                Happened::Popped { group, asked_at } => {
                    for (topic, queue, passed) in queues.popped(group, asked_at) {
                        let name = &group.name;
                        let detail = format!("{passed} pops of {name} passed by what waits in {topic}/{queue}");
                        found.broken(ledger.at_ms(event), broker, detail);
                    }
                }
            }
        }
    }
}

/// When what an entry says is there for a pop: position in the history.
fn there_since(ledger: &Ledger<'_>, broker: &str, event: usize, entry: &DurableEntry) -> usize {
    if ledger.obligations.other_disks(broker) == 0 {
        return event;
    }
    let told_ms = ledger.told_ms(broker, entry.index, event).unwrap_or(SimMs::MAX);
    ledger.history.events.partition_point(|event| event.at_ms <= told_ms)
}

enum Happened<'l> {
    Written(&'l DurableEntry),
    /// The process began.
    Began,
    /// A pop was answered with messages.
    Popped {
        group: &'l GroupSpec,
        /// When it left its client: position in the history.
        asked_at: usize,
    },
}

/// What matters of a broker, in order.
fn happened<'l>(ledger: &'l Ledger<'_>, broker: &str) -> Vec<(usize, Happened<'l>)> {
    let log = ledger.logs.get(broker).into_iter().flatten();
    let mut happened: Vec<_> = log.map(|step| (step.event, Happened::Written(step.entry))).collect();
    let starts = ledger.history.events.iter().enumerate().filter(|(_, event)| event.kind.begins(broker));
    happened.extend(starts.map(|(event, _)| (event, Happened::Began)));
    let mut last = None;
    for delivery in ledger.wire.deliveries.iter().filter(|delivery| delivery.call.server == broker) {
        let Some((answered, _)) = delivery.call.answer.filter(|answer| last.replace(*answer) != Some(*answer)) else {
            continue;
        };
        let is_it = |group: &&GroupSpec| group.name == delivery.group && group.topic == delivery.asked;
        let group = ledger.obligations.groups.iter().find(is_it);
        happened.extend(group.map(|group| (answered, Happened::Popped { group, asked_at: delivery.call.event })));
    }
    happened.sort_by_key(|(event, _)| *event);
    happened
}

/// A broker's queues, as its disk tells them.
#[derive(Default)]
struct Queues<'l> {
    /// Where the next message of each goes.
    ends: FxHashMap<(&'l str, i32), i64>,
    /// Group → topic and queue, and how it stands with them.
    stands: FxHashMap<&'l str, Vec<(&'l str, i32, Stand)>>,
}

/// How a group stands with a queue.
#[derive(Clone, Copy)]
struct Stand {
    /// Where it goes on.
    offset: i64,
    /// Since when a message has been waiting there, if one does: position in the history.
    since: usize,
    /// How many pops have passed by.
    passed: usize,
}

impl<'l> Queues<'l> {
    fn written(&mut self, event: usize, entry: &'l DurableEntry) {
        for fact in &entry.facts {
            match fact {
                Fact::Message(message) => {
                    let (topic, queue) = (&*message.topic, message.queue);
                    let end = self.ends.insert((topic, queue), message.offset + 1).unwrap_or(0);
                    let stands = self.stands.values_mut().flatten().filter(|it| (it.0, it.1) == (topic, queue));
                    let is_empty = |stand: &&mut Stand| stand.offset >= end;
                    stands.map(|(.., stand)| stand).filter(is_empty).for_each(|stand| {
                        (stand.since, stand.passed) = (event, 0);
                    });
                }
                Fact::Offset { group, topic, queue, offset } => {
                    let stands = self.stands.entry(group).or_default();
                    stands.retain(|it| (it.0, it.1) != (topic.as_str(), *queue));
                    stands.push((topic, *queue, Stand { offset: *offset, since: event, passed: 0 }));
                }
                // What is told of them afterwards says where they go on.
                Fact::OffsetReset { .. } | Fact::Expired { .. } => self.stands.clear(),
                Fact::TopicDeleted { .. } => {
                    self.stands.clear();
                    self.ends.clear();
                }
                _ => {}
            }
        }
    }

    fn begin_anew(&mut self, event: usize) {
        self.stands.values_mut().flatten().for_each(|(.., stand)| (stand.since, stand.passed) = (event, 0));
    }

    /// The queues that were passed by once too often.
    fn popped(&mut self, group: &GroupSpec, asked_at: usize) -> Vec<(&'l str, i32, usize)> {
        let Some(stands) = self.stands.get_mut(group.name.as_str()) else { return Vec::new() };
        let is_popped = |topic: &str| topic == group.topic || group.is_retry_topic(topic);
        let mut queues: FxHashMap<&str, usize> = FxHashMap::default();
        stands.iter().for_each(|(topic, ..)| *queues.entry(topic).or_default() += 1);
        let mut passed_by = Vec::new();
        for (topic, queue, stand) in stands.iter_mut().filter(|(topic, ..)| is_popped(topic)) {
            let waits = self.ends.get(&(*topic, *queue)).is_some_and(|end| *end > stand.offset);
            if waits && stand.since < asked_at {
                stand.passed += 1;
                if stand.passed == PASSES_PER_QUEUE * (queues[topic] + 1) + 1 {
                    passed_by.push((*topic, *queue, stand.passed));
                }
            }
        }
        passed_by
    }
}

#[cfg(test)]
mod tests {
    use super::PASSES_PER_QUEUE;
    use crate::{
        evidence::{Fact, frame::code},
        oracles::fixture::{Story, message},
    };

    /// The group has begun at both topics, and a copy waits, while so many pops bring messages of the other topic. After the
    /// tenth of them it goes on where the copy is, if it does.
    fn is_blamed(pops: u32, goes_on: bool) -> bool {
        let mut story = waiting(Story::new());
        pops_elsewhere(&mut story, pops, goes_on);
        story.is_blamed("P8", "pops of g passed by what waits in %RETRY%g_t/0")
    }

    fn retry(offset: i64) -> Fact {
        Fact::Offset { group: "g".into(), topic: "%RETRY%g_t".into(), queue: 0, offset }
    }

    /// The group has begun at its retry topic, and a copy waits there.
    fn waiting(mut story: Story) -> Story {
        story.durable("a", vec![retry(0)]);
        story.durable("a", vec![Fact::Message(message("%RETRY%g_t", 0, 900, 1))]);
        story
    }

    fn pops_elsewhere(story: &mut Story, pops: u32, goes_on: bool) {
        for number in 0..pops {
            story.send(number, number.into()).wait(10);
            let chain = story.pop("t", number.into(), number, 0);
            story.absorb(&chain, number, 0).wait(10);
            if number == 10 && goes_on {
                story.durable("a", vec![retry(1)]);
            }
        }
    }

    #[test]
    fn what_no_slave_has_confirmed_is_passed_by() {
        let pops = u32::try_from(2 * PASSES_PER_QUEUE + 1).unwrap_or_default();
        let is_blamed = |confirms: bool| {
            let mut story = waiting(Story::with_slave());
            story.obligations.degrees.insert("a".into(), 2);
            if confirms {
                story.catch_up(1).wait(10).request("a-s1", "a", code::REPLICATE, &[], b"");
            }
            story.wait(10);
            pops_elsewhere(&mut story, pops, false);
            story.is_blamed("P8", "passed by what waits in %RETRY%g_t/0")
        };
        assert!(is_blamed(true) && !is_blamed(false));
    }

    #[test]
    fn what_waits_is_not_passed_by_for_ever() {
        let most = u32::try_from(2 * PASSES_PER_QUEUE).unwrap_or_default();
        assert!(!is_blamed(most, false) && is_blamed(most + 1, false));
        assert!(!is_blamed(2 * most, true));
    }
}
