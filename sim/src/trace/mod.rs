//! A run as something to look at: a page for a browser, and trace events for the viewers of those.
//!
//! Both are drawn from the history and show of it what the timeline shows.

mod answers;
pub mod html;
mod html_rows;
mod kind;
mod label;
mod nodes;
pub mod perfetto;
mod trace_event;

#[cfg(test)]
mod tests;

use crate::{report::timeline::Line, run::Outcome};

/// A run, and what of it is shown.
#[derive(Debug)]
pub struct Picture<'r> {
    /// What it is of, for example `calm, seed 7`.
    pub title: String,
    /// What came of the run.
    pub outcome: &'r Outcome,
    /// What is shown of its events, in their order.
    pub lines: &'r [Line],
    /// What is told of the run besides; what matters most comes first.
    pub notes: Vec<Note>,
}

/// Something that is told of a run as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is about.
    pub heading: String,
    /// The text, of any number of lines.
    pub text: String,
}

impl Note {
    /// Of a text whose first line is its heading.
    #[must_use]
    pub fn headed(text: &str) -> Self {
        let (heading, text) = text.split_once('\n').unwrap_or((text, ""));
        Self { heading: heading.to_owned(), text: text.to_owned() }
    }
}
