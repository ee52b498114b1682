//! A message's life, one line per step.

use std::{collections::BTreeSet, fmt};

use super::Ledger;
use crate::{
    evidence::{ChainFact, ChainState, Outcome},
    history::{AckVerdict, EventKind, LedgerId, Noted, Seen},
    plan::SimMs,
};

/// One step of a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Position in the history.
    pub event: usize,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// Where.
    pub node: String,
    /// What happened.
    pub text: String,
}

/// A message's life, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Biography {
    /// Whose.
    pub ledger: LedgerId,
    /// The steps.
    pub steps: Vec<Step>,
}

impl fmt::Display for Biography {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.ledger)?;
        for step in &self.steps {
            writeln!(f, "  {:>16}  {:<12}  {}", SimTime(step.at_ms).to_string(), step.node, step.text)?;
        }
        Ok(())
    }
}

/// Simulated time as `1h02m03.456s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimTime(pub SimMs);

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.0 / 1000, self.0 % 1000);
        write!(f, "{}h{:02}m{:02}.{ms:03}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

struct Writer<'l, 'h> {
    ledger: &'l Ledger<'h>,
    steps: Vec<Step>,
}

impl Writer<'_, '_> {
    fn step(&mut self, event: usize, node: &str, text: String) {
        self.steps.push(Step { event, at_ms: self.ledger.at_ms(event), node: node.to_owned(), text });
    }

    fn clients(&mut self, stamp: &LedgerId) {
        let ledger = self.ledger;
        for (event, sent) in ledger.sends.iter().filter(|(_, sent)| sent.ledger == *stamp) {
            let seen = told(&sent.seen, |(queue, offset)| format!("stored at {queue}/{offset}"));
            self.step(*event, &sent.producer, format!("sent to {} of {}: {seen}", sent.topic, sent.broker));
        }
        for (event, happened) in ledger.history.events.iter().enumerate() {
            match &happened.kind {
                EventKind::Noted(Noted::Popped(popped)) => {
                    let Seen::Ok(deliveries) = &popped.seen else { continue };
                    for it in deliveries.iter().filter(|it| it.ledger.as_ref() == Some(stamp)) {
                        let place = format!("{}/{}/{}", it.topic, it.queue, it.offset);
                        let (group, times, handle) = (&popped.group, it.reconsume, &it.handle);
                        self.step(
                            event,
                            &popped.consumer,
                            format!("popped {place} for {group}, revived {times} times, handle `{handle}`"),
                        );
                    }
                }
                EventKind::Noted(Noted::Renewed(renewed)) if renewed.ledger.as_ref() == Some(stamp) => {
                    let seen = told(&renewed.seen, |handle| match handle {
                        Some(handle) => format!("now `{handle}`"),
                        None => "too late".to_owned(),
                    });
                    self.step(
                        event,
                        &renewed.consumer,
                        format!("renewed `{}` for {}: {seen}", renewed.handle, renewed.group),
                    );
                }
                _ => {}
            }
        }
        for (event, acked) in ledger.acks.iter().filter(|(_, acked)| acked.ledger.as_ref() == Some(stamp)) {
            let seen = told(&acked.seen, |verdict| match verdict {
                AckVerdict::Absorbed => "absorbed".to_owned(),
                AckVerdict::TooLate => "too late".to_owned(),
            });
            self.step(*event, &acked.consumer, format!("acked `{}` for {}: {seen}", acked.handle, acked.group));
        }
    }

    fn disks_and_wire(&mut self, stamp: &LedgerId) {
        let ledger = self.ledger;
        let mut places = BTreeSet::new();
        for stored in ledger.stamped(stamp) {
            let (place, times) = (stored.place, stored.message.reconsume);
            places.insert(place);
            let text = format!("durable in {}/{}/{}, revived {times} times", place.topic, place.queue, place.offset);
            self.step(stored.event, place.node, text);
        }
        for life in ledger.chains.iter().filter(|life| places.contains(&life.origin())) {
            let mut before = None;
            for step in &life.steps {
                self.step(step.event, life.node, format!("chain {}: {}", life.id, chain_text(before, step.chain)));
                before = Some(step.chain);
            }
        }
        for pull in &ledger.wire.pulls {
            let call = pull.call;
            let is_it = places.iter().any(|place| {
                (place.node, place.topic, place.queue) == (call.to, &pull.topic, pull.queue)
                    && pull.offsets().contains(&place.offset)
                    && !pull.ended_before(place.offset)
            });
            if !is_it {
                continue;
            }
            let answer = match call.answer {
                Some((event, code)) => format!("{} answered {code} at {}", call.server, SimTime(ledger.at_ms(event))),
                None => "no answer left".to_owned(),
            };
            self.step(call.event, call.from, format!("reads it from {}: {answer}", call.server));
        }
        for it in ledger.wire.deliveries.iter().filter(|it| it.message.ledger.as_ref() == Some(stamp)) {
            let event = it.call.answer.map_or(it.call.event, |answer| answer.0);
            self.step(event, it.call.to, format!("its pop answer leaves for {} of {}", it.call.from, it.group));
        }
    }
}

fn told<T>(seen: &Seen<T>, ok: impl FnOnce(&T) -> String) -> String {
    match seen {
        Seen::Ok(value) => ok(value),
        Seen::Refused { code, remark } => format!("refused, {code} {remark}"),
        Seen::Unknown { cause } => format!("unknown, {cause}"),
    }
}

fn chain_text(before: Option<&ChainFact>, chain: &ChainFact) -> String {
    let failed = before.is_none_or(|before| chain.failures > before.failures);
    let why = chain.latest.last().filter(|_| failed).map_or_else(String::new, |last| {
        let cause = &last.failure.cause;
        let number = cause.number.map_or_else(String::new, |number| format!("({number})"));
        format!("; failed: {}{number} from {} after {} ms", cause.name, last.failure.peer, last.failure.took_ms)
    });
    let state = match &chain.state {
        ChainState::Open { due_ms } => format!("open, due {due_ms}"),
        ChainState::Moving { to, due_ms, .. } => format!("being handed to {to}, asks again {due_ms}"),
        ChainState::Moved { to } => format!("handed to {to}"),
        ChainState::Parked { reason, .. } => format!("parked, {reason:?}"),
        ChainState::Ended { outcome, .. } => match outcome {
            Outcome::Acked => "acked".to_owned(),
            Outcome::Revived(copy) => format!("revived as {}/{}/{}", copy.topic, copy.queue, copy.offset),
            Outcome::DeadLettered(copy) => format!("dead letter {}/{}/{}", copy.topic, copy.queue, copy.offset),
            Outcome::Gone(proof) => format!("gone, {proof:?}"),
            Outcome::Superseded(by) => format!("renewed as {by}"),
            Outcome::Reset => "ended, a reset hands the message out anew".to_owned(),
        },
    };
    format!("{state} (round {}, attempt {}){why}", chain.round, chain.attempt)
}

impl Ledger<'_> {
    /// The life of the message with this stamp.
    #[must_use]
    pub fn biography(&self, stamp: &LedgerId) -> Biography {
        let mut writer = Writer { ledger: self, steps: Vec::new() };
        writer.clients(stamp);
        writer.disks_and_wire(stamp);
        let mut steps = writer.steps;
        steps.sort_by_key(|step| step.event);
        Biography { ledger: stamp.clone(), steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::fixture::{Story, stamp};

    #[test]
    fn a_life_is_told_in_order() {
        let mut story = Story::new();
        story.send(1, 0).send(2, 1).wait(1500);
        let first = story.pop("t", 0, 1, 0);
        story.wait(10_000).revive(&first, 0, 1, 1);
        let life = Ledger::fold(&story.history, &story.obligations).biography(&stamp(1)).to_string();
        let told = [
            "p#1\n",
            "0h00m01.000s  a             durable in t/0/0, revived 0 times",
            "0h00m01.000s  p             sent to t of a: stored at 0/0",
            "0h00m02.500s  a             chain a/t/0/0/g/1700000002500/1: open, due 1700000012500 (round 0, attempt 0)",
            "0h00m02.500s  a             its pop answer leaves for c of g",
            "0h00m02.500s  c             popped t/0/0 for g, revived 0 times, handle `0 1700000002500 10000 1001 0 a 0 0`",
            "0h00m12.500s  a             durable in %RETRY%g_t/0/0, revived 1 times",
            "0h00m12.500s  a             chain a/t/0/0/g/1700000002500/1: revived as %RETRY%g_t/0/0 (round 0, attempt 0)",
        ];
        let mut from = 0;
        for line in told {
            let at = life[from..].find(line);
            assert!(at.is_some(), "`{line}` is missing, or out of order, in\n{life}");
            from += at.unwrap_or(0) + line.len();
        }
        assert_eq!(life.lines().count(), told.len());
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(SimTime(3_723_456).to_string(), "1h02m03.456s");
        assert_eq!(SimTime(0).to_string(), "0h00m00.000s");
    }
}
