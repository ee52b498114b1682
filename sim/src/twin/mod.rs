//! Twins: one seed run twice, in worlds that differ in one respect, must come to the same in the end.
//!
//! Faults may delay a message, and a message that lies on another broker takes another way; neither may change what
//! becomes of it. A twin needs no oracle that knows how: it compares.

mod settled;

use std::sync::Arc;

pub use self::settled::{End, Settled, settled};
use crate::{
    diff,
    history::LedgerId,
    ledger::{Ledger, biography::Biography},
    plan::SimMs,
    run::{Outcome, RunError, SeedRun, run_seed},
    scenario::{OperatorAction, OperatorStep, Retention, Scenario},
};

/// In what the other world differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twin {
    /// Nothing breaks.
    Faultless,
    /// Every broker keeps the chains of its own messages, so that all reads are local.
    Local,
}

impl Twin {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Faultless, Self::Local];

    /// Its name, as on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Faultless => "faultless",
            Self::Local => "local",
        }
    }

    /// The scenario of the other world; what is drawn for producers and consumers stays what it is.
    #[must_use]
    pub fn of(self, scenario: &Scenario) -> Scenario {
        let mut other = scenario.clone();
        match self {
            Self::Faultless => other.faults.clear(),
            Self::Local => other.brokers.iter_mut().for_each(|broker| broker.escapes_to = None),
        }
        other
    }
}

/// A message that came to different ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parted {
    /// Which message.
    pub ledger: LedgerId,
    /// For which group.
    pub group: String,
    /// Its ends in the world of the scenario.
    pub here: Settled,
    /// Its ends in the other one.
    pub there: Settled,
    /// Its life here and there.
    pub lives: (Biography, Biography),
}

/// Where the two event logs part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Line, from 1.
    pub line: usize,
    /// The line here; `None` when the log has ended.
    pub here: Option<String>,
    /// The line there.
    pub there: Option<String>,
}

/// What a comparison came to.
#[derive(Debug)]
pub struct Compared {
    /// Messages and groups that both worlds owe.
    pub owed: usize,
    /// Those that came to different ends.
    pub parted: Vec<Parted>,
    /// The first event that is not the same; `None` if the twins are one.
    pub divergence: Option<Divergence>,
}

/// How often a message may be revived in either world.
const REVIVALS: u32 = 16;

/// How long after the faults have ended somebody resumes what was given up while they lasted.
const RESUMED_AFTER_MS: SimMs = 60_000;

/// In both worlds nothing ends a message for being late, as it should where faults delay it: few revivals make a dead
/// letter of what could not be acked, messages expire, a policy is used up, operators delete topics and reset offsets.
fn patient(mut scenario: Scenario) -> Arc<Scenario> {
    for group in &mut scenario.groups {
        group.max_reconsume = group.max_reconsume.max(REVIVALS);
    }
    for broker in &mut scenario.brokers {
        broker.retention = Retention::default();
    }
    let resumes =
        |action: &_| matches!(action, OperatorAction::ResumeParked { .. } | OperatorAction::ResumeEach { .. });
    scenario.operators.retain(|step| resumes(&step.action));
    let at_ms = scenario.duration_ms.saturating_add(RESUMED_AFTER_MS).max(scenario.last_operator_ms());
    scenario.operators.push(OperatorStep { at_ms, action: OperatorAction::ResumeParked { broker: None } });
    Arc::new(scenario)
}

/// Runs a seed in both worlds and compares what they came to.
///
/// # Errors
/// A run came to nothing.
pub fn compare(run: &SeedRun, twin: Twin) -> Result<Compared, RunError> {
    let in_world = |scenario| SeedRun { scenario: patient(scenario), ..run.clone() };
    let (one, other) = (in_world(Scenario::clone(&run.scenario)), in_world(twin.of(&run.scenario)));
    let (here, there) = (run_seed(one.clone())?, run_seed(other.clone())?);
    Ok(judge((&one, &here), (&other, &there)))
}

fn judge((run, here): (&SeedRun, &Outcome), (other, there): (&SeedRun, &Outcome)) -> Compared {
    let obligations = (run.scenario.obligations(), other.scenario.obligations());
    let ledgers = (Ledger::fold(&here.history, &obligations.0), Ledger::fold(&there.history, &obligations.1));
    let (ours, theirs) = (settled(&ledgers.0), settled(&ledgers.1));
    let (mut owed, mut parted) = (0, Vec::new());
    for (key, here) in ours {
        // What a fault kept from being sent is owed in one world only.
        let Some(there) = theirs.get(&key) else { continue };
        owed += 1;
        if here != *there {
            let lives = (ledgers.0.biography(&key.0), ledgers.1.biography(&key.0));
            parted.push(Parted { ledger: key.0, group: key.1, here, there: there.clone(), lives });
        }
    }
    Compared { owed, parted, divergence: divergence(here, there) }
}

fn divergence(here: &Outcome, there: &Outcome) -> Option<Divergence> {
    let (ours, theirs) = (&here.history, &there.history);
    let common = diff::common(ours, theirs);
    let (here, there) = (ours.events.get(common).map(diff::line), theirs.events.get(common).map(diff::line));
    (here.is_some() || there.is_some()).then_some(Divergence { line: common + 1, here, there })
}
