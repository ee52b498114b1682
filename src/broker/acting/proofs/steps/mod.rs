//! What can happen in the world, and what it does.

mod client;
mod master;
mod slave;
mod target;

use std::{collections::BTreeSet, sync::Mutex};

use super::{
    deeds::{Deed, Reply},
    logs::{Handle, Log, Logs},
    mutants::Mutant,
    world::{Call, Member, Stage, Told, Turn, What, World},
};

/// One step of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// The master hands the message out; the answer is heard, or lost.
    Pop { is_heard: bool },
    /// The master revives what is due.
    Revive,
    /// The master asks the target what its slave has handed over.
    List,
    /// The master cuts its log back and merges.
    Merge,
    /// The master does not hear from the target in time.
    GiveUp,
    /// The master tells the target that it has merged.
    TellMerged,
    /// The slave asks its master for the next entry; the answer comes, or is lost.
    Follow { is_heard: bool },
    /// The slave has not heard of its master for long: it acts. Its last request may still be under way.
    TakeOver { is_late: bool },
    /// The slave asks the target for a term.
    TakeTerm,
    /// The slave hands the message out.
    PopActing,
    /// The slave moves a chain of its master's, because it is due or acked.
    Move(Handle),
    /// The slave asks its master whether all is merged.
    AskMerged,
    /// The target takes up what is due: it has to read the message.
    TakeUp,
    /// The target has read it.
    Conclude,
    /// The target forgets what is over.
    Forget,
    /// A member loses its memory.
    CrashMaster,
    /// A member loses its memory.
    CrashSlave,
    /// A member loses its memory.
    CrashTarget,
    /// The consumer acks what it was given, at one of the two members.
    Ack { at: Member, handle: Handle },
    /// A request arrives, takes effect, and is answered.
    Serve(Call),
    /// Nobody waits for the answer any more; the request may still arrive.
    TimeOut(Call),
    /// The request will arrive once more.
    Double(Call),
}

/// What is not part of the world: the logs, a planted defect, and what was ever reached.
pub(super) struct Setting {
    pub(super) logs: Logs,
    pub(super) mutant: Option<Mutant>,
    pub(super) reached: Mutex<BTreeSet<&'static str>>,
}

/// All that can happen next.
pub(super) fn actions(setting: &Setting, world: &World, all: &mut Vec<Action>) {
    let at = Stepping { setting, world: world.clone() };
    at.master_actions(all);
    at.slave_actions(all);
    at.target_actions(all);
    at.client_actions(all);
    for (number, call) in world.calls.iter().enumerate() {
        if number > 0 && world.calls[number - 1] == *call {
            continue;
        }
        if at.is_served(call) {
            all.push(Action::Serve(call.clone()));
        }
        if world.left.losses > 0 && call.awaited {
            all.push(Action::TimeOut(call.clone()));
            all.push(Action::Double(call.clone()));
        }
    }
}

/// A world in which something happens.
pub(super) struct Stepping<'s> {
    pub(super) setting: &'s Setting,
    pub(super) world: World,
}

impl Stepping<'_> {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Pop { is_heard } => self.pop(is_heard),
            Action::Revive => self.revive(),
            Action::List => self.list(),
            Action::Merge => self.merge(),
            Action::GiveUp => self.give_up(),
            Action::TellMerged => self.tell_merged(),
            Action::Follow { is_heard } => self.follow(is_heard),
            Action::TakeOver { is_late } => self.take_over(is_late),
            Action::TakeTerm => self.take_term(),
            Action::PopActing => self.pop_acting(),
            Action::Move(handle) => self.hand_over(handle),
            Action::AskMerged => self.ask_merged(),
            Action::TakeUp => self.take_up(),
            Action::Conclude => self.conclude(),
            Action::Forget => self.forget(),
            Action::CrashMaster => self.crash_master(),
            Action::CrashSlave => self.crash_slave(),
            Action::CrashTarget => self.crash_target(),
            Action::Ack { at, handle } => self.ack(at, handle),
            Action::Serve(call) => self.serve(call),
            Action::TimeOut(call) => self.time_out(&call),
            Action::Double(call) => {
                self.world.left.losses -= 1;
                self.add(Call { awaited: false, ..call });
            }
        }
    }

    fn mutant(&self) -> Option<Mutant> {
        self.setting.mutant
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.setting.mutant == Some(mutant)
    }

    fn reach(&self, what: &'static str) {
        self.setting.reached.lock().unwrap().insert(what);
    }

    fn after(&self, log: &Log, deed: &Deed) -> (Log, Reply) {
        self.setting.logs.after(log, deed)
    }

    /// A request that waits for its turn is not served.
    fn is_served(&self, call: &Call) -> bool {
        !matches!(call.what, What::AskMerged { .. }) || self.world.master.turn.is_none()
    }

    /// The request takes effect where it arrives; who waits is answered at once.
    fn serve(&mut self, call: Call) {
        self.remove(&call);
        let Call { what, awaited } = call;
        match what {
            What::Seal { by, above } => self.serve_seal(by, above, awaited),
            What::Adopt { chain, term, popped } => self.serve_adopt(&chain, term, popped, awaited),
            What::Ack { handle, .. } => self.serve_ack(handle, awaited),
            What::AskMerged { end, acted } => self.serve_ask_merged(end, acted),
            What::Follow { end } => self.heard_of_slave(&end),
            What::Merged { term } => self.serve_merged(term, awaited),
        }
    }

    fn time_out(&mut self, call: &Call) {
        self.world.left.losses -= 1;
        self.abandon(call);
        match &call.what {
            What::Seal { by: Member::Master, .. } => self.world.master.turn = None,
            What::Seal { by: Member::Slave, .. } => self.world.slave.is_sealing = false,
            What::Adopt { chain, term, popped: true } => self.leave_unanswered(chain, *term),
            What::AskMerged { .. } => self.world.slave.asking = None,
            What::Adopt { .. } | What::Ack { .. } | What::Follow { .. } | What::Merged { .. } => {}
        }
    }

    /// Nobody waits for the answers any more.
    fn abandon_all(&mut self, of: impl Fn(&What) -> bool) {
        let abandoned = self.world.calls.iter().filter(|call| call.awaited && of(&call.what)).cloned();
        for call in abandoned.collect::<Vec<_>>() {
            self.abandon(&call);
        }
    }

    fn abandon(&mut self, call: &Call) {
        self.remove(call);
        self.add(Call { awaited: false, ..call.clone() });
    }

    fn is_under_way(&self, is: impl Fn(&What) -> bool) -> bool {
        self.world.calls.iter().any(|call| call.awaited && is(&call.what))
    }

    fn ask(&mut self, what: What) {
        self.add(Call { what, awaited: true });
    }

    /// A late request that is under way twice does no more than one.
    fn add(&mut self, call: Call) {
        let calls = &mut self.world.calls;
        if let Err(place) = calls.binary_search(&call) {
            calls.insert(place, call);
        }
    }

    fn remove(&mut self, call: &Call) {
        self.world.calls.retain(|other| other != call);
    }

    /// The consumer is given the message.
    fn give(&mut self, handle: Handle) {
        let World { master, slave, target, client, seen, .. } = &mut self.world;
        let shown = master.shown();
        let mut logs = [&target.log, &slave.log, &shown].into_iter();
        seen.given_without_chain |= !logs.clone().take(2).any(|log| log.ever.contains(&handle));
        seen.given_twice |= !client.given.is_empty();
        seen.given_twice |= logs.any(|log| log.ever.iter().any(|other| *other != handle));
        seen.given_after_ack |= client.told == Told::Absorbed;
        client.given.push(handle);
    }

    /// The consumer is told what became of an ack.
    fn tell(&mut self, told: Told) {
        let client = &mut self.world.client;
        let other = client.told != Told::Nothing && told != Told::Nothing && client.told != told;
        self.world.seen.changed_mind |= other;
        if told != Told::Nothing {
            client.told = told;
        }
    }
}

/// What a master does that begins to take something back.
fn turn(end: Log, acted: u64) -> Turn {
    Turn { end, acted, stage: Stage::Sealing }
}
