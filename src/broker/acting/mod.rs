//! What a slave does in the place of its master while that is away.
//!
//! It writes nothing: its log stays as it is. Whatever it decides is a chain that another group, the target, keeps before
//! anybody is told, handed over under a term that the target has given it. So the target's log alone decides who acts, and
//! holds all that was done. Inside the group the master is fenced by its degree: it confirms nothing without this slave,
//! which follows it again only after the master has merged what was done.

mod due;
mod pop;
#[cfg(test)]
mod proofs;
mod settle;
mod timers;
mod vote;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::{due::drive, vote::Other};
use super::{
    follower::{Merged, ask_whether_merged},
    refusal::Refusal,
    shared::Shared,
};
use crate::{
    model::{
        cause::ReadFailure,
        chain::{Chain, ChainId, ChainState},
        checkpoint::ActingTerm,
        timer::TimerId,
    },
    remote::{
        acting::{Acted, NotSealed, TermClaim},
        hand_over::NotTaken,
    },
    remoting::{Command, code::request},
    sabotage, sometimes,
    store::{FollowError, StoreError},
};

/// How long to wait before asking the master, or the target, once more.
const RETRY: Duration = Duration::from_secs(5);
/// How long to wait for the master's word before going on with what was begun before a restart.
const FIRST_QUESTION: Duration = Duration::from_secs(2);

/// The term under which this slave acts, if it does.
#[derive(Debug, Default)]
pub struct Acting {
    term: Mutex<Option<Arc<Term>>>,
    /// The other slave of the group, if there is one.
    other: Other,
}

/// One term of acting: all that is known of it is known to the target too.
#[derive(Debug)]
pub(super) struct Term {
    /// The group that keeps the chains.
    target: String,
    acting: ActingTerm,
    known: Mutex<Known>,
    /// Whoever pops holds it: chains that may be at the target come before any others.
    unanswered: tokio::sync::Mutex<Vec<Vec<Chain>>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Keys of the chains that the target has.
    moved: BTreeSet<String>,
    /// Group, topic, queue → where the group goes on.
    next: BTreeMap<(String, String, i32), i64>,
    /// The delayed messages that the target has.
    timers: BTreeSet<TimerId>,
}

/// Why a slave need not act any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The master says that it has merged what was done under this term, 0 if nothing was.
    Merged(u64),
    /// This slave has an older disk than it had, and does not know what it did: under this term or a later one.
    NotToBeTold(u64),
}

/// Why a slave did not act.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Target(ReadFailure),
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
    #[error("the other slave of this group was not heard: {0}")]
    Other(ReadFailure),
    #[error("the other slave of this group acts")]
    OtherActs,
    #[error(
        "the other slave of this group, whose log ends at {last_index}, gives no vote: it hears the master, has never had all \
         of its log, or cannot give what is missing here"
    )]
    NoVote { last_index: u64 },
    #[error("the other slave of this group does not give the vote any more that it would have given")]
    NotWon,
    #[error("this slave has voted for the other one of its group")]
    Voted,
    #[error("what the other slave of this group gave does not follow")]
    Given(#[from] FollowError),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Acting {
    pub(super) fn term(&self) -> Option<Arc<Term>> {
        self.lock().clone()
    }

    /// The number of the term; 0 while there is none.
    pub(super) fn number(&self) -> u64 {
        self.lock().as_ref().map_or(0, |term| term.acting.term)
    }

    /// Acts no longer, at least not under this term.
    fn end(&self, ended: &Term) {
        let mut term = self.lock();
        if term.as_ref().is_some_and(|term| term.acting == ended.acting) {
            *term = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Term>>> {
        self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Term {
    /// Begins with what the target has of this group. Chains that were popped after `before`, the term of the last
    /// entry here, tell how far each queue was popped since.
    fn new(target: String, acting: ActingTerm, before: u64, acted: &Acted) -> Self {
        let timers = acted.timers.iter().map(|taken| taken.id).collect();
        let mut known = Known { timers, ..Known::default() };
        for chain in &acted.chains {
            known.takes(chain, chain.id.broker == acting.group && chain.id.term > before);
        }
        Self { target, acting, known: Mutex::new(known), unanswered: tokio::sync::Mutex::default() }
    }

    fn is_moved(&self, id: &ChainId) -> bool {
        self.known().moved.contains(&id.to_string())
    }

    fn next(&self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        self.known().next.get(&(group.to_owned(), topic.to_owned(), queue)).copied()
    }

    /// The groups that have popped from a topic since.
    fn groups_in(&self, topic: &str) -> Vec<String> {
        let known = self.known();
        let of = known.next.keys().filter(|(_, of, _)| of == topic);
        of.map(|(group, ..)| group.clone()).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn takes(&mut self, chain: &Chain, is_popped_since: bool) {
        let id = &chain.id;
        self.moved.insert(id.to_string());
        if is_popped_since {
            self.goes_on((&id.group, &id.topic, id.queue), id.offset.saturating_add(1));
        }
    }

    fn goes_on(&mut self, (group, topic, queue): (&str, &str, i32), next: i64) {
        let known = self.next.entry((group.to_owned(), topic.to_owned(), queue)).or_insert(next);
        *known = next.max(*known);
    }
}

/// Acts until the master has merged what was done, or the broker stops. Gives the term under which that was, if there is
/// something to be got from the master.
pub(super) async fn run(shared: &Shared) -> Option<u64> {
    tracing::warn!(broker = %shared.config.name, "the master is away: this slave acts for it");
    let ends = async {
        if let Some(over) = over_before_it_begins(shared).await {
            return over;
        }
        tokio::select! {
            biased;
            over = over(shared) => over,
            never = drive(shared) => match never {},
        }
    };
    let over = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return None,
        over = ends => over,
    };
    if let Some(term) = shared.acting.term() {
        shared.acting.end(&term);
    }
    match over {
        Over::Merged(acted @ 1..) if !sabotage!("acting-forgotten-at-once") => {
            sometimes!("merge-to-be-got", Some(acted))
        }
        // Under term 0 nothing was done. What was asked about is forgotten, and not what this slave has voted for since.
        Over::Merged(acted) | Over::NotToBeTold(acted) => {
            forget(shared, Some(acted)).await;
            sometimes!("nothing-to-be-got", None)
        }
    }
}

/// Forgets that it acts or lets another slave act, under that term: what was done is in its log, or is not its to tell. It may
/// have voted for a later one meanwhile.
pub(super) async fn forget(shared: &Shared, acted: Option<u64>) {
    let _turn = shared.following.turn.lock().await;
    if shared.store.acts() != acted {
        return; // it has voted since
    }
    match shared.store.set_acts(None).await {
        Ok(()) => tracing::warn!(broker = %shared.config.name, "the master is back: this slave follows it again"),
        Err(error) => tracing::error!(broker = %shared.config.name, %error, "acts on: it could not be stored"),
    }
}

/// Whoever finds that it acted already asks before it goes on: it may have been put back to where it acted long ago. Where
/// the master needs a lease, an earlier process of this member may have given it one, and that has to be over.
async fn over_before_it_begins(shared: &Shared) -> Option<Over> {
    if let Some(lease) = shared.config.grants() {
        let left = lease.saturating_sub(shared.began.elapsed());
        return if left.is_zero() { None } else { tokio::time::timeout(left, over(shared)).await.ok() };
    }
    if shared.store.acts().is_none_or(|term| term == 0) {
        return None;
    }
    let asked = async {
        shared.registration.look_for_master().await; // this process may not know it yet
        is_over(shared).await
    };
    tokio::time::timeout(FIRST_QUESTION, asked).await.unwrap_or(None)
}

/// Returns once it need not act any more.
async fn over(shared: &Shared) -> Over {
    loop {
        if let Some(over) = is_over(shared).await {
            return over;
        }
        tokio::time::sleep(RETRY).await;
        shared.registration.look_for_master().await;
    }
}

/// Asks the master once whether it has merged what was done for it, or need not.
async fn is_over(shared: &Shared) -> Option<Over> {
    let acted = shared.store.acts().unwrap_or(0);
    match ask_whether_merged(shared, acted).await {
        // Under a later term more may have been done meanwhile.
        Ok(Merged::Yes) if shared.store.acts() == Some(acted) => {
            return sometimes!("master-has-merged", Some(Over::Merged(acted)));
        }
        Ok(Merged::NotByThis) => {
            sometimes!("acts-on-an-older-disk");
            return has_forgotten(shared).await.then_some(Over::NotToBeTold(acted));
        }
        Ok(_) => sometimes!("master-has-not-merged"),
        Err(failed) if failed.is_stuck() => {
            sometimes!("master-not-to-be-followed");
            tracing::error!(broker = %shared.config.name, %failed, "the master cannot be followed");
        }
        Err(failed) => {
            sometimes!("master-not-heard-of");
            tracing::debug!(broker = %shared.config.name, %failed, "the master has not merged what was done for it");
        }
    }
    None
}

/// Forgets that it ever had all that its master had; false if that cannot be stored.
async fn has_forgotten(shared: &Shared) -> bool {
    let stored = shared.store.set_caught_up(false).await;
    if let Err(error) = &stored {
        tracing::error!(broker = %shared.config.name, %error, "acts on: it could not be stored");
    }
    stored.is_ok()
}

/// Takes a term at the target, and learns what is there.
async fn take_term(shared: &Shared) -> Result<Arc<Term>, Failed> {
    let target = shared.config.acting_to.clone().unwrap_or_default();
    let mandate = match shared.config.other_slave() {
        Some(other) => Some((other, vote::stand(shared, other).await?)),
        None => None,
    };
    let view = shared.store.durable()?;
    let end = view.log_end()?;
    let before = end.position;
    // What is on this disk is on its master's too, and so it is confirmed.
    shared.store.confirm(before.index);
    let above = before.term.max(shared.store.acts().unwrap_or(0));
    let agreed = mandate.and_then(|(_, mandate)| mandate.agreed());
    let claim = TermClaim { above, agreed, end: Some(end) };
    let term = shared.neighbours.seal(&target, claim, shared.config.grants()).await?;
    // Before anything is done under it: whoever follows again has to have it merged first.
    match mandate {
        Some((other, mandate)) => vote::win(shared, other, mandate, term, end).await?,
        None => shared.store.set_acts(Some(term)).await?,
    }
    let acted = shared.neighbours.acted(&target).await.map_err(Failed::Target)?;
    let acting = ActingTerm { group: shared.config.name.clone(), term };
    let term = Arc::new(Term::new(target, acting, before.term, &acted));
    *shared.acting.lock() = Some(term.clone());
    tracing::warn!(broker = %shared.config.name, term = term.acting.term, chains = acted.chains.len(), "acting");
    Ok(term)
}

impl Shared {
    /// Serves what only a master serves, if this slave acts for it.
    pub(super) async fn act(&self, request: &Command) -> Result<Command, Refusal> {
        let Some(term) = self.acting.term() else { return Err(Refusal::Slave) };
        match request.code {
            request::POP_MESSAGE => self.pop_acting(&term, request).await,
            request::ACK_MESSAGE => self.ack(request).await,
            request::BATCH_ACK_MESSAGE => self.batch_ack(request).await,
            request::CHANGE_MESSAGE_INVISIBLETIME => self.change_invisible_acting(&term, request).await,
            _ => Err(Refusal::Slave),
        }
    }

    /// Hands chains of one checkpoint over to the target. `Ok` only once it has confirmed them.
    async fn hand_over_acting(&self, term: &Term, chains: &[Chain]) -> Result<(), NotTaken> {
        let own = |chain: &Chain| chain.id.term == term.acting.term;
        let moving = |chain: &Chain| {
            let due_ms = chain.due_ms().unwrap_or_else(|| chain.id.pop_time.saturating_add(chain.invisible_ms));
            // What is left of it is told, by this clock: what the master has popped is due by the master's.
            let ahead_ms =
                if own(chain) || sabotage!("moved-by-another-clock") { 0 } else { self.master_clock.ahead_ms() };
            let revive_ms = due_ms.saturating_sub(ahead_ms);
            let state = ChainState::Moving { to: term.target.clone(), due_ms: revive_ms, revive_ms };
            Chain { state, ..chain.clone() }
        };
        let moving: Vec<Chain> = chains.iter().map(moving).collect();
        let handed = self.neighbours.hand_over_acting(&term.target, &moving, &term.acting).await;
        match &handed {
            Ok(()) => {
                sometimes!("acting-handed");
                let mut known = term.known();
                chains.iter().for_each(|chain| known.takes(chain, own(chain)));
            }
            Err(NotTaken::Sealed { .. }) => sometimes!("acting-sealed", self.acting.end(term)),
            Err(NotTaken::Failed(_)) => sometimes!("acting-not-handed"),
        }
        handed
    }
}

impl From<NotTaken> for Refusal {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Sealed { .. } => Self::Slave,
            NotTaken::Failed(failure) => Self::NotConfirmed(failure),
        }
    }
}
