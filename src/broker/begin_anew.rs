//! A slave whose log is empty, or shorter than it was, may have lost its disk or got an older one, and with that lost what it
//! did in its master's place. The group that keeps the chains knows: the master asks it before it gives the slave anything.
//!
//! Whoever has some of this log was given it after the question, and keeps on the same disk whether it acts: it says so, and
//! does not follow. Only a master that has begun again, and does not know what its slave had, asks once more.

use super::{
    refusal::Refusal,
    shared::Shared,
    take_back::{Facts, malformed},
};
use crate::{remote::acting::Acted, remoting::Command, revive::steps::merge::Merge, sabotage, sometimes};

/// How sure it is that a slave has lost some of what it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It has nothing, or less than it had.
    Certain,
    /// It lacks what this master wrote last, and may never have had that.
    Possible,
}

impl Shared {
    /// Merges what was done by the slave that had this one's place, if there is anything. What the slave is told if that
    /// cannot be; `None` if it may follow.
    pub(super) async fn begin_anew(&self, loss: Loss) -> Result<Option<Command>, Refusal> {
        let Some(target) = self.config.acting_to.clone() else { return Ok(None) };
        if !self.taking_back.was_followed() || sabotage!("lost-slave-forgotten") {
            return Ok(None);
        }
        let _turn = self.taking_back.turn.lock().await;
        let own = self.store.term();
        // A look is enough as a rule. What is written over there needs a slave that follows: where two groups keep each
        // other's chains, and both slaves begin anew, neither could be told.
        let sealed = match self.neighbours.acted(&target).await {
            Ok(Acted { sealed, .. }) if sealed <= own => return sometimes!("anew-nothing-sealed", Ok(None)),
            // As a rule nothing is lost. To end a term that nobody used would need the other group, which may need this one.
            Ok(acted) if loss == Loss::Possible && !acted.has_later_than(own) => {
                return sometimes!("anew-nothing-lost", Ok(None));
            }
            Ok(Acted { sealed, .. }) => sometimes!("anew-sealed", sealed),
            Err(failure) => return sometimes!("anew-waits", Err(self.cannot_merge(failure))),
        };
        self.merge_what_was_done(&target, sealed).await
    }

    /// Merges what was done under `sealed`, a later term than this log's, without a slave that tells how its log ends. What a
    /// slave is told if that cannot be; `None` if it may follow.
    pub(super) async fn merge_what_was_done(&self, target: &str, sealed: u64) -> Result<Option<Command>, Refusal> {
        let own = self.store.term();
        let facts = self.facts(target, sealed).await?;
        let target = target.to_owned();
        if !facts.acted.has_later_than(own) {
            // What nobody used contradicts nothing. It is over all the same, and this log has to say so: the lost slave may
            // have asked for a merge, and that may come late.
            let group = self.config.name.clone();
            let Facts { term, asked, .. } = facts;
            let merged = Merge { group, target, before: own, term, chains: Vec::new(), timers: Vec::new() };
            self.take_over(term, merged, asked).await?;
            return sometimes!("anew-nothing-done", Ok(None));
        }
        let Some(end) = facts.acted.end else {
            return sometimes!("anew-end-unknown", Err(self.cannot_merge(malformed(&target))));
        };
        if let Some(refused) = self.cannot_cut_at(end)? {
            self.taking_back.waits();
            return Ok(Some(refused));
        }
        self.merge(end, target, facts).await?;
        sometimes!("anew-merged");
        Ok(None)
    }
}
