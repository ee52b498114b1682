//! Why the JSON body of a checkpoint or an ack is refused.

use thiserror::Error;

/// A malformed checkpoint or ack body. The text is fit for an operator who has to repair or drop the record.
#[derive(Debug, Error)]
pub enum BodyError {
    /// Not JSON, or a member has the wrong type.
    #[error("the body is not the expected JSON: {cause}")]
    BadJson {
        /// What the JSON reader found, with line and column.
        #[from]
        #[source]
        cause: serde_json::Error,
    },
    /// A required member is missing, null or an empty text.
    #[error("member `{0}` is missing or empty")]
    MissingField(&'static str),
    /// A member that counts, dates or locates something is out of its range.
    #[error("member `{field}` is {value}, expected {expected}")]
    OutOfRange {
        /// Key of the member.
        field: &'static str,
        /// Value found.
        value: i64,
        /// What the member must be.
        expected: &'static str,
    },
    /// The number of messages and the list of offset differences disagree.
    #[error("the checkpoint counts {count} messages but lists {differences} offset differences")]
    CountMismatch {
        /// Member `n`.
        count: i64,
        /// Length of member `d`.
        differences: usize,
    },
    /// The kind of topic is none of the known ones.
    #[error("member `r` is {0:?}, expected \"0\" (normal), \"1\" (retry V1) or \"2\" (retry V2)")]
    UnknownRetryFlag(String),
    /// More offsets than one ack may hold.
    #[error("the ack names {found} offsets, at most {max} are allowed")]
    TooManyOffsets {
        /// Number of offsets, or of bits, found.
        found: usize,
        /// Largest number allowed.
        max: usize,
    },
}

/// Takes a required number that must lie within a range.
pub(super) fn number<T: TryFrom<i64>>(
    field: &'static str,
    value: Option<i64>,
    range: std::ops::RangeInclusive<i64>,
    expected: &'static str,
) -> Result<T, BodyError> {
    let value = value.ok_or(BodyError::MissingField(field))?;
    let narrowed = T::try_from(value).ok().filter(|_| range.contains(&value));
    narrowed.ok_or(BodyError::OutOfRange { field, value, expected })
}

/// Takes a required 64-bit number that is not negative.
pub(super) fn natural(field: &'static str, value: Option<i64>) -> Result<i64, BodyError> {
    number(field, value, 0..=i64::MAX, "a number that is not negative")
}

/// Takes a required queue number.
pub(super) fn queue(field: &'static str, value: Option<i64>) -> Result<i32, BodyError> {
    number(field, value, 0..=i64::from(i32::MAX), "a queue number of 0 or more")
}

/// Takes a required text that is not empty.
pub(super) fn text(field: &'static str, value: Option<String>) -> Result<String, BodyError> {
    value.filter(|text| !text.is_empty()).ok_or(BodyError::MissingField(field))
}
