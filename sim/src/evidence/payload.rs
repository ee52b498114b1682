//! Reading a log entry's payload: MessagePack with field names, kinds tagged from outside.

use rmpv::ValueRef;

use super::{
    entry::{
        Cause, ChainFact, ChainId, ChainState, CopyPlace, DurableEntry, Fact, FailedAttempt, Failure, GoneProof,
        Outcome, ParkReason, Position, TimerId,
    },
    fields::{Fields, Misread, Variant, number_of},
    message::StoredMessage,
};

impl DurableEntry {
    /// Reads an entry's payload. What is not understood becomes [`Fact::Unknown`], never an error: an oracle complains.
    #[must_use]
    pub fn read((term, index): (u64, u64), (checksum, length): (u32, u64), payload: &[u8]) -> Self {
        let whole = |at_ms, facts| Self { term, index, checksum, length, at_ms, facts };
        let unknown = |why: String| whole(0, vec![Fact::Unknown(why)]);
        let mut rest = payload;
        match rmpv::decode::read_value_ref(&mut rest) {
            Ok(_) if !rest.is_empty() => unknown(format!("{} bytes after the payload", rest.len())),
            Ok(value) => match contents(Position { term, index }, &value) {
                Ok((at_ms, facts)) => whole(at_ms, facts),
                Err(misread) => unknown(misread.to_string()),
            },
            Err(error) => unknown(error.to_string()),
        }
    }
}

/// When an entry was decided, and its facts; `place` is what its header calls it.
fn contents(place: Position, value: &ValueRef<'_>) -> Result<(i64, Vec<Fact>), Misread> {
    let fields = Fields::of(value, "entry")?;
    let mut facts: Vec<Fact> = fields.list("records")?.iter().map(fact).collect();
    let inside = position(fields.map("position")?)?;
    if inside != place {
        facts.push(Fact::Unknown(format!("its payload calls itself {}/{}", inside.term, inside.index)));
    }
    Ok((fields.number("at_ms")?, facts))
}

fn fact(value: &ValueRef<'_>) -> Fact {
    match Variant::of(value, "record") {
        Ok(variant) => read_fact(&variant).unwrap_or_else(|error| Fact::Unknown(format!("{}: {error}", variant.name))),
        Err(error) => Fact::Unknown(error.to_string()),
    }
}

fn read_fact(variant: &Variant<'_, '_>) -> Result<Fact, Misread> {
    let fields = variant.fields()?;
    Ok(match variant.name {
        "topic" => topic(fields)?,
        "topic-deleted" => Fact::TopicDeleted {
            name: fields.text("topic")?,
            epoch: position(fields.map("epoch")?)?,
            at: position(fields.map("at")?)?,
        },
        "group" => {
            let config = fields.map("config")?;
            Fact::Group { name: config.text("groupName")?, retry_max_times: config.number("retryMaxTimes")? }
        }
        "message" => message(fields)?,
        "timer" => match StoredMessage::read(fields.bytes("stored")?) {
            Ok((message, _)) => Fact::Timer { due_ms: fields.number("due_ms")?, message },
            Err(error) => Fact::Unknown(format!("timer: {error}")),
        },
        "timer-fired" => Fact::TimerFired {
            due_ms: fields.number("due_ms")?,
            index: fields.number("index")?,
            record: fields.number("record")?,
        },
        "timer-taken" => Fact::TimerTaken {
            group: fields.text("group")?,
            term: fields.number("term")?,
            timer: timer_id(fields.map("timer")?)?,
        },
        "timer-moved" => Fact::TimerMoved { timer: timer_id(fields.map("timer")?)?, to: fields.text("to")? },
        "offset" => Fact::Offset {
            group: fields.text("group")?,
            topic: fields.text("topic")?,
            queue: fields.number("queue")?,
            offset: fields.number("offset")?,
        },
        "offset-reset" => Fact::OffsetReset {
            group: fields.text("group")?,
            topic: fields.text("topic")?,
            queue: fields.number("queue")?,
            offset: fields.number("offset")?,
        },
        "chain" => Fact::Chain(Box::new(chain(fields)?)),
        "early-ack" => Fact::EarlyAck { id: chain_id(fields.map("id")?)?, until_ms: fields.number("until_ms")? },
        "early-ack-dropped" => Fact::EarlyAckDropped { id: chain_id(fields.map("id")?)? },
        "set-aside" => Fact::SetAside { tag: fields.text("tag")?, reason: fields.text("reason")? },
        "sent" => Fact::Sent {
            topic: fields.text("topic")?,
            key: fields.text("key")?,
            queue: fields.number("queue")?,
            offset: fields.number("offset")?,
            expires_ms: fields.number("expires_ms")?,
        },
        "expired" => Fact::Expired { broker: fields.text("broker")?, before: fields.number("before")? },
        "forgotten" => {
            let chains = fields.list("chains")?.iter();
            let id = |chain| chain_id(Fields::of(chain, "chains")?.map("id")?);
            Fact::Forgotten { chains: chains.map(id).collect::<Result<_, _>>()? }
        }
        "sealed" => Fact::Sealed {
            group: fields.text("group")?,
            term: fields.number("term")?,
            member: fields.number("member")?,
        },
        "merged" => Fact::Merged { group: fields.text("group")?, term: fields.number("term")? },
        other => Fact::Unknown(other.to_owned()),
    })
}

/// The delayed messages that a TAKE_TIMERS hands over; `None` when its body is not understood.
#[must_use]
pub fn timers_handed_over(body: &[u8]) -> Option<Vec<TimerId>> {
    let value = rmpv::decode::read_value_ref(&mut &*body).ok()?;
    let ValueRef::Array(timers) = &value else { return None };
    let id = |timer| timer_id(Fields::of(timer, "timer").ok()?.map("id").ok()?).ok();
    timers.iter().map(id).collect()
}

fn timer_id(fields: Fields<'_, '_>) -> Result<TimerId, Misread> {
    Ok(TimerId { due_ms: fields.number("due_ms")?, index: fields.number("index")?, record: fields.number("record")? })
}

fn topic(fields: Fields<'_, '_>) -> Result<Fact, Misread> {
    let config = fields.map("config")?;
    Ok(Fact::Topic {
        name: config.text("topicName")?,
        perm: config.number("perm")?,
        read_queues: config.number("readQueueNums")?,
        write_queues: config.number("writeQueueNums")?,
        epoch: position(fields.map("epoch")?)?,
    })
}

fn message(fields: Fields<'_, '_>) -> Result<Fact, Misread> {
    let place = (fields.text("topic")?, fields.number("queue")?, fields.number("offset")?);
    Ok(match StoredMessage::read(fields.bytes("stored")?) {
        Ok((message, _)) if (&message.topic, message.queue, message.offset) == (&place.0, place.1, place.2) => {
            Fact::Message(message)
        }
        Ok((message, _)) => Fact::Unknown(format!(
            "message of {}/{}/{} recorded as {}/{}/{}",
            message.topic, message.queue, message.offset, place.0, place.1, place.2
        )),
        Err(error) => Fact::Unknown(format!("message {}/{}/{}: {error}", place.0, place.1, place.2)),
    })
}

fn position(fields: Fields<'_, '_>) -> Result<Position, Misread> {
    Ok(Position { term: fields.number("term")?, index: fields.number("index")? })
}

fn chain_id(fields: Fields<'_, '_>) -> Result<ChainId, Misread> {
    Ok(ChainId {
        broker: fields.text("broker")?,
        topic: fields.text("topic")?,
        queue: fields.number("queue")?,
        offset: fields.number("offset")?,
        group: fields.text("group")?,
        pop_time: fields.number("pop_time")?,
        term: fields.number("term")?,
    })
}

/// RocketMQ's default number of redeliveries, for chains that do not say.
const DEFAULT_RECONSUME_LIMIT: i32 = 16;

fn chain(fields: Fields<'_, '_>) -> Result<ChainFact, Misread> {
    let epoch = fields.get("topic_epoch").map(|value| position(Fields::of(value, "topic_epoch")?));
    let acted_for = fields.get("acted_for").map(|value| {
        let acting = Fields::of(value, "acted_for")?;
        Ok((acting.text("group")?, acting.number("term")?))
    });
    let history = fields.get("history").map(|value| Fields::of(value, "history")).transpose()?;
    let (failures, first_failed_ms, latest) = match history {
        Some(history) => {
            let latest = history.list("latest")?.iter().map(failed_attempt);
            let first_ms = history.get("first_ms").map(|_| history.number("first_ms")).transpose()?;
            (history.number("failures")?, first_ms, latest.collect::<Result<_, _>>()?)
        }
        None => (0, None, Vec::new()),
    };
    Ok(ChainFact {
        id: chain_id(fields.map("id")?)?,
        epoch: epoch.transpose()?.unwrap_or_default(),
        invisible_ms: fields.number("invisible_ms")?,
        reconsume_limit: fields.number_or("reconsume_limit", DEFAULT_RECONSUME_LIMIT)?,
        round: fields.number_or("round", 0)?,
        hop: fields.number_or("hop", 0)?,
        generation: fields.number_or("generation", 0)?,
        attempt: fields.number_or("attempt", 0)?,
        acted_for: acted_for.transpose()?,
        state: state(&fields.variant("state")?)?,
        failures,
        first_failed_ms,
        latest,
    })
}

fn state(variant: &Variant<'_, '_>) -> Result<ChainState, Misread> {
    let fields = variant.fields()?;
    Ok(match variant.name {
        "open" => ChainState::Open { due_ms: fields.number("due_ms")? },
        "moving" => ChainState::Moving {
            to: fields.text("to")?,
            due_ms: fields.number("due_ms")?,
            revive_ms: fields.number("revive_ms")?,
        },
        "moved" => ChainState::Moved { to: fields.text("to")? },
        "parked" => {
            ChainState::Parked { reason: park_reason(&fields.variant("reason")?)?, at_ms: fields.number("at_ms")? }
        }
        "ended" => ChainState::Ended { outcome: outcome(&fields.variant("outcome")?)?, at_ms: fields.number("at_ms")? },
        other => return Err(Misread { field: other.to_owned(), expected: "a known state" }),
    })
}

fn park_reason(variant: &Variant<'_, '_>) -> Result<ParkReason, Misread> {
    Ok(match variant.name {
        "policy-exhausted" => ParkReason::PolicyExhausted,
        "permanent" => ParkReason::Permanent,
        "unknown-at" => ParkReason::UnknownAt { broker: variant.fields()?.text("broker")? },
        other => return Err(Misread { field: other.to_owned(), expected: "a known park reason" }),
    })
}

fn outcome(variant: &Variant<'_, '_>) -> Result<Outcome, Misread> {
    Ok(match variant.name {
        "acked" => Outcome::Acked,
        "revived" => Outcome::Revived(copy_place(variant.fields()?)?),
        "dead-lettered" => Outcome::DeadLettered(copy_place(variant.fields()?)?),
        "gone" => Outcome::Gone(gone_proof(&Variant::of(variant.content()?, "gone")?)?),
        "superseded" => Outcome::Superseded(chain_id(variant.fields()?)?),
        "reset" => Outcome::Reset,
        other => return Err(Misread { field: other.to_owned(), expected: "a known outcome" }),
    })
}

fn copy_place(fields: Fields<'_, '_>) -> Result<CopyPlace, Misread> {
    Ok(CopyPlace { topic: fields.text("topic")?, queue: fields.number("queue")?, offset: fields.number("offset")? })
}

fn gone_proof(variant: &Variant<'_, '_>) -> Result<GoneProof, Misread> {
    let fields = variant.fields()?;
    Ok(match variant.name {
        "below-minimum" => GoneProof::BelowMinimum { minimum: fields.number("minimum")? },
        "topic-deleted" => GoneProof::TopicDeleted { at: position(fields.map("at")?)? },
        "topic-recreated" => GoneProof::TopicRecreated { epoch: position(fields.map("epoch")?)? },
        other => return Err(Misread { field: other.to_owned(), expected: "a known proof" }),
    })
}

fn failed_attempt(value: &ValueRef<'_>) -> Result<FailedAttempt, Misread> {
    let fields = Fields::of(value, "failed attempt")?;
    let failure = fields.map("failure")?;
    let cause = failure.variant("cause")?;
    let number = match cause.content() {
        Ok(content) => number_of(content).or_else(|| cause.fields().ok()?.number("offset").ok()),
        Err(_) => None,
    };
    Ok(FailedAttempt {
        round: fields.number("round")?,
        attempt: fields.number("attempt")?,
        at_ms: fields.number("at_ms")?,
        failure: Failure {
            cause: Cause { name: cause.name.to_owned(), number },
            peer: failure.text("peer")?,
            took_ms: failure.number("took_ms")?,
        },
    })
}
