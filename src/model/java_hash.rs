//! The string hash of Java, which RocketMQ uses as the code of a tag.

/// `String.hashCode` of Java: `31 * h + unit` over the UTF-16 units, wrapping at 32 bits.
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_java() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("A"), 65);
        assert_eq!(java_hash("hello"), 99_162_322);
        // Wraps to the smallest value.
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        // Outside the basic plane: surrogates d83d de00 count as two units.
        assert_eq!(java_hash("😀"), 0xd83d * 31 + 0xde00);
    }
}
