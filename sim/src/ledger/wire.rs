//! What passed the wire, read from the frames: each request with the answer that left its server, if one did.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::{
    evidence::{
        StoredMessage,
        frame::{Handle, WireFrame, code},
        message,
    },
    history::{Frame, LedgerId},
    ledger::{
        Obligations,
        orders::{Order, Ordered},
    },
    plan::SimMs,
};

/// Who asked whom, and when. A member of a replica group goes by the name of its broker, slaves too.
#[derive(Debug, Clone, Copy)]
pub struct Call<'h> {
    /// Position of the request in the history.
    pub event: usize,
    /// When it left, simulated ms.
    pub at_ms: SimMs,
    /// Caller.
    pub from: &'h str,
    /// Callee.
    pub to: &'h str,
    /// The node that was really called: a slave of `to`, or `to` itself.
    pub server: &'h str,
    /// The answer that left the callee: its position in the history and its code.
    pub answer: Option<(usize, i32)>,
}

impl Call<'_> {
    /// Whether it went to a slave.
    #[must_use]
    pub fn is_to_slave(&self) -> bool {
        self.server != self.to
    }
}

/// A read of a span of messages by another broker, or by a client.
#[derive(Debug)]
pub struct Pull<'h> {
    /// Who and when.
    pub call: Call<'h>,
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue: i32,
    /// First offset.
    pub offset: i64,
    /// How many messages are asked for at the most.
    pub count: i64,
    /// The success that answered it carried no byte of a message.
    pub empty: bool,
    /// What arrived is not what left: nobody can tell what the caller read in it.
    pub is_damaged: bool,
    /// How many messages came with the answer, and the highest offset among them.
    pub brought: (usize, Option<i64>),
    /// How many bytes of messages are asked for at the most, if that is said.
    pub most_bytes: Option<usize>,
    /// How many bytes of messages came with the answer.
    pub bytes: usize,
    /// The messages that came with it, if a slave served it.
    pub replicated: Vec<StoredMessage>,
    /// The queue's lowest offset, as the answer tells it.
    pub minimum: Option<i64>,
    /// The offset after the queue's last message, as the answer tells it.
    pub maximum: Option<i64>,
    /// The term under which whoever answers holds its group, as it tells.
    pub holder_term: Option<u64>,
    /// When the topic was created, as the answer tells it: term and index.
    pub epoch: Option<String>,
}

/// A pop's answer that there is nothing.
const POLLING_TIMEOUT: i32 = 210;

/// A pull's answer that the offset is outside the queue.
const OFFSET_MOVED: i32 = 21;

impl Pull<'_> {
    /// The offsets that it asks for.
    #[must_use]
    pub const fn offsets(&self) -> std::ops::RangeInclusive<i64> {
        let count = if self.count < 1 { 1 } else { self.count };
        self.offset..=self.offset.saturating_add(count - 1)
    }

    /// Whether it was answered and the answer says nothing about this later offset of its span: the messages end
    /// before it, what is outside the queue is only the first offset, or it arrived damaged.
    #[must_use]
    pub fn ended_before(&self, offset: i64) -> bool {
        let Some((_, code)) = self.call.answer.filter(|_| offset > self.offset) else { return false };
        if self.is_damaged {
            return true;
        }
        match code {
            0 => self.brought.1.is_some_and(|last| last < offset),
            OFFSET_MOVED => self.minimum.is_some_and(|minimum| self.offset < minimum && minimum <= offset),
            _ => false,
        }
    }
}

/// A send.
#[derive(Debug)]
pub struct Send<'h> {
    /// Who and when.
    pub call: Call<'h>,
    /// Topic.
    pub topic: String,
    /// Its properties, sorted.
    pub properties: Vec<(String, String)>,
    /// Its body.
    pub body: &'h [u8],
    /// The stamp in its body.
    pub ledger: Option<LedgerId>,
    /// Queue and offset in its answer.
    pub stored: Option<(i32, i64)>,
    /// What an ack that came as a message came to, if the answer says.
    pub ack_outcome: Option<String>,
}

/// A message that a pop's answer carries, as it left the broker.
#[derive(Debug)]
pub struct Delivery<'h> {
    /// The pop, with its answer.
    pub call: Call<'h>,
    /// When the answer left, simulated ms.
    pub at_ms: SimMs,
    /// The consumer group.
    pub group: String,
    /// The topic that was asked for.
    pub asked: String,
    /// The topic that the message has in the answer.
    pub named: String,
    /// The topic it was really popped from.
    pub topic: String,
    /// The offset it was popped from, and its queue, are in here.
    pub message: StoredMessage,
    /// The pop time it was given, Unix ms on the broker's clock.
    pub pop_time: i64,
    /// How many messages the pop asked for at the most.
    pub at_most: usize,
}

/// A pop that was answered with nothing, or refused.
#[derive(Debug)]
pub struct VainPop<'h> {
    /// Who and when, with the answer.
    pub call: Call<'h>,
    /// The consumer group.
    pub group: String,
    /// The topic that was asked for.
    pub topic: String,
    /// For how long it was ready to wait, ms.
    pub poll_ms: SimMs,
}

/// An ack or a renewal of one handle.
#[derive(Debug)]
pub struct Settle<'h> {
    /// Who and when.
    pub call: Call<'h>,
    /// The consumer group.
    pub group: String,
    /// The topic that was really read.
    pub topic: String,
    /// Queue.
    pub queue: i32,
    /// Offset.
    pub offset: i64,
    /// From the handle: who holds the message.
    pub broker: String,
    /// From the handle: when it was popped.
    pub pop_time: i64,
    /// The pop time of the handle that a renewal was answered with.
    pub renewed: Option<i64>,
}

/// Everything that passed the wire and matters.
#[derive(Debug, Default)]
pub struct Wire<'h> {
    /// Reads.
    pub pulls: Vec<Pull<'h>>,
    /// Sends.
    pub sends: Vec<Send<'h>>,
    /// Messages in pops' answers.
    pub deliveries: Vec<Delivery<'h>>,
    /// Pops that were answered with nothing.
    pub empty_pops: Vec<VainPop<'h>>,
    /// Pops that were refused.
    pub refused_pops: Vec<VainPop<'h>>,
    /// Acks of one message.
    pub acks: Vec<Settle<'h>>,
    /// Renewals.
    pub renewals: Vec<Settle<'h>>,
    /// Batch acks: caller, callee and body.
    pub batch_acks: Vec<(Call<'h>, Bytes)>,
    /// What brokers were told to do besides.
    pub orders: Vec<Ordered<'h>>,
    /// Registrations with a name server: position, node, body (empty if the frame was not kept).
    pub registrations: Vec<(usize, &'h str, Bytes)>,
    /// Frames that should be readable and are not: position, sender, why.
    pub unreadable: Vec<(usize, &'h str, String)>,
    pending: FxHashMap<(u64, i32), Pending<'h>>,
    /// The pull whose answer left last.
    last_answered: Option<usize>,
}

/// No broker gives more messages in one answer.
const LONGEST_SPAN: i64 = 32;

#[derive(Debug)]
enum Pending<'h> {
    Pull(usize),
    Send(usize),
    Ack(usize),
    Renewal(usize),
    BatchAck(usize),
    Order(usize),
    Pop { call: Call<'h>, group: String, topic: String, at_most: usize, poll_ms: SimMs },
}

impl<'h> Wire<'h> {
    /// Takes in a request that left its sender.
    pub(super) fn request(&mut self, event: usize, at_ms: SimMs, frame: &'h Frame, obligations: &'h Obligations) {
        let (from, to) = (obligations.group_of(&frame.from), obligations.group_of(&frame.to));
        let call = Call { event, at_ms, from, to, server: &frame.to, answer: None };
        if frame.request_code == code::REGISTER_BROKER {
            self.registrations.push((event, &frame.from, frame.bytes.clone()));
            return;
        }
        if frame.bytes.is_empty() || !is_known(frame.request_code) {
            return;
        }
        match WireFrame::read(&frame.bytes) {
            Ok(read) => match self.sort_in(call, &read) {
                Some(pending) => drop(self.pending.insert((frame.connection, frame.opaque), pending)),
                None => self.unreadable.push((event, &frame.from, format!("request {} lacks a field", read.code))),
            },
            Err(error) => self.unreadable.push((event, &frame.from, error.to_string())),
        }
    }

    fn sort_in(&mut self, call: Call<'h>, read: &WireFrame<'h>) -> Option<Pending<'h>> {
        Some(match read.code {
            code::PULL => {
                let (topic, queue, offset) =
                    (read.get("topic")?.to_owned(), read.number("queueId")?, read.number("queueOffset")?);
                let count = read.number("maxMsgNums").unwrap_or(1).clamp(1, LONGEST_SPAN);
                self.pulls.push(Pull {
                    call,
                    topic,
                    queue,
                    offset,
                    count,
                    empty: false,
                    is_damaged: false,
                    brought: (0, None),
                    most_bytes: read.number("maxMsgBytes").filter(|bytes| *bytes > 0),
                    bytes: 0,
                    replicated: Vec::new(),
                    minimum: None,
                    maximum: None,
                    holder_term: None,
                    epoch: None,
                });
                Pending::Pull(self.pulls.len() - 1)
            }
            code::SEND | code::SEND_V2 => {
                self.sends.push(Send {
                    call,
                    topic: read.send_topic()?.to_owned(),
                    properties: message::properties(read.send_properties().unwrap_or_default()),
                    body: read.body,
                    ledger: message::stamp(read.body),
                    stored: None,
                    ack_outcome: None,
                });
                Pending::Send(self.sends.len() - 1)
            }
            code::POP => Pending::Pop {
                call,
                group: read.get("consumerGroup")?.to_owned(),
                topic: read.get("topic")?.to_owned(),
                at_most: read.number("maxMsgNums").unwrap_or(usize::MAX),
                poll_ms: read.number("pollTime").unwrap_or(0),
            },
            code::ACK => {
                self.acks.push(settle(call, read)?);
                Pending::Ack(self.acks.len() - 1)
            }
            code::CHANGE_INVISIBLE => {
                self.renewals.push(settle(call, read)?);
                Pending::Renewal(self.renewals.len() - 1)
            }
            code::BATCH_ACK => {
                self.batch_acks.push((call, Bytes::copy_from_slice(read.body)));
                Pending::BatchAck(self.batch_acks.len() - 1)
            }
            _ => {
                self.orders.push(Ordered { call, order: Order::read(read)? });
                Pending::Order(self.orders.len() - 1)
            }
        })
    }

    /// Takes in a response that left its server.
    pub(super) fn response(&mut self, event: usize, at_ms: SimMs, frame: &'h Frame) {
        let Some(pending) = self.pending.remove(&(frame.connection, frame.opaque)) else { return };
        let answer = Some((event, frame.code));
        let read = if frame.bytes.is_empty() { None } else { Some(WireFrame::read(&frame.bytes)) };
        let read = match read.transpose() {
            Ok(read) => read,
            Err(error) => return self.unreadable.push((event, &frame.from, error.to_string())),
        };
        match pending {
            Pending::Pull(at) => {
                self.last_answered = Some(at);
                let pull = &mut self.pulls[at];
                pull.call.answer = answer;
                if let Some(read) = read {
                    pull.empty = frame.code == 0 && read.body.is_empty();
                    pull.minimum = read.number("minOffset");
                    pull.maximum = read.number("maxOffset");
                    pull.holder_term = read.number("holderTerm");
                    pull.epoch = read.get("topicEpoch").map(str::to_owned);
                    let messages = StoredMessage::read_all(read.body).unwrap_or_default();
                    pull.bytes = read.body.len();
                    pull.brought = (messages.len(), messages.iter().map(|message| message.offset).max());
                    if pull.call.is_to_slave() {
                        pull.replicated = messages;
                    }
                }
            }
            Pending::Ack(at) => self.acks[at].call.answer = answer,
            Pending::BatchAck(at) => self.batch_acks[at].0.answer = answer,
            Pending::Order(at) => {
                let ordered = &mut self.orders[at];
                ordered.call.answer = answer;
                if let Some(read) = read {
                    ordered.order.answered(&read);
                }
            }
            Pending::Renewal(at) => {
                self.renewals[at].call.answer = answer;
                self.renewals[at].renewed = read.and_then(|read| read.number("popTime"));
            }
            Pending::Send(at) => {
                let send = &mut self.sends[at];
                send.call.answer = answer;
                if let Some(read) = read {
                    send.stored = read.number("queueId").zip(read.number("queueOffset"));
                    send.ack_outcome = read.get("ackOutcome").map(str::to_owned);
                }
            }
            Pending::Pop { mut call, group, topic, at_most, poll_ms } => {
                call.answer = answer;
                match (frame.code, read) {
                    (POLLING_TIMEOUT, _) => self.empty_pops.push(VainPop { call, group, topic, poll_ms }),
                    (0, Some(read)) => self.popped(at_ms, call, (&group, &topic, at_most), &read),
                    (0, None) => {}
                    _ => self.refused_pops.push(VainPop { call, group, topic, poll_ms }),
                }
            }
        }
    }

    /// Takes in that the answer which left just now arrives damaged.
    pub(super) fn damaged(&mut self, event: usize) {
        let answered = self.last_answered.and_then(|at| self.pulls.get_mut(at));
        // A fault that damages an answer is told right after it.
        if let Some(pull) = answered.filter(|pull| pull.call.answer.is_some_and(|(answer, _)| answer + 1 == event)) {
            pull.is_damaged = true;
        }
    }

    fn popped(
        &mut self,
        at_ms: SimMs,
        call: Call<'h>,
        (group, asked, at_most): (&str, &str, usize),
        read: &WireFrame<'h>,
    ) {
        let event = call.answer.map_or(call.event, |answer| answer.0);
        let messages = match StoredMessage::read_all(read.body) {
            Ok(messages) => messages,
            Err(error) => return self.unreadable.push((event, call.server, error.to_string())),
        };
        let pop_time: Option<i64> = read.number("popTime");
        for mut message in messages {
            // A message from a retry topic comes under its normal topic's name; its handle tells where it was read.
            let handle = message.property("POP_CK").and_then(Handle::read);
            let told = handle.map(|it| (it.real_topic(group, asked), it.queue, it.offset, it.pop_time));
            let (topic, popped_at) = match told {
                Some((topic, queue, offset, popped_at)) => {
                    (message.queue, message.offset) = (queue, offset);
                    (topic, Some(popped_at))
                }
                None => (message.topic.clone(), pop_time),
            };
            let Some(pop_time) = popped_at else {
                self.unreadable.push((event, call.server, "a pop's answer lacks popTime".into()));
                continue;
            };
            let (group, asked, named) = (group.to_owned(), asked.to_owned(), message.topic.clone());
            self.deliveries.push(Delivery { call, at_ms, group, asked, named, topic, message, pop_time, at_most });
        }
    }

    /// Whether a request left that acks this message, by itself or in a batch of its group.
    #[must_use]
    pub fn ack_was_sent(&self, group: &str, topic: &str, queue: i32, offset: i64) -> bool {
        let is_it = |ack: &Settle<'_>| {
            (ack.group.as_str(), ack.topic.as_str(), ack.queue, ack.offset) == (group, topic, queue, offset)
        };
        let batched = |body: &Bytes| match serde_json::from_slice::<Batch<'_>>(body) {
            Ok(batch) => batch.acks.iter().any(|item| item.c == group && item.q == queue && item.so <= offset),
            Err(_) => false,
        };
        self.acks.iter().any(is_it) || self.batch_acks.iter().any(|(_, body)| batched(body))
    }
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    acks: Vec<BatchItem<'a>>,
}

#[derive(Deserialize)]
struct BatchItem<'a> {
    c: &'a str,
    q: i32,
    so: i64,
}

const fn is_known(request: i32) -> bool {
    let is_about_messages = matches!(
        request,
        code::PULL | code::SEND | code::SEND_V2 | code::POP | code::ACK | code::CHANGE_INVISIBLE | code::BATCH_ACK
    );
    is_about_messages || Order::is_one(request)
}

fn settle<'h>(call: Call<'h>, read: &WireFrame<'_>) -> Option<Settle<'h>> {
    let handle = Handle::read(read.get("extraInfo")?)?;
    Some(Settle {
        call,
        group: read.get("consumerGroup")?.to_owned(),
        topic: read.get("topic")?.to_owned(),
        queue: read.number("queueId")?,
        offset: read.number("offset")?,
        broker: handle.broker.to_owned(),
        pop_time: handle.pop_time,
        renewed: None,
    })
}

/// A checkpoint that a broker was sent: which chains it hands over.
#[derive(Debug, Deserialize)]
pub struct Checkpoint {
    /// Who holds the messages.
    #[serde(rename = "bn")]
    pub broker: String,
    /// Consumer group.
    #[serde(rename = "c")]
    pub group: String,
    /// Messages that are acked already, a bit each.
    #[serde(rename = "bm", default)]
    pub acked: i32,
    /// How many messages it stands for.
    #[serde(rename = "n", default)]
    pub count: i64,
    /// Offsets relative to the start; old checkpoints lack them, and their messages follow each other.
    #[serde(rename = "d", default)]
    pub differences: Vec<i64>,
    /// When they were popped, Unix ms.
    #[serde(rename = "pt")]
    pub pop_time: i64,
    /// Queue.
    #[serde(rename = "q")]
    pub queue: i32,
    /// First offset.
    #[serde(rename = "so")]
    pub start: i64,
    /// Topic.
    #[serde(rename = "t")]
    pub topic: String,
}

impl Checkpoint {
    /// The offsets of its messages, and whether it tells each as acked.
    pub fn offsets(&self) -> impl Iterator<Item = (i64, bool)> {
        let differences = match self.differences.is_empty() {
            true => (0..self.count.clamp(0, LONGEST_SPAN)).collect(),
            false => self.differences.clone(),
        };
        let is_acked = |bit: u32| self.acked.checked_shr(bit).is_some_and(|map| map & 1 == 1);
        (0..).zip(differences).map(move |(bit, difference)| (self.start + difference, is_acked(bit)))
    }
}

impl Send<'_> {
    /// A property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The checkpoint it carries, if it is one that goes to a revive topic.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        if self.is_for_reviver("ck") { serde_json::from_slice(self.body).ok() } else { None }
    }

    /// Whether it should carry a checkpoint, and what it carries is none.
    #[must_use]
    pub fn is_garbled(&self) -> bool {
        self.is_for_reviver("ck") && self.checkpoint().is_none()
    }

    fn is_for_reviver(&self, tag: &str) -> bool {
        self.topic.starts_with("rmq_sys_REVIVE_LOG_") && self.property("TAGS") == Some(tag)
    }
}
