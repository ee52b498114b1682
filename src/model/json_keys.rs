//! JSON as fastjson writes it: maps with number keys come without quotes around the keys.

use std::borrow::Cow;

/// Puts quotes around bare integer keys, so that a strict parser accepts `{0:"a"}`. Text without such keys is borrowed.
pub fn quote_integer_keys(json: &[u8]) -> Cow<'_, [u8]> {
    let mut quoted = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => at = after_string(json, at),
            b'-' | b'0'..=b'9' => {
                let digits = json[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let end = at + 1 + digits;
                if json[end..].trim_ascii_start().first() == Some(&b':') {
                    quoted.extend_from_slice(&json[copied..at]);
                    quoted.push(b'"');
                    quoted.extend_from_slice(&json[at..end]);
                    quoted.push(b'"');
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    quoted.extend_from_slice(&json[copied..]);
    Cow::Owned(quoted)
}

/// The position after the string that starts at `at`, or the end when it is never closed.
fn after_string(json: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(&byte) = json.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::quote_integer_keys;

    #[test]
    fn only_keys_outside_of_strings_are_quoted() {
        let json = br#"{"a":{0:"x",-12 :[1,2]},"b":"{0:1}\"{1:2}",3:4}"#;
        let quoted = br#"{"a":{"0":"x","-12" :[1,2]},"b":"{0:1}\"{1:2}","3":4}"#;
        assert_eq!(quote_integer_keys(json).as_ref(), quoted);
        assert_eq!(quote_integer_keys(quoted).as_ref(), quoted);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(json in "[-0-9:{}\"\\\\ a,]{0,40}") {
            quote_integer_keys(json.as_bytes());
        }
    }
}
