//! Part of P9: a broker whose slaves do not confirm what it writes says so, and does not go on writing.
//!
//! Rule, where other disks have to have a record: once one has waited longer than callers do, nothing more is written
//! before the broker has heard that it is confirmed, but for what a slave has done in its place; and while one has waited
//! longer than [`UNREADY_MS`] the broker does not show itself ready.

use super::Findings;
use crate::{
    evidence::Fact,
    history::{Event, EventKind, Noted},
    ledger::{Ledger, LogStep},
    plan::SimMs,
};

/// How long a record may wait before nothing more is written, ms: three seconds, and what was begun by then ends.
const STALLED_MS: SimMs = 15_000;

/// How long a record may wait before the broker is to call itself unready, ms: ten seconds, and a look at it takes time.
const UNREADY_MS: SimMs = 15_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for (broker, log) in &ledger.logs {
        if ledger.obligations.other_disks(broker) > 0 {
            let waits: Vec<Wait> = log.iter().map(|step| Wait::of(ledger, broker, step)).collect();
            writes_on(ledger, broker, (log, &waits), found);
            shows_itself_ready(ledger, broker, &waits, found);
        }
    }
}

/// From when to when the broker did not know that an entry is confirmed, simulated ms.
#[derive(Debug, Clone, Copy)]
struct Wait {
    from_ms: SimMs,
    to_ms: SimMs,
}

impl Wait {
    fn of(ledger: &Ledger<'_>, broker: &str, step: &LogStep<'_>) -> Self {
        let told_ms = ledger.told_ms(broker, step.entry.index, step.event);
        Self { from_ms: ledger.at_ms(step.event), to_ms: told_ms.unwrap_or(SimMs::MAX) }
    }

    /// Whether it lasted for longer than `span_ms` at a time, all of it since `begun_ms`, and went on: who hears of it goes on
    /// at the same moment.
    fn lasted(self, span_ms: SimMs, begun_ms: SimMs, at_ms: SimMs) -> bool {
        self.from_ms.max(begun_ms).saturating_add(span_ms) < at_ms && at_ms < self.to_ms
    }
}

/// When the broker last began to count before an event: whoever starts or opens its store again does so anew. One whose
/// store reads wrongly may take its time until it reads it again; to open a store is to sync it.
fn begun_ms(ledger: &Ledger<'_>, broker: &str, before: usize) -> SimMs {
    let events = &ledger.history.events;
    let hit = |event: &Event| match &event.kind {
        EventKind::Node { node, event } if node == broker => Some(event.starts_with("read a bit wrongly")),
        _ => None,
    };
    let Some((number, is_misread)) = (0..before).rev().find_map(|number| Some((number, hit(&events[number])?))) else {
        return 0;
    };
    let syncs = |event: &&Event| matches!(&event.kind, EventKind::Synced { node, .. } if node == broker);
    let opened = events[number..before].iter().find(syncs);
    match is_misread {
        true => opened.unwrap_or(&events[before]).at_ms,
        false => events[number].at_ms,
    }
}

fn writes_on(ledger: &Ledger<'_>, broker: &str, (log, waits): (&[LogStep<'_>], &[Wait]), found: &mut Findings<'_>) {
    for (number, step) in log.iter().enumerate() {
        let at_ms = ledger.at_ms(step.event);
        let is_merge = step.entry.facts.iter().any(|fact| matches!(fact, Fact::Merged { .. }));
        let suspects = waits[..number].iter().rev().take_while(|wait| wait.to_ms > at_ms);
        if is_merge || !suspects.clone().any(|wait| wait.lasted(STALLED_MS, 0, at_ms)) {
            continue;
        }
        let begun_ms = begun_ms(ledger, broker, step.event);
        if suspects.clone().any(|wait| wait.lasted(STALLED_MS, begun_ms, at_ms)) {
            let index = step.entry.index;
            found.broken(at_ms, broker, format!("it writes entry {index} while an earlier one waits to be confirmed"));
        }
    }
}

fn shows_itself_ready(ledger: &Ledger<'_>, broker: &str, waits: &[Wait], found: &mut Findings<'_>) {
    for (number, event) in ledger.history.events.iter().enumerate() {
        let EventKind::Noted(Noted::Scraped(scraped)) = &event.kind else { continue };
        if scraped.broker != *broker || !scraped.is_ready {
            continue;
        }
        let begun_ms = begun_ms(ledger, broker, number);
        if waits.iter().any(|wait| wait.lasted(UNREADY_MS, begun_ms, scraped.began_ms) && wait.to_ms > event.at_ms) {
            found.broken(event.at_ms, broker, "it shows itself ready while nobody confirms what it writes");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{STALLED_MS, UNREADY_MS};
    use crate::{
        evidence::Fact,
        history::{EventKind, Noted, Scraped},
        oracles::fixture::Story,
    };

    /// `a` has written something that its slave, which has to confirm it, never gets.
    fn alone() -> Story {
        let mut story = Story::with_slave();
        story.obligations.degrees.insert("a".into(), 2);
        story.send(1, 0);
        story
    }

    fn shows(story: &mut Story, is_ready: bool) {
        let (began_ms, samples) = (story.now_ms, BTreeMap::new());
        let scraped = Scraped { broker: "a".into(), began_ms, is_ready, is_registered: true, samples };
        story.event(EventKind::Noted(Noted::Scraped(scraped)));
    }

    #[test]
    fn nothing_is_written_behind_what_is_not_confirmed() {
        for (waited_ms, noticed) in [(STALLED_MS, false), (STALLED_MS + 1, true)] {
            let mut story = alone();
            story.wait(waited_ms).durable("a", vec![]);
            assert_eq!(story.is_blamed("P9", "while an earlier one waits to be confirmed"), noticed);
        }
    }

    #[test]
    fn what_a_slave_has_done_is_merged_all_the_same() {
        let mut story = alone();
        story.wait(STALLED_MS + 1).durable("a", vec![Fact::Merged { group: "a".into(), term: 2 }]);
        assert!(!story.is_blamed("P9", "while an earlier one waits"));
    }

    #[test]
    fn who_takes_long_to_start_counts_from_when_its_code_runs() {
        let mut story = alone();
        let event = |event: &str| EventKind::Node { node: "a".into(), event: event.into() };
        story.wait(1_000).event(event("started")).wait(STALLED_MS + 1).event(event("began"));
        story.wait(1_000).durable("a", vec![]);
        assert!(!story.is_blamed("P9", "while an earlier one waits"));
    }

    #[test]
    fn who_has_just_started_counts_anew() {
        let mut story = alone();
        story.wait(STALLED_MS + 1).event(EventKind::Node { node: "a".into(), event: "started".into() });
        story.wait(1_000).durable("a", vec![]);
        assert!(!story.is_blamed("P9", "while an earlier one waits"));
    }

    #[test]
    fn who_reads_wrongly_counts_from_when_its_store_is_open_again() {
        for (is_open_for_ms, noticed) in [(STALLED_MS, false), (STALLED_MS + 1, true)] {
            let mut story = alone();
            story.wait(1_000).event(EventKind::Node { node: "a".into(), event: "read a bit wrongly".into() });
            story.wait(60_000).event(EventKind::Synced { node: "a".into(), sync: 7, bytes: 20 });
            story.wait(is_open_for_ms).durable("a", vec![]);
            assert_eq!(story.is_blamed("P9", "while an earlier one waits"), noticed, "open for {is_open_for_ms} ms");
        }
    }

    #[test]
    fn while_nobody_confirms_it_is_not_ready() {
        for (waited_ms, is_ready, noticed) in
            [(UNREADY_MS, true, false), (UNREADY_MS + 1, true, true), (UNREADY_MS + 1, false, false)]
        {
            let mut story = alone();
            story.wait(waited_ms);
            shows(&mut story, is_ready);
            assert_eq!(story.is_blamed("P9", "it shows itself ready"), noticed);
        }
    }
}
