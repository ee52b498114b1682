//! One run with a crash at a point, or at two, and what it came to.

use std::sync::Arc;

use super::{
    number::{Numbered, Numbers, number},
    point::{Point, Points},
    prefix::hashes,
};
use crate::{
    history::{EventKind, History, Noted},
    plan::SimMs,
    report::failure::told,
    run::{Outcome, RunError, SeedRun},
    scenario::{CrashPoints, Phase, Scenario},
};

/// How long after the return of a crashed node a second crash counts as one in the same step of the same chains.
pub const STEP_MS: SimMs = 10_000;

/// What every run of a sweep has in common.
#[derive(Debug, Clone)]
pub struct Base {
    scenario: Arc<Scenario>,
    seed: u64,
    down_ms: SimMs,
    sabotage: Option<&'static str>,
}

impl Base {
    /// The runs of this section; `seed` replaces the section's own.
    #[must_use]
    pub fn new(section: &CrashPoints, seed: Option<u64>, sabotage: Option<&'static str>) -> Self {
        let scenario = Arc::new((*section.scenario).clone());
        Self { scenario, seed: seed.unwrap_or(section.seed), down_ms: section.down_ms, sabotage }
    }

    /// The seed of all of them.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The run whose points are numbered.
    #[must_use]
    pub fn reference(&self) -> SeedRun {
        self.with(&[])
    }

    fn with(&self, crashes: &[&Point]) -> SeedRun {
        let mut scenario = self.scenario.clone();
        if !crashes.is_empty() {
            let changed = Arc::make_mut(&mut scenario);
            changed.faults.extend(crashes.iter().map(|point| point.crash(self.down_ms)));
        }
        SeedRun { scenario, seed: self.seed, sabotage: self.sabotage, until_ms: None }
    }

    /// The points of the reference run, and a trial for each that can be crashed at.
    #[must_use]
    pub fn singles(&self, reference: &Outcome) -> (Numbers, Vec<Trial>) {
        let numbers = number(&self.scenario, &reference.history, &reference.plan);
        let planned = reference.plan.faults.len();
        let trial = |first| Trial { planned, first, second: None };
        let trials = steps(&reference.history, numbers.points.iter()).map(trial).collect();
        (numbers, trials)
    }
}

/// A crash to come, and how the run has begun by then.
#[derive(Debug, Clone)]
struct Step {
    numbered: Numbered,
    before: blake3::Hash,
}

fn steps<'n>(history: &History, points: impl Iterator<Item = &'n Numbered> + Clone) -> impl Iterator<Item = Step> {
    let hashes = hashes(history, points.clone().map(|numbered| numbered.prefix));
    let steps = points.filter_map(move |numbered| {
        let before = *hashes.get(&numbered.prefix)?;
        Some(Step { numbered: numbered.clone(), before })
    });
    steps.collect::<Vec<_>>().into_iter()
}

/// A run that crashes at a point, or at two.
#[derive(Debug, Clone)]
pub struct Trial {
    /// How many faults the plan has without the crashes.
    planned: usize,
    first: Step,
    second: Option<Step>,
}

/// What a trial came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What is wrong, in one line; `None` when every promise held and every crash struck where it should.
    pub verdict: Option<String>,
    /// Every crash struck.
    pub struck: bool,
    /// Up to its crashes the run was the one that was numbered.
    pub same: bool,
}

impl Trial {
    /// Where it crashes.
    #[must_use]
    pub fn points(&self) -> Points {
        let second = self.second.as_ref().map(|step| step.numbered.point.clone());
        Points { first: self.first.numbered.point.clone(), second }
    }

    /// The first point.
    #[must_use]
    pub const fn first(&self) -> &Numbered {
        &self.first.numbered
    }

    /// What the node was doing when the last crash came.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.second.as_ref().unwrap_or(&self.first).numbered.phase
    }

    /// Whether it crashes twice.
    #[must_use]
    pub const fn is_pair(&self) -> bool {
        self.second.is_some()
    }

    fn steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        let steps = std::iter::once(&self.first).chain(&self.second).enumerate();
        steps.map(|(number, step)| (self.planned + number, step))
    }

    /// The run.
    #[must_use]
    pub fn run(&self, base: &Base) -> SeedRun {
        let crashes: Vec<&Point> = self.steps().map(|(_, step)| &step.numbered.point).collect();
        base.with(&crashes)
    }

    /// Judges its run.
    #[must_use]
    pub fn judge(&self, result: &Result<Outcome, RunError>) -> Judged {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                let verdict = Some(told(&Outcome::violation_of(error)));
                return Judged { verdict, struck: true, same: true };
            }
        };
        let has_struck = |fault| fault < outcome.plan.faults.len() && !outcome.unfired.contains(&fault);
        let missed = self.steps().find(|(fault, _)| !has_struck(*fault));
        let strayed = self.steps().find(|(_, step)| !step.is_where_it_was(&outcome.history));
        let at = |step: &Step| step.numbered.point.to_string();
        let verdict = match (missed, strayed, outcome.verdict.violations.first()) {
            (Some((_, step)), ..) => Some(format!("the crash at {} never struck", at(step))),
            (_, Some((_, step)), _) => Some(format!(
                "the run is not the numbered one up to the crash at {}: a run is not reproducible",
                at(step)
            )),
            (.., violation) => violation.map(told),
        };
        Judged { verdict, struck: missed.is_none(), same: strayed.is_none() }
    }

    /// The trials that crash a second time soon after: at points of the crashed node after its return, and of the other
    /// brokers meanwhile, in turn and the nearest first. At most `limit`; tells also how many more there are.
    #[must_use]
    pub fn seconds(&self, base: &Base, outcome: &Outcome, limit: usize) -> (Vec<Self>, u64) {
        let first = &self.first.numbered;
        let numbers = number(&base.scenario, &outcome.history, &outcome.plan);
        let until_ms = first.at_ms + base.down_ms + STEP_MS;
        let near = |numbered: &&Numbered| {
            numbered.prefix > first.prefix && numbered.at_ms <= until_ms && numbered.phase.is_busy()
        };
        let near: Vec<&Numbered> = numbers.points.iter().filter(near).collect();
        let (own, others): (Vec<&Numbered>, Vec<&Numbered>) =
            near.iter().partition(|numbered| numbered.point.node == first.point.node);
        let chosen: Vec<&Numbered> = in_turn(&own, &others).into_iter().take(limit).collect();
        let left = (near.len() - chosen.len()) as u64;
        let pair = |second| Self { second: Some(second), ..self.clone() };
        (steps(&outcome.history, chosen.into_iter()).map(pair).collect(), left)
    }

    /// The trial that crashes at `second` too, if its run has that point.
    #[must_use]
    pub fn second(&self, base: &Base, outcome: &Outcome, second: &Point) -> Option<Self> {
        let numbers = number(&base.scenario, &outcome.history, &outcome.plan);
        let later = |numbered: &&Numbered| numbered.point == *second && numbered.prefix > self.first.numbered.prefix;
        let found = numbers.points.iter().find(later)?;
        let second = steps(&outcome.history, std::iter::once(found)).next();
        second.map(|second| Self { second: Some(second), ..self.clone() })
    }
}

/// One of each, then the next of each.
fn in_turn<'n>(one: &[&'n Numbered], other: &[&'n Numbered]) -> Vec<&'n Numbered> {
    let longest = one.len().max(other.len());
    (0..longest).flat_map(|at| one.get(at).into_iter().chain(other.get(at)).copied()).collect()
}

impl Step {
    /// Whether the run began as the numbered one did, and the node went down right then.
    fn is_where_it_was(&self, history: &History) -> bool {
        let Numbered { point, prefix, .. } = &self.numbered;
        let went_down = history.events.get(*prefix..).unwrap_or_default().iter().find_map(|event| match &event.kind {
            // What else the plan does to the same frame, and what survives of un-synced writes, is told before.
            EventKind::Fault { .. } | EventKind::Noted(Noted::Durable { .. } | Noted::Again { .. }) => None,
            EventKind::Node { node, event } => Some(*node == point.node && event == "crashed"),
            _ => Some(false),
        });
        went_down == Some(true) && hashes(history, [*prefix]).get(prefix) == Some(&self.before)
    }
}
