//! Request code → processor.

use std::time::Duration;

use async_trait::async_trait;

use super::{refusal::Refusal, shared::Shared};
use crate::{
    remoting::{
        Command, Handler, Peer,
        code::{request, response},
    },
    sabotage,
    store::StoreError,
};

/// How long a pop waits for the group that is to keep its chains: as long as it took to find that group silent.
const AWAY_WAIT: Duration = Duration::from_secs(3);
/// How often it looks whether that group is back.
const AWAY_LOOK: Duration = Duration::from_millis(500);

#[async_trait]
impl Handler for Shared {
    async fn handle(&self, peer: &Peer, request: Command) -> Command {
        let code = request.code;
        let answer = match code {
            _ if !self.answers(code) => Err(Refusal::Store(StoreError::MayLack)),
            _ if self.config.is_slave() && !is_served_by_slaves(code) => self.act(&request).await,
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 => self.send(peer, &request).await,
            request::PULL_MESSAGE => self.pull(&request).await,
            request::POP_MESSAGE => match self.home_is_away().await {
                Some(refusal) => Err(refusal),
                None => self.pop(&request).await,
            },
            request::ACK_MESSAGE => self.ack(&request).await,
            request::BATCH_ACK_MESSAGE => self.batch_ack(&request).await,
            request::CHANGE_MESSAGE_INVISIBLETIME => self.change_invisible(&request).await,
            request::QUERY_CONSUMER_OFFSET => self.query_offset(&request),
            request::UPDATE_CONSUMER_OFFSET => self.update_offset(&request).await,
            request::GET_MAX_OFFSET => self.max_offset(&request),
            request::GET_MIN_OFFSET => self.min_offset(&request),
            request::UPDATE_AND_CREATE_TOPIC => self.create_topic(&request).await,
            request::DELETE_TOPIC_IN_BROKER => self.delete_topic(&request).await,
            request::INVOKE_BROKER_TO_RESET_OFFSET => self.reset_offset(&request).await,
            request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => self.create_group(&request).await,
            request::HEART_BEAT => self.heartbeat(&request).await,
            request::UNREGISTER_CLIENT => Ok(Command::response(response::SUCCESS)),
            request::LIST_PARKED => self.list_parked(&request),
            request::RESUME_PARKED => self.resume_parked(&request).await,
            request::LIST_SET_ASIDE => self.list_set_aside(&request),
            request::REPLICATE => self.replicate(&request).await,
            request::SEAL => self.seal(&request).await,
            request::LEASE => self.lease(&request).await,
            request::VOTE => self.vote(&request).await,
            request::LIST_ACTED => self.list_acted(&request),
            request::MERGED => self.merged_by_master(&request).await,
            request::TAKE_TIMERS => self.take_timers(&request).await,
            request::LIST_TAKEN_TIMERS => self.list_taken_timers(&request),
            other => Err(Refusal::NotSupported(format!("request code {other}"))),
        };
        let answer = answer.unwrap_or_else(|refusal| {
            tracing::debug!(peer = %peer.address, code, %refusal, "refused");
            refusal.into_answer()
        });
        let shown = if sabotage!("refusals-shown-as-success") { response::SUCCESS } else { answer.code };
        self.metrics.requests.answered(code, shown);
        answer
    }
}

/// What only looks at what is here: everything else would write, or decides about chains, which is the master's.
const fn is_served_by_slaves(code: i32) -> bool {
    matches!(
        code,
        request::PULL_MESSAGE
            | request::QUERY_CONSUMER_OFFSET
            | request::GET_MAX_OFFSET
            | request::GET_MIN_OFFSET
            | request::LIST_PARKED
            | request::LIST_SET_ASIDE
            | request::UNREGISTER_CLIENT
            | request::VOTE
    )
}

impl Shared {
    /// Why a pop could not be confirmed now: the group that is to keep its chains is away. Told before anything is
    /// popped, so that no attempt is counted that is not made, and not at once, so that no client asks in a loop.
    async fn home_is_away(&self) -> Option<Refusal> {
        let to = self.config.escape_to.as_deref().filter(|_| !sabotage!("pops-for-absent-home"))?;
        let until = tokio::time::Instant::now() + AWAY_WAIT;
        loop {
            let failure = self.neighbours.refusal(to)?;
            if tokio::time::Instant::now() >= until {
                return Some(Refusal::NotConfirmed(failure));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Some(Refusal::Stopping),
                () = tokio::time::sleep(AWAY_LOOK) => {}
            }
        }
    }
}
