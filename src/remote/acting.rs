//! What a slave that acts for its master, and that master afterwards, ask of the group that keeps the chains.

use std::time::Duration;

use super::{
    hand_over::{NotTaken, failure},
    neighbours::Neighbours,
};
use crate::{
    buggify,
    model::{
        cause::{Cause, ReadFailure},
        chain::Chain,
        checkpoint::ActingTerm,
        record::LogEnd,
        timer::{DueTimer, TakenTimer},
    },
    remoting::{
        Command,
        code::{request, response},
        headers::{
            LeaseHeader, LeaseResponseHeader, ListActedHeader, ListActedResponseHeader, ListTakenTimersHeader,
            ListTakenTimersResponseHeader, MergedHeader, SealHeader, SealResponseHeader, TakeTimersHeader,
        },
    },
    sabotage, sometimes,
};

/// How many chains one answer lists.
const LISTED_AT_ONCE: i64 = 500;
/// How many delayed messages.
const TIMERS_LISTED_AT_ONCE: i64 = 10_000;

/// What the group that keeps the chains knows of those who acted for this one's master.
#[derive(Debug, Clone, Default)]
pub struct Acted {
    /// The last term that a member has taken there, for whatever; 0 if none has.
    pub sealed: u64,
    /// How the log ended of the last member that took one to act, if one has and said so.
    pub end: Option<LogEnd>,
    /// The chains that acting members have handed over since the master last merged them.
    pub chains: Vec<Chain>,
    /// The delayed messages that they have.
    pub timers: Vec<TakenTimer>,
}

/// What a member asks for that takes a term.
#[derive(Debug, Clone, Copy, Default)]
pub struct TermClaim {
    /// The term is higher than this one, which the member knows of.
    pub above: u64,
    /// The term upon which this slave and the other one agreed, where this one goes on in the place of that one.
    pub agreed: Option<u64>,
    /// How the member's log ends, if it is to act.
    pub end: Option<LogEnd>,
}

/// What the group that keeps the chains says to a master that asks for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leased {
    /// It gives no term meanwhile.
    Granted,
    /// Another member has taken this one.
    Sealed(u64),
}

/// Why a member has no term.
#[derive(Debug, thiserror::Error)]
pub enum NotSealed {
    /// Its master may go on alone, for so much longer.
    #[error("the master may have a lease for another {} ms", .left.as_millis())]
    Leased {
        /// How much of it may be left.
        left: Duration,
    },
    /// What this slave and the other one agreed upon may be over: it has to ask that one.
    #[error("the master has taken a term since the slaves agreed, or the lost one acted upon more than is here")]
    Outrun,
    /// It may have been taken all the same: then nobody ever uses it.
    #[error("{0}")]
    Failed(ReadFailure),
}

impl Acted {
    /// Whether anything was handed over under a later term than that.
    #[must_use]
    pub fn has_later_than(&self, term: u64) -> bool {
        let is_later = |acting: &ActingTerm| acting.term > term;
        self.chains.iter().any(|chain| chain.acted_for.as_ref().is_some_and(is_later))
            || self.timers.iter().any(|timer| timer.term > term)
    }
}

impl Neighbours {
    /// Takes the next term at `to` for this member. Where masters need a lease, which lasts `lease`, a slave gets none while
    /// there is one, and to the master it is one.
    ///
    /// # Errors
    /// Why it has none.
    pub async fn seal(&self, to: &str, claim: TermClaim, lease: Option<Duration>) -> Result<u64, NotSealed> {
        let TermClaim { above, agreed, end } = claim;
        let header = SealHeader {
            group_name: self.config.own_broker.clone(),
            member_id: i64::try_from(self.config.own_id).unwrap_or(i64::MAX),
            above: i64::try_from(above).unwrap_or(i64::MAX),
            agreed_term: agreed.map(|agreed| i64::try_from(agreed).unwrap_or(i64::MAX)),
            log_end: end,
            lease_ms: lease.map(millis),
        };
        let request = Command::request(request::SEAL).with_header(&header);
        let answer = self.asked(to, request).await.map_err(NotSealed::Failed)?;
        let malformed = || NotSealed::Failed(failure(to, Cause::MalformedAnswer, 0));
        let told: SealResponseHeader = answer.header().map_err(|_| malformed())?;
        if let Some(left) = told.leased_ms.filter(|_| lease.is_some()) {
            return Err(NotSealed::Leased { left: Duration::from_millis(left.unsigned_abs()) });
        }
        if agreed.is_some() && told.agreed != Some(true) {
            return Err(NotSealed::Outrun); // also where the other group does not know the question
        }
        u64::try_from(told.term).ok().filter(|term| *term > above).ok_or_else(malformed)
    }

    /// Asks `to` to give no member of this group a term for a while; this master's log is of `term`.
    ///
    /// # Errors
    /// Why it is not known whether it does.
    pub async fn lease(&self, to: &str, term: u64, lease: Duration) -> Result<Leased, ReadFailure> {
        let header = LeaseHeader {
            group_name: self.config.own_broker.clone(),
            term: i64::try_from(term).unwrap_or(i64::MAX),
            lease_ms: millis(lease),
        };
        let answer = self.asked(to, Command::request(request::LEASE).with_header(&header)).await?;
        let malformed = || failure(to, Cause::MalformedAnswer, 0);
        let told: LeaseResponseHeader = answer.header().map_err(|_| malformed())?;
        match told.sealed_term {
            None => sometimes!("lease-told", Ok(Leased::Granted)),
            Some(sealed) => {
                let later = u64::try_from(sealed).ok().filter(|sealed| *sealed > term);
                sometimes!("lease-refused", Ok(Leased::Sealed(later.ok_or_else(malformed)?)))
            }
        }
    }

    /// What `to` knows of those who acted for this group's master.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn acted(&self, to: &str) -> Result<Acted, ReadFailure> {
        let mut acted = Acted::default();
        loop {
            let header = ListActedHeader {
                group_name: self.config.own_broker.clone(),
                after: acted.chains.last().map_or_else(String::new, |last| last.id.to_string()),
                limit: buggify!("lists-one-acted", 1, LISTED_AT_ONCE),
            };
            let answer = self.asked(to, Command::request(request::LIST_ACTED).with_header(&header)).await?;
            let malformed = || failure(to, Cause::MalformedAnswer, 0);
            let told = answer.header::<ListActedResponseHeader>().map_err(|_| malformed())?;
            let part: Vec<Chain> = rmp_serde::from_slice(&answer.body).map_err(|_| malformed())?;
            let is_last = sabotage!("list-cut-short") || !told.more || part.is_empty();
            acted.sealed = u64::try_from(told.sealed_term).map_err(|_| malformed())?;
            acted.end = told.log_end;
            acted.chains.extend(part);
            if is_last {
                let timers = if told.has_timers { self.taken_timers(to).await? } else { Vec::new() };
                return Ok(Acted { timers, ..acted });
            }
        }
    }

    async fn taken_timers(&self, to: &str) -> Result<Vec<TakenTimer>, ReadFailure> {
        let mut timers: Vec<TakenTimer> = Vec::new();
        loop {
            let header = ListTakenTimersHeader {
                group_name: self.config.own_broker.clone(),
                after: timers.last().map(|last| last.id),
                limit: buggify!("lists-one-timer", 1, TIMERS_LISTED_AT_ONCE),
            };
            let answer = self.asked(to, Command::request(request::LIST_TAKEN_TIMERS).with_header(&header)).await?;
            let malformed = || failure(to, Cause::MalformedAnswer, 0);
            let told = answer.header::<ListTakenTimersResponseHeader>().map_err(|_| malformed())?;
            let part: Vec<TakenTimer> = rmp_serde::from_slice(&answer.body).map_err(|_| malformed())?;
            let is_last = sabotage!("list-cut-short") || !told.more || part.is_empty();
            timers.extend(part);
            if is_last {
                return Ok(timers);
            }
        }
    }

    /// Asks `to` to deliver delayed messages that are due, under the term of this member that acts.
    ///
    /// # Errors
    /// Another term was taken, or why it is not known whether they are there.
    pub async fn hand_timers_over(&self, to: &str, timers: &[DueTimer], acting: &ActingTerm) -> Result<(), NotTaken> {
        let header =
            TakeTimersHeader { group_name: acting.group.clone(), term: i64::try_from(acting.term).unwrap_or(i64::MAX) };
        let body = rmp_serde::to_vec_named(timers).map_err(|_| NotTaken::Failed(failure(to, Cause::LocalStore, 0)))?;
        let request = Command::request(request::TAKE_TIMERS).with_header(&header).with_body(body);
        let asked = self.ask(to, request, self.config.hand_over_timeout_ms).await;
        self.breakers.heard(to, &asked);
        let answer = asked.map_err(NotTaken::Failed)?;
        match answer.code {
            response::SEALED => {
                sometimes!("timers-told-sealed", Err(NotTaken::Sealed { to: to.to_owned(), term: acting.term }))
            }
            _ => sometimes!("timers-told", self.check(to, &answer).map_err(NotTaken::Failed)),
        }
    }

    /// Tells `to` that this group's master has merged what was done for it.
    ///
    /// # Errors
    /// Why it is not known whether it knows.
    pub async fn merged(&self, to: &str, term: u64) -> Result<(), ReadFailure> {
        let term = i64::try_from(term).unwrap_or(i64::MAX);
        let header = MergedHeader { group_name: self.config.own_broker.clone(), term };
        self.asked(to, Command::request(request::MERGED).with_header(&header)).await.map(drop)
    }

    async fn asked(&self, to: &str, request: Command) -> Result<Command, ReadFailure> {
        let asked = self.ask(to, request, self.config.hand_over_timeout_ms).await;
        self.breakers.heard(to, &asked);
        let answer = asked?;
        self.check(to, &answer)?;
        Ok(answer)
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
