//! A master that is back takes over what was done for it.

use std::collections::BTreeMap;

use crate::{
    model::{
        chain::{Chain, ChainState},
        record::Record,
        timer::TakenTimer,
    },
    sabotage, sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// Merges what an acting slave has handed over: those chains live elsewhere now, what was popped is popped, and the delayed
/// messages that fell due are delivered.
pub struct Merge {
    /// The group.
    pub group: String,
    /// The group that keeps the chains.
    pub target: String,
    /// The term of the last entry that the slave has: what was popped while it acted was popped under a later one.
    pub before: u64,
    /// The term under which this is merged.
    pub term: u64,
    /// The chains, as their home knows them.
    pub chains: Vec<Chain>,
    /// The delayed messages that it has delivered.
    pub timers: Vec<TakenTimer>,
}

impl Step for Merge {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        for (queue, next) in self.popped() {
            let (group, topic, queue) = queue;
            if txn.offset(group, topic, queue)?.is_none_or(|known| known < next) && !sabotage!("merge-without-offsets")
            {
                sometimes!("merge-offset");
                let (group, topic) = (group.to_owned(), topic.to_owned());
                txn.record(Record::Offset { group, topic, queue, offset: next })?;
            }
        }
        for theirs in &self.chains {
            let own = txn.chain(&theirs.id)?;
            let is_to_move = match &own {
                None => sometimes!("merge-new-chain", true),
                Some(own) if own.is_live() => sometimes!("merge-own-chain", true),
                Some(_) => sometimes!("merge-ended-chain", false),
            };
            if is_to_move && !sabotage!("merge-without-moves") {
                let (state, hop) = (ChainState::Moved { to: self.target.clone() }, theirs.hop);
                let moved = own.unwrap_or_else(|| Chain { acted_for: None, ..theirs.clone() });
                txn.record_chain(Chain { state, hop, ..moved })?;
            }
        }
        for timer in self.timers.iter().map(|taken| taken.id) {
            match txn.has_timer(timer)? && !sabotage!("merge-without-timers") {
                true => {
                    sometimes!("merge-timer");
                    txn.record(Record::TimerMoved { timer, to: self.target.clone() })?;
                }
                false => sometimes!("merge-timer-gone"),
            }
        }
        txn.record(Record::Merged { group: self.group, term: self.term })
    }
}

impl Merge {
    /// Where each group goes on in the queues that it was served from: behind the last message that was popped.
    fn popped(&self) -> BTreeMap<(&str, &str, i32), i64> {
        let mut popped = BTreeMap::new();
        for id in self.chains.iter().map(|chain| &chain.id) {
            if id.broker == self.group && id.term > self.before {
                let next = popped.entry((id.group.as_str(), id.topic.as_str(), id.queue)).or_insert(0);
                *next = id.offset.saturating_add(1).max(*next);
            }
        }
        popped
    }
}

/// Lets the group that keeps the chains know that their master has merged them.
pub struct Acknowledge {
    /// The group whose master it is.
    pub group: String,
    /// The term under which it has.
    pub term: u64,
}

impl Step for Acknowledge {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        match txn.merged_term(&self.group)? < self.term {
            true => sometimes!("merge-told", txn.record(Record::Merged { group: self.group, term: self.term })),
            false => sometimes!("merge-told-again", Ok(())),
        }
    }
}
