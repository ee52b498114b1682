//! P6, exclusive: a message is not handed out again before its invisible time has run, whatever anybody does to a clock.
//!
//! Rule: from the moment at which a chain was first durable anywhere to the moment at which its message is stored as a
//! copy, its invisible time passes, in simulated time, which no clock shows. A broker that follows its wall clock by
//! slewing may be a thousandth off.

use rustc_hash::FxHashMap;

use super::{Findings, Reads};
use crate::{
    evidence::{ChainId, ChainState, Outcome},
    ledger::Ledger,
    plan::SimMs,
};

/// Clocks count whole milliseconds, at the pop and at the revival.
const SLACK_MS: i64 = 5;

/// Of its invisible time, how much a message may come early: one part in so many. Twice the slew of one broker's clock,
/// for a chain may have two homes.
const SLEW: i64 = 500;

pub(super) fn check(ledger: &Ledger<'_>, _: &Reads<'_>, found: &mut Findings<'_>) {
    let mut opened: FxHashMap<&ChainId, SimMs> = FxHashMap::default();
    for life in &ledger.chains {
        let at_ms = life.steps[0].at_ms;
        opened.entry(life.id).and_modify(|first| *first = at_ms.min(*first)).or_insert(at_ms);
    }
    for life in &ledger.chains {
        let is_copied = |state: &ChainState| {
            matches!(state, ChainState::Ended { outcome: Outcome::Revived(_) | Outcome::DeadLettered(_), .. })
        };
        let Some(copied) = life.steps.iter().find(|step| is_copied(&step.chain.state)) else { continue };
        let passed = i64::try_from(copied.at_ms - opened[life.id]).unwrap_or(i64::MAX);
        let invisible = copied.chain.invisible_ms;
        if passed + SLACK_MS + invisible / SLEW < invisible {
            let detail = format!("at {} it comes back after {passed} ms, invisible for {invisible} ms", life.node);
            let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
            found.stamped(copied.at_ms, stamp, format!("chain {}", life.id), detail);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{CopyPlace, Outcome},
        oracles::fixture::Story,
    };

    /// Whether a message that is invisible for 10 s and comes back so much later is blamed.
    fn is_blamed(after_ms: u64) -> bool {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let mut chain = story.pop("t", 0, 1, 0);
        chain.invisible_ms = 10_000;
        story.wait(after_ms);
        let copy = CopyPlace { topic: "%RETRY%g_t".into(), queue: 0, offset: 0 };
        story.durable("a", vec![chain.ended(Outcome::Revived(copy)).fact()]);
        story.judge().violations.iter().any(|it| it.promise == "P6" && it.detail.contains("it comes back after"))
    }

    #[test]
    fn a_message_stays_invisible_as_long_as_it_was_promised() {
        assert!(!is_blamed(10_000) && !is_blamed(60_000));
        assert!(!is_blamed(9_976), "the clock was slewed");
        assert!(is_blamed(9_970) && is_blamed(10));
    }
}
