//! What brokers tell a name server, and what it answers: the JSON bodies of registration and routes.
//!
//! Members are declared in alphabetical order, which is RocketMQ's order on the wire.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{json_keys::quote_integer_keys, topic::TopicConfig};

/// The id of a group's master.
pub const MASTER_ID: i64 = 0;

/// Permission bit of a queue: messages may be written.
pub const PERM_WRITE: i32 = 1 << 1;

/// Version of a table (RocketMQ `DataVersion`). Ordered by state version, then counter, then time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Changes counted since the table began.
    pub counter: i64,
    /// Term of the state, raised when a broker's role changes.
    pub state_version: i64,
    /// When the table was last changed, Unix ms.
    pub timestamp: i64,
}

impl Ord for DataVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |version: &Self| (version.state_version, version.counter, version.timestamp);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for DataVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A broker's topics and their version (RocketMQ `TopicConfigSerializeWrapper`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Topics by name.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
}

/// Body of REGISTER_BROKER (RocketMQ `RegisterBrokerBody`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Addresses of the broker's filter servers.
    pub filter_server_list: Vec<String>,
    /// The broker's topics.
    pub topic_config_serialize_wrapper: TopicTable,
}

/// The members of one broker group (RocketMQ `BrokerData`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// Addresses by broker id.
    pub broker_addrs: BTreeMap<i64, String>,
    /// The group.
    pub broker_name: String,
    /// Its cluster.
    pub cluster: String,
    /// Whether a slave may act as master.
    pub enable_acting_master: bool,
    /// Zone of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

/// The queues of one topic in one broker group (RocketMQ `QueueData`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    /// The group.
    pub broker_name: String,
    /// Permission bits: 4 read, 2 write, 1 inherit.
    pub perm: i32,
    /// Queues to read.
    pub read_queue_nums: i32,
    /// Topic flags.
    pub topic_sys_flag: i32,
    /// Queues to write.
    pub write_queue_nums: i32,
}

/// Where a topic lives (RocketMQ `TopicRouteData`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRouteData {
    /// The groups that hold it.
    pub broker_datas: Vec<BrokerData>,
    /// Filter servers by broker address.
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// Order configuration, `broker:num;broker:num`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// Its queues in each group.
    pub queue_datas: Vec<QueueData>,
}

/// Everything a name server knows about brokers (RocketMQ `ClusterInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// Groups by name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Names of the groups of each cluster.
    pub cluster_addr_table: BTreeMap<String, BTreeSet<String>>,
}

/// The members of one group (RocketMQ `BrokerMemberGroup`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroup {
    /// Addresses by broker id; empty when the group is unknown.
    pub broker_addrs: BTreeMap<i64, String>,
    /// The group.
    pub broker_name: String,
    /// Its cluster.
    pub cluster: String,
}

/// Body of the answer to GET_BROKER_MEMBER_GROUP (RocketMQ `GetBrokerMemberGroupResponseBody`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroupBody {
    /// The members.
    pub broker_member_group: BrokerMemberGroup,
}

/// Reads one of these bodies, with or without quotes around integer keys.
///
/// # Errors
/// The text is not the JSON of a `T`.
pub fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&quote_integer_keys(json))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_route_of_the_java_code_is_read_and_written() {
        let json = r#"{"brokerDatas":[{"brokerAddrs":{"0":"1.2.3.4:10911","1":"1.2.3.5:10911"},"brokerName":"broker-a","cluster":"C","enableActingMaster":true}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#;
        let route: TopicRouteData = from_json(json.as_bytes()).unwrap();
        assert_eq!(route.broker_datas[0].broker_addrs[&1], "1.2.3.5:10911");
        assert_eq!(serde_json::to_string(&route).unwrap(), json);
        let unquoted = json.replace(r#""0":"#, "0:").replace(r#""1":"#, "1:");
        assert_eq!(from_json::<TopicRouteData>(unquoted.as_bytes()).unwrap(), route);
    }

    #[test]
    fn the_unquoted_member_group_of_the_java_code_is_read() {
        let json = br#"{"brokerMemberGroup":{"brokerAddrs":{0:"1.2.3.4:10911",1:"x:1"},"brokerName":"broker-a","cluster":"C"}}"#;
        let body: BrokerMemberGroupBody = from_json(json).unwrap();
        assert_eq!(body.broker_member_group.broker_addrs.keys().copied().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn the_registration_of_the_java_code_is_read() {
        let json = br#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":3,"stateVersion":0,"timestamp":5},"mappingDataVersion":{"counter":0,"stateVersion":0,"timestamp":5},"topicConfigTable":{"t":{"attributes":{},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"t","topicSysFlag":0,"writeQueueNums":4}},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}}"#;
        let table = from_json::<RegisterBrokerBody>(json).unwrap().topic_config_serialize_wrapper;
        assert_eq!((table.data_version.counter, table.topic_config_table["t"].write_queue_nums), (3, 4));
    }

    #[test]
    fn versions_are_ordered_by_state_then_counter_then_time() {
        let version = |state_version, counter, timestamp| DataVersion { counter, state_version, timestamp };
        assert!(version(1, 0, 0) > version(0, 9, 9));
        assert!(version(0, 1, 0) > version(0, 0, 9));
        assert!(version(0, 0, 2) > version(0, 0, 1));
    }
}
