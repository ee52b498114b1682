//! A stored message (RocketMQ `MessageExt`) and what can go wrong with its bytes.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use thiserror::Error;

use super::names;
use super::properties::{Properties, PropertyError};

/// Largest body, 4 MiB.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Largest property text.
pub const PROPERTIES_BYTES_MAX: usize = i16::MAX as usize;
/// Longest topic that the record has room for; names are limited further where they are checked.
pub const TOPIC_BYTES_MAX: usize = i16::MAX as usize;
/// System flag: the body is compressed.
pub const FLAG_COMPRESSED: i32 = 0x1;
/// System flag: the born host is an IPv6 address.
pub const FLAG_BORN_HOST_V6: i32 = 0x10;
/// System flag: the store host is an IPv6 address.
pub const FLAG_STORE_HOST_V6: i32 = 0x20;

/// A message as it is stored and as pull, pop and view answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic it is stored under.
    pub topic: String,
    /// Queue it is stored in.
    pub queue_id: i32,
    /// Its number in the queue.
    pub queue_offset: i64,
    /// Its position in the commit log.
    pub physical_offset: i64,
    /// Flag of the application.
    pub flag: i32,
    /// System flag bits. The two address bits are those of the hosts, whatever is set here, once encoded.
    pub sys_flag: i32,
    /// When the producer made it, Unix milliseconds.
    pub born_timestamp: i64,
    /// Address of the producer.
    pub born_host: SocketAddr,
    /// When the broker stored it, Unix milliseconds.
    pub store_timestamp: i64,
    /// Address of the broker that stored it.
    pub store_host: SocketAddr,
    /// How often it was delivered again.
    pub reconsume_times: i32,
    /// Commit-log position of the half message it belongs to.
    pub prepared_transaction_offset: i64,
    /// Body, possibly compressed.
    pub body: Bytes,
    /// Properties.
    pub properties: Properties,
}

/// A message that has no stored form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The body is too large.
    #[error("the body has {length} bytes, at most {BODY_BYTES_MAX} are allowed")]
    BodyTooLarge {
        /// Its size in bytes.
        length: usize,
    },
    /// The topic is too long.
    #[error("the topic has {length} bytes, at most {TOPIC_BYTES_MAX} are allowed")]
    TopicTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The property text is too long.
    #[error("the properties take {length} bytes, at most {PROPERTIES_BYTES_MAX} are allowed")]
    PropertiesTooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// A property cannot be stored.
    #[error("a property cannot be stored")]
    Property(#[from] PropertyError),
}

/// Bytes that are not a stored message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end before the record does.
    #[error("`{field}` needs {needed} bytes of the record, {left} are left")]
    Truncated {
        /// What was being read.
        field: &'static str,
        /// Bytes it takes.
        needed: usize,
        /// Bytes left.
        left: usize,
    },
    /// A length is negative or smaller than what it must cover.
    #[error("`{field}` of the record is {value}")]
    BadLength {
        /// Name of the length.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// Not the mark of a message record.
    #[error("the record is marked {0:#010x}, which is no known message version")]
    BadMagic(u32),
    /// The body does not match its checksum.
    #[error("the body has checksum {actual:#010x}, the record says {expected:#010x}")]
    BadCrc {
        /// Checksum in the record.
        expected: u32,
        /// Checksum of the body.
        actual: u32,
    },
    /// A port outside 0..=65535.
    #[error("`{field}` has port {port}")]
    BadPort {
        /// Which of the two hosts.
        field: &'static str,
        /// Port found.
        port: i32,
    },
    /// The topic is not UTF-8.
    #[error("the topic is not UTF-8")]
    BadTopic(#[from] std::string::FromUtf8Error),
    /// The record is longer than its fields.
    #[error("the record has {0} bytes after its last field")]
    TrailingBytes(usize),
    /// One record of several is malformed.
    #[error("record {index}, at byte {position}, is malformed")]
    Record {
        /// Number of the record, from 0.
        index: usize,
        /// Where it starts.
        position: usize,
        /// What is wrong with it.
        #[source]
        cause: Box<DecodeError>,
    },
}

impl Message {
    /// Offset message id: address, port and commit-log position of the broker that stored it, in upper-case hex.
    pub fn offset_id(&self) -> String {
        let mut id = String::with_capacity(56);
        let written = match self.store_host.ip() {
            IpAddr::V4(address) => write!(id, "{:08X}", address.to_bits()),
            IpAddr::V6(address) => write!(id, "{:032X}", address.to_bits()),
        };
        let written = written.and_then(|()| write!(id, "{:08X}{:016X}", self.store_host.port(), self.physical_offset));
        debug_assert!(written.is_ok(), "writing to a String does not fail");
        id
    }

    /// Its tag.
    pub fn tag(&self) -> Option<&str> {
        self.properties.get(names::TAGS)
    }

    /// Its unique key.
    pub fn unique_key(&self) -> Option<&str> {
        self.properties.get(names::UNIQ_KEY)
    }
}
