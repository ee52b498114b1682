//! The exhaustive crash sweep: every point of a small run is numbered, and the run is repeated once for each of them
//! with a power loss exactly there.
//!
//! A point is addressed by event (`broker-b:after-sync:17`), so that the crash it stands for is an ordinary fault of an
//! ordinary plan. The run that is numbered has its plan of faults too: without one there would be no rewrites, parks or
//! hand-overs to crash in. Simulated runs are deterministic, so a run with one more fault is the numbered one up to that
//! fault; this is compared byte by byte for every run, and a crash that did not strike fails the sweep.

mod number;
mod point;
mod prefix;
mod tally;
mod trial;

pub use number::{Numbered, Numbers, number};
pub use point::{Kind, Point, Points};
pub use tally::{Tally, table};
pub use trial::{Base, Judged, STEP_MS, Trial};
