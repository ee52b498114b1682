//! What a slave that acts for its master, and that master afterwards, ask of the group that keeps the chains.

use super::{hand_over::failure, neighbours::Neighbours};
use crate::{
    buggify,
    model::{
        cause::{Cause, ReadFailure},
        chain::Chain,
    },
    remoting::{
        Command,
        code::request,
        headers::{ListActedHeader, ListActedResponseHeader, MergedHeader, SealHeader, SealResponseHeader},
    },
    sabotage,
};

/// How many chains one answer lists.
const LISTED_AT_ONCE: i64 = 500;

impl Neighbours {
    /// Takes the next term at `to` for this member: higher than `above`.
    ///
    /// # Errors
    /// Why it has none. It may have been taken all the same: then nobody ever uses it.
    pub async fn seal(&self, to: &str, above: u64) -> Result<u64, ReadFailure> {
        let header = SealHeader {
            group_name: self.config.own_broker.clone(),
            member_id: i64::try_from(self.config.own_id).unwrap_or(i64::MAX),
            above: i64::try_from(above).unwrap_or(i64::MAX),
        };
        let answer = self.asked(to, Command::request(request::SEAL).with_header(&header)).await?;
        let told = answer.header::<SealResponseHeader>().ok();
        let term = told.and_then(|told| u64::try_from(told.term).ok()).filter(|term| *term > above);
        term.ok_or_else(|| failure(to, Cause::MalformedAnswer, 0))
    }

    /// The chains that acting members of this group have handed over to `to` since its master last merged them.
    ///
    /// # Errors
    /// Why they are not known.
    pub async fn acted(&self, to: &str) -> Result<Vec<Chain>, ReadFailure> {
        let mut chains: Vec<Chain> = Vec::new();
        loop {
            let header = ListActedHeader {
                group_name: self.config.own_broker.clone(),
                after: chains.last().map_or_else(String::new, |last| last.id.to_string()),
                limit: buggify!("lists-one-acted", 1, LISTED_AT_ONCE),
            };
            let answer = self.asked(to, Command::request(request::LIST_ACTED).with_header(&header)).await?;
            let told =
                answer.header::<ListActedResponseHeader>().map_err(|_| failure(to, Cause::MalformedAnswer, 0))?;
            let part: Vec<Chain> =
                rmp_serde::from_slice(&answer.body).map_err(|_| failure(to, Cause::MalformedAnswer, 0))?;
            let is_last = sabotage!("list-cut-short") || !told.more || part.is_empty();
            chains.extend(part);
            if is_last {
                return Ok(chains);
            }
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
