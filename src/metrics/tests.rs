#![allow(clippy::unwrap_used, reason = "tests")]

mod recovered;
mod served;

use std::sync::Arc;

use super::{
    readings::{ActingReadings, FollowingReadings, MergingReadings, TableReadings},
    *,
};

fn labels() -> Labels {
    Labels { cluster: "DefaultCluster".into(), node_id: "broker-a".into() }
}

/// A healthy broker without anything to do.
fn readings() -> Readings {
    let tables = Some(TableReadings::default());
    Readings { now_ms: 1_000_000, tables, registered: true, ..Readings::default() }
}

fn text(metrics: &Arc<Metrics>, readings: Readings) -> String {
    metrics.encode(&labels(), readings).unwrap()
}

/// The value of the one sample that begins with `name` and has all of these labels.
fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let is_it = |line: &&str| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with('{'));
        rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(label)))
    };
    let found: Vec<&str> = text.lines().filter(is_it).collect();
    let [line] = found[..] else { panic!("{name} {labels:?}: {found:?} in\n{text}") };
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}
