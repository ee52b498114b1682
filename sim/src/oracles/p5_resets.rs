//! Part of P5: a reset sets an offset to where it was asked to.
//!
//! Rule: a reset to a time begins with the first message of each queue that was stored at or after it, and one to the end
//! passes over all that was there when it was asked for. A message that is past its retention is not there. A queue whose
//! broker's clock was set back has no first message of a time, and is left alone.

use super::Findings;
use crate::ledger::{
    Ledger, OffsetReset, Stored,
    orders::{Order, Ordered},
};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for reset in &ledger.resets {
        let is_it = |asked: &&Ordered<'_>| is_of(reset, asked);
        let Some(asked) = ledger.wire.orders.iter().rfind(is_it) else { continue };
        if let Some(detail) = wrong(ledger, reset, asked) {
            found.broken(reset.at_ms, format!("{} at {}", reset.group, reset.to), detail);
        }
    }
}

fn is_of(reset: &OffsetReset<'_>, asked: &Ordered<'_>) -> bool {
    let Order::Reset { group, topic, queue, .. } = &asked.order else { return false };
    let is_of_queue = queue.is_none_or(|queue| queue == reset.to.queue);
    let is_of = group == reset.group && topic == reset.to.topic && is_of_queue;
    is_of && asked.call.to == reset.to.node && asked.call.event < reset.event
}

fn wrong(ledger: &Ledger<'_>, reset: &OffsetReset<'_>, asked: &Ordered<'_>) -> Option<String> {
    let Order::Reset { since_ms: Some(since_ms), .. } = asked.order else { return None };
    let to = reset.to;
    let queue = ledger.messages.iter().filter(|stored| {
        let place = stored.place;
        (place.node, place.topic, place.queue, place.era) == (to.node, to.topic, to.queue, to.era)
    });
    let is_there = |stored: &&Stored<'_>| ledger.expired(stored).is_none_or(|event| event > reset.event);
    let mut queue: Vec<&Stored<'_>> = queue.filter(|stored| stored.event < reset.event).filter(is_there).collect();
    queue.sort_by_key(|stored| stored.place.offset);
    if since_ms < 0 {
        let passed = queue.iter().rfind(|stored| stored.event < asked.call.event)?;
        let is_short = passed.place.offset >= to.offset;
        return is_short.then(|| format!("reset to the end, and {} is behind it", passed.place.offset));
    }
    if !queue.is_sorted_by_key(|stored| stored.entry.at_ms) {
        return None;
    }
    let first = queue.iter().find(|stored| stored.entry.at_ms >= since_ms);
    if let Some(first) = first.filter(|first| first.place.offset < to.offset) {
        return Some(format!(
            "reset to {since_ms}, and {} of {} is passed over",
            first.place.offset, first.entry.at_ms
        ));
    }
    let begins = queue.iter().find(|stored| stored.place.offset == to.offset);
    let begins = begins.filter(|begins| begins.entry.at_ms < since_ms)?;
    Some(format!("reset to {since_ms}, and it begins with what was stored at {}", begins.entry.at_ms))
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{Fact, frame::code},
        oracles::fixture::{Story, at},
    };

    /// Messages 0 to 2, each 10 ms after the one before; group `g` is reset to a time, and gets to an offset.
    fn reset(since_ms: i64, offset: i64) -> Story {
        let mut story = Story::new();
        for number in 0..3 {
            story.send(number, number.into()).wait(10);
        }
        let since = since_ms.to_string();
        let fields = [("group", "g"), ("topic", "t"), ("queueId", "-1"), ("timestamp", since.as_str())];
        story.request("o", "a", code::RESET_OFFSET, &fields, b"");
        story.reset(offset, &[]);
        story
    }

    #[test]
    fn a_reset_to_a_time_begins_with_what_was_stored_since() {
        let second = at(Story::new().send(0, 0).wait(10).now_ms);
        assert!(!reset(second, 1).is_blamed("P5", "reset to"));
        assert!(!reset(second - 5, 1).is_blamed("P5", "reset to"), "between two of them");
        assert!(reset(second, 2).is_blamed("P5", "and 1 of"));
        assert!(reset(second, 0).is_blamed("P5", "and it begins with"));
        assert!(!reset(0, 0).is_blamed("P5", "reset to") && reset(0, 1).is_blamed("P5", "and 0 of"));
    }

    #[test]
    fn a_reset_passes_over_what_is_past_its_retention() {
        let reset_to = |offset| {
            let mut story = Story::new();
            for number in 0..3 {
                story.send(number, number.into()).wait(10);
            }
            story.durable("a", vec![Fact::Expired { broker: "a".into(), before: 4 }]);
            let fields = [("group", "g"), ("topic", "t"), ("queueId", "-1"), ("timestamp", "0")];
            story.request("o", "a", code::RESET_OFFSET, &fields, b"");
            story.reset(offset, &[]);
            story.is_blamed("P5", "is passed over")
        };
        assert!(!reset_to(2), "the first two are past it");
        assert!(reset_to(3), "the last one is not");
    }

    #[test]
    fn a_reset_to_the_end_passes_over_all_there_was() {
        assert!(!reset(-1, 3).is_blamed("P5", "reset to"));
        assert!(reset(-1, 2).is_blamed("P5", "reset to the end, and 2 is behind it"));
    }
}
