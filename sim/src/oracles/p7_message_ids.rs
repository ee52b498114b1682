//! Part of P7: a message id names one message.
//!
//! Rule: no two messages that a broker has stored are at the same position of its log, by which clients ask for them and
//! dead letters tell where they are from (RocketMQ's `offsetMsgId`).

use rustc_hash::FxHashMap;

use super::Findings;
use crate::ledger::{Ledger, Place};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut named: FxHashMap<(&str, &str), Place<'_>> = FxHashMap::default();
    for stored in &ledger.messages {
        let id = (stored.place.node, stored.message.offset_id.as_str());
        if let Some(other) = named.insert(id, stored.place) {
            let detail = format!("its id {} is that of {other} as well", stored.message.offset_id);
            found.stamped(stored.at_ms, stored.message.ledger.as_ref(), stored.place, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::Fact,
        oracles::fixture::{Story, message},
    };

    #[test]
    fn each_message_has_an_id_of_its_own_where_it_is_stored() {
        for (node, noticed) in [("a", true), ("b", false)] {
            let mut story = Story::new();
            let (first, mut second) = (message("t", 0, 1, 0), message("t", 1, 2, 0));
            second.offset_id.clone_from(&first.offset_id);
            story.durable("a", vec![Fact::Message(first)]).durable(node, vec![Fact::Message(second)]);
            assert_eq!(story.is_blamed("P7", "is that of a/t/0/0 as well"), noticed);
        }
    }
}
