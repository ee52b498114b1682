//! The configuration of a consumer group (RocketMQ `SubscriptionGroupConfig`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::topic::null_as_empty;

/// Configuration of a consumer group, in the JSON form of RocketMQ. Missing members take its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupConfig {
    /// Further settings by name.
    #[serde(deserialize_with = "null_as_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Broker id consumers are sent to, normally the master's 0.
    pub broker_id: i64,
    /// Whether broadcast consumers are served.
    pub consume_broadcast_enable: bool,
    /// Whether consumers are served at all.
    pub consume_enable: bool,
    /// Whether a new consumer may start at the smallest offset.
    pub consume_from_min_enable: bool,
    /// Whether messages are consumed in order.
    pub consume_message_orderly: bool,
    /// How long a client may take for a message, minutes.
    pub consume_timeout_minute: i32,
    /// Name of the group.
    pub group_name: String,
    /// How retries are spaced; kept as it came, for tools that show it.
    pub group_retry_policy: Value,
    /// System flag bits.
    pub group_sys_flag: i32,
    /// Whether clients hear about changes of the group's members.
    pub notify_consumer_ids_changed_enable: bool,
    /// Deliveries of a message beyond the first before it becomes a dead letter.
    pub retry_max_times: i32,
    /// Queues of the group's retry topics.
    pub retry_queue_nums: u32,
    /// Broker id slow consumers are sent to.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: json!({"type": "CUSTOMIZED"}),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            which_broker_when_consume_slowly: 1,
        }
    }
}

impl SubscriptionGroupConfig {
    /// A group with RocketMQ's defaults.
    pub fn named(name: &str) -> Self {
        Self { group_name: name.into(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn verified_configuration() {
        let text = r#"{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"g","groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}"#;
        let config: SubscriptionGroupConfig = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
        let sparse: SubscriptionGroupConfig = serde_json::from_str(r#"{"groupName":"g","new":[1]}"#).unwrap();
        assert_eq!(sparse, config);
    }
}
