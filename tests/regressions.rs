//! The table of known defects (`docs/regressions.md`) against the code: every defect has its row, every row its tests, and
//! every test that claims to guard against a defect stands in that defect's row.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Every defect that is known. The table holds each once.
const KNOWN: &[&str] = &[
    "A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A09", "A10", "A11", "A12", "A13", "A14", "A15", "A17",
    "A18", "A19", "A20", "A22", "A23", "A24", "A25", "A26", "A28", "A29", "A30", "A31", "A32", "A33", "A34", "A35",
    "A36", "A37", "A38", "A41", "A42", "A43", "A44", "A47", "A48", "A50", "A51", "A52", "A54", "A55", "A56", "A58",
    "A59", "A60", "A61", "A62", "A63", "A66", "A67", "A68", "A71", "A73", "A75", "A77", "A78", "A79", "A81", "A84",
    "A85", "A86", "A87", "A88", "A89", "A90", "A92", "A93", "A94", "A96", "A97", "B01", "B02", "B03", "B04", "B07",
    "B08", "B09", "B10", "B11", "B12", "B13", "B14", "B15", "C02", "C03", "C04", "C05", "C06", "C07", "C08", "C09",
    "C10", "C11", "C12",
];

/// Rows that may wait for something that is being built. It only ever gets smaller.
const PENDING_MAX: usize = 0;

/// A row of the table.
#[derive(Debug, Clone)]
struct Row {
    id: String,
    status: String,
    held_by: String,
}

fn rows(table: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in table.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", id, _title, _upstream, _here, status, held_by, ""] = cells[..]
            && is_id(id)
        {
            let [id, status, held_by] = [id, status, held_by].map(str::to_owned);
            rows.push(Row { id, status, held_by });
        }
    }
    rows
}

fn is_id(word: &str) -> bool {
    let (kind, number) = word.split_at(word.len().min(1));
    ["A", "B", "C"].contains(&kind) && number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The ids that a text names.
fn ids_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_id(word)).map(str::to_owned).collect()
}

/// What a row names in back quotes: tests, and what follows the words `scenario` and `defect`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Test(String),
    Scenario(String),
    Sabotage(String),
}

fn named(held_by: &str) -> Vec<Named> {
    let parts: Vec<&str> = held_by.split('`').collect();
    let kind_of = |before: &str, name: &str| match before.trim_end() {
        before if before.ends_with("scenario") => Named::Scenario(name.into()),
        before if before.ends_with("defect") => Named::Sabotage(name.into()),
        _ => Named::Test(name.into()),
    };
    parts.chunks(2).filter_map(|pair| Some(kind_of(pair[0], pair.get(1)?))).collect()
}

/// What there is to be named: each with the ids that its documentation claims.
struct Code {
    tests: BTreeMap<String, BTreeSet<String>>,
    scenarios: BTreeMap<String, BTreeSet<String>>,
    sabotages: String,
}

impl Code {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut tests = BTreeMap::new();
        for (folder, crate_path) in [("src", ""), ("tests", "tests"), ("sim/src", "sim"), ("sim/tests", "sim::tests")] {
            read_tests(&root.join(folder), crate_path, &mut tests);
        }
        let mut scenarios = BTreeMap::new();
        for entry in std::fs::read_dir(root.join("scenarios")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let comments: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
            scenarios.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), ids_in(&comments.join("\n")));
        }
        Self { tests, scenarios, sabotages: std::fs::read_to_string(root.join("sim/src/sabotages.rs")).unwrap() }
    }
}

/// Finds the tests below a folder; a test's path is that of its file, then its name.
fn read_tests(folder: &Path, module: &str, tests: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let inner = if module.is_empty() { stem.to_owned() } else { format!("{module}::{stem}") };
        if path.is_dir() {
            read_tests(&path, &inner, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            tests.extend(tests_of(&text).into_iter().map(|(name, docs)| (format!("{inner}::{name}"), docs)));
        }
    }
}

/// The tests of a source that are run, with the ids in their documentation.
fn tests_of(source: &str) -> Vec<(String, BTreeSet<String>)> {
    let (mut found, mut docs, mut attributes) = (Vec::new(), String::new(), String::new());
    for line in source.lines().map(str::trim_start) {
        if let Some(doc) = line.strip_prefix("///") {
            docs.push_str(doc);
        } else if line.starts_with("#[") {
            attributes.push_str(line);
        } else {
            let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let Some(name) = function.and_then(|rest| rest.split('(').next()) {
                let is_test = attributes.contains("#[test]") || attributes.contains("#[tokio::test");
                if is_test && !attributes.contains("ignore") {
                    found.push((name.to_owned(), ids_in(&docs)));
                }
            }
            docs.clear();
            attributes.clear();
        }
    }
    found
}

/// What is wrong with the table.
fn complaints(table: &str, code: &Code) -> Vec<String> {
    let rows = rows(table);
    let mut wrong = Vec::new();
    for id in KNOWN {
        match rows.iter().filter(|row| row.id == *id).count() {
            1 => {}
            count => wrong.push(format!("{id} stands in the table {count} times")),
        }
    }
    for row in &rows {
        if !KNOWN.contains(&row.id.as_str()) {
            wrong.push(format!("{} is no known defect", row.id));
        }
        wrong.extend(complaints_of_row(row, code).into_iter().map(|text| format!("{}: {text}", row.id)));
    }
    let pending = rows.iter().filter(|row| row.status == "pending").count();
    if pending > PENDING_MAX {
        wrong.push(format!("{pending} rows are pending, at most {PENDING_MAX} may be"));
    }
    wrong.extend(unnamed(&rows, code));
    wrong
}

fn complaints_of_row(row: &Row, code: &Code) -> Vec<String> {
    let mut wrong = Vec::new();
    let named = named(&row.held_by);
    for name in &named {
        let claims = match name {
            Named::Test(test) => code.tests.get(test),
            Named::Scenario(scenario) => code.scenarios.get(scenario),
            Named::Sabotage(sabotage) => {
                if !code.sabotages.contains(&format!("name: \"{sabotage}\"")) {
                    wrong.push(format!("no planted defect {sabotage}"));
                }
                continue;
            }
        };
        match claims {
            None => wrong.push(format!("there is no {name:?}")),
            Some(claims) if !claims.contains(&row.id) => wrong.push(format!("{name:?} does not say so")),
            Some(_) => {}
        }
    }
    let proves = named.iter().any(|name| matches!(name, Named::Test(_) | Named::Scenario(_)));
    match row.status.as_str() {
        "tested" if !proves => wrong.push("tested by nothing".into()),
        "excluded" if row.held_by.len() < 60 => wrong.push("no reason that excludes it".into()),
        "pending" if !row.held_by.contains("See ") => wrong.push("does not say what it waits for".into()),
        "tested" | "excluded" | "pending" => {}
        other => wrong.push(format!("unknown status {other:?}")),
    }
    wrong
}

/// Claims of tests and scenarios that the table does not know.
fn unnamed(rows: &[Row], code: &Code) -> Vec<String> {
    let mut known: BTreeSet<(String, Named)> = BTreeSet::new();
    for row in rows {
        known.extend(named(&row.held_by).into_iter().map(|name| (row.id.clone(), name)));
    }
    let tests = code.tests.iter().map(|(name, ids)| (ids, Named::Test(name.clone())));
    let scenarios = code.scenarios.iter().map(|(name, ids)| (ids, Named::Scenario(name.clone())));
    let mut wrong = Vec::new();
    for (ids, name) in tests.chain(scenarios) {
        for id in ids {
            let named_by = known.iter().any(|(row, known)| row == id && *known == name);
            if !named_by {
                wrong.push(format!("{name:?} claims {id}, whose row does not name it"));
            }
        }
    }
    wrong
}

fn table() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/regressions.md")).unwrap()
}

#[test]
fn every_known_defect_is_held_by_what_its_row_names() {
    assert_eq!(complaints(&table(), &Code::read()), Vec::<String>::new());
}

#[test]
fn a_table_that_is_wrong_is_noticed() {
    let (good, code) = (table(), Code::read());
    let row = |id: &str| good.lines().find(|line| line.starts_with(&format!("| {id} |"))).unwrap().to_owned();
    let first = row("A01");
    let test = "remote::classify_any_tests::only_proof_is_gone_and_only_the_message_is_found";
    for (what, from, to) in [
        ("a missing row", first.clone(), String::new()),
        ("a row too many", first.clone(), format!("{first}\n{first}")),
        ("an unknown defect", first.clone(), format!("{first}\n{}", first.replace("A01", "A99"))),
        ("a test that is not there", test.to_owned(), format!("{test}_today")),
        ("a test of another defect", test.to_owned(), "revive::policy::the_total_time_is_a_cap".to_owned()),
        ("a scenario that is not there", "`remote-read-timeout`".to_owned(), "`remote-read`".to_owned()),
        ("a planted defect that is not there", "`dropped-error`".to_owned(), "`dropped`".to_owned()),
        ("a status that nobody knows", "| tested | `".to_owned(), "| fine | `".to_owned()),
        (
            "more that is pending",
            first.clone(),
            format!("| A01 | t | u | h | pending | See something. |\n{}", row("A02")),
        ),
        ("tested by nothing", first.clone(), "| A01 | t | u | h | tested | By thinking. |".to_owned()),
        ("excluded for no reason", first.clone(), "| A01 | t | u | h | excluded | Cannot be. |".to_owned()),
    ] {
        assert!(good.contains(&from), "{what}: the table has no {from}");
        assert!(!complaints(&good.replacen(&from, &to, 1), &code).is_empty(), "{what} goes unnoticed");
    }
}

#[test]
fn tests_are_read_with_what_they_claim() {
    let source = "/// Known defects A01, B02.\n#[test]\nfn one() {}\n/// A03\nfn no_test() {}\n    /// C04: x\n    #[tokio::test]\n    async fn two() {\n#[test]\n#[ignore]\nfn three() {}\n";
    let found = tests_of(source);
    let ids = |list: &[&str]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(found, [("one".to_owned(), ids(&["A01", "B02"])), ("two".to_owned(), ids(&["C04"]))]);
    let held = named("`a::b`, scenario `c-d`, planted defect `e`; and no more");
    assert_eq!(held, [Named::Test("a::b".into()), Named::Scenario("c-d".into()), Named::Sabotage("e".into())]);
}
