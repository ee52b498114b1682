//! Acknowledging and renewing popped messages.

header! {
    /// ACK_MESSAGE (RocketMQ `AckMessageRequestHeader`).
    pub struct AckMessageHeader {
        /// Who popped.
        consumer_group: String = "consumerGroup",
        /// The real topic: the retry topic when the message came from it.
        topic: String = "topic",
        /// Queue of the message.
        queue_id: i32 = "queueId",
        /// The receipt handle.
        extra_info: String = "extraInfo",
        /// Queue offset of the message.
        offset: i64 = "offset",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// CHANGE_MESSAGE_INVISIBLETIME (RocketMQ `ChangeInvisibleTimeRequestHeader`).
    pub struct ChangeInvisibleHeader {
        /// Who popped.
        consumer_group: String = "consumerGroup",
        /// The real topic: the retry topic when the message came from it.
        topic: String = "topic",
        /// Queue of the message.
        queue_id: i32 = "queueId",
        /// The receipt handle.
        extra_info: String = "extraInfo",
        /// Queue offset of the message.
        offset: i64 = "offset",
        /// How long it stays hidden from now, ms.
        invisible_time: i64 = "invisibleTime",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// Answer to a renewal (RocketMQ `ChangeInvisibleTimeResponseHeader`): the parts of the new handle.
    pub struct ChangeInvisibleResponseHeader {
        /// The new pop time, Unix ms.
        pop_time: i64 = "popTime",
        /// The new invisible time, ms.
        invisible_time: i64 = "invisibleTime",
        /// Revive queue of the new checkpoint.
        revive_qid: i32 = "reviveQid",
    }
}
