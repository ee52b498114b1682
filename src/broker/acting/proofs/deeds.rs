//! What a member does to its own log: the steps that a broker submits, at the times that a broker would.

use bytes::Bytes;

use super::{
    logs::{Facts, Handle, Log, Offer},
    world::Member,
};
use crate::{
    broker::{
        filter::Filter,
        pop_step::{PopStep, Source},
    },
    model::{
        chain::{Chain, ChainState, Outcome},
        checkpoint::ActingTerm,
        group::SubscriptionGroupConfig,
        handle::RetryFlag,
        record::{LogEntry, Record},
        topic::TopicConfig,
    },
    revive::{
        ReadOutcome, Reviver,
        apply::Home,
        engine::Event,
        samples::{INVISIBLE_MS, OTHER, OWN, POPPED_MS, chain, home, message, reviver},
        steps::{
            ack::{Ack, Acked},
            adopt::{Adopt, Adopted},
            conclude::Conclude,
            merge::{Acknowledge, Merge},
            seal::{Seal, Sealed},
            tick::Tick,
        },
    },
    store::{
        Follow, LogPart, Step, StoreError, Tables, Txn,
        scratch::{Entries, Scratch},
    },
};

/// When everything happens that does not wait for a chain to be due.
pub(super) const NOW_MS: i64 = POPPED_MS;
/// For how long an early ack waits: longer than anything takes here.
const ACK_WAIT_MS: i64 = 180_000;

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// Topic, group and message come to be.
    Begin,
    /// The message is popped.
    Pop,
    /// A chain is acked; the ack is kept for one that is not there yet, or it is not.
    Ack { handle: Handle, is_kept: bool },
    /// The chain that is due first is taken up.
    Tick,
    /// Its message was found.
    Found { handle: Handle },
    /// A member of the group takes a term; a slave says how its log ends.
    Seal { by: Member, above: u64, end: Option<Log> },
    /// A chain is handed over under a term. The defective target does not look at the term.
    Adopt { chain: Offer, term: u64, is_checked: bool },
    /// The next entry of another log is appended.
    Follow { of: Log },
    /// What comes after a log's end is replaced by what was done since.
    TakeBack { end: Log, term: u64, listed: Log, how: Merging },
    /// The master says that it has merged.
    Acknowledge { term: u64 },
    /// What is over is forgotten. The defective target takes it for merged.
    Forget { is_checked: bool },
}

/// How what was done is merged; all but the first are defects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Merging {
    Sound,
    WithoutMoves,
    WithoutOffsets,
    WithTail,
}

/// What the doer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Nothing,
    Popped(Option<Handle>),
    Acked(Acked),
    /// The chain whose message has to be read elsewhere.
    TakenUp(Option<Handle>),
    Sealed(u64),
    Adopted(Adopted),
    /// The other log does not go on from this one.
    Diverged,
    /// The log has no such end.
    NoSuchEnd,
}

impl Deed {
    /// Does it on a log.
    pub(super) fn perform(&self, scratch: &Scratch, log: &Facts) -> (Entries, Reply) {
        let on = Doing { scratch, log };
        match self {
            Self::Begin => on.run(NOW_MS, Begin, |()| Reply::Nothing),
            Self::Pop => on.run(NOW_MS, pop(log.term()), |popped| {
                Reply::Popped(popped.queues.first().map(|queue| Handle::of(&queue.chains[0].id)))
            }),
            Self::Ack { handle, is_kept } => {
                let keep_until_ms = is_kept.then_some(NOW_MS + ACK_WAIT_MS);
                let ack = Ack { home: on.home(), ids: vec![handle.id()], keep_until_ms };
                on.run(NOW_MS, ack, |mut acked| Reply::Acked(acked.pop().unwrap()))
            }
            Self::Tick => on.tick(),
            Self::Found { handle } => on.found(*handle),
            Self::Seal { by, above, end } => {
                let member = if *by == Member::Master { 0 } else { 1 };
                let end = end.as_ref().map(|log| log.end);
                let seal = Seal { group: OWN.into(), member, above: *above, agreed: None, end, lease: None };
                on.run(NOW_MS, seal, |sealed| match sealed {
                    Sealed::Term(term) => Reply::Sealed(term),
                    Sealed::Leased(_) | Sealed::Outrun => unreachable!("nobody has a lease here, or a vote"),
                })
            }
            Self::Adopt { chain, term, is_checked } => {
                let acting = ActingTerm { group: OWN.into(), term: *term };
                let adopt = Adopt { chains: vec![(**chain).clone()], acting: is_checked.then_some(acting) };
                on.run(NOW_MS, adopt, Reply::Adopted)
            }
            Self::Follow { of } => on.follow(of),
            Self::TakeBack { end, term, listed, how } => on.take_back(end, *term, listed, *how),
            Self::Acknowledge { term } => {
                on.run(NOW_MS, Acknowledge { group: OWN.into(), term: *term }, |()| Reply::Nothing)
            }
            Self::Forget { is_checked } => on.run(i64::MAX, Forget { is_checked: *is_checked }, |()| Reply::Nothing),
        }
    }
}

struct Doing<'d> {
    scratch: &'d Scratch,
    log: &'d Facts,
}

impl Doing<'_> {
    fn run<S: Step>(&self, now_ms: i64, step: S, told: impl FnOnce(S::Reply) -> Reply) -> (Entries, Reply) {
        let (entries, reply) = self.scratch.run(&self.log.entries, (self.log.term(), now_ms), step);
        (entries, told(reply))
    }

    /// The group whose log it is: the one that has the message, or the one that keeps its chains.
    fn home(&self) -> Home {
        if self.has_message() {
            return home();
        }
        let engine = std::sync::Arc::new(Reviver { own_broker: OTHER.into(), ..reviver() });
        Home { broker: OTHER.into(), engine, ..home() }
    }

    fn has_message(&self) -> bool {
        let id = chain(OWN).id;
        self.scratch.view(&self.log.entries).message(&id.topic, id.queue, id.offset).unwrap().is_some()
    }

    /// At the very time at which the first chain is due.
    fn tick(&self) -> (Entries, Reply) {
        let Some((due_ms, key)) = self.log.due.clone() else {
            return (self.log.entries.clone(), Reply::Nothing);
        };
        let tick = Tick {
            home: self.home(),
            keys: vec![key],
            hurried: Default::default(),
            waited: Vec::new(),
            is_away: Box::new(|_| true),
        };
        self.run(due_ms, tick, |ticked| Reply::TakenUp(ticked.jobs.first().map(|job| Handle::of(&job.chain().id))))
    }

    fn found(&self, handle: Handle) -> (Entries, Reply) {
        let Some(chain) = self.log.chain(handle) else { return (self.log.entries.clone(), Reply::Nothing) };
        let (round, attempt) = (chain.round, chain.attempt);
        let event = Event::Read { round, attempt, outcome: ReadOutcome::Found(Box::new(message())) };
        let conclude = Conclude { home: self.home(), results: vec![(handle.id(), event)] };
        self.run(NOW_MS + INVISIBLE_MS, conclude, |_| Reply::Nothing)
    }

    /// The first entry that comes next, as the other gives it.
    fn follow(&self, of: &Log) -> (Entries, Reply) {
        let part = self.scratch.view(&of.entries).log_after(self.log.end, 0).unwrap();
        let LogPart::Entries(next) = part else { return (self.log.entries.clone(), Reply::Diverged) };
        let next: Vec<u8> = next.iter().flat_map(|entry| entry.to_vec()).collect();
        self.run(NOW_MS, Follow::read(Bytes::from(next)).unwrap(), |followed| {
            followed.map_or(Reply::Diverged, |()| Reply::Nothing)
        })
    }

    fn take_back(&self, end: &Log, term: u64, listed: &Log, how: Merging) -> (Entries, Reply) {
        let before = end.end.position.term;
        let chains = listed.listed.clone();
        let merge = Merge { group: OWN.into(), target: OTHER.into(), before, term, chains, timers: Vec::new() };
        let entries = match how {
            Merging::WithTail => Some(self.scratch.run(&self.log.entries, (term, NOW_MS), merge)),
            _ => self.scratch.cut_back(&self.log.entries, end.end, (term, NOW_MS), merge),
        };
        let Some((mut entries, ())) = entries else { return (self.log.entries.clone(), Reply::NoSuchEnd) };
        if let Some(merged) = entries.last_mut() {
            *merged = without(merged, how);
        }
        (entries, Reply::Nothing)
    }
}

/// The entry of a merge, without what a defective one leaves out.
fn without(entry: &Bytes, how: Merging) -> Bytes {
    let mut entry = LogEntry::decode(entry).unwrap();
    entry.records.retain(|record| match how {
        Merging::Sound | Merging::WithTail => true,
        Merging::WithoutMoves => !matches!(record, Record::Chain(_)),
        Merging::WithoutOffsets => !matches!(record, Record::Offset { .. }),
    });
    Bytes::from(entry.encode().unwrap())
}

/// A pop of one message, under a term.
pub(super) fn pop(term: u64) -> PopStep {
    let id = chain(OWN).id;
    PopStep {
        broker: OWN.into(),
        group: id.group,
        sources: vec![Source { topic: id.topic, retry: RetryFlag::Normal, queue: 0 }],
        turn: 0,
        from_maximum: false,
        filter: Filter::All,
        limit: 1,
        invisible_ms: INVISIBLE_MS,
        escape: None,
        term,
    }
}

/// The chain that the target makes of a checkpoint (`Shared::chains_of`).
pub(super) fn offered(chain: Chain, term: u64) -> Chain {
    let (due_ms, hop) = (chain.due_ms().unwrap_or(NOW_MS + INVISIBLE_MS), chain.hop + 1);
    let acted_for = Some(ActingTerm { group: OWN.into(), term });
    let (state, history) = (ChainState::Open { due_ms }, Default::default());
    Chain { hop, attempt: 0, round_began_ms: None, acted_for, state, history, ..chain }
}

/// How a chain ended, if it has.
pub(super) const fn outcome(chain: &Chain) -> Option<&Outcome> {
    match &chain.state {
        ChainState::Ended { outcome, .. } => Some(outcome),
        _ => None,
    }
}

struct Begin;

impl Step for Begin {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        let id = chain(OWN).id;
        txn.put_topic(TopicConfig::with_queues(&id.topic, 1))?;
        txn.record(Record::Group { config: SubscriptionGroupConfig::named(&id.group) })?;
        txn.append(message())?.unwrap();
        Ok(())
    }
}

struct Forget {
    is_checked: bool,
}

impl Step for Forget {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        if self.is_checked {
            return txn.forget(0).map(drop);
        }
        let (group, chains) = (OWN.to_owned(), txn.over(1)?);
        if chains.is_empty() {
            return Ok(());
        }
        let term = txn.sealed_term(OWN)? + 1;
        txn.record(Record::Merged { group, term })?;
        txn.record(Record::Forgotten { chains })
    }
}
