//! What may be forgotten: a chain that is over, not before it was so for the broker's window, counted by the broker's own
//! clock; and once it is forgotten it never begins anew there, however late its hand-over is repeated.

use super::Findings;
use crate::{
    evidence::ChainState,
    ledger::{Forgetting, Ledger},
};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for forgetting in &ledger.forgotten {
        let life = ledger.chain_at(forgetting.node, forgetting.id);
        let stored = life.and_then(|life| ledger.stored(&life.origin()));
        let stamp = stored.and_then(|it| it.message.ledger.as_ref());
        if let Err(detail) = judge(ledger, forgetting) {
            let subject = format!("chain {} at {}", forgetting.id, forgetting.node);
            found.stamped(ledger.at_ms(forgetting.event), stamp, subject, detail);
        }
    }
}

fn judge(ledger: &Ledger<'_>, forgetting: &Forgetting<'_>) -> Result<(), String> {
    let Forgetting { event, node, entry, id } = *forgetting;
    let life = ledger.chain_at(node, id).ok_or("it is forgotten and never was there")?;
    let known = life.steps.partition_point(|step| step.event < event);
    let Some(last) = known.checked_sub(1).map(|at| &life.steps[at]) else {
        return Err("it is forgotten before it was there".into());
    };
    if !matches!(last.chain.state, ChainState::Moved { .. } | ChainState::Ended { .. }) {
        return Err(format!("it is forgotten, and was {:?}", last.chain.state));
    }
    let (over_ms, window_ms) = (entry.at_ms - last.entry.at_ms, window_ms(ledger, node));
    if window_ms.is_none_or(|window_ms| over_ms < window_ms) {
        return Err(format!("it is forgotten {over_ms} ms after it was over, the window is {window_ms:?}"));
    }
    match life.steps.get(known) {
        Some(again) => Err(format!("it was forgotten and is {:?} again", again.chain.state)),
        None => Ok(()),
    }
}

fn window_ms(ledger: &Ledger<'_>, node: &str) -> Option<i64> {
    let window_ms = ledger.obligations.chain_windows_ms.get(node)?;
    Some(i64::try_from(*window_ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{ChainFact, Fact},
        oracles::fixture::{Story, chain},
    };

    /// `a` has a chain, popped and acked, and knows it for 60 s after that.
    fn over() -> (Story, ChainFact) {
        let mut story = Story::new();
        story.obligations.chain_windows_ms.insert("a".into(), 60_000);
        story.send(1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        story.absorb(&chain, 1, 0);
        (story, chain)
    }

    fn forget<'s>(story: &'s mut Story, chain: &ChainFact) -> &'s mut Story {
        story.durable("a", vec![Fact::Forgotten { chains: vec![chain.id.clone()] }])
    }

    #[test]
    fn what_was_over_for_the_window_may_be_forgotten() {
        let (mut story, chain) = over();
        forget(story.wait(60_000), &chain);
        assert!(story.holds().reached.contains("forgotten"));
    }

    #[test]
    fn it_may_not_be_forgotten_earlier() {
        let (mut story, chain) = over();
        forget(story.wait(59_999), &chain);
        story.breaks("P2", "it is forgotten 59999 ms after it was over");
    }

    #[test]
    fn what_lives_may_not_be_forgotten() {
        let (mut story, _) = over();
        let live = chain("t", 0, story.now_ms + 1);
        story.durable("a", vec![live.clone().fact()]);
        forget(story.wait(90_000), &live);
        story.breaks("P2", "it is forgotten, and was Open");
    }

    #[test]
    fn what_was_forgotten_does_not_begin_anew() {
        let (mut story, chain) = over();
        forget(story.wait(60_000), &chain).durable("a", vec![chain.clone().fact()]);
        story.breaks("P2", "it was forgotten and is Open");
    }
}
