//! A slave acts for its master, and the master takes back what it has done.

mod lease;
mod lost_slave;
mod older_master;
mod operator;
mod second_slave;
mod timers;

use super::{world::*, *};
use crate::remote::acting::TermClaim;

const SLAVE: &str = "10.0.0.11:10911";

fn member(degree: u32, id: u64, listen: &str) -> BrokerConfig {
    BrokerConfig {
        id,
        degree,
        confirm_within_ms: 500,
        acting_to: Some("broker-b".into()),
        acting_after_ms: 1_000,
        register_every_ms: 1_000,
        ..config("broker-a", listen)
    }
}

/// A group of two, and the group that keeps what the slave does.
struct Group {
    world: World,
    degree: u32,
    disks: [MemoryDisk; 2],
    target: Broker,
    master: Option<Broker>,
    slave: Option<Broker>,
}

impl Group {
    async fn new() -> Self {
        Self::with_target(2, &MemoryDisk::default()).await
    }

    async fn with_target(degree: u32, disk: &MemoryDisk) -> Self {
        let world = World::new().await;
        let target = world.start(disk, config("broker-b", NEIGHBOUR)).await;
        let mut group = Self { world, degree, disks: Default::default(), target, master: None, slave: None };
        group.start_slave().await;
        group.start_master().await;
        // The consumer group is known from its first pop on.
        group.send("zero").await;
        let zero = group.pop_some(MASTER).await;
        assert_eq!(group.world.ack(&zero[0]).await.code, response::SUCCESS);
        group
    }

    async fn start_master(&mut self) {
        self.master = Some(self.world.start(&self.disks[0], member(self.degree, 0, MASTER)).await);
    }

    async fn start_slave(&mut self) {
        self.slave = Some(self.world.start(&self.disks[1], member(self.degree, 1, SLAVE)).await);
    }

    async fn stop_master(&mut self) {
        self.master.take().unwrap().shutdown(Duration::from_secs(1)).await;
    }

    async fn stop_slave(&mut self) {
        self.slave.take().unwrap().shutdown(Duration::from_secs(1)).await;
    }

    fn slave(&self) -> &Broker {
        self.slave.as_ref().unwrap()
    }

    fn master(&self) -> &Broker {
        self.master.as_ref().unwrap()
    }

    /// Sends until it is told that the message is stored.
    async fn send(&self, body: &str) {
        let sent = async || self.world.send_with("t", body, &[("UNIQ_KEY", body)]).await.code == response::SUCCESS;
        until(sent).await;
    }

    async fn until_it_acts(&self) {
        until(async || self.slave().shared.acting.term().is_some()).await;
    }

    async fn until_it_follows(&self) {
        until(async || self.slave().shared.store.acts().is_none()).await;
    }

    async fn pop_some(&self, address: &str) -> Vec<Delivered> {
        pop_some(&self.world, address, popping("t")).await
    }
}

/// Pops at a broker until there is something.
async fn pop_some(world: &World, address: &str, asked: PopMessageHeader) -> Vec<Delivered> {
    let mut popped = Vec::new();
    let wait = async {
        while popped.is_empty() {
            let header = PopMessageHeader { poll_time: 100, invisible_time: 3_000, ..asked.clone() };
            let ask = Command::request(request::POP_MESSAGE).with_header(&header);
            let answer = world.ask(address, ask).await;
            if answer.code == response::SUCCESS {
                popped = delivered(&header, &answer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
    popped
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}

/// Known defect A06.
#[tokio::test]
async fn what_is_due_while_the_master_is_away_is_revived_by_the_target_and_never_again() {
    let mut group = Group::new().await;
    group.send("one").await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["one"]);
    group.stop_master().await;
    let copies = group.pop_some(NEIGHBOUR).await;
    assert_eq!(bodies(&copies), ["one"], "read from the slave");
    assert_eq!(group.world.ack_at(NEIGHBOUR, &copies[0]).await.code, response::SUCCESS);
    group.start_master().await;
    group.until_it_follows().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    for address in [MASTER, NEIGHBOUR] {
        let again = group.world.pop_at(address, &PopMessageHeader { poll_time: 0, ..popping("t") }).await;
        assert!(again.is_empty(), "{address} hands out {:?}", bodies(&again));
    }
}

#[tokio::test]
async fn an_acting_slave_hands_out_what_was_not_popped_and_the_master_goes_on_behind_it() {
    let mut group = Group::new().await;
    group.send("one").await;
    group.send("two").await;
    let first = PopMessageHeader { max_msg_nums: 1, poll_time: 0, invisible_time: 60_000, ..popping("t") };
    let popped = group.world.pop(&first).await;
    assert_eq!(bodies(&popped), ["one"]);
    group.stop_master().await;
    group.until_it_acts().await;
    assert_eq!(group.world.ack_at(SLAVE, &popped[0]).await.code, response::SUCCESS, "of the master's own time");
    let acted = group.pop_some(SLAVE).await;
    assert_eq!(bodies(&acted), ["two"]);
    let renewed = group.world.renew_at(SLAVE, &acted[0], 30_000).await.unwrap();
    group.start_master().await;
    group.until_it_follows().await;
    assert!(group.slave().shared.acting.term().is_none());
    assert_eq!(group.world.ack(&renewed).await.code, response::SUCCESS, "the master passes it on");
    assert_eq!(group.world.ack(&popped[0]).await.code, response::SUCCESS, "as it was told before");
    group.send("three").await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["three"], "and nothing else once more");
    let forgets = async || !group.target.shared.store.view().unwrap().is_any_unmerged().unwrap();
    until(forgets).await;
}

/// Known defect A15.
#[tokio::test]
async fn what_the_master_had_not_confirmed_is_taken_back() {
    let mut group = Group::new().await;
    group.send("one").await;
    group.stop_slave().await;
    // It takes the message and can tell nobody.
    let pop = Command::request(request::POP_MESSAGE).with_header(&popping("t"));
    assert_ne!(group.world.ask(MASTER, pop).await.code, response::SUCCESS);
    let before = group.master.as_ref().unwrap().shared.store.durable().unwrap().last_index().unwrap();
    group.stop_master().await;
    group.start_slave().await;
    let acted = group.pop_some(SLAVE).await;
    assert_eq!(bodies(&acted), ["one"]);
    assert_eq!(group.world.ack_at(SLAVE, &acted[0]).await.code, response::SUCCESS);
    group.start_master().await;
    group.until_it_follows().await;
    group.send("two").await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["two"]);
    let log = group.master.as_ref().unwrap().shared.store.view().unwrap();
    let end = log.log_end().unwrap().position;
    assert!(end.term > 1 && end.index > 1, "{end:?} after {before}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let copies = group.world.pop_at(NEIGHBOUR, &PopMessageHeader { poll_time: 0, ..popping("t") }).await;
    assert!(copies.is_empty(), "{:?}", bodies(&copies));
}

/// Known defect A92.
#[tokio::test]
async fn a_term_that_another_has_taken_since_counts_no_more() {
    let group = {
        let mut group = Group::new().await;
        group.send("one").await;
        group.stop_master().await;
        group
    };
    group.until_it_acts().await;
    let term = group.slave().shared.acting.term().unwrap();
    let later = group.slave().shared.neighbours.seal("broker-b", TermClaim::default(), None).await.unwrap();
    let pop = Command::request(request::POP_MESSAGE).with_header(&PopMessageHeader { poll_time: 0, ..popping("t") });
    let refused = group.world.ask(SLAVE, pop).await;
    assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE, "{refused:?}");
    assert!(group.target.shared.store.view().unwrap().acted_chains("broker-a", "", 10).unwrap().is_empty());
    // It takes a later one by itself, and then hands the message out.
    assert_eq!(bodies(&group.pop_some(SLAVE).await), ["one"]);
    assert!(group.slave().shared.store.acts().unwrap() > later);
    drop(term);
}

/// Known defect A62.
#[tokio::test]
async fn a_slave_that_restarts_while_it_acts_hands_nothing_out_twice() {
    let mut group = Group::new().await;
    group.send("one").await;
    group.send("two").await;
    group.stop_master().await;
    let one = PopMessageHeader { max_msg_nums: 1, invisible_time: 60_000, poll_time: 0, ..popping("t") };
    group.until_it_acts().await;
    assert_eq!(bodies(&group.world.pop_at(SLAVE, &one).await), ["one"]);
    group.stop_slave().await;
    group.start_slave().await;
    group.until_it_acts().await;
    assert_eq!(bodies(&group.world.pop_at(SLAVE, &one).await), ["two"]);
    assert!(group.world.pop_at(SLAVE, &one).await.is_empty());
}

/// A message that was popped for long and renewed for long at its master, which is away now: the old and the new handle.
async fn renewed_before_the_master_went(group: &mut Group) -> (Delivered, Delivered) {
    group.send("one").await;
    let long = PopMessageHeader { invisible_time: 60_000, poll_time: 0, ..popping("t") };
    let old = group.world.pop_at(MASTER, &long).await.remove(0);
    let new = group.world.renew(&old, 60_000).await.unwrap();
    group.stop_master().await;
    group.until_it_acts().await;
    (old, new)
}

#[tokio::test]
async fn at_an_acting_slave_an_old_handle_keeps_the_message_away_too() {
    let mut group = Group::new().await;
    let (old, new) = renewed_before_the_master_went(&mut group).await;
    for handle in [&old, &new, &old] {
        let answer = group.world.ack_at(SLAVE, handle).await;
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
    }
}

#[tokio::test]
async fn a_renewal_is_repeated_at_an_acting_slave_and_at_the_master_that_is_back() {
    let mut group = Group::new().await;
    let (old, _) = renewed_before_the_master_went(&mut group).await;
    let at_slave = group.world.renew_at(SLAVE, &old, 60_000).await.unwrap();
    group.start_master().await;
    group.until_it_follows().await;
    let at_master = group.world.renew(&old, 60_000).await.unwrap();
    for handle in [&at_slave, &at_master] {
        let answer = group.world.ack_at(MASTER, handle).await;
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
    }
}

#[tokio::test]
async fn without_its_target_a_slave_does_nothing_and_a_master_waits() {
    let mut group = Group::new().await;
    group.send("one").await;
    group.stop_master().await;
    group.until_it_acts().await;
    assert_eq!(bodies(&group.pop_some(SLAVE).await), ["one"]);
    let target = group.target;
    target.shutdown(Duration::from_secs(1)).await;
    group.master = Some(group.world.start(&group.disks[0], member(2, 0, MASTER)).await);
    tokio::time::sleep(Duration::from_secs(8)).await;
    let answer = group.world.send_with("t", "two", &[]).await;
    assert_eq!(answer.code, response::SYSTEM_ERROR, "{answer:?}");
    assert!(group.slave.as_ref().unwrap().shared.store.acts().is_some(), "it follows nobody who has not merged");
}

/// Known defect A84.
#[tokio::test]
async fn an_acting_slave_refuses_what_it_cannot_keep() {
    let mut group = Group::new().await;
    group.send("one").await;
    group.stop_master().await;
    group.until_it_acts().await;
    let before = group.slave().shared.store.durable().unwrap().log_end().unwrap();
    let send = Command::request(request::SEND_MESSAGE_V2);
    let unknown = Command::request(request::POP_MESSAGE)
        .with_header(&PopMessageHeader { consumer_group: "unknown".into(), ..popping("t") });
    let ordered = Command::request(request::POP_MESSAGE).with_header(&PopMessageHeader { order: true, ..popping("t") });
    for (refused, code) in [
        (send, response::SERVICE_NOT_AVAILABLE),
        (unknown, response::SERVICE_NOT_AVAILABLE),
        (ordered, response::REQUEST_CODE_NOT_SUPPORTED),
    ] {
        let answer = group.world.ask(SLAVE, refused).await;
        assert_eq!(answer.code, code, "{answer:?}");
    }
    assert_eq!(group.slave().shared.store.durable().unwrap().log_end().unwrap(), before, "it writes nothing");
}

#[tokio::test]
async fn a_slave_that_lost_its_disk_does_not_act_and_nothing_is_cut_off_for_it() {
    let mut group = Group::new().await;
    group.send("one").await;
    let before = group.master.as_ref().unwrap().shared.store.view().unwrap().last_index().unwrap();
    group.stop_master().await;
    group.stop_slave().await;
    group.disks[1] = MemoryDisk::default();
    group.start_slave().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(group.slave().shared.store.acts(), None, "it has never had all that its master has");
    group.start_master().await;
    // Somebody made it act all the same.
    group.slave().shared.store.set_acts(Some(1)).await.unwrap();
    group.stop_slave().await;
    group.start_slave().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let master = group.master.as_ref().unwrap();
    assert!(master.shared.store.durable().unwrap().last_index().unwrap() >= before);
    assert_eq!(master.shared.store.term(), 1);
}
