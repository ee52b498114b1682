//! Part of P4: a renewal gives a message all of its attempts anew, and forgets nothing that went wrong before.
//!
//! Rule: the chain that a renewed one goes on as begins in its round, with no attempt, with its failures, and renewed once more.

use super::Findings;
use crate::{
    evidence::{ChainFact, ChainState, Outcome},
    ledger::Ledger,
};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for life in &ledger.chains {
        let by = |state: &'_ ChainState| match state {
            ChainState::Ended { outcome: Outcome::Superseded(by), .. } => Some(by.clone()),
            _ => None,
        };
        let Some((old, by)) = life.steps.iter().find_map(|step| Some((step, by(&step.chain.state)?))) else { continue };
        let Some(new) = ledger.chain_at(life.node, &by).map(|life| &life.steps[0]) else { continue };
        for wrong in wrongs(old.chain, new.chain) {
            let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
            found.stamped(new.at_ms, stamp, format!("chain {by}"), format!("at {} {wrong}", life.node));
        }
    }
}

/// How a chain begins wrong that another goes on as.
fn wrongs(old: &ChainFact, new: &ChainFact) -> Vec<String> {
    let mut wrongs = Vec::new();
    if new.attempt != 0 {
        wrongs.push(format!("a renewed message begins with attempt {}", new.attempt));
    }
    if (new.failures, new.first_failed_ms) != (old.failures, old.first_failed_ms) || new.latest != old.latest {
        let (was, is) = (old.failures, new.failures);
        wrongs.push(format!("a renewed message begins with another history: {was} failures became {is}"));
    }
    if (new.round, new.generation) != (old.round, old.generation + 1) {
        let (was, is) = ((old.round, old.generation), (new.round, new.generation));
        wrongs.push(format!("a renewed message of round and generation {was:?} begins with {is:?}"));
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{ChainFact, Outcome},
        oracles::fixture::Story,
    };

    /// A chain that has failed once is renewed, and begins so.
    fn is_blamed(change: impl FnOnce(&mut ChainFact)) -> bool {
        let (mut story, chain) = Story::due();
        let failed = story.attempt(chain, 1_000);
        let mut by = failed.clone().attempt(0).open(story.wait(10).now_ms + 10_000);
        by.id.pop_time += 20_000;
        by.generation += 1;
        change(&mut by);
        story.durable("b", vec![failed.ended(Outcome::Superseded(by.id.clone())).fact(), by.fact()]);
        story.is_blamed("P4", "a renewed message")
    }

    #[test]
    fn a_renewed_message_has_all_its_attempts_and_its_history() {
        assert!(!is_blamed(|_| {}));
        assert!(is_blamed(|by| by.attempt = 1));
        assert!(is_blamed(|by| (by.failures, by.first_failed_ms, by.latest) = (0, None, Vec::new())));
        assert!(is_blamed(|by| by.first_failed_ms = None));
        assert!(is_blamed(|by| by.generation = 0) && is_blamed(|by| by.round = 1));
    }
}
