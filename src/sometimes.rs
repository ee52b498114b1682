//! Points that some run has to get to, for showing that the simulator gets everywhere.
//!
//! Every branch that decides on a chain says `sometimes!("name")`. In the real build that compiles to nothing; in the
//! simulator a run knows the points that it got to, and a scenario expects those that it is made for. A branch that no
//! scenario reaches is a branch in which a defect goes unnoticed.

/// Says that a run got to the named point; with a second argument, that it got to this value.
#[macro_export]
macro_rules! sometimes {
    ($name:literal) => {
        $crate::sometimes::got_to($name)
    };
    ($name:literal, $value:expr) => {{
        $crate::sometimes::got_to($name);
        $value
    }};
}

#[cfg(not(madsim))]
#[doc(hidden)]
#[inline(always)]
pub const fn got_to(_name: &'static str) {}

#[cfg(madsim)]
pub use points::{got_to, take};

#[cfg(madsim)]
mod points {
    use std::{cell::RefCell, collections::BTreeSet};

    thread_local! {
        /// Per thread, because every simulated run has a thread of its own.
        static POINTS: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
    }

    /// Notes that this thread's run got to the named point.
    pub fn got_to(name: &'static str) {
        POINTS.with_borrow_mut(|points| points.insert(name));
    }

    /// The points that this thread got to since they were taken last.
    #[must_use]
    pub fn take() -> BTreeSet<&'static str> {
        POINTS.take()
    }
}
