//! Whether a slave may act in a group of three: its master could go on with the other slave's help.
//!
//! So it needs the other slave's vote, as a candidate of Raft's does. Whoever votes follows nobody until a master has merged a
//! later term, and has nothing that the candidate lacks: what it has more it gives first. An entry that was confirmed is on one of
//! the two, hence with the candidate. It asks before it takes a term whether it would have the vote, and for the vote once it has
//! the term: so nobody is bound by a term that the target does not know, and that a master would have to end before it can write.
//!
//! From then on the two agree, and the master confirms nothing before it has taken a later term at the target. As long as it has
//! not, either slave goes on in the other's place without asking, if it has all that was acted upon: so a second slave acts when
//! the first is lost too.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Failed, RETRY};
use crate::{
    broker::{
        refusal::Refusal,
        replicate::{BYTES_MAX, signed},
        shared::Shared,
        take_back::natural,
    },
    buggify,
    model::{cause::ReadFailure, record::LogEnd},
    remote::voting::Vote,
    remoting::{
        Command,
        code::response,
        headers::{VoteHeader, VoteResponseHeader},
    },
    sabotage, sometimes,
    store::{Follow, LogPart},
};

/// What a slave knows of the other one of its group.
#[derive(Debug, Default)]
pub(super) struct Other {
    /// When it was heard of last.
    heard: Mutex<Option<Instant>>,
    /// When it had this slave's vote last.
    voted: Mutex<Option<Instant>>,
}

impl Other {
    fn is_heard(&self) {
        note(&self.heard);
    }

    /// Whether this slave has just voted: it lets the other one take its term.
    fn has_just_voted(&self) -> bool {
        let voted = *self.voted.lock().unwrap_or_else(PoisonError::into_inner);
        voted.is_some_and(|at| at.elapsed() < RETRY)
    }

    /// For how long it was not heard of by a process that began then.
    fn is_silent_for(&self, began: Instant) -> Duration {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.unwrap_or(began).elapsed()
    }
}

fn note(at: &Mutex<Option<Instant>>) {
    *at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// What entitles a slave to ask for a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mandate {
    /// The other slave would vote for it.
    Vote,
    /// The two agreed upon this term, and the other one is not heard of.
    Agreed(u64),
}

impl Mandate {
    /// The term upon which the two agreed, if that is what entitles it.
    pub(super) const fn agreed(self) -> Option<u64> {
        match self {
            Self::Vote => None,
            Self::Agreed(term) => Some(term),
        }
    }
}

/// Looks whether this slave may ask for a term, after it has got what it lacks of what the other one has.
pub(super) async fn stand(shared: &Shared, other: u64) -> Result<Mandate, Failed> {
    if shared.acting.other.has_just_voted() {
        return sometimes!("stands-after-vote", Err(Failed::Voted));
    }
    loop {
        let end = shared.store.durable()?.log_end()?;
        match ask(shared, other, 0, end).await {
            Ok(Vote::Granted) => return sometimes!("stands-with-vote", Ok(Mandate::Vote)),
            Ok(Vote::Lacks(entries)) => sometimes!("stands-and-lacks", shared.take_given_by_other(entries).await?),
            Ok(Vote::Acts) => return sometimes!("stands-beside-acting", Err(Failed::OtherActs)),
            Ok(Vote::Refused { last_index }) => {
                return sometimes!("stands-refused", Err(Failed::NoVote { last_index }));
            }
            Err(failure) => {
                let after = Duration::from_millis(shared.config.acting_after_ms);
                let is_silent = shared.acting.other.is_silent_for(shared.began) >= after;
                return match shared.store.agreed().filter(|_| is_silent) {
                    Some(term) => sometimes!("stands-for-lost", Ok(Mandate::Agreed(term))),
                    None => sometimes!("stands-unheard", Err(Failed::Other(failure))),
                };
            }
        }
    }
}

/// Gets the other slave's vote for a term that this one has taken with such a mandate. Nothing is done under it before.
pub(super) async fn win(shared: &Shared, other: u64, mandate: Mandate, term: u64, end: LogEnd) -> Result<(), Failed> {
    let is_agreed = mandate.agreed().is_some();
    // Before the other one votes: it goes by that neither follows the master any more.
    shared.bind(term, end, is_agreed).await?;
    if is_agreed {
        return Ok(());
    }
    match ask(shared, other, term, end).await {
        Ok(Vote::Granted) => sometimes!("wins", shared.bind(term, end, true).await),
        Ok(_) => sometimes!("wins-not", Err(Failed::NotWon)),
        Err(failure) => sometimes!("wins-unheard", Err(Failed::Other(failure))),
    }
}

async fn ask(shared: &Shared, other: u64, term: u64, end: LogEnd) -> Result<Vote, ReadFailure> {
    let asked = shared.neighbours.ask_for_vote(other, term, end).await;
    if asked.is_ok() {
        shared.acting.other.is_heard();
    }
    asked
}

impl Shared {
    /// Appends what the other slave has and this one lacks of their master's log.
    async fn take_given_by_other(&self, entries: Bytes) -> Result<(), Failed> {
        let entries = Follow::read(entries)?;
        let _turn = self.following.turn.lock().await;
        Ok(self.store.submit_here(entries).await??)
    }

    /// Remembers that this slave follows nobody until a master has merged a later term than that, and perhaps that the other one
    /// does not either.
    async fn bind(&self, term: u64, end: LogEnd, agrees: bool) -> Result<(), Failed> {
        let _turn = self.following.turn.lock().await;
        let has_voted = self.store.acts().is_none_or(|acts| acts > term);
        if has_voted || self.store.durable()?.log_end()? != end {
            return sometimes!("stands-and-voted", Err(Failed::Voted));
        }
        match agrees {
            true => self.store.agree(term).await?,
            false if sabotage!("votes-asked-unbound") => {}
            false => self.store.set_acts(Some(term)).await?,
        }
        Ok(())
    }

    /// Serves VOTE for the other slave of this group.
    pub(in crate::broker) async fn vote(&self, request: &Command) -> Result<Command, Refusal> {
        let header: VoteHeader = request.header()?;
        let candidate = self.candidate_of(&header)?;
        let term = natural("term", header.term)?;
        self.acting.other.is_heard();
        let _turn = self.following.turn.lock().await;
        let (end, acts) = (self.store.durable()?.log_end()?, self.acting.number() > 0);
        let answer = |granted| VoteResponseHeader { granted, acts, log_end: end };
        if !self.store.has_caught_up() && !sabotage!("votes-half-full") {
            // Nobody knows what it lacks of what it once had.
            return sometimes!("votes-not-caught-up", Ok(answered(&answer(false), Bytes::new())));
        }
        if end.position > header.log_end.position && !sabotage!("votes-for-less") {
            let bytes_max = buggify!("gives-one-entry", 1, BYTES_MAX);
            let part = self.store.durable()?.log_after(header.log_end, bytes_max)?;
            let entries = if let LogPart::Entries(entries) = part { entries.concat() } else { Vec::new() };
            return sometimes!("votes-after-giving", Ok(answered(&answer(false), Bytes::from(entries))));
        }
        if acts && self.config.id < candidate {
            return sometimes!("votes-not-acting-itself", Ok(answered(&answer(false), Bytes::new())));
        }
        let after = Duration::from_millis(self.config.acting_after_ms);
        if self.following.hears_master(after) && !sabotage!("votes-beside-master") {
            return sometimes!("votes-not-master-heard", Ok(answered(&answer(false), Bytes::new())));
        }
        if term == 0 {
            return sometimes!("votes-when-asked", Ok(answered(&answer(true), Bytes::new())));
        }
        if self.store.acts().is_some_and(|acts| acts > term) {
            return sometimes!("votes-not-for-earlier", Ok(answered(&answer(false), Bytes::new())));
        }
        if !sabotage!("vote-forgotten") {
            self.store.agree(term).await?;
        }
        if let Some(ended) = self.acting.term() {
            sometimes!("votes-acting-no-more");
            self.acting.end(&ended); // whoever has the lower id acts, as RocketMQ's routes have it
        }
        note(&self.acting.other.voted);
        tracing::warn!(broker = %self.config.name, term, candidate, "another slave may act for the master");
        sometimes!("votes", Ok(answered(&answer(true), Bytes::new())))
    }

    /// Who asks: the other slave.
    fn candidate_of(&self, header: &VoteHeader) -> Result<u64, Refusal> {
        let other = self.config.other_slave().filter(|_| header.group_name == self.config.name);
        let found = header.member_id;
        other.filter(|id| signed(*id) == found).ok_or_else(|| Refusal::Field {
            field: "memberId",
            found: format!("{found} of {:?}", header.group_name),
            expected: "the other of two slaves of this slave's group that may act".into(),
        })
    }
}

fn answered(header: &VoteResponseHeader, entries: Bytes) -> Command {
    Command::response(response::SUCCESS).with_header(header).with_body(entries)
}
