//! A run leaves nothing behind: a sweep over many seeds takes no more memory than one over few.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use pop_sim::{
    framework::{self, History, Log, Plan, Violation, World, seams::Host},
    run::{SeedRun, run_seed},
    scenario::Scenario,
};

/// Brokers die in these at every step of what they do, act, follow, and lose their stores.
#[test]
fn brokers_let_go_of_all_that_they_had() {
    for name in ["crash-everywhere", "master-flaps", "failing-disk", "pod-churn"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{name}.toml"));
        let scenario = Arc::new(Scenario::load(&path).unwrap());
        for seed in 1..4 {
            let run = SeedRun { scenario: scenario.clone(), seed, sabotage: None, until_ms: None };
            assert!(run_seed(run).unwrap().is_freed, "{name}, seed {seed}");
        }
    }
}

/// A node that keeps its host, in something that holds on to itself or does not.
struct Keeper {
    in_a_cycle: bool,
}

#[derive(Default)]
struct Kept {
    host: Option<Host>,
    itself: Option<Arc<Mutex<Kept>>>,
}

impl framework::Scenario for Keeper {
    type Witness = Log<()>;
    type Verdict = Vec<Violation>;

    fn plan(&self, _: u64) -> Plan {
        Plan { faults: Vec::new() }
    }

    fn witness(&self) -> Arc<Log<()>> {
        Arc::default()
    }

    fn start(&self, world: &World, _: &Arc<Log<()>>) {
        let in_a_cycle = self.in_a_cycle;
        world.add_node("keeper", "10.0.0.1");
        world.start("keeper", move |host, _| async move {
            let kept = Arc::new(Mutex::new(Kept { host: Some(host), itself: None }));
            kept.lock().unwrap().itself = in_a_cycle.then(|| kept.clone());
            assert!(kept.lock().unwrap().host.is_some());
            std::future::pending::<()>().await;
        });
    }

    fn judge(&self, _: &History<()>) -> Vec<Violation> {
        Vec::new()
    }
}

#[test]
fn what_holds_on_to_itself_is_noticed() {
    assert!(framework::run_seed(&Keeper { in_a_cycle: false }, 1).unwrap().is_freed);
    assert!(!framework::run_seed(&Keeper { in_a_cycle: true }, 1).unwrap().is_freed);
}
