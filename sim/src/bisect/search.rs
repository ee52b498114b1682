//! Halves the run until one event is left.

use std::{num::NonZero, ops::RangeInclusive};

use super::Doom;
use crate::framework::sweep_by;
use crate::run::{Outcome, RunError, SeedRun, Turn, run_future, run_seed};

/// How many times as many futures must fail at the moment that is found as at those on the way.
const SURER: u64 = 4;
/// How often the search may go on because a doomed moment proved not to be one.
const ROUNDS: u32 = 3;

/// Why a seed has no point of no return.
#[derive(Debug, thiserror::Error)]
pub enum BisectError {
    /// The run itself came to nothing, so there is no log to halve.
    #[error("seed {seed} comes to nothing, which has no moments")]
    Nothing {
        /// The seed.
        seed: u64,
        /// Why.
        #[source]
        cause: RunError,
    },
}

/// A point of no return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The failure.
    pub doom: Doom,
    /// A future that begins after so many events may hold; 0 if none was found that does.
    pub open: usize,
    /// None does that begins after so many. This is one more than `open`, unless the time was up.
    pub doomed: usize,
    /// How many futures that begin at `open` hold, and of how many.
    pub held: (u64, u64),
    /// How many futures that begin at `doomed` were tried.
    pub tried: u64,
    /// Even the futures that begin at the beginning fail.
    pub is_from_the_start: bool,
    /// How many runs it took.
    pub runs: u64,
    /// The time was up before one event was left.
    pub is_cut_short: bool,
}

/// The run of a seed and, if it fails, the event after which all `futures` fail; `None` if every promise holds. Once
/// `is_over` says so, nothing more is tried.
///
/// # Errors
/// The run came to nothing.
pub fn bisect(
    run: &SeedRun,
    futures: NonZero<u64>,
    jobs: NonZero<usize>,
    is_over: &dyn Fn() -> bool,
) -> Result<Option<(Outcome, Moment)>, BisectError> {
    let whole = run_seed(run.clone()).map_err(|cause| BisectError::Nothing { seed: run.seed, cause })?;
    let Some(doom) = Doom::of(&whole, &run.scenario) else { return Ok(None) };
    let end = whole.history.events.len();
    let mut search = Search { run, doom: &doom, jobs, is_over, runs: 1, is_cut_short: false };
    let (mut open, mut doomed, mut tried) = (0, end, futures.get());
    let is_from_the_start = search.all_fail(0, 1..=tried);
    if is_from_the_start {
        doomed = 0;
    } else {
        for _ in 0..ROUNDS {
            (open, doomed) = search.halve(open, doomed, tried);
            let more = tried + 1..=tried * SURER;
            tried *= SURER;
            // What looked doomed may have been so by chance. After the end nothing is drawn any more.
            if doomed == end || search.all_fail(doomed, more) || search.is_cut_short {
                break;
            }
            (open, doomed) = (doomed, end);
        }
    }
    let futures = futures.get();
    let held = if is_from_the_start { 0 } else { search.held(open, 1..=futures) };
    let (runs, is_cut_short) = (search.runs, search.is_cut_short);
    let moment = Moment { doom, open, doomed, held: (held, futures), tried, is_from_the_start, runs, is_cut_short };
    Ok(Some((whole, moment)))
}

struct Search<'s> {
    run: &'s SeedRun,
    doom: &'s Doom,
    jobs: NonZero<usize>,
    is_over: &'s dyn Fn() -> bool,
    runs: u64,
    is_cut_short: bool,
}

impl Search<'_> {
    /// Brings the last moment that is open and the first that is doomed as near to each other as time allows.
    fn halve(&mut self, mut open: usize, mut doomed: usize, futures: u64) -> (usize, usize) {
        while doomed - open > 1 {
            let middle = open + (doomed - open) / 2;
            let all_fail = self.all_fail(middle, 1..=futures);
            if self.is_cut_short {
                break;
            }
            if all_fail { doomed = middle } else { open = middle }
        }
        (open, doomed)
    }

    /// Whether all these futures fail that begin after so many events; meaningless once it is cut short.
    fn all_fail(&mut self, after: usize, futures: RangeInclusive<u64>) -> bool {
        let mut all_fail = true;
        self.each(after, futures, |fails| {
            all_fail = fails;
            fails
        });
        all_fail && !self.is_cut_short
    }

    /// How many of these futures hold.
    fn held(&mut self, after: usize, futures: RangeInclusive<u64>) -> u64 {
        let mut held = 0;
        self.each(after, futures, |fails| {
            held += u64::from(!fails);
            true
        });
        held
    }

    /// Runs futures in order; `each` is told whether one fails, and says whether to go on.
    fn each(&mut self, after: usize, futures: RangeInclusive<u64>, mut each: impl FnMut(bool) -> bool) {
        if self.is_cut_short || (self.is_over)() {
            self.is_cut_short = true;
            return;
        }
        let run = |turn: &Turn| run_future(self.run.clone(), *turn);
        let (mut runs, mut is_cut_short) = (0, false);
        let work: Vec<Turn> = futures.map(|future| Turn { after, future }).collect();
        let last = work.last().copied();
        sweep_by(work, self.jobs, run, |turn, result, _| {
            runs += 1;
            let goes_on = each(self.doom.is_met(&result, &self.run.scenario));
            is_cut_short = goes_on && Some(*turn) != last && (self.is_over)();
            goes_on && !is_cut_short
        });
        self.runs += runs;
        self.is_cut_short |= is_cut_short;
    }
}
