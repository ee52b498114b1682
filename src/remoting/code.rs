//! Request and response code numbers (RocketMQ `RequestCode`, `ResponseCode`) and their names.

/// Declares constants with `name` and `by_name` over exactly those constants.
macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $number:literal,)+) => {
        use std::borrow::Cow;

        $($(#[$doc])+ pub const $name: i32 = $number;)+

        /// The name of `code`, or its decimal text when it has none here.
        pub fn name(code: i32) -> Cow<'static, str> {
            match code {
                $($name => Cow::Borrowed(stringify!($name)),)+
                other => Cow::Owned(other.to_string()),
            }
        }

        /// The code with this exact name; a decimal number is taken as itself, so that `by_name(&name(c)) == Some(c)`.
        pub fn by_name(name: &str) -> Option<i32> {
            match name {
                $(stringify!($name) => Some($name),)+
                other => other.parse().ok(),
            }
        }

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, i32)] = &[$((stringify!($name), $name),)+];
    };
}

/// Request codes.
pub mod request {
    codes! {
        /// Store a message; header with full key names.
        SEND_MESSAGE = 10,
        /// Read messages of one queue from an offset.
        PULL_MESSAGE = 11,
        /// Read a consumer group's committed offset.
        QUERY_CONSUMER_OFFSET = 14,
        /// Commit a consumer group's offset.
        UPDATE_CONSUMER_OFFSET = 15,
        /// Create a topic or change its configuration.
        UPDATE_AND_CREATE_TOPIC = 17,
        /// All topic configurations, for a replica.
        GET_ALL_TOPIC_CONFIG = 21,
        /// The offset after the last message of a queue.
        GET_MAX_OFFSET = 30,
        /// The offset of the first message of a queue.
        GET_MIN_OFFSET = 31,
        /// One message by its commit-log offset.
        VIEW_MESSAGE_BY_ID = 33,
        /// A client tells its groups and subscriptions.
        HEART_BEAT = 34,
        /// A client leaves its groups.
        UNREGISTER_CLIENT = 35,
        /// The client ids of a consumer group.
        GET_CONSUMER_LIST_BY_GROUP = 38,
        /// One-way to a client: the members of its group changed.
        NOTIFY_CONSUMER_IDS_CHANGED = 40,
        /// All committed consumer offsets, for a replica.
        GET_ALL_CONSUMER_OFFSET = 43,
        /// Progress of the delay levels, for a replica.
        GET_ALL_DELAY_OFFSET = 45,
        /// The timer checkpoint, for a replica.
        GET_TIMER_CHECK_POINT = 60,
        /// Timer metrics, for a replica.
        GET_TIMER_METRICS = 61,
        /// A broker registers with a name server.
        REGISTER_BROKER = 103,
        /// A broker leaves a name server.
        UNREGISTER_BROKER = 104,
        /// The route of a topic.
        GET_ROUTEINFO_BY_TOPIC = 105,
        /// All clusters and broker addresses a name server knows.
        GET_BROKER_CLUSTER_INFO = 106,
        /// Create a consumer group or change its configuration.
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP = 200,
        /// All consumer group configurations, for a replica.
        GET_ALL_SUBSCRIPTIONGROUP_CONFIG = 201,
        /// Delete a topic at a broker.
        DELETE_TOPIC_IN_BROKER = 215,
        /// Set a consumer group's offsets in a topic to a time or an offset.
        INVOKE_BROKER_TO_RESET_OFFSET = 222,
        /// Store a message; header with one-letter keys.
        SEND_MESSAGE_V2 = 310,
        /// Store a batch of messages; header as `SEND_MESSAGE_V2`.
        SEND_BATCH_MESSAGE = 320,
        /// Ask a name server whether it holds a given registration version.
        QUERY_DATA_VERSION = 322,
        /// As `PULL_MESSAGE`, for light consumers.
        LITE_PULL_MESSAGE = 361,
        /// Ask a broker which queues a client should consume, and how.
        QUERY_ASSIGNMENT = 400,
        /// Choose pull or pop for a consumer group.
        SET_MESSAGE_REQUEST_MODE = 401,
        /// All chosen request modes, for a replica.
        GET_ALL_MESSAGE_REQUEST_MODE = 402,
        /// The members of one broker group.
        GET_BROKER_MEMBER_GROUP = 901,
        /// One-way: a broker is alive.
        BROKER_HEARTBEAT = 904,
        /// One-way to a broker: its group's smallest id changed.
        NOTIFY_MIN_BROKER_ID_CHANGE = 905,
        /// Exchange of replication addresses inside a broker group.
        EXCHANGE_BROKER_HA_INFO = 906,
        /// Take messages for an invisible time.
        POP_MESSAGE = 200_050,
        /// Acknowledge one popped message.
        ACK_MESSAGE = 200_051,
        /// Look at messages without taking them.
        PEEK_MESSAGE = 200_052,
        /// Change when a popped message becomes visible again.
        CHANGE_MESSAGE_INVISIBLETIME = 200_053,
        /// Wait until a queue has something to pop.
        NOTIFICATION = 200_054,
        /// How many long polls wait on a queue.
        POLLING_INFO = 200_055,
        /// Declared by RocketMQ, served by nobody.
        POP_ROLLBACK = 200_056,
        /// Acknowledge many popped messages.
        BATCH_ACK_MESSAGE = 200_151,
        /// Ours: list the parked chains.
        LIST_PARKED = 900_001,
        /// Ours: resume a parked chain.
        RESUME_PARKED = 900_002,
        /// Ours: list the records set aside as unreadable.
        LIST_SET_ASIDE = 900_003,
        /// Ours: a slave asks for what comes after the end of its log.
        REPLICATE = 900_004,
        /// Ours: a member of another group takes a term to act for its master, or its master to end that.
        SEAL = 900_005,
        /// Ours: a master asks for the chains that were handed over for it.
        LIST_ACTED = 900_006,
        /// Ours: a master has merged what was handed over for it.
        MERGED = 900_007,
        /// Ours: a member of another group that acts for its master hands delayed messages over that are due.
        TAKE_TIMERS = 900_008,
        /// Ours: a master asks for the delayed messages that were handed over for it.
        LIST_TAKEN_TIMERS = 900_009,
        /// Ours: the master of another group asks that its slave takes no term for a while.
        LEASE = 900_010,
        /// Ours: a slave asks the other slave of its group to follow nobody while it acts for their master.
        VOTE = 900_011,
    }
}

/// Response codes.
pub mod response {
    codes! {
        /// Done.
        SUCCESS = 0,
        /// Failed inside the server; the remark says how.
        SYSTEM_ERROR = 1,
        /// The server has no capacity now.
        SYSTEM_BUSY = 2,
        /// Nobody handles this request code.
        REQUEST_CODE_NOT_SUPPORTED = 3,
        /// A transaction could not be ended.
        TRANSACTION_FAILED = 4,
        /// Stored, but not flushed to disk in time.
        FLUSH_DISK_TIMEOUT = 10,
        /// Stored, but no replica is there to hold it.
        SLAVE_NOT_AVAILABLE = 11,
        /// Stored, but not replicated in time.
        FLUSH_SLAVE_TIMEOUT = 12,
        /// The message or handle breaks a rule.
        MESSAGE_ILLEGAL = 13,
        /// The store does not take writes.
        SERVICE_NOT_AVAILABLE = 14,
        /// The client's version is not served.
        VERSION_NOT_SUPPORTED = 15,
        /// The broker, topic or group forbids it.
        NO_PERMISSION = 16,
        /// No such topic.
        TOPIC_NOT_EXIST = 17,
        /// The topic is there already.
        TOPIC_EXIST_ALREADY = 18,
        /// Nothing at this offset yet.
        PULL_NOT_FOUND = 19,
        /// Nothing matched; pull again from the returned offset.
        PULL_RETRY_IMMEDIATELY = 20,
        /// The offset is outside the queue; the right one is returned.
        PULL_OFFSET_MOVED = 21,
        /// The looked-up thing is not there.
        QUERY_NOT_FOUND = 22,
        /// The filter expression cannot be parsed.
        SUBSCRIPTION_PARSE_FAILED = 23,
        /// The group has no subscription here.
        SUBSCRIPTION_NOT_EXIST = 24,
        /// The group's subscription here is older.
        SUBSCRIPTION_NOT_LATEST = 25,
        /// No such consumer group.
        SUBSCRIPTION_GROUP_NOT_EXIST = 26,
        /// The compiled filter is not here.
        FILTER_DATA_NOT_EXIST = 27,
        /// The compiled filter here is older.
        FILTER_DATA_NOT_LATEST = 28,
        /// A parameter is missing or out of range.
        INVALID_PARAMETER = 29,
        /// The client is not in this unit.
        NOT_IN_CURRENT_UNIT = 205,
        /// The consumer is not connected.
        CONSUMER_NOT_ONLINE = 206,
        /// The consumer did not finish in time.
        CONSUME_MSG_TIMEOUT = 207,
        /// There is no such message.
        NO_MESSAGE = 208,
        /// No room for another long poll.
        POLLING_FULL = 209,
        /// The long poll ended without a message.
        POLLING_TIMEOUT = 210,
        /// No such broker.
        BROKER_NOT_EXIST = 211,
        /// Refused to limit the rate.
        FLOW_CONTROL = 215,
        /// Another broker leads this queue.
        NOT_LEADER_FOR_QUEUE = 501,
        /// The operation is not allowed.
        ILLEGAL_OPERATION = 604,
        /// The server is shutting down.
        GO_AWAY = 1500,
        /// Ours: another member of the caller's group has taken a later term.
        SEALED = 900_101,
        /// RocketMQ's internal RPC client: unknown failure.
        RPC_UNKNOWN = -1000,
        /// RocketMQ's internal RPC client: no address.
        RPC_ADDR_IS_NULL = -1002,
        /// RocketMQ's internal RPC client: the request was not sent.
        RPC_SEND_TO_CHANNEL_FAILED = -1004,
        /// RocketMQ's internal RPC client: no answer in time.
        RPC_TIME_OUT = -1006,
    }
}

#[cfg(test)]
mod tests {
    use super::{request, response};

    #[test]
    fn names_and_numbers_round_trip() {
        for (name, code) in request::ALL {
            assert_eq!((request::name(*code).as_ref(), request::by_name(name)), (*name, Some(*code)));
        }
        for (name, code) in response::ALL {
            assert_eq!((response::name(*code).as_ref(), response::by_name(name)), (*name, Some(*code)));
        }
    }

    #[test]
    fn an_unknown_code_is_its_decimal_text() {
        assert_eq!(request::name(-77), "-77");
        assert_eq!(request::by_name("-77"), Some(-77));
        assert_eq!(response::by_name("NO_SUCH_CODE"), None);
    }
}
