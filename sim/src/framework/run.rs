//! Runs one seed of a scenario on a thread of its own and judges it.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use madsim::{Config, runtime::Runtime};

use super::{
    oracle::Violation,
    scenario::{Judged, Scenario, Witness},
};
use crate::{
    plan::{Plan, SimMs},
    world::{WeakWorld, World},
};

/// What came of a run.
#[derive(Debug)]
pub struct Outcome<H, V> {
    /// What was broken.
    pub plan: Plan,
    /// Faults of the plan that never struck.
    pub unfired: Vec<usize>,
    /// Everything that happened.
    pub history: H,
    /// Hash of all of it.
    pub fingerprint: String,
    /// What the oracles say.
    pub verdict: V,
    /// Simulated length, ms.
    pub sim_ms: SimMs,
    /// Whether the world went with the run. Where it did not, something that a node made holds on to itself, and to its host with
    /// it; a sweep over many seeds then takes more and more memory.
    pub is_freed: bool,
}

/// What a run of this scenario came to.
pub type Ran<S> = Result<Outcome<<<S as Scenario>::Witness as Witness>::History, <S as Scenario>::Verdict>, RunError>;

/// A run that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its thread could not be started.
    #[error("no thread for the run")]
    Thread(#[source] std::io::Error),
    /// Something in it panicked: a defect of the system under test or of the simulator.
    #[error("panicked: {0}")]
    Panicked(String),
}

impl RunError {
    /// As the violation of a promise.
    #[must_use]
    pub fn violation(&self, promise: &'static str) -> Violation {
        Violation { promise, at_ms: 0, subject: "the run".into(), detail: self.to_string(), ledger: None }
    }
}

/// Runs one seed to its end.
///
/// # Errors
/// The run panicked or could not start.
pub fn run_seed<S: Scenario>(scenario: &S, seed: u64) -> Ran<S> {
    on_a_thread(scenario, seed, None)
}

/// Runs one seed to its end with another plan than its own.
///
/// # Errors
/// The run panicked or could not start.
pub fn run_plan<S: Scenario>(scenario: &S, seed: u64, plan: Plan) -> Ran<S> {
    on_a_thread(scenario, seed, Some(plan))
}

/// The broken promises of a run; that of one that panicked is `no panic`.
#[must_use]
pub fn violations_of<H, V: Judged>(ran: &Result<Outcome<H, V>, RunError>) -> Vec<Violation> {
    match ran {
        Ok(outcome) => outcome.verdict.violations().to_vec(),
        Err(error) => vec![error.violation("no panic")],
    }
}

/// On a fresh thread: hash seeds and whatever else a run may leave behind belong to the thread.
#[allow(clippy::disallowed_methods, reason = "the runner lives outside the simulation")]
fn on_a_thread<S: Scenario>(scenario: &S, seed: u64, plan: Option<Plan>) -> Ran<S> {
    let body = move || {
        scenario.prepare();
        // The panic is reported with its seed; nothing of the thread is used afterwards.
        std::panic::catch_unwind(AssertUnwindSafe(|| on_this_thread(scenario, seed, plan)))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("seed".into()).stack_size(8 << 20).spawn_scoped(scope, body);
        match thread.map_err(RunError::Thread)?.join() {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(panic)) | Err(panic) => Err(RunError::Panicked(told(&*panic))),
        }
    })
}

fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_else(|| "no message".into())
}

fn on_this_thread<S: Scenario>(
    scenario: &S,
    seed: u64,
    plan: Option<Plan>,
) -> Outcome<<S::Witness as Witness>::History, S::Verdict> {
    // Creating the runtime comes first: it fixes the thread's hash seeds.
    let runtime = Runtime::with_seed_and_config(seed, Config::default());
    let plan = plan.unwrap_or_else(|| scenario.plan(seed));
    let (history, unfired, sim_ms, world) = runtime.block_on(simulate(scenario, seed, &plan));
    drop(runtime);
    let is_freed = world.upgrade().is_none();
    let fingerprint = S::Witness::fingerprint(&history);
    let verdict = scenario.judge(&history);
    Outcome { plan, unfired, history, fingerprint, verdict, sim_ms, is_freed }
}

async fn simulate<S: Scenario>(
    scenario: &S,
    seed: u64,
    plan: &Plan,
) -> (<S::Witness as Witness>::History, Vec<usize>, SimMs, WeakWorld) {
    let witness = scenario.witness();
    let world = World::new(seed, plan, scenario.protocol(), witness.clone());
    let weak = world.downgrade();
    scenario.start(&world, &witness);
    let stopped = tokio::select! {
        biased;
        until_ms = witness.cut_short() => until_ms,
        () = to_its_end(scenario, &world, &witness) => None,
    };
    let sim_ms = stopped.unwrap_or_else(|| world.now_ms());
    if stopped.is_none() {
        world.rest();
    }
    witness.over(sim_ms);
    let (history, unfired) = (witness.take(), world.unfired());
    world.end().await;
    (history, unfired, sim_ms, weak)
}

/// Workload and faults, the heal, and whatever is left to do then.
async fn to_its_end<S: Scenario>(scenario: &S, world: &World, witness: &S::Witness) {
    tokio::time::sleep(scenario.duration().saturating_sub(Duration::from_millis(world.now_ms()))).await;
    world.heal();
    witness.healed(world.now_ms());
    scenario.settle(world, witness).await;
}
