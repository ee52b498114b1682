//! A slave that has acted loses its disk before its master has merged that: the group that keeps the chains knows.

use super::{
    operator::{acted, health, merging, unmerged, until_it_forgets},
    *,
};
use crate::{
    model::{
        chain::{Chain, ChainState, LogPosition},
        checkpoint::ActingTerm,
        record::LogEnd,
    },
    remote::acting::TermClaim,
    remoting::headers::ReplicateResponseHeader,
    store::{LogPart, View},
};

impl Group {
    /// Another slave takes the place of the one there is, with nothing on its disk.
    async fn lose_slave(&mut self) {
        if self.slave.is_some() {
            self.stop_slave().await;
        }
        self.disks[1] = MemoryDisk::default();
        self.start_slave().await;
    }

    fn durable(&self) -> View {
        self.master().shared.store.durable().unwrap()
    }

    fn end(&self) -> LogEnd {
        self.durable().log_end().unwrap()
    }

    /// The slave hands the master's only open chain over under a term of its own, as if the master were away; its log ends
    /// so, it says.
    async fn hands_over(&self, end: Option<LogEnd>) -> Chain {
        let neighbours = &self.slave().shared.neighbours;
        let term =
            neighbours.seal("broker-b", TermClaim { above: 1, end, ..TermClaim::default() }, None).await.unwrap();
        let (_, key) = self.durable().due_keys(1).unwrap().remove(0);
        let chain = self.durable().chain_by_key(&key).unwrap().unwrap();
        let due_ms = chain.due_ms().unwrap();
        let state = ChainState::Moving { to: "broker-b".into(), due_ms, revive_ms: due_ms };
        let acting = ActingTerm { group: "broker-a".into(), term };
        let moving = [Chain { state, ..chain.clone() }];
        neighbours.hand_over_acting("broker-b", &moving, &acting).await.unwrap();
        chain
    }

    /// A message is popped at the master, for long.
    async fn popped(&self, body: &str) -> Delivered {
        self.send(body).await;
        let long = PopMessageHeader { invisible_time: 600_000, poll_time: 0, ..popping("t") };
        self.world.pop_at(MASTER, &long).await.remove(0)
    }

    async fn until_it_has_all(&self) {
        let last = |broker: &Broker| broker.shared.store.durable().unwrap().last_index().unwrap();
        until(async || last(self.slave()) == last(self.master())).await;
    }
}

#[tokio::test]
async fn what_was_done_is_merged_before_another_slave_follows() {
    let mut group = acted(&MemoryDisk::default()).await;
    group.lose_slave().await;
    group.start_master().await;
    group.send("two").await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["two"], "and not what the lost slave has handed out");
    until_it_forgets(&group.target).await;
    assert_eq!(bodies(&group.pop_some(NEIGHBOUR).await), ["one"], "nobody has acked it, and the master has it still");
}

#[tokio::test]
async fn what_the_master_had_written_beyond_the_lost_slave_is_taken_back() {
    let mut group = Group::new().await;
    group.send("one").await;
    group.stop_slave().await;
    // It takes the message and can tell nobody.
    let pop = Command::request(request::POP_MESSAGE).with_header(&popping("t"));
    assert_ne!(group.world.ask(MASTER, pop).await.code, response::SUCCESS);
    let before = group.end();
    group.stop_master().await;
    group.start_slave().await;
    let popped = group.pop_some(SLAVE).await;
    assert_eq!(bodies(&popped), ["one"]);
    assert_eq!(group.world.ack_at(SLAVE, &popped[0]).await.code, response::SUCCESS);
    group.lose_slave().await;
    group.start_master().await;
    group.send("two").await;
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["two"]);
    assert!(matches!(group.durable().log_after(before, 1).unwrap(), LogPart::Diverged(_)), "it is not there any more");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let copies = group.world.pop_at(NEIGHBOUR, &PopMessageHeader { poll_time: 0, ..popping("t") }).await;
    assert!(copies.is_empty(), "{:?}", bodies(&copies));
}

/// It was cut off, and knows nothing of a term.
#[tokio::test]
async fn a_master_that_was_there_all_the_while_asks_too() {
    let mut group = Group::new().await;
    let popped = group.popped("one").await;
    let chain = group.hands_over(Some(group.end())).await;
    group.lose_slave().await;
    group.until_it_has_all().await;
    let moved = group.durable().chain(&chain.id).unwrap().unwrap();
    assert_eq!(moved.state, ChainState::Moved { to: "broker-b".into() });
    assert!(merging(group.master()).0 > 1);
    assert_eq!(group.world.ack(&popped).await.code, response::SUCCESS, "which it passes on");
    until_it_forgets(&group.target).await;
}

#[tokio::test]
async fn a_master_that_cannot_ask_waits_and_says_so() {
    let disk = MemoryDisk::default();
    let mut group = acted(&disk).await;
    group.target.shutdown(Duration::from_secs(1)).await;
    group.slave.take().unwrap().shutdown(Duration::from_secs(1)).await;
    let slave = group.world.start(&MemoryDisk::default(), member(2, 1, SLAVE)).await;
    let master = group.world.start(&group.disks[0], member(2, 0, MASTER)).await;
    assert!(health(&master).merges);
    until(async || merging(&master).1).await;
    assert_eq!((health(&master).merges, health(&master).ready), (false, false));
    assert_eq!(slave.shared.store.durable().unwrap().last_index().unwrap(), 0, "it is given nothing");
    let target = group.world.start(&disk, config("broker-b", NEIGHBOUR)).await;
    until(async || merging(&master).0 > 1).await;
    until_it_forgets(&target).await;
    assert!(health(&master).merges);
}

/// What the slave asks when its log ends so.
fn ends_at(end: LogEnd) -> ReplicateHeader {
    ReplicateHeader {
        broker_name: "broker-a".into(),
        broker_id: 1,
        last_term: end.position.term as i64,
        last_index: end.position.index as i64,
        last_checksum: end.checksum.into(),
        ..ReplicateHeader::default()
    }
}

#[tokio::test]
async fn where_nobody_has_acted_nothing_is_sealed_nor_merged() {
    let mut group = Group::new().await;
    group.popped("one").await;
    let before = group.end();
    group.lose_slave().await;
    group.until_it_has_all().await;
    assert_eq!(group.end(), before);
    assert_eq!(group.target.shared.store.view().unwrap().sealed_term("broker-a").unwrap(), 0);
    group.send("two").await;
}

/// The answer to the slave's seal was lost, and then its master was back.
#[tokio::test]
async fn a_term_that_nobody_used_takes_nothing_back() {
    let mut group = Group::new().await;
    let popped = group.popped("one").await;
    let old = group.end();
    let unused = group
        .slave()
        .shared
        .neighbours
        .seal("broker-b", TermClaim { above: 1, end: Some(old), ..TermClaim::default() }, None)
        .await
        .unwrap();
    group.send("two").await;
    let before = group.end();
    group.stop_master().await;
    group.lose_slave().await;
    group.start_master().await;
    group.until_it_has_all().await;
    assert!(matches!(group.durable().log_after(before, 1).unwrap(), LogPart::Entries(_)), "all of it is there");
    let term = group.end().position.term;
    assert!(term > unused, "which is over");
    let sealed = || group.target.shared.store.view().unwrap().sealed_term("broker-a").unwrap();
    assert_eq!(term, sealed());
    // What the lost slave had asked for comes late.
    let (confirmed, ask) = (group.end(), ReplicateHeader { acting_term: Some(unused as i64), ..ends_at(old) });
    group.world.ask(MASTER, Command::request(request::REPLICATE).with_header(&ask)).await;
    assert_eq!((group.end(), sealed()), (confirmed, term), "and takes nothing back");
    assert_eq!(group.world.ack(&popped).await.code, response::SUCCESS);
    assert_eq!(bodies(&group.pop_some(MASTER).await), ["two"]);
}

#[tokio::test]
async fn where_it_is_not_known_from_where_on_nothing_is_cut_off() {
    let elsewhere = LogEnd { position: LogPosition { term: 1, index: 3 }, checksum: 1 };
    let beyond = LogEnd { position: LogPosition { term: 1, index: 1_000 }, checksum: 1 };
    for end in [None, Some(elsewhere), Some(beyond)] {
        let mut group = Group::new().await;
        group.popped("one").await;
        group.hands_over(end).await;
        let before = group.end();
        group.lose_slave().await;
        until(async || merging(group.master()).1).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!((group.end(), unmerged(&group.target)), (before, 1), "{end:?}");
        assert!(!health(group.master()).merges);
        assert_eq!(group.slave().shared.store.durable().unwrap().last_index().unwrap(), 0, "it is given nothing");
    }
}

/// What a slave with an older disk is told: to forget that it had everything, and that it acts, though it dies in between.
#[tokio::test]
async fn who_has_less_than_it_had_is_told_until_it_has_forgotten_what_it_was() {
    let group = Group::new().await;
    group.popped("one").await;
    let older = group.end();
    group.send("two").await;
    for (caught_up, acting_term, is_told) in [
        (Some(true), None, true),
        (Some(true), Some(1), true),
        (Some(false), Some(1), true),
        (None, Some(1), false),
        (Some(false), None, false),
    ] {
        let ask = ReplicateHeader { acting_term, caught_up, ..ends_at(older) };
        let answer = group.world.ask(MASTER, Command::request(request::REPLICATE).with_header(&ask)).await;
        let told: ReplicateResponseHeader = answer.header().unwrap();
        assert_eq!(told.has_less, is_told, "{caught_up:?} {acting_term:?}");
        assert_eq!(answer.body.is_empty(), acting_term.is_some() || is_told, "{caught_up:?} {acting_term:?}");
    }
}

/// A master that has begun again does not know that its last entry was confirmed: a slave that lacks just that one may never have
/// had it, or have lost it with what it did.
#[tokio::test]
async fn a_master_that_has_begun_again_asks_for_a_slave_that_lacks_only_its_end() {
    let mut group = Group::new().await;
    group.popped("one").await;
    let older = group.end();
    group.send("two").await;
    let chain = group.hands_over(Some(group.end())).await;
    group.stop_slave().await;
    group.stop_master().await;
    group.start_master().await;
    assert_eq!(group.master().shared.store.confirmed_index(), older.position.index, "as far as it knows");
    let ask = Command::request(request::REPLICATE).with_header(&ends_at(older));
    assert_eq!(group.world.ask(MASTER, ask).await.code, response::SUCCESS);
    let moved = group.durable().chain(&chain.id).unwrap().unwrap();
    assert_eq!(moved.state, ChainState::Moved { to: "broker-b".into() }, "what was done is merged first");
}
