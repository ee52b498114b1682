//! The transaction of a pop: offsets move, and every message that is handed out gets its chain.

use bytes::Bytes;

use super::filter::Filter;
use crate::{
    buggify,
    model::{
        chain::{Chain, ChainId, ChainState, History, LogPosition},
        handle::RetryFlag,
        record::Record,
    },
    revive::RewritePolicy,
    sabotage,
    store::{Step, StoreError, Tables, Txn},
};

/// A topic to pop from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub topic: String,
    /// Whether it is a retry topic, and in which spelling.
    pub retry: RetryFlag,
    /// The one queue; negative is all.
    pub queue: i32,
}

impl Source {
    /// The queues to read.
    pub fn queues(&self, count: u32) -> impl Iterator<Item = i32> + use<> {
        let all = i32::try_from(count).unwrap_or(i32::MAX);
        let (from, to) = if self.queue >= 0 { (self.queue, self.queue + 1) } else { (0, all) };
        from..to.min(all)
    }
}

/// Where chains go that this broker does not keep.
#[derive(Debug, Clone)]
pub struct EscapePlan {
    /// The group that becomes their home.
    pub to: String,
    /// When an unanswered hand-over is repeated.
    pub policy: RewritePolicy,
    /// The longest a hand-over can take, ms.
    pub attempt_limit_ms: i64,
}

/// Pops.
pub struct PopStep {
    /// This broker's name.
    pub broker: String,
    /// Who pops.
    pub group: String,
    /// From where, in this order.
    pub sources: Vec<Source>,
    /// Which queue of each is read first.
    pub turn: u64,
    /// A group that is new to a queue begins at its end instead of its beginning.
    pub from_maximum: bool,
    /// Which messages.
    pub filter: Filter,
    /// How many at the most.
    pub limit: usize,
    /// How long they are invisible, ms.
    pub invisible_ms: i64,
    /// Where the chains go, if not here.
    pub escape: Option<EscapePlan>,
    /// The term.
    pub term: u64,
}

/// What was popped.
#[derive(Debug, Default)]
pub struct Popped {
    /// Per queue; only queues with messages.
    pub queues: Vec<PoppedQueue>,
    /// One for all, Unix ms.
    pub pop_time: i64,
    /// The term.
    pub term: u64,
    /// How many messages are left.
    pub rest: i64,
}

/// What was popped from one queue.
#[derive(Debug)]
pub struct PoppedQueue {
    /// Kind of the topic.
    pub retry: RetryFlag,
    /// Queue.
    pub queue: i32,
    /// Where the read began.
    pub start_offset: i64,
    /// Offset and stored form.
    pub messages: Vec<(i64, Bytes)>,
    /// Their chains, in the same order.
    pub chains: Vec<Chain>,
}

/// Most bytes of messages in one answer; the first message always fits.
const BYTES_MAX: usize = 4 << 20;
/// How many messages one pop may skip because its filter does not want them.
const SKIP_MAX: usize = 800;

/// One queue's part of a pop, before its chains are made.
pub(super) struct Taken {
    topic: String,
    epoch: LogPosition,
    retry: RetryFlag,
    queue: i32,
    start_offset: i64,
    /// Where the group goes on.
    next: i64,
    /// Whether it was elsewhere before.
    moves: bool,
    messages: Vec<(i64, Bytes)>,
}

impl Step for PopStep {
    type Reply = Popped;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Popped, StoreError> {
        // As it is now: while the pop waited it may have been changed.
        let Some(group) = txn.group(&self.group)?.filter(|group| group.consume_enable) else {
            return Ok(Popped::default());
        };
        let (taken, rest) = self.look(txn, &|_, _| None)?;
        for part in &taken {
            if part.moves {
                let (group, topic) = (self.group.clone(), part.topic.clone());
                txn.record(Record::Offset { group, topic, queue: part.queue, offset: part.next })?;
            }
        }
        let pop_time = self.free_pop_time(txn, &taken)?;
        let mut popped = self.popped(taken, rest, pop_time, group.retry_max_times);
        for chain in popped.queues.iter_mut().flat_map(|queue| &mut queue.chains) {
            self.plan_escape(chain, txn.now_ms());
            txn.record_chain(chain.clone())?;
        }
        Ok(popped)
    }
}

/// Where a group goes on in a topic's queue, if not where the tables say: never before that.
pub(super) type GoesOn<'a> = &'a dyn Fn(&str, i32) -> Option<i64>;

impl PopStep {
    /// What there is to take, and how many messages are left; nothing is changed.
    pub(super) fn look(&self, tables: &impl Tables, from: GoesOn<'_>) -> Result<(Vec<Taken>, i64), StoreError> {
        let (mut taken, mut rest, mut bytes) = (Vec::new(), 0, 0);
        for source in &self.sources {
            let Some(row) = tables.topic(&source.topic)? else { continue };
            let mut queues: Vec<i32> = source.queues(row.config.read_queue_nums).collect();
            let first = usize::try_from(self.turn % queues.len().max(1) as u64).unwrap_or(0);
            queues.rotate_left(first);
            for queue in queues {
                let so_far: usize = taken.iter().map(|taken: &Taken| taken.messages.len()).sum();
                let limit = self.limit - so_far;
                let (part, left) = self.take(tables, source, (row.epoch, queue), from, limit, &mut bytes)?;
                rest += left;
                taken.push(part);
            }
        }
        Ok((taken, rest))
    }

    /// The messages that were taken, each with its chain, by which it may be given to the group so many times again.
    pub(super) fn popped(&self, taken: Vec<Taken>, rest: i64, pop_time: i64, reconsume_limit: i32) -> Popped {
        let parts = taken.into_iter().filter(|part| !part.messages.is_empty());
        let queues = parts.map(|part| self.queue(part, pop_time, reconsume_limit)).collect();
        Popped { queues, pop_time, term: self.term, rest }
    }

    /// Takes up to `limit` messages of one queue, past what the filter does not want; tells how many are left.
    fn take(
        &self,
        tables: &impl Tables,
        source: &Source,
        (epoch, queue): (LogPosition, i32),
        from: GoesOn<'_>,
        limit: usize,
        bytes: &mut usize,
    ) -> Result<(Taken, i64), StoreError> {
        let bounds = tables.bounds(&source.topic, queue)?;
        let known = tables.offset(&self.group, &source.topic, queue)?.max(from(&source.topic, queue));
        let at_end = self.from_maximum && !sabotage!("begins-at-beginning") && source.retry == RetryFlag::Normal;
        let start = known.unwrap_or(if at_end { bounds.next } else { bounds.minimum }).max(bounds.minimum);
        let (mut next, mut messages) = (start, Vec::new());
        let (bytes_max, skip_max) = (buggify!("pops-one", 1, BYTES_MAX), buggify!("skips-one", 1, SKIP_MAX));
        while next < bounds.next
            && messages.len() < limit
            && usize::try_from(next - start).unwrap_or(0) < skip_max + limit
        {
            let Some(stored) = tables.message(&source.topic, queue, next)? else {
                // A hole: nothing was ever stored there, or it is lost.
                next = tables.next_stored(&source.topic, queue, next)?;
                continue;
            };
            if self.filter.wants(&stored) {
                if *bytes > 0 && *bytes + stored.len() > bytes_max && !sabotage!("pops-without-limit") {
                    break;
                }
                *bytes += stored.len();
                messages.push((next, stored));
            }
            next += 1;
        }
        // The first look of a group at a queue is kept even if it takes nothing: from here on messages are owed to it.
        let moves = known != Some(next) && (limit > 0 || known.is_none()) && (bounds.next > 0 || at_end);
        let (topic, retry) = (source.topic.clone(), source.retry);
        let part = Taken { topic, epoch, retry, queue, start_offset: start, next, moves, messages };
        Ok((part, bounds.next - next))
    }

    /// The first time from now on at which no chain of this pop exists yet, or existed and is forgotten.
    fn free_pop_time(&self, txn: &Txn<'_, '_>, taken: &[Taken]) -> Result<i64, StoreError> {
        let forgotten_ms = txn.forgotten_until_ms(&self.broker)?.map_or(i64::MIN, |until| until.saturating_add(1));
        let mut pop_time = txn.now_ms().max(forgotten_ms);
        'bump: loop {
            for part in taken {
                for (offset, _) in &part.messages {
                    if txn.chain(&self.id(part, *offset, pop_time))?.is_some() {
                        pop_time += 1;
                        continue 'bump;
                    }
                }
            }
            return Ok(pop_time);
        }
    }

    fn id(&self, part: &Taken, offset: i64, pop_time: i64) -> ChainId {
        ChainId {
            broker: self.broker.clone(),
            topic: part.topic.clone(),
            queue: part.queue,
            offset,
            group: self.group.clone(),
            pop_time,
            term: self.term,
        }
    }

    /// Has the chain go where it is kept, if that is not here.
    fn plan_escape(&self, chain: &mut Chain, now_ms: i64) {
        let Some(plan) = &self.escape else { return };
        let revive_ms = chain.id.pop_time.saturating_add(self.invisible_ms);
        // The first hand-over follows at once; this is when to repeat it if we crash before its answer.
        let wait = plan.policy.wait_ms(&chain.id, 0, 1).saturating_add(plan.attempt_limit_ms);
        let due_ms = now_ms.saturating_add(wait);
        (chain.attempt, chain.round_began_ms) = (1, Some(now_ms));
        chain.state = ChainState::Moving { to: plan.to.clone(), due_ms, revive_ms };
    }

    fn queue(&self, part: Taken, pop_time: i64, reconsume_limit: i32) -> PoppedQueue {
        let chain = |(offset, _): &(i64, Bytes)| self.chain(&part, *offset, pop_time, reconsume_limit);
        let chains = part.messages.iter().map(chain).collect();
        let Taken { retry, queue, start_offset, messages, .. } = part;
        PoppedQueue { retry, queue, start_offset, messages, chains }
    }

    fn chain(&self, part: &Taken, offset: i64, pop_time: i64, reconsume_limit: i32) -> Chain {
        Chain {
            id: self.id(part, offset, pop_time),
            topic_epoch: part.epoch,
            start_offset: part.start_offset,
            invisible_ms: self.invisible_ms,
            reconsume_limit,
            round: 0,
            hop: 0,
            generation: 0,
            attempt: 0,
            round_began_ms: None,
            acted_for: None,
            resumed_ms: None,
            failed_before: 0,
            state: ChainState::Open { due_ms: pop_time.saturating_add(self.invisible_ms) },
            history: History::default(),
        }
    }
}
