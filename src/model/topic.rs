//! Topic and group names, and the configuration of a topic (RocketMQ `TopicValidator`, `KeyBuilder`, `TopicConfig`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// Prefix of retry topics.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of dead-letter topics.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Prefix of the revive topic; the cluster name follows.
pub const REVIVE_PREFIX: &str = "rmq_sys_REVIVE_LOG_";
/// Prefix of system topics.
pub const SYSTEM_PREFIX: &str = "rmq_sys_";
/// Between group and topic in a retry topic of the first form.
pub const RETRY_SEPARATOR_V1: char = '_';
/// Between group and topic in a retry topic of the second form.
pub const RETRY_SEPARATOR_V2: char = '+';
/// Consumer group under which revive keeps its offsets.
pub const REVIVE_GROUP: &str = "CID_RMQ_SYS_REVIVE_GROUP";
/// Topic of messages that wait in the timer wheel.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// Template of topics that are created on first use.
pub const DEFAULT_TOPIC: &str = "TBW102";
/// Queues of the revive topic.
pub const REVIVE_QUEUE_COUNT: u32 = 8;
/// Longest name of an ordinary topic.
pub const TOPIC_LENGTH_MAX: usize = 127;
/// Longest name of a retry or dead-letter topic.
pub const RETRY_TOPIC_LENGTH_MAX: usize = 255;
/// Longest name of a group.
pub const GROUP_LENGTH_MAX: usize = 120;

/// System topics a client must not send to.
const NOT_SENDABLE: [&str; 6] = [
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];
/// System topics a client may send to, beside those with [`SYSTEM_PREFIX`].
const SENDABLE_SYSTEM: [&str; 3] = [DEFAULT_TOPIC, "BenchmarkTest", "RMQ_SYS_TRACE_TOPIC"];

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing but white space.
    #[error("the name is blank")]
    Blank,
    /// Too long.
    #[error("the name has {length} bytes, at most {max} are allowed")]
    TooLong {
        /// Length of the name in bytes.
        length: usize,
        /// Longest length allowed.
        max: usize,
    },
    /// A character outside `% | a-z A-Z 0-9 _ -`.
    #[error("the name holds {character:?} at byte {position}, only % | a-z A-Z 0-9 _ - are allowed")]
    BadCharacter {
        /// The first such character.
        character: char,
        /// Its position in bytes.
        position: usize,
    },
}

/// Retry topic of the first form, which RocketMQ writes by default.
pub fn retry_topic_v1(group: &str, topic: &str) -> String {
    format!("{RETRY_PREFIX}{group}{RETRY_SEPARATOR_V1}{topic}")
}

/// Retry topic of the second form.
pub fn retry_topic_v2(group: &str, topic: &str) -> String {
    format!("{RETRY_PREFIX}{group}{RETRY_SEPARATOR_V2}{topic}")
}

/// Dead-letter topic of a group.
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// Revive topic of a cluster.
pub fn revive_topic(cluster: &str) -> String {
    format!("{REVIVE_PREFIX}{cluster}")
}

/// Whether the topic is a retry topic of any form.
pub fn is_retry(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX)
}

/// The topic whose messages a pop retry topic of this group holds; `None` when it is none of this group's.
///
/// RocketMQ cuts the first form by length alone; here the group must really be there.
pub fn normal_topic_of_retry(topic: &str, group: &str) -> Option<String> {
    let tail = topic.strip_prefix(RETRY_PREFIX)?.strip_prefix(group)?;
    let normal = tail.strip_prefix([RETRY_SEPARATOR_V1, RETRY_SEPARATOR_V2])?;
    (!normal.is_empty() && !normal.contains(RETRY_SEPARATOR_V2)).then(|| normal.to_owned())
}

/// Whether the topic belongs to the broker itself.
pub fn is_system(topic: &str) -> bool {
    topic.starts_with(SYSTEM_PREFIX) || NOT_SENDABLE.contains(&topic) || SENDABLE_SYSTEM.contains(&topic)
}

/// Whether clients may send to the topic. The revive topic is one they may.
pub fn is_sendable(topic: &str) -> bool {
    !NOT_SENDABLE.contains(&topic)
}

/// Checks the name of a topic a client sends to or creates. The `+` of a [`retry_topic_v2`] is refused, as in RocketMQ.
///
/// # Errors
/// When the name is blank, too long or holds a character that is not allowed.
pub fn check_topic_name(topic: &str) -> Result<(), NameError> {
    let is_long_kind = is_retry(topic) || topic.starts_with(DLQ_PREFIX);
    check_name(topic, if is_long_kind { RETRY_TOPIC_LENGTH_MAX } else { TOPIC_LENGTH_MAX })
}

/// Checks the name of a consumer or producer group.
///
/// # Errors
/// When the name is blank, too long or holds a character that is not allowed.
pub fn check_group_name(group: &str) -> Result<(), NameError> {
    check_name(group, GROUP_LENGTH_MAX)
}

fn check_name(name: &str, max: usize) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Blank);
    }
    if name.len() > max {
        return Err(NameError::TooLong { length: name.len(), max });
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "%|_-".contains(c);
    match name.char_indices().find(|(_, character)| !is_allowed(*character)) {
        Some((position, character)) => Err(NameError::BadCharacter { character, position }),
        None => Ok(()),
    }
}

/// What may be done with a topic; bits as in RocketMQ (8 priority, 4 read, 2 write, 1 inherit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Perm(pub u32);

impl Perm {
    /// Messages may be read.
    pub const READ: u32 = 4;
    /// Messages may be written.
    pub const WRITE: u32 = 2;
    /// Topics created on first use may take this one as their template.
    pub const INHERIT: u32 = 1;
    /// Read and write.
    pub const READ_WRITE: Self = Self(Self::READ | Self::WRITE);

    /// Whether messages may be read.
    pub fn is_readable(self) -> bool {
        self.0 & Self::READ != 0
    }

    /// Whether messages may be written.
    pub fn is_writable(self) -> bool {
        self.0 & Self::WRITE != 0
    }

    /// Whether the topic may serve as a template.
    pub fn is_inherited(self) -> bool {
        self.0 & Self::INHERIT != 0
    }
}

/// How many tags a message of a topic may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicFilterType {
    /// One tag.
    #[default]
    #[serde(rename = "SINGLE_TAG")]
    SingleTag,
    /// Several tags.
    #[serde(rename = "MULTI_TAG")]
    MultiTag,
}

/// Configuration of a topic, in the JSON form brokers register with. Missing members take RocketMQ's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfig {
    /// Further settings by name.
    #[serde(deserialize_with = "null_as_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Whether the order of messages matters more than availability.
    pub order: bool,
    /// What may be done with the topic.
    pub perm: Perm,
    /// Queues that consumers read.
    pub read_queue_nums: u32,
    /// How many tags a message may have.
    pub topic_filter_type: TopicFilterType,
    /// Name of the topic.
    pub topic_name: String,
    /// System flag bits.
    pub topic_sys_flag: i32,
    /// Queues that producers write.
    pub write_queue_nums: u32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm: Perm::READ_WRITE,
            read_queue_nums: 16,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

impl TopicConfig {
    /// A topic with as many queues to read as to write, for everybody.
    pub fn with_queues(name: &str, queues: u32) -> Self {
        Self { topic_name: name.into(), read_queue_nums: queues, write_queue_nums: queues, ..Self::default() }
    }
}

/// Reads a JSON null as an empty table.
pub(super) fn null_as_empty<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn retry_names_lead_back_to_the_topic() {
        assert_eq!(retry_topic_v1("g", "t"), "%RETRY%g_t");
        assert_eq!(retry_topic_v2("g", "t"), "%RETRY%g+t");
        assert_eq!(dlq_topic("g"), "%DLQ%g");
        assert_eq!(revive_topic("C"), "rmq_sys_REVIVE_LOG_C");
        for name in ["%RETRY%g_t", "%RETRY%g+t"] {
            assert_eq!(normal_topic_of_retry(name, "g").as_deref(), Some("t"));
            assert_eq!(normal_topic_of_retry(name, "h"), None);
        }
        for name in ["t", "%RETRY%g", "%RETRY%g_", "%RETRY%g+t+u"] {
            assert_eq!(normal_topic_of_retry(name, "g"), None, "{name}");
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(check_topic_name("%RETRY%g_t|A-9"), Ok(()));
        assert_eq!(check_topic_name(" "), Err(NameError::Blank));
        let plus = NameError::BadCharacter { character: '+', position: 8 };
        assert_eq!(check_topic_name("%RETRY%g+t"), Err(plus));
        assert_eq!(check_topic_name(&"t".repeat(127)), Ok(()));
        assert_eq!(check_topic_name(&"t".repeat(128)), Err(NameError::TooLong { length: 128, max: 127 }));
        assert_eq!(check_topic_name(&format!("%DLQ%{}", "t".repeat(250))), Ok(()));
        assert_eq!(check_group_name(&"g".repeat(121)), Err(NameError::TooLong { length: 121, max: 120 }));
    }

    #[test]
    fn system_topics_are_known() {
        assert!(is_system("rmq_sys_REVIVE_LOG_C") && is_sendable("rmq_sys_REVIVE_LOG_C"));
        assert!(is_system("SCHEDULE_TOPIC_XXXX") && !is_sendable("SCHEDULE_TOPIC_XXXX"));
        assert!(!is_system("t") && is_sendable("t"));
    }

    #[test]
    fn verified_configuration() {
        let text = r#"{"attributes":{},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"t","topicSysFlag":0,"writeQueueNums":4}"#;
        let config: TopicConfig = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
        assert!(config.perm.is_readable() && config.perm.is_writable() && !config.perm.is_inherited());
        let sparse: TopicConfig = serde_json::from_str(r#"{"topicName":"t","attributes":null,"new":1}"#).unwrap();
        assert_eq!(sparse, TopicConfig { topic_name: "t".into(), ..TopicConfig::default() });
    }
}
