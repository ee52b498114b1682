//! What is over leaves the tables: when a run ends, each disk holds the rows that its log asks for, none more and none
//! less, and nothing whose time was up long ago.

use std::collections::BTreeSet;

use super::Findings;
use crate::{
    evidence::{DurableEntry, Fact, Tables},
    ledger::Ledger,
    plan::SimMs,
};

/// How much later than it may be a broker takes something off its tables at the latest, ms: it looks in rounds, a batch at
/// a time, and not while it restarts.
const LATE_MS: i64 = 180_000;

/// How many rows of a table a complaint names.
const NAMED: usize = 3;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let end_ms = ledger.history.events.last().map_or(0, |event| event.at_ms);
    for (node, tables) in &ledger.tables {
        if let Some(log) = ledger.logs.get(node) {
            let entries = || log.iter().map(|step| step.entry);
            as_the_log_says(entries(), *tables).into_iter().for_each(|detail| found.broken(end_ms, node, detail));
            overdue(ledger, node, end_ms).into_iter().for_each(|detail| found.broken(end_ms, node, detail));
        } else if ledger.obligations.slaves.contains_key(*node) {
            let entries = ledger.replicas.held(node).iter().map(|step| step.entry);
            as_the_log_says(entries, *tables).into_iter().for_each(|detail| found.broken(end_ms, node, detail));
        }
    }
}

/// Where the tables and what follows from the log differ.
fn as_the_log_says<'e>(log: impl Iterator<Item = &'e DurableEntry>, tables: Option<&Tables>) -> Vec<String> {
    let Some(tables) = tables else {
        let entries = log.count();
        let unread = (entries > 0)
            .then(|| format!("its file holds no tables that can be read, and {entries} entries went into it"));
        return unread.into_iter().collect();
    };
    let due = Tables::that_follow_from(log, tables.settled);
    let none = BTreeSet::new();
    let names: BTreeSet<&str> = tables.rows.keys().chain(due.rows.keys()).copied().collect();
    let rows = |of: &'_ Tables, name| of.rows.get(name).unwrap_or(&none).clone();
    let rows = names.into_iter().flat_map(|name| differences(name, &rows(tables, name), &rows(&due, name)));
    rows.chain(differences("log", &tables.log, &due.log)).collect()
}

fn differences<R: Ord + ToString>(table: &str, is: &BTreeSet<R>, should: &BTreeSet<R>) -> Vec<String> {
    let tell = |verb, rows: Vec<&R>| {
        let named: Vec<String> = rows.iter().take(NAMED).map(|row| row.to_string()).collect();
        (!rows.is_empty()).then(|| format!("table {table} {verb} {} rows: {}", rows.len(), named.join(", ")))
    };
    let (surplus, missing) = (is.difference(should).collect(), should.difference(is).collect());
    [tell("still holds", surplus), tell("lacks", missing)].into_iter().flatten().collect()
}

/// What the node should have dropped long ago by its own clock, which nothing has touched since it wrote last. Nor has
/// anything kept it from looking: it may have come back, or heard that all is merged, a moment before the end.
fn overdue(ledger: &Ledger<'_>, node: &str, end_ms: SimMs) -> Vec<String> {
    let Some(last) = ledger.logs.get(node).and_then(|log| log.last()) else { return Vec::new() };
    let events = &ledger.history.events;
    let since = events.partition_point(|event| event.at_ms.saturating_add(LATE_MS.unsigned_abs()) < end_ms);
    let has_merged = ledger.merges.iter().any(|merged| merged.node == node && merged.event >= since);
    if has_merged || ledger.was_disturbed(since.min(last.event), events.len()) {
        return Vec::new();
    }
    let idle_ms = end_ms.saturating_sub(ledger.at_ms(last.event));
    let now_ms = last.entry.at_ms.saturating_add(i64::try_from(idle_ms).unwrap_or(i64::MAX));
    let log = ledger.logs.get(node).into_iter().flatten().map(|step| step.entry);
    let held = Tables::that_follow_from(log, u64::MAX);
    let until = |table: &str, stays_ms: i64| {
        let rows = held.rows.get(table).into_iter().flatten();
        let ends = rows.filter_map(move |row| Some((row.split(' ').next()?.parse::<i64>().ok()?, row)));
        ends.filter(move |(from_ms, _)| from_ms.saturating_add(stays_ms + LATE_MS) < now_ms).count()
    };
    let mut overdue = Vec::new();
    // A chain that was handed over for an absent master is kept, and all others with it, until the master has merged.
    let is_merged = held.rows.get("acted").is_none_or(|rows| rows.is_empty());
    if let Some(window_ms) = ledger.obligations.chain_windows_ms.get(node).filter(|_| is_merged) {
        let window_ms = i64::try_from(*window_ms).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        let over = until("over", window_ms + window_ms / 10);
        if over > 0 {
            overdue.push(format!("{over} chains are known for longer than {window_ms} ms after they were over"));
        }
    }
    overdue.extend(expired_late(ledger, node, now_ms));
    overdue
}

/// Messages and facts that were past their retention long ago and are still counted among what is kept.
fn expired_late(ledger: &Ledger<'_>, node: &str, now_ms: i64) -> Option<String> {
    let age_ms = ledger.obligations.retention.get(node).and_then(|retention| retention.age_ms)?;
    let age_ms = i64::try_from(age_ms).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    let expiries = ledger.expiries.iter().filter(|expiry| expiry.node == node);
    let first = expiries.map(|expiry| expiry.before).max().unwrap_or(1);
    let says_more = |entry: &DurableEntry| {
        !entry.facts.iter().all(|fact| matches!(fact, Fact::Expired { .. } | Fact::Forgotten { .. }))
    };
    let kept = ledger.logs.get(node).into_iter().flatten().map(|step| step.entry);
    let is_over = |at_ms: i64| at_ms.saturating_add(age_ms + age_ms / 10 + LATE_MS) < now_ms;
    let late = kept.filter(|entry| entry.index >= first && is_over(entry.at_ms) && says_more(entry)).count();
    (late > 0).then(|| format!("{late} log entries are kept for longer than {age_ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::LATE_MS;
    use crate::{
        evidence::{Fact, Tables},
        history::{EventKind, Noted},
        oracles::fixture::Story,
    };

    /// What follows from the log of a node of the story, and is then changed.
    fn at_rest(story: &mut Story, node: &str, change: impl FnOnce(&mut Tables)) {
        let entries = story.history.noted().filter_map(|(_, noted)| match noted {
            Noted::Durable { node: whose, entry, .. } if *whose == *node => Some(&**entry),
            _ => None,
        });
        let mut tables = Tables::that_follow_from(entries, u64::MAX);
        change(&mut tables);
        story.event(EventKind::Noted(Noted::AtRest { node: node.into(), tables: Some(tables) }));
    }

    fn over() -> Story {
        let mut story = Story::with_slave();
        story.obligations.chain_windows_ms.insert("a".into(), 60_000);
        story.send(1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        story.absorb(&chain, 1, 0).catch_up(1);
        story
    }

    #[test]
    fn what_the_log_says_is_right() {
        let mut story = over();
        for node in ["a", "a-s1", "b"] {
            at_rest(&mut story, node, |_| {});
        }
        story.holds();
    }

    #[test]
    fn a_file_that_cannot_be_read_is_noticed() {
        let mut story = over();
        story.event(EventKind::Noted(Noted::AtRest { node: "a".into(), tables: None }));
        story.breaks("P8", "its file holds no tables that can be read");
    }

    #[test]
    fn a_row_too_many_or_too_few_is_noticed() {
        for node in ["a", "a-s1"] {
            let mut story = over();
            at_rest(&mut story, node, |tables| {
                tables.rows.entry("sends").or_default().insert("5 t k".into());
            });
            story.breaks("P8", "table sends still holds 1 rows: 5 t k");
            let mut story = over();
            at_rest(&mut story, node, |tables| drop(tables.rows.remove("chains")));
            story.breaks("P8", "table chains lacks 1 rows: a/t/0/0/g/");
        }
    }

    #[test]
    fn an_entry_too_many_or_too_few_is_noticed() {
        let mut story = over();
        at_rest(&mut story, "a", |tables| assert!(tables.log.insert(99)));
        story.breaks("P8", "table log still holds 1 rows: 99");
        let mut story = over();
        at_rest(&mut story, "a", |tables| assert!(tables.log.pop_first().is_some()));
        story.breaks("P8", "table log lacks 1 rows: 1");
    }

    #[test]
    fn a_chain_that_is_known_too_long_is_noticed() {
        let late = LATE_MS.unsigned_abs();
        for (waited_ms, noticed) in [(66_000 + late, false), (66_100 + late, true)] {
            let mut story = over();
            story.wait(waited_ms);
            at_rest(&mut story, "a", |_| {});
            assert_eq!(story.is_blamed("P8", "1 chains are known for longer than 60000 ms"), noticed);
        }
    }

    #[test]
    fn what_is_kept_past_its_retention_is_noticed() {
        let late = LATE_MS.unsigned_abs();
        for (waited_ms, before, noticed) in
            [(65_000 + late, 1, false), (66_100 + late, 1, true), (66_100 + late, 9, false)]
        {
            let mut story = over();
            let retention = crate::scenario::Retention { age_ms: Some(60_000), bytes: None };
            story.obligations.retention.insert("a".into(), retention);
            story.wait(waited_ms).durable("a", vec![Fact::Expired { broker: "a".into(), before }]);
            at_rest(&mut story, "a", |_| {});
            assert_eq!(story.is_blamed("P8", "log entries are kept for longer than 60000 ms"), noticed);
        }
    }

    #[test]
    fn who_was_hit_or_has_merged_a_moment_ago_may_be_late() {
        let late_ms = LATE_MS.unsigned_abs() + 70_000;
        let mut story = over();
        story.wait(late_ms).event(EventKind::Node { node: "a".into(), event: "resumed".into() }).wait(1_000);
        at_rest(&mut story, "a", |_| {});
        assert!(!story.is_blamed("P8", "are known for longer"));
        let mut story = over();
        story.wait(late_ms).durable("a", vec![Fact::Merged { group: "b".into(), term: 2 }]).wait(1_000);
        at_rest(&mut story, "a", |_| {});
        assert!(!story.is_blamed("P8", "are known for longer"));
    }
}
