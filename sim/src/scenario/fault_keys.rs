//! Which keys a `[[fault]]` table may have, by its kind.

use std::ops::Range;

use super::file::{FaultEntry, KindEntry};
use super::shapes::Located;

impl KindEntry {
    /// As it is written in the file.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Crash => "crash",
            Self::CrashLoop => "crash-loop",
            Self::Stop => "stop",
            Self::Replace => "replace",
            Self::Pause => "pause",
            Self::ClockStep => "clock-step",
            Self::ClockDrift => "clock-drift",
            Self::FrozenClock => "frozen-clock",
            Self::DiskError => "disk-error",
            Self::DiskFull => "disk-full",
            Self::SlowDisk => "slow-disk",
            Self::SlowStart => "slow-start",
            Self::Buggify => "buggify",
            Self::Partition => "partition",
            Self::Reset => "reset",
            Self::Latency => "latency",
            Self::Stall => "stall",
            Self::SlowClose => "slow-close",
            Self::Bandwidth => "bandwidth",
            Self::DuplicateRequest => "duplicate-request",
            Self::DelayedRequest => "delayed-request",
            Self::LostRequest => "lost-request",
            Self::LostAnswer => "lost-answer",
            Self::Answer => "answer",
            Self::DamagedAnswer => "damaged-answer",
        }
    }

    /// The keys that an entry of this kind may have, besides `kind`, `name` and `repeat`.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Kill | Self::Crash | Self::Stop => {
                &["node", "at", "before_sync", "after_sync", "on", "on_answer", "down"]
            }
            Self::CrashLoop => {
                &["node", "at", "before_sync", "after_sync", "on", "on_answer", "times", "up", "down", "loses_power"]
            }
            Self::Replace => {
                &["node", "at", "before_sync", "after_sync", "on", "on_answer", "down", "loses_disk", "disk_as_of"]
            }
            Self::Pause => &["node", "at", "before_sync", "after_sync", "on", "on_answer", "for"],
            Self::ClockStep => &["node", "at", "by", "back"],
            Self::ClockDrift => &["node", "ppm", "back", "at", "for"],
            Self::DiskError => &["node", "operation", "nth", "at", "for"],
            Self::DiskFull | Self::FrozenClock => &["node", "at", "for"],
            Self::SlowDisk | Self::SlowStart => &["node", "min", "max", "at", "for"],
            Self::Buggify => &["node", "site", "nth", "at", "for"],
            Self::Partition => &["between", "from", "to", "one_way", "at", "for"],
            Self::Reset | Self::DuplicateRequest | Self::LostRequest | Self::LostAnswer => {
                &["from", "to", "rpc", "nth", "at", "for"]
            }
            Self::DelayedRequest => &["by", "from", "to", "rpc", "nth", "at", "for"],
            Self::Bandwidth => &["from", "to", "bytes_per_second", "at", "for"],
            Self::Stall | Self::SlowClose => &["from", "to", "at", "for"],
            Self::Latency => &["from", "to", "min", "max", "at", "for"],
            Self::Answer => &["code", "from", "to", "rpc", "nth", "at", "for"],
            Self::DamagedAnswer => &["damage", "from", "to", "rpc", "nth", "at", "for"],
        }
    }
}

impl FaultEntry {
    /// The keys that depend on the kind, and where their values stand.
    pub(super) fn present(&self) -> impl Iterator<Item = (&'static str, Range<usize>)> + use<> {
        fn at<T>(value: &Option<Located<T>>) -> Option<Range<usize>> {
            value.as_ref().map(Located::span)
        }
        [
            ("node", at(&self.node)),
            ("at", at(&self.at)),
            ("for", at(&self.lasts)),
            ("before_sync", at(&self.before_sync)),
            ("after_sync", at(&self.after_sync)),
            ("on", at(&self.on)),
            ("on_answer", at(&self.on_answer)),
            ("down", at(&self.down)),
            ("times", at(&self.times)),
            ("up", at(&self.up)),
            ("loses_power", at(&self.loses_power)),
            ("loses_disk", at(&self.loses_disk)),
            ("disk_as_of", at(&self.disk_as_of)),
            ("by", at(&self.by)),
            ("back", at(&self.back)),
            ("ppm", at(&self.ppm)),
            ("operation", at(&self.operation)),
            ("site", at(&self.site)),
            ("between", at(&self.between)),
            ("from", at(&self.from)),
            ("to", at(&self.to)),
            ("one_way", at(&self.one_way)),
            ("rpc", at(&self.rpc)),
            ("nth", at(&self.nth)),
            ("min", at(&self.min)),
            ("max", at(&self.max)),
            ("bytes_per_second", at(&self.bytes_per_second)),
            ("code", at(&self.code)),
            ("damage", at(&self.damage)),
        ]
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
    }
}
