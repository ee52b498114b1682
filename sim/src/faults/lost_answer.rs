//! Lost answer: a request is served and its answer never arrives.
//!
//! Real world: the same losses as a request's, on the way back; the caller cannot know whether its request was applied.
//!
//! Simulator: the request is delivered; the response with its opaque on its connection is dropped when it leaves the
//! server. The fault counts as struck then, for a request that is never answered lost nothing.
//!
//! Cannot: hit one-way requests, which have no answer.

use crate::world::{Fate, Spoiling, Spoils, tap::FrameFacts};

pub(super) fn strike(fault: usize) -> Fate {
    Fate::DeliverThen(Spoiling { fault, spoils: Spoils::Loses })
}

/// Tells which answer was lost.
pub(crate) fn describe(answer: &FrameFacts) -> String {
    let FrameFacts { from, to, code, nth, request_code, .. } = answer;
    let request = request_code.unwrap_or_default();
    format!("lost-answer: {from}→{to} answers {code} to request {request} (nth {nth})")
}
