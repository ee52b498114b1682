//! What clients saw of the message.

use super::Subject;
use crate::{
    history::{Delivery, EventKind, Noted, Popped, Seen},
    report::timeline::{Line, acked, renewed, sent},
};

pub(super) fn lines(subject: &Subject<'_, '_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, event) in subject.ledger.history.events.iter().enumerate() {
        let (node, text) = match &event.kind {
            EventKind::Noted(Noted::Sent(it)) if it.ledger == *subject.stamp => (&it.producer, sent(it)),
            EventKind::Noted(Noted::Acked(it)) if subject.is_it(it.ledger.as_ref()) => {
                (&it.consumer, format!("{}, handle `{}`", acked(it), it.handle))
            }
            EventKind::Noted(Noted::Renewed(it)) if subject.is_it(it.ledger.as_ref()) => {
                let now = match &it.seen {
                    Seen::Ok(Some(handle)) => format!(", now `{handle}`"),
                    _ => String::new(),
                };
                (&it.consumer, format!("{}, handle `{}`{now}", renewed(it), it.handle))
            }
            EventKind::Noted(Noted::Popped(popped)) => {
                let Seen::Ok(deliveries) = &popped.seen else { continue };
                let deliveries = deliveries.iter().filter(|it| subject.is_it(it.ledger.as_ref()));
                lines.extend(deliveries.map(|it| Line {
                    event: number,
                    at_ms: event.at_ms,
                    node: popped.consumer.clone(),
                    text: got(popped, it),
                }));
                continue;
            }
            _ => continue,
        };
        lines.push(Line { event: number, at_ms: event.at_ms, node: node.clone(), text });
    }
    lines
}

fn got(popped: &Popped, it: &Delivery) -> String {
    let Delivery { topic, queue, offset, reconsume, handle, .. } = it;
    let again = if *reconsume > 0 { format!(", revived {reconsume}×") } else { String::new() };
    format!(
        "popped it from {topic}/{queue}/{offset} of {} for {}{again}, handle `{handle}`",
        popped.broker, popped.group
    )
}
