#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use pop_revive::remoting::{
    Command,
    code::{request, response},
    headers::{SendMessageHeader, SendMessageResponseHeader},
};
use tokio_util::sync::CancellationToken;

use super::{
    body::ledger_of,
    fake_broker::{FakeBroker, TestWorld, route, success},
    producer::{Begun, run},
};
use crate::{
    history::{Event, EventKind, Noted, Seen, Sent},
    random::Streams,
    scenario::Producer,
};

fn spec() -> Producer {
    Producer {
        name: "producer-1".into(),
        topic: "t".into(),
        messages: 4,
        from_ms: 10_000,
        over_ms: 8_000,
        burst: 1,
        body_bytes: 40,
        tags: vec!["A".into(), "B".into()],
        delay_ms: Some(5_000),
        keys: None,
    }
}

fn stored(request: &Command) -> Command {
    let header = SendMessageHeader::read_v2(&request.ext).unwrap();
    let told = SendMessageResponseHeader {
        msg_id: "x".into(),
        queue_id: header.queue_id,
        queue_offset: 7,
        ..Default::default()
    };
    success(&told)
}

async fn produce(world: &TestWorld, seed: u64, stop: CancellationToken) -> Vec<Sent> {
    produce_on(world, seed, Begun::default(), stop).await
}

async fn produce_on(world: &TestWorld, seed: u64, begun: Begun, stop: CancellationToken) -> Vec<Sent> {
    let rng = Streams::new(seed).stream("workload/producer-1");
    run(world.host(), spec(), vec!["b:1".into()], rng, world.recorder(), begun, stop).await;
    world
        .kinds()
        .into_iter()
        .filter_map(|kind| if let EventKind::Noted(Noted::Sent(sent)) = kind { Some(sent) } else { None })
        .collect()
}

#[tokio::test]
async fn messages_are_spread_over_the_span_and_the_queues() {
    let world = TestWorld::new();
    let script = |request: &Command, _| (request.code == request::SEND_MESSAGE_V2).then(|| stored(request));
    let (broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    let sent = produce(&world, 1, CancellationToken::new()).await;

    assert_eq!(
        sent.iter().map(|sent| sent.seen.clone()).collect::<Vec<_>>(),
        [0, 1, 0, 1].map(|queue| Seen::Ok((queue, 7)))
    );
    for (slot, sent) in (0..).zip(&sent) {
        let begin = 10_000 + slot * 2_000;
        assert!((begin..=begin + 2_100).contains(&sent.began_ms), "{slot}: {}", sent.began_ms);
        assert_eq!((sent.ledger.to_string(), sent.broker.as_str()), (format!("producer-1#{slot:06}"), "b"));
    }
    let requests = broker.requests(request::SEND_MESSAGE_V2);
    let delays = ["DELAY\u{1}2\u{2}KEYS", "TIMER_DELAY_SEC\u{1}5", "TIMER_DELAY_MS\u{1}5000"];
    for ((number, (_, request)), delay) in (0..).zip(&requests).zip(delays) {
        let header = SendMessageHeader::read_v2(&request.ext).unwrap();
        let properties = header.properties.unwrap();
        assert!(properties.contains(delay), "{properties:?}");
        assert!(properties.ends_with(&format!("UNIQ_KEY\u{1}producer-1#{number:06}\u{2}")), "{properties:?}");
        assert_eq!(header.flag, number);
    }
    let (_, third) = &requests[2];
    assert_eq!((third.body.len(), ledger_of(&third.body)), (40, Some(sent[2].ledger.clone())));
    assert_eq!(broker.requests(request::GET_ROUTEINFO_BY_TOPIC).len(), 1, "a route lives for 30 s");
}

#[tokio::test]
async fn what_nobody_answered_is_sent_again_and_what_was_refused_is_not() {
    let world = TestWorld::new();
    let script = |request: &Command, nth| match (request.code, nth) {
        (request::SEND_MESSAGE_V2, 0) => Some(Command::response(response::SYSTEM_BUSY).with_remark("later")),
        (request::SEND_MESSAGE_V2, 2..) => Some(stored(request)),
        _ => None,
    };
    let (broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    let mut sent = produce(&world, 1, CancellationToken::new()).await;
    sent.sort_by(|a, b| a.ledger.cmp(&b.ledger));
    assert_eq!(sent[0].seen, Seen::Refused { code: 2, remark: "later".into() });
    assert_eq!(sent[1].seen, Seen::Unknown { cause: "timeout".into() });
    assert_eq!((sent[2].seen.clone(), &sent[2].ledger), (Seen::Ok((1, 7)), &sent[1].ledger));
    let requests = broker.requests(request::SEND_MESSAGE_V2);
    assert_eq!((sent.len(), requests.len()), (5, 5));
    let key = |request: &Command| SendMessageHeader::read_v2(&request.ext).unwrap().properties;
    let again = requests.iter().filter(|(_, request)| key(request) == key(&requests[1].1)).count();
    assert_eq!(again, 2, "the same properties, the key among them");
}

#[tokio::test]
async fn a_message_is_sent_three_times_at_the_most() {
    let world = TestWorld::new();
    let (broker, _server) = FakeBroker::start(&world, "b", Box::new(|_, _| None)).await;
    let sent = produce(&world, 1, CancellationToken::new()).await;
    assert_eq!((sent.len(), broker.requests(request::SEND_MESSAGE_V2).len()), (12, 12));
}

#[tokio::test]
async fn one_started_again_goes_on_where_it_was() {
    let world = TestWorld::new();
    let script = |request: &Command, _| (request.code == request::SEND_MESSAGE_V2).then(|| stored(request));
    let (broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    let begun = Begun::default();
    let stop = CancellationToken::new();
    let first_life = tokio::time::timeout(Duration::from_secs(14), produce_on(&world, 1, begun.clone(), stop.clone()));
    assert!(first_life.await.is_err());
    let sent = produce_on(&world, 1, begun, stop).await;
    let names: Vec<String> = sent.iter().map(|sent| sent.ledger.to_string()).collect();
    assert_eq!(names, [0, 1, 2, 3].map(|number| format!("producer-1#{number:06}")));
    assert_eq!(broker.requests(request::SEND_MESSAGE_V2).len(), 4);
}

#[tokio::test]
async fn it_waits_for_a_route_until_it_is_stopped() {
    let world = TestWorld::new();
    let script = |request: &Command, nth| match request.code {
        request::GET_ROUTEINFO_BY_TOPIC if nth < 5 => Some(Command::response(response::TOPIC_NOT_EXIST)),
        request::GET_ROUTEINFO_BY_TOPIC => Some(Command::response(response::SUCCESS).with_body(route(&[]))),
        _ => None,
    };
    let (broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        stopper.cancel();
    });
    assert!(produce(&world, 1, stop).await.is_empty());
    assert_eq!(world.now_ms() / 1000, 60);
    let asked = broker.requests(request::GET_ROUTEINFO_BY_TOPIC).len();
    assert!((5..60).contains(&asked), "four waiting sends share their look-ups: {asked}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.block_on(async move {
            let world = TestWorld::new();
            let script = |request: &Command, _| (request.code == request::SEND_MESSAGE_V2).then(|| stored(request));
            let (_broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
            produce(&world, seed, CancellationToken::new()).await;
            world.history().iter().map(|event: &Event| format!("{event:?}\n")).collect::<String>()
        })
    };
    #[allow(clippy::disallowed_methods, reason = "every run has a thread of its own")]
    let in_thread = |seed| std::thread::spawn(move || history(seed)).join().unwrap();
    assert_eq!(in_thread(1), in_thread(1));
    assert_ne!(in_thread(1), in_thread(2));
}
