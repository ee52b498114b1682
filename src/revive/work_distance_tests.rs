//! Offsets that lie far apart: a checkpoint names its messages by distances of 31 bits.

use proptest::prelude::*;

use super::*;
use crate::revive::samples::{OWN, chain};

fn offsets() -> impl Strategy<Value = i64> {
    let near = |centre: i64| (-2i64..3).prop_map(move |off| centre + off);
    prop_oneof![0i64..40, near(1 << 31), near(1 << 32), near(3 << 31), 0..i64::MAX]
}

proptest! {
    /// Known defect A41: a difference of two offsets that does not fit 32 bits must not pass for a small one. Every chain
    /// goes on one trip, and every trip's checkpoint can name all its chains.
    #[test]
    fn every_chain_is_on_one_trip_whose_checkpoint_can_name_it(
        offsets in prop::collection::btree_set(offsets(), 1..60).prop_map(Vec::from_iter).prop_shuffle(),
    ) {
        let job = |offset: &i64| {
            let mut chain = chain(OWN);
            chain.id.offset = *offset;
            chain.state = ChainState::Moving { to: "b".into(), due_ms: 0, revive_ms: 0 };
            Job::HandOver(chain)
        };
        let trips = Work::gather(offsets.iter().map(job).collect());
        let of = |trip: &Work| trip.chains().iter().map(|chain| chain.id.offset).collect::<Vec<_>>();
        let mut carried: Vec<i64> = trips.iter().flat_map(of).collect();
        carried.sort_unstable();
        let mut expected = offsets;
        expected.sort_unstable();
        prop_assert_eq!(carried, expected);
        for trip in &trips {
            let carried = of(trip);
            let span = carried.iter().max().unwrap_or(&0) - carried.iter().min().unwrap_or(&0);
            prop_assert!(i32::try_from(span).is_ok(), "one checkpoint over a span of {span}");
            prop_assert!(carried.len() <= CHECKPOINT_MAX);
        }
    }
}
