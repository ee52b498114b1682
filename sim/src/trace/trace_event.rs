//! The Trace Event Format, as far as it is needed: what ui.perfetto.dev and chrome://tracing open.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

/// A whole trace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trace<'r> {
    pub(super) display_time_unit: &'static str,
    /// Whatever else is known of what was traced.
    pub(super) other_data: BTreeMap<&'r str, &'r str>,
    pub(super) trace_events: Vec<TraceEvent<'r>>,
}

/// One event.
#[derive(Debug, Serialize)]
pub(super) struct TraceEvent<'r> {
    pub(super) name: Cow<'r, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cat: Option<&'static str>,
    pub(super) ph: Phase,
    /// Microseconds.
    pub(super) ts: u64,
    pub(super) pid: usize,
    pub(super) tid: usize,
    /// By what the beginning and the end of an asynchronous slice find each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// How far an instant reaches.
    #[serde(skip_serializing_if = "Option::is_none", rename = "s")]
    pub(super) scope: Option<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<Args<'r>>,
}

/// What an event is to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Phase {
    /// A slice of a track begins; slices of one track lie within each other.
    #[serde(rename = "B")]
    Begin,
    /// The innermost slice of a track ends.
    #[serde(rename = "E")]
    End,
    /// A slice begins that others may overlap.
    #[serde(rename = "b")]
    AsyncBegin,
    /// Such a slice ends.
    #[serde(rename = "e")]
    AsyncEnd,
    #[serde(rename = "i")]
    Instant,
    /// The name or the order of a process or a track.
    #[serde(rename = "M")]
    Metadata,
}

/// How far an instant reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Scope {
    #[serde(rename = "g")]
    Global,
    #[serde(rename = "t")]
    Track,
}

/// What a viewer shows of an event that is selected.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Args<'r> {
    Name {
        name: &'r str,
    },
    Order {
        sort_index: usize,
    },
    /// As the timeline tells it.
    Told {
        told: String,
    },
    Asked {
        to: &'r str,
        connection: u64,
        opaque: i32,
        bytes: usize,
        told: String,
    },
    Answered {
        answer: Cow<'static, str>,
        code: i32,
        bytes: usize,
        /// When the caller began to read it; `None` if it never did, or not before the end.
        arrived_ms: Option<u64>,
        /// `None` when the answer itself is not shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        told: Option<String>,
    },
    Unanswered {
        answer: (),
        why: Cow<'r, str>,
    },
    Ended {
        ended: &'r str,
    },
    Violated {
        promise: &'static str,
        subject: &'r str,
        detail: &'r str,
    },
}
