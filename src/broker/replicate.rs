//! Serves the log to the slaves of this group (RocketMQ `HAConnection`, as one request and answer after the other).

use std::time::Duration;

use bytes::BytesMut;

use super::{begin_anew::Loss, refusal::Refusal, shared::Shared};
use crate::{
    buggify,
    model::chain::LogPosition,
    remoting::{
        Command,
        code::response,
        headers::{ReplicateHeader, ReplicateResponseHeader},
    },
    sabotage, sometimes,
    store::{LogEnd, LogPart, Tables},
};

/// Longest wait for something new, whatever the follower asks for.
const SUSPEND_MAX: Duration = Duration::from_secs(30);
/// Most bytes of entries in one answer; the first entry always fits.
pub(super) const BYTES_MAX: usize = 1 << 20;

impl Shared {
    /// Serves REPLICATE.
    pub(super) async fn replicate(&self, request: &Command) -> Result<Command, Refusal> {
        let header: ReplicateHeader = request.header()?;
        if header.broker_name != self.config.name {
            let expected = format!("{:?}", self.config.name);
            return Err(Refusal::Field { field: "brokerName", found: header.broker_name, expected });
        }
        let (follower, end) = (self.follower_of(&header)?, end_of(&header)?);
        if self.store.may_lack() {
            let given = header.gives_after.map(|after| (after, request.body.clone()));
            if let Some(lacks) = self.catch_up(follower, end, given).await? {
                return Ok(lacks);
            }
        }
        let has_less = self.has_less_than_it_had(follower, end);
        // It forgets in two steps, and may die between them: whoever acts is told as long as it does.
        if has_less && header.caught_up.is_some_and(|caught_up| caught_up || header.acting_term.is_some()) {
            return sometimes!("follower-has-less", Ok(self.forgets_what_it_had()?));
        }
        if let Some(term) = header.acting_term {
            return self.take_back(end, u64::try_from(term).unwrap_or(0)).await;
        }
        let loss = match has_less || end == LogEnd::default() {
            true => Some(Loss::Certain),
            false => self.may_have_less(follower, end)?.then_some(Loss::Possible),
        };
        if let Some(loss) = loss
            && let Some(refused) = self.begin_anew(loss).await?
        {
            return Ok(refused);
        }
        self.taking_back.ended(); // whoever follows has nothing to be merged
        let suspend = Duration::from_millis(u64::try_from(header.suspend_timeout_millis).unwrap_or(0));
        let until = tokio::time::Instant::now() + suspend.min(self.suspended_at_most(header.heard));
        loop {
            let grown = self.store.grown().notified();
            tokio::pin!(grown);
            grown.as_mut().enable(); // before the look, so that no commit falls between the two
            let view = self.store.durable()?;
            let (part, last_index) =
                (view.log_after(end, buggify!("replicates-one-entry", 1, BYTES_MAX))?, view.last_index()?);
            drop(view);
            if matches!(part, LogPart::Entries(_)) {
                self.store.confirm(self.in_sync.holds(follower, end.position.index));
                if self.taking_back.has_awaited(end.position.index) {
                    self.merged.due(0);
                }
            }
            let confirmed_index = self.in_sync.shown_by_follower(last_index, self.store.confirmed_index());
            let is_over = tokio::time::Instant::now() >= until;
            // A follower that has what is confirmed by now is to hear of it: then it can show it.
            let is_known = header.confirmed_index >= signed(confirmed_index.min(end.position.index));
            if !is_over && is_known && matches!(&part, LogPart::Entries(entries) if entries.is_empty()) {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Err(Refusal::Stopping),
                    () = grown => {}
                    () = tokio::time::sleep_until(until) => {}
                }
                continue;
            }
            if matches!(&part, LogPart::Entries(entries) if !entries.is_empty()) {
                self.taking_back.follows();
            }
            return Ok(self.answer(part, last_index, confirmed_index));
        }
    }

    /// How long a request is held at the most. One that renews no lease is answered at once, so that the next one does, and
    /// none is held until the lease is over.
    fn suspended_at_most(&self, heard: Option<i64>) -> Duration {
        match (&self.leasing, heard) {
            (Some(leasing), Some(mark)) if leasing.heard(mark) => {
                sometimes!("lease-of-the-slave");
                SUSPEND_MAX.min(leasing.lasts() / 3)
            }
            (Some(_), Some(_)) => Duration::ZERO,
            _ => SUSPEND_MAX,
        }
    }

    /// Whether a follower whose log ends so has an older disk than it had, and may not know any more what it did.
    fn has_less_than_it_had(&self, follower: u64, end: LogEnd) -> bool {
        // A master that confirms alone, or with either of two slaves, knows of nothing that this one must have.
        let has_all = self.leasing.is_none() && !self.config.is_of_three();
        let least = if has_all { self.store.confirmed_index() } else { 0 };
        let had = self.in_sync.end_of(follower).unwrap_or(least);
        end.position.index < had && self.config.acting_to.is_some() && !sabotage!("older-disk-unnoticed")
    }

    /// Whether a follower whose log ends so may have an older disk than it had, for all that is known here: a master that has
    /// begun again does not know of its last entries that they were confirmed.
    fn may_have_less(&self, follower: u64, end: LogEnd) -> Result<bool, Refusal> {
        let is_unheard = self.in_sync.end_of(follower).is_none();
        let may_have = is_unheard && self.config.acting_to.is_some() && !sabotage!("older-disk-unnoticed");
        Ok(may_have && end.position.index < self.store.durable()?.last_index()?)
    }

    /// Whoever lacks what was confirmed must not act on what is left, however long its master is away.
    fn forgets_what_it_had(&self) -> Result<Command, Refusal> {
        let fields = ReplicateResponseHeader {
            last_index: signed(self.store.durable()?.last_index()?),
            has_less: true,
            ..ReplicateResponseHeader::default()
        };
        Ok(Command::response(response::SUCCESS).with_header(&fields))
    }

    /// Who asks: another member than the master, which counts itself. Where one acts for the master, no member of which that
    /// one does not know may help the master to go on meanwhile.
    fn follower_of(&self, header: &ReplicateHeader) -> Result<u64, Refusal> {
        let last = if self.config.acting_to.is_some() { self.config.acting_slaves } else { u64::MAX };
        let id = u64::try_from(header.broker_id).ok().filter(|id| (1..=last).contains(id));
        id.ok_or_else(|| Refusal::Field {
            field: "brokerId",
            found: header.broker_id.to_string(),
            expected: match last {
                1 => "1, the one slave of this group",
                2 => "1 or 2, the slaves of this group",
                _ => "the id of a slave, 1 or more",
            }
            .into(),
        })
    }

    /// What a follower is told: entries, or why there are none.
    pub(super) fn answer(&self, part: LogPart, last_index: u64, confirmed_index: u64) -> Command {
        let mut fields = ReplicateResponseHeader {
            last_index: signed(last_index),
            confirmed_index: Some(signed(confirmed_index)),
            now_ms: Some(self.host.clock.now_ms()),
            ..ReplicateResponseHeader::default()
        };
        if let Some(leasing) = &self.leasing {
            // Of an answer of an earlier process: its clock would have to be put back to the same millisecond.
            leasing.answers(self.host.clock.now_ms());
            fields.mark = fields.now_ms;
        }
        let mut body = BytesMut::new();
        match part {
            LogPart::Entries(entries) => entries.iter().for_each(|entry| body.extend_from_slice(entry)),
            LogPart::Diverged(_) => fields.diverged = true,
            LogPart::Cut { next } => fields.next_index = Some(signed(next)),
        }
        let code = if fields.diverged || fields.next_index.is_some() {
            response::PULL_OFFSET_MOVED
        } else {
            response::SUCCESS
        };
        Command::response(code).with_header(&fields).with_body(body.freeze())
    }
}

pub(super) fn signed(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn end_of(header: &ReplicateHeader) -> Result<LogEnd, Refusal> {
    let unsigned = |field, number: i64| {
        let wrong = || Refusal::Field { field, found: number.to_string(), expected: "0 or more".into() };
        u64::try_from(number).map_err(|_| wrong())
    };
    let checksum = u32::try_from(header.last_checksum).map_err(|_| Refusal::Field {
        field: "lastChecksum",
        found: header.last_checksum.to_string(),
        expected: "an unsigned 32-bit integer".into(),
    })?;
    let (term, index) = (unsigned("lastTerm", header.last_term)?, unsigned("lastIndex", header.last_index)?);
    Ok(LogEnd { position: LogPosition { term, index }, checksum })
}
