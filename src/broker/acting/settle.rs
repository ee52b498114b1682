//! Acks and renewals at a slave that acts: the home of a chain decides, and that is the target once it has the chain.

use super::Term;
use crate::{
    broker::{ack::id_of, refusal::Refusal, shared::Shared},
    model::{
        cause::{Cause, ReadFailure},
        chain::{Chain, ChainId, ChainState, Outcome},
    },
    remote::hand_over::NotTaken,
    remoting::{Command, headers::ChangeInvisibleHeader},
    revive::steps::ack::{Acked, newest},
    sabotage, sometimes,
};

/// Where an ack or a renewal has to go.
enum Home {
    /// To this group, which knows the chain by this id: that of the newest handle.
    At(String, ChainId),
    /// Nowhere: what it is about is over.
    Over(Acked),
}

impl Shared {
    /// What an ack comes to here, or where it has to go.
    ///
    /// # Errors
    /// Why that is not known.
    pub(in crate::broker) async fn ack_acting(&self, term: &Term, id: ChainId) -> Result<Acked, Refusal> {
        Ok(match self.home_of(term, &id).await? {
            Home::At(to, id) => sometimes!("acting-ack-passed-on", Acked::Elsewhere { to, id }),
            Home::Over(acked) => sometimes!("acting-ack-over", acked),
        })
    }

    /// Serves CHANGE_MESSAGE_INVISIBLETIME in the place of the master.
    pub(super) async fn change_invisible_acting(&self, term: &Term, request: &Command) -> Result<Command, Refusal> {
        let header: ChangeInvisibleHeader = request.header()?;
        let id = id_of(&header.extra_info, &header.topic, &header.consumer_group, header.queue_id, header.offset)?;
        match self.home_of(term, &id).await? {
            Home::At(to, id) => {
                sometimes!("acting-renewal-passed-on");
                let renewed = self.renew_there(&to, &header, &id).await;
                if matches!(renewed, Err(Refusal::NoMessage(_))) && self.its_master_may_know(term, &id)? {
                    let unknown = Refusal::NoMessage(format!("no chain {id} is known"));
                    return sometimes!("acting-renewal-unshared", Err(Refusal::SlaveBehind(Box::new(unknown))));
                }
                renewed
            }
            Home::Over(_) => {
                sometimes!("acting-renewal-too-late", Err(Refusal::NoMessage(format!("too late: {id} is over"))))
            }
        }
    }

    /// Whether a chain that nobody knows may be in that part of the master's log which this slave lacks: a master that confirms
    /// alone tells what is nowhere else.
    pub(in crate::broker) fn its_master_may_know(&self, term: &Term, id: &ChainId) -> Result<bool, Refusal> {
        let is_own = id.broker == self.config.name && self.config.grants().is_some();
        Ok(is_own && !term.is_moved(id) && newest(&self.store.view()?, id)?.is_none())
    }

    /// The group that decides on a chain. One that is at home here is moved first: this slave decides nothing.
    async fn home_of(&self, term: &Term, id: &ChainId) -> Result<Home, Refusal> {
        let at_target = |id: &ChainId| Home::At(term.target.clone(), id.clone());
        if term.is_moved(id) {
            return sometimes!("acting-home-known", Ok(at_target(id)));
        }
        let Some(chain) = newest(&self.store.view()?, id)? else {
            return sometimes!("acting-home-unknown", Ok(at_target(id))); // popped under an earlier term of acting, or never
        };
        Ok(match &chain.state {
            _ if term.is_moved(&chain.id) => sometimes!("acting-home-of-successor", at_target(&chain.id)),
            ChainState::Open { .. } if sabotage!("slave-decides-on-acks") => Home::Over(Acked::Absorbed),
            ChainState::Open { .. } => {
                sometimes!("acting-moves-acked");
                self.hand_over_acting(term, std::slice::from_ref(&chain)).await.map_err(refused)?;
                at_target(&chain.id)
            }
            ChainState::Moved { to } => sometimes!("acting-home-elsewhere", Home::At(to.clone(), chain.id.clone())),
            ChainState::Ended { outcome: Outcome::Acked, .. } => {
                sometimes!("acting-acked-before", Home::Over(Acked::Absorbed))
            }
            ChainState::Ended { .. } => sometimes!("acting-too-late", Home::Over(Acked::TooLate)),
            // An operator resumes it, at the master; until then nothing is decided.
            ChainState::Moving { .. } | ChainState::Parked { .. } => {
                return sometimes!("acting-waits-for-master", Err(waits(&chain)));
            }
        })
    }
}

fn refused(not_taken: NotTaken) -> Refusal {
    not_taken.into()
}

fn waits(chain: &Chain) -> Refusal {
    let peer = chain.id.broker.clone();
    Refusal::NotConfirmed(ReadFailure { cause: Cause::NotServing, peer, took_ms: 0 })
}
