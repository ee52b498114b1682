//! Part of P1: what a damaged store has lost is none of what can be had again.
//!
//! Rule: disks of the simulator damage nothing that a log entry lies in where a broker is alone, so that all of it follows from
//! the log. A broker that goes on with what is left of its store, and says that anything is lost, has lost it itself.

use super::Findings;
use crate::{evidence::Fact, ledger::Ledger};

/// What such a broker sets aside its report under, and how that ends when nothing is lost.
const REPORT: (&str, &str) = ("salvage", "nothing is lost");

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for (node, log) in &ledger.logs {
        for step in log {
            for fact in &step.entry.facts {
                if let Fact::SetAside { tag, reason } = fact
                    && tag == REPORT.0
                    && !reason.ends_with(REPORT.1)
                {
                    let detail = format!("it went on without some of what it had: {reason}");
                    found.broken(ledger.at_ms(step.event), node, detail);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{evidence::Fact, oracles::fixture::Story};

    #[test]
    fn whoever_says_that_something_is_lost_has_lost_it() {
        for (tag, reason, noticed) in [
            ("salvage", "`store.redb` was damaged; nothing is lost", false),
            ("salvage", "`store.redb` was damaged; what is lost is listed in the body", true),
            ("ck", "cut off", false),
        ] {
            let mut story = Story::new();
            story.durable("a", vec![Fact::SetAside { tag: tag.into(), reason: reason.into() }]);
            assert_eq!(story.is_blamed("P1", "went on without"), noticed, "{reason}");
        }
    }
}
