#![allow(clippy::unwrap_used, reason = "tests")]

use std::{num::NonZero, ops::RangeInclusive, sync::Arc};

use super::{Moment, bisect, told};
use crate::{
    diff::{common, line},
    evidence::{ChainState, Fact, Outcome as End},
    history::{EventKind, History, Noted, Seen},
    report::failure::Origin,
    run::{Outcome, SeedRun, Turn, run_future, run_seed},
    scenario::Scenario,
};

/// A few messages, most of which are revived once; nothing breaks but what is added.
const SMALL: &str = "summary = 'x'\nduration = '2m'\n[[broker]]\nname = 'a'\n[[topic]]\nname = 't'\nqueues = 1\n\
                     [[group]]\nname = 'g'\ntopic = 't'\n\
                     [[producer]]\nname = 'p'\ntopic = 't'\nmessages = 6\nover = '20s'\n\
                     [[consumer]]\nname = 'c'\ngroup = 'g'\ninvisible = '10s'\nack = 0.5\npoll = '30s'\n";

fn run(faults: &str, sabotage: Option<&'static str>) -> SeedRun {
    let scenario = Scenario::parse("small", "small.toml", &format!("{SMALL}{faults}"));
    let scenario = Arc::new(scenario.unwrap_or_else(|errors| panic!("{errors}")));
    SeedRun { scenario, seed: 1, sabotage, until_ms: None }
}

fn found(run: &SeedRun, jobs: usize) -> (Outcome, Moment) {
    bisect(run, NonZero::new(6).unwrap(), NonZero::new(jobs).unwrap(), &|| false).unwrap().unwrap()
}

/// Positions of the first event of which this is true, and of the last.
fn span(history: &History, is_it: impl Fn(&EventKind) -> bool) -> RangeInclusive<usize> {
    let mut events = history.events.iter();
    let first = events.position(|event| is_it(&event.kind)).unwrap();
    first..=history.events.iter().rposition(|event| is_it(&event.kind)).unwrap()
}

fn log(outcome: &Outcome) -> Vec<String> {
    outcome.history.events.iter().map(line).collect()
}

#[test]
fn a_future_has_the_same_past_and_what_comes_is_drawn_anew() {
    let run = run("", None);
    let whole = run_seed(run.clone()).unwrap();
    let after = whole.history.events.len() / 3;
    let future = |future| run_future(run.clone(), Turn { after, future }).unwrap();
    let (one, same, other) = (future(1), future(1), future(2));
    assert_eq!(log(&one), log(&same), "a future is a function of its number");
    for other in [&whole, &other] {
        let past = common(&one.history, &other.history);
        assert!((after..after + 50).contains(&past), "{past} events are the same, the turn was after {after}");
    }
    assert_eq!(one.verdict.violations, []);
}

#[test]
fn faults_that_have_begun_go_on_and_others_never_strike() {
    let faults = "[[fault]]\nkind = 'partition'\nbetween = [['c'], ['a']]\nat = '20s'\nfor = '30s'\n\
                  [[fault]]\nkind = 'kill'\nnode = 'a'\nat = '1m'\ndown = '10s'\n\
                  [[fault]]\nkind = 'lost-request'\nrpc = 'ACK_MESSAGE'\nnth = [1, 2, 3]\n";
    let run = run(faults, None);
    let whole = run_seed(run.clone()).unwrap();
    let begins = |text: &str| {
        let text = text.to_owned();
        *span(&whole.history, |kind| matches!(kind, EventKind::Fault { text: said, .. } if *said == text)).start()
    };
    let struck = |after: usize| -> Vec<String> {
        let future = run_future(run.clone(), Turn { after, future: 1 }).unwrap();
        let faults = future.history.events.iter().filter_map(|event| match &event.kind {
            EventKind::Fault { text, index: Some(_) } => Some(text.split(':').next().unwrap_or(text).to_owned()),
            _ => None,
        });
        faults.collect()
    };
    let partition = begins("partition begins");
    let known = |kinds: Vec<String>| -> Vec<String> { kinds.into_iter().filter(|it| it != "lost-request").collect() };
    assert_eq!(known(struck(partition)), Vec::<String>::new());
    assert_eq!(known(struck(partition + 1)), ["partition begins", "partition ends"]);
    assert!(struck(1).is_empty(), "{:?}", struck(1));
}

#[test]
fn a_message_is_doomed_between_its_pop_and_the_end_of_its_chain() {
    let run = run("", Some("mark-before-effect"));
    let (whole, moment) = found(&run, 2);
    let ledger = moment.doom.violation.ledger.clone().unwrap();
    let has_it = |kind: &EventKind| match kind {
        EventKind::Noted(Noted::Popped(popped)) => match &popped.seen {
            Seen::Ok(messages) => messages.iter().any(|it| it.ledger.as_ref() == Some(&ledger)),
            _ => false,
        },
        _ => false,
    };
    let popped = span(&whole.history, has_it);
    let offset = whole.history.events.iter().find_map(|event| match &event.kind {
        EventKind::Noted(Noted::Sent(sent)) if sent.ledger == ledger => match sent.seen {
            Seen::Ok((_, offset)) => Some(offset),
            _ => None,
        },
        _ => None,
    });
    let ends = span(&whole.history, |kind| match kind {
        EventKind::Noted(Noted::Durable { entry, .. }) => entry.facts.iter().any(|fact| match fact {
            Fact::Chain(chain) => {
                let is_over = matches!(chain.state, ChainState::Ended { outcome: End::Revived(_), .. });
                is_over && chain.id.topic == "t" && Some(chain.id.offset) == offset
            }
            _ => false,
        }),
        _ => false,
    });
    assert!(moment.doomed == moment.open + 1 && !moment.is_cut_short && moment.held.0 > 0, "{moment:?}");
    assert!((popped.start() + 1..=ends.end() + 1).contains(&moment.doomed), "{popped:?} {ends:?} {moment:?}");
    assert_eq!(found(&run, 3).1, moment, "the number of threads decides nothing");
}

#[test]
fn a_fault_that_dooms_is_what_is_found() {
    let faults = "[[fault]]\nkind = 'lost-answer'\nrpc = 'SEND_MESSAGE_V2'\nnth = [3]\n";
    let run = run(faults, Some("send-dedupe-off"));
    let (whole, moment) = found(&run, 2);
    let ledger = moment.doom.violation.ledger.clone().unwrap();
    assert_eq!(moment.doom.violation.promise, "P2");
    let stored = span(&whole.history, |kind| match kind {
        EventKind::Noted(Noted::Durable { entry, .. }) => entry.facts.iter().any(|fact| match fact {
            Fact::Message(message) => message.ledger.as_ref() == Some(&ledger),
            _ => false,
        }),
        _ => false,
    });
    let request = whole.history.events[..*stored.start()].iter().rposition(
        |event| matches!(&event.kind, EventKind::Request(frame) if *frame.from == *"p" && frame.request_code == 310),
    );
    // From the request on, whose answer the fault takes, to the copy that the repeated send makes.
    assert!((request.unwrap() + 1..=stored.end() + 1).contains(&moment.doomed), "{request:?} {stored:?} {moment:?}");
    let origin = Origin {
        scenario: "small.toml".into(),
        digest: "0123456789abcdef".into(),
        engine: "ours",
        revision: "unknown".into(),
        sabotage: run.sabotage,
    };
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("bisect", told(&run, &origin, &whole, &moment, "the time was up")));
}

#[test]
fn what_fails_whatever_is_drawn_has_no_moment() {
    let run = run("", Some("success-before-commit"));
    let (whole, moment) = found(&run, 2);
    assert!(moment.is_from_the_start && moment.doomed == 0, "{moment:?}");
    let origin = Origin {
        scenario: "small.toml".into(),
        digest: String::new(),
        engine: "ours",
        revision: String::new(),
        sabotage: run.sabotage,
    };
    assert!(
        told(&run, &origin, &whole, &moment, "the time was up")
            .contains("\nno point of no return: none of 6 futures holds")
    );
}

#[test]
fn a_seed_that_holds_has_none_and_a_search_without_time_says_so() {
    let two = NonZero::new(2).unwrap();
    assert!(bisect(&run("", None), two, NonZero::<usize>::MIN, &|| false).unwrap().is_none());
    let failing = run("", Some("mark-before-effect"));
    let (_, moment) = bisect(&failing, two, NonZero::<usize>::MIN, &|| true).unwrap().unwrap();
    assert!(moment.is_cut_short && moment.runs == 1 && !moment.is_from_the_start, "{moment:?}");
}
