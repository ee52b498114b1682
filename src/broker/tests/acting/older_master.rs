//! A master's disk is lost, or an older one is put in its place: its slave has what is missing.

use super::{
    operator::{acted, health, until_it_forgets},
    *,
};
use crate::{
    metrics::{Health, Labels},
    store::LogPart,
};

impl Group {
    /// The master goes, and comes back with what was on its disk when `disk` was copied.
    async fn restore_master(&mut self, disk: MemoryDisk) {
        if self.master.is_some() {
            self.stop_master().await;
        }
        self.disks[0] = disk;
        self.start_master().await;
    }

    async fn lists_chains_of(&self, broker: &str) -> i32 {
        let header = crate::remoting::headers::ListActedHeader { group_name: broker.into(), ..Default::default() };
        self.world.ask(MASTER, Command::request(request::LIST_ACTED).with_header(&header)).await.code
    }
}

#[tokio::test]
async fn what_an_older_disk_lacks_comes_from_the_slave() {
    let mut group = Group::new().await;
    group.send("one").await;
    group.stop_master().await;
    let older = group.disks[0].copy();
    group.start_master().await;
    group.send("two").await;
    let long = PopMessageHeader { invisible_time: 12_000, poll_time: 0, ..popping("t") };
    let popped = group.world.pop_at(MASTER, &long).await;
    assert_eq!(bodies(&popped), ["one", "two"]);
    assert_eq!(group.world.ack(&popped[0]).await.code, response::SUCCESS);
    group.restore_master(older).await;
    group.send("three").await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["three"], "what was popped is popped");
    assert_eq!(group.world.ack(&popped[1]).await.code, response::SUCCESS, "and known");
    let labels = Labels { cluster: "c".into(), node_id: "n".into() };
    let metrics = group.master().shared.metrics.encode(&labels, group.master().shared.readings()).unwrap();
    let acked =
        metrics.lines().find(|line| line.starts_with("pop_revive_chains_ended_total") && line.contains("\"acked\""));
    assert!(acked.is_some_and(|line| line.ends_with(" 1")), "what came back was counted before: {acked:?}");
    tokio::time::sleep(Duration::from_secs(12)).await;
    let again = group.world.pop_at(MASTER, &PopMessageHeader { poll_time: 0, ..popping("t") }).await;
    assert_eq!(bodies(&again), ["three"], "which nobody has acked, and nothing else");
}

#[tokio::test]
async fn a_master_that_lost_its_disk_gets_everything_and_then_what_its_slave_has_done() {
    let mut group = acted(&MemoryDisk::default()).await;
    group.restore_master(MemoryDisk::default()).await;
    group.until_it_follows().await;
    group.send("two").await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["two"], "what the slave handed out is at the target");
    until_it_forgets(&group.target).await;
    assert_eq!(bodies(&group.pop_some(NEIGHBOUR).await), ["one"]);
}

/// Whatever it said could be wrong, and what it wrote would contradict what was confirmed.
#[tokio::test]
async fn a_master_that_has_not_heard_its_slave_answers_nobody_and_writes_nothing() {
    let mut group = Group::new().await;
    group.send("one").await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["one"]);
    group.stop_slave().await;
    group.stop_master().await;
    group.start_master().await;
    let before = group.master().shared.store.durable().unwrap().log_end().unwrap();
    let refused = [
        group.world.send_with("t", "two", &[]).await.code,
        group.world.ask(MASTER, Command::request(request::POP_MESSAGE).with_header(&popping("t"))).await.code,
        group.lists_chains_of("broker-b").await,
    ];
    assert_eq!(refused, [response::SERVICE_NOT_AVAILABLE; 3]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(!health(group.master()).confirms, "nobody was heard who could");
    let health_now = || Health::of(&group.master().shared.readings(), 0, 1_000);
    assert!(health_now().live, "what is overdue is not for it to revive, and to start it anew would not help");
    assert_eq!(group.master().shared.store.durable().unwrap().log_end().unwrap(), before);
    group.start_slave().await;
    until(async || health(group.master()).confirms).await;
    assert_eq!(group.lists_chains_of("broker-b").await, response::SUCCESS);
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["one"]);
}

/// What the slave sends twice, or late, is there already.
#[tokio::test]
async fn what_is_given_again_changes_nothing() {
    let mut group = Group::new().await;
    group.stop_master().await;
    let older = group.disks[0].copy();
    group.start_master().await;
    group.send("one").await;
    group.stop_slave().await;
    group.restore_master(older).await;
    let master = group.master().shared.clone();
    let slave = group
        .world
        .start(&group.disks[1].copy(), BrokerConfig { acting_to: None, ..member(2, 1, "10.0.0.12:10911") })
        .await;
    let end = slave.shared.store.durable().unwrap().log_end().unwrap();
    let own = master.store.view().unwrap().log_end().unwrap();
    let LogPart::Entries(entries) = slave.shared.store.durable().unwrap().log_after(own, usize::MAX).unwrap() else {
        panic!("it goes on from the older log");
    };
    let given = bytes::Bytes::from(entries.concat());
    let gives = || master.catch_up(1, end, Some((own, given.clone())));
    let (at_once, twice) = tokio::join!(gives(), gives());
    for answer in [at_once, twice, gives().await] {
        assert!(answer.unwrap().is_none(), "it lacks nothing more");
    }
    assert_eq!(master.store.durable().unwrap().log_end().unwrap(), end);
    assert!(!master.store.may_lack());
}

/// What it had beyond what was confirmed is not in the slave's log, which has something else in that place by now.
#[tokio::test]
async fn what_was_taken_back_does_not_come_back_with_an_older_disk() {
    let mut group = Group::new().await;
    group.send("one").await;
    group.stop_slave().await;
    assert_ne!(group.world.send_with("t", "nobody has this", &[]).await.code, response::SUCCESS);
    group.stop_master().await;
    let older = group.disks[0].copy();
    group.start_slave().await;
    assert_eq!(bodies(&group.pop_some(SLAVE).await), ["one"]);
    group.start_master().await;
    group.until_it_follows().await;
    group.send("two").await;
    group.restore_master(older).await;
    group.send("three").await;
    let long = PopMessageHeader { invisible_time: 12_000, poll_time: 0, ..popping("t") };
    assert_eq!(bodies(&group.world.pop_at(MASTER, &long).await), ["two", "three"]);
}
