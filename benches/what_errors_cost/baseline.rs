//! The way that succeeds, as it would be if nothing could fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use pop_revive::{
    model::{
        cause::ReadFailure,
        chain::{Chain, ChainState},
        message::Message,
    },
    remote::routes::Routes,
    remoting::{Client, Command, code::request, headers::pull::PullMessageHeader},
    revive::{
        Admission, Engine, Peers, ReadOutcome,
        engine::{Answer, Effect, Event, Transition},
    },
};

/// As many trips at once as a closed breaker allows.
const AT_ONCE: usize = 8;
/// RocketMQ's first wait, behind the longest that an attempt takes, ms.
const PLANNED_MS: i64 = 20_000;

/// An engine that knows no failures: it takes up what is due, and copies what was found.
pub struct Plain;

impl Engine for Plain {
    fn step(&self, chain: &Chain, event: Event, now_ms: i64) -> Transition {
        match event {
            Event::Due => {
                let state = ChainState::Open { due_ms: now_ms + PLANNED_MS };
                let round_began_ms = Some(now_ms);
                let next = Chain { attempt: chain.attempt + 1, round_began_ms, state, ..chain.clone() };
                Transition { next: Some(next), effect: Effect::ReadRemotely, answer: Answer::Done }
            }
            Event::Read { outcome: ReadOutcome::Found(message), .. } => {
                Transition { next: None, effect: Effect::Copy(message), answer: Answer::Done }
            }
            other => panic!("not on the way that succeeds: {other:?}"),
        }
    }
}

/// A peer that is always called and always right.
pub struct PlainPeers {
    pub client: Arc<Client>,
    pub routes: Routes,
    pub under_way: AtomicUsize,
}

#[async_trait]
impl Peers for PlainPeers {
    fn admission(&self, _: &str) -> Admission {
        match AT_ONCE.saturating_sub(self.under_way.load(SeqCst)) {
            0 => Admission::Later { wait_ms: None },
            places => Admission::Calls(places),
        }
    }

    fn away_for(&self, _: &str) -> Option<Duration> {
        None
    }

    fn back_for(&self, _: &str) -> Duration {
        Duration::ZERO
    }

    async fn read(&self, chains: &[Chain]) -> Vec<ReadOutcome> {
        self.under_way.fetch_add(1, SeqCst);
        let id = &chains[0].id;
        let address = self.routes.holder(&id.broker).await.unwrap_or_else(|| panic!("no route")).address;
        let header = PullMessageHeader {
            consumer_group: format!("InnerConsumerGroup_{}_{}", "broker-a", 0),
            topic: id.topic.clone(),
            queue_id: id.queue,
            queue_offset: id.offset,
            max_msg_nums: chains.len() as i32,
            sys_flag: 4,
            commit_offset: 0,
            suspend_timeout_millis: 0,
            subscription: Some("*".into()),
            sub_version: 0,
            expression_type: Some("TAG".into()),
            max_msg_bytes: Some(256 << 10),
            bname: Some(id.broker.clone()),
            ..PullMessageHeader::default()
        };
        let request = Command::request(request::PULL_MESSAGE).with_header(&header);
        let answer = self.client.call(&address, request, Duration::from_secs(10)).await;
        let mut body = answer.unwrap_or_else(|error| panic!("{error}")).body;
        let mut found = Vec::with_capacity(chains.len());
        for _ in chains {
            let message = Message::decode(&mut body).unwrap_or_else(|error| panic!("{error}"));
            found.push(ReadOutcome::Found(Box::new(message)));
        }
        self.under_way.fetch_sub(1, SeqCst);
        found
    }

    async fn hand_over(&self, _: &str, _: &[Chain]) -> Result<(), ReadFailure> {
        Ok(())
    }
}
