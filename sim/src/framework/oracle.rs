//! Oracles: each checks one promise against what is known of a run.

use serde::Serialize;

use crate::{
    history::{History, LedgerId},
    plan::SimMs,
};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which: `P1` to `P9` of a cluster, or the name of the oracle that found it.
    pub promise: &'static str,
    /// When it became visible, simulated ms.
    pub at_ms: SimMs,
    /// Whom it hit: a ledger id, a chain, a node.
    pub subject: String,
    /// What is wrong.
    pub detail: String,
    /// The message whose biography tells more, if it is one message.
    pub ledger: Option<LedgerId>,
}

/// Checks one promise against `K`, what is known of a run: its history, or what was made of that.
///
/// A name and a function are one: `("kept", kept)`.
pub trait Oracle<K: ?Sized> {
    /// The name of the promise.
    fn promise(&self) -> &'static str;

    /// Tells what breaks it.
    fn check(&self, known: &K, found: &mut Findings<'_>);
}

/// A name and what checks it against the history, as an [`Oracle`].
pub type Promise<N> = (&'static str, fn(&History<N>, &mut Findings<'_>));

impl<K: ?Sized, C: Fn(&K, &mut Findings<'_>)> Oracle<K> for (&'static str, C) {
    fn promise(&self) -> &'static str {
        self.0
    }

    fn check(&self, known: &K, found: &mut Findings<'_>) {
        (self.1)(known, found);
    }
}

/// Collects what one oracle finds.
pub struct Findings<'v> {
    promise: &'static str,
    violations: &'v mut Vec<Violation>,
}

impl Findings<'_> {
    /// The promise is broken: when it shows, whom it hit, and what is wrong.
    pub fn broken(&mut self, at_ms: SimMs, subject: impl ToString, detail: impl Into<String>) {
        self.add(at_ms, subject.to_string(), detail.into(), None);
    }

    /// A violation that hit one message.
    pub(crate) fn message(&mut self, at_ms: SimMs, ledger: &LedgerId, detail: String) {
        self.add(at_ms, ledger.to_string(), detail, Some(ledger.clone()));
    }

    fn add(&mut self, at_ms: SimMs, subject: String, detail: String, ledger: Option<LedgerId>) {
        self.violations.push(Violation { promise: self.promise, at_ms, subject, detail, ledger });
    }
}

/// What these oracles find, by oracle, then by time.
pub fn violations<K: ?Sized, O: Oracle<K>>(oracles: &[O], known: &K) -> Vec<Violation> {
    let mut violations = Vec::new();
    for oracle in oracles {
        let from = violations.len();
        oracle.check(known, &mut Findings { promise: oracle.promise(), violations: &mut violations });
        violations[from..].sort_by(|a, b| (a.at_ms, &a.subject, &a.detail).cmp(&(b.at_ms, &b.subject, &b.detail)));
    }
    violations
}
