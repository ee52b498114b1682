//! Checkpoints that clients send: they stand for slaves of another make, which hand out messages of one broker and have
//! another keep the chains. Such a chain is born at its home, and what its checkpoint tells as acked has none at all.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Place, wire::Wire};
use crate::{
    evidence::{ChainId, frame::Handle},
    history::{History, Noted, Seen},
    plan::{NodeName, SimMs},
};

/// Broker, topic, queue and offset of a message, and the group it was handed out to.
type Message = (String, String, i32, i64, String);

/// What clients' checkpoints say.
#[derive(Debug, Default)]
pub struct Foreign {
    /// What they stand for, as (message, pop time) → when it was handed out.
    popped: FxHashMap<(Message, i64), SimMs>,
    /// Messages that a checkpoint told as acked → position of the first answer that it is stored.
    acked: FxHashMap<Message, usize>,
}

impl Foreign {
    pub(super) fn of(history: &History, wire: &Wire<'_>, brokers: &[NodeName]) -> Self {
        let mut foreign = Self::default();
        let mut named = FxHashSet::default();
        for send in wire.sends.iter().filter(|send| brokers.iter().all(|broker| broker != send.call.from)) {
            let Some(checkpoint) = send.checkpoint() else { continue };
            for (offset, is_acked) in checkpoint.offsets() {
                let (broker, topic) = (checkpoint.broker.clone(), checkpoint.topic.clone());
                let message = (broker, topic, checkpoint.queue, offset, checkpoint.group.clone());
                if let Some((event, 0)) = send.call.answer.filter(|_| is_acked) {
                    // A checkpoint that is sent again may be answered before the first one is.
                    let first = foreign.acked.entry(message.clone()).or_insert(event);
                    *first = event.min(*first);
                }
                named.insert((message, checkpoint.pop_time));
            }
        }
        if !named.is_empty() {
            foreign.note_pops(history, &named);
        }
        foreign
    }

    fn note_pops(&mut self, history: &History, named: &FxHashSet<(Message, i64)>) {
        for (at_ms, noted) in history.noted() {
            let Noted::Popped(popped) = noted else { continue };
            let Seen::Ok(messages) = &popped.seen else { continue };
            for it in messages {
                let Some(handle) = Handle::read(&it.handle) else { continue };
                let broker = handle.broker.to_owned();
                let message = (broker, it.topic.clone(), it.queue, it.offset, popped.group.clone());
                let pop = (message, handle.pop_time);
                if named.contains(&pop) {
                    self.popped.entry(pop).or_insert(at_ms);
                }
            }
        }
    }

    /// When the message of a chain was handed out, if a client's checkpoint stands for it.
    #[must_use]
    pub fn popped_ms(&self, id: &ChainId) -> Option<SimMs> {
        if self.popped.is_empty() {
            return None;
        }
        let message = (id.broker.clone(), id.topic.clone(), id.queue, id.offset, id.group.clone());
        self.popped.get(&(message, id.pop_time)).copied()
    }

    /// Since when a client knows that a checkpoint is stored which tells this message as acked: position in the history.
    #[must_use]
    pub fn acked_within(&self, place: Place<'_>, group: &str) -> Option<usize> {
        if self.acked.is_empty() {
            return None;
        }
        let Place { node, topic, queue, offset, .. } = place;
        self.acked.get(&(node.to_owned(), topic.to_owned(), queue, offset, group.to_owned())).copied()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{ChainFact, Fact, Outcome, frame::code},
        history::{AckVerdict, Delivery, EventKind, Noted, Popped, Seen},
        oracles::fixture::{Story, at, chain, message},
    };

    /// Client `c` hands out the first messages of `a`, in the name of a slave, and notes it.
    fn handed_out(count: u32) -> (Story, Vec<ChainFact>) {
        let mut story = Story::new();
        for number in 0..count {
            story.send(number, number.into());
        }
        let pop_ms = story.wait(10).now_ms;
        let delivery = |number: u32| {
            let message = message("t", number.into(), number, 0);
            Delivery {
                ledger: message.ledger,
                handle: format!("0 {} 10000 0 0 a 0 {number}", at(pop_ms)),
                topic: message.topic,
                queue: 0,
                offset: number.into(),
                reconsume: 0,
                body: message.body,
                properties: message.properties,
            }
        };
        let popped = Popped {
            consumer: "c".into(),
            group: "g".into(),
            topic: "t".into(),
            broker: "a".into(),
            began_ms: pop_ms,
            seen: Seen::Ok((0..count).map(delivery).collect()),
        };
        story.event(EventKind::Noted(Noted::Popped(popped))).wait(10);
        let chains = (0..count).map(|number| chain("t", number.into(), pop_ms)).collect();
        (story, chains)
    }

    /// The client sends the checkpoint of `count` messages in the old form with these acked; `b` has the chains and says so.
    fn kept(story: &mut Story, chains: &[ChainFact], acked: i32, durable: &[&ChainFact]) {
        let call = sent(story, chains, acked);
        story.durable("b", durable.iter().map(|chain| (*chain).clone().fact()).collect());
        told(story, call);
        committed(story, chains);
    }

    fn sent(story: &mut Story, chains: &[ChainFact], acked: i32) -> i32 {
        let (count, time) = (chains.len(), chains[0].id.pop_time);
        let body =
            format!(r#"{{"bm":{acked},"bn":"a","c":"g","it":10000,"n":{count},"pt":{time},"q":0,"so":0,"t":"t"}}"#);
        let ext = [("b", "rmq_sys_REVIVE_LOG_C"), ("i", "TAGS\u{1}ck\u{2}")];
        story.request("c", "b", code::SEND_V2, &ext, body.as_bytes())
    }

    /// `b` says that it is stored.
    fn told(story: &mut Story, call: i32) {
        story.response(("b", "c", call), (code::SEND_V2, 0), &[("queueId", "0"), ("queueOffset", "0")], b"");
    }

    fn committed(story: &mut Story, chains: &[ChainFact]) {
        let offset = i64::try_from(chains.len()).unwrap_or(0);
        story.durable("a", vec![Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset }]);
    }

    #[test]
    fn what_a_checkpoint_tells_as_acked_needs_no_chain_and_all_else_does() {
        let of_two = |acked: i32| {
            let (mut story, chains) = handed_out(2);
            story.register("b", "10.0.1.2:10911", r#"{"%RETRY%g_t":{}}"#, Some(0));
            let second = chains[1].clone().ended(Outcome::Acked);
            kept(&mut story, &chains, acked, &[&second]);
            for (number, chain) in (0..).zip(&chains) {
                story.ack(chain, number, 0, Seen::Ok(AckVerdict::Absorbed));
            }
            story
        };
        of_two(0b01).holds();
        let mut unmarked = of_two(0b00);
        for (promise, words) in [
            ("P1", "a/t/0/0 was passed"),
            ("P5", "no chain stands for it"),
            ("P9", "b took a checkpoint from c"),
            ("P9", "no disk held a chain that had ended as acked"),
        ] {
            assert!(unmarked.is_blamed(promise, words), "{promise} {words}");
        }
    }

    #[test]
    fn a_checkpoint_that_was_sent_again_is_stored_when_the_first_answer_says_so() {
        let (mut story, chains) = handed_out(1);
        let (lost, again) = (sent(&mut story, &chains, 0b1), sent(&mut story, &chains, 0b1));
        told(&mut story, again);
        story.ack(&chains[0], 0, 0, Seen::Ok(AckVerdict::Absorbed));
        committed(&mut story, &chains);
        told(&mut story, lost);
        story.holds();
    }

    #[test]
    fn a_mark_is_no_ack_of_anybody() {
        let (mut story, chains) = handed_out(1);
        kept(&mut story, &chains, 0b1, &[]);
        story.breaks("P1", "lost for g");
    }

    #[test]
    fn what_was_marked_is_not_copied_any_more() {
        let (mut story, chains) = handed_out(1);
        kept(&mut story, &chains, 0b1, &[&chains[0]]);
        story.ack(&chains[0], 0, 0, Seen::Ok(AckVerdict::Absorbed)).wait(10_000);
        let copy = Fact::Message(message("%RETRY%g_t", 0, 0, 1));
        story.durable("b", vec![copy, chains[0].clone().attempt(1).revived("%RETRY%g_t", 0).fact()]);
        story.breaks("P3", "copy 1 exists as b/%RETRY%g_t/0/0");
    }

    #[test]
    fn the_invisible_time_runs_from_the_pop_and_not_from_the_checkpoint() {
        for (is_noted, blamed) in [(true, false), (false, true)] {
            let (mut story, chains) = handed_out(1);
            if !is_noted {
                story.history.events.retain(|event| !matches!(event.kind, EventKind::Noted(Noted::Popped(_))));
            }
            kept(story.wait(8_000), &chains, 0, &[&chains[0]]);
            let copy = Fact::Message(message("%RETRY%g_t", 0, 0, 1));
            let revived = chains[0].clone().attempt(1).revived("%RETRY%g_t", 0);
            story.wait(2_000).durable("b", vec![copy, revived.fact()]);
            assert_eq!(story.is_blamed("P6", "it comes back after"), blamed);
        }
    }
}
