//! An acting slave of Apache RocketMQ, through which a consumer pops at one broker: it reads the queues there, keeps its
//! checkpoints and acks at another broker, and commits what it has handed out.
//!
//! It hands out without waiting for its checkpoint, as RocketMQ does when a first try fails: acks may come before it. It
//! sends the checkpoint until it is told that it is stored. What it has begun outlives its process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pop_revive::remoting::code::response;
use rand::RngExt;
use tokio::time::Instant;

use super::{
    consumer::{Worker, discover},
    habits::PassedOn,
    pause::pause,
    route::Endpoint,
    span::Span,
};
use crate::{
    history::{AckVerdict, Acked, Delivery, Noted, Popped, Seen},
    random::Stream,
    scenario::ApacheSlave,
};

/// Pause before a request that came to nothing is made again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How often an ack is sent at the most.
const ACKS: usize = 6;
/// How long an early ack surely waits for its checkpoint, ms: the home gives up after 180 s by its own clock.
const WAITS_MS: i64 = 150_000;
/// How long after the invisible time a late ack comes.
const LATE_BY: Duration = Duration::from_secs(2);

/// What a slave has on its disk.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<BTreeMap<i32, Queue>>>);

/// How far it is in a queue.
#[derive(Debug, Clone, Default)]
struct Queue {
    /// Where the next read begins.
    next: i64,
    /// What is handed out and not committed.
    begun: Option<Span>,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, queue: i32) -> Queue {
        self.lock().get(&queue).cloned().unwrap_or_default()
    }

    fn set(&self, queue: i32, next: i64, begun: Option<Span>) {
        self.lock().insert(queue, Queue { next, begun });
    }
}

/// Serves the consumer from every queue of the slave's broker until it stops.
pub(super) async fn run(worker: Arc<Worker>, slave: ApacheSlave) {
    let queues = loop {
        let route = worker.client.route(&worker.group.topic).await;
        let writable = route.iter().flat_map(|route| &route.writable);
        let queues: Vec<i32> = writable.filter(|(at, _)| at.name == slave.slave_of).map(|(_, queue)| *queue).collect();
        if !queues.is_empty() {
            break queues;
        }
        if !pause(&worker.stop, AGAIN_AFTER).await {
            return;
        }
    };
    for queue in queues {
        tokio::spawn(serve(Served { worker: Arc::clone(&worker), slave: slave.clone() }, queue));
    }
}

/// One consumer, served by one slave.
#[derive(Clone)]
struct Served {
    worker: Arc<Worker>,
    slave: ApacheSlave,
}

async fn serve(served: Served, queue: i32) {
    let mut rng = served.worker.streams.stream(&format!("slave/{}/{queue}", served.slave.slave_of));
    while !served.worker.stop.is_cancelled() {
        let Queue { next, begun } = served.worker.kept.queue(queue);
        let span = match begun {
            Some(span) => span,
            None => match served.take(queue, next, &mut rng).await {
                Some(span) => span,
                None => continue,
            },
        };
        if !served.hand_out(span).await {
            return;
        }
    }
}

impl Served {
    /// A broker, as far as the route tells where it is; looks that up when it is old.
    async fn at(&self, broker: &str) -> Option<Endpoint> {
        discover(&self.worker).await;
        self.worker.client.endpoint(&self.worker.group.topic, broker)
    }

    /// Pops what comes next in a queue, recorded, if there is anything.
    async fn take(&self, queue: i32, from: i64, rng: &mut Stream) -> Option<Span> {
        let Worker { spec, group, client, recorder, kept, stop, .. } = &*self.worker;
        let began_ms = recorder.now_ms();
        let seen = match self.at(&self.slave.slave_of).await {
            Some(at) => tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                seen = client.pull(&at, group, spec, (queue, from)) => seen,
            },
            None => Seen::Unknown { cause: "no route".to_owned() },
        };
        let is_idle = recorder.now_ms() < began_ms + spec.poll_ms.min(1_000);
        let (messages, next) = match seen {
            Seen::Ok((messages, next)) if !messages.is_empty() => (messages, next),
            Seen::Ok((_, next)) => {
                if next > from {
                    self.skip(queue, next).await;
                } else if is_idle {
                    pause(stop, AGAIN_AFTER).await;
                }
                return None;
            }
            Seen::Refused { .. } | Seen::Unknown { .. } => {
                pause(stop, AGAIN_AFTER).await;
                return None;
            }
        };
        let place = (queue, from, next);
        let span = Span::new((spec, group, &self.slave), place, client.clock_ms(), messages, rng.random());
        kept.set(queue, next, Some(span.clone()));
        recorder.record(Noted::Popped(Popped {
            consumer: spec.name.clone(),
            group: group.name.clone(),
            topic: group.topic.clone(),
            broker: self.slave.slave_of.clone(),
            began_ms,
            seen: Seen::Ok(span.messages.clone()),
        }));
        Some(span)
    }

    /// Nothing of what was read is wanted.
    async fn skip(&self, queue: i32, next: i64) {
        if self.commit(queue, next).await {
            self.worker.kept.set(queue, next, None);
        }
    }

    /// Brings a span to where its checkpoint is stored and its offset committed, and lets its messages be acked; says
    /// whether to go on.
    async fn hand_out(&self, span: Span) -> bool {
        let Worker { habits, streams, client, kept, stop, .. } = &*self.worker;
        let mut rng = streams.stream(&format!("checkpoint/{}/{}/{}", span.queue, span.next, self.slave.slave_of));
        if rng.random_bool(self.slave.strays)
            && let Some(home) = self.at(&self.slave.keeps_at).await
        {
            drop(client.keep_ack(&home, &span.stray_ack(), span.revive_ms()).await);
        }
        let early = self.ack_until_told(&span, span.acked(habits, PassedOn::Before)).await;
        if !pause(stop, Duration::from_millis(rng.random_range(0..=20_000))).await {
            return false;
        }
        let within = span.acked(habits, PassedOn::Within);
        if rng.random_bool(self.slave.garbles)
            && let Some(home) = self.at(&self.slave.keeps_at).await
        {
            client.keep_garbled(&home, &span.checkpoint(&within)).await;
        }
        if !self.keep(&span, &within).await {
            return false;
        }
        // Whoever is told too late cannot know whether they were waited for.
        let waited = client.clock_ms() < span.pop_time.saturating_add(WAITS_MS);
        let settled = within.iter().chain(early.iter().filter(|_| waited));
        settled.for_each(|it| self.record_ack(it, self.worker.recorder.now_ms(), Seen::Ok(AckVerdict::Absorbed)));
        tokio::spawn(self.clone().ack_later(span.clone()));
        if !self.commit(span.queue, span.next).await {
            return false;
        }
        kept.set(span.queue, span.next, None);
        true
    }

    /// Sends the checkpoint until it is stored.
    async fn keep(&self, span: &Span, acked: &[Delivery]) -> bool {
        let body = span.checkpoint(acked);
        loop {
            if let Some(home) = self.at(&self.slave.keeps_at).await
                && self.worker.client.keep_checkpoint(&home, &body).await == Seen::Ok(())
            {
                return true;
            }
            if !pause(&self.worker.stop, AGAIN_AFTER).await {
                return false;
            }
        }
    }

    /// Moves the group's offset until it is told that it has moved.
    async fn commit(&self, queue: i32, next: i64) -> bool {
        loop {
            if let Some(at) = self.at(&self.slave.slave_of).await
                && self.worker.client.commit(&at, &self.worker.group, (queue, next)).await == Seen::Ok(())
            {
                return true;
            }
            if !pause(&self.worker.stop, AGAIN_AFTER).await {
                return false;
            }
        }
    }

    /// Acks what is acked after the checkpoint, in time or too late.
    async fn ack_later(self, span: Span) {
        let Worker { spec, habits, stop, .. } = &*self.worker;
        let popped = Instant::now();
        if pause(stop, Duration::from_millis(spec.think_ms)).await {
            self.ack_until_told(&span, span.acked(habits, PassedOn::After)).await;
        }
        let late = (Duration::from_millis(spec.invisible_ms) + LATE_BY).saturating_sub(popped.elapsed());
        let messages = span.acked_late(habits);
        if !messages.is_empty() && pause(stop, late).await {
            self.ack_until_told(&span, messages).await;
        }
    }

    /// Acks messages, all together or one by one, and again what nobody has answered; gives those whose ack waits for the
    /// checkpoint.
    async fn ack_until_told(&self, span: &Span, messages: Vec<Delivery>) -> Vec<Delivery> {
        let together = if self.worker.spec.batch_ack { messages.len().max(1) } else { 1 };
        let mut waiting = Vec::new();
        for messages in messages.chunks(together) {
            for tries_left in (0..ACKS).rev() {
                let seen = self.ack(span, messages).await;
                if seen == Seen::Ok(None) {
                    waiting.extend_from_slice(messages);
                }
                if !is_undecided(&seen) || tries_left == 0 || !pause(&self.worker.stop, AGAIN_AFTER).await {
                    break;
                }
            }
        }
        waiting
    }

    /// One ack, recorded for each of its messages.
    async fn ack(&self, span: &Span, messages: &[Delivery]) -> Seen<Option<AckVerdict>> {
        let began_ms = self.worker.recorder.now_ms();
        let seen = match self.at(&self.slave.keeps_at).await {
            Some(home) => self.worker.client.keep_ack(&home, &span.ack(messages), span.revive_ms()).await,
            None => Seen::Unknown { cause: "connect".to_owned() },
        };
        let told = match &seen {
            // Only its checkpoint makes it final.
            Seen::Ok(None) => Seen::Unknown { cause: "early".to_owned() },
            // Of a batch that came too late nobody tells which.
            Seen::Ok(Some(AckVerdict::TooLate)) if messages.len() > 1 => Seen::Unknown { cause: "some".to_owned() },
            Seen::Ok(Some(verdict)) => Seen::Ok(*verdict),
            Seen::Refused { code, remark } => Seen::Refused { code: *code, remark: remark.clone() },
            Seen::Unknown { cause } => Seen::Unknown { cause: cause.clone() },
        };
        messages.iter().for_each(|it| self.record_ack(it, began_ms, told.clone()));
        seen
    }

    fn record_ack(&self, delivery: &Delivery, began_ms: u64, seen: Seen<AckVerdict>) {
        let Delivery { ledger, handle, topic, queue, offset, reconsume, .. } = delivery;
        self.worker.recorder.record(Noted::Acked(Acked {
            consumer: self.worker.spec.name.clone(),
            group: self.worker.group.name.clone(),
            ledger: ledger.clone(),
            handle: handle.clone(),
            place: (topic.clone(), *queue, *offset),
            reconsume: *reconsume,
            began_ms,
            seen,
        }));
    }
}

/// Whether another try may bring another answer.
fn is_undecided(seen: &Seen<Option<AckVerdict>>) -> bool {
    const PASSING: [i32; 3] = [response::SYSTEM_BUSY, response::SERVICE_NOT_AVAILABLE, response::GO_AWAY];
    match seen {
        Seen::Ok(_) => false,
        Seen::Refused { code, .. } => PASSING.contains(code),
        Seen::Unknown { .. } => true,
    }
}
