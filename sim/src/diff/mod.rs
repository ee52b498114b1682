//! Where two runs part: how far their event logs are the same, and how each goes on.

mod told;

pub use told::told;

use crate::history::{Event, History, fingerprint::write_line};

/// How many events at their beginning two logs have in common: as many lines are equal, byte for byte.
#[must_use]
pub fn common(here: &History, there: &History) -> usize {
    let (mut ours, mut theirs) = (String::new(), String::new());
    let pairs = here.events.iter().zip(&there.events);
    let equal = pairs.take_while(|(here, there)| {
        ours.clear();
        theirs.clear();
        write_line(&mut ours, here);
        write_line(&mut theirs, there);
        ours == theirs
    });
    equal.count()
}

/// An event's line of the log, without its end.
#[must_use]
pub fn line(event: &Event) -> String {
    let mut line = String::new();
    write_line(&mut line, event);
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests;
