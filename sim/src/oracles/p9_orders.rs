//! Part of P9: an order that was answered with success is carried out, on as many disks as the degree says.
//!
//! Rule, when the success leaves: a topic or a group is as it was asked for, or the topic is gone; each offset that a reset
//! tells was set since it was asked for; as many chains as are told were resumed since, and of those that it is about none
//! is parked as it was before; the term that a member was given was taken since, for it, and is above the one it named; the
//! delayed messages that it handed over were taken; a merge is known, or a later one.

use super::Findings;
use crate::{
    evidence::{ChainState, Fact, TimerId},
    ledger::{
        ChainLife, Ledger, LogStep,
        orders::{Order, Ordered},
    },
};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for ordered in &ledger.wire.orders {
        let Some((event, 0)) = ordered.call.answer else { continue };
        let answered = Answered { ledger, ordered, event };
        if let Err(why) = answered.check() {
            let detail = format!("{} was told that it is done, {why}", ordered.call.from);
            found.broken(ledger.at_ms(event), ordered.call.to, detail);
        }
    }
}

/// An order whose success left its server at `event`.
struct Answered<'l> {
    ledger: &'l Ledger<'l>,
    ordered: &'l Ordered<'l>,
    event: usize,
}

impl Answered<'_> {
    fn check(&self) -> Result<(), String> {
        let is_done = match &self.ordered.order {
            Order::Topic { name, perm, read_queues, write_queues } => self.stands(
                |fact| is_topic(fact, name),
                |fact| match fact {
                    Fact::Topic { perm: is_perm, read_queues: reads, write_queues: writes, .. } => {
                        (is_perm, reads, writes) == (perm, read_queues, write_queues)
                    }
                    _ => false,
                },
            ),
            Order::NoTopic { name } => {
                let is_gone = |fact: &Fact| matches!(fact, Fact::TopicDeleted { .. });
                self.last_before(|fact| is_topic(fact, name)).is_none()
                    || self.stands(|fact| is_topic(fact, name), is_gone)
            }
            Order::Group { name, retry_max_times } => self.stands(
                |fact| matches!(fact, Fact::Group { name: of, .. } if of == name),
                |fact| matches!(fact, Fact::Group { retry_max_times: is, .. } if is == retry_max_times),
            ),
            Order::Reset { group, topic, told, .. } => {
                let is_set = |(queue, offset): &(i32, i64)| {
                    self.since(|fact| {
                        matches!(fact, Fact::OffsetReset { group: g, topic: t, queue: q, offset: o }
                            if (g, t, q, o) == (group, topic, queue, offset))
                    })
                };
                !told.is_empty() && told.iter().all(is_set)
            }
            Order::Resume { chain, told } => return self.resumed(chain.as_deref(), *told),
            // A slave waits for its master's lease to be over.
            Order::Seal { member: 1.., leased: true, .. } => true,
            // A slave may have to ask the other one after all.
            Order::Seal { agreed: Some((_, false)), .. } => true,
            Order::Seal { group, member, above, agreed, told, .. } => {
                told.is_some_and(|term| term > *above)
                    && agreed.is_none_or(|(agreed, _)| self.is_unended(group, agreed, *told))
                    && self.since(|fact| {
                        matches!(fact, Fact::Sealed { group: of, term, member: by }
                            if (of, by, Some(*term)) == (group, member, *told))
                    })
            }
            Order::TakeTimers { group, timers } => timers.iter().all(|asked| self.took(group, *asked)),
            Order::Merged { group, term } => self
                .confirmed(|fact| matches!(fact, Fact::Merged { group: of, term: is } if of == group && is >= term))
                .next()
                .is_some(),
        };
        if is_done { Ok(()) } else { Err(format!("and no disk says so: {:?}", self.ordered.order)) }
    }

    /// The entries that were confirmed when the answer left and say something.
    fn confirmed(&self, says: impl Fn(&Fact) -> bool) -> impl Iterator<Item = &LogStep<'_>> {
        let node = self.ordered.call.to;
        let log = self.ledger.logs.get(node).into_iter().flatten().take_while(|step| step.event < self.event);
        log.filter(move |step| step.entry.facts.iter().any(&says))
            .filter(move |step| self.ledger.is_confirmed(node, step.entry.index, step.event, self.event))
    }

    fn took(&self, group: &str, asked: TimerId) -> bool {
        let is_it = |fact: &Fact| matches!(fact, Fact::TimerTaken { group: of, timer, .. } if (&**of, *timer) == (group, asked));
        self.confirmed(is_it).next().is_some()
    }

    /// Whether the group's master had taken no term since its slaves agreed, when a slave took that one.
    fn is_unended(&self, group: &str, agreed: u64, told: Option<u64>) -> bool {
        let seals = |fact: &Fact| match fact {
            Fact::Sealed { group: of, term, member } if of == group => Some((*term, *member)),
            _ => None,
        };
        let log = self.ledger.logs.get(self.ordered.call.to).into_iter().flatten();
        let all = log.flat_map(|step| step.entry.facts.iter().filter_map(seals));
        let mut before = all.take_while(|(term, _)| Some(*term) != told);
        !before.any(|(term, member)| member == 0 && term >= agreed)
    }

    /// Whether one of them came after the order was given.
    fn since(&self, says: impl Fn(&Fact) -> bool) -> bool {
        self.confirmed(says).any(|step| step.event > self.ordered.call.event)
    }

    /// Index of the last entry before the order that says something.
    fn last_before(&self, says: impl Fn(&Fact) -> bool) -> Option<u64> {
        let log = self.ledger.logs.get(self.ordered.call.to).into_iter().flatten();
        let before = log.take_while(|step| step.event < self.ordered.call.event);
        before.filter(|step| step.entry.facts.iter().any(&says)).last().map(|step| step.entry.index)
    }

    /// Whether what was asked for was so at some moment between the order and its answer: the last that is said about it
    /// before the order, or something that is said later.
    fn stands(&self, is_about: impl Fn(&Fact) -> bool, is_it: impl Fn(&Fact) -> bool) -> bool {
        let last = self.last_before(&is_about).unwrap_or(0);
        self.confirmed(|fact| is_about(fact) && is_it(fact)).any(|step| step.entry.index >= last)
    }

    fn resumed(&self, chain: Option<&str>, told: Option<usize>) -> Result<(), String> {
        let lives = self.ledger.chains.iter().filter(|life| life.node == self.ordered.call.to);
        let mut resumed = 0;
        for life in lives.filter(|life| chain.is_none_or(|chain| life.id.to_string() == chain)) {
            let confirmed = self.ledger.confirmed_steps(life, self.event);
            let rounds = confirmed.windows(2).filter(|pair| pair[0].chain.round < pair[1].chain.round);
            resumed += rounds.filter(|pair| pair[1].event > self.ordered.call.event).count();
            let is_left = confirmed.last().is_some_and(|last| last.event < self.ordered.call.event && is_parked(last));
            if is_left && !self.is_forgotten(life) {
                return Err(format!("and {} is parked as it was before", life.id));
            }
        }
        match told {
            Some(told) if told <= resumed => Ok(()),
            _ => Err(format!("for {told:?} chains, {resumed} were resumed since")),
        }
    }

    fn is_forgotten(&self, life: &ChainLife<'_>) -> bool {
        self.ledger.forgotten.iter().any(|it| (it.node, it.id) == (life.node, life.id))
    }
}

fn is_topic(fact: &Fact, of: &str) -> bool {
    matches!(fact, Fact::Topic { name, .. } | Fact::TopicDeleted { name, .. } if name == of)
}

fn is_parked(step: &crate::ledger::ChainStep<'_>) -> bool {
    matches!(step.chain.state, ChainState::Parked { .. })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{ChainFact, ChainState, Fact, ParkReason, TimerId, frame::code},
        oracles::fixture::{Story, at, chain},
    };

    type Fields<'a> = &'a [(&'a str, &'a str)];

    /// `o` gives `a` an order, this becomes durable there, and `a` says that it is done.
    fn order(story: &mut Story, asked: (i32, Fields<'_>), facts: Vec<Fact>, answer: Fields<'_>) {
        let (code, fields) = asked;
        let body = br#"{"groupName":"g","retryMaxTimes":3}"#;
        let call = story.request("o", "a", code, fields, body);
        if !facts.is_empty() {
            story.durable("a", facts);
        }
        story.response(("a", "o", call), (code, 0), answer, b"");
    }

    fn is_blamed(story: &mut Story) -> bool {
        story.is_blamed("P9", "was told that it is done")
    }

    const QUEUES: Fields<'_> = &[("topic", "u"), ("perm", "6"), ("readQueueNums", "1"), ("writeQueueNums", "1")];

    #[test]
    fn a_topic_that_was_created_is_there() {
        let mut story = Story::new();
        let created = story.topic("u");
        order(&mut story, (code::CREATE_TOPIC, QUEUES), vec![created], &[]);
        order(&mut story, (code::CREATE_TOPIC, QUEUES), vec![], &[]);
        assert!(!is_blamed(&mut story), "asked for again it is as it was");
        let four = [("topic", "u"), ("perm", "6"), ("readQueueNums", "4"), ("writeQueueNums", "1")];
        order(&mut story, (code::CREATE_TOPIC, &four), vec![], &[]);
        assert!(is_blamed(&mut story), "it was not changed");

        let mut story = Story::new();
        order(&mut story, (code::CREATE_TOPIC, QUEUES), vec![], &[]);
        assert!(is_blamed(&mut story));
    }

    #[test]
    fn a_topic_that_was_deleted_is_gone() {
        let delete = (code::DELETE_TOPIC, &[("topic", "t")] as Fields<'_>);
        let mut story = Story::new();
        order(&mut story, delete, vec![], &[]);
        assert!(is_blamed(&mut story));

        let mut story = Story::new();
        story.delete_topic();
        order(&mut story, delete, vec![], &[]);
        assert!(!is_blamed(&mut story), "it was gone before");
        let as_it_was = [("topic", "t"), ("perm", "6"), ("readQueueNums", "1"), ("writeQueueNums", "1")];
        order(&mut story, (code::CREATE_TOPIC, &as_it_was), vec![], &[]);
        assert!(is_blamed(&mut story), "what was there before its deletion is not there now");
    }

    #[test]
    fn a_group_that_was_created_has_its_limit() {
        let create = |limit: Option<i32>| {
            let mut story = Story::new();
            let group = |retry_max_times| Fact::Group { name: "g".into(), retry_max_times };
            order(&mut story, (code::CREATE_GROUP, &[]), limit.map(group).into_iter().collect(), &[]);
            is_blamed(&mut story)
        };
        assert!(!create(Some(3)));
        assert!(create(Some(2)) && create(None));
    }

    #[test]
    fn offsets_that_were_reset_are_what_was_told() {
        let reset = |offset: Option<i64>| {
            let mut story = Story::new();
            let fact = |offset| Fact::OffsetReset { group: "g".into(), topic: "t".into(), queue: 0, offset };
            let asked = [("group", "g"), ("topic", "t"), ("queueId", "-1"), ("timestamp", "-1")];
            let facts = offset.map(fact).into_iter().collect();
            order(&mut story, (code::RESET_OFFSET, &asked), facts, &[("offsets", "0=5")]);
            is_blamed(&mut story)
        };
        assert!(!reset(Some(5)));
        assert!(reset(Some(4)) && reset(None));
    }

    fn parked(offset: i64) -> ChainFact {
        let state = ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms: at(10) };
        ChainFact { state, ..chain("t", offset, 5) }
    }

    fn resumed(offset: i64) -> Fact {
        ChainFact { round: 1, ..chain("t", offset, 5) }.fact()
    }

    #[test]
    fn what_was_resumed_is_parked_no_longer() {
        let resume = |facts: Vec<Fact>, fields: Fields<'_>, count: &str| {
            let mut story = Story::new();
            story.durable("a", vec![parked(0).fact(), parked(1).fact()]);
            order(&mut story, (code::RESUME_PARKED, fields), facts, &[("count", count)]);
            is_blamed(&mut story)
        };
        assert!(!resume(vec![resumed(0), resumed(1)], &[], "2"));
        assert!(resume(vec![resumed(0)], &[], "1"), "the other one was forgotten");
        assert!(resume(vec![resumed(0), resumed(1)], &[], "3"), "there are not so many");
        let one = parked(0).id.to_string();
        assert!(!resume(vec![resumed(0)], &[("chain", &one)], "1"));
        assert!(resume(vec![resumed(1)], &[("chain", &one)], "1"), "it was another one");
    }

    #[test]
    fn a_term_that_was_given_was_taken_for_this_member() {
        let seal = |sealed: Option<(u64, u64)>, told: &str| {
            let mut story = Story::new();
            let fact = |(term, member)| Fact::Sealed { group: "x".into(), term, member };
            let asked = [("groupName", "x"), ("memberId", "1"), ("above", "4")];
            order(&mut story, (code::SEAL, &asked), sealed.map(fact).into_iter().collect(), &[("term", told)]);
            is_blamed(&mut story)
        };
        assert!(!seal(Some((5, 1)), "5"));
        assert!(seal(None, "5") && seal(Some((5, 0)), "5") && seal(Some((5, 1)), "6"));
        assert!(seal(Some((4, 1)), "4"), "it is not above the one that was known");
    }

    #[test]
    fn what_slaves_agreed_upon_holds_until_their_master_takes_a_term() {
        let seal = |sealed: &[(u64, u64)], told: &[(&str, &str)]| {
            let mut story = Story::new();
            let fact = |&(term, member)| Fact::Sealed { group: "x".into(), term, member };
            let asked = [("groupName", "x"), ("memberId", "2"), ("above", "4"), ("agreedTerm", "4")];
            order(&mut story, (code::SEAL, &asked), sealed.iter().map(fact).collect(), told);
            is_blamed(&mut story)
        };
        let given = [("term", "7"), ("agreed", "true")];
        assert!(!seal(&[(7, 2)], &given) && !seal(&[(5, 1), (7, 2)], &given) && !seal(&[(3, 0), (7, 2)], &given));
        assert!(seal(&[(5, 0), (7, 2)], &given), "the master has taken one since");
        assert!(!seal(&[], &[("term", "0"), ("agreed", "false")]), "it has to ask the other slave");
    }

    #[test]
    fn delayed_messages_that_were_handed_over_were_taken() {
        let take = |taken: &[(&str, u64)]| {
            let mut story = Story::new();
            let timer = |index| TimerId { due_ms: 5, index, record: 1 };
            let fact =
                |&(group, index): &(&str, u64)| Fact::TimerTaken { group: group.into(), term: 3, timer: timer(index) };
            let id = |index: u64| {
                rmpv::Value::Map(vec![
                    ("due_ms".into(), 5.into()),
                    ("index".into(), index.into()),
                    ("record".into(), 1.into()),
                ])
            };
            let asked = |index| rmpv::Value::Map(vec![("id".into(), id(index))]);
            let mut body = Vec::new();
            rmpv::encode::write_value(&mut body, &rmpv::Value::Array(vec![asked(7), asked(8)])).unwrap();
            let call = story.request("x-s1", "a", code::TAKE_TIMERS, &[("groupName", "x"), ("term", "3")], &body);
            story.durable("a", taken.iter().map(fact).collect());
            story.response(("a", "x-s1", call), (code::TAKE_TIMERS, 0), &[], b"");
            is_blamed(&mut story)
        };
        assert!(!take(&[("x", 7), ("x", 8)]));
        assert!(take(&[("x", 7)]) && take(&[("x", 7), ("y", 8)]));
    }

    #[test]
    fn a_merge_that_was_heard_of_is_known() {
        let merged = |known: Option<u64>| {
            let mut story = Story::new();
            let fact = |term| Fact::Merged { group: "x".into(), term };
            let asked = [("groupName", "x"), ("term", "5")];
            order(&mut story, (code::MERGED, &asked), known.map(fact).into_iter().collect(), &[]);
            is_blamed(&mut story)
        };
        assert!(!merged(Some(5)) && !merged(Some(7)));
        assert!(merged(Some(4)) && merged(None));
    }
}
