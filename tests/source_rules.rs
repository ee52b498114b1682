//! Rules of determinism that no lint knows, read off the sources: what would let something other than the seed decide.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

/// The Rust files below the crate's folders, with their text up to their test module.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let end = text.find("\nmod tests {").unwrap_or(text.len());
                sources.push((path, text[..end].to_owned()));
            }
        }
    }
    assert!(sources.len() > 10, "the sources were not found below {}", root.display());
    sources
}

/// The places at which `is_wrong` objects to a line and the ones after it.
fn wrong(folders: &[&str], is_wrong: impl Fn(&Path, &[&str]) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folders) {
        let lines: Vec<&str> = text.lines().collect();
        for number in 0..lines.len() {
            let is_comment = lines[number].trim_start().starts_with("//");
            if !is_comment && is_wrong(&path, &lines[number..]) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, lines[number].trim()));
            }
        }
    }
    found
}

#[test]
fn every_select_is_biased() {
    let found = wrong(&["src", "sim/src"], |_, lines| {
        lines[0].contains("select!") && !lines.iter().take(2).any(|line| line.contains("biased;"))
    });
    assert_eq!(found, Vec::<String>::new(), "branch order escapes the seed");
}

#[test]
fn nothing_escapes_the_seed() {
    let banned = [
        "sync::watch",
        "futures::select",
        "thread_rng",
        "rand::rng()",
        "from_os_rng",
        "from_entropy",
        "static mut",
        "lazy_static",
        "JoinError",
    ];
    let found = wrong(&["src", "sim/src"], |_, lines| banned.iter().any(|word| lines[0].contains(word)));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_real_code_reads_no_clock_of_its_own() {
    // A lint cannot tell them apart: under the simulator tokio's Instant is std's, driven by simulated time.
    let found = wrong(&["src"], |path, lines| {
        let reads = lines[0].contains("std::time::Instant") || lines[0].contains("SystemTime");
        reads && !path.ends_with("src/seams/system_clock.rs") && !lines[0].contains("SystemClock")
    });
    assert_eq!(found, Vec::<String>::new(), "use tokio::time::Instant or the Clock seam");
}

#[test]
fn the_real_code_has_no_hash_order() {
    let found = wrong(&["src"], |_, lines| lines[0].contains("HashMap") || lines[0].contains("HashSet"));
    assert_eq!(found, Vec::<String>::new(), "use BTreeMap or BTreeSet");
}

#[test]
fn the_real_code_is_one_source_for_both_worlds() {
    let found = wrong(&["src"], |path, lines| {
        let is_cfg = lines[0].contains("cfg(") || lines[0].contains("cfg!(");
        let is_test = lines[0].contains("cfg(test)");
        // Three named places: what only simulated runs ask for, and the binary that refuses to be one.
        let allowed = ["src/buggify.rs", "src/sabotage.rs", "src/sometimes.rs", "src/main.rs"];
        let is_allowed = allowed.iter().any(|file| path.ends_with(file));
        is_cfg && !is_test && !is_allowed
    });
    assert_eq!(found, Vec::<String>::new(), "what differs between the worlds is handed in at start, see seams");
}

#[test]
fn the_real_code_never_names_the_simulator() {
    let found = wrong(&["src"], |path, lines| {
        let names = lines[0].contains("madsim") || lines[0].contains("pop_sim");
        names
            && !["src/buggify.rs", "src/sabotage.rs", "src/sometimes.rs", "src/main.rs"]
                .iter()
                .any(|file| path.ends_with(file))
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_decoder_of_evidence_shares_nothing_with_the_broker() {
    // Its crate, that is; metrics whose names begin so are what it shows.
    let names_it = |line: &str| line.replace("pop_revive_", "").contains("pop_revive");
    let found = wrong(&["sim/src/evidence", "sim/src/ledger", "sim/src/oracles"], |_, lines| names_it(lines[0]));
    assert_eq!(found, Vec::<String>::new());
}
