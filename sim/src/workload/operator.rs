//! What a human does: sets the cluster up, and steps in while it runs.

use std::time::Duration;

use pop_revive::{remoting::code::response, seams::Host};
use tokio_util::sync::CancellationToken;

use super::{client::WireClient, pause::pause, route::Endpoint};
use crate::{
    history::{Noted, Recorder, Seen},
    plan::{NodeName, SimMs},
    scenario::{Group, OperatorAction, OperatorStep, Topic},
};

const CLIENT_ID: &str = "operator";
/// Pause before a command of the set-up is given again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Tries of one command of the set-up.
const TRIES: usize = 60;

/// A cluster that could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A topic names a broker that is not there.
    #[error("topic {topic} is to be on {broker}, which is not among the brokers")]
    UnknownBroker {
        /// The topic.
        topic: String,
        /// The broker.
        broker: NodeName,
    },
    /// A broker did not do what it was told.
    #[error("`{command}` did not work in {TRIES} tries: {last}")]
    GivenUp {
        /// What it was told.
        command: String,
        /// What came of the last try.
        last: String,
    },
}

/// Creates the topics on their brokers and the groups on all brokers; each command is repeated until it works.
///
/// # Errors
/// The first command that never worked.
pub async fn setup(
    host: &Host,
    Cluster { topics, groups, brokers }: &Cluster,
    recorder: &Recorder,
) -> Result<(), SetupError> {
    let client = WireClient::new(host, CLIENT_ID, Vec::new());
    for topic in topics {
        for name in &topic.brokers {
            let broker = brokers.iter().find(|broker| broker.name == *name);
            let broker =
                broker.ok_or_else(|| SetupError::UnknownBroker { topic: topic.name.clone(), broker: name.clone() })?;
            let command = format!("create-topic {} {name}", topic.name);
            insist(recorder, command, || client.create_topic(broker, &topic.name, topic.queues)).await?;
        }
    }
    for group in groups {
        for broker in brokers {
            let command = format!("create-group {} {}", group.name, broker.name);
            insist(recorder, command, || client.create_group(broker, group)).await?;
        }
    }
    Ok(())
}

/// Repeats a command until it works, and records what came of it in the end.
async fn insist<F: Future<Output = Seen<()>>>(
    recorder: &Recorder,
    command: String,
    attempt: impl Fn() -> F,
) -> Result<(), SetupError> {
    let mut result = told(attempt().await);
    for _ in 1..TRIES {
        if result.is_ok() {
            break;
        }
        tokio::time::sleep(RETRY_AFTER).await;
        result = told(attempt().await);
    }
    let counted = result.clone().map(|()| 1);
    recorder.record(Noted::Operated { command: command.clone(), result: counted });
    result.map_err(|last| SetupError::GivenUp { command, last })
}

/// Takes the steps, in their order, each at its time; ends after the last one or when `stop` fires.
///
/// A resumption that fails is recorded and not repeated; a change of topics or offsets is insisted on, as the set-up is.
pub async fn run(host: Host, steps: Vec<OperatorStep>, cluster: &Cluster, recorder: Recorder, stop: CancellationToken) {
    let client = WireClient::new(&host, CLIENT_ID, Vec::new());
    for step in steps {
        let wait = Duration::from_millis(step.at_ms.saturating_sub(recorder.now_ms()));
        if !pause(&stop, wait).await {
            return;
        }
        match step.action {
            OperatorAction::ResumeParked { broker } => {
                for at in cluster.brokers_named(broker.as_ref()) {
                    let result = told(client.resume_parked(at, None).await);
                    recorder.record(Noted::Operated { command: format!("resume-parked {}", at.name), result });
                }
            }
            OperatorAction::ResumeEach { broker } => {
                for at in cluster.brokers_named(broker.as_ref()) {
                    let result = told(resume_each(&client, at).await);
                    recorder.record(Noted::Operated { command: format!("resume-each {}", at.name), result });
                }
            }
            action => {
                if let Err(error) = change(&client, cluster, &action, step.at_ms, (&host, &recorder)).await {
                    tracing::warn!(%error, "an operator's command did not work");
                }
            }
        }
    }
}

/// Resumes what a broker lists, one by one, each twice; gives how many were resumed. Ends at the first that fails.
async fn resume_each(client: &WireClient, at: &Endpoint) -> Seen<u64> {
    let chains = match client.list_parked(at).await {
        Seen::Ok(chains) => chains,
        Seen::Refused { code, remark } => return Seen::Refused { code, remark },
        Seen::Unknown { cause } => return Seen::Unknown { cause },
    };
    let mut resumed = 0;
    for chain in chains.iter().flat_map(|chain| [chain, chain]) {
        match client.resume_parked(at, Some(chain)).await {
            Seen::Ok(count) => resumed += count,
            failed => return failed,
        }
    }
    Seen::Ok(resumed)
}

/// A command that is to take effect: repeated until each broker has obeyed.
async fn change(
    client: &WireClient,
    cluster: &Cluster,
    action: &OperatorAction,
    now_ms: SimMs,
    (host, recorder): (&Host, &Recorder),
) -> Result<(), SetupError> {
    match action {
        OperatorAction::ResumeParked { .. } | OperatorAction::ResumeEach { .. } => {}
        OperatorAction::DeleteTopic { topic, broker } => {
            for at in cluster.holders(topic, broker.as_ref()) {
                let command = format!("delete-topic {topic} {}", at.name);
                insist(recorder, command, || client.delete_topic(at, topic)).await?;
            }
        }
        OperatorAction::CreateTopic { topic, broker } => {
            let queues = cluster.topics.iter().find(|known| known.name == *topic).map_or(1, |known| known.queues);
            for at in cluster.holders(topic, broker.as_ref()) {
                let command = format!("create-topic {topic} {}", at.name);
                insist(recorder, command, || client.create_topic(at, topic, queues)).await?;
            }
        }
        OperatorAction::ResetOffset { group, broker, to_ms } => {
            let Some(group) = cluster.groups.iter().find(|known| known.name == *group) else { return Ok(()) };
            let ago = |to_ms: SimMs| i64::try_from(now_ms.saturating_sub(to_ms)).unwrap_or(i64::MAX);
            let since_ms = to_ms.map(|to_ms| host.clock.now_ms().saturating_sub(ago(to_ms)));
            for at in cluster.holders(&group.topic, broker.as_ref()) {
                let command = format!("reset-offset {} {}", group.name, at.name);
                insist(recorder, command, || client.reset_offset(at, group, since_ms)).await?;
            }
        }
    }
    Ok(())
}

/// What an operator knows of the cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its topics.
    pub topics: Vec<Topic>,
    /// Its consumer groups.
    pub groups: Vec<Group>,
    /// Its brokers.
    pub brokers: Vec<Endpoint>,
}

impl Cluster {
    /// The one broker, or all.
    fn brokers_named(&self, one: Option<&NodeName>) -> impl Iterator<Item = &Endpoint> {
        self.brokers.iter().filter(move |at| one.is_none_or(|name| at.name == *name))
    }

    /// The one broker, or all that hold the topic.
    fn holders(&self, topic: &str, one: Option<&NodeName>) -> impl Iterator<Item = &Endpoint> {
        let holders = self.topics.iter().find(|known| known.name == topic).map_or(&[][..], |known| &known.brokers);
        self.brokers.iter().filter(move |at| match one {
            Some(name) => at.name == *name,
            None => holders.contains(&at.name),
        })
    }
}

fn told<T>(seen: Seen<T>) -> Result<T, String> {
    match seen {
        Seen::Ok(value) => Ok(value),
        Seen::Refused { code, remark } if remark.is_empty() => Err(response::name(code).into_owned()),
        Seen::Refused { code, remark } => Err(format!("{}: {remark}", response::name(code))),
        Seen::Unknown { cause } => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use pop_revive::{
        model::chain::{Chain, ChainState, History, LogPosition, ParkReason},
        remoting::{Command, code::request},
    };

    use super::*;
    use crate::history::EventKind;
    use crate::workload::fake_broker::{FakeBroker, TestWorld};

    fn operated(world: &TestWorld) -> Vec<(String, Result<u64, String>)> {
        let told = |kind| {
            if let EventKind::Noted(Noted::Operated { command, result }) = kind {
                Some((command, result))
            } else {
                None
            }
        };
        world.kinds().into_iter().filter_map(told).collect()
    }

    #[tokio::test]
    async fn the_set_up_insists() {
        let world = TestWorld::new();
        let script = |request: &Command, nth| match (request.code, nth) {
            (request::UPDATE_AND_CREATE_TOPIC, 0) => Some(Command::response(response::SYSTEM_BUSY)),
            _ => Some(Command::response(response::SUCCESS)),
        };
        let (broker, _server) = FakeBroker::start(&world, "b", Box::new(script)).await;
        let topic = Topic { name: "t".into(), brokers: vec!["b".into()], queues: 2 };
        let group =
            Group { name: "g".into(), topic: "t".into(), tag: "*".into(), max_reconsume: 3, begins_at_end: false };
        let cluster = Cluster { topics: vec![topic.clone()], groups: vec![group], brokers: vec![broker.endpoint()] };
        setup(&world.host(), &cluster, &world.recorder()).await.unwrap();
        assert_eq!(operated(&world), [("create-topic t b".into(), Ok(1)), ("create-group g b".into(), Ok(1))]);
        let (_, created) = &broker.requests(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP)[0];
        assert!(String::from_utf8_lossy(&created.body).contains(r#""groupName":"g""#));

        let elsewhere = Topic { brokers: vec!["c".into()], ..topic };
        let cluster = Cluster { topics: vec![elsewhere], groups: Vec::new(), ..cluster };
        let error = setup(&world.host(), &cluster, &world.recorder()).await.unwrap_err();
        assert_eq!(error, SetupError::UnknownBroker { topic: "t".into(), broker: "c".into() });
    }

    #[tokio::test]
    async fn a_broker_that_never_obeys_ends_the_set_up() {
        let world = TestWorld::new();
        let (broker, _server) =
            FakeBroker::start(&world, "b", Box::new(|_, _| Some(Command::response(29).with_remark("no")))).await;
        let topic = Topic { name: "t".into(), brokers: vec!["b".into()], queues: 2 };
        let cluster = Cluster { topics: vec![topic], groups: Vec::new(), brokers: vec![broker.endpoint()] };
        let error = setup(&world.host(), &cluster, &world.recorder()).await.unwrap_err();
        assert_eq!(error.to_string(), "`create-topic t b` did not work in 60 tries: INVALID_PARAMETER: no");
        assert_eq!(operated(&world), [("create-topic t b".into(), Err("INVALID_PARAMETER: no".into()))]);
    }

    #[tokio::test]
    async fn each_parked_chain_is_resumed_by_its_id_and_asked_for_twice() {
        let world = TestWorld::new();
        let ids = ["a/t/0/4/g/1700000000000/1", "a/t/0/5/g/1700000000000/1"];
        let listed = move |request: &Command, nth: usize| match request.code {
            request::LIST_PARKED => {
                let chain = |id: &str| Chain {
                    id: id.parse().unwrap(),
                    topic_epoch: LogPosition::default(),
                    start_offset: 4,
                    invisible_ms: 1000,
                    reconsume_limit: 16,
                    round: 0,
                    hop: 0,
                    generation: 0,
                    attempt: 1,
                    round_began_ms: None,
                    acted_for: None,
                    resumed_ms: None,
                    failed_before: 0,
                    state: ChainState::Parked { reason: ParkReason::Permanent, at_ms: 0 },
                    history: History::default(),
                };
                let body = serde_json::to_vec(&ids.map(chain)).unwrap();
                Some(Command::response(response::SUCCESS).with_body(body))
            }
            _ => {
                let mut answer = Command::response(response::SUCCESS);
                answer.ext.insert("count".into(), (1 - nth % 2).to_string()); // the second time it is not parked
                Some(answer)
            }
        };
        let (a, _server) = FakeBroker::start(&world, "a", Box::new(listed)).await;
        let steps = vec![OperatorStep { at_ms: 5_000, action: OperatorAction::ResumeEach { broker: None } }];
        let cluster = Cluster { topics: Vec::new(), groups: Vec::new(), brokers: vec![a.endpoint()] };
        run(world.host(), steps, &cluster, world.recorder(), CancellationToken::new()).await;
        let asked = a.requests(request::RESUME_PARKED);
        let asked: Vec<&str> = asked.iter().map(|(_, request)| request.ext["chain"].as_str()).collect();
        assert_eq!(asked, [ids[0], ids[0], ids[1], ids[1]]);
        assert_eq!(operated(&world), [("resume-each a".to_owned(), Ok(2))]);
    }

    #[tokio::test]
    async fn steps_are_taken_in_time_at_one_broker_or_all() {
        let world = TestWorld::new();
        let counted = |_: &Command, _| {
            let mut answer = Command::response(response::SUCCESS);
            answer.ext.insert("count".into(), "2".into());
            Some(answer)
        };
        let (a, _server_a) = FakeBroker::start(&world, "a", Box::new(counted)).await;
        let (b, _server_b) = FakeBroker::start(&world, "b", Box::new(|_, _| Some(Command::response(3)))).await;
        let step = |at_ms, broker| OperatorStep { at_ms, action: OperatorAction::ResumeParked { broker } };
        let steps = vec![step(5_000, Some("a".into())), step(9_000, None)];
        let cluster = Cluster { topics: Vec::new(), groups: Vec::new(), brokers: vec![a.endpoint(), b.endpoint()] };
        run(world.host(), steps, &cluster, world.recorder(), CancellationToken::new()).await;
        let at: Vec<u64> = a.requests(request::RESUME_PARKED).iter().map(|(at, _)| at / 100).collect();
        assert_eq!(at, [50, 90]);
        let resumed = ("resume-parked a".to_owned(), Ok(2));
        let refused = ("resume-parked b".to_owned(), Err("REQUEST_CODE_NOT_SUPPORTED".to_owned()));
        assert_eq!(operated(&world), [resumed.clone(), resumed, refused]);
    }
}
