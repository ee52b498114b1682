//! PULL_MESSAGE (`PullMessageProcessor`): reads by offset; other groups' revivers read through this.

use std::time::Duration;

use bytes::BytesMut;

use super::{
    filter::Filter,
    refusal::Refusal,
    shared::{Shared, check_queue, readable},
};
use crate::{
    buggify,
    model::{chain::LogPosition, group::SubscriptionGroupConfig},
    remote::read::{HOLDER_TERM, INNER_CONSUMER_GROUP, TOPIC_DELETED, TOPIC_EPOCH, position_text},
    remoting::{
        Command,
        code::response,
        headers::{PullMessageHeader, PullMessageResponseHeader},
    },
    sabotage, sometimes,
    store::{Bounds, Tables},
};

/// System flag: wait for messages.
const SUSPEND: i32 = 2;
/// Longest wait, whatever the client asks for.
const SUSPEND_MAX: Duration = Duration::from_secs(120);
/// Most messages in one answer.
const BATCH_MAX: usize = 32;
/// Most bytes of messages in one answer, if the caller does not want fewer; the first message always fits.
const BYTES_MAX: usize = 4 << 20;

/// What a read of a queue came to.
struct Pulled {
    code: i32,
    status: &'static str,
    next: i64,
    bounds: Bounds,
    /// The creation of the topic that was read.
    epoch: LogPosition,
    body: BytesMut,
}

impl Shared {
    /// Serves PULL_MESSAGE.
    pub(super) async fn pull(&self, request: &Command) -> Result<Command, Refusal> {
        let header: PullMessageHeader = request.header()?;
        let filter = Filter::parse(header.expression_type.as_deref(), header.subscription.as_deref())?;
        let group = self.reading_group(&header.consumer_group).await?;
        if !group.consume_enable {
            return Err(Refusal::NotPermitted(format!("group {:?} may not consume", group.group_name)));
        }
        let suspend = match header.sys_flag & SUSPEND {
            0 => Duration::ZERO,
            _ => Duration::from_millis(u64::try_from(header.suspend_timeout_millis).unwrap_or(0)).min(SUSPEND_MAX),
        };
        let until = tokio::time::Instant::now() + suspend;
        let waiting = self.arrivals.wait_for(vec![header.topic.clone()]);
        loop {
            let read = self.read_queue(&header, &filter);
            if !matches!(&read, Ok(Pulled { code: response::SUCCESS, .. })) && self.is_held_back(&header)? {
                return Err(sometimes!("pull-held-back", Refusal::Unconfirmed));
            }
            let pulled = match read {
                Ok(pulled) => pulled,
                Err(refusal) if self.config.is_slave() => return Err(Refusal::SlaveBehind(Box::new(refusal))),
                Err(refusal) => return self.refused_about_topic(&header.topic, refusal),
            };
            let over = suspend.is_zero() || tokio::time::Instant::now() >= until;
            if pulled.code != response::PULL_NOT_FOUND || over {
                return Ok(answer(pulled, self.holder_term()));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(answer(pulled, self.holder_term())),
                () = waiting.arrived() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Whether a reviver asks for a message that this disk has and nobody may see yet. It was popped, so it was confirmed,
    /// perhaps before this broker began: to say that there is none would be the end of it for a reviver of RocketMQ's.
    fn is_held_back(&self, header: &PullMessageHeader) -> Result<bool, Refusal> {
        let (topic, queue) = (&header.topic, header.queue_id);
        if !header.consumer_group.starts_with(INNER_CONSUMER_GROUP) || sabotage!("held-back-not-found") {
            return Ok(false);
        }
        let held_back = self.store.view()?.bounds(topic, queue)?.next..self.store.durable()?.bounds(topic, queue)?.next;
        Ok(held_back.contains(&header.queue_offset))
    }

    /// The term under which this member holds its group, which makes its word final: a slave's is not.
    fn holder_term(&self) -> Option<u64> {
        let speaks = !self.config.is_slave() || sabotage!("slave-speaks-for-master");
        (speaks && !sabotage!("term-untold")).then(|| self.store.term())
    }

    /// The group that reads, created if that is allowed and it is missing; only its master creates any. The groups of other
    /// brokers need not be there: a member that can write nothing just then can be read from.
    async fn reading_group(&self, name: &str) -> Result<SubscriptionGroupConfig, Refusal> {
        match self.store.view()?.group(name)? {
            Some(group) => Ok(group),
            None if name.starts_with(INNER_CONSUMER_GROUP) => Ok(SubscriptionGroupConfig::named(name)),
            None if self.config.is_slave() => Err(Refusal::SlaveBehind(Box::new(Refusal::GroupUnknown(name.into())))),
            None => self.group(name).await,
        }
    }

    /// A refusal, with what proves that a message of a topic of this name is gone: whoever waits for one that lay in a
    /// topic which was deleted, or in a queue which its successor does not have, need not wait any longer.
    fn refused_about_topic(&self, topic: &str, refusal: Refusal) -> Result<Command, Refusal> {
        let view = self.store.view()?;
        let proof = match &refusal {
            Refusal::TopicUnknown(_) => view.deleted_topic(topic)?.map(|at| (TOPIC_DELETED, at)),
            Refusal::Field { .. } | Refusal::NotPermitted(_) => view.topic(topic)?.map(|row| (TOPIC_EPOCH, row.epoch)),
            _ => None,
        };
        let Some((field, position)) = proof else { return Err(refusal) };
        let mut answer = refusal.into_answer();
        answer.ext.insert(HOLDER_TERM.into(), self.store.term().to_string());
        answer.ext.insert(field.into(), position_text(position));
        Ok(answer)
    }

    /// Topic, bounds and messages as of one commit: messages of one topic must never go out under another's epoch.
    fn read_queue(&self, header: &PullMessageHeader, filter: &Filter) -> Result<Pulled, Refusal> {
        let view = self.store.view()?;
        let (topic, queue, from) = (&header.topic, header.queue_id, header.queue_offset);
        let row = readable(view.topic(topic)?, topic)?;
        check_queue(queue, row.config.read_queue_nums)?;
        let (bounds, epoch) = (view.bounds(topic, queue)?, row.epoch);
        let miss = |code, status, next| Pulled { code, status, next, bounds, epoch, body: BytesMut::new() };
        match () {
            () if bounds.next == 0 && from == 0 => return Ok(miss(response::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", 0)),
            () if bounds.next == 0 => return Ok(miss(response::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE", 0)),
            () if from < bounds.minimum => {
                return Ok(miss(response::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", bounds.minimum));
            }
            () if from == bounds.next => return Ok(miss(response::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", from)),
            () if from > bounds.next => {
                return Ok(miss(response::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", bounds.next));
            }
            () => {}
        }
        let limit = usize::try_from(header.max_msg_nums).unwrap_or(1);
        let limit = limit.clamp(1, buggify!("pulls-one", 1, BATCH_MAX));
        let wanted = header.max_msg_bytes.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
        let bytes_max = wanted.unwrap_or(BYTES_MAX).min(BYTES_MAX);
        let found = view.messages(topic, queue, from, limit)?;
        // Where nothing is stored any more a client must not ask for one offset after the other.
        let (mut body, mut next) = (BytesMut::new(), if found.is_empty() { bounds.next } else { from });
        for (offset, stored) in found {
            let has_room = body.len() + stored.len() <= bytes_max || sabotage!("pulls-without-limit");
            if (!body.is_empty() || sabotage!("large-not-pulled")) && !has_room {
                break;
            }
            if filter.wants(&stored) {
                body.extend_from_slice(&stored);
            }
            next = offset + 1;
        }
        Ok(match body.is_empty() {
            true => miss(response::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE", next.max(from + 1)),
            false => Pulled { code: response::SUCCESS, status: "FOUND", next, bounds, epoch, body },
        })
    }
}

fn answer(pulled: Pulled, holder_term: Option<u64>) -> Command {
    let (short, late) = (i64::from(sabotage!("end-told-short")), i64::from(sabotage!("beginning-told-late")));
    let fields = PullMessageResponseHeader {
        next_begin_offset: pulled.next,
        min_offset: pulled.bounds.minimum + late,
        max_offset: pulled.bounds.next - short,
        ..PullMessageResponseHeader::default()
    };
    let mut answer =
        Command::response(pulled.code).with_header(&fields).with_remark(pulled.status).with_body(pulled.body.freeze());
    if let Some(term) = holder_term {
        answer.ext.insert(HOLDER_TERM.into(), term.to_string());
    }
    answer.ext.insert(TOPIC_EPOCH.into(), position_text(pulled.epoch));
    answer
}
