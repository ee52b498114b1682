//! Planted defects, for showing that the simulator notices them.
//!
//! A safety rule's site asks `sabotage!("name")` whether it should break its rule. In the real build the question
//! compiles to `false`; in the simulator one run may switch one defect on for its own thread.

/// Whether the named defect is planted in this run. Always `false` in the real build.
#[macro_export]
macro_rules! sabotage {
    ($name:literal) => {
        $crate::sabotage::active($name)
    };
}

#[cfg(not(madsim))]
#[doc(hidden)]
#[must_use]
pub const fn active(_name: &str) -> bool {
    false
}

#[cfg(madsim)]
pub use switch::{active, plant};

#[cfg(madsim)]
mod switch {
    use std::cell::Cell;

    thread_local! {
        /// Per thread, because every simulated run has a thread of its own.
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Plants one defect for everything that runs on this thread from now on, or removes it.
    pub fn plant(name: Option<&'static str>) {
        PLANTED.set(name);
    }

    /// Whether the named defect is planted on this thread.
    #[must_use]
    pub fn active(name: &str) -> bool {
        PLANTED.get() == Some(name)
    }
}
