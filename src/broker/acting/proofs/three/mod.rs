//! Every order in a small world of three: a master, two slaves of which one at a time may act for it, and the target that
//! gives them terms. An entry is confirmed once the master and one slave have it. Stateright visits every state there is.
//!
//! Unlike in the world of two the logs are a model as well. What is shown is that the rules are right by which one of two
//! slaves gets the other one's vote and a term, one goes on in the place of the other, and the master takes back what was
//! done; not that a broker keeps to them.
//!
//! Each member handles one thing at a time, and a slave has one request to its master under way. A request takes no time if it
//! is answered, for sent later it has the same effect; the answer to one that follows may take its time, and so may any
//! request that nobody waits for any more. A member that is away is one that does nothing.

mod actions;
mod logs;
mod mutants;
mod slaves;
mod steps;
mod terms;
mod world;

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::{
    actions::{Action, Fate},
    logs::MESSAGES,
    mutants::{Group, Mutant, Reached},
    steps::Stepping,
    world::{Left, Slave, World},
};

impl Model for Group {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::beginning(self.left)]
    }

    fn actions(&self, world: &World, all: &mut Vec<Action>) {
        world.actions(self, all);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut stepping = Stepping { group: self, world: *world };
        stepping.perform(action);
        terms::settle(self, &mut stepping.world);
        Some(stepping.world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises()
    }
}

fn always(name: &'static str, holds: fn(&Group, &World) -> bool) -> Property<Group> {
    Property::always(name, holds)
}

/// What must hold in every state.
fn promises() -> Vec<Property<Group>> {
    vec![
        always("P1: what is confirmed is never cut off", |_, world| world.master.log.begins_with(&world.confirmed)),
        always("P1: whoever acts has all that is confirmed", |_, world| {
            let acts = |slave: &&Slave| slave.acting.is_some_and(|acting| acting.term == world.target.sealed);
            world.slaves.iter().filter(acts).all(|slave| slave.log.begins_with(&world.confirmed))
        }),
        always("P6: a message is handed out once", |_, world| {
            let times = |message: u8| {
                let acting = usize::from(world.handed_over & 1 << message != 0);
                world.confirmed.pops_of(message) + acting
            };
            !world.seen.popped_twice && (0..MESSAGES).all(|message| times(message) <= 1)
        }),
        always("P9: nothing is decided behind the back of the other side", |_, world| !world.seen.two_effective),
        always("P5: a slave's log is the beginning of its master's", |_, world| {
            !world.seen.diverged && world.slaves.iter().all(|slave| world.master.log.begins_with(&slave.log))
        }),
        // Or a master would have to end a term at a target that may need this group for that.
        always("nobody is bound by a term that the target does not know", |_, world| {
            let is_known = |term: Option<u8>| term <= Some(world.target.sealed);
            world.slaves.iter().all(|slave| is_known(slave.acts) && is_known(slave.agreed))
        }),
        always("all three come together again", |group, world| !group.heals || comes_together(group, *world)),
        always("two slaves can act without their master", |group, world| {
            let are_whole = world.slaves.iter().all(|slave| slave.whole);
            !group.heals || !are_whole || acts_after(group, *world, 0, Action::Stand(0))
        }),
        always("a slave goes on where the one that acts is lost", |group, world| {
            let target = &world.target;
            let goes_on = |at: usize| {
                let (slave, other) = (&world.slaves[at], &world.slaves[1 - at]);
                let is_acting = other.acting.is_some_and(|acting| acting.term == target.sealed);
                // One that had no answer to whether it has the vote cannot know that it has.
                let may_go_on = is_acting && slave.agreed.is_some() && slave.whole && slave.log.end() == target.end;
                !may_go_on || acts_after(group, *world, at, Action::StandAlone(at))
            };
            !group.heals || (0..2).all(goes_on)
        }),
    ]
}

/// Whether all have the same log in the end if everybody hears everybody.
fn comes_together(group: &Group, world: World) -> bool {
    let group = group.healing();
    let mut stepping = Stepping { group: &group, world };
    stepping.world.late = [None; 2];
    for round in 0..40 {
        let (at, world) = (round % 2, &stepping.world);
        let slave = &world.slaves[at];
        stepping.perform(match world.master.turn {
            Some(_) => Action::TakeBack(Fate::Heard),
            None if slave.awaited.is_some() => Action::Receive(at),
            None if !slave.is_following() => Action::AskMerged(at, Fate::Heard),
            None => Action::Follow(at, Fate::Heard),
        });
    }
    let World { master, slaves, confirmed, .. } = &stepping.world;
    *confirmed == master.log
        && slaves.iter().all(|slave| slave.log == master.log && slave.acts.is_none() && slave.whole)
}

/// Whether a slave that begins so acts in the end if everybody hears it.
fn acts_after(group: &Group, mut world: World, at: usize, begins: Action) -> bool {
    let group = group.healing();
    (world.left.looks, world.late, world.slaves[at].acting) = (1, [None; 2], None);
    let mut stepping = Stepping { group: &group, world };
    stepping.perform(begins);
    (0..3).for_each(|_| stepping.perform(Action::GoOn(at, Fate::Heard)));
    let World { slaves, target, .. } = &stepping.world;
    slaves[at].acting.is_some_and(|acting| acting.term == target.sealed)
}

/// A crash, and a request that is lost, late, or comes twice.
const CRASH_AND_LOSS: Left = Left { crashes: 1, losses: 1, looks: 2, writes: 1, lost_disks: 0 };
/// The master writes, and hands out, what its slaves may hand out as well.
const TWO_WRITES: Left = Left { crashes: 0, writes: 2, ..CRASH_AND_LOSS };
const TWO_LOSSES: Left = Left { crashes: 0, losses: 2, ..CRASH_AND_LOSS };
/// The slaves try once more.
const THREE_LOOKS: Left = Left { losses: 0, looks: 3, ..CRASH_AND_LOSS };
/// A slave loses its disk, whatever it has done or promised.
const LOST_DISK: Left = Left { losses: 0, lost_disks: 1, ..CRASH_AND_LOSS };
const LOST_DISK_AND_LOSS: Left = Left { losses: 1, looks: 1, lost_disks: 1, ..CRASH_AND_LOSS };
const LOST_DISK_AND_TWO_LOSSES: Left = Left { crashes: 0, losses: 2, ..LOST_DISK_AND_LOSS };

/// Every state is visited: the search is not cut off, and it ends because nothing is left. Gives what was not reached.
fn explore(left: Left, heals: bool) -> Vec<Reached> {
    let checker = Group::new(left, None, heals).checker().threads(2).spawn_bfs().join();
    println!(
        "{left:?}: {} states, {} steps between them, {} deep",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
    );
    checker.assert_properties();
    assert!(checker.is_done());
    checker.model().missed()
}

#[test]
fn no_order_of_three_with_a_crash_and_a_lost_answer_breaks_a_promise() {
    let missed = explore(CRASH_AND_LOSS, true);
    assert!(missed.iter().all(|what| what.needs_lost_disk()), "the world is too small: {missed:?}");
}

#[test]
fn no_order_of_three_with_two_writes_breaks_a_promise() {
    explore(TWO_WRITES, false);
}

#[test]
fn no_order_of_three_with_two_lost_answers_breaks_a_promise() {
    explore(TWO_LOSSES, false);
}

#[test]
fn no_order_of_three_with_a_third_attempt_breaks_a_promise() {
    explore(THREE_LOOKS, false);
}

#[test]
fn no_order_of_three_with_a_lost_disk_breaks_a_promise() {
    let missed = explore(LOST_DISK, true);
    assert!(!missed.iter().any(|what| what.needs_lost_disk()), "the world is too small: {missed:?}");
}

#[test]
fn no_order_of_three_with_a_lost_disk_and_a_lost_answer_breaks_a_promise() {
    explore(LOST_DISK_AND_LOSS, true);
}

#[test]
fn no_order_of_three_with_a_lost_disk_and_two_lost_answers_breaks_a_promise() {
    explore(LOST_DISK_AND_TWO_LOSSES, false);
}

/// The exploration can fail: each planted defect has a counterexample to the promise it breaks.
#[test]
fn every_defective_group_of_three_has_a_counterexample() {
    let unfound: Vec<Mutant> = Mutant::ALL.iter().copied().filter(|mutant| !is_rejected(*mutant)).collect();
    assert!(unfound.is_empty(), "not rejected by the promise they break: {unfound:?}");
}

fn is_rejected(mutant: Mutant) -> bool {
    let broken: BTreeSet<&'static str> =
        promises().iter().map(|promise| promise.name).filter(|name| name.starts_with(mutant.breaks())).collect();
    let stop = HasDiscoveries::AnyOf(broken.clone());
    let left = if mutant.needs_lost_disk() { LOST_DISK_AND_LOSS } else { CRASH_AND_LOSS };
    let checker = Group::new(left, Some(mutant), false).checker().finish_when(stop).threads(2).spawn_bfs().join();
    let found = checker.discoveries().into_iter().find(|(name, _)| broken.contains(name));
    match &found {
        Some((name, path)) => println!("{mutant:?}: {name}, after {:?}", path.clone().into_actions()),
        None => println!("{mutant:?} breaks no {} in {} states", mutant.breaks(), checker.unique_state_count()),
    }
    found.is_some()
}
