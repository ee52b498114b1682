//! The records of a group's log, and how an entry is written to disk.
//!
//! A log entry is one transaction: the facts that became true together. Tables are derived from the log and from
//! nothing else, so a replica is always a prefix of it. On disk an entry is self-describing (MessagePack with names)
//! behind a header that carries its own checksum: redb does not notice a flipped bit.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    chain::{Chain, ChainId, LogPosition},
    group::SubscriptionGroupConfig,
    timer::TimerId,
    topic::TopicConfig,
};

/// One transaction of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its place.
    pub position: LogPosition,
    /// When it was decided, Unix ms on the holder's clock.
    pub at_ms: i64,
    /// What became true, in order.
    pub records: Vec<Record>,
}

/// How a log ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnd {
    /// Its last entry; all zeroes when there is none.
    pub position: LogPosition,
    /// The checksum of that entry.
    pub checksum: u32,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// A topic was created or its configuration changed.
    Topic {
        /// The configuration.
        config: TopicConfig,
        /// When it was created.
        epoch: LogPosition,
    },
    /// A topic was deleted: its configuration, messages and groups' offsets are gone. The chains that end with it have
    /// records of their own in the same entry.
    TopicDeleted {
        /// Its name.
        topic: String,
        /// When it had been created.
        epoch: LogPosition,
        /// This entry: the proof that what was created before is gone.
        at: LogPosition,
    },
    /// A consumer group was created or its configuration changed.
    Group {
        /// The configuration.
        config: SubscriptionGroupConfig,
    },
    /// A message was appended to its queue.
    Message {
        /// Topic.
        topic: String,
        /// Queue.
        queue: i32,
        /// Offset in the queue.
        offset: i64,
        /// The stored form (RocketMQ's commit-log record).
        stored: Bytes,
    },
    /// A delayed message was accepted.
    Timer {
        /// Due, Unix ms.
        due_ms: i64,
        /// The message, with its true topic and queue, in stored form.
        stored: Bytes,
        /// The creation of the topic it was sent to: a successor of the topic does not get it.
        #[serde(default)]
        epoch: LogPosition,
    },
    /// A delayed message fell due; its `Message` record is in the same entry.
    TimerFired {
        /// Due, Unix ms.
        due_ms: i64,
        /// The entry that accepted it.
        index: u64,
        /// The record in that entry.
        record: u32,
    },
    /// A delayed message of another group's fell due while its master was away; its `Message` record is in the same entry.
    TimerTaken {
        /// The group.
        group: String,
        /// The term under which its acting member handed it over.
        term: u64,
        /// Which.
        timer: TimerId,
    },
    /// A delayed message fell due while the master was away: another group has delivered it.
    TimerMoved {
        /// Which.
        timer: TimerId,
        /// That group.
        to: String,
    },
    /// A group's next offset in a queue: what is below was popped or consumed.
    Offset {
        /// Consumer group.
        group: String,
        /// Topic.
        topic: String,
        /// Queue.
        queue: i32,
        /// Next offset to hand out.
        offset: i64,
    },
    /// An operator set a group's next offset in a queue, forwards or backwards. The chains that end with it have records
    /// of their own in the same entry.
    OffsetReset {
        /// Consumer group.
        group: String,
        /// Topic.
        topic: String,
        /// Queue.
        queue: i32,
        /// Next offset to hand out.
        offset: i64,
    },
    /// A chain came into being or changed; this is its whole state.
    Chain(Box<Chain>),
    /// An ack came before its checkpoint.
    EarlyAck {
        /// What it acks.
        id: ChainId,
        /// Until when it waits for the checkpoint, Unix ms.
        until_ms: i64,
    },
    /// An early ack met its checkpoint, or waited in vain.
    EarlyAckDropped {
        /// What it acked.
        id: ChainId,
    },
    /// Something came in that cannot be understood; kept for the operator.
    SetAside(SetAside),
    /// A client's send was accepted; repeated with the same key, it is answered with this and stores nothing. Applying
    /// it drops up to two identities that have expired by the entry's time.
    Sent {
        /// Topic.
        topic: String,
        /// The message's `UNIQ_KEY`.
        key: String,
        /// Queue that was told.
        queue: i32,
        /// Offset that was told.
        offset: i64,
        /// Message id that was told.
        message_id: String,
        /// Until when it is known at least, Unix ms.
        expires_ms: i64,
        /// The creation of the topic it was sent to: a successor of the topic does not know it.
        #[serde(default)]
        epoch: LogPosition,
    },
    /// Everything in the log below an index is past its retention: each queue begins with its first message from there
    /// on. What a live chain of this broker's own messages, or a delayed message, still needs keeps its place in the
    /// log until it is over.
    Expired {
        /// The group whose messages these are, as its chains name it.
        broker: String,
        /// The log index; what stands there and after it is kept.
        before: u64,
        /// Messages that go.
        messages: u64,
        /// Bytes of the log entries that go, or would if nothing needed them.
        bytes: u64,
    },
    /// A member of another group has taken a term to act for its master, or to end that: what is handed over for this
    /// group under an earlier one is refused from here on.
    Sealed {
        /// The group it is a member of.
        group: String,
        /// The term.
        term: u64,
        /// The member; 0 is the master, who takes back what was done for it.
        member: u64,
        /// How the log of a slave ends that acts: it stays so until its master has merged what is done under this term.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<LogEnd>,
    },
    /// A group's master has merged what its slaves had handed over for it under terms up to this one. In its own log the
    /// moves and offsets stand in the same entry, in that of the group that keeps the chains nothing else does.
    Merged {
        /// The group.
        group: String,
        /// The term.
        term: u64,
    },
    /// Chains that have long been over leave the tables. What was popped until the latest of them and is not known is
    /// never taken for new.
    Forgotten {
        /// Which.
        chains: Vec<ForgottenChain>,
    },
}

/// A chain that is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenChain {
    /// Since when it was over, Unix ms.
    pub since_ms: i64,
    /// Which.
    pub id: ChainId,
}

impl LogEntry {
    /// Whether it says more than that other things have gone: what says only that goes along with what counts, and is
    /// no reason to let anything expire, or there would be no end to it.
    #[must_use]
    pub fn counts_for_retention(&self) -> bool {
        !self.records.iter().all(|record| matches!(record, Record::Expired { .. } | Record::Forgotten { .. }))
    }
}

/// A message to the revive topic that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Its tag: `ck`, `ack`, `bAck` or whatever came.
    pub tag: String,
    /// Its body, as it came.
    pub body: Bytes,
    /// Why it is not understood.
    pub reason: String,
    /// When it came, Unix ms.
    pub at_ms: i64,
}

/// First bytes of an entry on disk.
pub const MAGIC: [u8; 4] = *b"PLOG";

/// Length of the header before the payload: magic, checksum, payload length, term, index.
pub const HEADER: usize = 4 + 4 + 4 + 8 + 8;

/// An entry that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EntryEncodeError {
    /// The serializer refused it.
    #[error("log entry cannot be serialized")]
    Serialize(#[from] rmp_serde::encode::Error),
    /// Longer than the length field allows.
    #[error("log entry of {length} bytes is longer than 4 GiB")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

/// An entry that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EntryDecodeError {
    /// Shorter than its header says, or than a header.
    #[error("log entry is cut short: {length} bytes, expected {expected}")]
    Short {
        /// Bytes there are.
        length: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// It does not begin as an entry does.
    #[error("log entry begins with {found:02x?}, expected {MAGIC:02x?}")]
    Magic {
        /// The first bytes.
        found: [u8; 4],
    },
    /// The bytes are not the ones that were written.
    #[error("log entry {index} is damaged: checksum {found:08x}, expected {expected:08x}")]
    Checksum {
        /// Its index, as far as that can be believed.
        index: u64,
        /// Of the bytes.
        found: u32,
        /// In the header.
        expected: u32,
    },
    /// The checksum holds but the payload is not understood.
    #[error("log entry {index} is not understood")]
    Payload {
        /// Its index.
        index: u64,
        /// What the deserializer said.
        #[source]
        cause: rmp_serde::decode::Error,
    },
}

impl LogEntry {
    /// The entry's bytes on disk.
    ///
    /// # Errors
    /// It cannot be serialized or is longer than 4 GiB.
    pub fn encode(&self) -> Result<Vec<u8>, EntryEncodeError> {
        let mut bytes = vec![0; HEADER];
        rmp_serde::encode::write_named(&mut bytes, self)?;
        let payload = bytes.len() - HEADER;
        let length = u32::try_from(payload).map_err(|_| EntryEncodeError::TooLong { length: payload })?;
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.position.term.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.position.index.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_be_bytes());
        Ok(bytes)
    }

    /// Place and checksum of an encoded entry, as its header has them; `None` when it is shorter than a header.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<(LogPosition, u32)> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        Some((LogPosition { term: long(12), index: long(20) }, word(4)))
    }

    /// Length of the encoded entry with which these bytes begin, as its header has it.
    #[must_use]
    pub fn encoded_length(bytes: &[u8]) -> Option<usize> {
        let length: [u8; 4] = bytes.get(8..12)?.try_into().ok()?;
        Some(HEADER + u32::from_be_bytes(length) as usize)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// The bytes are short, damaged, or not an entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryDecodeError> {
        let short = |expected| EntryDecodeError::Short { length: bytes.len(), expected };
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or_else(|| short(HEADER))?;
        let word = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        if word(0) != MAGIC {
            return Err(EntryDecodeError::Magic { found: word(0) });
        }
        let index = u64::from(u32::from_be_bytes(word(20))) << 32 | u64::from(u32::from_be_bytes(word(24)));
        let whole = HEADER + u32::from_be_bytes(word(8)) as usize;
        let bytes = bytes.get(..whole).ok_or_else(|| short(whole))?;
        let (found, expected) = (crc32fast::hash(&bytes[8..]), u32::from_be_bytes(word(4)));
        if found != expected {
            return Err(EntryDecodeError::Checksum { index, found, expected });
        }
        rmp_serde::from_slice(&bytes[HEADER..]).map_err(|cause| EntryDecodeError::Payload { index, cause })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn entry() -> LogEntry {
        let offset = Record::Offset { group: "g".into(), topic: "t".into(), queue: 3, offset: 101 };
        let early = ChainId {
            broker: "b".into(),
            topic: "t".into(),
            queue: 0,
            offset: 7,
            group: "g".into(),
            pop_time: 5,
            term: 1,
        };
        let message =
            Record::Message { topic: "t".into(), queue: 0, offset: 1, stored: Bytes::from_static(&[0, 255, 128, 7]) };
        let records = vec![offset, Record::EarlyAck { id: early, until_ms: 9 }, message];
        LogEntry { position: LogPosition { term: 2, index: 77 }, at_ms: 1_700_000_000_000, records }
    }

    #[test]
    fn entry_reads_what_it_writes() {
        assert_eq!(LogEntry::decode(&entry().encode().unwrap()).unwrap(), entry());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = entry().encode().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(LogEntry::decode(&damaged).is_err(), "bit {bit} flipped unnoticed");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = entry().encode().unwrap();
        for length in 0..bytes.len() {
            assert!(LogEntry::decode(&bytes[..length]).is_err(), "cut at {length} unnoticed");
        }
    }
}
