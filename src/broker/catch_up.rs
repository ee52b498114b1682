//! A master whose disk is an older one than it had, or an empty one, gets from its slave what it lacks, before it serves.
//!
//! It cannot tell by itself: nothing on a disk says that there was more. So a master that has begun again writes nothing, and
//! answers nobody but its slave, until it has heard how the slave's log ends. All that was confirmed is on both disks, so that a
//! slave which has no more than its master has told it all. One that has more gives it, entry by entry as they are on its
//! disk: nothing was written here meanwhile, so they are what comes next. Where the slave's log does not go on from this one,
//! nobody but an operator can tell which of the two is right.

use bytes::Bytes;

use super::{refusal::Refusal, replicate::signed, shared::Shared};
use crate::{
    remoting::{
        Command,
        code::{request, response},
        headers::ReplicateResponseHeader,
    },
    sabotage, sometimes,
    store::{Follow, LogEnd, LogPart},
};

impl Shared {
    /// Takes what a slave gives whose log ends so, `given` being entries and after which they come. What the slave is told if it
    /// has more; `None` once it has not.
    pub(super) async fn catch_up(
        &self,
        end: LogEnd,
        given: Option<(LogEnd, Bytes)>,
    ) -> Result<Option<Command>, Refusal> {
        let _turn = self.taking_back.turn.lock().await; // a request may come twice
        let mut own = self.store.durable()?.log_end()?;
        let is_first = given.is_none();
        if let Some((after, entries)) = given
            && after == own
        {
            own = self.take_given(entries).await?;
        }
        if end.position.index > own.position.index && !sabotage!("less-taken-for-all") {
            sometimes!("master-lacks");
            if is_first {
                let (broker, last_index, slave_last) = (&self.config.name, own.position.index, end.position.index);
                tracing::error!(%broker, last_index, slave_last, "this disk is older than what the slave has; getting that");
            }
            let fields = ReplicateResponseHeader {
                last_index: signed(own.position.index),
                lacks_after: Some(own),
                ..ReplicateResponseHeader::default()
            };
            return Ok(Some(Command::response(response::SUCCESS).with_header(&fields)));
        }
        // What the slave lacks is no matter here, nor whether it may follow: it has nothing that is not here.
        let part = self.store.durable()?.log_after(end, 1)?;
        if !matches!(part, LogPart::Diverged(_)) || sabotage!("less-taken-for-all") {
            self.store.lacks_nothing();
        }
        Ok(None)
    }

    /// Appends what a slave has given, and tells how this log ends then.
    async fn take_given(&self, entries: Bytes) -> Result<LogEnd, Refusal> {
        let malformed = |error: &dyn std::fmt::Display| Refusal::Body(error.to_string());
        let entries = Follow::read(entries).map_err(|error| malformed(&error))?;
        if let Some(last) = entries.last() {
            let term = last.term.max(self.store.term());
            self.store.go_on(term, entries).await?.map_err(|error| malformed(&error))?;
            // The slave has it, and so have we.
            self.store.confirm(last.index);
            // It had followed a log that is here again.
            self.taking_back.follows();
            sometimes!("master-caught-up");
        }
        Ok(self.store.durable()?.log_end()?)
    }

    /// Whether this broker answers such a request now. One that may lack what was confirmed would deny what there is, and hand out
    /// what is over.
    pub(super) fn answers(&self, code: i32) -> bool {
        code == request::REPLICATE || !self.store.may_lack() || sabotage!("serves-before-heard")
    }
}
