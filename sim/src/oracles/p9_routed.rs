//! Part of P9: whoever takes a chain of another group can be found by who is to pop what becomes of it.
//!
//! Rule: when the success leaves that answers a checkpoint, a name server has told this process that it took its
//! registration, with the retry topic that the chain's message may come back in.

use std::collections::BTreeMap;

use super::{Findings, p9_honest_answers::success};
use crate::{
    history::EventKind,
    ledger::{
        Ledger,
        naming::Told,
        wire::{Checkpoint, Send},
    },
    plan::SimMs,
};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut told: BTreeMap<&str, Vec<&Told<'_>>> = BTreeMap::new();
    for one in &ledger.naming.told {
        told.entry(one.asked.from).or_default().push(one);
    }
    for send in &ledger.wire.sends {
        let Some((event, checkpoint)) = success(&send.call).zip(send.checkpoint()) else { continue };
        if checkpoint.offsets().all(|(_, is_acked)| is_acked) {
            continue;
        }
        let told = told.get(send.call.server).map_or(&[][..], Vec::as_slice);
        if let Some(missing) = missing(ledger, (event, send), told, &checkpoint) {
            let (from, server) = (send.call.from, send.call.server);
            let detail = format!("it took chains from {from}, and no name server has taken {missing} from it");
            found.broken(ledger.at_ms(event), server, detail);
        }
    }
}

/// The topic that this process has not registered before it answered.
fn missing(
    ledger: &Ledger<'_>,
    (event, send): (usize, &Send<'_>),
    told: &[&Told<'_>],
    checkpoint: &Checkpoint,
) -> Option<String> {
    let Checkpoint { topic, group, .. } = checkpoint;
    let retry = if topic.starts_with("%RETRY%") { topic.clone() } else { format!("%RETRY%{group}_{topic}") };
    let began = began(ledger, send.call.server, event);
    let at_ms = ledger.at_ms(event);
    let is_heard = |heard_ms: Option<SimMs>| heard_ms.is_some_and(|heard_ms| heard_ms <= at_ms);
    let lists = |told: &&&Told<'_>| {
        let is_taken = told.asked.answer.is_some_and(|answer| answer.code == 0 && is_heard(answer.arrived_ms));
        let is_listed = told.topics.as_ref().is_some_and(|topics| topics.contains_key(&retry));
        is_taken && is_listed && told.asked.event >= began
    };
    told.iter().rev().find(lists).is_none().then_some(retry)
}

/// When the process of a node that answers at `event` began: position in the history.
fn began(ledger: &Ledger<'_>, server: &str, event: usize) -> usize {
    let before = ledger.history.events[..event].iter();
    let is_start = |kind: &EventKind| match kind {
        EventKind::Node { node, event } => node == server && event == "started",
        _ => false,
    };
    before.rev().position(|event| is_start(&event.kind)).map_or(0, |back| event - 1 - back)
}

#[cfg(test)]
mod tests {
    use crate::{evidence::frame::code, history::EventKind, oracles::fixture::Story};

    const CHECKPOINT: &[u8] =
        br#"{"bm":0,"bn":"a","c":"g","d":[0],"n":1,"pt":1700000000000,"q":0,"rt":0,"so":0,"t":"t"}"#;

    /// Whether it is blamed for a chain that it takes then.
    fn is_blamed(mut story: Story) -> bool {
        let revive = [("b", "rmq_sys_REVIVE_LOG_c"), ("i", "TAGS\u{1}ck\u{2}")];
        let call = story.request("a", "b", code::SEND_V2, &revive, CHECKPOINT);
        story.wait(10).response(("b", "a", call), (code::SEND_V2, 0), &[], b"");
        story.is_blamed("P9", "and no name server has taken %RETRY%g_t from it")
    }

    fn after(topics: &str, answered: i32) -> Story {
        let mut story = Story::new();
        story.register("b", "10.0.1.2:10911", topics, Some(answered));
        story
    }

    #[test]
    fn whoever_takes_a_chain_has_registered_its_retry_topic() {
        assert!(!is_blamed(after(r#"{"t":{},"%RETRY%g_t":{}}"#, 0)));
        assert!(is_blamed(after(r#"{"t":{}}"#, 0)), "without the retry topic");
        assert!(is_blamed(after(r#"{"%RETRY%g_t":{}}"#, 2)), "it was refused");
    }

    #[test]
    fn what_an_earlier_process_has_registered_does_not_count() {
        let mut story = after(r#"{"%RETRY%g_t":{}}"#, 0);
        story.event(EventKind::Node { node: "b".into(), event: "started".into() });
        assert!(is_blamed(story));
    }
}
