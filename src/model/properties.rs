//! The property table of a message and its stored text (RocketMQ `MessageDecoder`).

use std::collections::BTreeMap;

use thiserror::Error;

use super::clip::clip;

const NAME_END: char = '\u{1}';
const PAIR_END: char = '\u{2}';

/// Properties of a message, in order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    pairs: BTreeMap<String, String>,
}

/// A pair that the stored text cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PropertyError {
    /// The name is empty, so a reader would drop the pair.
    #[error("a property has an empty name (its value is {value:?})")]
    EmptyName {
        /// Value of the pair, shortened.
        value: String,
    },
    /// The value is empty, so a reader would drop the pair.
    #[error("property {name:?} has an empty value")]
    EmptyValue {
        /// Name of the pair, shortened.
        name: String,
    },
    /// The name holds one of the separators 0x01 and 0x02.
    #[error("the property name {name:?} holds a separator (0x01 or 0x02)")]
    SeparatorInName {
        /// Name of the pair, shortened.
        name: String,
    },
    /// The value holds the pair separator 0x02.
    #[error("the value of property {name:?} holds the separator 0x02")]
    SeparatorInValue {
        /// Name of the pair, shortened.
        name: String,
    },
}

impl Properties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.get(name).map(String::as_str)
    }

    /// Sets a property, replacing its former value. Pairs that cannot be stored are refused by [`Self::encode`].
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.pairs.insert(name.into(), value.into());
    }

    /// Removes a property and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.pairs.remove(name)
    }

    /// All pairs in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The stored text: `name` 0x01 `value` 0x02 for each pair.
    ///
    /// # Errors
    /// When a pair would not be read back. A value may hold 0x01, because a reader splits at the first one; so whatever
    /// [`Self::decode`] returned can be encoded again.
    pub fn encode(&self) -> Result<String, PropertyError> {
        let size = self.pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let mut text = String::with_capacity(size);
        for (name, value) in &self.pairs {
            check_pair(name, value)?;
            text.push_str(name);
            text.push(NAME_END);
            text.push_str(value);
            text.push(PAIR_END);
        }
        Ok(text)
    }

    /// Reads a stored text. Pairs without a name or a value are skipped, the last 0x02 may be missing, and the later of
    /// two equal names wins, as in RocketMQ.
    pub fn decode(text: &str) -> Self {
        let pairs = text
            .split(PAIR_END)
            .filter_map(|pair| pair.split_once(NAME_END))
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { pairs }
    }
}

fn check_pair(name: &str, value: &str) -> Result<(), PropertyError> {
    if name.is_empty() {
        return Err(PropertyError::EmptyName { value: clip(value) });
    }
    if name.contains([NAME_END, PAIR_END]) {
        return Err(PropertyError::SeparatorInName { name: clip(name) });
    }
    if value.is_empty() {
        return Err(PropertyError::EmptyValue { name: clip(name) });
    }
    if value.contains(PAIR_END) {
        return Err(PropertyError::SeparatorInValue { name: clip(name) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unstorable_pairs_are_refused() {
        let refused = |name: &str, value: &str| {
            let mut properties = Properties::new();
            properties.set(name, value);
            properties.encode().unwrap_err()
        };
        assert_eq!(refused("", "v"), PropertyError::EmptyName { value: "v".into() });
        assert_eq!(refused("n", ""), PropertyError::EmptyValue { name: "n".into() });
        assert_eq!(refused("n\u{1}", "v"), PropertyError::SeparatorInName { name: "n\u{1}".into() });
        assert_eq!(refused("n", "v\u{2}"), PropertyError::SeparatorInValue { name: "n".into() });
    }

    #[test]
    fn reading_is_lenient() {
        let read =
            Properties::decode("a\u{1}b\u{2}empty\u{1}\u{2}\u{1}nameless\u{2}bare\u{2}\u{2}a\u{1}c\u{2}last\u{1}x");
        assert_eq!(read.iter().collect::<Vec<_>>(), [("a", "c"), ("last", "x")]);
        assert!(Properties::decode("").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_reads_and_then_survives(text in any::<String>(), joints in "[ab\u{1}\u{2}]{0,40}") {
            for text in [text, joints] {
                let read = Properties::decode(&text);
                prop_assert_eq!(Properties::decode(&read.encode().unwrap()), read);
            }
        }
    }
}
