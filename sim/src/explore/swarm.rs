//! The swarm: a scenario drawn by seed, in shapes that nobody thought of.
//!
//! Not every seed has a bit of everything: each first draws which kinds of faults, habits and cluster features exist for it
//! at all, because much that is rare shows only where something else is missing (swarm testing). What is drawn is within
//! what a scenario file may say, so that any of them can be written down and run again.

use rand::Rng;

use super::swarm_faults::{faults, spare_one_disk};
use crate::{
    dice::Dice,
    plan::{NodeName, SimMs},
    random::Streams,
    scenario::{
        Broker, Consumer, Expect, Group, Network, OperatorAction, OperatorStep, Policy, Producer, Retention, Scenario,
        Topic,
    },
};

pub(super) const SECOND: SimMs = 1_000;
pub(super) const MINUTE: SimMs = 60 * SECOND;
const DAY: SimMs = 24 * 60 * MINUTE;

/// Draws the scenario of a seed.
#[must_use]
pub fn draw(seed: u64) -> Scenario {
    let streams = Streams::new(seed);
    let dice = |name: &str| Dice(streams.stream(&format!("swarm/{name}")));
    let mut scenario = cast(&mut dice("cast"));
    scenario.name = format!("swarm-{seed}");
    scenario.summary = format!("Drawn by seed {seed}: nobody knows what breaks; every promise must hold.");
    // Drawn by itself, so that who takes part is as it was before there could be several.
    scenario.name_servers = *dice("name-servers").one(&[1, 1, 2]);
    confirm_alone(&mut dice("leases"), &mut scenario);
    scenario.faults = faults(&mut dice("faults"), &scenario);
    spare_one_disk(&mut scenario);
    scenario.operators = operators(&mut dice("operators"), &scenario);
    scenario
}

fn cast<R: Rng>(dice: &mut Dice<R>) -> Scenario {
    let duration_ms = dice.span(8 * MINUTE..=40 * MINUTE);
    let (brokers, features) = (brokers(dice), dice.count(0..=7));
    let names: Vec<NodeName> = brokers.iter().map(|broker| broker.name.clone()).collect();
    let topics: Vec<Topic> = (1..=dice.count(1..=2)).map(|number| topic(dice, number, &names)).collect();
    let groups: Vec<Group> = topics.iter().flat_map(|topic| groups(dice, topic, features & 1 != 0)).collect();
    let producers = topics.iter().enumerate().map(|(at, topic)| producer(dice, at, topic, duration_ms, features));
    let producers = producers.collect();
    let mut consumers = Vec::new();
    for group in &groups {
        for _ in 0..dice.count(1..=2) {
            consumers.push(consumer(dice, consumers.len() + 1, group));
        }
    }
    let network = Some(Network { min_ms: dice.count(0..=5).into(), max_ms: dice.count(5..=100).into() });
    Scenario {
        name: String::new(),
        summary: String::new(),
        duration_ms,
        seeds: Vec::new(),
        name_servers: 1,
        brokers,
        topics,
        groups,
        producers,
        consumers,
        policy: policy(dice),
        network,
        faults: Vec::new(),
        operators: Vec::new(),
        expect: Expect::default(),
        crash_points: None,
    }
}

fn brokers<R: Rng>(dice: &mut Dice<R>) -> Vec<Broker> {
    let names: Vec<NodeName> = ["broker-a", "broker-b", "broker-c"].map(NodeName::from).to_vec();
    let names = &names[..dice.count(1..=3) as usize];
    let have_slaves = dice.likely(0.4);
    let draw = |name: &NodeName| {
        let slaves = if have_slaves { dice.count(0..=2) } else { 0 };
        let others: Vec<&NodeName> = names.iter().filter(|other| *other != name).collect();
        let escapes_to = if others.is_empty() { None } else { dice.maybe(0.6, |dice| (*dice.one(&others)).clone()) };
        let degree = if slaves > 0 && dice.likely(0.5) { 2 } else { 1 };
        // Not with slaves: one that is behind what has expired cannot follow any more, which is a known limit.
        let share = if slaves == 0 { 0.15 } else { 0.0 };
        let age_ms = dice.maybe(share, |dice| dice.span(2 * MINUTE..=20 * MINUTE));
        let retention = Retention { age_ms, bytes: None };
        let may_act = slaves > 0 && degree == 2 && escapes_to.is_none() && !others.is_empty();
        let acting_to = if may_act { dice.maybe(0.7, |dice| (*dice.one(&others)).clone()) } else { None };
        Broker { name: name.clone(), slaves, escapes_to, acting_to, degree, retention, chain_window_ms: DAY }
    };
    names.iter().map(draw).collect()
}

/// Has some masters confirm alone whose slaves may act for them.
fn confirm_alone<R: Rng>(dice: &mut Dice<R>, scenario: &mut Scenario) {
    for broker in scenario.brokers.iter_mut().filter(|broker| broker.acting_to.is_some() && broker.slaves == 1) {
        broker.degree = if dice.likely(0.5) { 1 } else { 2 };
    }
}

fn topic<R: Rng>(dice: &mut Dice<R>, number: u32, brokers: &[NodeName]) -> Topic {
    Topic { name: format!("topic-{number}"), brokers: dice.some(brokers), queues: dice.count(1..=4) }
}

fn groups<R: Rng>(dice: &mut Dice<R>, topic: &Topic, filtered: bool) -> Vec<Group> {
    let draw = |number| Group {
        name: format!("{}-group-{number}", topic.name),
        topic: topic.name.clone(),
        tag: if filtered { (*dice.one(&["*", "red", "red || blue"])).to_owned() } else { "*".to_owned() },
        max_reconsume: *dice.one(&[0, 1, 2, 16]),
        begins_at_end: dice.likely(0.15),
    };
    let count = if number_is_two(&topic.name) { 1 } else { 2 };
    (1..=count).map(draw).collect()
}

/// The first topic has two groups, a second one has one: enough of both.
fn number_is_two(topic: &str) -> bool {
    topic.ends_with('2')
}

fn producer<R: Rng>(dice: &mut Dice<R>, at: usize, topic: &Topic, duration_ms: SimMs, features: u32) -> Producer {
    let tags = if features & 1 == 0 { Vec::new() } else { ["red", "blue", "green"].map(String::from).to_vec() };
    Producer {
        name: format!("producer-{}", at + 1),
        topic: topic.name.clone(),
        messages: dice.count(5..=60),
        from_ms: 0,
        over_ms: dice.span(MINUTE..=duration_ms * 3 / 4),
        burst: *dice.one(&[1, 1, 4, 16]),
        body_bytes: *dice.one(&[64, 64, 1024]),
        tags,
        keys: (features & 4 != 0).then(|| "forwarded".to_owned()),
        delay_ms: if features & 2 == 0 { None } else { dice.maybe(0.5, |dice| dice.span(SECOND..=2 * MINUTE)) },
    }
}

fn consumer<R: Rng>(dice: &mut Dice<R>, number: usize, group: &Group) -> Consumer {
    let ack = dice.share();
    Consumer {
        name: format!("consumer-{number}"),
        group: group.name.clone(),
        from_ms: if dice.likely(0.2) { dice.span(SECOND..=5 * MINUTE) } else { 0 },
        batch: *dice.one(&[1, 4, 8, 32]),
        invisible_ms: dice.span(10 * SECOND..=2 * MINUTE),
        poll_ms: dice.span(5 * SECOND..=MINUTE),
        think_ms: *dice.one(&[50, 50, 5_000]),
        ack,
        ack_retries: f64::max(0.2, dice.share()),
        renew: if dice.likely(0.3) { 0.3 } else { 0.0 },
        renew_for_ms: dice.maybe(0.2, |dice| dice.span(10 * SECOND..=4 * MINUTE)),
        renewals: *dice.one(&[1, 1, 1, 3]),
        late_ack: if dice.likely(0.3) { f64::min(0.2, 1.0 - ack) } else { 0.0 },
        repeat_ack: if dice.likely(0.3) { 0.3 } else { 0.0 },
        repeat_after_ms: *dice.one(&[SECOND, MINUTE, 5 * MINUTE]),
        batch_ack: dice.likely(0.2),
        apache: None,
    }
}

fn policy<R: Rng>(dice: &mut Dice<R>) -> Policy {
    let waits_ms: Vec<SimMs> = (0..dice.count(1..=5)).map(|_| dice.span(SECOND..=2 * MINUTE)).collect();
    Policy {
        waits_ms,
        rewrites: dice.count(1..=8),
        total_ms: dice.maybe(0.2, |dice| dice.span(2 * MINUTE..=10 * MINUTE)),
        jitter: if dice.likely(0.3) { 0.3 } else { 0.0 },
        refusals: dice.count(1..=3),
    }
}

fn operators<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> Vec<OperatorStep> {
    let mut steps = Vec::new();
    let end_ms = scenario.duration_ms;
    if dice.likely(0.15) {
        let topic = dice.one(&scenario.topics).name.clone();
        let at_ms = dice.span(MINUTE..=end_ms / 2);
        steps.push(OperatorStep { at_ms, action: OperatorAction::DeleteTopic { topic: topic.clone(), broker: None } });
        let at_ms = at_ms + dice.span(SECOND..=2 * MINUTE);
        steps.push(OperatorStep { at_ms, action: OperatorAction::CreateTopic { topic, broker: None } });
    }
    // Not where chains go elsewhere: those revive their messages beside what a reset hands out anew, which is a known limit.
    let is_home = scenario.brokers.iter().all(|broker| broker.escapes_to.is_none());
    if is_home && dice.likely(0.3) {
        let (group, at_ms) = (dice.one(&scenario.groups).name.clone(), dice.span(MINUTE..=end_ms));
        let to_ms = dice.maybe(0.7, |dice| dice.span(SECOND..=at_ms));
        steps.push(OperatorStep { at_ms, action: OperatorAction::ResetOffset { group, broker: None, to_ms } });
    }
    if dice.likely(0.7) {
        let at_ms = end_ms + 30 * MINUTE;
        steps.push(OperatorStep { at_ms, action: OperatorAction::ResumeParked { broker: None } });
    }
    steps
}
