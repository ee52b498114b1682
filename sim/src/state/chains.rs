//! The chains that a broker's disk holds: those that go on, one line each, and how the others ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    evidence::{ChainFact, ChainId, ChainState, Outcome},
    ledger::Ledger,
    report::chain::{failed, stands},
};

/// Chains of one broker.
pub(super) struct Chains<'h> {
    /// Those with a next step, the next one first; then the parked ones.
    pub(super) live: Vec<&'h ChainFact>,
    /// How many are in which state.
    pub(super) counts: BTreeMap<&'static str, usize>,
}

impl<'h> Chains<'h> {
    pub(super) fn of(ledger: &Ledger<'h>, broker: &str) -> Self {
        let forgotten = ledger.forgotten.iter().filter(|it| it.node == broker).map(|it| it.id);
        let forgotten: BTreeSet<&ChainId> = forgotten.collect();
        let (mut live, mut counts) = (Vec::new(), BTreeMap::new());
        for life in ledger.chains.iter().filter(|life| life.node == broker && !forgotten.contains(life.id)) {
            let chain = life.last();
            *counts.entry(name(&chain.state)).or_default() += 1;
            if is_live(&chain.state) {
                live.push(chain);
            }
        }
        live.sort_by_key(|chain| (due_ms(&chain.state), &chain.id));
        Self { live, counts }
    }

    /// The counts in words, for example `2 open, 1 parked, 17 acked`.
    pub(super) fn counted(&self) -> String {
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        if counts.is_empty() { "none".into() } else { counts.join(", ") }
    }
}

/// A chain in one line.
pub(super) fn line(chain: &ChainFact, home: &str) -> String {
    let reads = match &chain.state {
        ChainState::Open { .. } | ChainState::Parked { .. } if chain.id.broker != home => {
            format!(", reads from {}", chain.id.broker)
        }
        _ => String::new(),
    };
    let failure = chain.latest.last().map_or_else(String::new, |last| format!(", last failure: {}", failed(last)));
    format!("{} {}{reads}{failure}", chain.id, stands(chain))
}

const fn is_live(state: &ChainState) -> bool {
    matches!(state, ChainState::Open { .. } | ChainState::Moving { .. } | ChainState::Parked { .. })
}

const fn due_ms(state: &ChainState) -> i64 {
    match state {
        ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. } => *due_ms,
        _ => i64::MAX,
    }
}

const fn name(state: &ChainState) -> &'static str {
    match state {
        ChainState::Open { .. } => "open",
        ChainState::Moving { .. } => "being handed over",
        ChainState::Moved { .. } => "handed over",
        ChainState::Parked { .. } => "parked",
        ChainState::Ended { outcome, .. } => match outcome {
            Outcome::Acked => "acked",
            Outcome::Revived(_) => "revived",
            Outcome::DeadLettered(_) => "dead-lettered",
            Outcome::Gone(_) => "gone",
            Outcome::Superseded(_) => "renewed",
            Outcome::Reset => "reset",
        },
    }
}
