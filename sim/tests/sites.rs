//! The sites of the code that may take an unlikely turn (`buggify!`): every one is known, and for every one there is a
//! scenario that strikes it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sources;

use std::{collections::BTreeSet, path::Path};

use pop_sim::{
    plan::Fault,
    scenario::{load_all, sites::SITES},
    schedule::expand,
};
use sources::names_given_to;

/// Seeds among which a fault that is drawn or not must occur once.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;

#[test]
fn every_site_of_the_sources_is_known() {
    let known: BTreeSet<String> = SITES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_given_to("buggify").into_keys().collect::<BTreeSet<_>>(), known);
    assert!(SITES.is_sorted() && SITES.iter().all(|(_, meaning)| meaning.len() > 20));
}

#[test]
fn every_site_is_struck_by_a_scenario() {
    let mut struck = BTreeSet::new();
    for scenario in load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")).unwrap() {
        for fault in SEEDS.flat_map(|seed| expand(&scenario, seed).faults) {
            if let Fault::Buggify { site, .. } = fault {
                struck.insert(site);
            }
        }
    }
    let known: BTreeSet<String> = SITES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(struck, known);
}
