//! Whether a run had a broker's clock show the same time for long.

use rustc_hash::FxHashMap;

use crate::{ledger::Ledger, plan::SimMs};

/// How long after a pop was answered another comes that cannot have its pop time, ms.
const LATER_MS: SimMs = 1_000;

pub(super) fn reached(ledger: &Ledger<'_>) -> impl Iterator<Item = &'static str> {
    has_one_time(ledger).then_some("pops-at-one-time").into_iter()
}

/// A broker gave a pop the time of one that had been answered long before it came.
fn has_one_time(ledger: &Ledger<'_>) -> bool {
    let mut answered: FxHashMap<(&str, i64), SimMs> = FxHashMap::default();
    for delivery in &ledger.wire.deliveries {
        let key = (delivery.call.server, delivery.pop_time);
        let first_ms = answered.entry(key).or_insert(delivery.at_ms);
        *first_ms = delivery.at_ms.min(*first_ms);
    }
    ledger.wire.deliveries.iter().any(|delivery| {
        let first_ms = answered.get(&(delivery.call.server, delivery.pop_time));
        first_ms.is_some_and(|first_ms| first_ms + LATER_MS <= delivery.call.at_ms)
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::frame::code,
        oracles::fixture::{Story, at, encode, message},
    };

    fn pop(story: &mut Story, server: &str, time_ms: u64, offset: i64) {
        let call = story.request("c", server, code::POP, &[("consumerGroup", "g"), ("topic", "t")], b"");
        let time = at(time_ms).to_string();
        let body = encode(&message("t", offset, 1, 0));
        story.response((server, "c", call), (code::POP, 0), &[("popTime", &time)], &body);
    }

    /// The second pop comes so long after the first.
    fn is_reached(server: &str, wait_ms: u64, gone_on_ms: u64) -> bool {
        let mut story = Story::new();
        let first_ms = story.now_ms;
        pop(&mut story, "a", first_ms, 0);
        pop(story.wait(wait_ms), server, first_ms + gone_on_ms, 1);
        story.judge().reached.contains("pops-at-one-time")
    }

    #[test]
    fn a_pop_that_comes_later_has_a_later_time_unless_the_clock_stands_still() {
        assert!(is_reached("a", 2_000, 0));
        assert!(!is_reached("a", 2_000, 2_000) && !is_reached("b", 2_000, 0));
        assert!(!is_reached("a", 1, 0), "one moment");
    }
}
