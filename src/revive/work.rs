//! What one trip to another node does: one read, or one checkpoint handed over.

use super::apply::Job;
use crate::model::chain::{Chain, ChainState};

/// Most messages a checkpoint holds (`PopCheckPoint`'s bit map has 32 bits).
const CHECKPOINT_MAX: usize = 32;

/// One trip to another node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Work {
    /// Read one message from its owner.
    Read(Box<Chain>),
    /// Ask `to` to take chains that one pop took from one queue: one checkpoint carries them all.
    HandOver {
        /// The target group.
        to: String,
        /// The chains.
        chains: Vec<Chain>,
    },
}

impl Work {
    /// Gathers jobs into as few trips as their checkpoints allow, in the order of the first job of each.
    pub(super) fn gather(jobs: Vec<Job>) -> Vec<Self> {
        let mut trips: Vec<Self> = Vec::new();
        for job in jobs {
            match job {
                Job::Read(chain) => trips.push(Self::Read(Box::new(chain))),
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
        trips
    }

    /// The chains it is for.
    pub(super) fn chains(&self) -> &[Chain] {
        match self {
            Self::Read(chain) => std::slice::from_ref(chain),
            Self::HandOver { chains, .. } => chains,
        }
    }

    fn room_for(&mut self, target: &str, chain: &Chain) -> Option<&mut Vec<Chain>> {
        match self {
            Self::HandOver { to, chains } if to == target && chains.len() < CHECKPOINT_MAX => {
                // Near to every one of them: a checkpoint counts from its smallest offset, whichever that is.
                chains.iter().all(|one| is_same_checkpoint(one, chain)).then_some(chains)
            }
            Self::HandOver { .. } | Self::Read(_) => None,
        }
    }
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
    use super::*;
    use crate::model::chain::{ChainId, History, LogPosition};

    fn moving(to: &str, offset: i64, pop_time: i64) -> Job {
        let (broker, topic, group) = ("a".into(), "t".into(), "g".into());
        Job::HandOver(Chain {
            id: ChainId { broker, topic, queue: 0, offset, group, pop_time, term: 1 },
            topic_epoch: LogPosition::default(),
            start_offset: 0,
            invisible_ms: 1000,
            reconsume_limit: 16,
            round: 0,
            hop: 0,
            generation: 0,
            attempt: 1,
            round_began_ms: None,
            state: ChainState::Moving { to: to.into(), due_ms: 0, revive_ms: 0 },
            history: History::default(),
        })
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
}

#[cfg(test)]
#[path = "work_distance_tests.rs"]
mod distance_tests;
