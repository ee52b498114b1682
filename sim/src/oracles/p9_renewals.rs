//! Part of P9: what a client is told of a renewal.
//!
//! Rule: a new handle promises the invisible time that was asked for (that its chain is durable is checked at the wire).
//! *Too late* is told of no chain that is open before the request and after the answer, nor of a handle that was renewed
//! before and whose successor is.

use super::{Findings, open::open_throughout};
use crate::{
    history::{EventKind, Noted, Renewed, Seen},
    ledger::Ledger,
};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for (event, renewed) in ledger.history.events.iter().enumerate() {
        let EventKind::Noted(Noted::Renewed(told)) = &renewed.kind else { continue };
        let wrong = match &told.seen {
            Seen::Ok(Some(new)) => wrong_handle(told, new),
            Seen::Ok(None) => {
                let handle = (told.handle.as_str(), told.group.as_str());
                let open = open_throughout(ledger, handle, (told.began_ms, event));
                open.map(|id| format!("told too late, and {id} is open"))
            }
            Seen::Refused { .. } | Seen::Unknown { .. } => None,
        };
        if let Some(wrong) = wrong {
            let subject = format!("`{}` of {}", told.handle, told.group);
            found.stamped(renewed.at_ms, told.ledger.as_ref(), subject, wrong);
        }
    }
}

fn wrong_handle(told: &Renewed, new: &str) -> Option<String> {
    let promised = new.split(' ').nth(2).and_then(|field| field.parse::<u64>().ok());
    (promised != Some(told.invisible_ms)).then(|| format!("renewed for {} ms as `{new}`", told.invisible_ms))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{ChainFact, Outcome},
        history::{EventKind, Noted, Renewed, Seen},
        oracles::fixture::{Story, stamp},
    };

    fn handle(chain: &ChainFact, invisible_ms: u64) -> String {
        format!("0 {} {invisible_ms} 0 0 a 0 0", chain.id.pop_time)
    }

    /// A message is popped; a renewal of it, by this handle, comes to this.
    fn told(story: &mut Story, chain: &ChainFact, seen: Seen<Option<String>>) {
        let began_ms = story.now_ms;
        story.wait(10).event(EventKind::Noted(Noted::Renewed(Renewed {
            consumer: "c".into(),
            group: "g".into(),
            ledger: Some(stamp(1)),
            handle: handle(chain, 30_000),
            invisible_ms: 30_000,
            began_ms,
            seen,
        })));
    }

    /// The chain is renewed, durably.
    fn renewed(story: &mut Story, chain: &ChainFact) -> ChainFact {
        let mut by = chain.clone();
        by.id.pop_time += 10;
        by.generation += 1;
        let old = chain.clone().ended(Outcome::Superseded(by.id.clone()));
        story.durable("a", vec![old.fact(), by.clone().fact()]);
        by
    }

    #[test]
    fn a_new_handle_lasts_as_long_as_was_asked_for() {
        let (mut story, chain) = Story::popped();
        let by = renewed(&mut story, &chain);
        told(&mut story, &chain, Seen::Ok(Some(handle(&by, 30_000))));
        assert!(!story.is_blamed("P9", "renewed for"));
        told(&mut story, &chain, Seen::Ok(Some(handle(&by, 29_000))));
        assert!(story.is_blamed("P9", "renewed for 30000 ms as"));
    }

    #[test]
    fn too_late_is_told_of_what_is_over() {
        let (mut story, chain) = Story::popped();
        story.durable("a", vec![chain.clone().ended(Outcome::Acked).fact()]);
        told(&mut story, &chain, Seen::Ok(None));
        assert!(!story.is_blamed("P9", "told too late"));
    }

    #[test]
    fn too_late_is_not_told_of_what_is_open_or_goes_on_under_another_handle() {
        let (mut story, chain) = Story::popped();
        told(&mut story, &chain, Seen::Ok(None));
        assert!(story.is_blamed("P9", "told too late"));

        let (mut story, chain) = Story::popped();
        renewed(&mut story, &chain);
        story.wait(10);
        told(&mut story, &chain, Seen::Ok(None));
        assert!(story.is_blamed("P9", "told too late"));
    }
}
