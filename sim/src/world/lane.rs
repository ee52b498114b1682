//! One direction of a connection: frames on their way, in order, each due at its own time.

use std::{
    collections::VecDeque,
    task::{Context, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::{connection::Parting, tap::FrameFacts};

/// How many bytes may be under way before the writer has to wait.
const WINDOW: usize = 8 * 1024 * 1024;

/// What travels.
#[derive(Debug)]
pub(super) enum Load {
    /// Bytes that were flushed together; the facts are there when they are a frame, and go when reading begins.
    Frame(Bytes, Option<Box<FrameFacts>>),
    /// The end.
    End(Parting),
}

/// What a reader met.
#[derive(Debug)]
pub(super) enum Taken {
    /// Bytes were read; the facts are those of the frame that was begun.
    Bytes(Option<Box<FrameFacts>>),
    End(Parting),
    /// Nothing is due; an alarm has to be set when one is given.
    Nothing(Option<Alarm>),
}

/// To be woken at a time.
#[derive(Debug)]
pub(super) struct Alarm {
    pub(super) at: Duration,
    pub(super) waker: Waker,
}

#[derive(Debug)]
pub(super) struct Lane {
    queue: VecDeque<(Duration, Load)>,
    /// Bytes in the queue.
    under_way: usize,
    /// When the last thing sent is due, but for what is late: nothing overtakes it.
    last_due: Duration,
    ended: Option<Parting>,
    /// When the reader's side learns that the connection is reset.
    reset_at: Option<Duration>,
    /// When the alarm that is set will go off.
    alarm_at: Option<Duration>,
    alarm: Waker,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    /// An empty lane; `alarm` leads back to [`Lane::ring`].
    pub(super) fn new(alarm: Waker) -> Self {
        Self {
            queue: VecDeque::new(),
            under_way: 0,
            last_due: Duration::ZERO,
            ended: None,
            reset_at: None,
            alarm_at: None,
            alarm,
            reader: None,
            writer: None,
        }
    }

    /// Sends `load`, due at `due` or when what was sent before is due.
    pub(super) fn post(&mut self, load: Load, due: Duration) -> Option<Alarm> {
        if self.reset_at.is_some() {
            return None; // nothing comes after a reset
        }
        self.last_due = self.last_due.max(due);
        match &load {
            Load::Frame(bytes, _) => self.under_way += bytes.len(),
            Load::End(Parting::Reset) => self.reset_at = Some(self.last_due),
            Load::End(Parting::Close) => {}
        }
        self.enter(load, self.last_due)
    }

    /// Sends a frame that arrives at `due`, while what is sent after it may arrive before.
    pub(super) fn post_late(&mut self, bytes: Bytes, facts: Option<Box<FrameFacts>>, due: Duration) -> Option<Alarm> {
        if self.reset_at.is_some() {
            return None;
        }
        self.under_way += bytes.len();
        self.enter(Load::Frame(bytes, facts), due.max(self.last_due))
    }

    /// Lines it up before what is due later. A frame that is being read is due already, and stays in front.
    fn enter(&mut self, load: Load, due: Duration) -> Option<Alarm> {
        let at = self.queue.partition_point(|(queued, _)| *queued <= due);
        self.queue.insert(at, (due, load));
        if self.reader.is_some() { self.next_alarm() } else { None }
    }

    fn next_alarm(&mut self) -> Option<Alarm> {
        let at = self.queue.front()?.0;
        if self.alarm_at == Some(at) {
            return None;
        }
        self.alarm_at = Some(at);
        Some(Alarm { at, waker: self.alarm.clone() })
    }

    /// Reads what is due into `buf`; the second part is the writer to wake.
    pub(super) fn take(&mut self, now: Duration, buf: &mut ReadBuf<'_>, cx: &Context<'_>) -> (Taken, Option<Waker>) {
        if let Some(how) = self.ended {
            return (Taken::End(how), None);
        }
        let due = self.queue.front_mut().filter(|(due, _)| *due <= now);
        let Some((_, load)) = due else {
            match &self.reader {
                Some(reader) if reader.will_wake(cx.waker()) => {}
                _ => self.reader = Some(cx.waker().clone()),
            }
            return (Taken::Nothing(self.next_alarm()), None);
        };
        match load {
            Load::End(how) => {
                let how = *how;
                self.ended = Some(how);
                self.queue.clear();
                (Taken::End(how), None)
            }
            Load::Frame(bytes, facts) => {
                let facts = facts.take();
                let read = bytes.len().min(buf.remaining());
                buf.put_slice(&bytes[..read]);
                bytes.advance(read);
                if bytes.is_empty() {
                    self.queue.pop_front();
                }
                self.under_way -= read;
                let writer = if self.under_way < WINDOW { self.writer.take() } else { None };
                (Taken::Bytes(facts), writer)
            }
        }
    }

    /// The alarm went off: gives the reader to wake.
    pub(super) fn ring(&mut self) -> Option<Waker> {
        self.alarm_at = None;
        self.reader.take()
    }

    /// Whether a writer may begin another frame; if not it is woken when it may.
    pub(super) fn has_room(&mut self, cx: &Context<'_>) -> bool {
        let room = self.under_way < WINDOW;
        if !room {
            self.writer = Some(cx.waker().clone());
        }
        room
    }

    /// Whether the side that reads this lane knows by `now` that the connection was reset.
    pub(super) fn is_reset(&self, now: Duration) -> bool {
        self.ended == Some(Parting::Reset) || self.reset_at.is_some_and(|at| at <= now)
    }

    /// Nobody reads any more: drops everything and gives the writer to wake.
    pub(super) fn abandon(&mut self) -> Option<Waker> {
        self.queue.clear();
        self.under_way = 0;
        self.reader = None;
        self.writer.take()
    }
}
