//! Part of P9: what a broker shows whoever operates it.
//!
//! Rule: while nothing is written, and since the process began no disk has failed it, its gauges say what follows from its
//! log, and its counters what its log got in that time. It does not show itself registered when no name server has told it
//! so for long, and it is not unready while nothing hinders it. Where slaves have to confirm what is shown, or may act, its
//! log alone does not tell; of those brokers only their registration is judged.

use std::collections::BTreeMap;

use super::Findings;
use crate::{
    evidence::{ChainFact, ChainState, DurableEntry, Fact, ParkReason, frame::code},
    history::{EventKind, Noted, Scraped},
    ledger::{Ledger, tables::TableFold},
    plan::SimMs,
};

/// For how long nothing must have been written before a scrape is compared, ms, where no fault slows the disk: what is durable is
/// counted once the disk says so.
const QUIET_MS: SimMs = 20_000;

/// After how long without a word of a name server a broker must not call itself registered, ms: two registrations, and the
/// time that they may take.
const UNHEARD_MS: SimMs = 75_000;

/// How long a bit that was read wrongly may be read so, ms.
const MISREAD_FOR_MS: SimMs = 60_000;

/// How long a chain may be due before a broker may call itself stuck, ms.
const DUE_MS: i64 = 30_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for broker in &ledger.obligations.brokers {
        let quiet_ms = QUIET_MS + ledger.obligations.writes_within_ms(broker);
        let mut shown = Shown { is_alone: is_alone(ledger, broker), quiet_ms, ..Shown::default() };
        for event in &ledger.history.events {
            match &event.kind {
                EventKind::Noted(Noted::Scraped(scraped)) if scraped.broker == *broker => {
                    for wrong in shown.compare(scraped, event.at_ms) {
                        found.broken(event.at_ms, broker, wrong);
                    }
                }
                kind => shown.see(broker, event.at_ms, kind),
            }
        }
    }
}

fn is_alone(ledger: &Ledger<'_>, broker: &str) -> bool {
    ledger.obligations.slaves_of(broker).next().is_none() && !ledger.obligations.acting.contains_key(broker)
}

/// What a broker is to show.
#[derive(Default)]
struct Shown {
    /// No slave has to confirm what it shows, and none may act for it.
    is_alone: bool,
    /// For how long nothing must have been written before a scrape is compared, ms.
    quiet_ms: SimMs,
    tables: TableFold,
    /// The state of each chain, by its id.
    chains: BTreeMap<String, ChainFact>,
    /// Counters since it began.
    counts: BTreeMap<String, u64>,
    /// When it last wrote, and what its clock was ahead of the run's then.
    wrote: Option<(SimMs, i64)>,
    /// When something last happened to it.
    hit_ms: SimMs,
    /// Whether a disk has failed the process.
    has_doubts: bool,
    /// When a bit was last read wrongly: it may be so for whoever starts next, and nothing says so again.
    misread_ms: Option<SimMs>,
    /// When a name server last told it that it is registered.
    registered_ms: Option<SimMs>,
}

impl Shown {
    fn see(&mut self, broker: &str, at_ms: SimMs, kind: &EventKind) {
        if kind.begins(broker) {
            self.counts.clear();
        }
        match kind {
            EventKind::Noted(Noted::Durable { node, entry, .. }) if node == broker => {
                let ahead_ms = entry.at_ms.saturating_sub(at_ms.cast_signed());
                self.wrote = Some((at_ms, ahead_ms));
                self.tables.follow(entry);
                self.count(entry);
            }
            EventKind::Node { node, event } if node == broker => {
                self.hit_ms = at_ms;
                if event == "started" {
                    let misreads = self.misread_ms.is_some_and(|misread_ms| misread_ms + MISREAD_FOR_MS > at_ms);
                    (self.has_doubts, self.registered_ms) = (misreads, None);
                }
                if event.starts_with("read a bit wrongly") {
                    self.misread_ms = Some(at_ms);
                }
                self.has_doubts |=
                    ["failed", "had no room", "read a bit wrongly"].iter().any(|failure| event.starts_with(failure));
            }
            EventKind::ClockGained { node, .. } if node == broker => self.hit_ms = at_ms,
            EventKind::Fault { text, .. } if text.starts_with("clock") => self.hit_ms = at_ms,
            EventKind::Response(frame) if *frame.to == *broker && frame.request_code == code::REGISTER_BROKER => {
                let arrived_ms = frame.arrived_ms.filter(|_| frame.code == 0);
                self.registered_ms = arrived_ms.or(self.registered_ms);
            }
            _ => {}
        }
    }

    fn count(&mut self, entry: &DurableEntry) {
        for fact in &entry.facts {
            match fact {
                Fact::Chain(chain) => {
                    let before = self.chains.insert(chain.id.to_string(), (**chain).clone());
                    if let Some(series) = counted_as(before.as_ref(), chain) {
                        *self.counts.entry(series).or_default() += 1;
                    }
                }
                Fact::Forgotten { chains } => {
                    let count = self.counts.entry("pop_revive_chains_forgotten_total".into()).or_default();
                    *count += chains.len() as u64;
                }
                _ => {}
            }
        }
    }

    /// What is shown and is not so.
    fn compare(&self, scraped: &Scraped, at_ms: SimMs) -> Vec<String> {
        let is_registered = level(scraped, "pop_revive_registered") > 0;
        let heard_ms = self.registered_ms.map_or(at_ms, |heard_ms| at_ms.saturating_sub(heard_ms));
        let mut wrong = Vec::new();
        if is_registered && heard_ms > UNHEARD_MS && self.hit_ms + UNHEARD_MS < at_ms {
            wrong.push(format!("it shows itself registered, and no name server has told it so for {heard_ms} ms"));
        }
        let is_quiet = |since_ms: SimMs| since_ms + self.quiet_ms <= scraped.began_ms;
        let wrote = self.wrote.filter(|(wrote_ms, _)| is_quiet(*wrote_ms) && is_quiet(self.hit_ms));
        let has_begun = self.registered_ms.is_some() && !self.has_doubts;
        let Some((_, ahead_ms)) = wrote.filter(|_| self.is_alone && has_begun) else { return wrong };
        for (series, should) in self.should(scraped) {
            let is = level(scraped, &series);
            if is != should {
                wrong.push(format!("it shows {series} as {is}, and its log says {should}"));
            }
        }
        let now_ms = at_ms.cast_signed().saturating_add(ahead_ms);
        let is_behind = self.tables.first_due_ms().is_some_and(|due_ms| due_ms.saturating_add(DUE_MS) < now_ms);
        if scraped.is_registered && !is_behind && !scraped.is_ready {
            wrong.push("it is not ready, and nothing hinders it".into());
        }
        wrong
    }

    /// All that its log tells of what it is to show; of counters that it shows and the log does not tell, nothing.
    fn should(&self, scraped: &Scraped) -> BTreeMap<String, u64> {
        let tables = &self.tables;
        let gauges = [
            ("pop_revive_store_open", 1),
            ("pop_revive_chains_waiting", tables.waiting()),
            ("pop_revive_chains_failing", tables.failing()),
            ("pop_revive_chains_parked", tables.parked()),
            ("pop_revive_messages_held_back", tables.held_back()),
            ("pop_revive_set_aside", tables.set_aside()),
        ];
        let counters = scraped.samples.keys().filter(|series| COUNTERS.iter().any(|name| series.starts_with(name)));
        let mut should: BTreeMap<String, u64> = counters.map(|series| (series.clone(), 0)).collect();
        should.extend(gauges.map(|(series, level)| (series.to_owned(), level)));
        should.extend(self.counts.clone());
        should
    }
}

fn level(scraped: &Scraped, series: &str) -> u64 {
    scraped.samples.get(series).copied().unwrap_or(0)
}

/// Counters that are compared.
const COUNTERS: [&str; 5] = [
    "pop_revive_chains_ended_total",
    "pop_revive_parked_total",
    "pop_revive_resumed_total",
    "pop_revive_rewrites_total",
    "pop_revive_chains_forgotten_total",
];

/// The series that counts what became of a chain.
fn counted_as(before: Option<&ChainFact>, now: &ChainFact) -> Option<String> {
    let ended = |outcome: &str| Some(format!("pop_revive_chains_ended_total{{outcome=\"{outcome}\"}}"));
    let parked = |reason: &str| Some(format!("pop_revive_parked_total{{reason=\"{reason}\"}}"));
    match &now.state {
        ChainState::Ended { .. } | ChainState::Moved { .. } => ended(now.state.name()),
        ChainState::Parked { reason, .. } => parked(match reason {
            ParkReason::PolicyExhausted => "policy-exhausted",
            ParkReason::Permanent => "permanent",
            ParkReason::UnknownAt { .. } => "unknown-at",
        }),
        ChainState::Open { .. } | ChainState::Moving { .. } => {
            let before = before?;
            if matches!(before.state, ChainState::Parked { .. }) {
                return Some("pop_revive_resumed_total".into());
            }
            let attempt = now.attempt;
            (now.failures > before.failures).then(|| match attempt {
                ..=17 => format!("pop_revive_rewrites_total{{attempt=\"{attempt}\"}}"),
                _ => "pop_revive_rewrites_total{attempt=\"18+\"}".into(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{MISREAD_FOR_MS, QUIET_MS, UNHEARD_MS};
    use crate::{
        evidence::frame::code,
        history::{EventKind, Noted, Scraped},
        oracles::fixture::{Story, chain},
    };

    /// `a` starts, registers, has a chain that was acked and one that waits, and nothing happens for long enough.
    fn quiet() -> Story {
        let mut story = Story::new();
        story.event(EventKind::Node { node: "a".into(), event: "started".into() });
        register(&mut story);
        for offset in 0..2 {
            story.send(u32::try_from(offset).unwrap_or(0), offset).wait(10);
        }
        let acked = story.pop("t", 0, 0, 0);
        story.absorb(&acked, 0, 0);
        let waits = chain("t", 1, story.now_ms).open(story.now_ms + 2 * QUIET_MS);
        story.durable("a", vec![waits.fact()]).wait(QUIET_MS);
        story
    }

    fn register(story: &mut Story) {
        let call = story.request("a", "namesrv", code::REGISTER_BROKER, &[], b"{}");
        story.response(("namesrv", "a", call), (code::REGISTER_BROKER, 0), &[], b"");
    }

    /// `a` shows this in the place of what is so.
    fn shows(story: &mut Story, (is_ready, is_registered): (bool, bool), other: &[(&str, u64)]) {
        let right = [
            ("pop_revive_store_open", 1),
            ("pop_revive_registered", 1),
            ("pop_revive_chains_waiting", 1),
            (r#"pop_revive_chains_ended_total{outcome="acked"}"#, 1),
        ];
        let shown = right.iter().chain(other).map(|(series, level)| ((*series).to_owned(), *level));
        let samples: BTreeMap<String, u64> = shown.collect();
        let scraped = Scraped { broker: "a".into(), began_ms: story.now_ms, is_ready, is_registered, samples };
        story.event(EventKind::Noted(Noted::Scraped(scraped)));
    }

    #[test]
    fn what_the_log_says_is_right() {
        let mut story = quiet();
        shows(&mut story, (true, true), &[]);
        assert!(!story.is_blamed("P9", "it shows") && !story.is_blamed("P9", "it is not ready"));
    }

    #[test]
    fn a_wrong_gauge_or_counter_is_noticed() {
        for (series, shown, should) in [
            ("pop_revive_chains_waiting", 2, 1),
            ("pop_revive_chains_failing", 1, 0),
            ("pop_revive_chains_parked", 3, 0),
            ("pop_revive_store_open", 0, 1),
            (r#"pop_revive_chains_ended_total{outcome="acked"}"#, 2, 1),
            (r#"pop_revive_chains_ended_total{outcome="revived"}"#, 1, 0),
            (r#"pop_revive_rewrites_total{attempt="3"}"#, 1, 0),
            ("pop_revive_chains_forgotten_total", 1, 0),
        ] {
            let mut story = quiet();
            shows(&mut story, (true, true), &[(series, shown)]);
            story.breaks("P9", &format!("it shows {series} as {shown}, and its log says {should}"));
        }
    }

    #[test]
    fn a_broker_that_begins_anew_in_its_process_counts_from_nothing() {
        let mut story = quiet();
        story.event(EventKind::Node { node: "a".into(), event: "started again in its process".into() });
        story.wait(QUIET_MS);
        shows(&mut story, (true, true), &[(r#"pop_revive_chains_ended_total{outcome="acked"}"#, 0)]);
        assert!(!story.is_blamed("P9", "it shows"));
    }

    #[test]
    fn while_something_is_written_or_a_disk_has_failed_nothing_is_compared() {
        let mut story = quiet();
        story.durable("a", vec![]).wait(QUIET_MS - 1);
        shows(&mut story, (true, true), &[("pop_revive_chains_waiting", 7)]);
        assert!(!story.is_blamed("P9", "it shows"));
        let mut story = quiet();
        story.event(EventKind::Node { node: "a".into(), event: "failed to sync".into() }).wait(QUIET_MS);
        shows(&mut story, (true, true), &[("pop_revive_chains_waiting", 7)]);
        assert!(!story.is_blamed("P9", "it shows"));
    }

    #[test]
    fn what_was_read_wrongly_may_be_so_for_the_next_process_too() {
        for (later_ms, noticed) in [(MISREAD_FOR_MS - 1, false), (MISREAD_FOR_MS, true)] {
            let mut story = quiet();
            story.event(EventKind::Node { node: "a".into(), event: "read a bit wrongly".into() }).wait(later_ms);
            story.event(EventKind::Node { node: "a".into(), event: "started".into() });
            register(&mut story);
            story.wait(QUIET_MS);
            shows(&mut story, (true, true), &[("pop_revive_store_open", 0)]);
            assert_eq!(story.is_blamed("P9", "it shows pop_revive_store_open"), noticed);
        }
    }

    #[test]
    fn counters_begin_with_the_process_and_gauges_do_not() {
        let mut story = quiet();
        story.event(EventKind::Node { node: "a".into(), event: "started".into() });
        register(&mut story);
        story.wait(QUIET_MS);
        shows(&mut story, (true, true), &[]);
        story.breaks("P9", r#"it shows pop_revive_chains_ended_total{outcome="acked"} as 1, and its log says 0"#);
        assert!(!story.is_blamed("P9", "pop_revive_chains_waiting"));
    }

    #[test]
    fn who_has_not_heard_of_a_name_server_for_long_is_not_registered() {
        for (waited_ms, noticed) in [(UNHEARD_MS - QUIET_MS - 1_000, false), (UNHEARD_MS, true)] {
            let mut story = quiet();
            story.wait(waited_ms);
            shows(&mut story, (true, true), &[]);
            assert_eq!(story.is_blamed("P9", "it shows itself registered"), noticed);
        }
    }

    #[test]
    fn who_is_not_ready_has_a_reason() {
        let mut story = quiet();
        shows(&mut story, (false, true), &[]);
        story.breaks("P9", "it is not ready, and nothing hinders it");
        let mut story = quiet();
        shows(&mut story, (false, false), &[]);
        assert!(!story.is_blamed("P9", "it is not ready"));
    }
}
