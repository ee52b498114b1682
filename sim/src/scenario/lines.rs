//! The lines of a scenario file in the making.

use std::fmt::{Display, Write as _};

use super::findings::spell;
use crate::plan::SimMs;

/// Tables and keys as they are written. Keys whose value is the default are left out, as a person leaves them out.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// A comment; of an empty one only the mark.
    pub(super) fn comment(&mut self, text: &str) {
        for line in text.lines() {
            self.line(format!("# {line}").trim_end());
        }
    }

    /// An empty line, then the head of a table with comments above it.
    pub(super) fn table(&mut self, head: &str, comment: &str) {
        self.0.push('\n');
        self.comment(comment);
        self.line(head);
    }

    pub(super) fn key(&mut self, key: &str, value: impl Display) {
        self.line(&format!("{key} = {value}"));
    }

    /// A key that is left out when it says what is so without it.
    pub(super) fn unless<T: PartialEq>(&mut self, default: &T, key: &str, value: &T, shown: impl Fn(&T) -> String) {
        if value != default {
            self.key(key, shown(value));
        }
    }

    /// A key that is left out when there is no value.
    pub(super) fn maybe<T>(&mut self, key: &str, value: Option<T>, shown: impl Fn(T) -> String) {
        if let Some(value) = value {
            self.key(key, shown(value));
        }
    }

    fn line(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{text}");
    }
}

/// A text in quotes.
pub(super) fn quoted(text: impl AsRef<str>) -> String {
    toml::Value::from(text.as_ref()).to_string()
}

/// A time.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "keys are written by reference")]
pub(super) fn time(ms: &SimMs) -> String {
    quoted(spell(*ms))
}

/// A number that is read as one with a fraction.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "keys are written by reference")]
pub(super) fn share(share: &f64) -> String {
    format!("{share:?}")
}

/// A list of what is written already.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}
