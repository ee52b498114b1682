//! What the tables of a broker are to hold, by its log alone: which rows each entry brings and takes along.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::OccupiedEntry},
    ops::Bound,
};

use super::retained::{Retained, message_of};
use crate::evidence::{
    ChainFact, ChainState, DurableEntry, Fact, Outcome, TimerId,
    tables::{Rows, Tables},
};

/// A chain as its row has it, as far as other rows follow from it.
struct Known {
    due_ms: Option<i64>,
    /// Its last attempt in this round has failed.
    has_failed: bool,
    is_parked: bool,
    is_live: bool,
    /// The group that it was handed over for and the term under which it was.
    acted_for: Option<(String, u64)>,
}

impl Known {
    fn of(chain: &ChainFact) -> Self {
        let (mut due, mut is_parked, mut is_live) = (None, false, true);
        match &chain.state {
            ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. } => due = Some(*due_ms),
            ChainState::Parked { .. } => is_parked = true,
            ChainState::Moved { .. } | ChainState::Ended { .. } => is_live = false,
        }
        let has_failed = chain.failures > 0 && chain.attempt > 0;
        Self { due_ms: due, has_failed, is_parked, is_live, acted_for: chain.acted_for.clone() }
    }
}

/// Tables that follow a log, entry by entry; those of an empty one at first.
#[derive(Default)]
pub struct TableFold {
    retained: Retained,
    /// Those tables whose rows nothing else here asks for.
    rows: Rows,
    chains: BTreeMap<String, Known>,
    /// When a chain was over, and which.
    over: BTreeSet<(i64, String)>,
    /// Chain id → until when its early ack waits.
    early_acks: BTreeMap<String, i64>,
    timers: BTreeSet<(i64, u64, u32)>,
    /// Until when a send is known, its topic and key.
    sends: BTreeSet<(i64, String, String)>,
    acted: BTreeSet<(String, String)>,
    /// Group, delayed message → the term under which it was taken.
    taken: BTreeMap<(String, TimerId), u64>,
}

/// How many sends that are past their time each new one takes along.
const SENDS_TAKEN_ALONG: usize = 2;

impl Tables {
    /// The tables that follow from a log up to the entry `settled`.
    #[must_use]
    pub fn that_follow_from<'e>(log: impl Iterator<Item = &'e DurableEntry>, settled: u64) -> Self {
        let mut entries = BTreeMap::<u64, &DurableEntry>::new();
        for entry in log {
            // What a later term has replaced is gone, and so is what had come after it.
            let replaced = |last: &OccupiedEntry<'_, u64, &DurableEntry>| {
                *last.key() >= entry.index && last.get().term < entry.term
            };
            while let Some(last) = entries.last_entry().filter(replaced) {
                last.remove();
            }
            entries.insert(entry.index, entry);
        }
        let mut fold = TableFold::default();
        entries.range(..=settled).for_each(|(_, entry)| fold.follow(entry));
        fold.retained.log.extend(entries.range((Bound::Excluded(settled), Bound::Unbounded)).map(|(index, _)| *index));
        fold.finish(settled)
    }
}

impl TableFold {
    /// Lets the tables follow the next entry.
    pub fn follow(&mut self, entry: &DurableEntry) {
        self.retained.log.insert(entry.index);
        for (number, fact) in (0..).zip(&entry.facts) {
            self.take_in((entry.index, number), entry.at_ms, fact);
        }
    }

    /// How many chains have a next step.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.chains.values().filter(|chain| chain.due_ms.is_some()).count() as u64
    }

    /// How many of these have failed in their round.
    #[must_use]
    pub fn failing(&self) -> u64 {
        self.chains.values().filter(|chain| chain.due_ms.is_some() && chain.has_failed).count() as u64
    }

    /// How many chains are parked.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.chains.values().filter(|chain| chain.is_parked).count() as u64
    }

    /// How many messages are past their retention and needed by live chains.
    #[must_use]
    pub fn held_back(&self) -> u64 {
        self.retained.held_back()
    }

    /// How many messages were set aside.
    #[must_use]
    pub fn set_aside(&self) -> u64 {
        self.rows.get("set-aside").map_or(0, |rows| rows.len() as u64)
    }

    /// When the first next step of a chain is due, Unix ms.
    #[must_use]
    pub fn first_due_ms(&self) -> Option<i64> {
        self.chains.values().filter_map(|chain| chain.due_ms).min()
    }

    fn finish(mut self, settled: u64) -> Tables {
        for (id, chain) in &self.chains {
            add(&mut self.rows, "chains", id);
            if let Some(due_ms) = chain.due_ms {
                add(&mut self.rows, "due", format!("{due_ms} {id}"));
            }
            if chain.is_parked {
                add(&mut self.rows, "parked", id);
            }
        }
        let Self { retained, over, early_acks, timers, sends, acted, taken, rows, .. } = &mut self;
        retained.add_to(rows);
        over.iter().for_each(|(since_ms, id)| add(rows, "over", format!("{since_ms} {id}")));
        for (id, until_ms) in early_acks {
            add(rows, "early-acks", id);
            add(rows, "early-acks-until", format!("{until_ms} {id}"));
        }
        timers.iter().for_each(|(due_ms, index, record)| add(rows, "timers", format!("{due_ms} {index} {record}")));
        sends.iter().for_each(|(until_ms, topic, key)| add(rows, "sends", format!("{until_ms} {topic} {key}")));
        taken.keys().for_each(|(group, TimerId { due_ms, index, record })| {
            add(rows, "taken-timers", format!("{group} {due_ms} {index} {record}"));
        });
        acted.iter().for_each(|(group, id)| add(rows, "acted", format!("{group} {id}")));
        Tables { settled, log: self.retained.log, rows: self.rows }
    }

    fn take_in(&mut self, place: (u64, u32), at_ms: i64, fact: &Fact) {
        match fact {
            Fact::Topic { name, .. } => {
                add(&mut self.rows, "topics", name);
                self.take("deleted-topics", name);
            }
            Fact::TopicDeleted { name, .. } => self.delete_topic(name),
            Fact::Group { name, .. } => add(&mut self.rows, "groups", name),
            Fact::Message(message) => self.retained.store(message, place.0),
            Fact::Timer { due_ms, .. } => {
                self.timers.insert((*due_ms, place.0, place.1));
                self.retained.need(place.0);
            }
            Fact::TimerFired { due_ms, index, record } => {
                self.timers.remove(&(*due_ms, *index, *record));
                self.retained.need_no_more(*index);
            }
            Fact::TimerMoved { timer: TimerId { due_ms, index, record }, .. } => {
                self.timers.remove(&(*due_ms, *index, *record));
                self.retained.need_no_more(*index);
            }
            Fact::TimerTaken { group, term, timer } => {
                self.taken.insert((group.clone(), *timer), *term);
            }
            Fact::Offset { group, topic, queue, .. } | Fact::OffsetReset { group, topic, queue, .. } => {
                add(&mut self.rows, "offsets", format!("{group} {topic} {queue}"));
            }
            Fact::Chain(chain) => self.chain(at_ms, chain),
            Fact::EarlyAck { id, until_ms } => drop(self.early_acks.insert(id.to_string(), *until_ms)),
            Fact::EarlyAckDropped { id } => drop(self.early_acks.remove(&id.to_string())),
            Fact::SetAside { .. } => add(&mut self.rows, "set-aside", format!("{} {}", place.0, place.1)),
            Fact::Sent { topic, key, expires_ms, .. } => self.sent(at_ms, (*expires_ms, topic.clone(), key.clone())),
            Fact::Expired { broker, before } => self.expire(broker, *before),
            Fact::Forgotten { chains } => chains.iter().for_each(|id| self.forget(&id.broker, &id.to_string())),
            Fact::Sealed { group, member, .. } => {
                add(&mut self.rows, "sealed", group);
                // A slave that is to act says where its log ends.
                add(&mut self.rows, if *member == 0 { "master-sealed" } else { "acted-ends" }, group);
            }
            Fact::Merged { group, term } => self.merge(group, *term),
            Fact::Unknown(_) => {}
        }
    }

    fn sent(&mut self, at_ms: i64, send: (i64, String, String)) {
        self.sends.insert(send);
        for _ in 0..SENDS_TAKEN_ALONG {
            self.sends.first().is_some_and(|first| first.0 <= at_ms).then(|| self.sends.pop_first());
        }
    }

    fn merge(&mut self, group: &str, term: u64) {
        add(&mut self.rows, "merged", group);
        let Self { acted, chains, .. } = self;
        let is_earlier = |id: &String| {
            let under = chains.get(id).and_then(|chain| chain.acted_for.as_ref());
            under.is_none_or(|(_, under)| *under < term)
        };
        acted.retain(|(whose, id)| whose != group || !is_earlier(id));
        self.taken.retain(|(whose, _), under| whose != group || *under >= term);
    }

    fn delete_topic(&mut self, name: &str) {
        self.take("topics", name);
        self.retained.delete_topic(name);
        if let Some(offsets) = self.rows.get_mut("offsets") {
            offsets.retain(|key| key.split(' ').nth(1) != Some(name));
        }
        add(&mut self.rows, "deleted-topics", name);
    }

    fn chain(&mut self, at_ms: i64, chain: &ChainFact) {
        let (id, now) = (chain.id.to_string(), Known::of(chain));
        let is_live = now.is_live;
        if let Some((group, _)) = now.acted_for.as_ref().filter(|_| !self.chains.contains_key(&id)) {
            self.acted.insert((group.clone(), id.clone()));
        }
        let before = self.chains.insert(id.clone(), now);
        let was_live = before.as_ref().is_none_or(|before| before.is_live);
        if is_live || !was_live {
            return;
        }
        let popped_ms = chain.id.pop_time;
        let since_ms = match chain.state {
            ChainState::Moved { .. } => popped_ms.saturating_add(chain.invisible_ms.max(0)),
            _ => popped_ms,
        };
        self.over.insert((at_ms.max(since_ms), id));
        // A renewed chain's message is needed by the one that follows it.
        let goes_on = matches!(chain.state, ChainState::Ended { outcome: Outcome::Superseded(_), .. });
        if before.is_some() && !goes_on {
            self.release(chain);
        }
    }

    /// A chain is over: if its message has expired and no other chain needs it, the message goes.
    fn release(&mut self, chain: &ChainFact) {
        let id = &chain.id;
        let message = message_of(&id.broker, &id.topic, id.queue, id.offset);
        if self.retained.keeps(&message) && !is_needed(&self.chains, &message) {
            self.retained.release(&message, (&id.topic, id.queue, id.offset));
        }
    }

    fn forget(&mut self, broker: &str, id: &str) {
        let listed = self.over.iter().find(|(_, over)| over == id).cloned();
        self.over.retain(|over| Some(over) != listed.as_ref());
        if self.chains.get(id).is_some_and(|chain| !chain.is_live) {
            self.chains.remove(id);
            add(&mut self.rows, "forgotten", broker);
        }
    }

    fn expire(&mut self, broker: &str, before: u64) {
        self.retained.expire(broker, before, |message| is_needed(&self.chains, message));
        add(&mut self.rows, "marks", "expired-before");
    }

    fn take(&mut self, table: &str, key: &str) {
        if let Some(rows) = self.rows.get_mut(table) {
            rows.remove(key);
        }
    }
}

/// Whether a live chain is about the message that these ids begin with.
fn is_needed(chains: &BTreeMap<String, Known>, message: &str) -> bool {
    let mut about = chains.range(message.to_owned()..).take_while(|(id, _)| id.starts_with(message));
    about.any(|(_, chain)| chain.is_live)
}

/// Adds a row.
pub(super) fn add(rows: &mut Rows, table: &'static str, key: impl ToString) {
    rows.entry(table).or_default().insert(key.to_string());
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{ChainFact, ChainState, DurableEntry, Fact, Outcome, Tables, TimerId},
        oracles::fixture::{at, chain, message},
    };

    /// A log whose entries stand in these terms, were decided at these times, and say this.
    fn log(entries: Vec<(u64, u64, u64, Vec<Fact>)>) -> Vec<DurableEntry> {
        let entry = |(term, index, at_ms, facts)| DurableEntry {
            term,
            index,
            checksum: 0,
            length: 100,
            at_ms: at(at_ms),
            facts,
        };
        entries.into_iter().map(entry).collect()
    }

    /// The entries 1, 2, ... of term 1, a second apart.
    fn plain(facts: Vec<Vec<Fact>>) -> Vec<DurableEntry> {
        log((1..).zip(facts).map(|(index, facts)| (1, index, index * 1_000, facts)).collect())
    }

    fn rows(log: &[DurableEntry], table: &str) -> Vec<String> {
        let tables = Tables::that_follow_from(log.iter(), u64::MAX);
        tables.rows.get(table).into_iter().flatten().cloned().collect()
    }

    fn entries(log: &[DurableEntry]) -> Vec<u64> {
        Tables::that_follow_from(log.iter(), u64::MAX).log.into_iter().collect()
    }

    fn parked(mut chain: ChainFact) -> ChainFact {
        chain.state = ChainState::Parked { reason: crate::evidence::ParkReason::PolicyExhausted, at_ms: 0 };
        chain
    }

    #[test]
    fn a_chain_is_due_or_parked_or_over() {
        let open = chain("t", 0, 500);
        let (id, due_ms) = (open.id.to_string(), at(10_500));
        let mut entries = plain(vec![vec![open.clone().fact()]]);
        assert_eq!(rows(&entries, "due"), [format!("{due_ms} {id}")]);
        let mut follow = |fact| {
            let index = entries.len() as u64 + 1;
            entries.extend(log(vec![(1, index, index * 1_000, vec![fact])]));
            ["chains", "due", "parked", "over", "forgotten"].map(|table| rows(&entries, table).join(";"))
        };
        let none = String::new;
        assert_eq!(follow(parked(open.clone()).fact()), [id.clone(), none(), id.clone(), none(), none()]);
        let over = format!("{} {id}", at(3_000));
        assert_eq!(follow(open.clone().ended(Outcome::Acked).fact()), [id.clone(), none(), none(), over, none()]);
        assert_eq!(follow(Fact::Forgotten { chains: vec![open.id] }), [none(), none(), none(), none(), "a".into()]);
    }

    #[test]
    fn rows_follow_up_to_where_they_are_settled_and_the_log_goes_on() {
        let entries = plain(vec![vec![chain("t", 0, 500).fact()], vec![chain("t", 1, 500).fact()]]);
        let tables = Tables::that_follow_from(entries.iter(), 1);
        assert_eq!((tables.rows["chains"].len(), tables.log.len(), tables.settled), (1, 2, 1));
    }

    #[test]
    fn what_a_later_term_replaced_brings_no_rows() {
        let [one, two] = [0, 1].map(|offset| vec![chain("t", offset, 500).fact()]);
        let entries =
            log(vec![(1, 1, 1_000, vec![]), (1, 2, 2_000, one.clone()), (1, 3, 3_000, one), (2, 2, 4_000, two)]);
        assert_eq!(rows(&entries, "chains"), [chain("t", 1, 500).id.to_string()]);
        let tables = Tables::that_follow_from(entries.iter(), u64::MAX);
        assert_eq!(tables.log.into_iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_send_takes_two_along_that_are_past_their_time() {
        let sent = |key: &str, until_ms| Fact::Sent {
            topic: "t".into(),
            key: key.into(),
            queue: 0,
            offset: 0,
            expires_ms: at(until_ms),
        };
        let early = ["a", "b", "c"].map(|key| vec![sent(key, 3_500)]).to_vec();
        let entries = plain([early, vec![vec![sent("d", 90_000)]]].concat());
        assert_eq!(rows(&entries, "sends"), [format!("{} t c", at(3_500)), format!("{} t d", at(90_000))]);
    }

    #[test]
    fn early_acks_and_timers_stay_until_they_are_used() {
        let id = chain("t", 0, 500).id;
        let timer = Fact::Timer { due_ms: at(9_000), message: message("t", 0, 1, 0) };
        let early = Fact::EarlyAck { id: id.clone(), until_ms: at(9_000) };
        let mut entries = plain(vec![vec![timer, early]]);
        let tables = ["timers", "needed", "early-acks", "early-acks-until"];
        assert!(tables.iter().all(|table| rows(&entries, table).len() == 1));
        let fired = Fact::TimerFired { due_ms: at(9_000), index: 1, record: 0 };
        entries.extend(log(vec![(1, 2, 9_000, vec![fired, Fact::EarlyAckDropped { id }])]));
        assert!(tables.iter().all(|table| rows(&entries, table).is_empty()));
    }

    #[test]
    fn expired_messages_and_entries_stay_while_they_are_needed() {
        let stored = |offset| Fact::Message(message("t", offset, 1, 0));
        let expired = |before| Fact::Expired { broker: "a".into(), before };
        let open = chain("t", 0, 500);
        let mut facts = vec![vec![stored(0)], vec![stored(1)], vec![open.clone().fact()], vec![expired(4)]];
        let told = |facts: &[Vec<Fact>]| {
            let log = plain(facts.to_vec());
            (rows(&log, "queues"), rows(&log, "kept"), rows(&log, "free"), entries(&log))
        };
        let (kept, none) = (vec!["a/t/0/0/".to_owned()], Vec::<String>::new);
        assert_eq!(told(&facts), (vec!["t 0 0".into()], kept, none(), vec![1, 3, 4]));
        facts.push(vec![open.ended(Outcome::Acked).fact()]);
        assert_eq!(told(&facts), (none(), none(), vec!["1".into()], vec![1, 3, 4, 5]));
        facts.push(vec![expired(5)]);
        assert_eq!(told(&facts), (none(), none(), none(), vec![4, 5, 6]));
    }

    #[test]
    fn chains_that_were_handed_over_are_listed_until_they_are_merged() {
        let handed = |offset, term| {
            let acted_for = Some(("a".into(), term));
            ChainFact { acted_for, ..chain("t", offset, 500) }.fact()
        };
        let merged = |term| Fact::Merged { group: "a".into(), term };
        let entries = plain(vec![vec![handed(0, 1), handed(1, 2), merged(2)]]);
        assert_eq!(rows(&entries, "acted"), [format!("a {}", chain("t", 1, 500).id)]);
        assert_eq!(rows(&entries, "merged"), ["a"]);
    }

    #[test]
    fn delayed_messages_that_were_taken_are_listed_until_they_are_merged() {
        let timer = |index| TimerId { due_ms: 9_000, index, record: 0 };
        let taken = |index, term| Fact::TimerTaken { group: "a".into(), term, timer: timer(index) };
        let merged = Fact::Merged { group: "a".into(), term: 2 };
        let entries = plain(vec![vec![taken(7, 1), taken(8, 2), merged]]);
        assert_eq!(rows(&entries, "taken-timers"), ["a 9000 8 0"]);
        let own = Fact::Timer { due_ms: 9_000, message: message("t", 0, 1, 0) };
        let moved = Fact::TimerMoved { timer: timer(1), to: "b".into() };
        let entries = plain(vec![vec![own], vec![moved]]);
        assert!(["timers", "needed"].iter().all(|table| rows(&entries, table).is_empty()));
    }

    #[test]
    fn a_deleted_topic_takes_its_rows_along_and_leaves_its_chains() {
        let offset = Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: 1 };
        let at = crate::evidence::Position { term: 1, index: 2 };
        let topic = Fact::Topic { name: "t".into(), perm: 6, read_queues: 1, write_queues: 1, epoch: at };
        let begin = vec![topic, Fact::Message(message("t", 0, 1, 0)), offset, chain("t", 0, 500).fact()];
        let entries = plain(vec![begin, vec![Fact::TopicDeleted { name: "t".into(), epoch: at, at }]]);
        for table in ["topics", "queues", "bounds", "offsets"] {
            assert_eq!(rows(&entries, table), [""; 0], "{table}");
        }
        assert_eq!((rows(&entries, "chains").len(), rows(&entries, "deleted-topics")), (1, vec!["t".into()]));
    }
}
