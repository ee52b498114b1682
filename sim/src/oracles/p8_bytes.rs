//! Part of P8: no answer has more bytes than may be.
//!
//! Rule: a pull that brings more than one message brings no more bytes than were asked for, and never more than [`MOST`]; the
//! messages of a pop that brings more than one are, without all that goes with them, no larger than that either. One
//! message comes however large it is.

use super::Findings;
use crate::ledger::Ledger;

/// Most bytes of messages in one answer.
const MOST: usize = 4 << 20;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for pull in &ledger.wire.pulls {
        let (Some((event, _)), (messages, _)) = (pull.call.answer, pull.brought) else { continue };
        let most = pull.most_bytes.map_or(MOST, |bytes| bytes.min(MOST));
        if messages > 1 && pull.bytes > most {
            let detail = format!("{} bytes in {messages} messages to {}, {most} may be", pull.bytes, pull.call.from);
            found.broken(ledger.at_ms(event), pull.call.server, detail);
        }
    }
    for answer in ledger.wire.deliveries.chunk_by(|one, next| one.call.event == next.call.event) {
        let bytes: usize = answer.iter().map(|it| it.message.body.len()).sum();
        if answer.len() > 1 && bytes > MOST {
            let (call, messages) = (answer[0].call, answer.len());
            let detail = format!("{bytes} bytes in {messages} messages to {}, {MOST} may be", call.from);
            found.broken(answer[0].at_ms, call.server, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MOST;
    use crate::{
        evidence::{StoredMessage, frame::code},
        oracles::fixture::{Story, at, encode, message},
    };

    /// The first messages of `t`, each with so large a body.
    fn messages(count: u32, bytes: usize) -> Vec<StoredMessage> {
        let sized = |number: u32| {
            let mut sized = message("t", number.into(), number, 0);
            sized.body = vec![b'x'; bytes].into();
            sized
        };
        (0..count).map(sized).collect()
    }

    fn body(messages: &[StoredMessage]) -> Vec<u8> {
        messages.iter().flat_map(encode).collect()
    }

    /// A pull for so many bytes brings messages of so many more in all.
    fn is_blamed(count: u32, more: usize) -> bool {
        let body = body(&messages(count, 100));
        let (mut story, most) = (Story::new(), (body.len() - more).to_string());
        let fields = [
            ("topic", "t"),
            ("queueId", "0"),
            ("queueOffset", "0"),
            ("maxMsgNums", "32"),
            ("maxMsgBytes", most.as_str()),
        ];
        let call = story.request("b", "a", code::PULL, &fields, b"");
        story.response(("a", "b", call), (code::PULL, 0), &[], &body);
        story.is_blamed("P8", "bytes in")
    }

    #[test]
    fn a_pull_brings_what_was_asked_for() {
        assert!(!is_blamed(2, 0) && is_blamed(2, 1));
        assert!(!is_blamed(1, 1), "one message always comes");
    }

    #[test]
    fn a_pop_brings_no_more_than_may_be() {
        for (count, bytes, blamed) in [(2, MOST / 2, false), (2, MOST / 2 + 1, true), (1, MOST + 1, false)] {
            let mut story = Story::new();
            let mut messages = messages(count, bytes);
            let time = at(story.now_ms).to_string();
            for it in &mut messages {
                it.properties.push(("POP_CK".into(), format!("0 {time} 10000 1001 0 a 0 {}", it.offset)));
            }
            let pop = story.request("c", "a", code::POP, &[("consumerGroup", "g"), ("topic", "t")], b"");
            story.response(("a", "c", pop), (code::POP, 0), &[("popTime", &time)], &body(&messages));
            assert_eq!(story.is_blamed("P8", "bytes in"), blamed, "{count} {bytes}");
        }
    }
}
