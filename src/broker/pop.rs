//! POP_MESSAGE (`PopMessageProcessor`): hands messages out, each with its chain, in one transaction.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;

use super::{
    filter::Filter,
    pop_step::{PopStep, Popped, PoppedQueue, Source},
    refusal::Refusal,
    shared::{Shared, check_queue},
};
use crate::{
    model::{
        chain::Chain,
        handle::{ReceiptHandle, RetryFlag},
        message::Message,
        names,
        pop_info::{msg_offset_info, start_offset_info},
        topic::{retry_topic_v1, retry_topic_v2},
    },
    remoting::{
        Command,
        code::response,
        headers::{PopMessageHeader, PopMessageResponseHeader},
    },
    sabotage,
    store::Tables,
};

/// Most messages one pop may ask for.
const BATCH_MAX: i32 = 32;
/// Longest long poll, whatever the client asks for.
const POLL_MAX: Duration = Duration::from_secs(300);
/// Longest invisible time: RocketMQ's timer takes three days.
const INVISIBLE_MAX_MS: i64 = 259_200_000;

impl Shared {
    /// Serves POP_MESSAGE: at once when there is something, else when something arrives, else with POLLING_TIMEOUT.
    pub(super) async fn pop(&self, request: &Command) -> Result<Command, Refusal> {
        let header: PopMessageHeader = request.header()?;
        let filter = Filter::parse(header.exp_type.as_deref(), header.exp.as_deref())?;
        check(&header)?;
        let row = self.readable_topic(&header.topic)?;
        if header.queue_id >= 0 {
            check_queue(header.queue_id, row.config.read_queue_nums)?;
        }
        // The pop itself looks it up again: it may be served minutes later.
        let group = self.group(&header.consumer_group).await?;
        if !group.consume_enable {
            return Err(Refusal::NotPermitted(format!("group {:?} may not consume", group.group_name)));
        }
        let poll = poll_of(&header);
        let until = tokio::time::Instant::now() + poll;
        let retry_topics = self.retry_topics(&header);
        let mut topics = retry_topics.clone();
        topics.push(header.topic.clone());
        let waiting = self.arrivals.wait_for(topics);
        loop {
            if self.has_messages(&header, &retry_topics)? {
                let popped = self.pop_once(&header, &filter, &retry_topics).await?;
                if !popped.queues.is_empty() {
                    return self.confirm_and_answer(&header, popped).await;
                }
                if sabotage!("filtered-ends-poll") {
                    return Ok(nothing(&header));
                }
                if popped.rest > 0 && tokio::time::Instant::now() < until {
                    continue; // all it saw was filtered out; what is wanted may lie behind that
                }
            }
            let timed_out = async {
                match poll.is_zero() {
                    true => (),
                    false => tokio::time::sleep_until(until).await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(nothing(&header)),
                () = waiting.arrived(), if !poll.is_zero() => {}
                () = timed_out => return Ok(nothing(&header)),
            }
        }
    }

    pub(super) fn retry_topics(&self, header: &PopMessageHeader) -> Vec<String> {
        vec![
            retry_topic_v1(&header.consumer_group, &header.topic),
            retry_topic_v2(&header.consumer_group, &header.topic),
        ]
    }

    /// Whether any queue may hold something new: a look at the committed tables, which costs no transaction.
    fn has_messages(&self, header: &PopMessageHeader, retry_topics: &[String]) -> Result<bool, Refusal> {
        let view = self.store.view()?;
        let group = &header.consumer_group;
        for source in self.sources(header, retry_topics) {
            let Some(row) = view.topic(&source.topic)? else { continue };
            for queue in source.queues(row.config.read_queue_nums) {
                let bounds = view.bounds(&source.topic, queue)?;
                let known = view.offset(group, &source.topic, queue)?;
                // A group that begins at the end has to begin before something arrives there.
                let must_begin = known.is_none() && header.init_mode == 1 && source.retry == RetryFlag::Normal;
                if must_begin || known.unwrap_or(bounds.minimum) < bounds.next {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// What a pop reads: the topic, and the group's retry topics in both spellings.
    fn sources(&self, header: &PopMessageHeader, retry_topics: &[String]) -> Vec<Source> {
        let normal = Source { topic: header.topic.clone(), retry: RetryFlag::Normal, queue: header.queue_id };
        let flags = [RetryFlag::V1, RetryFlag::V2];
        let retries =
            retry_topics.iter().zip(flags).map(|(topic, retry)| Source { topic: topic.clone(), retry, queue: -1 });
        std::iter::once(normal).chain(retries).collect()
    }

    async fn pop_once(
        &self,
        header: &PopMessageHeader,
        filter: &Filter,
        retry_topics: &[String],
    ) -> Result<Popped, Refusal> {
        let step = self.pop_step(header, filter, retry_topics, self.store.term());
        Ok(self.store.submit(step).await?)
    }

    /// What this pop is about.
    pub(super) fn pop_step(
        &self,
        header: &PopMessageHeader,
        filter: &Filter,
        retry_topics: &[String],
        term: u64,
    ) -> PopStep {
        let turn = self.turns.next(&header.consumer_group, &header.topic);
        let mut sources = self.sources(header, retry_topics);
        if turn.retries_first {
            sources.rotate_left(1);
        }
        PopStep {
            broker: self.config.name.clone(),
            group: header.consumer_group.clone(),
            sources,
            turn: turn.number,
            from_maximum: header.init_mode == 1,
            filter: filter.clone(),
            limit: usize::try_from(header.max_msg_nums).unwrap_or(1),
            invisible_ms: header.invisible_time,
            escape: self.escape_plan(),
            term,
        }
    }

    /// Waits until every chain has a home, then answers with the messages whose chain has one.
    async fn confirm_and_answer(&self, header: &PopMessageHeader, mut popped: Popped) -> Result<Command, Refusal> {
        if let Some(to) = &self.config.escape_to {
            let mut failure = None;
            let mut homed = Vec::new();
            // All at once: the answer waits for the slowest, and the other side commits them together.
            let asked = popped.queues.iter().map(|queue| self.revive.hand_over_now(to, queue.chains.clone()));
            let answers = join_all(asked).await;
            for (queue, answer) in popped.queues.into_iter().zip(answers) {
                match answer {
                    Ok(()) => homed.push(queue),
                    Err(cause) => failure = Some(cause),
                }
            }
            popped.queues = homed;
            if let Some(cause) = failure.filter(|_| popped.queues.is_empty()) {
                return Err(Refusal::NotConfirmed(cause));
            }
        }
        answer(header, &popped)
    }
}

/// For how long the client is ready to wait.
pub(super) fn poll_of(header: &PopMessageHeader) -> Duration {
    let asked = Duration::from_millis(u64::try_from(header.poll_time).unwrap_or(0)).min(POLL_MAX);
    if sabotage!("polls-cut-short") { asked / 4 } else { asked }
}

pub(super) fn check(header: &PopMessageHeader) -> Result<(), Refusal> {
    let field = |field, found: String, expected: &str| Err(Refusal::Field { field, found, expected: expected.into() });
    if header.order {
        // Ordered pop has no checkpoints; it blocks its queue instead.
        return Err(Refusal::NotSupported("ordered pop".into()));
    }
    if !(1..=BATCH_MAX).contains(&header.max_msg_nums) {
        return field("maxMsgNums", header.max_msg_nums.to_string(), "1 to 32");
    }
    if !(1..=INVISIBLE_MAX_MS).contains(&header.invisible_time) {
        return field("invisibleTime", header.invisible_time.to_string(), "1 to 259200000 ms");
    }
    Ok(())
}

pub(super) fn nothing(header: &PopMessageHeader) -> Command {
    let fields =
        PopMessageResponseHeader { invisible_time: header.invisible_time, ..PopMessageResponseHeader::default() };
    Command::response(response::POLLING_TIMEOUT).with_header(&fields).with_remark("NO_MESSAGE_IN_QUEUE")
}

pub(super) fn answer(header: &PopMessageHeader, popped: &Popped) -> Result<Command, Refusal> {
    let revive_qid = ReceiptHandle::revive_queue_of(popped.term);
    let starts: Vec<_> = popped.queues.iter().map(|queue| (queue.retry, queue.queue, queue.start_offset)).collect();
    let offsets = |queue: &PoppedQueue| queue.messages.iter().map(|(offset, _)| *offset).collect();
    let messages: Vec<_> = popped.queues.iter().map(|queue| (queue.retry, queue.queue, offsets(queue))).collect();
    let fields = PopMessageResponseHeader {
        pop_time: popped.pop_time,
        invisible_time: header.invisible_time,
        revive_qid,
        rest_num: popped.rest,
        start_offset_info: Some(start_offset_info(&starts)),
        msg_offset_info: Some(msg_offset_info(&messages)),
        order_count_info: None,
    };
    let mut body = BytesMut::new();
    for queue in &popped.queues {
        for ((_, stored), chain) in queue.messages.iter().zip(&queue.chains) {
            match queue.retry {
                RetryFlag::Normal => body.extend_from_slice(stored),
                RetryFlag::V1 | RetryFlag::V2 => body.extend_from_slice(&as_normal(header, stored, chain)?),
            }
        }
    }
    Ok(Command::response(response::SUCCESS).with_header(&fields).with_body(body.freeze()).with_remark("FOUND"))
}

/// A message of a retry topic as RocketMQ hands it out: under its normal topic, with its handle as a property.
fn as_normal(header: &PopMessageHeader, stored: &Bytes, chain: &Chain) -> Result<Bytes, Refusal> {
    let damaged = |error: &dyn std::error::Error| Refusal::Body(format!("stored message of {}: {error}", chain.id));
    let mut message = Message::decode(&mut stored.clone()).map_err(|error| damaged(&error))?;
    message.properties.set(names::POP_CK, ReceiptHandle::of_chain(chain).to_string());
    message.topic.clone_from(&header.topic);
    message.encode().map_err(|error| damaged(&error))
}
