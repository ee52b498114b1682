//! The body of a produced message: a stamp that names it for ever, then filler.

use bytes::Bytes;
use rand::RngExt;

use crate::history::LedgerId;

const STAMP_BEGIN: &str = "<<";
const STAMP_END: &str = ">>";
/// Longest name a stamp is taken for, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Neither `<` nor `>`, so that filler never looks like a stamp.
const FILLER: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The name of the message with this number, from 0, of this producer.
pub fn ledger_id(producer: &str, number: u32) -> LedgerId {
    LedgerId(format!("{producer}#{number:06}").into())
}

/// A body of `length` bytes: `<<producer#number>>` and printable filler; the stamp alone when that is longer.
pub fn body(ledger: &LedgerId, length: usize, rng: &mut impl rand::Rng) -> Bytes {
    let mut text = format!("{STAMP_BEGIN}{ledger}{STAMP_END}").into_bytes();
    while text.len() < length {
        text.push(FILLER[rng.random_range(0..FILLER.len())]);
    }
    text.into()
}

/// The name stamped at the beginning of `body`; `None` when there is no stamp.
pub fn ledger_of(body: &[u8]) -> Option<LedgerId> {
    let head = &body[..body.len().min(STAMP_BEGIN.len() + NAME_BYTES_MAX + STAMP_END.len())];
    let rest = head.strip_prefix(STAMP_BEGIN.as_bytes())?;
    let end = memchr::memmem::find(rest, STAMP_END.as_bytes())?;
    let name = std::str::from_utf8(&rest[..end]).ok()?;
    let (producer, number) = name.rsplit_once('#')?;
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    (is_number && !producer.is_empty()).then(|| LedgerId(name.into()))
}

#[cfg(test)]
mod tests {
    use super::{body, ledger_id, ledger_of};
    use crate::random::Streams;

    #[test]
    fn the_stamp_is_read_back_at_any_length() {
        let ledger = ledger_id("producer-1", 17);
        assert_eq!(ledger.to_string(), "producer-1#000017");
        for length in [0, 21, 22, 200] {
            let made = body(&ledger, length, &mut Streams::new(1).stream("body"));
            assert_eq!((made.len(), ledger_of(&made)), (length.max(21), Some(ledger.clone())));
            assert!(made.iter().all(u8::is_ascii_graphic));
        }
    }

    #[test]
    fn what_is_no_stamp_gives_no_name() {
        for text in ["", "<<", "<<a#1", "a#1>>", "<<a>>", "<<#1>>", "<<a#>>", "<<a#x>>", " <<a#1>>"] {
            assert_eq!(ledger_of(text.as_bytes()), None, "{text}");
        }
        assert_eq!(ledger_of(b"<<\xff#1>>"), None);
    }
}
