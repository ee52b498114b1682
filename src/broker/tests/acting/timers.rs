//! Delayed messages that fall due while a slave acts for its master.

use super::{operator::until_it_forgets, *};
use crate::{
    model::{
        checkpoint::ActingTerm,
        message::Message,
        names,
        timer::{DueTimer, TimerId},
    },
    remote::hand_over::NotTaken,
    revive::samples::message,
};

/// Long enough for a pop to be the only one.
const LONG_MS: i64 = 600_000;

impl Group {
    async fn send_delayed(&self, body: &str, delay: &str) {
        let properties = [("UNIQ_KEY", body), (names::TIMER_DELAY_MS, delay)];
        let sent = async || self.world.send_with("t", body, &properties).await.code == response::SUCCESS;
        until(sent).await;
    }

    /// What comes from these within ten seconds, for one that wants everything from the beginning.
    async fn comes_from(&self, addresses: &[&str]) -> Vec<Delivered> {
        let all = PopMessageHeader { poll_time: 0, invisible_time: LONG_MS, ..popping("t") };
        let mut come = Vec::new();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            for address in addresses {
                let popped = self.world.ask(address, Command::request(request::POP_MESSAGE).with_header(&all)).await;
                if popped.code == response::SUCCESS {
                    come.extend(delivered(&all, &popped));
                }
            }
        }
        come
    }

    fn waiting(&self) -> Vec<TimerId> {
        self.master().shared.store.view().unwrap().first_timers(10).unwrap()
    }
}

/// A delayed message of the group, due long ago.
fn due(body: &str, groups: &[&str]) -> DueTimer {
    let stored = Message { body: body.to_owned().into(), ..message() }.encode().unwrap();
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    DueTimer { id: TimerId { due_ms: 5, index: 3, record: 0 }, stored, groups }
}

/// Known defect A85.
#[tokio::test]
async fn what_falls_due_while_the_master_is_away_is_delivered_by_the_target_and_never_again() {
    let mut group = Group::new().await;
    group.send_delayed("soon", "8000").await;
    group.send_delayed("later", "60000").await;
    group.stop_master().await;
    let come = group.comes_from(&[SLAVE, NEIGHBOUR]).await;
    assert_eq!(bodies(&come), ["soon"]);
    assert_eq!((come[0].real_topic.as_str(), come[0].message.store_host.to_string().as_str()), ("t", NEIGHBOUR));
    group.start_master().await;
    group.until_it_follows().await;
    assert_eq!(group.waiting().len(), 1, "the one that is not due yet");
    until_it_forgets(&group.target).await;
    assert_eq!(bodies(&group.comes_from(&[MASTER, NEIGHBOUR]).await), [""; 0]);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(bodies(&group.comes_from(&[MASTER, NEIGHBOUR]).await), ["later"], "from the master, in its time");
}

/// Known defect A88.
#[tokio::test]
async fn a_slave_that_restarts_while_it_acts_hands_no_delayed_message_over_twice() {
    let mut group = Group::new().await;
    group.send_delayed("one", "4000").await;
    group.stop_master().await;
    assert_eq!(bodies(&group.comes_from(&[NEIGHBOUR]).await), ["one"]);
    group.stop_slave().await;
    group.start_slave().await;
    group.until_it_acts().await;
    assert_eq!(bodies(&group.comes_from(&[NEIGHBOUR]).await), [""; 0]);
}

/// Known defect A85: a lost answer, the same request comes again, under the same term and under a later one.
#[tokio::test]
async fn a_delayed_message_is_taken_once_however_often_it_is_handed_over() {
    let group = Group::new().await;
    let neighbours = &group.slave().shared.neighbours;
    let timers = [due("one", &["g"])];
    for _ in 0..2 {
        let term = neighbours.seal("broker-b", TermClaim::default(), None).await.unwrap();
        let acting = ActingTerm { group: "broker-a".into(), term };
        for _ in 0..2 {
            neighbours.hand_timers_over("broker-b", &timers, &acting).await.unwrap();
        }
    }
    assert_eq!(bodies(&group.comes_from(&[NEIGHBOUR]).await), ["one"]);
    let acted = neighbours.acted("broker-b").await.unwrap();
    assert_eq!(acted.timers.iter().map(|taken| taken.id).collect::<Vec<_>>(), [timers[0].id]);
}

#[tokio::test]
async fn under_a_term_that_another_has_taken_since_nothing_is_delivered() {
    let group = Group::new().await;
    let neighbours = &group.slave().shared.neighbours;
    let timers = [due("one", &[])];
    let term = neighbours.seal("broker-b", TermClaim::default(), None).await.unwrap();
    neighbours.seal("broker-b", TermClaim::default(), None).await.unwrap();
    let acting = ActingTerm { group: "broker-a".into(), term };
    let refused = neighbours.hand_timers_over("broker-b", &timers, &acting).await.unwrap_err();
    assert!(matches!(refused, NotTaken::Sealed { .. }), "{refused}");
    assert_eq!(bodies(&group.comes_from(&[NEIGHBOUR]).await), [""; 0]);
}

/// A group that begins at the end of a queue would begin behind the message that brings the queue about.
#[tokio::test]
async fn no_group_begins_behind_the_first_message_of_a_queue_that_comes_to_be_so() {
    let mut group = Group::new().await;
    group.send_delayed("one", "4000").await;
    group.stop_master().await;
    until(async || group.target.shared.store.view().unwrap().topic("t").unwrap().is_some()).await;
    let at_end = PopMessageHeader { poll_time: 0, init_mode: 1, invisible_time: LONG_MS, ..popping("t") };
    let come = async || bodies(&group.world.pop_at(NEIGHBOUR, &at_end).await) == ["one"];
    until(come).await;
}

/// Due times are the master's: a slave that begins again while the master is away has to know its clock all the same.
#[tokio::test]
async fn a_slave_knows_the_clock_of_its_absent_master_after_a_restart() {
    let mut group = Group::new().await;
    group.stop_slave().await;
    for other_by_ms in [600_000, -600_000] {
        let clock = RunningClock::from(group.world.now_ms() + other_by_ms);
        let start = async |disk: &MemoryDisk| {
            let machine = host(disk, clock.clone(), &group.world.net);
            Broker::start(machine, member(2, 1, SLAVE)).await.unwrap()
        };
        let slave = start(&group.disks[1]).await;
        let wrong_ms = async |slave: &Broker| slave.shared.now_at_master_ms().abs_diff(group.world.now_ms());
        until(async || wrong_ms(&slave).await < 1_000).await;
        until(async || slave.shared.store.master_ahead_ms().abs_diff(-other_by_ms) < 1_000).await;
        slave.shutdown(Duration::from_secs(1)).await;
        let slave = start(&group.disks[1]).await;
        assert!(wrong_ms(&slave).await < 2_000, "{} ms off", wrong_ms(&slave).await);
        slave.shutdown(Duration::from_secs(1)).await;
    }
    group.stop_master().await;
}

/// Known defect A88: a slave that lost its disk knows of nothing; the group that took the messages does.
#[tokio::test]
async fn a_master_asks_for_delayed_messages_before_another_slave_follows() {
    let mut group = Group::new().await;
    group.send_delayed("one", "4000").await;
    group.stop_master().await;
    assert_eq!(bodies(&group.comes_from(&[NEIGHBOUR]).await), ["one"]);
    group.stop_slave().await;
    group.disks[1] = MemoryDisk::default();
    group.start_slave().await;
    group.start_master().await;
    until(async || group.waiting().is_empty()).await;
    assert_eq!(bodies(&group.comes_from(&[MASTER, NEIGHBOUR]).await), [""; 0]);
}

/// Known defect A89: what the master accepted beyond its slave's log goes with the rest of it, and the others come.
#[tokio::test]
async fn a_delayed_message_that_is_cut_off_holds_up_no_other() {
    let mut group = Group::new().await;
    group.send_delayed("kept", "60000").await;
    group.stop_slave().await;
    let answer = group.world.send_with("t", "cut off", &[(names::TIMER_DELAY_MS, "20000")]).await;
    assert_ne!(answer.code, response::SUCCESS, "{answer:?}");
    assert_eq!(group.master().shared.store.durable().unwrap().first_timers(10).unwrap().len(), 2);
    group.stop_master().await;
    group.start_slave().await;
    group.until_it_acts().await;
    group.start_master().await;
    group.until_it_follows().await;
    assert_eq!(group.waiting().len(), 1);
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(bodies(&group.comes_from(&[MASTER, NEIGHBOUR]).await), ["kept"]);
}
