//! The defects that a run may plant in the broker, to prove that the simulator notices them.
//!
//! Each name is a `sabotage!("...")` site in the broker's source.

/// Every defect: its name, what it breaks, and the promise that must notice it.
pub const SABOTAGES: &[(&str, &str, &str)] = &[
    ("mark-before-effect", "a revival is recorded as done before its copy is stored", "P1"),
    ("dedupe-without-group", "a chain counts as known when another group has one for the same message", "P1"),
    ("rewrite-forgets-broker", "a rewritten checkpoint forgets which broker holds its message", "P1"),
    ("success-before-commit", "an answer says success before its record is synced", "P9"),
    ("empty-found-is-gone", "a successful answer without a message counts as proof that it is gone", "P1"),
    ("attempt-not-persisted", "an attempt is not counted on disk", "P4"),
    ("backoff-from-old-time", "the next wait is counted from the pop, not from now", "P4"),
    ("dropped-error", "a failed attempt is forgotten instead of put back", "P4"),
    ("retry-topic-without-route", "a copy is stored in a retry topic that nobody can pop from", "P1"),
    ("ack-index-off-by-one", "an ack ends the chain of the message beside the one it names", "P3"),
    ("copy-loses-body", "a revived copy has an empty body", "P7"),
];

/// The registered form of a name.
///
/// # Errors
/// The name is unknown; the error says which ones are accepted.
pub fn named(name: &str) -> Result<&'static str, String> {
    let found = SABOTAGES.iter().find(|(known, _, _)| *known == name);
    found.map(|(known, _, _)| *known).ok_or_else(|| {
        let known: Vec<&str> = SABOTAGES.iter().map(|(known, _, _)| *known).collect();
        format!("no such sabotage; accepted: {}", known.join(", "))
    })
}
