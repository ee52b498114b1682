//! The state of all nodes as text: one paragraph for each.

use std::fmt::Write as _;

use super::{
    chains::{self, Chains},
    holdings,
    in_flight::InFlight,
    logs, queues,
    standing::Standings,
};
use crate::{
    history::History,
    ledger::{Ledger, biography::SimTime},
    plan::SimMs,
    run::OPERATOR,
    scenario::Scenario,
};

/// Lines of one list that are shown unless everything is asked for.
const SHOWN: usize = 10;

/// Where every node stands at the end of `history`, which is `at_ms`; of long lists all if `all`.
#[must_use]
pub fn told(history: &History, scenario: &Scenario, at_ms: SimMs, all: bool) -> String {
    let obligations = scenario.obligations();
    let ledger = Ledger::fold(history, &obligations);
    let (standings, in_flight) = (Standings::of(history), InFlight::of(history));
    let shown = if all { usize::MAX } else { SHOWN };
    let mut text = Paragraphs { text: format!("state at {}\n", SimTime(at_ms)), standings, in_flight, shown };
    for broker in &obligations.brokers {
        text.master(&ledger, broker);
        for slave in obligations.slaves_of(broker) {
            text.begin(slave, &format!("slave of {broker}"));
            text.item("log", &logs::slave(&ledger, slave, broker));
            text.waits(slave);
        }
    }
    for name_server in scenario.name_servers() {
        text.begin(&name_server, "name server");
    }
    for producer in &scenario.producers {
        text.begin(&producer.name, &format!("producer of {}", producer.topic));
        text.item("sends", &holdings::of_producer(history, &producer.name));
        text.waits(&producer.name);
    }
    for consumer in &scenario.consumers {
        text.begin(&consumer.name, &format!("consumer of {}", consumer.group));
        text.list("holds", &holdings::of_consumer(&ledger, &consumer.name));
        text.waits(&consumer.name);
    }
    text.begin(OPERATOR, "operator");
    text.waits(OPERATOR);
    text.text
}

struct Paragraphs<'h> {
    text: String,
    standings: Standings<'h>,
    in_flight: InFlight<'h>,
    shown: usize,
}

impl Paragraphs<'_> {
    fn master(&mut self, ledger: &Ledger<'_>, broker: &str) {
        let target = ledger.obligations.escapes.get(broker);
        let target = target.map_or_else(String::new, |to| format!(", hands its chains to {to}"));
        self.begin(broker, &format!("master{target}"));
        self.item("log", &logs::master(ledger, broker));
        self.list("queue", &queues::lines(ledger, broker));
        let delayed = queues::delayed(ledger, broker);
        if delayed > 0 {
            self.item("delayed", &format!("{delayed} messages wait for their time"));
        }
        let chains = Chains::of(ledger, broker);
        self.item("chains", &chains.counted());
        let lines: Vec<String> = chains.live.iter().map(|chain| chains::line(chain, broker)).collect();
        self.list("chain", &lines);
        self.waits(broker);
    }

    // Writing to a String cannot fail.

    fn begin(&mut self, node: &str, role: &str) {
        let _ = writeln!(self.text, "\n{node}: {role}, {}", self.standings.of_node(node));
    }

    fn item(&mut self, what: &str, text: &str) {
        let _ = writeln!(self.text, "  {what:<8}  {text}");
    }

    fn list(&mut self, what: &str, lines: &[String]) {
        for line in lines.iter().take(self.shown) {
            self.item(what, line);
        }
        let more = lines.len().saturating_sub(self.shown);
        if more > 0 {
            self.item(what, &format!("and {more} more, which --all shows"));
        }
    }

    /// What the node has asked and not been answered.
    fn waits(&mut self, node: &str) {
        let lines = self.in_flight.of_node(node);
        self.list("asks", &lines);
    }
}
