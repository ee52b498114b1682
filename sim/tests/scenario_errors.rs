//! What a broker engineer reads when a scenario file is wrong, message by message.
//!
//! Each snapshot holds the messages of one family of slips, each below the edit of a sound file that provokes it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use pop_sim::scenario::{self, Scenario};

const SOUND: &str = r#"summary = "nothing breaks"
duration = "2h"

[[broker]]
name = "broker-a"
escapes_to = "broker-b"
degree = 1

[[broker]]
name = "broker-b"

[[topic]]
name = "orders"
brokers = ["broker-a"]
queues = 4

[[group]]
name = "billing"
topic = "orders"
tag = "*"
max_reconsume = 16

[[producer]]
name = "producer-1"
topic = "orders"
messages = 20
over = "1h"
tags = ["A", "B"]

[[consumer]]
name = "consumer-1"
group = "billing"
batch = 8
ack = 0.8
late_ack = 0.05

[policy]
waits = ["10s", "20s"]
rewrites = 2

[network]
latency = { min = "1ms", max = "5ms" }

[[operator]]
at = "6h"
do = "resume-parked"
broker = "broker-b"

[expect]
reached = ["parked"]
"#;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn snapshot(name: &str, content: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(repository().join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, content));
}

fn message(text: &str) -> String {
    match Scenario::parse("x", "scenarios/x.toml", text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(errors) => errors.to_string(),
    }
}

/// The messages for a sound file in which the first `.0` is replaced by `.1`.
fn edits(name: &str, edits: &[(&str, &str)]) {
    let mut all = String::new();
    for (from, to) in edits {
        assert!(SOUND.contains(from), "{from} is not in the sound file");
        writeln!(all, "== {from} -> {to}\n{}\n", message(&SOUND.replacen(from, to, 1))).unwrap();
    }
    snapshot(name, &all);
}

/// The messages for a sound file with one more fault.
fn faults(name: &str, faults: &[&str]) {
    let mut all = String::new();
    for fault in faults {
        writeln!(all, "{}\n", message(&format!("{SOUND}\n[[fault]]\n{fault}\n"))).unwrap();
    }
    snapshot(name, &all);
}

#[test]
fn the_sound_file_is_sound() {
    let scenario = Scenario::parse("x", "scenarios/x.toml", SOUND).unwrap();
    assert_eq!(scenario.topics[0].brokers, ["broker-a"]);
    assert_eq!(scenario.consumers[0].invisible_ms, 30_000);
    assert_eq!(scenario.policy.waits_ms, [10_000, 20_000]);
    assert_eq!(scenario.digest().len(), 16);
    assert_eq!(scenario.digest(), Scenario::parse("x", "elsewhere.toml", SOUND).unwrap().digest());
    let edited = SOUND.replacen("ack = 0.8", "ack = 0.7", 1);
    assert_ne!(scenario.digest(), Scenario::parse("x", "x.toml", &edited).unwrap().digest());
}

#[test]
fn chains_are_known_for_as_long_as_the_policy_may_last() {
    let window_ms = |policy: &str| {
        let text = SOUND.replacen("waits = [\"10s\", \"20s\"]\nrewrites = 2\n", policy, 1);
        Scenario::parse("x", "x.toml", &text).unwrap().brokers[0].chain_window_ms
    };
    assert_eq!(window_ms(""), 86_400_000);
    assert!(window_ms("waits = [\"1h\"]\nrewrites = 40\n") > 40 * 3_600_000);
}

#[test]
fn slaves_are_nodes_of_their_own() {
    let text = SOUND.replacen("degree = 1", "slaves = 2", 1);
    let fault = |kind: &str| Scenario::parse("x", "x.toml", &format!("{text}\n[[fault]]\n{kind}\n"));
    for kind in [
        "kind = 'crash'\nnode = 'broker-a-s2'\nbefore_sync = 3\ndown = '2m'",
        "kind = 'kill'\nnode = 'broker-a-s1'\nat = '1m'\ndown = '2m'",
        "kind = 'pause'\nnode = 'broker-a-s1'\nat = '1m'\nfor = '2m'",
        "kind = 'clock-step'\nnode = 'broker-a-s1'\nat = '1m'\nby = '2m'",
        "kind = 'partition'\nbetween = [['broker-a-s1'], ['broker-a']]\nat = '5m'\nfor = '1m'",
        "kind = 'lost-answer'\nfrom = 'broker-b'\nto = 'broker-a-s2'\nrpc = 11\nnth = 1",
    ] {
        assert!(fault(kind).is_ok(), "{kind}");
    }
    assert!(fault("kind = 'kill'\nnode = 'broker-a-s3'\nat = '1m'\ndown = '2m'").is_err());
    assert!(fault("kind = 'kill'\nnode = 'broker-b-s1'\nat = '1m'\ndown = '2m'").is_err());
    assert!(message(&text.replacen("producer-1", "broker-a-s2", 1)).contains("broker.slaves"));
    let none = SOUND.replacen("degree = 1", "slaves = 0", 1);
    assert_eq!(
        Scenario::parse("x", "x.toml", &none).unwrap().digest(),
        Scenario::parse("x", "x.toml", SOUND).unwrap().digest()
    );
    let obligations = Scenario::parse("x", "x.toml", &text).unwrap().obligations();
    assert_eq!(obligations.slaves.keys().collect::<Vec<_>>(), ["broker-a-s1", "broker-a-s2"]);
    assert_eq!((obligations.group_of("broker-a-s2"), obligations.group_of("broker-b")), ("broker-a", "broker-b"));
}

#[test]
fn without_a_policy_rocketmq_s_seventeen_waits_hold() {
    let text = SOUND.replacen("waits = [\"10s\", \"20s\"]\nrewrites = 2\n", "", 1);
    let policy = Scenario::parse("x", "x.toml", &text).unwrap().policy;
    assert_eq!((policy.waits_ms.len(), policy.rewrites), (17, 17));
    assert_eq!(policy.waits_ms.iter().sum::<u64>(), 17_160_000);
}

#[test]
fn wrong_shapes() {
    edits(
        "scenario-errors-shape",
        &[
            ("queues = 4", "queue = 4"),
            ("queues = 4", "queues = \"four\""),
            ("queues = 4", "queues = 4 4"),
            ("[policy]", "[polcy]"),
            ("duration = \"2h\"\n", ""),
            ("duration = \"2h\"", "duration = 7200"),
            ("topic = \"orders\"\ntag", "tag"),
            ("\"resume-parked\"", "\"resume\""),
            (
                "[[broker]]\nname = \"broker-a\"\nescapes_to = \"broker-b\"\ndegree = 1\n\n[[broker]]\nname = \"broker-b\"\n",
                "",
            ),
            ("max = \"5ms\"", "mx = \"5ms\""),
        ],
    );
    let empty = message("summary = 'x'\nduration = '1h'\nbroker = []\ntopic = []\n");
    snapshot("scenario-errors-empty-tables", &empty);
}

#[test]
fn wrong_names() {
    edits(
        "scenario-errors-names",
        &[
            ("escapes_to = \"broker-b\"", "escapes_to = \"broker-z\""),
            ("escapes_to = \"broker-b\"", "escapes_to = \"broker-a\""),
            ("brokers = [\"broker-a\"]", "brokers = [\"broker-a\", \"namesrv\"]"),
            ("brokers = [\"broker-a\"]", "brokers = [\"broker-a\", \"broker-a\"]"),
            ("brokers = [\"broker-a\"]", "brokers = []"),
            ("topic = \"orders\"\ntag", "topic = \"order\"\ntag"),
            ("group = \"billing\"", "group = \"biling\""),
            ("name = \"consumer-1\"", "name = \"producer-1\""),
            ("name = \"consumer-1\"", "name = \"namesrv\""),
            ("degree = 1\n", "slaves = 1\n[[broker]]\nname = \"broker-a-s1\"\n"),
            ("name = \"orders\"", "name = \"%RETRY%orders\""),
            ("tag = \"*\"", "tag = \"A | B\""),
            ("tags = [\"A\", \"B\"]", "tags = [\"A\", \"\"]"),
            ("tags = [\"A\", \"B\"]", "keys = \"for ward\""),
            (
                "[[consumer]]",
                "[[producer]]\nname = \"p\"\ntopic = \"orders\"\nkeys = \"producer-1\"\nmessages = 1\nover = \"1m\"\n[[consumer]]",
            ),
            ("broker = \"broker-b\"", "broker = \"broker\""),
            ("reached = [\"parked\"]", "reached = [\"parkd\"]"),
            ("reached = [\"parked\"]", "reached = [\"parked\", \"parked\"]"),
            ("summary = \"nothing breaks\"", "summary = \" \""),
        ],
    );
}

#[test]
fn wrong_numbers() {
    edits(
        "scenario-errors-numbers",
        &[
            ("batch = 8", "batch = 33"),
            ("batch = 8", "batch = 0"),
            ("queues = 4", "queues = -4"),
            ("degree = 1", "degree = 2"),
            ("degree = 1", "slaves = 3"),
            ("degree = 1", "slaves = -1"),
            ("degree = 1", "retention = { bytes = 100 }"),
            ("degree = 1", "retention = {}"),
            ("degree = 1", "chain_window = \"2s\""),
            ("degree = 1", "retention = { age = \"0s\" }"),
            ("messages = 20", "messages = 0"),
            ("messages = 20", "messages = 20\nbody_bytes = 8"),
            ("ack = 0.8", "ack = 1.5"),
            ("ack = 0.8", "ack = nan"),
            ("late_ack = 0.05", "late_ack = 0.3"),
            ("rewrites = 2", "rewrites = 0"),
            ("rewrites = 2", "jitter = -0.1"),
            ("rewrites = 2", "refusals = 0"),
            ("rewrites = 2", "refusals = 21"),
            ("reached = [\"parked\"]", "settle = { parked_at_least = 0 }"),
        ],
    );
}

#[test]
fn wrong_times() {
    edits(
        "scenario-errors-times",
        &[
            ("duration = \"2h\"", "duration = \"two hours\""),
            ("duration = \"2h\"", "duration = \"0s\""),
            ("duration = \"2h\"", "duration = \"2y\""),
            ("over = \"1h\"", "over = \"3h\""),
            ("over = \"1h\"", "over = \"0s\""),
            ("over = \"1h\"", "from = \"90m\"\nover = \"1h\""),
            ("over = \"1h\"", "from = \"2h\"\nover = \"1h\""),
            ("min = \"1ms\"", "min = \"200us\""),
            ("min = \"1ms\"", "min = \"10ms\""),
            ("batch = 8", "invisible = \"0s\""),
            ("waits = [\"10s\", \"20s\"]", "waits = [\"10s\", \"20x\"]"),
            ("waits = [\"10s\", \"20s\"]", "waits = []"),
        ],
    );
}

#[test]
fn wrong_process_faults() {
    faults(
        "scenario-errors-process-faults",
        &[
            "kind = 'explode'\nnode = 'broker-a'",
            "kind = 'kill'",
            "kind = 'kill'\nnode = 'broker-c'\nat = '1m'\ndown = '1m'",
            "kind = 'crash'\nnode = 'broker-a'\nat = '2h'\ndown = '1m'",
            "kind = 'crash'\nnode = 'broker-a'\nat = '119m'\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a'\nat = { from = '20m', to = '10m' }\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a'\nat = { from = '20m' }\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a'\nat = 5\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a'\nat = '5m'\nbefore_sync = 3\ndown = '2m'",
            "kind = 'crash'\nnode = 'consumer-1'\nbefore_sync = 3\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a-s1'\nbefore_sync = 3\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a'\nbefore_sync = { from = 5, to = 3 }\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a'\nafter_sync = 0\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a'\non = { rpc = 'PULL', to = 'broker-x' }\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a'\non_answer = { rpc = 'PULL_MESSAGE', from = 'broker-z' }\ndown = '2m'",
            "kind = 'crash'\nnode = 'broker-a'\non_answer = { nth = 1 }\nbefore_sync = 1\ndown = '2m'",
            "kind = 'crash-loop'\nnode = 'broker-a'\nat = '5m'\ndown = '2s'\nup = '1s'",
            "kind = 'crash-loop'\nnode = 'broker-a'\nat = '5m'\ndown = '2s'\ntimes = 3",
            "kind = 'crash-loop'\nnode = 'broker-a'\nat = '5m'\ndown = '2s'\ntimes = 0\nup = '0s'",
            "kind = 'crash-loop'\nnode = 'broker-a'\nafter_sync = 5\ntimes = 3\nup = '1s'",
            "kind = 'kill'\nnode = 'broker-a'\nat = '5m'\ndown = '2s'\ntimes = 3",
            "kind = 'stop'\nnode = 'broker-a'\nat = '5m'\ndown = '0s'",
            "kind = 'pause'\nnode = 'broker-a'\nat = '5m'\ndown = '5s'",
            "kind = 'stop'\nname = '1st'\nnode = 'broker-a'\nat = '5m'\ndown = '1s'\nrepeat = 'often'",
            "kind = 'stop'\nnode = 'broker-a'\nat = '5m'\ndown = '1s'\nrepeat = 5000",
        ],
    );
}

#[test]
fn wrong_disk_and_clock_faults() {
    faults(
        "scenario-errors-disk-and-clock-faults",
        &[
            "kind = 'disk-error'\nnode = 'broker-a'\nnth = 1",
            "kind = 'replace'\nnode = 'broker-a'\nat = '5m'\ndown = '1m'\nloses_disk = true",
            "kind = 'replace'\nnode = 'namesrv'\nat = '5m'\ndown = '1m'",
            "kind = 'replace'\nnode = 'broker-a'\nat = '5m'\ndown = '1m'\ndisk_as_of = '2m'",
            "kind = 'replace'\nnode = 'broker-a-s1'\nat = '5m'\ndown = '1m'\nloses_disk = true\ndisk_as_of = '2m'",
            "kind = 'buggify'\nnode = 'broker-a'\nnth = 1",
            "kind = 'buggify'\nnode = 'broker-a'\nsite = 'pops-two'\nnth = 1",
            "kind = 'buggify'\nnode = 'broker-a'\nsite = 'pops-one'",
            "kind = 'disk-error'\nnode = 'broker-a'\noperation = 'fsync'\nnth = 1",
            "kind = 'disk-error'\nnode = 'broker-a'\noperation = 'sync'",
            "kind = 'disk-error'\nnode = 'consumer-1'\noperation = 'read'\nnth = 1",
            "kind = 'disk-full'\nnode = 'broker-a'\nat = '5m'",
            "kind = 'disk-full'\nat = '5m'\nfor = '1m'\nnth = 1",
            "kind = 'slow-disk'\nnode = 'broker-a'\nat = '5m'\nfor = '1m'\nmin = '1s'",
            "kind = 'slow-disk'\nnode = 'broker-a'\nat = '5m'\nfor = '1m'\nmin = '2s'\nmax = '1s'",
            "kind = 'clock-drift'\nnode = 'broker-a'\nat = '5m'\nfor = '1m'",
            "kind = 'clock-drift'\nnode = 'broker-x'\nppm = 0\nat = '5m'\nfor = '1m'",
            "kind = 'clock-drift'\nnode = 'broker-a'\nppm = 1\nat = '5m'\nfor = '2h'",
            "kind = 'slow-start'\nnode = 'broker-a'\nat = '5m'\nfor = '1m'\nmax = '1s'",
            "kind = 'slow-start'\nnode = 'broker-a'\nat = '5m'\nmin = '1s'\nmax = '2s'",
            "kind = 'slow-start'\nnode = 'broker-a'\nat = '5m'\ndown = '1m'\nfor = '1m'\nmin = '1s'\nmax = '2s'",
            "kind = 'frozen-clock'\nnode = 'broker-x'\nat = '5m'\nfor = '1m'",
            "kind = 'frozen-clock'\nnode = 'broker-a'\nat = '5m'\nfor = '0s'",
            "kind = 'frozen-clock'\nnode = 'broker-a'\nat = '5m'\nby = '1m'",
        ],
    );
}

/// A master whose slaves have what it has lost stays down, and of a log that has expired not all can be had again.
#[test]
fn disks_that_must_not_rot() {
    let rot = "[[fault]]\nkind = 'disk-error'\nnode = 'broker-a'\noperation = 'rot'\nnth = 1\n";
    let with = |broker: &str| format!("{broker}\n{rot}");
    edits(
        "scenario-errors-rot",
        &[
            ("degree = 1\n", &with("slaves = 1\ndegree = 2")),
            ("degree = 1\n", &with("slaves = 1")),
            ("degree = 1\n", &with("retention = { age = \"1h\" }")),
        ],
    );
    for node in ["broker-b", "broker-a-s1"] {
        let text = SOUND.replacen("degree = 1\n", &with("slaves = 1"), 1).replacen(
            "node = 'broker-a'",
            &format!("node = '{node}'"),
            1,
        );
        Scenario::parse("x", "x.toml", &text).unwrap();
    }
}

#[test]
fn wrong_network_faults() {
    faults(
        "scenario-errors-network-faults",
        &[
            "kind = 'lost-answer'\nrpc = 'PULL_MESAGE'\nnth = 1",
            "kind = 'lost-answer'\nrpc = true\nnth = 1",
            "kind = 'lost-answer'\nfrom = 'broker-x'\nrpc = 11\nnth = 1",
            "kind = 'lost-answer'\nfrom = ['broker-a', 'broker-b']\nnth = 1",
            "kind = 'lost-answer'\nrpc = 11",
            "kind = 'lost-answer'\nrpc = 11\nnth = []",
            "kind = 'lost-answer'\nrpc = 11\nnth = [0, 1]",
            "kind = 'lost-answer'\nrpc = 11\nnth = 'all'",
            "kind = 'lost-answer'\nrpc = 11\nnth = { pick = 5, of = 3 }",
            "kind = 'lost-answer'\nrpc = 11\nnth = 1\nat = '5m'\nfor = '1m'",
            "kind = 'reset'\nrpc = 11\nat = '5m'",
            "kind = 'answer'\nrpc = 11\nnth = 1",
            "kind = 'damaged-answer'\nrpc = 11\nnth = 1",
            "kind = 'damaged-answer'\ndamage = 'other-queue'\nnth = 1",
            "kind = 'damaged-answer'\ndamage = 'burnt'\nnth = 1",
            "kind = 'answer'\ncode = 'SYSTEM_BUZY'\nnth = 1",
            "kind = 'answer'\ncode = 99999999999\nnth = 1",
            "kind = 'partition'\nat = '5m'\nfor = '1m'",
            "kind = 'partition'\nbetween = [['broker-a']]\nat = '5m'\nfor = '1m'",
            "kind = 'partition'\nbetween = [['broker-a'], []]\nat = '5m'\nfor = '1m'",
            "kind = 'partition'\nbetween = [['broker-a'], ['broker-b', 'broker-a']]\nat = '5m'\nfor = '1m'",
            "kind = 'partition'\nbetween = [['broker-a'], ['broker-b']]\nfrom = 'broker-a'\nat = '5m'\nfor = '1m'",
            "kind = 'partition'\nfrom = 'broker-a'\nto = 7\nat = '5m'\nfor = '1m'",
            "kind = 'partition'\nfrom = 'broker-a'\nto = 'broker-b'\nat = '5m'\nfor = '0s'",
            "kind = 'delayed-request'\nrpc = 11\nnth = 1",
            "kind = 'duplicate-request'\nrpc = 11\nnth = 1\nby = '1s'",
            "kind = 'bandwidth'\nfrom = 'broker-a'\nat = '5m'\nfor = '1m'",
            "kind = 'bandwidth'\nfrom = 'broker-a'\nbytes_per_second = 1\nat = '5m'\nfor = '1m'",
            "kind = 'partition'\nfrom = 'broker-a'\nto = 'broker-b'\nat = '1h'\nfor = { from = '5m', to = '61m' }",
            "kind = 'latency'\nat = '5m'\nfor = '1m'\nmin = '5ms'",
            "kind = 'stall'\nfrom = 'broker-a'\nat = '5m'",
            "kind = 'stall'\nto = 'broker-x'\nat = '5m'\nfor = '1m'",
            "kind = 'stall'\nat = '5m'\nfor = '1m'\nnth = 1",
            "kind = 'slow-close'\nto = 'broker-x'\nat = '5m'\nfor = '1m'\nrpc = 11",
            "kind = 'latency'\nat = '5m'\nfor = '1m'\nmin = '5ms'\nmax = '1ms'",
        ],
    );
}

/// The consumer of the sound file pops through a slave of Apache's.
#[test]
fn wrong_slaves_of_apache() {
    let sound = SOUND.replacen("brokers = [\"broker-a\"]\n", "", 1).replacen(
        "batch = 8",
        "apache = { slave_of = \"broker-a\", keeps_at = \"broker-b\" }",
        1,
    );
    let scenario = Scenario::parse("x", "x.toml", &sound).unwrap();
    assert_eq!(scenario.consumers[0].apache.as_ref().unwrap().keeps_at, "broker-b");
    let mut all = String::new();
    for (from, to) in [
        ("keeps_at = \"broker-b\"", "keeps_at = \"broker-a\""),
        ("keeps_at = \"broker-b\"", "keeps_at = \"broker-c\""),
        (", keeps_at = \"broker-b\"", ""),
        ("queues = 4", "brokers = [\"broker-a\"]"),
        ("max_reconsume = 16", "max_reconsume = 3"),
        ("[policy]", "[[consumer]]\nname = \"consumer-2\"\ngroup = \"billing\"\n\n[policy]"),
        ("[policy]", "[[operator]]\nat = \"5m\"\ndo = \"delete-topic\"\ntopic = \"orders\"\n\n[policy]"),
        ("[policy]", "[[operator]]\nat = \"5m\"\ndo = \"reset-offset\"\ngroup = \"billing\"\n\n[policy]"),
    ] {
        assert!(sound.contains(from), "{from} is not in the sound file");
        writeln!(all, "== {from} -> {to}\n{}\n", message(&sound.replacen(from, to, 1))).unwrap();
    }
    snapshot("scenario-errors-slaves-of-apache", &all);
}

#[test]
fn wrong_crash_points() {
    let small = "[[crash_points.producer]]\nname = 'producer-1'\ntopic = 'orders'\nmessages = 3\nover = '10s'\n";
    let sections = [
        "[crash_points]\nseed = 1\n".to_owned(),
        "[crash_points]\nproducer = []\n".to_owned(),
        format!("[crash_points]\nfaults = 3\n{small}"),
        format!("[crash_points]\nphases = ['revival', 'pop', 'pop']\nseed = -1\ndown = '0s'\n{small}"),
        format!("[crash_points]\n{}", small.replace("messages = 3", "messages = 6")),
        format!("[crash_points]\n{small}{}", small.replace("producer-1", "producer-2")),
        format!("[crash_points]\n{}", small.replace("orders", "refunds")),
        // What the section leaves as it is has to fit what it changes.
        format!(
            "[[fault]]\nkind = 'stop'\nnode = 'broker-a'\nat = '5m'\ndown = '1s'\n[crash_points]\nduration = '1m'\n{small}"
        ),
        format!(
            "[[fault]]\nkind = 'lost-answer'\nfrom = 'producer-1'\nnth = 1\n[crash_points]\n{}",
            small.replace("producer-1", "p")
        ),
    ];
    let mut all = String::new();
    for section in sections {
        writeln!(all, "{}\n", message(&format!("{SOUND}\n{section}"))).unwrap();
    }
    snapshot("scenario-errors-crash-points", &all);
}

#[test]
fn a_section_replaces_what_it_names_and_nothing_else() {
    let section = "[crash_points]\nseed = 7\nduration = '2m'\n[[crash_points.producer]]\nname = 'p'\ntopic = 'orders'\nmessages = 5\nover = '10s'\n";
    let whole = Scenario::parse("x", "x.toml", SOUND).unwrap();
    let with_section = Scenario::parse("x", "x.toml", &format!("{SOUND}\n{section}")).unwrap();
    assert_ne!(with_section.digest(), whole.digest());
    let points = with_section.crash_points.clone().unwrap();
    assert_eq!(Scenario { crash_points: None, ..with_section }, whole, "a sweep over seeds is what it was");
    assert_eq!((points.seed, points.down_ms, points.scenario.duration_ms), (7, 1_000, 120_000));
    let producers: Vec<&str> = points.scenario.producers.iter().map(|producer| producer.name.as_str()).collect();
    assert_eq!(producers, ["p"]);
    let Scenario { duration_ms, producers, .. } = whole.clone();
    assert_eq!(Scenario { duration_ms, producers, ..*points.scenario }, whole);
}

#[test]
fn all_slips_are_told_at_once_in_order_of_place() {
    let text = SOUND
        .replacen("group = \"billing\"", "group = \"bulling\"", 1)
        .replacen("batch = 8", "batch = 64", 1)
        .replacen("degree = 1", "degree = 0", 1)
        .replacen("name = \"producer-1\"", "name = \"broker-a\"", 1);
    snapshot("scenario-errors-all-at-once", &message(&text));
    let faults =
        "\n[[fault]]\nname = 'one'\nkind = 'reset'\nnth = 1\n[[fault]]\nname = 'one'\nkind = 'reset'\nnth = 1\n";
    snapshot("scenario-errors-fault-taken", &message(&format!("{SOUND}{faults}")));
}

#[test]
fn files_that_cannot_be_read() {
    let error = Scenario::load(Path::new("scenarios/no-such.toml")).unwrap_err();
    assert!(error.to_string().starts_with("scenarios/no-such.toml: cannot be read: "), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let empty = scenario::load_all(folder.path()).unwrap_err().to_string();
    assert!(empty.ends_with("no scenario in this folder; accepted: files named NAME.toml"), "{empty}");
    std::fs::write(folder.path().join("b.toml"), "duration = 1").unwrap();
    std::fs::write(folder.path().join("a.toml"), "summary = 1").unwrap();
    let both = scenario::load_all(folder.path()).unwrap_err();
    assert_eq!(both.0.len(), 2);
    assert!(both.0[0].path.ends_with("a.toml"));
    std::fs::write(folder.path().join("a.toml"), [0xff, 0xfe]).unwrap();
    assert!(scenario::load_all(folder.path()).unwrap_err().to_string().contains("a.toml: cannot be read"));
}

#[test]
fn the_scenarios_of_this_repository_load() {
    let scenarios = scenario::load_all(&repository().join("scenarios")).unwrap_or_else(|errors| panic!("{errors}"));
    let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    for name in ["calm", "remote-read-timeout", "broker-outage", "restart-mid-revive", "flaky-link"] {
        assert!(names.contains(&name), "{name} is missing");
    }
    for name in ["lost-answers", "long-outage-parks", "crash-everywhere"] {
        assert!(names.contains(&name), "{name} is missing");
    }
}

#[test]
fn the_schema_names_every_table_and_describes_it() {
    let schema = scenario::schema();
    let properties = schema["properties"].as_object().unwrap();
    for table in [
        "broker",
        "topic",
        "group",
        "producer",
        "consumer",
        "policy",
        "network",
        "fault",
        "operator",
        "expect",
        "crash_points",
    ] {
        assert!(properties[table]["description"].is_string(), "{table}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
