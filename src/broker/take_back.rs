//! A master that is back takes over what its slave has done in its place, and a group that keeps such chains for others
//! gives them.
//!
//! The slave says how its log ends. What the master has beyond that was never confirmed, and contradicts what was done
//! since: it is cut off, and one entry merges what the target tells.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{lease::lease_of, refusal::Refusal, shared::Shared};
use crate::{
    model::cause::{Cause, ReadFailure},
    remote::acting::{Acted, NotSealed, TermClaim},
    remoting::{
        Command,
        code::response,
        headers::{
            ListActedHeader, ListActedResponseHeader, MergedHeader, ReplicateResponseHeader, SealHeader,
            SealResponseHeader,
        },
    },
    revive::steps::{
        merge::{Acknowledge, Merge},
        seal::{Seal, Sealed},
    },
    sabotage, sometimes,
    store::{LogEnd, LogPart, StoreError, Tables},
};

/// How long to wait before the target is told once more.
const RETRY: Duration = Duration::from_secs(5);
/// Most chains listed in one answer.
const LISTED_MAX: usize = 1000;

/// Where a master stands with what its slave has done in its place.
#[derive(Debug)]
pub struct TakingBack {
    /// Held while it is taken back.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Whether a slave may ever have had some of this log.
    was_followed: AtomicBool,
    /// Since when it could not be, for want of the target.
    waits_since: Mutex<Option<Instant>>,
    /// What a slave has to have before the target may forget, once that was asked.
    awaited: Mutex<Option<Awaited>>,
}

/// How far a slave's log has to go before the target may forget what is merged under a term.
#[derive(Debug)]
struct Awaited {
    term: u64,
    last_index: u64,
    is_there: bool,
}

impl TakingBack {
    /// Of a master whose log is as old as its process, or is not.
    pub(super) fn new(has_log: bool) -> Self {
        let was_followed = AtomicBool::new(has_log);
        let (turn, waits_since) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { turn, was_followed, waits_since, awaited: Mutex::default() }
    }

    /// Whether a slave may ever have had some of this log, and so may have acted on it.
    pub(super) fn was_followed(&self) -> bool {
        self.was_followed.load(Ordering::SeqCst)
    }

    /// A slave is given some of it.
    pub(super) fn follows(&self) {
        self.was_followed.store(true, Ordering::SeqCst);
    }

    /// For how long a slave has asked or begun anew in vain; `None` when none does.
    pub(super) fn waited(&self) -> Option<Duration> {
        self.lock().map(|since| since.elapsed())
    }

    /// Nothing is to be taken back any longer.
    pub(super) fn ended(&self) {
        *self.lock() = None;
    }

    /// Whether a slave whose log goes so far has what it was awaited to have. Says so once: the target is told then.
    pub(super) fn has_awaited(&self, last_index: u64) -> bool {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived = awaited.as_mut().filter(|awaited| !awaited.is_there && last_index >= awaited.last_index);
        arrived.map(|awaited| awaited.is_there = true).is_some()
    }

    /// The slave has to have a log of this length before the target may forget what is merged under `term`. Tells the length
    /// that was first named for that term.
    fn awaits(&self, term: u64, last_index: u64) -> u64 {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = awaited.as_ref().filter(|known| known.term == term) {
            return known.last_index;
        }
        *awaited = Some(Awaited { term, last_index, is_there: false });
        last_index
    }

    pub(super) fn waits(&self) {
        self.lock().get_or_insert_with(Instant::now);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.waits_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a master learns of what was done in its place.
pub(super) struct Facts {
    /// The term that ends it.
    pub(super) term: u64,
    /// What was done.
    pub(super) acted: Acted,
    /// When the term was asked for, where it is a lease too.
    pub(super) asked: Option<Duration>,
}

impl Shared {
    /// Answers a slave that has acted under `acted`, and whose log ends so, once what it has done is merged.
    pub(super) async fn take_back(&self, end: LogEnd, acted: u64) -> Result<Command, Refusal> {
        let _turn = self.taking_back.turn.lock().await;
        if let Some(refused) = self.cannot_cut_at(end)? {
            return Ok(refused);
        }
        // Under term 0 nothing was done. Under a lower one than this log's, what was done is merged already.
        if acted > 0 && self.store.term() <= acted && !sabotage!("follows-without-merge") {
            let target = self.config.acting_to.clone().ok_or_else(no_target)?;
            if self.config.is_of_three() && !sabotage!("cuts-where-told") {
                // Whoever tells may be the one that did not act, and lack some of what the other acted upon.
                if let Some(refused) = self.merge_what_was_done(&target, acted.max(self.store.term())).await? {
                    return Ok(refused);
                }
            } else {
                let facts = self.facts(&target, acted.max(self.store.term())).await?;
                self.merge(end, target, facts).await?;
            }
            sometimes!("take-back-merged");
        }
        self.taking_back.ended();
        let merged_term = Some(signed(self.store.term()));
        let fields = ReplicateResponseHeader { merged_term, ..ReplicateResponseHeader::default() };
        Ok(Command::response(response::SUCCESS).with_header(&fields))
    }

    /// What a slave is told if this log does not go on from there, or cannot be cut back to there.
    pub(super) fn cannot_cut_at(&self, end: LogEnd) -> Result<Option<Command>, Refusal> {
        let part = {
            let view = self.store.durable()?;
            view.log_after(end, 1)?
        };
        // An only slave that lacks what was confirmed has lost its disk: it cannot tell what is to be taken back.
        let has_all = self.leasing.is_none() && !self.config.is_of_three();
        let lacks_some = has_all && end.position.index < self.store.confirmed_index();
        let part = if lacks_some { LogPart::Diverged(end) } else { part };
        if let LogPart::Diverged(_) | LogPart::Cut { .. } = part {
            sometimes!("take-back-not-possible");
            return Ok(Some(self.answer(part, self.store.durable()?.last_index()?, self.store.confirmed_index())));
        }
        Ok(None)
    }

    /// Takes a term above that one, and learns what was done under those before.
    pub(super) async fn facts(&self, target: &str, above: u64) -> Result<Facts, Refusal> {
        // From here on the slave can hand nothing over: what the target lists is all there will be.
        let asked = self.leasing.as_ref().map(|leasing| leasing.lease.passed());
        let claim = TermClaim { above, ..TermClaim::default() };
        let sealed = self.neighbours.seal(target, claim, self.config.grants()).await;
        let term = sealed.map_err(|not_sealed| match not_sealed {
            NotSealed::Failed(failure) => self.cannot_merge(failure),
            // Nobody tells a master so: the lease would be its own.
            NotSealed::Leased { .. } | NotSealed::Outrun => self.cannot_merge(malformed(target)),
        })?;
        if let (Some(leasing), Some(asked), true) = (&self.leasing, asked, sabotage!("leased-before-merge")) {
            leasing.lease.extend(asked.saturating_add(leasing.lasts()));
        }
        let acted = self.neighbours.acted(target).await.map_err(|failure| self.cannot_merge(failure))?;
        Ok(Facts { term, acted, asked })
    }

    pub(super) async fn merge(&self, end: LogEnd, target: String, facts: Facts) -> Result<(), Refusal> {
        let Facts { term, acted: Acted { chains, timers, .. }, asked } = facts;
        let (moved, delivered) = (chains.len(), timers.len());
        tracing::warn!(broker = %self.config.name, term, moved, delivered, "merging what a slave has done");
        let (group, before) = (self.config.name.clone(), end.position.term);
        let merge = Merge { group, target, before, term, chains, timers };
        if self.leasing.is_some() {
            // What the slave lacks was confirmed before it acted, and stays.
            return self.take_over(term, merge, asked).await;
        }
        // The slave has had it, and so have we.
        self.store.confirm(end.position.index);
        Ok(self.store.cut_back(end, term, merge).await?)
    }

    /// Merges upon all of this log, and goes on under the term. Where that is a lease too, it is one from here on: before the
    /// merge this log does not know what was done.
    pub(super) async fn take_over(&self, term: u64, merge: Merge, asked: Option<Duration>) -> Result<(), Refusal> {
        self.store.go_on(term, merge).await?;
        if let (Some(leasing), Some(asked)) = (&self.leasing, asked) {
            leasing.lease.extend(asked.saturating_add(leasing.lasts()));
        }
        Ok(())
    }

    /// To go on without knowing what was done would be to do it again: the master waits, and says so.
    pub(super) fn cannot_merge(&self, failure: ReadFailure) -> Refusal {
        sometimes!("take-back-waits");
        tracing::warn!(broker = %self.config.name, %failure, "what a slave has done is not merged; waiting for its home");
        self.taking_back.waits();
        Refusal::NotConfirmed(failure)
    }

    /// Serves SEAL for a member of another group.
    pub(super) async fn seal(&self, request: &Command) -> Result<Command, Refusal> {
        let header: SealHeader = request.header()?;
        let group = self.other_group(header.group_name)?;
        let member = natural("memberId", header.member_id)?;
        let above = natural("above", header.above)?;
        let agreed = header.agreed_term.map(|term| natural("agreedTerm", term)).transpose()?;
        let end = header.log_end;
        let lease = header.lease_ms.map(lease_of).transpose()?.map(|lease| (lease, self.granted.clone()));
        let fields = match self.store.submit(Seal { group: group.clone(), member, above, agreed, end, lease }).await? {
            Sealed::Term(term) => {
                self.neighbours.acts(&group, member);
                let agreed = agreed.map(|_| true);
                SealResponseHeader { term: signed(term), agreed, ..SealResponseHeader::default() }
            }
            Sealed::Leased(left) => {
                let leased_ms = Some(i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
                SealResponseHeader { leased_ms, ..SealResponseHeader::default() }
            }
            Sealed::Outrun => SealResponseHeader { agreed: Some(false), ..SealResponseHeader::default() },
        };
        Ok(Command::response(response::SUCCESS).with_header(&fields))
    }

    /// Serves LIST_ACTED for a member of another group.
    pub(super) fn list_acted(&self, request: &Command) -> Result<Command, Refusal> {
        let header: ListActedHeader = request.header()?;
        let group = self.other_group(header.group_name)?;
        let limit = usize::try_from(header.limit).unwrap_or(0).clamp(1, LISTED_MAX);
        let chains = self.store.view()?.acted_chains(&group, &header.after, limit)?;
        // Whoever was told of a term has it from here; whether others know by now is another question.
        let durable = self.store.durable()?;
        let (sealed_term, log_end) = (signed(durable.sealed_term(&group)?), durable.acted_end(&group)?);
        let has_timers = !self.store.view()?.taken_timers(&group, None, 1)?.is_empty();
        let fields = ListActedResponseHeader { more: chains.len() == limit, sealed_term, log_end, has_timers };
        let body = rmp_serde::to_vec_named(&chains).map_err(StoreError::from)?;
        Ok(Command::response(response::SUCCESS).with_header(&fields).with_body(body))
    }

    /// Serves MERGED for the master of another group.
    pub(super) async fn merged_by_master(&self, request: &Command) -> Result<Command, Refusal> {
        let header: MergedHeader = request.header()?;
        let group = self.other_group(header.group_name)?;
        self.store.submit(Acknowledge { group, term: natural("term", header.term)? }).await?;
        Ok(Command::response(response::SUCCESS))
    }

    /// Whether this master confirms alone, and its slave does not have what was merged under `term`: it may act once more, and
    /// has to learn then what it did before.
    fn is_merge_only_here(&self, term: u64) -> bool {
        if self.leasing.is_none() || sabotage!("merge-told-before-followed") {
            return false;
        }
        let Ok(last_index) = self.store.durable().and_then(|view| view.last_index()) else { return true };
        let awaited = self.taking_back.awaits(term, last_index);
        self.in_sync.end_of(1).unwrap_or(0) < awaited
    }

    pub(super) fn other_group(&self, name: String) -> Result<String, Refusal> {
        let is_sound = !name.is_empty() && !name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
        match is_sound && name != self.config.name {
            true => Ok(name),
            false => {
                let expected = format!("the name of another group than {:?}", self.config.name);
                Err(Refusal::Field { field: "groupName", found: name, expected })
            }
        }
    }
}

fn no_target() -> Refusal {
    let expected = "none, for no slave acts where `acting_to` is not set".to_owned();
    Refusal::Field { field: "actingTerm", found: "a term".into(), expected }
}

pub(super) fn malformed(peer: &str) -> ReadFailure {
    ReadFailure { cause: Cause::MalformedAnswer, peer: peer.to_owned(), took_ms: 0 }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn natural(field: &'static str, number: i64) -> Result<u64, Refusal> {
    let wrong = |_| Refusal::Field { field, found: number.to_string(), expected: "0 or more".into() };
    u64::try_from(number).map_err(wrong)
}

/// Lets the target know, after each merge and at each start, that it may forget what it has kept for this master; until
/// the broker stops.
pub(super) async fn acknowledge(shared: Arc<Shared>) {
    let Some(target) = shared.config.acting_to.clone() else { return };
    let mut told = 0;
    loop {
        // The view shows what is confirmed: what might be taken back once more must not be forgotten over there.
        let term = shared.store.view().and_then(|view| view.merged_term(&shared.config.name));
        let outcome = match term {
            Ok(term) if term > told && shared.is_merge_only_here(term) => sometimes!("merge-not-followed", Ok(())),
            Ok(term) if term > told => {
                sometimes!("merge-to-be-told");
                shared.neighbours.merged(&target, term).await.map(|()| told = term)
            }
            Ok(_) => sometimes!("merge-known-there", Ok(())),
            Err(StoreError::Closed) => return sometimes!("merge-told-no-more"),
            Err(error) => {
                sometimes!("merge-not-readable");
                tracing::debug!(broker = %shared.config.name, %error, "cannot tell yet what was merged");
                Err(ReadFailure { cause: Cause::LocalStore, peer: shared.config.name.clone(), took_ms: 0 })
            }
        };
        let again = async {
            match outcome {
                Err(_) if sabotage!("merge-told-once") => std::future::pending().await,
                Ok(()) => sometimes!("merge-settled", std::future::pending().await),
                Err(_) => sometimes!("merge-to-be-told-again", tokio::time::sleep(RETRY).await),
            }
        };
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = shared.merged.wait(&*shared.host.clock, None) => {}
            () = again => {}
        }
    }
}
