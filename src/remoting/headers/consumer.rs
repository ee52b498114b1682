//! Clients and their groups. (QUERY_ASSIGNMENT has no header, only a body.)

header! {
    /// UNREGISTER_CLIENT (RocketMQ `UnregisterClientRequestHeader`).
    pub struct UnregisterClientHeader {
        /// The client that leaves.
        client_id: String = "clientID",
        /// Producer group it leaves.
        producer_group: Option<String> = "producerGroup",
        /// Consumer group it leaves.
        consumer_group: Option<String> = "consumerGroup",
    }
}

header! {
    /// GET_CONSUMER_LIST_BY_GROUP (RocketMQ `GetConsumerListByGroupRequestHeader`).
    pub struct GetConsumerListByGroupHeader {
        /// Group asked about.
        consumer_group: String = "consumerGroup",
    }
}

header! {
    /// NOTIFY_CONSUMER_IDS_CHANGED (RocketMQ `NotifyConsumerIdsChangedRequestHeader`).
    pub struct NotifyConsumerIdsChangedHeader {
        /// Group that changed.
        consumer_group: String = "consumerGroup",
    }
}

header! {
    /// Answer to HEART_BEAT.
    pub struct HeartbeatResponseHeader {
        /// Whether heartbeats by fingerprint are understood.
        supports_v2: bool = "IS_SUPPORT_HEART_BEAT_V2",
        /// Whether the subscriptions differ from those known.
        sub_changed: bool = "IS_SUB_CHANGE",
    }
}
