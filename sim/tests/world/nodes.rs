//! Processes: kill, stop, pause, healing, clocks, and the same run twice.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use pop_sim::{
    plan::{Fault, Hits, Moment, Rpcs, Volume, Window},
    world::{BoxFuture, CrashKind, clock::EPOCH_MS},
};

use crate::rig::{call, dial, echo, kind, run, sleep, within};

fn on_request(nth: u64) -> Moment {
    Moment::OnRequest { from: Some("a".into()), to: Some("b".into()), code: Some(11), nth }
}

#[test]
fn a_killed_node_resets_then_refuses_then_comes_back() {
    let kill = Fault::Kill { node: "b".into(), when: Moment::At(100), down_ms: 1_000 };
    run(1, vec![kill], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
        sleep(100).await;
        assert!(!world.is_up("b"));
        assert_eq!(kind(call(&mut stream, 11, 2).await), ErrorKind::ConnectionReset);
        assert_eq!(dial(&world).await.err().map(|e| e.kind()), Some(ErrorKind::ConnectionRefused));
        sleep(1_000).await;
        assert!(world.is_up("b"));
        assert_eq!(call(&mut dial(&world).await.unwrap(), 11, 3).await.unwrap(), 0);
        assert_eq!((log.count("node b Started"), log.count("node b Killed")), (2, 1));
    });
}

#[test]
fn a_replaced_node_is_found_by_its_name_alone_and_has_its_disk_an_older_or_an_empty_one() {
    for (volume, bytes, lost, older) in
        [(Volume::Kept, 8, 0, 0), (Volume::Lost, 0, 1, 0), (Volume::AsOf(50), 4, 0, 1), (Volume::AsOf(5_000), 8, 0, 0)]
    {
        let replace = Fault::Replace { node: "b".into(), when: Moment::At(100), down_ms: 1_000, volume };
        run(1, vec![replace], move |world, log| async move {
            world.start("b", echo);
            let file = world.host("b").disk.open("f").unwrap();
            for length in [4, 8] {
                file.set_len(length).unwrap();
                file.write(0, &vec![1; length as usize]).unwrap();
                file.sync_data().unwrap();
                sleep(75).await;
            }
            assert_eq!(dial(&world).await.err().map(|e| e.kind()), Some(ErrorKind::HostUnreachable));
            sleep(1_000).await;
            assert!(world.is_up("b") && dial(&world).await.is_err(), "at its old address nobody is");
            let by_name = within(1_000, world.host("a").transport.connect("b:80")).await.unwrap();
            assert_eq!(call(&mut by_name.unwrap(), 11, 1).await.unwrap(), 0);
            assert_eq!(world.host("b").disk.open("f").unwrap().len().unwrap(), bytes, "{volume:?}");
            assert_eq!((log.count("node b LostDisk"), log.count("node b GotOlderDisk")), (lost, older), "{volume:?}");
            assert_eq!(log.count("node b Moved"), 1);
        });
    }
}

#[test]
fn a_node_that_dies_at_its_answer_has_heard_the_request_and_tells_nobody() {
    let when = Moment::OnAnswer { from: Some("b".into()), to: None, code: Some(11), nth: 2 };
    let crash = Fault::Crash { node: "b".into(), when, down_ms: 1_000 };
    run(7, vec![crash], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
        assert_eq!(call(&mut stream, 12, 2).await.unwrap(), 0, "another code is not counted");
        assert_eq!(kind(call(&mut stream, 11, 3).await), ErrorKind::ConnectionReset);
        assert_eq!((log.count("delivered a→b"), log.count("response b→a")), (3, 2));
        assert_eq!((world.fired(0), log.count("node b Crashed")), (1, 1));
        sleep(1_100).await;
        assert_eq!(call(&mut dial(&world).await.unwrap(), 11, 4).await.unwrap(), 0);
    });
}

#[test]
fn a_node_killed_behind_a_partition_is_silent() {
    let window = Window { from_ms: 50, to_ms: 5_000 };
    let cut = Fault::Partition { from: vec!["a".into()], to: vec!["b".into()], one_way: false, window };
    let kill = Fault::Kill { node: "b".into(), when: Moment::At(100), down_ms: 1_000 };
    run(2, vec![cut, kill], |world, _| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        sleep(200).await;
        assert_eq!(kind(call(&mut stream, 11, 1).await), ErrorKind::TimedOut);
        sleep(5_000).await;
        assert_eq!(kind(call(&mut stream, 11, 2).await), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_kill_on_a_request_strikes_before_the_answer() {
    let kill = Fault::Kill { node: "b".into(), when: on_request(2), down_ms: 10 };
    run(3, vec![kill], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
        assert_eq!(kind(call(&mut stream, 11, 2).await), ErrorKind::ConnectionReset);
        sleep(20).await;
        assert_eq!(call(&mut dial(&world).await.unwrap(), 11, 3).await.unwrap(), 0);
        assert_eq!(log.count("response"), 2);
        assert_eq!(world.fired(0), 1);
    });
}

#[test]
fn a_caller_killed_by_its_own_request_is_dropped_with_it() {
    let kill = Fault::Kill { node: "a".into(), when: on_request(1), down_ms: 1_000 };
    run(4, vec![kill], |world, log| async move {
        world.start("b", echo);
        let answered = Arc::new(AtomicBool::new(false));
        let told = answered.clone();
        let dials = world.clone();
        world.start("a", move |_, _| {
            let (world, told) = (dials.clone(), told.clone());
            Box::pin(async move {
                sleep(5).await;
                let mut stream = dial(&world).await.unwrap();
                let _ = call(&mut stream, 11, 1).await;
                told.store(true, Ordering::Relaxed);
            })
        });
        sleep(500).await;
        assert!(!answered.load(Ordering::Relaxed) && !world.is_up("a"));
        assert_eq!(log.count("delivered a→b"), 1);
        sleep(1_000).await;
        assert!(answered.load(Ordering::Relaxed));
    });
}

#[test]
fn a_paused_node_hears_later_what_was_sent_meanwhile() {
    let pause = Fault::Pause { node: "b".into(), when: Moment::At(100), for_ms: 500 };
    run(5, vec![pause], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        sleep(100).await;
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
        assert!((600..610).contains(&world.now_ms()), "at {}", world.now_ms());
        assert_eq!((log.count("node b Paused"), log.count("node b Resumed")), (1, 1));
    });
}

#[test]
fn a_node_asked_to_stop_ends_by_itself_and_is_started_again() {
    let stop = Fault::Stop { node: "b".into(), when: Moment::At(100), down_ms: 1_000 };
    run(6, vec![stop], |world, log| async move {
        world.start("b", echo);
        sleep(1).await;
        let mut stream = dial(&world).await.unwrap();
        assert_eq!(call(&mut stream, 11, 1).await.unwrap(), 0);
        sleep(100).await;
        assert_eq!(log.count("node b Stopped"), 1);
        assert!(!world.is_up("b") && call(&mut stream, 11, 2).await.is_err());
        sleep(1_000).await;
        assert_eq!(call(&mut dial(&world).await.unwrap(), 11, 3).await.unwrap(), 0);
        assert_eq!(log.count("node b Killed"), 0);
    });
}

#[test]
fn a_node_that_does_not_stop_is_killed_after_the_limit() {
    let stop = Fault::Stop { node: "b".into(), when: Moment::At(100), down_ms: 1_000 };
    run(7, vec![stop], |world, log| async move {
        world.start("b", |_, _| Box::pin(std::future::pending()));
        sleep(30_000).await;
        assert!(world.is_up("b"));
        sleep(200).await;
        assert!(!world.is_up("b"));
        sleep(1_000).await;
        assert!(world.is_up("b"));
        assert_eq!((log.count("node b Killed"), log.count("node b Started")), (1, 2));
    });
}

#[test]
fn healing_ends_every_fault_and_disarms_the_rest() {
    let at = |ms| Moment::At(ms);
    let all = Rpcs { from: None, to: None, code: None, hits: Hits::During(Window { from_ms: 0, to_ms: u64::MAX }) };
    let faults = vec![
        Fault::Kill { node: "b".into(), when: at(10), down_ms: 1_000_000 },
        Fault::Pause { node: "a".into(), when: at(10), for_ms: 1_000_000 },
        Fault::LostRequest { rpcs: all },
        Fault::Kill { node: "b".into(), when: at(1_000), down_ms: 10 },
    ];
    run(8, faults, |world, log| async move {
        world.start("b", echo);
        world.start("a", |_, _| Box::pin(std::future::pending()));
        sleep(20).await;
        assert!(!world.is_up("b"));
        world.heal();
        sleep(5).await;
        assert!(world.is_up("b"));
        assert_eq!(call(&mut dial(&world).await.unwrap(), 11, 1).await.unwrap(), 0);
        assert_eq!(log.count("node a Resumed"), 1);
        sleep(2_000).await;
        assert!(world.is_up("b"));
        assert_eq!(world.unfired(), [2, 3]);
    });
}

#[test]
fn a_node_taken_down_by_hand_waits_for_its_restart() {
    run(9, vec![], |world, _| async move {
        world.start("b", echo);
        sleep(1).await;
        world.crash_now("b", CrashKind::Kill);
        sleep(10_000).await;
        assert!(!world.is_up("b"));
        world.restart("b");
        sleep(5).await;
        assert_eq!(call(&mut dial(&world).await.unwrap(), 11, 1).await.unwrap(), 0);
    });
}

#[test]
fn tasks_of_a_dead_incarnation_do_nothing_more() {
    run(10, vec![], |world, _| async move {
        let ticks = Arc::new(AtomicU64::new(0));
        let counts = ticks.clone();
        world.start("b", move |_, _| -> BoxFuture<()> {
            let ticks = counts.clone();
            Box::pin(async move {
                loop {
                    sleep(10).await;
                    ticks.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        sleep(95).await;
        world.crash_now("b", CrashKind::PowerLoss);
        sleep(1_000).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 9);
    });
}

#[test]
fn a_clock_sleeps_exactly_and_notices_a_step() {
    run(11, vec![], |world, _| async move {
        let clock = world.host("a").clock;
        assert_eq!(clock.now_ms(), EPOCH_MS);
        clock.sleep_until_ms(EPOCH_MS + 7_777).await;
        assert_eq!((clock.now_ms(), world.now_ms()), (EPOCH_MS + 7_777, 7_777));
        let stepped = world.clone();
        tokio::spawn(async move {
            sleep(1_000).await;
            stepped.step("a", 60_000);
        });
        clock.sleep_until_ms(EPOCH_MS + 50_000).await;
        assert_eq!(world.now_ms(), 8_777);
        assert_eq!(world.host("b").clock.now_ms(), EPOCH_MS + 8_777);
        world.step("a", -120_000);
        assert!(within(1_000, clock.sleep_until_ms(EPOCH_MS)).await.is_err());
    });
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let once = |seed| {
        let faults = vec![
            Fault::Kill { node: "b".into(), when: on_request(20), down_ms: 50 },
            Fault::Crash { node: "b".into(), when: Moment::At(250), down_ms: 50 },
            Fault::Latency {
                from: None,
                to: Some("a".into()),
                window: Window { from_ms: 200, to_ms: 300 },
                min_ms: 5,
                max_ms: 50,
            },
        ];
        run(seed, faults, |world, log| async move {
            world.start("b", echo);
            let mut callers = Vec::new();
            for caller in 0..3 {
                let world = world.clone();
                callers.push(tokio::spawn(async move {
                    for opaque in 0..100 {
                        let Ok(mut stream) = dial(&world).await else { continue };
                        let _ = call(&mut stream, 11, caller * 1_000 + opaque).await;
                    }
                }));
            }
            for caller in callers {
                caller.await.unwrap();
            }
            assert_eq!(world.unfired(), Vec::<usize>::new());
            log.lines()
        })
    };
    let first = once(42);
    assert_eq!(first, once(42));
    assert_ne!(first, once(43));
}

fn drift(from_ms: u64, to_ms: u64, ppm: i64) -> Fault {
    Fault::ClockDrift { node: "a".into(), window: Window { from_ms, to_ms }, ppm }
}

#[test]
fn a_clock_drifts_in_its_window_and_keeps_what_it_has_gained() {
    for (ppm, gained_ms) in [(1_000, 10), (-1_000, -10), (50_000, 500)] {
        run(12, vec![drift(10_000, 20_000, ppm)], move |world, log| async move {
            let clock = world.host("a").clock;
            let off = || clock.now_ms() - EPOCH_MS - i64::try_from(world.now_ms()).unwrap();
            sleep(10_000).await;
            assert_eq!(off(), 0);
            sleep(5_000).await;
            assert_eq!(off(), gained_ms / 2);
            // The sleep ends when the clock shows the time, not when it would have.
            let due_ms = clock.now_ms() + 1_000;
            clock.sleep_until_ms(due_ms).await;
            assert!((due_ms..=due_ms + 1).contains(&clock.now_ms()));
            sleep(10_000).await;
            assert_eq!(off(), gained_ms);
            assert_eq!((world.fired(0), log.count(&format!("a by {gained_ms} ms"))), (1, 1));
            assert_eq!(world.host("b").clock.now_ms() - EPOCH_MS, i64::try_from(world.now_ms()).unwrap());
        });
    }
}

#[test]
fn a_clock_that_stands_still_or_goes_back_shows_no_later_time_before_it_goes_on() {
    for ppm in [-1_000_000, -2_000_000] {
        run(14, vec![drift(0, 10_000, ppm)], |world, _| async move {
            let clock = world.host("a").clock;
            sleep(1_000).await;
            clock.sleep_until_ms(clock.now_ms() + 1_000).await;
            assert!(world.now_ms() >= 10_000, "{}", world.now_ms());
        });
    }
}

fn frozen(from_ms: u64, to_ms: u64) -> Fault {
    Fault::FrozenClock { node: "a".into(), window: Window { from_ms, to_ms } }
}

#[test]
fn a_clock_that_stands_still_is_right_afterwards_and_the_time_that_passed_is_short() {
    run(15, vec![frozen(10_000, 20_000)], |world, log| async move {
        let clock = world.host("a").clock;
        let shows = || (clock.now_ms() - EPOCH_MS, clock.passed().as_millis());
        sleep(10_000).await;
        assert_eq!(shows(), (10_000, 10_000));
        sleep(5_000).await;
        assert_eq!((shows(), world.fired(0)), ((10_000, 10_000), 0));
        world.step("a", 500);
        assert_eq!(shows(), (10_500, 10_000));
        world.step("a", -500);
        clock.sleep_until_ms(EPOCH_MS + 10_001).await;
        assert_eq!(world.now_ms(), 20_000);
        assert_eq!(shows(), (20_000, 10_000));
        sleep(5_000).await;
        assert_eq!(shows(), (25_000, 15_000));
        assert_eq!((world.fired(0), log.count("frozen-clock: a")), (1, 1));
        assert_eq!(world.host("b").clock.passed().as_millis(), 25_000);
    });
}

#[test]
fn clocks_stand_still_until_the_last_fault_that_stops_them_ends_or_all_heal() {
    run(16, vec![frozen(0, 2_000), frozen(1_000, 4_000), frozen(5_000, 60_000)], |world, _| async move {
        let clock = world.host("a").clock;
        let shows = || clock.now_ms() - EPOCH_MS;
        sleep(1_500).await;
        assert_eq!(shows(), 0);
        sleep(1_500).await;
        assert_eq!((shows(), world.fired(0)), (0, 1));
        sleep(1_500).await;
        assert_eq!((shows(), world.fired(0), world.fired(1)), (4_500, 1, 1));
        sleep(5_500).await;
        world.heal();
        assert_eq!((shows(), world.fired(2)), (10_000, 0), "nobody looked at it");
    });
}

#[test]
fn what_a_clock_made_good_after_it_stood_still_it_has_gained_at_the_next_start() {
    run(17, vec![frozen(1_000, 4_000)], |world, log| async move {
        world.start("a", |_, _| std::future::pending());
        sleep(5_000).await;
        world.crash_now("a", CrashKind::Kill);
        world.restart("a");
        sleep(1_000).await;
        assert_eq!(log.count("ClockGained(3000)"), 1);
    });
}

#[test]
fn drifts_add_up_and_end_with_the_heal() {
    run(13, vec![drift(0, 100_000, 10_000), drift(0, 100_000, 20_000)], |world, _| async move {
        let clock = world.host("a").clock;
        let off = || clock.now_ms() - EPOCH_MS - i64::try_from(world.now_ms()).unwrap();
        sleep(10_000).await;
        assert_eq!(off(), 300);
        world.heal();
        sleep(10_000).await;
        assert_eq!(off(), 300);
        assert_eq!((world.fired(0), world.fired(1)), (1, 1));
    });
}

fn slow_start(from_ms: u64, to_ms: u64, span: (u64, u64)) -> Fault {
    let window = Window { from_ms, to_ms };
    Fault::SlowStart { node: "b".into(), window, min_ms: span.0, max_ms: span.1 }
}

#[test]
fn a_slow_start_takes_its_time_and_nobody_listens_meanwhile() {
    let kill = Fault::Kill { node: "b".into(), when: Moment::At(100), down_ms: 1_000 };
    run(18, vec![kill, slow_start(50, 2_000, (5_000, 9_000))], |world, log| async move {
        world.start("b", echo);
        sleep(20).await;
        assert!(dial(&world).await.is_ok(), "its first start is before the window");
        sleep(4_000).await;
        assert!(world.is_up("b"));
        assert_eq!(dial(&world).await.err().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
        sleep(6_500).await;
        assert!(dial(&world).await.is_ok());
        assert_eq!((world.fired(1), log.count("slow-start: b takes")), (1, 1));
    });
}

#[test]
fn a_node_that_starts_slowly_stops_at_once_and_begins_with_the_heal() {
    let stop = Fault::Stop { node: "b".into(), when: Moment::At(1_000), down_ms: 500 };
    run(19, vec![stop, slow_start(0, 2_000, (60_000, 60_000))], |world, log| async move {
        let begun = Arc::new(AtomicU64::new(0));
        let count = begun.clone();
        world.start("b", move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::pending()
        });
        sleep(1_100).await;
        assert!(!world.is_up("b"));
        sleep(2_000).await;
        assert_eq!((world.is_up("b"), world.fired(1), begun.load(Ordering::Relaxed)), (true, 2, 0));
        world.heal();
        sleep(1).await;
        assert_eq!((begun.load(Ordering::Relaxed), log.count("Stopped")), (1, 1));
    });
}

#[test]
fn a_node_in_a_crash_loop_goes_down_so_often_soon_after_each_start_and_then_stays() {
    let when = Moment::At(100);
    let it = Fault::CrashLoop { node: "b".into(), when, times: 4, up_ms: 500, down_ms: 1_000, loses_power: false };
    run(20, vec![it], |world, log| async move {
        let begun = Arc::new(AtomicU64::new(0));
        let count = begun.clone();
        world.start("b", move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::pending()
        });
        sleep(50).await;
        assert!(world.is_up("b"));
        sleep(4_000 + 3 * 500 + 100).await;
        assert!(world.is_up("b"));
        assert_eq!((world.fired(0), begun.load(Ordering::Relaxed)), (4, 5));
        assert_eq!((log.count("Killed"), log.count("crash-loop: b for 1000 ms, 0 to come")), (4, 1));
        sleep(100_000).await;
        assert_eq!(world.fired(0), 4);
    });
}

#[test]
fn a_crash_loop_waits_for_a_node_that_is_down_counts_no_other_end_and_ends_with_the_heal() {
    let it = |times, loses_power| {
        let when = Moment::At(100);
        Fault::CrashLoop { node: "b".into(), when, times, up_ms: 10_000, down_ms: 100, loses_power }
    };
    run(21, vec![it(1_000, true)], |world, log| async move {
        world.start("b", |_, _| std::future::pending());
        world.crash_now("b", CrashKind::Kill);
        sleep(1_000).await;
        assert_eq!(world.fired(0), 0);
        world.restart("b");
        sleep(2).await;
        world.crash_now("b", CrashKind::Kill);
        sleep(20_000).await;
        assert_eq!(world.fired(0), 0, "it died with the start that somebody else ended");
        world.restart("b");
        sleep(60_000).await;
        assert!(world.fired(0) > 3 && log.count("Crashed") as u64 == world.fired(0));
        world.heal();
        sleep(100).await;
        let fired = world.fired(0);
        sleep(60_000).await;
        assert_eq!((world.is_up("b"), world.fired(0)), (true, fired));
    });
}

#[test]
fn what_a_clock_gains_before_code_goes_by_it_is_told_once() {
    run(1, Vec::new(), |world, log| async move {
        world.goes_by_its_clock("b");
        assert_eq!(log.count("ClockGained"), 0, "it has gained nothing");
        world.step("b", 1_500);
        sleep(10).await;
        world.goes_by_its_clock("b");
        world.goes_by_its_clock("b");
        assert_eq!((log.count("ClockGained"), log.count("node b ClockGained(1500)")), (1, 1));
    });
}
