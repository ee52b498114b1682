//! What people and machines read of a run: tables, JSON, JUnit, timelines and the report of a failure.

pub mod chain;
pub mod expectations;
pub mod failure;
pub mod failures;
pub mod faults;
pub mod grid;
pub mod hits;
pub mod json;
pub mod junit;
pub mod kept;
pub mod record;
pub mod revision;
pub mod table;
pub mod tally;
pub mod timeline;

pub(crate) mod escape;
pub(crate) mod facts;

pub use failure::FailureReport;
pub use failures::Failures;
pub use grid::Grid;
pub use record::SeedRecord;
pub use tally::Tally;
