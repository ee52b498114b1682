//! Reads one message from the group that owns it (`EscapeBridge.getMessageFromRemoteAsync`).

use std::time::Duration;

use super::{
    classify::{Answered, Meaning, classify},
    neighbours::{Neighbours, cause_of_call, millis},
};
use crate::{
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
};

/// Ext field of a PULL answer: the term under which the answering member holds its group.
pub const HOLDER_TERM: &str = "holderTerm";
/// Ext field of a PULL answer: the topic's epoch, `term-index`.
pub const TOPIC_EPOCH: &str = "topicEpoch";

/// PULL's system flag: the subscription is in the request.
const SUBSCRIPTION_GIVEN: i32 = 4;

impl Neighbours {
    /// Asks the owner of the chain's message for it, once.
    pub(super) async fn read_from_owner(&self, chain: &Chain) -> ReadOutcome {
        let began = tokio::time::Instant::now();
        let (peer, meaning) = match self.routes.address(&chain.id.broker).await {
            None => (chain.id.broker.clone(), Meaning::Failed(Cause::NoRoute)),
            Some(address) => {
                let meaning = self.pull(&address, chain).await;
                (format!("{}@{address}", chain.id.broker), meaning)
            }
        };
        match meaning {
            Meaning::Found(message) => ReadOutcome::Found(message),
            Meaning::Gone(proof) => ReadOutcome::Gone(proof),
            Meaning::Failed(cause) => {
                self.routes.forget(&chain.id.broker);
                ReadOutcome::failed(ReadFailure { cause, peer, took_ms: millis(began.elapsed()) })
            }
        }
    }

    async fn pull(&self, address: &str, chain: &Chain) -> Meaning {
        let header = PullMessageHeader {
            consumer_group: self.inner_consumer_group(),
            topic: chain.id.topic.clone(),
            queue_id: chain.id.queue,
            queue_offset: chain.id.offset,
            max_msg_nums: 1,
            sys_flag: SUBSCRIPTION_GIVEN,
            commit_offset: 0,
            suspend_timeout_millis: 0,
            subscription: Some("*".into()),
            sub_version: 0,
            expression_type: Some("TAG".into()),
            bname: Some(chain.id.broker.clone()),
            ..PullMessageHeader::default()
        };
        let request = Command::request(request::PULL_MESSAGE).with_header(&header);
        match self.client.call(address, request, Duration::from_millis(self.config.read_timeout_ms)).await {
            Ok(answer) => match answered(&answer) {
                Some(answered) => classify(chain, &answered),
                None => Meaning::Failed(Cause::MalformedAnswer),
            },
            Err(error) => Meaning::Failed(cause_of_call(&error)),
        }
    }
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
        topic_epoch: answer.ext.get(TOPIC_EPOCH).and_then(|text| parse_epoch(text)),
        body: answer.body.clone(),
    })
}

/// The text of a topic's epoch.
#[must_use]
pub fn epoch_text(epoch: LogPosition) -> String {
    format!("{}-{}", epoch.term, epoch.index)
}

fn parse_epoch(text: &str) -> Option<LogPosition> {
    let (term, index) = text.split_once('-')?;
    Some(LogPosition { term: term.parse().ok()?, index: index.parse().ok()? })
}
