//! A master whose disk is an older one than it had, or an empty one, gets from its slave what it lacks, before it serves.
//!
//! It cannot tell by itself: nothing on a disk says that there was more. So a master that has begun again writes nothing, and
//! answers nobody but its slave, until it has heard how the slave's log ends. All that was confirmed is on both disks, so that a
//! slave whose log is the beginning of its master's has told it all. One that has something else gives what comes after the
//! last entry that is known here to be confirmed, as it is on its disk. What this log has beyond that was never confirmed, unless
//! it comes again. Where the slave does not have that entry, nobody but an operator can tell which of the two logs is right.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

use super::{refusal::Refusal, replicate::signed, shared::Shared};
use crate::{
    remoting::{
        Command,
        code::{request, response},
        headers::ReplicateResponseHeader,
    },
    sabotage, sometimes,
    store::{Follow, LogEnd, LogPart, StoreError, Tables as _},
};

/// What a master has heard of its slaves since its process began.
#[derive(Debug)]
pub struct CatchingUp {
    /// Whether its log was empty then.
    was_empty: bool,
    /// The slaves that have nothing which it lacks.
    have_told_all: Mutex<BTreeSet<u64>>,
}

impl CatchingUp {
    /// Of a master whose log is empty, or is not.
    pub(super) const fn new(was_empty: bool) -> Self {
        Self { was_empty, have_told_all: Mutex::new(BTreeSet::new()) }
    }

    /// This slave has nothing that the master lacks; gives of how many that is known.
    fn has_told_all(&self, slave: u64) -> usize {
        let mut slaves = self.have_told_all.lock().unwrap_or_else(PoisonError::into_inner);
        slaves.insert(slave);
        slaves.len()
    }
}

impl Shared {
    /// Takes what a slave gives whose log ends so, `given` being entries and after which they come. What the slave is told if it
    /// has more, or something else; `None` once it has not.
    pub(super) async fn catch_up(
        &self,
        slave: u64,
        end: LogEnd,
        given: Option<(LogEnd, Bytes)>,
    ) -> Result<Option<Command>, Refusal> {
        let _turn = self.taking_back.turn.lock().await; // a request may come twice
        let is_first = given.is_none();
        if let Some((after, entries)) = given
            && after == self.store.view()?.log_end()?
        {
            self.take_given(after, entries).await?;
        }
        let (part, last_index) = {
            let durable = self.store.durable()?;
            (durable.log_after(end, 1)?, durable.last_index()?)
        };
        if !matches!(part, LogPart::Diverged(_)) {
            // Whether the slave may follow is another question: it has nothing that is not here.
            return self.has_heard(slave).await;
        }
        let confirmed = self.store.view()?.log_end()?;
        sometimes!("master-lacks");
        if is_first {
            let (broker, slave_last) = (&self.config.name, end.position.index);
            tracing::error!(%broker, last_index, slave_last, "this disk is older than what the slave has; getting that");
        }
        let fields = ReplicateResponseHeader {
            last_index: signed(last_index),
            lacks_after: Some(confirmed),
            ..ReplicateResponseHeader::default()
        };
        // Of two slaves the other one may be away for long: this is no sign of a master that serves.
        let code = if self.config.is_of_three() { response::PULL_OFFSET_MOVED } else { response::SUCCESS };
        Ok(Some(Command::response(code).with_header(&fields)))
    }

    /// Goes on if this log has all that was confirmed, which a slave that has nothing else may not have known: of three members it
    /// is on two disks, one of which may have been this one.
    async fn has_heard(&self, slave: u64) -> Result<Option<Command>, Refusal> {
        let heard = self.catching_up.has_told_all(slave);
        let needs_both = self.config.is_of_three() && self.catching_up.was_empty && !sabotage!("hears-one-of-two");
        if needs_both && heard < 2 {
            return sometimes!("other-slave-to-be-heard", Err(Refusal::Store(StoreError::MayLack)));
        }
        self.clock_goes_on()?;
        // What was done meanwhile may have been merged in the log that is lost, so that both slaves go on from there.
        let target = self.config.acting_to.clone().unwrap_or_default();
        if needs_both
            && self.store.durable()?.last_index()? > 0
            && let Some(refused) = self.merge_what_was_done(&target, self.store.term()).await?
        {
            return Ok(Some(refused));
        }
        self.store.lacks_nothing();
        Ok(None)
    }

    /// This log has all that was confirmed. Before anything is written to it the clock is where its last entry has it, and
    /// what is overdue by now is no stall of this process.
    fn clock_goes_on(&self) -> Result<(), Refusal> {
        if !sabotage!("clock-begins-anew") {
            self.steady.not_before(self.store.durable()?.last_at_ms()?);
        }
        self.metrics.recovery.began(self.host.clock.now_ms());
        Ok(())
    }

    /// Has what a slave gives follow upon `after`, in the place of whatever does.
    async fn take_given(&self, after: LogEnd, entries: Bytes) -> Result<(), Refusal> {
        let malformed = |error: &dyn std::fmt::Display| Refusal::Body(error.to_string());
        let entries = Follow::read(entries).map_err(|error| malformed(&error))?;
        let Some(last) = entries.last() else { return Ok(()) };
        let term = last.term.max(self.store.term());
        let is_end = self.store.durable()?.log_end()? == after;
        let appended = match is_end {
            true => sometimes!("given-upon-all", self.store.go_on(term, entries).await?),
            false => sometimes!("given-upon-confirmed", self.store.cut_back(after, term, entries).await?),
        };
        appended.map_err(|error| malformed(&error))?;
        // The slave has it, and so have we.
        self.store.confirm(last.index);
        // It had followed a log that is here again.
        self.taking_back.follows();
        sometimes!("master-caught-up");
        Ok(())
    }

    /// Whether this broker answers such a request now. One that may lack what was confirmed would deny what there is, and hand out
    /// what is over.
    pub(super) fn answers(&self, code: i32) -> bool {
        code == request::REPLICATE || !self.store.may_lack() || sabotage!("serves-before-heard")
    }
}
