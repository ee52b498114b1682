//! Makes a failing seed small: the fewest and plainest faults, the smallest workload and cluster that still fail alike,
//! as a scenario file that leaves nothing to the seed but what only a seed can say.
//!
//! A [`Case`] is what is made smaller, a [`Search`] tries smaller ones and keeps those that fail with the same
//! [`Signature`]. Nothing here looks at a clock or draws: the same failure is always made small in the same way, unless
//! the time is up.

mod case;
mod chain_state;
mod ddmin;
mod earlier_end;
mod fewer_faults;
mod fewer_messages;
mod later_start;
mod necessity;
mod plainer_faults;
mod plainer_habits;
mod rounds;
mod search;
mod settled;
mod shorter_run;
mod shrunk;
mod signature;
mod smaller;
mod smaller_cast;
mod told;

pub use case::Case;
pub use ddmin::ddmin;
pub use fewer_faults::faults;
pub use necessity::{Necessity, necessities};
pub use rounds::shrink;
pub use search::{Goal, Search};
pub use settled::settled;
pub use shrunk::{ShrinkError, Shrunk};
pub use signature::Signature;
