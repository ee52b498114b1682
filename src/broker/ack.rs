//! ACK_MESSAGE and BATCH_ACK_MESSAGE (`AckMessageProcessor`).
//!
//! RocketMQ answers every ack with success. Here a success means that the ack is stored and the message is over for the
//! group; an ack that comes too late is told so, and one whose fate is unknown is an error.

use super::{acting::Term, refusal::Refusal, shared::Shared};
use crate::{
    model::{
        batch_ack::BatchAckBody,
        cause::{Cause, ReadFailure},
        chain::{Chain, ChainId, ChainState},
        handle::ReceiptHandle,
    },
    remote::hand_over::{ABSORBED, ACK_OUTCOME, TOO_LATE},
    remoting::{Command, code::response, headers::AckMessageHeader},
    revive::steps::ack::{Ack, Acked},
    sabotage, sometimes,
    store::Tables,
};

/// Ext field of a batch ack's answer that is no plain success: per message `queue/offset/popTime=outcome`, joined by `;`.
pub const ACK_OUTCOMES: &str = "ackOutcomes";
/// Outcome of an ack for which no chain is known.
pub const UNKNOWN: &str = "unknown";
/// Outcome of an ack whose home did not answer.
pub const UNCONFIRMED: &str = "unconfirmed";

/// Most messages of one batch ack.
const BATCH_ACK_MAX: usize = 4096;

/// What became of one ack, after asking its home.
enum Settled {
    Absorbed,
    TooLate,
    Unknown,
    Unconfirmed(crate::model::cause::ReadFailure),
}

impl Settled {
    const fn text(&self) -> &'static str {
        match self {
            Self::Absorbed => ABSORBED,
            Self::TooLate => TOO_LATE,
            Self::Unknown => UNKNOWN,
            Self::Unconfirmed(_) => UNCONFIRMED,
        }
    }
}

impl Shared {
    /// Serves ACK_MESSAGE.
    pub(super) async fn ack(&self, request: &Command) -> Result<Command, Refusal> {
        let header: AckMessageHeader = request.header()?;
        let id = id_of(&header.extra_info, &header.topic, &header.consumer_group, header.queue_id, header.offset)?;
        match self.settle(vec![id.clone()]).await?.pop() {
            Some(Settled::Absorbed) => Ok(Command::response(response::SUCCESS)),
            Some(Settled::TooLate) => {
                Ok(not_absorbed(TOO_LATE, format!("too late: the message of {id} was revived or is gone")))
            }
            Some(Settled::Unconfirmed(failure)) => Err(Refusal::NotConfirmed(failure)),
            Some(Settled::Unknown) | None => Ok(not_absorbed(UNKNOWN, format!("no checkpoint {id} is known"))),
        }
    }

    /// Serves BATCH_ACK_MESSAGE: a plain success only if every ack was absorbed.
    pub(super) async fn batch_ack(&self, request: &Command) -> Result<Command, Refusal> {
        let body = BatchAckBody::parse(&request.body).map_err(|error| Refusal::Body(error.to_string()))?;
        let broker = body.broker_name.clone().unwrap_or_else(|| self.config.name.clone());
        let ids: Vec<ChainId> = body
            .acks
            .iter()
            .flat_map(|ack| {
                let id = |offset| ChainId {
                    broker: broker.clone(),
                    topic: ack.real_topic(),
                    queue: ack.queue_id,
                    offset,
                    group: ack.consumer_group.clone(),
                    pop_time: ack.pop_time,
                    term: ReceiptHandle::term_of(ack.revive_queue),
                };
                ack.offsets().into_iter().map(id).collect::<Vec<_>>()
            })
            .collect();
        if ids.is_empty() {
            return Err(Refusal::NoMessage("the batch acks nothing".into()));
        }
        if ids.len() > BATCH_ACK_MAX || sabotage!("batch-acks-refused") {
            let found = ids.len().to_string();
            return Err(Refusal::Field { field: "acks", found, expected: format!("at most {BATCH_ACK_MAX} messages") });
        }
        let asked = if sabotage!("batch-ack-in-part") { &ids[..1] } else { &ids[..] };
        let settled = self.settle(asked.to_vec()).await?;
        let absorbed = |settled: &Settled| matches!(settled, Settled::Absorbed);
        if settled.iter().all(absorbed) || sabotage!("batch-absorbed-by-one") && settled.iter().any(absorbed) {
            return Ok(Command::response(response::SUCCESS));
        }
        let unconfirmed = settled.iter().any(|settled| matches!(settled, Settled::Unconfirmed(_)));
        let outcome = |(id, settled): (&ChainId, &Settled)| {
            format!("{}/{}/{}={}", id.queue, id.offset, id.pop_time, settled.text())
        };
        let outcomes: Vec<String> = ids.iter().zip(&settled).map(outcome).collect();
        let code = if unconfirmed { response::SYSTEM_BUSY } else { response::NO_MESSAGE };
        let mut answer = Command::response(code).with_remark("not every ack was absorbed");
        answer.ext.insert(ACK_OUTCOMES.into(), outcomes.join(";"));
        Ok(answer)
    }

    /// Acks chains here, and those that live elsewhere at their home.
    async fn settle(&self, mut ids: Vec<ChainId>) -> Result<Vec<Settled>, Refusal> {
        if sabotage!("ack-index-off-by-one") {
            ids.iter_mut().for_each(|id| id.offset += 1);
        }
        let mut settled = Vec::with_capacity(ids.len());
        let outcomes = match (self.acting.term(), self.all_moved(&ids)?) {
            (Some(term), _) => self.ack_all_acting(&term, &ids).await?,
            (None, Some(elsewhere)) => elsewhere,
            (None, None) => {
                let step = Ack { home: self.home.clone(), ids: ids.clone(), keep_until_ms: None };
                self.store.submit(step).await?
            }
        };
        for (id, acked) in ids.into_iter().zip(outcomes) {
            let asked = id.clone();
            let outcome = match acked {
                Acked::Absorbed => Settled::Absorbed,
                Acked::TooLate => Settled::TooLate,
                Acked::Elsewhere { to, id } => self.settle_elsewhere(&to, &id).await,
                Acked::Early => Settled::Unknown,
                Acked::Unknown => match self.other_home(&id) {
                    // A renewal may have been confirmed over there without our hearing of it.
                    Some(to) => self.settle_elsewhere(&to, &id).await,
                    None => Settled::Unknown,
                },
            };
            settled.push(match (self.acting.term(), outcome) {
                (Some(term), Settled::Unknown) if self.its_master_may_know(&term, &asked)? => {
                    let failure = ReadFailure { cause: Cause::NotServing, peer: self.config.name.clone(), took_ms: 0 };
                    sometimes!("acting-ack-unshared", Settled::Unconfirmed(failure))
                }
                (_, outcome) => outcome,
            });
        }
        Ok(settled)
    }

    async fn ack_all_acting(&self, term: &Term, ids: &[ChainId]) -> Result<Vec<Acked>, Refusal> {
        let mut outcomes = Vec::with_capacity(ids.len());
        for id in ids {
            outcomes.push(self.ack_acting(term, id.clone()).await?);
        }
        Ok(outcomes)
    }

    /// Where the chains are, if all of them have moved: a chain never comes back, so this needs no transaction.
    fn all_moved(&self, ids: &[ChainId]) -> Result<Option<Vec<Acked>>, Refusal> {
        let view = self.store.view()?;
        let mut moved = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(Chain { state: ChainState::Moved { to }, id, .. }) = view.chain(id)? else { return Ok(None) };
            moved.push(Acked::Elsewhere { to, id });
        }
        Ok(Some(moved))
    }

    async fn settle_elsewhere(&self, to: &str, id: &ChainId) -> Settled {
        match self.neighbours.ack_elsewhere(to, id).await {
            Ok(Acked::Absorbed) => Settled::Absorbed,
            Ok(Acked::TooLate) => Settled::TooLate,
            Ok(Acked::Early | Acked::Unknown | Acked::Elsewhere { .. }) => Settled::Unknown,
            Err(failure) => Settled::Unconfirmed(failure),
        }
    }

    /// The group that may know a chain of ours which we do not.
    pub(super) fn other_home(&self, id: &ChainId) -> Option<String> {
        let keeper = self.config.escape_to.as_ref().or(self.config.acting_to.as_ref());
        keeper.cloned().filter(|_| id.broker == self.config.name)
    }
}

fn not_absorbed(outcome: &str, remark: String) -> Command {
    let mut answer = Command::response(response::NO_MESSAGE).with_remark(remark);
    answer.ext.insert(ACK_OUTCOME.into(), outcome.into());
    answer
}

/// The chain that a handle names; the header's fields must agree with it.
pub(super) fn id_of(handle: &str, topic: &str, group: &str, queue: i32, offset: i64) -> Result<ChainId, Refusal> {
    let parsed: ReceiptHandle = handle.parse().map_err(|error: crate::model::handle::HandleError| Refusal::Field {
        field: "extraInfo",
        found: handle.into(),
        expected: error.to_string(),
    })?;
    if parsed.queue_id != queue || parsed.offset != offset {
        let expected = format!("the handle of queue {queue}, offset {offset}");
        return Err(Refusal::Field { field: "extraInfo", found: handle.into(), expected });
    }
    Ok(parsed.chain_id(topic, group))
}
