//! The nodes of a run, in the order in which they came into it: each has a place of its own in a picture.

use rustc_hash::FxHashMap;

use super::Picture;
use crate::history::EventKind;

/// All of them.
pub(super) struct Nodes<'r> {
    names: Vec<&'r str>,
    /// Name → position. Only ever looked up.
    places: FxHashMap<&'r str, usize>,
}

impl<'r> Nodes<'r> {
    pub(super) fn of(picture: &'r Picture<'_>) -> Self {
        let mut nodes = Self { names: Vec::new(), places: FxHashMap::default() };
        for event in &picture.outcome.history.events {
            match &event.kind {
                EventKind::Node { node, .. } => nodes.add(node),
                EventKind::Request(frame) | EventKind::Response(frame) => {
                    nodes.add(&frame.from);
                    nodes.add(&frame.to);
                }
                _ => {}
            }
        }
        // What happens nowhere in particular names no node.
        picture.lines.iter().filter(|line| !line.node.is_empty()).for_each(|line| nodes.add(&line.node));
        nodes
    }

    fn add(&mut self, name: &'r str) {
        let next = self.names.len();
        if *self.places.entry(name).or_insert(next) == next {
            self.names.push(name);
        }
    }

    /// Their names, in order.
    pub(super) fn names(&self) -> &[&'r str] {
        &self.names
    }

    /// The position of a node, if it is one.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}
