//! A slave's service: follows the log of its group's master.
//!
//! The master is the one that the name servers name. While there is none, or it does not answer, the slave serves what it
//! has. A log that is not the beginning of the master's is left as it is, and the slave says so: which of the two is
//! right, nobody but an operator can tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{acting, shared::Shared};
use crate::{
    metrics::FollowingReadings,
    remoting::{
        CallError, Command, HeaderError,
        code::{request, response},
        headers::{ReplicateHeader, ReplicateResponseHeader},
    },
    sabotage,
    store::{Follow, FollowError, StoreError, Tables as _},
};

/// How long the master may hold a request while there is nothing new.
const SUSPEND: Duration = Duration::from_secs(15);
/// How long an answer may take beyond that.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait before asking again after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How long to wait where asking again soon does not help.
const STUCK: Duration = Duration::from_secs(30);

/// Where a slave stands.
#[derive(Debug, Default)]
pub struct Following {
    /// Index of the master's last entry, when it was last heard of.
    master_last: AtomicU64,
    /// The mark of the last answer that was heard of the master.
    heard: AtomicI64,
    /// It cannot go on from the master's log, and waiting does not help.
    stuck: AtomicBool,
}

/// Why the master's log was not followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("no name server knows a master of this group")]
    NoMaster,
    #[error("the master was not heard")]
    Call(#[from] CallError),
    #[error("the master answered {code}: {remark}")]
    Refused { code: i32, remark: String },
    #[error("the master's answer is not understood")]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("this log is not the beginning of the master's: it ends at {last_index}, the master's at {master_last}")]
    Diverged { last_index: u64, master_last: u64 },
    #[error("what comes after {last_index} has left the master's log, whose next entry is {next_index}")]
    Cut { last_index: u64, next_index: u64 },
}

impl Failed {
    /// Whether the master was there, and it was something else that failed: no reason to act for it.
    const fn has_heard(&self) -> bool {
        match self {
            Self::NoMaster | Self::Call(_) | Self::Refused { .. } => false,
            Self::Header(_) | Self::Follow(_) | Self::Store(_) | Self::Diverged { .. } | Self::Cut { .. } => true,
        }
    }

    pub(super) const fn is_stuck(&self) -> bool {
        matches!(self, Self::Diverged { .. } | Self::Cut { .. } | Self::Follow(_))
    }
}

impl Following {
    /// Where it stands if its own log ends at `last_index`.
    #[must_use]
    pub fn readings(&self, last_index: u64) -> FollowingReadings {
        let behind = self.master_last.load(Ordering::SeqCst).saturating_sub(last_index);
        FollowingReadings { behind, stuck: self.stuck.load(Ordering::SeqCst) }
    }
}

/// Follows until the broker stops; acts while the master is away, if it is set up so.
pub(super) async fn run(shared: Arc<Shared>) {
    let began = Instant::now();
    let mut heard = began;
    while !shared.stop.is_cancelled() {
        if shared.store.acts().is_some() {
            acting::run(&shared, began).await;
            heard = Instant::now();
            continue;
        }
        let outcome = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            outcome = follow(&shared) => outcome,
        };
        shared.following.stuck.store(outcome.as_ref().is_err_and(Failed::is_stuck), Ordering::SeqCst);
        if outcome.as_ref().map_or_else(Failed::has_heard, |()| true) {
            heard = Instant::now();
        }
        let Err(failed) = outcome else { continue };
        if is_time_to_act(&shared, &failed, heard.elapsed()) {
            if let Err(error) = shared.store.set_acts(Some(0)).await {
                tracing::error!(broker = %shared.config.name, %error, "does not act: it could not be stored");
            }
            continue;
        }
        let wait = match failed.is_stuck() {
            true => {
                tracing::error!(broker = %shared.config.name, %failed, "the master cannot be followed");
                STUCK
            }
            false => {
                tracing::debug!(broker = %shared.config.name, %failed, "the master was not followed; trying again");
                RETRY
            }
        };
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => shared.registration.look_for_master().await,
        }
    }
}

/// Whether the master was not heard of for so long that somebody has to act for it.
fn is_time_to_act(shared: &Shared, failed: &Failed, unheard: Duration) -> bool {
    let after = Duration::from_millis(shared.config.acting_after_ms);
    let is_long = unheard >= after || sabotage!("acts-at-once");
    shared.config.acting_to.is_some() && shared.store.has_caught_up() && !failed.has_heard() && is_long
}

/// What a master says of what was done for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merged {
    /// It has merged it.
    Yes,
    /// Not yet.
    No,
    /// It need not be told: whoever asks has an older disk than it had, and does not know what it did.
    NotByThis,
}

/// Asks the master whether it has merged what was done for it under `acted`.
///
/// # Errors
/// Why it is not known to have.
pub(super) async fn ask_whether_merged(shared: &Shared, acted: u64) -> Result<Merged, Failed> {
    let last_index = shared.store.durable()?.log_end()?.position.index;
    let answer = ask(shared, Some(acted), SUSPEND + GRACE).await?;
    let fields: ReplicateResponseHeader = answer.header()?;
    let goes_on = check(&fields, last_index);
    shared.following.stuck.store(goes_on.is_err(), Ordering::SeqCst);
    goes_on?;
    Ok(match (fields.has_less, fields.merged_term) {
        (true, _) => Merged::NotByThis,
        (false, Some(_)) => Merged::Yes,
        (false, None) => Merged::No,
    })
}

/// Whether the master's log goes on from this one, which ends at `last_index`.
fn check(fields: &ReplicateResponseHeader, last_index: u64) -> Result<(), Failed> {
    let unsigned = |index: i64| u64::try_from(index).unwrap_or(0);
    if fields.diverged {
        return Err(Failed::Diverged { last_index, master_last: unsigned(fields.last_index) });
    }
    match fields.next_index {
        Some(next_index) => Err(Failed::Cut { last_index, next_index: unsigned(next_index) }),
        None => Ok(()),
    }
}

/// Sends the master one request: how this log ends, and what comes next, or whether what was done is merged.
async fn ask(shared: &Shared, acting_term: Option<u64>, timeout: Duration) -> Result<Command, Failed> {
    let master = shared.registration.master().ok_or(Failed::NoMaster)?;
    let end = shared.store.durable()?.log_end()?;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let header = ReplicateHeader {
        broker_name: shared.config.name.clone(),
        broker_id: signed(shared.config.id),
        last_term: signed(end.position.term),
        last_index: signed(end.position.index),
        last_checksum: end.checksum.into(),
        confirmed_index: signed(shared.store.confirmed_index()),
        acting_term: acting_term.map(signed),
        caught_up: Some(shared.store.has_caught_up()),
        heard: shared.config.grants().map(|_| shared.following.heard.load(Ordering::SeqCst)),
        suspend_timeout_millis: i64::try_from(SUSPEND.as_millis()).unwrap_or(i64::MAX),
    };
    let ask = Command::request(request::REPLICATE).with_header(&header);
    let answer = shared.client.call(&master, ask, timeout).await?;
    if answer.code != response::SUCCESS && answer.code != response::PULL_OFFSET_MOVED {
        return Err(Failed::Refused { code: answer.code, remark: answer.remark.unwrap_or_default() });
    }
    Ok(answer)
}

/// Asks once for what comes next, and appends it.
async fn follow(shared: &Shared) -> Result<(), Failed> {
    let end = shared.store.durable()?.log_end()?;
    let answer = ask(shared, None, SUSPEND + GRACE).await?;
    let fields: ReplicateResponseHeader = answer.header()?;
    if let Some(now_ms) = fields.now_ms {
        shared.hear_master_clock(now_ms).await?;
    }
    if let Some(mark) = fields.mark {
        // Whatever comes of this answer, it counts as heard from now on.
        shared.following.heard.store(mark, Ordering::SeqCst);
    }
    let (last_index, master_last) = (end.position.index, u64::try_from(fields.last_index).unwrap_or(0));
    shared.following.master_last.store(master_last, Ordering::SeqCst);
    check(&fields, last_index)?;
    if fields.has_less {
        tracing::error!(broker = %shared.config.name, last_index, "this disk is older than what the master was told");
        return Ok(shared.store.set_caught_up(false).await?);
    }
    let entries = Follow::read(answer.body)?;
    // Only now: whoever diverges from the master must not take its own entries for confirmed.
    let confirmed_index = u64::try_from(fields.confirmed_index.unwrap_or(fields.last_index)).unwrap_or(0);
    shared.store.confirm(confirmed_index);
    let (confirmed, rest) = entries.split(confirmed_index);
    for entries in [confirmed, rest] {
        if !entries.is_empty() {
            shared.store.submit_here(entries).await??;
        }
    }
    if !shared.store.has_caught_up() {
        let has_all = shared.store.durable()?.last_index()? >= master_last;
        if has_all || sabotage!("acts-half-full") {
            shared.store.set_caught_up(true).await?;
        }
    }
    Ok(())
}
