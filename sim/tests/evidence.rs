//! The independent decoder understands every kind of record that the broker writes, in every state a chain can have.

#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use pop_revive::model::{
    Message, Properties, SubscriptionGroupConfig, TopicConfig,
    cause::{Cause, ReadFailure},
    chain::{
        Chain, ChainId, ChainState, CopyPlace, FailedAttempt, GoneProof, History, LogPosition, Outcome, ParkReason,
    },
    record::{ForgottenChain, LogEnd, LogEntry, Record, SetAside},
};
use pop_sim::evidence::{DiskScanner, Fact};

fn message() -> Bytes {
    let host = "10.0.0.1:10911".parse().unwrap();
    let mut properties = Properties::new();
    properties.set("TAGS", "A");
    let message = Message {
        topic: "t".into(),
        queue_id: 0,
        queue_offset: 7,
        physical_offset: 1,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_timestamp: 2,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: Bytes::from_static(b"<<p#1>> body"),
        properties,
    };
    message.encode().unwrap()
}

fn id() -> ChainId {
    let (broker, topic, group) = ("a".into(), "t".into(), "g".into());
    ChainId { broker, topic, queue: 0, offset: 7, group, pop_time: 5, term: 1 }
}

fn states() -> Vec<ChainState> {
    let place = || CopyPlace { topic: "%RETRY%g_t".into(), queue: 0, offset: 3 };
    let parked = |reason| ChainState::Parked { reason, at_ms: 9 };
    let ended = |outcome| ChainState::Ended { outcome, at_ms: 9 };
    vec![
        ChainState::Open { due_ms: 8 },
        ChainState::Moving { to: "b".into(), due_ms: 8, revive_ms: 9 },
        ChainState::Moved { to: "b".into() },
        parked(ParkReason::PolicyExhausted),
        parked(ParkReason::Permanent),
        parked(ParkReason::UnknownAt { broker: "b".into() }),
        ended(Outcome::Acked),
        ended(Outcome::Revived(place())),
        ended(Outcome::DeadLettered(place())),
        ended(Outcome::Gone(GoneProof::BelowMinimum { minimum: 8 })),
        ended(Outcome::Gone(GoneProof::TopicDeleted { at: LogPosition { term: 1, index: 8 } })),
        ended(Outcome::Reset),
        ended(Outcome::Gone(GoneProof::TopicRecreated { epoch: LogPosition { term: 1, index: 9 } })),
        ended(Outcome::Superseded(id())),
    ]
}

fn chain(state: ChainState) -> Chain {
    let mut history = History::default();
    for cause in [Cause::Timeout, Cause::WrongMessage { offset: 8 }, Cause::Code(1500)] {
        let failure = ReadFailure { cause, peer: "a@10.0.0.1:10911".into(), took_ms: 3 };
        history.push(FailedAttempt { round: 0, attempt: 1, at_ms: 6, failure });
    }
    Chain {
        id: id(),
        topic_epoch: LogPosition { term: 1, index: 1 },
        start_offset: 7,
        invisible_ms: 1000,
        reconsume_limit: 16,
        round: 1,
        hop: 1,
        generation: 1,
        attempt: 2,
        round_began_ms: Some(5),
        acted_for: None,
        resumed_ms: Some(1_700_000_000_500),
        failed_before: 1,
        state,
        history,
    }
}

fn records() -> Vec<Record> {
    let mut records = vec![
        Record::Topic { config: TopicConfig::with_queues("t", 4), epoch: LogPosition { term: 1, index: 1 } },
        Record::TopicDeleted {
            topic: "t".into(),
            epoch: LogPosition { term: 1, index: 1 },
            at: LogPosition { term: 1, index: 4 },
        },
        Record::OffsetReset { group: "g".into(), topic: "t".into(), queue: 0, offset: 3 },
        Record::Group { config: SubscriptionGroupConfig::named("g") },
        Record::Message { topic: "t".into(), queue: 0, offset: 7, stored: message() },
        Record::Timer { due_ms: 9, stored: message(), epoch: LogPosition::default() },
        Record::TimerFired { due_ms: 9, index: 1, record: 0 },
        Record::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: 8 },
        Record::EarlyAck { id: id(), until_ms: 9 },
        Record::EarlyAckDropped { id: id() },
        Record::Sent {
            topic: "t".into(),
            key: "K1".into(),
            queue: 0,
            offset: 7,
            message_id: "0A000001".into(),
            expires_ms: 9,
            epoch: LogPosition { term: 1, index: 1 },
        },
        Record::Expired { broker: "a".into(), before: 3, messages: 2, bytes: 200 },
        Record::Forgotten { chains: vec![ForgottenChain { since_ms: 9, id: id() }] },
        Record::Sealed { group: "a".into(), term: 2, member: 1, end: Some(LogEnd::default()) },
        Record::Sealed { group: "a".into(), term: 3, member: 0, end: None },
        Record::Merged { group: "a".into(), term: 3 },
        Record::SetAside(SetAside {
            tag: "ck".into(),
            body: Bytes::from_static(b"{"),
            reason: "no JSON".into(),
            at_ms: 9,
        }),
    ];
    records.extend(states().into_iter().map(|state| Record::Chain(Box::new(chain(state)))));
    records
}

#[test]
fn every_record_the_broker_writes_is_understood() {
    let entry = LogEntry { position: LogPosition { term: 1, index: 1 }, at_ms: 4, records: records() };
    let page = [vec![0; 100], entry.encode().unwrap(), vec![7; 100]].concat();
    let found = DiskScanner::default().scan(&[(4096, &page)]);
    assert_eq!(found.len(), 1, "the entry is found inside its page");
    assert_eq!((found[0].term, found[0].index, found[0].at_ms), (1, 1, 4));
    assert_eq!(found[0].facts.len(), entry.records.len());
    let unknown: Vec<&Fact> = found[0].facts.iter().filter(|fact| matches!(fact, Fact::Unknown(_))).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
