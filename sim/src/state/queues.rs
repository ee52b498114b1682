//! The queues that a broker's disk holds, how far each group has popped them, and the delayed messages that wait.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::{Ledger, Place};

/// A queue: its first offset, the one after its last, and the groups' next ones.
#[derive(Default)]
struct Queue<'h> {
    first: Option<i64>,
    end: i64,
    next: BTreeMap<&'h str, i64>,
}

/// One line for each queue that has a message or an offset.
pub(super) fn lines(ledger: &Ledger<'_>, broker: &str) -> Vec<String> {
    let mut queues: BTreeMap<(&str, i32), Queue<'_>> = BTreeMap::new();
    let is_here = |place: &Place<'_>| place.node == broker && !ledger.is_deleted(*place);
    for stored in ledger.messages.iter().filter(|stored| is_here(&stored.place)) {
        let place = stored.place;
        let queue = queues.entry((place.topic, place.queue)).or_default();
        queue.end = queue.end.max(place.offset + 1);
        let has_expired = ledger.expiries.iter().any(|it| it.node == broker && stored.entry.index < it.before);
        if !has_expired {
            queue.first = Some(queue.first.map_or(place.offset, |first| first.min(place.offset)));
        }
    }
    for (place, group, _) in moves(ledger).filter(|(place, ..)| is_here(place)) {
        queues.entry((place.topic, place.queue)).or_default().next.insert(group, place.offset);
    }
    queues.iter().map(line).collect()
}

/// Moves and resets of offsets, in order.
fn moves<'h>(ledger: &Ledger<'h>) -> impl Iterator<Item = (Place<'h>, &'h str, usize)> {
    let moves = ledger.offsets.iter().map(|it| (it.to, it.group, it.event));
    let mut all: Vec<_> = moves.chain(ledger.resets.iter().map(|it| (it.to, it.group, it.event))).collect();
    all.sort_by_key(|(.., event)| *event);
    all.into_iter()
}

fn line(((topic, number), Queue { first, end, next }): (&(&str, i32), &Queue<'_>)) -> String {
    let first = first.unwrap_or(*end);
    let groups: Vec<String> = next.iter().map(|(group, next)| format!("{group} at {next}")).collect();
    let groups = if groups.is_empty() { "nobody has popped".into() } else { groups.join(", ") };
    format!("{topic}/{number} holds {first}..{end}; {groups}")
}

/// How many delayed messages wait at a broker.
pub(super) fn delayed(ledger: &Ledger<'_>, broker: &str) -> usize {
    let fired = ledger.fired.iter().filter(|it| it.node == broker);
    let fired: BTreeSet<(u64, u32)> = fired.map(|it| it.record).collect();
    let is_moved = |record: (u64, u32)| ledger.timers_moved.contains(&(broker, record));
    let waits = |record: (u64, u32)| !fired.contains(&record) && !is_moved(record);
    ledger.timers.iter().filter(|timer| timer.node == broker && waits(timer.record)).count()
}
