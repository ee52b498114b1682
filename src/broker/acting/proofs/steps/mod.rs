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
    world::{Late, Left, Member, Told, World},
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is answered.
    Heard,
    /// It is not answered in time; it may still arrive.
    Late,
    /// It is answered, and may arrive once more.
    Twice,
}

/// One step of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// The master hands the message out; the answer is heard, or lost.
    Pop { is_heard: bool },
    /// The master revives what is due.
    Revive,
    /// The master takes a term at the target.
    Seal(Fate),
    /// The master asks the target what its slave has handed over.
    List,
    /// The master cuts its log back and merges.
    Merge,
    /// The master does not hear from the target in time.
    GiveUp,
    /// The master tells the target that it has merged.
    TellMerged(Fate),
    /// The slave asks its master for the next entry; the answer comes, or is lost.
    Follow { is_heard: bool },
    /// The slave has not heard of its master for long: it acts. Its last request may still be under way.
    TakeOver { is_late: bool },
    /// The slave takes a term at the target.
    TakeTerm(Fate),
    /// The slave hands the message out.
    PopActing(Fate),
    /// The slave moves a chain of its master's, because it is due or acked.
    Move(Handle, Fate),
    /// The slave asks its master whether all is merged.
    AskMerged(Fate),
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
    /// The slave loses its disk, and another takes its place.
    LoseSlave,
    /// The consumer acks what it was given, at one of the two members.
    Ack { at: Member, handle: Handle, fate: Fate },
    /// A late request arrives.
    Arrive(Late),
}

/// What is not part of the world: the logs, a planted defect, and what was ever reached.
pub(super) struct Setting {
    pub(super) logs: Logs,
    pub(super) mutant: Option<Mutant>,
    pub(super) reached: Mutex<BTreeSet<&'static str>>,
}

/// What can become of a request.
fn fates(left: Left) -> &'static [Fate] {
    match left.losses {
        0 => &[Fate::Heard],
        _ => &[Fate::Heard, Fate::Late, Fate::Twice],
    }
}

/// All that can happen next.
pub(super) fn actions(setting: &Setting, world: &World, all: &mut Vec<Action>) {
    let at = Stepping { setting, world: world.clone() };
    at.master_actions(all);
    at.slave_actions(all);
    at.target_actions(all);
    at.client_actions(all);
    // A request that has to wait for its turn arrives later.
    let is_served = |late: &&Late| match late {
        Late::AskMerged { .. } => world.master.turn.is_none(),
        Late::Follow { end } => end.last() > 0 || world.master.turn.is_none(),
        _ => true,
    };
    all.extend(world.late.iter().filter(is_served).cloned().map(Action::Arrive));
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
            Action::Seal(fate) => self.seal(fate),
            Action::List => self.list(),
            Action::Merge => self.merge(),
            Action::GiveUp => self.give_up(),
            Action::TellMerged(fate) => self.tell_merged(fate),
            Action::Follow { is_heard } => self.follow(is_heard),
            Action::TakeOver { is_late } => self.take_over(is_late),
            Action::TakeTerm(fate) => self.take_term(fate),
            Action::PopActing(fate) => self.pop_acting(fate),
            Action::Move(handle, fate) => self.hand_over(handle, fate),
            Action::AskMerged(fate) => self.ask_merged(fate),
            Action::TakeUp => self.take_up(),
            Action::Conclude => self.conclude(),
            Action::Forget => self.forget(),
            Action::CrashMaster => self.crash_master(),
            Action::CrashSlave => self.crash_slave(),
            Action::CrashTarget => self.crash_target(),
            Action::LoseSlave => self.lose_slave(),
            Action::Ack { at, handle, fate } => self.ack(at, handle, fate),
            Action::Arrive(late) => self.arrive_late(&late),
        }
        self.drop_spent();
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

    /// Sends a request to the target; tells what is answered, in time.
    fn send(&mut self, request: Late, fate: Fate) -> Option<Reply> {
        if fate != Fate::Heard {
            self.leave(request.clone());
        }
        if fate == Fate::Late { None } else { self.at_target_of(&request) }
    }

    /// Has a request arrive late, if it does at all.
    fn leave(&mut self, request: Late) {
        self.world.left.losses -= 1;
        let late = &mut self.world.late;
        if let Err(place) = late.binary_search(&request) {
            late.insert(place, request);
        }
    }

    fn arrive_late(&mut self, late: &Late) {
        self.world.late.retain(|other| other != late);
        match late {
            Late::AskMerged { end, acted } => self.hear_of_acting(end, *acted),
            Late::Follow { end } if end.last() == 0 => drop(self.may_begin()),
            Late::Follow { end } => self.hear_of_following(end),
            Late::Seal { .. } => self.reach("a seal that nobody waits for"),
            Late::Adopt { .. } | Late::Ack { .. } | Late::Merged { .. } => {}
        }
        if let Some(Reply::Adopted(adopted)) = self.at_target_of(late) {
            self.reach(if adopted.sealed.is_some() { "a late hand-over refused" } else { "a late hand-over taken" });
        }
    }

    /// Late requests that change nothing any more, and never will, are as good as lost: terms only rise, and what is over
    /// stays so.
    fn drop_spent(&mut self) {
        let (setting, World { master, target, late, .. }) = (self.setting, &mut self.world);
        late.retain(|request| match request {
            Late::Seal { .. } => true,
            Late::Adopt { .. } | Late::Ack { .. } | Late::Merged { .. } => {
                let deed = deed_of(request, setting.mutant);
                deed.is_none_or(|deed| setting.logs.after_unfollowed(&target.log, &deed).0 != target.log)
            }
            Late::AskMerged { acted, .. } => *acted > 0 && master.log.term() <= *acted,
            Late::Follow { end } => end.last() > master.kept || end.last() == 0,
        });
    }

    /// The consumer is given the message.
    fn give(&mut self, handle: Handle) {
        let World { master, slave, lost, target, client, seen, .. } = &mut self.world;
        let shown = master.shown();
        let mut logs = [&target.log, &slave.log, lost, &shown].into_iter();
        seen.given_without_chain |= !logs.clone().take(3).any(|log| log.ever.contains(&handle));
        seen.given_twice |= !client.given.is_empty();
        seen.given_twice |= logs.any(|log| log.ever.iter().any(|other| *other != handle));
        seen.given_after_ack |= client.told == Told::Absorbed;
        client.given.push(handle);
    }

    /// The consumer is told what became of an ack.
    fn tell(&mut self, told: Told) {
        let client = &mut self.world.client;
        self.world.seen.changed_mind |= client.told != Told::Nothing && client.told != told;
        client.told = told;
    }
}

/// What the target does with a request.
fn deed_of(request: &Late, mutant: Option<Mutant>) -> Option<Deed> {
    Some(match request.clone() {
        Late::Seal { by, above, end } => Deed::Seal { by, above, end },
        Late::Adopt { chain, term } => Deed::Adopt { chain, term, is_checked: mutant != Some(Mutant::SealIgnored) },
        Late::Ack { handle } => Deed::Ack { handle, is_kept: true },
        Late::Merged { term } => Deed::Acknowledge { term },
        Late::AskMerged { .. } | Late::Follow { .. } => return None,
    })
}
