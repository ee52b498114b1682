//! Every order in a small world: one message, a master and its slave, the group that keeps what the slave does, a takeover
//! and the way back, crashes, acks, and requests that are lost, late, or come twice. Stateright visits every state there is.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::{
    deeds::Deed,
    logs::Logs,
    mutants::Mutant,
    steps::{Action, Setting, Stepping, actions},
    world::{Left, Told, World},
};
use crate::model::chain::ChainState;

/// A crash, and a request that is lost, late, or comes twice.
const CRASH_AND_LOSS: Left = Left { crashes: 1, losses: 1, takeovers: 1, terms: 2, acks: 2, lost_disks: 0 };
const TWO_CRASHES: Left = Left { crashes: 2, losses: 0, terms: 3, ..CRASH_AND_LOSS };
const TWO_LOSSES: Left = Left { crashes: 0, losses: 2, ..CRASH_AND_LOSS };
/// The master is away once more after the way back, or dies on it.
const AWAY_AGAIN: Left = Left { crashes: 0, losses: 0, takeovers: 2, terms: 3, acks: 2, lost_disks: 0 };
/// All of it together, and one ack.
const TWO_OF_EACH: Left = Left { crashes: 2, losses: 2, acks: 1, ..CRASH_AND_LOSS };
/// The slave loses its disk, whatever it has done.
const LOST_DISK: Left = Left { acks: 1, lost_disks: 1, ..CRASH_AND_LOSS };

struct Exploration {
    setting: Setting,
    left: Left,
}

impl Exploration {
    fn new(left: Left, mutant: Option<Mutant>) -> Self {
        Self { setting: Setting { logs: Logs::new(), mutant, reached: Default::default() }, left }
    }
}

impl Model for Exploration {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let logs = &self.setting.logs;
        let (log, _) = logs.after(&logs.empty(), &Deed::Begin);
        vec![World::beginning(log, logs.empty(), self.left)]
    }

    fn actions(&self, world: &World, all: &mut Vec<Action>) {
        actions(&self.setting, world, all);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut stepping = Stepping { setting: &self.setting, world: world.clone() };
        stepping.perform(action);
        Some(stepping.world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises()
    }
}

type Holds = fn(&Exploration, &World) -> bool;

fn always(name: &'static str, holds: Holds) -> Property<Exploration> {
    Property::always(name, holds)
}

/// What must hold in every state.
fn promises() -> Vec<Property<Exploration>> {
    vec![
        always("P1: what was popped has a chain", |_, world| {
            let (master, target) = (&world.master.log, &world.target.log);
            !master.is_popped || !master.ever.is_empty() || !target.ever.is_empty()
        }),
        always("P1: what has moved is where it went", |_, world| {
            let is_there = |log: &super::logs::Log| {
                log.chains.iter().all(|(handle, chain)| {
                    !matches!(chain.state, ChainState::Moved { .. }) || world.target.log.ever.contains(handle)
                })
            };
            is_there(&world.master.log) && is_there(&world.slave.log)
        }),
        always("P1: what is confirmed is never cut off", |_, world| !world.seen.cut_confirmed),
        always("P2: at most one copy", |_, world| world.copies() <= 1),
        always("P3: what an ack ended is not revived", |_, world| {
            world.client.told != Told::Absorbed || world.copies() == 0
        }),
        always("P3: what an ack ended is not handed out", |_, world| !world.seen.given_after_ack),
        always("P3: too late only once it is revived", |_, world| {
            world.client.told != Told::TooLate || world.copies() == 1
        }),
        always("P3: a repeated ack hears the same", |_, world| !world.seen.changed_mind),
        always("P5: a slave's log is the beginning of its master's", |_, world| {
            world.master.log.begins_with(&world.slave.log) && !world.seen.diverged
        }),
        always("P6: the message is handed out once", |_, world| !world.seen.given_twice),
        always("P9: what is handed out has a chain", |_, world| !world.seen.given_without_chain),
        always("P9: what a success told is where it was decided", |_, world| {
            world.client.told != Told::Absorbed || world.is_acked()
        }),
        always("P9: what the master shows is on two disks", |_, world| {
            world.longest_of_slaves().begins_with(&world.master.shown())
        }),
    ]
}

/// What must happen on some way, or the world is too small to show anything.
const COVERAGE: [&str; 24] = [
    "a hand-over refused by a later seal",
    "a late hand-over taken",
    "a seal that nobody waits for",
    "a tail cut off",
    "a term taken",
    "a term taken where chains are",
    "acked at the master",
    "acked at the target after the switch-back",
    "acked at the target while the slave acts",
    "an ack of a chain that has moved",
    "an ack passed on by the master",
    "followed the merge",
    "forgotten",
    "merged a chain",
    "merged nothing",
    "merged once more",
    "merged, and a later term taken",
    "offered again",
    "popped at the master",
    "popped at the slave",
    "restarted while it acts",
    "revived at the master",
    "revived at the target after the switch-back",
    "revived at the target while the slave acts",
];

/// The same where a disk is lost.
const COVERAGE_OF_LOSS: [&str; 4] = [
    "begun anew where nobody had acted",
    "begun anew where nothing was done",
    "lost while it acts",
    "merged for a slave that is lost",
];

/// Every state is visited: the search is not cut off, and it ends because nothing is left. Gives what was reached.
fn explore(left: Left) -> BTreeSet<&'static str> {
    let checker = Exploration::new(left, None).checker().threads(2).spawn_bfs().join();
    println!(
        "{left:?}: {} states, {} steps between them, {} deep, over {:?} logs and steps on logs",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        checker.model().setting.logs.counts(),
    );
    checker.assert_properties();
    assert!(checker.is_done());
    checker.model().setting.reached.lock().unwrap().clone()
}

#[test]
fn no_order_with_a_crash_and_a_lost_answer_breaks_a_promise() {
    let reached = explore(CRASH_AND_LOSS);
    let missed: Vec<_> = COVERAGE.iter().filter(|what| !reached.contains(**what)).collect();
    assert!(missed.is_empty(), "the world is too small: {missed:?}");
}

#[test]
fn no_order_with_a_lost_disk_breaks_a_promise() {
    let reached = explore(LOST_DISK);
    let missed: Vec<_> = COVERAGE_OF_LOSS.iter().filter(|what| !reached.contains(**what)).collect();
    assert!(missed.is_empty(), "the world is too small: {missed:?}");
}

#[test]
fn no_order_with_two_crashes_breaks_a_promise() {
    explore(TWO_CRASHES);
}

#[test]
fn no_order_with_two_lost_answers_breaks_a_promise() {
    explore(TWO_LOSSES);
}

#[test]
fn no_order_with_a_master_that_is_away_again_breaks_a_promise() {
    explore(AWAY_AGAIN);
}

#[test]
fn no_order_with_a_crash_and_a_master_that_is_away_again_breaks_a_promise() {
    explore(Left { crashes: 1, ..AWAY_AGAIN });
}

#[test]
fn no_order_with_two_crashes_and_two_lost_answers_breaks_a_promise() {
    explore(TWO_OF_EACH);
}

/// The exploration can fail: each planted defect has a counterexample to the promise it breaks.
#[test]
fn every_defective_group_has_a_counterexample() {
    let unfound: Vec<Mutant> = Mutant::ALL.into_iter().filter(|mutant| !is_rejected(*mutant)).collect();
    assert!(unfound.is_empty(), "not rejected by the promise they break: {unfound:?}");
}

fn is_rejected(mutant: Mutant) -> bool {
    let broken: BTreeSet<&'static str> =
        promises().iter().map(|promise| promise.name).filter(|name| name.starts_with(mutant.breaks())).collect();
    let stop = HasDiscoveries::AnyOf(broken.clone());
    let left = if mutant.needs_lost_disk() { LOST_DISK } else { CRASH_AND_LOSS };
    let exploration = Exploration::new(left, Some(mutant));
    let checker = exploration.checker().finish_when(stop).threads(2).spawn_bfs().join();
    let found = checker.discoveries().into_iter().find(|(name, _)| broken.contains(name));
    match found {
        Some((name, path)) => println!("{mutant:?}: {name}, after {:?}", path.into_actions()),
        None => println!("{mutant:?} breaks no {} in {} states", mutant.breaks(), checker.unique_state_count()),
    }
    checker.discoveries().keys().any(|name| broken.contains(name))
}
