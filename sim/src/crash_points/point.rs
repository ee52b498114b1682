//! A place in a run where a node can lose power, addressed by event.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::{
    plan::{NodeName, SimMs},
    scenario::{Draw, FaultKind, FaultSpec, MomentSpec},
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The node's disk syncs; the crash comes before the sync takes effect.
    BeforeSync,
    /// The same; the crash comes right after it took effect, before anybody can be told.
    AfterSync,
    /// A request of the node leaves; the crash comes right after.
    Request,
    /// An answer of the node is about to leave; it never does.
    Answer,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::BeforeSync, Self::AfterSync, Self::Request, Self::Answer];

    /// Its name in the text of a point.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeSync => "before-sync",
            Self::AfterSync => "after-sync",
            Self::Request => "request",
            Self::Answer => "answer",
        }
    }
}

/// One place in a run: the n-th event of its kind at one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// Who loses power.
    pub node: NodeName,
    /// At what.
    pub kind: Kind,
    /// Which, from 1, over the whole run and all incarnations of the node.
    pub nth: u64,
}

impl Point {
    /// The fault that loses power here.
    #[must_use]
    pub fn crash(&self, down_ms: SimMs) -> FaultSpec {
        let (from, to, code, nth) = (Some(self.node.clone()), None, None, Draw::exactly(self.nth));
        let when = match self.kind {
            Kind::BeforeSync => MomentSpec::BeforeSync(nth),
            Kind::AfterSync => MomentSpec::AfterSync(nth),
            Kind::Request => MomentSpec::OnRequest { from, to, code, nth },
            Kind::Answer => MomentSpec::OnAnswer { from, to, code, nth },
        };
        let what = FaultKind::Crash { node: self.node.clone(), when, down: Draw::exactly(down_ms) };
        FaultSpec { name: Some(format!("crash point {self}")), repeat: Draw::exactly(1), what }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.node, self.kind.name(), self.nth)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.split(':');
            let (node, kind, nth) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
            let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
            (parts.next().is_none() && !node.is_empty()).then(|| Self { node: node.to_owned(), kind, nth })
        };
        read().ok_or_else(|| {
            let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("accepted: NODE:KIND:N with one of {}, such as broker-b:after-sync:17", kinds.join(", "))
        })
    }
}

/// One point, or two of which the second lies in a run that crashed at the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points {
    /// The first.
    pub first: Point,
    /// The second.
    pub second: Option<Point>,
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.second {
            None => self.first.fmt(f),
            Some(second) => write!(f, "{}+{second}", self.first),
        }
    }
}

impl FromStr for Points {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('+') {
            None => Ok(Self { first: text.parse()?, second: None }),
            Some((first, second)) => Ok(Self { first: first.parse()?, second: Some(second.parse()?) }),
        }
    }
}

impl Serialize for Points {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn points_are_read_as_they_are_written() {
        for text in ["broker-b:after-sync:17", "namesrv:answer:1", "a:before-sync:3+b:request:4"] {
            assert_eq!(text.parse::<Points>().unwrap().to_string(), text);
        }
        for wrong in ["", "a", "a:answer", "a:answer:x", ":answer:1", "a:answers:1", "a:answer:1:2", "a:answer:1+"] {
            assert!(wrong.parse::<Points>().unwrap_err().contains("accepted"), "{wrong}");
        }
    }
}
