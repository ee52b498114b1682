//! The faults, one file each, and how each one strikes.

mod answer;
mod armed;
mod bandwidth;
mod buggify;
pub(crate) mod clock_drift;
mod clock_step;
mod crash;
pub(crate) mod crash_loop;
pub(crate) mod damaged_answer;
mod delayed_request;
pub(crate) mod disk_error;
pub(crate) mod disk_full;
mod duplicate_request;
pub(crate) mod frozen_clock;
mod kill;
mod latency;
mod link;
pub(crate) mod lost_answer;
mod lost_request;
mod partition;
mod pause;
pub mod proof;
mod replace;
mod reset;
mod slow_close;
mod slow_disk;
pub(crate) mod slow_start;
mod stall;
mod stop;

pub(crate) use self::armed::Armed;
use self::crash_loop::CrashLoop;
use crate::{
    plan::{Damage, Hits, SimMs, Volume, Window},
    world::{Connection, Fate, NodeIndex, World, tap::FrameFacts},
};

/// Whether `now_ms` lies in `window`.
fn is_open(window: Window, now_ms: SimMs) -> bool {
    window.from_ms <= now_ms && now_ms < window.to_ms
}

/// Whether `hits` has the `nth` of what matches, which is now.
fn is_hit(hits: &Hits, nth: u64, now_ms: SimMs) -> bool {
    match hits {
        Hits::Nth(ordinals) => ordinals.contains(&nth),
        Hits::During(window) => is_open(*window, now_ms),
    }
}

/// A process fault or the edge of a window, ready to strike.
#[derive(Debug, Clone)]
pub(crate) struct Strike {
    fault: usize,
    blow: Blow,
}

#[derive(Debug, Clone)]
enum Blow {
    Kill(NodeIndex, SimMs),
    Crash(NodeIndex, SimMs),
    Replace(NodeIndex, SimMs, Volume),
    /// Of what a later `Replace` puts back.
    Snapshot(NodeIndex),
    Stop(NodeIndex, SimMs),
    Pause(NodeIndex, SimMs),
    ClockStep(NodeIndex, i64),
    DriftBegins(NodeIndex, i64),
    DriftEnds,
    LoopBegins(CrashLoop),
    /// Of this incarnation.
    LoopGoesOn(NodeIndex, u64),
    ClockStops(NodeIndex),
    ClockGoesOn,
    WindowOpens(&'static str),
    WindowCloses(&'static str),
}

impl Strike {
    /// Whether it is the beginning of something, and not the end of a window that is open.
    fn begins(&self) -> bool {
        !matches!(self.blow, Blow::DriftEnds | Blow::ClockGoesOn | Blow::WindowCloses(_))
    }

    /// Strikes, unless it has been forgone or the world was healed.
    pub(crate) fn land(self, world: &World) {
        if world.armed().is_healed() || world.armed().is_forgone(&self) {
            return;
        }
        let (struck, word, node, ms) = match self.blow {
            Blow::Kill(node, ms) => (kill::strike(world, node, ms), "kill", node, ms),
            Blow::Crash(node, ms) => (crash::strike(world, node, ms), "crash", node, ms),
            Blow::Replace(node, ms, volume) => (replace::strike(world, node, ms, volume), "replace", node, ms),
            Blow::Snapshot(node) => return world.take_snapshot(node),
            Blow::Stop(node, ms) => (stop::strike(world, node, ms), "stop", node, ms),
            Blow::Pause(node, ms) => (pause::strike(world, node, ms), "pause", node, ms),
            Blow::ClockStep(node, by_ms) => {
                clock_step::strike(world, node, by_ms);
                world.armed().struck(self.fault);
                let name = world.name(node);
                return world.tap_fault(Some(self.fault), &format!("clock-step: {name} by {by_ms} ms"));
            }
            Blow::DriftBegins(node, ppm) => return clock_drift::begin(world, self.fault, node, ppm),
            Blow::DriftEnds => return clock_drift::end(world, self.fault),
            Blow::LoopBegins(it) => return crash_loop::begin(world, self.fault, it),
            Blow::LoopGoesOn(node, incarnation) => return crash_loop::die_of(world, self.fault, node, incarnation),
            Blow::ClockStops(node) => return frozen_clock::begin(world, self.fault, node),
            Blow::ClockGoesOn => return frozen_clock::end(world, self.fault),
            Blow::WindowOpens(word) => return world.tap_fault(Some(self.fault), &format!("{word} begins")),
            Blow::WindowCloses(word) => {
                world.tap_fault(Some(self.fault), &format!("{word} ends"));
                return world.reset_holed();
            }
        };
        if struck {
            world.armed().struck(self.fault);
            world.tap_fault(Some(self.fault), &format!("{word}: {} for {ms} ms", world.name(node)));
        }
    }
}

/// What a network fault does to a request.
#[derive(Debug, Clone, Copy)]
enum Act {
    Duplicate,
    /// By so many ms.
    Delay(SimMs),
    LoseRequest,
    LoseAnswer,
    DamageAnswer(Damage),
    Answer(i32),
    Reset,
}

/// A request was hit by the fault at this position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    fault: usize,
    act: Act,
}

impl Verdict {
    /// Does to `request`, which leaves `side` of `connection`, what the plan says.
    pub(crate) fn strike(self, world: &World, connection: &Connection, side: usize, request: &FrameFacts) -> Fate {
        let word = match self.act {
            Act::LoseAnswer => return lost_answer::strike(self.fault),
            Act::DamageAnswer(damage) => return damaged_answer::strike(self.fault, damage),
            Act::Duplicate => "duplicate-request",
            Act::Delay(_) => "delayed-request",
            Act::LoseRequest => "lost-request",
            Act::Answer(_) => "answer",
            Act::Reset => "reset",
        };
        let FrameFacts { from, to, code, nth, .. } = request;
        world.armed().struck(self.fault);
        world.tap_fault(Some(self.fault), &format!("{word}: {from}→{to} request {code} (nth {nth})"));
        match self.act {
            Act::Duplicate => duplicate_request::strike(),
            Act::Delay(by_ms) => delayed_request::strike(by_ms),
            Act::LoseAnswer | Act::DamageAnswer(_) | Act::LoseRequest => lost_request::strike(),
            Act::Answer(code) => answer::strike(world, connection, side, request, code),
            Act::Reset => reset::strike(world, connection),
        }
    }
}
