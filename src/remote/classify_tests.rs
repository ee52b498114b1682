#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{
    remoting::code,
    revive::samples::{OTHER, chain, message},
};

const OFFSET: i64 = 10;

/// The chain of message 10, popped under term 3 from a topic created at (2, 5).
fn asked() -> Chain {
    let mut chain = chain(OTHER);
    (chain.id.offset, chain.id.term) = (OFFSET, 3);
    Chain { topic_epoch: LogPosition { term: 2, index: 5 }, ..chain }
}

fn body(change: impl FnOnce(&mut Message)) -> Bytes {
    let mut message = Message { queue_offset: OFFSET, ..message() };
    change(&mut message);
    message.encode().unwrap()
}

fn of_code(code: i32) -> Answered {
    Answered { code, ..Answered::default() }
}

fn classified(answer: &Answered) -> Meaning {
    alone(&asked(), answer)
}

/// What an answer to a read of this one message says.
fn alone(chain: &Chain, answer: &Answered) -> Meaning {
    classify(chain, chain.id.offset, answer, &answer.pieces()).unwrap()
}

fn failed(cause: Cause) -> Meaning {
    Meaning::Failed(cause)
}

/// What each response code means without anything else in the answer. One that is not named is kept as a number, and
/// tried again: it is a failure of the peer that says nothing about the message.
fn intended(code: i32) -> Cause {
    match code {
        // A success without a message.
        response::SUCCESS => Cause::EmptyAnswer,
        // "Not there", which lagging replicas say too.
        response::PULL_NOT_FOUND => Cause::NotFound,
        response::PULL_RETRY_IMMEDIATELY => Cause::RetryImmediately,
        response::PULL_OFFSET_MOVED => Cause::OffsetMoved,
        // Load. A RocketMQ slave that may not be read also answers SYSTEM_BUSY.
        response::SYSTEM_BUSY | response::FLOW_CONTROL => Cause::Busy,
        // Alive, but not serving this now.
        response::SERVICE_NOT_AVAILABLE | response::NOT_LEADER_FOR_QUEUE | response::GO_AWAY => Cause::NotServing,
        // It has the message, and not enough members of its group to say so.
        response::SLAVE_NOT_AVAILABLE => Cause::Unconfirmed,
        // Decisions of the owner.
        response::NO_PERMISSION => Cause::NoPermission,
        response::TOPIC_NOT_EXIST => Cause::TopicUnknown,
        response::SUBSCRIPTION_GROUP_NOT_EXIST => Cause::GroupUnknown,
        response::INVALID_PARAMETER => Cause::BadRequest,
        // Failures inside the peer.
        response::SYSTEM_ERROR
        | response::TRANSACTION_FAILED
        | response::REQUEST_CODE_NOT_SUPPORTED
        | response::VERSION_NOT_SUPPORTED
        // About storing, not about reading.
        | response::FLUSH_DISK_TIMEOUT
        | response::FLUSH_SLAVE_TIMEOUT
        | response::MESSAGE_ILLEGAL
        | response::TOPIC_EXIST_ALREADY
        // About another request, or about a subscription, which this read brings along.
        | response::QUERY_NOT_FOUND
        | response::SUBSCRIPTION_PARSE_FAILED
        | response::SUBSCRIPTION_NOT_EXIST
        | response::SUBSCRIPTION_NOT_LATEST
        | response::FILTER_DATA_NOT_EXIST
        | response::FILTER_DATA_NOT_LATEST
        | response::NOT_IN_CURRENT_UNIT
        | response::CONSUMER_NOT_ONLINE
        | response::CONSUME_MSG_TIMEOUT
        | response::NO_MESSAGE
        | response::POLLING_FULL
        | response::POLLING_TIMEOUT
        | response::BROKER_NOT_EXIST
        | response::ILLEGAL_OPERATION
        | response::SEALED
        // RocketMQ's own RPC client, behind a proxy.
        | response::RPC_UNKNOWN
        | response::RPC_ADDR_IS_NULL
        | response::RPC_SEND_TO_CHANNEL_FAILED
        | response::RPC_TIME_OUT => Cause::Code(code),
        other => panic!("nobody decided what {} means", response::name(other)),
    }
}

/// Known defects A01, C06.
#[test]
fn every_response_code_means_what_is_written_down() {
    for (name, code) in code::response::ALL {
        assert_eq!(classified(&of_code(*code)), failed(intended(*code)), "{name}");
    }
    assert_eq!(classified(&of_code(4711)), failed(Cause::Code(4711)), "a code that nobody knows");
}

/// Known defects A01, A18.
#[test]
fn no_code_is_final_without_the_holders_term() {
    let everything = |code| Answered {
        minimum: Some(OFFSET + 5),
        maximum: Some(OFFSET + 9),
        topic_epoch: Some(LogPosition { term: 9, index: 9 }),
        ..of_code(code)
    };
    for (name, code) in code::response::ALL {
        assert_eq!(classified(&everything(*code)), failed(intended(*code)), "{name}");
        let old_holder = Answered { holder_term: Some(2), ..everything(*code) };
        assert_eq!(classified(&old_holder), failed(intended(*code)), "{name} from a holder of an earlier term");
    }
}

#[test]
fn the_holder_proves_that_the_offset_is_below_the_minimum() {
    let answer = |code, minimum, term| Answered {
        minimum: Some(minimum),
        maximum: Some(20),
        holder_term: Some(term),
        ..of_code(code)
    };
    let gone = |minimum| Meaning::Gone(GoneProof::BelowMinimum { minimum });
    for (name, code) in code::response::ALL {
        let proves = [response::SUCCESS, response::PULL_NOT_FOUND, response::PULL_OFFSET_MOVED].contains(code);
        let expected = if proves { gone(OFFSET + 1) } else { failed(intended(*code)) };
        assert_eq!(classified(&answer(*code, OFFSET + 1, 3)), expected, "{name}");
        assert_eq!(
            classified(&answer(*code, OFFSET, 3)),
            failed(intended(*code)),
            "{name}: the minimum itself is there"
        );
    }
    assert_eq!(classified(&answer(response::PULL_OFFSET_MOVED, 15, 4)), gone(15), "the holder of a later term");
}

/// Known defect A14.
#[test]
fn the_holder_proves_that_the_topic_was_recreated() {
    let of_epoch = |term, index| Answered {
        holder_term: Some(3),
        topic_epoch: Some(LogPosition { term, index }),
        body: body(|_| {}),
        ..of_code(response::SUCCESS)
    };
    let recreated = GoneProof::TopicRecreated { epoch: LogPosition { term: 2, index: 6 } };
    assert_eq!(classified(&of_epoch(2, 6)), Meaning::Gone(recreated), "whatever now has that offset");
    assert!(matches!(classified(&of_epoch(2, 5)), Meaning::Found(_)), "the topic it was popped from");
    let unknown = Chain { topic_epoch: LogPosition::default(), ..asked() };
    assert!(matches!(alone(&unknown, &of_epoch(9, 9)), Meaning::Found(_)), "a checkpoint that names no epoch");
}

/// Known defect A14: a message of another topic of that name is not the one, whoever has it. A slave proves nothing, but
/// the message at its offset may be a successor's, and one that is behind may still have a predecessor's.
#[test]
fn what_lies_at_the_offset_in_another_topic_of_that_name_is_another_message() {
    for holder_term in [None, Some(0), Some(3)] {
        for (term, index) in [(1, 99), (2, 4), (2, 6)] {
            let topic_epoch = Some(LogPosition { term, index });
            let answer = Answered { holder_term, topic_epoch, body: body(|_| {}), ..of_code(response::SUCCESS) };
            let is_proof = holder_term == Some(3) && (term, index) == (2, 6);
            match classified(&answer) {
                Meaning::Gone(_) => assert!(is_proof),
                Meaning::Failed(Cause::WrongMessage { .. }) => assert!(!is_proof),
                other => panic!("{other:?} for {holder_term:?} {term}-{index}"),
            }
        }
    }
}

/// Known defects A14, A63: so does one that says that the topic is not there any more; and one whose successor of the
/// topic has fewer queues, or is not readable.
#[test]
fn the_holder_proves_that_the_topic_was_deleted() {
    let at = |term, index| LogPosition { term, index };
    let deleted =
        |holder_term, at| Answered { holder_term, topic_deleted: Some(at), ..of_code(response::TOPIC_NOT_EXIST) };
    let gone = |at| Meaning::Gone(GoneProof::TopicDeleted { at });
    assert_eq!(classified(&deleted(Some(3), at(2, 6))), gone(at(2, 6)));
    let unknown = Chain { topic_epoch: LogPosition::default(), ..asked() };
    assert_eq!(alone(&unknown, &deleted(Some(3), at(1, 1))), gone(at(1, 1)), "whichever it was, there is none now");
    let not_there = failed(Cause::TopicUnknown);
    for answer in [deleted(Some(3), at(2, 5)), deleted(None, at(9, 9)), deleted(Some(2), at(9, 9))] {
        assert_eq!(classified(&answer), not_there, "{answer:?}");
    }
    let elsewhere = Answered { code: response::SYSTEM_BUSY, ..deleted(Some(3), at(9, 9)) };
    assert_eq!(classified(&elsewhere), failed(Cause::Busy));
    for code in [response::INVALID_PARAMETER, response::NO_PERMISSION, response::PULL_RETRY_IMMEDIATELY] {
        let successor = |epoch| Answered { holder_term: Some(3), topic_epoch: Some(epoch), ..of_code(code) };
        let recreated = Meaning::Gone(GoneProof::TopicRecreated { epoch: at(2, 6) });
        assert_eq!(classified(&successor(at(2, 6))), recreated, "{code}");
        assert_eq!(classified(&successor(at(2, 5))), failed(intended(code)), "{code}");
    }
}

/// Known defect A18.
#[test]
fn only_the_holder_of_the_same_term_proves_that_it_never_was() {
    let answer = |code, maximum, holder_term| Answered { minimum: Some(0), maximum, holder_term, ..of_code(code) };
    let moved = response::PULL_OFFSET_MOVED;
    assert_eq!(classified(&answer(moved, Some(OFFSET), Some(3))), failed(Cause::BeyondEnd));
    assert_eq!(classified(&answer(moved, Some(OFFSET + 1), Some(3))), failed(Cause::OffsetMoved));
    assert_eq!(classified(&answer(moved, Some(OFFSET), Some(4))), failed(Cause::OffsetMoved), "a lost tail, perhaps");
    assert_eq!(classified(&answer(moved, Some(OFFSET), None)), failed(Cause::OffsetMoved));
    assert_eq!(classified(&answer(moved, None, Some(3))), failed(Cause::OffsetMoved));
    assert_eq!(classified(&answer(response::PULL_NOT_FOUND, Some(OFFSET), Some(3))), failed(Cause::NotFound));
}

/// Known defect A13.
#[test]
fn only_the_message_that_was_asked_for_is_found() {
    let success = |body| Answered { body, ..of_code(response::SUCCESS) };
    let found = Message { queue_offset: OFFSET, ..message() };
    assert_eq!(classified(&success(body(|_| {}))), Meaning::Found(Arc::new(found)));
    let wrong = |offset| failed(Cause::WrongMessage { offset });
    for offset in [OFFSET - 1, OFFSET + 1] {
        assert_eq!(classified(&success(body(|message| message.queue_offset = offset))), wrong(offset));
    }
    assert_eq!(classified(&success(body(|message| message.queue_id = 1))), wrong(OFFSET), "of another queue");
    assert_eq!(classified(&success(body(|message| message.topic = "u".into()))), wrong(OFFSET), "of another topic");
    assert_eq!(classified(&success(Bytes::new())), failed(Cause::EmptyAnswer));
    let whole = body(|_| {});
    assert_eq!(classified(&success(whole.slice(..whole.len() - 1))), failed(Cause::Undecodable));
    assert_eq!(classified(&success(Bytes::from_static(b"no message"))), failed(Cause::Undecodable));
    let mut flipped = whole.to_vec();
    let first_of_body = flipped.windows(5).position(|bytes| bytes == b"hello").unwrap();
    flipped[first_of_body] ^= 1;
    assert_eq!(classified(&success(flipped.into())), failed(Cause::Undecodable));
}

// Several messages in one read

/// What an answer to a read from `OFFSET` on says about the messages at these distances from it.
fn coalesced<const N: usize>(answer: &Answered, distances: [i64; N]) -> [Option<Meaning>; N] {
    let pieces = answer.pieces();
    distances.map(|distance| {
        let mut chain = asked();
        chain.id.offset += distance;
        classify(&chain, OFFSET, answer, &pieces)
    })
}

fn stored(distance: i64) -> Bytes {
    body(|message| message.queue_offset = OFFSET + distance)
}

fn success(parts: &[Bytes]) -> Answered {
    Answered { body: parts.concat().into(), ..of_code(response::SUCCESS) }
}

fn is_found(meaning: &Option<Meaning>) -> bool {
    matches!(meaning, Some(Meaning::Found(_)))
}

#[test]
fn each_message_of_an_answer_has_its_own_meaning() {
    let [a, b, c, d] = coalesced(&success(&[stored(0), stored(1), stored(3)]), [0, 1, 2, 3]);
    assert!(is_found(&a) && is_found(&b) && is_found(&d));
    assert_eq!(c, Some(failed(Cause::WrongMessage { offset: OFFSET + 3 })), "it was passed over, which proves nothing");
}

#[test]
fn what_a_cut_answer_does_not_reach_has_to_be_asked_for_again() {
    let [a, b, c] = coalesced(&success(&[stored(0)]), [0, 1, 9]);
    assert!(is_found(&a));
    assert_eq!((b, c), (None, None));
    // Unless the holder proves that it is gone.
    let proof = Answered { minimum: Some(OFFSET + 5), holder_term: Some(3), ..success(&[stored(9)]) };
    let [a, b, c] = coalesced(&proof, [0, 4, 9]);
    let gone = Some(Meaning::Gone(GoneProof::BelowMinimum { minimum: OFFSET + 5 }));
    assert_eq!((&a, &b), (&gone, &gone));
    assert!(is_found(&c));
}

#[test]
fn a_damaged_message_does_not_spoil_the_others() {
    let flipped = |distance| {
        let mut bytes = stored(distance).to_vec();
        let at = bytes.windows(5).position(|bytes| bytes == b"hello").unwrap();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    let undecodable = Some(failed(Cause::Undecodable));
    let [a, b, c] = coalesced(&success(&[stored(0), flipped(1), stored(2)]), [0, 1, 2]);
    assert!(is_found(&a) && is_found(&c));
    assert_eq!(b, undecodable);
    let [a, b] = coalesced(&success(&[flipped(0), stored(1)]), [0, 1]);
    assert_eq!(a, undecodable);
    assert!(is_found(&b));
    // Not even its length makes sense: what follows has to be asked for again.
    let [a, b, c] = coalesced(&success(&[stored(0), Bytes::from_static(b"no message"), stored(2)]), [0, 1, 2]);
    assert!(is_found(&a));
    assert_eq!((b, c), (None, None));
    assert_eq!(coalesced(&success(&[Bytes::from_static(b"no message")]), [0]), [undecodable]);
}

#[test]
fn an_offset_that_moved_for_the_first_says_nothing_about_those_in_the_queue() {
    let moved = Answered {
        minimum: Some(OFFSET + 2),
        maximum: Some(OFFSET + 4),
        holder_term: Some(3),
        ..of_code(response::PULL_OFFSET_MOVED)
    };
    let [a, b, c, d] = coalesced(&moved, [0, 1, 2, 4]);
    let gone = Some(Meaning::Gone(GoneProof::BelowMinimum { minimum: OFFSET + 2 }));
    assert_eq!((&a, &b), (&gone, &gone));
    assert_eq!(c, None, "it is there");
    assert_eq!(d, Some(failed(Cause::BeyondEnd)));
    // Without a holder's term nothing is proven, but those in the queue are asked for all the same.
    let [a, c] = coalesced(&Answered { holder_term: None, ..moved }, [0, 2]);
    assert_eq!((a, c), (Some(failed(Cause::OffsetMoved)), None));
}

#[test]
fn other_codes_mean_the_same_for_every_message() {
    for (name, code) in code::response::ALL.iter().filter(|(_, code)| *code != response::SUCCESS) {
        let [a, b] = coalesced(&of_code(*code), [0, 7]);
        assert_eq!((a, b), (Some(failed(intended(*code))), Some(failed(intended(*code)))), "{name}");
    }
    let [a, b] = coalesced(&success(&[]), [0, 7]);
    assert_eq!((a, b), (Some(failed(Cause::EmptyAnswer)), Some(failed(Cause::EmptyAnswer))));
}

proptest::proptest! {
    /// Whatever comes back, the first message gets a meaning: asking again comes to an end.
    #[test]
    fn the_message_at_the_front_always_gets_a_meaning(
        code in proptest::sample::select(vec![0, 1, 2, 17, 19, 20, 21]),
        minimum in proptest::option::of(0i64..30),
        maximum in proptest::option::of(0i64..30),
        parts in proptest::collection::vec(0i64..20, 0..6),
        cut in 0usize..40,
    ) {
        let body: Vec<u8> = parts.iter().flat_map(|distance| stored(*distance).to_vec()).collect();
        let body = Bytes::from(body[..body.len().saturating_sub(cut)].to_vec());
        let answer = Answered { body, minimum, maximum, holder_term: Some(3), ..of_code(code) };
        let [first] = coalesced(&answer, [0]);
        proptest::prop_assert!(first.is_some());
    }
}
