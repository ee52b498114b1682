//! What a chain waits for that does not end: the text behind an accusation, for whoever has to find out why.

use super::waiting;
use crate::{
    evidence::ChainState,
    ledger::{ChainLife, Ledger, biography::SimTime},
    plan::SimMs,
    report::chain::{failed, stands},
};

/// Where a chain stands, whom it needs, when that one last answered, and what failed last; in brackets, for none of it tells
/// one kind of failure from another.
pub(super) fn waits_for(ledger: &Ledger<'_>, life: &ChainLife<'_>) -> String {
    let mut told = vec![stands(life.last())];
    told.extend(needs(ledger, life));
    match life.last().latest.last() {
        Some(attempt) => told.push(format!("failed last by {}", failed(attempt))),
        None => told.push("no attempt has failed".into()),
    }
    format!("({})", told.join("; "))
}

/// The other broker without which it cannot go on.
fn needs(ledger: &Ledger<'_>, life: &ChainLife<'_>) -> Option<String> {
    let last = life.steps.last()?;
    let is_waiting = matches!(last.chain.state, ChainState::Open { .. } | ChainState::Moving { .. });
    let peer = Some(waiting::peer(life, last)).filter(|peer| is_waiting && *peer != life.node)?;
    let heard = waiting::last_answer_ms(ledger, life, last).and_then(|at_ms| SimMs::try_from(at_ms).ok());
    let when =
        heard.map_or_else(|| "which has never answered".into(), |ms| format!("which last answered {}", SimTime(ms)));
    Some(format!("needs {peer}, {when}"))
}

#[cfg(test)]
mod tests {
    use crate::oracles::fixture::Story;

    #[test]
    fn a_chain_that_does_not_end_says_where_it_stands_and_what_it_waits_for() {
        let (mut story, chain) = Story::popped();
        story.durable("a", vec![chain.open(story.now_ms + 10_000).fact()]);
        story.breaks("P4", "it never ends: open (open, next step");
        story.breaks("P4", "; no attempt has failed)");
        let (mut story, chain) = Story::popped();
        story.durable("b", vec![chain.open(story.now_ms + 10_000).fact()]);
        story.breaks("P4", "; needs a, which has never answered; no attempt has failed)");
    }
}
