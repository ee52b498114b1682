//! A slave's service: follows the log of its group's master.
//!
//! The master is the one that the name servers name. While there is none, or it does not answer, the slave serves what it
//! has. A log that is not the beginning of the master's is left as it is, and the slave says so: which of the two is
//! right, nobody but an operator can tell.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    acting,
    replicate::{BYTES_MAX, signed},
    shared::Shared,
};
use crate::{
    buggify,
    metrics::FollowingReadings,
    remoting::{
        CallError, Command, HeaderError,
        code::{request, response},
        headers::{ReplicateHeader, ReplicateResponseHeader},
    },
    sabotage, sometimes,
    store::{Follow, FollowError, LogEnd, LogPart, StoreError, Tables as _},
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
    /// Held by whoever appends to the log, or says that nothing will be.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// When its master was there last, as long as it follows; `None` while it does not.
    hears_since: Mutex<Option<Instant>>,
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
    #[error(
        "the master has not merged what was done under term {acted}, although it said so: its next entry is of term {term}"
    )]
    NotMerged { acted: u64, term: u64 },
    #[error("this slave has voted for another one to act")]
    Voted,
    #[error(
        "the master's disk is an older one, and what comes after entry {after}, all it knows, is not to be had here"
    )]
    MasterLacks { after: u64 },
    #[error("the master's disk is an older one, and while it was given what is missing it was not heard any more")]
    WhileGiving(#[source] CallError),
    #[error("the master's disk is an older one, and it does not take what comes after entry {after}, all it knows")]
    NotTaken { after: u64 },
}

impl Failed {
    /// Whether the master was there, and it was something else that failed: no reason to act for it.
    const fn has_heard(&self) -> bool {
        match self {
            Self::NoMaster | Self::Call(_) | Self::Refused { .. } => false,
            Self::Header(_)
            | Self::Follow(_)
            | Self::Store(_)
            | Self::Diverged { .. }
            | Self::Cut { .. }
            | Self::MasterLacks { .. }
            | Self::NotMerged { .. }
            | Self::Voted
            | Self::WhileGiving(_)
            | Self::NotTaken { .. } => true,
        }
    }

    pub(super) const fn is_stuck(&self) -> bool {
        matches!(self, Self::Diverged { .. } | Self::Cut { .. } | Self::MasterLacks { .. } | Self::Follow(_))
    }
}

impl Following {
    /// Where it stands if its own log ends at `last_index`.
    #[must_use]
    pub fn readings(&self, last_index: u64) -> FollowingReadings {
        let behind = self.master_last.load(Ordering::SeqCst).saturating_sub(last_index);
        FollowingReadings { behind, stuck: self.stuck.load(Ordering::SeqCst) }
    }

    /// Whether it follows, and its master was there not longer ago than that.
    pub(super) fn hears_master(&self, within: Duration) -> bool {
        self.hears_since.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < within)
    }

    fn follows_since(&self, heard: Option<Instant>) {
        *self.hears_since.lock().unwrap_or_else(PoisonError::into_inner) = heard;
    }
}

/// Follows until the broker stops; acts while the master is away, if it is set up so.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut heard = Instant::now();
    let acts = shared.store.acts();
    if acts.is_some_and(|acted| acted > 0 && is_merged_here(&shared, acted)) {
        acting::forget(&shared, acts).await; // an earlier process got the merge, and no further
    }
    // The term under which it acted, once the master says that this is merged: the merge is what comes next.
    let mut merged = None;
    while !shared.stop.is_cancelled() {
        if shared.store.acts().is_some_and(|acted| merged != Some(acted)) {
            shared.following.follows_since(None);
            merged = acting::run(&shared).await;
            heard = Instant::now();
            continue;
        }
        shared.following.follows_since(Some(heard));
        let outcome = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            outcome = follow(&shared, merged) => outcome,
        };
        shared.following.stuck.store(outcome.as_ref().is_err_and(Failed::is_stuck), Ordering::SeqCst);
        if outcome.as_ref().map_or_else(Failed::has_heard, |()| true) {
            heard = Instant::now();
        }
        let Err(failed) = outcome else {
            merged = has_merge(&shared, merged).await;
            continue;
        };
        if let Failed::NotMerged { .. } = failed {
            merged = None; // it is asked again
        }
        if is_time_to_act(&shared, &failed, heard.elapsed()) {
            merged = None;
            let _turn = shared.following.turn.lock().await;
            let acts = shared.store.acts().or(Some(0));
            if let Err(error) = shared.store.set_acts(acts).await {
                tracing::error!(broker = %shared.config.name, %error, "does not act: it could not be stored");
            }
            continue;
        }
        let broker = &shared.config.name;
        let wait = match (failed.is_stuck(), failed.has_heard()) {
            (true, _) => {
                tracing::error!(%broker, %failed, "the master cannot be followed");
                STUCK
            }
            // Nobody acts for a master that is heard.
            (false, true) => {
                tracing::warn!(%broker, %failed, "the master is there, and was not followed; trying again");
                RETRY
            }
            (false, false) => {
                tracing::debug!(%broker, %failed, "the master was not followed; trying again");
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

/// Gives `merged` back while the master's merge of what was done under that term is not in this log. Until it is, this slave
/// remembers that it acted: the master may lose its disk, and with it what nobody else has yet.
async fn has_merge(shared: &Shared, merged: Option<u64>) -> Option<u64> {
    let acted = merged?;
    if is_merged_here(shared, acted) || sabotage!("follows-without-merge") {
        acting::forget(shared, Some(acted)).await;
        return None;
    }
    let last_index = shared.store.durable().and_then(|view| view.last_index()).unwrap_or(0);
    if last_index >= shared.following.master_last.load(Ordering::SeqCst) {
        return sometimes!("merge-is-missing", None);
    }
    merged
}

/// Whether this log has the master's merge of what was done under that term.
fn is_merged_here(shared: &Shared, acted: u64) -> bool {
    shared.store.durable().and_then(|view| view.log_end()).is_ok_and(|end| end.position.term > acted)
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
    let asked = async {
        let last_index = shared.store.durable()?.log_end()?.position.index;
        let answer = ask(shared, Some(acted), SUSPEND + GRACE).await?;
        let fields: ReplicateResponseHeader = answer.header()?;
        check(&fields, last_index).map(|()| fields)
    };
    let answered = asked.await;
    shared.following.stuck.store(answered.as_ref().is_err_and(Failed::is_stuck), Ordering::SeqCst);
    let fields = answered?;
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

/// Asks the master: how this log ends, and what comes next, or whether what was done is merged. A master that lacks some of this
/// log is given it first.
async fn ask(shared: &Shared, acting_term: Option<u64>, timeout: Duration) -> Result<Command, Failed> {
    let mut given: Option<(LogEnd, Bytes)> = None;
    loop {
        let answer = match ask_once(shared, acting_term, given.clone(), timeout).await {
            Err(Failed::Call(cause)) if given.is_some() => return Err(Failed::WhileGiving(cause)),
            answer => answer?,
        };
        let Some(after) = answer.header::<ReplicateResponseHeader>()?.lacks_after else { return Ok(answer) };
        let index = after.position.index;
        if given.is_some_and(|(before, _)| before == after) {
            return sometimes!("given-not-taken", Err(Failed::NotTaken { after: index }));
        }
        let entries = match shared.store.durable()?.log_after(after, buggify!("gives-one-entry", 1, BYTES_MAX))? {
            LogPart::Entries(entries) if !entries.is_empty() => entries.concat(),
            _ => return sometimes!("master-lacks-more", Err(Failed::MasterLacks { after: index })),
        };
        sometimes!("gives-master");
        given = Some((after, Bytes::from(entries)));
    }
}

/// Sends the master one request, and with it entries, and after which they come, if it lacks some.
async fn ask_once(
    shared: &Shared,
    acting_term: Option<u64>,
    given: Option<(LogEnd, Bytes)>,
    timeout: Duration,
) -> Result<Command, Failed> {
    let master = shared.registration.master().ok_or(Failed::NoMaster)?;
    let end = shared.store.durable()?.log_end()?;
    let (gives_after, body) = given.map_or((None, Bytes::new()), |(after, entries)| (Some(after), entries));
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
        gives_after,
        suspend_timeout_millis: i64::try_from(SUSPEND.as_millis()).unwrap_or(i64::MAX),
    };
    let ask = Command::request(request::REPLICATE).with_header(&header).with_body(body);
    let answer = shared.client.call(&master, ask, timeout).await?;
    if answer.code != response::SUCCESS && answer.code != response::PULL_OFFSET_MOVED {
        return Err(Failed::Refused { code: answer.code, remark: answer.remark.unwrap_or_default() });
    }
    Ok(answer)
}

/// Asks once for what comes next, and appends it. What the master says it has `merged` is in there, and before anything else
/// where the master confirms nothing alone.
async fn follow(shared: &Shared, merged: Option<u64>) -> Result<(), Failed> {
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
    // Of three members one may lack what the other acted upon: that comes before the merge.
    let config = &shared.config;
    let is_next = config.grants().is_none() && !config.is_of_three() && !sabotage!("follows-without-merge");
    let term = entries.first().map_or(u64::MAX, |first| first.term);
    if let Some(acted) = merged.filter(|acted| term <= *acted && is_next) {
        return sometimes!("merge-is-not-next", Err(Failed::NotMerged { acted, term }));
    }
    // Only now: whoever diverges from the master must not take its own entries for confirmed.
    let confirmed_index = u64::try_from(fields.confirmed_index.unwrap_or(fields.last_index)).unwrap_or(0);
    shared.store.confirm(confirmed_index);
    let (confirmed, rest) = entries.split(confirmed_index);
    let _turn = shared.following.turn.lock().await;
    if shared.store.acts() != merged && !sabotage!("vote-ignored") {
        return sometimes!("voted-meanwhile", Err(Failed::Voted));
    }
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
