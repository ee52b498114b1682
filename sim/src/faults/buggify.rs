//! Buggify: a site of a node's code takes the unlikely one of two turns that it may always take.
//!
//! Real world: the last part of an answer is short, a batch is full, a step is refused because its commit could not be
//! made: all of it happens, and mostly where much is going on, which a run of some hundred messages has not.
//!
//! Simulator: the code says `buggify!("site")`, see [`SITES`](crate::scenario::sites::SITES) for what each one does. How
//! often each site of each node was asked is counted, so that a plan can name the n-th time.
//!
//! Cannot: do what the code does not offer.

use super::{Armed, is_hit};
use crate::{
    plan::{Hits, SimMs},
    world::{NodeIndex, World},
};

/// A site of the plan.
#[derive(Debug)]
pub(super) struct Buggify {
    pub(super) fault: usize,
    pub(super) node: NodeIndex,
    pub(super) site: String,
    pub(super) hits: Hits,
    /// How often it was asked so far.
    pub(super) seen: u64,
}

impl Armed {
    /// Whether any site may be struck: most plans have none.
    fn has_sites(&self) -> bool {
        !self.healed && !self.sites.is_empty()
    }

    /// Counts that a site was asked; gives the first fault that strikes it, and its ordinal.
    fn turns(&mut self, now_ms: SimMs, node: NodeIndex, site: &str) -> Option<(usize, u64)> {
        let mut striking = None;
        for planned in self.sites.iter_mut().filter(|it| it.node == node && it.site == site) {
            planned.seen += 1;
            if is_hit(&planned.hits, planned.seen, now_ms) {
                striking = striking.or(Some((planned.fault, planned.seen)));
            }
        }
        if let Some((fault, _)) = striking {
            self.struck(fault);
        }
        striking
    }
}

impl World {
    /// Whether the plan has this site of the node whose code asks take its unlikely turn; tells of it. No site of what is
    /// no node is ever struck.
    #[must_use]
    pub fn buggify(&self, site: &str) -> bool {
        if !self.armed().has_sites() {
            return false;
        }
        let Some(node) = self.node_that_asks() else { return false };
        let striking = self.armed().turns(self.now_ms(), node, site);
        if let Some((fault, nth)) = striking {
            self.tap_fault(Some(fault), &format!("buggify: {site} {nth} of {}", self.name(node)));
        }
        striking.is_some()
    }
}
