//! What an operator sees while a slave acts and afterwards, and what the runbooks tell to do.

use super::*;
use crate::metrics::{ActingReadings, Health};

/// Where a second target listens.
const OTHER: &str = "10.0.0.3:10911";

/// A group whose slave has handed out the message `one`, which is not acked, and whose master is down.
pub(super) async fn acted(target: &MemoryDisk) -> Group {
    let mut group = Group::with_target(2, target).await;
    group.send("one").await;
    group.stop_master().await;
    group.until_it_acts().await;
    assert_eq!(bodies(&group.pop_some(SLAVE).await), ["one"]);
    group
}

pub(super) fn health(broker: &Broker) -> Health {
    Health::of(&broker.shared.readings(), 0, 60_000)
}

fn acting(broker: &Broker) -> ActingReadings {
    broker.shared.readings().acting.unwrap()
}

/// The term that the master has merged, and whether it waits to merge.
pub(super) fn merging(broker: &Broker) -> (u64, bool) {
    let merging = broker.shared.readings().merging.unwrap();
    (merging.term, merging.waited_ms.is_some())
}

pub(super) fn unmerged(broker: &Broker) -> usize {
    broker.shared.readings().tables.unwrap().unmerged
}

pub(super) async fn until_it_forgets(target: &Broker) {
    until(async || unmerged(target) == 0).await;
}

#[tokio::test]
async fn each_broker_says_where_it_stands() {
    let mut group = Group::new().await;
    assert_eq!(acting(group.slave()), ActingReadings::default());
    assert_eq!((merging(group.master.as_ref().unwrap()), unmerged(&group.target)), ((0, false), 0));
    assert_eq!(group.master.as_ref().unwrap().shared.readings().acting, None);
    group.send("one").await;
    group.stop_master().await;
    group.until_it_acts().await;
    let term = acting(group.slave()).term;
    assert_eq!(
        (acting(group.slave()).acts, term > 0, unmerged(&group.target)),
        (true, true, 0),
        "it has done nothing yet"
    );
    assert_eq!(bodies(&group.pop_some(SLAVE).await), ["one"]);
    assert_eq!(unmerged(&group.target), 1);
    assert_eq!((health(group.slave()).acts, health(group.slave()).ready), (true, true));
    assert_eq!(group.slave().shared.readings().merging, None);
    group.start_master().await;
    group.until_it_follows().await;
    until(async || merging(group.master.as_ref().unwrap()).0 > term).await;
    assert_eq!(acting(group.slave()), ActingReadings::default());
    until_it_forgets(&group.target).await;
}

#[tokio::test]
async fn a_slave_and_a_master_that_wait_for_the_target_say_so_until_it_is_back() {
    let disk = MemoryDisk::default();
    let mut group = acted(&disk).await;
    group.stop_slave().await;
    group.target.shutdown(Duration::from_secs(1)).await;
    let slave = group.world.start(&group.disks[1], member(2, 1, SLAVE)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(acting(&slave), ActingReadings { acts: true, term: 0 });
    assert!(!health(&slave).acts, "it does nothing without a term");
    let master = group.world.start(&group.disks[0], member(2, 0, MASTER)).await;
    assert!(health(&master).merges);
    until(async || merging(&master).1).await;
    assert_eq!((health(&master).merges, health(&master).ready), (false, false));
    let target = group.world.start(&disk, config("broker-b", NEIGHBOUR)).await;
    until(async || acting(&slave) == ActingReadings::default()).await;
    assert!(health(&master).merges);
    until_it_forgets(&target).await;
}

/// The runbook of a target that is lost: both members name another, and what the old one kept is done again.
#[tokio::test]
async fn a_group_whose_target_is_lost_goes_on_with_another() {
    let mut group = acted(&MemoryDisk::default()).await;
    group.stop_slave().await;
    let other = group.world.start(&MemoryDisk::default(), config("broker-c", OTHER)).await;
    std::mem::replace(&mut group.target, other).shutdown(Duration::from_secs(1)).await;
    let anew = |id, listen| BrokerConfig { acting_to: Some("broker-c".into()), ..member(2, id, listen) };
    group.slave = Some(group.world.start(&group.disks[1], anew(1, SLAVE)).await);
    group.master = Some(group.world.start(&group.disks[0], anew(0, MASTER)).await);
    group.until_it_follows().await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["one"], "nothing is lost");
}

#[tokio::test]
async fn a_slave_whose_master_is_back_with_another_log_says_so() {
    let mut group = acted(&MemoryDisk::default()).await;
    group.disks[0] = MemoryDisk::default();
    // A broker of that name that was there alone.
    let alone = group.world.start(&group.disks[0], config("broker-a", MASTER)).await;
    for body in ["other", "another"] {
        group.send(body).await;
    }
    alone.shutdown(Duration::from_secs(1)).await;
    group.start_master().await;
    until(async || group.slave().shared.readings().following.unwrap().stuck).await;
    assert!(!health(group.slave()).follows);
    assert!(acting(group.slave()).acts, "nothing is merged");
}
