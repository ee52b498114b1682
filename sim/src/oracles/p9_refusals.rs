//! Part of P9: nobody is refused what it may ask for.
//!
//! What the clients and brokers of a run ask for is well-formed, allowed, and about groups that are there or made by asking. So
//! no server says that it does not understand a request, or does not allow it, but for a checkpoint whose chain it may have
//! forgotten, an offset that may have been passed, a message for a topic that takes none, and a queue that the topic's successor
//! lacks. A master at degree 1 denies no topic that has been on its disk for long enough and is not deleted; and while its
//! disk does what it should it has no errors of its own, and serves unless it starts or stops, or may lack the lease that it
//! needs: nobody but itself has to confirm anything there. (Others may deny what they do not know to be confirmed.) Answers made up by the network are no
//! responses of a server.

use super::{Findings, p9_requests::named};
use crate::{
    history::{Event, EventKind, Frame},
    ledger::{
        Ledger,
        wire::{Call, Pull, Send},
    },
    plan::SimMs,
    scenario::wire_names::ANSWERS,
};

/// UPDATE_CONSUMER_OFFSET: what it commits may have been passed by others meanwhile.
const COMMIT_OFFSET: i32 = 15;
/// SYSTEM_ERROR.
const ERROR: i32 = 1;
/// MESSAGE_ILLEGAL.
const ILLEGAL: i32 = 13;
/// SERVICE_NOT_AVAILABLE.
const NOT_SERVING: i32 = 14;
/// NO_PERMISSION.
const NOT_ALLOWED: i32 = 16;
/// INVALID_PARAMETER.
const WRONG: i32 = 29;
/// Permission bit of a topic that takes messages.
const WRITE: u32 = 2;
/// TOPIC_NOT_EXIST.
const NO_TOPIC: i32 = 17;

/// Answers that blame the request.
const BLAMES: [&str; 8] = [
    "REQUEST_CODE_NOT_SUPPORTED",
    "MESSAGE_ILLEGAL",
    "VERSION_NOT_SUPPORTED",
    "NO_PERMISSION",
    "SUBSCRIPTION_PARSE_FAILED",
    "SUBSCRIPTION_NOT_EXIST",
    "SUBSCRIPTION_GROUP_NOT_EXIST",
    "INVALID_PARAMETER",
];

/// How long a broker takes to start or to stop, ms.
const TURN_MS: SimMs = 30_000;

/// What befalls a disk, as nodes tell it.
const DISK_HITS: [&str; 4] = ["failed to", "had no room", "read a bit", "has a bit"];

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for (event, happened) in ledger.history.events.iter().enumerate() {
        let EventKind::Response(frame) = &happened.kind else { continue };
        let is_excused = match frame.code {
            ILLEGAL => is_forgotten(ledger, event),
            NOT_ALLOWED => is_read_only(ledger, event),
            WRONG => frame.request_code == COMMIT_OFFSET || lacks_queue(ledger, event),
            _ => false,
        };
        let blame = named(frame.code, ANSWERS).filter(|name| BLAMES.contains(name));
        if let Some(name) = blame.filter(|_| !is_excused) {
            let detail = format!("it refuses request {} of {} as {name}", frame.request_code, frame.to);
            found.broken(happened.at_ms, &frame.from, detail);
        }
        if matches!(frame.code, ERROR | NOT_SERVING) && has_no_reason(ledger, event, frame) {
            let (code, request, client) = (frame.code, frame.request_code, &frame.to);
            let detail = format!("it answers request {request} of {client} with {code}, and nothing ails it");
            found.broken(happened.at_ms, &frame.from, detail);
        }
    }
    let pops = ledger.wire.refused_pops.iter().map(|pop| (&pop.call, &pop.topic));
    let sends = ledger.wire.sends.iter().map(|send| (&send.call, &send.topic));
    let pulls = ledger.wire.pulls.iter().map(|pull| (&pull.call, &pull.topic));
    for (call, topic) in pops.chain(sends).chain(pulls) {
        let Some((event, NO_TOPIC)) = call.answer else { continue };
        if has_topic(ledger, call, event, topic) {
            let detail = format!("it denies {} that it has topic {topic}", call.from);
            found.broken(ledger.at_ms(event), call.server, detail);
        }
    }
}

/// Whether what was refused with this answer is a checkpoint of a chain that may have been forgotten where it was sent to.
fn is_forgotten(ledger: &Ledger<'_>, event: usize) -> bool {
    let is_it = |send: &&Send<'_>| send.call.answer == Some((event, ILLEGAL));
    let refused = ledger.wire.sends.iter().find(is_it);
    let Some((send, checkpoint)) = refused.and_then(|send| Some((send, send.checkpoint()?))) else { return false };
    ledger.forgotten.iter().any(|forgetting| {
        let (is_there, id) = (forgetting.node == send.call.to && forgetting.event < event, forgetting.id);
        is_there && id.broker == checkpoint.broker && id.pop_time >= checkpoint.pop_time
    })
}

/// Whether what was refused with this answer is a message for a topic that takes none: it is there for chains that are kept for
/// others.
fn is_read_only(ledger: &Ledger<'_>, event: usize) -> bool {
    let is_it = |send: &&Send<'_>| send.call.answer == Some((event, NOT_ALLOWED));
    let Some(send) = ledger.wire.sends.iter().find(is_it) else { return false };
    let topic = ledger.topics.get(&(send.call.to, send.topic.as_str())).map_or(&[][..], Vec::as_slice);
    topic.iter().take_while(|step| step.event < event).last().is_some_and(|step| step.perm & WRITE == 0)
}

/// Whether what was refused with this answer is about a queue that the topic's successor does not have, or may not have.
fn lacks_queue(ledger: &Ledger<'_>, event: usize) -> bool {
    let answer = Some((event, WRONG));
    let mut sends = ledger.wire.sends.iter().filter(|send| send.call.answer == answer);
    let mut pulls = ledger.wire.pulls.iter().filter(|pull| pull.call.answer == answer);
    let was_deleted = |send: &Send<'_>| ledger.era_at(send.call.to, &send.topic, event) > 0;
    let has_it = |pull: &Pull<'_>| {
        let steps = ledger.topics.get(&(pull.call.to, pull.topic.as_str())).map_or(&[][..], Vec::as_slice);
        steps.iter().take_while(|step| step.event < event).last().is_none_or(|step| pull.queue < step.read_queues)
    };
    pulls.any(|pull| !has_it(pull)) || sends.any(was_deleted)
}

fn has_no_reason(ledger: &Ledger<'_>, event: usize, frame: &Frame) -> bool {
    let server = &*frame.from;
    let is_recent = |it: &Event| it.at_ms + TURN_MS >= ledger.at_ms(event);
    let ails = |it: &Event| match &it.kind {
        EventKind::Node { node, event: hit } if *node == *server => {
            let turns = frame.code == NOT_SERVING && is_recent(it);
            turns || DISK_HITS.iter().any(|known| hit.starts_with(known))
        }
        // A site that makes a commit fail, which any may.
        EventKind::Fault { text, .. } => {
            text.starts_with("buggify: refuses") && text.ends_with(server) && is_recent(it)
        }
        _ => false,
    };
    let obligations = ledger.obligations;
    let is_alone = obligations.brokers.iter().any(|it| *it == *server) && obligations.other_disks(server) == 0;
    // What is stored as the lease ends is told to nobody either.
    let may_lack_lease = ledger.may_lack_lease(server, event);
    is_alone && !may_lack_lease && !ledger.history.events[..event].iter().any(ails)
}

/// Whether a master that nobody else has to confirm anything for had this topic on its disk all the while.
fn has_topic(ledger: &Ledger<'_>, call: &Call<'_>, answered: usize, topic: &str) -> bool {
    let node = call.to;
    let created = ledger.topics.get(&(node, topic)).map_or(&[][..], Vec::as_slice);
    let written = created.iter().take_while(|step| step.event < call.event).last();
    let Some(written) = written.filter(|_| !call.is_to_slave() && ledger.obligations.other_disks(node) == 0) else {
        return false;
    };
    let is_known = ledger.is_written(node, written.event, call.at_ms);
    let is_gone = |event: usize| (written.event..=answered).contains(&event);
    is_known && !ledger.deletions_of(node, topic).iter().any(|deletion| is_gone(deletion.event))
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{Fact, Outcome, Position, frame::code},
        history::EventKind,
        oracles::fixture::{Story, at, chain},
    };

    fn answered(story: &mut Story, request: i32, ext: &[(&str, &str)], answer: i32) {
        let call = story.request("c", "a", request, ext, b"");
        story.response(("a", "c", call), (request, answer), &[], b"");
    }

    #[test]
    fn no_request_is_refused_as_one_that_makes_no_sense() {
        for (answer, noticed) in [(29, true), (26, true), (16, true), (13, true), (2, false), (210, false)] {
            let mut story = Story::new();
            answered(&mut story, code::BATCH_ACK, &[], answer);
            assert_eq!(story.is_blamed("P9", "it refuses request"), noticed, "{answer}");
        }
    }

    #[test]
    fn a_checkpoint_may_be_refused_once_a_later_chain_is_forgotten() {
        for (forgotten_later, noticed) in [(true, false), (false, true)] {
            let mut story = Story::new();
            let popped_ms = story.now_ms;
            let chain = chain("t", 3, if forgotten_later { popped_ms + 1 } else { popped_ms - 1 });
            story.durable("b", vec![chain.clone().ended(Outcome::Acked).fact()]);
            story.durable("b", vec![Fact::Forgotten { chains: vec![chain.id] }]);
            let body = format!(r#"{{"bn":"a","c":"g","d":[0],"n":1,"pt":{},"q":0,"so":0,"t":"t"}}"#, at(popped_ms));
            let ext = [("b", "rmq_sys_REVIVE_LOG_C"), ("i", "TAGS\u{1}ck\u{2}")];
            let call = story.request("a", "b", code::SEND_V2, &ext, body.as_bytes());
            story.response(("b", "a", call), (code::SEND_V2, 13), &[], b"");
            assert_eq!(story.is_blamed("P9", "as MESSAGE_ILLEGAL"), noticed);
        }
    }

    #[test]
    fn a_topic_that_takes_no_message_says_so() {
        for (perm, noticed) in [(6, true), (4, false)] {
            let mut story = Story::new();
            let (name, epoch) = ("kept".into(), Position { term: 1, index: 1 });
            story.durable("a", vec![Fact::Topic { name, perm, read_queues: 1, write_queues: 1, epoch }]);
            answered(&mut story, code::SEND_V2, &[("b", "kept")], 16);
            assert_eq!(story.is_blamed("P9", "as NO_PERMISSION"), noticed, "{perm}");
        }
    }

    #[test]
    fn a_queue_that_the_successor_of_a_topic_lacks_may_be_refused() {
        for (queue, noticed) in [("0", true), ("1", false)] {
            let mut story = Story::new();
            let pull = [("topic", "t"), ("queueId", queue), ("queueOffset", "0"), ("consumerGroup", "g")];
            answered(&mut story, code::PULL, &pull, 29);
            assert_eq!(story.is_blamed("P9", "as INVALID_PARAMETER"), noticed, "{queue}");
        }
    }

    #[test]
    fn an_error_needs_a_disk_that_failed_or_another_that_has_to_confirm() {
        let cases = [("killed", 1, 1, true), ("failed to sync", 1, 1, false), ("killed", 2, 1, false)];
        let turns = [("started", 1, 14, false), ("started", 2, 14, false)];
        for (hit, degree, answer, noticed) in cases.into_iter().chain(turns) {
            assert_eq!(ails(hit, degree, 1_000, answer), noticed, "{hit} {degree}");
        }
        assert!(ails("started", 1, 30_001, 14) && !ails("failed to sync", 1, 30_001, 14));
    }

    /// Whether `a` is blamed for this answer, so long after something happened to it.
    #[test]
    fn a_master_that_may_lack_its_lease_does_not_serve() {
        for (calm_ms, noticed) in [(0, false), (119_000, false), (180_000, true)] {
            let mut story = Story::new();
            story.obligations.acting_after_ms = 30_000;
            story.obligations.acting.insert("a".into(), "b".into());
            story.wait(600_000).event(EventKind::Node { node: "b".into(), event: "crashed".into() }).wait(1_000);
            story.event(EventKind::Node { node: "b".into(), event: "started".into() }).wait(calm_ms);
            answered(&mut story, code::ACK, &[], 14);
            assert_eq!(story.is_blamed("P9", "and nothing ails it"), noticed, "{calm_ms}");
        }
    }

    fn ails(hit: &str, degree: u32, since_ms: u64, answer: i32) -> bool {
        let mut story = Story::with_slave();
        story.obligations.degrees.insert("a".into(), degree);
        story.event(EventKind::Node { node: "a".into(), event: hit.into() }).wait(since_ms);
        answered(&mut story, code::ACK, &[], answer);
        story.is_blamed("P9", "and nothing ails it")
    }

    #[test]
    fn a_topic_that_is_there_is_not_denied() {
        let pop = [("consumerGroup", "g"), ("topic", "t")];
        for (topic_age_ms, is_deleted, noticed) in [(1_000, false, true), (1, false, false), (1_000, true, false)] {
            let mut story = Story::new();
            if is_deleted {
                story.wait(1).delete_topic();
            }
            story.wait(topic_age_ms);
            answered(&mut story, code::POP, &pop, 17);
            assert_eq!(story.is_blamed("P9", "that it has topic t"), noticed, "{topic_age_ms} {is_deleted}");
        }
    }
}
