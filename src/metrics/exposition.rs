//! Metrics as OpenMetrics text.

use std::{borrow::Cow, fmt, sync::Arc, sync::atomic::Ordering::Relaxed};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use super::{
    Metrics, Readings,
    breakers::BreakerState,
    catalogue::{self, COMMON_LABELS, Kind, Metric},
    commits::STEP_BOUNDS,
    recovery::{ATTEMPTS, Flow, OUTCOMES, REASONS},
};

/// The labels that every metric of one broker has.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The cluster's name.
    pub cluster: String,
    /// The broker's name.
    pub node_id: String,
}

impl Metrics {
    /// Everything, as OpenMetrics text.
    ///
    /// # Errors
    /// Never: writing to a text cannot fail. The encoder's signature says otherwise.
    pub fn encode(self: &Arc<Self>, labels: &Labels, readings: Readings) -> Result<String, fmt::Error> {
        let values = [labels.cluster.clone(), "broker".to_owned(), labels.node_id.clone()];
        let common = COMMON_LABELS.into_iter().zip(values).map(|(name, value)| (name.into(), value.into()));
        let mut registry = Registry::with_labels(common);
        registry.register_collector(Box::new(Scrape { metrics: self.clone(), readings }));
        let mut encoded = String::new();
        text::encode(&mut encoded, &registry)?;
        Ok(encoded)
    }
}

/// One scrape.
#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    readings: Readings,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for metric in catalogue::ALL {
            match metric.kind {
                Kind::Counter => counter(&mut encoder, metric, self.counts(metric))?,
                Kind::Gauge => gauge(&mut encoder, metric, self.levels(metric))?,
                Kind::Histogram => self.steps(&mut encoder, metric)?,
            }
        }
        Ok(())
    }
}

/// The values of a sample's labels, in the order of the metric's label names.
type Values = Vec<Cow<'static, str>>;

impl Scrape {
    fn counts(&self, metric: &Metric) -> Vec<(Values, u64)> {
        let Metrics { recovery, commits, requests, .. } = &*self.metrics;
        match *metric {
            catalogue::REVIVE_IN | catalogue::REVIVE_OUT | catalogue::REVIVE_RETRY => self.flows(metric),
            catalogue::ENDED => named(&OUTCOMES, &recovery.outcomes),
            catalogue::READ_FAILURES => failures(recovery.read_failures.all()),
            catalogue::HAND_OVER_FAILURES => failures(recovery.hand_over_failures.all()),
            catalogue::REWRITES => {
                let attempts = recovery.rewrites.iter().enumerate();
                attempts.map(|(at, count)| (vec![attempt(at + 1)], count.load(Relaxed))).collect()
            }
            catalogue::PARKED => named(&REASONS, &recovery.parked),
            catalogue::RESUMED => vec![(vec![], recovery.resumed.load(Relaxed))],
            catalogue::EXPIRED => vec![(vec![], recovery.expired.load(Relaxed))],
            catalogue::FORGOTTEN => vec![(vec![], recovery.forgotten.load(Relaxed))],
            catalogue::COMMITS => vec![(vec![], commits.count())],
            catalogue::COMMIT_FAILURES => vec![
                (vec!["not-committed".into()], commits.not_committed.load(Relaxed)),
                (vec!["unknown".into()], commits.unknown.load(Relaxed)),
            ],
            catalogue::REQUESTS => {
                let rows = requests.all().into_iter();
                rows.map(|(request, response, count)| (vec![request, response], count)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// RocketMQ's counters, by consumer group and topic.
    fn flows(&self, metric: &Metric) -> Vec<(Values, u64)> {
        let samples = |flow: &Flow| match *metric {
            catalogue::REVIVE_IN => {
                vec![(vec!["CK", "PUT_OK"], flow.checkpoints_in), (vec!["ACK", "PUT_OK"], flow.acks_in)]
            }
            // An ack takes effect as it comes in.
            catalogue::REVIVE_OUT => {
                vec![(vec!["0", "CK"], flow.checkpoints_out), (vec!["0", "ACK"], flow.acks_in)]
            }
            _ => vec![(vec!["PUT_OK"], flow.copies_stored), (vec!["MESSAGE_ILLEGAL"], flow.copies_refused)],
        };
        let mut all = Vec::new();
        for (group, topic, flow) in self.metrics.recovery.flows.all() {
            for (rest, count) in samples(&flow) {
                let mut values: Values = vec![group.clone().into(), topic.clone().into()];
                values.extend(rest.into_iter().map(Cow::Borrowed));
                all.push((values, count));
            }
        }
        all
    }

    fn levels(&self, metric: &Metric) -> Vec<(Values, f64)> {
        let (readings, recovery) = (&self.readings, &self.metrics.recovery);
        let alone = |value: f64| vec![(vec![], value)];
        match *metric {
            catalogue::BREAKER => {
                let states = self.metrics.breakers.all().into_iter();
                states.map(|(peer, state)| (vec![peer.into()], breaker(state))).collect()
            }
            catalogue::CHAINS_FAILING => alone(recovery.failing.count_and_age_ms(readings.now_ms).0 as f64),
            catalogue::OLDEST_FAILING => alone(seconds(recovery.failing.count_and_age_ms(readings.now_ms).1)),
            catalogue::STORE_OPEN => alone(f64::from(u8::from(readings.tables.is_some()))),
            catalogue::REGISTERED => alone(f64::from(u8::from(readings.registered))),
            catalogue::LONG_POLLS => alone(readings.long_polls as f64),
            catalogue::REPLICA_BEHIND => {
                readings.following.into_iter().flat_map(|following| alone(following.behind as f64)).collect()
            }
            catalogue::REPLICA_STUCK => {
                let stuck = readings.following.map(|following| f64::from(u8::from(following.stuck)));
                stuck.into_iter().flat_map(alone).collect()
            }
            catalogue::UNCONFIRMED => {
                readings.unconfirmed_ms.into_iter().flat_map(|waited| alone(seconds(waited.cast_signed()))).collect()
            }
            catalogue::ACTS | catalogue::ACTING_TERM | catalogue::MERGED_TERM | catalogue::MERGE_WAITS => {
                self.acting_level(metric).into_iter().flat_map(alone).collect()
            }
            _ => self.table_levels(metric),
        }
    }

    /// What a slave does for its master, or a master has of that; nothing where no slave acts.
    fn acting_level(&self, metric: &Metric) -> Option<f64> {
        let Readings { acting, merging, .. } = &self.readings;
        match *metric {
            catalogue::ACTS => acting.map(|acting| f64::from(u8::from(acting.acts))),
            catalogue::ACTING_TERM => acting.map(|acting| acting.term as f64),
            catalogue::MERGED_TERM => merging.map(|merging| merging.term as f64),
            _ => merging.map(|merging| seconds(merging.waited_ms.unwrap_or(0).cast_signed())),
        }
    }

    /// What the tables say; nothing while they cannot be read.
    fn table_levels(&self, metric: &Metric) -> Vec<(Values, f64)> {
        let Some(tables) = self.readings.tables else { return Vec::new() };
        let no_queue = || -> Values { vec!["0".into()] };
        let sample = match *metric {
            catalogue::REVIVE_LAG => (no_queue(), tables.overdue as f64),
            catalogue::REVIVE_LATENCY => (no_queue(), self.readings.latency_ms() as f64),
            catalogue::CHAINS_PARKED => (vec![], tables.parked as f64),
            catalogue::CHAINS_WAITING => (vec![], tables.waiting as f64),
            catalogue::STALLED => (vec![], seconds(self.readings.stalled_ms(self.metrics.recovery.progress_ms()))),
            catalogue::RETAINED => (vec![], tables.retained_bytes as f64),
            catalogue::HELD_BACK => (vec![], tables.held_back as f64),
            catalogue::SET_ASIDE => (vec![], tables.set_aside as f64),
            catalogue::UNMERGED => (vec![], tables.unmerged as f64),
            _ => return Vec::new(),
        };
        vec![sample]
    }

    fn steps(&self, encoder: &mut DescriptorEncoder, metric: &Metric) -> fmt::Result {
        let commits = &self.metrics.commits;
        let bounds = STEP_BOUNDS.iter().map(|bound| *bound as f64).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(commits.steps.iter().map(|count| count.load(Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut lines = encoder.encode_descriptor(metric.name, metric.meaning, None, MetricType::Histogram)?;
        lines.encode_histogram::<NoLabelSet>(commits.steps_sum.load(Relaxed) as f64, count, &buckets, None)
    }
}

fn counter(encoder: &mut DescriptorEncoder, metric: &Metric, samples: Vec<(Values, u64)>) -> fmt::Result {
    let mut lines = encoder.encode_descriptor(metric.name, metric.meaning, None, MetricType::Counter)?;
    for (values, count) in samples {
        let labels = labels(metric, values);
        lines.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
    }
    Ok(())
}

fn gauge(encoder: &mut DescriptorEncoder, metric: &Metric, samples: Vec<(Values, f64)>) -> fmt::Result {
    let mut lines = encoder.encode_descriptor(metric.name, metric.meaning, None, MetricType::Gauge)?;
    for (values, level) in samples {
        let labels = labels(metric, values);
        lines.encode_family(&labels)?.encode_gauge(&level)?;
    }
    Ok(())
}

fn labels(metric: &Metric, values: Values) -> Vec<(&'static str, Cow<'static, str>)> {
    metric.labels.iter().copied().zip(values).collect()
}

fn named(names: &[&'static str], counts: &[std::sync::atomic::AtomicU64]) -> Vec<(Values, u64)> {
    names.iter().zip(counts).map(|(name, count)| (vec![Cow::Borrowed(*name)], count.load(Relaxed))).collect()
}

fn failures(rows: Vec<(&'static str, String, u64)>) -> Vec<(Values, u64)> {
    rows.into_iter().map(|(cause, peer, count)| (vec![cause.into(), peer.into()], count)).collect()
}

fn attempt(number: usize) -> Cow<'static, str> {
    if number > ATTEMPTS { format!("{}+", ATTEMPTS + 1).into() } else { number.to_string().into() }
}

fn breaker(state: BreakerState) -> f64 {
    match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
