//! A producer: sends its messages spread over its span, and again, with the same key, while nobody answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use pop_revive::{
    model::{Properties, names},
    seams::Host,
};
use rand::RngExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    body::{body, ledger_id},
    client::WireClient,
    pause::pause,
    route::Endpoint,
};
use crate::{
    history::{LedgerId, Noted, Recorder, Seen, Sent},
    plan::SimMs,
    random::Stream,
    scenario::Producer,
};

/// Pause between two look-ups while there is nowhere to send to.
const ROUTE_RETRY: Duration = Duration::from_secs(1);

/// How often one message is sent at the most, as RocketMQ's clients do (`retryTimesWhenSendFailed` + 1).
const SENDS: u32 = 3;
/// RocketMQ's delay levels (`messageDelayLevel`), ms: 1s 5s 10s 30s, 1m to 10m, 20m 30m 1h 2h.
const DELAY_LEVELS_MS: [u64; 18] = [
    1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000, 480_000, 540_000,
    600_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000,
];
/// Pause before a message is sent again.
const SEND_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How many messages a producer has begun to send. It outlives the producer's process, so that one that is killed and
/// started again goes on where it was.
#[derive(Debug, Clone, Default)]
pub struct Begun(Arc<AtomicU32>);

/// Runs the producer until every message was sent or `stop` fires; a send under way comes to its end first.
///
/// What is sent when is drawn before anything happens, so that it does not depend on how earlier sends went. A message
/// whose send is unknown is sent again to the same queue, since no other broker can know of the first; a refused one is
/// not, nor does the process that follows a killed one take up what that had begun. One that finds no route before `stop`
/// is never sent.
pub async fn run(
    host: Host,
    spec: Producer,
    name_servers: Vec<String>,
    mut rng: Stream,
    recorder: Recorder,
    begun: Begun,
    stop: CancellationToken,
) {
    let client = WireClient::new(&host, &spec.name, name_servers);
    let (alive, mut all_sent) = mpsc::channel(1);
    let sender = Arc::new(Sender { spec, client, recorder, stop, _alive: alive });
    let mut due_ms = 0;
    for number in 0..sender.spec.messages {
        if number.is_multiple_of(sender.spec.burst.max(1)) {
            due_ms = moment_of(&sender.spec, number / sender.spec.burst.max(1), &mut rng);
        }
        let message = Outgoing::new(&sender.spec, number, &mut rng);
        if number < begun.0.load(Ordering::Relaxed) {
            continue; // drawn all the same: what follows must not depend on restarts
        }
        let wait = Duration::from_millis(due_ms.saturating_sub(sender.recorder.now_ms()));
        if !pause(&sender.stop, wait).await {
            break;
        }
        begun.0.store(number + 1, Ordering::Relaxed);
        let sender = Arc::clone(&sender);
        tokio::spawn(async move { sender.send(message).await });
    }
    drop(sender);
    all_sent.recv().await; // gives `None` once the last send has dropped its share
}

/// When a message is due: the span cut into equal slots, one per burst, at a drawn moment of its slot.
fn moment_of(spec: &Producer, burst: u32, rng: &mut Stream) -> SimMs {
    let bursts = spec.messages.div_ceil(spec.burst.max(1)).max(1);
    let slot = |burst: u32| spec.over_ms.saturating_mul(burst.into()) / u64::from(bursts);
    spec.from_ms.saturating_add(rng.random_range(slot(burst)..=slot(burst.saturating_add(1))))
}

struct Outgoing {
    number: u32,
    ledger: LedgerId,
    tag: Option<String>,
    properties: Properties,
    body: Bytes,
}

impl Outgoing {
    fn new(spec: &Producer, number: u32, rng: &mut Stream) -> Self {
        let ledger = ledger_id(&spec.name, number);
        let tag = (!spec.tags.is_empty()).then(|| spec.tags[number as usize % spec.tags.len()].clone());
        let mut properties = Properties::new();
        let key = ledger_id(spec.keys.as_ref().unwrap_or(&spec.name), number);
        properties.set(names::UNIQ_KEY, key.to_string());
        properties.set(names::KEYS, ledger.to_string());
        if let Some(tag) = &tag {
            properties.set(names::TAGS, tag.clone());
        }
        if let Some(delay_ms) = spec.delay_ms {
            let (name, value) = delay(delay_ms, number);
            properties.set(name, value.to_string());
        }
        let body = body(&ledger, spec.body_bytes as usize, rng);
        Self { number, ledger, tag, properties, body }
    }
}

/// How a delay is asked for: by turns in every way that can say it.
fn delay(ms: SimMs, number: u32) -> (&'static str, u64) {
    let level = DELAY_LEVELS_MS.iter().position(|level| *level == ms);
    match (number % 3, level) {
        (0, Some(level)) => (names::DELAY, level as u64 + 1),
        (1, _) if ms.is_multiple_of(1000) => (names::TIMER_DELAY_SEC, ms / 1000),
        _ => (names::TIMER_DELAY_MS, ms),
    }
}

/// What the sends of one producer share.
struct Sender {
    spec: Producer,
    client: WireClient,
    recorder: Recorder,
    stop: CancellationToken,
    _alive: mpsc::Sender<()>,
}

impl Sender {
    async fn send(&self, message: Outgoing) {
        let Some((broker, queue)) = self.destination(message.number).await else { return };
        for again in (0..SENDS).rev() {
            let is_answered = self.send_to(&broker, queue, &message).await;
            if is_answered || again == 0 || !pause(&self.stop, SEND_AGAIN_AFTER).await {
                return;
            }
        }
    }

    /// Sends once; tells whether anybody answered.
    async fn send_to(&self, broker: &Endpoint, queue: i32, message: &Outgoing) -> bool {
        let (began_ms, body) = (self.recorder.now_ms(), message.body.clone());
        let flag = i32::try_from(message.number % 5).unwrap_or(0); // the sender's own affair
        let seen = self.client.send(broker, queue, &self.spec.topic, (&message.properties, flag), body).await;
        let is_answered = !matches!(seen, Seen::Unknown { .. });
        self.recorder.record(Noted::Sent(Sent {
            producer: self.spec.name.clone(),
            ledger: message.ledger.clone(),
            topic: self.spec.topic.clone(),
            tag: message.tag.clone(),
            delay_ms: self.spec.delay_ms,
            broker: broker.name.clone(),
            began_ms,
            seen,
        }));
        is_answered
    }

    /// The writable queues in turn; waits until there are any, or gives `None` when `stop` fires.
    async fn destination(&self, number: u32) -> Option<(Endpoint, i32)> {
        loop {
            if let Some(route) = self.client.route(&self.spec.topic).await
                && !route.writable.is_empty()
            {
                return route.writable.get(number as usize % route.writable.len()).cloned();
            }
            if !pause(&self.stop, ROUTE_RETRY).await {
                return None;
            }
        }
    }
}
