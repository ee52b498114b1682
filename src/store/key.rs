//! Keys of rows: bytes whose order is the order of what they are made of.

use super::row::Table;
use crate::model::timer::TimerId;

/// A key under construction, or done. Its first byte is its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<u8>);

/// Ends a text; a zero byte inside of one is written as `0x00 0xFF`, so that no text begins with another's end.
const END_OF_TEXT: [u8; 2] = [0x00, 0x01];
const ZERO_IN_TEXT: [u8; 2] = [0x00, 0xFF];

impl Key {
    /// The first key of a table.
    pub(super) fn of(table: Table) -> Self {
        Self(vec![table as u8])
    }

    /// The key after the last one that begins with this one and goes on.
    pub(super) fn end(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        end.push(0xFF);
        end.extend([0xFF; 16]); // no part begins with so many: texts are UTF-8, numbers have eight bytes
        end
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            match byte {
                0 => self.0.extend(ZERO_IN_TEXT),
                other => self.0.push(other),
            }
        }
        self.0.extend(END_OF_TEXT);
        self
    }

    /// The beginning of a text: all keys whose next part begins so.
    pub(super) fn beginning(mut self, text: &str) -> Self {
        self = self.text(text);
        self.0.truncate(self.0.len() - END_OF_TEXT.len());
        self
    }

    /// A number; negative ones come first.
    pub(super) fn number(mut self, number: i64) -> Self {
        self.0.extend((number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        self
    }

    pub(super) fn index(mut self, index: u64) -> Self {
        self.0.extend(index.to_be_bytes());
        self
    }

    pub(super) fn timer(self, id: TimerId) -> Self {
        self.number(id.due_ms).index(id.index).index(id.record.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The row of a delayed message.
pub(super) fn timer(id: TimerId) -> Key {
    Key::of(Table::Timers).timer(id)
}

/// Reads a key's parts in their order. A part that is not there reads as empty or 0: keys are written by [`Key`] alone.
pub(super) struct Parts<'k>(&'k [u8]);

impl<'k> Parts<'k> {
    /// The parts after the table.
    pub(super) fn of(key: &'k [u8]) -> Self {
        Self(key.get(1..).unwrap_or_default())
    }

    pub(super) fn text(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut rest = self.0;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if byte != 0 {
                bytes.push(byte);
                continue;
            }
            let next = rest.split_first();
            rest = next.map(|(_, tail)| tail).unwrap_or_default();
            match next {
                Some((0xFF, _)) => bytes.push(0),
                _ => break,
            }
        }
        self.0 = rest;
        String::from_utf8(bytes).unwrap_or_default()
    }

    pub(super) fn number(&mut self) -> i64 {
        (self.index() ^ (1 << 63)).cast_signed()
    }

    pub(super) fn index(&mut self) -> u64 {
        let (bytes, rest) = self.0.split_first_chunk().map_or(([0; 8], [].as_slice()), |(chunk, rest)| (*chunk, rest));
        self.0 = rest;
        u64::from_be_bytes(bytes)
    }

    pub(super) fn timer(&mut self) -> TimerId {
        let (due_ms, index, record) = (self.number(), self.index(), self.index());
        TimerId { due_ms, index, record: u32::try_from(record).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_parts_and_read_back(
            one in (".{0,4}", any::<i64>(), any::<u64>()),
            other in (".{0,4}", any::<i64>(), any::<u64>()),
        ) {
            let key = |(text, number, index): &(String, i64, u64)| Key::of(Table::Queues).text(text).number(*number).index(*index);
            prop_assert_eq!(key(&one).cmp(&key(&other)), one.cmp(&other));
            let bytes = key(&one).into_bytes();
            let mut parts = Parts::of(&bytes);
            prop_assert_eq!((parts.text(), parts.number(), parts.index()), one);
        }

        #[test]
        fn what_begins_with_a_key_lies_before_its_end(text in "[\u{0}-\u{10ffff}]{0,3}", number in any::<i64>(), index in any::<u64>()) {
            let prefix = Key::of(Table::Queues).text(&text);
            let (low, high) = (prefix.clone().number(number).index(index), prefix.end());
            prop_assert!(prefix.bytes() <= low.bytes() && low.bytes() < &high[..]);
            let next_table = Key::of(Table::Bounds);
            prop_assert!(&Key::of(Table::Queues).end()[..] < next_table.bytes() || Table::Bounds < Table::Queues);
        }
    }
}
