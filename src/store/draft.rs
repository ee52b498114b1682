//! The state while a batch of steps runs: the last commit, and over it what these steps have stated.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;

use super::{
    Bounds, SentAs, StoreError, TopicRow,
    acting::{acted, taken_timer},
    counts::{Counts, change},
    key::{Key, Parts, timer},
    row::{Row, Table},
    rows::{Change, Recent, Rows},
    sends::send_key,
    tables::{Source, Tables},
    view::{Committed, Cuts},
};
use crate::{
    model::{
        chain::{Chain, ChainState, LogPosition},
        record::{LogEntry, Record},
        timer::TimerId,
    },
    sabotage,
};

/// How many expired sends each new one takes along: with two the table shrinks while there are any.
const EXPIRED_TAKEN_ALONG: usize = 2;

/// The state under the hands of a batch.
pub(super) struct Draft<'t> {
    base: &'t Committed,
    /// Up to which log index rows can be settled.
    settleable: u64,
    /// Index of the entry that the tables follow.
    at: u64,
    recent: Recent,
    counts: Counts,
    /// Entries that are not in the log yet.
    entries: Vec<Arc<LogEntry>>,
    /// Those among them that come from another member, by index: they stay as they came, byte for byte.
    followed: BTreeMap<u64, Bytes>,
    /// Entries that leave the log.
    cuts: Cuts,
}

/// What a draft comes to.
pub(super) struct Changes {
    /// The rows that are not settled.
    pub(super) recent: Recent,
    /// Sizes of tables.
    pub(super) counts: Counts,
    /// What the log gets.
    pub(super) entries: Vec<Arc<LogEntry>>,
    /// Entries of another member's log, by index, as they came.
    pub(super) followed: BTreeMap<u64, Bytes>,
    /// What is to leave the log: nothing but settled rows may follow from it.
    pub(super) cuts: Cuts,
}

impl<'t> Draft<'t> {
    pub(super) fn over(base: &'t Committed, settleable: u64) -> Self {
        let (recent, counts) = (base.recent().clone(), base.counts());
        let cuts = base.cuts().clone();
        Self { base, settleable, at: 0, recent, counts, entries: Vec::new(), followed: BTreeMap::new(), cuts }
    }

    /// The rows that are not settled, the sizes of tables, and what is to leave the log.
    pub(super) fn so_far(&self) -> (Recent, Counts, Cuts) {
        (self.recent.clone(), self.counts, self.cuts.clone())
    }

    /// Adds an entry whose records were applied.
    pub(super) fn push(&mut self, entry: Arc<LogEntry>) {
        self.entries.push(entry);
    }

    /// Adds an entry of another member's log and lets the tables follow it.
    pub(super) fn follow(&mut self, entry: LogEntry, bytes: Bytes) -> Result<(), StoreError> {
        let index = entry.position.index;
        for (number, record) in (0..).zip(&entry.records) {
            self.apply((index, number), entry.at_ms, record)?;
        }
        self.followed.insert(index, bytes);
        self.push(Arc::new(entry));
        Ok(())
    }

    pub(super) fn finish(self) -> Changes {
        let Self { recent, counts, entries, followed, cuts, .. } = self;
        Changes { recent, counts, entries, followed, cuts }
    }

    pub(super) const fn base(&self) -> &'t Committed {
        self.base
    }

    /// Up to which log index rows can be settled: what is beyond may be taken back, and must be there for a replay.
    pub(super) const fn settleable(&self) -> u64 {
        self.settleable
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) const fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Has an entry leave the log, once what the entry at `after` says is settled.
    pub(super) fn cut(&mut self, index: u64, after: u64) {
        if sabotage!("expired-stays") {
            return;
        }
        self.cuts.insert((after, index));
    }

    /// Lets the tables follow a record, `place` being its entry's index and its number in there, `at_ms` the entry's
    /// time. What becomes of the tables depends on them and on these alone: so it does when the log is replayed.
    pub(super) fn apply(&mut self, place: (u64, u32), at_ms: i64, record: &Record) -> Result<(), StoreError> {
        self.at = place.0;
        match record {
            Record::Topic { config, epoch } => {
                let row = Arc::new(TopicRow { config: config.clone(), epoch: *epoch });
                self.put(Key::of(Table::Topics).text(&config.topic_name), Row::Topic(row));
                if self.deleted_topic(&config.topic_name)?.is_some() {
                    self.remove(Key::of(Table::DeletedTopics).text(&config.topic_name));
                }
            }
            Record::TopicDeleted { topic, at, .. } => self.apply_deletion(topic, *at)?,
            Record::Group { config } => {
                self.put(Key::of(Table::Groups).text(&config.group_name), Row::Group(Arc::new(config.clone())));
            }
            Record::Message { topic, queue, offset, .. } => {
                let minimum = self.bounds(topic, *queue)?.minimum;
                let queue = i64::from(*queue);
                let row = Row::Place(place.0, place.1);
                self.put(Key::of(Table::Queues).text(topic).number(queue).number(*offset), row);
                let bounds = Row::Bounds(Bounds { minimum, next: offset + 1 });
                self.put(Key::of(Table::Bounds).text(topic).number(queue), bounds);
            }
            Record::Timer { due_ms, .. } => {
                let id = TimerId { due_ms: *due_ms, index: place.0, record: place.1 };
                self.put(timer(id), Row::Mark);
                self.need(place.0)?;
            }
            Record::TimerFired { due_ms, index, record } => {
                self.drop_timer(TimerId { due_ms: *due_ms, index: *index, record: *record })?;
            }
            Record::TimerMoved { timer, .. } => self.drop_timer(*timer)?,
            Record::TimerTaken { group, term, timer } => {
                self.put(taken_timer(group, *timer), Row::Number(term.cast_signed()));
            }
            Record::Offset { group, topic, queue, offset } | Record::OffsetReset { group, topic, queue, offset } => {
                let key = Key::of(Table::Offsets).text(group).text(topic).number((*queue).into());
                self.put(key, Row::Number(*offset));
            }
            Record::Chain(chain) => self.apply_chain(at_ms, chain)?,
            Record::EarlyAck { id, until_ms } => {
                let id = id.to_string();
                self.put(Key::of(Table::EarlyAcks).text(&id), Row::Number(*until_ms));
                self.put(Key::of(Table::EarlyAcksUntil).number(*until_ms).text(&id), Row::Mark);
            }
            Record::EarlyAckDropped { id } => {
                if let Some(until_ms) = self.early_ack(id)? {
                    let id = id.to_string();
                    self.remove(Key::of(Table::EarlyAcks).text(&id));
                    self.remove(Key::of(Table::EarlyAcksUntil).number(until_ms).text(&id));
                }
            }
            Record::SetAside(item) => {
                let key = Key::of(Table::SetAside).index(place.0).index(place.1.into());
                self.put(key, Row::SetAside(Arc::new(item.clone())));
                self.counts.set_aside += 1;
            }
            Record::Sent { topic, key, queue, offset, message_id, expires_ms, epoch } => {
                let message_id = message_id.clone();
                let told = SentAs { queue: *queue, offset: *offset, message_id, epoch: *epoch };
                self.put(send_key(*expires_ms, topic, key), Row::Sent(Arc::new(told)));
                self.drop_expired_sends(at_ms)?;
            }
            Record::Expired { broker, before, bytes, .. } => self.apply_expired(place.0, broker, *before, *bytes)?,
            Record::Sealed { group, term, member, end } => self.apply_sealed(group, *term, *member, *end)?,
            Record::Merged { group, term } => self.apply_merged(group, *term)?,
            Record::Forgotten { chains } => self.apply_forgotten(chains)?,
        }
        Ok(())
    }

    /// Takes off all rows of a topic but its chains, which outlive it: a handle of the old topic finds the end of its own
    /// chain and never a chain of the topic's successor.
    fn apply_deletion(&mut self, topic: &str, at: LogPosition) -> Result<(), StoreError> {
        self.remove(Key::of(Table::Topics).text(topic));
        self.drop_kept(topic)?;
        for table in [Table::Bounds, Table::Queues] {
            let all = Key::of(table).text(topic);
            let rows = self.rows().scan(table, Bound::Unbounded, &all)?;
            for key in rows.map(|row| Ok(row?.0)).collect::<Result<Vec<_>, StoreError>>()? {
                self.change(key, None);
            }
        }
        let offsets = self.rows().scan(Table::Offsets, Bound::Unbounded, &Key::of(Table::Offsets))?;
        let keys = offsets.map(|row| Ok(row?.0)).collect::<Result<Vec<_>, StoreError>>()?;
        for key in keys.into_iter().filter(|key| topic_of_offset(key) == topic) {
            self.change(key, None);
        }
        self.put(Key::of(Table::DeletedTopics).text(topic), Row::Position(at));
        Ok(())
    }

    fn apply_chain(&mut self, at_ms: i64, chain: &Chain) -> Result<(), StoreError> {
        let id = chain.id.to_string();
        let key = Key::of(Table::Chains).text(&id);
        let before = match self.rows().get(Table::Chains, &key)? {
            Some(Row::Chain(before)) => Some(before),
            _ => None,
        };
        let (due_before, due) = (before.as_ref().and_then(|chain| chain.due_ms()), chain.due_ms());
        change(&mut self.counts.waiting, due_before.is_some(), due.is_some());
        if due_before != due {
            let key = |at_ms| Key::of(Table::Due).number(at_ms).text(&id);
            if let Some(at_ms) = due_before {
                self.remove(key(at_ms));
            }
            if let Some(at_ms) = due {
                self.put(key(at_ms), Row::Mark);
            }
        }
        let is_parked = |chain: &Chain| matches!(chain.state, ChainState::Parked { .. });
        let (was, is) = (before.as_ref().is_some_and(|chain| is_parked(chain)), is_parked(chain));
        change(&mut self.counts.parked, was, is);
        match (was, is) {
            (false, true) => self.put(Key::of(Table::Parked).text(&id), Row::Mark),
            (true, false) => self.remove(Key::of(Table::Parked).text(&id)),
            _ => {}
        }
        if let (None, Some(acting)) = (&before, &chain.acted_for) {
            self.put(acted(&acting.group, &id), Row::Mark);
        }
        self.put(key, Row::Chain(Arc::new(chain.clone())));
        self.list_over(before.as_deref(), chain, at_ms);
        if before.is_some_and(|before| before.is_live()) && !chain.is_live() {
            self.release(&chain.id, &chain.state)?;
        }
        Ok(())
    }

    /// Takes a delayed message off the list.
    fn drop_timer(&mut self, id: TimerId) -> Result<(), StoreError> {
        self.remove(timer(id));
        self.need_no_more(id.index)
    }

    /// Takes some expired sends off the table, the earliest first.
    fn drop_expired_sends(&mut self, now_ms: i64) -> Result<(), StoreError> {
        if sabotage!("sends-stay-known") {
            return Ok(());
        }
        let end = Key::of(Table::Sends).number(now_ms.saturating_add(1));
        let expired = self.rows().scan_before(Table::Sends, &end)?.take(EXPIRED_TAKEN_ALONG);
        for key in expired.map(|row| Ok(row?.0)).collect::<Result<Vec<_>, StoreError>>()? {
            self.change(key, None);
        }
        Ok(())
    }

    pub(super) fn put(&mut self, key: Key, row: Row) {
        self.change(Bytes::from(key.into_bytes()), Some(row));
    }

    /// The row may be settled, so that its absence has to be remembered.
    pub(super) fn remove(&mut self, key: Key) {
        self.change(Bytes::from(key.into_bytes()), None);
    }

    pub(super) fn change(&mut self, key: Bytes, row: Option<Row>) {
        self.recent.insert(key, Change { at: self.at, row });
    }
}

fn topic_of_offset(key: &[u8]) -> String {
    let mut parts = Parts::of(key);
    let _group = parts.text();
    parts.text()
}

impl Source for Draft<'_> {
    fn rows(&self) -> Rows<'_> {
        Rows { recent: &self.recent, settled: self.base.settled() }
    }

    fn entry(&self, index: u64) -> Result<Option<Arc<LogEntry>>, StoreError> {
        match self.entries.binary_search_by_key(&index, |entry| entry.position.index) {
            Ok(at) => Ok(Some(self.entries[at].clone())),
            Err(_) => self.base.entry(index),
        }
    }

    fn last(&self) -> u64 {
        self.entries.last().map_or(self.base.last_index(), |entry| entry.position.index)
    }
}

impl Tables for Draft<'_> {}
