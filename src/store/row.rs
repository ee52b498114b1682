//! Rows of the derived tables: what each table holds, and its form on disk.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::{SentAs, StoreError};
use crate::model::{
    chain::{Chain, LogPosition},
    group::SubscriptionGroupConfig,
    record::{LogEnd, SetAside},
    topic::TopicConfig,
};

/// The derived tables; the number is the first byte of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Table {
    /// Topic → [`TopicRow`].
    Topics = 1,
    /// Consumer group → [`SubscriptionGroupConfig`].
    Groups = 2,
    /// Topic, queue → [`Bounds`].
    Bounds = 3,
    /// Topic, queue, offset → [`Place`](Row::Place) of the message.
    Queues = 4,
    /// Group, topic, queue → next offset.
    Offsets = 5,
    /// Chain id → [`Chain`].
    Chains = 6,
    /// Due, chain id: the chains with a next step.
    Due = 7,
    /// Chain id: the parked chains.
    Parked = 8,
    /// Due, log index, record: the delayed messages.
    Timers = 9,
    /// Chain id → until when the early ack waits.
    EarlyAcks = 10,
    /// Until, chain id: the early acks in the order in which they are given up.
    EarlyAcksUntil = 11,
    /// Log index, record → [`SetAside`].
    SetAside = 12,
    /// Expiry, topic, `UNIQ_KEY` → what a client's send was answered with.
    Sends = 13,
    /// Own broker, topic, queue, offset (as a chain's id begins) → [`Place`](Row::Place) of an expired message that live
    /// chains still need.
    Kept = 14,
    /// Log index → how many bodies in that entry must stay, whatever expires.
    Needed = 15,
    /// Log index: expired entries that nothing needs any more.
    Free = 16,
    /// Log indexes of which there is one each, by name.
    Marks = 17,
    /// Since when, chain id: the chains that are over.
    Over = 18,
    /// Broker → the latest pop time of the forgotten chains about its messages.
    Forgotten = 19,
    /// Topic that does not exist any more → the [`LogPosition`] of the entry that deleted it.
    DeletedTopics = 20,
    /// Group → the last term that one of its members has taken here.
    Sealed = 21,
    /// Group, chain id: the chains that acting members of a group have handed over since its master last merged.
    Acted = 22,
    /// Group → the last term that its master has merged.
    Merged = 23,
    /// Group → how the log of its member ended that took a term here to act, or the furthest of those ends.
    ActedEnds = 24,
    /// Group, due, log index, record (a [`TimerId`](crate::model::timer::TimerId)): the delayed messages that an acting member
    /// of a group has handed over since its master last merged → the term under which it was.
    TakenTimers = 25,
    /// Group → the last term that its master has taken here.
    MasterSealed = 26,
}

impl Table {
    /// All of them.
    pub(super) const ALL: [Self; 26] = [
        Self::Topics,
        Self::Groups,
        Self::Bounds,
        Self::Queues,
        Self::Offsets,
        Self::Chains,
        Self::Due,
        Self::Parked,
        Self::Timers,
        Self::EarlyAcks,
        Self::EarlyAcksUntil,
        Self::SetAside,
        Self::Sends,
        Self::Kept,
        Self::Needed,
        Self::Free,
        Self::Marks,
        Self::Over,
        Self::Forgotten,
        Self::DeletedTopics,
        Self::Sealed,
        Self::Acted,
        Self::Merged,
        Self::ActedEnds,
        Self::TakenTimers,
        Self::MasterSealed,
    ];

    /// Its name in error messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::Groups => "groups",
            Self::Bounds => "bounds",
            Self::Queues => "queues",
            Self::Offsets => "offsets",
            Self::Chains => "chains",
            Self::Due => "due",
            Self::Parked => "parked",
            Self::Timers => "timers",
            Self::EarlyAcks => "early-acks",
            Self::EarlyAcksUntil => "early-acks-until",
            Self::SetAside => "set-aside",
            Self::Sends => "sends",
            Self::DeletedTopics => "deleted-topics",
            Self::Kept => "kept",
            Self::Needed => "needed",
            Self::Free => "free",
            Self::Marks => "marks",
            Self::Over => "over",
            Self::Forgotten => "forgotten",
            Self::Sealed => "sealed",
            Self::Acted => "acted",
            Self::Merged => "merged",
            Self::ActedEnds => "acted-ends",
            Self::TakenTimers => "taken-timers",
            Self::MasterSealed => "master-sealed",
        }
    }
}

/// A topic as it stands in its table.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct TopicRow {
    /// Its configuration.
    pub config: TopicConfig,
    /// When it was created.
    pub epoch: LogPosition,
}

/// The span of a queue: `minimum <= offset < next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bounds {
    /// Lowest offset there is.
    pub minimum: i64,
    /// Offset the next message will get.
    pub next: i64,
}

/// A row's value. Which variant it is follows from the table.
#[derive(Debug, Clone)]
pub(super) enum Row {
    Topic(Arc<TopicRow>),
    Group(Arc<SubscriptionGroupConfig>),
    Bounds(Bounds),
    /// A record of the log: index, number in the entry.
    Place(u64, u32),
    Number(i64),
    Chain(Arc<Chain>),
    SetAside(Arc<SetAside>),
    Sent(Arc<SentAs>),
    Position(LogPosition),
    End(LogEnd),
    /// The key says it all.
    Mark,
}

impl Row {
    /// The row's bytes on disk.
    pub(super) fn pack(&self) -> Result<Vec<u8>, StoreError> {
        fn named<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
            Ok(rmp_serde::to_vec_named(value)?)
        }
        match self {
            Self::Topic(row) => named(&**row),
            Self::Group(config) => named(&**config),
            Self::Bounds(bounds) => named(bounds),
            Self::Place(index, record) => named(&(index, record)),
            Self::Number(number) => named(number),
            Self::Chain(chain) => named(&**chain),
            Self::SetAside(item) => named(&**item),
            Self::Sent(told) => named(&**told),
            Self::Position(position) => named(position),
            Self::End(end) => named(end),
            Self::Mark => Ok(Vec::new()),
        }
    }

    /// Reads what [`pack`](Self::pack) wrote.
    pub(super) fn unpack(table: Table, key: &[u8], bytes: &[u8]) -> Result<Self, StoreError> {
        fn read<T: DeserializeOwned>(table: Table, key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
            rmp_serde::from_slice(bytes).map_err(|cause| StoreError::Row {
                table: table.name(),
                key: String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned(),
                cause,
            })
        }
        Ok(match table {
            Table::Topics => Self::Topic(Arc::new(read(table, key, bytes)?)),
            Table::Groups => Self::Group(Arc::new(read(table, key, bytes)?)),
            Table::Bounds => Self::Bounds(read(table, key, bytes)?),
            Table::Queues | Table::Kept => {
                let (index, record) = read(table, key, bytes)?;
                Self::Place(index, record)
            }
            Table::Offsets
            | Table::EarlyAcks
            | Table::Needed
            | Table::Marks
            | Table::Forgotten
            | Table::Sealed
            | Table::Merged
            | Table::TakenTimers
            | Table::MasterSealed => Self::Number(read(table, key, bytes)?),
            Table::Chains => Self::Chain(Arc::new(read(table, key, bytes)?)),
            Table::SetAside => Self::SetAside(Arc::new(read(table, key, bytes)?)),
            Table::Sends => Self::Sent(Arc::new(read(table, key, bytes)?)),
            Table::DeletedTopics => Self::Position(read(table, key, bytes)?),
            Table::ActedEnds => Self::End(read(table, key, bytes)?),
            Table::Due
            | Table::Parked
            | Table::Timers
            | Table::EarlyAcksUntil
            | Table::Free
            | Table::Over
            | Table::Acted => Self::Mark,
        })
    }
}
