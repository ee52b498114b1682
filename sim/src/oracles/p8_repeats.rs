//! Part of P8: nobody writes down again what its log says already.
//!
//! Rule: a topic or a group that a log has is not recorded once more as it was, unless it was deleted meanwhile.

use std::collections::BTreeMap;

use super::Findings;
use crate::{evidence::Fact, ledger::Ledger};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for (node, log) in &ledger.logs {
        let (mut topics, mut groups) = (BTreeMap::new(), BTreeMap::new());
        let facts = log.iter().flat_map(|step| step.entry.facts.iter().map(move |fact| (step.event, fact)));
        for (event, fact) in facts {
            let again = match fact {
                Fact::Topic { name, perm, read_queues, write_queues, epoch } => {
                    let known = topics.insert(name.as_str(), (perm, read_queues, write_queues, epoch));
                    (known == Some((perm, read_queues, write_queues, epoch))).then_some(("topic", name))
                }
                Fact::TopicDeleted { name, .. } => {
                    topics.remove(name.as_str());
                    None
                }
                Fact::Group { name, retry_max_times } => {
                    (groups.insert(name.as_str(), retry_max_times) == Some(retry_max_times)).then_some(("group", name))
                }
                _ => None,
            };
            if let Some((what, name)) = again {
                found.broken(ledger.at_ms(event), node, format!("it records {what} {name} again as it was"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{evidence::Fact, oracles::fixture::Story};

    fn group(retry_max_times: i32) -> Fact {
        Fact::Group { name: "g".into(), retry_max_times }
    }

    #[test]
    fn what_is_known_is_not_recorded_again() {
        let mut story = Story::new();
        story.durable("a", vec![story.topic("t")]);
        story.breaks("P8", "it records topic t again as it was");
        let mut story = Story::new();
        story.durable("a", vec![group(3)]).durable("a", vec![group(3)]);
        story.breaks("P8", "it records group g again as it was");
    }

    #[test]
    fn what_changes_or_was_deleted_is() {
        let mut story = Story::new();
        story.durable("a", vec![group(3)]).durable("a", vec![group(4)]).durable("b", vec![group(4)]);
        story.delete_topic();
        story.create_topic();
        assert!(!story.is_blamed("P8", "again as it was"));
    }
}
