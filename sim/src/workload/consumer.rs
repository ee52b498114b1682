//! A consumer: polls every broker of its topic, and hands what it gets on without holding up the polling.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pop_revive::seams::Host;
use rand::RngExt;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    apache_slave::{self, Kept},
    client::WireClient,
    habits::Habits,
    handling::{parcels, settle},
    pause::pause,
    route::Endpoint,
};
use crate::{
    history::{Delivery, Noted, Popped, Recorder, Seen},
    plan::NodeName,
    random::{Stream, Streams},
    scenario::{Consumer, Group},
};

/// Pause between two look-ups while no broker is known.
const ROUTE_RETRY: Duration = Duration::from_secs(1);
/// A broker hears of this consumer this often, or rarer when a poll takes longer.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A poll that comes back empty sooner than this (or than its own poll time) was not held, and is followed by a pause.
const HELD_AT_LEAST: Duration = Duration::from_secs(1);

/// Runs the consumer until `stop` fires; acks under way come to their end first.
///
/// A poll that `stop` interrupts is recorded as unknown. What a slave of Apache's has kept outlives the consumer's process.
pub async fn run(
    host: Host,
    (spec, group): (Consumer, Group),
    name_servers: Vec<String>,
    mut rng: Stream,
    recorder: Recorder,
    kept: Kept,
    stop: CancellationToken,
) {
    if !pause(&stop, Duration::from_millis(spec.from_ms).saturating_sub(Duration::from_millis(recorder.now_ms()))).await
    {
        return;
    }
    let client = WireClient::new(&host, &spec.name, name_servers);
    let streams = rng.streams();
    let habits = Habits::new(&spec, streams.clone());
    let polled = Mutex::default();
    let (alive, mut all_done) = mpsc::channel(1);
    let worker = Arc::new(Worker { spec, group, client, recorder, kept, stop, habits, streams, polled, _alive: alive });
    while !discover(&worker).await && pause(&worker.stop, ROUTE_RETRY).await {}
    drop(worker);
    all_done.recv().await; // gives `None` once the last task has dropped its share
}

/// What the tasks of one consumer share.
pub(super) struct Worker {
    pub(super) spec: Consumer,
    pub(super) group: Group,
    pub(super) client: WireClient,
    pub(super) recorder: Recorder,
    pub(super) kept: Kept,
    pub(super) stop: CancellationToken,
    pub(super) habits: Habits,
    pub(super) streams: Streams,
    /// Brokers that have a polling task.
    polled: Mutex<BTreeSet<NodeName>>,
    _alive: mpsc::Sender<()>,
}

/// Starts polling brokers that are new in the route, which is looked up when it is old; says whether any is known.
pub(super) async fn discover(worker: &Arc<Worker>) -> bool {
    let brokers = worker.client.brokers_for(&worker.group.topic).await;
    let mut polled = worker.polled.lock().unwrap_or_else(PoisonError::into_inner);
    for broker in brokers {
        if polled.insert(broker.name.clone()) {
            start_polling(worker, broker);
        }
    }
    !polled.is_empty()
}

/// A plain function, because the polling task itself discovers brokers.
fn start_polling(worker: &Arc<Worker>, broker: Endpoint) {
    match worker.spec.apache.clone().filter(|slave| slave.slave_of == broker.name) {
        Some(slave) => tokio::spawn(apache_slave::run(Arc::clone(worker), slave)),
        None => tokio::spawn(poll(Arc::clone(worker), broker)),
    };
}

/// Polls one broker until `stop` fires, wherever the route says that it is.
async fn poll(worker: Arc<Worker>, mut broker: Endpoint) {
    let mut rng = worker.streams.stream(&format!("pause/{}", broker.name));
    let mut heard: Option<Instant> = None;
    while !worker.stop.is_cancelled() {
        discover(&worker).await;
        if let Some(moved) = worker.client.endpoint(&worker.group.topic, &broker.name) {
            broker = moved;
        }
        if heard.is_none_or(|heard| heard.elapsed() >= HEARTBEAT)
            && worker.client.heartbeat(&broker, &worker.group).await == Seen::Ok(())
        {
            heard = Some(Instant::now());
        }
        let asked = Instant::now();
        match pop(&worker, &broker).await {
            Seen::Ok(messages) if !messages.is_empty() => {
                hand_on(&worker, &broker, messages);
                continue;
            }
            Seen::Ok(_) if asked.elapsed() >= HELD_AT_LEAST.min(Duration::from_millis(worker.spec.poll_ms.max(1))) => {
                continue;
            }
            Seen::Ok(_) | Seen::Refused { .. } | Seen::Unknown { .. } => {}
        }
        pause(&worker.stop, Duration::from_millis(rng.random_range(500..=2000))).await;
    }
}

/// One pop, recorded.
async fn pop(worker: &Worker, broker: &Endpoint) -> Seen<Vec<Delivery>> {
    let began_ms = worker.recorder.now_ms();
    let seen = tokio::select! {
        biased;
        () = worker.stop.cancelled() => Seen::Unknown { cause: "stopped".to_owned() },
        seen = worker.client.pop(broker, &worker.group, &worker.spec) => seen,
    };
    worker.recorder.record(Noted::Popped(Popped {
        consumer: worker.spec.name.clone(),
        group: worker.group.name.clone(),
        topic: worker.group.topic.clone(),
        broker: broker.name.clone(),
        began_ms,
        seen: seen.clone(),
    }));
    seen
}

fn hand_on(worker: &Arc<Worker>, broker: &Endpoint, messages: Vec<Delivery>) {
    for parcel in parcels(&worker.habits, worker.spec.batch_ack, messages) {
        tokio::spawn(settle(Arc::clone(worker), broker.clone(), parcel));
    }
}
