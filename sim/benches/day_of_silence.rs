//! A day of silence with 100,000 chains waiting: what it costs in calls and memory, and how fast all is delivered once
//! the peer is back, or once an operator resumes what was parked. It fails when a figure is out of bounds. Run with
//! `cargo bench -p pop-sim --bench day_of_silence [CHAINS]`.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use pop_sim::{
    evidence::Fact,
    history::{EventKind, History, Noted},
    oracles::Counts,
    run::{SeedRun, run_seed},
    scenario::Scenario,
};

/// The command line's, so that a run costs here what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PULL_MESSAGE: i32 = 11;
const HOUR_MS: u64 = 3_600_000;
/// The owner is silent from here to there.
const SILENCE_MS: (u64, u64) = (3 * HOUR_MS, 27 * HOUR_MS);
/// When the operator resumes what was parked.
const RESUMED_MS: u64 = 28 * HOUR_MS;
/// Calls that a day of silence may cost, however many chains wait.
const SILENT_CALLS: usize = 3_000;
/// A read of the drain brings at least so many messages on average.
const PER_READ: usize = 16;
/// All is delivered so long after it can be.
const DELIVERED_WITHIN_MS: u64 = 600_000;

struct Figures {
    chains: usize,
    counts: Counts,
    silent_calls: usize,
    drain_reads: usize,
    /// From the peer's return or the resumption to the last first delivery of a copy, ms.
    delivered_after_ms: u64,
}

fn main() {
    let chains = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    println!(
        "{:<22} {:>8} {:>8} {:>8} {:>12} {:>11} {:>12} {:>10}",
        "scenario", "chains", "revived", "parked", "silent calls", "drain reads", "delivered s", "peak MiB"
    );
    let outlasted = measure("day-of-silence", chains, SILENCE_MS.1);
    let parked = measure("day-of-silence-parks", chains, RESUMED_MS);
    assert_eq!(outlasted.counts.parked, 0, "the policy outlasts the silence");
    assert!(parked.counts.parked as usize >= chains, "every chain is parked at the end of the policy");
    for figures in [outlasted, parked] {
        assert!(figures.counts.revived as usize >= figures.chains, "every chain is revived");
        assert!(figures.silent_calls <= SILENT_CALLS, "{} calls into the silence", figures.silent_calls);
        assert!(figures.drain_reads <= figures.chains / PER_READ, "{} reads in the drain", figures.drain_reads);
        assert!(figures.delivered_after_ms <= DELIVERED_WITHIN_MS, "delivered {} ms after", figures.delivered_after_ms);
    }
}

fn measure(name: &str, chains: usize, since_ms: u64) -> Figures {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/long")).join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.replace("messages = 100_000", &format!("messages = {chains}"));
    let scenario =
        Scenario::parse(name, &path.display().to_string(), &text).unwrap_or_else(|errors| panic!("{errors}"));
    let run = SeedRun { scenario: Arc::new(scenario), seed: 1, sabotage: None, until_ms: None };
    let outcome = run_seed(run).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(outcome.verdict.violations.is_empty(), "{name}: {:?}", outcome.verdict.violations.first());
    let figures = Figures {
        chains,
        silent_calls: attempts(&outcome.history, SILENCE_MS.0, SILENCE_MS.1),
        drain_reads: reads(&outcome.history, SILENCE_MS.1, u64::MAX),
        delivered_after_ms: last_delivery_ms(&outcome.history).saturating_sub(since_ms),
        counts: outcome.verdict.counts,
    };
    println!(
        "{name:<22} {chains:>8} {:>8} {:>8} {:>12} {:>11} {:>12.1} {:>10}",
        figures.counts.revived,
        figures.counts.parked,
        figures.silent_calls,
        figures.drain_reads,
        figures.delivered_after_ms as f64 / 1000.0,
        peak_mib()
    );
    figures
}

/// Attempts that the home of the chains began in this span. Into the silence each of them is a call of its own, most of
/// which never get as far as a frame: nobody accepts the connection.
fn attempts(history: &History, from_ms: u64, to_ms: u64) -> usize {
    let (mut latest, mut begun) = (BTreeMap::new(), 0);
    for event in &history.events {
        let EventKind::Noted(Noted::Durable { node, entry, .. }) = &event.kind else { continue };
        for fact in entry.facts.iter().filter(|_| &**node == "broker-b") {
            let Fact::Chain(chain) = fact else { continue };
            let before = latest.insert(&chain.id, (chain.round, chain.attempt)).unwrap_or_default();
            begun += usize::from((from_ms..to_ms).contains(&event.at_ms) && (chain.round, chain.attempt) > before);
        }
    }
    begun
}

/// Reads that the home of the chains sent to their owner in this span.
fn reads(history: &History, from_ms: u64, to_ms: u64) -> usize {
    let is_read = |kind: &EventKind| matches!(kind, EventKind::Request(frame) if frame.request_code == PULL_MESSAGE && &*frame.to == "broker-a");
    let in_span = history.events.iter().filter(|event| (from_ms..to_ms).contains(&event.at_ms));
    in_span.filter(|event| is_read(&event.kind)).count()
}

/// When a copy was delivered for the first time that was the last to be.
fn last_delivery_ms(history: &History) -> u64 {
    let brings_copies = |kind: &EventKind| match kind {
        EventKind::Noted(Noted::Popped(popped)) => match &popped.seen {
            pop_sim::history::Seen::Ok(messages) => messages.iter().any(|message| message.reconsume == 1),
            _ => false,
        },
        _ => false,
    };
    history.events.iter().rev().find(|event| brings_copies(&event.kind)).map_or(u64::MAX, |event| event.at_ms)
}

/// The most memory that this process ever had, MiB, as Linux tells it; 0 elsewhere.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    peak.map_or(0, |kib: u64| kib / 1024)
}
