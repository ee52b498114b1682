//! Part of P9: a master that cannot merge what its slave did does not call itself ready.
//!
//! Rule: once it has told its slave to wait with its log, it is not ready before it has merged, or has begun anew, or its
//! slave follows it again or was told something else.

use super::Findings;
use crate::{
    evidence::frame::{WireFrame, code},
    history::{EventKind, Frame, Noted},
    ledger::Ledger,
    plan::SimMs,
};

/// The answer of a master that cannot do what it is asked for now.
const SYSTEM_BUSY: i32 = 2;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for broker in ledger.obligations.acting.keys() {
        // Since when it has waited.
        let mut waits_ms: Option<SimMs> = None;
        for (number, event) in ledger.history.events.iter().enumerate() {
            match &event.kind {
                EventKind::Response(frame) if *frame.from == **broker && frame.request_code == code::REPLICATE => {
                    let waits = frame.code == SYSTEM_BUSY;
                    waits_ms = waits_ms.or(Some(event.at_ms)).filter(|_| waits);
                }
                EventKind::Request(frame) if *frame.to == **broker && follows(frame) => waits_ms = None,
                EventKind::Node { node, .. } if node == broker => waits_ms = None,
                EventKind::Noted(Noted::Durable { node, .. }) if node == broker => {
                    let has_merged = ledger.merges.iter().any(|merged| merged.event == number);
                    waits_ms = waits_ms.filter(|_| !has_merged);
                }
                EventKind::Noted(Noted::Scraped(scraped)) if scraped.broker == *broker && scraped.is_ready => {
                    if let Some(waits_ms) = waits_ms.filter(|waits_ms| *waits_ms < scraped.began_ms) {
                        let for_ms = event.at_ms - waits_ms;
                        let detail = format!("it is ready, and has not merged what its slave did for {for_ms} ms");
                        found.broken(event.at_ms, broker, detail);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether a slave asks for more of the log, and tells of nothing that it did.
fn follows(frame: &Frame) -> bool {
    let is_one = frame.request_code == code::REPLICATE;
    is_one && !WireFrame::read(&frame.bytes).is_ok_and(|read| read.get("actingTerm").is_some())
}

#[cfg(test)]
mod tests {
    use super::SYSTEM_BUSY;
    use crate::{
        evidence::{Fact, frame::code},
        history::{EventKind, Noted, Scraped},
        oracles::fixture::Story,
    };

    /// The slave of `a`, which has acted, asks to be merged, and hears this.
    fn told(answered: i32) -> Story {
        let mut story = Story::with_slave();
        story.obligations.acting.insert("a".into(), "b".into());
        let call = story.request("a-s1", "a", code::REPLICATE, &[("actingTerm", "2")], b"");
        story.response(("a", "a-s1", call), (code::REPLICATE, answered), &[], b"");
        story
    }

    /// Whether `a` is blamed that shows itself ready, or not, a while later.
    fn is_blamed(mut story: Story, is_ready: bool) -> bool {
        let began_ms = story.wait(1_000).now_ms;
        let scraped =
            Scraped { broker: "a".into(), began_ms, is_ready, is_registered: true, samples: [].into_iter().collect() };
        story.event(EventKind::Noted(Noted::Scraped(scraped)));
        story.is_blamed("P9", "it is ready, and has not merged")
    }

    #[test]
    fn who_waits_with_a_merge_is_not_ready() {
        assert!(is_blamed(told(SYSTEM_BUSY), true) && !is_blamed(told(SYSTEM_BUSY), false));
        assert!(!is_blamed(told(0), true), "nothing was to be merged");
    }

    #[test]
    fn it_is_once_it_has_merged_or_is_followed_again() {
        let mut story = told(SYSTEM_BUSY);
        story.durable("a", vec![Fact::Merged { group: "a".into(), term: 3 }]);
        assert!(!is_blamed(story, true));
        let mut story = told(SYSTEM_BUSY);
        story.request("a-s1", "a", code::REPLICATE, &[], b"");
        assert!(!is_blamed(story, true));
        let mut story = told(SYSTEM_BUSY);
        story.event(EventKind::Node { node: "a".into(), event: "started".into() });
        assert!(!is_blamed(story, true));
    }
}
