//! Looks for the point of no return of a failing run: the first event after which it fails whatever is drawn from then on.
//!
//! A run is repeated up to an event and left there for several other futures ([`crate::run::Turn`]). When any of them keeps
//! the promise, nothing was lost yet. What no later draw can mend no still later one can, so the event is found by halving.
//! Nothing here looks at a clock or draws: the same failure always has the same moment, unless the time is up.

mod doom;
mod search;
mod told;

pub use doom::Doom;
pub use search::{BisectError, Moment, bisect};
pub use told::told;

#[cfg(test)]
mod tests;
