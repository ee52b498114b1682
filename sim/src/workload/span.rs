//! Messages that a slave of Apache's hands out together: those of one read, with the checkpoint that stands for them.

use pop_revive::model::{AckBody, CheckpointBody, Message, ReceiptHandle, RetryFlag};

use super::{
    body::ledger_of,
    habits::{AckTime, Habits, PassedOn},
};
use crate::{
    history::Delivery,
    plan::NodeName,
    scenario::{ApacheSlave, Consumer, Group},
};

/// RocketMQ's number of revive queues, as handles of a file-mode broker name one.
const REVIVE_QUEUES: i32 = 8;

/// What is handed out of one queue in one go.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) queue: i32,
    /// Where the next read begins.
    pub(super) next: i64,
    /// When it was popped, Unix ms on the slave's clock.
    pub(super) pop_time: i64,
    pub(super) messages: Vec<Delivery>,
    invisible_ms: i64,
    /// Where the checkpoint begins to count.
    start: i64,
    /// The checkpoint is as very old brokers write it: its messages follow each other, and their distances are not told.
    is_old: bool,
    of: NodeName,
    group: String,
    topic: String,
}

impl Span {
    /// What a read from `from` brought, which is not nothing; in the old form if it can be told in it.
    pub(super) fn new(
        (spec, group, slave): (&Consumer, &Group, &ApacheSlave),
        (queue, from, next): (i32, i64, i64),
        pop_time: i64,
        messages: Vec<Message>,
        wants_old: bool,
    ) -> Self {
        let first = messages.first().map_or(from, |message| message.queue_offset);
        let follows = |(message, offset): (&Message, i64)| message.queue_offset == offset;
        let is_old = wants_old && messages.iter().zip(first..).all(follows);
        let mut span = Self {
            queue,
            next,
            pop_time,
            messages: Vec::new(),
            invisible_ms: i64::try_from(spec.invisible_ms).unwrap_or(i64::MAX),
            start: if is_old { first } else { from },
            is_old,
            of: slave.slave_of.clone(),
            group: group.name.clone(),
            topic: group.topic.clone(),
        };
        span.messages = messages.into_iter().map(|message| span.delivery(message)).collect();
        span
    }

    fn delivery(&self, message: Message) -> Delivery {
        let handle = ReceiptHandle {
            start_offset: self.start,
            pop_time: self.pop_time,
            invisible_time: self.invisible_ms,
            revive_queue: self.queue.rem_euclid(REVIVE_QUEUES),
            retry: RetryFlag::Normal,
            broker: self.of.clone(),
            queue_id: self.queue,
            offset: message.queue_offset,
            commit_log_offset: None,
        };
        Delivery {
            ledger: ledger_of(&message.body),
            handle: handle.to_string(),
            topic: message.topic,
            queue: self.queue,
            offset: message.queue_offset,
            reconsume: message.reconsume_times,
            body: message.body,
            properties: message.properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// When what is not acked is due, Unix ms.
    pub(super) const fn revive_ms(&self) -> i64 {
        self.pop_time.saturating_add(self.invisible_ms)
    }

    /// The messages whose ack is passed on so.
    pub(super) fn acked(&self, habits: &Habits, how: PassedOn) -> Vec<Delivery> {
        let is_so = |it: &&Delivery| habits.fate(it).ack == AckTime::InTime && habits.passed_on(it) == how;
        self.messages.iter().filter(is_so).cloned().collect()
    }

    /// The messages that are acked when it is too late.
    pub(super) fn acked_late(&self, habits: &Habits) -> Vec<Delivery> {
        self.messages.iter().filter(|it| habits.fate(it).ack == AckTime::Late).cloned().collect()
    }

    /// The checkpoint as RocketMQ writes it, with these messages acked already.
    pub(super) fn checkpoint(&self, acked: &[Delivery]) -> CheckpointBody {
        let is_acked = |it: &Delivery| acked.iter().any(|other| other.offset == it.offset);
        let bits = self.messages.iter().enumerate().filter(|(_, it)| is_acked(it));
        let distance = |it: &Delivery| i32::try_from(it.offset - self.start).unwrap_or(i32::MAX);
        CheckpointBody {
            bit_map: bits.fold(0, |map, (index, _)| map | 1 << index),
            broker_name: Some(self.of.clone()),
            consumer_group: self.group.clone(),
            differences: if self.is_old { Vec::new() } else { self.messages.iter().map(distance).collect() },
            invisible_time: self.invisible_ms,
            count: u8::try_from(self.messages.len()).unwrap_or(u8::MAX),
            pop_time: self.pop_time,
            queue_id: self.queue,
            revive_offset: 0,
            re_put: None,
            start_offset: self.start,
            topic: self.topic.clone(),
            extension: None,
        }
    }

    /// The ack of a message that was handed out just before, and not here: its checkpoint is lost.
    pub(super) fn stray_ack(&self) -> AckBody {
        let ack = self.ack(&self.messages[..1]);
        AckBody { pop_time: self.pop_time.saturating_sub(1), ..ack }
    }

    /// The ack of some messages: of one, or a batch.
    pub(super) fn ack(&self, messages: &[Delivery]) -> AckBody {
        let offsets: Vec<i64> = messages.iter().map(|it| it.offset).collect();
        let (ack_offset, ack_offset_list) = match offsets[..] {
            [offset] => (offset, None),
            _ => (-1, Some(offsets)),
        };
        AckBody {
            ack_offset,
            ack_offset_list,
            broker_name: Some(self.of.clone()),
            consumer_group: self.group.clone(),
            pop_time: self.pop_time,
            queue_id: self.queue,
            start_offset: self.start,
            topic: self.topic.clone(),
            term: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::workload::fake_broker::message;

    /// What a read of queue 3 from 100 brought: these offsets.
    fn span(offsets: &[i64], wants_old: bool) -> Span {
        let spec = Consumer { invisible_ms: 60_000, ..Consumer::default() };
        let group = Group { name: "g".into(), topic: "t".into(), ..Group::default() };
        let slave = ApacheSlave { slave_of: "broker-a".into(), keeps_at: "broker-b".into(), garbles: 0.0, strays: 0.0 };
        let messages = offsets.iter().map(|offset| message("t", 3, *offset, "<<p#1>>")).collect();
        Span::new((&spec, &group, &slave), (3, 100, 110), 1_700_000_000_000, messages, wants_old)
    }

    fn json(checkpoint: &CheckpointBody) -> String {
        String::from_utf8(checkpoint.to_json()).unwrap()
    }

    #[test]
    fn a_checkpoint_is_what_rocketmq_writes() {
        let span = span(&[100, 102], true);
        assert_eq!(
            json(&span.checkpoint(&span.messages[1..])),
            r#"{"bm":2,"bn":"broker-a","c":"g","d":[0,2],"it":60000,"n":2,"pt":1700000000000,"q":3,"reviveTime":1700000060000,"ro":0,"so":100,"t":"t"}"#
        );
        assert_eq!(span.messages[1].handle, "100 1700000000000 60000 3 0 broker-a 3 102");
    }

    #[test]
    fn the_old_form_begins_with_its_first_message() {
        let span = span(&[104, 105], true);
        assert_eq!(
            json(&span.checkpoint(&[])),
            r#"{"bm":0,"bn":"broker-a","c":"g","it":60000,"n":2,"pt":1700000000000,"q":3,"reviveTime":1700000060000,"ro":0,"so":104,"t":"t"}"#
        );
    }

    #[test]
    fn an_ack_is_of_one_message_or_a_batch() {
        let span = span(&[100, 102], false);
        let (one, both) = (span.ack(&span.messages[..1]), span.ack(&span.messages));
        assert_eq!((one.tag(), one.acked_offsets()), ("ack", vec![100]));
        assert_eq!((both.tag(), both.acked_offsets(), both.ack_offset), ("bAck", vec![100, 102], -1));
    }
}
