//! How the copies of the message descend from it: the message, each group's chain on it, what that ended in, and so on.

use std::collections::BTreeSet;

use super::Subject;
use crate::{
    evidence::{ChainState, Outcome},
    ledger::{ChainLife, Place, biography::SimTime, obligations::is_any_copy_topic},
    report::chain::{failed, stands},
};

/// The tree, one line each; what is deeper is further to the right.
pub(super) fn tree(subject: &Subject<'_, '_>) -> Vec<String> {
    let mut tree = Tree { subject, told: BTreeSet::new(), lines: Vec::new() };
    for place in subject.places.iter().filter(|place| !is_any_copy_topic(place.topic)) {
        tree.place(place, 0);
    }
    // A copy that no chain ended in stands alone, which it should not.
    for place in &subject.places {
        if !tree.told.contains(place) {
            tree.place(place, 0);
        }
    }
    if tree.lines.is_empty() {
        tree.lines.push("it is on no disk".into());
    }
    tree.lines
}

struct Tree<'t, 'l, 'h> {
    subject: &'t Subject<'l, 'h>,
    told: BTreeSet<Place<'h>>,
    lines: Vec<String>,
}

impl<'h> Tree<'_, '_, 'h> {
    fn place(&mut self, place: &Place<'h>, depth: usize) {
        if !self.told.insert(*place) {
            return self.line(depth, format!("{place}, which stands above"));
        }
        let since = self.subject.ledger.stored(place).map_or(0, |stored| stored.at_ms);
        self.line(depth, format!("{place}, durable since {}", SimTime(since)));
        for life in self.subject.chains.iter().filter(|life| life.origin() == *place) {
            self.chain(life, depth + 1);
        }
    }

    fn chain(&mut self, life: &ChainLife<'h>, depth: usize) {
        let (first, last) = (&life.steps[0], life.last());
        let failures = match last.latest.last() {
            Some(latest) => format!(", failed {} times, last: {}", last.failures, failed(latest)),
            None => String::new(),
        };
        let (node, group, since) = (life.node, &life.id.group, SimTime(first.at_ms));
        self.line(depth, format!("chain at {node} for {group}, durable since {since}: {}{failures}", stands(last)));
        if let ChainState::Ended { outcome: Outcome::Revived(copy) | Outcome::DeadLettered(copy), .. } = &last.state {
            let wanted = self.subject.ledger.copied_to(life, copy);
            match self.subject.places.get(&wanted).copied() {
                Some(place) => self.place(&place, depth + 1),
                None => self.line(depth + 1, format!("{wanted}, where it is not")),
            }
        }
    }

    fn line(&mut self, depth: usize, text: String) {
        self.lines.push(format!("{}{text}", "  ".repeat(depth)));
    }
}
