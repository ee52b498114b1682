//! What a slave that wants to act asks of the other slave of its group.

use bytes::Bytes;

use super::{
    hand_over::failure,
    neighbours::{Neighbours, cause_of_call, millis},
};
use crate::{
    model::{
        cause::{Cause, ReadFailure},
        record::LogEnd,
    },
    remoting::{
        Command,
        code::{request, response},
        headers::{VoteHeader, VoteResponseHeader},
    },
    sometimes,
};

/// What the other slave says.
#[derive(Debug)]
pub enum Vote {
    /// It follows no master until one has merged a later term, and has nothing that the caller lacks.
    Granted,
    /// It acts itself.
    Acts,
    /// It has more of their master's log: these entries come next.
    Lacks(Bytes),
    /// It hears their master, has never had all of its log, or cannot give what the caller lacks.
    Refused {
        /// Index of its last entry; 0 if it did not say.
        last_index: u64,
    },
}

impl Neighbours {
    /// Asks a member of this group for its vote: this one wants to act under `term`, and its log ends so.
    ///
    /// # Errors
    /// Why it is not known whether it has voted.
    pub async fn ask_for_vote(&self, member: u64, term: u64, end: LogEnd) -> Result<Vote, ReadFailure> {
        let own = &self.config.own_broker;
        let id = i64::try_from(member).unwrap_or(i64::MAX);
        let peer = format!("{own} ({id})");
        let member = self.routes.member(own, id).await.ok_or_else(|| failure(&peer, Cause::NoRoute, 0))?;
        let header = VoteHeader {
            group_name: own.clone(),
            member_id: i64::try_from(self.config.own_id).unwrap_or(i64::MAX),
            term: i64::try_from(term).unwrap_or(i64::MAX),
            log_end: end,
        };
        let began = tokio::time::Instant::now();
        let request = Command::request(request::VOTE).with_header(&header);
        let timeout = std::time::Duration::from_millis(self.config.hand_over_timeout_ms);
        let answer = self.client.call(&member.address, request, timeout).await.map_err(|error| {
            self.routes.forget(own); // it may have another address by now
            failure(&peer, cause_of_call(&error), millis(began.elapsed()))
        })?;
        if answer.code != response::SUCCESS {
            return sometimes!("vote-not-served", Ok(Vote::Refused { last_index: 0 }));
        }
        let malformed = |_| failure(&peer, Cause::MalformedAnswer, millis(began.elapsed()));
        let told: VoteResponseHeader = answer.header().map_err(malformed)?;
        Ok(match (told.granted, answer.body.is_empty()) {
            (true, _) => sometimes!("vote-granted", Vote::Granted),
            (false, false) => sometimes!("vote-gives-entries", Vote::Lacks(answer.body)),
            (false, true) if told.acts => sometimes!("vote-other-acts", Vote::Acts),
            (false, true) => sometimes!("vote-refused", Vote::Refused { last_index: told.log_end.position.index }),
        })
    }
}
