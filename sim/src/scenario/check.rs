//! From the tables of a file to a [`Scenario`]: fills in defaults and reports all that makes no sense.

use super::cast::{
    Broker, CHAIN_WINDOW_MS, Consumer, Expect, Group, Network, OperatorAction, OperatorStep, Policy, Producer,
    Retention, Settle, Topic, name_server_names, slave_name,
};
use super::check_apache;
use super::check_crash_points::crash_points;
use super::check_faults::check_fault;
use super::error::{Problem, ScenarioErrors};
use super::file::{
    ActionEntry, BrokerEntry, ConsumerEntry, ExpectEntry, FaultEntry, GroupEntry, NetworkEntry, OperatorEntry,
    PolicyEntry, ProducerEntry, RetentionEntry, ScenarioFile, TopicEntry,
};
use super::findings::{Findings, Zero, spell};
use super::reached::reachable;
use super::shapes::{Located, Time};
use super::{Scenario, error::ScenarioError};
use pop_revive::{broker::BrokerConfig, model::chain::HISTORY_LIMIT, revive::RewritePolicy};

use crate::plan::SimMs;

/// Name servers that there may be.
const NAME_SERVERS: std::ops::RangeInclusive<u32> = 1..=3;

/// Slaves that a broker may have.
const SLAVES: std::ops::RangeInclusive<u32> = 0..=2;

/// A body must hold the id that the ledger stamps into it, and RocketMQ refuses more than 4 MiB.
const BODY_BYTES: std::ops::RangeInclusive<u32> = 16..=4 * 1024 * 1024;

/// Less than this would let messages expire as they are stored.
const RETAINED_BYTES: std::ops::RangeInclusive<u64> = 4_096..=1 << 40;

/// The names that the entries of one file may refer to.
pub(super) struct Names {
    pub(super) brokers: Vec<String>,
    /// The nodes that have a disk: brokers and slaves.
    pub(super) members: Vec<String>,
    /// Those whose disk may rot: slaves, and brokers without any that keep all of their log, from which the rest follows.
    pub(super) mendable: Vec<String>,
    /// Those whose disk may be lost: slaves, and masters whose slave has all that was ever confirmed.
    pub(super) replaceable: Vec<String>,
    /// Those of them whose disk may be put back to what it was.
    pub(super) restorable: Vec<String>,
    pub(super) nodes: Vec<String>,
    topics: Vec<String>,
    groups: Vec<String>,
}

/// The tables that make one run: those of the file, some of them replaced by a section's.
pub(super) struct Parts<'f> {
    pub(super) file: &'f ScenarioFile,
    pub(super) duration: &'f Located<Time>,
    pub(super) producer: &'f [ProducerEntry],
    pub(super) consumer: &'f [ConsumerEntry],
    pub(super) policy: Option<&'f PolicyEntry>,
    pub(super) fault: &'f [Located<FaultEntry>],
    pub(super) operator: &'f [OperatorEntry],
}

impl<'f> Parts<'f> {
    /// Those of the file.
    pub(super) fn of(file: &'f ScenarioFile) -> Self {
        Self {
            file,
            duration: &file.duration,
            producer: &file.producer,
            consumer: &file.consumer,
            policy: file.policy.as_ref(),
            fault: &file.fault,
            operator: &file.operator,
        }
    }
}

impl Names {
    fn of(parts: &Parts<'_>) -> Self {
        let file = parts.file;
        let brokers: Vec<String> = file.broker.iter().map(|broker| broker.name.get().clone()).collect();
        let members: Vec<String> = brokers.iter().cloned().chain(slaves(file).map(|(name, _)| name)).collect();
        let is_alone = |broker: &&BrokerEntry| broker.slaves.as_ref().is_none_or(|count| *count.get() == 0);
        let keeps_all = |broker: &&BrokerEntry| broker.retention.is_none();
        let alone = file.broker.iter().filter(is_alone).filter(keeps_all).map(|broker| broker.name.get().clone());
        let mendable = slaves(file).map(|(name, _)| name).chain(alone).collect();
        let is_backed = |broker: &&BrokerEntry| {
            broker.acting_to.is_some() && broker.degree.as_ref().is_some_and(|degree| *degree.get() > 1)
        };
        // A master that is not empty goes on with the first of two slaves that it hears.
        let has_one = |broker: &&BrokerEntry| broker.slaves.as_ref().is_some_and(|count| *count.get() == 1);
        let backed = || file.broker.iter().filter(is_backed).filter(keeps_all);
        let masters = backed().map(|broker| broker.name.get().clone());
        let replaceable = slaves(file).map(|(name, _)| name).chain(masters).collect();
        let masters = backed().filter(has_one).map(|broker| broker.name.get().clone());
        let restorable = slaves(file).map(|(name, _)| name).chain(masters).collect();
        let clients = parts.producer.iter().map(|producer| &producer.name);
        let clients = clients.chain(parts.consumer.iter().map(|consumer| &consumer.name));
        let nodes = members.iter().cloned().chain(name_servers(file));
        let nodes = nodes.chain(clients.map(|name| name.get().clone())).collect();
        let topics = file.topic.iter().map(|topic| topic.name.get().clone()).collect();
        let groups = file.group.iter().map(|group| group.name.get().clone()).collect();
        Self { brokers, members, mendable, replaceable, restorable, nodes, topics, groups }
    }
}

/// The nodes of all name servers; none of a number that is refused.
fn name_servers(file: &ScenarioFile) -> impl Iterator<Item = String> + use<> {
    let count = file.name_servers.as_ref().map_or(1, |raw| u32::try_from(*raw.get()).unwrap_or(0));
    name_server_names(count.min(*NAME_SERVERS.end()))
}

/// The nodes of all slaves, each with the number in the file that asks for it.
fn slaves(file: &ScenarioFile) -> impl Iterator<Item = (String, &Located<i64>)> {
    file.broker.iter().filter_map(|entry| Some((entry, entry.slaves.as_ref()?))).flat_map(|(entry, raw)| {
        let count = u32::try_from(*raw.get()).unwrap_or(0).min(*SLAVES.end());
        (1..=count).map(move |id| (slave_name(entry.name.get(), id), raw))
    })
}

/// Checks what was read from `text`.
pub(super) fn check(name: &str, path: &str, text: &str, file: &ScenarioFile) -> Result<Scenario, ScenarioErrors> {
    let mut findings = Findings::new(path, text);
    let mut scenario = assemble(&mut findings, name, &Parts::of(file));
    if let Some(section) = &file.crash_points {
        scenario.crash_points = Some(crash_points(&mut findings, name, file, section));
    }
    let mut errors = empty_tables(path, file);
    errors.extend(findings.into_errors());
    if errors.is_empty() { Ok(scenario) } else { Err(ScenarioErrors(errors)) }
}

/// Makes a scenario of the tables; one that is worth nothing when something was reported.
pub(super) fn assemble(f: &mut Findings, name: &str, parts: &Parts<'_>) -> Scenario {
    let (file, names) = (parts.file, Names::of(parts));
    if file.summary.get().trim().is_empty() {
        let accepted = "one sentence that says what breaks and what must hold";
        f.report("summary", file.summary.span(), Problem::Empty { what: "the summary", accepted });
    }
    // A duration that cannot be read must not make every other time late.
    let duration_ms =
        f.parse_time("duration", parts.duration.get(), parts.duration.span(), Zero::Refused).unwrap_or(SimMs::MAX);
    check_cast(f, parts);
    let policy = policy(f, parts.policy);
    let shortest_window_ms = check_windows(f, file, &policy);
    let operators = parts.operator.iter().map(|entry| operator(f, entry, &names)).collect();
    let scenario = Scenario {
        name: name.to_owned(),
        summary: file.summary.get().trim().to_owned(),
        duration_ms,
        seeds: seeds(f, file),
        name_servers: f.number("name_servers", file.name_servers.as_ref(), 1, NAME_SERVERS),
        brokers: file.broker.iter().map(|entry| broker(f, entry, &names, shortest_window_ms)).collect(),
        topics: file.topic.iter().map(|entry| topic(f, entry, &names)).collect(),
        groups: file.group.iter().map(|entry| group(f, entry, &names)).collect(),
        producers: parts.producer.iter().map(|entry| producer(f, entry, &names, duration_ms)).collect(),
        consumers: parts.consumer.iter().map(|entry| consumer(f, entry, &names)).collect(),
        policy,
        network: file.network.as_ref().map(|entry| network(f, entry)),
        faults: parts.fault.iter().filter_map(|entry| check_fault(f, entry, &names, duration_ms)).collect(),
        operators,
        expect: expect(f, file.expect.as_ref()),
        crash_points: None,
    };
    check_apache::check_slaves(f, parts.consumer, &scenario);
    scenario
}

/// The seeds that the file says to run.
fn seeds(f: &mut Findings, file: &ScenarioFile) -> Vec<u64> {
    let Some(list) = &file.seeds else { return Vec::new() };
    if list.get().is_empty() {
        let accepted = "at least one seed, or no such key";
        f.report("seeds", list.span(), Problem::Empty { what: "the list", accepted });
    }
    list.get().iter().map(|raw| f.whole("seeds", *raw.get(), raw.span(), 0..=u64::MAX)).collect()
}

/// `broker = []` reads well and means nothing.
fn empty_tables(path: &str, file: &ScenarioFile) -> Vec<ScenarioError> {
    let missing = |key: &str| ScenarioError {
        path: path.to_owned(),
        place: None,
        key: key.to_owned(),
        problem: Problem::Missing { entry: "a scenario".to_owned(), key: format!("at least one [[{key}]]") },
    };
    [("broker", file.broker.is_empty()), ("topic", file.topic.is_empty())]
        .into_iter()
        .filter(|(_, empty)| *empty)
        .map(|(key, _)| missing(key))
        .collect()
}

/// Names that are taken twice.
fn check_cast(f: &mut Findings, parts: &Parts<'_>) {
    let file = parts.file;
    let brokers = file.broker.iter().map(|entry| ("broker.name", &entry.name));
    let producers = parts.producer.iter().map(|entry| ("producer.name", &entry.name));
    let consumers = parts.consumer.iter().map(|entry| ("consumer.name", &entry.name));
    let written = brokers.chain(producers).chain(consumers);
    let written = written.map(|(key, raw)| (key, raw.get().clone(), raw.span()));
    let slaves = slaves(file).map(|(name, raw)| ("broker.slaves", name, raw.span()));
    let name_servers: Vec<String> = name_servers(file).collect();
    let taken: Vec<&str> = name_servers.iter().map(String::as_str).collect();
    f.distinct_texts("node", &taken, written.chain(slaves));
    f.distinct("topic", &[], file.topic.iter().map(|entry| ("topic.name", &entry.name)));
    f.distinct("group", &[], file.group.iter().map(|entry| ("group.name", &entry.name)));
    for topic in &file.topic {
        // Within a topic, a message with a key that is known there is the same one, sent again.
        let producers = parts.producer.iter().filter(|entry| entry.topic.get() == topic.name.get());
        let keys: Vec<_> = producers.map(|entry| (&entry.keys, &entry.name)).collect();
        if keys.iter().any(|(keys, _)| keys.is_some()) {
            let keys = keys.into_iter().map(|(keys, name)| ("producer.keys", keys.as_ref().unwrap_or(name)));
            f.distinct("beginning of a key", &[], keys);
        }
    }
    let faults = parts.fault.iter().filter_map(|entry| entry.get().name.as_ref());
    f.distinct("fault", &[], faults.map(|name| ("fault.name", name)));
}

fn broker(f: &mut Findings, entry: &BrokerEntry, names: &Names, shortest_window_ms: SimMs) -> Broker {
    let name = f.name("broker.name", "node name", &entry.name);
    let escapes_to = entry.escapes_to.as_ref().map(|raw| {
        if *raw.get() == name {
            f.report("broker.escapes_to", raw.span(), Problem::EscapesToItself(name.clone()));
        }
        f.known("broker.escapes_to", "broker", raw, &names.brokers)
    });
    let plain = Broker::default();
    let slaves = f.number("broker.slaves", entry.slaves.as_ref(), plain.slaves, SLAVES);
    let degree = f.number("broker.degree", entry.degree.as_ref(), plain.degree, 1..=slaves + 1);
    let retention = entry.retention.as_ref().map(|raw| retention(f, raw)).unwrap_or_default();
    let window_ms = CHAIN_WINDOW_MS.max(shortest_window_ms);
    let chain_window_ms = f.time_or("broker.chain_window", entry.chain_window.as_ref(), window_ms, Zero::Refused);
    let acting_to = entry.acting_to.as_ref().map(|raw| {
        let may_act = matches!((slaves, degree), (1, 1 | 2) | (2, 2));
        if *raw.get() == name || !may_act || escapes_to.is_some() {
            f.report("broker.acting_to", raw.span(), Problem::CannotAct(name.clone()));
        }
        f.known("broker.acting_to", "broker", raw, &names.brokers)
    });
    Broker { name, slaves, escapes_to, acting_to, degree, retention, chain_window_ms }
}

/// A broker refuses a window in which a hand-over could be repeated after its chain was forgotten; the shortest that it
/// takes.
fn check_windows(f: &mut Findings, file: &ScenarioFile, policy: &Policy) -> SimMs {
    let policy = RewritePolicy {
        waits_ms: policy.waits_ms.clone(),
        rewrites: policy.rewrites,
        total_ms: policy.total_ms,
        jitter: policy.jitter,
        refusals: policy.refusals,
    };
    let attempt_limit_ms = BrokerConfig::new("", "", Vec::new()).attempt_limit_ms();
    let least = policy.longest_round_ms(u64::try_from(attempt_limit_ms).unwrap_or(0));
    for raw in file.broker.iter().filter_map(|entry| entry.chain_window.as_ref()) {
        let window_ms = humantime::parse_duration(&raw.get().0).map_or(least, |window| window.as_millis() as SimMs);
        if window_ms < least {
            let accepted = format!("at least {}, which the policy may take", spell(least));
            let value = format!("\"{}\"", raw.get().0);
            f.report("broker.chain_window", raw.span(), Problem::OutOfRange { value, accepted });
        }
    }
    least
}

fn retention(f: &mut Findings, raw: &Located<RetentionEntry>) -> Retention {
    let RetentionEntry { age, bytes } = raw.get();
    if age.is_none() && bytes.is_none() {
        let accepted = "`age`, `bytes` or both, or no such key to keep messages for ever";
        f.report("broker.retention", raw.span(), Problem::Empty { what: "the table", accepted });
    }
    Retention {
        age_ms: age.as_ref().map(|raw| f.time("broker.retention.age", raw, Zero::Refused)),
        bytes: bytes.as_ref().map(|raw| f.whole("broker.retention.bytes", *raw.get(), raw.span(), RETAINED_BYTES)),
    }
}

fn topic(f: &mut Findings, entry: &TopicEntry, names: &Names) -> Topic {
    let brokers = match &entry.brokers {
        None => names.brokers.clone(),
        Some(list) => {
            if list.get().is_empty() {
                let accepted = "at least one broker, or no such key for all of them";
                f.report("topic.brokers", list.span(), Problem::Empty { what: "the list", accepted });
            }
            f.distinct("broker", &[], list.get().iter().map(|raw| ("topic.brokers", raw)));
            list.get().iter().map(|raw| f.known("topic.brokers", "broker", raw, &names.brokers)).collect()
        }
    };
    Topic {
        name: f.name("topic.name", "topic name", &entry.name),
        brokers,
        queues: f.number("topic.queues", entry.queues.as_ref(), Topic::default().queues, 1..=64),
    }
}

fn group(f: &mut Findings, entry: &GroupEntry, names: &Names) -> Group {
    let plain = Group::default();
    Group {
        name: f.name("group.name", "group name", &entry.name),
        topic: f.known("group.topic", "topic", &entry.topic, &names.topics),
        tag: entry.tag.as_ref().map_or(plain.tag, |raw| filter(f, raw)),
        max_reconsume: f.number("group.max_reconsume", entry.max_reconsume.as_ref(), plain.max_reconsume, 0..=1_000),
        begins_at_end: entry.begins_at_end.unwrap_or(plain.begins_at_end),
    }
}

/// A tag filter: `*`, or tags joined by `||`.
fn filter(f: &mut Findings, raw: &Located<String>) -> String {
    let text = raw.get();
    if text != "*" && !text.split("||").all(|tag| is_tag(tag.trim())) {
        let accepted = "\"*\", or tags joined by ||, such as \"A || B\"";
        f.report("group.tag", raw.span(), Problem::BadName { what: "tag filter", name: text.clone(), accepted });
    }
    text.clone()
}

fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn producer(f: &mut Findings, entry: &ProducerEntry, names: &Names, duration_ms: SimMs) -> Producer {
    let plain = Producer::default();
    let from_ms = f.time_or("producer.from", entry.from.as_ref(), plain.from_ms, Zero::Accepted);
    let over_ms = f.time("producer.over", &entry.over, Zero::Refused);
    let ends_ms = from_ms.saturating_add(over_ms);
    if ends_ms > duration_ms {
        // Whichever of the two keys has to change is pointed at.
        let late_start = entry.from.as_ref().filter(|_| from_ms >= duration_ms);
        let (key, raw) = late_start.map_or(("producer.over", &entry.over), |from| ("producer.from", from));
        let latest = match late_start {
            Some(_) => format!("before {}", spell(duration_ms)),
            None => format!("at most {}", spell(duration_ms - from_ms)),
        };
        let (what, time, end) = ("the producer sends until", spell(ends_ms), spell(duration_ms));
        f.report(key, raw.span(), Problem::AfterEnd { what, time, end, latest });
    }
    let tags = entry.tags.iter().flatten().map(|raw| {
        if !is_tag(raw.get()) {
            let (name, accepted) = (raw.get().clone(), "letters, digits, - and _");
            f.report("producer.tags", raw.span(), Problem::BadName { what: "tag", name, accepted });
        }
        raw.get().clone()
    });
    let tags = tags.collect();
    Producer {
        name: f.name("producer.name", "node name", &entry.name),
        topic: f.known("producer.topic", "topic", &entry.topic, &names.topics),
        messages: f.whole("producer.messages", *entry.messages.get(), entry.messages.span(), 1..=1_000_000),
        from_ms,
        over_ms,
        burst: f.number("producer.burst", entry.burst.as_ref(), plain.burst, 1..=1_000),
        body_bytes: f.number("producer.body_bytes", entry.body_bytes.as_ref(), plain.body_bytes, BODY_BYTES),
        tags,
        delay_ms: entry.delay.as_ref().map(|raw| f.time("producer.delay", raw, Zero::Refused)),
        keys: entry.keys.as_ref().map(|raw| f.name("producer.keys", "beginning of a key", raw)),
    }
}

fn consumer(f: &mut Findings, entry: &ConsumerEntry, names: &Names) -> Consumer {
    let plain = Consumer::default();
    let ack = f.share("consumer.ack", entry.ack.as_ref(), plain.ack);
    let late_ack = f.share("consumer.late_ack", entry.late_ack.as_ref(), plain.late_ack);
    if let Some(raw) = &entry.late_ack {
        let each_sound = (0.0..=1.0).contains(&ack) && (0.0..=1.0).contains(&late_ack);
        // Sums of decimal fractions may miss 1 by a rounding error.
        if each_sound && ack + late_ack > 1.0 + 1e-9 {
            f.report("consumer.late_ack", raw.span(), Problem::Shares { ack, late_ack });
        }
    }
    Consumer {
        name: f.name("consumer.name", "node name", &entry.name),
        group: f.known("consumer.group", "group", &entry.group, &names.groups),
        from_ms: f.time_or("consumer.from", entry.from.as_ref(), plain.from_ms, Zero::Accepted),
        batch: f.number("consumer.batch", entry.batch.as_ref(), plain.batch, 1..=32),
        invisible_ms: f.time_or("consumer.invisible", entry.invisible.as_ref(), plain.invisible_ms, Zero::Refused),
        poll_ms: f.time_or("consumer.poll", entry.poll.as_ref(), plain.poll_ms, Zero::Refused),
        think_ms: f.time_or("consumer.think", entry.think.as_ref(), plain.think_ms, Zero::Accepted),
        ack,
        ack_retries: f.share("consumer.ack_retries", entry.ack_retries.as_ref(), plain.ack_retries),
        renew: f.share("consumer.renew", entry.renew.as_ref(), plain.renew),
        renew_for_ms: entry.renew_for.as_ref().map(|raw| f.time("consumer.renew_for", raw, Zero::Refused)),
        renewals: f.number("consumer.renewals", entry.renewals.as_ref(), plain.renewals, 1..=16),
        late_ack,
        repeat_ack: f.share("consumer.repeat_ack", entry.repeat_ack.as_ref(), plain.repeat_ack),
        repeat_after_ms: f.time_or(
            "consumer.repeat_after",
            entry.repeat_after.as_ref(),
            plain.repeat_after_ms,
            Zero::Accepted,
        ),
        batch_ack: entry.batch_ack.unwrap_or(plain.batch_ack),
        apache: entry.apache.as_ref().map(|raw| check_apache::slave(f, raw, &names.brokers)),
    }
}

fn policy(f: &mut Findings, entry: Option<&PolicyEntry>) -> Policy {
    let plain = Policy::default();
    let waits_ms: Vec<SimMs> = match entry.and_then(|entry| entry.waits.as_ref()) {
        None => plain.waits_ms,
        Some(list) => {
            if list.get().is_empty() {
                let accepted = "at least one wait, or no such key for RocketMQ's 17";
                f.report("policy.waits", list.span(), Problem::Empty { what: "the list", accepted });
            }
            list.get().iter().map(|wait| f.time("policy.waits", wait, Zero::Refused)).collect()
        }
    };
    let steps = Policy::one_rewrite_per_wait(&waits_ms);
    let rewrites = entry.and_then(|entry| entry.rewrites.as_ref());
    let total = entry.and_then(|entry| entry.total.as_ref());
    let jitter = entry.and_then(|entry| entry.jitter.as_ref());
    let refusals = entry.and_then(|entry| entry.refusals.as_ref());
    Policy {
        rewrites: f.number("policy.rewrites", rewrites, steps, 1..=10_000),
        total_ms: total.map(|raw| f.time("policy.total", raw, Zero::Refused)),
        jitter: f.share("policy.jitter", jitter, plain.jitter),
        refusals: f.number("policy.refusals", refusals, plain.refusals, 1..=HISTORY_LIMIT as u32),
        waits_ms,
    }
}

fn network(f: &mut Findings, entry: &NetworkEntry) -> Network {
    let latency = entry.latency.get();
    let keys = ("network.latency.min", "network.latency.max");
    let (min_ms, max_ms) = f.min_max(keys, &latency.min, &latency.max);
    Network { min_ms, max_ms }
}

fn operator(f: &mut Findings, entry: &OperatorEntry, names: &Names) -> OperatorStep {
    let broker = entry.broker.as_ref().map(|raw| f.known("operator.broker", "broker", raw, &names.brokers));
    let topic = entry.topic.as_ref().map(|raw| f.known("operator.topic", "topic", raw, &names.topics));
    let group = entry.group.as_ref().map(|raw| f.known("operator.group", "group", raw, &names.groups));
    let to_ms = entry.to.as_ref().map(|raw| f.time("operator.to", raw, Zero::Accepted));
    let mut needed = |key: &str, value: Option<String>| {
        value.unwrap_or_else(|| {
            let (entry_name, key) = ("an operator's step of this kind".to_owned(), key.to_owned());
            f.report("operator.do", entry.at.span(), Problem::Missing { entry: entry_name, key });
            String::new()
        })
    };
    let action = match entry.action {
        ActionEntry::ResumeParked => OperatorAction::ResumeParked { broker },
        ActionEntry::ResumeEach => OperatorAction::ResumeEach { broker },
        ActionEntry::DeleteTopic => OperatorAction::DeleteTopic { topic: needed("topic", topic), broker },
        ActionEntry::CreateTopic => OperatorAction::CreateTopic { topic: needed("topic", topic), broker },
        ActionEntry::ResetOffset => OperatorAction::ResetOffset { group: needed("group", group), broker, to_ms },
    };
    OperatorStep { at_ms: f.time("operator.at", &entry.at, Zero::Accepted), action }
}

fn expect(f: &mut Findings, entry: Option<&ExpectEntry>) -> Expect {
    let Some(entry) = entry else { return Expect::default() };
    let known: Vec<String> = reachable().map(|(name, _)| name.to_owned()).collect();
    f.distinct("situation", &[], entry.reached.iter().map(|raw| ("expect.reached", raw)));
    let reached = entry.reached.iter().map(|raw| f.known("expect.reached", "situation", raw, &known)).collect();
    let settle = entry.settle.as_ref().map_or(Settle::default(), |settle| {
        let mut least = |key, raw: &Option<Located<i64>>| f.number(key, raw.as_ref(), 0, 1..=1_000_000_000);
        Settle {
            revived_at_least: least("expect.settle.revived_at_least", &settle.revived_at_least),
            parked_at_least: least("expect.settle.parked_at_least", &settle.parked_at_least),
            rewrites_at_least: least("expect.settle.rewrites_at_least", &settle.rewrites_at_least),
            max_attempts_at_least: least("expect.settle.max_attempts_at_least", &settle.max_attempts_at_least),
            faults_at_least: least("expect.settle.faults_at_least", &settle.faults_at_least),
        }
    });
    Expect { reached, settle }
}
