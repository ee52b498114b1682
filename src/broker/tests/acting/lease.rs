//! A master that confirms alone serves while it has a lease, of its slave or of the group that would keep the chains.

use super::*;
use crate::{
    remote::acting::NotSealed,
    revive::steps::seal::{Seal, Sealed},
};

/// Longer than a lease here.
const LEASE_OVER: Duration = Duration::from_secs(3);

async fn group() -> Group {
    Group::with_target(1, &MemoryDisk::default()).await
}

impl Group {
    async fn stop_target(&mut self) {
        let target = std::mem::replace(&mut self.target, self.world.start(&MemoryDisk::default(), spare()).await);
        target.shutdown(Duration::from_secs(1)).await;
    }

    /// Whether a send is answered with success, at once.
    async fn serves(&self, body: &str) -> bool {
        self.world.send_with("t", body, &[]).await.code == response::SUCCESS
    }

    async fn until_the_slave_has_all(&self) {
        let end = |broker: &Broker| broker.shared.store.durable().unwrap().last_index().unwrap();
        until(async || end(self.slave()) == end(self.master()) && self.slave().shared.store.has_caught_up()).await;
    }

    fn last_index(&self) -> u64 {
        self.master().shared.store.durable().unwrap().last_index().unwrap()
    }
}

/// What takes the place of a target that is gone: nobody knows it.
fn spare() -> BrokerConfig {
    config("nobody", "10.0.0.9:10911")
}

#[tokio::test]
async fn either_of_the_two_is_enough() {
    let mut group = group().await;
    group.stop_slave().await;
    tokio::time::sleep(LEASE_OVER).await;
    assert!(group.serves("of the target").await);
    group.start_slave().await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    group.stop_target().await;
    tokio::time::sleep(LEASE_OVER).await;
    assert!(group.serves("of the slave").await);
}

#[tokio::test]
async fn a_master_that_reaches_neither_writes_nothing_until_it_reaches_one() {
    let mut group = group().await;
    group.stop_slave().await;
    group.stop_target().await;
    tokio::time::sleep(LEASE_OVER).await;
    let before = group.last_index();
    let refused = group.world.send_with("t", "lost", &[]).await;
    assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE, "{refused:?}");
    assert_eq!(group.last_index(), before);
    group.start_slave().await;
    group.send("one").await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["one"]);
}

/// What a slave of `broker-a` hears from `target` when it asks for a term, if a lease lasts so long.
async fn sealed(target: &Broker, lease: Duration) -> Sealed {
    let granted = target.shared.granted.clone();
    let seal =
        Seal { group: "broker-a".into(), member: 1, above: 1, agreed: None, end: None, lease: Some((lease, granted)) };
    target.shared.store.submit(seal).await.unwrap()
}

#[tokio::test]
async fn nobody_may_act_while_there_is_a_lease_or_one_of_an_earlier_process_may_last() {
    let mut group = group().await;
    group.stop_slave().await;
    tokio::time::sleep(LEASE_OVER).await;
    let heard = sealed(&group.target, Duration::from_secs(1)).await;
    assert!(matches!(heard, Sealed::Leased(_)), "{heard:?}: its master has one");
    let fresh = group.world.start(&MemoryDisk::default(), spare()).await;
    let heard = sealed(&fresh, Duration::from_secs(3_600)).await;
    assert!(matches!(heard, Sealed::Leased(_)), "{heard:?}: it may have given one before it began again");
    tokio::time::sleep(LEASE_OVER).await;
    let heard = sealed(&fresh, Duration::from_secs(1)).await;
    assert!(matches!(heard, Sealed::Term(_)), "{heard:?}: nobody has one");
}

#[tokio::test]
async fn a_slave_that_is_told_of_a_lease_has_no_term() {
    let mut group = group().await;
    group.stop_master().await;
    let lease = Duration::from_secs(3_600);
    let neighbours = &group.slave().shared.neighbours;
    neighbours.lease("broker-b", 1, lease).await.unwrap();
    let refused =
        neighbours.seal("broker-b", TermClaim { above: 1, ..TermClaim::default() }, Some(Duration::from_secs(1))).await;
    assert!(matches!(refused, Err(NotSealed::Leased { left }) if left > Duration::from_secs(3_000)), "{refused:?}");
}

#[tokio::test]
async fn what_the_slave_lacked_stays_in_the_masters_log() {
    let mut group = group().await;
    group.send("one").await;
    let long = PopMessageHeader { poll_time: 0, invisible_time: 60_000, ..popping("t") };
    let one = group.world.pop(&long).await;
    group.until_the_slave_has_all().await;
    group.stop_slave().await;
    group.send("two").await;
    group.stop_master().await;
    group.start_slave().await;
    group.until_it_acts().await;
    assert_eq!(group.world.ack_at(SLAVE, &one[0]).await.code, response::SUCCESS);
    group.start_master().await;
    group.until_it_follows().await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["two"], "it was confirmed");
    group.until_the_slave_has_all().await;
    until(async || !group.target.shared.store.view().unwrap().is_any_unmerged().unwrap()).await;
}

#[tokio::test]
async fn a_master_that_is_back_without_its_slave_takes_back_by_itself_what_that_did() {
    let mut group = group().await;
    group.send("one").await;
    group.send("two").await;
    group.until_the_slave_has_all().await;
    group.stop_master().await;
    let one = PopMessageHeader { max_msg_nums: 1, invisible_time: 60_000, poll_time: 0, ..popping("t") };
    group.until_it_acts().await;
    assert_eq!(bodies(&group.world.pop_at(SLAVE, &one).await), ["one"]);
    group.stop_slave().await;
    group.start_master().await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["two"], "what the slave has handed out is not handed out again");
    let target = group.target.shared.store.clone();
    let unmerged = || target.view().unwrap().is_any_unmerged().unwrap();
    assert!(unmerged(), "the slave does not know yet that it is merged, and may act once more");
    assert!(group.master().shared.store.term() > 1);
    group.start_slave().await;
    until(async || !unmerged()).await;
}
