//! A shorter run: the time after which everything heals.

use super::case::Case;
use crate::plan::{Fault, Moment, SimMs};

/// The case with an earlier end, the earliest first: when the last message was sent and the last fault is over, then
/// later ones.
pub fn shorter_run(case: &Case) -> Vec<Case> {
    let long = case.scenario.duration_ms;
    let sent = case.scenario.producers.iter().map(|producer| producer.from_ms + producer.over_ms).max();
    let over = case.plan.faults.iter().map(end_ms).max();
    let least = sent.max(over).unwrap_or(0).max(1_000).next_multiple_of(1_000);
    let between = |part: SimMs| least + long.saturating_sub(least) * part / 4;
    let mut ends: Vec<SimMs> = [least, least + 60_000, between(1), between(2), between(3)].into();
    ends.retain(|end| *end < long);
    ends.sort_unstable();
    ends.into_iter().map(|end| case.with(|scenario| scenario.duration_ms = end)).collect()
}

/// When a fault is over if that can be told.
fn end_ms(fault: &Fault) -> SimMs {
    match fault {
        Fault::Kill { when, down_ms: lasts, .. }
        | Fault::Crash { when, down_ms: lasts, .. }
        | Fault::Replace { when, down_ms: lasts, .. }
        | Fault::Stop { when, down_ms: lasts, .. }
        | Fault::Pause { when, for_ms: lasts, .. } => match when {
            Moment::At(at) => at + lasts,
            Moment::BeforeSync(_) | Moment::AfterSync(_) | Moment::OnRequest { .. } | Moment::OnAnswer { .. } => *lasts,
        },
        Fault::CrashLoop { when, times, up_ms, down_ms, .. } => match when {
            Moment::At(at) => at + times * (up_ms + down_ms),
            Moment::BeforeSync(_) | Moment::AfterSync(_) | Moment::OnRequest { .. } | Moment::OnAnswer { .. } => {
                *down_ms
            }
        },
        Fault::ClockStep { at_ms, .. } => at_ms + 1,
        other => other.clone().window_mut().map_or(0, |window| window.to_ms),
    }
}
