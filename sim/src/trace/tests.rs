#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use serde_json::Value;

use super::{Note, Picture, html, perfetto};
use crate::{
    evidence::frame::code,
    history::{Event, EventKind, Noted, Seen},
    oracles::{Verdict, Violation, fixture::Story},
    plan::{Fault, Moment, Plan, Window},
    report::timeline::{Line, View, lines},
    run::{Outcome, SeedRun, run_seed},
    scenario::Scenario,
};

fn node(story: &mut Story, node: &str, event: &str) {
    story.event(EventKind::Node { node: node.into(), event: event.into() }).wait(1);
}

fn fault(story: &mut Story, index: usize, text: &str) {
    story.event(EventKind::Fault { index: Some(index), text: text.into() }).wait(1);
}

/// What a producer sees of its last send is now a refusal with this remark.
fn refuse(story: &mut Story, remark: &str) {
    if let Some(EventKind::Noted(Noted::Sent(sent))) = story.history.events.last_mut().map(|event| &mut event.kind) {
        sent.seen = Seen::Refused { code: 1, remark: remark.into() };
    }
}

/// A short run: a send, a pop, a partition, a pause, a death with a call under way, an opaque that comes again.
fn story() -> Story {
    let mut story = Story::new();
    ["a", "b", "p", "c"].into_iter().for_each(|name| node(&mut story, name, "started"));
    story.send(1, 0).wait(10);
    let chain = story.pop("t", 0, 1, 0);
    story.event(EventKind::Synced { node: "a".into(), sync: 5, bytes: 4096 });
    fault(&mut story, 0, "partition begins");
    story.read(0);
    let again = story.history.events.last().unwrap().kind.clone();
    story.wait(5).event(again);
    node(&mut story, "b", "paused");
    node(&mut story, "b", "resumed");
    fault(&mut story, 0, "partition ends");
    story.absorb(&chain, 1, 0).send(2, 1);
    refuse(&mut story, "<script>alert(\"&\")</script>");
    node(&mut story, "b", "paused");
    story.read(1);
    node(&mut story, "a", "killed");
    fault(&mut story, 1, "kill: a for 100 ms");
    node(&mut story, "a", "started");
    story.ask_send(3);
    story
        .response(("a", "p", 99), (code::SEND_V2, 0), &[], b"")
        .event(EventKind::Healed)
        .wait(50)
        .event(EventKind::Over);
    story
}

fn outcome(story: Story) -> Outcome {
    let window = Window { from_ms: 1014, to_ms: 1022 };
    let (from, to) = (vec!["a".into()], vec!["b".into()]);
    let partition = Fault::Partition { from, to, one_way: false, window };
    let kill = Fault::Kill { node: "a".into(), when: Moment::At(1023), down_ms: 100 };
    let (subject, detail) = ("p#1".into(), "<b>lost</b>".into());
    let violation = Violation { promise: "P1", at_ms: 1020, subject, detail, ledger: None };
    Outcome {
        plan: Plan { faults: vec![partition, kill] },
        unfired: Vec::new(),
        is_freed: true,
        sim_ms: story.now_ms,
        history: story.history,
        fingerprint: "0123456789abcdef".into(),
        verdict: Verdict { violations: vec![violation], ..Verdict::default() },
    }
}

fn shown(outcome: &Outcome, view: View) -> Vec<Line> {
    lines(&outcome.history, view).collect()
}

fn picture<'r>(outcome: &'r Outcome, lines: &'r [Line]) -> Picture<'r> {
    let notes = vec![Note::headed("verdict\n1 violation\n"), Note::headed("plan <of> it\n  1. partition\n")];
    Picture { title: "calm, seed 7".into(), outcome, lines, notes }
}

/// The events of the short run as a viewer reads them.
fn trace(outcome: &Outcome, view: View) -> Vec<Value> {
    events(&perfetto::json(&picture(outcome, &shown(outcome, view))).unwrap())
}

fn events(json: &str) -> Vec<Value> {
    let trace: Value = serde_json::from_str(json).unwrap();
    trace["traceEvents"].as_array().unwrap().clone()
}

fn run(name: &str, until_ms: Option<u64>) -> Outcome {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name);
    let scenario = Arc::new(Scenario::load(&file).unwrap());
    run_seed(SeedRun { scenario, seed: 1, sabotage: None, until_ms }).unwrap()
}

fn text<'e>(event: &'e Value, key: &str) -> &'e str {
    event[key].as_str().unwrap_or_default()
}

fn number(event: &Value, key: &str) -> u64 {
    event[key].as_u64().unwrap()
}

/// What every viewer takes for granted.
#[track_caller]
fn assert_sound(events: &[Value]) {
    let (mut named, mut open) = (BTreeSet::new(), BTreeMap::new());
    let (mut slices, mut latest): (BTreeMap<u64, Vec<&str>>, _) = (BTreeMap::new(), BTreeMap::new());
    for event in events {
        let (track, at) = (number(event, "tid"), number(event, "ts"));
        let before = latest.insert((number(event, "pid"), track), at).unwrap_or(0);
        assert!(before <= at, "time goes back: {event}");
        let id = (number(event, "pid"), text(event, "cat"), text(event, "id"));
        match text(event, "ph") {
            "M" => _ = named.insert((text(event, "name"), track)),
            "B" => slices.entry(track).or_default().push(text(event, "name")),
            "E" => assert_eq!(slices.entry(track).or_default().pop(), Some(text(event, "name")), "{event}"),
            "b" => assert_eq!(open.insert(id, text(event, "name")), None, "begins twice: {event}"),
            "e" => assert_eq!(open.remove(&id), Some(text(event, "name")), "ends without a beginning: {event}"),
            "i" => assert!(["g", "t"].contains(&text(event, "s")), "{event}"),
            other => panic!("what is {other}?"),
        }
        assert!(named.contains(&("process_name", number(event, "pid"))), "{event}");
        assert!(text(event, "ph") == "M" || named.contains(&("thread_name", track)), "{event}");
    }
    assert_eq!(open, BTreeMap::new(), "these never end");
    assert!(slices.values().all(Vec::is_empty), "{slices:?}");
}

#[test]
fn whatever_begins_in_a_trace_ends_and_whatever_is_in_it_has_a_name() {
    let made = outcome(story());
    for view in [View::All, View::Busy, View::Condensed] {
        assert_sound(&trace(&made, view));
    }
    for (name, until_ms) in [("crash-everywhere.toml", None), ("paused-brokers.toml", Some(700_000))] {
        let ran = run(name, until_ms);
        let events = trace(&ran, View::Busy);
        assert_sound(&events);
        assert!(events.len() > 500, "{name} has {} events", events.len());
    }
}

#[test]
fn a_call_lasts_until_its_answer_or_the_death_of_an_end() {
    let events = trace(&outcome(story()), View::All);
    let calls = |phase: &str, id: &str| -> Vec<&Value> {
        events.iter().filter(|event| text(event, "ph") == phase && text(event, "id") == id).collect()
    };
    let (asked, answered) = (calls("b", "c1#3"), calls("e", "c1#3"));
    assert_eq!((text(asked[0], "name"), &asked[0]["args"]["to"]), ("SEND_MESSAGE_V2", &"a".into()));
    assert_eq!((&answered[0]["args"]["answer"], &answered[0]["args"]["code"]), (&"SUCCESS".into(), &0.into()));
    assert_eq!(asked[0]["pid"], answered[0]["pid"]);
    assert!(text(&answered[0]["args"], "told").starts_with("→ p SEND_MESSAGE_V2 answered SUCCESS"));
    // One opaque twice: two calls, and the death of `a` ends both.
    for id in ["c1#5", "c1#5/2"] {
        assert_eq!((calls("b", id).len(), calls("e", id).len()), (1, 1), "{id}");
        assert_eq!(calls("e", id)[0]["args"]["why"], "a killed");
    }
    // What answers nobody is no call, and nothing answers the last send.
    assert!(events.iter().any(|event| text(event, "name") == "SEND_MESSAGE_V2 answered SUCCESS"));
    let last = calls("e", "c1#8");
    assert_eq!(last[0]["args"]["why"], "there was none until the end");
    assert_eq!(number(last[0], "ts"), events.iter().map(|event| number(event, "ts")).max().unwrap());
}

#[test]
fn of_a_hidden_request_nothing_is_drawn() {
    let made = outcome(story());
    let hidden: Vec<Line> = shown(&made, View::Condensed);
    let events = events(&perfetto::json(&picture(&made, &hidden)).unwrap());
    assert!(!events.iter().any(|event| text(event, "cat") == "request"));
    let page = html::page(&picture(&made, &hidden));
    assert!(!page.contains("data-kind=\"request\"") && page.contains("data-kind=\"fault\""));
}

#[test]
fn the_same_run_is_drawn_in_the_same_way() {
    let drawn = || {
        let ran = run("restart-mid-revive.toml", None);
        let shown = shown(&ran, View::Busy);
        let picture = picture(&ran, &shown);
        (html::page(&picture), perfetto::json(&picture).unwrap())
    };
    assert!(drawn() == drawn());
}

#[test]
fn a_page_has_no_markup_but_its_own() {
    let mut story = story();
    let at_ms = story.now_ms;
    let kind = EventKind::Node { node: "<img src=x onerror='1'>".into(), event: "<i>\"started\"".into() };
    story.history.events.push(Event { at_ms, kind });
    let made = outcome(story);
    let page = html::page(&picture(&made, &shown(&made, View::All)));
    assert!(page.contains("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;"));
    assert!(page.contains("&lt;b&gt;lost&lt;/b&gt;") && page.contains("plan &lt;of&gt; it"));
    assert!(page.contains("&lt;img src=x onerror='1'&gt;"));
    for wrong in ["<script>alert", "<b>lost", "<img", "<of>", "<i>&quot;started"] {
        assert!(!page.contains(wrong), "{wrong}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    for outside in ["http:", "https:", "src=\"", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn links_lead_somewhere() {
    let made = outcome(story());
    for view in [View::All, View::Condensed] {
        let page = html::page(&picture(&made, &shown(&made, view)));
        let targets = page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
        let targets: Vec<&str> = targets.collect();
        assert!(targets.contains(&"v0"), "{targets:?}");
        for target in targets {
            assert_eq!(page.matches(&format!(" id=\"{target}\"")).count(), 1, "{target}");
        }
    }
}

#[test]
fn a_short_run_looks_as_before() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let made = outcome(story());
    let page = html::page(&picture(&made, &shown(&made, View::All)));
    let body = page.split_once("</style>").unwrap().1.split_once("<script>").unwrap().0;
    let trace: Vec<String> = trace(&made, View::All).iter().map(Value::to_string).collect();
    settings.bind(|| {
        insta::assert_snapshot!("trace-html", body);
        insta::assert_snapshot!("trace-perfetto", trace.join("\n"));
    });
}
