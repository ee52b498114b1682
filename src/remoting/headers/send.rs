//! Storing messages.

use std::collections::BTreeMap;

use super::{Header, HeaderError};

header! {
    /// SEND_MESSAGE, SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE (RocketMQ `SendMessageRequestHeader` and its V2).
    ///
    /// As a [`Header`] it has the V1 keys; `read_v2` and `write_v2` use the one-letter keys of V2.
    pub struct SendMessageHeader {
        /// The producer's group.
        producer_group: String = "producerGroup",
        /// Where to store.
        topic: String = "topic",
        /// Template for creating the topic, normally `TBW102`.
        default_topic: String = "defaultTopic",
        /// Queues of a topic created that way.
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        /// Target queue; negative lets the broker choose.
        queue_id: i32 = "queueId",
        /// Message system flags.
        sys_flag: i32 = "sysFlag",
        /// When the producer made the message, Unix ms.
        born_timestamp: i64 = "bornTimestamp",
        /// The user's flag.
        flag: i32 = "flag",
        /// Message properties in their string form.
        properties: Option<String> = "properties",
        /// How often the message was consumed in vain.
        reconsume_times: i32 = "reconsumeTimes" or 0,
        /// Unit mode.
        unit_mode: Option<bool> = "unitMode",
        /// Reconsume limit of the sending consumer.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
        /// Whether the body is a batch.
        batch: Option<bool> = "batch",
        /// Broker group the sender means.
        bname: Option<String> = "bname",
    }
}

/// V2 letter and V1 key of the same field.
const V2_KEYS: [(&str, &str); 14] = [
    ("a", "producerGroup"),
    ("b", "topic"),
    ("c", "defaultTopic"),
    ("d", "defaultTopicQueueNums"),
    ("e", "queueId"),
    ("f", "sysFlag"),
    ("g", "bornTimestamp"),
    ("h", "flag"),
    ("i", "properties"),
    ("j", "reconsumeTimes"),
    ("k", "unitMode"),
    ("l", "maxReconsumeTimes"),
    ("m", "batch"),
    ("n", "bname"),
];

impl SendMessageHeader {
    /// Reads the V1 keys.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn read_v1(ext: &BTreeMap<String, String>) -> Result<Self, HeaderError> {
        Self::read(ext)
    }

    /// Reads the V2 keys; the broker name may also come under its base key `bname`. Errors name the V1 key.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn read_v2(ext: &BTreeMap<String, String>) -> Result<Self, HeaderError> {
        let long_keys = V2_KEYS.iter().filter_map(|(letter, key)| {
            let value = ext.get(*letter).or_else(|| ext.get("bname").filter(|_| *key == "bname"))?;
            Some(((*key).to_owned(), value.clone()))
        });
        Self::read(&long_keys.collect())
    }

    /// Adds the fields under their V2 keys.
    pub fn write_v2(&self, ext: &mut BTreeMap<String, String>) {
        let mut long_keys = BTreeMap::new();
        self.write(&mut long_keys);
        for (letter, key) in V2_KEYS {
            if let Some(value) = long_keys.remove(key) {
                ext.insert(letter.to_owned(), value);
            }
        }
    }
}

header! {
    /// Answer to a stored message (RocketMQ `SendMessageResponseHeader`).
    pub struct SendMessageResponseHeader {
        /// The offset message id; comma-joined for a batch.
        msg_id: String = "msgId",
        /// The queue it went to.
        queue_id: i32 = "queueId",
        /// Its offset there.
        queue_offset: i64 = "queueOffset",
        /// The message's UNIQ_KEY.
        transaction_id: Option<String> = "transactionId",
        /// UNIQ_KEY of a batch.
        batch_uniq_id: Option<String> = "batchUniqId",
        /// Handle to recall a timer message.
        recall_handle: Option<String> = "recallHandle",
        /// The broker's region, for tracing.
        region: Option<String> = "MSG_REGION",
        /// Whether the client should trace.
        trace_on: Option<bool> = "TRACE_ON",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn sample() -> SendMessageHeader {
        SendMessageHeader {
            producer_group: "pg".into(),
            topic: "t".into(),
            default_topic: "TBW102".into(),
            queue_id: -1,
            born_timestamp: 5,
            properties: Some("k\u{1}v\u{2}".into()),
            bname: Some("broker-a".into()),
            ..SendMessageHeader::default()
        }
    }

    #[test]
    fn v2_uses_letters_only_and_reads_back() {
        let mut ext = BTreeMap::new();
        sample().write_v2(&mut ext);
        assert!(ext.keys().all(|key| key.len() == 1), "{ext:?}");
        assert_eq!(SendMessageHeader::read_v2(&ext).unwrap(), sample());
        assert_eq!(SendMessageHeader::read_v1(&ext), Err(HeaderError::Missing { field: "producerGroup" }));
    }

    #[test]
    fn v1_reads_back_and_v2_falls_back_to_the_base_broker_name() {
        let mut ext = BTreeMap::new();
        sample().write(&mut ext);
        assert_eq!(SendMessageHeader::read_v1(&ext).unwrap(), sample());
        let mut ext = BTreeMap::new();
        sample().write_v2(&mut ext);
        ext.remove("n");
        ext.insert("bname".into(), "base".into());
        assert_eq!(SendMessageHeader::read_v2(&ext).unwrap().bname.as_deref(), Some("base"));
    }

    #[test]
    fn the_letters_cover_every_field() {
        let full = SendMessageHeader {
            unit_mode: Some(false),
            max_reconsume_times: Some(16),
            batch: Some(true),
            reconsume_times: 3,
            ..sample()
        };
        let (mut v1, mut v2) = (BTreeMap::new(), BTreeMap::new());
        full.write(&mut v1);
        full.write_v2(&mut v2);
        assert_eq!((v1.len(), v2.len()), (V2_KEYS.len(), V2_KEYS.len()));
        assert_eq!(SendMessageHeader::read_v2(&v2).unwrap(), full);
    }
}
