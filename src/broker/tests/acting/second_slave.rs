//! A group of three: one slave acts with the other's vote, and the other one when that is lost too.

use super::*;

const SECOND: &str = "10.0.0.14:10911";

fn of_three(id: u64, listen: &str) -> BrokerConfig {
    BrokerConfig { acting_slaves: 2, ..member(2, id, listen) }
}

/// A group of three, and the group that keeps what its slaves do.
struct Trio {
    world: World,
    disks: [MemoryDisk; 3],
    _target: Broker,
    members: [Option<Broker>; 3],
}

impl Trio {
    const ADDRESSES: [&str; 3] = [MASTER, SLAVE, SECOND];

    async fn new() -> Self {
        let world = World::new().await;
        let _target = world.start(&MemoryDisk::default(), config("broker-b", NEIGHBOUR)).await;
        let mut trio = Self { world, disks: Default::default(), _target, members: [None, None, None] };
        for id in [1, 2, 0] {
            trio.start(id).await;
        }
        trio.send("zero").await;
        let zero = trio.pop_one(MASTER).await;
        assert_eq!(trio.world.ack(&zero).await.code, response::SUCCESS);
        trio
    }

    async fn start(&mut self, id: usize) {
        let config = of_three(id as u64, Self::ADDRESSES[id]);
        self.members[id] = Some(self.world.start(&self.disks[id], config).await);
    }

    async fn stop(&mut self, id: usize) {
        self.members[id].take().unwrap().shutdown(Duration::from_secs(1)).await;
    }

    fn at(&self, id: usize) -> &Shared {
        &self.members[id].as_ref().unwrap().shared
    }

    async fn send(&self, body: &str) {
        until(async || self.world.send_with("t", body, &[("UNIQ_KEY", body)]).await.code == response::SUCCESS).await;
    }

    async fn pop_one(&self, address: &str) -> Delivered {
        pop_some(&self.world, address, PopMessageHeader { max_msg_nums: 1, ..popping("t") }).await.remove(0)
    }

    fn last_index(&self, id: usize) -> u64 {
        self.at(id).store.durable().unwrap().last_index().unwrap()
    }

    async fn until_all_have_the_same(&self) {
        let last = || [0, 1, 2].map(|id| self.last_index(id));
        until(async || last().iter().all(|index| *index == last()[0])).await;
    }

    async fn until_acts(&self, id: usize) {
        until(async || self.at(id).acting.term().is_some()).await;
    }

    async fn until_all_follow(&self) {
        until(async || [1, 2].iter().all(|id| self.at(*id).store.acts().is_none())).await;
    }
}

#[tokio::test]
async fn the_second_slave_acts_when_the_first_is_lost_too_and_gives_way_when_it_is_back() {
    let mut trio = Trio::new().await;
    for body in ["one", "two", "three"] {
        trio.send(body).await;
    }
    trio.until_all_have_the_same().await;
    trio.stop(0).await;
    trio.until_acts(1).await;
    assert_eq!(bodies(&[trio.pop_one(SLAVE).await]), ["one"]);
    assert!(trio.at(2).store.acts().is_some(), "it has voted");
    trio.stop(1).await;
    trio.until_acts(2).await;
    assert_eq!(bodies(&[trio.pop_one(SECOND).await]), ["two"]);
    trio.start(1).await;
    trio.until_acts(1).await;
    assert!(trio.at(2).acting.term().is_none());
    assert_eq!(bodies(&[trio.pop_one(SLAVE).await]), ["three"]);
    trio.start(0).await;
    trio.until_all_follow().await;
    trio.send("four").await;
    assert_eq!(bodies(&[trio.pop_one(MASTER).await]), ["four"], "all others were handed out");
    trio.until_all_have_the_same().await;
}

/// What one slave has of the log and the other lacks may be confirmed.
#[tokio::test]
async fn a_slave_that_lacks_some_gets_it_from_the_other_before_it_acts() {
    let mut trio = Trio::new().await;
    trio.until_all_have_the_same().await;
    trio.stop(1).await;
    trio.send("one").await;
    trio.stop(0).await;
    trio.start(1).await;
    trio.until_acts(1).await;
    assert_eq!(trio.last_index(1), trio.last_index(2));
    assert_eq!(bodies(&[trio.pop_one(SLAVE).await]), ["one"]);
}

#[tokio::test]
async fn nobody_acts_without_the_other_slave() {
    let mut trio = Trio::new().await;
    trio.until_all_have_the_same().await;
    trio.stop(2).await;
    trio.send("one").await;
    trio.stop(0).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(trio.at(1).acting.term().is_none());
    trio.start(2).await;
    trio.until_acts(1).await;
}

#[tokio::test]
async fn a_master_goes_on_with_one_slave_and_is_not_acted_for_while_the_other_hears_it() {
    let mut trio = Trio::new().await;
    trio.until_all_have_the_same().await;
    trio.stop(2).await;
    trio.send("one").await;
    assert_eq!(bodies(&[trio.pop_one(MASTER).await]), ["one"]);
    trio.start(2).await;
    trio.until_all_have_the_same().await;
    assert!([1, 2].iter().all(|id| trio.at(*id).store.acts().is_none()));
}

/// What the other one helped to confirm the first one may never have had.
#[tokio::test]
async fn a_master_that_has_lost_its_disk_hears_both_slaves_before_it_serves() {
    let mut trio = Trio::new().await;
    trio.until_all_have_the_same().await;
    trio.stop(1).await;
    trio.send("one").await;
    for id in [2, 0] {
        trio.stop(id).await;
    }
    trio.disks[0] = MemoryDisk::default();
    for id in [1, 0] {
        trio.start(id).await;
    }
    until(async || trio.last_index(0) == trio.last_index(1)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(trio.at(0).store.may_lack(), "it has heard one slave of two");
    trio.start(2).await;
    until(async || !trio.at(0).store.may_lack()).await;
    trio.until_all_follow().await;
    assert_eq!(bodies(&[trio.pop_one(MASTER).await]), ["one"]);
    trio.until_all_have_the_same().await;
}
