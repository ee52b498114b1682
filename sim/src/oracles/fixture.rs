//! Histories made by hand: what the oracles' own tests are written in.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde_json::{Map, Value, json};

pub(crate) use super::fixture_facts::{at, chain, encode, message, stamp};
use super::{Verdict, judge};
use crate::{
    evidence::{ChainFact, ChainState, CopyPlace, DurableEntry, Fact, Outcome, Position, StoredMessage, frame::code},
    history::{AckVerdict, Acked, Delivery, Event, EventKind, Frame, History, LedgerId, Noted, Popped, Seen, Sent},
    ledger::{GroupSpec, Obligations, PolicySpec},
};

/// A history under construction; one broker `a` with topic `t`, a second one `b`, group `g`.
pub(crate) struct Story {
    pub(crate) history: History,
    pub(crate) obligations: Obligations,
    pub(crate) now_ms: u64,
    indexes: [u64; 2],
    calls: i32,
    /// When messages were popped whose copies were made.
    first_pops: BTreeMap<LedgerId, i64>,
}

/// The slave of `a`, in a story that has one.
const SLAVE: &str = "a-s1";

impl Story {
    /// Both brokers know and have registered topic `t`; group `g` takes everything.
    pub(crate) fn new() -> Self {
        let group = GroupSpec {
            name: "g".into(),
            topic: "t".into(),
            tag_filter: "*".into(),
            reconsume_limit: 2,
            starts_at_end: false,
        };
        let policy = PolicySpec { waits_ms: vec![1000, 2000], rewrites: 2, total_ms: None, jitter: 0.0, refusals: 2 };
        let brokers = vec!["a".into(), "b".into()];
        let obligations = Obligations { groups: vec![group], brokers, policy, ..Obligations::default() };
        let mut story = Self {
            history: History::default(),
            obligations,
            now_ms: 1000,
            indexes: [0; 2],
            calls: 0,
            first_pops: BTreeMap::new(),
        };
        for node in ["a", "b"] {
            story.durable(node, vec![story.topic("t"), story.topic("%RETRY%g_t"), story.topic("%DLQ%g")]);
            let body = br#"{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{}}}}"#;
            story.request(node, "namesrv", code::REGISTER_BROKER, &[], body);
        }
        story
    }

    /// A message of `a` that a consumer has, and its chain.
    pub(crate) fn popped() -> (Self, ChainFact) {
        let mut story = Self::new();
        story.send(1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        story.wait(10);
        (story, chain)
    }

    /// `b` is home of a chain about `a`'s message; the time is when it is due.
    pub(crate) fn due() -> (Self, ChainFact) {
        let mut story = Self::new();
        story.obligations.escapes.insert("a".into(), "b".into());
        story.send(1, 0).wait(10);
        let chain = chain("t", 0, story.now_ms);
        story.durable("b", vec![chain.clone().fact()]).wait(10_000);
        (story, chain)
    }

    /// An attempt at `b` is made durable, leaves, fails 10 ms later, and the next is due after `wait_ms`.
    pub(crate) fn attempt(&mut self, chain: ChainFact, wait_ms: u64) -> ChainFact {
        let number = chain.attempt + 1;
        let begun = chain.attempt(number).open(self.now_ms + 17_000);
        self.durable("b", vec![begun.clone().fact()]);
        self.read(0);
        let failed = begun.failed("timeout").open(self.wait(10).now_ms + wait_ms);
        self.durable("b", vec![failed.clone().fact()]);
        failed
    }

    /// The same, and `a` has a slave `a-s1`, which has nothing yet.
    pub(crate) fn with_slave() -> Self {
        let mut story = Self::new();
        story.obligations.slaves.insert(SLAVE.into(), "a".into());
        story
    }

    pub(crate) fn topic(&self, name: &str) -> Fact {
        let epoch = Position { term: 1, index: 1 };
        Fact::Topic { name: name.into(), perm: 6, read_queues: 1, write_queues: 1, epoch }
    }

    pub(crate) fn wait(&mut self, ms: u64) -> &mut Self {
        self.now_ms += ms;
        self
    }

    pub(crate) fn event(&mut self, kind: EventKind) -> &mut Self {
        self.history.events.push(Event { at_ms: self.now_ms, kind });
        self
    }

    /// One more log entry on a node's disk.
    pub(crate) fn durable(&mut self, node: &str, mut facts: Vec<Fact>) -> &mut Self {
        self.note_first_pops(&mut facts);
        let slot = usize::from(node == "b");
        self.indexes[slot] += 1;
        let entry = Arc::new(DurableEntry {
            term: 1,
            index: self.indexes[slot],
            checksum: 0,
            length: 100,
            at_ms: at(self.now_ms),
            facts,
        });
        self.event(EventKind::Noted(Noted::Durable { node: node.into(), sync: self.indexes[slot], entry }))
    }

    /// Copies that are made in these facts tell when their messages were popped for the first time, as a broker has them
    /// do, unless they tell it already.
    fn note_first_pops(&mut self, facts: &mut [Fact]) {
        let ends = |fact: &Fact| match fact {
            Fact::Chain(chain) => match &chain.state {
                ChainState::Ended { outcome: Outcome::Revived(place) | Outcome::DeadLettered(place), .. } => {
                    Some((place.clone(), chain.id.clone()))
                }
                _ => None,
            },
            _ => None,
        };
        let made: Vec<_> = facts.iter().filter_map(ends).collect();
        for fact in facts {
            let Fact::Message(copy) = fact else { continue };
            let is_it = |place: &CopyPlace| (&place.topic, place.offset) == (&copy.topic, copy.offset);
            let Some((_, by)) = made.iter().find(|(place, _)| is_it(place)) else { continue };
            let stamp = copy.ledger.clone().unwrap_or_else(|| stamp(0));
            if copy.reconsume <= 1 {
                self.first_pops.insert(stamp.clone(), by.pop_time);
            }
            let first = self.first_pops.get(&stamp).copied().unwrap_or(by.pop_time);
            if copy.properties.iter().all(|(name, _)| name != "1ST_POP_TIME") {
                copy.properties.push(("1ST_POP_TIME".into(), first.to_string()));
            }
            if copy.topic.starts_with("%DLQ%") {
                copy.properties.push(("DLQ_ORIGIN_MESSAGE_ID".into(), message(&by.topic, by.offset, 0, 0).offset_id));
                copy.properties.push(("DLQ_ORIGIN_TOPIC".into(), by.topic.clone()));
            }
        }
    }

    /// The entry of `a`'s log at an index, as it is on `a`'s disk.
    pub(crate) fn entry(&self, index: u64) -> DurableEntry {
        let found = self.history.events.iter().find_map(|event| match &event.kind {
            EventKind::Noted(Noted::Durable { node, entry, .. }) if node == "a" && entry.index == index => Some(entry),
            _ => None,
        });
        (**found.unwrap()).clone()
    }

    /// The last entry of a node's log.
    pub(crate) fn last_entry_of(&self, of: &str) -> Arc<DurableEntry> {
        let last = self.history.events.iter().rev().find_map(|event| match &event.kind {
            EventKind::Noted(Noted::Durable { node, entry, .. }) if node == of => Some(entry),
            _ => None,
        });
        last.unwrap().clone()
    }

    /// The slave has this entry of `a`'s log.
    pub(crate) fn replicate(&mut self, index: u64) -> &mut Self {
        self.slave_has(self.entry(index))
    }

    /// The slave has every entry of `a`'s log from this one on.
    pub(crate) fn catch_up(&mut self, from: u64) -> &mut Self {
        for index in from..=self.indexes[0] {
            self.replicate(index);
        }
        self
    }

    /// The slave has this entry, whatever `a` has.
    pub(crate) fn slave_has(&mut self, entry: DurableEntry) -> &mut Self {
        self.member_has(SLAVE, entry)
    }

    /// This slave has this entry, whatever `a` has.
    pub(crate) fn member_has(&mut self, slave: &str, entry: DurableEntry) -> &mut Self {
        self.event(EventKind::Noted(Noted::Durable { node: slave.into(), sync: entry.index, entry: Arc::new(entry) }))
    }

    /// One request; its number.
    pub(crate) fn request(&mut self, from: &str, to: &str, code: i32, ext: &[(&str, &str)], body: &[u8]) -> i32 {
        self.calls += 1;
        let bytes = frame_bytes(code, self.calls, ext, body);
        let frame = frame((from, to), self.calls, (code, 0), bytes);
        self.event(EventKind::Request(frame)).arrives(Some(0));
        self.calls
    }

    pub(crate) fn response(
        &mut self,
        call: (&str, &str, i32),
        (asked, answered): (i32, i32),
        ext: &[(&str, &str)],
        body: &[u8],
    ) -> &mut Self {
        let (from, to, opaque) = call;
        let bytes = frame_bytes(answered, opaque, ext, body);
        self.event(EventKind::Response(frame((from, to), opaque, (asked, answered), bytes))).arrives(Some(0))
    }

    /// The frame that left last arrives so much later; `None` is never.
    pub(crate) fn arrives(&mut self, after_ms: Option<u64>) -> &mut Self {
        let arrived_ms = after_ms.map(|ms| self.now_ms + ms);
        match self.history.events.last_mut().map(|event| &mut event.kind) {
            Some(EventKind::Request(frame) | EventKind::Response(frame)) => frame.arrived_ms = arrived_ms,
            other => panic!("no frame left last, but {other:?}"),
        }
        self
    }

    /// A producer sends message `number` to `a`, which stores it at `offset` and says so.
    pub(crate) fn send(&mut self, number: u32, offset: i64) -> &mut Self {
        let opaque = self.ask_send(number);
        self.durable("a", vec![Fact::Message(message("t", offset, number, 0))]);
        self.answer_send(opaque, number, offset)
    }

    pub(crate) fn ask_send(&mut self, number: u32) -> i32 {
        let body = message("t", 0, number, 0).body;
        self.request("p", "a", code::SEND_V2, &[("b", "t"), ("i", "TAGS\u{1}A\u{2}")], &body)
    }

    pub(crate) fn answer_send(&mut self, opaque: i32, number: u32, offset: i64) -> &mut Self {
        let text = offset.to_string();
        self.response(("a", "p", opaque), (code::SEND_V2, 0), &[("queueId", "0"), ("queueOffset", &text)], b"");
        let sent = Sent {
            producer: "p".into(),
            ledger: stamp(number),
            topic: "t".into(),
            tag: Some("A".into()),
            delay_ms: None,
            broker: "a".into(),
            began_ms: self.now_ms,
            seen: Seen::Ok((0, offset)),
        };
        self.event(EventKind::Noted(Noted::Sent(sent)))
    }

    /// Group `g` pops a message of `a`'s disk: chain and offset become durable, the answer leaves, the client gets it.
    pub(crate) fn pop(&mut self, topic: &str, offset: i64, number: u32, reconsume: i32) -> ChainFact {
        let opened = chain(topic, offset, self.now_ms);
        let moved = Fact::Offset { group: "g".into(), topic: topic.into(), queue: 0, offset: offset + 1 };
        self.durable("a", vec![opened.clone().fact(), moved]);
        self.hand_out(&message(topic, offset, number, reconsume));
        opened
    }

    /// A pop answer of `a` with this message leaves and reaches the client.
    pub(crate) fn hand_out(&mut self, stored: &StoredMessage) -> &mut Self {
        let opaque = self.request("c", "a", code::POP, &[("consumerGroup", "g"), ("topic", "t")], b"");
        let time = at(self.now_ms).to_string();
        let retry = i32::from(stored.topic.starts_with("%RETRY%"));
        let handle = format!("0 {time} 10000 1001 {retry} a 0 {}", stored.offset);
        let mut handed = stored.clone();
        handed.properties.push(("POP_CK".into(), handle.clone()));
        handed.topic = "t".into();
        self.response(("a", "c", opaque), (code::POP, 0), &[("popTime", &time)], &encode(&handed));
        let delivery = Delivery {
            ledger: stored.ledger.clone(),
            handle,
            topic: stored.topic.clone(),
            queue: 0,
            offset: stored.offset,
            reconsume: stored.reconsume,
            body: stored.body.clone(),
            properties: handed.properties,
        };
        let popped = Popped {
            consumer: "c".into(),
            group: "g".into(),
            topic: "t".into(),
            broker: "a".into(),
            began_ms: self.now_ms,
            seen: Seen::Ok(vec![delivery]),
        };
        self.event(EventKind::Noted(Noted::Popped(popped)))
    }

    /// The consumer acks the chain's message and sees this.
    pub(crate) fn ack(&mut self, chain: &ChainFact, number: u32, reconsume: i32, seen: Seen<AckVerdict>) -> &mut Self {
        let id = &chain.id;
        let acked = Acked {
            consumer: "c".into(),
            group: "g".into(),
            ledger: Some(stamp(number)),
            handle: format!("0 {} 10000 1001 0 a 0 {}", id.pop_time, id.offset),
            place: (id.topic.clone(), id.queue, id.offset),
            reconsume,
            began_ms: self.now_ms,
            seen,
        };
        self.event(EventKind::Noted(Noted::Acked(acked)))
    }

    /// The chain ends as acked, then the client sees it.
    pub(crate) fn absorb(&mut self, chain: &ChainFact, number: u32, reconsume: i32) -> &mut Self {
        self.durable("a", vec![chain.clone().ended(Outcome::Acked).fact()]);
        self.ack(chain, number, reconsume, Seen::Ok(AckVerdict::Absorbed))
    }

    /// Topic `t` is deleted at `a`; the place of the entry that says so.
    pub(crate) fn delete_topic(&mut self) -> Position {
        let at = Position { term: 1, index: self.indexes[0] + 1 };
        self.durable("a", vec![Fact::TopicDeleted { name: "t".into(), epoch: Position { term: 1, index: 1 }, at }]);
        at
    }

    /// Topic `t` is created again at `a`.
    pub(crate) fn create_topic(&mut self) -> &mut Self {
        let epoch = Position { term: 1, index: self.indexes[0] + 1 };
        self.durable("a", vec![Fact::Topic { name: "t".into(), perm: 6, read_queues: 1, write_queues: 1, epoch }])
    }

    /// Group `g` is set to an offset of `t` at `a`; these chains end with it.
    pub(crate) fn reset(&mut self, offset: i64, chains: &[&ChainFact]) -> &mut Self {
        let reset = Fact::OffsetReset { group: "g".into(), topic: "t".into(), queue: 0, offset };
        let ends = chains.iter().map(|chain| (*chain).clone().ended(Outcome::Reset).fact());
        let facts = std::iter::once(reset).chain(ends).collect();
        self.durable("a", facts)
    }

    /// The chain is revived at `a` as copy `offset` of the retry topic.
    pub(crate) fn revive(&mut self, chain: &ChainFact, offset: i64, number: u32, reconsume: i32) -> &mut Self {
        let copy = Fact::Message(message("%RETRY%g_t", offset, number, reconsume));
        self.durable("a", vec![copy, chain.clone().revived("%RETRY%g_t", offset).fact()])
    }

    /// `b` reads message `offset` of `t` from `a`; the request's number.
    pub(crate) fn read(&mut self, offset: i64) -> i32 {
        self.read_span(offset, 1)
    }

    /// `b` reads `count` messages of `t` from `a`, from `offset` on; the request's number.
    pub(crate) fn read_span(&mut self, offset: i64, count: i64) -> i32 {
        let (from, count) = (offset.to_string(), count.to_string());
        let ext = [("topic", "t"), ("queueId", "0"), ("queueOffset", from.as_str()), ("maxMsgNums", count.as_str())];
        self.request("b", "a", code::PULL, &ext, b"")
    }

    /// `b` reads message `offset` of `t` from `a`'s slave; the request's number.
    pub(crate) fn read_slave(&mut self, offset: i64) -> i32 {
        let from = offset.to_string();
        let ext = [("topic", "t"), ("queueId", "0"), ("queueOffset", from.as_str()), ("maxMsgNums", "1")];
        self.request("b", SLAVE, code::PULL, &ext, b"")
    }

    /// The message at an offset of `t` when messages are numbered like their offsets.
    pub(crate) fn stored_message(&self, offset: i64) -> StoredMessage {
        message("t", offset, u32::try_from(offset).unwrap(), 0)
    }

    /// Whether a promise is found broken, in these words.
    pub(crate) fn is_blamed(&mut self, promise: &str, words: &str) -> bool {
        self.judge().violations.iter().any(|it| it.promise == promise && it.detail.contains(words))
    }

    pub(crate) fn judge(&mut self) -> Verdict {
        self.event(EventKind::Over);
        judge(&self.history, &self.obligations)
    }

    /// No promise is broken.
    #[track_caller]
    pub(crate) fn holds(&mut self) -> Verdict {
        let verdict = self.judge();
        assert_eq!(verdict.violations, [], "a correct history is accused");
        verdict
    }

    /// This promise is broken, and some detail says so in these words.
    #[track_caller]
    pub(crate) fn breaks(&mut self, promise: &str, words: &str) {
        let verdict = self.judge();
        let is_it = |it: &&super::Violation| it.promise == promise && it.detail.contains(words);
        assert!(
            verdict.violations.iter().any(|it| is_it(&it)),
            "no {promise} with `{words}` in {:#?}",
            verdict.violations
        );
    }
}

fn frame((from, to): (&str, &str), opaque: i32, (request_code, code): (i32, i32), bytes: Bytes) -> Frame {
    let length = bytes.len();
    let (from, to) = (from.into(), to.into());
    Frame { from, to, connection: 1, opaque, request_code, code, arrived_ms: None, length, bytes }
}

fn frame_bytes(code: i32, opaque: i32, ext: &[(&str, &str)], body: &[u8]) -> Bytes {
    let ext: Map<String, Value> = ext.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let header = json!({ "code": code, "opaque": opaque, "flag": 0, "extFields": ext }).to_string();
    let length = u32::try_from(4 + header.len() + body.len()).unwrap();
    let header_length = u32::try_from(header.len()).unwrap();
    [&length.to_be_bytes(), &header_length.to_be_bytes(), header.as_bytes(), body].concat().into()
}
