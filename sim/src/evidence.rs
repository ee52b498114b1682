//! TEMP: stands in for the evidence module until it is merged.

use serde::Serialize;

/// A durable log entry.
#[derive(Debug, Clone, Serialize)]
pub struct DurableEntry;
