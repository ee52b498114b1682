//! A group that keeps what another group's slave does in its master's place takes delayed messages that fall due
//! meanwhile, and lists them for that master when it is back.

use super::{refusal::Refusal, shared::Shared, take_back::natural};
use crate::{
    model::{
        checkpoint::ActingTerm,
        message::Message,
        timer::{DueTimer, TimerId},
        topic::{check_group_name, check_topic_name},
    },
    remoting::{
        Command,
        code::response,
        headers::{ListTakenTimersHeader, ListTakenTimersResponseHeader, TakeTimersHeader},
    },
    revive::steps::take_timers::{TakeTimers, Taken},
    store::{StoreError, Tables},
};

/// Most delayed messages listed in one answer.
const LISTED_MAX: usize = 10_000;

impl Shared {
    /// Serves TAKE_TIMERS for a member of another group.
    pub(super) async fn take_timers(&self, request: &Command) -> Result<Command, Refusal> {
        let header: TakeTimersHeader = request.header()?;
        let acting = ActingTerm { group: self.other_group(header.group_name)?, term: natural("term", header.term)? };
        let timers: Vec<DueTimer> =
            rmp_serde::from_slice(&request.body).map_err(|error| Refusal::Body(error.to_string()))?;
        let timers = timers.into_iter().map(readable).collect::<Result<Vec<_>, Refusal>>()?;
        let store_host = self.home.store_host;
        if let Taken::Sealed { term } = self.store.submit(TakeTimers { acting, timers, store_host }).await? {
            return Err(Refusal::Sealed { term });
        }
        // Confirmed only once a consumer can find them.
        self.registration.published().await.map_err(Refusal::NotRouted)?;
        Ok(Command::response(response::SUCCESS))
    }

    /// Serves LIST_TAKEN_TIMERS for a member of another group.
    pub(super) fn list_taken_timers(&self, request: &Command) -> Result<Command, Refusal> {
        let header: ListTakenTimersHeader = request.header()?;
        let group = self.other_group(header.group_name)?;
        let limit = usize::try_from(header.limit).unwrap_or(0).clamp(1, LISTED_MAX);
        let taken = self.store.view()?.taken_timers(&group, header.after, limit)?;
        let fields = ListTakenTimersResponseHeader { more: taken.len() == limit };
        let body = rmp_serde::to_vec_named(&taken).map_err(StoreError::from)?;
        Ok(Command::response(response::SUCCESS).with_header(&fields).with_body(body))
    }
}

/// A delayed message with what it reads, for a topic that may have messages.
fn readable(timer: DueTimer) -> Result<(DueTimer, Message), Refusal> {
    let TimerId { due_ms, index, record } = timer.id;
    let unreadable = |reason: String| Refusal::Body(format!("timer {due_ms}/{index}/{record}: {reason}"));
    let message = Message::decode(&mut timer.stored.clone()).map_err(|error| unreadable(error.to_string()))?;
    check_topic_name(&message.topic).map_err(|error| unreadable(error.to_string()))?;
    for group in &timer.groups {
        check_group_name(group).map_err(|error| unreadable(error.to_string()))?;
    }
    Ok((timer, message))
}
