//! TEMP until the name server branch is merged.
#![allow(missing_docs)]
use super::topic::TopicConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
#[derive(Serialize, Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub struct DataVersion {
    pub counter: i64,
    pub state_version: i64,
    pub timestamp: i64,
}
#[derive(Serialize, Deserialize)]
pub struct RegisterBrokerBody {
    pub version: DataVersion,
    pub topics: BTreeMap<String, TopicConfig>,
}
impl RegisterBrokerBody {
    pub fn new(version: DataVersion, topics: BTreeMap<String, TopicConfig>) -> Self {
        Self { version, topics }
    }
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInfo {
    pub broker_addr_table: BTreeMap<String, BrokerData>,
}
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerData {
    pub broker_addrs: BTreeMap<i64, String>,
}
impl ClusterInfo {
    pub fn parse(b: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(b)
    }
}
