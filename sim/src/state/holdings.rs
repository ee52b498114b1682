//! What clients have in hand: messages that a consumer popped and has neither settled nor, as disks tell, lost; what became
//! of a producer's sends.

use std::collections::BTreeMap;

use super::standing::ends_its_life;
use crate::{
    evidence::{ChainFact, ChainState, frame::Handle},
    history::{Delivery, EventKind, History, Noted, Seen},
    ledger::{ChainLife, Ledger, Place, biography::SimTime},
    plan::SimMs,
    report::chain::stands,
};

/// A message in a consumer's hand.
struct Holding<'h> {
    since: SimMs,
    group: &'h str,
    broker: &'h str,
    delivery: &'h Delivery,
    /// Its last handle.
    handle: &'h str,
}

/// One line for each message that the consumer holds, in the order in which it got them.
pub(super) fn of_consumer(ledger: &Ledger<'_>, consumer: &str) -> Vec<String> {
    let lines = held(ledger.history, consumer).into_iter().filter_map(|it| {
        let chain = chain(ledger, &it);
        let is_over = chain.is_some_and(|chain| matches!(chain.state, ChainState::Ended { .. }));
        (!is_over).then(|| line(&it, chain))
    });
    lines.collect()
}

/// What it popped and, as far as it knows, is its to settle.
fn held<'h>(history: &'h History, consumer: &str) -> Vec<Holding<'h>> {
    let mut held: Vec<Holding<'h>> = Vec::new();
    for event in &history.events {
        match &event.kind {
            EventKind::Noted(Noted::Popped(popped)) if popped.consumer == consumer => {
                let Seen::Ok(deliveries) = &popped.seen else { continue };
                let (since, group, broker) = (event.at_ms, &*popped.group, &*popped.broker);
                let holding =
                    |delivery: &'h Delivery| Holding { since, group, broker, delivery, handle: &delivery.handle };
                held.extend(deliveries.iter().map(holding));
            }
            EventKind::Noted(Noted::Acked(acked))
                if acked.consumer == consumer && matches!(acked.seen, Seen::Ok(_)) =>
            {
                held.retain(|it| it.handle != acked.handle);
            }
            EventKind::Noted(Noted::Renewed(renewed)) if renewed.consumer == consumer => match &renewed.seen {
                Seen::Ok(Some(new)) => {
                    held.iter_mut().filter(|it| it.handle == renewed.handle).for_each(|it| it.handle = new);
                }
                Seen::Ok(None) => held.retain(|it| it.handle != renewed.handle),
                Seen::Refused { .. } | Seen::Unknown { .. } => {}
            },
            EventKind::Node { node, event } if node == consumer && ends_its_life(event) => held.clear(),
            _ => {}
        }
    }
    held
}

/// The state of the chain that the handle names: at its home, if it was handed over.
fn chain<'h>(ledger: &Ledger<'h>, holding: &Holding<'_>) -> Option<&'h ChainFact> {
    let Delivery { topic, queue, offset, .. } = holding.delivery;
    let handle = Handle::read(holding.handle)?;
    let spot = Place { node: handle.broker, topic, queue: *queue, offset: *offset, era: 0 };
    let lives = ledger.chains_at(spot, holding.group).filter(|life| life.id.pop_time == handle.pop_time);
    let is_home = |life: &&ChainLife<'_>| !matches!(life.last().state, ChainState::Moved { .. });
    lives.max_by_key(|life| (is_home(life), life.last().hop)).map(ChainLife::last)
}

fn line(holding: &Holding<'_>, chain: Option<&ChainFact>) -> String {
    let Holding { since, group, broker, delivery, .. } = holding;
    let Delivery { topic, queue, offset, reconsume, .. } = delivery;
    let stamp = delivery.ledger.as_ref().map_or("a message without stamp", |ledger| &ledger.0);
    let again = if *reconsume > 0 { format!(", revived {reconsume}×") } else { String::new() };
    let chain = chain.map_or_else(|| "no disk has its chain".into(), |chain| format!("its chain is {}", stands(chain)));
    format!("{stamp} from {topic}/{queue}/{offset} of {broker} for {group}{again}, popped {}; {chain}", SimTime(*since))
}

/// What became of a producer's sends, in words.
pub(super) fn of_producer(history: &History, producer: &str) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut last = None;
    for event in &history.events {
        let EventKind::Noted(Noted::Sent(sent)) = &event.kind else { continue };
        if sent.producer != producer {
            continue;
        }
        let became = match &sent.seen {
            Seen::Ok(_) => "stored",
            Seen::Refused { .. } => "refused",
            Seen::Unknown { .. } => "unknown",
        };
        *counts.entry(became).or_default() += 1;
        last = Some(&sent.ledger);
    }
    let counts: Vec<String> = counts.iter().map(|(became, count)| format!("{count} {became}")).collect();
    last.map_or_else(|| "nothing yet".into(), |last| format!("{}, the last one is {last}", counts.join(", ")))
}
