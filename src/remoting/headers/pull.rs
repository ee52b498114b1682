//! Reading messages by offset.

header! {
    /// PULL_MESSAGE and LITE_PULL_MESSAGE (RocketMQ `PullMessageRequestHeader`).
    pub struct PullMessageHeader {
        /// Who reads.
        consumer_group: String = "consumerGroup",
        /// Topic to read.
        topic: String = "topic",
        /// Queue to read.
        queue_id: i32 = "queueId",
        /// First offset wanted.
        queue_offset: i64 = "queueOffset",
        /// Most messages wanted.
        max_msg_nums: i32 = "maxMsgNums",
        /// Bits: 1 commit offset, 2 suspend, 4 subscription given, 8 class filter, 16 lite pull.
        sys_flag: i32 = "sysFlag",
        /// Offset to commit when bit 1 is set.
        commit_offset: i64 = "commitOffset",
        /// How long the broker may hold the request, ms.
        suspend_timeout_millis: i64 = "suspendTimeoutMillis",
        /// Filter expression when bit 4 is set.
        subscription: Option<String> = "subscription",
        /// Version of the subscription.
        sub_version: i64 = "subVersion",
        /// `TAG` (default) or `SQL92`.
        expression_type: Option<String> = "expressionType",
        /// Most bytes wanted; RocketMQ accepts and ignores it.
        max_msg_bytes: Option<i32> = "maxMsgBytes",
        /// Kind of the caller: -1 SDK, 0..2 proxy.
        request_source: Option<i32> = "requestSource",
        /// Client behind a proxy; the key is misspelt on the wire.
        proxy_forward_client_id: Option<String> = "proxyFrowardClientId",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// Answer to a pull (RocketMQ `PullMessageResponseHeader`).
    pub struct PullMessageResponseHeader {
        /// Broker id to ask next.
        suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        /// Offset to ask for next.
        next_begin_offset: i64 = "nextBeginOffset",
        /// First offset of the queue.
        min_offset: i64 = "minOffset",
        /// Offset after the last message of the queue.
        max_offset: i64 = "maxOffset",
        /// Shift between logical and physical offsets of a static topic.
        offset_delta: Option<i64> = "offsetDelta",
        /// The topic's flags.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// The group's flags.
        group_sys_flag: Option<i32> = "groupSysFlag",
        /// What forbids it: 1 broker, 2 group, 3 topic, 4 broadcasting, 5 subscription.
        forbidden_type: Option<i32> = "forbiddenType",
    }
}
