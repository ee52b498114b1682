//! 10,000 chains at once: opened, expired, and revived from the broker's own queues, through the real service and store
//! on a disk in memory. Run with `cargo bench -p pop-revive --bench revive_many`.
//!
//! In the simulated build no wait costs time, so that what is left is work.

mod machine;

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use machine::{
    MemoryDisk, block_on,
    chains::{DUE_MS, Fill, OWN, Opened, POPPED_MS, chain, message},
};
use pop_revive::{
    model::{cause::ReadFailure, chain::Chain},
    revive::{Admission, Peers, ReadOutcome, Reviver, RewritePolicy},
};

const CHAINS: i64 = 10_000;
/// As many as one pop takes from one queue.
const POP: usize = 32;

/// Nobody is asked: all messages are here.
struct Alone;

#[async_trait]
impl Peers for Alone {
    fn admission(&self, _: &str) -> Admission {
        Admission::Later { wait_ms: None }
    }

    fn away_for(&self, _: &str) -> Option<Duration> {
        None
    }

    fn back_for(&self, _: &str) -> Duration {
        Duration::ZERO
    }

    async fn read(&self, _: &[Chain]) -> Vec<ReadOutcome> {
        Vec::new()
    }

    async fn hand_over(&self, _: &str, _: &[Chain]) -> Result<(), ReadFailure> {
        Ok(())
    }
}

fn main() {
    let disk = MemoryDisk::default();
    println!(
        "{:<18} {:>10} {:>12} {:>10} {:>14} {:>16}",
        "", "ms", "chains/s", "entries", "log B/chain", "written B/chain"
    );
    phase(&disk, "messages stored", POPPED_MS, |opened| Box::pin(async move { fill(opened, true, false).await }));
    phase(&disk, "chains opened", POPPED_MS, |opened| Box::pin(async move { fill(opened, false, true).await }));
    phase(&disk, "chains revived", DUE_MS, |opened| {
        Box::pin(async move {
            let engine = Reviver { own_broker: OWN.into(), policy: RewritePolicy::default(), attempt_limit_ms: 10_000 };
            opened.revive(Arc::new(engine), Arc::new(Alone), CHAINS as usize).await;
            assert_eq!(opened.counted.revived.load(SeqCst), CHAINS as usize, "each once");
        })
    });
    println!("the file in the end: {} B/chain", disk.size() / CHAINS as u64);
}

async fn fill(opened: &Opened, messages: bool, chains: bool) {
    let offsets: Vec<i64> = (0..CHAINS).collect();
    for offsets in offsets.chunks(POP) {
        let messages = offsets.iter().filter(|_| messages).map(|offset| message(*offset)).collect();
        let chains = offsets.iter().filter(|_| chains).map(|offset| chain(OWN, *offset)).collect();
        opened.fill(Fill { messages, chains }).await;
    }
}

type Work<'o> = std::pin::Pin<Box<dyn Future<Output = ()> + 'o>>;

/// Opens the store, works, and closes it.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]
fn phase(disk: &MemoryDisk, name: &str, now_ms: i64, work: impl for<'o> FnOnce(&'o Opened) -> Work<'o>) {
    let (began, written) = (Instant::now(), disk.written());
    let counted = block_on(async {
        let opened = Opened::at(disk, now_ms).await;
        work(&opened).await;
        opened.store.close().await;
        opened.counted.clone()
    });
    let took = began.elapsed().as_secs_f64();
    println!(
        "{name:<18} {:>10.1} {:>12.0} {:>10} {:>14} {:>16}",
        took * 1000.0,
        CHAINS as f64 / took,
        counted.entries.load(SeqCst),
        counted.bytes.load(SeqCst) / CHAINS as usize,
        (disk.written() - written) / CHAINS as u64,
    );
}
