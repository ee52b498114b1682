//! Hands chains, acks and renewals over to the group that is, or becomes, their home.
//!
//! Checkpoints and acks travel as RocketMQ's acting slaves send them (messages to the revive topic, PROTOCOL 4.5 and
//! 6.4), with our extra fields beside the base fields. Sending the same thing twice changes nothing over there.

use std::time::Duration;

use super::{
    neighbours::{Neighbours, cause_of_call, millis},
    routes::Member,
};
use crate::{
    model::{
        ack::AckBody,
        cause::{Cause, ReadFailure},
        chain::{Chain, ChainId, ChainState},
        checkpoint::{self, ActingTerm, CheckpointBody, CheckpointExtension},
        names,
        properties::Properties,
        topic::revive_topic,
    },
    remoting::{
        Command,
        code::{request, response},
        headers::{
            ack::{ChangeInvisibleHeader, ChangeInvisibleResponseHeader},
            send::SendMessageHeader,
        },
    },
    revive::steps::ack::Acked,
    sabotage, sometimes,
};

/// Ext field of the answer to an ack that came as a message: what it came to.
pub const ACK_OUTCOME: &str = "ackOutcome";
/// Value of [`ACK_OUTCOME`]: absorbed.
pub const ABSORBED: &str = "absorbed";
/// Value of [`ACK_OUTCOME`]: too late.
pub const TOO_LATE: &str = "too-late";
/// Value of [`ACK_OUTCOME`]: kept until its checkpoint comes.
pub const EARLY: &str = "early";

/// The checkpoint comes to the revive queue this long before the message is revived (PopAckConstants.ackTimeInterval).
const ACK_INTERVAL_MS: i64 = 1000;

/// Why chains were not handed over for a group whose master is away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Another member of the group has taken a later term: whoever asked acts no longer.
    #[error("{to} knows a later term than {term}")]
    Sealed {
        /// Who was asked.
        to: String,
        /// The term under which it was.
        term: u64,
    },
    /// Whether they are there is not known.
    #[error("{0}")]
    Failed(ReadFailure),
}

impl Neighbours {
    /// Asks `to` to become the home of these chains, which one pop took from one queue.
    pub(super) async fn hand_chains_over(&self, to: &str, chains: &[Chain]) -> Result<(), ReadFailure> {
        let Some(first) = chains.first() else { return Ok(()) };
        let answer = self.send_checkpoint(to, checkpoint_of(first, chains, self.clock.now_ms())).await?;
        self.check(to, &answer)
    }

    /// The same for a group whose master is away, under the term of the slave that acts.
    ///
    /// # Errors
    /// Another term was taken, or why it is not known whether they are there.
    pub async fn hand_over_acting(&self, to: &str, chains: &[Chain], acting: &ActingTerm) -> Result<(), NotTaken> {
        let Some(first) = chains.first() else { return Ok(()) };
        let mut body = checkpoint_of(first, chains, self.clock.now_ms());
        body.extension.get_or_insert_default().acting = Some(acting.clone());
        let answer = self.send_checkpoint(to, body).await.map_err(NotTaken::Failed)?;
        if answer.code == response::SEALED {
            return Err(NotTaken::Sealed { to: to.to_owned(), term: acting.term });
        }
        self.check(to, &answer).map_err(NotTaken::Failed)
    }

    async fn send_checkpoint(&self, to: &str, body: CheckpointBody) -> Result<Command, ReadFailure> {
        let deliver = body.pop_time + body.invisible_time - ACK_INTERVAL_MS;
        let call = self.breakers.begin(to);
        let sent = self.send_to_revive_topic(to, checkpoint::TAG, body.unique_key(), deliver, body.to_json()).await;
        let failure = sent.as_ref().map_or_else(|failure| Some(failure.clone()), |answer| self.check(to, answer).err());
        call.ended(failure.as_ref());
        sent
    }

    /// Asks `to` to ack a chain whose home it is.
    ///
    /// # Errors
    /// Why it is not known whether it did.
    pub async fn ack_elsewhere(&self, to: &str, id: &ChainId) -> Result<Acked, ReadFailure> {
        let body = AckBody {
            ack_offset: id.offset,
            start_offset: id.offset,
            consumer_group: id.group.clone(),
            topic: id.topic.clone(),
            queue_id: id.queue,
            pop_time: id.pop_time,
            broker_name: Some(id.broker.clone()),
            term: id.term,
            ack_offset_list: None,
        };
        let sent = self.send_to_revive_topic(to, body.tag(), body.unique_key(), id.pop_time, body.to_json()).await;
        self.breakers.heard(to, &sent);
        let answer = sent?;
        self.check(to, &answer)?;
        Ok(match answer.ext.get(ACK_OUTCOME).map(String::as_str) {
            Some(TOO_LATE) => sometimes!("ack-there-too-late", Acked::TooLate),
            Some(EARLY) => sometimes!("ack-there-early", Acked::Early),
            // A broker that does not say is one that takes every ack it stores for good.
            _ => sometimes!("ack-there-absorbed", Acked::Absorbed),
        })
    }

    /// Asks `to` to renew a handle whose chain lives there; `None` when it is too late for that.
    ///
    /// # Errors
    /// Why it is not known whether it did.
    pub async fn renew_elsewhere(
        &self,
        to: &str,
        header: &ChangeInvisibleHeader,
    ) -> Result<Option<ChangeInvisibleResponseHeader>, ReadFailure> {
        let request = Command::request(request::CHANGE_MESSAGE_INVISIBLETIME).with_header(header);
        let asked = self.ask(to, request, self.config.hand_over_timeout_ms).await;
        self.breakers.heard(to, &asked);
        let answer = asked?;
        match answer.code {
            response::NO_MESSAGE => sometimes!("renewal-there-too-late", Ok(None)),
            response::SUCCESS => {
                sometimes!("renewal-there-done");
                answer.header().map(Some).map_err(|_| failure(to, Cause::MalformedAnswer, 0))
            }
            code => sometimes!("renewal-there-refused", Err(failure(to, Cause::Code(code), 0))),
        }
    }

    async fn send_to_revive_topic(
        &self,
        to: &str,
        tag: &str,
        unique_key: String,
        deliver_ms: i64,
        body: Vec<u8>,
    ) -> Result<Command, ReadFailure> {
        let mut properties = Properties::new();
        properties.set(names::TAGS, tag);
        properties.set(names::UNIQ_KEY, unique_key);
        properties.set(names::TIMER_DELIVER_MS, deliver_ms.to_string());
        let header = SendMessageHeader {
            producer_group: format!("InnerProducerGroup_{}_{}", self.config.own_broker, self.config.own_id),
            topic: revive_topic(&self.config.cluster),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 8,
            queue_id: 0,
            sys_flag: 0,
            born_timestamp: self.clock.now_ms(),
            flag: 0,
            properties: properties.encode().ok(),
            ..SendMessageHeader::default()
        };
        let mut request = Command::request(request::SEND_MESSAGE_V2);
        header.write_v2(&mut request.ext);
        self.ask(to, request.with_body(body), self.config.hand_over_timeout_ms).await
    }

    pub(super) async fn ask(&self, to: &str, request: Command, timeout_ms: u64) -> Result<Command, ReadFailure> {
        let began = tokio::time::Instant::now();
        let Some(Member { address, .. }) = self.routes.master(to).await else {
            return Err(failure(to, Cause::NoRoute, millis(began.elapsed())));
        };
        self.client.call(&address, request, Duration::from_millis(timeout_ms)).await.map_err(|error| {
            if !sabotage!("route-kept-for-ever") {
                self.routes.forget(to);
            }
            failure(&format!("{to}@{address}"), cause_of_call(&error), millis(began.elapsed()))
        })
    }

    /// Only a plain success confirms: "stored, but not flushed or not replicated" is not stored to degree.
    pub(super) fn check(&self, to: &str, answer: &Command) -> Result<(), ReadFailure> {
        match answer.code {
            response::SUCCESS => sometimes!("home-has-it", Ok(())),
            _ if sabotage!("refusal-confirms") => Ok(()),
            response::SYSTEM_BUSY => sometimes!("home-busy", Err(failure(to, Cause::Busy, 0))),
            response::SERVICE_NOT_AVAILABLE => {
                sometimes!("home-not-serving", Err(failure(to, Cause::NotServing, 0)))
            }
            code => sometimes!("home-refuses", Err(failure(to, Cause::Code(code), 0))),
        }
    }
}

pub(super) fn failure(peer: &str, cause: Cause, took_ms: u64) -> ReadFailure {
    ReadFailure { cause, peer: peer.into(), took_ms }
}

/// The checkpoint of one pop from one queue.
fn checkpoint_of(first: &Chain, chains: &[Chain], now_ms: i64) -> CheckpointBody {
    let revive_ms = match first.state {
        ChainState::Moving { revive_ms, .. } => revive_ms,
        _ => first.id.pop_time.saturating_add(first.invisible_ms),
    };
    let left_ms = revive_ms.saturating_sub(now_ms).max(0);
    // Offsets are relative to the batch's first message, not to where the read began: nothing in between was popped.
    let start = chains.iter().map(|chain| chain.id.offset).min().unwrap_or(first.id.offset);
    let extension = CheckpointExtension {
        acting: None,
        term: first.id.term,
        topic_epoch_term: first.topic_epoch.term,
        topic_epoch_index: first.topic_epoch.index,
        hop: first.hop.saturating_add(1),
        round: first.round,
        attempt: 0,
        generation: first.generation,
        remaining_ms: if sabotage!("whole-time-handed") { first.invisible_ms } else { left_ms },
        reconsume_limit: if sabotage!("limit-lost") { 16 } else { first.reconsume_limit },
    };
    CheckpointBody {
        bit_map: 0,
        broker_name: Some(first.id.broker.clone()),
        consumer_group: first.id.group.clone(),
        differences: chains.iter().map(|chain| i32::try_from(chain.id.offset - start).unwrap_or(i32::MAX)).collect(),
        invisible_time: first.invisible_ms,
        count: u8::try_from(chains.len()).unwrap_or(u8::MAX),
        pop_time: first.id.pop_time,
        queue_id: first.id.queue,
        revive_offset: 0,
        re_put: (first.attempt > 1).then(|| (first.attempt - 1).to_string()),
        start_offset: start,
        topic: first.id.topic.clone(),
        extension: Some(extension),
    }
}

#[cfg(test)]
#[path = "hand_over_tests.rs"]
mod tests;
