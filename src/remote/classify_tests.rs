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
    classify(&asked(), answer)
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
        | response::SLAVE_NOT_AVAILABLE
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
    for (term, index) in [(2, 5), (1, 99)] {
        assert!(matches!(classified(&of_epoch(term, index)), Meaning::Found(_)), "{term}-{index} is not later");
    }
    let unknown = Chain { topic_epoch: LogPosition::default(), ..asked() };
    assert!(matches!(classify(&unknown, &of_epoch(9, 9)), Meaning::Found(_)), "a checkpoint that names no epoch");
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
    assert_eq!(classified(&success(body(|_| {}))), Meaning::Found(Box::new(found)));
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
