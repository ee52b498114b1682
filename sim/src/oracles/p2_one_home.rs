//! Part of P2: a chain has one home at a time, for two that decide on it revive it twice.
//!
//! Rule: whoever hands a chain over does nothing with it but ask that group again, know that it has it, or give up for not
//! knowing; once the chain has moved it stays so. A hand-over is counted: as often as the chain says at its new home.

use super::Findings;
use crate::{
    evidence::{ChainFact, ChainState, ParkReason},
    ledger::{ChainLife, Ledger},
};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for life in &ledger.chains {
        let stamp = || ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
        for pair in life.steps.windows(2) {
            if let Some(detail) = decides(pair[0].chain, pair[1].chain) {
                let detail = format!("{} hands it over and decides on it: {detail}", life.node);
                found.stamped(pair[1].at_ms, stamp(), format!("chain {}", life.id), detail);
            }
        }
        if let Some(detail) = miscounted(ledger, life) {
            found.stamped(life.steps[0].at_ms, stamp(), format!("chain {}", life.id), detail);
        }
    }
}

/// What it decides on a chain that is another group's, or may be.
fn decides(old: &ChainFact, new: &ChainFact) -> Option<String> {
    let stays = match (&old.state, &new.state) {
        // Whom the group's acting slave gave it to may be another one than the master was asking.
        (ChainState::Moving { .. }, ChainState::Moved { .. }) => true,
        (ChainState::Moved { to }, ChainState::Moved { to: now }) => to == now,
        (ChainState::Moved { .. }, _) => false,
        _ => match (asked(&old.state), asked(&new.state)) {
            (Some(to), Some(now)) => to == now,
            (Some(_), None) => matches!(new.state, ChainState::Moved { .. }),
            (None, _) => true,
        },
    };
    (!stays).then(|| format!("it was {:?} and is {:?}", old.state, new.state))
}

/// The group that may have it.
fn asked(state: &ChainState) -> Option<&str> {
    match state {
        ChainState::Moving { to, .. } | ChainState::Parked { reason: ParkReason::UnknownAt { broker: to }, .. } => {
            Some(to)
        }
        _ => None,
    }
}

/// A chain whose home counts other hand-overs than the group that its message comes from, or none.
fn miscounted(ledger: &Ledger<'_>, life: &ChainLife<'_>) -> Option<String> {
    let (giver, counted) = (&life.id.broker, life.steps[0].chain.hop);
    let ChainFact { state: ChainState::Moved { to }, hop, .. } = ledger.chain_at(giver, life.id)?.last() else {
        return None;
    };
    (to == life.node && (*hop != counted || counted == 0))
        .then(|| format!("at {} it counts {counted} hand-overs, at {giver} {hop}", life.node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::Outcome,
        oracles::fixture::{Story, chain},
    };

    fn state(number: usize) -> ChainState {
        let to = |name: &str| name.to_owned();
        match number {
            0 => ChainState::Moving { to: to("b"), due_ms: 5, revive_ms: 9 },
            1 => ChainState::Moved { to: to("b") },
            2 => ChainState::Parked { reason: ParkReason::UnknownAt { broker: to("b") }, at_ms: 7 },
            3 => ChainState::Open { due_ms: 9 },
            4 => ChainState::Ended { outcome: Outcome::Acked, at_ms: 7 },
            5 => ChainState::Moving { to: to("c"), due_ms: 5, revive_ms: 9 },
            6 => ChainState::Moved { to: to("c") },
            _ => ChainState::Parked { reason: ParkReason::Permanent, at_ms: 7 },
        }
    }

    #[test]
    fn whoever_hands_a_chain_over_no_longer_decides_on_it() {
        let may_follow = [
            (0, &[0, 1, 2, 6][..]),
            (1, &[1]),
            (2, &[0, 1, 2, 6]),
            (3, &[0, 1, 2, 3, 4, 5, 6, 7]),
            (7, &[0, 1, 2, 3, 4, 5, 6, 7]),
        ];
        for (old, allowed) in may_follow {
            for new in 0..8 {
                let step = |number| ChainFact { state: state(number), ..chain("t", 0, 5) };
                assert_eq!(decides(&step(old), &step(new)).is_none(), allowed.contains(&new), "{old} and then {new}");
            }
        }
    }

    #[test]
    fn it_is_blamed_in_a_run() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let moved = ChainFact { state: state(1), ..story.pop("t", 0, 1, 0) };
        story.durable("a", vec![moved.clone().fact()]).durable("a", vec![moved.ended(Outcome::Acked).fact()]);
        story.breaks("P2", "a hands it over and decides on it");
    }

    #[test]
    fn a_hand_over_is_counted_at_both_ends() {
        for (given, taken, blamed) in
            [(1, 1, None), (1, 2, Some("counts 2 hand-overs, at a 1")), (0, 0, Some("counts 0"))]
        {
            let mut story = Story::new();
            story.send(1, 0).wait(10);
            let popped = story.pop("t", 0, 1, 0);
            story.durable("b", vec![ChainFact { hop: taken, ..popped.clone() }.fact()]);
            story.durable("a", vec![ChainFact { hop: given, state: state(1), ..popped }.fact()]);
            let judged = story.judge().violations;
            let found = judged.iter().find(|it| it.promise == "P2" && it.detail.contains("hand-over"));
            assert_eq!(found.is_some(), blamed.is_some(), "{found:?}");
            assert!(blamed.is_none_or(|words| found.is_some_and(|it| it.detail.contains(words))), "{found:?}");
        }
    }
}
