//! Runs one seed of a cluster and judges it.

use std::{rc::Rc, sync::Arc, time::Duration};

use pop_revive::{buggify, sabotage, sometimes};

use super::{
    Remoting, cluster,
    culprit::{Caught, Culprit},
    observer::Observer,
    progress::Progress,
    turn::Turn,
};
use crate::{
    faults::proof::proof,
    framework::{self, RunError},
    history::History,
    oracles::{self, Verdict, Violation},
    plan::{Plan, SimMs},
    scenario::{Consumer, Network, Scenario},
    schedule::expand,
    world::{Protocol, World},
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
pub type Outcome = framework::Outcome<History, Verdict>;

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
    run_staged(run, None)
}

/// Runs one seed up to a turn, and from there another future to its end.
///
/// # Errors
/// The run panicked or could not start.
pub fn run_future(run: SeedRun, turn: Turn) -> Result<Outcome, RunError> {
    run_staged(run, Some(Moment::Turn(turn)))
}

/// Runs one seed, and tells who did what is noted as its `nth` event, from 1; nobody if there are not so many.
///
/// # Errors
/// The run panicked or could not start.
pub fn culprit_of(run: SeedRun, nth: usize) -> Result<Option<Culprit>, RunError> {
    let caught = Caught::default();
    run_staged(run, Some(Moment::Look { after: nth, caught: caught.clone() }))?;
    Ok(caught.take())
}

/// What is done in the middle of a run.
enum Moment {
    /// It goes on to another future.
    Turn(Turn),
    /// Whoever just did something is looked at.
    Look { after: usize, caught: Caught },
}

/// Runs it, and adds what the faults that struck prove.
fn run_staged(run: SeedRun, moment: Option<Moment>) -> Result<Outcome, RunError> {
    let (seed, is_whole) = (run.seed, run.until_ms.is_none());
    let mut outcome = framework::run_seed(&Staged { run, moment }, seed)?;
    if is_whole {
        let struck = outcome.plan.faults.iter().enumerate().filter(|(index, _)| !outcome.unfired.contains(index));
        outcome.verdict.reached.extend(struck.map(|(_, fault)| proof(fault)));
    }
    Ok(outcome)
}

/// A cluster's scenario as the runner sees it.
struct Staged {
    run: SeedRun,
    moment: Option<Moment>,
}

impl framework::Scenario for Staged {
    type Witness = Observer;
    type Verdict = Verdict;

    fn plan(&self, seed: u64) -> Plan {
        expand(&self.run.scenario, seed)
    }

    fn witness(&self) -> Arc<Observer> {
        let scenario = &self.run.scenario;
        let groups = scenario.groups.iter().map(|group| (group.name.clone(), group.topic.clone()));
        let mut busy: Vec<String> = scenario.producers.iter().map(|producer| producer.name.clone()).collect();
        busy.push(cluster::OPERATOR.into());
        let progress = Progress::new(groups, busy).with_slaves(scenario.obligations().slaves);
        Arc::new(Observer::new(progress, self.run.until_ms))
    }

    fn protocol(&self) -> Arc<dyn Protocol> {
        Arc::new(Remoting)
    }

    fn start(&self, world: &World, observer: &Arc<Observer>) {
        let here = world.downgrade();
        match &self.moment {
            Some(Moment::Turn(Turn { after, future })) => {
                let future = *future;
                observer.turn_after(*after, move || here.upgrade().into_iter().for_each(|world| world.turn(future)));
            }
            Some(Moment::Look { after, caught }) => {
                let caught = caught.clone();
                observer.turn_after(*after, move || caught.in_the_act(here.upgrade().and_then(|it| it.who_acts())));
            }
            None => {}
        }
        if let Some(Network { min_ms, max_ms }) = self.run.scenario.network {
            world.set_latency(Duration::from_millis(min_ms)..=Duration::from_millis(max_ms));
        }
        let sites = world.downgrade();
        buggify::judge_by(Some(Rc::new(move |site| sites.upgrade().is_some_and(|world| world.buggify(site)))));
        cluster::start(world, &self.run.scenario, observer);
    }

    fn duration(&self) -> Duration {
        Duration::from_millis(self.run.scenario.duration_ms)
    }

    async fn settle(&self, world: &World, observer: &Observer) {
        settle(world, &self.run.scenario, observer).await;
    }

    fn judge(&self, history: &History) -> Verdict {
        match self.run.until_ms {
            Some(_) => Verdict::default(),
            None => {
                let mut verdict = oracles::judge(history, &self.run.scenario.obligations());
                verdict.reached.extend(sometimes::take());
                verdict
            }
        }
    }

    /// Planted defects belong to the thread.
    fn prepare(&self) {
        sabotage::plant(self.run.sabotage);
        buggify::judge_by(None);
    }
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
    let held = |consumer: &Consumer| consumer.invisible_ms + SimMs::from(consumer.renewals) * consumer.renewed_ms();
    let held = scenario.consumers.iter().map(held).max().unwrap_or(0);
    let generations = scenario.groups.iter().map(|group| SimMs::from(group.max_reconsume) + 2).max().unwrap_or(2);
    jittered + attempts + generations * (held + 60_000) + SLACK_MS
}

impl Outcome {
    /// The violations of a run that panicked.
    #[must_use]
    pub fn violation_of(error: &RunError) -> Violation {
        error.violation("P8")
    }
}
