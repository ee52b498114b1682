//! Where a simulated node's commits run: inline, after which the disk takes its simulated time.

use std::sync::Arc;

use async_trait::async_trait;
use pop_revive::seams::Blocking;

use super::{World, disk::Platters, node::Life};

/// One commit at a time, as on one thread; the next waits until the disk is done with the one before.
pub(crate) struct Commits {
    pub(crate) world: World,
    pub(crate) life: Arc<Life>,
    pub(crate) platters: Arc<Platters>,
    pub(crate) thread: tokio::sync::Mutex<()>,
}

#[async_trait]
impl Blocking for Commits {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        let _turn = self.thread.lock().await;
        let before = self.platters.syncs();
        work();
        let syncs = self.platters.syncs() - before;
        if syncs > 0 {
            let now_ms = self.world.now_ms();
            let slow: Vec<_> = (0..syncs).map(|_| self.world.armed().slow_sync(now_ms, self.life.node)).collect();
            let busy = self.platters.busy(&slow);
            self.world.sleep_until(self.world.now() + busy).await;
        }
        if !self.life.is_alive() {
            std::future::pending::<()>().await; // died in the middle: nobody is ever told
        }
    }
}
