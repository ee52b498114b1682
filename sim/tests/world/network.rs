//! Connections, and what network faults do to them.

use std::{io::ErrorKind, time::Duration};

use pop_sim::{
    plan::{Damage, Fault, Hits, Moment, Rpcs, SimMs, Window},
    world::World,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{call, dial, echo, frame, kind, read_frame, run, sleep, within};

fn nth(code: i32, ordinals: &[u64]) -> Rpcs {
    Rpcs { from: Some("a".into()), to: Some("b".into()), code: Some(code), hits: Hits::Nth(ordinals.to_vec()) }
}

fn partition(from: &str, to: &str, one_way: bool, from_ms: u64, to_ms: u64) -> Fault {
    let window = Window { from_ms, to_ms };
    Fault::Partition { from: vec![from.into()], to: vec![to.into()], one_way, window }
}

#[test]
fn calls_are_answered_within_two_latencies() {
    run(1, vec![], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        let before = world.now_ms();
        for opaque in 0..100 {
            assert_eq!(call(&mut stream, 11, opaque).await.unwrap(), 0);
        }
        let took = world.now_ms() - before;
        assert!((40..400).contains(&took), "100 calls took {took} ms");
        assert_eq!(log.count("request a→b #1 code 11 opaque 99 nth 100"), 1);
        assert_eq!(log.count("response b→a #1 code 0 to 11 opaque 99 nth 100"), 1);
        assert_eq!(log.count("delivered a→b"), 100);
    });
}

#[test]
fn a_lost_request_never_arrives_and_later_ones_do() {
    run(2, vec![Fault::LostRequest { rpcs: nth(11, &[2]) }], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
        assert_eq!(kind(call(&mut stream, 11, 2).await), ErrorKind::TimedOut);
        assert_eq!(call(&mut stream, 11, 3).await.unwrap(), 0);
        assert_eq!(log.count("delivered a→b #1 code 11 opaque 2"), 0);
        assert_eq!((world.fired(0), world.unfired()), (1, vec![]));
    });
}

#[test]
fn a_lost_answer_belongs_to_a_request_that_was_served() {
    run(3, vec![Fault::LostAnswer { rpcs: nth(11, &[2]) }], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
        assert_eq!(kind(call(&mut stream, 11, 2).await), ErrorKind::TimedOut);
        assert_eq!(call(&mut stream, 11, 3).await.unwrap(), 0);
        assert_eq!(log.count("response b→a #1 code 0 to 11 opaque 2"), 1);
        assert_eq!(log.count("delivered b→a #1 code 0 to 11 opaque 2"), 0);
        assert_eq!(world.fired(0), 1);
    });
}

#[test]
fn a_planned_answer_comes_without_the_server() {
    run(4, vec![Fault::Answer { code: 14, rpcs: nth(11, &[1]) }], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 14);
        assert_eq!(call(&mut stream, 11, 2).await.unwrap(), 0);
        assert_eq!((log.count("delivered a→b"), log.count("response")), (1, 1));
    });
}

#[test]
fn an_answer_that_has_nothing_to_damage_arrives_and_counts_for_nothing() {
    run(4, vec![Fault::DamagedAnswer { damage: Damage::Cut, rpcs: nth(11, &[1]) }], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
        assert_eq!((log.count("delivered b→a"), world.fired(0)), (1, 0));
    });
}

#[test]
fn garbage_arrives_instead_of_the_answer_and_nobody_is_told_that_it_was_delivered() {
    run(4, vec![Fault::DamagedAnswer { damage: Damage::Garbage, rpcs: nth(11, &[1]) }], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        stream.write_all(&frame(11, 1, 0)).await.unwrap();
        stream.flush().await.unwrap();
        let mut status = [0; 8];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1");
        assert_eq!((log.count("response b→a"), log.count("delivered b→a"), world.fired(0)), (1, 0, 1));
        assert_eq!(log.count("damaged-answer (garbage): b→a answers 0 to request 11 (nth 1)"), 1);
    });
}

#[test]
fn a_reset_breaks_both_ends_and_a_new_connection_works() {
    run(5, vec![Fault::Reset { rpcs: nth(11, &[1]) }], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(kind(call(&mut stream, 11, 1).await), ErrorKind::ConnectionReset);
        assert_eq!(kind(stream.write_all(b"x").await), ErrorKind::ConnectionReset);
        assert_eq!(call(&mut dial(&world).await.unwrap(), 11, 2).await.unwrap(), 0);
        assert_eq!(log.count("delivered a→b"), 1);
    });
}

#[test]
fn faults_by_time_hit_what_leaves_in_their_window() {
    let rpcs = Rpcs { from: None, to: None, code: None, hits: Hits::During(Window { from_ms: 100, to_ms: 2_000 }) };
    run(6, vec![Fault::LostRequest { rpcs }], |world, _| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
        sleep(100).await;
        assert_eq!(kind(call(&mut stream, 12, 2).await), ErrorKind::TimedOut);
        sleep(1_000).await;
        assert_eq!(call(&mut stream, 11, 3).await.unwrap(), 0);
        assert_eq!(world.fired(0), 1);
    });
}

#[test]
fn a_partition_is_silent_and_ends_with_a_reset_of_what_lost_something() {
    run(7, vec![partition("a", "b", false, 100, 3_000)], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut broken = dial(&world).await.unwrap();
        let mut idle = dial(&world).await.unwrap();
        sleep(100).await;
        assert_eq!(kind(call(&mut broken, 11, 1).await), ErrorKind::TimedOut);
        assert_eq!(dial(&world).await.err().map(|e| e.kind()), Some(ErrorKind::TimedOut));
        sleep(1_000).await;
        assert_eq!(kind(call(&mut broken, 11, 2).await), ErrorKind::ConnectionReset);
        assert_eq!(call(&mut idle, 11, 3).await.unwrap(), 0);
        assert_eq!((log.count("partition begins"), log.count("partition ends")), (1, 1));
    });
}

#[test]
fn a_one_way_partition_lets_the_request_pass_and_swallows_the_answer() {
    run(8, vec![partition("b", "a", true, 100, 3_000)], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        sleep(100).await;
        assert_eq!(kind(call(&mut stream, 11, 1).await), ErrorKind::TimedOut);
        assert_eq!((log.count("delivered a→b"), log.count("delivered b→a")), (1, 0));
        world.heal();
        assert_eq!(kind(call(&mut stream, 11, 2).await), ErrorKind::ConnectionReset);
        assert_eq!(call(&mut dial(&world).await.unwrap(), 11, 3).await.unwrap(), 0);
    });
}

/// How long a request to a server that answers at once takes, with its answer.
async fn round_trip_ms(world: &World) -> SimMs {
    world.start("b", echo);
    sleep(1).await;
    let mut stream = dial(world).await.unwrap();
    let before_ms = world.now_ms();
    assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
    world.now_ms() - before_ms
}

#[test]
fn a_latency_fault_slows_one_direction() {
    let window = Window { from_ms: 0, to_ms: 10_000 };
    let slow = Fault::Latency { from: Some("a".into()), to: None, window, min_ms: 300, max_ms: 400 };
    run(9, vec![slow], |world, _| async move {
        let took = round_trip_ms(&world).await;
        assert!((300..=403).contains(&took), "took {took} ms");
    });
}

#[test]
fn a_stall_holds_up_one_direction_and_lets_all_of_it_arrive_in_order_when_it_ends() {
    let window = Window { from_ms: 100, to_ms: 5_000 };
    let stall = Fault::Stall { from: Some("a".into()), to: None, window };
    run(9, vec![stall], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        sleep(200).await;
        for opaque in 1..=3 {
            stream.write_all(&frame(11, opaque, 0)).await.unwrap();
            stream.flush().await.unwrap();
            sleep(1_000).await;
        }
        assert_eq!(kind(dial(&world).await.map(drop)), ErrorKind::TimedOut);
        assert_eq!(log.count("delivered a→b"), 0);
        for opaque in 1..=3 {
            assert_eq!(read_frame(&mut stream).await.unwrap(), (0, opaque));
            assert!((5_000..=5_010).contains(&world.now_ms()), "{}", world.now_ms());
        }
        assert_eq!(call(&mut stream, 11, 4).await.unwrap(), 0);
        assert!(world.now_ms() <= 5_020 && world.fired(0) == 4);
    });
}

#[test]
fn whoever_does_not_hear_of_a_closing_sends_in_vain_until_it_does() {
    let window = Window { from_ms: 0, to_ms: 5_000 };
    let kill = Fault::Kill { node: "b".into(), when: Moment::At(1_000), down_ms: 500 };
    for late in [false, true] {
        let slow = late.then(|| Fault::SlowClose { from: Some("b".into()), to: None, window });
        run(9, std::iter::once(kill.clone()).chain(slow).collect(), move |world, _| async move {
            world.start("b", echo);
            sleep(1).await;
            let mut old = dial(&world).await.unwrap();
            assert_eq!(call(&mut old, 11, 1).await.unwrap(), 0);
            sleep(2_000).await;
            let mut new = dial(&world).await.unwrap();
            assert_eq!(call(&mut new, 11, 2).await.unwrap(), 0, "a new connection is not touched");
            let sent = async { old.write_all(&frame(11, 3, 0)).await.and(old.flush().await) }.await;
            assert_eq!(sent.is_ok(), late);
            assert!(read_frame(&mut old).await.is_err());
            assert_eq!(world.now_ms() >= 5_000, late, "{} ms", world.now_ms());
            assert_eq!(world.fired(1), u64::from(late));
        });
    }
}

#[test]
fn frames_take_as_long_as_the_usual_latency_says() {
    for (latency_ms, took_ms) in [(None, 0..=4), (Some((40, 60)), 80..=121)] {
        run(9, vec![], move |world, _| async move {
            if let Some((min_ms, max_ms)) = latency_ms {
                world.set_latency(Duration::from_millis(min_ms)..=Duration::from_millis(max_ms));
            }
            let took = round_trip_ms(&world).await;
            assert!(took_ms.contains(&took), "took {took} ms");
        });
    }
}

#[test]
fn a_writer_waits_for_a_reader_that_does_not_read() {
    run(10, vec![], |world, _| async move {
        let mut listener = world.host("b").transport.bind("b:0").await.unwrap();
        let address = listener.local_address();
        let mut writer = world.host("a").transport.connect(&address).await.unwrap();
        let (mut reader, _) = listener.accept().await.unwrap();
        let megabyte = vec![1; 1 << 20];
        for _ in 0..8 {
            writer.write_all(&megabyte).await.unwrap();
            writer.flush().await.unwrap();
        }
        assert_eq!(kind(within(1_000, writer.write_all(&megabyte)).await), ErrorKind::TimedOut);
        let mut read = vec![0; 1 << 20];
        reader.read_exact(&mut read).await.unwrap();
        writer.write_all(&megabyte).await.unwrap();
        writer.shutdown().await.unwrap();
        let rest = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut read).await.unwrap();
        assert_eq!(rest, 8 << 20);
    });
}

#[test]
fn bad_addresses_are_told_apart() {
    run(11, vec![], |world, _| async move {
        let net = world.host("a").transport;
        let refused = |address: &'static str| {
            let net = net.clone();
            async move { net.connect(address).await.err().unwrap().kind() }
        };
        assert_eq!(refused("b:81").await, ErrorKind::ConnectionRefused);
        assert_eq!(refused("10.9.9.9:80").await, ErrorKind::HostUnreachable);
        assert_eq!(refused("nonsense").await, ErrorKind::InvalidInput);
        let _kept = net.bind("a:80").await.unwrap();
        assert_eq!(net.bind("0.0.0.0:80").await.err().unwrap().kind(), ErrorKind::AddrInUse);
        assert_eq!(net.bind("b:80").await.err().unwrap().kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn a_duplicate_is_served_twice_and_answered_twice() {
    run(12, vec![Fault::DuplicateRequest { rpcs: nth(11, &[2]) }], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        for opaque in 1..=3 {
            assert_eq!(call(&mut stream, 11, opaque).await.unwrap(), 0);
        }
        assert_eq!((log.count("request a→b"), log.count("delivered a→b"), log.count("response b→a")), (3, 4, 4));
        assert_eq!(log.count("code 0 to 11 opaque 2 nth 2"), 4, "sent and delivered, twice: {:#?}", log.lines());
        assert_eq!(world.fired(0), 1);
    });
}

#[test]
fn a_delayed_request_is_overtaken_and_arrives() {
    run(13, vec![Fault::DelayedRequest { by_ms: 5_000, rpcs: nth(11, &[1]) }], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(kind(call(&mut stream, 11, 1).await), ErrorKind::TimedOut);
        assert_eq!(call(&mut stream, 11, 2).await.unwrap(), 0);
        assert_eq!(log.count("delivered a→b"), 1);
        sleep(5_000).await;
        assert_eq!(log.count("delivered a→b"), 2);
        assert_eq!(call(&mut stream, 11, 3).await.unwrap(), 0, "the late answer is passed over");
        assert_eq!((log.count("response b→a"), world.fired(0)), (3, 1));
    });
}

#[test]
fn a_thin_link_sends_one_byte_after_the_other() {
    let window = Window { from_ms: 0, to_ms: 10_000 };
    let thin = Fault::Bandwidth { from: Some("a".into()), to: None, window, bytes_per_second: 1_000 };
    run(14, vec![thin], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        let length = u64::try_from(frame(11, 1, 0).len()).unwrap();
        let before = world.now_ms();
        for opaque in 1..=3 {
            stream.write_all(&frame(11, opaque, 0)).await.unwrap();
            stream.flush().await.unwrap();
        }
        for _ in 1..=3 {
            read_frame(&mut stream).await.unwrap();
        }
        let took = world.now_ms() - before;
        assert!((3 * length..3 * length + 10).contains(&took), "took {took} ms: {:#?}", log.lines());
        assert_eq!(world.fired(0), 3);
    });
}
