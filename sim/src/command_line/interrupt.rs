//! Ctrl-C, and being told to end: the first one asks a command to stop and tell what it knows, the second one ends it.

use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a process that was interrupted, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Belongs to the process, as the signal does. No run looks at it: it decides how many there are, not what is in them.
static HAS_COME: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C is remembered, and the second one ends the process.
pub(super) fn listen() {
    // Where there can be no handler Ctrl-C ends the process, as it does without one.
    let _ = ctrlc::set_handler(|| {
        if HAS_COME.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("interrupted: what is known is told when the runs under way are over; once more ends at once");
    });
}

/// From now on Ctrl-C is left to the process that has started this one, and hears it too.
pub(super) fn leave_to_parent() {
    let _ = ctrlc::set_handler(|| {});
}

/// Whether somebody has asked to stop.
#[must_use]
pub fn has_come() -> bool {
    HAS_COME.load(Ordering::SeqCst)
}
