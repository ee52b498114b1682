//! Unlikely turns that the simulator may ask for: a batch of one, rows that are settled at once, a step that is refused
//! (FoundationDB: `BUGGIFY`).
//!
//! A site says `buggify!("name")` where the code may always do one of two things, of which one is rare: what is rare is
//! where defects live. In the real build that compiles to `false`; in the simulator a fault of the plan decides.

/// Whether the named site takes its unlikely turn; with two more arguments, the unlikely value or the usual one.
#[macro_export]
macro_rules! buggify {
    ($name:literal) => {
        $crate::buggify::strikes($name)
    };
    ($name:literal, $unlikely:expr, $usual:expr) => {
        if $crate::buggify::strikes($name) { $unlikely } else { $usual }
    };
}

#[cfg(not(madsim))]
#[doc(hidden)]
#[inline(always)]
#[must_use]
pub const fn strikes(_name: &'static str) -> bool {
    false
}

#[cfg(madsim)]
pub use asked::{Judge, judge_by, strikes};

#[cfg(madsim)]
mod asked {
    use std::{cell::RefCell, rc::Rc};

    /// Decides whether a site takes its unlikely turn now.
    pub type Judge = Rc<dyn Fn(&'static str) -> bool>;

    thread_local! {
        /// Per thread, because every simulated run has a thread of its own.
        static JUDGE: RefCell<Option<Judge>> = const { RefCell::new(None) };
    }

    /// Whoever decides for everything that runs on this thread from now on; without one, nothing unlikely is asked for.
    pub fn judge_by(judge: Option<Judge>) {
        JUDGE.set(judge);
    }

    /// Whether the named site takes its unlikely turn now.
    #[must_use]
    pub fn strikes(name: &'static str) -> bool {
        let judge = JUDGE.with_borrow(Clone::clone);
        judge.is_some_and(|judge| judge(name))
    }
}
