//! Consumer offsets and the ends of queues (`ConsumerManageProcessor`, `AdminBrokerProcessor`).

use super::{
    refusal::Refusal,
    shared::{Shared, check_queue},
};
use crate::{
    model::record::Record,
    remoting::{
        Command,
        code::response,
        headers::{
            GetMaxOffsetHeader, GetMinOffsetHeader, OffsetResponseHeader, QueryConsumerOffsetHeader,
            UpdateConsumerOffsetHeader,
        },
    },
    store::{Step, StoreError, Tables, Txn},
};

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
        let known = txn.offset(&group, &topic, queue)?;
        let bounds = txn.bounds(&topic, queue)?;
        if known.is_some_and(|known| offset < known) || !(bounds.minimum..=bounds.next).contains(&offset) {
            return Ok(false);
        }
        if known != Some(offset) {
            txn.record(Record::Offset { group, topic, queue, offset })?;
        }
        Ok(true)
    }
}
