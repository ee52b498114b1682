//! Fewer messages of each producer.

use super::{case::Case, smaller::counts};
use crate::{plan::SimMs, scenario::Producer};

/// How many places in a producer's time are tried for what is kept of it.
const PLACES: u64 = 2;

/// The case with fewer messages of one producer, the fewest first: from its beginning, and from later places.
pub fn fewer_messages(case: &Case) -> Vec<Case> {
    let mut fewer = Vec::new();
    for (at, producer) in case.scenario.producers.iter().enumerate() {
        fewer.extend(kept(producer).map(|kept| (kept.messages, case.with(|it| it.producers[at] = kept.clone()))));
    }
    fewer.sort_by_key(|(messages, _)| *messages);
    fewer.into_iter().map(|(_, case)| case).collect()
}

/// Parts of a producer's messages, each sent when it was sent before: what is kept of the slots keeps their length.
fn kept(producer: &Producer) -> impl Iterator<Item = Producer> {
    let bursts = u64::from(producer.messages.div_ceil(producer.burst.max(1)));
    let spans = counts(bursts, 1).flat_map(move |keep| {
        let mut skips: Vec<u64> = (0..=PLACES).map(|place| (bursts - keep) * place / PLACES).collect();
        skips.dedup();
        skips.into_iter().map(move |skip| (skip, keep))
    });
    let parts = spans.map(move |(skip, keep)| part(producer, bursts, skip, keep));
    let one_burst = (bursts == 1).then(|| counts(producer.messages.into(), 1)).into_iter().flatten();
    let fewer_at_once = one_burst
        .map(|messages| Producer { messages: u32::try_from(messages).unwrap_or(u32::MAX), ..producer.clone() });
    parts.chain(fewer_at_once)
}

fn part(producer: &Producer, bursts: u64, skip: u64, keep: u64) -> Producer {
    let after = |bursts_done: u64| producer.over_ms.saturating_mul(bursts_done) / bursts;
    let left = u64::from(producer.messages) - skip * u64::from(producer.burst);
    let messages = left.min(keep * u64::from(producer.burst));
    let (from_ms, over_ms): (SimMs, SimMs) = (producer.from_ms + after(skip), after(keep).max(1));
    Producer { messages: u32::try_from(messages).unwrap_or(u32::MAX), from_ms, over_ms, ..producer.clone() }
}
