//! Part of P5: a group that begins at the end of a queue begins there, and nowhere else.
//!
//! Rule: the first offset that such a group gets in a queue is behind the last message that the queue had by then, and no
//! chain of the group stands for an earlier one.

use super::{Findings, p5_progress_is_safe::has_chain};
use crate::ledger::{GroupSpec, Ledger, OffsetMove, Place};

pub(super) fn check(ledger: &Ledger<'_>, (step, group): (&OffsetMove<'_>, &GroupSpec), found: &mut Findings<'_>) {
    if step.since > 0 {
        return; // an operator has said where it goes on
    }
    let Place { offset, .. } = step.to;
    let is_there =
        |offset: i64| ledger.stored(&Place { offset, ..step.to }).is_some_and(|stored| stored.event < step.event);
    if is_there(offset) || offset > 0 && !is_there(offset - 1) {
        found.broken(step.at_ms, step.group, format!("it begins at {}, which is not the end of that queue", step.to));
    }
    let mut before = (0..offset).map(|offset| Place { offset, ..step.to });
    if let Some(place) = before.find(|place| has_chain(ledger, group, *place, 0..=step.event)) {
        found.broken(step.at_ms, step.group, format!("it is to begin at the end, {}, and gets {place}", step.to));
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::Fact,
        oracles::fixture::{Story, chain},
    };

    /// Two messages are there when `g` first looks.
    fn two() -> Story {
        let mut story = Story::new();
        story.obligations.groups[0].starts_at_end = true;
        story.send(1, 0).send(2, 1).wait(10);
        story
    }

    fn begins(story: &mut Story, offset: i64) {
        story.durable("a", vec![Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset }]);
    }

    #[test]
    fn a_group_begins_behind_what_is_there() {
        for (offset, noticed) in [(2, false), (1, true), (0, true)] {
            let mut story = two();
            begins(&mut story, offset);
            assert_eq!(story.is_blamed("P5", "which is not the end of that queue"), noticed, "{offset}");
        }
    }

    #[test]
    fn it_gets_nothing_of_what_was_there() {
        let mut story = two();
        let old = chain("t", 1, story.now_ms).fact();
        let offset = Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: 2 };
        story.durable("a", vec![offset, old]);
        assert!(story.is_blamed("P5", "it is to begin at the end"));
    }
}
