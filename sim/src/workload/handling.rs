//! What a consumer does with messages once it has them: think, renew, ack, ack again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pop_revive::{model::ReceiptHandle, remoting::code::response};
use tokio::time::Instant;

use super::{
    consumer::Worker,
    habits::{AckTime, Fate, Habits},
    pause::pause,
    route::Endpoint,
};
use crate::history::{AckVerdict, Acked, Delivery, Noted, Renewed, Seen};

/// How long after the invisible time a late ack comes.
const LATE_BY: Duration = Duration::from_secs(2);
/// Pause before an ack without a verdict is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Tries after the first one.
const RETRIES: usize = 5;

/// Messages that are acked together: one, or those of a pop that have their topic and ack time in common.
pub(super) struct Parcel {
    ack: AckTime,
    messages: Vec<Held>,
}

/// A message in a consumer's hands.
struct Held {
    delivery: Delivery,
    fate: Fate,
    /// When its invisible time runs out, as far as the consumer knows.
    visible_at: Instant,
}

/// Sorts the messages of a pop into parcels; those that are left alone are in none.
pub(super) fn parcels(habits: &Habits, in_batches: bool, messages: Vec<Delivery>) -> Vec<Parcel> {
    let mut sorted: BTreeMap<(AckTime, String, usize), Vec<Held>> = BTreeMap::new();
    for (index, delivery) in messages.into_iter().enumerate() {
        let fate = habits.fate(&delivery);
        if fate.ack == AckTime::Never && !fate.renews {
            continue;
        }
        let lone = if in_batches { 0 } else { index };
        let key = (fate.ack, delivery.topic.clone(), lone);
        sorted.entry(key).or_default().push(Held { delivery, fate, visible_at: Instant::now() });
    }
    sorted.into_iter().map(|((ack, _, _), messages)| Parcel { ack, messages }).collect()
}

/// Handles a parcel just popped from `broker`, to its end or until `stop` fires.
pub(super) async fn settle(worker: Arc<Worker>, broker: Endpoint, mut parcel: Parcel) {
    let invisible = Duration::from_millis(worker.spec.invisible_ms);
    let think = Duration::from_millis(worker.spec.think_ms);
    for held in &mut parcel.messages {
        held.visible_at = Instant::now() + invisible;
    }
    if parcel.ack == AckTime::Late {
        if !pause(&worker.stop, invisible + LATE_BY).await {
            return;
        }
    } else {
        if !pause(&worker.stop, think / 2).await {
            return;
        }
        for time in 0..worker.spec.renewals {
            if time > 0 && !pause(&worker.stop, think / 2).await {
                return;
            }
            for held in parcel.messages.iter_mut().filter(|held| held.fate.renews) {
                renew_until_told(&worker, &broker, held).await;
            }
        }
        if parcel.ack == AckTime::Never || !pause(&worker.stop, think / 2).await {
            return;
        }
    }
    ack_until_told(&worker, &broker, parcel.messages.iter().collect()).await;

    let repeated: Vec<&Held> = parcel.messages.iter().filter(|held| held.fate.repeats_after.is_some()).collect();
    if let Some(after) = repeated.iter().filter_map(|held| held.fate.repeats_after).max()
        && pause(&worker.stop, after).await
    {
        ack(&worker, &broker, &repeated).await;
    }
}

/// Acks, and acks again what has no verdict, as long as the messages are still invisible.
async fn ack_until_told(worker: &Worker, broker: &Endpoint, mut open: Vec<&Held>) {
    for tries_left in (0..=RETRIES).rev() {
        let verdicts = ack(worker, broker, &open).await;
        let retry_at = Instant::now() + RETRY_AFTER;
        let is_worth_it = |held: &Held, seen: &Seen<AckVerdict>| is_undecided(seen) && retry_at < held.visible_at;
        open = open
            .into_iter()
            .zip(&verdicts)
            .filter(|(held, seen)| is_worth_it(held, seen))
            .map(|(held, _)| held)
            .collect();
        if open.is_empty() || tries_left == 0 || !pause(&worker.stop, RETRY_AFTER).await {
            return;
        }
    }
}

/// Whether another try may bring another answer.
fn is_undecided(seen: &Seen<AckVerdict>) -> bool {
    const PASSING: [i32; 3] = [response::SYSTEM_BUSY, response::SERVICE_NOT_AVAILABLE, response::GO_AWAY];
    match seen {
        Seen::Ok(_) => false,
        Seen::Refused { code, .. } => PASSING.contains(code),
        Seen::Unknown { .. } => true,
    }
}

/// One ack of each message, recorded; gives the verdicts in the order of the messages, which share their real topic.
async fn ack(worker: &Worker, popped_from: &Endpoint, messages: &[&Held]) -> Vec<Seen<AckVerdict>> {
    let began_ms = worker.recorder.now_ms();
    let Some(first) = messages.first() else { return Vec::new() };
    let at = home(worker, popped_from, &first.delivery);
    let verdicts = if worker.spec.batch_ack {
        let deliveries: Vec<&Delivery> = messages.iter().map(|held| &held.delivery).collect();
        worker.client.batch_ack(&at, &worker.group, &deliveries).await
    } else {
        vec![worker.client.ack(&at, &worker.group, &first.delivery).await]
    };
    for (held, seen) in messages.iter().zip(&verdicts) {
        let Delivery { ledger, handle, topic, queue, offset, reconsume, .. } = &held.delivery;
        worker.recorder.record(Noted::Acked(Acked {
            consumer: worker.spec.name.clone(),
            group: worker.group.name.clone(),
            ledger: ledger.clone(),
            handle: handle.clone(),
            place: (topic.clone(), *queue, *offset),
            reconsume: *reconsume,
            began_ms,
            seen: seen.clone(),
        }));
    }
    verdicts
}

/// Renews, and once more by the same handle if nobody answered.
async fn renew_until_told(worker: &Worker, broker: &Endpoint, held: &mut Held) {
    if renew(worker, broker, held).await.is_none() && pause(&worker.stop, RETRY_AFTER).await {
        renew(worker, broker, held).await;
    }
}

/// Renews one message, recorded; only a renewal known to have worked changes its handle. `None` if nobody answered.
async fn renew(worker: &Worker, popped_from: &Endpoint, held: &mut Held) -> Option<()> {
    let began_ms = worker.recorder.now_ms();
    let at = home(worker, popped_from, &held.delivery);
    let seen = worker.client.renew(&at, &worker.group, &held.delivery, worker.spec.renewed_ms()).await;
    worker.recorder.record(Noted::Renewed(Renewed {
        consumer: worker.spec.name.clone(),
        group: worker.group.name.clone(),
        ledger: held.delivery.ledger.clone(),
        handle: held.delivery.handle.clone(),
        invisible_ms: worker.spec.renewed_ms(),
        began_ms,
        seen: seen.clone(),
    }));
    if let Seen::Ok(Some(handle)) = &seen {
        held.delivery.handle.clone_from(handle);
        held.visible_at = Instant::now() + Duration::from_millis(worker.spec.renewed_ms());
    }
    (!matches!(seen, Seen::Unknown { .. })).then_some(())
}

/// The broker that a message's handle names; the one it was popped from when the handle or the route does not tell.
fn home(worker: &Worker, popped_from: &Endpoint, delivery: &Delivery) -> Endpoint {
    let named = delivery.handle.parse().ok().map(|handle: ReceiptHandle| handle.broker);
    named.and_then(|broker| worker.client.endpoint(&worker.group.topic, &broker)).unwrap_or_else(|| popped_from.clone())
}
