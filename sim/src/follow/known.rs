//! A message that a run has not, and those that it has.

use std::collections::BTreeMap;

use crate::{history::LedgerId, ledger::Ledger};

/// Producers whose messages are named; of more the number is told.
const NAMED: usize = 6;

/// Nothing in a run is about this message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no message \"{asked}\" in this run; accepted: {known}")]
pub struct UnknownMessage {
    /// What was asked for.
    pub asked: String,
    /// The messages there are, in words.
    pub known: String,
}

impl UnknownMessage {
    pub(super) fn among(ledger: &Ledger<'_>, asked: &LedgerId) -> Self {
        let mut spans: BTreeMap<&str, (&str, &str, u64)> = BTreeMap::new();
        let stamps = ledger.sends.iter().map(|(_, sent)| &*sent.ledger.0);
        for stamp in stamps {
            let producer = stamp.split_once('#').map_or(stamp, |(producer, _)| producer);
            let span = spans.entry(producer).or_insert((stamp, stamp, 0));
            *span = (span.0.min(stamp), span.1.max(stamp), span.2 + 1);
        }
        let named = spans.values().take(NAMED).map(|(first, last, count)| match count {
            1 => (*first).to_owned(),
            _ => format!("{first} to {last}"),
        });
        let mut known: Vec<String> = named.collect();
        if spans.len() > NAMED {
            known.push(format!("those of {} more producers", spans.len() - NAMED));
        }
        if known.is_empty() {
            known.push("none, for nothing was sent in it".into());
        }
        Self { asked: asked.to_string(), known: known.join(", ") }
    }
}
