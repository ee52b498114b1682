//! What may expire, and when a message that has is proof that it is gone.
//!
//! A broker without retention lets nothing expire. Otherwise a message may go once it is as old as the configuration
//! says, by its broker's own clock, or once it and the log entries after it are more bytes than are to be kept. A chain
//! whose home is another broker may then end as gone; one that lives where its message lay holds the body back, so it
//! never does.

use super::Findings;
use crate::{
    evidence::DurableEntry,
    ledger::{ChainLife, Expiry, Ledger, LogStep},
    scenario::Retention,
};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for expiry in &ledger.expiries {
        let retention = ledger.obligations.retention.get(expiry.node).copied().unwrap_or_default();
        let log = ledger.logs.get(expiry.node).map_or(&[][..], Vec::as_slice);
        let goes = |index: u64| (expiry.from..expiry.before).contains(&index);
        let messages = ledger.messages.iter().filter(|it| it.place.node == expiry.node && goes(it.entry.index));
        for stored in messages {
            if is_old_enough(retention, stored.entry, expiry.entry) || is_too_much(retention, stored.entry, expiry, log)
            {
                continue;
            }
            let age_ms = expiry.entry.at_ms - stored.entry.at_ms;
            let detail = format!("it expired after {age_ms} ms, before its time");
            let stamp = stored.message.ledger.as_ref();
            found.stamped(ledger.at_ms(expiry.event), stamp, stored.place, detail);
        }
    }
}

fn is_old_enough(retention: Retention, stored: &DurableEntry, expiry: &DurableEntry) -> bool {
    let age_ms = retention.age_ms.map(|age_ms| i64::try_from(age_ms).unwrap_or(i64::MAX));
    age_ms.is_some_and(|age_ms| expiry.at_ms.saturating_sub(stored.at_ms) >= age_ms)
}

fn is_too_much(retention: Retention, stored: &DurableEntry, expiry: &Expiry<'_>, log: &[LogStep<'_>]) -> bool {
    let since = log.iter().filter(|step| (stored.index..expiry.entry.index).contains(&step.entry.index));
    retention.bytes.is_some_and(|bytes| since.map(|step| step.entry.length).sum::<u64>() > bytes)
}

/// Whether a chain may have ended because its message lay below `minimum` at its owner.
pub(super) fn is_proved(ledger: &Ledger<'_>, life: &ChainLife<'_>, minimum: i64) -> bool {
    let ended = life.steps[life.steps.len() - 1].event;
    let expired = ledger.stored(&life.origin()).and_then(|stored| ledger.expired(stored));
    life.node != life.id.broker && life.id.offset < minimum && expired.is_some_and(|event| event < ended)
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{Fact, GoneProof, Outcome},
        oracles::fixture::{Story, chain},
        scenario::Retention,
    };

    /// Message 0 of `a` is stored; it may expire by this rule.
    fn kept(retention: Retention) -> Story {
        let mut story = Story::new();
        story.obligations.retention.insert("a".into(), retention);
        story.send(1, 0);
        story
    }

    fn aged() -> Story {
        kept(Retention { age_ms: Some(60_000), bytes: None })
    }

    /// All that `a` has stored so far.
    fn expire(story: &mut Story) -> &mut Story {
        let broker = "a".to_owned();
        story.durable("a", vec![Fact::Expired { broker, before: 3 }])
    }

    #[test]
    fn an_old_message_may_go() {
        let mut story = aged();
        expire(story.wait(60_000));
        assert!(story.holds().reached.contains("expired"));
    }

    #[test]
    fn a_younger_one_may_not() {
        let mut story = aged();
        expire(story.wait(59_999));
        story.breaks("P1", "expired after 59999 ms");
    }

    #[test]
    fn without_retention_nothing_goes() {
        let mut story = kept(Retention::default());
        expire(story.wait(600_000));
        story.breaks("P1", "before its time");
    }

    #[test]
    fn what_is_too_much_goes_whatever_its_age() {
        expire(&mut kept(Retention { age_ms: None, bytes: Some(99) })).holds();
        expire(&mut kept(Retention { age_ms: None, bytes: Some(100) })).breaks("P1", "before its time");
    }

    /// A chain about message 0, at home at `node`, ends as gone.
    fn gone(story: &mut Story, node: &str) {
        story.obligations.escapes.insert("a".into(), "b".into());
        let chain = chain("t", 0, story.now_ms);
        let moved = Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: 1 };
        story.durable(node, vec![chain.clone().fact()]).durable("a", vec![moved]);
        expire(story.wait(60_000));
        let attempt = chain.attempt(1).open(story.now_ms + 17_000);
        story.durable(node, vec![attempt.clone().fact()]);
        let proof = GoneProof::BelowMinimum { minimum: 1 };
        story.durable(node, vec![attempt.ended(Outcome::Gone(proof)).fact()]);
    }

    #[test]
    fn an_expired_message_is_gone_for_a_chain_elsewhere() {
        let mut story = aged();
        gone(&mut story, "b");
        assert!(story.holds().reached.contains("gone-expired"));
    }

    #[test]
    fn a_chain_at_the_owner_holds_its_message_back() {
        let mut story = aged();
        gone(&mut story, "a");
        story.breaks("P1", "does not bear out");
    }
}
