//! What makes two failures the same kind of failure.

use std::{collections::BTreeSet, fmt};

use super::chain_state::chain_state;
use crate::{
    ledger::Ledger,
    oracles::Violation,
    run::{Outcome, RunError},
    scenario::Scenario,
};

/// Stands for whatever belongs to one run alone.
const BLANK: &str = "_";

/// The kind of a failure: the promise that is broken, in what way, and where the chain of the message stood then, if it is
/// about one. What belongs to one run alone is blank: numbers, times, places, ids, and the names that the scenario gives.
/// Failures can be grouped by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    promise: &'static str,
    way: String,
    state: Option<&'static str>,
}

impl Signature {
    /// The kind of one violation, without what only a ledger knows.
    #[must_use]
    pub fn of(violation: &Violation, scenario: &Scenario) -> Self {
        Self { promise: violation.promise, way: way(&violation.detail, &names(scenario)), state: None }
    }

    /// The kinds of a run's violations, the one of its verdict first; none if every promise held.
    #[must_use]
    pub fn all_of(result: &Result<Outcome, RunError>, scenario: &Scenario) -> Vec<Self> {
        match result {
            Ok(outcome) if outcome.verdict.violations.is_empty() => Vec::new(),
            Ok(outcome) => {
                let obligations = scenario.obligations();
                let ledger = Ledger::fold(&outcome.history, &obligations);
                let of = |it| Self { state: chain_state(it, &ledger), ..Self::of(it, scenario) };
                outcome.verdict.violations.iter().map(of).collect()
            }
            Err(error) => vec![Self::of(&Outcome::violation_of(error), scenario)],
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.way)?;
        match self.state {
            Some(state) => write!(f, " (its chain: {state})"),
            None => Ok(()),
        }
    }
}

/// All the names that a detail may hold.
fn names(scenario: &Scenario) -> BTreeSet<String> {
    let nodes = scenario.brokers.iter().map(|it| &it.name).chain(scenario.producers.iter().map(|it| &it.name));
    let nodes = nodes.chain(scenario.consumers.iter().map(|it| &it.name));
    let others = scenario.topics.iter().map(|it| &it.name).chain(scenario.groups.iter().map(|it| &it.name));
    nodes.chain(others).cloned().chain(scenario.name_servers()).collect()
}

/// The words of a detail that say in what way; runs of others are one blank.
fn way(detail: &str, names: &BTreeSet<String>) -> String {
    let mut words: Vec<&str> = Vec::new();
    let bare = without_brackets(detail);
    for word in bare.split_whitespace() {
        let core = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        let core = core.strip_suffix("'s").unwrap_or(core);
        let says = core.chars().all(|c| c.is_alphabetic() || c == '-' || c == '\'') && !names.contains(core);
        match (says && !core.is_empty(), words.last()) {
            (true, _) => words.push(core),
            (false, Some(&BLANK)) => {}
            (false, _) => words.push(BLANK),
        }
    }
    words.join(" ")
}

/// Leaves out what stands in brackets or quotes: debug forms, handles, lists.
fn without_brackets(text: &str) -> String {
    let (mut depth, mut is_quoted, mut left) = (0_u32, false, String::new());
    for c in text.chars() {
        match c {
            '`' | '"' => is_quoted = !is_quoted,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 && !is_quoted => left.push(c),
            _ => {}
        }
    }
    left
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn signature(promise: &'static str, detail: &str) -> String {
        let text = "summary = 'x'\nduration = '1h'\n[[broker]]\nname = 'broker-a'\n[[topic]]\nname = 'orders'\n\
                    [[group]]\nname = 'billing'\ntopic = 'orders'\n";
        let scenario = Scenario::parse("x", "x.toml", text).unwrap();
        let violation =
            Violation { promise, at_ms: 7, subject: "producer-1#17".into(), detail: detail.into(), ledger: None };
        Signature::of(&violation, &scenario).to_string()
    }

    #[test]
    fn what_belongs_to_one_run_is_blank() {
        let lost = "lost for billing: chain broker-a/orders/3/17/billing/1234/1 is still open at broker-a";
        assert_eq!(signature("P1", lost), "P1: lost for _ chain _ is still open at _");
        let waits = "chain broker-a/orders/0/1/billing/5/1: at broker-a it never ends: open (open, next step 0h00m12.000s (round 0))";
        assert_eq!(signature("P4", waits), "P4: chain _ at _ it never ends open");
        let twice = "billing acked `0 5 30000 x` twice and heard Absorbed, then TooLate";
        assert_eq!(signature("P3", twice), "P3: _ acked twice and heard Absorbed then TooLate");
        assert_eq!(
            signature("P2", "copy 1 for billing exists as a/0/1 and as a/0/2"),
            "P2: copy _ for _ exists as _ and as _"
        );
    }

    #[test]
    fn what_differs_in_its_way_differs() {
        let of = |detail| signature("P4", detail);
        assert_ne!(of("it never ends: open (due)"), of("it never ends: moving (due)"));
        assert_ne!(signature("P1", "lost"), signature("P2", "lost"));
    }
}
