//! P8, bounded: nothing spins, a dead remote costs a bounded number of requests, the disk grows with the work.
//!
//! Rule, counted at the wire and at the disk: requests of one kind between two nodes in any second, syncs of one disk in
//! any second, reads of one message over all rounds of its chains, reads and checkpoints sent to a broker that does not
//! answer, log entries by the requests a node got and the chains it holds, and bytes synced by entries, all stay under
//! the limits below. However many chains wait for a dead remote, it is asked only to see whether it is back. A broker that spins breaks them within a
//! second; one that works stays far below.

use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    Findings, Reads, p8_absent_home, p8_at_once, p8_bytes, p8_early_acks, p8_fair, p8_joined, p8_merges, p8_polls,
    p8_repeats, p8_tables, p8_waits, silence::silences,
};
use crate::{
    history::{EventKind, Noted},
    ledger::{Ledger, wire::Send},
    plan::SimMs,
};

/// Requests of one code from one broker or name server to one node in any second: far above the paced drains and the
/// job limits, far below a loop that does not wait for a simulated disk or wire.
pub const BROKER_REQUESTS_PER_SECOND: usize = 500;

/// The same for a client, besides what it sends or acks for the first time: how much that is, is the workload's doing.
pub const CLIENT_REQUESTS_PER_SECOND: usize = 200;

/// Syncs of one disk in any second: one that takes a millisecond cannot be done more often.
pub const SYNCS_PER_SECOND: usize = 1000;

/// Entries that a node may write for its own start: topics, groups, settings.
pub const ENTRIES_AT_START: u64 = 1000;

/// Entries per request served: the step itself, and one for what it wakes.
pub const ENTRIES_PER_REQUEST: u64 = 2;

/// Entries per attempt of a chain: its beginning and its end.
pub const ENTRIES_PER_ATTEMPT: u64 = 2;

/// Entries per chain besides attempts: opened, ended, parked, resumed.
pub const ENTRIES_PER_CHAIN: u64 = 4;

/// Bytes that an empty store writes: regions, roots of all tables, recoveries.
pub const BYTES_AT_START: u64 = 64 << 20;

/// Bytes per entry besides messages: a commit rewrites the path to a leaf in each of a dozen tables, 4 KiB a page.
pub const BYTES_PER_ENTRY: u64 = 512 << 10;

/// Reads that may be on their way when a broker falls silent (so many at once, and those before the third failure), and
/// after which nobody can have learned of it yet.
pub const READS_INTO_SILENCE: u64 = 16;

/// Then one read each such span, to see whether it is back.
pub const PROBE_EVERY_MS: SimMs = 5_000;

/// Once a silence has lasted for so long, nobody asks that often any more.
pub const LONG_SILENCE_MS: SimMs = 300_000;

/// From then on one read each such span: not quite 3,000 in a day.
pub const LATER_PROBE_EVERY_MS: SimMs = 30_000;

/// Checkpoints that may be on their way: those of the pops under way too, each of which may have some per queue.
pub const CHECKPOINTS_INTO_SILENCE: u64 = 64;

/// Then one each such span: a pop that goes to see whether the target is back brings the checkpoints of its queues.
pub const CHECKPOINT_EVERY_MS: SimMs = 1_000;

const WINDOW_MS: SimMs = 1000;

/// Notices when more than a limit of events fall into one second; reports each run of excess once.
#[derive(Default)]
struct Rate {
    recent: VecDeque<SimMs>,
    exceeded: bool,
}

impl Rate {
    fn count(&mut self, at_ms: SimMs, limit: usize) -> bool {
        while self.recent.front().is_some_and(|first| first + WINDOW_MS <= at_ms) {
            self.recent.pop_front();
        }
        self.recent.push_back(at_ms);
        let is_over = self.recent.len() > limit;
        let is_news = is_over && !self.exceeded;
        self.exceeded = is_over;
        is_news
    }
}

pub(super) fn check(ledger: &Ledger<'_>, reads: &Reads<'_>, found: &mut Findings<'_>) {
    let mut clients = BTreeSet::new();
    for event in &ledger.history.events {
        match &event.kind {
            EventKind::Noted(Noted::Sent(sent)) => clients.insert(sent.producer.as_str()),
            EventKind::Noted(Noted::Popped(popped)) => clients.insert(popped.consumer.as_str()),
            _ => false,
        };
    }
    let (mut requests, mut syncs) =
        (FxHashMap::<(&str, &str, i32), Rate>::default(), FxHashMap::<&str, Rate>::default());
    let (mut bytes, mut served) = (FxHashMap::<&str, u64>::default(), FxHashMap::<&str, u64>::default());
    let firsts = firsts(ledger);
    for (number, event) in ledger.history.events.iter().enumerate() {
        match &event.kind {
            EventKind::Request(frame) => {
                // What a slave asks for allows its master nothing: it only reads the log.
                let is_work = !ledger.obligations.slaves.contains_key(&*frame.from);
                *served.entry(&frame.to).or_default() += u64::from(is_work);
                let is_client = clients.contains(&*frame.from);
                let limit = if is_client { CLIENT_REQUESTS_PER_SECOND } else { BROKER_REQUESTS_PER_SECOND };
                let rate = requests.entry((&frame.from, &frame.to, frame.request_code)).or_default();
                if !(is_client && firsts.contains(&number)) && rate.count(event.at_ms, limit) {
                    let detail =
                        format!("more than {limit} requests {} to {} in a second", frame.request_code, frame.to);
                    found.broken(event.at_ms, &frame.from, detail);
                }
            }
            EventKind::Synced { node, bytes: synced, .. } => {
                *bytes.entry(node).or_default() += synced;
                if syncs.entry(node).or_default().count(event.at_ms, SYNCS_PER_SECOND) {
                    found.broken(event.at_ms, node, format!("more than {SYNCS_PER_SECOND} syncs in a second"));
                }
            }
            _ => {}
        }
    }
    reads_of_a_message(ledger, reads, found);
    dead_peers(ledger, found);
    disks(ledger, &bytes, &served, found);
    replicas(ledger, &bytes, found);
    p8_tables::check(ledger, found);
    p8_merges::check(ledger, found);
    p8_absent_home::check(ledger, found);
    p8_fair::check(ledger, found);
    p8_joined::check(ledger, found);
    p8_polls::check(ledger, found);
    p8_repeats::check(ledger, found);
    p8_at_once::check(ledger, found);
    p8_waits::check(ledger, found);
    p8_bytes::check(ledger, found);
    p8_early_acks::check(ledger, found);
}

/// The sends that bring a message for the first time, and the first ack by each handle: positions in the history.
fn firsts(ledger: &Ledger<'_>) -> BTreeSet<usize> {
    let (mut sent, mut acked) = (BTreeSet::new(), BTreeSet::new());
    let mut firsts = BTreeSet::new();
    for send in &ledger.wire.sends {
        if send.ledger.as_ref().is_some_and(|stamp| sent.insert((send.call.from, stamp))) {
            firsts.insert(send.call.event);
        }
    }
    for ack in &ledger.wire.acks {
        if acked.insert((ack.call.from, &ack.broker, &ack.topic, ack.queue, ack.offset, &ack.group, ack.pop_time)) {
            firsts.insert(ack.call.event);
        }
    }
    firsts
}

fn dead_peers(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let reads = silences(ledger, ledger.wire.pulls.iter().map(|pull| pull.call));
    let is_checkpoint =
        |send: &&Send<'_>| send.topic.starts_with("rmq_sys_REVIVE_LOG_") && send.property("TAGS") == Some("ck");
    let checkpoints = silences(ledger, ledger.wire.sends.iter().filter(is_checkpoint).map(|send| send.call));
    let reads = reads.iter().map(|silence| (silence, "reads", silence.excess(reads_allowed)));
    let allowed = |silent_ms: SimMs| CHECKPOINTS_INTO_SILENCE + silent_ms / CHECKPOINT_EVERY_MS;
    let checkpoints = checkpoints.iter().map(|silence| (silence, "checkpoints", silence.excess(allowed)));
    for (silence, what, excess) in reads.chain(checkpoints) {
        if let Some((count, at_ms)) = excess {
            let detail = format!("{count} {what} to {}, which does not answer, are too many", silence.server);
            found.broken(at_ms, silence.from, detail);
        }
    }
}

const fn reads_allowed(silent_ms: SimMs) -> u64 {
    READS_INTO_SILENCE + looks_allowed(silent_ms)
}

/// How often somebody who is silent may be asked whether he is back.
pub(super) const fn looks_allowed(silent_ms: SimMs) -> u64 {
    let long_ms = silent_ms.saturating_sub(LONG_SILENCE_MS);
    (silent_ms - long_ms) / PROBE_EVERY_MS + long_ms / LATER_PROBE_EVERY_MS
}

fn reads_of_a_message(ledger: &Ledger<'_>, reads: &Reads<'_>, found: &mut Findings<'_>) {
    for (home, place, pulls) in reads.all() {
        let groups = ledger.obligations.groups.iter();
        let lives = groups.flat_map(|group| ledger.chains_at(place, &group.name)).filter(|life| life.node == home);
        let rounds: u64 = lives.map(|life| u64::from(life.last().round) + 1).sum();
        let limit = rounds * u64::from(ledger.obligations.policy.attempts());
        if pulls.len() as u64 > limit {
            let at_ms = pulls[pulls.len() - 1].call.at_ms;
            found.broken(at_ms, place, format!("{home} read it {} times, at most {limit} are allowed", pulls.len()));
        }
    }
}

fn disks(ledger: &Ledger<'_>, bytes: &FxHashMap<&str, u64>, served: &FxHashMap<&str, u64>, found: &mut Findings<'_>) {
    let mut allowed: BTreeMap<&str, u64> = BTreeMap::new();
    for life in &ledger.chains {
        let rounds = u64::from(life.last().round) + 1;
        let attempts = u64::from(ledger.obligations.policy.attempts());
        *allowed.entry(life.node).or_default() += rounds * (ENTRIES_PER_CHAIN + ENTRIES_PER_ATTEMPT * attempts);
    }
    let end_ms = ledger.history.events.last().map_or(0, |event| event.at_ms);
    for (node, entries) in &ledger.logs {
        let requests = served.get(node).copied().unwrap_or(0);
        let timers = ledger.timers.iter().filter(|timer| timer.node == *node).count() as u64;
        let chains = allowed.get(node).copied().unwrap_or(0);
        let limit = ENTRIES_AT_START + ENTRIES_PER_REQUEST * requests + timers + chains;
        let count = entries.len() as u64;
        if count > limit {
            found.broken(end_ms, node, format!("{count} log entries, its work allows {limit}"));
        }
        let stored = ledger.messages.iter().filter(|stored| stored.place.node == *node);
        let bodies: u64 = stored.map(|stored| stored.message.body.len() as u64).sum();
        // A message is written with its page, and again whenever a neighbour on that page changes.
        let limit = BYTES_AT_START + BYTES_PER_ENTRY * count + 16 * bodies;
        let synced = bytes.get(node).copied().unwrap_or(0);
        if synced > limit {
            found.broken(end_ms, node, format!("{synced} bytes synced, {count} entries allow {limit}"));
        }
    }
}

/// A slave's disk grows with what it copies; how many entries that may be is its master's affair.
fn replicas(ledger: &Ledger<'_>, bytes: &FxHashMap<&str, u64>, found: &mut Findings<'_>) {
    let end_ms = ledger.history.events.last().map_or(0, |event| event.at_ms);
    for node in ledger.obligations.slaves.keys() {
        let log = ledger.replicas.log(node);
        let (count, length) = (log.len() as u64, log.iter().map(|step| step.entry.length).sum::<u64>());
        let limit = BYTES_AT_START + BYTES_PER_ENTRY * count + 16 * length;
        let synced = bytes.get(node.as_str()).copied().unwrap_or(0);
        if synced > limit {
            found.broken(end_ms, node, format!("{synced} bytes synced, {count} entries allow {limit}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{
        BROKER_REQUESTS_PER_SECOND, BYTES_AT_START, CLIENT_REQUESTS_PER_SECOND, ENTRIES_AT_START, LATER_PROBE_EVERY_MS,
        PROBE_EVERY_MS, SYNCS_PER_SECOND, reads_allowed,
    };
    use crate::{
        evidence::{Outcome, frame::code},
        history::{EventKind, Seen},
        oracles::fixture::{Story, chain, message},
    };

    #[test]
    fn work_within_the_limits_is_right() {
        let mut story = Story::new();
        for _ in 0..SYNCS_PER_SECOND * 2 {
            story.wait(1).event(EventKind::Synced { node: "a".into(), sync: 1, bytes: 4096 });
            story.request("a", "b", code::REGISTER_BROKER, &[], b"").to_string();
            story.wait(1);
        }
        story.holds();
    }

    #[test]
    fn a_loop_of_requests_is_noticed() {
        let mut story = Story::new();
        for _ in 0..=BROKER_REQUESTS_PER_SECOND {
            story.request("a", "b", code::REGISTER_BROKER, &[], b"");
        }
        story.breaks("P8", "more than 500 requests 103 to b in a second");
    }

    /// So many sends leave a client within a second, and say that they bring so many messages.
    fn is_blamed_for(sends: usize, messages: u32) -> bool {
        let mut story = Story::new();
        story.send(0, 0);
        for number in (1..=messages).cycle().take(sends) {
            let body = message("t", 0, number, 0).body;
            story.request("p", "a", code::SEND, &[("topic", "t")], &body);
        }
        story.is_blamed("P8", "in a second")
    }

    #[test]
    fn a_client_may_send_as_much_as_it_has_and_not_the_same_again_and_again() {
        assert!(!is_blamed_for(1_000, 1_000));
        assert!(is_blamed_for(CLIENT_REQUESTS_PER_SECOND + 12, 10));
    }

    #[test]
    fn a_client_may_ack_what_it_has_and_not_the_same_again_and_again() {
        for (offsets, blamed) in [(1_000, false), (10, true)] {
            let mut story = Story::new();
            story.send(0, 0);
            for offset in (0..offsets).cycle().take(1_000).map(|offset: i32| offset.to_string()) {
                let extra = format!("0 1000 10000 1001 0 a 0 {offset}");
                let fields = [("consumerGroup", "g"), ("topic", "t"), ("queueId", "0"), ("offset", offset.as_str())];
                story.request("p", "a", code::ACK, &[&fields[..], &[("extraInfo", extra.as_str())]].concat(), b"");
            }
            assert_eq!(story.is_blamed("P8", "in a second"), blamed, "{offsets}");
        }
    }

    #[test]
    fn a_loop_of_syncs_is_noticed() {
        let mut story = Story::new();
        for _ in 0..=SYNCS_PER_SECOND {
            story.event(EventKind::Synced { node: "a".into(), sync: 1, bytes: 1 });
        }
        story.breaks("P8", "syncs in a second");
    }

    #[test]
    fn a_disk_that_grows_without_work_is_noticed() {
        let mut story = Story::new();
        story.event(EventKind::Synced { node: "a".into(), sync: 1, bytes: BYTES_AT_START * 2 });
        story.breaks("P8", "bytes synced");

        let mut story = Story::new();
        for _ in 0..ENTRIES_AT_START + 10 {
            story.durable("a", vec![]);
        }
        story.breaks("P8", "log entries, its work allows");
    }

    #[test]
    fn a_slave_s_disk_is_bounded_too() {
        let mut story = Story::with_slave();
        story.event(EventKind::Synced { node: "a-s1".into(), sync: 1, bytes: BYTES_AT_START * 2 });
        story.breaks("P8", "bytes synced, 0 entries allow");
    }

    #[test]
    fn what_slaves_ask_for_is_no_work_for_their_master() {
        let mut story = Story::with_slave();
        for _ in 0..ENTRIES_AT_START + 10 {
            story.wait(10).request("a-s1", "a", code::REPLICATE, &[], b"");
            story.durable("a", vec![]);
        }
        story.breaks("P8", "log entries, its work allows");
    }

    #[test]
    fn a_slave_that_answers_makes_its_silent_master_no_cheaper() {
        for (asks_master, noticed) in [(true, true), (false, false)] {
            let mut story = Story::with_slave();
            for offset in 0..100 {
                story.wait(1_000);
                if asks_master {
                    story.read(offset);
                }
                let call = story.wait(100).read_slave(offset);
                story.response(("a-s1", "b", call), (code::PULL, 19), &[], b"");
            }
            let judged = story.judge();
            let is_it = |it: &crate::oracles::Violation| it.detail.contains("reads to a, which does not answer");
            assert_eq!(judged.violations.iter().any(is_it), noticed);
        }
    }

    /// `b` reads other messages again and again, each one once; every `answer_each`-th read is answered.
    fn reads(count: i64, every_ms: u64, answer_each: i64) -> Story {
        let mut story = Story::new();
        for offset in 0..count {
            let opaque = story.read(offset);
            if offset % answer_each == answer_each - 1 {
                story.response(("a", "b", opaque), (code::PULL, 19), &[], b"");
            }
            story.wait(every_ms);
        }
        story
    }

    #[test]
    fn a_dead_remote_costs_a_trickle() {
        let is_noticed = |mut story: Story| {
            let judged = story.judge();
            judged.violations.iter().any(|it| it.promise == "P8" && it.detail.contains("which does not answer"))
        };
        assert!(is_noticed(reads(40, 1_000, i64::MAX)), "a read a second");
        assert!(is_noticed(reads(17, 1, i64::MAX)), "more than can be on their way");
        assert!(!is_noticed(reads(16, 1, i64::MAX)));
        assert!(is_noticed(reads(400, PROBE_EVERY_MS, i64::MAX)), "one each interval, for half an hour");
        assert!(!is_noticed(reads(60, PROBE_EVERY_MS, i64::MAX)), "one each interval");
        assert!(!is_noticed(reads(400, LATER_PROBE_EVERY_MS, i64::MAX)), "one each longer interval");
        assert!(reads_allowed(24 * 3_600_000) < 3_000);
        assert!(!is_noticed(reads(400, 10, 10)), "it answers now and then");
        let mut story = Story::new();
        for _ in 0..300 {
            story.wait(500).request(
                "a",
                "b",
                code::SEND_V2,
                &[("b", "rmq_sys_REVIVE_LOG_c"), ("i", "TAGS\u{1}ck\u{2}")],
                b"{}",
            );
        }
        assert!(is_noticed(story), "checkpoints");
    }

    #[test]
    fn reads_beyond_the_policy_are_noticed() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let chain = chain("t", 0, story.now_ms);
        story.durable("b", vec![chain.clone().fact()]);
        for _ in 0..4 {
            story.wait(60_000).read(0);
        }
        story.durable("b", vec![chain.clone().ended(Outcome::Acked).fact()]);
        story.ack(&chain, 1, 0, Seen::Unknown { cause: "x".into() });
        story.breaks("P8", "b read it 4 times, at most 3 are allowed");
    }
}
