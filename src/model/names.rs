//! Names of message properties (RocketMQ `MessageConst`).

/// Business keys, separated by spaces.
pub const KEYS: &str = "KEYS";
/// The tag of the message.
pub const TAGS: &str = "TAGS";
/// Unique id given by the producer, or by the broker when absent.
pub const UNIQ_KEY: &str = "UNIQ_KEY";
/// Receipt handle of a popped message. Removed from every incoming send.
pub const POP_CK: &str = "POP_CK";
/// Reserved name beside [`POP_CK`].
pub const POP_CK_OFFSET: &str = "POP_CK_OFFSET";
/// Time of the first pop of the message, Unix milliseconds.
pub const FIRST_POP_TIME: &str = "1ST_POP_TIME";
/// Reconsume count of a message sent back by a client.
pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
/// Largest reconsume count the client allows.
pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
/// Offset id of the message a retry copy came from.
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// Original topic of a message sent back by a client.
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// True topic of a delayed, timed or half message.
pub const REAL_TOPIC: &str = "REAL_TOPIC";
/// True queue of a delayed, timed or half message.
pub const REAL_QUEUE_ID: &str = "REAL_QID";
/// Delay level, 1 to 18.
pub const DELAY: &str = "DELAY";
/// Absolute delivery time, Unix milliseconds.
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// Delivery delay from the time of the put, milliseconds.
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// Delivery delay from the time of the put, seconds.
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// Delivery time after rounding; its presence stops a second conversion.
pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
/// When the timer took the message, Unix milliseconds.
pub const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
/// When the timer let the message go, Unix milliseconds.
pub const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";
/// How often the timer put the message back for a later round.
pub const TIMER_ROLL_TIMES: &str = "TIMER_ROLL_TIMES";
/// Unique key of the timed message this one cancels.
pub const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
/// Delay level of a message delayed through the timer.
pub const TIMER_DELAY_LEVEL: &str = "TIMER_DELAY_LEVEL";
/// Smallest offset of the queue, added after a remote pull.
pub const MIN_OFFSET: &str = "MIN_OFFSET";
/// Largest offset of the queue, added after a remote pull.
pub const MAX_OFFSET: &str = "MAX_OFFSET";
/// Whether the sender waits for flush and replication.
pub const WAIT: &str = "WAIT";
/// Cluster of the broker that took the message.
pub const CLUSTER: &str = "CLUSTER";
/// Producer group.
pub const PRODUCER_GROUP: &str = "PGROUP";
/// Marks the half message of a transaction.
pub const TRANSACTION_PREPARED: &str = "TRAN_MSG";
/// Number of messages in an inner batch.
pub const INNER_NUM: &str = "INNER_NUM";
/// First queue offset of an inner batch.
pub const INNER_BASE: &str = "INNER_BASE";
/// Light queues the message is also dispatched to.
pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
/// Offsets in the light queues.
pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
/// Topic a dead letter came from.
pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
/// Id of the message a dead letter came from.
pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// Key that picks the queue of an ordered message.
pub const SHARDING_KEY: &str = "__SHARDINGKEY";
/// Region of the broker.
pub const MSG_REGION: &str = "MSG_REGION";
/// Whether the message is traced.
pub const TRACE_ON: &str = "TRACE_ON";
/// Name space instance.
pub const INSTANCE_ID: &str = "INSTANCE_ID";
/// Transaction id.
pub const TRANSACTION_ID: &str = "__transactionId__";
/// Prefix of properties that live in a client only and are never stored.
pub const TRANSIENT_PREFIX: &str = "__RMQ.TRANSIENT.";
/// Checksum of one stored record. It describes the record, not the message: decoding drops it.
pub const RECORD_CRC: &str = "__CRC32#";
