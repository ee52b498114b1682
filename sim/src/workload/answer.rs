//! What the answers of brokers mean to a client.

use std::collections::BTreeMap;

use pop_revive::{
    model::{Message, ReceiptHandle, chain::Chain},
    remoting::{
        CallError, Command, Header,
        code::response,
        headers::{PullMessageResponseHeader, SendMessageResponseHeader},
    },
};

use super::receipt::{deliveries, renewed_handle};
use crate::{
    history::{AckVerdict, Delivery, Seen},
    scenario::Group,
};

/// Answer field of an ack that was not absorbed: what became of it.
const ACK_OUTCOME: &str = "ackOutcome";
/// Answer field of a batch ack: `queue/offset/popTime=outcome`, joined by `;`.
const ACK_OUTCOMES: &str = "ackOutcomes";
/// Answer field of a resumption: how many chains it resumed.
const COUNT: &str = "count";
const TOO_LATE: &str = "too-late";
/// The ack came before its checkpoint and waits for it.
const EARLY: &str = "early";

/// Nobody answered, so nobody knows.
pub(super) fn no_answer<T>(error: &CallError) -> Seen<T> {
    unknown(error.kind())
}

/// It is not known what came of it, for this reason.
pub(super) fn unknown<T>(cause: &str) -> Seen<T> {
    Seen::Unknown { cause: cause.to_owned() }
}

/// An answer of which only the code matters.
pub(super) fn done(answer: &Command) -> Seen<()> {
    if answer.code == response::SUCCESS { Seen::Ok(()) } else { refused(answer) }
}

/// Queue and offset of a sent message.
pub(super) fn sent(answer: &Command) -> Seen<(i32, i64)> {
    if answer.code != response::SUCCESS {
        return refused(answer);
    }
    header(answer, |told: SendMessageResponseHeader| (told.queue_id, told.queue_offset))
}

/// The messages of a pop; none when there were none in time.
pub(super) fn popped(answer: &Command, group: &Group, broker: &str) -> Seen<Vec<Delivery>> {
    match answer.code {
        response::SUCCESS => match deliveries(answer, &group.name, &group.topic, broker) {
            Ok(messages) => Seen::Ok(messages),
            Err(error) => {
                tracing::warn!(broker, %error, "a pop answer cannot be used");
                unknown("malformed")
            }
        },
        response::POLLING_TIMEOUT | response::POLLING_FULL | response::PULL_NOT_FOUND => Seen::Ok(Vec::new()),
        _ => refused(answer),
    }
}

/// What became of one ack.
pub(super) fn acked(answer: &Command) -> Seen<AckVerdict> {
    match (answer.code, answer.ext.get(ACK_OUTCOME).map(String::as_str)) {
        (response::SUCCESS, _) => Seen::Ok(AckVerdict::Absorbed),
        (response::NO_MESSAGE, Some(TOO_LATE)) => Seen::Ok(AckVerdict::TooLate),
        _ => refused(answer),
    }
}

/// What became of an ack that came as a message; `None` if it waits for its checkpoint.
pub(super) fn ack_message(answer: &Command) -> Seen<Option<AckVerdict>> {
    match (answer.code, answer.ext.get(ACK_OUTCOME).map(String::as_str)) {
        (response::SUCCESS, Some(EARLY)) => Seen::Ok(None),
        (response::SUCCESS, Some(TOO_LATE)) => Seen::Ok(Some(AckVerdict::TooLate)),
        (response::SUCCESS, _) => Seen::Ok(Some(AckVerdict::Absorbed)),
        _ => refused(answer),
    }
}

/// Messages of a pull, and where the next one begins.
pub(super) fn pulled(answer: &Command) -> Seen<(Vec<Message>, i64)> {
    let messages = match answer.code {
        response::SUCCESS => Message::decode_all(answer.body.clone()),
        response::PULL_NOT_FOUND | response::PULL_RETRY_IMMEDIATELY | response::PULL_OFFSET_MOVED => Ok(Vec::new()),
        _ => return refused(answer),
    };
    match messages {
        Ok(messages) => header(answer, |told: PullMessageResponseHeader| (messages, told.next_begin_offset)),
        Err(_) => unknown("malformed"),
    }
}

/// What became of each ack of a batch. An ack that the answer does not name shares the fate of the whole.
pub(super) fn batch_acked(answer: &Command, handles: &[ReceiptHandle]) -> Vec<Seen<AckVerdict>> {
    let told: BTreeMap<&str, &str> = answer
        .ext
        .get(ACK_OUTCOMES)
        .map(|outcomes| outcomes.split(';').filter_map(|outcome| outcome.split_once('=')).collect())
        .unwrap_or_default();
    let verdict = |handle: &ReceiptHandle| {
        let name = format!("{}/{}/{}", handle.queue_id, handle.offset, handle.pop_time);
        match (told.get(name.as_str()).copied(), answer.code) {
            (Some("absorbed"), _) | (None, response::SUCCESS) => Seen::Ok(AckVerdict::Absorbed),
            (Some(TOO_LATE), _) => Seen::Ok(AckVerdict::TooLate),
            (Some("unconfirmed"), _) => unknown("unconfirmed"),
            (Some(other), code) => Seen::Refused { code, remark: other.to_owned() },
            (None, _) => refused(answer),
        }
    };
    handles.iter().map(verdict).collect()
}

/// The new handle of a renewed message; `None` when it was too late to renew it.
pub(super) fn renewed(answer: &Command, delivery: &Delivery, broker: &str) -> Seen<Option<String>> {
    match answer.code {
        response::SUCCESS => header(answer, |told| Some(renewed_handle(delivery, broker, &told))),
        response::NO_MESSAGE => Seen::Ok(None),
        _ => refused(answer),
    }
}

/// The ids of the parked chains that are listed.
pub(super) fn parked(answer: &Command) -> Seen<Vec<String>> {
    if answer.code != response::SUCCESS {
        return refused(answer);
    }
    match serde_json::from_slice::<Vec<Chain>>(&answer.body) {
        Ok(chains) => Seen::Ok(chains.iter().map(|chain| chain.id.to_string()).collect()),
        Err(_) => unknown("malformed"),
    }
}

/// How many chains were resumed.
pub(super) fn resumed(answer: &Command) -> Seen<u64> {
    if answer.code != response::SUCCESS {
        return refused(answer);
    }
    match answer.ext.get(COUNT).and_then(|count| count.parse().ok()) {
        Some(count) => Seen::Ok(count),
        None => unknown("malformed"),
    }
}

fn header<H: Header, T>(answer: &Command, value: impl FnOnce(H) -> T) -> Seen<T> {
    answer.header().map_or_else(|_| unknown("malformed"), |header| Seen::Ok(value(header)))
}

fn refused<T>(answer: &Command) -> Seen<T> {
    Seen::Refused { code: answer.code, remark: answer.remark.clone().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn answer(code: i32, ext: &[(&str, &str)]) -> Command {
        let mut answer = Command::response(code).with_remark("why");
        answer.ext = ext.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        answer
    }

    fn no<T>(code: i32) -> Seen<T> {
        Seen::Refused { code, remark: "why".into() }
    }

    #[test]
    fn only_code_0_with_its_fields_is_a_stored_message() {
        let fields = [("msgId", "x"), ("queueId", "2"), ("queueOffset", "9")];
        assert_eq!(sent(&answer(0, &fields)), Seen::Ok((2, 9)));
        assert_eq!(sent(&answer(0, &fields[..2])), unknown("malformed"));
        assert_eq!(sent(&answer(10, &fields)), no(10), "stored but not flushed is no success");
        assert_eq!((done(&answer(0, &[])), done(&answer(1, &[]))), (Seen::Ok(()), no(1)));
    }

    #[test]
    fn an_ack_is_absorbed_too_late_or_refused() {
        assert_eq!(acked(&answer(0, &[])), Seen::Ok(AckVerdict::Absorbed));
        assert_eq!(acked(&answer(208, &[("ackOutcome", "too-late")])), Seen::Ok(AckVerdict::TooLate));
        assert_eq!(acked(&answer(208, &[])), no(208));
        assert_eq!(acked(&answer(2, &[("ackOutcome", "too-late")])), no(2));
    }

    #[test]
    fn each_ack_of_a_batch_has_its_own_outcome() {
        let handles: Vec<ReceiptHandle> =
            (0..5).map(|offset| format!("0 7 60000 0 0 b 3 {offset}").parse().unwrap()).collect();
        let outcomes = "3/0/7=absorbed;3/1/7=too-late;3/2/7=unknown;3/3/7=unconfirmed";
        let absorbed = Seen::Ok(AckVerdict::Absorbed);
        assert_eq!(
            batch_acked(&answer(1, &[("ackOutcomes", outcomes)]), &handles),
            [
                absorbed.clone(),
                Seen::Ok(AckVerdict::TooLate),
                Seen::Refused { code: 1, remark: "unknown".into() },
                unknown("unconfirmed"),
                no(1),
            ]
        );
        assert_eq!(batch_acked(&answer(0, &[]), &handles[..2]), [absorbed.clone(), absorbed]);
        assert_eq!(batch_acked(&answer(2, &[]), &handles[..1]), [no(2)]);
    }

    #[test]
    fn a_renewal_gives_the_handle_of_a_checkpoint_of_its_own() {
        let delivery = Delivery {
            ledger: None,
            handle: "100 1000 60000 2 2 b 3 104".into(),
            topic: "%RETRY%g+t".into(),
            queue: 3,
            offset: 104,
            reconsume: 1,
            body: bytes::Bytes::new(),
            properties: Vec::new(),
        };
        let told = answer(0, &[("popTime", "2000"), ("invisibleTime", "30000"), ("reviveQid", "5")]);
        assert_eq!(renewed(&told, &delivery, "b"), Seen::Ok(Some("104 2000 30000 5 2 b 3 104".into())));
        assert_eq!(renewed(&answer(208, &[]), &delivery, "b"), Seen::Ok(None));
        assert_eq!(renewed(&answer(0, &[]), &delivery, "b"), unknown("malformed"));
        assert_eq!(renewed(&answer(13, &[]), &delivery, "b"), no(13));
    }

    #[test]
    fn nothing_to_pop_is_no_refusal() {
        let group =
            Group { name: "g".into(), topic: "t".into(), tag: "*".into(), max_reconsume: 3, begins_at_end: false };
        for code in [210, 209, 19] {
            assert_eq!(popped(&answer(code, &[]), &group, "b"), Seen::Ok(Vec::new()));
        }
        assert_eq!(popped(&answer(17, &[]), &group, "b"), no(17));
        assert_eq!(popped(&answer(0, &[]).with_body("x"), &group, "b"), unknown("malformed"));
    }

    #[test]
    fn a_resumption_tells_its_count() {
        assert_eq!(resumed(&answer(0, &[("count", "3")])), Seen::Ok(3));
        assert_eq!(resumed(&answer(0, &[])), unknown("malformed"));
        assert_eq!(resumed(&answer(3, &[])), no(3));
    }
}
