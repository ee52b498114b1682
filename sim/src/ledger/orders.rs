//! What brokers were told to do by operators and by each other, besides handling messages, and what they said to it.

use serde::Deserialize;

use super::wire::Call;
use crate::evidence::{
    TimerId,
    frame::{WireFrame, code},
    timers_handed_over,
};

/// An order, with its answer.
#[derive(Debug)]
pub struct Ordered<'h> {
    /// Who and when.
    pub call: Call<'h>,
    /// What.
    pub order: Order,
}

/// What is to be.
#[derive(Debug)]
pub enum Order {
    /// A topic is to be like this.
    Topic {
        /// Name.
        name: String,
        /// Permission bits.
        perm: u32,
        /// Queues to read.
        read_queues: i32,
        /// Queues to write.
        write_queues: i32,
    },
    /// A topic is not to be.
    NoTopic {
        /// Name.
        name: String,
    },
    /// A consumer group is to be like this.
    Group {
        /// Name.
        name: String,
        /// How often a message may be redelivered.
        retry_max_times: i32,
    },
    /// A group's offsets are to be set.
    Reset {
        /// The consumer group.
        group: String,
        /// Topic.
        topic: String,
        /// The one queue; `None` is all.
        queue: Option<i32>,
        /// To what was stored since, Unix ms on the broker's clock; negative is the end. `None` when an offset was named.
        since_ms: Option<i64>,
        /// By queue, to what the answer says it was set.
        told: Vec<(i32, i64)>,
    },
    /// Parked chains are to go on.
    Resume {
        /// The one chain; `None` is all.
        chain: Option<String>,
        /// How many the answer says there were.
        told: Option<usize>,
    },
    /// A member of another group is to have a new term.
    Seal {
        /// The group.
        group: String,
        /// The member.
        member: u64,
        /// A term that it knows of.
        above: u64,
        /// The term upon which it agreed with another member, and whether the answer says that this still holds.
        agreed: Option<(u64, bool)>,
        /// The term that the answer gives.
        told: Option<u64>,
        /// It gives none, for the master may have a lease.
        leased: bool,
    },
    /// Delayed messages of another group are to be delivered.
    TakeTimers {
        /// The group.
        group: String,
        /// Which.
        timers: Vec<TimerId>,
    },
    /// What was handed over for another group is merged.
    Merged {
        /// The group.
        group: String,
        /// The term under which it is.
        term: u64,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupConfig {
    group_name: String,
    retry_max_times: i32,
}

impl Order {
    /// Whether requests of this code are orders.
    pub(super) const fn is_one(request: i32) -> bool {
        matches!(
            request,
            code::CREATE_TOPIC
                | code::DELETE_TOPIC
                | code::CREATE_GROUP
                | code::RESET_OFFSET
                | code::RESUME_PARKED
                | code::SEAL
                | code::MERGED
                | code::TAKE_TIMERS
        )
    }

    /// Reads a request; `None` when it lacks a field.
    pub(super) fn read(read: &WireFrame<'_>) -> Option<Self> {
        let text = |name| read.get(name).map(str::to_owned);
        Some(match read.code {
            code::CREATE_TOPIC => Self::Topic {
                name: text("topic")?,
                perm: read.number("perm")?,
                read_queues: read.number("readQueueNums")?,
                write_queues: read.number("writeQueueNums")?,
            },
            code::DELETE_TOPIC => Self::NoTopic { name: text("topic")? },
            code::CREATE_GROUP => {
                let GroupConfig { group_name, retry_max_times } = serde_json::from_slice(read.body).ok()?;
                Self::Group { name: group_name, retry_max_times }
            }
            code::RESET_OFFSET => {
                let named: Option<i64> = read.number("offset").filter(|offset| *offset >= 0);
                Self::Reset {
                    group: text("group")?,
                    topic: text("topic")?,
                    queue: read.number("queueId").filter(|queue| *queue >= 0),
                    since_ms: read.number("timestamp").filter(|_| named.is_none()),
                    told: Vec::new(),
                }
            }
            code::RESUME_PARKED => Self::Resume { chain: text("chain"), told: None },
            code::SEAL => Self::Seal {
                group: text("groupName")?,
                member: read.number("memberId")?,
                above: read.number("above")?,
                agreed: read.number("agreedTerm").map(|term| (term, false)),
                told: None,
                leased: false,
            },
            code::TAKE_TIMERS => Self::TakeTimers { group: text("groupName")?, timers: timers_handed_over(read.body)? },
            _ => Self::Merged { group: text("groupName")?, term: read.number("term")? },
        })
    }

    /// Takes in what the answer says.
    pub(super) fn answered(&mut self, read: &WireFrame<'_>) {
        match self {
            Self::Reset { told, .. } => {
                let pair = |pair: &str| {
                    let (queue, offset) = pair.split_once('=')?;
                    queue.parse().ok().zip(offset.parse().ok())
                };
                told.extend(read.get("offsets").into_iter().flat_map(|all| all.split(';')).filter_map(pair));
            }
            Self::Resume { told, .. } => *told = read.number("count"),
            Self::Seal { told, leased, agreed, .. } => {
                (*told, *leased) = (read.number("term"), read.get("leasedMs").is_some());
                if let Some((_, holds)) = agreed {
                    *holds = read.get("agreed") == Some("true");
                }
            }
            Self::Topic { .. }
            | Self::NoTopic { .. }
            | Self::Group { .. }
            | Self::TakeTimers { .. }
            | Self::Merged { .. } => {}
        }
    }
}
