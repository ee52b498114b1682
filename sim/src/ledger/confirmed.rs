//! When entries of a broker's log were on as many disks as they have to be, and what was confirmed by then.

use super::{ChainLife, ChainStep, Ledger};
use crate::{evidence::ChainFact, plan::SimMs};

/// Callers of a broker have waited in vain for other disks to have what its own had, ms.
const UNCONFIRMED_MS: SimMs = 3_000;

impl<'h> Ledger<'h> {
    /// When a broker's log entry, which is durable there since `event`, was on as many disks of its group as it has to be
    /// before anybody is told; `None` if it never was.
    #[must_use]
    pub fn confirmed(&self, broker: &str, index: u64, event: usize) -> Option<usize> {
        let Some(last) = self.obligations.other_disks(broker).checked_sub(1) else { return Some(event) };
        let slaves = self.obligations.slaves_of(broker);
        let mut since: Vec<usize> = slaves.filter_map(|node| self.replicas.since(node, index)).collect();
        since.sort_unstable();
        since.get(last).map(|since| event.max(*since))
    }

    /// When entries of a broker's log were confirmed, or the run ended, that its own disk alone had so long that callers
    /// waited in vain; simulated ms.
    pub fn late_confirmations<'s>(&'s self, broker: &'s str) -> impl Iterator<Item = SimMs> + 's {
        let log = self.logs.get(broker).into_iter().flatten();
        log.filter_map(move |step| self.late_confirmation(broker, step.entry.index, step.event))
    }

    /// The same for one entry, which is durable there since `event`.
    #[must_use]
    pub fn late_confirmation(&self, broker: &str, index: u64, event: usize) -> Option<SimMs> {
        let confirmed = self.confirmed(broker, index, event).or_else(|| self.history.events.len().checked_sub(1));
        let confirmed_ms = confirmed.map_or(0, |event| self.at_ms(event));
        (confirmed_ms >= self.at_ms(event) + UNCONFIRMED_MS).then_some(confirmed_ms)
    }

    /// When a broker heard that its log entry, which is durable there since `event`, is confirmed: other disks have it for a
    /// while before they tell. Simulated ms; `None` if it never heard.
    #[must_use]
    pub fn told_ms(&self, broker: &str, index: u64, event: usize) -> Option<SimMs> {
        let Some(last) = self.obligations.other_disks(broker).checked_sub(1) else { return Some(self.at_ms(event)) };
        let slaves = self.obligations.slaves_of(broker);
        let mut told: Vec<SimMs> = slaves.filter_map(|node| self.replicas.told_ms(node, index)).collect();
        told.sort_unstable();
        told.get(last).copied()
    }

    /// Whether it heard that so late that whoever waited for it had given up.
    #[must_use]
    pub fn is_told_late(&self, broker: &str, index: u64, event: usize) -> bool {
        self.told_ms(broker, index, event).is_none_or(|told_ms| told_ms >= self.at_ms(event) + UNCONFIRMED_MS)
    }

    /// Whether it had heard that before something else happened at `before`.
    pub(super) fn is_told(&self, broker: &str, index: u64, event: usize, before: usize) -> bool {
        event < before && self.told_ms(broker, index, event).is_some_and(|told_ms| told_ms < self.at_ms(before))
    }

    /// Whether a broker's log entry, which is durable there since `since`, was confirmed before `event`.
    #[must_use]
    pub fn is_confirmed(&self, broker: &str, index: u64, since: usize, event: usize) -> bool {
        since < event && self.confirmed(broker, index, since).is_some_and(|confirmed| confirmed < event)
    }

    /// The first index that had not left a broker's log by retention before `event`.
    #[must_use]
    pub fn cut(&self, broker: &str, event: usize) -> u64 {
        let expiries = self.expiries.iter().filter(|expiry| expiry.node == broker && expiry.event < event);
        expiries.map(|expiry| expiry.before).max().unwrap_or(1)
    }

    /// The last state of a chain that was confirmed before `event`.
    #[must_use]
    pub fn confirmed_before(&self, life: &ChainLife<'h>, event: usize) -> Option<&'h ChainFact> {
        self.confirmed_steps(life, event).last().map(|step| step.chain)
    }

    /// The states of a chain that were confirmed before `event`. They are confirmed in the order of the log.
    #[must_use]
    pub fn confirmed_steps<'s>(&self, life: &'s ChainLife<'h>, event: usize) -> &'s [ChainStep<'h>] {
        let is_confirmed = |step: &ChainStep<'_>| self.is_confirmed(life.node, step.entry.index, step.event, event);
        &life.steps[..life.steps.partition_point(is_confirmed)]
    }
}
