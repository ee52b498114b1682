//! Which situations a run got into that need a slave.

use rustc_hash::FxHashMap;

use crate::ledger::{Ledger, Place, wire::Pull};

pub(super) fn reached(ledger: &Ledger<'_>) -> impl Iterator<Item = &'static str> {
    let brokers = &ledger.obligations.brokers;
    let is_read = |pull: &&Pull<'_>| pull.call.is_to_slave() && brokers.iter().any(|broker| broker == pull.call.from);
    let reads = || ledger.wire.pulls.iter().filter(is_read);
    let conditions = [
        ("read-from-slave", reads().any(|pull| !pull.replicated.is_empty())),
        ("slave-behind", reads().any(|pull| is_behind(ledger, pull))),
        ("slave-caught-up", has_caught_up(ledger)),
        ("unconfirmed", ledger.logs.keys().any(|broker| ledger.late_confirmations(broker).next().is_some())),
    ];
    conditions.into_iter().filter(|(_, held)| *held).map(|(name, _)| name)
}

/// A slave was asked for what its master had stored, gave nothing, and its own disk did not have it yet.
fn is_behind(ledger: &Ledger<'_>, pull: &Pull<'_>) -> bool {
    let (call, topic) = (&pull.call, pull.topic.as_str());
    let Some((answered, _)) = call.answer.filter(|_| pull.brought.0 == 0) else { return false };
    let era = ledger.era_at(call.to, topic, call.event);
    let place = Place { node: call.to, topic, queue: pull.queue, offset: pull.offset, era };
    ledger.stored(&place).is_some_and(|stored| {
        stored.event < call.event && !ledger.replicas.had(call.server, stored.entry.index, answered)
    })
}

/// So many entries that the master had had for so long, ms, became durable at a slave within a second: it was down, or
/// cut off.
const BULK: usize = 8;
const BULK_AGE_MS: u64 = 5_000;

fn has_caught_up(ledger: &Ledger<'_>) -> bool {
    ledger.obligations.slaves.iter().any(|(node, broker)| {
        let masters = ledger.logs.get(broker.as_str()).map_or(&[][..], Vec::as_slice);
        let since: FxHashMap<u64, u64> =
            masters.iter().map(|step| (step.entry.index, ledger.at_ms(step.event))).collect();
        let is_late = |at_ms: u64, index| since.get(&index).is_some_and(|since| since + BULK_AGE_MS <= at_ms);
        let log = ledger.replicas.log(node).iter();
        let late: Vec<u64> = log.filter(|step| is_late(step.at_ms, step.entry.index)).map(|step| step.at_ms).collect();
        late.windows(BULK).any(|bulk| bulk[BULK - 1] - bulk[0] <= 1_000)
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::frame::code,
        oracles::fixture::{Story, encode},
    };

    /// `a` has messages 0 to 9; its slave has all of it `after_ms` later.
    fn caught_up(after_ms: u64) -> Story {
        let mut story = Story::with_slave();
        for number in 0..10 {
            story.send(number, number.into());
        }
        story.wait(after_ms).catch_up(1);
        story
    }

    fn reaches(story: &mut Story, name: &str) -> bool {
        story.judge().reached.contains(name)
    }

    #[test]
    fn a_slave_catches_up_with_much_that_is_old() {
        assert!(reaches(&mut caught_up(5_000), "slave-caught-up"));
        assert!(!reaches(&mut caught_up(100), "slave-caught-up"), "it was never behind");
        let mut story = caught_up(0);
        for number in 10..17 {
            story.send(number, number.into());
        }
        story.wait(5_000).catch_up(12);
        assert!(!reaches(&mut story, "slave-caught-up"), "seven entries are not many");
    }

    /// `b` reads message 3 from `a`'s slave, which answers so.
    fn read(mut story: Story, code: i32, with: Option<i64>) -> Story {
        let body = with.map(|offset| encode(&story.stored_message(offset))).unwrap_or_default();
        let call = story.read_slave(3);
        story.response(("a-s1", "b", call), (code::PULL, code), &[], &body);
        story
    }

    #[test]
    fn a_slave_serves_reads() {
        let mut served = read(caught_up(100), 0, Some(3));
        assert!(reaches(&mut served, "read-from-slave") && !reaches(&mut served, "slave-behind"));
        assert!(!reaches(&mut read(caught_up(100), 19, None), "read-from-slave"));
    }

    #[test]
    fn a_slave_is_behind_when_it_lacks_what_its_master_has() {
        let behind = |has: u64| {
            let mut story = Story::with_slave();
            for number in 0..4 {
                story.send(number, number.into());
            }
            for index in 1..=has {
                story.replicate(index);
            }
            read(story, 21, None)
        };
        assert!(reaches(&mut behind(4), "slave-behind"));
        assert!(!reaches(&mut behind(5), "slave-behind"), "it has the message and does not give it");
        let mut story = Story::with_slave();
        story.send(0, 0);
        assert!(!reaches(&mut read(story, 21, None), "slave-behind"), "its master has it not either");
    }

    #[test]
    fn what_one_disk_had_too_long_was_unconfirmed() {
        let late = |degree, after_ms| {
            let mut story = caught_up(after_ms);
            story.obligations.degrees.insert("a".into(), degree);
            reaches(&mut story, "unconfirmed")
        };
        assert!(late(2, 3_000) && !late(2, 2_000), "three seconds are too long");
        assert!(!late(1, 60_000), "one disk was enough");
    }
}
