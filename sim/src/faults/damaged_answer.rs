//! Damaged answer: a request is served and its answer arrives as something else.
//!
//! Real world: a network card, a proxy or a switch's memory flips a bit behind TCP's back; or the peer itself is wrong,
//! its disk has damaged a message, or it is of a version that answers with other messages than were asked for.
//!
//! Simulator: the answer that leaves the server is replaced by one that has the planned damage, which the network's
//! protocol knows how to do. An answer that has nothing to damage, because it is empty or a refusal, arrives as it is, and
//! the fault has not struck. Observers see the answer that left, and are told of the damage.
//!
//! Cannot: damage a header, which nothing protects.

use crate::{
    plan::Damage,
    world::{Fate, Spoiling, Spoils, tap::FrameFacts},
};

pub(super) fn strike(fault: usize, damage: Damage) -> Fate {
    Fate::DeliverThen(Spoiling { fault, spoils: Spoils::Damages(damage) })
}

/// Tells which answer was damaged, and how.
pub(crate) fn describe(damage: Damage, answer: &FrameFacts) -> String {
    let FrameFacts { from, to, code, nth, request_code, .. } = answer;
    let (request, damage) = (request_code.unwrap_or_default(), damage.name());
    format!("damaged-answer ({damage}): {from}→{to} answers {code} to request {request} (nth {nth})")
}
