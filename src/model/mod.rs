//! Pure data of the broker: messages, receipt handles, checkpoints, acks, names and their wire forms.
//!
//! Nothing here does I/O, reads a clock or waits. Every reader takes untrusted bytes: it answers with a typed error,
//! never panics, and never allocates by a length it has not checked against the input.

pub mod ack;
pub mod batch_ack;
pub mod body_error;
pub mod cause;
pub mod chain;
pub mod change;
pub mod checkpoint;
mod clip;
pub mod group;
pub mod handle;
pub mod java_hash;
pub mod json_keys;
pub mod message;
mod message_codec;
pub mod names;
pub mod pop_info;
pub mod properties;
pub mod record;
pub mod route;
pub mod timer;
pub mod topic;

pub use ack::AckBody;
pub use batch_ack::{AckBits, BatchAck, BatchAckBody};
pub use body_error::BodyError;
pub use checkpoint::{CheckpointBody, CheckpointExtension};
pub use group::SubscriptionGroupConfig;
pub use handle::{HandleError, ReceiptHandle, RetryFlag};
pub use java_hash::java_hash;
pub use message::{DecodeError, EncodeError, Message};
pub use pop_info::PopInfoError;
pub use properties::{Properties, PropertyError};
pub use topic::{NameError, Perm, TopicConfig};
