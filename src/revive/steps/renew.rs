//! Renews a handle: the old chain is superseded and the new one opened in one record group.

use super::ack::newest;
use crate::{
    model::chain::{Chain, ChainId, ChainState, History, Outcome},
    revive::{
        apply::Home,
        engine::{Answer, Event},
    },
    sabotage, sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// Makes the message invisible for `invisible_ms` from now, under a new handle.
pub struct Renew {
    /// This broker.
    pub home: Home,
    /// The chain of the handle that is renewed.
    pub id: ChainId,
    /// How long the message is to stay invisible, ms.
    pub invisible_ms: i64,
}

/// What a renewal came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewed {
    /// The chain goes on as this one; a repeated renewal of the same handle hears the same.
    As(Box<Chain>),
    /// The message was acked, is on its way again, or is gone.
    TooLate,
    /// The chain's home is this group: ask there.
    Elsewhere {
        /// That group.
        to: String,
        /// The chain.
        id: ChainId,
    },
    /// No such chain is known here.
    Unknown,
}

impl Step for Renew {
    type Reply = Renewed;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Renewed, StoreError> {
        let Some(mut chain) = txn.chain(&self.id)? else {
            return sometimes!("renewal-of-nothing", Ok(Renewed::Unknown));
        };
        if let ChainState::Ended { outcome: Outcome::Superseded(_), .. } = &chain.state {
            sometimes!("renewal-repeated");
            // The answer to the first renewal may have been lost: the new handle is told again while it lives.
            let Some(now) = newest(txn, &self.id)? else { return Ok(Renewed::TooLate) };
            let is_open = matches!(now.state, ChainState::Open { .. });
            if is_open && !sabotage!("old-handle-renews") {
                return Ok(Renewed::As(Box::new(now)));
            }
            // Whoever has it by now decides.
            if !is_open && !matches!(now.state, ChainState::Moved { .. }) {
                return Ok(Renewed::TooLate);
            }
            chain = now;
        }
        let Some(by) = self.successor(txn, &chain)? else { return Ok(Renewed::TooLate) };
        match self.home.apply(txn, &chain, Event::Renewed { by: by.id.clone() })?.answer {
            Answer::Done if matches!(chain.state, ChainState::Open { .. } | ChainState::Parked { .. }) => {
                sometimes!("renewal-done");
                txn.record_chain(by.clone())?;
                Ok(Renewed::As(Box::new(by)))
            }
            Answer::Elsewhere(to) => sometimes!("renewal-elsewhere", Ok(Renewed::Elsewhere { to, id: chain.id })),
            Answer::Done | Answer::TooLate | Answer::Superseded(_) | Answer::Stale => {
                sometimes!("renewal-too-late", Ok(Renewed::TooLate))
            }
        }
    }
}

impl Renew {
    /// The chain under its new handle; `None` after the last pop time there is, which only a foreign checkpoint has.
    fn successor(&self, txn: &Txn<'_, '_>, chain: &Chain) -> Result<Option<Chain>, StoreError> {
        let mut by = chain.clone();
        let forgotten_ms = txn.forgotten_until_ms(&by.id.broker)?.map_or(i64::MIN, |until| until.saturating_add(1));
        loop {
            let Some(later) = by.id.pop_time.checked_add(1) else { return Ok(None) };
            by.id.pop_time = later.max(txn.now_ms()).max(forgotten_ms);
            if txn.chain(&by.id)?.is_none() {
                break;
            }
        }
        by.start_offset = chain.id.offset;
        by.invisible_ms = self.invisible_ms;
        by.generation = by.generation.saturating_add(1);
        by.attempt = if sabotage!("renewal-keeps-attempts") { chain.attempt } else { 0 };
        if sabotage!("renewal-forgets-failures") {
            by.history = History::default();
        }
        by.failed_before = if sabotage!("refusals-outlive-renewal") { 0 } else { by.history.failures };
        by.round_began_ms = None;
        by.resumed_ms = None;
        let invisible_ms = if sabotage!("renewed-for-less") { self.invisible_ms / 2 } else { self.invisible_ms };
        by.state = ChainState::Open { due_ms: txn.now_ms().saturating_add(invisible_ms) };
        Ok(Some(by))
    }
}
