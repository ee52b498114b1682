//! A plan, armed: resolved to node indices, with the counters that say when each fault is due.

use super::{
    Act, Blow, Strike, Verdict,
    bandwidth::Bandwidth,
    buggify::Buggify,
    clock_drift::Drifting,
    crash_loop::CrashLoop,
    disk_error::DiskError,
    disk_full::DiskFull,
    frozen_clock::Standing,
    is_hit, is_open,
    latency::Latency,
    link::{Held, Link},
    partition::Partition,
    slow_disk::SlowDisk,
    slow_start::SlowStart,
};
use crate::{
    plan::{Fault, Hits, Moment, Plan, Rpcs, SimMs, Volume, Window},
    world::{CrashKind, NodeIndex, StopSignal},
};

/// Which requests, by node index, and how many of them have left.
#[derive(Debug)]
struct Matcher {
    from: Option<NodeIndex>,
    to: Option<NodeIndex>,
    code: Option<i32>,
    seen: u64,
}

impl Matcher {
    /// Counts the request when it matches; gives its ordinal among those that did.
    fn count(&mut self, from: NodeIndex, to: NodeIndex, code: i32) -> Option<u64> {
        let matches = self.from.is_none_or(|f| f == from)
            && self.to.is_none_or(|t| t == to)
            && self.code.is_none_or(|c| c == code);
        self.seen += u64::from(matches);
        matches.then_some(self.seen)
    }
}

/// A disk sync at which something strikes.
#[derive(Debug)]
struct OnSync {
    node: NodeIndex,
    nth: u64,
    after: bool,
    strike: Strike,
}

/// The plan, resolved to node indices, with its counters.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    strikes: Vec<u64>,
    pub(super) healed: bool,
    /// Cancelled once all is healed.
    over: StopSignal,
    /// What had not begun never will.
    forgone: bool,
    rpcs: Vec<(Matcher, Hits, Verdict)>,
    on_request: Vec<(Matcher, u64, Strike)>,
    on_answer: Vec<(Matcher, u64, Strike)>,
    on_sync: Vec<OnSync>,
    partitions: Vec<Partition>,
    latencies: Vec<Latency>,
    pub(super) stalls: Vec<Held>,
    pub(super) slow_closes: Vec<Held>,
    pub(super) bandwidths: Vec<Bandwidth>,
    pub(super) disk_errors: Vec<DiskError>,
    pub(super) full_disks: Vec<DiskFull>,
    pub(super) slow_disks: Vec<SlowDisk>,
    pub(super) slow_starts: Vec<SlowStart>,
    pub(super) sites: Vec<Buggify>,
    /// The crash loops that have begun and go on, with their faults.
    pub(super) loops: Vec<(usize, CrashLoop)>,
    /// The clocks that drift now.
    pub(super) drifting: Vec<Drifting>,
    /// The clocks that stand still now.
    pub(super) standing: Vec<Standing>,
    /// What lasts from a time to a time, with its name.
    windows: Vec<(usize, &'static str, Window)>,
}

impl Armed {
    /// Arms `plan`; `index` gives the index of a node by name. Returns with it what strikes at a time.
    pub(crate) fn new(plan: &Plan, mut index: impl FnMut(&str) -> NodeIndex) -> (Self, Vec<(SimMs, Strike)>) {
        let mut armed = Self { strikes: vec![0; plan.faults.len()], ..Self::default() };
        let mut schedule = Vec::new();
        for (position, fault) in plan.faults.iter().enumerate() {
            armed.arm(position, fault, &mut index, &mut schedule);
        }
        (armed, schedule)
    }

    fn arm(
        &mut self,
        fault: usize,
        planned: &Fault,
        index: &mut impl FnMut(&str) -> NodeIndex,
        schedule: &mut Vec<(SimMs, Strike)>,
    ) {
        match planned {
            Fault::Kill { node, when, down_ms } => {
                let node = index(node);
                self.arm_process(fault, node, when, Blow::Kill(node, *down_ms), index, schedule);
            }
            Fault::Crash { node, when, down_ms } => {
                let node = index(node);
                self.arm_process(fault, node, when, Blow::Crash(node, *down_ms), index, schedule);
            }
            Fault::Replace { node, when, down_ms, volume } => {
                let node = index(node);
                if let Volume::AsOf(at_ms) = volume {
                    schedule.push((*at_ms, Strike { fault, blow: Blow::Snapshot(node) }));
                }
                let blow = Blow::Replace(node, *down_ms, *volume);
                self.arm_process(fault, node, when, blow, index, schedule);
            }
            Fault::Stop { node, when, down_ms } => {
                let node = index(node);
                self.arm_process(fault, node, when, Blow::Stop(node, *down_ms), index, schedule);
            }
            Fault::Pause { node, when, for_ms } => {
                let node = index(node);
                self.arm_process(fault, node, when, Blow::Pause(node, *for_ms), index, schedule);
            }
            Fault::CrashLoop { node, when, times, up_ms, down_ms, loses_power } => {
                let kind = if *loses_power { CrashKind::PowerLoss } else { CrashKind::Kill };
                let node = index(node);
                let it = CrashLoop { node, times: *times, up_ms: *up_ms, down_ms: *down_ms, kind };
                self.arm_process(fault, node, when, Blow::LoopBegins(it), index, schedule);
            }
            Fault::ClockStep { node, at_ms, by_ms } => {
                let blow = Blow::ClockStep(index(node), *by_ms);
                schedule.push((*at_ms, Strike { fault, blow }));
            }
            Fault::ClockDrift { node, window, ppm } => {
                let begins = Blow::DriftBegins(index(node), *ppm);
                schedule.push((window.from_ms, Strike { fault, blow: begins }));
                schedule.push((window.to_ms, Strike { fault, blow: Blow::DriftEnds }));
            }
            Fault::FrozenClock { node, window } => {
                schedule.push((window.from_ms, Strike { fault, blow: Blow::ClockStops(index(node)) }));
                schedule.push((window.to_ms, Strike { fault, blow: Blow::ClockGoesOn }));
            }
            Fault::DiskError { node, operation, hits } => {
                let (node, operation, hits) = (index(node), *operation, hits.clone());
                if let Hits::During(window) = hits {
                    self.schedule_window(fault, "disk-error", window, schedule);
                }
                self.disk_errors.push(DiskError { fault, node, operation, hits, seen: 0 });
            }
            Fault::DiskFull { node, window } => {
                self.full_disks.push(DiskFull { fault, node: index(node), window: *window });
                self.schedule_window(fault, "disk-full", *window, schedule);
            }
            Fault::SlowDisk { node, window, min_ms, max_ms } => {
                let (node, window, min_ms, max_ms) = (index(node), *window, *min_ms, *max_ms);
                self.slow_disks.push(SlowDisk { fault, node, window, min_ms, max_ms });
                self.schedule_window(fault, "slow-disk", window, schedule);
            }
            Fault::SlowStart { node, window, min_ms, max_ms } => {
                let (node, window, min_ms, max_ms) = (index(node), *window, *min_ms, *max_ms);
                self.slow_starts.push(SlowStart { fault, node, window, min_ms, max_ms });
                self.schedule_window(fault, "slow-start", window, schedule);
            }
            Fault::Buggify { node, site, hits } => {
                if let Hits::During(window) = hits {
                    self.schedule_window(fault, "buggify", *window, schedule);
                }
                let (node, site, hits) = (index(node), site.clone(), hits.clone());
                self.sites.push(Buggify { fault, node, site, hits, seen: 0 });
            }
            Fault::Bandwidth { from, to, window, bytes_per_second } => {
                let link = Link::new((from.as_deref(), to.as_deref()), *window, index);
                self.bandwidths.push(Bandwidth { fault, link, bytes_per_second: *bytes_per_second });
                self.schedule_window(fault, "bandwidth", *window, schedule);
            }
            Fault::Partition { from, to, one_way, window } => {
                let (from, to) = (from.iter().map(|n| index(n)).collect(), to.iter().map(|n| index(n)).collect());
                self.partitions.push(Partition { fault, from, to, one_way: *one_way, window: *window });
                self.schedule_window(fault, "partition", *window, schedule);
            }
            Fault::Latency { from, to, window, min_ms, max_ms } => {
                let link = Link::new((from.as_deref(), to.as_deref()), *window, index);
                self.latencies.push(Latency { fault, link, min_ms: *min_ms, max_ms: *max_ms });
                self.schedule_window(fault, "latency", *window, schedule);
            }
            Fault::Stall { from, to, window } => {
                self.stalls.push(Held { fault, link: Link::new((from.as_deref(), to.as_deref()), *window, index) });
                self.schedule_window(fault, "stall", *window, schedule);
            }
            Fault::SlowClose { from, to, window } => {
                self.slow_closes
                    .push(Held { fault, link: Link::new((from.as_deref(), to.as_deref()), *window, index) });
                self.schedule_window(fault, "slow-close", *window, schedule);
            }
            Fault::Reset { rpcs } => self.arm_rpcs(fault, rpcs, Act::Reset, index),
            Fault::DuplicateRequest { rpcs } => self.arm_rpcs(fault, rpcs, Act::Duplicate, index),
            Fault::DelayedRequest { by_ms, rpcs } => self.arm_rpcs(fault, rpcs, Act::Delay(*by_ms), index),
            Fault::LostRequest { rpcs } => self.arm_rpcs(fault, rpcs, Act::LoseRequest, index),
            Fault::LostAnswer { rpcs } => self.arm_rpcs(fault, rpcs, Act::LoseAnswer, index),
            Fault::DamagedAnswer { damage, rpcs } => self.arm_rpcs(fault, rpcs, Act::DamageAnswer(*damage), index),
            Fault::Answer { code, rpcs } => self.arm_rpcs(fault, rpcs, Act::Answer(*code), index),
        }
    }

    fn arm_process(
        &mut self,
        fault: usize,
        node: NodeIndex,
        when: &Moment,
        blow: Blow,
        index: &mut impl FnMut(&str) -> NodeIndex,
        schedule: &mut Vec<(SimMs, Strike)>,
    ) {
        let strike = Strike { fault, blow };
        match when {
            Moment::At(at_ms) => schedule.push((*at_ms, strike)),
            Moment::BeforeSync(nth) => self.on_sync.push(OnSync { node, nth: *nth, after: false, strike }),
            Moment::AfterSync(nth) => self.on_sync.push(OnSync { node, nth: *nth, after: true, strike }),
            Moment::OnRequest { from, to, code, nth } => {
                let matcher = matcher(from.as_deref(), to.as_deref(), *code, index);
                self.on_request.push((matcher, *nth, strike));
            }
            Moment::OnAnswer { from, to, code, nth } => {
                let matcher = matcher(from.as_deref(), to.as_deref(), *code, index);
                self.on_answer.push((matcher, *nth, strike));
            }
        }
    }

    fn arm_rpcs(&mut self, fault: usize, rpcs: &Rpcs, act: Act, index: &mut impl FnMut(&str) -> NodeIndex) {
        let matcher = matcher(rpcs.from.as_deref(), rpcs.to.as_deref(), rpcs.code, index);
        self.rpcs.push((matcher, rpcs.hits.clone(), Verdict { fault, act }));
    }

    /// Counts a request that leaves now. Gives the first network fault of the plan that hits it, and what strikes then.
    pub(crate) fn judge(
        &mut self,
        now_ms: SimMs,
        from: NodeIndex,
        to: NodeIndex,
        code: i32,
    ) -> (Option<Verdict>, Vec<Strike>) {
        if self.healed {
            return (None, Vec::new());
        }
        let mut verdict = None;
        for (matcher, hits, hit) in &mut self.rpcs {
            let Some(nth) = matcher.count(from, to, code) else { continue };
            if is_hit(hits, nth, now_ms) {
                verdict = verdict.or(Some(*hit));
            }
        }
        (verdict, due(&mut self.on_request, from, to, code))
    }

    /// Counts an answer that is about to leave `from`. Gives what strikes before it does.
    pub(crate) fn answers(&mut self, from: NodeIndex, to: NodeIndex, code: i32) -> Vec<Strike> {
        if self.healed { Vec::new() } else { due(&mut self.on_answer, from, to, code) }
    }

    /// Forgets what has not begun by now; a window that is open goes on to its end.
    pub(crate) fn forgo(&mut self, now_ms: SimMs) {
        let is_open = |window: &Window| is_open(*window, now_ms);
        let goes_on = |hits: &Hits| matches!(hits, Hits::During(window) if is_open(window));
        self.rpcs.retain(|(_, hits, _)| goes_on(hits));
        self.disk_errors.retain(|it| goes_on(&it.hits));
        self.sites.retain(|it| goes_on(&it.hits));
        self.on_request.clear();
        self.on_answer.clear();
        self.on_sync.clear();
        self.loops.clear();
        self.partitions.retain(|it| is_open(&it.window));
        self.latencies.retain(|it| is_open(&it.link.window));
        self.stalls.retain(|it| is_open(&it.link.window));
        self.slow_closes.retain(|it| is_open(&it.link.window));
        self.bandwidths.retain(|it| is_open(&it.link.window));
        self.full_disks.retain(|it| is_open(&it.window));
        self.slow_disks.retain(|it| is_open(&it.window));
        self.slow_starts.retain(|it| is_open(&it.window));
        self.windows.retain(|(.., window)| is_open(window));
        self.forgone = true;
    }

    /// Whether what strikes at a time was forgotten before it did.
    pub(super) fn is_forgone(&self, strike: &Strike) -> bool {
        let goes_on = || self.windows.iter().any(|(fault, ..)| *fault == strike.fault);
        let drifts = || self.drifting.iter().any(|it| it.is_of(strike.fault));
        let stands = || self.standing.iter().any(|it| it.is_of(strike.fault));
        self.forgone && (strike.begins() || !(goes_on() || drifts() || stands()))
    }

    /// What is cancelled once all is healed.
    pub(crate) fn over(&self) -> StopSignal {
        self.over.clone()
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.healed
    }

    /// Counts that a fault struck.
    pub(crate) fn struck(&mut self, fault: usize) {
        self.strikes[fault] += 1;
    }

    /// Whether the fault still spoils answers; counts the one it spoils.
    pub(crate) fn spoil_answer(&mut self, fault: usize) -> bool {
        if !self.healed {
            self.strikes[fault] += 1;
        }
        !self.healed
    }

    /// Whether a partition lies between.
    pub(crate) fn is_cut(&self, now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> bool {
        !self.healed && self.partitions.iter().any(|partition| partition.cuts(now_ms, from, to))
    }

    /// Whether a partition swallows what passes now; counts it.
    pub(crate) fn swallows(&mut self, now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> bool {
        if self.healed {
            return false;
        }
        let cut = self.partitions.iter().find(|partition| partition.cuts(now_ms, from, to));
        if let Some(partition) = cut {
            self.strikes[partition.fault] += 1;
        }
        cut.is_some()
    }

    /// The span a frame's latency is drawn from when a fault slows it; counts it.
    pub(crate) fn slow(&mut self, now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> Option<(SimMs, SimMs)> {
        if self.healed {
            return None;
        }
        let latency = self.latencies.iter().find(|latency| latency.link.is_hit(now_ms, from, to))?;
        self.strikes[latency.fault] += 1;
        Some((latency.min_ms, latency.max_ms))
    }

    pub(crate) fn before_sync(&self, node: NodeIndex, sync_no: u64) -> Vec<Strike> {
        self.at_sync(node, sync_no, false)
    }

    pub(crate) fn after_sync(&self, node: NodeIndex, sync_no: u64) -> Vec<Strike> {
        self.at_sync(node, sync_no, true)
    }

    fn at_sync(&self, node: NodeIndex, sync_no: u64, after: bool) -> Vec<Strike> {
        let due = self.on_sync.iter().filter(|on| on.node == node && on.nth == sync_no && on.after == after);
        due.map(|on| on.strike.clone()).collect()
    }

    /// The windows that are open, with what to say when they end.
    pub(crate) fn open_windows(&self, now_ms: SimMs) -> Vec<(usize, String)> {
        if self.healed {
            return Vec::new();
        }
        let open = self.windows.iter().filter(|(.., window)| is_open(*window, now_ms));
        open.map(|(fault, word, _)| (*fault, format!("{word} ends"))).collect()
    }

    fn schedule_window(
        &mut self,
        fault: usize,
        word: &'static str,
        window: Window,
        schedule: &mut Vec<(SimMs, Strike)>,
    ) {
        self.windows.push((fault, word, window));
        schedule.push((window.from_ms, Strike { fault, blow: Blow::WindowOpens(word) }));
        schedule.push((window.to_ms, Strike { fault, blow: Blow::WindowCloses(word) }));
    }

    /// Ends all faults; false when they had been ended before.
    pub(crate) fn heal(&mut self) -> bool {
        !std::mem::replace(&mut self.healed, true)
    }

    pub(crate) fn unfired(&self) -> Vec<usize> {
        let unfired = self.strikes.iter().enumerate().filter(|(_, strikes)| **strikes == 0);
        unfired.map(|(fault, _)| fault).collect()
    }

    pub(crate) fn fired(&self, fault: usize) -> u64 {
        self.strikes.get(fault).copied().unwrap_or(0)
    }
}

/// Counts a frame; gives what waits for it.
fn due(waiting: &mut [(Matcher, u64, Strike)], from: NodeIndex, to: NodeIndex, code: i32) -> Vec<Strike> {
    let mut strikes = Vec::new();
    for (matcher, wanted, strike) in waiting {
        if matcher.count(from, to, code) == Some(*wanted) {
            strikes.push(strike.clone());
        }
    }
    strikes
}

fn matcher(
    from: Option<&str>,
    to: Option<&str>,
    code: Option<i32>,
    index: &mut impl FnMut(&str) -> NodeIndex,
) -> Matcher {
    Matcher { from: from.map(&mut *index), to: to.map(index), code, seen: 0 }
}
