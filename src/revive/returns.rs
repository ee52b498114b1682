//! Peers that were away and are back: what waits for them need not wait any longer.
//!
//! A wait may be cut short only by a peer that is back, and only if that peer was away for at least as long as the wait:
//! so a peer that comes and goes uses up nobody's attempts faster than the policy would have.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::Peers;
use crate::{
    buggify,
    model::chain::{Chain, ChainState, FailedAttempt},
    sabotage,
    store::{StoreError, Tables},
};

/// How many rows of the table one look reads.
const ROWS_MAX: usize = 4_096;

/// Which peers are away, and which are back and still have to be looked for.
#[derive(Debug, Default)]
pub(super) struct Returns {
    /// The peers that are away, and for how long they were when that was last seen.
    away: BTreeMap<String, Duration>,
    back: VecDeque<Back>,
}

/// A peer that is back; the chains that wait for it are looked for in the table of due times.
#[derive(Debug)]
struct Back {
    peer: String,
    was_away_ms: i64,
    /// Since when, Unix ms: what failed later did not fail because of that absence.
    since_ms: i64,
    /// Rows before this place have been looked at.
    seen_to: (i64, String),
}

impl Returns {
    /// A peer is away, for so long by now.
    pub(super) fn is_away(&mut self, peer: &str, away_for: Duration) {
        self.away.insert(peer.to_owned(), away_for);
    }

    /// Asks who is back of those that were away.
    pub(super) fn ask(&mut self, peers: &dyn Peers, now_ms: i64) {
        let is_back = |peer: &String, was_away: &mut Duration| match peers.away_for(peer) {
            None => true,
            // Perhaps it was back in between, and is away again for a shorter time.
            Some(away_for) => {
                *was_away = away_for;
                false
            }
        };
        let back = self.away.extract_if(.., is_back).map(|(peer, was_away)| {
            let was_away_ms = i64::try_from(was_away.as_millis()).unwrap_or(i64::MAX);
            let back_for_ms = i64::try_from(peers.back_for(&peer).as_millis()).unwrap_or(i64::MAX);
            let since_ms = now_ms.saturating_sub(back_for_ms);
            Back { peer, was_away_ms, since_ms, seen_to: (now_ms.saturating_add(1), String::new()) }
        });
        self.back.extend(back);
    }

    /// Whether there are chains left to be looked at.
    pub(super) fn has_more(&self) -> bool {
        !self.back.is_empty()
    }

    /// Some of the chains whose wait is cut short. One that is busy is in an attempt and waits for nothing.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn look(
        &mut self,
        tables: &impl Tables,
        busy: &BTreeSet<String>,
    ) -> Result<Vec<(String, Chain)>, StoreError> {
        let Some(back) = self.back.front_mut() else { return Ok(Vec::new()) };
        let seen_to = (back.seen_to.0, back.seen_to.1.as_str());
        let (waiting, next_ms) = tables.due_after(seen_to, i64::MAX, buggify!("looks-at-one-waiting", 1, ROWS_MAX))?;
        let mut found = Vec::new();
        for (due_ms, key) in waiting {
            let Some(chain) = tables.chain_by_key(&key)? else {
                return Err(StoreError::Dangling { table: "due", key, index: 0 });
            };
            back.seen_to = (due_ms, key.clone());
            if !busy.contains(&key) && back.cuts_short(&chain) {
                found.push((key, chain));
            }
        }
        if next_ms.is_none() {
            self.back.pop_front();
        }
        Ok(found)
    }
}

impl Back {
    /// Whether the chain waits because this peer was away, and no longer than it was.
    fn cuts_short(&self, chain: &Chain) -> bool {
        let peer = match &chain.state {
            ChainState::Moving { to, .. } => to,
            _ => &chain.id.broker,
        };
        let is_latest = |failed: &&FailedAttempt| (failed.round, failed.attempt) == (chain.round, chain.attempt);
        let is_for_absence =
            |failed: &&FailedAttempt| failed.failure.cause.means_absent() && failed.at_ms <= self.since_ms;
        let failed = chain.failed_since_renewal().next().filter(is_latest).filter(is_for_absence);
        let Some((failed, due_ms)) = failed.zip(chain.due_ms()) else { return false };
        let wait_ms = due_ms.saturating_sub(failed.at_ms);
        *peer == self.peer && (wait_ms <= self.was_away_ms || sabotage!("hurries-after-any-absence"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::cause::Cause,
        revive::samples::{OTHER, chain, failure},
    };

    /// It failed at 1,000 and is due `wait_ms` later.
    fn waiting(broker: &str, wait_ms: i64) -> Chain {
        let mut chain = Chain { attempt: 2, state: ChainState::Open { due_ms: 1_000 + wait_ms }, ..chain(broker) };
        let failure = failure(Cause::Timeout);
        chain.history.push(FailedAttempt { round: 0, attempt: 2, at_ms: 1_000, failure });
        chain
    }

    #[test]
    fn only_waits_for_this_peer_that_are_no_longer_than_its_absence_are_cut_short() {
        let back = Back { peer: OTHER.into(), was_away_ms: 60_000, since_ms: 1_000, seen_to: (0, String::new()) };
        assert!(back.cuts_short(&waiting(OTHER, 60_000)));
        assert!(!back.cuts_short(&waiting(OTHER, 60_001)));
        assert!(!back.cuts_short(&waiting("broker-c", 60_000)));
        assert!(!back.cuts_short(&Chain { attempt: 3, ..waiting(OTHER, 60_000) }), "its attempt is not over");
        assert!(!back.cuts_short(&chain(OTHER)), "its invisible time is not over");
        let earlier = Back { since_ms: 999, seen_to: (0, String::new()), peer: OTHER.into(), was_away_ms: 60_000 };
        assert!(!earlier.cuts_short(&waiting(OTHER, 1_000)), "it failed after the peer was back");
        let mut answered = waiting(OTHER, 1_000);
        answered.history.latest[0].failure.cause = Cause::EmptyAnswer;
        assert!(!back.cuts_short(&answered), "it was not away when this one failed");
        let moving = ChainState::Moving { to: OTHER.into(), due_ms: 2_000, revive_ms: 9_000 };
        assert!(back.cuts_short(&Chain { state: moving, ..waiting("broker-c", 1_000) }));
    }
}
