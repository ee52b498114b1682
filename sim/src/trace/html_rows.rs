//! The rows of the page: one for each line of the timeline, and one for each violation at its moment.

use std::fmt::Write as _;

use rustc_hash::FxHashSet;

use super::{Picture, answers::Answers, kind::Kind, nodes::Nodes};
use crate::{
    history::EventKind,
    ledger::biography::SimTime,
    oracles::Violation,
    report::{escape::escaped, timeline::Line},
};

/// Rows of one section: a browser draws only sections that are in sight.
const PER_SECTION: usize = 200;

/// What rows are written from.
pub(super) struct Rows<'r> {
    picture: &'r Picture<'r>,
    nodes: &'r Nodes<'r>,
    answers: Answers,
    /// Events that have a row. Only ever looked up.
    shown: FxHashSet<usize>,
}

/// A row: a line, which is the first of its event or is not; or a violation, with its number.
enum Row<'r> {
    Line(&'r Line, bool),
    Violation(usize, &'r Violation),
}

// Writing to a String cannot fail.
impl<'r> Rows<'r> {
    pub(super) fn of(picture: &'r Picture<'_>, nodes: &'r Nodes<'_>) -> Self {
        let answers = Answers::of(&picture.outcome.history);
        let shown = picture.lines.iter().map(|line| line.event).collect();
        Self { picture, nodes, answers, shown }
    }

    /// All of them.
    pub(super) fn write(&self, page: &mut String) {
        for rows in self.in_order().chunks(PER_SECTION) {
            let _ = writeln!(page, "<section style=\"--rows:{}\">", rows.len());
            for row in rows {
                match row {
                    Row::Line(line, is_first) => self.line(page, line, *is_first),
                    Row::Violation(number, violation) => self.violation(page, *number, violation),
                }
            }
            page.push_str("</section>\n");
        }
    }

    /// A violation comes after all that its moment has.
    fn in_order(&self) -> Vec<Row<'r>> {
        let mut violations: Vec<_> = self.picture.outcome.verdict.violations.iter().enumerate().collect();
        violations.sort_by_key(|(_, violation)| violation.at_ms);
        let mut violations = violations.into_iter().peekable();
        let (mut rows, mut before) = (Vec::new(), None);
        for line in self.picture.lines {
            while let Some((number, violation)) = violations.next_if(|(_, violation)| violation.at_ms < line.at_ms) {
                rows.push(Row::Violation(number, violation));
            }
            rows.push(Row::Line(line, before != Some(line.event)));
            before = Some(line.event);
        }
        rows.extend(violations.map(|(number, violation)| Row::Violation(number, violation)));
        rows
    }

    fn line(&self, page: &mut String, line: &Line, is_first: bool) {
        let Some(event) = self.picture.outcome.history.events.get(line.event) else { return };
        page.push_str("<div class=\"row\"");
        if is_first {
            let _ = write!(page, " id=\"e{}\"", line.event);
        }
        let kind = Kind::of(&event.kind);
        let _ = write!(page, " data-kind=\"{}\"", kind.name());
        let arrow = self.lanes(page, line, &event.kind);
        let (time, node) = (SimTime(line.at_ms), escaped(&line.node));
        let _ = write!(page, "><time>{time}</time><i{arrow}></i><b>{node}</b><span>{}", escaped(&line.text));
        self.link(page, line.event, kind);
        page.push_str("</span></div>\n");
    }

    /// In which lanes a row is; the class of its arrow, if it goes from one to another.
    fn lanes(&self, page: &mut String, line: &Line, kind: &EventKind) -> &'static str {
        let Some(from) = self.nodes.place(&line.node) else {
            page.push_str(" data-nodes=\"-\"");
            return "";
        };
        let to = match kind {
            EventKind::Request(frame) | EventKind::Response(frame) => self.nodes.place(&frame.to),
            _ => None,
        };
        match to.filter(|to| *to != from) {
            None => {
                let _ = write!(page, " data-nodes=\"{from}\" style=\"--from:{from}\"");
                " class=\"at\""
            }
            Some(to) => {
                let (left, wide) = (from.min(to), from.abs_diff(to));
                let _ = write!(page, " data-nodes=\"{from} {to}\" style=\"--from:{from};--left:{left};--wide:{wide}\"");
                if to > from { " class=\"at right\"" } else { " class=\"at left\"" }
            }
        }
    }

    /// From a request to its answer and back.
    fn link(&self, page: &mut String, event: usize, kind: Kind) {
        let other = self.answers.other(event).filter(|other| self.shown.contains(other));
        let at_ms = other.and_then(|other| self.picture.outcome.history.events.get(other)).map(|event| event.at_ms);
        let _ = match (kind, other.zip(at_ms)) {
            (Kind::Request, Some((other, at_ms))) => {
                write!(page, " <a href=\"#e{other}\">answered {}</a>", SimTime(at_ms))
            }
            (Kind::Answer, Some((other, at_ms))) => write!(page, " <a href=\"#e{other}\">asked {}</a>", SimTime(at_ms)),
            (Kind::Request, None) if self.answers.lacks(event) => write!(page, " <em>no answer</em>"),
            _ => Ok(()),
        };
    }

    fn violation(&self, page: &mut String, number: usize, violation: &Violation) {
        let Violation { promise, at_ms, subject, detail, .. } = violation;
        let (time, subject, detail) = (SimTime(*at_ms), escaped(subject), escaped(detail));
        let _ = write!(page, "<div class=\"row violation\" id=\"v{number}\"><time>{time}</time><i></i>");
        let _ = writeln!(page, "<b>{}</b><span>VIOLATED: {subject}: {detail}</span></div>", escaped(promise));
    }
}
