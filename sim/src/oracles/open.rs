//! Whether a handle that a client holds is of a chain that waits.

use crate::{
    evidence::{ChainFact, ChainState, Outcome, frame::Handle},
    ledger::{ChainLife, Ledger, Place},
    plan::SimMs,
};

/// The chain of a client's handle, or the one that it was renewed as, that is open all the time from before a request until
/// its answer has come: whoever asks about it cannot be told that there is none, or that it is over.
pub(super) fn open_throughout(
    ledger: &Ledger<'_>,
    (handle, group): (&str, &str),
    (began_ms, answered): (SimMs, usize),
) -> Option<String> {
    let began = ledger.history.events.partition_point(|event| event.at_ms < began_ms);
    let is_open = |life: &ChainLife<'_>, at| ledger.confirmed_before(life, at).is_some_and(is_open);
    let is_open_throughout = |life: &ChainLife<'_>| is_open(life, began) && is_open(life, answered);
    let open = lives(ledger, handle, group).into_iter().find_map(|life| {
        if is_open_throughout(life) {
            return Some(life);
        }
        let ChainState::Ended { outcome: Outcome::Superseded(by), .. } = &ledger.confirmed_before(life, began)?.state
        else {
            return None;
        };
        ledger.chain_at(life.node, by).filter(|successor| is_open_throughout(successor))
    });
    open.map(|life| life.id.to_string())
}

const fn is_open(chain: &ChainFact) -> bool {
    matches!(chain.state, ChainState::Open { .. })
}

/// The chain of a handle, on all disks.
fn lives<'s, 'h>(ledger: &'s Ledger<'h>, handle: &str, group: &str) -> Vec<&'s ChainLife<'h>> {
    let Some((handle, group)) = Handle::read(handle).zip(ledger.group(group)) else { return Vec::new() };
    let topic = handle.real_topic(&group.name, &group.topic);
    let place = Place { node: handle.broker, topic: &topic, queue: handle.queue, offset: handle.offset, era: 0 };
    ledger.chains_at(place, &group.name).filter(|life| life.id.pop_time == handle.pop_time).collect()
}
