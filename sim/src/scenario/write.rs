//! From a [`Scenario`] back to the text of a file that reads as the same scenario.
//!
//! Every table is taken apart field by field, so that a field that is not written does not compile.

use super::Scenario;
use super::cast::{
    ApacheSlave, Broker, Consumer, Group, Network, OperatorAction, OperatorStep, Policy, Producer, Retention, Topic,
};
use super::lines::{Lines, list, quoted, share, time};
use super::write_faults::fault;

/// What is written beside what a scenario says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Lines at the head of the file.
    pub head: String,
    /// Lines above each fault, in order; where there are fewer, the other faults have none.
    pub faults: Vec<String>,
}

impl Scenario {
    /// The file that reads as this scenario. What a sweep must reach and the run for crash points are not written: a
    /// written scenario is one run, made by a program.
    #[must_use]
    pub fn to_toml(&self, remarks: &Remarks) -> String {
        let Self {
            name: _, // the file's own
            summary,
            duration_ms,
            seeds,
            name_servers,
            brokers,
            topics,
            groups,
            producers,
            consumers,
            policy,
            network,
            faults,
            operators,
            expect: _,
            crash_points: _,
        } = self;
        let mut lines = Lines::default();
        lines.comment(&remarks.head);
        lines.key("summary", quoted(summary));
        lines.key("duration", time(duration_ms));
        lines.unless(&Vec::new(), "seeds", seeds, |seeds| list(seeds.iter().map(u64::to_string)));
        lines.unless(&1, "name_servers", name_servers, u32::to_string);
        brokers.iter().for_each(|it| broker(&mut lines, it));
        topics.iter().for_each(|it| topic(&mut lines, it, brokers));
        groups.iter().for_each(|it| group(&mut lines, it));
        producers.iter().for_each(|it| producer(&mut lines, it));
        consumers.iter().for_each(|it| consumer(&mut lines, it));
        write_policy(&mut lines, policy);
        network.iter().for_each(|network| write_network(&mut lines, *network));
        let mut remarks = remarks.faults.iter();
        faults.iter().for_each(|it| fault(&mut lines, it, remarks.next().map_or("", String::as_str)));
        operators.iter().for_each(|it| operator(&mut lines, it));
        lines.into_text()
    }
}

fn broker(lines: &mut Lines, broker: &Broker) {
    let Broker { name, slaves, escapes_to, acting_to, degree, retention, chain_window_ms } = broker;
    let plain = Broker::default();
    lines.table("[[broker]]", "");
    lines.key("name", quoted(name));
    lines.unless(&plain.slaves, "slaves", slaves, u32::to_string);
    lines.maybe("escapes_to", escapes_to.as_ref(), quoted);
    lines.maybe("acting_to", acting_to.as_ref(), quoted);
    lines.unless(&plain.degree, "degree", degree, u32::to_string);
    lines.unless(&plain.retention, "retention", retention, retained);
    lines.unless(&plain.chain_window_ms, "chain_window", chain_window_ms, time);
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "keys are written by reference")]
fn retained(retention: &Retention) -> String {
    let Retention { age_ms, bytes } = retention;
    let age = age_ms.map(|age_ms| format!("age = {}", time(&age_ms)));
    let bytes = bytes.map(|bytes| format!("bytes = {bytes}"));
    format!("{{ {} }}", age.into_iter().chain(bytes).collect::<Vec<_>>().join(", "))
}

fn topic(lines: &mut Lines, topic: &Topic, all: &[Broker]) {
    let Topic { name, brokers, queues } = topic;
    lines.table("[[topic]]", "");
    lines.key("name", quoted(name));
    let all: Vec<String> = all.iter().map(|broker| broker.name.clone()).collect();
    lines.unless(&all, "brokers", brokers, |brokers| list(brokers.iter().map(quoted)));
    lines.unless(&Topic::default().queues, "queues", queues, u32::to_string);
}

fn group(lines: &mut Lines, group: &Group) {
    let Group { name, topic, tag, max_reconsume, begins_at_end } = group;
    let plain = Group::default();
    lines.table("[[group]]", "");
    lines.key("name", quoted(name));
    lines.key("topic", quoted(topic));
    lines.unless(&plain.tag, "tag", tag, |tag| quoted(tag));
    lines.unless(&plain.max_reconsume, "max_reconsume", max_reconsume, u32::to_string);
    lines.unless(&plain.begins_at_end, "begins_at_end", begins_at_end, bool::to_string);
}

fn producer(lines: &mut Lines, producer: &Producer) {
    let Producer { name, topic, messages, from_ms, over_ms, burst, body_bytes, tags, delay_ms, keys } = producer;
    let plain = Producer::default();
    lines.table("[[producer]]", "");
    lines.key("name", quoted(name));
    lines.key("topic", quoted(topic));
    lines.key("messages", messages);
    lines.unless(&plain.from_ms, "from", from_ms, time);
    lines.key("over", time(over_ms));
    lines.unless(&plain.burst, "burst", burst, u32::to_string);
    lines.unless(&plain.body_bytes, "body_bytes", body_bytes, u32::to_string);
    lines.unless(&plain.tags, "tags", tags, |tags| list(tags.iter().map(quoted)));
    lines.maybe("delay", delay_ms.as_ref(), time);
    lines.maybe("keys", keys.as_ref(), quoted);
}

fn consumer(lines: &mut Lines, consumer: &Consumer) {
    let Consumer {
        name,
        group,
        from_ms,
        batch,
        invisible_ms,
        poll_ms,
        think_ms,
        ack,
        ack_retries,
        renew,
        renew_for_ms,
        renewals,
        late_ack,
        repeat_ack,
        repeat_after_ms,
        batch_ack,
        apache,
    } = consumer;
    let plain = Consumer::default();
    lines.table("[[consumer]]", "");
    lines.key("name", quoted(name));
    lines.key("group", quoted(group));
    lines.unless(&plain.from_ms, "from", from_ms, time);
    lines.unless(&plain.batch, "batch", batch, u32::to_string);
    lines.unless(&plain.invisible_ms, "invisible", invisible_ms, time);
    lines.unless(&plain.poll_ms, "poll", poll_ms, time);
    lines.unless(&plain.think_ms, "think", think_ms, time);
    lines.unless(&plain.ack, "ack", ack, share);
    lines.unless(&plain.ack_retries, "ack_retries", ack_retries, share);
    lines.unless(&plain.renew, "renew", renew, share);
    lines.maybe("renew_for", renew_for_ms.as_ref(), time);
    lines.unless(&plain.renewals, "renewals", renewals, u32::to_string);
    lines.unless(&plain.late_ack, "late_ack", late_ack, share);
    lines.unless(&plain.repeat_ack, "repeat_ack", repeat_ack, share);
    lines.unless(&plain.repeat_after_ms, "repeat_after", repeat_after_ms, time);
    lines.unless(&plain.batch_ack, "batch_ack", batch_ack, bool::to_string);
    lines.maybe("apache", apache.as_ref(), apache_slave);
}

fn apache_slave(slave: &ApacheSlave) -> String {
    let ApacheSlave { slave_of, keeps_at, garbles, strays } = slave;
    let told = |name, value: &f64| if *value > 0.0 { format!(", {name} = {}", share(value)) } else { String::new() };
    let (garbles, strays) = (told("garbles", garbles), told("strays", strays));
    format!("{{ slave_of = {}, keeps_at = {}{garbles}{strays} }}", quoted(slave_of), quoted(keeps_at))
}

fn write_policy(lines: &mut Lines, policy: &Policy) {
    let plain = Policy::default();
    if *policy == plain {
        return;
    }
    let Policy { waits_ms, rewrites, total_ms, jitter, refusals } = policy;
    lines.table("[policy]", "");
    lines.unless(&plain.waits_ms, "waits", waits_ms, |waits_ms| list(waits_ms.iter().map(time)));
    lines.unless(&Policy::one_rewrite_per_wait(waits_ms), "rewrites", rewrites, u32::to_string);
    lines.maybe("total", total_ms.as_ref(), time);
    lines.unless(&plain.jitter, "jitter", jitter, share);
    lines.unless(&plain.refusals, "refusals", refusals, u32::to_string);
}

fn write_network(lines: &mut Lines, network: Network) {
    let Network { min_ms, max_ms } = network;
    lines.table("[network]", "");
    lines.key("latency", format!("{{ min = {}, max = {} }}", time(&min_ms), time(&max_ms)));
}

fn operator(lines: &mut Lines, step: &OperatorStep) {
    let OperatorStep { at_ms, action } = step;
    lines.table("[[operator]]", "");
    lines.key("at", time(at_ms));
    match action {
        OperatorAction::ResumeParked { broker } => {
            lines.key("do", quoted("resume-parked"));
            lines.maybe("broker", broker.as_ref(), quoted);
        }
        OperatorAction::ResumeEach { broker } => {
            lines.key("do", quoted("resume-each"));
            lines.maybe("broker", broker.as_ref(), quoted);
        }
        OperatorAction::DeleteTopic { topic, broker } => {
            lines.key("do", quoted("delete-topic"));
            lines.key("topic", quoted(topic));
            lines.maybe("broker", broker.as_ref(), quoted);
        }
        OperatorAction::CreateTopic { topic, broker } => {
            lines.key("do", quoted("create-topic"));
            lines.key("topic", quoted(topic));
            lines.maybe("broker", broker.as_ref(), quoted);
        }
        OperatorAction::ResetOffset { group, broker, to_ms } => {
            lines.key("do", quoted("reset-offset"));
            lines.key("group", quoted(group));
            lines.maybe("broker", broker.as_ref(), quoted);
            lines.maybe("to", to_ms.as_ref(), time);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;
    use crate::scenario::{Expect, load_all};

    /// What can be written of a scenario.
    fn plain(scenario: &Scenario) -> Scenario {
        Scenario { expect: Expect::default(), crash_points: None, ..scenario.clone() }
    }

    fn read_back(scenario: &Scenario, remarks: &Remarks) -> Scenario {
        let text = scenario.to_toml(remarks);
        Scenario::parse(&scenario.name, "x.toml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
    }

    #[test]
    fn every_scenario_reads_as_itself_when_it_is_written() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"));
        for folder in [folder.to_owned(), folder.join("long")] {
            for scenario in load_all(&folder).unwrap() {
                let small = scenario.crash_points.as_ref().map(|section| (*section.scenario).clone());
                for scenario in [scenario].into_iter().chain(small) {
                    assert_eq!(read_back(&scenario, &Remarks::default()), plain(&scenario));
                }
            }
        }
    }

    #[test]
    fn remarks_are_comments_whatever_they_say() {
        let text = "summary = 'x \"y\" \\'\nduration = '1h'\nseeds = [7]\n[[broker]]\nname = 'a'\n[[topic]]\nname = 't'\n\
                    [[fault]]\nkind = 'kill'\nnode = 'a'\nat = '1m'\ndown = '5s'\n";
        let scenario = Scenario::parse("x", "x.toml", text).unwrap();
        let remarks = Remarks { head: "[[fault]]\n\nkind = 'kill'".into(), faults: vec!["[x]\n[y]".into()] };
        assert_eq!(read_back(&scenario, &remarks), scenario);
        assert!(scenario.to_toml(&remarks).starts_with("# [[fault]]\n#\n# kind = 'kill'\nsummary = "));
    }
}
