//! Whether another group may be called now: a breaker per peer, so that a dead one costs a trickle of calls, however
//! many chains wait for it.
//!
//! A pure state machine; time is handed in, in ms on a clock that never goes back.
//!
//! - *Closed*: calls go, so many at once, and paced: each takes a token from a bucket that fills at a fixed rate. So
//!   chains that have piled up are drained at a bounded rate.
//! - *Open*, after a row of failures: nothing goes until a probe is due.
//! - *Half-open*: one call, the probe, is under way. It closes the breaker, or opens it for another while.
//!
//! A refusal costs the refused time, never an attempt. Any answer closes the breaker, whoever's call it was.

use serde::{Deserialize, Serialize};

use crate::{revive::Admission, sabotage, sometimes};

/// How a breaker behaves, which is also what a peer may be asked for: its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// So many failures in a row open it.
    pub failures: u32,
    /// An open breaker lets the first probe through after so long, ms, and each further one after twice the wait of the
    /// one before, counted from its end.
    pub probe_first_ms: u64,
    /// But no wait is longer than this, ms: so much later than it could is a returned peer noticed.
    pub probe_longest_ms: u64,
    /// How many calls of the reviver may be under way at once.
    pub at_once: usize,
    /// How many calls of the reviver may begin in a second.
    pub per_second: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 3, probe_first_ms: 5_000, probe_longest_ms: 30_000, at_once: 8, per_second: 100 }
    }
}

impl BreakerConfig {
    /// Checks what the types cannot: with a budget of nothing no chain would ever be tried.
    ///
    /// # Errors
    /// Which field is wrong, and what is expected.
    pub fn check(&self) -> Result<(), BudgetError> {
        let Self { failures, probe_first_ms, probe_longest_ms, at_once, per_second } = *self;
        let none = [
            ("failures", failures == 0),
            ("probe_first_ms", probe_first_ms == 0),
            ("at_once", at_once == 0),
            ("per_second", per_second == 0),
        ];
        if let Some((field, _)) = none.into_iter().find(|(_, is_none)| *is_none) {
            return Err(BudgetError::Nothing { field });
        }
        let most = [
            ("probe_longest_ms", probe_longest_ms, PROBE_LONGEST_MS),
            ("at_once", u64::try_from(at_once).unwrap_or(u64::MAX), CALLS_MAX),
            ("per_second", per_second, CALLS_MAX),
        ];
        if let Some((field, found, most)) = most.into_iter().find(|(_, found, most)| found > most) {
            return Err(BudgetError::TooMuch { field, found, most });
        }
        if probe_first_ms > probe_longest_ms {
            return Err(BudgetError::Shrinks { probe_first_ms, probe_longest_ms });
        }
        Ok(())
    }
}

/// How rare probes may be, ms: a day.
const PROBE_LONGEST_MS: u64 = 86_400_000;

/// How many calls may be asked for, at once and in a second: they are counted in thousandths.
const CALLS_MAX: u64 = 1_000_000;

/// A budget that nobody can live on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Nothing would ever go.
    #[error("`{field}` is 0: expected at least 1")]
    Nothing {
        /// Which.
        field: &'static str,
    },
    /// A peer that is back would not be noticed, or there are more calls than can be counted.
    #[error("`{field}` is {found}: expected at most {most}")]
    TooMuch {
        /// Which.
        field: &'static str,
        /// How much it is.
        found: u64,
        /// How much it may be.
        most: u64,
    },
    /// Waits only grow.
    #[error(
        "`probe_first_ms` is {probe_first_ms} and `probe_longest_ms` is {probe_longest_ms}: expected one not above the other"
    )]
    Shrinks {
        /// The first wait, ms.
        probe_first_ms: u64,
        /// The longest, ms.
        probe_longest_ms: u64,
    },
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go.
    Closed,
    /// Nothing goes.
    Open,
    /// A probe is under way.
    HalfOpen,
}

impl BreakerState {
    /// Its name, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// How a call ended, as far as the peer's health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The peer answered.
    Answered,
    /// It did not, or it does not serve.
    Failed,
    /// It says nothing about the peer: given up, or refused on our side.
    Unknown,
}

/// The breaker of one peer.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    since_ms: u64,
    /// Failures in a row.
    failures: u32,
    /// When it opened, if it has not closed since.
    opened_ms: Option<u64>,
    /// When an open breaker lets the next probe through, and after which wait.
    probe_at_ms: u64,
    probe_wait_ms: u64,
    under_way: usize,
    /// Thousandths of calls that may begin.
    tokens: u64,
    filled_ms: u64,
}

/// One call, in thousandths of a token.
const CALL: u64 = 1_000;

impl Breaker {
    /// A closed breaker with a full bucket.
    #[must_use]
    pub const fn new(config: BreakerConfig, now_ms: u64) -> Self {
        Self {
            config,
            state: BreakerState::Closed,
            since_ms: now_ms,
            failures: 0,
            opened_ms: None,
            probe_at_ms: 0,
            probe_wait_ms: 0,
            under_way: 0,
            tokens: config.at_once as u64 * CALL,
            filled_ms: now_ms,
        }
    }

    /// Where it stands, and since when, ms.
    #[must_use]
    pub const fn state(&self) -> (BreakerState, u64) {
        (self.state, self.since_ms)
    }

    /// When it opened, ms, if it has not closed since.
    #[must_use]
    pub const fn opened_ms(&self) -> Option<u64> {
        self.opened_ms
    }

    /// What may be started now; reserves nothing.
    pub fn admission(&mut self, now_ms: u64) -> Admission {
        if sabotage!("no-breaker") {
            return Admission::Calls(self.config.at_once);
        }
        match self.state {
            BreakerState::HalfOpen => sometimes!("peer-being-probed", Admission::Later { wait_ms: None }),
            BreakerState::Open => match self.probe_at_ms.saturating_sub(now_ms) {
                0 => sometimes!("peer-to-be-probed", Admission::Probe),
                wait_ms => sometimes!("peer-not-yet-probed", Admission::Later { wait_ms: Some(wait_ms) }),
            },
            BreakerState::Closed => sometimes!("peer-admitted", self.paced(now_ms)),
        }
    }

    /// Whether a caller that waits for the answer should try at all.
    pub fn is_worth_a_try(&mut self, now_ms: u64) -> bool {
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open | BreakerState::HalfOpen => !matches!(self.admission(now_ms), Admission::Later { .. }),
        }
    }

    /// A call begins.
    pub fn begin(&mut self, now_ms: u64) {
        self.fill(now_ms);
        self.tokens = self.tokens.saturating_sub(CALL);
        self.under_way += usize::from(!sabotage!("any-number-at-once"));
        if self.state == BreakerState::Open && now_ms >= self.probe_at_ms {
            self.turn(BreakerState::HalfOpen, now_ms);
        }
    }

    /// A call ends; tells whether the breaker turned.
    pub fn end(&mut self, ended: Ended, now_ms: u64) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        self.heard(ended, now_ms)
    }

    /// A call that nobody admitted and that counts for nothing ended so; tells whether the breaker turned.
    pub fn heard(&mut self, ended: Ended, now_ms: u64) -> bool {
        let before = self.state;
        match ended {
            Ended::Answered => {
                sometimes!("peer-answered");
                self.failures = 0;
                if self.state != BreakerState::Closed {
                    // Whatever has piled up begins with one call, not with a full bucket.
                    (self.tokens, self.filled_ms) = (CALL, now_ms);
                    self.opened_ms = None;
                    self.turn(BreakerState::Closed, now_ms);
                }
            }
            Ended::Failed | Ended::Unknown => {
                self.failures = self.failures.saturating_add(u32::from(ended == Ended::Failed));
                let opens = match self.state {
                    BreakerState::Closed => {
                        sometimes!("failure-while-closed", self.failures >= self.config.failures)
                    }
                    // Calls that began before it opened may end now; the probe is the last one under way.
                    BreakerState::HalfOpen => sometimes!("failure-while-half-open", self.under_way == 0),
                    BreakerState::Open => sometimes!("failure-while-open", false),
                };
                if opens {
                    self.plan_probe(now_ms);
                    self.turn(BreakerState::Open, now_ms);
                }
            }
        }
        before != self.state
    }

    fn plan_probe(&mut self, now_ms: u64) {
        self.probe_wait_ms = match self.opened_ms {
            None => sometimes!("first-probe", self.config.probe_first_ms),
            Some(_) => sometimes!(
                "next-probe",
                self.probe_wait_ms.saturating_mul(if sabotage!("probes-never-rarer") { 1 } else { 2 })
            ),
        };
        self.probe_wait_ms = self.probe_wait_ms.min(self.config.probe_longest_ms);
        self.opened_ms = self.opened_ms.or(Some(now_ms));
        self.probe_at_ms = now_ms.saturating_add(self.probe_wait_ms);
    }

    fn paced(&mut self, now_ms: u64) -> Admission {
        self.fill(now_ms);
        let free = self.config.at_once.saturating_sub(self.under_way);
        if free == 0 {
            return sometimes!("peer-has-enough", Admission::Later { wait_ms: None });
        }
        let paid = usize::try_from(self.tokens / CALL).unwrap_or(usize::MAX);
        if paid == 0 {
            let missing = CALL - self.tokens;
            let wait_ms = missing.div_ceil(self.config.per_second.max(1));
            return sometimes!("peer-paced", Admission::Later { wait_ms: Some(wait_ms) });
        }
        Admission::Calls(free.min(paid))
    }

    /// A second brings `per_second` calls, so a millisecond brings as many thousandths.
    fn fill(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.filled_ms);
        let most = self.config.at_once as u64 * CALL;
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(self.config.per_second)).min(most);
        self.filled_ms = self.filled_ms.max(now_ms);
    }

    fn turn(&mut self, state: BreakerState, now_ms: u64) {
        (self.state, self.since_ms) = (state, now_ms);
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
