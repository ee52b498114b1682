//! TEMP stand-in
#![allow(missing_docs)]
use crate::history::History;
#[derive(Debug, Default)]
pub struct Verdict {
    pub violations: Vec<Violation>,
}
#[derive(Debug)]
pub struct Violation {
    pub promise: &'static str,
    pub at_ms: u64,
    pub subject: String,
    pub detail: String,
}
pub fn judge(_h: &History) -> Verdict {
    Verdict::default()
}
