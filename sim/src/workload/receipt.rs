//! Receipt handles as a client makes them, and the messages of a pop answer that carry them.

use std::collections::BTreeMap;

use pop_revive::{
    model::{
        DecodeError, Message, PopInfoError, ReceiptHandle, RetryFlag, names,
        pop_info::{parse_msg_offset_info, parse_start_offset_info},
        topic::{is_retry, retry_topic_v1, retry_topic_v2},
    },
    remoting::{
        Command, HeaderError,
        headers::{ChangeInvisibleResponseHeader, PopMessageResponseHeader},
    },
};

use super::body::ledger_of;
use crate::history::Delivery;

/// Why the answer to a pop cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PopAnswerError {
    /// Its header lacks something.
    #[error("the header of the pop answer is unusable")]
    Header(#[from] HeaderError),
    /// Its body is no list of messages.
    #[error("the body of the pop answer is unusable")]
    Body(#[from] DecodeError),
    /// Its offset texts are malformed.
    #[error("the offsets of the pop answer are unusable")]
    Offsets(#[from] PopInfoError),
    /// Its offset texts do not tell about one of its messages.
    #[error("the pop answer gives no offset for message {nth} of queue {queue_id}, retry flag {retry}")]
    NoOffset {
        /// Kind of the topic that was read.
        retry: RetryFlag,
        /// Queue of the message.
        queue_id: i32,
        /// Which message of that queue, from 0.
        nth: usize,
    },
}

/// The messages of an answer to a pop of `group` and `topic` at `broker`.
///
/// A message that carries a handle keeps it; the handle of any other is made of the answer's header.
///
/// # Errors
/// The answer contradicts itself or cannot be read. None of it is used then, as a RocketMQ client would do.
pub fn deliveries(answer: &Command, group: &str, topic: &str, broker: &str) -> Result<Vec<Delivery>, PopAnswerError> {
    let messages = Message::decode_all(answer.body.clone())?;
    let mut maker = HandleMaker::new(answer.header()?, broker)?;
    messages.into_iter().map(|message| delivery(message, group, topic, &mut maker)).collect()
}

fn delivery(
    message: Message,
    group: &str,
    topic: &str,
    maker: &mut HandleMaker<'_>,
) -> Result<Delivery, PopAnswerError> {
    let handle = match message.properties.get(names::POP_CK) {
        Some(carried) => carried.to_owned(),
        None => maker.handle(&message)?.to_string(),
    };
    let parsed: Option<ReceiptHandle> = handle.parse().ok();
    let real_topic = match parsed.as_ref().map(|handle| handle.retry) {
        _ if is_retry(&message.topic) => message.topic,
        Some(RetryFlag::V1) => retry_topic_v1(group, topic),
        Some(RetryFlag::V2) => retry_topic_v2(group, topic),
        Some(RetryFlag::Normal) | None => message.topic,
    };
    Ok(Delivery {
        ledger: ledger_of(&message.body),
        topic: real_topic,
        queue: parsed.as_ref().map_or(message.queue_id, |handle| handle.queue_id),
        offset: parsed.as_ref().map_or(message.queue_offset, |handle| handle.offset),
        reconsume: message.reconsume_times,
        body: message.body,
        properties: message.properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        handle,
    })
}

/// The handle of a message after its renewal: its checkpoint holds this message alone.
pub fn renewed_handle(delivery: &Delivery, broker: &str, renewed: &ChangeInvisibleResponseHeader) -> String {
    let handle = ReceiptHandle {
        start_offset: delivery.offset,
        pop_time: renewed.pop_time,
        invisible_time: renewed.invisible_time,
        revive_queue: renewed.revive_qid,
        retry: RetryFlag::of_topic(&delivery.topic),
        broker: broker.to_owned(),
        queue_id: delivery.queue,
        offset: delivery.offset,
        commit_log_offset: None,
    };
    handle.to_string()
}

/// Makes handles for messages that carry none.
struct HandleMaker<'a> {
    header: PopMessageResponseHeader,
    broker: &'a str,
    /// Where the read of each queue began; empty when an old broker does not tell.
    starts: BTreeMap<(RetryFlag, i32), i64>,
    offsets: BTreeMap<(RetryFlag, i32), Vec<i64>>,
    served: BTreeMap<(RetryFlag, i32), usize>,
    first_offset: Option<i64>,
}

impl<'a> HandleMaker<'a> {
    fn new(header: PopMessageResponseHeader, broker: &'a str) -> Result<Self, PopInfoError> {
        let starts = parse_start_offset_info(header.start_offset_info.as_deref().unwrap_or_default())?;
        let offsets = parse_msg_offset_info(header.msg_offset_info.as_deref().unwrap_or_default())?;
        Ok(Self {
            broker,
            starts: starts.into_iter().map(|(retry, queue, start)| ((retry, queue), start)).collect(),
            offsets: offsets.into_iter().map(|(retry, queue, offsets)| ((retry, queue), offsets)).collect(),
            served: BTreeMap::new(),
            first_offset: None,
            header,
        })
    }

    fn handle(&mut self, message: &Message) -> Result<ReceiptHandle, PopAnswerError> {
        let key = (RetryFlag::of_topic(&message.topic), message.queue_id);
        let first_offset = *self.first_offset.get_or_insert(message.queue_offset);
        let (start_offset, offset) = match self.starts.is_empty() {
            true => (first_offset, message.queue_offset),
            false => self.told(key)?,
        };
        Ok(ReceiptHandle {
            start_offset,
            pop_time: self.header.pop_time,
            invisible_time: self.header.invisible_time,
            revive_queue: self.header.revive_qid,
            retry: key.0,
            broker: self.broker.to_owned(),
            queue_id: message.queue_id,
            offset,
            commit_log_offset: None,
        })
    }

    /// Start offset, and offset of the next message of this queue, as the header tells them.
    fn told(&mut self, key: (RetryFlag, i32)) -> Result<(i64, i64), PopAnswerError> {
        let served = self.served.entry(key).or_default();
        let nth = *served;
        *served += 1;
        let offset = self.offsets.get(&key).and_then(|offsets| offsets.get(nth));
        match (self.starts.get(&key), offset) {
            (Some(start), Some(offset)) => Ok((*start, *offset)),
            _ => Err(PopAnswerError::NoOffset { retry: key.0, queue_id: key.1, nth }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::workload::fake_broker::{message, pop_answer};

    fn handles(answer: &Command) -> Vec<(String, String, i32, i64)> {
        let read = deliveries(answer, "g", "t", "b").unwrap();
        read.into_iter().map(|delivery| (delivery.handle, delivery.topic, delivery.queue, delivery.offset)).collect()
    }

    #[test]
    fn handles_are_made_of_the_header_per_queue_and_flag() {
        let messages = [message("t", 3, 0, "a"), message("t", 0, 0, "b"), message("t", 3, 0, "c")];
        let answer = pop_answer(&messages, "0 3 100;0 0 7", "0 3 101,104;0 0 7");
        assert_eq!(
            handles(&answer),
            [
                ("100 1000 60000 2 0 b 3 101".into(), "t".into(), 3, 101),
                ("7 1000 60000 2 0 b 0 7".into(), "t".into(), 0, 7),
                ("100 1000 60000 2 0 b 3 104".into(), "t".into(), 3, 104),
            ]
        );
    }

    #[test]
    fn a_carried_handle_is_kept_and_tells_the_retry_topic() {
        for (flag, topic) in [("0", "t"), ("1", "%RETRY%g_t"), ("2", "%RETRY%g+t")] {
            let carried = format!("5 900 60000 4 {flag} b 0 6");
            let mut retried = message("t", 3, 9, "a");
            retried.properties.set(names::POP_CK, carried.clone());
            let answer = pop_answer(&[retried, message("t", 3, 0, "b")], "0 3 100", "0 3 100");
            let read = handles(&answer);
            assert_eq!(read[0], (carried, topic.into(), 0, 6));
            assert_eq!(read[1].3, 100, "a carried handle uses up no offset of the header");
        }
    }

    #[test]
    fn a_message_of_a_retry_topic_as_such_keeps_its_topic() {
        let answer = pop_answer(&[message("%RETRY%g+t", 0, 4, "a")], "2 0 4", "2 0 4");
        assert_eq!(handles(&answer), [("4 1000 60000 2 2 b 0 4".into(), "%RETRY%g+t".into(), 0, 4)]);
    }

    #[test]
    fn without_start_offsets_the_first_message_gives_it() {
        let answer = pop_answer(&[message("t", 3, 50, "a"), message("t", 3, 51, "b")], "", "");
        let read = handles(&answer);
        assert_eq!(read[0].0, "50 1000 60000 2 0 b 3 50");
        assert_eq!(read[1].0, "50 1000 60000 2 0 b 3 51");
    }

    #[test]
    fn offsets_that_do_not_tell_of_a_message_are_an_error() {
        let answer = pop_answer(&[message("t", 3, 0, "a"), message("t", 3, 0, "b")], "0 3 100", "0 3 100");
        let error = PopAnswerError::NoOffset { retry: RetryFlag::Normal, queue_id: 3, nth: 1 };
        assert_eq!(deliveries(&answer, "g", "t", "b"), Err(error));
    }
}
