//! The simulator as a library: break a system of your own by seed, and judge what comes out.
//!
//! - [`World`]: nodes with a network, a disk and a clock each; what runs on them gets a [`Host`](seams::Host).
//! - [`Fault`]: what breaks. A [`Plan`] is a list of them; [`Swarm`] draws one.
//! - [`Workload`]: a client that uses the system, and notes with a [`Recorder`] what it saw.
//! - [`Oracle`]: checks one promise against the [`History`] of a run.
//! - [`Scenario`]: all of these together, which is what [`run_seed`], [`check`], [`shrink`] and [`command_line`] take.
//!
//! The simulator of this repository's broker is one scenario of this kind. `docs/framework.md` goes from an empty crate to
//! a failing seed; `sim/examples/register` is the whole of it in one file. Here is the least there can be: a node that
//! counts its starts on disk, and forgets to sync.
//!
//! ```
//! use std::sync::Arc;
//! use pop_sim::framework::{
//!     Fault, Findings, History, Log, Moment, Plan, Promise, Recorder, Scenario, Violation, World, run_seed, seams::Host,
//!     violations,
//! };
//!
//! #[derive(Debug)]
//! struct Started(u8);
//!
//! async fn count(host: Host, recorder: Recorder<Started>) -> std::io::Result<()> {
//!     let (file, mut count) = (host.disk.open("starts")?, [0]);
//!     if file.len()? > 0 {
//!         file.read(0, &mut count)?;
//!     }
//!     file.write(0, &[count[0] + 1])?; // no file.sync_data()
//!     recorder.record(Started(count[0] + 1));
//!     std::future::pending().await
//! }
//!
//! fn counts_all(history: &History<Started>, found: &mut Findings<'_>) {
//!     for ((at_ms, Started(count)), number) in history.noted().zip(1..) {
//!         if *count != number {
//!             found.broken(at_ms, "the node", format!("start {number} was counted as {count}"));
//!         }
//!     }
//! }
//!
//! struct Counting;
//!
//! impl Scenario for Counting {
//!     type Witness = Log<Started>;
//!     type Verdict = Vec<Violation>;
//!
//!     fn plan(&self, _seed: u64) -> Plan {
//!         let crash = |at| Fault::Crash { node: "node".into(), when: Moment::At(at), down_ms: 1_000 };
//!         Plan { faults: vec![crash(10_000), crash(20_000), crash(30_000)] }
//!     }
//!     fn witness(&self) -> Arc<Log<Started>> {
//!         Arc::default()
//!     }
//!     fn start(&self, world: &World, log: &Arc<Log<Started>>) {
//!         let recorder = log.recorder(world);
//!         world.add_node("node", "10.0.0.1");
//!         world.start("node", move |host, _stop| {
//!             let count = count(host, recorder.clone());
//!             async { drop(count.await) }
//!         });
//!     }
//!     fn judge(&self, history: &History<Started>) -> Vec<Violation> {
//!         let promises: [Promise<Started>; 1] = [("counts all", counts_all)];
//!         violations(&promises, history)
//!     }
//! }
//!
//! let outcome = run_seed(&Counting, 1)?;
//! assert_eq!(outcome.verdict[0].promise, "counts all");
//! assert_eq!(outcome.fingerprint, run_seed(&Counting, 1)?.fingerprint);
//! # Ok::<(), pop_sim::framework::RunError>(())
//! ```

mod check;
mod command_line;
mod failure;
mod oracle;
mod run;
mod scenario;
mod shrink;
mod swarm;
mod sweep;
mod workload;

pub use check::{Checked, all_cores, check};
pub use command_line::command_line;
pub use failure::Failure;
pub use oracle::{Findings, Oracle, Promise, Violation, violations};
pub use run::{Outcome, Ran, RunError, run_plan, run_seed, violations_of};
pub use scenario::{Judged, Scenario, Witness};
pub use shrink::shrink;
pub use swarm::Swarm;
pub use sweep::sweep_by;
pub use workload::Workload;

pub use pop_revive::seams;

pub use crate::{
    history::{Event, EventKind, History, Log, Recorder},
    plan::{Damage, DiskOperation, Fault, Hits, Moment, Plan, Rpcs, SimMs, Window},
    random::{Stream, Streams},
    world::{BoxFuture, End, FrameKind, Header, InTurn, Protocol, StopSignal, World},
};
