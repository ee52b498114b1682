//! What it costs the way that succeeds that reads can fail: instructions with classification, breaker, rewrite policy
//! and attempt history against the same reads, commits and copies without them. The aim is 2 % at the most.
//!
//! Run with `cargo bench -p pop-revive --bench what_errors_cost`. It runs itself under valgrind's callgrind, in the
//! simulated build, in which one seed is one sequence of instructions; without valgrind it says so and measures nothing.
//!
//! *Without* means: the first message of the answer is the first chain's, the second the second's, nobody looks at what
//! else an answer may say; the peer is always called; the next attempt is planned after a fixed wait.

#[path = "what_errors_cost/baseline.rs"]
mod baseline;
mod machine;
#[path = "what_errors_cost/owner.rs"]
mod owner;

use std::{
    process::{Command, ExitCode},
    sync::{Arc, atomic::Ordering::SeqCst},
};

use machine::{
    MemoryDisk, block_on,
    chains::{DUE_MS, Fill, OWN, Opened, POPPED_MS, chain},
};
use pop_revive::revive::{Engine, Peers, Reviver, RewritePolicy};

/// Who has the messages.
const OTHER: &str = "broker-b";
const CHAINS: i64 = 2_048;
const ATTEMPT_LIMIT_MS: i64 = 10_000;
/// The most that errors may cost the way that succeeds.
const AIM_PERCENT: f64 = 2.0;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--under-valgrind") {
        run(args.get(at + 1).map_or("", String::as_str));
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: this benchmark counts instructions and needs `valgrind` in the path");
        return ExitCode::SUCCESS;
    }
    let [idle, with, without] = ["idle", "with", "without"].map(count);
    assert_eq!(with.entries, without.entries, "both store the same");
    let (with, without) = (with.instructions - idle.instructions, without.instructions - idle.instructions);
    let percent = (with as f64 / without as f64 - 1.0) * 100.0;
    let each = |instructions: u64| instructions / CHAINS as u64;
    println!("per chain: {} instructions with, {} without", each(with), each(without));
    println!("errors cost the way that succeeds {percent:.2} % (the aim is {AIM_PERCENT} % at the most)");
    ExitCode::SUCCESS
}

/// What one run came to.
struct Run {
    instructions: u64,
    entries: u64,
}

/// Runs this program again, under callgrind.
fn count(way: &str) -> Run {
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--under-valgrind", way])
        .output()
        .unwrap_or_else(|error| panic!("valgrind: {error}"));
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{way}: {out}{log}");
    let number_after = |text: &str, word: &str| {
        let rest = text.split(word).nth(1).unwrap_or_else(|| panic!("no {word:?} in {text}"));
        let number = rest.split_whitespace().next().unwrap_or_default();
        number.parse().unwrap_or_else(|error| panic!("{number:?}: {error}"))
    };
    let run = Run { instructions: number_after(&log, "Collected :"), entries: number_after(&out, "entries") };
    println!("{way:<8} {:>14} instructions {:>6} log entries", run.instructions, run.entries);
    run
}

/// Opens the chains, and revives them `with` or `without`.
fn run(way: &str) {
    let disk = MemoryDisk::default();
    block_on(async {
        let opened = Opened::at(&disk, POPPED_MS).await;
        let offsets: Vec<i64> = (0..CHAINS).collect();
        for offsets in offsets.chunks(32) {
            let chains = offsets.iter().map(|offset| chain(OTHER, *offset)).collect();
            opened.fill(Fill { messages: Vec::new(), chains }).await;
        }
        opened.store.close().await;
    });
    block_on(async {
        let opened = Opened::at(&disk, DUE_MS).await;
        let owner = owner::Owner::start().await;
        let ways: Option<(Arc<dyn Engine>, Arc<dyn Peers>)> = match way {
            "with" => {
                let policy = RewritePolicy::default();
                let engine = Reviver { own_broker: OWN.into(), policy, attempt_limit_ms: ATTEMPT_LIMIT_MS };
                Some((Arc::new(engine), Arc::new(owner.neighbours(opened.clock.clone()))))
            }
            "without" => Some((Arc::new(baseline::Plain), Arc::new(owner.plain()))),
            _ => None,
        };
        if let Some((engine, peers)) = ways {
            opened.revive(engine, peers, CHAINS as usize).await;
        }
        opened.store.close().await;
        let (entries, bytes) = (opened.counted.entries.load(SeqCst), opened.counted.bytes.load(SeqCst));
        println!("entries {entries} of {bytes} bytes; {} written, a file of {}", disk.written(), disk.size());
    });
}
