//! Takes delayed messages that fall due while another group's master is away: from now on they are this group's messages.

use std::net::SocketAddr;

use crate::{
    model::{
        checkpoint::ActingTerm,
        message::{EncodeError, Message},
        record::Record,
        timer::DueTimer,
    },
    revive::poppable::{ensure_group, ensure_readable},
    sabotage, sometimes,
    store::{Bounds, Place, Step, StoreError, Tables, Txn},
};

/// Appends delayed messages to their topic; one that was taken before is left alone and confirmed again.
pub struct TakeTimers {
    /// The term under which an acting slave hands them over.
    pub acting: ActingTerm,
    /// Each with its message, as it reads.
    pub timers: Vec<(DueTimer, Message)>,
    /// This broker's address, as stamped on what it stores.
    pub store_host: SocketAddr,
}

/// What that came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All of them are here, so many only now.
    Here {
        /// How many.
        new: usize,
    },
    /// None was taken: another member of that group has taken this term since.
    Sealed {
        /// The term.
        term: u64,
    },
}

impl Step for TakeTimers {
    type Reply = Taken;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Taken, StoreError> {
        let term = txn.sealed_term(&self.acting.group)?;
        if term != self.acting.term && !sabotage!("seal-ignored") {
            return sometimes!("timers-sealed", Ok(Taken::Sealed { term }));
        }
        let mut new = 0;
        for (timer, message) in self.timers {
            if txn.is_timer_taken(&self.acting.group, timer.id)? && !sabotage!("timer-taken-twice") {
                sometimes!("timer-known");
                continue;
            }
            sometimes!("timer-new");
            begin_before(txn, &timer.groups, &message)?;
            let message = Message { store_host: self.store_host, ..message };
            if let Err(refused) = append(txn, message)? {
                tracing::error!(id = ?timer.id, %refused, "a delayed message of another group cannot be stored; it stays there");
                continue;
            }
            new += 1;
            let ActingTerm { group, term } = self.acting.clone();
            txn.record(Record::TimerTaken { group, term, timer: timer.id })?;
        }
        Ok(Taken::Here { new })
    }
}

/// Lets no group begin behind a message that is the first of its queue. Where there are others, those that have popped some
/// of them go on from there, and those that have not are to begin where they like.
fn begin_before(txn: &mut Txn<'_, '_>, groups: &[String], message: &Message) -> Result<(), StoreError> {
    ensure_readable(txn, &message.topic)?;
    let queue = queue_here(txn, message)?;
    let Bounds { minimum, next } = txn.bounds(&message.topic, queue)?;
    for group in groups {
        ensure_group(txn, group)?;
        if minimum == next && txn.offset(group, &message.topic, queue)?.is_none() && !sabotage!("timer-before-start") {
            sometimes!("timer-begins-queue");
            let (group, topic) = (group.clone(), message.topic.clone());
            txn.record(Record::Offset { group, topic, queue, offset: next })?;
        }
    }
    Ok(())
}

fn append(txn: &mut Txn<'_, '_>, mut message: Message) -> Result<Result<Place, EncodeError>, StoreError> {
    message.queue_id = queue_here(txn, &message)?;
    message.store_timestamp = txn.now_ms();
    txn.append(message)
}

/// The queue for a message that was to go to a queue of another group, which may have more of them.
fn queue_here(txn: &Txn<'_, '_>, message: &Message) -> Result<i32, StoreError> {
    let queues = txn.topic(&message.topic)?.map_or(1, |row| row.config.read_queue_nums.max(1));
    Ok(message.queue_id.rem_euclid(i32::try_from(queues).unwrap_or(i32::MAX)))
}
