//! The master: it serves, waits for its slave to confirm, and takes back what was done in its place.

use super::{
    super::world::{Awaited, Late, Member, Stage, Told, Turn, Wait, World},
    Action, Deed, Fate, Handle, Log, Mutant, Reply, Stepping, fates,
};
use crate::{
    broker::acting::proofs::deeds::Merging,
    model::chain::{Chain, ChainState},
    revive::steps::ack::Acked,
};

impl Stepping<'_> {
    pub(super) fn master_actions(&self, all: &mut Vec<Action>) {
        let (master, left) = (&self.world.master, self.world.left);
        if !master.log.is_popped {
            all.push(Action::Pop { is_heard: true });
            if left.losses > 0 {
                all.push(Action::Pop { is_heard: false });
            }
        }
        if master.log.due.is_some() {
            all.push(Action::Revive);
        }
        match master.turn.as_ref().map(|turn| &turn.stage) {
            Some(Stage::Sealed(_)) => {
                all.push(Action::List);
                if left.losses > 0 {
                    all.push(Action::GiveUp);
                }
            }
            Some(Stage::Listed(..)) => all.push(Action::Merge),
            Some(Stage::Begun) => all.extend(fates(left).iter().map(|fate| Action::Seal(*fate))),
            None => {}
        }
        if self.merged_to_tell() > master.merged_told {
            all.extend(fates(left).iter().map(|fate| Action::TellMerged(*fate)));
        }
        let in_memory = !master.waits.is_empty() || master.turn.is_some() || master.told > master.kept;
        if left.crashes > 0 && (in_memory || master.merged_told > 0) {
            all.push(Action::CrashMaster);
        }
    }

    fn merged_to_tell(&self) -> u64 {
        match self.is(Mutant::MergeToldBeforeConfirmed) {
            true => self.world.master.log.merged,
            false => self.world.master.shown().merged,
        }
    }

    /// A step at the master. What it comes to is told once all that it may have read is confirmed.
    fn at_master(&mut self, deed: &Deed) -> Reply {
        let master = &mut self.world.master;
        let (log, reply) = self.setting.logs.after(&master.log, deed);
        if log != master.log {
            master.kept = master.told.min(log.last());
            master.log = log;
        }
        if self.is(Mutant::MasterConfirmsAlone) {
            self.confirm(self.world.master.log.last());
        }
        reply
    }

    fn wait_for(&mut self, what: Awaited) {
        let master = &mut self.world.master;
        let index = master.log.last();
        master.waits.push(Wait { index, what });
        if self.is(Mutant::ToldBeforeConfirmed) {
            let told = std::mem::take(&mut self.world.master.waits);
            told.into_iter().for_each(|wait| self.released(wait.what));
        }
        self.confirm(self.world.master.told);
    }

    /// Up to there everything is confirmed: whoever waits for that is told.
    fn confirm(&mut self, index: u64) {
        let master = &mut self.world.master;
        master.told = master.told.max(index);
        let told = master.told;
        let (done, waits) = std::mem::take(&mut master.waits).into_iter().partition(|wait| wait.index <= told);
        master.waits = waits;
        let done: Vec<Wait> = done;
        done.into_iter().for_each(|wait| self.released(wait.what));
    }

    fn released(&mut self, what: Awaited) {
        match what {
            Awaited::Popped(handle) => {
                self.reach("popped at the master");
                self.give(handle);
            }
            Awaited::Acked(told) => {
                self.reach("acked at the master");
                self.tell(told);
            }
            Awaited::Forward(handle) => {
                self.reach("an ack passed on by the master");
                self.pass_on(handle, Fate::Heard);
            }
        }
    }

    pub(super) fn pop(&mut self, is_heard: bool) {
        let Reply::Popped(popped) = self.at_master(&Deed::Pop) else { return };
        self.world.left.losses -= u32::from(!is_heard);
        if let Some(handle) = popped.filter(|_| is_heard) {
            self.wait_for(Awaited::Popped(handle));
        }
    }

    pub(super) fn revive(&mut self) {
        self.at_master(&Deed::Tick);
        self.reach("revived at the master");
    }

    /// What a master does with an ack (`Shared::settle`).
    pub(super) fn ack_at_master(&mut self, handle: Handle, fate: Fate) {
        let shown = self.world.master.shown();
        if let Some(ChainState::Moved { .. }) = shown.chain(handle).map(|chain| &chain.state) {
            self.reach("an ack of a chain that has moved");
            return self.pass_on(handle, fate);
        }
        let Reply::Acked(acked) = self.at_master(&Deed::Ack { handle, is_kept: false }) else { return };
        if fate == Fate::Late {
            self.world.left.losses -= 1; // the consumer does not hear of it
            return;
        }
        self.wait_for(match acked {
            Acked::Absorbed => Awaited::Acked(Told::Absorbed),
            Acked::TooLate => Awaited::Acked(Told::TooLate),
            Acked::Elsewhere { id, .. } => Awaited::Forward(Handle::of(&id)),
            Acked::Unknown | Acked::Early => Awaited::Forward(handle),
        });
    }

    /// A slave has this log, and nothing else: what it has is on two disks.
    pub(super) fn hear_of_following(&mut self, end: &Log) {
        if self.world.master.log.begins_with(end) {
            self.confirm(end.last());
        }
    }

    /// What a master does that hears of a slave that has acted (`Shared::take_back`).
    pub(super) fn hear_of_acting(&mut self, end: &Log, acted: u64) {
        let master = &self.world.master;
        let (_, reply) = self.after(end, &Deed::Follow { of: master.log.clone() });
        let confirmed = master.told.min(master.log.last());
        if reply == Reply::Diverged || end.last() < confirmed {
            self.reach("a slave refused for its log");
            self.world.seen.diverged |= self.world.slave.asking == Some(acted) && self.world.slave.log == *end;
            return self.answered_diverged(acted);
        }
        if acted == 0 || master.log.term() > acted || self.is(Mutant::FollowsWithoutMerge) {
            return self.answered_merged(acted);
        }
        self.world.master.turn = Some(Turn { end: Some(end.clone()), is_anew: false, acted, stage: Stage::Begun });
    }

    /// What a master does that hears of a slave whose log is empty (`Shared::begin_anew`); tells whether it may follow at once.
    pub(super) fn may_begin(&mut self) -> bool {
        let acted = self.world.target.log.sealed;
        if acted <= self.world.master.log.term() || self.is(Mutant::LostSlaveForgotten) {
            self.reach("begun anew where nobody had acted");
            return true;
        }
        self.world.master.turn = Some(Turn { end: None, is_anew: true, acted, stage: Stage::Begun });
        false
    }

    pub(super) fn seal(&mut self, fate: Fate) {
        let Some(turn) = &self.world.master.turn else { return };
        let above = turn.acted.max(self.world.master.log.term());
        match self.send(Late::Seal { by: Member::Master, above, end: None }, fate) {
            Some(Reply::Sealed(term)) => {
                self.world.master.turn.iter_mut().for_each(|turn| turn.stage = Stage::Sealed(term));
            }
            _ => self.end_turn(),
        }
    }

    pub(super) fn list(&mut self) {
        let target = self.world.target.log.clone();
        if let Some(Turn { stage, .. }) = &mut self.world.master.turn
            && let Stage::Sealed(term) = *stage
        {
            *stage = Stage::Listed(term, target);
        }
        if self.world.master.turn.as_ref().is_some_and(|turn| turn.end.is_none()) {
            self.look_for_end();
        }
    }

    /// Where the log of a slave ended that is lost, if it has done anything.
    fn look_for_end(&mut self) {
        let World { master, target, .. } = &self.world;
        let own = master.log.term();
        let is_later = |chain: &Chain| chain.acted_for.as_ref().is_some_and(|acting| acting.term > own);
        let is_used = target.log.listed.iter().any(is_later) || self.is(Mutant::UnusedTermCounts);
        let Some(told) = target.log.acted_end.filter(|_| is_used) else {
            return self.end_unused_terms();
        };
        let end = master.log.up_to(told.position.index);
        if end.end != told || end.last() < master.told.min(master.log.last()) {
            self.world.seen.diverged = true;
            self.world.master.turn = None;
            return;
        }
        let end = if self.is(Mutant::CutAtKnown) { master.log.up_to(master.told) } else { end };
        self.world.master.turn.iter_mut().for_each(|turn| turn.end = Some(end.clone()));
    }

    /// Nothing was done, and what was taken is over.
    fn end_unused_terms(&mut self) {
        self.reach("begun anew where nothing was done");
        let turn = self.world.master.turn.take();
        if let Some(Turn { stage: Stage::Listed(term, _), .. }) = turn
            && !self.is(Mutant::UnusedTermGoesOn)
        {
            let (end, listed) = (self.world.master.log.clone(), self.setting.logs.empty());
            self.at_master(&Deed::TakeBack { end, term, listed, how: Merging::WithTail });
        }
        self.begins();
    }

    pub(super) fn give_up(&mut self) {
        self.world.left.losses -= 1;
        self.end_turn();
    }

    /// The slave hears that nothing is merged, or nothing at all.
    fn end_turn(&mut self) {
        self.world.master.turn = None;
        self.world.slave.asking = None;
    }

    pub(super) fn merge(&mut self) {
        let Some(Turn { end: Some(end), is_anew, acted, stage: Stage::Listed(term, listed) }) =
            self.world.master.turn.take()
        else {
            return;
        };
        let how = match self.setting.mutant {
            Some(Mutant::MergedWithoutMoves) => Merging::WithoutMoves,
            Some(Mutant::MergedWithoutOffsets) => Merging::WithoutOffsets,
            Some(Mutant::TailKept) => Merging::WithTail,
            _ => Merging::Sound,
        };
        self.confirm(end.last());
        let before = self.world.master.log.clone();
        let on_two = before.common_with(&self.world.slave.log).max(before.common_with(&self.world.lost));
        let fixed = on_two.max(self.world.master.told.min(before.last()));
        let (log, reply) = self.after(&before, &Deed::TakeBack { end: end.clone(), term, listed: listed.clone(), how });
        if reply == Reply::NoSuchEnd {
            self.reach("a merge without its place");
            return;
        }
        let master = &mut self.world.master;
        self.world.seen.cut_confirmed |= !log.begins_with(&before.up_to(fixed));
        master.told = master.told.min(end.last());
        (master.kept, master.log) = (master.told, log);
        master.waits.clear();
        if before.last() > end.last() {
            self.reach(if before.merged > end.merged { "merged once more" } else { "a tail cut off" });
        }
        self.reach(if listed.listed.is_empty() { "merged nothing" } else { "merged a chain" });
        if is_anew {
            self.reach("merged for a slave that is lost");
            return self.begins();
        }
        self.answered_merged(acted);
    }

    pub(super) fn tell_merged(&mut self, fate: Fate) {
        let term = self.merged_to_tell();
        if self.send(Late::Merged { term }, fate).is_some() {
            self.world.master.merged_told = term;
            self.reach("told of the merge");
        }
    }

    pub(super) fn crash_master(&mut self) {
        self.world.left.crashes -= 1;
        self.end_turn();
        let master = &mut self.world.master;
        master.waits.clear();
        (master.told, master.merged_told) = (master.kept, 0);
    }
}
