//! The values that options take, each read from its text with an error that says what is accepted.

use std::{num::NonZero, ops::Range, str::FromStr, time::Duration};

use clap::ValueEnum;

use crate::{
    history::LedgerId,
    sabotages::{SABOTAGES, by_name},
};

/// The engines there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The reviver of this repository.
    #[default]
    Ours,
}

impl Engine {
    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
        }
    }
}

/// How a sweep is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table, for people.
    #[default]
    Table,
    /// One JSON object per seed, then a summary.
    Json,
    /// JUnit XML, for build servers.
    Junit,
}

/// How a replay is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Trace {
    /// Lines of text.
    #[default]
    Text,
    /// A page for a browser: a lane for each node, filters, links from each violation to its moment.
    Html,
    /// Trace events, for ui.perfetto.dev and chrome://tracing.
    Perfetto,
}

impl Trace {
    /// The file of a timeline that is told so.
    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::Text => "timeline.txt",
            Self::Html => "timeline.html",
            Self::Perfetto => "timeline.json",
        }
    }
}

/// A span of seeds; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "accepted: a number of seeds such as 200, or a half-open range such as 5..10".to_owned();
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let seeds = match text.split_once("..") {
            Some((from, to)) => number(from)?..number(to)?,
            None => 1..number(text)?.checked_add(1).ok_or_else(wrong)?,
        };
        if seeds.is_empty() { Err(format!("no seed is in it; {}", wrong())) } else { Ok(Self(seeds)) }
    }
}

/// A share of a sweep, so that several machines can divide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    number: u64,
    /// Of how many.
    of: u64,
}

impl Shard {
    /// The whole sweep.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Which it is, from 1, and of how many.
    #[must_use]
    pub const fn numbers(self) -> (u64, u64) {
        (self.number, self.of)
    }

    /// Whether the share has the n-th run of the sweep, counted from 0.
    #[must_use]
    pub const fn has(self, n: u64) -> bool {
        n % self.of == self.number - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if 1 <= number && number <= of => Ok(Self { number, of }),
            _ => Err("accepted: I/N with 1 <= I <= N, such as 2/4 for the second quarter".into()),
        }
    }
}

/// A number of threads.
pub(crate) fn jobs(text: &str) -> Result<NonZero<usize>, String> {
    let jobs = text.parse().ok().filter(|jobs: &NonZero<usize>| jobs.get() <= 1024);
    jobs.ok_or_else(|| "accepted: a number of threads, 1 to 1024".into())
}

/// A number of futures: two or more, or a moment would be doomed by one draw.
pub(super) fn futures(text: &str) -> Result<NonZero<u64>, String> {
    let futures = text.parse().ok().filter(|futures: &NonZero<u64>| (2..=1024).contains(&futures.get()));
    futures.ok_or_else(|| "accepted: a number of futures, 2 to 1024".into())
}

/// A length of time.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; accepted: a time such as 90s, 10m or 2h30m"))
}

/// The name of a planted defect.
pub(super) fn sabotage(text: &str) -> Result<&'static str, String> {
    let known = || SABOTAGES.iter().map(|sabotage| sabotage.name).collect::<Vec<_>>().join(", ");
    by_name(text).map(|sabotage| sabotage.name).ok_or_else(|| format!("accepted: {}", known()))
}

/// The stamp of a message; whether a run has it shows only when it is run.
pub(super) fn ledger_id(text: &str) -> Result<LedgerId, String> {
    match text.split_once('#') {
        Some((producer, number)) if !producer.is_empty() && !number.is_empty() => Ok(LedgerId(text.into())),
        _ => Err("accepted: the stamp of a message as biographies show it, such as producer-1#000017".into()),
    }
}

/// A fingerprint, as reports print it.
pub(crate) fn fingerprint(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let sound = text.len() == 16 && text.chars().all(|c| c.is_ascii_hexdigit());
    if sound { Ok(text) } else { Err("accepted: 16 hex digits".into()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn seeds_are_a_number_or_a_half_open_range() {
        assert_eq!("20".parse::<Seeds>().unwrap().0, 1..21);
        assert_eq!("5..10".parse::<Seeds>().unwrap().0, 5..10);
        for wrong in ["0", "5..5", "10..5", "", "..", "-3", "x", "18446744073709551615"] {
            assert!(wrong.parse::<Seeds>().unwrap_err().contains("accepted"), "{wrong}");
        }
    }

    #[test]
    fn shards_divide_a_sweep() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].iter().map(|text| text.parse().unwrap()).collect();
        for n in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has(n)).count(), 1);
        }
        assert!(Shard::WHOLE.has(7));
        for wrong in ["0/3", "4/3", "1", "1/0", "/", "a/b"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("accepted"), "{wrong}");
        }
    }

    #[test]
    fn jobs_and_fingerprints_are_checked() {
        assert_eq!(jobs("2").unwrap().get(), 2);
        assert!(jobs("0").is_err() && jobs("99999").is_err());
        assert_eq!(fingerprint("0123456789ABCDEF").unwrap(), "0123456789abcdef");
        assert!(fingerprint("xyz").is_err());
    }
}
