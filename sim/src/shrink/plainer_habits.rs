//! Plainer habits: clients, brokers and the network do what they do when nobody says otherwise, or always, or never.

use super::{
    case::Case,
    smaller::{lengths, rounder},
};
use crate::scenario::{Broker, Consumer, Group, Producer};

/// The case with one habit plainer.
pub fn plainer_habits(case: &Case) -> Vec<Case> {
    let scenario = &case.scenario;
    let mut plainer = Vec::new();
    for (at, it) in scenario.consumers.iter().enumerate() {
        plainer.extend(consumers(it).into_iter().map(|it| case.with(|scenario| scenario.consumers[at] = it)));
    }
    for (at, it) in scenario.producers.iter().enumerate() {
        plainer.extend(producers(it).into_iter().map(|it| case.with(|scenario| scenario.producers[at] = it)));
    }
    let plain = Group::default();
    for (at, it) in scenario.groups.iter().enumerate() {
        let Group { name, topic, .. } = it.clone();
        plainer.push(case.with(|scenario| scenario.groups[at] = Group { name, topic, ..plain.clone() }));
    }
    for (at, it) in scenario.brokers.iter().enumerate() {
        let Broker { name, slaves, escapes_to, acting_to, degree, .. } = it.clone();
        let degree = if acting_to.is_some() { degree } else { 1 };
        let plain = Broker { name, slaves, escapes_to, acting_to, degree, ..Broker::default() };
        plainer.push(case.with(|scenario| scenario.brokers[at] = plain));
    }
    plainer.push(case.with(|scenario| scenario.network = None));
    plainer
}

/// All habits plain at once, then one by one. What is always or never done is plainer than what is done by chance.
fn consumers(consumer: &Consumer) -> Vec<Consumer> {
    // Through whom it pops is no habit: without that its group has nothing to do with a checkpoint of Apache's.
    let Consumer { name, group, mut apache, .. } = consumer.clone();
    apache.iter_mut().for_each(|slave| (slave.garbles, slave.strays) = (0.0, 0.0));
    let plain = Consumer { name, group, apache, ..Consumer::default() };
    let patient = Consumer { poll_ms: consumer.poll_ms, invisible_ms: consumer.invisible_ms, ..plain.clone() };
    let mut plainer = vec![plain.clone(), patient.clone()];
    if consumer.ack < 1.0 {
        plainer.extend([Consumer { ack: 0.0, ..plain.clone() }, Consumer { ack: 0.0, ..patient }]);
    }
    let mut with = |change: &dyn Fn(&mut Consumer)| {
        let mut changed = consumer.clone();
        change(&mut changed);
        plainer.push(changed);
    };
    // One that always acks late never acks in time.
    shares(consumer.late_ack, 0.0).for_each(|share| {
        with(&|it| (it.late_ack, it.ack) = (share, if share > 0.0 { 0.0 } else { it.ack }));
    });
    shares(consumer.renew, 0.0).for_each(|share| with(&|it| it.renew = share));
    shares(consumer.repeat_ack, 0.0).for_each(|share| with(&|it| it.repeat_ack = share));
    shares(consumer.ack_retries, 1.0).for_each(|share| with(&|it| it.ack_retries = share));
    shares(consumer.ack, 1.0).for_each(|share| with(&|it| it.ack = share));
    with(&|it| it.renew_for_ms = None);
    with(&|it| it.renewals = plain.renewals);
    with(&|it| it.repeat_after_ms = plain.repeat_after_ms);
    with(&|it| it.batch_ack = plain.batch_ack);
    with(&|it| it.from_ms = plain.from_ms);
    with(&|it| it.batch = plain.batch);
    with(&|it| it.invisible_ms = plain.invisible_ms);
    with(&|it| it.poll_ms = plain.poll_ms);
    with(&|it| it.think_ms = plain.think_ms);
    plainer
}

/// Plainer shares: the usual one, then, in the place of a chance, its opposite.
fn shares(share: f64, usual: f64) -> impl Iterator<Item = f64> {
    let is_chance = share > 0.0 && share < 1.0;
    let plainer = [Some(usual), is_chance.then_some(1.0 - usual)];
    plainer.into_iter().flatten().filter(move |plainer| (plainer - share).abs() > 0.0)
}

/// Messages like any other, then sent in a shorter time, then at a rounder one.
fn producers(producer: &Producer) -> Vec<Producer> {
    let plain = Producer::default();
    let with = |change: &dyn Fn(&mut Producer)| {
        let mut changed = producer.clone();
        change(&mut changed);
        changed
    };
    let mut plainer = vec![
        with(&|it| it.delay_ms = None),
        with(&|it| it.keys = None),
        with(&|it| it.tags.clear()),
        with(&|it| it.body_bytes = plain.body_bytes),
        with(&|it| it.burst = plain.burst),
    ];
    plainer.extend(lengths(producer.over_ms).map(|over_ms| with(&|it| it.over_ms = over_ms)));
    plainer.extend(rounder(producer.from_ms).map(|from_ms| with(&|it| it.from_ms = from_ms)));
    plainer
}
