#![allow(clippy::unwrap_used, reason = "tests")]

mod acting;
mod away_from_home;
mod damaged;
mod degree;
mod deletion;
mod escape;
mod foreign;
mod kept;
mod name_servers;
mod observe;
mod one_transaction;
mod pop;
mod refusals;
mod refusing_disk;
mod reset;
mod revive;
mod slaves;
mod world;

use self::world::*;
use super::*;
use crate::{
    model::{
        handle::{ReceiptHandle, RetryFlag},
        message::Message,
        names,
        pop_info::{parse_msg_offset_info, parse_start_offset_info},
        properties::Properties,
        topic::{retry_topic_v1, retry_topic_v2},
    },
    namesrv::{NameServer, NameServerConfig},
    remoting::{
        Command, Header,
        code::{request, response},
        headers::{
            AckMessageHeader, ChangeInvisibleHeader, ChangeInvisibleResponseHeader, CreateTopicHeader,
            DeleteTopicHeader, OffsetResponseHeader, PopMessageHeader, PopMessageResponseHeader, PullMessageHeader,
            QueryConsumerOffsetHeader, ReplicateHeader, ResetOffsetHeader, SendMessageHeader,
            SendMessageResponseHeader, UpdateConsumerOffsetHeader,
        },
        memory_transport::MemoryTransport,
    },
    revive::RewritePolicy,
    seams::{
        Clock,
        memory_host::{MemoryDisk, RunningClock, host},
    },
};
