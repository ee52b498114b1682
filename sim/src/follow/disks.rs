//! What disks hold of the message: the facts about it in the entries of every log, those of slaves too.

use super::Subject;
use crate::{
    evidence::{ChainFact, DurableEntry, Fact},
    history::{EventKind, Noted},
    report::{
        chain::{failed, stands},
        facts::fact,
        timeline::Line,
    },
};

pub(super) fn lines(subject: &Subject<'_, '_>) -> Vec<Line> {
    let obligations = subject.ledger.obligations;
    let mut lines = Vec::new();
    for (number, event) in subject.ledger.history.events.iter().enumerate() {
        let EventKind::Noted(Noted::Durable { node, sync, entry }) = &event.kind else { continue };
        let broker = obligations.group_of(node);
        let how = if broker == node { "durable" } else { "copied" };
        if let Some(facts) = told(subject, broker, entry) {
            let text = format!("{how} by sync {sync}, entry {}/{}: {facts}", entry.term, entry.index);
            lines.push(Line { event: number, at_ms: event.at_ms, node: node.clone(), text });
        }
    }
    lines
}

/// The facts of an entry that are about the message.
fn told(subject: &Subject<'_, '_>, broker: &str, entry: &DurableEntry) -> Option<String> {
    let about = entry.facts.iter().filter(|fact| subject.concerns(broker, fact));
    let about: Vec<String> = about
        .map(|it| match it {
            Fact::Chain(it) => chain(it),
            _ => fact(it),
        })
        .collect();
    (!about.is_empty()).then(|| about.join("; "))
}

fn chain(chain: &ChainFact) -> String {
    let failure = chain.latest.last().map_or_else(String::new, |last| {
        let (round, attempt) = (last.round, last.attempt);
        format!(", attempt {attempt} of round {round} failed: {}", failed(last))
    });
    format!("chain {} {}{failure}", chain.id, stands(chain))
}
