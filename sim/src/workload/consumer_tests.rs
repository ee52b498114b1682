#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use pop_revive::{
    model::BatchAckBody,
    remoting::{
        Command,
        code::{request, response},
        headers::{AckMessageHeader, ChangeInvisibleResponseHeader, PopMessageHeader},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    apache_slave::Kept,
    consumer::run,
    fake_broker::{FakeBroker, TestWorld, message, pop_answer, route, success},
    route::Endpoint,
};
use crate::{
    history::{AckVerdict, Acked, EventKind, Noted, Popped, Renewed, Seen},
    random::Streams,
    scenario::{Consumer, Group},
};

const ABSORBED: Seen<AckVerdict> = Seen::Ok(AckVerdict::Absorbed);

fn spec() -> Consumer {
    Consumer {
        name: "consumer-1".into(),
        group: "g".into(),
        from_ms: 0,
        batch: 8,
        invisible_ms: 60_000,
        poll_ms: 15_000,
        think_ms: 2_000,
        ack: 1.0,
        ack_retries: 1.0,
        renew: 0.0,
        renew_for_ms: None,
        renewals: 1,
        late_ack: 0.0,
        repeat_ack: 0.0,
        repeat_after_ms: 1000,
        batch_ack: false,
        apache: None,
    }
}

async fn consume(world: &TestWorld, spec: Consumer, seconds: u64) {
    let group =
        Group { name: "g".into(), topic: "t".into(), tag: "A || B".into(), max_reconsume: 3, begins_at_end: false };
    let rng = Streams::new(1).stream("workload/consumer-1");
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        stopper.cancel();
    });
    run(world.host(), (spec, group), vec!["b:1".into()], rng, world.recorder(), Kept::default(), stop).await;
}

/// Two messages at the first pop, nothing later.
fn two_messages() -> Command {
    pop_answer(&[message("t", 0, 4, "<<p#1>>"), message("t", 0, 5, "<<p#2>>")], "0 0 3", "0 0 4,5")
}

fn acks(world: &TestWorld) -> Vec<Acked> {
    let acked = |kind| if let EventKind::Noted(Noted::Acked(acked)) = kind { Some(acked) } else { None };
    world.kinds().into_iter().filter_map(acked).collect()
}

fn pops(world: &TestWorld) -> Vec<Popped> {
    let popped = |kind| if let EventKind::Noted(Noted::Popped(popped)) = kind { Some(popped) } else { None };
    world.kinds().into_iter().filter_map(popped).collect()
}

fn renewals(world: &TestWorld) -> Vec<Renewed> {
    let renewed = |kind| if let EventKind::Noted(Noted::Renewed(renewed)) = kind { Some(renewed) } else { None };
    world.kinds().into_iter().filter_map(renewed).collect()
}

#[tokio::test]
async fn messages_are_acked_after_thinking_while_polling_goes_on() {
    let world = TestWorld::new();
    let script = |request: &Command, nth| match (request.code, nth) {
        (request::POP_MESSAGE, 0) => Some(two_messages()),
        (request::ACK_MESSAGE, _) => Some(Command::response(response::SUCCESS)),
        _ => None,
    };
    let (broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    consume(&world, spec(), 70).await;

    let acked = acks(&world);
    assert_eq!(acked.iter().map(|ack| ack.seen.clone()).collect::<Vec<_>>(), [ABSORBED, ABSORBED]);
    assert!(acked.iter().all(|ack| (2_000..2_100).contains(&ack.began_ms)), "{acked:?}");
    let asked: Vec<AckMessageHeader> =
        broker.requests(request::ACK_MESSAGE).iter().map(|(_, request)| request.header().unwrap()).collect();
    assert!(asked.iter().any(|ack| ack.extra_info == "3 1000 60000 2 0 b 0 5" && ack.offset == 5 && ack.topic == "t"));

    let polls = broker.requests(request::POP_MESSAGE);
    assert_eq!(polls.len(), 6, "one answered at once, five held for 15 s");
    assert!(polls[1].0 < 100, "acks do not hold up polling: {}", polls[1].0);
    let poll: PopMessageHeader = polls[0].1.header().unwrap();
    assert_eq!((poll.queue_id, poll.max_msg_nums, poll.init_mode), (-1, 8, 0));
    assert_eq!((poll.exp_type.as_deref(), poll.exp.as_deref()), (Some("TAG"), Some("A || B")));
    assert_eq!(broker.requests(request::HEART_BEAT).len(), 3);
    assert_eq!(broker.requests(request::GET_ROUTEINFO_BY_TOPIC).len(), 3);
    assert_eq!(pops(&world).last().unwrap().seen, Seen::Unknown { cause: "stopped".into() });
}

#[tokio::test]
async fn an_ack_without_a_verdict_is_tried_again() {
    let world = TestWorld::new();
    let one = || pop_answer(&[message("t", 0, 4, "<<p#1>>")], "0 0 4", "0 0 4");
    let script = move |request: &Command, nth| match (request.code, nth) {
        (request::POP_MESSAGE, 0) => Some(one()),
        (request::ACK_MESSAGE, 0) => Some(Command::response(response::SYSTEM_BUSY).with_remark("busy")),
        (request::ACK_MESSAGE, 2) => Some(Command::response(response::SUCCESS)),
        _ => None,
    };
    let (broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    consume(&world, spec(), 60).await;
    let seen: Vec<_> = acks(&world).into_iter().map(|ack| ack.seen).collect();
    let busy = Seen::Refused { code: 2, remark: "busy".into() };
    assert_eq!(seen, [busy, Seen::Unknown { cause: "timeout".into() }, ABSORBED]);
    let at: Vec<u64> = broker.requests(request::ACK_MESSAGE).iter().map(|(at, _)| at / 100).collect();
    assert_eq!(at, [20, 30, 90]);
}

#[tokio::test]
async fn an_ack_is_not_tried_for_ever_nor_past_the_invisible_time() {
    for (invisible_ms, tries) in [(60_000, 6), (5_000, 3)] {
        let world = TestWorld::new();
        let script = |request: &Command, nth| match (request.code, nth) {
            (request::POP_MESSAGE, 0) => Some(pop_answer(&[message("t", 0, 4, "x")], "0 0 4", "0 0 4")),
            (request::ACK_MESSAGE, _) => Some(Command::response(response::SYSTEM_BUSY)),
            _ => None,
        };
        let (_broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
        consume(&world, Consumer { invisible_ms, ..spec() }, 60).await;
        assert_eq!(acks(&world).len(), tries, "{invisible_ms}");
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_not_tried_again() {
    let world = TestWorld::new();
    let script = |request: &Command, nth| match (request.code, nth) {
        (request::POP_MESSAGE, 0) => Some(pop_answer(&[message("t", 0, 4, "x")], "0 0 4", "0 0 4")),
        (request::ACK_MESSAGE, _) => Some(Command::response(response::MESSAGE_ILLEGAL)),
        _ => None,
    };
    let (_broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    consume(&world, spec(), 60).await;
    assert_eq!(acks(&world).len(), 1);
}

#[tokio::test]
async fn a_renewed_message_is_acked_with_its_new_handle_and_again_on_habit() {
    let world = TestWorld::new();
    let script = |request: &Command, nth| match (request.code, nth) {
        (request::POP_MESSAGE, 0) => Some(pop_answer(&[message("t", 0, 4, "<<p#1>>")], "0 0 3", "0 0 4")),
        (request::CHANGE_MESSAGE_INVISIBLETIME, _) => {
            Some(success(&ChangeInvisibleResponseHeader { pop_time: 2000, invisible_time: 60_000, revive_qid: 7 }))
        }
        (request::ACK_MESSAGE, _) => Some(Command::response(response::SUCCESS)),
        _ => None,
    };
    let (_broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    consume(&world, Consumer { renew: 1.0, repeat_ack: 1.0, ..spec() }, 60).await;
    let handle = "4 2000 60000 7 0 b 0 4";
    assert_eq!(renewals(&world)[0].seen, Seen::Ok(Some(handle.into())));
    let acked = acks(&world);
    assert_eq!(acked.iter().map(|ack| ack.handle.as_str()).collect::<Vec<_>>(), [handle; 2]);
    assert!((500..1600).contains(&(acked[1].began_ms - acked[0].began_ms)));
}

#[tokio::test]
async fn each_handle_is_renewed_in_its_turn_for_the_time_that_is_asked_for() {
    let world = TestWorld::new();
    let script = |request: &Command, nth| match request.code {
        request::POP_MESSAGE if nth == 0 => Some(pop_answer(&[message("t", 0, 4, "<<p#1>>")], "0 0 3", "0 0 4")),
        request::CHANGE_MESSAGE_INVISIBLETIME => {
            let pop_time = 2000 + i64::try_from(nth).unwrap();
            Some(success(&ChangeInvisibleResponseHeader { pop_time, invisible_time: 90_000, revive_qid: 7 }))
        }
        request::ACK_MESSAGE => Some(Command::response(response::SUCCESS)),
        _ => None,
    };
    let (_broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    consume(&world, Consumer { renew: 1.0, renew_for_ms: Some(90_000), renewals: 3, ..spec() }, 60).await;
    let renewed = renewals(&world);
    let handles: Vec<&str> = renewed.iter().map(|renewed| renewed.handle.as_str()).collect();
    assert_eq!(handles[1..], ["4 2000 90000 7 0 b 0 4", "4 2001 90000 7 0 b 0 4"]);
    assert!(renewed.iter().all(|renewed| renewed.invisible_ms == 90_000));
    assert_eq!(acks(&world)[0].handle, "4 2002 90000 7 0 b 0 4");
}

#[tokio::test]
async fn what_is_never_acked_may_be_renewed_and_a_renewal_without_an_answer_is_repeated_by_the_same_handle() {
    let world = TestWorld::new();
    let script = |request: &Command, nth| match (request.code, nth) {
        (request::POP_MESSAGE, 0) => Some(pop_answer(&[message("t", 0, 4, "<<p#1>>")], "0 0 3", "0 0 4")),
        (request::CHANGE_MESSAGE_INVISIBLETIME, 1) => {
            Some(success(&ChangeInvisibleResponseHeader { pop_time: 2000, invisible_time: 60_000, revive_qid: 7 }))
        }
        _ => None,
    };
    let (_broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    consume(&world, Consumer { ack: 0.0, renew: 1.0, ..spec() }, 60).await;
    let renewed = renewals(&world);
    let seen: Vec<_> = renewed.iter().map(|renewed| renewed.seen.clone()).collect();
    assert_eq!(seen, [Seen::Unknown { cause: "timeout".into() }, Seen::Ok(Some("4 2000 60000 7 0 b 0 4".into()))]);
    assert_eq!(renewed[0].handle, renewed[1].handle);
    assert_eq!(renewed[0].invisible_ms, 60_000);
    assert!(acks(&world).is_empty());
}

#[tokio::test]
async fn an_ack_may_be_repeated_much_later() {
    let world = TestWorld::new();
    let script = |request: &Command, nth| match (request.code, nth) {
        (request::POP_MESSAGE, 0) => Some(pop_answer(&[message("t", 0, 4, "<<p#1>>")], "0 0 3", "0 0 4")),
        (request::ACK_MESSAGE, _) => Some(Command::response(response::SUCCESS)),
        _ => None,
    };
    let (_broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    consume(&world, Consumer { repeat_ack: 1.0, repeat_after_ms: 100_000, ..spec() }, 200).await;
    let acked = acks(&world);
    assert!((50_000..150_100).contains(&(acked[1].began_ms - acked[0].began_ms)), "{acked:?}");
}

#[tokio::test]
async fn a_late_ack_comes_after_the_invisible_time_and_a_forgotten_one_never() {
    for (late_ack, times) in [(1.0, 1), (0.0, 0)] {
        let world = TestWorld::new();
        let script = |request: &Command, nth| match (request.code, nth) {
            (request::POP_MESSAGE, 0) => Some(pop_answer(&[message("t", 0, 4, "x")], "0 0 4", "0 0 4")),
            (request::ACK_MESSAGE, _) => {
                let mut answer = Command::response(response::NO_MESSAGE);
                answer.ext.insert("ackOutcome".into(), "too-late".into());
                Some(answer)
            }
            _ => None,
        };
        let (_broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
        consume(&world, Consumer { ack: 0.0, late_ack, ..spec() }, 90).await;
        let acked = acks(&world);
        assert_eq!(acked.len(), times);
        let is_late =
            |ack: &Acked| (62_000..62_100).contains(&ack.began_ms) && ack.seen == Seen::Ok(AckVerdict::TooLate);
        assert!(acked.iter().all(is_late), "{acked:?}");
    }
}

#[tokio::test]
async fn a_batch_is_one_request_and_only_its_undecided_acks_are_tried_again() {
    let world = TestWorld::new();
    let script = |request: &Command, nth| match (request.code, nth) {
        (request::POP_MESSAGE, 0) => Some(two_messages()),
        (request::BATCH_ACK_MESSAGE, 0) => {
            let mut answer = Command::response(response::SYSTEM_ERROR);
            answer.ext.insert("ackOutcomes".into(), "0/4/1000=absorbed;0/5/1000=unconfirmed".into());
            Some(answer)
        }
        (request::BATCH_ACK_MESSAGE, _) => Some(Command::response(response::SUCCESS)),
        _ => None,
    };
    let (broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    consume(&world, Consumer { batch_ack: true, ..spec() }, 60).await;
    let seen: Vec<_> = acks(&world).into_iter().map(|ack| (ack.place.2, ack.seen)).collect();
    assert_eq!(seen, [(4, ABSORBED), (5, Seen::Unknown { cause: "unconfirmed".into() }), (5, ABSORBED)]);
    let bodies: Vec<BatchAckBody> = broker
        .requests(request::BATCH_ACK_MESSAGE)
        .iter()
        .map(|(_, request)| BatchAckBody::parse(&request.body).unwrap())
        .collect();
    assert_eq!(bodies.iter().map(|body| body.acks[0].offsets()).collect::<Vec<_>>(), [vec![4, 5], vec![5]]);
    assert_eq!(bodies[0].broker_name.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_broker_that_does_not_hold_polls_is_not_hammered() {
    let world = TestWorld::new();
    let script = |request: &Command, _| {
        (request.code == request::POP_MESSAGE).then(|| Command::response(response::POLLING_FULL))
    };
    let (broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    consume(&world, spec(), 60).await;
    let polls = broker.requests(request::POP_MESSAGE).len();
    assert!((30..=120).contains(&polls), "{polls}");
}

#[tokio::test]
async fn a_broker_new_in_the_route_is_polled_too() {
    let world = TestWorld::new();
    let at = |name: &str| Endpoint { name: name.into(), address: format!("{name}:1") };
    let script = move |request: &Command, nth| {
        let brokers = if nth == 0 { vec![at("b")] } else { vec![at("b"), at("c")] };
        (request.code == request::GET_ROUTEINFO_BY_TOPIC)
            .then(|| Command::response(response::SUCCESS).with_body(route(&brokers)))
    };
    let (_broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    let (newcomer, _other_server) = FakeBroker::start(&world, "c", Box::new(|_, _| None)).await;
    consume(&world, spec(), 60).await;
    let polls = newcomer.requests(request::POP_MESSAGE);
    assert!((30_000..31_000).contains(&polls[0].0), "{}", polls[0].0);
}
