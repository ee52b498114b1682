//! Part of P9: a broker that looks for another one does not take one name server's word for all of theirs.
//!
//! Rule: when a name server names none of the groups that a broker has to do with, the broker asks each of the others too,
//! shortly before or after; unless something was broken since that other one last answered it, or is.

use std::collections::BTreeSet;

use super::Findings;
use crate::{
    evidence::frame::code,
    history::EventKind,
    ledger::{Ledger, naming::LookUp},
    plan::SimMs,
};

/// How far apart the questions of one look-up may be, ms.
const APART_MS: SimMs = 10_000;
/// How long ago the other name server must have answered, ms: it is registered at more often.
const HEARD_MS: SimMs = 45_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for look_up in &ledger.naming.look_ups {
        let asked = &look_up.asked;
        let Some(arrived_ms) = asked.answer.filter(|answer| answer.code == 0).and_then(|answer| answer.arrived_ms)
        else {
            continue;
        };
        let wanted = wanted(ledger, asked.from);
        let is_named = look_up.members.iter().any(|member| wanted.contains(member.group.as_str()));
        if look_up.topic.is_some() || wanted.is_empty() || is_named {
            continue;
        }
        for other in ledger.obligations.name_servers.iter().filter(|other| **other != *asked.to) {
            if was_heard(ledger, (asked.from, other), asked.event, arrived_ms) && !is_asked(ledger, look_up, other) {
                let detail = format!("it was told of nobody by {}, and did not ask {other}", asked.to);
                found.broken(arrived_ms, asked.from, detail);
            }
        }
    }
}

/// The groups that a broker may look for: that which keeps its chains, and those whose chains it keeps.
fn wanted<'l>(ledger: &'l Ledger<'_>, broker: &str) -> BTreeSet<&'l str> {
    let group = ledger.obligations.slaves.get(broker).map_or(broker, String::as_str);
    let pairs = ledger.obligations.escapes.iter();
    let of_it = pairs.filter(|(from, to)| *from == group || *to == group);
    of_it.map(|(from, to)| if from == group { to.as_str() } else { from.as_str() }).collect()
}

/// Whether another name server was asked along with that one, as far as can be seen by the end of the run.
fn is_asked(ledger: &Ledger<'_>, one: &LookUp<'_>, other: &str) -> bool {
    let from_ms = one.asked.at_ms.saturating_sub(APART_MS);
    let until_ms = one.asked.answer.map_or(one.asked.at_ms, |answer| answer.at_ms) + APART_MS;
    let is_over = ledger.history.events.last().is_some_and(|last| last.at_ms <= until_ms);
    let is_it = |look_up: &LookUp<'_>| {
        let asked = &look_up.asked;
        asked.from == one.asked.from && asked.to == other && (from_ms..=until_ms).contains(&asked.at_ms)
    };
    is_over || ledger.naming.look_ups.iter().any(is_it)
}

/// The other name server has answered the broker a moment ago, and nothing was broken between that and the time when it is to
/// be asked.
fn was_heard(ledger: &Ledger<'_>, (broker, server): (&str, &str), before: usize, until_ms: SimMs) -> bool {
    let events = &ledger.history.events;
    let answered = events[..before].iter().rposition(|event| match &event.kind {
        EventKind::Response(frame) => {
            let is_registered = frame.request_code == code::REGISTER_BROKER && frame.code == 0;
            is_registered && *frame.from == *server && *frame.to == *broker && frame.arrived_ms.is_some()
        }
        _ => false,
    });
    let until = events.partition_point(|event| event.at_ms <= until_ms + APART_MS).saturating_sub(1);
    answered.is_some_and(|event| {
        let is_recent = ledger.at_ms(event).saturating_add(HEARD_MS) >= ledger.at_ms(before);
        is_recent && !ledger.was_disturbed(event, until)
    })
}

#[cfg(test)]
mod tests {
    use crate::{evidence::frame::code, history::EventKind, oracles::fixture::Story};

    const A: &str = r#"{"brokerAddrTable":{"a":{"brokerName":"a","brokerAddrs":{"0":"10.0.1.1:1"}}}}"#;

    /// `b`, which keeps what `a` hands over, has registered at two name servers.
    fn registered() -> Story {
        let mut story = Story::new();
        story.obligations.escapes.insert("a".into(), "b".into());
        story.obligations.name_servers = ["namesrv", "namesrv-2"].map(String::from).to_vec();
        for server in ["namesrv", "namesrv-2"] {
            let who = [("brokerName", "b"), ("brokerId", "0"), ("brokerAddr", "10.0.1.2:1")];
            let call = story.request("b", server, code::REGISTER_BROKER, &who, b"{}");
            story.response((server, "b", call), (code::REGISTER_BROKER, 0), &[], b"");
        }
        story.wait(1_000);
        story
    }

    fn asks(story: &mut Story, server: &str, told: &str) {
        let call = story.request("b", server, code::GET_BROKER_CLUSTER_INFO, &[], b"");
        story.response((server, "b", call), (code::GET_BROKER_CLUSTER_INFO, 0), &[], told.as_bytes());
        story.wait(10);
    }

    fn is_blamed(mut story: Story) -> bool {
        story.wait(60_000).event(EventKind::Healed);
        story.is_blamed("P9", "it was told of nobody by namesrv, and did not ask namesrv-2")
    }

    #[test]
    fn whoever_is_told_of_nobody_asks_the_other_one() {
        let mut story = registered();
        asks(&mut story, "namesrv", "{}");
        assert!(is_blamed(story));
        let mut story = registered();
        asks(&mut story, "namesrv", "{}");
        asks(&mut story, "namesrv-2", "{}");
        assert!(!is_blamed(story));
    }

    #[test]
    fn whoever_finds_what_it_wants_need_not() {
        let mut story = registered();
        asks(&mut story, "namesrv", A);
        assert!(!is_blamed(story));
    }

    #[test]
    fn what_was_broken_since_may_hinder_it() {
        let mut story = registered();
        story.event(EventKind::Fault { index: Some(0), text: "partition begins".into() });
        asks(&mut story, "namesrv", "{}");
        assert!(!is_blamed(story));
    }
}
