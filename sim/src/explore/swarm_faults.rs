//! Faults of the swarm: which kinds exist at all for a seed, and of each a few.

use rand::Rng;

use super::swarm::{MINUTE, SECOND};
use crate::{
    dice::Dice,
    plan::{Damage, DiskOperation, NodeName, SimMs},
    scenario::{
        Broker, Draw, FaultKind, FaultSpec, HitsSpec, MomentSpec, RpcsSpec, Scenario, VolumeSpec, WindowSpec,
        sites::SITES, wire_names,
    },
};

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
    SlowClose,
    Bandwidth,
    DuplicateRequest,
    DelayedRequest,
}

const KINDS: [Kind; 28] = [
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
    Kind::SlowClose,
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

/// Draws the faults of a scenario.
pub(super) fn faults<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> Vec<FaultSpec> {
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
            let lost = may_lose_disk(scenario, &node) && dice.likely(0.5);
            let volume = if lost { VolumeSpec::Lost } else { VolumeSpec::Kept };
            FaultKind::Replace { node, when: MomentSpec::At(at), down, volume }
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
        Kind::SlowClose => {
            let (from, to) = (end(dice, scenario), end(dice, scenario));
            FaultKind::SlowClose { from, to, window: window(dice, scenario) }
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
        // A lease that goes by a clock which stands still is not bounded by anything, and says so.
        Kind::FrozenClock if scenario.brokers.iter().any(|broker| broker.name == node && broker.needs_lease()) => {
            FaultKind::DiskFull { node, window }
        }
        Kind::FrozenClock => FaultKind::FrozenClock { node, window },
        Kind::DiskError => {
            let mut operations =
                vec![DiskOperation::Read, DiskOperation::Write, DiskOperation::Sync, DiskOperation::Flip];
            // A master whose slaves have what it has lost stays down, and of a log that has expired more is lost.
            let may_rot =
                |broker: &Broker| broker.name != node || (broker.slaves == 0 && broker.retention.is_for_ever());
            if scenario.brokers.iter().all(may_rot) {
                operations.push(DiskOperation::Rot);
            }
            let operation = *dice.one(&operations);
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
    servers.extend(scenario.name_servers());
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

/// Whether it can get everything again, as a slave or as a master that confirms nothing alone and whose slave may act for it: of
/// what has expired it cannot, which is a known limit.
fn may_lose_disk(scenario: &Scenario, node: &str) -> bool {
    let is_master = |broker: &Broker| broker.name == node && broker.acting_to.is_some() && broker.degree > 1;
    let is_one = |broker: &Broker| is_master(broker) || broker.slaves().any(|(_, slave)| slave == node);
    scenario.brokers.iter().any(|broker| broker.retention.is_for_ever() && is_one(broker))
}

/// Has no master lose its disk whose slave loses its own: what both have lost nobody has.
pub(super) fn spare_one_disk(scenario: &mut Scenario) {
    let losing: Vec<NodeName> = scenario.faults.iter().filter_map(|fault| loses_disk(&fault.what)).cloned().collect();
    let is_spared = |broker: &&Broker| broker.slaves().any(|(_, slave)| losing.contains(&slave));
    let spared: Vec<&NodeName> = scenario.brokers.iter().filter(is_spared).map(|broker| &broker.name).collect();
    for fault in &mut scenario.faults {
        if let FaultKind::Replace { node, volume, .. } = &mut fault.what
            && spared.contains(&&*node)
        {
            *volume = VolumeSpec::Kept;
        }
    }
}

const fn loses_disk(fault: &FaultKind) -> Option<&NodeName> {
    match fault {
        FaultKind::Replace { node, volume: VolumeSpec::Lost | VolumeSpec::AsOf(_), .. }
        | FaultKind::DiskError { node, operation: DiskOperation::Rot, .. } => Some(node),
        _ => None,
    }
}

fn any_server<R: Rng>(dice: &mut Dice<R>, scenario: &Scenario) -> NodeName {
    match dice.likely(0.15) {
        true => dice.one(&scenario.name_servers().collect::<Vec<_>>()).clone(),
        false => dice.one(&members(scenario)).clone(),
    }
}
