#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::oracles::fixture::{Story as Made, stamp};

fn followed(made: &Made, number: u32) -> Story {
    Story::of(&made.history, &made.obligations, &stamp(number)).unwrap_or_else(|error| panic!("{error}"))
}

/// A message of `a` that was popped, revived and popped again; another one beside it.
fn revived() -> Made {
    let mut made = Made::with_slave();
    made.send(1, 0).send(2, 1).wait(1500);
    let first = made.pop("t", 0, 1, 0);
    made.replicate(2).wait(10_000).revive(&first, 0, 1, 1).wait(500);
    let second = made.pop("%RETRY%g_t", 0, 1, 1);
    made.wait(100).absorb(&second, 1, 1);
    made
}

#[test]
fn a_story_is_told_by_clients_wire_and_disks_and_of_its_copies_too() {
    let story = followed(&revived(), 1);
    let told: Vec<String> = story.lines.iter().map(ToString::to_string).collect();
    let wanted = [
        ("p ", "SEND_MESSAGE_V2 (c1 #3, "),
        ("a ", "durable by sync 2, entry 1/2: message t/0/0 (p#1)"),
        ("a ", "answered SUCCESS"),
        ("p ", "sent p#1 to t of a: stored at 0/0"),
        ("a ", "open, next step 0h00m12.500s by its clock (round 0, attempt 0)"),
        ("c ", "POP_MESSAGE"),
        ("a ", "brings t/0/0 to g"),
        ("c ", "popped it from t/0/0 of a for g, handle `0 1700000002500"),
        ("a-s1 ", "copied by sync 2, entry 1/2: message t/0/0 (p#1)"),
        ("a ", "message %RETRY%g_t/0/0 (p#1); chain"),
        ("a ", "brings %RETRY%g_t/0/0 to g"),
        ("c ", "revived 1×"),
        ("a ", "acked (round 0"),
        ("c ", "absorbed"),
    ];
    let mut from = 0;
    for (node, words) in wanted {
        let at = told[from..].iter().position(|line| line[18..].starts_with(node) && line.contains(words));
        assert!(at.is_some(), "`{words}` at {node}is missing, or out of order, in\n{}", told.join("\n"));
        from += at.unwrap_or(0) + 1;
    }
    assert!(!told.iter().any(|line| line.contains("p#2")), "{told:#?}");
}

#[test]
fn copies_descend_from_the_chain_that_ended_in_them() {
    let lineage = followed(&revived(), 1).lineage;
    let wanted = [
        "a/t/0/0, durable since 0h00m01.000s",
        "  chain at a for g, durable since 0h00m02.500s: revived as %RETRY%g_t/0/0 (round 0, attempt 0)",
        "    a/%RETRY%g_t/0/0, durable since 0h00m12.500s",
        "      chain at a for g, durable since 0h00m13.000s: acked (round 0, attempt 0)",
    ];
    assert_eq!(lineage, wanted);
}

#[test]
fn a_copy_without_a_chain_and_a_chain_without_a_copy_are_told() {
    let mut made = Made::new();
    made.send(1, 0).send(2, 1);
    let first = made.pop("t", 0, 1, 0);
    made.durable("a", vec![first.revived("%RETRY%g_t", 7).fact()]);
    let stray = crate::oracles::fixture::message("%RETRY%g_t", 0, 2, 1);
    made.durable("a", vec![crate::evidence::Fact::Message(stray)]);
    assert!(followed(&made, 1).lineage.contains(&"    a/%RETRY%g_t/0/7, where it is not".to_owned()));
    let stray = followed(&made, 2).lineage;
    assert_eq!(stray.len(), 2, "{stray:?}");
    assert!(stray[1].starts_with("a/%RETRY%g_t/0/0, durable since"), "{stray:?}");
}

#[test]
fn an_unknown_message_is_answered_with_those_there_are() {
    let mut made = Made::new();
    let error =
        |made: &Made| Story::of(&made.history, &made.obligations, &stamp(9)).map(|_| ()).unwrap_err().to_string();
    assert!(error(&made).ends_with("accepted: none, for nothing was sent in it"), "{}", error(&made));
    made.send(1, 0).send(2, 1);
    assert_eq!(error(&made), "no message \"p#9\" in this run; accepted: p#1 to p#2");
}
