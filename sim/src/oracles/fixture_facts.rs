//! Facts made by hand, as a broker's disk would tell them.

#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;

use crate::{
    evidence::{
        Cause, ChainFact, ChainId, ChainState, CopyPlace, Fact, FailedAttempt, Failure, Outcome, Position,
        StoredMessage, message as stored,
    },
    history::LedgerId,
};

/// Unix time at which every simulated clock begins, ms.
pub(crate) const EPOCH_MS: i64 = 1_700_000_000_000;

pub(crate) fn stamp(number: u32) -> LedgerId {
    LedgerId(format!("p#{number}").into())
}

pub(crate) fn at(ms: u64) -> i64 {
    EPOCH_MS + i64::try_from(ms).unwrap()
}

/// The message `number` as it is stored in a queue; each place has an id of its own.
pub(crate) fn message(topic: &str, offset: i64, number: u32, reconsume: i32) -> StoredMessage {
    let physical = topic.bytes().fold(offset, |so_far, byte| so_far.wrapping_mul(31).wrapping_add(byte.into()));
    StoredMessage {
        topic: topic.into(),
        queue: 0,
        offset,
        reconsume,
        body: Bytes::from(format!("<<p#{number}>>body")),
        properties: vec![("KEYS".into(), format!("k{number}")), ("TAGS".into(), "A".into())],
        born_timestamp: EPOCH_MS,
        born_host: "1.2.3.9:5".into(),
        flag: 3,
        sys_flag: 0,
        store_timestamp: EPOCH_MS,
        ledger: Some(stamp(number)),
        offset_id: format!("0102030400000006{physical:016X}"),
    }
}

/// The chain of broker `a`'s message in `t` at an offset, popped by `g` at `pop_ms`.
pub(crate) fn chain(topic: &str, offset: i64, pop_ms: u64) -> ChainFact {
    ChainFact {
        id: ChainId {
            broker: "a".into(),
            topic: topic.into(),
            queue: 0,
            offset,
            group: "g".into(),
            pop_time: at(pop_ms),
            term: 1,
        },
        epoch: Position { term: 1, index: 1 },
        invisible_ms: 10_000,
        reconsume_limit: 2,
        round: 0,
        hop: 0,
        generation: 0,
        attempt: 0,
        state: ChainState::Open { due_ms: at(pop_ms + 10_000) },
        failures: 0,
        acted_for: None,
        first_failed_ms: None,
        latest: Vec::new(),
    }
}

impl ChainFact {
    pub(crate) fn open(mut self, due_ms: u64) -> Self {
        self.state = ChainState::Open { due_ms: at(due_ms) };
        self
    }

    /// It is being handed over, and due there by this time.
    pub(crate) fn moving(mut self, to: &str, revive_ms: u64) -> Self {
        self.state = ChainState::Moving { to: to.into(), due_ms: at(revive_ms), revive_ms: at(revive_ms) };
        self
    }

    pub(crate) fn ended(mut self, outcome: Outcome) -> Self {
        self.state = ChainState::Ended { outcome, at_ms: EPOCH_MS };
        self
    }

    pub(crate) fn revived(self, topic: &str, offset: i64) -> Self {
        self.ended(Outcome::Revived(CopyPlace { topic: topic.into(), queue: 0, offset }))
    }

    pub(crate) fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    pub(crate) fn failed(mut self, cause: &str) -> Self {
        self.failures += 1;
        self.first_failed_ms.get_or_insert(EPOCH_MS);
        let cause = Cause { name: cause.into(), number: None };
        let failure = Failure { cause, peer: "a".into(), took_ms: 1 };
        self.latest.push(FailedAttempt { round: self.round, attempt: self.attempt, at_ms: EPOCH_MS, failure });
        self
    }

    pub(crate) fn fact(self) -> Fact {
        Fact::Chain(Box::new(self))
    }
}

/// A message as RocketMQ stores it, version 1.
pub(crate) fn encode(message: &StoredMessage) -> Vec<u8> {
    let pairs = message.properties.iter().map(|(name, value)| format!("{name}\u{1}{value}\u{2}"));
    let properties: String = pairs.collect();
    let mut record = (-626_843_481_i32).to_be_bytes().to_vec();
    record.extend((crc32fast::hash(&message.body) & 0x7fff_ffff).to_be_bytes());
    record.extend(message.queue.to_be_bytes());
    record.extend(message.flag.to_be_bytes());
    record.extend(message.offset.to_be_bytes());
    record.extend(u64::from_str_radix(&message.offset_id[16..], 16).unwrap().to_be_bytes());
    record.extend(message.sys_flag.to_be_bytes());
    record.extend(message.born_timestamp.to_be_bytes());
    record.extend([1, 2, 3, 9, 0, 0, 0, 5]);
    record.extend(message.store_timestamp.to_be_bytes());
    record.extend([1, 2, 3, 4, 0, 0, 0, 6]);
    record.extend(message.reconsume.to_be_bytes());
    record.extend([0; 8]);
    record.extend(u32::try_from(message.body.len()).unwrap().to_be_bytes());
    record.extend(&message.body);
    record.push(u8::try_from(message.topic.len()).unwrap());
    record.extend(message.topic.as_bytes());
    record.extend(u16::try_from(properties.len()).unwrap().to_be_bytes());
    record.extend(properties.as_bytes());
    let total = u32::try_from(record.len() + 4).unwrap();
    [&total.to_be_bytes()[..], &record].concat()
}

#[test]
fn encoded_messages_are_read_back() {
    let original = message("t", 7, 1, 2);
    let (read, _) = StoredMessage::read(&encode(&original)).unwrap();
    assert_eq!(read, original);
    assert_eq!(stored::stamp(&read.body), read.ledger);
}
