//! The sites of the code that may take an unlikely turn (`buggify!`): every one is known, and for every one there is a
//! scenario that strikes it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use pop_sim::{
    plan::Fault,
    scenario::{load_all, sites::SITES},
    schedule::expand,
};

/// Seeds among which a fault that is drawn or not must occur once.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names that the sources give to `buggify!`.
fn in_the_sources() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![repository().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("src/buggify.rs") {
                for place in std::fs::read_to_string(&path).unwrap().split("buggify!(").skip(1) {
                    let name = place.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                    names.insert(name.unwrap_or_else(|| panic!("{place}")).to_owned());
                }
            }
        }
    }
    names
}

#[test]
fn every_site_of_the_sources_is_known() {
    let known: BTreeSet<String> = SITES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(in_the_sources(), known);
    assert!(SITES.is_sorted() && SITES.iter().all(|(_, meaning)| meaning.len() > 20));
}

#[test]
fn every_site_is_struck_by_a_scenario() {
    let mut struck = BTreeSet::new();
    for scenario in load_all(&repository().join("scenarios")).unwrap() {
        for fault in SEEDS.flat_map(|seed| expand(&scenario, seed).faults) {
            if let Fault::Buggify { site, .. } = fault {
                struck.insert(site);
            }
        }
    }
    let known: BTreeSet<String> = SITES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(struck, known);
}
