//! Committed offsets and the ends of a queue.

header! {
    /// QUERY_CONSUMER_OFFSET (RocketMQ `QueryConsumerOffsetRequestHeader`).
    pub struct QueryConsumerOffsetHeader {
        /// Whose offset.
        consumer_group: String = "consumerGroup",
        /// Topic asked about.
        topic: String = "topic",
        /// Queue asked about.
        queue_id: i32 = "queueId",
        /// Whether a queue never consumed may answer 0; absent means yes.
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// UPDATE_CONSUMER_OFFSET (RocketMQ `UpdateConsumerOffsetRequestHeader`).
    pub struct UpdateConsumerOffsetHeader {
        /// Whose offset.
        consumer_group: String = "consumerGroup",
        /// Topic consumed.
        topic: String = "topic",
        /// Queue consumed.
        queue_id: i32 = "queueId",
        /// Next offset to consume.
        commit_offset: i64 = "commitOffset",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// GET_MAX_OFFSET (RocketMQ `GetMaxOffsetRequestHeader`).
    pub struct GetMaxOffsetHeader {
        /// Topic asked about.
        topic: String = "topic",
        /// Queue asked about.
        queue_id: i32 = "queueId",
        /// Only committed messages; RocketMQ's broker ignores it.
        committed: Option<bool> = "committed",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// GET_MIN_OFFSET (RocketMQ `GetMinOffsetRequestHeader`).
    pub struct GetMinOffsetHeader {
        /// Topic asked about.
        topic: String = "topic",
        /// Queue asked about.
        queue_id: i32 = "queueId",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// Answer of the three offset queries.
    pub struct OffsetResponseHeader {
        /// The offset.
        offset: i64 = "offset",
    }
}

header! {
    /// INVOKE_BROKER_TO_RESET_OFFSET (RocketMQ `ResetOffsetRequestHeader`).
    pub struct ResetOffsetHeader {
        /// Whose offset.
        group: String = "group",
        /// Topic consumed.
        topic: String = "topic",
        /// The one queue; negative is all.
        queue_id: i32 = "queueId" or -1,
        /// The offset to go to, for one queue; absent or -1: `timestamp` says.
        offset: Option<i64> = "offset",
        /// Go to the first message stored at or after this time, Unix ms; negative is the end.
        timestamp: i64 = "timestamp",
        /// Whether clients that are connected are made to follow; a pop client follows by itself.
        is_force: bool = "isForce" or false,
    }
}

header! {
    /// VIEW_MESSAGE_BY_ID (RocketMQ `ViewMessageRequestHeader`).
    pub struct ViewMessageHeader {
        /// Topic of the message.
        topic: Option<String> = "topic",
        /// Commit-log offset of the message.
        offset: i64 = "offset",
    }
}
