//! `cargo sim schema`: the JSON Schema of scenario files.

use std::io::Write as _;

use super::{Unusable, Verdict};

/// Prints the schema.
///
/// # Errors
/// Standard output cannot be written.
pub fn schema() -> Result<Verdict, Unusable> {
    let text = serde_json::to_string_pretty(&crate::scenario::schema())?;
    writeln!(std::io::stdout(), "{text}").map_err(Unusable::io("stdout"))?;
    Ok(Verdict::Held)
}
