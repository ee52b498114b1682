//! Brokers at the name server, and routes.

header! {
    /// REGISTER_BROKER (RocketMQ `RegisterBrokerRequestHeader`).
    pub struct RegisterBrokerHeader {
        /// Broker group.
        broker_name: String = "brokerName",
        /// Where the broker listens.
        broker_addr: String = "brokerAddr",
        /// Cluster of the group.
        cluster_name: String = "clusterName",
        /// Where the broker's replication listens.
        ha_server_addr: String = "haServerAddr",
        /// Id inside the group; 0 is the master.
        broker_id: i64 = "brokerId",
        /// How long the registration lives without a sign, ms.
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        /// Whether the group allows an acting master.
        enable_acting_master: Option<bool> = "enableActingMaster",
        /// Whether the body is compressed.
        compressed: bool = "compressed" or false,
        /// CRC-32 of the body without its top bit; 0 means unchecked.
        body_crc32: i32 = "bodyCrc32" or 0,
        /// Zone of the broker.
        zone_name: Option<String> = "__ZONE_NAME",
    }
}

header! {
    /// Answer to a registration (RocketMQ `RegisterBrokerResponseHeader`).
    pub struct RegisterBrokerResponseHeader {
        /// Replication address of the master, for slaves.
        ha_server_addr: Option<String> = "haServerAddr",
        /// Address of the master, for slaves.
        master_addr: Option<String> = "masterAddr",
    }
}

header! {
    /// UNREGISTER_BROKER (RocketMQ `UnRegisterBrokerRequestHeader`).
    pub struct UnregisterBrokerHeader {
        /// Broker group.
        broker_name: String = "brokerName",
        /// Where the broker listened.
        broker_addr: String = "brokerAddr",
        /// Cluster of the group.
        cluster_name: String = "clusterName",
        /// Id inside the group.
        broker_id: i64 = "brokerId",
    }
}

header! {
    /// BROKER_HEARTBEAT (RocketMQ `BrokerHeartbeatRequestHeader`).
    pub struct BrokerHeartbeatHeader {
        /// Cluster of the group.
        cluster_name: String = "clusterName",
        /// Where the broker listens.
        broker_addr: String = "brokerAddr",
        /// Broker group.
        broker_name: String = "brokerName",
        /// Id inside the group.
        broker_id: Option<i64> = "brokerId",
    }
}

header! {
    /// QUERY_DATA_VERSION (RocketMQ `QueryDataVersionRequestHeader`).
    pub struct QueryDataVersionHeader {
        /// Broker group.
        broker_name: String = "brokerName",
        /// Where the broker listens.
        broker_addr: String = "brokerAddr",
        /// Cluster of the group.
        cluster_name: String = "clusterName",
        /// Id inside the group.
        broker_id: i64 = "brokerId",
    }
}

header! {
    /// Answer to QUERY_DATA_VERSION (RocketMQ `QueryDataVersionResponseHeader`).
    pub struct QueryDataVersionResponseHeader {
        /// Whether the name server holds another version.
        changed: bool = "changed",
    }
}

header! {
    /// GET_ROUTEINFO_BY_TOPIC (RocketMQ `GetRouteInfoRequestHeader`).
    pub struct GetRouteInfoHeader {
        /// Topic asked about.
        topic: String = "topic",
        /// Whether the caller needs quoted keys; they are always written so here.
        accept_standard_json_only: Option<bool> = "acceptStandardJsonOnly",
    }
}

header! {
    /// GET_BROKER_MEMBER_GROUP (RocketMQ `GetBrokerMemberGroupRequestHeader`).
    pub struct GetBrokerMemberGroupHeader {
        /// Cluster of the group.
        cluster_name: String = "clusterName",
        /// Broker group.
        broker_name: String = "brokerName",
    }
}
