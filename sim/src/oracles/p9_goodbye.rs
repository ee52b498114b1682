//! Part of P9: a broker that stops in order says goodbye, so that nobody is sent to where nobody is.
//!
//! Rule: between the signal and its end it asks each name server to take it off the routes, unless something else was
//! broken since that one last answered it, or it had not for [`HEARD_MS`]. While every answer is slow, the time it
//! has may be over before its last registration is answered, which a goodbye must not overtake.

use std::collections::BTreeSet;

use super::Findings;
use crate::{
    evidence::frame::code,
    history::{EventKind, Frame},
    ledger::Ledger,
    plan::SimMs,
};

/// How long ago the name server must have answered, ms: it is asked more often.
const HEARD_MS: SimMs = 45_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let events = &ledger.history.events;
    for (stopping, event) in events.iter().enumerate() {
        let EventKind::Node { node, event: what } = &event.kind else { continue };
        if what != "stopping" || !is_member(ledger, node) {
            continue;
        }
        let is_its_end = |kind: &EventKind| matches!(kind, EventKind::Node { node: of, .. } if of == node);
        let rest = &events[stopping + 1..];
        let Some(stopped) = rest.iter().position(|event| is_its_end(&event.kind)) else { continue };
        let is_in_order = matches!(&rest[stopped].kind, EventKind::Node { event, .. } if event == "stopped");
        let says_goodbye = |server: &str| {
            rest[..stopped].iter().any(|event| match &event.kind {
                EventKind::Request(frame) => is_asked(frame, code::UNREGISTER_BROKER, node, server),
                _ => false,
            })
        };
        // The fault that sends the signal is told of right after it.
        let later = rest.iter().position(|later| later.at_ms > event.at_ms).unwrap_or(stopped);
        let others = later < stopped && ledger.was_disturbed(stopping + 1 + later, stopping + stopped);
        if !is_in_order || others {
            continue;
        }
        for server in name_servers(ledger, node) {
            if !says_goodbye(server) && was_heard(ledger, node, server, stopping) {
                found.broken(event.at_ms, node, format!("it stops in order and stays in the routes of {server}"));
            }
        }
    }
}

fn is_member(ledger: &Ledger<'_>, node: &str) -> bool {
    ledger.obligations.brokers.iter().any(|broker| broker == node) || ledger.obligations.slaves.contains_key(node)
}

/// Where it ever registered.
fn name_servers<'l>(ledger: &'l Ledger<'_>, node: &str) -> BTreeSet<&'l str> {
    ledger.naming.told.iter().filter(|told| told.asked.from == node).map(|told| told.asked.to).collect()
}

fn is_asked(frame: &Frame, code: i32, from: &str, to: &str) -> bool {
    frame.request_code == code && *frame.from == *from && *frame.to == *to
}

/// The name server has answered it a moment ago, and nothing was broken since.
fn was_heard(ledger: &Ledger<'_>, node: &str, server: &str, stopping: usize) -> bool {
    let events = &ledger.history.events;
    let at_ms = ledger.at_ms(stopping);
    let answered = events[..stopping].iter().rposition(|event| match &event.kind {
        EventKind::Response(frame) => {
            let is_taken = is_asked(frame, code::REGISTER_BROKER, server, node) && frame.code == 0;
            is_taken && frame.arrived_ms.is_some()
        }
        _ => false,
    });
    // The signal itself is told right before, and so is the fault that sends it.
    let last = (0..stopping).rev().find(|event| ledger.at_ms(*event) < at_ms).unwrap_or(0);
    answered.is_some_and(|event| {
        ledger.at_ms(event).saturating_add(HEARD_MS) >= at_ms
            && !ledger.is_broken_at(event)
            && !ledger.was_disturbed(event, last)
    })
}

#[cfg(test)]
mod tests {
    use super::HEARD_MS;
    use crate::{evidence::frame::code, history::EventKind, oracles::fixture::Story};

    fn node(story: &mut Story, event: &str) {
        story.event(EventKind::Node { node: "a".into(), event: event.into() });
    }

    const WHO: [(&str, &str); 3] = [("brokerName", "a"), ("brokerId", "0"), ("brokerAddr", "10.0.1.1:10911")];

    fn registers(story: &mut Story, server: &str) {
        let call = story.request("a", server, code::REGISTER_BROKER, &WHO, b"{}");
        story.response((server, "a", call), (code::REGISTER_BROKER, 0), &[], b"");
    }

    fn stops(heard_before_ms: u64, says_goodbye: bool, other: Option<&str>) -> Story {
        let mut story = Story::new();
        registers(&mut story, "namesrv");
        story.wait(1_000);
        other.into_iter().for_each(|event| node(&mut story, event));
        story.wait(heard_before_ms - 1_000);
        node(&mut story, "stopping");
        story.wait(10);
        if says_goodbye {
            story.request("a", "namesrv", code::UNREGISTER_BROKER, &WHO, b"");
        }
        story.wait(10);
        node(&mut story, "stopped");
        story
    }

    #[test]
    fn while_something_lasts_it_may_have_no_time_for_that() {
        for (ends, noticed) in [(true, true), (false, false)] {
            let mut story = Story::new();
            let fault = |text: &str| EventKind::Fault { index: Some(0), text: text.into() };
            story.event(fault("latency begins"));
            if ends {
                story.event(fault("latency ends"));
            }
            registers(&mut story, "namesrv");
            story.wait(1_000);
            node(&mut story, "stopping");
            story.wait(10);
            node(&mut story, "stopped");
            assert_eq!(story.is_blamed("P9", "it stops in order and stays"), noticed);
        }
    }

    #[test]
    fn it_says_goodbye_to_every_name_server() {
        let mut story = Story::new();
        for server in ["namesrv", "namesrv-2"] {
            registers(&mut story, server);
        }
        story.wait(1_000);
        node(&mut story, "stopping");
        story.wait(10);
        story.request("a", "namesrv", code::UNREGISTER_BROKER, &WHO, b"");
        story.wait(10);
        node(&mut story, "stopped");
        assert!(story.is_blamed("P9", "it stops in order and stays in the routes of namesrv-2"));
    }

    #[test]
    fn whoever_stops_in_order_says_goodbye() {
        for (mut story, noticed) in [
            (stops(2_000, true, None), false),
            (stops(2_000, false, None), true),
            (stops(2_000, false, Some("resumed")), false),
            (stops(HEARD_MS + 1, false, None), false),
        ] {
            assert_eq!(story.is_blamed("P9", "it stops in order and stays"), noticed);
        }
    }
}
