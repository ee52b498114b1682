//! Typed headers: what the flat `ext` map of a command says, one struct per request or response.
//!
//! Missing or malformed fields are typed errors here; RocketMQ itself leaves them null and fails later.

#[macro_use]
mod field;

pub mod ack;
pub mod acting;
pub mod consumer;
pub mod namesrv;
pub mod offset;
pub mod pop;
pub mod pull;
pub mod replicate;
pub mod send;
pub mod topic;

use std::collections::BTreeMap;

pub use ack::{AckMessageHeader, ChangeInvisibleHeader, ChangeInvisibleResponseHeader};
pub use acting::{
    LeaseHeader, LeaseResponseHeader, ListActedHeader, ListActedResponseHeader, ListTakenTimersHeader,
    ListTakenTimersResponseHeader, MergedHeader, SealHeader, SealResponseHeader, TakeTimersHeader, VoteHeader,
    VoteResponseHeader,
};
pub use consumer::{
    GetConsumerListByGroupHeader, HeartbeatResponseHeader, NotifyConsumerIdsChangedHeader, UnregisterClientHeader,
};
pub use field::HeaderError;
pub use namesrv::{
    BrokerHeartbeatHeader, GetBrokerMemberGroupHeader, GetRouteInfoHeader, QueryDataVersionHeader,
    QueryDataVersionResponseHeader, RegisterBrokerHeader, RegisterBrokerResponseHeader, UnregisterBrokerHeader,
};
pub use offset::{
    GetMaxOffsetHeader, GetMinOffsetHeader, OffsetResponseHeader, QueryConsumerOffsetHeader, ResetOffsetHeader,
    UpdateConsumerOffsetHeader, ViewMessageHeader,
};
pub use pop::{
    NotificationHeader, NotificationResponseHeader, PollingInfoHeader, PollingInfoResponseHeader, PopMessageHeader,
    PopMessageResponseHeader,
};
pub use pull::{PullMessageHeader, PullMessageResponseHeader};
pub use replicate::{ReplicateHeader, ReplicateResponseHeader};
pub use send::{SendMessageHeader, SendMessageResponseHeader};
pub use topic::{CreateTopicHeader, DeleteTopicHeader};

/// The header fields of one kind of command.
pub trait Header: Sized {
    /// Adds the fields to `ext`; an absent optional field adds nothing.
    fn write(&self, ext: &mut BTreeMap<String, String>);

    /// Reads the fields from `ext`; keys it does not know are ignored.
    ///
    /// # Errors
    /// A required field is missing, or a field's text is not of its type.
    fn read(ext: &BTreeMap<String, String>) -> Result<Self, HeaderError>;
}
