//! The points of the code that decide on chains (`sometimes!`): every branch that decides has one, every one is known, and
//! for every one there is a scenario that has to get there, or a reason why there is none.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use pop_sim::scenario::{
    load_all,
    points::{NOT_REACHED, POINTS},
};
use quote::ToTokens;
use sources::{names_given_to, source};
use syn::visit::{self, Visit};

/// Where it is decided what becomes of a chain: each arm of each `match` in these functions is a branch of its own.
const DECIDING: &[(&str, &[&str])] = &[
    (
        "revive/engine.rs",
        &["due", "peer_back", "read", "handed", "rewrite", "park", "settled", "withdrawn", "refusal_of"],
    ),
    ("revive/engine.rs", &["resumed"]),
    ("revive/outcome.rs", &["failed"]),
    ("revive/apply.rs", &["apply", "store_copy", "read_locally"]),
    ("revive/steps/ack.rs", &["ack", "newest"]),
    ("revive/steps/conclude.rs", &["decide"]),
    ("revive/steps/merge.rs", &["decide"]),
    ("revive/steps/renew.rs", &["decide"]),
    ("revive/steps/resume.rs", &["decide"]),
    ("revive/steps/tick.rs", &["decide"]),
    ("remote/classify.rs", &["classify", "found", "cause_of"]),
    ("remote/read.rs", &["read_from_owner"]),
    ("broker/acting/mod.rs", &["hand_over_acting"]),
    ("broker/acting/due.rs", &["move_due"]),
    ("broker/acting/settle.rs", &["ack_acting", "change_invisible_acting", "home_of"]),
];

#[test]
fn every_point_of_the_sources_is_known_and_unique() {
    let known: BTreeSet<&str> = POINTS.iter().map(|(name, _)| *name).collect();
    let sources = names_given_to("sometimes");
    assert_eq!(known.len(), POINTS.len());
    assert_eq!(sources.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
    assert_eq!(sources.iter().filter(|(_, times)| **times > 1).collect::<Vec<_>>(), []);
}

#[test]
fn every_point_has_a_scenario_that_must_get_there_or_a_reason_why_none_does() {
    let scenarios = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")).unwrap();
    let expected: BTreeSet<&str> =
        scenarios.iter().flat_map(|scenario| &scenario.expect.reached).map(String::as_str).collect();
    let excused: BTreeMap<&str, &str> = NOT_REACHED.iter().copied().collect();
    for (name, _) in POINTS {
        assert_ne!(expected.contains(name), excused.contains_key(name), "{name}");
    }
    assert!(excused.values().all(|reason| reason.len() > 20));
    assert!(excused.keys().all(|name| POINTS.iter().any(|(known, _)| known == name)));
}

/// The arms without a point, of every `match` in some functions of a file.
struct Arms<'a> {
    functions: &'a [&'a str],
    seen: BTreeSet<String>,
    inside: bool,
    without: Vec<String>,
}

impl Arms<'_> {
    fn in_function(&mut self, name: &syn::Ident, walk: impl FnOnce(&mut Self)) {
        let (name, before) = (name.to_string(), self.inside);
        if self.functions.contains(&&*name) {
            self.inside = true;
            self.seen.insert(name);
        }
        walk(self);
        self.inside = before;
    }
}

impl<'ast> Visit<'ast> for Arms<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.in_function(&function.sig.ident, |arms| visit::visit_item_fn(arms, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.in_function(&function.sig.ident, |arms| visit::visit_impl_item_fn(arms, function));
    }

    fn visit_expr_match(&mut self, decision: &'ast syn::ExprMatch) {
        for arm in decision.arms.iter().filter(|_| self.inside) {
            // A match inside an arm has arms of its own; a `?` or a closure decides nothing about the chain.
            let body = arm.body.to_token_stream().to_string();
            let passes_on =
                matches!(&*arm.body, syn::Expr::Match(_)) || is_nothing_but_an_error(arm) || is_planted(arm);
            if !body.contains("sometimes !") && !passes_on {
                self.without.push(format!("{} => {body}", arm.pat.to_token_stream()));
            }
        }
        visit::visit_expr_match(self, decision);
    }
}

/// `Err(error) => Err(error)`: the store failed, and nothing was decided.
fn is_nothing_but_an_error(arm: &syn::Arm) -> bool {
    let (pattern, body) = (arm.pat.to_token_stream().to_string(), arm.body.to_token_stream().to_string());
    pattern == body && pattern.starts_with("Err")
}

/// A planted defect is no branch of the code.
fn is_planted(arm: &syn::Arm) -> bool {
    arm.pat.to_token_stream().to_string().contains("if sabotage !")
}

fn arms_without_a_point(text: &str, functions: &[&str]) -> Vec<String> {
    let mut arms = Arms { functions, seen: BTreeSet::new(), inside: false, without: Vec::new() };
    arms.visit_file(&syn::parse_file(text).unwrap());
    let expected: BTreeSet<String> = functions.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(arms.seen, expected, "a function has gone or has another name");
    arms.without
}

#[test]
fn every_arm_of_every_decision_has_a_point() {
    for (file, functions) in DECIDING {
        let text = std::fs::read_to_string(source().join(file)).unwrap();
        assert_eq!(arms_without_a_point(&text, functions), Vec::<String>::new(), "{file}");
    }
}

#[test]
fn an_arm_without_a_point_is_noticed() {
    let text = r#"
        fn decides(it: u8) -> u8 {
            match it {
                0 => sometimes!("zero", 0),
                1 => match it { 2 => sometimes!("two", 2), _ => 3 },
                _ => { helps(it) }
            }
        }
        fn helps(it: u8) -> u8 { match it { _ => it } }
    "#;
    assert_eq!(arms_without_a_point(text, &["decides"]), ["_ => { helps (it) }", "_ => 3"]);
}
