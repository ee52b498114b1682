//! The end of a run alone: it starts later, and what was sent, done or broken before does not happen.

use super::case::Case;
use crate::{
    plan::{Fault, Moment, SimMs, Window},
    scenario::{OperatorAction, OperatorStep, Producer},
};

/// Parts of the run that are left out, in 64ths; the longest first.
const PARTS: [SimMs; 6] = [60, 56, 48, 32, 16, 8];

/// Ends of the case, the shortest first.
pub fn later_start(case: &Case) -> Vec<Case> {
    let starts = PARTS.map(|part| case.scenario.duration_ms * part / 64 / 1_000 * 1_000);
    starts.into_iter().filter(|start| *start > 0).map(|start| from(case, start)).collect()
}

fn from(case: &Case, start_ms: SimMs) -> Case {
    let mut cut = case.with(|it| {
        it.duration_ms -= start_ms;
        it.producers = it.producers.iter().filter_map(|producer| sent_from(producer, start_ms)).collect();
        it.operators = it.operators.iter().filter_map(|step| done_from(step, start_ms)).collect();
    });
    cut.plan.faults = case.plan.faults.iter().filter_map(|fault| broken_from(fault, start_ms)).collect();
    cut
}

/// A producer's messages from then on; `None` when there are none.
fn sent_from(producer: &Producer, start_ms: SimMs) -> Option<Producer> {
    let Producer { messages, from_ms, over_ms, burst, .. } = *producer;
    let bursts = SimMs::from(messages.div_ceil(burst.max(1)));
    let skipped = (bursts * start_ms.saturating_sub(from_ms)).div_ceil(over_ms).min(bursts);
    let messages = messages.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX).saturating_mul(burst));
    let from_ms = (from_ms + over_ms * skipped / bursts).saturating_sub(start_ms);
    let over_ms = (over_ms * (bursts - skipped) / bursts).max(1);
    (messages > 0).then(|| Producer { messages, from_ms, over_ms, ..producer.clone() })
}

fn done_from(step: &OperatorStep, start_ms: SimMs) -> Option<OperatorStep> {
    let mut step = step.clone();
    step.at_ms = step.at_ms.checked_sub(start_ms)?;
    if let OperatorAction::ResetOffset { to_ms: Some(to_ms), .. } = &mut step.action {
        *to_ms = to_ms.saturating_sub(start_ms);
    }
    Some(step)
}

/// What a fault breaks from then on; `None` when it is nothing.
fn broken_from(fault: &Fault, start_ms: SimMs) -> Option<Fault> {
    let mut fault = fault.clone();
    match &mut fault {
        Fault::Kill { when, .. }
        | Fault::Crash { when, .. }
        | Fault::CrashLoop { when, .. }
        | Fault::Replace { when, .. }
        | Fault::Stop { when, .. }
        | Fault::Pause { when, .. } => match when {
            Moment::At(at_ms) => *at_ms = at_ms.checked_sub(start_ms)?,
            Moment::BeforeSync(_) | Moment::AfterSync(_) | Moment::OnRequest { .. } | Moment::OnAnswer { .. } => {}
        },
        // A clock that was set stays so.
        Fault::ClockStep { at_ms, .. } => *at_ms = at_ms.saturating_sub(start_ms),
        other => {
            if let Some(window) = other.window_mut() {
                *window = later(*window, start_ms)?;
            }
        }
    }
    Some(fault)
}

fn later(window: Window, start_ms: SimMs) -> Option<Window> {
    let to_ms = window.to_ms.checked_sub(start_ms).filter(|to_ms| *to_ms > 0)?;
    Some(Window { from_ms: window.from_ms.saturating_sub(start_ms), to_ms })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{plan::Hits, scenario::Scenario};

    #[test]
    fn an_end_has_what_happens_from_its_start() {
        let text = "summary = 'x'\nduration = '64m'\n[[broker]]\nname = 'a'\n[[topic]]\nname = 't'\n\
                    [[producer]]\nname = 'p'\ntopic = 't'\nmessages = 60\nover = '1h'\nburst = 2\n\
                    [[producer]]\nname = 'q'\ntopic = 't'\nmessages = 9\nfrom = '1m'\nover = '9m'\n\
                    [[fault]]\nkind = 'kill'\nnode = 'a'\nat = '7m'\ndown = '5m'\n\
                    [[fault]]\nkind = 'lost-answer'\nat = '31m'\nfor = '2m'\n\
                    [[operator]]\nat = '40m'\ndo = 'resume-parked'\n";
        let case = Case::of(&Scenario::parse("x", "x.toml", text).unwrap(), 1);
        let ends = later_start(&case);
        let lengths: Vec<SimMs> = ends.iter().map(|it| it.scenario.duration_ms / 60_000).collect();
        assert_eq!(lengths, [4, 8, 16, 32, 48, 56]);
        let half = &ends[3];
        half.run(None).unwrap();
        let producers: Vec<_> =
            half.scenario.producers.iter().map(|it| (it.messages, it.from_ms, it.over_ms)).collect();
        assert_eq!(producers, [(28, 0, 1_680_000)]);
        let [Fault::LostAnswer { rpcs }] = &half.plan.faults[..] else { panic!("{:?}", half.plan) };
        assert_eq!(rpcs.hits, Hits::During(Window { from_ms: 0, to_ms: 60_000 }));
        assert_eq!(half.scenario.operators[0].at_ms, 480_000);
    }
}
