//! Planned faults in words, and what became of them.

use std::{borrow::Cow, time::Duration};

use pop_revive::remoting::code::{request, response};

use crate::{
    history::EventKind,
    plan::{Fault, Hits, Moment, NodeName, Rpcs, SimMs, Volume, Window},
    run::Outcome,
};

/// One planned fault and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// What was planned, with all that the seed has drawn.
    pub planned: String,
    /// What was planned, without what the seed has drawn; the same in all seeds.
    pub kind: String,
    /// Whether it struck.
    pub fired: bool,
    /// How often, in words.
    pub times: String,
}

/// What became of every fault of a run's plan, in its order.
#[must_use]
pub fn fates(outcome: &Outcome) -> Vec<Fate> {
    let faults = outcome.plan.faults.iter().enumerate();
    faults
        .map(|(index, fault)| {
            let fired = !outcome.unfired.contains(&index);
            Fate { planned: describe(fault), kind: kind(fault), fired, times: times(outcome, index, fired) }
        })
        .collect()
}

fn times(outcome: &Outcome, index: usize, fired: bool) -> String {
    let is_of_it = |kind: &EventKind| match kind {
        EventKind::Fault { index: Some(which), text } => *which == index && is_strike(text),
        _ => false,
    };
    match outcome.history.events.iter().filter(|event| is_of_it(&event.kind)).count() {
        _ if !fired => "never fired".into(),
        0 => "fired".into(), // silence and slowness strike without a word
        1 => "fired once".into(),
        n => format!("fired {n} times"),
    }
}

/// Whether what is told of a fault is a strike: the beginning and the end of a window are told too.
pub(super) fn is_strike(text: &str) -> bool {
    edge(text).is_none()
}

/// An end of the window of a fault that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// From now on it may strike.
    Begins,
    /// From now on it does not.
    Ends,
}

/// Which end of its window is told of a fault, if one is.
pub(crate) fn edge(text: &str) -> Option<Edge> {
    match text {
        text if text.ends_with(" begins") => Some(Edge::Begins),
        text if text.ends_with(" ends") => Some(Edge::Ends),
        _ => None,
    }
}

/// A fault in one line, for example `kill broker-a at 5m, down for 2m`.
#[must_use]
pub fn describe(fault: &Fault) -> String {
    let head = head(fault);
    match fault {
        Fault::Kill { when, down_ms, .. }
        | Fault::Crash { when, down_ms, .. }
        | Fault::Replace { when, down_ms, .. }
        | Fault::Stop { when, down_ms, .. } => {
            format!("{head} {}, down for {}", moment(when), span(*down_ms))
        }
        Fault::CrashLoop { when, times, up_ms, down_ms, .. } => {
            let (up, down) = (span(*up_ms), span(*down_ms));
            format!("{head} {times} times {}, up for at most {up}, down for {down}", moment(when))
        }
        Fault::Pause { when, for_ms, .. } => format!("{head} {}, for {}", moment(when), span(*for_ms)),
        Fault::ClockStep { at_ms, by_ms, .. } => {
            format!("{head} by {} at {}", span(by_ms.unsigned_abs()), span(*at_ms))
        }
        Fault::ClockDrift { ppm, window, .. } => {
            format!("{head} by {} ppm {}", ppm.unsigned_abs(), during(window))
        }
        Fault::DiskError { hits, .. } | Fault::Buggify { hits, .. } => format!("{head} {}", which(hits)),
        Fault::Partition { window, .. }
        | Fault::DiskFull { window, .. }
        | Fault::FrozenClock { window, .. }
        | Fault::Stall { window, .. }
        | Fault::SlowClose { window, .. } => format!("{head} {}", during(window)),
        Fault::Bandwidth { window, bytes_per_second, .. } => {
            format!("{head} to {bytes_per_second} bytes per second {}", during(window))
        }
        Fault::DelayedRequest { by_ms, rpcs } => format!("{head} {}, by {}", which(&rpcs.hits), span(*by_ms)),
        Fault::Latency { window, min_ms, max_ms, .. }
        | Fault::SlowDisk { window, min_ms, max_ms, .. }
        | Fault::SlowStart { window, min_ms, max_ms, .. } => {
            format!("{head} of {} to {} {}", span(*min_ms), span(*max_ms), during(window))
        }
        Fault::Reset { rpcs }
        | Fault::DuplicateRequest { rpcs }
        | Fault::LostRequest { rpcs }
        | Fault::LostAnswer { rpcs }
        | Fault::Answer { rpcs, .. }
        | Fault::DamagedAnswer { rpcs, .. } => format!("{head} {}", which(&rpcs.hits)),
    }
}

fn which(hits: &Hits) -> String {
    match hits {
        Hits::Nth(ordinals) => {
            let ordinals: Vec<String> = ordinals.iter().map(u64::to_string).collect();
            format!("number {}", ordinals.join(", "))
        }
        Hits::During(window) => during(window),
    }
}

/// A fault without what a seed draws: times, ordinals, lengths.
#[must_use]
pub fn kind(fault: &Fault) -> String {
    let head = head(fault);
    match fault {
        Fault::Kill { when, .. }
        | Fault::Crash { when, .. }
        | Fault::CrashLoop { when, .. }
        | Fault::Replace { when, .. }
        | Fault::Stop { when, .. }
        | Fault::Pause { when, .. } => match when {
            Moment::At(_) => format!("{head} at a time"),
            Moment::BeforeSync(_) => format!("{head} before a sync"),
            Moment::AfterSync(_) => format!("{head} after a sync"),
            Moment::OnRequest { from, to, code, .. } => {
                format!("{head} when {} leaves", requests(from.as_ref(), to.as_ref(), *code))
            }
            Moment::OnAnswer { from, to, code, .. } => {
                format!("{head} when {} is about to leave", answers(from.as_ref(), to.as_ref(), *code))
            }
        },
        _ => head,
    }
}

fn head(fault: &Fault) -> String {
    match fault {
        Fault::Kill { node, .. } => format!("kill {node}"),
        Fault::Crash { node, .. } => format!("crash {node}"),
        Fault::CrashLoop { node, loses_power: false, .. } => format!("kill {node} again and again"),
        Fault::CrashLoop { node, loses_power: true, .. } => format!("crash {node} again and again"),
        Fault::Replace { node, volume: Volume::Kept, .. } => format!("replace {node}"),
        Fault::Replace { node, volume: Volume::Lost, .. } => format!("replace {node} without its disk"),
        Fault::Replace { node, volume: Volume::AsOf(at_ms), .. } => {
            format!("replace {node} with its disk as of {}", span(*at_ms))
        }
        Fault::Stop { node, .. } => format!("stop {node}"),
        Fault::Pause { node, .. } => format!("pause {node}"),
        Fault::ClockStep { node, by_ms, .. } => {
            format!("set the clock of {node} {}", if *by_ms < 0 { "back" } else { "forward" })
        }
        Fault::ClockDrift { node, ppm, .. } => {
            format!("the clock of {node} goes too {}", if *ppm < 0 { "slowly" } else { "fast" })
        }
        Fault::FrozenClock { node, .. } => format!("stop the clocks of {node}"),
        Fault::DiskError { node, operation, .. } => format!("fail {} of {node}", operation.name()),
        Fault::Buggify { node, site, .. } => format!("have {site} happen at {node}"),
        Fault::DiskFull { node, .. } => format!("fill the disk of {node}"),
        Fault::SlowStart { node, .. } => format!("slow starts of {node}"),
        Fault::SlowDisk { node, .. } => format!("slow syncs of {node}"),
        Fault::Partition { from, to, one_way, .. } => {
            let arrow = if *one_way { "→" } else { "↔" };
            format!("partition {}{arrow}{}", from.join("+"), to.join("+"))
        }
        Fault::Latency { from, to, .. } => format!("latency {}→{}", node(from.as_ref()), node(to.as_ref())),
        Fault::SlowClose { from, to, .. } => format!("slow closings {}→{}", node(from.as_ref()), node(to.as_ref())),
        Fault::Stall { from, to, .. } => format!("hold up {}→{}", node(from.as_ref()), node(to.as_ref())),
        Fault::Bandwidth { from, to, .. } => format!("limit {}→{}", node(from.as_ref()), node(to.as_ref())),
        Fault::DuplicateRequest { rpcs } => format!("duplicate {}", matching(rpcs)),
        Fault::DelayedRequest { rpcs, .. } => format!("delay {}", matching(rpcs)),
        Fault::Reset { rpcs } => format!("reset {}", matching(rpcs)),
        Fault::LostRequest { rpcs } => format!("lose {}", matching(rpcs)),
        Fault::LostAnswer { rpcs } => format!("lose the answer to {}", matching(rpcs)),
        Fault::Answer { code, rpcs } => format!("answer {} to {}", response::name(*code), matching(rpcs)),
        Fault::DamagedAnswer { damage, rpcs } => format!("damage ({}) the answer to {}", damage.name(), matching(rpcs)),
    }
}

fn moment(moment: &Moment) -> String {
    match moment {
        Moment::At(at) => format!("at {}", span(*at)),
        Moment::BeforeSync(nth) => format!("before its sync {nth}"),
        Moment::AfterSync(nth) => format!("after its sync {nth}"),
        Moment::OnRequest { from, to, code, nth } => {
            format!("when {} number {nth} leaves", requests(from.as_ref(), to.as_ref(), *code))
        }
        Moment::OnAnswer { from, to, code, nth } => {
            format!("when {} number {nth} is about to leave", answers(from.as_ref(), to.as_ref(), *code))
        }
    }
}

fn matching(rpcs: &Rpcs) -> String {
    requests(rpcs.from.as_ref(), rpcs.to.as_ref(), rpcs.code)
}

fn requests(from: Option<&NodeName>, to: Option<&NodeName>, code: Option<i32>) -> String {
    let code = code.map_or(Cow::Borrowed("request"), request::name);
    format!("{code} {}→{}", node(from), node(to))
}

fn answers(from: Option<&NodeName>, to: Option<&NodeName>, code: Option<i32>) -> String {
    let code = code.map_or(Cow::Borrowed("request"), request::name);
    format!("the answer to {code} {}→{}", node(from), node(to))
}

fn node(node: Option<&NodeName>) -> &str {
    node.map_or("any", String::as_str)
}

fn during(window: &Window) -> String {
    format!("from {} to {}", span(window.from_ms), span(window.to_ms))
}

/// A length of time as a person writes it.
pub(crate) fn span(ms: SimMs) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_like_a_sentence() {
        let kill = Fault::Kill { node: "broker-a".into(), when: Moment::At(303_020), down_ms: 60_000 };
        assert_eq!(describe(&kill), "kill broker-a at 5m 3s 20ms, down for 1m");
        assert_eq!(kind(&kill), "kill broker-a at a time");
        let rpcs = Rpcs { from: Some("broker-b".into()), to: None, code: Some(11), hits: Hits::Nth(vec![3, 7]) };
        let lost = Fault::LostAnswer { rpcs };
        assert_eq!(describe(&lost), "lose the answer to PULL_MESSAGE broker-b→any number 3, 7");
        assert_eq!(kind(&lost), "lose the answer to PULL_MESSAGE broker-b→any");
    }
}
