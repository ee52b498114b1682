//! Part of P9: a broker counts what it answers, by what was asked and what it said.
//!
//! Rule: of each code that was asked for and each code that it answered with, a broker shows at least as many as left it
//! since it began, in a process of its own or in the one it had, and before it was looked at. More may be: an answer that nobody waits for any more does not leave.
//! Where a fault has answered in its place, nothing is compared.

use std::collections::BTreeMap;

use super::Findings;
use crate::{
    history::{EventKind, Noted, Scraped},
    ledger::Ledger,
    scenario::wire_names::{ANSWERS, REQUESTS},
};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let is_faked = |kind: &EventKind| matches!(kind, EventKind::Fault { text, .. } if text.starts_with("answer:"));
    if ledger.history.events.iter().any(|event| is_faked(&event.kind)) {
        return;
    }
    for broker in &ledger.obligations.brokers {
        let mut left: BTreeMap<(i32, i32), Vec<u64>> = BTreeMap::new();
        for event in &ledger.history.events {
            match &event.kind {
                kind if kind.begins(broker) => left.clear(),
                EventKind::Response(frame) if *frame.from == **broker => {
                    left.entry((frame.request_code, frame.code)).or_default().push(event.at_ms);
                }
                EventKind::Noted(Noted::Scraped(scraped)) if scraped.broker == *broker => {
                    for wrong in compare(&left, scraped) {
                        found.broken(event.at_ms, broker, wrong);
                    }
                }
                _ => {}
            }
        }
    }
}

fn compare<'l>(
    left: &'l BTreeMap<(i32, i32), Vec<u64>>,
    scraped: &'l Scraped,
) -> impl Iterator<Item = String> + use<'l> {
    left.iter().filter_map(|((request, answer), times)| {
        let (request, answer) = (named(*request, REQUESTS)?, named(*answer, ANSWERS)?);
        let series = format!("pop_revive_requests_total{{request_code=\"{request}\",response_code=\"{answer}\"}}");
        let shown = scraped.samples.get(&series).copied().unwrap_or(0);
        let due = times.partition_point(|at_ms| *at_ms < scraped.began_ms) as u64;
        (shown < due).then(|| format!("{due} answers {answer} to {request} have left it, and {shown} are counted"))
    })
}

/// The name of a code.
pub(super) fn named(code: i32, names: &'static [(&'static str, i32)]) -> Option<&'static str> {
    names.iter().find(|(_, known)| *known == code).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::{
        evidence::frame::code,
        history::{EventKind, Noted, Scraped},
        oracles::fixture::Story,
    };

    const SERIES: &str = r#"pop_revive_requests_total{request_code="PULL_MESSAGE",response_code="PULL_NOT_FOUND"}"#;

    /// `a` has answered two pulls in vain, and shows that it was so many.
    fn shows(count: u64) -> Story {
        let mut story = Story::new();
        for _ in 0..2 {
            let call = story.request("b", "a", code::PULL, &[], b"");
            story.response(("a", "b", call), (code::PULL, 19), &[], b"").wait(10);
        }
        let samples = BTreeMap::from([(SERIES.to_owned(), count)]);
        let began_ms = story.now_ms;
        let scraped = Scraped { broker: "a".into(), began_ms, is_ready: true, is_registered: true, samples };
        story.event(EventKind::Noted(Noted::Scraped(scraped)));
        story
    }

    #[test]
    fn as_many_as_left_or_more_are_right_and_fewer_are_not() {
        for (count, noticed) in [(3, false), (2, false), (1, true)] {
            assert_eq!(shows(count).is_blamed("P9", "answers PULL_NOT_FOUND to PULL_MESSAGE"), noticed);
        }
    }
}
