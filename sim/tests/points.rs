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

/// Where it is decided what becomes of a chain: in these folders and files each arm of each `match` is a branch of its own.
const DECIDING: [&str; 7] = [
    "revive",
    "revive/steps",
    "remote",
    "broker/acting",
    "broker/begin_anew.rs",
    "broker/catch_up.rs",
    "broker/take_back.rs",
];

/// Functions there whose `match`es decide nothing about a chain, and why.
const NOT_DECIDING: &[(&str, &str, &str)] = &[
    ("revive/agenda.rs", "note", "finds the peer that a chain needs; what is done then has points"),
    ("revive/apply.rs", "chain", "finds where a chain is kept"),
    ("revive/engine.rs", "step", "passes each event on to a function of its own"),
    ("revive/outcome.rs", "class", "a table of causes; what follows from a class has points"),
    ("revive/returns.rs", "ask", "notes since when a peer is away"),
    ("revive/returns.rs", "cuts_short", "finds the peer that a chain needs; whoever is hurried has a point"),
    ("revive/service.rs", "run", "sleeps and wakes"),
    ("revive/service.rs", "ripe", "takes chains off the agenda; what is done with them has points"),
    ("revive/service.rs", "admitted", "asks the breakers, which have points"),
    ("revive/service.rs", "perform", "passes each kind of work on"),
    ("revive/service.rs", "hand_over_now", "chooses how long a result may wait for company"),
    ("revive/service.rs", "swallow", "a planted defect"),
    ("revive/trace.rs", "read", "tells what happened"),
    ("revive/trace.rs", "handed_over", "tells what happened"),
    ("revive/trace.rs", "became", "tells what happened"),
    ("revive/work.rs", "gather", "puts together what can travel together"),
    ("revive/work.rs", "chains", "two shapes of the same"),
    ("revive/work.rs", "room_for", "puts together what can travel together"),
    ("revive/work.rs", "checkpoints", "puts together what can travel together"),
    ("revive/work.rs", "runs", "puts together what can travel together"),
    ("revive/service.rs", "store_results", "how soon results are stored, not what becomes of them"),
    ("remote/breaker.rs", "name", "names for logs and metrics"),
    ("remote/breaker.rs", "is_worth_a_try", "asks `admission`, which has points"),
    ("remote/breakers.rs", "admission", "a peer without a breaker has a closed one"),
    ("remote/breakers.rs", "back_for", "a peer without a breaker was never away"),
    ("remote/breakers.rs", "note", "tells what happened"),
    ("remote/breakers.rs", "health", "which failures a breaker counts; what follows has points"),
    ("remote/classify.rs", "sound", "shapes of a message"),
    ("remote/classify.rs", "offset", "shapes of a message"),
    ("remote/classify.rs", "pieces", "shapes of an answer"),
    ("remote/hand_over.rs", "checkpoint_of", "the form of a checkpoint"),
    ("remote/routes.rs", "acts", "which members a name server lists"),
    ("remote/routes.rs", "ask", "a look-up that fails; the next name server is asked"),
    ("broker/acting/mod.rs", "take_term", "groups of three ask for a vote, which has points"),
    ("broker/acting/vote.rs", "agreed", "what a mandate says"),
    ("broker/acting/vote.rs", "bind", "what is stored; whoever is bound has a point"),
    ("broker/acting/mod.rs", "act", "passes each request on to a function of its own"),
    ("broker/take_back.rs", "facts", "why there is no term; that the master waits has a point"),
    ("broker/take_back.rs", "seal", "tells what the step has decided, which has points"),
    ("broker/acting/mod.rs", "from", "one error becomes another"),
    ("broker/acting/mod.rs", "forget", "tells what happened"),
    ("broker/acting/due.rs", "drive", "sleeps and wakes"),
    ("broker/take_back.rs", "other_group", "looks at a request's field"),
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

/// Function → the arms of its `match`es that have no point; none where all have one.
#[derive(Default)]
struct Arms {
    inside: Vec<String>,
    without: BTreeMap<String, Vec<String>>,
}

impl Arms {
    fn in_function(&mut self, name: &syn::Ident, walk: impl FnOnce(&mut Self)) {
        self.inside.push(name.to_string());
        walk(self);
        self.inside.pop();
    }
}

impl<'ast> Visit<'ast> for Arms {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.attrs.iter().all(|attribute| !attribute.path().is_ident("cfg")) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.in_function(&function.sig.ident, |arms| visit::visit_item_fn(arms, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.in_function(&function.sig.ident, |arms| visit::visit_impl_item_fn(arms, function));
    }

    fn visit_expr_match(&mut self, decision: &'ast syn::ExprMatch) {
        let name = self.inside.last().cloned().unwrap_or_default();
        let without = self.without.entry(name).or_default();
        for arm in &decision.arms {
            // A match inside an arm has arms of its own; a `?` or a closure decides nothing about the chain.
            let body = arm.body.to_token_stream().to_string();
            let passes_on =
                matches!(&*arm.body, syn::Expr::Match(_)) || is_nothing_but_an_error(arm) || is_planted(arm);
            if !body.contains("sometimes !") && !passes_on {
                without.push(format!("{} => {body}", arm.pat.to_token_stream()));
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

fn arms_without_a_point(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut arms = Arms::default();
    arms.visit_file(&syn::parse_file(text).unwrap());
    arms.without
}

/// The files in which chains are decided on, as they are called below the sources.
fn deciding_files() -> Vec<String> {
    let mut files = Vec::new();
    for place in DECIDING {
        let path = source().join(place);
        if path.is_file() {
            files.push(place.to_owned());
            continue;
        }
        for entry in std::fs::read_dir(path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                files.push(format!("{place}/{name}"));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_arm_of_every_decision_has_a_point() {
    let mut excused: BTreeSet<(String, String)> =
        NOT_DECIDING.iter().map(|(file, function, _)| ((*file).to_owned(), (*function).to_owned())).collect();
    let mut missing = Vec::new();
    for file in deciding_files() {
        let text = std::fs::read_to_string(source().join(&file)).unwrap();
        for (function, without) in arms_without_a_point(&text) {
            if !excused.remove(&(file.clone(), function.clone())) && !without.is_empty() {
                missing.push(format!("{file}: {function}: {}", without.join("; ")));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new(), "arms without a point, in functions that nobody excuses");
    assert_eq!(excused, BTreeSet::new(), "they have gone, have another name, or have no `match`");
    assert!(NOT_DECIDING.iter().all(|(_, _, reason)| reason.len() > 10));
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
        fn has_none(it: u8) -> u8 { it }
        fn is_complete(it: u8) -> u8 { match it { _ => sometimes!("it", it) } }
        #[cfg(test)]
        mod tests { fn is_a_test(it: u8) -> u8 { match it { _ => it } } }
    "#;
    let found = arms_without_a_point(text);
    assert_eq!(found["decides"], ["_ => { helps (it) }", "_ => 3"]);
    assert_eq!(found["is_complete"], Vec::<String>::new());
    assert_eq!(found.len(), 2);
}
