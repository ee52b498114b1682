//! The beginning of a run alone: nothing is sent, done or broken after its new end.

use super::case::Case;
use crate::{
    plan::{Fault, Moment, SimMs, Window},
    scenario::{OperatorStep, Producer},
};

/// Parts of the run that are tried, in 64ths; the shortest first, which are also the cheapest.
const PARTS: [SimMs; 7] = [1, 2, 4, 8, 16, 32, 48];

/// Beginnings of the case, the shortest first.
pub fn earlier_end(case: &Case) -> Vec<Case> {
    let ends = PARTS.map(|part| (case.scenario.duration_ms * part / 64).next_multiple_of(1_000));
    let ends = ends.into_iter().filter(|end| (1_000..case.scenario.duration_ms).contains(end));
    ends.map(|end| until(case, end)).collect()
}

fn until(case: &Case, end_ms: SimMs) -> Case {
    let mut cut = case.with(|it| {
        // Steps after the end of the workload are there on purpose: they keep their distance from it.
        let left_out_ms = it.duration_ms - end_ms;
        let step = |step: OperatorStep| match step.at_ms {
            at_ms if at_ms >= it.duration_ms => OperatorStep { at_ms: at_ms - left_out_ms, ..step },
            _ => step,
        };
        let steps: Vec<OperatorStep> = it.operators.drain(..).map(step).collect();
        it.operators = steps;
        it.duration_ms = end_ms;
        it.producers = it.producers.iter().filter_map(|producer| sent_until(producer, end_ms)).collect();
    });
    cut.plan.faults = case.plan.faults.iter().filter_map(|fault| broken_until(fault, end_ms)).collect();
    cut
}

/// A producer's messages of that time, each sent when it was sent before; `None` when there are none.
fn sent_until(producer: &Producer, end_ms: SimMs) -> Option<Producer> {
    let burst = producer.burst.max(1);
    let bursts = SimMs::from(producer.messages.div_ceil(burst));
    let time_ms = end_ms.checked_sub(producer.from_ms)?.min(producer.over_ms);
    let kept = bursts * time_ms / producer.over_ms;
    let messages = u32::try_from(kept).unwrap_or(u32::MAX).saturating_mul(burst).min(producer.messages);
    let over_ms = (producer.over_ms * kept / bursts).max(1);
    (messages > 0).then(|| Producer { messages, over_ms, ..producer.clone() })
}

/// What a fault breaks in that time; `None` when it is nothing.
fn broken_until(fault: &Fault, end_ms: SimMs) -> Option<Fault> {
    let mut fault = fault.clone();
    let is_left = match &mut fault {
        Fault::Kill { when, down_ms: lasts_ms, .. }
        | Fault::Crash { when, down_ms: lasts_ms, .. }
        | Fault::CrashLoop { when, down_ms: lasts_ms, .. }
        | Fault::Replace { when, down_ms: lasts_ms, .. }
        | Fault::Stop { when, down_ms: lasts_ms, .. }
        | Fault::Pause { when, for_ms: lasts_ms, .. } => match when {
            Moment::At(at_ms) => {
                *lasts_ms = (*lasts_ms).min(end_ms.saturating_sub(*at_ms));
                *lasts_ms > 0
            }
            Moment::BeforeSync(_) | Moment::AfterSync(_) | Moment::OnRequest { .. } | Moment::OnAnswer { .. } => true,
        },
        Fault::ClockStep { at_ms, .. } => *at_ms < end_ms,
        other => other.window_mut().is_none_or(|window| is_cut(window, end_ms)),
    };
    is_left.then_some(fault)
}

/// Ends the window by then; says whether anything is left of it.
fn is_cut(window: &mut Window, end_ms: SimMs) -> bool {
    window.to_ms = window.to_ms.min(end_ms);
    window.from_ms < window.to_ms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn a_beginning_has_what_happens_before_its_end() {
        let text = "summary = 'x'\nduration = '64m'\n[[broker]]\nname = 'a'\n[[topic]]\nname = 't'\n\
                    [[producer]]\nname = 'p'\ntopic = 't'\nmessages = 60\nover = '1h'\n\
                    [[producer]]\nname = 'q'\ntopic = 't'\nmessages = 9\nfrom = '30m'\nover = '9m'\n\
                    [[fault]]\nkind = 'kill'\nnode = 'a'\nat = '7m'\ndown = '5m'\n\
                    [[fault]]\nkind = 'lost-answer'\nat = '9m'\nfor = '1m'\n\
                    [[operator]]\nat = '65m'\ndo = 'resume-parked'\n";
        let case = Case::of(&Scenario::parse("x", "x.toml", text).unwrap(), 1);
        let beginnings = earlier_end(&case);
        let ends: Vec<SimMs> = beginnings.iter().map(|it| it.scenario.duration_ms / 60_000).collect();
        assert_eq!(ends, [1, 2, 4, 8, 16, 32, 48]);
        let eight = &beginnings[3];
        eight.run(None).unwrap();
        let producers: Vec<_> = eight.scenario.producers.iter().map(|it| (it.messages, it.over_ms)).collect();
        assert_eq!(producers, [(8, 480_000)]);
        let kill = Fault::Kill { node: "a".into(), when: Moment::At(420_000), down_ms: 60_000 };
        assert_eq!(eight.plan.faults, [kill]);
        assert_eq!(eight.scenario.operators[0].at_ms, 540_000);
    }
}
