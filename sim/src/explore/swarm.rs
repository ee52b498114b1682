//! The swarm: a scenario drawn by seed, in shapes that nobody thought of.
//!
//! Not every seed has a bit of everything: each first draws which kinds of faults, habits and cluster features exist for it
//! at all, because much that is rare shows only where something else is missing (swarm testing). What is drawn is within
//! what a scenario file may say, so that any of them can be written down and run again.

use rand::Rng;

use crate::{
    dice::Dice,
    plan::{Damage, DiskOperation, NodeName, SimMs},
    random::Streams,
    scenario::{
        Broker, Consumer, Draw, Expect, FaultKind, FaultSpec, Group, HitsSpec, MomentSpec, NAMESRV, Network,
        OperatorAction, OperatorStep, Policy, Producer, Retention, RpcsSpec, Scenario, Topic, WindowSpec, sites::SITES,
        wire_names,
    },
};

const SECOND: SimMs = 1_000;
const MINUTE: SimMs = 60 * SECOND;
const DAY: SimMs = 24 * 60 * MINUTE;

/// Draws the scenario of a seed.
#[must_use]
pub fn draw(seed: u64) -> Scenario {
    let streams = Streams::new(seed);
    let dice = |name: &str| Dice(streams.stream(&format!("swarm/{name}")));
    let mut scenario = cast(&mut dice("cast"));
    scenario.name = format!("swarm-{seed}");
    scenario.summary = format!("Drawn by seed {seed}: nobody knows what breaks; every promise must hold.");
    scenario.faults = faults(&mut dice("faults"), &scenario);
    scenario.operators = operators(&mut dice("operators"), &scenario);
    scenario
}

/// One more fault of any kind for this scenario.
#[must_use]
pub fn any_fault(rng: &mut impl Rng, scenario: &Scenario) -> FaultSpec {
    let mut dice = Dice(rng);
    // The simulator's slaves of Apache's believe what a damaged answer says, as they would.
    let believes_all = scenario.consumers.iter().any(|consumer| consumer.apache.is_some());
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|kind| !(believes_all && *kind == Kind::DamagedAnswer)).collect();
    let kind = *dice.one(&kinds);
    FaultSpec { name: None, repeat: Draw::exactly(1), what: fault(&mut dice, kind, scenario) }
}

fn cast<R: Rng>(dice: &mut Dice<R>) -> Scenario {
    let duration_ms = dice.span(8 * MINUTE..=40 * MINUTE);
    let (brokers, features) = (brokers(dice), dice.count(0..=7));
    let names: Vec<NodeName> = brokers.iter().map(|broker| broker.name.clone()).collect();
    let topics: Vec<Topic> = (1..=dice.count(1..=2)).map(|number| topic(dice, number, &names)).collect();
    let groups: Vec<Group> = topics.iter().flat_map(|topic| groups(dice, topic, features & 1 != 0)).collect();
    let producers = topics.iter().enumerate().map(|(at, topic)| producer(dice, at, topic, duration_ms, features));
    let producers = producers.collect();
    let mut consumers = Vec::new();
    for group in &groups {
        for _ in 0..dice.count(1..=2) {
            consumers.push(consumer(dice, consumers.len() + 1, group));
        }
    }
    let network = Some(Network { min_ms: dice.count(0..=5).into(), max_ms: dice.count(5..=100).into() });
    Scenario {
        name: String::new(),
        summary: String::new(),
        duration_ms,
        seeds: Vec::new(),
        brokers,
        topics,
        groups,
        producers,
        consumers,
        policy: policy(dice),
        network,
        faults: Vec::new(),
        operators: Vec::new(),
        expect: Expect::default(),
        crash_points: None,
    }
}

fn brokers<R: Rng>(dice: &mut Dice<R>) -> Vec<Broker> {
    let names: Vec<NodeName> = ["broker-a", "broker-b", "broker-c"].map(NodeName::from).to_vec();
    let names = &names[..dice.count(1..=3) as usize];
    let have_slaves = dice.likely(0.4);
    let draw = |name: &NodeName| {
        let slaves = if have_slaves { dice.count(0..=2) } else { 0 };
        let others: Vec<&NodeName> = names.iter().filter(|other| *other != name).collect();
        let escapes_to = if others.is_empty() { None } else { dice.maybe(0.6, |dice| (*dice.one(&others)).clone()) };
        let degree = if slaves > 0 && dice.likely(0.5) { 2 } else { 1 };
        // Not with slaves: one that is behind what has expired cannot follow any more, which is a known limit.
        let share = if slaves == 0 { 0.15 } else { 0.0 };
        let age_ms = dice.maybe(share, |dice| dice.span(2 * MINUTE..=20 * MINUTE));
        let retention = Retention { age_ms, bytes: None };
        let may_act = slaves == 1 && degree == 2 && escapes_to.is_none() && !others.is_empty();
        let acting_to = if may_act { dice.maybe(0.7, |dice| (*dice.one(&others)).clone()) } else { None };
        Broker { name: name.clone(), slaves, escapes_to, acting_to, degree, retention, chain_window_ms: DAY }
    };
    names.iter().map(draw).collect()
}

fn topic<R: Rng>(dice: &mut Dice<R>, number: u32, brokers: &[NodeName]) -> Topic {
    Topic { name: format!("topic-{number}"), brokers: dice.some(brokers), queues: dice.count(1..=4) }
}

fn groups<R: Rng>(dice: &mut Dice<R>, topic: &Topic, filtered: bool) -> Vec<Group> {
    let draw = |number| Group {
        name: format!("{}-group-{number}", topic.name),
        topic: topic.name.clone(),
        tag: if filtered { (*dice.one(&["*", "red", "red || blue"])).to_owned() } else { "*".to_owned() },
        max_reconsume: *dice.one(&[0, 1, 2, 16]),
        begins_at_end: dice.likely(0.15),
    };
    let count = if number_is_two(&topic.name) { 1 } else { 2 };
    (1..=count).map(draw).collect()
}

/// The first topic has two groups, a second one has one: enough of both.
fn number_is_two(topic: &str) -> bool {
    topic.ends_with('2')
}

fn producer<R: Rng>(dice: &mut Dice<R>, at: usize, topic: &Topic, duration_ms: SimMs, features: u32) -> Producer {
    let tags = if features & 1 == 0 { Vec::new() } else { ["red", "blue", "green"].map(String::from).to_vec() };
    Producer {
        name: format!("producer-{}", at + 1),
        topic: topic.name.clone(),
        messages: dice.count(5..=60),
        from_ms: 0,
        over_ms: dice.span(MINUTE..=duration_ms * 3 / 4),
        burst: *dice.one(&[1, 1, 4, 16]),
        body_bytes: *dice.one(&[64, 64, 1024]),
        tags,
        keys: (features & 4 != 0).then(|| "forwarded".to_owned()),
        delay_ms: if features & 2 == 0 { None } else { dice.maybe(0.5, |dice| dice.span(SECOND..=2 * MINUTE)) },
    }
}

fn consumer<R: Rng>(dice: &mut Dice<R>, number: usize, group: &Group) -> Consumer {
    let ack = dice.share();
    Consumer {
        name: format!("consumer-{number}"),
        group: group.name.clone(),
        from_ms: if dice.likely(0.2) { dice.span(SECOND..=5 * MINUTE) } else { 0 },
        batch: *dice.one(&[1, 4, 8, 32]),
        invisible_ms: dice.span(10 * SECOND..=2 * MINUTE),
        poll_ms: dice.span(5 * SECOND..=MINUTE),
        think_ms: *dice.one(&[50, 50, 5_000]),
        ack,
        ack_retries: f64::max(0.2, dice.share()),
        renew: if dice.likely(0.3) { 0.3 } else { 0.0 },
        late_ack: if dice.likely(0.3) { f64::min(0.2, 1.0 - ack) } else { 0.0 },
        repeat_ack: if dice.likely(0.3) { 0.3 } else { 0.0 },
        repeat_after_ms: *dice.one(&[SECOND, MINUTE, 5 * MINUTE]),
        batch_ack: dice.likely(0.2),
        apache: None,
    }
}

fn policy<R: Rng>(dice: &mut Dice<R>) -> Policy {
    let waits_ms: Vec<SimMs> = (0..dice.count(1..=5)).map(|_| dice.span(SECOND..=2 * MINUTE)).collect();
    Policy {
        waits_ms,
        rewrites: dice.count(1..=8),
        total_ms: dice.maybe(0.2, |dice| dice.span(2 * MINUTE..=10 * MINUTE)),
        jitter: if dice.likely(0.3) { 0.3 } else { 0.0 },
    }
}

/// The kinds that can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kill,
    CrashLoop,
    Replace,
    Crash,
    CrashAtSync,
    CrashAtAnswer,
    Stop,
    Pause,
    ClockStep,
    Partition,
    Reset,
    Latency,
    LostRequest,
    LostAnswer,
    Answer,
    DamagedAnswer,
    ClockDrift,
    FrozenClock,
    DiskError,
    DiskFull,
    SlowDisk,
    SlowStart,
    Buggify,
    Stall,
    Bandwidth,
    DuplicateRequest,
    DelayedRequest,
}

const KINDS: [Kind; 27] = [
    Kind::Kill,
    Kind::CrashLoop,
    Kind::Replace,
    Kind::Crash,
    Kind::CrashAtSync,
    Kind::CrashAtAnswer,
    Kind::Stop,
    Kind::Pause,
    Kind::ClockStep,
    Kind::Partition,
    Kind::Reset,
    Kind::Latency,
    Kind::LostRequest,
    Kind::LostAnswer,
    Kind::Answer,
    Kind::DamagedAnswer,
    Kind::ClockDrift,
    Kind::FrozenClock,
    Kind::DiskError,
    Kind::DiskFull,
    Kind::SlowDisk,
    Kind::SlowStart,
    Kind::Buggify,
    Kind::Stall,
    Kind::Bandwidth,
    Kind::DuplicateRequest,
    Kind::DelayedRequest,
];

/// What requests between brokers and from clients can be hit: the recovery path's own, and those that lead to it.
const REQUESTS: [&str; 8] = [
    "SEND_MESSAGE_V2",
    "PULL_MESSAGE",
    "POP_MESSAGE",
    "ACK_MESSAGE",
    "CHANGE_MESSAGE_INVISIBLETIME",
    "REGISTER_BROKER",
    "GET_ROUTEINFO_BY_TOPIC",
    "REPLICATE",
];

/// Codes that a peer may answer with. Those that a caller may take for a final answer only where nobody sends them are not
/// among them: what a peer says for good, it says for good.
const ANSWERS: [&str; 7] = [
    "SYSTEM_ERROR",
    "SYSTEM_BUSY",
    "SERVICE_NOT_AVAILABLE",
    "PULL_NOT_FOUND",
    "PULL_RETRY_IMMEDIATELY",
    "PULL_OFFSET_MOVED",
    "SUCCESS",
];

fn faults<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> Vec<FaultSpec> {
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|_| dice.likely(0.35)).collect();
    let mut faults = Vec::new();
    for kind in kinds {
        for _ in 0..dice.count(1..=3) {
            let what = fault(dice, kind, scenario);
            faults.push(FaultSpec { name: None, repeat: Draw::exactly(1), what });
        }
    }
    faults
}

fn fault<R: Rng>(dice: &mut Dice<R>, kind: Kind, scenario: &Scenario) -> FaultKind {
    let members = members(scenario);
    match kind {
        Kind::Kill => {
            let (at, down) = process(dice, scenario);
            FaultKind::Kill { node: any_server(dice, scenario), when: MomentSpec::At(at), down }
        }
        Kind::CrashLoop => {
            let (at, down) = process(dice, scenario);
            FaultKind::CrashLoop {
                node: dice.one(&members).clone(),
                when: MomentSpec::At(at),
                times: Draw::exactly(dice.count(2..=6).into()),
                up: Draw::exactly(dice.span(1..=20 * SECOND)),
                // Often none of them is missed for long.
                down: if dice.likely(0.5) { Draw::exactly(down.from.min(2 * SECOND)) } else { down },
                loses_power: dice.likely(0.5),
            }
        }
        Kind::Replace => {
            let (at, down) = process(dice, scenario);
            let node = dice.one(&members).clone();
            let loses_disk = may_lose_disk(scenario, &node) && dice.likely(0.5);
            FaultKind::Replace { node, when: MomentSpec::At(at), down, loses_disk }
        }
        Kind::Crash => {
            let (at, down) = process(dice, scenario);
            FaultKind::Crash { node: dice.one(&members).clone(), when: MomentSpec::At(at), down }
        }
        Kind::CrashAtSync => {
            let sync = Draw::exactly(dice.count(10..=400).into());
            let when = if dice.likely(0.5) { MomentSpec::BeforeSync(sync) } else { MomentSpec::AfterSync(sync) };
            let (_, down) = process(dice, scenario);
            FaultKind::Crash { node: dice.one(&members).clone(), when, down }
        }
        Kind::CrashAtAnswer => {
            let node = dice.one(&members).clone();
            let (code, nth) = (request(dice), Draw::exactly(dice.count(1..=40).into()));
            let when = MomentSpec::OnAnswer { from: Some(node.clone()), to: None, code, nth };
            let (_, down) = process(dice, scenario);
            FaultKind::Crash { node, when, down }
        }
        Kind::Stop => {
            let (at, down) = process(dice, scenario);
            FaultKind::Stop { node: dice.one(&members).clone(), when: MomentSpec::At(at), down }
        }
        Kind::Pause => {
            let (at, lasts) = process(dice, scenario);
            FaultKind::Pause { node: dice.one(&members).clone(), when: MomentSpec::At(at), lasts }
        }
        Kind::ClockStep => {
            let (at, by) = process(dice, scenario);
            FaultKind::ClockStep { node: dice.one(&members).clone(), at, by, back: dice.likely(0.5) }
        }
        Kind::Partition => partition(dice, scenario),
        Kind::Latency => {
            let (min_ms, longer) = (dice.count(10..=500).into(), SimMs::from(dice.count(1..=4_000)));
            let (from, to) = (end(dice, scenario), end(dice, scenario));
            FaultKind::Latency { from, to, window: window(dice, scenario), min_ms, max_ms: min_ms + longer }
        }
        Kind::Reset => FaultKind::Reset { rpcs: rpcs(dice, scenario) },
        Kind::LostRequest => FaultKind::LostRequest { rpcs: rpcs(dice, scenario) },
        Kind::LostAnswer => FaultKind::LostAnswer { rpcs: rpcs(dice, scenario) },
        Kind::Buggify => buggify(dice, scenario),
        Kind::ClockDrift | Kind::FrozenClock | Kind::DiskError | Kind::DiskFull | Kind::SlowDisk | Kind::SlowStart => {
            of_machine(dice, kind, scenario)
        }
        Kind::Stall => {
            let (from, to) = (end(dice, scenario), end(dice, scenario));
            FaultKind::Stall { from, to, window: window(dice, scenario) }
        }
        Kind::Bandwidth => {
            let (from, to) = (end(dice, scenario), end(dice, scenario));
            let bytes_per_second = Draw::exactly(u64::from(dice.count(1..=64)) * 1_000);
            FaultKind::Bandwidth { from, to, window: window(dice, scenario), bytes_per_second }
        }
        Kind::DamagedAnswer => damaged_answer(dice, scenario),
        Kind::DuplicateRequest => FaultKind::DuplicateRequest { rpcs: rpcs(dice, scenario) },
        Kind::DelayedRequest => {
            let by = Draw::exactly(u64::from(dice.count(100..=20_000)));
            FaultKind::DelayedRequest { by, rpcs: rpcs(dice, scenario) }
        }
        Kind::Answer => {
            let named = *dice.one(&ANSWERS);
            let code = wire_names::ANSWERS.iter().find(|(name, _)| *name == named).map_or(1, |(_, code)| *code);
            let to = Some(dice.one(&members).clone());
            let code_of_pull = code_of("PULL_MESSAGE");
            FaultKind::Answer { code, rpcs: RpcsSpec { to, code: code_of_pull, ..rpcs(dice, scenario) } }
        }
    }
}

/// An answer that is damaged on its way, or by a peer that is wrong about messages.
fn damaged_answer<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> FaultKind {
    let (damage, mut rpcs) = (*dice.one(&Damage::ALL), rpcs(dice, scenario));
    if damage.is_of_messages() {
        rpcs.code = code_of("PULL_MESSAGE");
    }
    FaultKind::DamagedAnswer { damage, rpcs }
}

/// An unlikely turn of a broker's code: for a while, as often as not for the whole run, or a few times.
fn buggify<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> FaultKind {
    let (node, (site, _)) = (dice.one(&members(scenario)).clone(), *dice.one(SITES));
    let whole = WindowSpec { begins: Draw::exactly(0), lasts: Draw::exactly(scenario.duration_ms) };
    // Who refuses every step does nothing at all.
    let hits = match dice.count(0..=3) {
        0 | 1 if site != "refuses-step" => HitsSpec::During(whole),
        2 => HitsSpec::During(window(dice, scenario)),
        _ => HitsSpec::Pick { pick: dice.count(1..=20).into(), of: 200 },
    };
    FaultKind::Buggify { node, site: site.into(), hits }
}

/// Something that is wrong with a clock, a disk or the start of a machine.
fn of_machine<R: Rng>(dice: &mut Dice<R>, kind: Kind, scenario: &Scenario) -> FaultKind {
    let (node, window) = (dice.one(&members(scenario)).clone(), window(dice, scenario));
    match kind {
        Kind::ClockDrift => {
            let ppm = Draw::exactly(u64::from(dice.count(1..=20)) * 1_000);
            FaultKind::ClockDrift { node, window, ppm, back: dice.likely(0.5) }
        }
        Kind::FrozenClock => FaultKind::FrozenClock { node, window },
        Kind::DiskError => {
            let operation =
                *dice.one(&[DiskOperation::Read, DiskOperation::Write, DiskOperation::Sync, DiskOperation::Flip]);
            let hits = match dice.likely(0.5) {
                true => HitsSpec::During(window),
                false => HitsSpec::Nth(vec![dice.count(10..=400).into()]),
            };
            FaultKind::DiskError { node, operation, hits }
        }
        Kind::SlowStart => {
            let min_ms = dice.span(SECOND..=20 * SECOND);
            FaultKind::SlowStart { node, window, min_ms, max_ms: min_ms + dice.span(SECOND..=2 * MINUTE) }
        }
        Kind::SlowDisk => {
            let min_ms = dice.count(10..=500).into();
            FaultKind::SlowDisk { node, window, min_ms, max_ms: min_ms + SimMs::from(dice.count(1..=2_000)) }
        }
        _ => FaultKind::DiskFull { node, window },
    }
}

/// When a node is struck, and for how long; all of it within the run.
fn process<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> (Draw, Draw) {
    let WindowSpec { begins, lasts } = window(dice, scenario);
    (begins, lasts)
}

fn window<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> WindowSpec {
    let latest = scenario.duration_ms - MINUTE;
    let begins = dice.span(20 * SECOND..=latest);
    let longest = (scenario.duration_ms - begins).min(if dice.likely(0.7) { 2 * MINUTE } else { 10 * MINUTE });
    WindowSpec { begins: Draw::exactly(begins), lasts: Draw::exactly(dice.span(SECOND..=longest)) }
}

fn partition<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> FaultKind {
    let mut servers = members(scenario);
    servers.push(NAMESRV.into());
    let clients = scenario.producers.iter().map(|it| &it.name).chain(scenario.consumers.iter().map(|it| &it.name));
    let nodes: Vec<NodeName> = servers.iter().chain(clients).cloned().collect();
    let from = vec![dice.one(&servers).clone()];
    let others: Vec<NodeName> = nodes.into_iter().filter(|node| !from.contains(node)).collect();
    FaultKind::Partition { from, to: dice.some(&others), one_way: dice.likely(0.3), window: window(dice, scenario) }
}

fn rpcs<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> RpcsSpec {
    let (from, to, code) = (end(dice, scenario), end(dice, scenario), request(dice));
    let hits = match dice.likely(0.5) {
        true => HitsSpec::During(window(dice, scenario)),
        false => {
            let pick = u64::from(dice.count(1..=8));
            HitsSpec::Pick { pick, of: pick * u64::from(dice.count(1..=20)) }
        }
    };
    RpcsSpec { from, to, code, hits }
}

fn request<R: Rng>(dice: &mut Dice<R>) -> Option<i32> {
    let name = *dice.one(&REQUESTS);
    code_of(name)
}

fn code_of(name: &str) -> Option<i32> {
    wire_names::REQUESTS.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

fn end<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> Option<NodeName> {
    dice.maybe(0.3, |dice| any_server(dice, scenario))
}

/// Masters and slaves.
fn members(scenario: &Scenario) -> Vec<NodeName> {
    let group = |broker: &Broker| {
        let slaves: Vec<NodeName> = broker.slaves().map(|(_, node)| node).collect();
        std::iter::once(broker.name.clone()).chain(slaves)
    };
    scenario.brokers.iter().flat_map(group).collect()
}

/// Whether it is a slave that can get everything again: of a master whose messages expire it cannot, which is a known limit.
fn may_lose_disk(scenario: &Scenario, node: &str) -> bool {
    let is_one = |broker: &Broker| broker.slaves().any(|(_, slave)| slave == node);
    scenario.brokers.iter().any(|broker| broker.retention.is_for_ever() && is_one(broker))
}

fn any_server<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> NodeName {
    match dice.likely(0.15) {
        true => NAMESRV.into(),
        false => dice.one(&members(scenario)).clone(),
    }
}

fn operators<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> Vec<OperatorStep> {
    let mut steps = Vec::new();
    let end_ms = scenario.duration_ms;
    if dice.likely(0.15) {
        let topic = dice.one(&scenario.topics).name.clone();
        let at_ms = dice.span(MINUTE..=end_ms / 2);
        steps.push(OperatorStep { at_ms, action: OperatorAction::DeleteTopic { topic: topic.clone(), broker: None } });
        let at_ms = at_ms + dice.span(SECOND..=2 * MINUTE);
        steps.push(OperatorStep { at_ms, action: OperatorAction::CreateTopic { topic, broker: None } });
    }
    // Not where chains go elsewhere: those revive their messages beside what a reset hands out anew, which is a known limit.
    let is_home = scenario.brokers.iter().all(|broker| broker.escapes_to.is_none());
    if is_home && dice.likely(0.3) {
        let (group, at_ms) = (dice.one(&scenario.groups).name.clone(), dice.span(MINUTE..=end_ms));
        let to_ms = dice.maybe(0.7, |dice| dice.span(SECOND..=at_ms));
        steps.push(OperatorStep { at_ms, action: OperatorAction::ResetOffset { group, broker: None, to_ms } });
    }
    if dice.likely(0.7) {
        let at_ms = end_ms + 30 * MINUTE;
        steps.push(OperatorStep { at_ms, action: OperatorAction::ResumeParked { broker: None } });
    }
    steps
}
