//! Chains whose home is another group: when they are due there, and where their acks and renewals go.

use super::{
    escape::{Pair, escaping},
    *,
};

const HOUR_MS: i64 = 3_600_000;
const THIRD: &str = "10.0.0.3:10911";

/// Known defects A44, A94, C05: a chain that is handed over is due when its invisible time is over, counted by time that
/// is left, not by either clock: it makes no difference that they are hours apart, and the time is not counted twice.
#[tokio::test]
async fn clocks_that_disagree_do_not_change_when_a_chain_is_due() {
    for ahead_ms in [0, HOUR_MS, -HOUR_MS] {
        let world = World::new().await;
        let clock = RunningClock::from(BEGAN_MS + ahead_ms);
        let machine = host(&MemoryDisk::default(), clock, &world.net);
        let _b = Broker::start(machine, config("broker-b", NEIGHBOUR)).await.unwrap();
        let _a = world.start(&MemoryDisk::default(), escaping()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.send("t", "m").await;
        let popped = world.pop(&PopMessageHeader { invisible_time: 2_000, ..popping("t") }).await;
        let popped_ms = popped[0].handle.parse::<ReceiptHandle>().unwrap().pop_time;
        let header = PopMessageHeader { poll_time: 5_000, ..popping("t") };
        assert_eq!(bodies(&world.pop_at(NEIGHBOUR, &header).await), ["m"], "clock {ahead_ms} ms ahead");
        let after_ms = world.now_ms() - popped_ms;
        assert!((2_950..3_400).contains(&after_ms), "revived {after_ms} ms after the pop, clock {ahead_ms} ms ahead");
    }
}

/// Known defects A30, A31: an ack and a renewal go where the chain went, not where chains go now: the target may have
/// changed since, and the old one keeps what it has.
#[tokio::test]
async fn an_ack_goes_where_its_chain_went_though_the_target_has_changed() {
    let pair = Pair::new().await;
    let world = &pair.world;
    for body in ["a", "b"] {
        world.send("t", body).await;
    }
    let popped = world.pop(&PopMessageHeader { invisible_time: 2_000, ..popping("t") }).await;
    // Until the confirmed hand-over is stored here too; a stop stores what waits.
    pair.a.shutdown(LIMIT).await;
    let _c = world.start(&MemoryDisk::default(), config("broker-c", THIRD)).await;
    let changed = BrokerConfig { escape_to: Some("broker-c".into()), ..escaping() };
    let a = world.start(&pair.disk, changed).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = world.ack(&popped[0]).await;
    assert_eq!(answer.code, response::SUCCESS, "{:?}", answer.remark);
    let header = PopMessageHeader { poll_time: 3_000, invisible_time: 60_000, ..popping("t") };
    assert_eq!(bodies(&world.pop_at(NEIGHBOUR, &header).await), ["b"]);
    assert_eq!(world.ask(THIRD, Command::request(request::LIST_SET_ASIDE)).await.code, response::SUCCESS);
    a.shutdown(LIMIT).await;
    pair.b.shutdown(LIMIT).await;
}

/// Known defect C03: a renewed message that nobody acks comes back, once, also where its chain lives elsewhere. A renewal
/// that travels as an ack would end it.
#[tokio::test]
async fn a_renewed_message_that_nobody_acks_comes_back_at_its_home() {
    let pair = Pair::new().await;
    let world = &pair.world;
    world.send("t", "m").await;
    let popped = world.pop(&popping("t")).await.remove(0);
    let renewed = world.renew(&popped, 2_000).await.unwrap();
    let renewed_ms = world.now_ms();
    let header = PopMessageHeader { poll_time: 4_000, invisible_time: 60_000, ..popping("t") };
    assert_eq!(bodies(&world.pop_at(NEIGHBOUR, &header).await), ["m"]);
    assert!(world.now_ms() - renewed_ms >= 1_900, "{} ms after the renewal", world.now_ms() - renewed_ms);
    assert_eq!(world.ack(&renewed).await.code, response::NO_MESSAGE, "too late");
    assert!(world.pop_at(NEIGHBOUR, &PopMessageHeader { poll_time: 1_000, ..header }).await.is_empty());
    pair.a.shutdown(LIMIT).await;
    pair.b.shutdown(LIMIT).await;
}

/// Known defect A86: a broker is never its own target.
#[test]
fn a_broker_does_not_escape_to_itself() {
    let own = BrokerConfig { escape_to: Some("broker-a".into()), ..config("broker-a", MASTER) };
    assert!(matches!(own.check(), Err(ConfigError::EscapeToItself { .. })));
}
