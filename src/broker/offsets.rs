//! Consumer offsets and the ends of queues (`ConsumerManageProcessor`, `AdminBrokerProcessor`).

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    parked::COUNT,
    refusal::Refusal,
    shared::{Shared, check_queue},
};
use crate::{
    model::record::Record,
    remoting::{
        Command,
        code::response,
        headers::{
            GetMaxOffsetHeader, GetMinOffsetHeader, OffsetResponseHeader, QueryConsumerOffsetHeader, ResetOffsetHeader,
            UpdateConsumerOffsetHeader,
        },
    },
    revive::steps::reset_offset::{Reset, ResetOffset, Target},
    sabotage,
    store::{Step, StoreError, Tables, Txn},
};

/// Ext field of the answer to a reset: `queue=offset`, joined by `;`; [`COUNT`] chains ended with it.
pub const OFFSETS: &str = "offsets";

/// What RocketMQ's tools write for an offset that is not given.
const NO_OFFSET: i64 = -1;

impl Shared {
    /// Serves QUERY_CONSUMER_OFFSET.
    pub(super) fn query_offset(&self, request: &Command) -> Result<Command, Refusal> {
        let header: QueryConsumerOffsetHeader = request.header()?;
        let view = self.store.view()?;
        let known = view.offset(&header.consumer_group, &header.topic, header.queue_id)?;
        let from_start =
            header.set_zero_if_not_found.unwrap_or(true) && view.bounds(&header.topic, header.queue_id)?.minimum == 0;
        Ok(match known.or(from_start.then_some(0)) {
            Some(offset) => found(offset),
            None => Command::response(response::QUERY_NOT_FOUND).with_remark("the group has no offset in this queue"),
        })
    }

    /// Serves UPDATE_CONSUMER_OFFSET. An offset never goes back but by a reset, which this is not.
    pub(super) async fn update_offset(&self, request: &Command) -> Result<Command, Refusal> {
        let header: UpdateConsumerOffsetHeader = request.header()?;
        let row = self.topic(&header.topic)?;
        check_queue(header.queue_id, row.config.read_queue_nums)?;
        self.group(&header.consumer_group).await?;
        let (found, expected) =
            (header.commit_offset.to_string(), "an offset of this queue, not below the committed one");
        match self.store.submit(UpdateOffset { header }).await? {
            true => Ok(Command::response(response::SUCCESS)),
            false => Err(Refusal::Field { field: "commitOffset", found, expected: expected.into() }),
        }
    }

    /// Serves INVOKE_BROKER_TO_RESET_OFFSET as RocketMQ does with `useServerSideResetOffset`: the offsets change here, at
    /// once, and clients need not be asked.
    pub(super) async fn reset_offset(&self, request: &Command) -> Result<Command, Refusal> {
        let header: ResetOffsetHeader = request.header()?;
        if self.store.view()?.group(&header.group)?.is_none() {
            return Err(Refusal::GroupUnknown(header.group));
        }
        let queue = (header.queue_id >= 0).then_some(header.queue_id);
        let target = match (queue, header.offset.filter(|offset| *offset != NO_OFFSET)) {
            (Some(queue), Some(offset)) => Target::Offset { queue, offset },
            (queue, _) => Target::Time { queue, at_ms: header.timestamp },
        };
        let ResetOffsetHeader { group, topic, queue_id, offset, .. } = header;
        let step = ResetOffset { home: self.home.clone(), group: group.clone(), topic: topic.clone(), target };
        match self.store.submit(step).await? {
            Reset::To { offsets, ended } => {
                tracing::info!(group, topic, ?offsets, ended, "offsets were reset");
                Ok(self.offsets_answer(&topic, &offsets, ended))
            }
            Reset::TopicUnknown => Err(Refusal::TopicUnknown(topic)),
            Reset::QueueUnknown { queues } => check_queue(queue_id, queues).map(|()| found(0)),
            Reset::OutOfRange { minimum, next } => Err(Refusal::Field {
                field: "offset",
                found: offset.unwrap_or(NO_OFFSET).to_string(),
                expected: format!("{minimum} to {next}"),
            }),
        }
    }

    /// RocketMQ's `ResetOffsetBody`, as fastjson writes a map whose keys are objects, and the same as text.
    fn offsets_answer(&self, topic: &str, offsets: &BTreeMap<i32, i64>, ended: usize) -> Command {
        let key = |queue| json!({ "brokerName": self.config.name, "queueId": queue, "topic": topic });
        let rows: Vec<String> = offsets.iter().map(|(queue, offset)| format!("{}:{offset}", key(queue))).collect();
        let body = format!("{{\"offsetTable\":{{{}}}}}", rows.join(","));
        let mut answer = Command::response(response::SUCCESS).with_body(body);
        let pairs: Vec<String> = offsets.iter().map(|(queue, offset)| format!("{queue}={offset}")).collect();
        answer.ext.insert(OFFSETS.into(), pairs.join(";"));
        answer.ext.insert(COUNT.into(), ended.to_string());
        answer
    }

    /// Serves GET_MAX_OFFSET.
    pub(super) fn max_offset(&self, request: &Command) -> Result<Command, Refusal> {
        let header: GetMaxOffsetHeader = request.header()?;
        Ok(found(self.store.view()?.bounds(&header.topic, header.queue_id)?.next))
    }

    /// Serves GET_MIN_OFFSET.
    pub(super) fn min_offset(&self, request: &Command) -> Result<Command, Refusal> {
        let header: GetMinOffsetHeader = request.header()?;
        Ok(found(self.store.view()?.bounds(&header.topic, header.queue_id)?.minimum))
    }
}

fn found(offset: i64) -> Command {
    Command::response(response::SUCCESS).with_header(&OffsetResponseHeader { offset })
}

struct UpdateOffset {
    header: UpdateConsumerOffsetHeader,
}

impl Step for UpdateOffset {
    type Reply = bool;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<bool, StoreError> {
        let UpdateConsumerOffsetHeader { consumer_group: group, topic, queue_id: queue, commit_offset: offset, .. } =
            self.header;
        if txn.topic(&topic)?.is_none() {
            return Ok(false); // deleted since it was looked at
        }
        let known = txn.offset(&group, &topic, queue)?;
        let bounds = txn.bounds(&topic, queue)?;
        let goes_back = known.is_some_and(|known| offset < known) && !sabotage!("commit-goes-back");
        if goes_back || !(bounds.minimum..=bounds.next).contains(&offset) {
            return Ok(false);
        }
        if known != Some(offset) {
            txn.record(Record::Offset { group, topic, queue, offset })?;
        }
        Ok(true)
    }
}
