//! From a `[crash_points]` table to a [`CrashPoints`]: a scenario of its own, made of the file's tables and the section's.

use super::cast::CrashPoints;
use super::check::{Parts, assemble};
use super::error::Problem;
use super::file::{CrashPointsEntry, ScenarioFile};
use super::findings::{Findings, Zero};
use super::phase::Phase;
use super::shapes::Located;

/// Every point costs a run, and more for its pairs.
const MESSAGES: i64 = 5;
/// How long a crashed node stays away unless the section says otherwise.
const DOWN_MS: u64 = 1_000;

/// Checks the section together with what it leaves as it is.
pub(super) fn crash_points(
    f: &mut Findings<'_>,
    name: &str,
    file: &ScenarioFile,
    section: &Located<CrashPointsEntry>,
) -> CrashPoints {
    let entry = section.get();
    let whole = Parts::of(file);
    let parts = Parts {
        file,
        duration: entry.duration.as_ref().unwrap_or(whole.duration),
        producer: &entry.producer,
        consumer: entry.consumer.as_deref().unwrap_or(whole.consumer),
        policy: entry.policy.as_ref().or(whole.policy),
        fault: entry.fault.as_deref().unwrap_or(whole.fault),
        operator: entry.operator.as_deref().unwrap_or(whole.operator),
    };
    let mut inner = f.fresh();
    let scenario = Box::new(assemble(&mut inner, name, &parts));
    f.absorb("crash_points", inner);
    few_messages(f, section);
    CrashPoints {
        seed: f.number("crash_points.seed", entry.seed.as_ref(), 1, 0..=u64::MAX),
        down_ms: f.time_or("crash_points.down", entry.down.as_ref(), DOWN_MS, Zero::Refused),
        phases: phases(f, entry),
        scenario,
    }
}

fn few_messages(f: &mut Findings<'_>, section: &Located<CrashPointsEntry>) {
    let mut sum: i64 = 0;
    for producer in &section.get().producer {
        let before = sum;
        sum = sum.saturating_add(*producer.messages.get());
        if before <= MESSAGES && sum > MESSAGES {
            let value = format!("a workload of {sum} messages");
            let accepted = format!("at most {MESSAGES} messages in all, for every point costs runs of its own");
            f.report(
                "crash_points.producer.messages",
                producer.messages.span(),
                Problem::OutOfRange { value, accepted },
            );
        }
    }
    if section.get().producer.is_empty() {
        let accepted = "at least one [[crash_points.producer]]";
        f.report("crash_points.producer", section.span(), Problem::Empty { what: "the workload", accepted });
    }
}

fn phases(f: &mut Findings<'_>, entry: &CrashPointsEntry) -> Vec<Phase> {
    const KEY: &str = "crash_points.phases";
    let known: Vec<String> = Phase::ALL.iter().map(|phase| phase.name().to_owned()).collect();
    f.distinct("phase", &[], entry.phases.iter().map(|raw| (KEY, raw)));
    let names = entry.phases.iter().map(|raw| f.known(KEY, "phase", raw, &known));
    names.filter_map(|name| Phase::by_name(&name)).collect()
}
