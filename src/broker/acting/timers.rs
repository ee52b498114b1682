//! Hands delayed messages that fall due over to the group that keeps what is done here: it delivers them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use super::{Failed, Term};
use crate::{
    broker::{shared::Shared, timer::is_there},
    buggify,
    model::{
        message::Message,
        record::Record,
        timer::{DueTimer, TimerId},
    },
    remote::hand_over::NotTaken,
    sabotage, sometimes,
    store::{StoreError, Tables},
};

/// How many delayed messages are handed over together.
const BATCH: usize = 64;
/// Bodies of one request together, bytes, at which no further message is added.
const BATCH_BYTES: usize = 1 << 20;

/// The groups that are consuming a topic: to find them is to look at every offset there is.
type GroupsByTopic = BTreeMap<String, Vec<String>>;

/// Hands over every delayed message that is due; tells when the next one is.
pub(super) async fn hand_due_timers(shared: &Shared, term: &Arc<Term>) -> Result<Option<i64>, Failed> {
    let (mut seen_to, mut groups) = (None, GroupsByTopic::new());
    loop {
        let part = {
            let view = shared.store.view()?;
            let now_ms = if sabotage!("timers-by-another-clock") {
                shared.host.clock.now_ms()
            } else {
                shared.now_at_master_ms()
            };
            Part::look((term, &mut groups), &view, seen_to, now_ms)?
        };
        if !part.due.is_empty() && !sabotage!("acting-keeps-timers") {
            match shared.neighbours.hand_timers_over(&term.target, &part.due, &term.acting).await {
                Ok(()) => {
                    sometimes!("acting-hands-timers");
                    term.known().timers.extend(part.due.iter().map(|timer| timer.id));
                }
                Err(NotTaken::Sealed { .. }) => {
                    sometimes!("acting-timers-sealed", shared.acting.end(term));
                    return Ok(part.next_ms);
                }
                Err(NotTaken::Failed(failure)) => {
                    return sometimes!("acting-timers-not-handed", Err(Failed::Target(failure)));
                }
            }
        }
        if part.seen_to.is_none() {
            return Ok(part.next_ms);
        }
        seen_to = part.seen_to;
    }
}

/// A part of the list of delayed messages.
struct Part {
    /// What is due in it and has not been handed over.
    due: Vec<DueTimer>,
    /// Where the next part begins; `None` if nothing more is due.
    seen_to: Option<TimerId>,
    /// When the first one after it is due.
    next_ms: Option<i64>,
}

impl Part {
    fn look(
        (term, groups): (&Term, &mut GroupsByTopic),
        view: &impl Tables,
        after: Option<TimerId>,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        let mut part = Self { due: Vec::new(), seen_to: None, next_ms: None };
        let mut bytes = 0;
        let batch = buggify!("hands-one-timer", 1, BATCH);
        for timer in view.timers_after(after, BATCH)? {
            if timer.due_ms > now_ms {
                return Ok(Self { seen_to: None, next_ms: Some(timer.due_ms), ..part });
            }
            if part.due.len() >= batch || bytes >= BATCH_BYTES {
                return Ok(part);
            }
            part.seen_to = Some(timer);
            if term.known().timers.contains(&timer) {
                continue;
            }
            if let Some(due) = due_timer((term, groups), view, timer)? {
                bytes += due.stored.len();
                part.due.push(due);
            }
        }
        Ok(part)
    }
}

/// What is to be handed over of one that is due. One that cannot be read, or whose topic is not there any more, is left to
/// the master: nobody is to get it.
fn due_timer(
    (term, groups): (&Term, &mut GroupsByTopic),
    view: &impl Tables,
    id: TimerId,
) -> Result<Option<DueTimer>, StoreError> {
    let Some(Record::Timer { stored, epoch, .. }) = view.record_at(id.index, id.record)? else {
        return sometimes!("acting-timer-dangles", Ok(None));
    };
    let Ok(message) = Message::decode(&mut stored.clone()) else { return Ok(None) };
    if !is_there(view, &message.topic, epoch)? {
        return sometimes!("acting-timer-of-deleted-topic", Ok(None));
    }
    let groups = match groups.entry(message.topic) {
        Entry::Occupied(known) => sometimes!("acting-timer-groups-known", known.into_mut()),
        Entry::Vacant(unknown) => {
            let mut groups = view.groups_in(unknown.key())?;
            groups.extend(term.groups_in(unknown.key()));
            sometimes!("acting-timer-groups-found", unknown.insert(groups.into_iter().collect()))
        }
    };
    Ok(Some(DueTimer { id, stored, groups: groups.clone() }))
}
