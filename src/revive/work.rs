//! What one trip to another node does: one read of neighbouring messages, or one checkpoint handed over.

use super::apply::Job;
use crate::{
    buggify,
    model::chain::{Chain, ChainState},
    sabotage,
};

/// Most messages a checkpoint holds (`PopCheckPoint`'s bit map has 32 bits).
const CHECKPOINT_MAX: usize = 32;
/// A read asks for at most so many offsets: what a broker gives in one PULL.
pub(super) const SPAN_MAX: i64 = 32;
/// Two neighbours of a read are at most so far apart: what lies between them travels for nothing.
pub(super) const GAP_MAX: i64 = 8;
/// A read is for at most so many chains; several groups may wait for the same message.
pub(super) const CHAINS_MAX: usize = 64;

/// One trip to another node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Work {
    /// Read messages of one queue from their owner.
    Read(Vec<Chain>),
    /// Ask `to` to take chains that one pop took from one queue: one checkpoint carries them all.
    HandOver {
        /// The target group.
        to: String,
        /// The chains.
        chains: Vec<Chain>,
    },
}

impl Work {
    /// Gathers jobs into as few trips as their queues and checkpoints allow.
    pub(super) fn gather(jobs: Vec<Job>) -> Vec<Self> {
        let (mut reads, mut trips) = (Vec::new(), Vec::<Self>::new());
        for job in jobs {
            match job {
                Job::Read(chain) => reads.push(chain),
                Job::HandOver(chain) => {
                    let ChainState::Moving { to, .. } = &chain.state else { continue };
                    let target = to.clone();
                    match trips.iter_mut().find_map(|trip| trip.room_for(&target, &chain)) {
                        Some(chains) => chains.push(chain),
                        None => trips.push(Self::HandOver { to: target, chains: vec![chain] }),
                    }
                }
            }
        }
        trips.extend(runs(reads).into_iter().map(Self::Read));
        trips
    }

    /// The chains it is for.
    pub(super) fn chains(&self) -> &[Chain] {
        match self {
            Self::Read(chains) | Self::HandOver { chains, .. } => chains,
        }
    }

    fn room_for(&mut self, target: &str, chain: &Chain) -> Option<&mut Vec<Chain>> {
        match self {
            Self::HandOver { to, chains } if to == target && chains.len() < checkpoint_max() => {
                // Near to every one of them: a checkpoint counts from its smallest offset, whichever that is.
                chains.iter().all(|one| is_same_checkpoint(one, chain)).then_some(chains)
            }
            Self::HandOver { .. } | Self::Read(_) => None,
        }
    }
}

fn checkpoint_max() -> usize {
    buggify!("hands-over-one", 1, CHECKPOINT_MAX)
}

/// Gathers chains into as few checkpoints as hold them.
#[must_use]
pub fn checkpoints(chains: Vec<Chain>) -> Vec<Vec<Chain>> {
    let most = checkpoint_max();
    let mut checkpoints: Vec<Vec<Chain>> = Vec::new();
    for chain in chains {
        let has_room =
            |one: &&mut Vec<Chain>| one.len() < most && one.iter().all(|other| is_same_checkpoint(other, &chain));
        match checkpoints.iter_mut().rev().find(has_room) {
            Some(room) => room.push(chain),
            None => checkpoints.push(vec![chain]),
        }
    }
    checkpoints
}

/// Sorts chains into runs of neighbours.
fn runs(mut chains: Vec<Chain>) -> Vec<Vec<Chain>> {
    let place = |chain: &Chain| (chain.id.broker.clone(), chain.id.topic.clone(), chain.id.queue, chain.id.offset);
    chains.sort_by_cached_key(place);
    let mut runs: Vec<Vec<Chain>> = Vec::new();
    for chain in chains {
        match runs.last_mut().filter(|run| goes_on(run, &chain)) {
            Some(run) => run.push(chain),
            None => runs.push(vec![chain]),
        }
    }
    runs
}

fn goes_on(run: &[Chain], chain: &Chain) -> bool {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return false };
    let queue = |chain: &Chain| (chain.id.broker.clone(), chain.id.topic.clone(), chain.id.queue);
    let span_max = if sabotage!("half-joined") { SPAN_MAX / 2 } else { SPAN_MAX };
    run.len() < CHAINS_MAX
        && !sabotage!("reads-one-by-one")
        && queue(first) == queue(chain)
        && chain.id.offset.saturating_sub(first.id.offset) < span_max
        && chain.id.offset.saturating_sub(last.id.offset) <= GAP_MAX
}

fn is_same_checkpoint(one: &Chain, other: &Chain) -> bool {
    let pop = |chain: &Chain| (chain.id.pop_time, chain.id.term, chain.id.queue, chain.invisible_ms);
    let state = |chain: &Chain| (chain.round, chain.hop, chain.generation, chain.reconsume_limit, chain.topic_epoch);
    let near = i32::try_from(one.id.offset.abs_diff(other.id.offset)).is_ok();
    let same_names =
        one.id.broker == other.id.broker && one.id.topic == other.id.topic && one.id.group == other.id.group;
    near && same_names && pop(one) == pop(other) && state(one) == state(other)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::revive::samples::{OTHER, OWN, chain};

    fn moving(to: &str, offset: i64, pop_time: i64) -> Job {
        let mut chain = chain(OWN);
        (chain.id.offset, chain.id.pop_time) = (offset, pop_time);
        chain.state = ChainState::Moving { to: to.into(), due_ms: 0, revive_ms: 0 };
        Job::HandOver(chain)
    }

    fn read(queue: i32, offset: i64, group: &str) -> Job {
        let mut chain = chain(OTHER);
        (chain.id.offset, chain.id.queue, chain.id.group) = (offset, queue, group.into());
        Job::Read(chain)
    }

    fn sizes(jobs: Vec<Job>) -> Vec<usize> {
        Work::gather(jobs).iter().map(|work| work.chains().len()).collect()
    }

    #[test]
    fn one_pop_of_one_queue_is_one_trip() {
        assert_eq!(sizes((0..5).map(|offset| moving("b", offset, 7)).collect()), [5]);
    }

    #[test]
    fn other_pops_and_other_targets_are_other_trips() {
        assert_eq!(sizes(vec![moving("b", 0, 7), moving("b", 1, 8), moving("c", 2, 7), moving("b", 3, 7)]), [2, 1, 1]);
    }

    #[test]
    fn a_checkpoint_holds_32_messages() {
        assert_eq!(sizes((0..40).map(|offset| moving("b", offset, 7)).collect()), [32, 8]);
    }

    #[test]
    fn neighbours_of_a_queue_are_read_together() {
        assert_eq!(sizes((0..70).rev().map(|offset| read(0, offset, "g")).collect()), [32, 32, 6]);
        assert_eq!(sizes(vec![read(0, 1, "g"), read(1, 2, "g"), read(0, 3, "g")]), [2, 1], "queues are not mixed");
        assert_eq!(sizes(vec![read(0, 0, "g"), read(0, 8, "g"), read(0, 17, "g")]), [2, 1], "too far apart");
        assert_eq!(sizes(vec![read(0, 5, "g"), read(0, 5, "h")]), [2], "one message for two groups");
    }

    proptest! {
        #[test]
        fn every_job_is_in_one_trip_and_every_trip_is_bounded(
            places in vec((0..3i32, 0..200i64, "[gh]"), 0..150),
        ) {
            let jobs: Vec<Job> = places.iter().map(|(queue, offset, group)| read(*queue, *offset, group)).collect();
            let trips = Work::gather(jobs.clone());
            prop_assert_eq!(trips.iter().map(|trip| trip.chains().len()).sum::<usize>(), jobs.len());
            for trip in &trips {
                let offsets: Vec<i64> = trip.chains().iter().map(|chain| chain.id.offset).collect();
                prop_assert!(offsets.windows(2).all(|pair| (0..=GAP_MAX).contains(&(pair[1] - pair[0]))));
                prop_assert!(offsets[offsets.len() - 1] - offsets[0] < SPAN_MAX && offsets.len() <= CHAINS_MAX);
                let queue = trip.chains()[0].id.queue;
                prop_assert!(trip.chains().iter().all(|chain| chain.id.queue == queue));
            }
        }
    }
}

#[cfg(test)]
#[path = "work_distance_tests.rs"]
mod distance_tests;
