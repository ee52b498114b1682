//! What a consumer will do with a message, decided once per message and redelivery.

use std::time::Duration;

use rand::RngExt;

use crate::{history::Delivery, random::Streams, scenario::Consumer};

/// A consumer's habits.
///
/// Each decision has a random stream of its own, named by the message and its reconsume count: in which order messages
/// come, and how often, changes no decision.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    streams: Streams,
    ack: f64,
    ack_retries: f64,
    late_ack: f64,
    renew: f64,
    repeat_ack: f64,
    repeat_after: Duration,
}

/// What becomes of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    /// When it is acked.
    pub(super) ack: AckTime,
    /// Whether it is renewed before that; none is that is acked late.
    pub(super) renews: bool,
    /// How long after its ack it is acked again, if it is.
    pub(super) repeats_after: Option<Duration>,
}

/// When a delivery is acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AckTime {
    /// After the think time.
    InTime,
    /// After the invisible time has run out.
    Late,
    /// Not at all.
    Never,
}

/// How a slave of Apache's passes an ack on that came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassedOn {
    /// By a message of its own, before the checkpoint.
    Before,
    /// In the checkpoint itself.
    Within,
    /// By a message of its own, after the checkpoint.
    After,
}

impl Habits {
    /// The habits of `spec`, with decisions from `streams`.
    pub(super) fn new(spec: &Consumer, streams: Streams) -> Self {
        Self {
            streams,
            ack: spec.ack,
            ack_retries: spec.ack_retries,
            late_ack: spec.late_ack,
            renew: spec.renew,
            repeat_ack: spec.repeat_ack,
            repeat_after: Duration::from_millis(spec.repeat_after_ms),
        }
    }

    /// Decides how an ack of a message is passed on.
    pub(super) fn passed_on(&self, delivery: &Delivery) -> PassedOn {
        let Delivery { ledger, topic, queue, offset, .. } = delivery;
        let name = match ledger {
            Some(ledger) => format!("passed-on/{ledger}"),
            None => format!("passed-on/{topic}/{queue}/{offset}"),
        };
        match self.streams.stream(&name).random_range(0..3) {
            0 => PassedOn::Before,
            1 => PassedOn::Within,
            _ => PassedOn::After,
        }
    }

    /// Decides; the same message and reconsume count always come to the same.
    pub(super) fn fate(&self, delivery: &Delivery) -> Fate {
        let Delivery { ledger, topic, queue, offset, reconsume, .. } = delivery;
        let name = match ledger {
            Some(ledger) => format!("fate/{ledger}/{reconsume}"),
            None => format!("fate/{topic}/{queue}/{offset}/{reconsume}"),
        };
        let mut rng = self.streams.stream(&name);
        let (in_time, late) = if *reconsume == 0 { (self.ack, self.late_ack) } else { (self.ack_retries, 0.0) };
        let (when, renew, repeat): (f64, f64, f64) = rng.random();
        let ack = match when {
            when if when < in_time => AckTime::InTime,
            when if when < in_time + late => AckTime::Late,
            _ => AckTime::Never,
        };
        let repeats_after = self.repeat_after * rng.random_range(500..=1500) / 1000;
        Fate {
            ack,
            renews: ack != AckTime::Late && renew < self.renew,
            repeats_after: (ack != AckTime::Never && repeat < self.repeat_ack).then_some(repeats_after),
        }
    }
}
