//! The operator's documents say what the code does: metrics, alerts, runbooks.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, fmt::Write, path::Path};

use pop_revive::metrics::catalogue::{ALL, COMMON_LABELS, Kind, Source};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names in `text` that look like metrics of ours.
fn metric_names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("pop_revive_") || word.starts_with("rocketmq_")).collect()
}

fn exported() -> BTreeSet<String> {
    let samples = |metric: &pop_revive::metrics::catalogue::Metric| match metric.kind {
        Kind::Histogram => ["_sum", "_count", "_bucket"].map(|end| format!("{}{end}", metric.name)).to_vec(),
        Kind::Counter | Kind::Gauge => vec![metric.sample_name()],
    };
    ALL.iter().flat_map(samples).collect()
}

/// The values of `key` in the rule file, in order.
fn values<'a>(rules: &'a str, key: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.trim_start_matches([' ', '-']).strip_prefix(key)?.strip_prefix(": ");
    rules.lines().filter_map(value).collect()
}

#[test]
fn alerts_use_only_metrics_that_are_exported() {
    let rules = read("docs/operations/alerts.yml");
    let used = metric_names(&rules);
    assert!(used.len() > 8, "{used:?}");
    let exported = exported();
    let unknown: Vec<_> = used.into_iter().filter(|name| !exported.contains(*name)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

#[test]
fn every_alert_is_explained_and_tested() {
    let (rules, tests, page) =
        (read("docs/operations/alerts.yml"), read("docs/operations/alerts.test.yml"), read("docs/operations.md"));
    let alerts = values(&rules, "alert");
    assert!(alerts.len() >= 8, "{alerts:?}");
    for key in ["expr", "severity", "summary", "description", "runbook"] {
        assert_eq!(values(&rules, key).len(), alerts.len(), "every alert has a {key}");
    }
    for alert in alerts {
        assert!(page.contains(&format!("### {alert}\n")), "{alert} is not explained in docs/operations.md");
        for which in ["fires", "stays silent"] {
            assert!(tests.contains(&format!("name: {alert} {which}\n")), "{alert} is not shown: {which}");
        }
    }
}

#[test]
fn the_table_of_metrics_is_the_catalogue() {
    let mut table = String::from("| metric | kind | unit | labels | from | meaning |\n|---|---|---|---|---|---|\n");
    for metric in ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let source = match metric.source {
            Source::Log => "log",
            Source::Tables => "tables",
            Source::Process => "process",
        };
        let (name, unit, labels) = (metric.sample_name(), metric.unit, labels.join(", "));
        writeln!(table, "| `{name}` | {kind} | {unit} | {labels} | {source} | {} |", metric.meaning).unwrap();
    }
    let page = read("docs/operations.md");
    let found = page.split("<!-- metrics -->\n").nth(1).unwrap_or_default();
    assert_eq!(found, table, "the table between the marks in docs/operations.md has to read\n{table}");
    for label in COMMON_LABELS {
        assert!(page.contains(&format!("`{label}`")), "{label}");
    }
}
