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
        if !sabotage!("dead-without-origin") {
            message.properties.set(names::DLQ_ORIGIN_MESSAGE_ID, original.offset_id());
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{chain::ChainId, properties::Properties},
        revive::samples::{OWN, POPPED_MS, chain, message, store_host},
    };

    const NOW_MS: i64 = POPPED_MS + 61_000;

    fn copy(original: &Message, chain: &Chain) -> Copy {
        copy_of(original, chain, store_host(), NOW_MS)
    }

    #[test]
    fn the_limit_makes_a_dead_letter() {
        let at = |reconsume_times| {
            let original = Message { reconsume_times, ..message() };
            copy(&original, &Chain { reconsume_limit: 3, ..chain(OWN) })
        };
        assert_eq!((at(2).dead_letter, at(2).message.topic), (false, "%RETRY%g_t".to_owned()));
        let dead = at(3);
        assert_eq!((dead.dead_letter, dead.message.topic.as_str()), (true, "%DLQ%g"));
        assert_eq!(dead.message.properties.get(names::DLQ_ORIGIN_TOPIC), Some("t"));
        let origin = message().offset_id();
        assert_eq!(dead.message.properties.get(names::DLQ_ORIGIN_MESSAGE_ID), Some(origin.as_str()));
    }

    /// Known defect A24.
    #[test]
    fn a_retry_of_a_retry_stays_in_its_topic_in_either_spelling() {
        for topic in ["%RETRY%g_t", "%RETRY%g+t"] {
            let mut chain = chain(OWN);
            chain.id.topic = topic.into();
            let mut original = Message { topic: topic.into(), reconsume_times: 4, ..message() };
            original.properties.set(names::FIRST_POP_TIME, "7");
            let copy = copy(&original, &chain).message;
            assert_eq!((copy.topic.as_str(), copy.reconsume_times), (topic, 5));
            assert_eq!(copy.properties.get(names::FIRST_POP_TIME), Some("7"), "the first pop, not the last");
        }
    }

    prop_compose! {
        fn originals()(
            (flag, sys_flag, queue_id, reconsume_times) in (any::<i32>(), any::<i32>(), 0..8i32, 0..20i32),
            (queue_offset, physical_offset, born_timestamp) in (0..i64::MAX, 0..i64::MAX, any::<i64>()),
            body in any::<Vec<u8>>(),
            pairs in proptest::collection::btree_map("[A-Za-z_]{1,12}", "[^\u{1}\u{2}]{1,12}", 0..6),
        ) -> Message {
            let mut properties = Properties::new();
            pairs.into_iter().for_each(|(name, value)| properties.set(name, value));
            properties.set(names::POP_CK, "0 1 2 3 0 b 0 0");
            Message {
                flag, sys_flag, queue_id, reconsume_times, queue_offset, physical_offset, born_timestamp,
                body: body.into(), properties, ..message()
            }
        }
    }

    /// The original, with the differences that the promise of identity allows put in.
    fn allowed(original: &Message, copy: &Message) -> Message {
        let mut expected = original.clone();
        for name in [names::FIRST_POP_TIME, names::POP_CK, names::DLQ_ORIGIN_TOPIC, names::DLQ_ORIGIN_MESSAGE_ID] {
            expected.properties.remove(name);
            if let Some(value) = copy.properties.get(name) {
                expected.properties.set(name, value);
            }
        }
        Message {
            topic: copy.topic.clone(),
            queue_id: 0,
            queue_offset: copy.queue_offset,
            physical_offset: copy.physical_offset,
            store_host: store_host(),
            store_timestamp: NOW_MS,
            reconsume_times: original.reconsume_times + 1,
            prepared_transaction_offset: 0,
            ..expected
        }
    }

    proptest! {
        #[test]
        fn nothing_differs_but_what_is_listed(original in originals(), limit in 0..20i32) {
            let chain = Chain { reconsume_limit: limit, ..chain(OWN) };
            let copied = copy(&original, &chain);
            prop_assert_eq!(&copied.message, &allowed(&original, &copied.message));
            prop_assert_eq!(copied.message.properties.get(names::POP_CK), None);
            prop_assert!(copied.message.properties.get(names::FIRST_POP_TIME).is_some());
        }

        #[test]
        fn a_message_read_remotely_becomes_the_same_copy(original in originals()) {
            let chain = Chain { id: ChainId { broker: "broker-z".into(), ..chain(OWN).id }, ..chain(OWN) };
            let local = Message::decode(&mut original.encode().unwrap()).unwrap();
            let remote = Message::decode(&mut local.encode().unwrap()).unwrap();
            prop_assert_eq!(copy(&local, &chain), copy(&remote, &chain));
        }
    }
}
