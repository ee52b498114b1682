//! Pop, and what long polls around it.

header! {
    /// POP_MESSAGE (RocketMQ `PopMessageRequestHeader`).
    pub struct PopMessageHeader {
        /// Who pops.
        consumer_group: String = "consumerGroup",
        /// The normal topic, never the retry topic.
        topic: String = "topic",
        /// Queue to pop; negative means all of this broker.
        queue_id: i32 = "queueId",
        /// Most messages wanted.
        max_msg_nums: i32 = "maxMsgNums",
        /// How long the messages stay hidden, ms.
        invisible_time: i64 = "invisibleTime",
        /// How long the broker may hold the request, ms; not positive means not at all.
        poll_time: i64 = "pollTime",
        /// When the client sent it by its clock, Unix ms; 0 stands for the broker's now.
        born_time: i64 = "bornTime" or 0,
        /// Where a new group starts: 0 at the minimum, 1 at the maximum.
        init_mode: i32 = "initMode",
        /// Kind of the filter expression.
        exp_type: Option<String> = "expType",
        /// Filter expression; empty or absent means all.
        exp: Option<String> = "exp",
        /// Whether to pop in order.
        order: bool = "order" or false,
        /// Repeats an earlier ordered attempt.
        attempt_id: Option<String> = "attemptId",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// Answer to a pop (RocketMQ `PopMessageResponseHeader`).
    pub struct PopMessageResponseHeader {
        /// When the messages were popped by the broker's clock, Unix ms.
        pop_time: i64 = "popTime",
        /// How long they stay hidden, ms.
        invisible_time: i64 = "invisibleTime",
        /// Revive queue of their checkpoints.
        revive_qid: i32 = "reviveQid",
        /// Messages left to pop, about.
        rest_num: i64 = "restNum",
        /// First offset per queue.
        start_offset_info: Option<String> = "startOffsetInfo",
        /// All offsets per queue.
        msg_offset_info: Option<String> = "msgOffsetInfo",
        /// Consume counts of ordered messages.
        order_count_info: Option<String> = "orderCountInfo",
    }
}

header! {
    /// NOTIFICATION (RocketMQ `NotificationRequestHeader`).
    pub struct NotificationHeader {
        /// Who waits.
        consumer_group: String = "consumerGroup",
        /// Topic waited on.
        topic: String = "topic",
        /// Queue waited on; negative means all.
        queue_id: i32 = "queueId",
        /// How long the broker may hold the request, ms.
        poll_time: i64 = "pollTime",
        /// When the client sent it by its clock, Unix ms.
        born_time: i64 = "bornTime",
        /// Whether the coming pop is ordered.
        order: bool = "order" or false,
        /// Repeats an earlier ordered attempt.
        attempt_id: Option<String> = "attemptId",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// Answer to a notification (RocketMQ `NotificationResponseHeader`).
    pub struct NotificationResponseHeader {
        /// Whether there is something to pop.
        has_msg: bool = "hasMsg",
        /// Whether there was no room to wait.
        polling_full: bool = "pollingFull",
    }
}

header! {
    /// POLLING_INFO (RocketMQ `PollingInfoRequestHeader`).
    pub struct PollingInfoHeader {
        /// Who waits.
        consumer_group: String = "consumerGroup",
        /// Topic waited on.
        topic: String = "topic",
        /// Queue waited on.
        queue_id: i32 = "queueId",
        /// Broker group the caller means.
        bname: Option<String> = "bname",
    }
}

header! {
    /// Answer to POLLING_INFO (RocketMQ `PollingInfoResponseHeader`).
    pub struct PollingInfoResponseHeader {
        /// Long polls waiting.
        polling_num: i32 = "pollingNum",
    }
}
