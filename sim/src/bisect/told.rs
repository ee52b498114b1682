//! A point of no return, for people.

use std::fmt::Write as _;

use super::Moment;
use crate::{
    follow::Story,
    history::History,
    ledger::biography::SimTime,
    report::{
        failure::{Origin, told as violation},
        timeline::{Line, View, lines},
    },
    run::{Outcome, SeedRun},
};

/// Events that are shown before and after the one.
const CONTEXT: usize = 4;
/// Steps of the message's story that are shown before the moment, and after it.
const STEPS: usize = 6;

/// The failure, the event, and how to go there; `why` says why the search has ended if it did so early.
#[must_use]
pub fn told(run: &SeedRun, origin: &Origin, whole: &Outcome, moment: &Moment, why: &str) -> String {
    let history = &whole.history;
    let mut text = format!("{}\n\n", violation(&moment.doom.violation));
    headline(&mut text, history, moment, why);
    if !moment.is_from_the_start && !moment.is_cut_short {
        surroundings(&mut text, history, moment.doomed);
        story(&mut text, run, history, moment);
    }
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\na future has all that happened before it begins, draws everything else anew and plans no further fault; what has\n\
         begun goes on to its end. It fails when the same promise is broken{}. {} runs were made.",
        if moment.doom.violation.ledger.is_some() { " for the same message" } else { " in the same way" },
        moment.runs
    );
    if !moment.is_from_the_start {
        let _ = writeln!(text, "\nto see every node at that moment\n  {}", command(run, origin, history, moment));
    }
    text
}

fn headline(text: &mut String, history: &History, moment: &Moment, why: &str) {
    let Moment { open, doomed, held: (held, of), tried, .. } = moment;
    let (all, at) = (history.events.len(), |after: usize| SimTime(at_ms(history, after)));
    let _ = match moment {
        Moment { is_from_the_start: true, .. } => writeln!(
            text,
            "no point of no return: none of {tried} futures holds that begin at the very beginning and without a fault; neither\n\
             draws nor faults decide, so it fails under other seeds, too"
        ),
        Moment { is_cut_short: true, .. } => writeln!(
            text,
            "{why}: the point of no return lies after event {open} ({}) and not after event {doomed} ({}) of {all};\n\
             more time (--for) finds it",
            at(*open),
            at(*doomed)
        ),
        _ => writeln!(
            text,
            "point of no return: event {doomed} of {all}, at {}\n  before it {held} of {of} futures hold, after it none of {tried}",
            at(*doomed)
        ),
    };
}

/// When the last of so many events happened.
fn at_ms(history: &History, after: usize) -> u64 {
    let last = after.checked_sub(1).and_then(|last| history.events.get(last));
    last.map_or(0, |event| event.at_ms)
}

/// The event among its neighbours.
fn surroundings(text: &mut String, history: &History, doomed: usize) {
    let (from, to) = (doomed.saturating_sub(CONTEXT + 1), doomed + CONTEXT);
    let _ = writeln!(text, "\nall that happened around it");
    for line in lines(history, View::All).skip_while(|line| line.event < from).take_while(|line| line.event < to) {
        marked(text, &line, doomed);
    }
}

/// What had happened to the message by then, and what comes next.
fn story(text: &mut String, run: &SeedRun, history: &History, moment: &Moment) {
    let Some(ledger) = &moment.doom.violation.ledger else { return };
    // A message that nothing is about has no story, and its loss no moment of its own.
    let Ok(story) = Story::of(history, &run.scenario.obligations(), ledger) else { return };
    let _ = writeln!(text, "\nthe story of {ledger} around it");
    let known = story.lines.partition_point(|line| line.event < moment.doomed);
    for line in &story.lines[known.saturating_sub(STEPS)..story.lines.len().min(known + STEPS)] {
        marked(text, line, moment.doomed);
    }
}

fn marked(text: &mut String, line: &Line, doomed: usize) {
    let mark = if line.event + 1 == doomed { '>' } else { ' ' };
    let _ = writeln!(text, "{mark} {line}");
}

/// The command that stops right there.
fn command(run: &SeedRun, origin: &Origin, history: &History, moment: &Moment) -> String {
    let mut command = origin.replay_command(run.seed, "");
    command.push_str(&format!(" --until {}ms", at_ms(history, moment.doomed)));
    if let Some(ledger) = &moment.doom.violation.ledger {
        command.push_str(&format!(" --follow {ledger}"));
    }
    command
}
