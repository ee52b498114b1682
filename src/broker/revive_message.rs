//! Messages to the revive topic: checkpoints and acks that another broker could not keep itself.
//!
//! RocketMQ stores them and scans the queue later. Here each takes effect as it is stored, in one transaction; one that
//! is not understood is set aside and blocks nobody.

use super::{refusal::Refusal, shared::Shared};
use crate::{
    model::{
        ack::{self, AckBody},
        chain::{Chain, ChainId, ChainState, DEFAULT_RECONSUME_LIMIT, History, LogPosition},
        checkpoint::{self, CheckpointBody},
        names,
        properties::Properties,
        record::{Record, SetAside},
    },
    remote::hand_over::{ABSORBED, ACK_OUTCOME, EARLY, TOO_LATE},
    remoting::{Command, code::response, headers::SendMessageResponseHeader},
    revive::steps::{
        ack::{Ack, Acked},
        adopt::Adopt,
    },
    sabotage,
    store::{Step, StoreError, Txn},
};

/// How long an ack waits for its checkpoint, ms (`BrokerConfig.reviveAckWaitMs`).
const ACK_WAIT_MS: i64 = 180_000;

impl Shared {
    /// Serves a send to the revive topic, sent at `sent_ms` by the sender's clock.
    pub(super) async fn revive_message(
        &self,
        properties: &Properties,
        sent_ms: i64,
        request: &Command,
    ) -> Result<Command, Refusal> {
        let tag = properties.get(names::TAGS).unwrap_or_default();
        let understood = match tag {
            checkpoint::TAG => {
                CheckpointBody::parse(&request.body).map(Understood::Checkpoint).map_err(|e| e.to_string())
            }
            ack::TAG | ack::BATCH_TAG => AckBody::parse(&request.body).map(Understood::Ack).map_err(|e| e.to_string()),
            other => Err(format!("tag {other:?}: expected ck, ack or bAck")),
        };
        match understood.and_then(Understood::with_sound_names) {
            Ok(Understood::Checkpoint(body)) => self.adopt(body, sent_ms).await,
            Ok(Understood::Ack(body)) => self.ack_message(body).await,
            Err(reason) => self.set_aside(tag, request, reason).await,
        }
    }

    async fn adopt(&self, body: CheckpointBody, sent_ms: i64) -> Result<Command, Refusal> {
        let acting = body.extension.as_ref().and_then(|extension| extension.acting.clone());
        let adopt = Adopt { chains: self.chains_of(&body, sent_ms), acting };
        let adopted = self.store.submit(adopt).await?;
        if let Some(term) = adopted.sealed {
            return Err(Refusal::Sealed { term });
        }
        if adopted.too_old > 0 {
            return Err(Refusal::Forgotten { pop_time: body.pop_time });
        }
        // Confirmed only once a consumer can find what it may become.
        self.registration.published().await.map_err(Refusal::NotRouted)?;
        Ok(stored(body.start_offset))
    }

    /// The chains of a checkpoint, one per message that it does not say is acked.
    fn chains_of(&self, body: &CheckpointBody, sent_ms: i64) -> Vec<Chain> {
        let now_ms = self.host.clock.now_ms();
        let ours = body.extension.as_ref();
        let due_ms = match ours {
            Some(extension) if !sabotage!("due-by-foreign-clock") => {
                now_ms.saturating_add(extension.remaining_ms.max(0))
            }
            Some(_) => body.revive_time(),
            None => now_ms.saturating_add(left_ms(body, sent_ms, now_ms)),
        };
        let extension = ours.cloned().unwrap_or_default();
        let epoch = LogPosition { term: extension.topic_epoch_term, index: extension.topic_epoch_index };
        let limit = if extension.reconsume_limit > 0 || ours.is_some() {
            extension.reconsume_limit
        } else {
            DEFAULT_RECONSUME_LIMIT
        };
        let chain = |offset| Chain {
            id: ChainId {
                broker: self.owner(body.broker_name.as_deref()),
                topic: body.topic.clone(),
                queue: body.queue_id,
                offset,
                group: body.consumer_group.clone(),
                pop_time: body.pop_time,
                term: extension.term,
            },
            topic_epoch: epoch,
            start_offset: body.start_offset,
            invisible_ms: body.invisible_time,
            reconsume_limit: limit,
            round: extension.round,
            hop: extension.hop,
            generation: extension.generation,
            // A broker that rewrote it has spent these attempts; ours begin anew at the new home.
            attempt: if ours.is_some() { 0 } else { body.attempts().min(self.config.policy.rewrites) },
            round_began_ms: None,
            acted_for: extension.acting.clone(),
            resumed_ms: None,
            failed_before: 0,
            state: ChainState::Open { due_ms },
            history: History::default(),
        };
        body.unacked_offsets().into_iter().map(chain).collect()
    }

    /// A checkpoint or ack without a broker name is from a broker that knew only its own.
    fn owner(&self, name: Option<&str>) -> String {
        name.filter(|name| !name.trim().is_empty()).unwrap_or(&self.config.name).to_owned()
    }

    async fn ack_message(&self, body: AckBody) -> Result<Command, Refusal> {
        let id = |offset| ChainId {
            broker: self.owner(body.broker_name.as_deref()),
            topic: body.topic.clone(),
            queue: body.queue_id,
            offset,
            group: body.consumer_group.clone(),
            pop_time: body.pop_time,
            term: body.term,
        };
        let is_kept = !sabotage!("early-ack-dropped");
        let keep_until_ms = is_kept.then(|| self.host.clock.now_ms().saturating_add(ACK_WAIT_MS));
        let ids = body.acked_offsets().into_iter().map(id).collect();
        let acked = self.store.submit(Ack { home: self.home.clone(), ids, keep_until_ms }).await?;
        let outcome = match () {
            () if acked.contains(&Acked::Early) => EARLY,
            () if acked.iter().all(|acked| *acked == Acked::Absorbed) => ABSORBED,
            () => TOO_LATE,
        };
        let mut answer = stored(body.start_offset);
        answer.ext.insert(ACK_OUTCOME.into(), outcome.into());
        Ok(answer)
    }

    async fn set_aside(&self, tag: &str, request: &Command, reason: String) -> Result<Command, Refusal> {
        tracing::warn!(tag, reason, "set aside a message to the revive topic that is not understood");
        let at_ms = self.host.clock.now_ms();
        let item = SetAside { tag: tag.into(), body: request.body.clone(), reason, at_ms };
        if !sabotage!("unreadable-thrown-away") {
            self.store.submit(SetAsideStep { item }).await?;
        }
        Ok(stored(0))
    }
}

/// How much of the invisible time is left of a checkpoint that RocketMQ keeps here, less than nothing if it is over. It tells
/// no more than when it popped and when it sends this, both by a clock of its own: what that shows beside ours does not
/// matter. Who does not tell when he sends is taken to have our time, but has popped already: never is more left than all
/// of it.
fn left_ms(body: &CheckpointBody, sent_ms: i64, now_ms: i64) -> i64 {
    let sent_ms = if sent_ms < body.pop_time { now_ms } else { sent_ms };
    body.revive_time().saturating_sub(sent_ms).min(body.invisible_time)
}

enum Understood {
    Checkpoint(CheckpointBody),
    Ack(AckBody),
}

impl Understood {
    /// Refuses names that no topic, group or broker can have: inside a chain's identity they could pass for another's.
    fn with_sound_names(self) -> Result<Self, String> {
        let (topic, group, broker) = match &self {
            Self::Checkpoint(body) => (&body.topic, &body.consumer_group, &body.broker_name),
            Self::Ack(body) => (&body.topic, &body.consumer_group, &body.broker_name),
        };
        let broker = broker.as_deref().map_or("", str::trim);
        for (field, name) in [("t", topic.as_str()), ("c", group.as_str()), ("bn", broker)] {
            if name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
                return Err(format!("`{field}` is {name:?}: expected a name without `/` and white space"));
            }
        }
        Ok(self)
    }
}

struct SetAsideStep {
    item: SetAside,
}

impl Step for SetAsideStep {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.record(Record::SetAside(self.item))
    }
}

fn stored(queue_offset: i64) -> Command {
    let fields = SendMessageResponseHeader { queue_offset, ..SendMessageResponseHeader::default() };
    Command::response(response::SUCCESS).with_header(&fields)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_left_of_rocketmqs_invisible_time_is_told_by_its_own_clock() {
        let text = r#"{"bm":0,"c":"g","d":[0],"it":30000,"n":1,"pt":100000,"q":0,"ro":0,"so":0,"t":"t"}"#;
        let body = CheckpointBody::parse(text.as_bytes()).unwrap();
        for (now_ms, what) in [(110_000, "the same"), (2_000_000, "ahead"), (1, "behind")] {
            assert_eq!(left_ms(&body, 110_000, now_ms), 20_000, "our clock is {what}");
        }
        assert_eq!(left_ms(&body, 131_000, 7), -1_000, "sent when it was over");
        assert_eq!(left_ms(&body, 0, 125_000), 5_000, "it does not say when");
        assert_eq!(left_ms(&body, 0, 1), 30_000, "nor more than all of it");
        let odd = CheckpointBody { pop_time: i64::MIN, invisible_time: -1, ..body };
        assert_eq!(left_ms(&odd, i64::MAX, 0), i64::MIN, "and nothing overflows");
    }
}
