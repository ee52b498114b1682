//! The copy that a revived message becomes.

use std::net::SocketAddr;

use crate::{
    model::{
        chain::Chain,
        message::Message,
        names,
        topic::{dlq_topic, is_retry, retry_topic_v1},
    },
    sabotage,
};

/// A copy, and whether it goes to the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The message to append; its topic and queue are set, its offsets are not.
    pub message: Message,
    /// The reconsume limit was reached.
    pub dead_letter: bool,
}

/// Makes the retry copy, or the dead letter, of a popped message (`PopReviveService.reviveRetry`).
///
/// What may differ from the original is written down here and nowhere else: topic, queue, offsets, store host and time,
/// reconsume count + 1, and the properties `1ST_POP_TIME`, `POP_CK` and, for a dead letter, `DLQ_ORIGIN_TOPIC` and
/// `DLQ_ORIGIN_MESSAGE_ID`. A message that was read remotely becomes the same copy as one that was read locally.
#[must_use]
pub fn copy_of(original: &Message, chain: &Chain, store_host: SocketAddr, now_ms: i64) -> Copy {
    let mut message = original.clone();
    let dead_letter = original.reconsume_times >= chain.reconsume_limit;
    if original.reconsume_times == 0 || original.properties.get(names::FIRST_POP_TIME).is_none() {
        message.properties.set(names::FIRST_POP_TIME, chain.id.pop_time.to_string());
    }
    message.properties.remove(names::POP_CK);
    if dead_letter {
        message.properties.set(names::DLQ_ORIGIN_TOPIC, chain.id.topic.clone());
        message.properties.set(names::DLQ_ORIGIN_MESSAGE_ID, original.offset_id());
        message.topic = dlq_topic(&chain.id.group);
    } else if !is_retry(&chain.id.topic) {
        message.topic = retry_topic_v1(&chain.id.group, &chain.id.topic);
    }
    message.queue_id = 0;
    message.reconsume_times = original.reconsume_times.saturating_add(1);
    message.store_host = store_host;
    message.store_timestamp = now_ms;
    message.prepared_transaction_offset = 0;
    if sabotage!("copy-loses-body") {
        message.body.truncate(message.body.len() / 2);
    }
    Copy { message, dead_letter }
}
