//! Counters from log entries, gauges from readings.

use super::*;
use crate::{
    metrics::{breakers::BreakerState, catalogue, recovery::REASONS},
    model::{
        cause::Cause,
        chain::ChainState::{self, Ended, Moved, Moving, Open, Parked},
        chain::{Chain, ChainId, CopyPlace, FailedAttempt, GoneProof, History, LogPosition, Outcome, ParkReason},
        record::{LogEntry, Record},
    },
    remoting::code::{request, response},
};

const AT_MS: i64 = 500_000;

fn chain(state: ChainState) -> Chain {
    let (broker, topic, group) = ("broker-b".into(), "t".into(), "g".into());
    Chain {
        id: ChainId { broker, topic, queue: 0, offset: 7, group, pop_time: 9, term: 1 },
        topic_epoch: LogPosition::default(),
        start_offset: 0,
        invisible_ms: 1000,
        reconsume_limit: 16,
        round: 0,
        hop: 0,
        generation: 0,
        attempt: 0,
        round_began_ms: None,
        acted_for: None,
        resumed_ms: None,
        failed_before: 0,
        state,
        history: History::default(),
    }
}

/// A chain whose attempt has just failed.
fn failed(state: ChainState, attempt: u32, cause: Cause, peer: &str) -> Chain {
    let mut chain = Chain { attempt, round_began_ms: Some(400_000), ..chain(state) };
    let failure = crate::model::cause::ReadFailure { cause, peer: peer.into(), took_ms: 3 };
    chain.history.push(FailedAttempt { round: 0, attempt, at_ms: AT_MS, failure });
    chain
}

fn commit(metrics: &Metrics, chains: &[Chain]) {
    let records = chains.iter().map(|chain| Record::Chain(Box::new(chain.clone()))).collect();
    let entry = LogEntry { position: LogPosition::default(), at_ms: AT_MS, records };
    metrics.committed(&[Arc::new(entry)]);
}

const fn ended(outcome: Outcome) -> ChainState {
    Ended { outcome, at_ms: AT_MS }
}

fn place() -> CopyPlace {
    CopyPlace { topic: "%RETRY%g_t".into(), queue: 0, offset: 0 }
}

#[test]
fn chains_are_counted_by_what_became_of_them() {
    let metrics = Arc::new(Metrics::default());
    let opened = chain(Open { due_ms: AT_MS + 1000 });
    commit(&metrics, &[opened.clone(), opened.clone(), opened]);
    commit(&metrics, &[chain(ended(Outcome::Acked)), chain(ended(Outcome::Revived(place())))]);
    commit(&metrics, &[chain(ended(Outcome::DeadLettered(place()))), chain(Moved { to: "broker-b".into() })]);
    commit(&metrics, &[chain(ended(Outcome::Gone(GoneProof::BelowMinimum { minimum: 9 })))]);
    commit(&metrics, &[chain(ended(Outcome::Superseded(chain(Open { due_ms: 0 }).id)))]);
    let text = text(&metrics, readings());
    for outcome in ["acked", "revived", "dead-lettered", "gone", "superseded", "moved"] {
        let label = format!("outcome=\"{outcome}\"");
        assert_eq!(value(&text, "pop_revive_chains_ended_total", &[&label]), 1.0, "{outcome}");
    }
    let ours = ["consumer_group=\"g\"", "topic=\"t\"", "node_id=\"broker-a\""];
    let flow = |name, more: &str| value(&text, name, &[&ours[..], &[more]].concat());
    assert_eq!(flow("rocketmq_pop_revive_in_message_total", "type=\"CK\""), 3.0);
    assert_eq!(flow("rocketmq_pop_revive_in_message_total", "type=\"ACK\""), 1.0);
    assert_eq!(flow("rocketmq_pop_revive_out_message_total", "type=\"CK\""), 6.0);
    assert_eq!(flow("rocketmq_pop_revive_retry_messages_total", "PUT_OK"), 2.0);
    assert_eq!(value(&text, "pop_revive_store_commits_total", &[]), 5.0);
    assert_eq!(value(&text, "pop_revive_store_steps_per_commit_bucket", &["le=\"1.0\""]), 5.0);
}

#[test]
fn failures_are_counted_by_cause_and_broker_and_by_attempt() {
    let metrics = Arc::new(Metrics::default());
    let open = Open { due_ms: AT_MS + 1000 };
    commit(&metrics, &[failed(open.clone(), 1, Cause::Timeout, "broker-b@10.0.0.2:10911")]);
    commit(&metrics, &[failed(open.clone(), 2, Cause::Timeout, "broker-b@10.0.0.3:10911")]);
    commit(&metrics, &[failed(open, 40, Cause::Code(77), "broker-b")]);
    let moving = Moving { to: "broker-c".into(), due_ms: AT_MS + 1000, revive_ms: 0 };
    commit(&metrics, &[failed(moving, 1, Cause::Refused, "broker-c")]);
    let text = text(&metrics, readings());
    let failures = "pop_revive_read_failures_total";
    assert_eq!(value(&text, failures, &["cause=\"timeout\"", "peer=\"broker-b\""]), 2.0);
    assert_eq!(value(&text, failures, &["cause=\"code\"", "peer=\"broker-b\""]), 1.0);
    assert_eq!(value(&text, "pop_revive_hand_over_failures_total", &["cause=\"refused\"", "peer=\"broker-c\""]), 1.0);
    for (attempt, count) in [("1", 2.0), ("2", 1.0), ("3", 0.0), ("18+", 1.0)] {
        let label = format!("attempt=\"{attempt}\"");
        assert_eq!(value(&text, "pop_revive_rewrites_total", &[&label]), count, "{attempt}");
    }
    assert_eq!(value(&text, "pop_revive_chains_failing", &[]), 1.0, "it is one chain");
    assert_eq!(value(&text, "pop_revive_oldest_failing_chain_age_seconds", &[]), 600.0);
}

#[test]
fn a_round_whose_beginning_has_moved_on_is_one_failing_chain_and_none_when_it_is_over() {
    let metrics = Arc::new(Metrics::default());
    let first = failed(Open { due_ms: AT_MS + 1000 }, 1, Cause::Timeout, "broker-b");
    let began_ms = first.round_began_ms.unwrap();
    let second = failed(Open { due_ms: AT_MS + 2000 }, 2, Cause::Timeout, "broker-b");
    commit(&metrics, &[first, Chain { round_began_ms: Some(began_ms + 300_000), ..second.clone() }]);
    assert_eq!(value(&text(&metrics, readings()), "pop_revive_chains_failing", &[]), 1.0);
    assert_eq!(value(&text(&metrics, readings()), "pop_revive_oldest_failing_chain_age_seconds", &[]), 300.0);
    let state = ended(Outcome::Acked);
    commit(&metrics, &[Chain { round_began_ms: Some(began_ms + 300_000), state, ..second }]);
    assert_eq!(value(&text(&metrics, readings()), "pop_revive_chains_failing", &[]), 0.0);
}

#[test]
fn parked_and_ended_chains_fail_no_more_and_resuming_counts() {
    let metrics = Arc::new(Metrics::default());
    let open = Open { due_ms: AT_MS + 1000 };
    commit(&metrics, &[failed(open, 1, Cause::Timeout, "broker-b")]);
    let reasons =
        [ParkReason::PolicyExhausted, ParkReason::Permanent, ParkReason::UnknownAt { broker: "broker-b".into() }];
    for (reason, name) in reasons.into_iter().zip(REASONS) {
        assert_eq!(reason.name(), name);
        commit(&metrics, &[failed(Parked { reason, at_ms: AT_MS }, 2, Cause::Reset, "broker-b")]);
        let label = format!("reason=\"{name}\"");
        assert_eq!(value(&text(&metrics, readings()), "pop_revive_parked_total", &[&label]), 1.0, "{name}");
    }
    let mut resumed = failed(Open { due_ms: AT_MS }, 0, Cause::Reset, "broker-b");
    resumed.round = 1;
    (resumed.round_began_ms, resumed.resumed_ms) = (None, Some(AT_MS));
    commit(&metrics, &[resumed]);
    let refused = failed(Parked { reason: ParkReason::Permanent, at_ms: AT_MS }, 1, Cause::LocalStore, "broker-a");
    commit(&metrics, &[refused]);
    let text = text(&metrics, readings());
    assert_eq!(value(&text, "pop_revive_resumed_total", &[]), 1.0);
    assert_eq!(value(&text, "pop_revive_chains_failing", &[]), 0.0);
    assert_eq!(value(&text, "rocketmq_pop_revive_retry_messages_total", &["MESSAGE_ILLEGAL"]), 1.0);
    assert_eq!(value(&text, "pop_revive_hand_over_failures_total", &["cause=\"reset\""]), 1.0, "unknown-at alone");
}

#[test]
fn a_stall_begins_when_nothing_is_taken_up_any_more() {
    let metrics = Arc::new(Metrics::default());
    let overdue = |since_ms| {
        let tables = TableReadings { waiting: 3, overdue: 2, overdue_since_ms: Some(since_ms), ..Default::default() };
        Readings { tables: Some(tables), ..readings() }
    };
    let stalled = |readings| value(&text(&metrics, readings), "pop_revive_stalled_seconds", &[]);
    metrics.recovery.began(990_000);
    assert_eq!(stalled(overdue(100_000)), 10.0, "what an earlier process left is no stall of this one");
    assert_eq!(stalled(overdue(999_000)), 1.0);
    assert_eq!(stalled(readings()), 0.0);
    let shown = text(&metrics, overdue(100_000));
    assert_eq!(value(&shown, "rocketmq_pop_revive_lag", &[]), 2.0);
    assert_eq!(value(&shown, "rocketmq_pop_revive_latency", &[]), 900_000.0);
    metrics.recovery.began(0);
    assert_eq!(stalled(overdue(100_000)), 900.0);
    commit(&metrics, &[chain(ended(Outcome::Acked))]);
    assert_eq!(stalled(overdue(100_000)), 900.0, "an ack is no progress of the reviver");
    commit(&metrics, &[chain(ended(Outcome::Revived(place())))]);
    assert_eq!(stalled(overdue(100_000)), 500.0);
}

#[test]
fn requests_commits_and_breakers_are_counted() {
    let metrics = Arc::new(Metrics::default());
    for _ in 0..2 {
        metrics.requests.answered(request::POP_MESSAGE, response::SUCCESS);
        metrics.requests.answered(123_456, response::REQUEST_CODE_NOT_SUPPORTED);
        metrics.requests.answered(654_321, response::REQUEST_CODE_NOT_SUPPORTED);
    }
    metrics.committed(&[]);
    metrics.commits.failed(true);
    metrics.commits.committed(300);
    metrics.breakers.set("broker-b", BreakerState::Open);
    metrics.breakers.set("broker-c", BreakerState::HalfOpen);
    let shown = text(&metrics, readings());
    let requests = "pop_revive_requests_total";
    assert_eq!(value(&shown, requests, &["request_code=\"POP_MESSAGE\"", "response_code=\"SUCCESS\""]), 2.0);
    assert_eq!(value(&shown, requests, &["request_code=\"other\""]), 4.0, "clients cannot make series");
    assert_eq!(value(&shown, "pop_revive_store_commit_failures_total", &["outcome=\"unknown\""]), 1.0);
    assert_eq!(value(&shown, "pop_revive_store_commits_total", &[]), 1.0, "an empty batch is no commit");
    assert_eq!(value(&shown, "pop_revive_store_steps_per_commit_bucket", &["le=\"256.0\""]), 0.0);
    assert_eq!(value(&shown, "pop_revive_store_steps_per_commit_sum", &[]), 300.0);
    assert_eq!(value(&shown, "pop_revive_breaker_state", &["peer=\"broker-b\""]), 2.0);
    assert_eq!(value(&shown, "pop_revive_breaker_state", &["peer=\"broker-c\""]), 1.0);
    metrics.breakers.set("broker-b", BreakerState::Closed);
    metrics.breakers.remove("broker-c");
    let shown = text(&metrics, readings());
    assert_eq!(value(&shown, "pop_revive_breaker_state", &[]), 0.0, "one is left, and it is closed");
}

#[test]
fn labels_that_others_choose_are_bounded() {
    let metrics = Arc::new(Metrics::default());
    for number in 0..SERIES_MAX + 500 {
        let mut chain = failed(Open { due_ms: 0 }, 1, Cause::Busy, &format!("broker-{number}"));
        chain.id.topic = format!("t{number}");
        commit(&metrics, &[chain]);
        metrics.breakers.set(&format!("broker-{number}"), BreakerState::Closed);
    }
    let shown = text(&metrics, readings());
    for name in ["rocketmq_pop_revive_retry_messages_total", "pop_revive_read_failures_total", "pop_revive_breaker"] {
        let series = shown.lines().filter(|line| line.starts_with(name)).count();
        assert!((SERIES_MAX..=2 * SERIES_MAX + 2).contains(&series), "{name} has {series}");
    }
    assert_eq!(value(&shown, "pop_revive_read_failures_total", &["peer=\"other\""]), 500.0);
}

#[test]
fn every_metric_of_the_catalogue_is_exported_and_no_other() {
    let shown = text(&Arc::new(Metrics::default()), readings());
    let kinds = |line: &str| line.strip_prefix("# TYPE ").map(str::to_owned);
    let exported: Vec<String> = shown.lines().filter_map(kinds).collect();
    let expected = catalogue::ALL.iter().map(|metric| format!("{} {:?}", metric.name, metric.kind).to_lowercase());
    assert_eq!(exported, expected.collect::<Vec<_>>());
    assert!(shown.ends_with("# EOF\n"));
}

#[test]
fn a_closed_store_shows_no_stale_tables() {
    let shown = text(&Arc::new(Metrics::default()), Readings { tables: None, ..readings() });
    assert_eq!(value(&shown, "pop_revive_store_open", &[]), 0.0);
    assert!(!shown.lines().any(|line| line.starts_with("pop_revive_chains_parked{")), "{shown}");
}
