//! Makes the rows that a damaged store has left fit together, as [`Draft::apply`] would have them.
//!
//! Whatever names a lost body goes: a hole in a queue is passed over, and a chain about it ends parked, for an operator to
//! see. Rows that follow from other rows follow from them again. Where chains are lost, none that was popped until then is
//! taken for new any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Bounds, StoreError, TopicRow,
    acting::{acted, merged_term},
    counts::Counts,
    draft::Draft,
    forgetting::{forgotten_until_ms, over, over_since_ms},
    key::{Key, Parts},
    losses::Losses,
    pages::Lost,
    retention::{EXPIRED_BEFORE, by_index},
    row::{Row, Table},
    rows::Scan,
    tables::{Source as _, Tables as _},
};
use crate::model::{
    chain::{Chain, ChainState, CopyPlace, LogPosition, Outcome},
    topic::TopicConfig,
};

/// What is known of the losses.
pub(super) struct Mending<'m> {
    /// Entries that are not in the log: the first and the last of each row of them.
    pub(super) gaps: &'m [(u64, u64)],
    /// Keys of which rows are lost.
    pub(super) lost: &'m [Lost],
    /// Whether chains may be lost.
    pub(super) forgets_chains: bool,
    /// The group whose store it is.
    pub(super) broker: &'m str,
    pub(super) now_ms: i64,
}

fn scan<'d>(draft: &'d Draft<'_>, table: Table) -> Result<Scan<'d>, StoreError> {
    draft.rows().scan(table, Bound::Unbounded, &Key::of(table))
}

/// The rows of a table; for those of which there are few.
fn rows(draft: &Draft<'_>, table: Table) -> Result<Vec<(Bytes, Row)>, StoreError> {
    scan(draft, table)?.collect()
}

/// Meets every chain.
fn chains(draft: &Draft<'_>, mut meet: impl FnMut(&Chain) -> Result<(), StoreError>) -> Result<(), StoreError> {
    for row in scan(draft, Table::Chains)? {
        if let (_, Row::Chain(chain)) = row? {
            meet(&chain)?;
        }
    }
    Ok(())
}

/// A queue: its topic and number.
type Queue = (String, i64);

fn queue_of(key: &[u8]) -> Queue {
    let mut parts = Parts::of(key);
    (parts.text(), parts.number())
}

fn queue_key(table: Table, (topic, queue): &Queue) -> Key {
    Key::of(table).text(topic).number(*queue)
}

impl Mending<'_> {
    /// Mends what follows the log up to an index, which is returned; adds to what is lost.
    pub(super) fn mend(&self, draft: &mut Draft<'_>, losses: &mut Losses) -> Result<u64, StoreError> {
        if !self.lost.is_empty() {
            self.find_topics(draft, losses)?;
            self.find_bounds(draft)?;
        }
        self.drop_lost_bodies(draft, losses)?;
        if !self.lost.is_empty() {
            self.list_chains(draft)?;
            list_early_acks(draft)?;
            self.find_expired_before(draft)?;
        }
        if self.forgets_chains {
            self.forget_lost_chains(draft)?;
        }
        count_needed(draft)?;
        *draft.counts_mut() = counts(draft)?;
        Ok(draft.last())
    }

    fn is_lost(&self, key: &[u8]) -> bool {
        self.lost.iter().any(|lost| lost.has(key))
    }

    fn has_entry(&self, index: u64) -> bool {
        let after = self.gaps.partition_point(|(_, last)| *last < index);
        self.gaps.get(after).is_none_or(|(first, _)| index < *first)
    }

    fn drop_lost_bodies(&self, draft: &mut Draft<'_>, losses: &mut Losses) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        for table in [Table::Queues, Table::Kept] {
            for row in scan(draft, table)? {
                let (key, Row::Place(index, _)) = row? else { continue };
                if self.has_entry(index) {
                    continue;
                }
                if table == Table::Queues {
                    let mut parts = Parts::of(&key);
                    losses.message(parts.text(), parts.number(), parts.number());
                }
                gone.push(key);
            }
        }
        for row in scan(draft, Table::Timers)? {
            let (key, _) = row?;
            let mut parts = Parts::of(&key);
            let (_, index) = (parts.number(), parts.index());
            if !self.has_entry(index) {
                losses.timers += 1;
                gone.push(key);
            }
        }
        gone.into_iter().for_each(|key| draft.change(key, None));
        Ok(())
    }

    /// A topic of which only queues are left. Its epoch is older than any: nothing is proof that it is another one.
    fn find_topics(&self, draft: &mut Draft<'_>, losses: &mut Losses) -> Result<(), StoreError> {
        let mut queues = BTreeMap::<String, i64>::new();
        for row in scan(draft, Table::Bounds)?.chain(scan(draft, Table::Queues)?) {
            let (topic, queue) = queue_of(&row?.0);
            let last = queues.entry(topic).or_default();
            *last = queue.max(*last);
        }
        for (topic, last) in queues {
            let key = Key::of(Table::Topics).text(&topic);
            if !self.is_lost(key.bytes()) || draft.topic(&topic)?.is_some() {
                continue;
            }
            let config = TopicConfig::with_queues(&topic, u32::try_from(last + 1).unwrap_or(1));
            let row = TopicRow { config, epoch: LogPosition { term: 0, index: 1 } };
            draft.put(key, Row::Topic(Arc::new(row)));
            losses.topics.push(topic);
        }
        Ok(())
    }

    /// Where queues begin and go on whose bounds are lost: behind all that is known of them, and not behind a message that a
    /// live chain is about, which would be proof that it has expired.
    fn find_bounds(&self, draft: &mut Draft<'_>) -> Result<(), StoreError> {
        for (queue, known) in self.known_offsets(draft)? {
            let key = queue_key(Table::Bounds, &queue);
            if !self.is_lost(key.bytes()) || draft.topic(&queue.0)?.is_none() {
                continue;
            }
            let said = draft.bounds(&queue.0, i32::try_from(queue.1).unwrap_or(i32::MAX))?;
            let next = known.next.max(said.next);
            let minimum = known.minimum.max(said.minimum).min(next);
            draft.put(key, Row::Bounds(Bounds { minimum, next }));
        }
        Ok(())
    }

    /// The first offset of each queue that has not expired, and the one after the last that there ever was, as far as rows
    /// tell.
    fn known_offsets(&self, draft: &Draft<'_>) -> Result<BTreeMap<Queue, Bounds>, StoreError> {
        let kept =
            rows(draft, Table::Kept)?.into_iter().map(|(key, _)| Parts::of(&key).text()).collect::<BTreeSet<_>>();
        let mut known = BTreeMap::<Queue, Bounds>::new();
        let mut know = |topic: &str, queue: i64, minimum: Option<i64>, next: i64| {
            let bounds = known.entry((topic.to_owned(), queue)).or_insert(Bounds { minimum: i64::MAX, next });
            bounds.minimum = minimum.unwrap_or(i64::MAX).min(bounds.minimum);
            bounds.next = next.max(bounds.next);
        };
        let is_kept =
            |topic: &str, queue: i64, offset| kept.contains(&format!("{}/{topic}/{queue}/{offset}/", self.broker));
        for row in scan(draft, Table::Queues)? {
            let (key, _) = row?;
            let mut parts = Parts::of(&key);
            let (topic, queue, offset) = (parts.text(), parts.number(), parts.number());
            know(&topic, queue, Some(offset).filter(|offset| !is_kept(&topic, queue, *offset)), offset + 1);
        }
        for row in scan(draft, Table::Offsets)? {
            let (key, row) = row?;
            let mut parts = Parts::of(&key);
            let (_, topic, queue) = (parts.text(), parts.text(), parts.number());
            if let Row::Number(offset) = row {
                know(&topic, queue, None, offset);
            }
        }
        chains(draft, |chain| {
            let (topic, queue, offset) = (&chain.id.topic, chain.id.queue.into(), chain.id.offset);
            if chain.id.broker == self.broker {
                let is_needed = chain.is_live() && !is_kept(topic, queue, offset);
                know(topic, queue, is_needed.then_some(offset), offset + 1);
            }
            if let ChainState::Ended { outcome: Outcome::Revived(copy) | Outcome::DeadLettered(copy), .. } =
                &chain.state
            {
                let CopyPlace { topic, queue, offset } = copy;
                know(topic, (*queue).into(), None, offset + 1);
            }
            Ok(())
        })?;
        Ok(known)
    }

    /// Lists each chain where its state belongs, and nothing else.
    fn list_chains(&self, draft: &mut Draft<'_>) -> Result<(), StoreError> {
        let (mut wrong, mut over_ids) = (Vec::new(), BTreeSet::new());
        for table in [Table::Due, Table::Parked, Table::Over, Table::Acted] {
            for row in scan(draft, table)? {
                let (key, _) = row?;
                let id = listed_chain(table, &key);
                match draft.chain_by_key(&id)? {
                    Some(chain) if belongs(&chain, table, &key) => {
                        over_ids.extend((table == Table::Over).then_some(id));
                    }
                    _ => wrong.push(key),
                }
            }
        }
        wrong.into_iter().for_each(|key| draft.change(key, None));
        let mut missing = Vec::new();
        chains(draft, |chain| {
            let id = chain.id.to_string();
            let due = chain.due_ms().map(|due_ms| (Table::Due, Key::of(Table::Due).number(due_ms).text(&id)));
            let is_parked = matches!(chain.state, ChainState::Parked { .. });
            let parked = is_parked.then(|| (Table::Parked, Key::of(Table::Parked).text(&id)));
            let since_ms = over_since_ms(chain, self.now_ms).filter(|_| !over_ids.contains(&id));
            let over = since_ms.map(|since_ms| (Table::Over, over(since_ms, &id)));
            let acted = match &chain.acted_for {
                Some(acting) if acting.term >= merged_term(draft, &acting.group)? => {
                    Some((Table::Acted, acted(&acting.group, &id)))
                }
                _ => None,
            };
            for (table, key) in [due, parked, over, acted].into_iter().flatten() {
                if draft.rows().get(table, &key)?.is_none() {
                    missing.push(key);
                }
            }
            Ok(())
        })?;
        missing.into_iter().for_each(|key| draft.put(key, Row::Mark));
        Ok(())
    }

    /// Everything before the first entry has expired; that one may be there because it was the last that did.
    fn find_expired_before(&self, draft: &mut Draft<'_>) -> Result<(), StoreError> {
        let key = Key::of(Table::Marks).text(EXPIRED_BEFORE);
        let is_missing = self.is_lost(key.bytes()) && draft.rows().get(Table::Marks, &key)?.is_none();
        if let (true, Some((1, last))) = (is_missing, self.gaps.first()) {
            let first = last.saturating_add(2).min(draft.last().saturating_add(1));
            draft.put(key, Row::Number(first.cast_signed()));
        }
        Ok(())
    }

    /// What was popped until the last entry and is not known was here, and is lost.
    fn forget_lost_chains(&self, draft: &mut Draft<'_>) -> Result<(), StoreError> {
        let mut latest = BTreeMap::from([(self.broker.to_owned(), self.now_ms)]);
        chains(draft, |chain| {
            let latest = latest.entry(chain.id.broker.clone()).or_insert(self.now_ms);
            *latest = chain.id.pop_time.max(*latest);
            Ok(())
        })?;
        for (broker, pop_time) in latest {
            let before = forgotten_until_ms(draft, &broker)?.unwrap_or(i64::MIN);
            draft.put(Key::of(Table::Forgotten).text(&broker), Row::Number(before.max(pop_time)));
        }
        Ok(())
    }
}

/// Whether a row that lists a chain is right.
fn belongs(chain: &Chain, table: Table, key: &[u8]) -> bool {
    match table {
        Table::Due => chain.due_ms() == Some(Parts::of(key).number()),
        Table::Parked => matches!(chain.state, ChainState::Parked { .. }),
        Table::Over => !chain.is_live(),
        _ => chain.acted_for.as_ref().is_some_and(|acting| acting.group == Parts::of(key).text()),
    }
}

/// The id of the chain that a row lists.
fn listed_chain(table: Table, key: &[u8]) -> String {
    let mut parts = Parts::of(key);
    match table {
        Table::Parked => {}
        Table::Acted => drop(parts.text()), // the group
        _ => drop(parts.number()),          // when
    }
    parts.text()
}

/// Each early ack is known by its chain and by its time.
fn list_early_acks(draft: &mut Draft<'_>) -> Result<(), StoreError> {
    for (key, row) in rows(draft, Table::EarlyAcks)? {
        if let Row::Number(until_ms) = row {
            let id = Parts::of(&key).text();
            draft.put(Key::of(Table::EarlyAcksUntil).number(until_ms).text(&id), Row::Mark);
        }
    }
    for (key, _) in rows(draft, Table::EarlyAcksUntil)? {
        let mut parts = Parts::of(&key);
        let (until_ms, id) = (parts.number(), parts.text());
        draft.put(Key::of(Table::EarlyAcks).text(&id), Row::Number(until_ms));
    }
    Ok(())
}

/// How many bodies in each entry must stay.
fn count_needed(draft: &mut Draft<'_>) -> Result<(), StoreError> {
    let mut needed = BTreeMap::<u64, i64>::new();
    for row in scan(draft, Table::Timers)? {
        let (key, _) = row?;
        let mut parts = Parts::of(&key);
        let (_, index) = (parts.number(), parts.index());
        *needed.entry(index).or_default() += 1;
    }
    for (_, row) in rows(draft, Table::Kept)? {
        if let Row::Place(index, _) = row {
            *needed.entry(index).or_default() += 1;
        }
    }
    for (key, row) in rows(draft, Table::Needed)? {
        let index = Parts::of(&key).index();
        match (needed.remove(&index), row) {
            (Some(count), Row::Number(said)) if count == said => {}
            (Some(count), _) => draft.change(key, Some(Row::Number(count))),
            (None, _) => draft.change(key, None),
        }
    }
    for (index, count) in needed {
        draft.put(by_index(Table::Needed, index), Row::Number(count));
    }
    Ok(())
}

/// The sizes of tables, counted anew; of the log, up to where the rows follow it.
fn counts(draft: &Draft<'_>) -> Result<Counts, StoreError> {
    let count = |table| scan(draft, table)?.try_fold(0, |count, row| row.map(|_| count + 1));
    let mut retained_bytes = 0;
    for index in draft.expired_before()?..=draft.last() {
        retained_bytes += draft.base().sized_entry(index)?.map_or(0, |(_, size)| size);
    }
    Ok(Counts {
        waiting: count(Table::Due)?,
        parked: count(Table::Parked)?,
        set_aside: count(Table::SetAside)?,
        retained_bytes,
        kept: count(Table::Kept)?,
    })
}

/// Has every queue go on so many offsets later.
pub(super) fn skip(draft: &mut Draft<'_>, offsets: i64) -> Result<(), StoreError> {
    if offsets == 0 {
        return Ok(());
    }
    for (key, row) in rows(draft, Table::Bounds)? {
        if let Row::Bounds(Bounds { minimum, next }) = row {
            let next = next.saturating_add(offsets);
            draft.change(key, Some(Row::Bounds(Bounds { minimum, next })));
        }
    }
    Ok(())
}
