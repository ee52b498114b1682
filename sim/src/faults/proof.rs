//! Which situation proves that a fault took effect. Every fault that struck is among what its run reached, so that a
//! scenario can demand that its faults still do what they were written for.

use crate::plan::{DiskOperation, Fault, Volume};

/// The name in [`REACHED`](crate::scenario::reached::REACHED) of what happened once this fault has struck.
#[must_use]
pub const fn proof(fault: &Fault) -> &'static str {
    match fault {
        Fault::Kill { .. } => "killed",
        Fault::Crash { .. } => "power-lost",
        Fault::CrashLoop { .. } => "crash-looped",
        Fault::Replace { volume: Volume::Kept, .. } => "moved-address",
        Fault::Replace { volume: Volume::Lost, .. } => "disk-lost",
        Fault::Replace { volume: Volume::AsOf(_), .. } => "snapshot-restored",
        Fault::Stop { .. } => "graceful-stop",
        Fault::Pause { .. } => "frozen",
        Fault::ClockStep { .. } => "clock-set",
        Fault::ClockDrift { .. } => "clock-drifted",
        Fault::FrozenClock { .. } => "clock-stood-still",
        Fault::DiskError { operation: DiskOperation::Read, .. } => "read-failed",
        Fault::DiskError { operation: DiskOperation::Write, .. } => "write-failed",
        Fault::DiskError { operation: DiskOperation::Sync, .. } => "sync-failed",
        Fault::DiskError { operation: DiskOperation::Flip, .. } => "bit-flipped",
        Fault::DiskError { operation: DiskOperation::Rot, .. } => "bit-rotten",
        Fault::DiskFull { .. } => "disk-full",
        Fault::SlowDisk { .. } => "slow-sync",
        Fault::SlowStart { .. } => "slow-to-start",
        Fault::Buggify { .. } => "site-struck",
        Fault::Partition { .. } => "silence",
        Fault::Reset { .. } => "reset-under-request",
        Fault::Latency { .. } => "slow-frame",
        Fault::Stall { .. } => "held-up",
        Fault::SlowClose { .. } => "closed-late",
        Fault::Bandwidth { .. } => "queued-frame",
        Fault::DuplicateRequest { .. } => "request-twice",
        Fault::DelayedRequest { .. } => "request-late",
        Fault::LostRequest { .. } => "request-lost",
        Fault::LostAnswer { .. } => "answer-lost",
        Fault::Answer { .. } => "answered-unserved",
        Fault::DamagedAnswer { .. } => "answer-damaged",
    }
}
