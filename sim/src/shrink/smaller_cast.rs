//! A smaller cast: fewer operator's steps, clients, groups, topics, name servers, brokers, slaves and queues.

use super::{case::Case, smaller::counts};
use crate::scenario::{OperatorAction, Scenario};

/// The case with somebody or something less; what refers to it goes with it, but for faults, which are needed.
pub fn smaller_cast(case: &Case) -> Vec<Case> {
    let scenario = &case.scenario;
    let mut smaller = Vec::new();
    let mut with = |change: &dyn Fn(&mut Scenario)| smaller.push(case.with(change));
    for broker in &scenario.brokers {
        with(&|it| without_broker(it, &broker.name));
    }
    for topic in &scenario.topics {
        with(&|it| without_topic(it, &topic.name));
    }
    for group in &scenario.groups {
        with(&|it| without_group(it, &group.name));
    }
    for at in 0..scenario.producers.len() {
        with(&|it| drop(it.producers.remove(at)));
    }
    for at in 0..scenario.consumers.len() {
        with(&|it| without_consumer(it, at));
    }
    for at in 0..scenario.operators.len() {
        with(&|it| drop(it.operators.remove(at)));
    }
    counts(scenario.name_servers.into(), 1).for_each(|servers| with(&|it| it.name_servers = servers as u32));
    for (at, broker) in scenario.brokers.iter().enumerate() {
        counts(broker.slaves.into(), 0).for_each(|slaves| with(&|it| it.brokers[at].slaves = slaves as u32));
        if broker.escapes_to.is_some() {
            with(&|it| it.brokers[at].escapes_to = None);
        }
    }
    for (at, consumer) in scenario.consumers.iter().enumerate() {
        if consumer.apache.is_some() {
            with(&|it| it.consumers[at].apache = None);
        }
    }
    for (at, topic) in scenario.topics.iter().enumerate() {
        for place in 0..topic.brokers.len() {
            with(&|it| without_place(it, at, place));
        }
        counts(topic.queues.into(), 1).for_each(|queues| with(&|it| it.topics[at].queues = queues as u32));
    }
    smaller
}

fn without_broker(scenario: &mut Scenario, name: &str) {
    scenario.brokers.retain(|broker| broker.name != name);
    for broker in &mut scenario.brokers {
        broker.escapes_to.take_if(|to| to == name);
        broker.acting_to.take_if(|to| to == name);
    }
    for consumer in &mut scenario.consumers {
        consumer.apache.take_if(|slave| slave.slave_of == name || slave.keeps_at == name);
    }
    for topic in &mut scenario.topics {
        topic.brokers.retain(|broker| broker != name);
    }
    let homeless = scenario.topics.iter().filter(|topic| topic.brokers.is_empty());
    for topic in homeless.map(|topic| topic.name.clone()).collect::<Vec<_>>() {
        without_topic(scenario, &topic);
    }
    scenario.operators.retain(|step| match &step.action {
        OperatorAction::ResumeParked { broker }
        | OperatorAction::ResumeEach { broker }
        | OperatorAction::DeleteTopic { broker, .. }
        | OperatorAction::CreateTopic { broker, .. }
        | OperatorAction::ResetOffset { broker, .. } => broker.as_deref() != Some(name),
    });
}

fn without_place(scenario: &mut Scenario, topic: usize, place: usize) {
    let broker = scenario.topics[topic].brokers.remove(place);
    for consumer in &mut scenario.consumers {
        consumer.apache.take_if(|slave| slave.slave_of == broker || slave.keeps_at == broker);
    }
}

fn without_topic(scenario: &mut Scenario, name: &str) {
    scenario.topics.retain(|topic| topic.name != name);
    scenario.producers.retain(|producer| producer.topic != name);
    let groups = scenario.groups.iter().filter(|group| group.topic == name);
    for group in groups.map(|group| group.name.clone()).collect::<Vec<_>>() {
        without_group(scenario, &group);
    }
    scenario.operators.retain(|step| match &step.action {
        OperatorAction::DeleteTopic { topic, .. } | OperatorAction::CreateTopic { topic, .. } => topic != name,
        OperatorAction::ResumeParked { .. }
        | OperatorAction::ResumeEach { .. }
        | OperatorAction::ResetOffset { .. } => true,
    });
}

fn without_group(scenario: &mut Scenario, name: &str) {
    scenario.groups.retain(|group| group.name != name);
    scenario.consumers.retain(|consumer| consumer.group != name);
    scenario
        .operators
        .retain(|step| !matches!(&step.action, OperatorAction::ResetOffset { group, .. } if group == name));
}

/// A group without any consumer would be owed its messages for ever: it goes with its last one.
fn without_consumer(scenario: &mut Scenario, at: usize) {
    let group = scenario.consumers.remove(at).group;
    if scenario.consumers.iter().all(|consumer| consumer.group != group) {
        without_group(scenario, &group);
    }
}
