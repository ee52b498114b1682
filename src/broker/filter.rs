//! Tag filters: `*`, or tags joined by `||` (`FilterAPI`).

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{model::message::Message, sabotage};

/// Which messages a consumer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All.
    All,
    /// Those with one of these tags.
    Tags(BTreeSet<String>),
}

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Another language than tags.
    #[error("filter type {found:?} is not supported: expected TAG")]
    Language {
        /// The language.
        found: String,
    },
    /// No tag between the bars.
    #[error("filter {expression:?} is not understood: expected `*` or tags joined by `||`")]
    Expression {
        /// The expression.
        expression: String,
    },
}

impl Filter {
    /// Reads an expression; none, or an empty one, is all.
    ///
    /// # Errors
    /// Another language than tags, or no tags in it.
    pub fn parse(language: Option<&str>, expression: Option<&str>) -> Result<Self, FilterError> {
        let expression = expression.map(str::trim).unwrap_or_default();
        if expression.is_empty() || expression == "*" {
            return Ok(Self::All);
        }
        if let Some(found) = language.filter(|language| !language.is_empty() && *language != "TAG") {
            return Err(FilterError::Language { found: found.into() });
        }
        let tags: BTreeSet<String> =
            expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        if tags.is_empty() {
            return Err(FilterError::Expression { expression: expression.into() });
        }
        Ok(Self::Tags(tags))
    }

    /// Whether the message in stored form is wanted. One that cannot be decoded is: its reader is to see it.
    #[must_use]
    pub fn wants(&self, stored: &Bytes) -> bool {
        match self {
            Self::All => true,
            Self::Tags(tags) => Message::decode(&mut stored.clone()).map_or(true, |message| {
                message.tag().map_or(sabotage!("filter-takes-untagged"), |tag| tags.contains(tag))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tags() {
        assert_eq!(Filter::parse(None, None), Ok(Filter::All));
        assert_eq!(Filter::parse(Some("TAG"), Some(" * ")), Ok(Filter::All));
        let tags = |list: &[&str]| Filter::Tags(list.iter().map(ToString::to_string).collect());
        assert_eq!(Filter::parse(Some("TAG"), Some("A || B")), Ok(tags(&["A", "B"])));
        assert_eq!(Filter::parse(Some("SQL92"), Some("a > 1")), Err(FilterError::Language { found: "SQL92".into() }));
        assert_eq!(Filter::parse(None, Some("||")), Err(FilterError::Expression { expression: "||".into() }));
    }
}
