//! Part of P8: who asks to wait is not sent away before that: he would only ask again.
//!
//! Rule: a pop is answered with nothing no sooner after it has arrived than it was ready to wait for, or than the longest wait
//! there is, unless something was hit meanwhile: a broker that stops lets nobody wait.

use super::Findings;
use crate::{history::EventKind, ledger::Ledger, plan::SimMs};

/// No broker lets anybody wait longer, ms.
const LONGEST_MS: SimMs = 300_000;

/// Times are whole milliseconds.
const SLACK_MS: SimMs = 5;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for pop in &ledger.wire.empty_pops {
        let Some((answered, _)) = pop.call.answer else { continue };
        let EventKind::Request(frame) = &ledger.history.events[pop.call.event].kind else { continue };
        let Some(arrived_ms) = frame.arrived_ms else { continue };
        let waited_ms = ledger.at_ms(answered).saturating_sub(arrived_ms);
        let asked_ms = pop.poll_ms.min(LONGEST_MS);
        if waited_ms + SLACK_MS < asked_ms && !ledger.was_disturbed(pop.call.event, answered) {
            let detail = format!("a pop of {} brings nothing after {waited_ms} ms, it asked for {asked_ms}", pop.group);
            found.broken(ledger.at_ms(answered), pop.call.server, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SLACK_MS;
    use crate::{evidence::frame::code, history::EventKind, oracles::fixture::Story};

    /// A pop that is ready to wait for so long arrives 50 ms after it left, and is answered with nothing so long after that.
    fn is_blamed(poll_ms: u64, after_ms: u64, is_hit: bool) -> bool {
        let (mut story, poll) = (Story::new(), poll_ms.to_string());
        let fields = [("consumerGroup", "g"), ("topic", "t"), ("pollTime", poll.as_str())];
        let pop = story.request("c", "a", code::POP, &fields, b"");
        story.arrives(Some(50)).wait(50 + after_ms);
        if is_hit {
            story.event(EventKind::Node { node: "a".into(), event: "stops".into() });
        }
        story.response(("a", "c", pop), (code::POP, 210), &[], b"");
        story.is_blamed("P8", "a pop of g brings nothing after")
    }

    #[test]
    fn who_asks_to_wait_waits() {
        assert!(!is_blamed(15_000, 15_000 - SLACK_MS, false) && is_blamed(15_000, 14_999 - SLACK_MS, false));
        assert!(!is_blamed(0, 0, false), "it did not ask to");
        assert!(!is_blamed(900_000, 300_000, false), "nobody waits longer");
        assert!(!is_blamed(15_000, 1_000, true), "its broker was hit");
    }
}
