//! The supervisor: a task that belongs to no node, takes the tasks of dead incarnations away and starts the next ones.
//!
//! madsim is asked to kill or restart a node from here only, never from within a task of that node.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{
    CrashKind, WeakWorld, World, lock,
    node::{Life, NodeIndex},
    tap::NodeEvent,
};
use crate::{faults::crash_loop, plan::SimMs};

/// How long a node that was asked to stop may take before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What the supervisor is asked to do, on a task of its own that no node's death can take along.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    node: NodeIndex,
    /// Obeyed only while this incarnation is the node's latest.
    incarnation: u64,
    task: Task,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Task {
    /// Drop its tasks; then start the next incarnation after the given time, if any.
    Bury(Option<SimMs>),
    Restart(SimMs),
    /// Kill it if it has not stopped by itself by the limit.
    LimitStop,
    Resume(SimMs),
}

/// Obeys orders until the world is gone.
pub(super) async fn supervise(world: WeakWorld, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        let Some(alive) = world.upgrade() else { return };
        let after_ms = match order.task {
            Task::Bury(down_ms) => {
                alive.bury(order);
                down_ms
            }
            Task::Restart(after_ms) | Task::Resume(after_ms) => Some(after_ms),
            Task::LimitStop => Some(SimMs::try_from(STOP_LIMIT.as_millis()).unwrap_or(SimMs::MAX)),
        };
        if let Some(after_ms) = after_ms {
            let wait = alive.sleep_until(alive.now() + Duration::from_millis(after_ms));
            let world = world.clone();
            tokio::spawn(async move {
                wait.await;
                if let Some(world) = world.upgrade() {
                    world.obey(order);
                }
            });
        }
    }
}

impl World {
    pub(super) fn order(&self, life: &Life, task: Task) {
        let order = Order { node: life.node, incarnation: life.number, task };
        let _ = self.inner.orders.send(order); // the supervisor is gone only when the runtime is
    }

    fn bury(&self, order: Order) {
        let id = {
            let nodes = lock(&self.inner.nodes);
            let node = &nodes.nodes[order.node.0];
            node.id.filter(|_| node.life.number == order.incarnation)
        };
        if let Some(id) = id {
            self.inner.handle.kill(id);
        }
    }

    /// Does what an order asks for once its time has come.
    fn obey(&self, order: Order) {
        let life = self.life(order.node);
        if life.number != order.incarnation {
            return;
        }
        match order.task {
            Task::Bury(_) | Task::Restart(_) => self.begin_next(&life),
            Task::LimitStop => {
                let stopping = lock(&self.inner.nodes).nodes[order.node.0].stopping;
                if stopping.is_some() {
                    self.crash(order.node, CrashKind::Kill, stopping);
                }
            }
            Task::Resume(_) => self.resume(&life),
        }
    }

    fn begin_next(&self, last: &Life) {
        if last.is_alive() {
            return;
        }
        let (name, id, incarnation) = {
            let mut nodes = lock(&self.inner.nodes);
            if nodes.ended {
                return;
            }
            let node = &mut nodes.nodes[last.node.0];
            node.life = last.next();
            node.finished = false;
            (node.name.clone(), node.id, node.life.number)
        };
        self.tap_node(&name, NodeEvent::Started);
        self.goes_by_its_clock(&name);
        if let Some(id) = id {
            self.inner.handle.restart(id);
        }
        crash_loop::started(self, last.node, incarnation);
    }

    pub(super) fn resume(&self, life: &Life) {
        let (name, id) = {
            let mut nodes = lock(&self.inner.nodes);
            let node = &mut nodes.nodes[life.node.0];
            if !node.paused {
                return;
            }
            node.paused = false;
            (node.name.clone(), node.id)
        };
        if let Some(id) = id {
            self.tap_node(&name, NodeEvent::Resumed);
            self.inner.handle.resume(id);
        }
    }
}
