//! Part of P9: a pull's answer tells where the queue begins and ends, when its topic was created, and under which term this is
//! said.
//!
//! Rule: of a master, in every answer that tells of a queue at all, the term is that of its log, the epoch one that the topic
//! had between request and answer; what lies before the queue's beginning has expired, and what lies there had not before
//! the request; the end lies behind every message that was confirmed before the request and before
//! any that is durable after the answer. Whoever reads remotely takes these for proof.

use super::Findings;
use crate::{
    evidence::Fact,
    history::{Event, EventKind},
    ledger::{Ledger, LogStep, Place, Stored, wire::Pull},
    plan::SimMs,
};

/// How long after a master has heard that an entry is confirmed its views show it, ms.
const SHOWN_MS: SimMs = 2_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let by_masters = |pull: &&Pull<'_>| !pull.call.is_to_slave() && !pull.is_damaged;
    for pull in ledger.wire.pulls.iter().filter(by_masters) {
        let Some((answered, _)) = pull.call.answer else { continue };
        let (Some(minimum), Some(maximum)) = (pull.minimum, pull.maximum) else { continue };
        let answer = Answer { ledger, pull, answered };
        let mut wrong = vec![answer.wrong_term(), answer.wrong_epoch()];
        // Of a topic that is deleted meanwhile nothing else is known.
        if pull.epoch.as_deref().is_some_and(|epoch| answer.is_era_of(epoch)) {
            wrong.extend([answer.wrong_begin(minimum), answer.wrong_end(maximum)]);
        }
        for detail in wrong.into_iter().flatten() {
            let detail = format!("{} asks for {}/{} and hears {detail}", pull.call.from, pull.topic, pull.queue);
            found.broken(ledger.at_ms(answered), pull.call.to, detail);
        }
    }
}

struct Answer<'l, 'h> {
    ledger: &'l Ledger<'h>,
    pull: &'l Pull<'h>,
    answered: usize,
}

impl Answer<'_, '_> {
    /// The master's log, from the last entry that it had before the request to the last that it had before the answer.
    fn meanwhile(&self) -> &[LogStep<'_>] {
        let log = self.ledger.logs.get(self.pull.call.to).map_or(&[][..], Vec::as_slice);
        let before = log.partition_point(|step| step.event < self.pull.call.event);
        let until = log.partition_point(|step| step.event < self.answered);
        &log[before.saturating_sub(1)..until.max(before)]
    }

    fn wrong_term(&self) -> Option<String> {
        let told = self.pull.holder_term;
        // What was taken back since, it had until then.
        let node = self.pull.call.to;
        let had = |since: usize, until: usize| since < self.answered && self.pull.call.event < until;
        let mut taken_back =
            self.ledger.taken_back.iter().filter(|(since, until, at, _)| *at == node && had(*since, *until));
        let is_right = self.meanwhile().iter().any(|step| Some(step.entry.term) == told)
            || taken_back.any(|(.., term)| Some(*term) == told);
        (!is_right).then(|| format!("term {told:?}, which its log is not of"))
    }

    fn wrong_epoch(&self) -> Option<String> {
        let Some(told) = &self.pull.epoch else { return Some("no epoch of the topic".into()) };
        let steps = self.ledger.topics.get(&(self.pull.call.to, &*self.pull.topic)).map_or(&[][..], Vec::as_slice);
        let is_it = |step: &crate::ledger::TopicStep| {
            step.event < self.answered && *told == format!("{}-{}", step.epoch.term, step.epoch.index)
        };
        let last_before = steps.iter().rfind(|step| step.event < self.pull.call.event).map(|step| step.event);
        let is_right = steps.iter().any(|step| is_it(step) && last_before.is_none_or(|last| step.event >= last));
        (!is_right).then(|| format!("epoch {told}, which the topic does not have"))
    }

    fn wrong_begin(&self, told: i64) -> Option<String> {
        let is_gone_by =
            |stored: &Stored<'_>, event| self.ledger.expired(stored).is_some_and(|expired| expired < event);
        if let Some(before) = self.at(told - 1).filter(|before| !is_gone_by(before, self.answered)) {
            return Some(format!("that it begins at {told}, and {} has not expired", before.place));
        }
        let gone = self.at(told).filter(|first| is_gone_by(first, self.pull.call.event))?;
        let is_told = self.ledger.is_written(gone.place.node, self.ledger.expired(gone)?, self.asked_ms());
        is_told.then(|| format!("that it begins at {told}, and {} had expired", gone.place))
    }

    fn wrong_end(&self, told: i64) -> Option<String> {
        if let Some(beyond) = self.at(told).filter(|next| self.is_known(next)) {
            return Some(format!("that it ends at {told}, where {} lies", beyond.place));
        }
        let is_last = told == 0 || self.at(told - 1).is_some_and(|last| last.event < self.answered);
        (!is_last).then(|| format!("that it ends at {told}, behind nothing"))
    }

    /// Whether the master had long known that the message is confirmed. One that has begun again shows what it knew when it
    /// wrote last, and more once a slave has spoken.
    fn is_known(&self, stored: &Stored<'_>) -> bool {
        let node = self.pull.call.to;
        let told_ms = self.ledger.told_ms(node, stored.entry.index, stored.event);
        let is_told = told_ms.is_some_and(|told_ms| told_ms + SHOWN_MS < self.asked_ms());
        if !is_told || stored.event > self.pull.call.event {
            return false;
        }
        let begins = |event: &Event| matches!(&event.kind, EventKind::Node { node: of, event } if of == node && event == "started");
        let has_begun_again = self.ledger.obligations.other_disks(node) > 0
            && self.ledger.history.events[stored.event..self.answered].iter().any(begins);
        !has_begun_again && self.ledger.is_written(node, stored.event, self.asked_ms())
    }

    fn asked_ms(&self) -> SimMs {
        self.ledger.at_ms(self.pull.call.event)
    }

    /// The message at an offset of the queue, of the topic that is there when the answer leaves.
    fn at(&self, offset: i64) -> Option<&Stored<'_>> {
        let node = self.pull.call.to;
        let era = self.ledger.era_at(node, &self.pull.topic, self.answered);
        let place = Place { node, topic: &self.pull.topic, queue: self.pull.queue, offset, era };
        self.ledger.stored(&place)
    }

    /// Whether the topic was created then that is there when the answer leaves.
    fn is_era_of(&self, epoch: &str) -> bool {
        let steps = self.ledger.topics.get(&(self.pull.call.to, &*self.pull.topic));
        let last = steps.and_then(|steps| steps.iter().rfind(|step| step.event < self.answered));
        let is_deleted = self
            .meanwhile()
            .iter()
            .flat_map(|step| &step.entry.facts)
            .any(|fact| matches!(fact, Fact::TopicDeleted { name, .. } if *name == self.pull.topic));
        !is_deleted && last.is_some_and(|step| epoch == format!("{}-{}", step.epoch.term, step.epoch.index))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{
        evidence::{DurableEntry, frame::code},
        history::{EventKind, Noted},
        oracles::fixture::{Story, encode},
    };

    type Fields<'a> = &'a [(&'a str, &'a str)];

    /// `b` asks `a` for its only message and hears this; what it is blamed for.
    fn blamed(fields: Fields<'_>) -> Vec<String> {
        let (mut story, _) = Story::due();
        let body = encode(&story.stored_message(0));
        let call = story.read(0);
        story.response(("a", "b", call), (code::PULL, 0), fields, &body);
        let found = story.judge().violations;
        found
            .into_iter()
            .filter(|it| it.promise == "P9" && it.detail.contains("and hears"))
            .map(|it| it.detail)
            .collect()
    }

    fn with(name: &str, value: &str) -> usize {
        let right = [("minOffset", "0"), ("maxOffset", "1"), ("holderTerm", "1"), ("topicEpoch", "1-1")];
        let fields = right.map(|(known, text)| (known, if known == name { value } else { text }));
        blamed(&fields).len()
    }

    /// `a` has a term of its own, loses it with its disk and gets the rest back, and names it in an answer that was asked for
    /// before that, or after.
    fn names_a_lost_term(is_asked_before: bool) -> usize {
        let (mut story, _) = Story::due();
        let had: Vec<(u64, u64)> = story
            .history
            .noted()
            .filter_map(|(_, noted)| match noted {
                Noted::Durable { node, entry, .. } if node == "a" => Some((entry.term, entry.index)),
                _ => None,
            })
            .collect();
        let entry = DurableEntry { term: 2, index: 99, checksum: 7, length: 1, at_ms: 0, facts: vec![] };
        story.event(EventKind::Noted(Noted::Durable { node: "a".into(), sync: 99, entry: Arc::new(entry) }));
        let body = encode(&story.stored_message(0));
        let before = is_asked_before.then(|| story.read(0));
        story.event(EventKind::Node { node: "a".into(), event: "lost its disk".into() });
        for (term, index) in had {
            story.event(EventKind::Noted(Noted::Again { node: "a".into(), sync: 100, term, index }));
        }
        let call = before.unwrap_or_else(|| story.read(0));
        let fields = [("minOffset", "0"), ("maxOffset", "1"), ("holderTerm", "2"), ("topicEpoch", "1-1")];
        story.response(("a", "b", call), (code::PULL, 0), &fields, &body);
        let found = story.judge().violations;
        found.iter().filter(|it| it.promise == "P9" && it.detail.contains("and hears term")).count()
    }

    #[test]
    fn a_term_that_is_lost_with_its_disk_was_there_until_then() {
        assert_eq!([names_a_lost_term(true), names_a_lost_term(false)], [0, 1]);
    }

    #[test]
    fn what_is_told_of_a_queue_is_so() {
        assert_eq!(with("", ""), 0);
        assert_eq!(with("holderTerm", "2"), 1);
        assert_eq!(with("topicEpoch", "1-2"), 1);
        assert_eq!((with("maxOffset", "0"), with("maxOffset", "2"), with("minOffset", "1")), (1, 1, 1));
        let silent = blamed(&[("minOffset", "0"), ("maxOffset", "1")]);
        assert_eq!(silent.len(), 2, "neither a term nor an epoch: {silent:?}");
        assert_eq!(blamed(&[]).len(), 0, "an answer that tells of no queue");
    }
}
