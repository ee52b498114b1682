//! How much of a bad text an error quotes, so that hostile input cannot fill logs and answers.

const QUOTED_CHARS_MAX: usize = 64;

/// The text itself when short, otherwise its beginning and an ellipsis.
pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character_boundary() {
        assert_eq!(clip("short"), "short");
        assert_eq!(clip(&"é".repeat(1000)), format!("{}…", "é".repeat(QUOTED_CHARS_MAX)));
    }
}
