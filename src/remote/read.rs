//! Reads messages from the group that owns them (`EscapeBridge.getMessageFromRemoteAsync`): neighbours in one PULL.

use std::{sync::Arc, time::Duration};

use super::{
    classify::{Answered, Meaning, classify},
    neighbours::{Neighbours, cause_of_call, millis},
    routes::Member,
};
use crate::{
    buggify,
    model::{
        cause::{Cause, ReadFailure},
        chain::{Chain, LogPosition},
    },
    remoting::{
        Command,
        code::request,
        headers::pull::{PullMessageHeader, PullMessageResponseHeader},
    },
    revive::ReadOutcome,
    sabotage, sometimes,
};

/// Ext field of a PULL answer: the term under which the answering member holds its group.
pub const HOLDER_TERM: &str = "holderTerm";
/// Ext field of a PULL answer: the topic's epoch, `term-index`.
pub const TOPIC_EPOCH: &str = "topicEpoch";

/// Ext field of a refusal to PULL: the topic existed and was deleted by this entry of the holder's log, `term-index`.
pub const TOPIC_DELETED: &str = "topicDeleted";

/// How the names of the groups begin under which brokers read from each other (`EscapeBridge.innerConsumerGroupName`).
pub const INNER_CONSUMER_GROUP: &str = "InnerConsumerGroup_";

/// PULL's system flag: the subscription is in the request.
const SUBSCRIPTION_GIVEN: i32 = 4;

/// Most bytes of messages asked for at once (RocketMQ's `maxTransferBytesOnMessageInMemory`); the first message always
/// comes, however large.
const BYTES_MAX: i32 = 256 << 10;

impl Neighbours {
    /// Asks the owner of the chains' messages for them: chains of one queue, neighbours as [`crate::revive`] gathers
    /// them. What an answer does not reach is asked for again, within the time that one read may take.
    pub(super) async fn read_from_owner(&self, chains: &[Chain]) -> Vec<ReadOutcome> {
        let Some(first) = chains.first() else { return Vec::new() };
        let broker = &first.id.broker;
        let call = self.breakers.begin(broker);
        let began = tokio::time::Instant::now();
        let mut meanings: Vec<Option<Meaning>> = vec![None; chains.len()];
        let holder = self.routes.holder(broker).await;
        let (peer, failed) = match &holder {
            None => sometimes!("read-without-route", (broker.clone(), Some(Cause::NoRoute))),
            Some(Member { address, .. }) => {
                sometimes!("read-asked");
                let failed = self.pull_all(address, chains, &mut meanings).await;
                (format!("{broker}@{address}"), failed)
            }
        };
        let failure = |cause| ReadFailure { cause, peer: peer.clone(), took_ms: millis(began.elapsed()) };
        call.ended(failed.clone().map(failure).as_ref());
        match (&holder, &failed) {
            (Some(holder), Some(_)) => sometimes!("read-failed-at-peer", self.routes.failed(broker, holder)),
            (Some(holder), None) => sometimes!("read-answered", self.routes.answered(holder)),
            (None, _) => sometimes!("read-of-nobody"),
        }
        let is_final = holder.as_ref().is_none_or(Member::is_master) || sabotage!("slave-speaks-for-master");
        // What has no meaning was not heard of before the call failed.
        let unheard = failed.unwrap_or(Cause::Timeout);
        let outcomes: Vec<ReadOutcome> = meanings
            .into_iter()
            .map(|meaning| match meaning.unwrap_or_else(|| Meaning::Failed(unheard.clone())) {
                // Only a message that several groups wait for is still shared.
                Meaning::Found(message) => {
                    sometimes!("read-found", ReadOutcome::Found(Box::new(Arc::unwrap_or_clone(message))))
                }
                Meaning::Gone(proof) => sometimes!("read-gone", ReadOutcome::Gone(proof)),
                // A slave may not know yet what its master knows: nothing that it lacks is an answer for good.
                Meaning::Failed(cause) if !is_final => {
                    sometimes!("read-failed-at-slave", ReadOutcome::Retry(failure(cause)))
                }
                Meaning::Failed(cause) => sometimes!("read-failed", ReadOutcome::failed(failure(cause))),
            })
            .collect();
        if outcomes.iter().any(|outcome| matches!(outcome, ReadOutcome::Retry(_) | ReadOutcome::Permanent(_))) {
            self.routes.forget(broker);
        }
        outcomes
    }

    /// PULLs until every chain's message has a meaning; the cause if the peer fails before that, as a peer.
    async fn pull_all(&self, address: &str, chains: &[Chain], meanings: &mut [Option<Meaning>]) -> Option<Cause> {
        let whole = Duration::from_millis(self.config.read_timeout_ms);
        let until = tokio::time::Instant::now() + whole;
        let mut answered_with = None;
        while let Some((from, to)) = unheard(chains, meanings) {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let left = if sabotage!("each-pull-in-full") { whole } else { left };
            let answer = match self.pull(address, &chains[from], to, left).await {
                Ok(answer) => sometimes!("read-part-answered", answer),
                Err(cause) => return sometimes!("read-not-answered", Some(cause)),
            };
            let (from, pieces) = (chains[from].id.offset, answer.pieces());
            for (chain, meaning) in chains.iter().zip(&mut *meanings).filter(|(_, meaning)| meaning.is_none()) {
                *meaning = classify(chain, from, &answer, &pieces);
            }
            answered_with = meanings.iter().flatten().find_map(|meaning| match meaning {
                Meaning::Failed(cause @ (Cause::Busy | Cause::NotServing)) => {
                    sometimes!("owner-serves-nobody", Some(cause.clone()))
                }
                _ => sometimes!("owner-serves", None),
            });
        }
        answered_with
    }

    /// One PULL from the first chain's message up to the offset `to`, both included.
    async fn pull(&self, address: &str, first: &Chain, to: i64, timeout: Duration) -> Result<Answered, Cause> {
        let id = &first.id;
        let header = PullMessageHeader {
            consumer_group: self.inner_consumer_group(),
            topic: id.topic.clone(),
            queue_id: id.queue,
            queue_offset: id.offset,
            max_msg_nums: i32::try_from(to - id.offset + 1).unwrap_or(1),
            sys_flag: SUBSCRIPTION_GIVEN,
            commit_offset: 0,
            suspend_timeout_millis: 0,
            subscription: Some("*".into()),
            sub_version: 0,
            expression_type: Some("TAG".into()),
            max_msg_bytes: Some(buggify!("reads-few-bytes", 1, BYTES_MAX)),
            bname: Some(id.broker.clone()),
            ..PullMessageHeader::default()
        };
        let request = Command::request(request::PULL_MESSAGE).with_header(&header);
        match self.client.call(address, request, timeout).await {
            Ok(answer) => sometimes!("pull-answered", answered(&answer).ok_or(Cause::MalformedAnswer)),
            Err(error) => sometimes!("pull-failed", Err(cause_of_call(&error))),
        }
    }
}

/// The chain with the lowest offset among those that have no meaning yet, and their highest offset.
fn unheard(chains: &[Chain], meanings: &[Option<Meaning>]) -> Option<(usize, i64)> {
    let open = || chains.iter().enumerate().zip(meanings).filter(|(_, meaning)| meaning.is_none());
    let first = open().min_by_key(|((_, chain), _)| chain.id.offset)?.0.0;
    let last = open().map(|((_, chain), _)| chain.id.offset).max()?;
    Some((first, last))
}

/// The parts of the answer that matter; `None` when a success lacks what every success has.
fn answered(answer: &Command) -> Option<Answered> {
    let header = answer.header::<PullMessageResponseHeader>().ok();
    let injected_or_error = header.is_none();
    if injected_or_error && answer.code == crate::remoting::code::response::SUCCESS && !answer.body.is_empty() {
        return None;
    }
    Some(Answered {
        code: answer.code,
        minimum: header.as_ref().map(|header| header.min_offset),
        maximum: header.as_ref().map(|header| header.max_offset),
        holder_term: answer.ext.get(HOLDER_TERM).and_then(|term| term.parse().ok()),
        topic_epoch: answer.ext.get(TOPIC_EPOCH).and_then(|text| parse_position(text)),
        topic_deleted: answer.ext.get(TOPIC_DELETED).and_then(|text| parse_position(text)),
        body: answer.body.clone(),
    })
}

/// The text of a position in a log, such as a topic's epoch.
#[must_use]
pub fn position_text(position: LogPosition) -> String {
    format!("{}-{}", position.term, position.index)
}

fn parse_position(text: &str) -> Option<LogPosition> {
    let (term, index) = text.split_once('-')?;
    Some(LogPosition { term: term.parse().ok()?, index: index.parse().ok()? })
}
