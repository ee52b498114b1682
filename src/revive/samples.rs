//! A chain, a message and an engine to begin a test with.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;

use super::{Reviver, RewritePolicy, apply::Home};
use crate::model::{
    cause::{Cause, ReadFailure},
    chain::{Chain, ChainId, ChainState, History, LogPosition},
    message::Message,
    properties::Properties,
};

/// The broker of the tests.
pub(crate) const OWN: &str = "broker-a";
/// Its neighbour.
pub(crate) const OTHER: &str = "broker-b";
/// When every sample was popped, Unix ms.
pub(crate) const POPPED_MS: i64 = 1_700_000_000_000;
/// For how long it is invisible.
pub(crate) const INVISIBLE_MS: i64 = 60_000;
/// When it is due.
pub(crate) const DUE_MS: i64 = POPPED_MS + INVISIBLE_MS;

pub(crate) fn store_host() -> SocketAddr {
    "10.0.0.1:10911".parse().unwrap()
}

/// An open chain of message 0 in queue 0 of topic `t`, owned by `broker`, popped by group `g`.
pub(crate) fn chain(broker: &str) -> Chain {
    Chain {
        id: ChainId {
            broker: broker.into(),
            topic: "t".into(),
            queue: 0,
            offset: 0,
            group: "g".into(),
            pop_time: POPPED_MS,
            term: 1,
        },
        topic_epoch: LogPosition::default(),
        start_offset: 0,
        invisible_ms: INVISIBLE_MS,
        reconsume_limit: 16,
        round: 0,
        hop: 0,
        generation: 0,
        attempt: 0,
        round_began_ms: None,
        acted_for: None,
        resumed_ms: None,
        failed_before: 0,
        state: ChainState::Open { due_ms: DUE_MS },
        history: History::default(),
    }
}

/// The message of that chain.
pub(crate) fn message() -> Message {
    let mut properties = Properties::new();
    properties.set("TAGS", "A");
    properties.set("UNIQ_KEY", "key-1");
    properties.set("POP_CK", "0 1 2 3 0 b 0 0");
    Message {
        topic: "t".into(),
        queue_id: 0,
        queue_offset: 0,
        physical_offset: 77,
        flag: 9,
        sys_flag: 0,
        born_timestamp: 5,
        born_host: "127.0.0.1:1".parse().unwrap(),
        store_timestamp: 6,
        store_host: "10.0.0.9:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: Bytes::from_static(b"hello"),
        properties,
    }
}

pub(crate) fn failure(cause: Cause) -> ReadFailure {
    ReadFailure { cause, peer: OTHER.into(), took_ms: 3 }
}

/// Three rewrites, after 1, 2 and 4 seconds; an attempt takes 10 seconds at the most.
pub(crate) fn reviver() -> Reviver {
    let policy = RewritePolicy { waits_ms: vec![1000, 2000, 4000], rewrites: 3, ..RewritePolicy::default() };
    Reviver { own_broker: OWN.into(), policy, attempt_limit_ms: 10_000 }
}

pub(crate) fn home() -> Home {
    Home { broker: OWN.into(), store_host: store_host(), engine: Arc::new(reviver()) }
}
