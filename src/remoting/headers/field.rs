//! How one header field is written and read, and the macro that makes a [`super::Header`] of many.

use std::collections::BTreeMap;

use crate::model::{chain::LogPosition, record::LogEnd, timer::TimerId};

/// Longest piece of a malformed text that an error repeats, in characters.
const QUOTED_CHARS: usize = 64;

/// Why a header cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A required field is not there.
    #[error("header field `{field}` is missing")]
    Missing {
        /// The field's wire key.
        field: &'static str,
    },
    /// A field's text is not of its type.
    #[error("header field `{field}` is `{text}`, expected {expected}")]
    Malformed {
        /// The field's wire key.
        field: &'static str,
        /// The text found, cut to 64 characters.
        text: String,
        /// What the field takes.
        expected: &'static str,
    },
}

/// A value with a text form.
pub(super) trait Value: Sized {
    /// What the text must be, in words.
    const EXPECTED: &'static str;

    fn text(&self) -> String;

    fn parse(text: &str) -> Option<Self>;
}

impl Value for String {
    const EXPECTED: &'static str = "a text";

    fn text(&self) -> String {
        self.clone()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Value for i32 {
    const EXPECTED: &'static str = "a 32-bit integer";

    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for i64 {
    const EXPECTED: &'static str = "a 64-bit integer";

    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Some(true),
            _ if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

/// Term and index of the last entry and its checksum: `1.17.93482`.
impl Value for LogEnd {
    const EXPECTED: &'static str = "the end of a log, TERM.INDEX.CHECKSUM";

    fn text(&self) -> String {
        format!("{}.{}.{}", self.position.term, self.position.index, self.checksum)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let position = LogPosition { term: parts.next()?.parse().ok()?, index: parts.next()?.parse().ok()? };
        Some(Self { position, checksum: parts.next()?.parse().ok()? })
    }
}

/// When it is due, and the entry and record that accepted it: `1700000000000.17.0`.
impl Value for TimerId {
    const EXPECTED: &'static str = "a delayed message, DUE.INDEX.RECORD";

    fn text(&self) -> String {
        format!("{}.{}.{}", self.due_ms, self.index, self.record)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (due_ms, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { due_ms, index, record: parts.next()?.parse().ok()? })
    }
}

/// A header field: a required [`Value`], or an `Option` of one.
pub(super) trait Field: Sized {
    fn put(&self, key: &'static str, ext: &mut BTreeMap<String, String>);

    fn take(key: &'static str, ext: &BTreeMap<String, String>) -> Result<Self, HeaderError>;
}

impl<V: Value> Field for V {
    fn put(&self, key: &'static str, ext: &mut BTreeMap<String, String>) {
        ext.insert(key.to_owned(), self.text());
    }

    fn take(key: &'static str, ext: &BTreeMap<String, String>) -> Result<Self, HeaderError> {
        <Option<V> as Field>::take(key, ext)?.ok_or(HeaderError::Missing { field: key })
    }
}

impl<V: Value> Field for Option<V> {
    fn put(&self, key: &'static str, ext: &mut BTreeMap<String, String>) {
        if let Some(value) = self {
            value.put(key, ext);
        }
    }

    fn take(key: &'static str, ext: &BTreeMap<String, String>) -> Result<Self, HeaderError> {
        let Some(text) = ext.get(key) else { return Ok(None) };
        V::parse(text).map(Some).ok_or_else(|| HeaderError::Malformed {
            field: key,
            text: text.chars().take(QUOTED_CHARS).collect(),
            expected: V::EXPECTED,
        })
    }
}

/// Declares a header struct. `name: Type = "wireKey"` is required unless `Type` is an `Option`; `or value` after the key
/// gives what an absent field means.
macro_rules! header {
    (
        $(#[$doc:meta])+
        pub struct $name:ident {
            $($(#[$field_doc:meta])+ $field:ident: $type:ty = $key:literal $(or $default:expr)?,)*
        }
    ) => {
        $(#[$doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_doc])+ pub $field: $type,)*
        }

        impl $crate::remoting::headers::Header for $name {
            fn write(&self, ext: &mut std::collections::BTreeMap<String, String>) {
                $($crate::remoting::headers::field::Field::put(&self.$field, $key, ext);)*
            }

            fn read(
                ext: &std::collections::BTreeMap<String, String>,
            ) -> Result<Self, $crate::remoting::headers::HeaderError> {
                Ok(Self { $($field: header!(@take ext, $type, $key $(, $default)?),)* })
            }
        }
    };
    (@take $ext:ident, $type:ty, $key:literal) => {
        <$type as $crate::remoting::headers::field::Field>::take($key, $ext)?
    };
    (@take $ext:ident, $type:ty, $key:literal, $default:expr) => {
        <Option<$type> as $crate::remoting::headers::field::Field>::take($key, $ext)?.unwrap_or($default)
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::remoting::headers::Header;

    header! {
        /// One field of each kind.
        pub struct Sample {
            /// Required.
            queue_id: i32 = "queueId",
            /// Optional.
            attempt_id: Option<String> = "attemptId",
            /// With a default.
            order: bool = "order" or false,
            /// Of several parts.
            log_end: Option<LogEnd> = "logEnd",
        }
    }

    fn ext(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn fields_round_trip_and_extra_keys_are_ignored() {
        let sample = Sample { queue_id: -1, order: true, ..Sample::default() };
        let mut written = BTreeMap::new();
        sample.write(&mut written);
        assert_eq!(written, ext(&[("queueId", "-1"), ("order", "true")]));
        written.insert("extra".into(), "x".into());
        assert_eq!(Sample::read(&written).unwrap(), sample);
        assert!(!Sample::read(&ext(&[("queueId", "1")])).unwrap().order);
    }

    #[test]
    fn a_missing_or_malformed_field_is_named() {
        assert_eq!(Sample::read(&ext(&[])), Err(HeaderError::Missing { field: "queueId" }));
        let expected = "a 32-bit integer";
        let error = HeaderError::Malformed { field: "queueId", text: "9999999999".into(), expected };
        assert_eq!(Sample::read(&ext(&[("queueId", "9999999999")])), Err(error));
        let error = Sample::read(&ext(&[("queueId", "1"), ("order", "yes")])).unwrap_err();
        assert_eq!(error.to_string(), "header field `order` is `yes`, expected true or false");
    }

    #[test]
    fn the_end_of_a_log_is_one_text() {
        let read = |text| Sample::read(&ext(&[("queueId", "1"), ("logEnd", text)]));
        let log_end = Some(LogEnd { position: LogPosition { term: 2, index: u64::MAX }, checksum: 93_482 });
        let mut written = BTreeMap::new();
        Sample { log_end, ..Sample::default() }.write(&mut written);
        assert_eq!(written["logEnd"], "2.18446744073709551615.93482");
        assert_eq!(read(&written["logEnd"]).unwrap().log_end, log_end);
        for text in ["", "1.2", "1.2.", "1.2.3.4", "1.-2.3", "1.2.4294967296"] {
            assert!(matches!(read(text), Err(HeaderError::Malformed { field: "logEnd", .. })), "{text}");
        }
    }
}
