//! What can be wrong with a scenario file, and how it is told: file, line, column, the line itself, what is accepted.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

/// All that is wrong with one or more scenario files; never empty.
#[derive(Debug)]
pub struct ScenarioErrors(pub Vec<ScenarioError>);

impl fmt::Display for ScenarioErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioErrors {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.first().map(|error| error as _)
    }
}

impl From<ScenarioError> for ScenarioErrors {
    fn from(error: ScenarioError) -> Self {
        Self(vec![error])
    }
}

/// One thing that is wrong with a scenario file.
#[derive(Debug)]
pub struct ScenarioError {
    /// The file, as it was named to us.
    pub path: String,
    /// Where in the file; `None` when the file as a whole is meant.
    pub place: Option<Place>,
    /// The key, for example `fault.node`; empty when the reader could not tell.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

impl ScenarioError {
    /// Something wrong with a file as a whole.
    pub(super) fn of_file(path: &Path, problem: Problem) -> Self {
        Self { path: path.display().to_string(), place: None, key: String::new(), problem }
    }

    /// What the TOML reader reports.
    pub(super) fn of_reader(path: &str, text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|span| Place::of(&span, text));
        let problem = Problem::of_reader(error.message());
        Self { path: path.to_owned(), place, key: String::new(), problem }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Characters of this line that are meant; at least 1.
    pub width: usize,
    /// The whole line.
    pub text: String,
}

impl Place {
    /// The place of these bytes in `text`; of several lines only the first is meant.
    pub(super) fn of(span: &Range<usize>, text: &str) -> Self {
        let start = text.floor_char_boundary(span.start);
        let end = text.floor_char_boundary(span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let meant_end = end.clamp(start, line_end);
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: text[start..meant_end].chars().count().max(1),
            text: text[line_start..line_end].trim_end().to_owned(),
        }
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file or the folder cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// A folder without a scenario.
    #[error("no scenario in this folder; accepted: files named NAME.toml")]
    EmptyFolder,
    /// Not TOML, a wrong type, or a required key is absent.
    #[error("{0}")]
    Shape(String),
    /// A name that is not among those the file may use here.
    #[error("unknown {what} \"{name}\"; {}", choices(what, name, known))]
    Unknown {
        /// What it should name.
        what: &'static str,
        /// What was written.
        name: String,
        /// What is accepted.
        known: Vec<String>,
    },
    /// A name that was used before.
    #[error("{what} \"{name}\" is there already{}; accepted: another name", first.map_or(String::new(), |line| format!(", in line {line}")))]
    Taken {
        /// What it names.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it was used first; `None` for a name that always exists.
        first: Option<usize>,
    },
    /// A name that cannot go over the wire.
    #[error("\"{name}\" is no {what}; accepted: {accepted}")]
    BadName {
        /// What it should name.
        what: &'static str,
        /// What was written.
        name: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// A number outside its limits.
    #[error("{value} is out of range; accepted: {accepted}")]
    OutOfRange {
        /// What was written.
        value: String,
        /// What is accepted.
        accepted: String,
    },
    /// Not a duration.
    #[error("\"{text}\" is no duration: {reason}; accepted: whole milliseconds such as \"250ms\", \"90s\", \"2h30m\"")]
    Duration {
        /// What was written.
        text: String,
        /// Why not.
        reason: String,
    },
    /// A span of time, or a list, with nothing in it.
    #[error("{what} is empty; accepted: {accepted}")]
    Empty {
        /// What is empty.
        what: &'static str,
        /// What is accepted.
        accepted: &'static str,
    },
    /// A range whose end lies before its beginning.
    #[error("the range ends at {to}, before it begins at {from}; accepted: `{low}` up to `{high}`")]
    Backwards {
        /// Its beginning.
        from: String,
        /// Its end.
        to: String,
        /// The key of the beginning.
        low: &'static str,
        /// The key of the end.
        high: &'static str,
    },
    /// Something that would happen when the scenario is over.
    #[error("{what} {time}, but the scenario ends at {end}; accepted: {latest}")]
    AfterEnd {
        /// What happens.
        what: &'static str,
        /// When.
        time: String,
        /// When the scenario ends.
        end: String,
        /// What is accepted.
        latest: String,
    },
    /// A key that this entry needs.
    #[error("{entry} needs {key}")]
    Missing {
        /// Which entry.
        entry: String,
        /// Which key, or which choice of keys.
        key: String,
    },
    /// A key that this kind of fault does not have.
    #[error("{entry} has no `{key}`; accepted keys: {}", accepted.join(", "))]
    NotForKind {
        /// Which entry.
        entry: String,
        /// What was written.
        key: &'static str,
        /// What is accepted.
        accepted: Vec<&'static str>,
    },
    /// Two keys that say the same thing in different ways.
    #[error("`{key}` and `{other}` exclude each other; accepted: one of {accepted}")]
    Excluded {
        /// This key.
        key: &'static str,
        /// The other one.
        other: &'static str,
        /// The choice.
        accepted: &'static str,
    },
    /// Probabilities of things that exclude each other.
    #[error("`ack` {ack} and `late_ack` {late_ack} exclude each other; accepted: a sum of at most 1")]
    Shares {
        /// Acked in time.
        ack: f64,
        /// Acked too late.
        late_ack: f64,
    },
    /// A broker as its own substitute.
    #[error("broker \"{0}\" escapes to itself; accepted: another broker")]
    EscapesToItself(String),
    /// A broker whose slave cannot act for it.
    #[error(
        "no slave can act for broker \"{0}\"; accepted: another broker, one slave, or two at degree 2, and no `escapes_to`"
    )]
    CannotAct(String),
    /// A consumer that cannot pop through a slave of Apache's.
    #[error("{why}; accepted: {accepted}")]
    NotThroughApache {
        /// Why not.
        why: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// A partition that does not part two sides.
    #[error("{0} sides; accepted: two lists of nodes, such as [[\"broker-a\"], [\"broker-b\", \"namesrv\"]]")]
    NotTwoSides(usize),
    /// A node on both sides of a partition.
    #[error("node \"{0}\" is on both sides; accepted: two sides without a common node")]
    BothSides(String),
}

impl Problem {
    /// serde tells unknown names in one fixed form, which is brought into ours; the rest is passed on.
    fn of_reader(message: &str) -> Self {
        let what = [("unknown field", "key"), ("unknown variant", "value")];
        let what = what.into_iter().find(|(start, _)| message.starts_with(start));
        let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_owned);
        match (what, quoted.next()) {
            (Some((_, what)), Some(name)) => Self::Unknown { what, name, known: quoted.collect() },
            _ => Self::Shape(in_words(message.trim_end())),
        }
    }

    /// The accepted name that was probably meant.
    fn probably_meant(&self) -> Option<&str> {
        let Problem::Unknown { name, known, .. } = self else { return None };
        let closest = known.iter().min_by_key(|candidate| distance(name, candidate))?;
        (distance(name, closest) <= (name.chars().count() / 3).max(1)).then_some(closest.as_str())
    }
}

fn distance(name: &str, candidate: &str) -> usize {
    strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase())
}

/// More names than this are not read through by anybody.
const LISTED: usize = 60;

/// What may be written; of a long list what comes nearest, and where the rest is.
fn choices(what: &str, name: &str, known: &[String]) -> String {
    if known.len() <= LISTED {
        return format!("known {what}s: {}", known.join(", "));
    }
    let mut nearest: Vec<&str> = known.iter().map(String::as_str).collect();
    nearest.sort_by_key(|candidate| distance(name, candidate));
    nearest.truncate(5);
    let count = known.len();
    format!("nearest of {count} known {what}s: {}; all of them: cargo sim list --{what}s", nearest.join(", "))
}

/// Says what the reader says without the words of Rust and serde.
fn in_words(message: &str) -> String {
    let words = [
        ("missing field", "missing key"),
        ("duplicate field", "repeated key"),
        ("expected i64", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a string", "expected text in quotes"),
        ("expected a sequence", "expected a list"),
        ("invalid type: map", "invalid type: table"),
        ("invalid type: sequence", "invalid type: list"),
        ("\n", "; "),
    ];
    words.iter().fold(message.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            return write!(f, "{}: {}", self.path, self.problem);
        };
        let number = place.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{}:{}:{}: {}", self.path, place.line, place.column, self.problem)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", place.text)?;
        // Tabs are kept, so that the carets stand below what they mean in any terminal.
        let indent: String =
            place.text.chars().take(place.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "{gutter} | {indent}{}", "^".repeat(place.width))?;
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        match self.problem.probably_meant() {
            Some(name) if self.key.is_empty() => write!(f, " did you mean \"{name}\"?"),
            Some(name) => write!(f, "; did you mean \"{name}\"?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ScenarioError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}
