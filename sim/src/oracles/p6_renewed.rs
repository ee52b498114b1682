//! Part of P6: only who holds a message makes it invisible for longer.
//!
//! Rule: a chain goes on under a new handle only after a renewal was asked for by the handle that it had. One that was asked for
//! by an older handle, which may come late or be repeated, hears what the first one came to, and changes nothing.

use rustc_hash::FxHashMap;

use super::Findings;
use crate::{
    evidence::{ChainState, Outcome},
    ledger::Ledger,
};

/// What a handle says, beside the broker's own numbers.
type Named<'l> = (&'l str, &'l str, i32, i64, &'l str, i64);

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut asked: FxHashMap<Named<'_>, usize> = FxHashMap::default();
    for it in &ledger.wire.renewals {
        let named: Named<'_> = (&it.broker, &it.topic, it.queue, it.offset, &it.group, it.pop_time);
        asked.entry(named).or_insert(it.call.event);
    }
    for life in &ledger.chains {
        let is_renewed =
            |state: &ChainState| matches!(state, ChainState::Ended { outcome: Outcome::Superseded(_), .. });
        let Some(renewed) = life.steps.iter().find(|step| is_renewed(&step.chain.state)) else { continue };
        let id = life.id;
        let named: Named<'_> = (&id.broker, &id.topic, id.queue, id.offset, &id.group, id.pop_time);
        if asked.get(&named).is_none_or(|event| *event > renewed.event) {
            let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
            let detail = format!("at {} it is renewed, and nobody asked for that by its handle", life.node);
            found.stamped(renewed.at_ms, stamp, format!("chain {id}"), detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{ChainFact, Outcome, frame::code},
        oracles::fixture::Story,
    };

    /// A renewal by the handle of this chain is asked for at `a`.
    fn asks(story: &mut Story, chain: &ChainFact) {
        let handle = format!("0 {} 10000 1001 0 a 0 0", chain.id.pop_time);
        let fields =
            [("consumerGroup", "g"), ("topic", "t"), ("queueId", "0"), ("offset", "0"), ("extraInfo", handle.as_str())];
        story.request("c", "a", code::CHANGE_INVISIBLE, &fields, b"");
        story.wait(10);
    }

    fn renewed(story: &mut Story, chain: &ChainFact) -> ChainFact {
        let mut by = chain.clone().open(story.now_ms + 10_000);
        by.id.pop_time += 10;
        by.generation += 1;
        let old = chain.clone().ended(Outcome::Superseded(by.id.clone()));
        story.durable("a", vec![old.fact(), by.clone().fact()]).wait(10);
        by
    }

    #[test]
    fn the_handle_that_a_message_has_renews_it() {
        let (mut story, first) = Story::popped();
        asks(&mut story, &first);
        let second = renewed(&mut story, &first);
        asks(&mut story, &second);
        renewed(&mut story, &second);
        assert!(!story.is_blamed("P6", "it is renewed"));
    }

    #[test]
    fn an_older_one_does_not_nor_does_one_that_comes_later() {
        let (mut story, first) = Story::popped();
        asks(&mut story, &first);
        let second = renewed(&mut story, &first);
        asks(&mut story, &first);
        renewed(&mut story, &second);
        asks(&mut story, &second);
        assert!(story.is_blamed("P6", "nobody asked for that by its handle"));
    }
}
