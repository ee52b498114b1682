#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::{
    model::record::Record,
    revive::samples::OWN,
    store::{Expiry, Retention, StoreConfig, Tables, direct::Direct},
};

const NOW_MS: i64 = 1_700_000_000_000;

struct Facts(Vec<Record>);

impl Step for Facts {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        self.0.into_iter().try_for_each(|record| txn.record(record))
    }
}

fn offset(offset: i64) -> Record {
    Record::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset }
}

/// Lets expire what is due.
struct Expire(Retention);

impl Step for Expire {
    type Reply = Expiry;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Expiry, StoreError> {
        txn.expire(OWN, self.0)
    }
}

fn settling_after(recent_rows: usize) -> Direct {
    Direct::with(StoreConfig { recent_rows, ..StoreConfig::default() })
}

/// Follows once, at most so many bytes; tells what came.
fn follow(master: &Direct, slave: &mut Direct, bytes_max: usize) -> LogPart {
    let part = master.view().log_after(slave.view().log_end().unwrap(), bytes_max).unwrap();
    if let LogPart::Entries(entries) = &part {
        slave.run(NOW_MS, Follow::read(entries.concat().into()).unwrap()).unwrap();
    }
    part
}

fn write(store: &mut Direct, offsets: std::ops::RangeInclusive<i64>) {
    offsets.for_each(|number| store.run(NOW_MS, Facts(vec![offset(number)])));
}

fn known(store: &Direct) -> Option<i64> {
    store.view().offset("g", "t", 0).unwrap()
}

#[test]
fn a_follower_has_the_same_bytes_and_the_same_tables() {
    let (mut master, mut slave) = (Direct::new(), settling_after(1));
    write(&mut master, 1..=5);
    assert!(matches!(follow(&master, &mut slave, usize::MAX), LogPart::Entries(entries) if entries.len() == 5));
    assert_eq!(follow(&master, &mut slave, usize::MAX), LogPart::Entries(vec![]));
    let (ours, theirs) = (slave.view(), master.view());
    assert_eq!(ours.log_end().unwrap(), theirs.log_end().unwrap());
    for index in 1..=5 {
        assert_eq!(ours.raw_entry(index).unwrap(), theirs.raw_entry(index).unwrap());
    }
    assert_eq!(known(&slave), Some(5));
}

#[test]
fn it_goes_on_where_it_stopped_in_parts_as_small_as_it_asks_for() {
    let (mut master, mut slave) = (Direct::new(), Direct::new());
    write(&mut master, 1..=3);
    for _ in 0..3 {
        assert!(matches!(follow(&master, &mut slave, 1), LogPart::Entries(entries) if entries.len() == 1));
    }
    slave.reopen();
    write(&mut master, 4..=6);
    follow(&master, &mut slave, usize::MAX);
    assert_eq!(known(&slave), Some(6));
}

#[test]
fn logs_that_disagree_are_told_apart_and_nothing_is_thrown_away() {
    let (mut one, mut other) = (Direct::new(), Direct::new());
    write(&mut one, 1..=2);
    write(&mut other, 1..=1);
    write(&mut other, 7..=7);
    let end = one.view().log_end().unwrap();
    assert_eq!(follow(&one, &mut other, 9), LogPart::Diverged(end));
    write(&mut other, 8..=8);
    assert_eq!(follow(&one, &mut other, 9), LogPart::Diverged(end), "it is longer");
    assert_eq!(known(&other), Some(8));
}

#[test]
fn what_has_left_the_masters_log_cannot_be_followed() {
    let (mut master, mut late, mut behind) = (Direct::new(), Direct::new(), Direct::new());
    write(&mut master, 1..=2);
    follow(&master, &mut behind, usize::MAX);
    write(&mut master, 3..=6);
    while master.run(NOW_MS, Expire(Retention { age_ms: None, bytes: Some(1) })).more {}
    for slave in [&mut late, &mut behind] {
        assert!(matches!(follow(&master, slave, usize::MAX), LogPart::Cut { next } if next > 3));
    }
}

#[test]
fn an_entry_that_does_not_come_next_is_refused_and_one_that_is_damaged_is_not_read() {
    let (mut master, mut slave) = (Direct::new(), Direct::new());
    write(&mut master, 1..=3);
    let LogPart::Entries(entries) = master.view().log_after(LogEnd::default(), usize::MAX).unwrap() else {
        panic!("entries expected")
    };
    let skipped = Follow::read(entries[1].clone()).unwrap();
    assert!(matches!(slave.run(NOW_MS, skipped), Err(FollowError::Gap { .. })));
    assert_eq!(slave.view().log_end().unwrap(), LogEnd::default());
    for length in 1..entries[0].len() {
        assert!(Follow::read(entries[0].slice(..length)).is_err(), "cut at {length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// However the log is cut into parts, whenever either settles, and however late the follower is: it ends with the
    /// master's log and tables.
    #[test]
    fn a_follower_comes_to_what_its_master_has(
        writes in prop::collection::vec((0i64..50, any::<bool>()), 1..40),
        settles in (1usize..32, 1usize..32),
        bytes_max in 1usize..2_000,
    ) {
        let (mut master, mut slave) = (settling_after(settles.0), settling_after(settles.1));
        for (number, follows) in writes {
            master.run(NOW_MS, Facts(vec![offset(number)]));
            if follows {
                follow(&master, &mut slave, bytes_max);
            }
        }
        while follow(&master, &mut slave, bytes_max) != LogPart::Entries(vec![]) {}
        prop_assert_eq!(slave.view().log_end().unwrap(), master.view().log_end().unwrap());
        prop_assert_eq!(known(&slave), known(&master));
        slave.reopen();
        prop_assert_eq!(known(&slave), known(&master));
    }
}

/// A group in which nothing happens any more expires as a whole: a slave that has all of it can go on all the same.
#[test]
fn a_slave_that_has_everything_follows_a_log_that_has_expired() {
    let (mut master, mut slave) = (settling_after(4), settling_after(3));
    write(&mut master, 1..=5);
    follow(&master, &mut slave, usize::MAX);
    let everything = Retention { age_ms: Some(5), bytes: None };
    for later in [10, 20] {
        master.run(NOW_MS + later, Expire(everything));
        assert!(matches!(follow(&master, &mut slave, usize::MAX), LogPart::Entries(_)), "after {later} ms");
        assert_eq!(slave.view().log_end().unwrap(), master.view().log_end().unwrap());
        write(&mut master, 6..=6);
        follow(&master, &mut slave, usize::MAX);
        slave.reopen();
    }
    assert_eq!(known(&slave), Some(6));
}
