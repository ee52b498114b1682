//! The frames that are about the message: each request that names or carries it, and the answer that left for it.

use pop_revive::model::{
    ack::AckBody,
    batch_ack::{BatchAck, BatchAckBody},
};

use super::Subject;
use crate::{
    history::EventKind,
    ledger::wire::{Call, Pull, Send, Settle},
    report::timeline::{Line, request, response},
};

/// A request about the message, and what it and its answer have to do with it.
struct About<'w, 'h> {
    call: &'w Call<'h>,
    asked: String,
    answered: String,
}

pub(super) fn lines(subject: &Subject<'_, '_>) -> Vec<Line> {
    let wire = &subject.ledger.wire;
    let mut found: Vec<About<'_, '_>> = Vec::new();
    found.extend(wire.sends.iter().filter_map(|send| sent(subject, send)));
    found.extend(wire.pulls.iter().filter_map(|pull| pulled(subject, pull)));
    found.extend(wire.acks.iter().filter_map(|ack| settled(subject, ack, "acks")));
    found.extend(wire.renewals.iter().filter_map(|renewal| settled(subject, renewal, "renews")));
    found.extend(wire.batch_acks.iter().filter_map(|(call, body)| batched(subject, call, body)));
    found.extend(wire.deliveries.iter().filter(|it| subject.is_it(it.message.ledger.as_ref())).map(|it| {
        let place = format!("{}/{}/{}", it.topic, it.message.queue, it.message.offset);
        About {
            call: &it.call,
            asked: "is answered with it".into(),
            answered: format!("brings {place} to {}", it.group),
        }
    }));
    found.iter().flat_map(|about| told(subject, about)).collect()
}

/// One line for the request and one for the answer, if one left.
fn told(subject: &Subject<'_, '_>, About { call, asked, answered }: &About<'_, '_>) -> Vec<Line> {
    let answer = call.answer.map(|(event, _)| (event, answered));
    let frames = std::iter::once((call.event, asked)).chain(answer);
    let line = |(number, about): (usize, &String)| {
        let event = subject.ledger.history.events.get(number)?;
        let (node, frame) = match &event.kind {
            EventKind::Request(frame) => (&frame.from, request(frame)),
            EventKind::Response(frame) => (&frame.from, response(frame)),
            _ => return None,
        };
        let silence = if call.answer.is_none() { "; no answer ever leaves" } else { "" };
        let about = if about.is_empty() { String::new() } else { format!(": {about}") };
        Some(Line {
            event: number,
            at_ms: event.at_ms,
            node: node.to_string(),
            text: format!("{frame}{about}{silence}"),
        })
    };
    frames.filter_map(line).collect()
}

fn sent<'w, 'h>(subject: &Subject<'_, '_>, send: &'w Send<'h>) -> Option<About<'w, 'h>> {
    if subject.is_it(send.ledger.as_ref()) {
        let stored = send.stored.map_or_else(String::new, |(queue, offset)| format!("it is at {queue}/{offset}"));
        return Some(About { call: &send.call, asked: format!("sends it to {}", send.topic), answered: stored });
    }
    if let Some(checkpoint) = send.checkpoint() {
        let offsets = checkpoint.differences.iter().map(|difference| checkpoint.start + difference);
        let topic = &checkpoint.topic;
        let mut it = offsets.filter(|offset| subject.is_at(&checkpoint.broker, topic, checkpoint.queue, *offset));
        let (queue, offset) = (checkpoint.queue, it.next()?);
        let asked = format!("hands the chain of {topic}/{queue}/{offset} for {} over", checkpoint.group);
        return Some(About { call: &send.call, asked, answered: String::new() });
    }
    let ack = passed_on(send)?;
    let broker = ack.broker_name.as_deref().unwrap_or(send.call.to);
    let is_acked = ack.acked_offsets().iter().any(|offset| subject.is_at(broker, &ack.topic, ack.queue_id, *offset));
    let outcome = send.ack_outcome.as_ref().map_or_else(String::new, |outcome| format!("the ack was {outcome}"));
    let asked = format!("passes an ack of {} on", ack.consumer_group);
    is_acked.then_some(About { call: &send.call, asked, answered: outcome })
}

/// The ack that one broker passes on to another as a message.
fn passed_on(send: &Send<'_>) -> Option<AckBody> {
    let is_one = send.topic.starts_with("rmq_sys_REVIVE_LOG_") && send.property("TAGS") != Some("ck");
    if is_one { AckBody::parse(send.body).ok() } else { None }
}

fn pulled<'w, 'h>(subject: &Subject<'_, '_>, pull: &'w Pull<'h>) -> Option<About<'w, 'h>> {
    let (topic, queue, span) = (&pull.topic, pull.queue, pull.offsets());
    let mut wanted = subject.offsets(pull.call.to, topic, queue);
    wanted.find(|offset| span.contains(offset) && !pull.ended_before(*offset))?;
    let asked = match (span.start(), span.end()) {
        (from, to) if from == to => format!("reads {topic}/{queue}/{from}"),
        (from, to) => format!("reads {topic}/{queue} from {from} to {to}"),
    };
    let answered = match (pull.brought, pull.minimum) {
        ((0, _), Some(minimum)) => format!("brings nothing, the queue begins at {minimum}"),
        ((0, _), None) => "brings nothing".into(),
        ((1, Some(offset)), _) => format!("brings {offset}"),
        ((messages, last), _) => format!("brings {messages} messages, up to {}", last.unwrap_or(0)),
    };
    Some(About { call: &pull.call, asked, answered })
}

fn settled<'w, 'h>(subject: &Subject<'_, '_>, settle: &'w Settle<'h>, does: &str) -> Option<About<'w, 'h>> {
    let Settle { call, group, topic, queue, offset, broker, .. } = settle;
    if !subject.is_at(broker, topic, *queue, *offset) {
        return None;
    }
    Some(About { call, asked: format!("{does} {topic}/{queue}/{offset} for {group}"), answered: String::new() })
}

fn batched<'w, 'h>(subject: &Subject<'_, '_>, call: &'w Call<'h>, body: &[u8]) -> Option<About<'w, 'h>> {
    let batch = BatchAckBody::parse(body).ok()?;
    let broker = batch.broker_name.as_deref().unwrap_or(call.to);
    let has_it = |ack: &&BatchAck| {
        let topic = ack.real_topic();
        ack.offsets().iter().any(|offset| subject.is_at(broker, &topic, ack.queue_id, *offset))
    };
    let group = &batch.acks.iter().find(has_it)?.consumer_group;
    Some(About { call, asked: format!("acks it for {group}, perhaps with others"), answered: String::new() })
}
