//! Whether a run had frames that queued on their way arrive at one moment.

use rustc_hash::FxHashMap;

use crate::{history::EventKind, ledger::Ledger, plan::SimMs};

/// How long one frame left after another that arrives with it, ms.
const APART_MS: SimMs = 2_000;
/// How soon after it the other arrives, ms.
const TOGETHER_MS: SimMs = 10;

pub(super) fn reached(ledger: &Ledger<'_>) -> Option<&'static str> {
    // Connection and sender → when the frame before left and arrived.
    let mut before: FxHashMap<(u64, &str), (SimMs, SimMs)> = FxHashMap::default();
    let frames = ledger.history.events.iter().filter_map(|event| match &event.kind {
        EventKind::Request(frame) | EventKind::Response(frame) => Some((event.at_ms, frame)),
        _ => None,
    });
    for (left_ms, frame) in frames {
        let Some(arrived_ms) = frame.arrived_ms else { continue };
        let last = before.insert((frame.connection, &frame.from), (left_ms, arrived_ms));
        let are_together = |(left, arrived): (SimMs, SimMs)| {
            left + APART_MS <= left_ms && (arrived..=arrived + TOGETHER_MS).contains(&arrived_ms)
        };
        if last.is_some_and(are_together) {
            return Some("arrived-together");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::{evidence::frame::code, oracles::fixture::Story};

    #[test]
    fn frames_that_left_one_after_the_other_arrive_together_if_they_were_held_up() {
        let are_together = |first_takes_ms: u64| {
            let mut story = Story::new();
            story.request("c", "a", code::POP, &[], b"");
            story.arrives(Some(first_takes_ms)).wait(5_000).request("c", "a", code::ACK, &[], b"");
            story.judge().reached.contains("arrived-together")
        };
        assert!(are_together(5_000) && !are_together(1) && !are_together(9_000));
    }
}
