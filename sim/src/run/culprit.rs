//! Who did what is noted as an event of a run: the node, and the lines of source that were on the stack.
//!
//! A run that is not the same twice says so with the first event that differs; what has to be found is the code that did it.

use std::{
    backtrace::Backtrace,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::plan::NodeName;

/// How many lines are told, the innermost first.
const LINES: usize = 6;

/// What is between a program and the history is nobody's doing.
const THE_WORLDS: [&str; 4] = ["sim/src/history/", "sim/src/world/", "sim/src/run/", "sim/src/framework/"];

/// Who did it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Culprit {
    /// The node whose code ran; none while the world itself was at it.
    pub node: Option<NodeName>,
    /// The lines of source that called each other, the innermost first: of the task that did it, which may have been asked
    /// to by another. None in a build that has no line tables.
    pub lines: Vec<String>,
}

/// Where the one that is looked for is left, from inside the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Caught(Arc<Mutex<Option<Culprit>>>);

impl Caught {
    /// Called where the event is noted.
    pub(super) fn in_the_act(&self, node: Option<NodeName>) {
        let lines = lines(&Backtrace::force_capture().to_string());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Culprit { node, lines });
    }

    pub(super) fn take(&self) -> Option<Culprit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The lines of this workspace in a backtrace as the standard library writes it: the number and name of each call, and below
/// it where that is, if it is known.
fn lines(trace: &str) -> Vec<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    let here = std::env::current_dir().unwrap_or_default();
    let places = trace.lines().filter_map(|line| line.trim().strip_prefix("at "));
    let ours = places.filter_map(|place| {
        let place = here.join(place.trim_start_matches("./"));
        Some(place.strip_prefix(workspace).ok()?.display().to_string())
    });
    let ours = ours.filter(|line| THE_WORLDS.iter().all(|worlds| !line.starts_with(worlds)));
    ours.take(LINES).collect()
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.node.as_deref().unwrap_or("the world"))?;
        self.lines.iter().try_for_each(|line| write!(f, "\n    at {line}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{path::Path, sync::Arc};

    use super::{Culprit, lines};
    use crate::{
        explore::swarm,
        run::{SeedRun, culprit_of},
    };

    #[test]
    fn whoever_sends_a_request_is_found_on_the_stack() {
        let run = SeedRun { scenario: Arc::new(swarm::draw(1)), seed: 1, sabotage: None, until_ms: Some(20_000) };
        let found: Vec<Culprit> = (1..60).step_by(6).filter_map(|nth| culprit_of(run.clone(), nth).ok()?).collect();
        let senders = found.iter().filter(|it| it.node.is_some());
        let told: Vec<String> = senders.map(Culprit::to_string).collect();
        assert!(told.iter().any(|it| it.contains("at src/remoting/client_connection.rs:")), "{told:#?}");
    }

    #[test]
    fn the_lines_of_this_workspace_are_told() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().display();
        let trace = format!(
            "   0: push<Noted>\n             at ./src/history/log.rs:98:9\n   \
             1: <pop_sim::world::connection::PipeStream as tokio::io::AsyncWrite>::poll_flush\n   \
             2: flush\n             at /registry/tokio/flush.rs:1:1\n   \
             3: {{async_fn#0}}\n             at {workspace}/src/remoting/client.rs:88:20\n   \
             4: run\n             at ./src/workload/producer.rs:7:1\n"
        );
        let found = lines(&trace);
        assert_eq!(found, ["src/remoting/client.rs:88:20", "sim/src/workload/producer.rs:7:1"]);
        let told = Culprit { node: Some("broker-a".into()), lines: found[..1].to_vec() }.to_string();
        assert_eq!(told, "broker-a\n    at src/remoting/client.rs:88:20");
    }
}
