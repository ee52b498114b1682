//! What the clients of a cluster saw, and what its disks hold.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;

use crate::{
    evidence::{DurableEntry, Tables},
    plan::{NodeName, SimMs},
};

/// Names one produced message for ever: `producer#number`. The producer stamps it into the body as `<<producer#number>>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct LedgerId(pub Arc<str>);

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a run of a cluster notes besides what the world shows.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noted {
    /// A producer's send has come to something.
    Sent(Sent),
    /// A consumer's pop has come to something.
    Popped(Popped),
    /// A consumer's ack of one message has come to something (each message of a batch ack is one).
    Acked(Acked),
    /// A consumer's renewal of one handle has come to something.
    Renewed(Renewed),
    /// An operator's command has come to something.
    Operated {
        /// The command, for example `resume-parked broker-b`.
        command: String,
        /// What came of it: a count, or why not.
        result: Result<u64, String>,
    },
    /// A log entry is durable on a node's disk for the first time, as decoded from the synced pages.
    Durable {
        /// Whose disk.
        node: NodeName,
        /// Number of the sync that made it durable, from 1.
        sync: u64,
        /// The entry.
        entry: Arc<DurableEntry>,
    },
    /// A log entry is durable on a master's disk once more, which was there before that disk was lost or an older one put in its
    /// place.
    Again {
        /// Whose disk.
        node: NodeName,
        /// Number of the sync that made it durable, from 1.
        sync: u64,
        /// Term of the entry.
        term: u64,
        /// Its index.
        index: u64,
    },
    /// A broker showed how it is.
    Scraped(Scraped),
    /// What a node's tables held, on its disk, when the run was over.
    AtRest {
        /// Whose disk.
        node: NodeName,
        /// The tables; `None` if nothing can be read in its file.
        tables: Option<Tables>,
    },
}

/// The outcome of a call that either worked, was refused, or is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen<T> {
    /// It worked.
    Ok(T),
    /// The server said no.
    Refused {
        /// Response code.
        code: i32,
        /// Its remark.
        remark: String,
    },
    /// No answer: it may have taken effect.
    Unknown {
        /// Why there is none: timeout, reset, refused...
        cause: String,
    },
}

/// A send.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// Who.
    pub producer: NodeName,
    /// What.
    pub ledger: LedgerId,
    /// To which topic.
    pub topic: String,
    /// With which tag.
    pub tag: Option<String>,
    /// Delay asked for, ms.
    pub delay_ms: Option<u64>,
    /// To which broker.
    pub broker: NodeName,
    /// When it began.
    pub began_ms: SimMs,
    /// What came of it: queue and offset.
    pub seen: Seen<(i32, i64)>,
}

/// A pop.
#[derive(Debug, Clone, Serialize)]
pub struct Popped {
    /// Who.
    pub consumer: NodeName,
    /// For which group.
    pub group: String,
    /// Which topic was asked for.
    pub topic: String,
    /// From which broker.
    pub broker: NodeName,
    /// When it began.
    pub began_ms: SimMs,
    /// The messages; empty when the poll timed out at the broker.
    pub seen: Seen<Vec<Delivery>>,
}

/// One message as a consumer got it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Which message, as stamped in its body; `None` when the body carries no stamp.
    pub ledger: Option<LedgerId>,
    /// Its receipt handle.
    pub handle: String,
    /// The topic it was really popped from (a retry topic's own name if so).
    pub topic: String,
    /// Queue.
    pub queue: i32,
    /// Offset.
    pub offset: i64,
    /// Its reconsume count.
    pub reconsume: i32,
    /// Its body.
    pub body: bytes::Bytes,
    /// Its properties, sorted by name.
    pub properties: Vec<(String, String)>,
}

/// In the event log checksums stand for the body and the properties, which would be most of its text.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, handle, topic, queue, offset, reconsume, body, properties } = self;
        let mut sum = crc32fast::Hasher::new();
        for (name, value) in properties {
            sum.update(name.as_bytes());
            sum.update(&[0]);
            sum.update(value.as_bytes());
            sum.update(&[0]);
        }
        match ledger {
            Some(ledger) => write!(f, "{ledger}")?,
            None => f.write_str("unstamped")?,
        }
        let (body, sum) = ((body.len(), crc32fast::hash(body)), sum.finalize());
        write!(f, " at {topic}/{queue}/{offset} x{reconsume} [{handle}] {} B {:08x} {sum:08x}", body.0, body.1)
    }
}

/// An ack of one message.
#[derive(Debug, Clone, Serialize)]
pub struct Acked {
    /// Who.
    pub consumer: NodeName,
    /// For which group.
    pub group: String,
    /// Which message.
    pub ledger: Option<LedgerId>,
    /// The handle that was presented.
    pub handle: String,
    /// The topic it was popped from, queue and offset.
    pub place: (String, i32, i64),
    /// Its reconsume count.
    pub reconsume: i32,
    /// When the ack began.
    pub began_ms: SimMs,
    /// What came of it.
    pub seen: Seen<AckVerdict>,
}

/// What a server says of an ack it served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AckVerdict {
    /// The message is over for this group.
    Absorbed,
    /// It is on its way again, or gone.
    TooLate,
}

/// A renewal (change of the invisible time) of one message.
#[derive(Debug, Clone, Serialize)]
pub struct Renewed {
    /// Who.
    pub consumer: NodeName,
    /// For which group.
    pub group: String,
    /// Which message.
    pub ledger: Option<LedgerId>,
    /// The handle that was renewed.
    pub handle: String,
    /// The invisible time that was asked for.
    pub invisible_ms: SimMs,
    /// When it began.
    pub began_ms: SimMs,
    /// What came of it: the new handle, or `None` when it was too late.
    pub seen: Seen<Option<String>>,
}

/// What a broker shows whoever operates it.
#[derive(Debug, Clone, Serialize)]
pub struct Scraped {
    /// Which broker.
    pub broker: NodeName,
    /// When it was asked.
    pub began_ms: SimMs,
    /// Whether it says that it serves.
    pub is_ready: bool,
    /// Whether it says, with that, that a name server knows it.
    pub is_registered: bool,
    /// Its metrics that are whole numbers, each with the labels that not all of them have.
    pub samples: BTreeMap<String, u64>,
}
