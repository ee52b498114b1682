#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, fmt, sync::Mutex};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt};

use super::*;
use crate::{
    model::{
        cause::Cause,
        chain::{ChainState, LogPosition},
    },
    revive::{
        Engine, engine,
        samples::{DUE_MS, OTHER, chain, failure, reviver},
    },
};

/// An event: its level and its fields, the message among them.
type Told = (Level, BTreeMap<&'static str, String>);

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Told>>>);

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push((*event.metadata().level(), fields.0));
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// What `tell` tells on this thread.
fn told(tell: impl FnOnce()) -> Vec<Told> {
    let capture = Capture::default();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(capture.clone()), tell);
    capture.0.lock().unwrap().clone()
}

/// The one event that `tell` tells: its level and these of its fields.
fn one<const N: usize>(tell: impl FnOnce(), fields: [&str; N]) -> (Level, [Option<String>; N]) {
    let told = told(tell);
    let [(level, found)] = &told[..] else { panic!("{told:?}") };
    (*level, fields.map(|name| found.get(name).cloned()))
}

fn texts<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
    texts.map(|text| Some(text.to_owned()))
}

fn entry(chain: Chain, at_ms: i64) -> Arc<LogEntry> {
    Arc::new(LogEntry { position: LogPosition::default(), at_ms, records: vec![Record::Chain(Box::new(chain))] })
}

fn step(chain: &Chain, event: engine::Event, now_ms: i64) -> Chain {
    reviver().step(chain, event, now_ms).next.unwrap()
}

/// An attempt that is under way, and the same chain after it failed.
fn failed(chain: &Chain, cause: Cause) -> (Chain, Chain) {
    let begun = step(chain, engine::Event::Due, chain.due_ms().unwrap());
    let outcome = ReadOutcome::failed(failure(cause));
    let event = engine::Event::Read { round: begun.round, attempt: begun.attempt, outcome };
    let after = step(&begun, event, chain.due_ms().unwrap() + 5);
    (begun, after)
}

#[test]
fn a_failed_remote_read_is_a_warning_that_names_chain_attempt_peer_and_cause() {
    let (begun, _) = failed(&chain(OTHER), Cause::Timeout);
    let id = begun.id.to_string();
    let fields = ["chain", "round", "attempt", "peer", "cause", "took_ms"];
    let outcome = ReadOutcome::failed(failure(Cause::Timeout));
    let expected = (Level::WARN, texts([&id, "0", "1", OTHER, "timeout", "3"]));
    assert_eq!(one(|| read(&begun, &outcome), fields), expected);
    let outcome = ReadOutcome::failed(failure(Cause::NoPermission));
    let expected = (Level::ERROR, texts([&id, "0", "1", OTHER, "no-permission", "3"]));
    assert_eq!(one(|| read(&begun, &outcome), fields), expected);
    let result = Err(failure(Cause::Refused));
    let expected = (Level::WARN, texts([&id, "0", "1", OTHER, "refused", "3"]));
    assert_eq!(one(|| handed_over(OTHER, std::slice::from_ref(&begun), &result), fields), expected);
}

#[test]
fn a_rewrite_tells_when_it_is_due_again() {
    let (begun, after) = failed(&chain(OTHER), Cause::Busy);
    let (id, due_ms) = (after.id.to_string(), (DUE_MS + 5 + 1000).to_string());
    let tell = || committed(&[entry(after.clone(), DUE_MS + 5)]);
    let fields = ["message", "chain", "round", "attempt", "peer", "cause", "due_ms"];
    let expected = (Level::INFO, texts(["rewritten", &id, "0", "1", OTHER, "busy", &due_ms]));
    assert_eq!(one(tell, fields), expected);
    assert_eq!(told(|| committed(&[entry(begun.clone(), DUE_MS)])), [], "an attempt that begins tells nothing");
}

#[test]
fn a_park_is_an_error_with_its_reason_and_last_failure() {
    let fields = ["message", "chain", "round", "attempt", "peer", "cause", "reason"];
    let (_, once) = failed(&chain(OTHER), Cause::TopicUnknown);
    let (_, after) = failed(&once, Cause::TopicUnknown);
    let (id, at_ms) = (after.id.to_string(), after.history.last().unwrap().at_ms);
    let expected = (Level::ERROR, texts(["parked", &id, "0", "2", OTHER, "topic-unknown", "permanent"]));
    assert_eq!(one(|| committed(&[entry(after, at_ms)]), fields), expected);

    let mut chain = chain(OTHER);
    while !matches!(chain.state, ChainState::Parked { .. }) {
        chain = failed(&chain, Cause::Reset).1;
    }
    let at_ms = chain.history.last().unwrap().at_ms;
    let expected = (Level::ERROR, texts(["parked", &id, "0", "4", OTHER, "reset", "policy-exhausted"]));
    assert_eq!(one(|| committed(&[entry(chain.clone(), at_ms)]), fields), expected);
    let resumed = step(&chain, engine::Event::Resumed, at_ms + 9);
    let expected = (Level::INFO, texts(["resumed", &id, "1", "0"]));
    assert_eq!(one(|| committed(&[entry(resumed, at_ms + 9)]), ["message", "chain", "round", "attempt"]), expected);
}
