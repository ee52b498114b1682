#![allow(clippy::unwrap_used, reason = "tests")]

use std::{sync::Arc, time::Duration};

use pop_revive::{
    model::Message,
    remoting::{
        Command,
        code::{request, response},
        headers::{PullMessageHeader, PullMessageResponseHeader, SendMessageHeader},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    apache_slave::Kept,
    consumer::run,
    fake_broker::{FakeBroker, TestWorld, message, success},
};
use crate::{
    history::{AckVerdict, Acked, EventKind, Noted, Seen},
    random::Streams,
    scenario::{ApacheSlave, Consumer, Group},
};

const COUNT: i64 = 12;

/// The tag of a message to the revive topic.
fn tag(request: &Command) -> Option<String> {
    let header = SendMessageHeader::read_v2(&request.ext).ok()?;
    let properties = header.properties?;
    ["ck", "ack", "bAck"]
        .into_iter()
        .find(|tag| properties.contains(&format!("TAGS\u{1}{tag}\u{2}")))
        .map(str::to_owned)
}

/// Twelve messages in queue 0, then nothing.
fn pulled(request: &Command) -> Command {
    let PullMessageHeader { queue_id, queue_offset, .. } = request.header().unwrap();
    let told = PullMessageResponseHeader { next_begin_offset: queue_offset.max(COUNT), ..Default::default() };
    if queue_id != 0 || queue_offset > 0 {
        let told = PullMessageResponseHeader { next_begin_offset: queue_offset, ..told };
        return Command::response(response::PULL_NOT_FOUND).with_header(&told);
    }
    let messages: Vec<Message> = (0..COUNT).map(|offset| message("t", 0, offset, &format!("<<p#{offset}>>"))).collect();
    let body: Vec<u8> = messages.iter().flat_map(|message| message.encode().unwrap().to_vec()).collect();
    success(&told).with_body(body)
}

/// Runs a consumer that acks everything, for so long.
async fn consume(world: &TestWorld, kept: &Kept, seconds: u64) {
    let apache = Some(ApacheSlave { slave_of: "b".into(), keeps_at: "b".into(), garbles: 0.0, strays: 0.0 });
    let spec = Consumer { name: "consumer-1".into(), group: "g".into(), batch: 32, apache, ..Consumer::default() };
    let group = Group { name: "g".into(), topic: "t".into(), ..Group::default() };
    let rng = Streams::new(1).stream("workload/consumer-1");
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        stopper.cancel();
    });
    run(world.host(), (spec, group), vec!["b:1".into()], rng, world.recorder(), kept.clone(), stop).await;
}

fn acks(world: &TestWorld) -> Vec<Acked> {
    let acked = |kind| if let EventKind::Noted(Noted::Acked(acked)) = kind { Some(acked) } else { None };
    world.kinds().into_iter().filter_map(acked).collect()
}

/// A broker that answers checkpoints if `keeps`; what came to its revive topic.
async fn broker(world: &TestWorld, keeps: bool) -> (Arc<FakeBroker>, pop_revive::remoting::Server) {
    let script = move |request: &Command, _| match request.code {
        request::PULL_MESSAGE => Some(pulled(request)),
        request::UPDATE_CONSUMER_OFFSET => Some(Command::response(response::SUCCESS)),
        request::SEND_MESSAGE_V2 if tag(request)? == "ck" => keeps.then(|| Command::response(response::SUCCESS)),
        request::SEND_MESSAGE_V2 => {
            let mut answer = Command::response(response::SUCCESS);
            answer.ext.insert("ackOutcome".into(), "early".into());
            Some(answer)
        }
        _ => None,
    };
    FakeBroker::start(world, "b", Box::new(script)).await
}

#[tokio::test]
async fn an_early_ack_is_final_once_its_checkpoint_is_kept() {
    for keeps in [true, false] {
        let world = TestWorld::new();
        let (broker, _server) = broker(&world, keeps).await;
        consume(&world, &Kept::default(), 60).await;
        let acked = acks(&world);
        let early = acked.iter().filter(|it| it.seen == Seen::Unknown { cause: "early".into() }).count();
        let final_ones = acked.iter().filter(|it| it.seen == Seen::Ok(AckVerdict::Absorbed)).count();
        let kept = broker.requests(request::SEND_MESSAGE_V2).iter().filter(|it| tag(&it.1).unwrap() == "ck").count();
        let committed = broker.requests(request::UPDATE_CONSUMER_OFFSET).len();
        assert!(early > 0, "{acked:?}");
        match keeps {
            true => assert!(final_ones > 0 && (kept, committed) == (1, 1), "{final_ones} {kept} {committed}"),
            false => assert!(final_ones == 0 && kept > 3 && committed == 0, "{final_ones} {kept} {committed}"),
        }
    }
}

#[tokio::test]
async fn what_is_begun_outlives_the_process() {
    let (world, kept) = (TestWorld::new(), Kept::default());
    let server = broker(&world, false).await;
    consume(&world, &kept, 30).await;
    let times = |world: &TestWorld| {
        world.kinds().iter().filter(|kind| matches!(kind, EventKind::Noted(Noted::Popped(_)))).count()
    };
    assert_eq!(times(&world), 1);
    drop(server);
    let (broker, _server) = broker(&world, true).await;
    consume(&world, &kept, 60).await;
    assert_eq!(times(&world), 1, "it was popped before");
    let sent = broker.requests(request::SEND_MESSAGE_V2);
    let checkpoint = sent.iter().find(|(_, request)| tag(request).unwrap() == "ck").unwrap();
    assert!(String::from_utf8(checkpoint.1.body.to_vec()).unwrap().contains("\"n\":12"));
}
