//! From a `[[fault]]` table to a [`FaultSpec`]: which keys its kind has, whom it names, whether its times fit.

use std::ops::{Range, RangeInclusive};

use super::check::Names;
use super::error::Problem;
use super::faults::{Draw, FaultKind, FaultSpec, HitsSpec, MomentSpec, RpcsSpec, VolumeSpec, WindowSpec};
use super::file::{FaultEntry, KindEntry, OnEntry};
use super::findings::{Findings, Zero, spell};
use super::shapes::{Located, Nodes, Ordinals};
use super::sites::SITES;
use super::wire_names::{ANSWERS, REQUESTS};
use crate::evidence::frame::code;
use crate::plan::{DiskOperation, NodeName, SimMs};

/// Ordinals beyond this are never reached.
const ORDINALS: RangeInclusive<u64> = 1..=1_000_000;

/// Who goes down more often does nothing else.
const TIMES: RangeInclusive<u64> = 1..=1_000;

/// A clock that is wrong by more than a tenth is no clock.
const PPM: RangeInclusive<u64> = 1..=100_000;

/// Less would carry no frame before the run is over.
const BYTES_PER_SECOND: RangeInclusive<u64> = 64..=1_000_000_000;

/// One entry with all that is needed to judge it.
struct Entry<'e, 'f, 't> {
    f: &'e mut Findings<'f>,
    raw: &'e FaultEntry,
    span: Range<usize>,
    names: &'t Names,
    end_ms: SimMs,
}

/// Checks one entry; `None` after a report that leaves nothing to go on with.
pub(super) fn check_fault(
    f: &mut Findings<'_>,
    entry: &Located<FaultEntry>,
    names: &Names,
    end_ms: SimMs,
) -> Option<FaultSpec> {
    let raw = entry.get();
    let mut entry = Entry { f, raw, span: raw.kind.span(), names, end_ms };
    entry.foreign_keys();
    let name = raw.name.as_ref().map(|name| entry.f.name("fault.name", "fault name", name));
    let repeat =
        raw.repeat.as_ref().map_or(Draw::exactly(1), |repeat| entry.f.count_draw("fault.repeat", repeat, 0..=1_000));
    Some(FaultSpec { name, repeat, what: entry.what()? })
}

impl Entry<'_, '_, '_> {
    fn kind(&self) -> KindEntry {
        *self.raw.kind.get()
    }

    fn words(&self) -> String {
        match self.kind() {
            KindEntry::Answer => "an answer fault".to_owned(),
            kind => format!("a {} fault", kind.word()),
        }
    }

    fn foreign_keys(&mut self) {
        for (key, span) in self.raw.present() {
            if !self.kind().keys().contains(&key) {
                let accepted = ["kind", "name", "repeat"].iter().chain(self.kind().keys()).copied().collect();
                let entry = self.words();
                self.f.report(&format!("fault.{key}"), span, Problem::NotForKind { entry, key, accepted });
            }
        }
    }

    /// Reports that something is absent, at the `kind` of the entry.
    fn missing<T>(&mut self, key: &str) -> Option<T> {
        let problem = Problem::Missing { entry: self.words(), key: key.to_owned() };
        self.f.report("fault", self.span.clone(), problem);
        None
    }

    fn what(&mut self) -> Option<FaultKind> {
        Some(match self.kind() {
            KindEntry::Kill => {
                let (node, when, down) = self.process()?;
                FaultKind::Kill { node, when, down }
            }
            KindEntry::Crash => {
                let (node, when, down) = self.process()?;
                FaultKind::Crash { node, when, down }
            }
            KindEntry::Stop => {
                let (node, when, down) = self.process()?;
                FaultKind::Stop { node, when, down }
            }
            KindEntry::CrashLoop => self.crash_loop()?,
            KindEntry::Replace => self.replace()?,
            KindEntry::Pause => {
                let (node, when, lasts) = self.process()?;
                FaultKind::Pause { node, when, lasts }
            }
            KindEntry::ClockStep => self.clock_step()?,
            KindEntry::ClockDrift => self.clock_drift()?,
            KindEntry::FrozenClock => {
                let (node, window) = (self.node(), self.window());
                FaultKind::FrozenClock { node: node?, window: window? }
            }
            KindEntry::DiskError => self.disk_error()?,
            KindEntry::DiskFull => {
                let (node, window) = (self.disk(), self.window());
                FaultKind::DiskFull { node: node?, window: window? }
            }
            KindEntry::SlowDisk => self.slow_disk()?,
            KindEntry::SlowStart => self.slow_start()?,
            KindEntry::Buggify => self.buggify()?,
            KindEntry::Partition => self.partition()?,
            KindEntry::Latency => self.latency()?,
            KindEntry::Reset => FaultKind::Reset { rpcs: self.rpcs()? },
            KindEntry::Stall => {
                let (from, to) = (self.end("fault.from", &self.raw.from), self.end("fault.to", &self.raw.to));
                FaultKind::Stall { from, to, window: self.window()? }
            }
            KindEntry::SlowClose => {
                let (from, to) = (self.end("fault.from", &self.raw.from), self.end("fault.to", &self.raw.to));
                FaultKind::SlowClose { from, to, window: self.window()? }
            }
            KindEntry::Bandwidth => self.bandwidth()?,
            KindEntry::DuplicateRequest => FaultKind::DuplicateRequest { rpcs: self.rpcs()? },
            KindEntry::DelayedRequest => {
                let (by, rpcs) = (self.by(), self.rpcs());
                FaultKind::DelayedRequest { by: by?, rpcs: rpcs? }
            }
            KindEntry::LostRequest => FaultKind::LostRequest { rpcs: self.rpcs()? },
            KindEntry::LostAnswer => FaultKind::LostAnswer { rpcs: self.rpcs()? },
            KindEntry::Answer => {
                let code = match &self.raw.code {
                    Some(code) => Some(self.f.code("fault.code", "answer code", code, ANSWERS)),
                    None => self.missing("`code`"),
                };
                let rpcs = self.rpcs();
                FaultKind::Answer { code: code?, rpcs: rpcs? }
            }
            KindEntry::DamagedAnswer => self.damaged_answer()?,
        })
    }

    /// Who, when, and for how long.
    fn process(&mut self) -> Option<(NodeName, MomentSpec, Draw)> {
        let when = self.moment();
        let node = match &self.raw.node {
            // Only a broker or a slave has a disk whose syncs can be counted.
            Some(node) if matches!(when, Some(MomentSpec::BeforeSync(_) | MomentSpec::AfterSync(_))) => {
                Some(self.f.known("fault.node", "broker", node, &self.names.members))
            }
            Some(node) => Some(self.f.known("fault.node", "node", node, &self.names.nodes)),
            None => self.missing("`node`"),
        };
        let (key, label, lasts) = match self.kind() {
            KindEntry::Pause => ("for", "fault.for", &self.raw.lasts),
            _ => ("down", "fault.down", &self.raw.down),
        };
        let Some(raw) = lasts else { return self.missing(&format!("`{key}`")) };
        let lasts = self.f.time_draw(label, raw, Zero::Refused);
        if let Some(MomentSpec::At(at)) = when {
            self.ends_in_time(label, raw.span(), at, lasts);
        }
        Some((node?, when?, lasts))
    }

    fn moment(&mut self) -> Option<MomentSpec> {
        const CHOICE: &str = "`at`, `before_sync`, `after_sync`, `on`, `on_answer`";
        let raw = self.raw;
        let is_moment = |key: &str| matches!(key, "at" | "before_sync" | "after_sync" | "on" | "on_answer");
        let mut given = raw.present().filter(|(key, _)| is_moment(key));
        let Some((first, _)) = given.next() else { return self.missing(&format!("one of {CHOICE}")) };
        for (key, span) in given {
            let problem = Problem::Excluded { key, other: first, accepted: CHOICE };
            self.f.report(&format!("fault.{key}"), span, problem);
        }
        if let Some(at) = &raw.at {
            let draw = self.f.time_draw("fault.at", at, Zero::Accepted);
            self.begins_in_time(at.span(), draw);
            return Some(MomentSpec::At(draw));
        }
        if let Some(nth) = &raw.before_sync {
            return Some(MomentSpec::BeforeSync(self.f.count_draw("fault.before_sync", nth, ORDINALS)));
        }
        if let Some(nth) = &raw.after_sync {
            return Some(MomentSpec::AfterSync(self.f.count_draw("fault.after_sync", nth, ORDINALS)));
        }
        if let Some(on) = &raw.on {
            let (from, to, code, nth) = self.frame("fault.on", on.get());
            return Some(MomentSpec::OnRequest { from, to, code, nth });
        }
        let (from, to, code, nth) = self.frame("fault.on_answer", raw.on_answer.as_ref()?.get());
        Some(MomentSpec::OnAnswer { from, to, code, nth })
    }

    /// Whose frame, to whom, of which code, and which of those.
    fn frame(&mut self, key: &str, on: &OnEntry) -> (Option<NodeName>, Option<NodeName>, Option<i32>, Draw) {
        let nodes = &self.names.nodes;
        let from = on.from.as_ref().map(|raw| self.f.known(&format!("{key}.from"), "node", raw, nodes));
        let to = on.to.as_ref().map(|raw| self.f.known(&format!("{key}.to"), "node", raw, nodes));
        let code = on.rpc.as_ref().map(|raw| self.f.code(&format!("{key}.rpc"), "request code", raw, REQUESTS));
        let nth = on.nth.as_ref().map(|raw| self.f.count_draw(&format!("{key}.nth"), raw, ORDINALS));
        (from, to, code, nth.unwrap_or(Draw::exactly(1)))
    }

    fn clock_step(&mut self) -> Option<FaultKind> {
        let raw = self.raw;
        let node = self.node();
        let at = match &raw.at {
            Some(at) => {
                let draw = self.f.time_draw("fault.at", at, Zero::Accepted);
                self.begins_in_time(at.span(), draw);
                Some(draw)
            }
            None => self.missing("`at`"),
        };
        let by = self.by();
        let back = raw.back.as_ref().is_some_and(|back| *back.get());
        Some(FaultKind::ClockStep { node: node?, at: at?, by: by?, back })
    }

    /// Any node.
    fn node(&mut self) -> Option<NodeName> {
        let raw = self.raw;
        match &raw.node {
            Some(node) => Some(self.f.known("fault.node", "node", node, &self.names.nodes)),
            None => self.missing("`node`"),
        }
    }

    /// A node that has a disk.
    fn disk(&mut self) -> Option<NodeName> {
        let raw = self.raw;
        match &raw.node {
            Some(node) => Some(self.f.known("fault.node", "broker", node, &self.names.members)),
            None => self.missing("`node`"),
        }
    }

    fn by(&mut self) -> Option<Draw> {
        let raw = self.raw;
        match &raw.by {
            Some(by) => Some(self.f.time_draw("fault.by", by, Zero::Refused)),
            None => self.missing("`by`"),
        }
    }

    fn clock_drift(&mut self) -> Option<FaultKind> {
        let raw = self.raw;
        let (node, window) = (self.node(), self.window());
        let ppm = match &raw.ppm {
            Some(ppm) => Some(self.f.count_draw("fault.ppm", ppm, PPM)),
            None => self.missing("`ppm`"),
        };
        let back = raw.back.as_ref().is_some_and(|back| *back.get());
        Some(FaultKind::ClockDrift { node: node?, window: window?, ppm: ppm?, back })
    }

    fn disk_error(&mut self) -> Option<FaultKind> {
        let raw = self.raw;
        let (node, hits) = (self.disk(), self.hits());
        let operation = match &raw.operation {
            Some(operation) => Some(*operation.get()),
            None => self.missing("`operation`"),
        };
        // A master whose slaves have what it has lost stays down; so does nobody else, and nothing may be lost of a log.
        if let (Some(DiskOperation::Rot), Some(node)) = (operation, &self.raw.node)
            && self.names.members.contains(node.get())
        {
            self.f.known("fault.node", "slave or lone broker that keeps all", node, &self.names.mendable);
        }
        Some(FaultKind::DiskError { node: node?, operation: operation?, hits: hits? })
    }

    fn crash_loop(&mut self) -> Option<FaultKind> {
        let (raw, process) = (self.raw, self.process());
        let times = match &raw.times {
            Some(times) => Some(self.f.count_draw("fault.times", times, TIMES)),
            None => self.missing("`times`"),
        };
        let up = match &raw.up {
            Some(up) => Some(self.f.time_draw("fault.up", up, Zero::Refused)),
            None => self.missing("`up`"),
        };
        let loses_power = raw.loses_power.as_ref().is_some_and(|loses| *loses.get());
        let (node, when, down) = process?;
        Some(FaultKind::CrashLoop { node, when, times: times?, up: up?, down, loses_power })
    }

    /// What a slave's disk has lost its master has. What a master's has lost its slaves have, if they act for it, if it confirms
    /// nothing alone, and if nothing of it expires; what an older one lacks an only slave has.
    fn only_replaceable(&mut self, volume: &VolumeSpec) {
        let Names { nodes, replaceable, restorable, .. } = self.names;
        let able = if matches!(volume, VolumeSpec::AsOf(_)) { restorable } else { replaceable };
        if let Some(node) = self.raw.node.as_ref().filter(|node| nodes.contains(node.get())) {
            self.f.known("fault.node", "replaceable node", node, able);
        }
    }

    fn replace(&mut self) -> Option<FaultKind> {
        let (raw, process) = (self.raw, self.process());
        let loses_disk = raw.loses_disk.as_ref().filter(|loses| *loses.get());
        let volume = match (&raw.disk_as_of, loses_disk) {
            (None, None) => VolumeSpec::Kept,
            (None, Some(_)) => VolumeSpec::Lost,
            (Some(at), lost) => {
                if let Some(lost) = lost {
                    let (key, other, accepted) = ("loses_disk", "disk_as_of", "the two, or neither");
                    self.f.report("fault.loses_disk", lost.span(), Problem::Excluded { key, other, accepted });
                }
                VolumeSpec::AsOf(self.f.time_draw("fault.disk_as_of", at, Zero::Refused))
            }
        };
        match (&volume, &raw.node) {
            (VolumeSpec::Kept, Some(node)) if self.names.nodes.contains(node.get()) => {
                self.f.known("fault.node", "broker", node, &self.names.members);
            }
            (VolumeSpec::Kept, _) => {}
            (VolumeSpec::Lost | VolumeSpec::AsOf(_), _) => self.only_replaceable(&volume),
        }
        let (node, when, down) = process?;
        Some(FaultKind::Replace { node, when, down, volume })
    }

    fn buggify(&mut self) -> Option<FaultKind> {
        let raw = self.raw;
        let (node, hits) = (self.disk(), self.hits());
        let sites: Vec<String> = SITES.iter().map(|(name, _)| (*name).to_owned()).collect();
        let site = match &raw.site {
            Some(site) => Some(self.f.known("fault.site", "site", site, &sites)),
            None => self.missing("`site`"),
        };
        Some(FaultKind::Buggify { node: node?, site: site?, hits: hits? })
    }

    fn damaged_answer(&mut self) -> Option<FaultKind> {
        let raw = self.raw;
        let damage = match &raw.damage {
            Some(damage) => Some((*damage.get(), damage.span())),
            None => self.missing("`damage`"),
        };
        let rpcs = self.rpcs();
        let ((damage, span), rpcs) = (damage?, rpcs?);
        if damage.is_of_messages() && rpcs.code != Some(code::PULL) {
            let accepted = "with `rpc = \"PULL_MESSAGE\"`; what arrives is messages there only".to_owned();
            self.f.report("fault.damage", span, Problem::OutOfRange { value: damage.name().to_owned(), accepted });
        }
        Some(FaultKind::DamagedAnswer { damage, rpcs })
    }

    fn slow_disk(&mut self) -> Option<FaultKind> {
        let (node, window, span) = (self.disk(), self.window(), self.span());
        let (min_ms, max_ms) = span?;
        Some(FaultKind::SlowDisk { node: node?, window: window?, min_ms, max_ms })
    }

    fn slow_start(&mut self) -> Option<FaultKind> {
        let (node, window, span) = (self.node(), self.window(), self.span());
        let (min_ms, max_ms) = span?;
        Some(FaultKind::SlowStart { node: node?, window: window?, min_ms, max_ms })
    }

    fn bandwidth(&mut self) -> Option<FaultKind> {
        let raw = self.raw;
        let (from, to) = (self.end("fault.from", &raw.from), self.end("fault.to", &raw.to));
        let window = self.window();
        let bytes_per_second = match &raw.bytes_per_second {
            Some(bytes) => Some(self.f.count_draw("fault.bytes_per_second", bytes, BYTES_PER_SECOND)),
            None => self.missing("`bytes_per_second`"),
        };
        Some(FaultKind::Bandwidth { from, to, window: window?, bytes_per_second: bytes_per_second? })
    }

    fn partition(&mut self) -> Option<FaultKind> {
        let sides = self.sides();
        let window = self.window();
        let one_way = self.raw.one_way.as_ref().is_some_and(|raw| *raw.get());
        let (from, to) = sides?;
        Some(FaultKind::Partition { from, to, one_way, window: window? })
    }

    /// The two sides: `between`, or `from` and `to`.
    fn sides(&mut self) -> Option<(Vec<NodeName>, Vec<NodeName>)> {
        let raw = self.raw;
        let (from, to, key, span) = match (&raw.between, &raw.from, &raw.to) {
            (Some(between), None, None) => {
                let [from, to] = between.get().as_slice() else {
                    self.f.report("fault.between", between.span(), Problem::NotTwoSides(between.get().len()));
                    return None;
                };
                let from = self.listed("fault.between", from, between.span());
                (from, self.listed("fault.between", to, between.span()), "fault.between", between.span())
            }
            (None, Some(from), Some(to)) => {
                let span = to.span();
                (self.many("fault.from", from), self.many("fault.to", to), "fault.to", span)
            }
            (Some(between), _, _) => {
                let (key, other, accepted) = ("between", "from/to", "`between`, `from` with `to`");
                self.f.report("fault.between", between.span(), Problem::Excluded { key, other, accepted });
                return None;
            }
            (None, _, _) => return self.missing("`between`, or `from` and `to`"),
        };
        if let Some(node) = to.iter().find(|node| from.contains(node)) {
            self.f.report(key, span, Problem::BothSides(node.clone()));
        }
        Some((from, to))
    }

    fn many(&mut self, key: &'static str, nodes: &Located<Nodes>) -> Vec<NodeName> {
        match nodes.get() {
            Nodes::One(name) => vec![self.f.known_text(key, "node", name, nodes.span(), &self.names.nodes)],
            Nodes::Many(names) => self.listed(key, names, nodes.span()),
        }
    }

    fn listed(&mut self, key: &'static str, list: &[Located<String>], span: Range<usize>) -> Vec<NodeName> {
        if list.is_empty() {
            self.f.report(key, span, Problem::Empty { what: "a side", accepted: "at least one node" });
        }
        self.f.distinct("node", &[], list.iter().map(|raw| (key, raw)));
        list.iter().map(|raw| self.f.known(key, "node", raw, &self.names.nodes)).collect()
    }

    /// One end of requests or frames; `None` is every node.
    fn end(&mut self, key: &'static str, nodes: &Option<Located<Nodes>>) -> Option<NodeName> {
        let nodes = nodes.as_ref()?;
        match self.many(key, nodes).as_slice() {
            [node] => Some(node.clone()),
            several => {
                let (value, accepted) = (format!("a list of {}", several.len()), "one node, or no such key for all");
                let problem = Problem::OutOfRange { value, accepted: accepted.to_owned() };
                self.f.report(key, nodes.span(), problem);
                None
            }
        }
    }

    fn latency(&mut self) -> Option<FaultKind> {
        let raw = self.raw;
        let (from, to) = (self.end("fault.from", &raw.from), self.end("fault.to", &raw.to));
        let window = self.window();
        let (min_ms, max_ms) = self.span()?;
        Some(FaultKind::Latency { from, to, window: window?, min_ms, max_ms })
    }

    /// `min` and `max`.
    fn span(&mut self) -> Option<(SimMs, SimMs)> {
        let raw = self.raw;
        let (Some(min), Some(max)) = (&raw.min, &raw.max) else { return self.missing("`min` and `max`") };
        Some(self.f.min_max(("fault.min", "fault.max"), min, max))
    }

    fn rpcs(&mut self) -> Option<RpcsSpec> {
        let raw = self.raw;
        let (from, to) = (self.end("fault.from", &raw.from), self.end("fault.to", &raw.to));
        let code = raw.rpc.as_ref().map(|rpc| self.f.code("fault.rpc", "request code", rpc, REQUESTS));
        Some(RpcsSpec { from, to, code, hits: self.hits()? })
    }

    /// `nth`, or `at` and `for`.
    fn hits(&mut self) -> Option<HitsSpec> {
        let raw = self.raw;
        Some(match (&raw.nth, raw.at.as_ref().or(raw.lasts.as_ref())) {
            (Some(nth), None) => self.ordinals(nth),
            (None, Some(_)) => HitsSpec::During(self.window()?),
            (None, None) => return self.missing("`nth`, or `at` and `for`"),
            (Some(nth), Some(_)) => {
                let (key, other, accepted) = ("nth", "at/for", "`nth`, `at` with `for`");
                self.f.report("fault.nth", nth.span(), Problem::Excluded { key, other, accepted });
                return None;
            }
        })
    }

    fn ordinals(&mut self, nth: &Located<Ordinals>) -> HitsSpec {
        const KEY: &str = "fault.nth";
        match nth.get() {
            Ordinals::One(number) => HitsSpec::Nth(vec![self.f.whole(KEY, *number, nth.span(), ORDINALS)]),
            Ordinals::These(list) => {
                if list.is_empty() {
                    self.f.report(
                        KEY,
                        nth.span(),
                        Problem::Empty { what: "the list", accepted: "at least one ordinal" },
                    );
                }
                let numbers = list.iter().map(|raw| self.f.whole(KEY, *raw.get(), raw.span(), ORDINALS));
                let mut numbers: Vec<u64> = numbers.collect();
                numbers.sort_unstable();
                // Saying an ordinal twice changes nothing.
                numbers.dedup();
                HitsSpec::Nth(numbers)
            }
            Ordinals::Pick(entry) => {
                let of = self.f.whole("fault.nth.of", *entry.of.get(), entry.of.span(), ORDINALS);
                let pick = self.f.whole("fault.nth.pick", *entry.pick.get(), entry.pick.span(), 1..=of.min(10_000));
                HitsSpec::Pick { pick, of }
            }
        }
    }

    /// `at` and `for`.
    fn window(&mut self) -> Option<WindowSpec> {
        let raw = self.raw;
        let (Some(at), Some(lasts)) = (&raw.at, &raw.lasts) else { return self.missing("`at` and `for`") };
        let begins = self.f.time_draw("fault.at", at, Zero::Accepted);
        let length = self.f.time_draw("fault.for", lasts, Zero::Refused);
        self.begins_in_time(at.span(), begins);
        self.ends_in_time("fault.for", lasts.span(), begins, length);
        Some(WindowSpec { begins, lasts: length })
    }

    fn begins_in_time(&mut self, span: Range<usize>, begins: Draw) {
        if begins.to >= self.end_ms {
            let (what, time, end) = ("the fault begins as late as", spell(begins.to), spell(self.end_ms));
            let latest = format!("before {end}");
            self.f.report("fault.at", span, Problem::AfterEnd { what, time, end, latest });
        }
    }

    /// Reports an end after the end, unless the beginning was already reported.
    fn ends_in_time(&mut self, key: &'static str, span: Range<usize>, begins: Draw, lasts: Draw) {
        let ends = begins.to.saturating_add(lasts.to);
        if begins.to < self.end_ms && ends > self.end_ms {
            let (what, time, end) = ("the fault ends as late as", spell(ends), spell(self.end_ms));
            let latest = format!("at most {}", spell(self.end_ms - begins.to));
            self.f.report(key, span, Problem::AfterEnd { what, time, end, latest });
        }
    }
}
