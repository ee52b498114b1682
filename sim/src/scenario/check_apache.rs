//! Whether consumers may pop through a slave of Apache's.

use super::Scenario;
use super::cast::{ApacheSlave, Group, OperatorAction, Topic};
use super::error::Problem;
use super::file::{ApacheSlaveEntry, ConsumerEntry};
use super::findings::Findings;
use super::shapes::Located;

/// The slave that a consumer's entry names.
pub(super) fn slave(f: &mut Findings<'_>, raw: &Located<ApacheSlaveEntry>, brokers: &[String]) -> ApacheSlave {
    let ApacheSlaveEntry { slave_of, keeps_at, garbles, strays } = raw.get();
    ApacheSlave {
        slave_of: f.known("consumer.apache.slave_of", "broker", slave_of, brokers),
        keeps_at: f.known("consumer.apache.keeps_at", "broker", keeps_at, brokers),
        garbles: f.share("consumer.apache.garbles", garbles.as_ref(), 0.0),
        strays: f.share("consumer.apache.strays", strays.as_ref(), 0.0),
    }
}

/// Reports what such a consumer cannot have beside it. Names that nobody has were reported before.
pub(super) fn check_slaves(f: &mut Findings<'_>, entries: &[ConsumerEntry], scenario: &Scenario) {
    for (entry, consumer) in entries.iter().zip(&scenario.consumers) {
        let (Some(raw), Some(slave)) = (&entry.apache, &consumer.apache) else { continue };
        let group = scenario.groups.iter().find(|group| group.name == consumer.group);
        let topic = group.and_then(|group| scenario.topics.iter().find(|topic| topic.name == group.topic));
        let is_known = |name: &String| scenario.brokers.iter().any(|broker| broker.name == *name);
        let are_known = is_known(&slave.slave_of) && is_known(&slave.keeps_at);
        let Some((group, topic)) = group.zip(topic).filter(|_| are_known) else { continue };
        let members = scenario.consumers.iter().filter(|other| other.group == group.name).count();
        let problem = wrong(slave, group, topic, members).or_else(|| begins_anew(scenario, group));
        if let Some((why, accepted)) = problem {
            f.report("consumer.apache", raw.span(), Problem::NotThroughApache { why, accepted });
        }
    }
}

fn wrong(slave: &ApacheSlave, group: &Group, topic: &Topic, members: usize) -> Option<(String, &'static str)> {
    let ApacheSlave { slave_of, keeps_at, .. } = slave;
    let misses = |broker: &String| !topic.brokers.contains(broker);
    if slave_of == keeps_at {
        return Some((format!("a slave of broker \"{slave_of}\" keeps nothing there"), "two brokers"));
    }
    if let Some(broker) = [slave_of, keeps_at].into_iter().find(|broker| misses(broker)) {
        let why = format!("broker \"{broker}\" does not hold topic \"{}\"", topic.name);
        return Some((why, "two brokers that hold the group's topic"));
    }
    if members > 1 {
        // Whoever else pops there gets the same messages.
        let why = format!("group \"{}\" has {members} consumers", group.name);
        return Some((why, "the only consumer of its group"));
    }
    // The checkpoint does not tell it, and whoever takes it goes by RocketMQ's own.
    (group.max_reconsume != Group::default().max_reconsume).then(|| {
        let why = format!("group \"{}\" allows {} redeliveries", group.name, group.max_reconsume);
        (why, "RocketMQ's 16, for its checkpoints tell no other number")
    })
}

/// RocketMQ's checkpoints do not tell of which topic of a name their messages are, nor in which life of them.
fn begins_anew(scenario: &Scenario, group: &Group) -> Option<(String, &'static str)> {
    let why = scenario.operators.iter().find_map(|step| match &step.action {
        OperatorAction::DeleteTopic { topic, .. } if *topic == group.topic => {
            Some(format!("an operator deletes topic \"{topic}\""))
        }
        OperatorAction::ResetOffset { group: whose, .. } if *whose == group.name => {
            Some(format!("an operator resets group \"{whose}\""))
        }
        _ => None,
    })?;
    Some((why, "a group whose messages are handed out once"))
}
