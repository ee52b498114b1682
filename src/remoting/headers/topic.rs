//! Topic administration. (UPDATE_AND_CREATE_SUBSCRIPTIONGROUP has no header, only a body.)

header! {
    /// UPDATE_AND_CREATE_TOPIC (RocketMQ `CreateTopicRequestHeader`).
    pub struct CreateTopicHeader {
        /// The topic.
        topic: String = "topic",
        /// Template topic.
        default_topic: String = "defaultTopic",
        /// Queues to read.
        read_queue_nums: i32 = "readQueueNums",
        /// Queues to write.
        write_queue_nums: i32 = "writeQueueNums",
        /// Permission bits: 4 read, 2 write, 1 inherit.
        perm: i32 = "perm",
        /// `SINGLE_TAG` or `MULTI_TAG`.
        topic_filter_type: String = "topicFilterType",
        /// Topic flags.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// Whether the topic is ordered.
        order: bool = "order" or false,
        /// Attribute changes, `+key=value,-key`.
        attributes: Option<String> = "attributes",
        /// Whether checks are skipped.
        force: Option<bool> = "force",
    }
}

header! {
    /// DELETE_TOPIC_IN_BROKER (RocketMQ `DeleteTopicRequestHeader`).
    pub struct DeleteTopicHeader {
        /// The topic.
        topic: String = "topic",
    }
}
