//! CHANGE_MESSAGE_INVISIBLETIME (`ChangeInvisibleTimeProcessor`): one record replaces the old handle by the new one.

use super::{ack::id_of, refusal::Refusal, shared::Shared};
use crate::{
    model::{
        chain::{Chain, ChainId},
        handle::ReceiptHandle,
    },
    remoting::{
        Command,
        code::response,
        headers::{ChangeInvisibleHeader, ChangeInvisibleResponseHeader},
    },
    revive::steps::renew::{Renew, Renewed},
};

/// Longest invisible time: RocketMQ's timer takes three days.
const INVISIBLE_MAX_MS: i64 = 259_200_000;

impl Shared {
    /// Serves CHANGE_MESSAGE_INVISIBLETIME; a repeated request with the same handle gets the same new handle.
    pub(super) async fn change_invisible(&self, request: &Command) -> Result<Command, Refusal> {
        let header: ChangeInvisibleHeader = request.header()?;
        if !(1..=INVISIBLE_MAX_MS).contains(&header.invisible_time) {
            let (found, expected) = (header.invisible_time.to_string(), "1 to 259200000 ms".to_owned());
            return Err(Refusal::Field { field: "invisibleTime", found, expected });
        }
        let id = id_of(&header.extra_info, &header.topic, &header.consumer_group, header.queue_id, header.offset)?;
        let step = Renew { home: self.home.clone(), id: id.clone(), invisible_ms: header.invisible_time };
        match self.store.submit(step).await? {
            Renewed::As(chain) => Ok(success(&chain)),
            Renewed::TooLate => Err(Refusal::NoMessage(format!("too late: {id} is over"))),
            Renewed::Elsewhere { to, id } => self.renew_there(&to, &header, &id).await,
            Renewed::Unknown => match self.other_home(&id) {
                Some(to) => self.renew_there(&to, &header, &id).await,
                None => Err(Refusal::NoMessage(format!("no checkpoint {id} is known"))),
            },
        }
    }

    /// Has the group that knows the chain by `id` renew it.
    pub(super) async fn renew_there(
        &self,
        to: &str,
        header: &ChangeInvisibleHeader,
        id: &ChainId,
    ) -> Result<Command, Refusal> {
        match self.neighbours.renew_elsewhere(to, &of_chain(header, id)).await {
            Ok(Some(fields)) => Ok(Command::response(response::SUCCESS).with_header(&fields)),
            Ok(None) => Err(Refusal::NoMessage(format!("too late: {to} says that it is over"))),
            Err(failure) => Err(Refusal::NotConfirmed(failure)),
        }
    }
}

/// The request with the handle of this chain: the client may hold an older one, which only its own broker knows.
fn of_chain(header: &ChangeInvisibleHeader, id: &ChainId) -> ChangeInvisibleHeader {
    let mut header = header.clone();
    if let Ok(handle) = header.extra_info.parse::<ReceiptHandle>() {
        let revive_queue = ReceiptHandle::revive_queue_of(id.term);
        header.extra_info = ReceiptHandle { pop_time: id.pop_time, revive_queue, ..handle }.to_string();
    }
    header
}

fn success(chain: &Chain) -> Command {
    Command::response(response::SUCCESS).with_header(&ChangeInvisibleResponseHeader {
        pop_time: chain.id.pop_time,
        invisible_time: chain.invisible_ms,
        revive_qid: ReceiptHandle::revive_queue_of(chain.id.term),
    })
}
