//! What the framework promises to a scenario that is written in code.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{io, sync::Arc, time::Duration};

use pop_sim::framework::{
    BoxFuture, Fault, History, Hits, Log, Moment, Plan, Recorder, Rpcs, Scenario, StopSignal, Stream, Violation,
    Workload, World, run_seed, seams::Host, violations_of,
};
use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// An echo, asked ten times, under this plan.
struct Echo {
    faults: Vec<Fault>,
    panics: bool,
}

/// What a client drew, and whether it came back.
#[derive(Debug, PartialEq)]
struct Asked(u8, bool);

async fn echo(host: Host, panics: bool) -> io::Result<()> {
    let mut listener = host.transport.bind("0.0.0.0:7").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let Ok(asked) = stream.read_u8().await else { continue }; // the client gave up
        assert!(!panics, "the echo was asked {asked}");
        if stream.write_u8(asked).await.is_ok() {
            drop(stream.flush().await);
        }
    }
}

struct Client {
    recorder: Recorder<Asked>,
}

impl Workload for Client {
    fn run(&self, host: Host, mut rng: Stream, _: StopSignal) -> BoxFuture<()> {
        let recorder = self.recorder.clone();
        Box::pin(async move {
            for _ in 0..10 {
                let number = rng.random();
                let exchange = async {
                    let mut stream = host.transport.connect("echo:7").await?;
                    stream.write_u8(number).await?;
                    stream.flush().await?;
                    stream.read_u8().await
                };
                let came = tokio::time::timeout(Duration::from_secs(1), exchange).await;
                recorder.record(Asked(number, matches!(came, Ok(Ok(same)) if same == number)));
            }
        })
    }
}

impl Scenario for Echo {
    type Witness = Log<Asked>;
    type Verdict = Vec<Violation>;

    fn plan(&self, _: u64) -> Plan {
        Plan { faults: self.faults.clone() }
    }

    fn witness(&self) -> Arc<Log<Asked>> {
        Arc::default()
    }

    fn start(&self, world: &World, log: &Arc<Log<Asked>>) {
        let panics = self.panics;
        world.add_node("echo", "10.0.0.1");
        world.add_node("client", "10.0.0.2");
        world.start("echo", move |host, _| async move { drop(echo(host, panics).await) });
        world.start_workload("client", Client { recorder: log.recorder(world) });
    }

    fn judge(&self, _: &History<Asked>) -> Vec<Violation> {
        Vec::new()
    }
}

fn sound(faults: Vec<Fault>) -> Echo {
    Echo { faults, panics: false }
}

fn hit(nth: &[u64]) -> Rpcs {
    Rpcs { from: Some("client".into()), to: None, code: None, hits: Hits::Nth(nth.to_vec()) }
}

/// What the client saw under these faults.
fn seen(faults: Vec<Fault>, seed: u64) -> Vec<Asked> {
    let outcome = run_seed(&sound(faults), seed).unwrap();
    assert_eq!(outcome.unfired, Vec::<usize>::new());
    let seen = outcome.history.noted().map(|(_, Asked(number, came))| Asked(*number, *came));
    seen.collect()
}

#[test]
fn a_fault_strikes_the_request_that_it_names_and_no_other() {
    for fault in [Fault::LostRequest { rpcs: hit(&[2, 5]) }, Fault::LostAnswer { rpcs: hit(&[2, 5]) }] {
        let came: Vec<bool> = seen(vec![fault], 1).iter().map(|asked| asked.1).collect();
        assert_eq!(came, [true, false, true, true, false, true, true, true, true, true]);
    }
}

#[test]
fn a_workload_draws_from_its_seed_alone() {
    let numbers = |faults, seed| -> Vec<u8> { seen(faults, seed).iter().map(|asked| asked.0).collect() };
    assert_eq!(numbers(vec![], 1), numbers(vec![Fault::LostRequest { rpcs: hit(&[2]) }], 1));
    assert_ne!(numbers(vec![], 1), numbers(vec![], 2));
}

#[test]
fn a_workload_whose_node_was_down_begins_again_with_the_same_draws() {
    let kill = Fault::Kill { node: "client".into(), when: Moment::At(15), down_ms: 1_000 };
    let (whole, again) = (seen(vec![], 1), seen(vec![kill], 1));
    assert_eq!(again[again.len() - 10..], whole);
    assert!(again.len() > 10, "it had begun before");
}

#[test]
fn a_panic_is_a_broken_promise() {
    let ran = run_seed(&Echo { faults: vec![], panics: true }, 1);
    let violations = violations_of(&ran);
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].promise, "no panic");
    assert!(violations[0].detail.contains("the echo was asked"), "{}", violations[0].detail);
}

#[test]
fn an_answer_that_a_protocol_does_not_have_is_not_ignored() {
    let ran = run_seed(&sound(vec![Fault::Answer { code: 2, rpcs: hit(&[1]) }]), 1);
    let detail = violations_of(&ran).remove(0).detail;
    assert!(detail.contains("the protocol has no such answer"), "{detail}");
}

#[test]
fn runs_with_one_seed_are_one_run() {
    let run = |seed| run_seed(&sound(vec![]), seed).unwrap().fingerprint;
    let alone = run(2);
    run(1);
    assert_eq!(alone, run(2));
    assert_ne!(alone, run(1));
}
