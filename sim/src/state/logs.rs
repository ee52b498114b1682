//! How far logs reach: on the disk, and on as many disks as the degree says.

use crate::{evidence::Position, ledger::Ledger};

/// The end of a master's log, in words.
pub(super) fn master(ledger: &Ledger<'_>, broker: &str) -> String {
    let log = ledger.logs.get(broker).map_or(&[][..], Vec::as_slice);
    let last = log.iter().map(|step| (step.entry.index, step.entry.term)).max();
    // In the order of the log: the last of those that enough disks have.
    let confirmed = log.iter().filter(|step| ledger.confirmed(broker, step.entry.index, step.event).is_some());
    let confirmed = confirmed.map(|step| (step.entry.index, step.entry.term)).max();
    format!("durable to {}, confirmed to {}", end(last), end(confirmed))
}

/// The end of a slave's log, in words.
pub(super) fn slave(ledger: &Ledger<'_>, node: &str, broker: &str) -> String {
    let last = ledger.replicas.held(node).iter().map(|step| (step.entry.index, step.entry.term)).max();
    let wanted = ledger.logs.get(broker).into_iter().flatten().map(|step| step.entry.index).max();
    let behind = wanted.unwrap_or(0).saturating_sub(last.map_or(0, |(index, _)| index));
    match behind {
        0 => format!("durable to {}, like its master's", end(last)),
        1 => format!("durable to {}, one entry behind its master's", end(last)),
        _ => format!("durable to {}, {behind} entries behind its master's", end(last)),
    }
}

fn end(last: Option<(u64, u64)>) -> String {
    last.map_or_else(
        || "nothing".into(),
        |(index, term)| {
            let Position { term, index } = Position { term, index };
            format!("{term}/{index}")
        },
    )
}
