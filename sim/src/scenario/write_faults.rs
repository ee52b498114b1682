//! From a [`FaultSpec`] back to the `[[fault]]` table that reads as the same.

use super::faults::{Draw, FaultKind, FaultSpec, HitsSpec, MomentSpec, RpcsSpec, VolumeSpec, WindowSpec};
use super::lines::{Lines, list, quoted, time};
use super::wire_names::{ANSWERS, REQUESTS};
use crate::plan::NodeName;

pub(super) fn fault(lines: &mut Lines, fault: &FaultSpec, remark: &str) {
    let FaultSpec { name, repeat, what } = fault;
    lines.table("[[fault]]", remark);
    lines.maybe("name", name.as_ref(), quoted);
    lines.unless(&Draw::exactly(1), "repeat", repeat, count);
    match what {
        FaultKind::Kill { node, when, down } => process(lines, "kill", (node, when), ("down", down)),
        FaultKind::Crash { node, when, down } => process(lines, "crash", (node, when), ("down", down)),
        FaultKind::Replace { node, when, down, volume } => {
            process(lines, "replace", (node, when), ("down", down));
            match volume {
                VolumeSpec::Kept => {}
                VolumeSpec::Lost => lines.key("loses_disk", true),
                VolumeSpec::AsOf(at) => lines.key("disk_as_of", span(at)),
            }
        }
        FaultKind::CrashLoop { node, when, times, up, down, loses_power } => {
            process(lines, "crash-loop", (node, when), ("down", down));
            lines.key("times", count(times));
            lines.key("up", span(up));
            lines.unless(&false, "loses_power", loses_power, bool::to_string);
        }
        FaultKind::Stop { node, when, down } => process(lines, "stop", (node, when), ("down", down)),
        FaultKind::Pause { node, when, lasts } => process(lines, "pause", (node, when), ("for", lasts)),
        FaultKind::ClockStep { node, at, by, back } => {
            kind(lines, "clock-step");
            lines.key("node", quoted(node));
            lines.key("at", span(at));
            lines.key("by", span(by));
            lines.unless(&false, "back", back, bool::to_string);
        }
        FaultKind::Partition { from, to, one_way, window: when } => {
            kind(lines, "partition");
            lines.key("between", list([from, to].map(|side| list(side.iter().map(quoted)))));
            lines.unless(&false, "one_way", one_way, bool::to_string);
            window(lines, when);
        }
        FaultKind::Latency { from, to, window: when, min_ms, max_ms } => {
            kind(lines, "latency");
            ends(lines, from.as_ref(), to.as_ref());
            lines.key("min", time(min_ms));
            lines.key("max", time(max_ms));
            window(lines, when);
        }
        FaultKind::ClockDrift { node, window: when, ppm, back } => {
            kind(lines, "clock-drift");
            lines.key("node", quoted(node));
            lines.key("ppm", count(ppm));
            lines.unless(&false, "back", back, bool::to_string);
            window(lines, when);
        }
        FaultKind::FrozenClock { node, window: when } => {
            kind(lines, "frozen-clock");
            lines.key("node", quoted(node));
            window(lines, when);
        }
        FaultKind::Buggify { node, site, hits: which } => {
            kind(lines, "buggify");
            lines.key("node", quoted(node));
            lines.key("site", quoted(site));
            hits(lines, which);
        }
        FaultKind::DiskError { node, operation, hits: which } => {
            kind(lines, "disk-error");
            lines.key("node", quoted(node));
            lines.key("operation", quoted(operation.name()));
            hits(lines, which);
        }
        FaultKind::DiskFull { node, window: when } => {
            kind(lines, "disk-full");
            lines.key("node", quoted(node));
            window(lines, when);
        }
        FaultKind::SlowDisk { node, window: when, min_ms, max_ms } => {
            kind(lines, "slow-disk");
            lines.key("node", quoted(node));
            lines.key("min", time(min_ms));
            lines.key("max", time(max_ms));
            window(lines, when);
        }
        FaultKind::SlowStart { node, window: when, min_ms, max_ms } => {
            kind(lines, "slow-start");
            lines.key("node", quoted(node));
            lines.key("min", time(min_ms));
            lines.key("max", time(max_ms));
            window(lines, when);
        }
        FaultKind::Stall { from, to, window: when } => {
            kind(lines, "stall");
            ends(lines, from.as_ref(), to.as_ref());
            window(lines, when);
        }
        FaultKind::SlowClose { from, to, window: when } => {
            kind(lines, "slow-close");
            ends(lines, from.as_ref(), to.as_ref());
            window(lines, when);
        }
        FaultKind::Bandwidth { from, to, window: when, bytes_per_second } => {
            kind(lines, "bandwidth");
            ends(lines, from.as_ref(), to.as_ref());
            lines.key("bytes_per_second", count(bytes_per_second));
            window(lines, when);
        }
        FaultKind::DuplicateRequest { rpcs: which } => rpcs(lines, "duplicate-request", which),
        FaultKind::DelayedRequest { by, rpcs: which } => {
            rpcs(lines, "delayed-request", which);
            lines.key("by", span(by));
        }
        FaultKind::Reset { rpcs: which } => rpcs(lines, "reset", which),
        FaultKind::LostRequest { rpcs: which } => rpcs(lines, "lost-request", which),
        FaultKind::LostAnswer { rpcs: which } => rpcs(lines, "lost-answer", which),
        FaultKind::Answer { code, rpcs: which } => {
            rpcs(lines, "answer", which);
            lines.key("code", named(*code, ANSWERS));
        }
        FaultKind::DamagedAnswer { damage, rpcs: which } => {
            rpcs(lines, "damaged-answer", which);
            lines.key("damage", quoted(damage.name()));
        }
    }
}

fn kind(lines: &mut Lines, word: &str) {
    lines.key("kind", quoted(word));
}

fn process(lines: &mut Lines, word: &str, (node, when): (&NodeName, &MomentSpec), (key, lasts): (&str, &Draw)) {
    kind(lines, word);
    lines.key("node", quoted(node));
    match when {
        MomentSpec::At(at) => lines.key("at", span(at)),
        MomentSpec::BeforeSync(nth) => lines.key("before_sync", count(nth)),
        MomentSpec::AfterSync(nth) => lines.key("after_sync", count(nth)),
        MomentSpec::OnRequest { from, to, code, nth } => lines.key("on", frame(from, to, *code, nth)),
        MomentSpec::OnAnswer { from, to, code, nth } => lines.key("on_answer", frame(from, to, *code, nth)),
    }
    lines.key(key, span(lasts));
}

fn frame(from: &Option<NodeName>, to: &Option<NodeName>, code: Option<i32>, nth: &Draw) -> String {
    let from = from.as_ref().map(|node| format!("from = {}", quoted(node)));
    let to = to.as_ref().map(|node| format!("to = {}", quoted(node)));
    let rpc = code.map(|code| format!("rpc = {}", named(code, REQUESTS)));
    let nth = format!("nth = {}", count(nth));
    format!("{{ {} }}", rpc.into_iter().chain(from).chain(to).chain([nth]).collect::<Vec<_>>().join(", "))
}

fn rpcs(lines: &mut Lines, word: &str, rpcs: &RpcsSpec) {
    let RpcsSpec { from, to, code, hits } = rpcs;
    kind(lines, word);
    lines.maybe("rpc", *code, |code| named(code, REQUESTS));
    ends(lines, from.as_ref(), to.as_ref());
    self::hits(lines, hits);
}

fn hits(lines: &mut Lines, hits: &HitsSpec) {
    match hits {
        HitsSpec::Nth(ordinals) => lines.key("nth", list(ordinals.iter().map(u64::to_string))),
        HitsSpec::Pick { pick, of } => lines.key("nth", format!("{{ pick = {pick}, of = {of} }}")),
        HitsSpec::During(when) => window(lines, when),
    }
}

fn ends(lines: &mut Lines, from: Option<&NodeName>, to: Option<&NodeName>) {
    lines.maybe("from", from, quoted);
    lines.maybe("to", to, quoted);
}

fn window(lines: &mut Lines, window: &WindowSpec) {
    let WindowSpec { begins, lasts } = window;
    lines.key("at", span(begins));
    lines.key("for", span(lasts));
}

/// A time, or a range of times.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "keys are written by reference")]
fn span(draw: &Draw) -> String {
    drawn(draw, |ms| time(&ms))
}

/// A number, or a range of numbers.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "keys are written by reference")]
fn count(draw: &Draw) -> String {
    drawn(draw, |number| number.to_string())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "keys are written by reference")]
fn drawn(draw: &Draw, shown: impl Fn(u64) -> String) -> String {
    let Draw { from, to } = *draw;
    if from == to { shown(from) } else { format!("{{ from = {}, to = {} }}", shown(from), shown(to)) }
}

/// A code by its name if it has one, else by its number.
fn named(code: i32, names: &[(&str, i32)]) -> String {
    names.iter().find(|(_, known)| *known == code).map_or_else(|| code.to_string(), |(name, _)| quoted(name))
}
