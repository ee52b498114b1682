//! Runs one seed on a thread of its own and judges it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use madsim::{Config, runtime::Runtime};
use pop_revive::sabotage;

use super::{cluster, fingerprint::fingerprint, observer::Observer, progress::Progress, turn::Turn};
use crate::{
    faults::proof::proof,
    history::{EventKind, History},
    oracles::{self, Verdict, Violation},
    plan::{Plan, SimMs},
    scenario::Scenario,
    schedule::expand,
    world::World,
};

/// What to run.
#[derive(Debug, Clone)]
pub struct SeedRun {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// The seed.
    pub seed: u64,
    /// The defect to plant, if any.
    pub sabotage: Option<&'static str>,
    /// Stop at this simulated time, whatever is left to do; nothing is judged then. Up to it the run is the whole one.
    pub until_ms: Option<SimMs>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What was broken.
    pub plan: Plan,
    /// Faults of the plan that never struck.
    pub unfired: Vec<usize>,
    /// Everything that happened.
    pub history: History,
    /// Hash of all of it.
    pub fingerprint: String,
    /// What the oracles say.
    pub verdict: Verdict,
    /// Simulated length, ms.
    pub sim_ms: SimMs,
}

/// A run that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its thread could not be started.
    #[error("no thread for the run")]
    Thread(#[source] std::io::Error),
    /// Something in it panicked: a defect of the broker or of the simulator.
    #[error("panicked: {0}")]
    Panicked(String),
}

/// How often the end is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long nothing must happen before a run counts as settled.
const QUIET_MS: SimMs = 30_000;
/// Beyond what the bound counts: detection, routes, restarts.
const SLACK_MS: SimMs = 600_000;

/// Runs one seed to its end.
///
/// # Errors
/// The run panicked or could not start.
pub fn run_seed(run: SeedRun) -> Result<Outcome, RunError> {
    on_a_thread(run, None)
}

/// Runs one seed up to a turn, and from there another future to its end.
///
/// # Errors
/// The run panicked or could not start.
pub fn run_future(run: SeedRun, turn: Turn) -> Result<Outcome, RunError> {
    on_a_thread(run, Some(turn))
}

/// On a fresh thread: hash seeds and sabotage switches belong to the thread.
#[allow(clippy::disallowed_methods, reason = "the runner lives outside the simulation")]
fn on_a_thread(run: SeedRun, turn: Option<Turn>) -> Result<Outcome, RunError> {
    let body = move || {
        sabotage::plant(run.sabotage);
        // The panic is reported with its seed; nothing of the thread is used afterwards.
        std::panic::catch_unwind(AssertUnwindSafe(|| on_this_thread(&run, turn)))
    };
    let thread = std::thread::Builder::new().name("seed".into()).stack_size(8 << 20).spawn(body);
    match thread.map_err(RunError::Thread)?.join() {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(panic)) | Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(RunError::Panicked(text.unwrap_or_else(|| "no message".into())))
        }
    }
}

fn on_this_thread(run: &SeedRun, turn: Option<Turn>) -> Outcome {
    // Creating the runtime comes first: it fixes the thread's hash seeds.
    let runtime = Runtime::with_seed_and_config(run.seed, Config::default());
    let plan = expand(&run.scenario, run.seed);
    let (history, unfired, sim_ms) = runtime.block_on(simulate(run, &plan, turn));
    let fingerprint = fingerprint(&history);
    let verdict = match run.until_ms {
        Some(_) => Verdict::default(),
        None => {
            let mut verdict = oracles::judge(&history, &run.scenario.obligations());
            let struck = plan.faults.iter().enumerate().filter(|(index, _)| !unfired.contains(index));
            verdict.reached.extend(struck.map(|(_, fault)| proof(fault)));
            verdict
        }
    };
    Outcome { plan, unfired, history, fingerprint, verdict, sim_ms }
}

async fn simulate(run: &SeedRun, plan: &Plan, turn: Option<Turn>) -> (History, Vec<usize>, SimMs) {
    let scenario = &run.scenario;
    let groups = scenario.groups.iter().map(|group| (group.name.clone(), group.topic.clone()));
    let mut busy: Vec<String> = scenario.producers.iter().map(|producer| producer.name.clone()).collect();
    busy.push(cluster::OPERATOR.into());
    let progress = Progress::new(groups, busy).with_slaves(scenario.obligations().slaves);
    let observer = Observer::new(progress, run.until_ms);
    let world = World::new(run.seed, plan, observer.clone());
    if let Some(Turn { after, future }) = turn {
        let world = world.downgrade();
        observer.turn_after(after, move || world.upgrade().into_iter().for_each(|world| world.turn(future)));
    }
    cluster::start(&world, scenario, &observer);
    let stopped = tokio::select! {
        biased;
        () = observer.past() => run.until_ms,
        () = to_its_end(&world, scenario, &observer) => None,
    };
    let sim_ms = stopped.unwrap_or_else(|| world.now_ms());
    observer.record(sim_ms, EventKind::Over);
    let (history, unfired) = (observer.take(), world.unfired());
    world.end().await;
    (history, unfired, sim_ms)
}

/// Workload and faults, the heal, and whatever is left to do then.
async fn to_its_end(world: &World, scenario: &Scenario, observer: &Observer) {
    tokio::time::sleep(Duration::from_millis(scenario.duration_ms.saturating_sub(world.now_ms()))).await;
    world.heal();
    observer.record(world.now_ms(), EventKind::Healed);
    settle(world, scenario, observer).await;
}

/// Lets the run go on until nothing is left to do, or the bound has passed.
async fn settle(world: &World, scenario: &Scenario, observer: &Observer) {
    let bound = world.now_ms().max(scenario.last_operator_ms()) + settle_bound_ms(scenario);
    while world.now_ms() < bound {
        if observer.settled_since().is_some_and(|since| world.now_ms() >= since + QUIET_MS) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tracing::warn!(left = observer.unsettled(), "not settled within the bound");
}

/// By when everything must have settled after the heal: one whole round of the policy, then for every retry generation
/// its invisible time, each with slack.
#[must_use]
pub fn settle_bound_ms(scenario: &Scenario) -> SimMs {
    let policy = &scenario.policy;
    let last = policy.waits_ms.last().copied().unwrap_or(0);
    let waits = |k: usize| policy.waits_ms.get(k).copied().unwrap_or(last);
    let round: SimMs = (0..policy.rewrites as usize).map(waits).sum();
    let jittered = round + (round as f64 * policy.jitter) as SimMs;
    // An attempt may take the read timeout and a route look-up.
    let attempts = (SimMs::from(policy.rewrites) + 1) * 16_000;
    let invisible = scenario.consumers.iter().map(|consumer| consumer.invisible_ms).max().unwrap_or(0);
    let generations = scenario.groups.iter().map(|group| SimMs::from(group.max_reconsume) + 2).max().unwrap_or(2);
    jittered + attempts + generations * (2 * invisible + 60_000) + SLACK_MS
}

impl Outcome {
    /// The violations of a run that panicked.
    #[must_use]
    pub fn violation_of(error: &RunError) -> Violation {
        Violation { promise: "P8", at_ms: 0, subject: "the run".into(), detail: error.to_string(), ledger: None }
    }
}
