//! Offset texts in the header of a pop response (RocketMQ `ExtraInfoUtil`).
//!
//! Groups are joined by `;`, the fields of a group by one space: retry flag, queue, then a start offset or a list of
//! message offsets. One response names each pair of retry flag and queue at most once.

use std::collections::BTreeSet;
use std::fmt::Write;

use thiserror::Error;

use super::clip::clip;
use super::handle::RetryFlag;

/// Why a text is not a list of pop offsets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PopInfoError {
    /// A group does not have three fields.
    #[error("a pop offset group has 3 fields separated by single spaces, not {found}: {group:?}")]
    FieldCount {
        /// Number of fields found.
        found: usize,
        /// Text of the group, shortened.
        group: String,
    },
    /// One field is malformed.
    #[error("field `{field}` of a pop offset group is {text:?}, expected {expected}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Text of the field, shortened.
        text: String,
        /// What the field must be.
        expected: &'static str,
    },
    /// Two groups name the same retry flag and queue.
    #[error("pop offsets name retry flag {retry} and queue {queue_id} twice")]
    Duplicate {
        /// Retry flag of both groups.
        retry: RetryFlag,
        /// Queue of both groups.
        queue_id: i32,
    },
}

/// `startOffsetInfo`: where the read of each queue began. Nothing read gives an empty text.
pub fn start_offset_info(groups: &[(RetryFlag, i32, i64)]) -> String {
    let groups: Vec<String> = groups.iter().map(|(retry, queue, offset)| format!("{retry} {queue} {offset}")).collect();
    groups.join(";")
}

/// `msgOffsetInfo`: the offsets delivered from each queue. Queues without a message are left out.
pub fn msg_offset_info(groups: &[(RetryFlag, i32, Vec<i64>)]) -> String {
    let mut text = String::new();
    for (retry, queue_id, offsets) in groups {
        for (index, offset) in offsets.iter().enumerate() {
            let written = match (index, text.is_empty()) {
                (0, true) => write!(text, "{retry} {queue_id} {offset}"),
                (0, false) => write!(text, ";{retry} {queue_id} {offset}"),
                _ => write!(text, ",{offset}"),
            };
            debug_assert!(written.is_ok(), "writing to a String does not fail");
        }
    }
    text
}

/// Reads a `startOffsetInfo`; an empty text has no groups.
///
/// # Errors
/// On a malformed group or a repeated queue.
pub fn parse_start_offset_info(text: &str) -> Result<Vec<(RetryFlag, i32, i64)>, PopInfoError> {
    parse_groups(text, |field| number("start offset", field))
}

/// Reads a `msgOffsetInfo`; an empty text has no groups.
///
/// # Errors
/// On a malformed group, an empty list of offsets or a repeated queue.
pub fn parse_msg_offset_info(text: &str) -> Result<Vec<(RetryFlag, i32, Vec<i64>)>, PopInfoError> {
    parse_groups(text, |field| field.split(',').map(|offset| number("message offset", offset)).collect())
}

fn parse_groups<T>(
    text: &str,
    parse_last: impl Fn(&str) -> Result<T, PopInfoError>,
) -> Result<Vec<(RetryFlag, i32, T)>, PopInfoError> {
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    for group in text.split(';').filter(|_| !text.is_empty()) {
        let fields: Vec<&str> = group.split(' ').collect();
        let [retry, queue_id, last] = fields[..] else {
            return Err(PopInfoError::FieldCount { found: fields.len(), group: clip(group) });
        };
        let retry = RetryFlag::from_text(retry).ok_or_else(|| PopInfoError::Field {
            field: "retry flag",
            text: clip(retry),
            expected: "0, 1 or 2",
        })?;
        let queue_id = queue_id.parse().map_err(|_| PopInfoError::Field {
            field: "queue id",
            text: clip(queue_id),
            expected: "a 32-bit decimal integer",
        })?;
        if !seen.insert((retry, queue_id)) {
            return Err(PopInfoError::Duplicate { retry, queue_id });
        }
        groups.push((retry, queue_id, parse_last(last)?));
    }
    Ok(groups)
}

fn number(field: &'static str, text: &str) -> Result<i64, PopInfoError> {
    text.parse().map_err(|_| PopInfoError::Field { field, text: clip(text), expected: "a 64-bit decimal integer" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn verified_texts() {
        let starts = [(RetryFlag::Normal, 3, 100), (RetryFlag::V1, 0, 7)];
        assert_eq!(start_offset_info(&starts), "0 3 100;1 0 7");
        assert_eq!(parse_start_offset_info("0 3 100;1 0 7").unwrap(), starts);
        let offsets = [(RetryFlag::Normal, 3, vec![100, 102])];
        assert_eq!(msg_offset_info(&offsets), "0 3 100,102");
        assert_eq!(parse_msg_offset_info("0 3 100,102").unwrap(), offsets);
        assert_eq!((start_offset_info(&[]), msg_offset_info(&[])), (String::new(), String::new()));
        assert_eq!(parse_start_offset_info("").unwrap(), []);
    }

    #[test]
    fn malformed_groups_are_refused() {
        assert!(matches!(parse_start_offset_info("0 3"), Err(PopInfoError::FieldCount { found: 2, .. })));
        assert!(matches!(parse_start_offset_info("0 3 1;"), Err(PopInfoError::FieldCount { found: 1, .. })));
        assert!(matches!(parse_start_offset_info("9 3 1"), Err(PopInfoError::Field { field: "retry flag", .. })));
        assert!(matches!(parse_start_offset_info("0 q 1"), Err(PopInfoError::Field { field: "queue id", .. })));
        assert!(matches!(parse_msg_offset_info("0 3 1,"), Err(PopInfoError::Field { field: "message offset", .. })));
        assert_eq!(
            parse_msg_offset_info("0 3 1;0 3 2"),
            Err(PopInfoError::Duplicate { retry: RetryFlag::Normal, queue_id: 3 })
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(groups in btree_map((0u8..3, any::<i32>()), vec(any::<i64>(), 1..5), 0..8)) {
            let offsets: Vec<_> = groups
                .into_iter()
                .map(|((code, queue_id), offsets)| (RetryFlag::from_code(code).unwrap(), queue_id, offsets))
                .collect();
            let starts: Vec<_> = offsets.iter().map(|(retry, queue_id, list)| (*retry, *queue_id, list[0])).collect();
            prop_assert_eq!(parse_msg_offset_info(&msg_offset_info(&offsets)).unwrap(), offsets);
            prop_assert_eq!(parse_start_offset_info(&start_offset_info(&starts)).unwrap(), starts);
        }

        #[test]
        fn any_text_is_answered(text in "[0-9 ;,x-]{0,60}") {
            let _ = parse_start_offset_info(&text);
            let _ = parse_msg_offset_info(&text);
        }
    }
}
