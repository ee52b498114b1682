//! Makes states one that cannot be told apart: of terms only the order matters, and what is over need not be known.

use super::{
    logs::{End, Entry},
    mutants::Group,
    world::{Answer, Candidate, Claim, Late, Stage, World, other_than},
};

/// Drops what can change nothing any more, and counts the terms anew, without gaps.
pub(super) fn settle(group: &Group, world: &mut World) {
    if !group.has_mutant() {
        forget_what_is_over(world);
        drop_spent(world);
    }
    world.late.sort_unstable_by(|one, other| other.cmp(one));
    renumber(world);
}

fn forget_what_is_over(world: &mut World) {
    let World { slaves, target, .. } = world;
    for slave in slaves {
        // The target gives no term for it.
        slave.agreed = slave.agreed.filter(|agreed| *agreed > target.master_sealed);
        if let Some(acting) = slave.acting.as_mut().filter(|acting| acting.term != target.sealed) {
            (acting.term, acting.popped) = (0, Some(0)); // the target takes nothing from it
        }
    }
    // Only whether something was agreed upon later matters, or will be.
    let candidates = world.slaves.iter().filter_map(|slave| match slave.candidate? {
        Candidate::Stands(agreed) => agreed,
        Candidate::Has { term, .. } | Candidate::Bound(term) => Some(term),
    });
    let late = world.late.iter().flatten().filter_map(|late| match late {
        Late::Vote { term, .. } => Some(*term),
        Late::Seal(claim) => claim.agreed,
        _ => None,
    });
    let is_before = |term: &u8| *term <= world.target.master_sealed;
    world.target.master_sealed = candidates.chain(late).filter(is_before).max().unwrap_or(0);
}

/// Late requests that change nothing any more, and never will, are as good as lost.
fn drop_spent(world: &mut World) {
    let World { master, slaves, target, confirmed, left, .. } = &*world;
    let is_open = |late: &Late| match late {
        Late::Seal(Claim { agreed, end, .. }) => {
            agreed.is_none_or(|agreed| agreed > target.master_sealed && *end >= target.end)
        }
        Late::HandOver { term, .. } => *term == target.sealed,
        Late::Merged(term) => target.facts.iter().flatten().any(|fact| fact.term < *term),
        Late::Follow(end) => usize::from(end.last) > confirmed.last(),
        Late::AskMerged(acts) => master.log.term() <= *acts,
        // A log does not get shorter, nor a promise, unless the disk is lost.
        Late::Vote { by, term, end } => {
            let other = &slaves[other_than(*by)];
            left.lost_disks > 0 || (other.log.end() <= *end && other.acts < Some(*term))
        }
        Late::Begin => true,
    };
    let mut late = world.late;
    late.iter_mut().filter(|late| late.is_some_and(|late| !is_open(&late))).for_each(|late| *late = None);
    for late in late.iter_mut().flatten() {
        if let Late::Seal(Claim { agreed: None, end, .. }) = late
            && *end <= target.end
        {
            *end = End::default();
        }
    }
    world.late = late;
}

fn renumber(world: &mut World) {
    let mut used = 1_u64 << world.target.sealed;
    for_each_term(world, |term| used |= 1 << *term);
    let before = |term: u8| (used & ((1 << term) - 1)).count_ones();
    for_each_term(world, |term| *term = u8::try_from(before(*term) + 1).unwrap_or(u8::MAX));
}

/// Has `f` see every term there is; 0 is none.
fn for_each_term(world: &mut World, mut f: impl FnMut(&mut u8)) {
    let World { master, slaves, target, late, confirmed, .. } = world;
    let mut f = |term: &mut u8| {
        if *term > 0 {
            f(term);
        }
    };
    let [first, second] = slaves;
    for log in [&mut master.log, &mut first.log, &mut second.log, confirmed] {
        log.entries_mut().for_each(|entry| f(&mut entry.term));
    }
    match master.turn.as_mut().map(|turn| &mut turn.stage) {
        Some(Stage::Sealed(term)) => f(term),
        Some(Stage::Listed(term, listed)) => {
            [term, &mut listed.latest, &mut listed.end.term].into_iter().for_each(&mut f);
        }
        Some(Stage::Begun) | None => {}
    }
    for slave in [first, second] {
        slave.acts.iter_mut().chain(&mut slave.agreed).for_each(&mut f);
        match &mut slave.awaited {
            Some(Answer::Next(Entry { term, .. }, _) | Answer::Over(term)) => f(term),
            None => {}
        }
        match &mut slave.candidate {
            Some(Candidate::Stands(agreed)) => agreed.iter_mut().for_each(&mut f),
            Some(Candidate::Has { term, .. } | Candidate::Bound(term)) => f(term),
            None => {}
        }
        slave.acting.iter_mut().for_each(|acting| f(&mut acting.term));
    }
    [&mut target.sealed, &mut target.master_sealed, &mut target.end.term].into_iter().for_each(&mut f);
    target.facts.iter_mut().flatten().for_each(|fact| f(&mut fact.term));
    for late in late.iter_mut().flatten() {
        match late {
            Late::Seal(claim) => claim.agreed.iter_mut().chain([&mut claim.end.term]).for_each(&mut f),
            Late::HandOver { term, .. } | Late::Merged(term) | Late::AskMerged(term) => f(term),
            Late::Follow(end) => f(&mut end.term),
            Late::Vote { term, end, .. } => [term, &mut end.term].into_iter().for_each(&mut f),
            Late::Begin => {}
        }
    }
}
