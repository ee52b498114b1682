//! What can happen in the world, and what it does. Whatever a chain does, the core decides.

use super::{
    super::play::is_failure,
    world::{Ack, Answered, Asks, Call, Disk, Faults, Kept, Side, Told, World},
};
use crate::{
    model::{
        cause::Cause,
        chain::{Chain, ChainState, CopyPlace, GoneProof, History, Outcome},
    },
    revive::{
        Engine, ReadOutcome,
        engine::{Answer, Effect, Event, end},
        samples::{INVISIBLE_MS, failure, message},
    },
};

/// One step of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Time passes until this group's chain is due.
    Expire(Side),
    /// The group takes its chain up: the attempt is stored, then the request leaves.
    TakeUp(Side),
    /// The request arrives, takes effect there, and is answered.
    Serve(Call),
    /// It is answered by a replica that lags behind.
    ServeLagging(Call),
    /// Nobody waits for this request any more, and it never arrives.
    Vanish(Call),
    /// The answer, or the request, does not come in time; the request may still arrive later.
    TimeOut(Call),
    /// What the call came to is stored, in one transaction.
    Conclude(Call),
    /// The group loses its memory.
    Crash(Side),
    /// The consumer's ack reaches the group that it got the handle from.
    Ack,
    /// It reaches the chain's home.
    ForwardedAck,
    /// It never does.
    LoseAck,
    /// An operator resumes the parked chain.
    Resume(Side),
    /// Retention takes the message away.
    Remove,
}

/// All that can happen next.
pub(super) fn actions(world: &World, actions: &mut Vec<Action>) {
    for side in Side::BOTH {
        match world.disk(side).due_ms() {
            Some(due_ms) if due_ms > 0 => actions.push(Action::Expire(side)),
            Some(_) => actions.push(Action::TakeUp(side)),
            None => {}
        }
        // A crash that finds nothing in memory changes nothing.
        let at_work = world.calls.iter().any(|call| call.awaited && call.asks.by() == side);
        if world.left.crashes > 0 && at_work {
            actions.push(Action::Crash(side));
        }
        if world.left.resumes > 0 && world.disk(side).is_parked() {
            actions.push(Action::Resume(side));
        }
    }
    world.calls.iter().for_each(|call| actions_on(world, *call, actions));
    match world.ack {
        Ack::Unsent => actions.push(Action::Ack),
        Ack::Forwarded => {
            actions.push(Action::ForwardedAck);
            if world.left.losses > 0 {
                actions.push(Action::LoseAck);
            }
        }
        Ack::Over => {}
    }
    if world.left.removals > 0 {
        actions.push(Action::Remove);
    }
}

fn actions_on(world: &World, call: Call, actions: &mut Vec<Action>) {
    let can_lose = world.left.losses > 0;
    match call.answered {
        None => {
            actions.push(Action::Serve(call));
            if call.asks == Asks::Read && can_lose {
                actions.push(Action::ServeLagging(call));
            }
            if !call.awaited {
                actions.push(Action::Vanish(call));
            }
        }
        Some(_) => actions.push(Action::Conclude(call)),
    }
    if call.awaited && can_lose && call.answered != Some(Answered::Nothing) {
        actions.push(Action::TimeOut(call));
    }
}

/// A world in which a core decides.
pub(super) struct Stepping<'e> {
    pub(super) engine: &'e dyn Engine,
    pub(super) other: &'e dyn Engine,
    pub(super) world: World,
}

impl Stepping<'_> {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Expire(side) => self.expire(side),
            Action::TakeUp(side) => drop(self.take(side, Event::Due)),
            Action::Serve(call) => self.serve(call),
            Action::ServeLagging(call) => {
                self.world.left.losses -= 1;
                self.replace(call, Some(Call { answered: Some(Answered::NotFound), ..call }));
            }
            Action::Vanish(call) => self.replace(call, None),
            Action::TimeOut(call) => self.time_out(call),
            Action::Conclude(call) => self.conclude(call),
            Action::Crash(side) => self.crash(side),
            Action::Ack => self.ack(Side::Owner),
            Action::ForwardedAck => self.ack(Side::Home),
            Action::LoseAck => {
                self.world.left.losses -= 1;
                self.world.ack = Ack::Over;
            }
            Action::Resume(side) => {
                self.world.left.resumes -= 1;
                self.world.begun[side as usize] = 0;
                self.take(side, Event::Resumed);
            }
            Action::Remove => {
                self.world.left.removals -= 1;
                self.world.removed = true;
            }
        }
    }

    fn expire(&mut self, side: Side) {
        let disk = self.world.disk_mut(side);
        let Some(mut chain) = disk.chain().cloned() else { return };
        set_due(&mut chain.state, 0);
        disk.chain = Some(Kept::new(chain));
    }

    /// Lets the event happen to the group's chain, in one transaction with what belongs to it.
    fn take(&mut self, side: Side, event: Event) -> Option<Answer> {
        let before = self.world.disk(side).chain()?.clone();
        let engine = if side == Side::Owner { self.engine } else { self.other };
        let failures = before.history.failures + u32::from(is_failure(&before, &event, 0));
        let transition = engine.step(&before, event, 0);
        let after = transition.next.unwrap_or_else(|| before.clone());
        self.watch(&before, &after);
        self.world.seen.forgot |= after.history.failures != failures;
        self.store(side, after.clone());
        match transition.effect {
            Effect::None => {}
            Effect::ReadLocally => {
                self.world.begun[side as usize] += 1;
                let answered = if self.world.removed { Answered::BelowMinimum } else { Answered::Found };
                return self.take(side, read(&after, answered));
            }
            Effect::ReadRemotely => self.begin(side, Asks::Read, &after),
            Effect::HandOver => self.begin(side, Asks::HandOver, &after),
            Effect::Copy(_) => {
                self.world.disk_mut(side).copies += 1;
                let place = CopyPlace { topic: "r".into(), queue: 0, offset: 0 };
                self.store(side, end(after, 0, Outcome::Revived(place)));
            }
        }
        Some(transition.answer)
    }

    fn store(&mut self, side: Side, mut chain: Chain) {
        // When it began is told apart by nothing in this world: the policy has no total time.
        chain.round_began_ms = None;
        self.world.disk_mut(side).chain = Some(Kept::new(chain));
    }

    fn begin(&mut self, side: Side, asks: Asks, chain: &Chain) {
        self.world.begun[side as usize] += 1;
        let (round, attempt) = (chain.round, chain.attempt);
        self.add(Call { asks, round, attempt, answered: None, awaited: true });
    }

    /// Notes what the next state alone would not show.
    fn watch(&mut self, before: &Chain, after: &Chain) {
        let seen = &mut self.world.seen;
        let tried = after.attempt > before.attempt || after.history.failures > before.history.failures;
        seen.hot |= tried && after.due_ms().is_some_and(|due_ms| due_ms <= 0);
        let progress = |chain: &Chain| (chain.hop, chain.round, chain.attempt);
        let is_over = matches!(before.state, ChainState::Ended { .. } | ChainState::Moved { .. });
        seen.went_back |= progress(after) < progress(before) || (is_over && before != after);
    }

    /// The request takes effect where it arrives.
    fn serve(&mut self, call: Call) {
        let answered = match call.asks {
            Asks::Read if self.world.removed => Answered::BelowMinimum,
            Asks::Read => Answered::Found,
            Asks::HandOver => {
                self.adopt(call);
                Answered::Adopted
            }
        };
        self.replace(call, call.awaited.then_some(Call { answered: Some(answered), ..call }));
    }

    /// What [`crate::revive::steps::adopt::Adopt`] does with the checkpoint's chain.
    fn adopt(&mut self, call: Call) {
        let Some(owners) = self.world.owner.chain().cloned() else { return };
        if self.world.home.chain.is_some() {
            return;
        }
        let state = ChainState::Open { due_ms: INVISIBLE_MS };
        let (hop, history) = (1, History::default());
        let adopted = Chain { round: call.round, hop, attempt: 0, round_began_ms: None, state, history, ..owners };
        let met = std::mem::take(&mut self.world.home.early_ack);
        self.world.seen.met_early_ack |= met;
        self.store(Side::Home, if met { end(adopted, 0, Outcome::Acked) } else { adopted });
    }

    fn time_out(&mut self, call: Call) {
        self.world.left.losses -= 1;
        self.replace(call, Some(Call { answered: Some(Answered::Nothing), ..call }));
        self.leave_under_way(call);
    }

    /// A hand-over that nobody waits for any more may still arrive; a read would do nothing.
    fn leave_under_way(&mut self, call: Call) {
        if call.answered.is_none() && call.asks == Asks::HandOver {
            self.add(Call { awaited: false, ..call });
        }
    }

    fn conclude(&mut self, call: Call) {
        let Some(answered) = call.answered else { return };
        self.replace(call, None);
        let Some(mut chain) = self.world.disk(call.asks.by()).chain().cloned() else { return };
        (chain.round, chain.attempt) = (call.round, call.attempt);
        let event = match call.asks {
            Asks::Read => read(&chain, answered),
            Asks::HandOver => {
                let confirmed = answered == Answered::Adopted;
                let result = if confirmed { Ok(()) } else { Err(failure(Cause::Timeout)) };
                Event::Handed { round: call.round, attempt: call.attempt, result }
            }
        };
        self.take(call.asks.by(), event);
    }

    fn crash(&mut self, side: Side) {
        self.world.left.crashes -= 1;
        let (lost, kept) = std::mem::take(&mut self.world.calls)
            .into_iter()
            .partition::<Vec<Call>, _>(|call| call.awaited && call.asks.by() == side);
        self.world.calls = kept;
        lost.into_iter().for_each(|call| self.leave_under_way(call));
    }

    /// What [`crate::revive::steps::ack::Ack`] does, and the forwarding of an ack whose chain is elsewhere.
    fn ack(&mut self, side: Side) {
        let answer = self.take(side, Event::Acked);
        self.world.ack = Ack::Over;
        match answer {
            Some(Answer::Done) => self.world.told = Told::Absorbed,
            Some(Answer::TooLate) => self.world.told = Told::TooLate,
            Some(Answer::Elsewhere(_)) if side == Side::Owner => self.world.ack = Ack::Forwarded,
            Some(_) => {}
            // Kept until its checkpoint comes; the consumer is not told that it was absorbed.
            None => self.world.disk_mut(side).early_ack = true,
        }
    }

    fn add(&mut self, call: Call) {
        let place = self.world.calls.partition_point(|other| *other < call);
        self.world.calls.insert(place, call);
    }

    fn replace(&mut self, call: Call, by: Option<Call>) {
        if let Some(place) = self.world.calls.iter().position(|other| *other == call) {
            self.world.calls.remove(place);
        }
        by.into_iter().for_each(|call| self.add(call));
    }
}

/// The result of a read that was begun in the chain's present round and attempt.
fn read(chain: &Chain, answered: Answered) -> Event {
    let outcome = match answered {
        Answered::Found => ReadOutcome::Found(Box::new(message())),
        Answered::BelowMinimum => ReadOutcome::Gone(GoneProof::BelowMinimum { minimum: 9 }),
        Answered::NotFound => ReadOutcome::failed(failure(Cause::NotFound)),
        Answered::Adopted | Answered::Nothing => ReadOutcome::failed(failure(Cause::Timeout)),
    };
    Event::Read { round: chain.round, attempt: chain.attempt, outcome }
}

fn set_due(state: &mut ChainState, at_ms: i64) {
    if let ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. } = state {
        *due_ms = at_ms;
    }
}

/// The world just after the pop: the chain is stored as on its way, and the first request has left.
pub(super) fn beginning(mut chain: Chain, planned_ms: i64, left: Faults) -> World {
    let to = Side::Home.name().into();
    chain.attempt = 1;
    chain.state = ChainState::Moving { to, due_ms: planned_ms, revive_ms: INVISIBLE_MS };
    let call = Call { asks: Asks::HandOver, round: 0, attempt: 1, answered: None, awaited: true };
    World {
        owner: Disk { chain: Some(Kept::new(chain)), ..Disk::default() },
        home: Disk::default(),
        calls: vec![call],
        ack: Ack::Unsent,
        told: Told::Nothing,
        removed: false,
        left,
        begun: [1, 0],
        seen: super::world::Seen::default(),
    }
}
