//! A run as trace events: a process for each node, with its calls, its lives, its commits and what its program saw as
//! tracks, and one process for what happens to the run as a whole.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use pop_revive::remoting::code::{request, response};
use rustc_hash::FxHashMap;

use super::{
    Picture,
    kind::Kind,
    label::label,
    nodes::Nodes,
    trace_event::{Args, Phase, Scope, Trace, TraceEvent},
};
use crate::{
    history::{Event, EventKind, Frame},
    oracles::Violation,
    plan::SimMs,
    report::faults::{Edge, describe, edge},
    state::{InFlight, ends_its_life},
};

/// The trace as JSON, with an end of line. The same run has the same, byte for byte.
///
/// # Errors
/// Never, for what a run yields.
pub fn json(picture: &Picture<'_>) -> serde_json::Result<String> {
    let mut drawing = Drawing::of(picture);
    for (number, event) in picture.outcome.history.events.iter().enumerate() {
        drawing.event(number, event);
    }
    drawing.close();
    picture.outcome.verdict.violations.iter().for_each(|violation| drawing.violation(violation));
    let mut trace_events = drawing.names();
    // Stable: what happens in one millisecond stays in its order.
    drawing.events.sort_by_key(|event| event.ts);
    trace_events.append(&mut drawing.events);
    let other_data = picture.notes.iter().map(|note| (&*note.heading, &*note.text));
    let other_data = other_data.chain([("run", &*picture.title)]).collect();
    let mut text = serde_json::to_string(&Trace { display_time_unit: "ms", other_data, trace_events })?;
    text.push('\n');
    Ok(text)
}

/// Numbers of processes are so far apart, for a track's is that of its process and a little more.
const APART: usize = 10;
/// The process of what happens to the run as a whole.
const RUN: usize = APART;

/// A track of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Track {
    /// Incarnations, and what happened to them; of the run: faults.
    Main,
    /// What came of what its program did.
    Program,
    Disk,
    /// Frames that are no call: nobody answers, or answers nobody.
    Wire,
}

impl Track {
    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Client | Kind::Operator => Self::Program,
            Kind::Request | Kind::Answer => Self::Wire,
            Kind::Commit | Kind::Sync => Self::Disk,
            Kind::Node | Kind::Fault | Kind::Run => Self::Main,
        }
    }

    const fn name(self, process: usize) -> &'static str {
        match self {
            Self::Main if process == RUN => "faults",
            Self::Main => "life",
            Self::Program => "program",
            Self::Disk => "disk",
            Self::Wire => "wire",
        }
    }
}

/// A call or a window that was begun and has not ended.
struct Open<'r> {
    name: Cow<'r, str>,
    kind: Kind,
    process: usize,
    id: String,
}

/// What an incarnation of a node does, and which it is.
#[derive(Default)]
struct Life {
    number: u64,
    is_up: bool,
    is_paused: bool,
}

struct Drawing<'r> {
    picture: &'r Picture<'r>,
    nodes: Nodes<'r>,
    /// By event, where it was and what is told of it; what is not here is not shown. Only ever looked up.
    told: FxHashMap<usize, (&'r str, String)>,
    in_flight: InFlight<'r>,
    /// By the position of its request.
    calls: BTreeMap<usize, Open<'r>>,
    /// How many calls there were with one connection and opaque. Only ever looked up.
    same: FxHashMap<(u64, i32), u64>,
    /// By the position of its fault.
    windows: BTreeMap<usize, Open<'r>>,
    /// By process.
    lives: BTreeMap<usize, Life>,
    events: Vec<TraceEvent<'r>>,
}

impl<'r> Drawing<'r> {
    fn of(picture: &'r Picture<'_>) -> Self {
        let mut told: FxHashMap<usize, (&str, String)> = FxHashMap::default();
        for line in picture.lines {
            let (_, known) = told.entry(line.event).or_insert((&line.node, String::new()));
            if !known.is_empty() {
                known.push_str("; ");
            }
            known.push_str(&line.text);
        }
        Self {
            picture,
            nodes: Nodes::of(picture),
            told,
            in_flight: InFlight::default(),
            calls: BTreeMap::new(),
            same: FxHashMap::default(),
            windows: BTreeMap::new(),
            lives: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    fn event(&mut self, number: usize, event: &'r Event) {
        let at_ms = event.at_ms;
        let ended = self.in_flight.note(number, event);
        let answered: Vec<Open<'r>> = ended.iter().filter_map(|request| self.calls.remove(request)).collect();
        let is_known = !answered.is_empty();
        let told = self.told.remove(&number);
        for call in answered {
            self.ends(at_ms, call, end_of_call(&event.kind, told.as_ref().map(|(_, told)| told)));
        }
        let Some((node, told)) = told else { return };
        match &event.kind {
            EventKind::Request(frame) if self.in_flight.has(number) => self.asks(at_ms, number, frame, told),
            EventKind::Response(_) if is_known => {}
            EventKind::Node { event: what, .. } => self.lives_on(at_ms, node, what, told),
            EventKind::Fault { index: Some(index), text } => match edge(text) {
                Some(Edge::Begins) => self.window_opens(at_ms, *index, text),
                Some(Edge::Ends) => self.window_closes(at_ms, *index, told),
                None => self.instant(event, node, told),
            },
            _ => self.instant(event, node, told),
        }
    }

    /// A request leaves that is a call.
    fn asks(&mut self, at_ms: SimMs, number: usize, frame: &'r Frame, told: String) {
        let Frame { from, to, connection, opaque, length, .. } = frame;
        let again = self.same.entry((*connection, *opaque)).or_default();
        *again += 1;
        // An opaque that comes again is another call.
        let id =
            if *again == 1 { format!("c{connection}#{opaque}") } else { format!("c{connection}#{opaque}/{again}") };
        let name = request::name(frame.request_code);
        let call = Open { name, kind: Kind::Request, process: self.process(from), id };
        let args = Args::Asked { to, connection: *connection, opaque: *opaque, bytes: *length, told };
        self.begins(at_ms, &call, Some(args));
        self.calls.insert(number, call);
    }

    /// A fault begins that lasts.
    fn window_opens(&mut self, at_ms: SimMs, index: usize, text: &'r str) {
        let planned = self.picture.outcome.plan.faults.get(index).map(describe);
        let name = planned.map_or(Cow::Borrowed(text), Cow::Owned);
        let window = Open { name, kind: Kind::Fault, process: RUN, id: format!("fault {index}") };
        self.begins(at_ms, &window, None);
        self.windows.insert(index, window);
    }

    fn window_closes(&mut self, at_ms: SimMs, index: usize, told: String) {
        if let Some(window) = self.windows.remove(&index) {
            self.ends(at_ms, window, Args::Told { told });
        }
    }

    /// Something happens to a node.
    fn lives_on(&mut self, at_ms: SimMs, node: &str, what: &'r str, told: String) {
        let process = self.process(node);
        if what == "started" {
            self.end_of_life(at_ms, process, what, true);
        }
        let life = self.lives.entry(process).or_default();
        match what {
            "started" => {
                life.number += 1;
                life.is_up = true;
                let name = format!("incarnation {}", life.number);
                self.add(at_ms, (process, Track::Main), name.into(), Kind::Node, Phase::Begin);
            }
            "paused" if life.is_up && !life.is_paused => {
                life.is_paused = true;
                self.add(at_ms, (process, Track::Main), what.into(), Kind::Node, Phase::Begin);
            }
            "resumed" if life.is_paused => self.end_of_life(at_ms, process, what, false),
            _ => {
                if ends_its_life(what) {
                    self.end_of_life(at_ms, process, what, true);
                }
                let event = self.add(at_ms, (process, Track::Main), what.into(), Kind::Node, Phase::Instant);
                event.args = Some(Args::Told { told });
            }
        }
    }

    /// A node's pause ends, if it is in one; so does its life if `dies`.
    fn end_of_life(&mut self, at_ms: SimMs, process: usize, what: &'r str, dies: bool) {
        let Some(life) = self.lives.get_mut(&process) else { return };
        let was_paused = std::mem::take(&mut life.is_paused);
        let was_up = dies && std::mem::take(&mut life.is_up);
        let name = format!("incarnation {}", life.number);
        let ends = [(was_paused, Cow::Borrowed("paused")), (was_up, name.into())];
        for (_, name) in ends.into_iter().filter(|(ends, _)| *ends) {
            self.add(at_ms, (process, Track::Main), name, Kind::Node, Phase::End).args =
                Some(Args::Ended { ended: what });
        }
    }

    fn instant(&mut self, event: &'r Event, node: &str, told: String) {
        let kind = Kind::of(&event.kind);
        let track = (self.process(node), Track::of(kind));
        let added = self.add(event.at_ms, track, label(&event.kind), kind, Phase::Instant);
        added.args = Some(Args::Told { told });
        if kind == Kind::Run {
            added.scope = Some(Scope::Global);
        }
    }

    fn violation(&mut self, violation: &'r Violation) {
        let Violation { promise, at_ms, subject, detail, .. } = violation;
        let name = format!("{promise} violated: {subject}");
        let event = self.add(*at_ms, (RUN, Track::Main), name.into(), Kind::Run, Phase::Instant);
        event.cat = Some("violation");
        event.scope = Some(Scope::Global);
        event.args = Some(Args::Violated { promise, subject, detail });
    }

    /// Ends what has not ended by itself.
    fn close(&mut self) {
        let Self { picture, .. } = *self;
        let last = picture.outcome.history.events.last().map_or(0, |event| event.at_ms);
        let at_ms = last.max(picture.outcome.sim_ms);
        for call in std::mem::take(&mut self.calls).into_values() {
            self.ends(at_ms, call, Args::Unanswered { answer: (), why: "there was none until the end".into() });
        }
        for window in std::mem::take(&mut self.windows).into_values() {
            self.ends(at_ms, window, Args::Told { told: "it lasts until the end".into() });
        }
        let processes: Vec<usize> = self.lives.keys().copied().collect();
        processes.into_iter().for_each(|process| self.end_of_life(at_ms, process, "with the run", true));
    }

    fn begins(&mut self, at_ms: SimMs, open: &Open<'r>, args: Option<Args<'r>>) {
        let event = self.add(at_ms, (open.process, Track::Main), open.name.clone(), open.kind, Phase::AsyncBegin);
        (event.id, event.args) = (Some(open.id.clone()), args);
    }

    fn ends(&mut self, at_ms: SimMs, open: Open<'r>, args: Args<'r>) {
        let Open { name, kind, process, id } = open;
        let event = self.add(at_ms, (process, Track::Main), name, kind, Phase::AsyncEnd);
        (event.id, event.args) = (Some(id), Some(args));
    }

    fn add(
        &mut self,
        at_ms: SimMs,
        (pid, track): (usize, Track),
        name: Cow<'r, str>,
        kind: Kind,
        ph: Phase,
    ) -> &mut TraceEvent<'r> {
        let (cat, ts, tid) = (Some(kind.name()), at_ms * 1000, pid + track as usize);
        let scope = (ph == Phase::Instant).then_some(Scope::Track);
        self.events.push_mut(TraceEvent { name, cat, ph, ts, pid, tid, id: None, scope, args: None })
    }

    fn process(&self, node: &str) -> usize {
        self.nodes.place(node).map_or(RUN, |place| (place + 2) * APART)
    }

    /// The names and the order of processes, and those of the tracks that have something.
    fn names(&self) -> Vec<TraceEvent<'r>> {
        let nodes = self.nodes.names().iter().map(|name| (self.process(name), *name));
        let tracks: BTreeSet<(usize, usize)> = self.events.iter().map(|event| (event.pid, event.tid)).collect();
        let mut names = Vec::new();
        for (order, (process, name)) in [(RUN, "the run")].into_iter().chain(nodes).enumerate() {
            names.push(metadata("process_name", process, process, Args::Name { name }));
            names.push(metadata("process_sort_index", process, process, Args::Order { sort_index: order }));
            for track in [Track::Main, Track::Program, Track::Disk, Track::Wire] {
                let tid = process + track as usize;
                if tracks.contains(&(process, tid)) {
                    names.push(metadata("thread_name", process, tid, Args::Name { name: track.name(process) }));
                }
            }
        }
        names
    }
}

/// What ended a call: its answer, or the death of one of the two.
fn end_of_call<'r>(kind: &'r EventKind, told: Option<&String>) -> Args<'r> {
    match kind {
        EventKind::Response(Frame { code, length, arrived_ms, .. }) => {
            let answer = response::name(*code);
            Args::Answered { answer, code: *code, bytes: *length, arrived_ms: *arrived_ms, told: told.cloned() }
        }
        EventKind::Node { node, event } => Args::Unanswered { answer: (), why: format!("{node} {event}").into() },
        other => Args::Unanswered { answer: (), why: label(other) },
    }
}

fn metadata<'r>(what: &'static str, pid: usize, tid: usize, args: Args<'r>) -> TraceEvent<'r> {
    let name = Cow::Borrowed(what);
    TraceEvent { name, cat: None, ph: Phase::Metadata, ts: 0, pid, tid, id: None, scope: None, args: Some(args) }
}
