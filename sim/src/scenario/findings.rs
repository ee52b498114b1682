//! Collects all that is wrong with one file, and checks single values: names, numbers, shares, times.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::error::{Place, Problem, ScenarioError};
use super::faults::Draw;
use super::shapes::{Located, NameOrNumber, OneOrRange, Time};
use crate::plan::SimMs;

/// Longer times are taken for slips of the pen.
const LONGEST_MS: SimMs = 366 * 24 * 3_600_000;
const NAME_RULE: &str = "a letter, then letters, digits, - and _, at most 64 in all";

/// Whether a time may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    Accepted,
    Refused,
}

/// What was found wrong so far.
///
/// Each check returns a harmless value when it reports something, so that one slip does not cause a second report; what
/// is built from such values is thrown away in the end.
pub(super) struct Findings<'a> {
    path: &'a str,
    text: &'a str,
    errors: Vec<ScenarioError>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        Self { path, text, errors: Vec::new() }
    }

    /// The findings in the order of their places.
    pub(super) fn into_errors(mut self) -> Vec<ScenarioError> {
        self.errors.sort_by_key(|error| error.place.as_ref().map(|place| (place.line, place.column)));
        self.errors
    }

    /// As empty as at the beginning, for the same file.
    pub(super) fn fresh(&self) -> Self {
        Self::new(self.path, self.text)
    }

    /// Takes in what was found in `section`, but for what is known already: a section is checked with all that it
    /// leaves as it is.
    pub(super) fn absorb(&mut self, section: &str, other: Self) {
        let known = |errors: &[ScenarioError], error: &ScenarioError| {
            let problem = error.problem.to_string();
            errors.iter().any(|known| known.place == error.place && known.problem.to_string() == problem)
        };
        for mut error in other.errors {
            if !known(&self.errors, &error) {
                error.key = format!("{section}.{}", error.key);
                self.errors.push(error);
            }
        }
    }

    pub(super) fn report(&mut self, key: &str, span: Range<usize>, problem: Problem) {
        let place = Some(Place::of(&span, self.text));
        self.errors.push(ScenarioError { path: self.path.to_owned(), place, key: key.to_owned(), problem });
    }

    /// A new name of a node, topic, group or fault.
    pub(super) fn name(&mut self, key: &str, what: &'static str, raw: &Located<String>) -> String {
        let name = raw.get();
        let sound = name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !sound {
            self.report(key, raw.span(), Problem::BadName { what, name: name.clone(), accepted: NAME_RULE });
        }
        name.clone()
    }

    /// Names that must differ from each other and from those `reserved`.
    pub(super) fn distinct<'n>(
        &mut self,
        what: &'static str,
        reserved: &[&str],
        names: impl IntoIterator<Item = (&'static str, &'n Located<String>)>,
    ) {
        let names = names.into_iter().map(|(key, raw)| (key, raw.get().clone(), raw.span()));
        self.distinct_texts(what, reserved, names);
    }

    /// As [`Findings::distinct`], for names whose places are kept apart.
    pub(super) fn distinct_texts(
        &mut self,
        what: &'static str,
        reserved: &[&str],
        names: impl Iterator<Item = (&'static str, String, Range<usize>)>,
    ) {
        let mut first: BTreeMap<String, Option<usize>> =
            reserved.iter().map(|name| ((*name).to_owned(), None)).collect();
        for (key, name, span) in names {
            let line = Place::of(&span, self.text).line;
            match first.get(&name) {
                Some(&first) => self.report(key, span, Problem::Taken { what, name, first }),
                None => drop(first.insert(name, Some(line))),
            }
        }
    }

    /// A name that must be one of `known`.
    pub(super) fn known(&mut self, key: &str, what: &'static str, raw: &Located<String>, known: &[String]) -> String {
        self.known_text(key, what, raw.get(), raw.span(), known)
    }

    /// As [`Findings::known`], for a name whose place is kept apart.
    pub(super) fn known_text(
        &mut self,
        key: &str,
        what: &'static str,
        name: &str,
        span: Range<usize>,
        known: &[String],
    ) -> String {
        if !known.iter().any(|candidate| candidate == name) {
            self.report(key, span, Problem::Unknown { what, name: name.to_owned(), known: known.to_vec() });
        }
        name.to_owned()
    }

    /// A code of the protocol; any number is one.
    pub(super) fn code(
        &mut self,
        key: &str,
        what: &'static str,
        raw: &Located<NameOrNumber>,
        table: &[(&str, i32)],
    ) -> i32 {
        match raw.get() {
            NameOrNumber::Number(number) => self.whole(key, *number, raw.span(), i32::MIN..=i32::MAX),
            NameOrNumber::Name(name) => match table.iter().find(|(candidate, _)| candidate == name) {
                Some((_, code)) => *code,
                None => {
                    let known = table.iter().map(|(name, _)| (*name).to_owned()).collect();
                    self.report(key, raw.span(), Problem::Unknown { what, name: name.clone(), known });
                    0
                }
            },
        }
    }

    /// A whole number within limits.
    pub(super) fn whole<N>(&mut self, key: &str, value: i64, span: Range<usize>, accepted: RangeInclusive<N>) -> N
    where
        N: TryFrom<i64> + PartialOrd + Copy + Display,
    {
        match N::try_from(value) {
            Ok(number) if accepted.contains(&number) => number,
            _ => {
                let limits = format!("{}..={}", accepted.start(), accepted.end());
                self.report(key, span, Problem::OutOfRange { value: value.to_string(), accepted: limits });
                *accepted.start()
            }
        }
    }

    /// An optional whole number within limits.
    pub(super) fn number<N>(
        &mut self,
        key: &str,
        raw: Option<&Located<i64>>,
        default: N,
        accepted: RangeInclusive<N>,
    ) -> N
    where
        N: TryFrom<i64> + PartialOrd + Copy + Display,
    {
        raw.map_or(default, |raw| self.whole(key, *raw.get(), raw.span(), accepted))
    }

    /// An optional share or probability.
    pub(super) fn share(&mut self, key: &str, raw: Option<&Located<f64>>, default: f64) -> f64 {
        let Some(raw) = raw else { return default };
        let value = *raw.get();
        if !(0.0..=1.0).contains(&value) {
            let accepted = "0..=1".to_owned();
            self.report(key, raw.span(), Problem::OutOfRange { value: value.to_string(), accepted });
        }
        value
    }

    /// A time in ms.
    pub(super) fn time(&mut self, key: &str, raw: &Located<Time>, zero: Zero) -> SimMs {
        self.parse_time(key, raw.get(), raw.span(), zero).unwrap_or(1)
    }

    /// An optional time in ms.
    pub(super) fn time_or(&mut self, key: &str, raw: Option<&Located<Time>>, default: SimMs, zero: Zero) -> SimMs {
        raw.map_or(default, |raw| self.time(key, raw, zero))
    }

    /// As [`Findings::time`], `None` after a report.
    pub(super) fn parse_time(&mut self, key: &str, raw: &Time, span: Range<usize>, zero: Zero) -> Option<SimMs> {
        let reason = match humantime::parse_duration(&raw.0) {
            Err(error) => error.to_string(),
            Ok(parsed) if parsed.subsec_nanos() % 1_000_000 != 0 => "finer than a millisecond".to_owned(),
            Ok(parsed) => match SimMs::try_from(parsed.as_millis()) {
                Ok(0) if zero == Zero::Refused => {
                    self.report(key, span, Problem::Empty { what: "the span", accepted: "1ms and more" });
                    return None;
                }
                Ok(ms) if ms <= LONGEST_MS => return Some(ms),
                _ => "longer than 366 days".to_owned(),
            },
        };
        self.report(key, span, Problem::Duration { text: raw.0.clone(), reason });
        None
    }

    /// A time in ms, or a range of times.
    pub(super) fn time_draw(&mut self, key: &str, raw: &Located<OneOrRange<Time>>, zero: Zero) -> Draw {
        match raw.get() {
            OneOrRange::One(time) => Draw::exactly(self.parse_time(key, time, raw.span(), zero).unwrap_or(1)),
            OneOrRange::Range(range) => {
                let from = self.parse_time(key, range.from.get(), range.from.span(), zero);
                let to = self.parse_time(key, range.to.get(), range.to.span(), zero);
                let (Some(from), Some(to)) = (from, to) else { return Draw::exactly(1) };
                self.forward(key, range.to.span(), ("from", "to"), (from, to), |ms| spell(*ms));
                Draw { from, to: to.max(from) }
            }
        }
    }

    /// The shortest and the longest of a latency, written as `min` and `max`.
    pub(super) fn min_max(&mut self, keys: (&str, &str), min: &Located<Time>, max: &Located<Time>) -> (SimMs, SimMs) {
        let low = self.parse_time(keys.0, min.get(), min.span(), Zero::Accepted);
        let high = self.parse_time(keys.1, max.get(), max.span(), Zero::Accepted);
        let (Some(low), Some(high)) = (low, high) else { return (1, 1) };
        self.forward(keys.1, max.span(), ("min", "max"), (low, high), |ms| spell(*ms));
        (low, high)
    }

    /// A whole number, or a range of them.
    pub(super) fn count_draw(
        &mut self,
        key: &str,
        raw: &Located<OneOrRange<i64>>,
        accepted: RangeInclusive<u64>,
    ) -> Draw {
        match raw.get() {
            OneOrRange::One(number) => Draw::exactly(self.whole(key, *number, raw.span(), accepted)),
            OneOrRange::Range(range) => {
                let before = self.errors.len();
                let from = self.whole(key, *range.from.get(), range.from.span(), accepted.clone());
                let to = self.whole(key, *range.to.get(), range.to.span(), accepted);
                if self.errors.len() == before {
                    self.forward(key, range.to.span(), ("from", "to"), (from, to), u64::to_string);
                }
                Draw { from, to: to.max(from) }
            }
        }
    }

    /// Reports a range that ends before it begins.
    fn forward(
        &mut self,
        key: &str,
        span: Range<usize>,
        (low, high): (&'static str, &'static str),
        (from, to): (u64, u64),
        spell: impl Fn(&u64) -> String,
    ) {
        if to < from {
            self.report(key, span, Problem::Backwards { from: spell(&from), to: spell(&to), low, high });
        }
    }
}

/// Milliseconds as a person writes them.
pub(super) fn spell(ms: SimMs) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}
