//! Workloads: the programs that use the system and note what they saw.

use pop_revive::seams::Host;

use crate::{
    random::Stream,
    world::{BoxFuture, StopSignal, World},
};

/// The program of a client's node. It notes what it saw with a [`Recorder`](crate::history::Recorder), which is all that
/// an oracle should believe of it.
///
/// A function of host, stream and stop signal is one.
pub trait Workload: Send + Sync + 'static {
    /// Runs until it has nothing left to do or `stop` fires. Called again, with the same draws, when its node was down.
    fn run(&self, host: Host, rng: Stream, stop: StopSignal) -> BoxFuture<()>;
}

impl<W, F> Workload for W
where
    W: Fn(Host, Stream, StopSignal) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn run(&self, host: Host, rng: Stream, stop: StopSignal) -> BoxFuture<()> {
        Box::pin(self(host, rng, stop))
    }
}

impl World {
    /// Runs `workload` on `node`; it draws from the stream `workload/<node>`.
    ///
    /// # Panics
    /// `node` was not added.
    pub fn start_workload(&self, node: &str, workload: impl Workload) {
        let (streams, stream) = (self.streams().clone(), format!("workload/{node}"));
        self.start(node, move |host, stop| workload.run(host, streams.stream(&stream), stop));
    }
}
