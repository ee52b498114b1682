//! Typed access to a MessagePack value that was written with field names.

use rmpv::{Utf8StringRef, ValueRef};
use thiserror::Error;

/// A field that is missing or of another kind than expected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}` is missing or not {expected}")]
pub(super) struct Misread {
    /// Which.
    pub(super) field: String,
    /// What it should be.
    pub(super) expected: &'static str,
}

fn misread(field: &str, expected: &'static str) -> Misread {
    Misread { field: field.to_owned(), expected }
}

fn text_of<'a>(value: &ValueRef<'a>) -> Option<&'a str> {
    match value {
        ValueRef::String(text) => Utf8StringRef::into_str(*text),
        _ => None,
    }
}

/// A map with field names; unknown fields are never looked at.
#[derive(Clone, Copy)]
pub(super) struct Fields<'v, 'a>(&'v [(ValueRef<'a>, ValueRef<'a>)]);

impl<'v, 'a> Fields<'v, 'a> {
    /// The fields of a value, named `what` in errors.
    pub(super) fn of(value: &'v ValueRef<'a>, what: &str) -> Result<Self, Misread> {
        match value {
            ValueRef::Map(pairs) => Ok(Self(pairs)),
            _ => Err(misread(what, "a map")),
        }
    }

    /// A field, unless it is missing or nil.
    pub(super) fn get(&self, name: &str) -> Option<&'v ValueRef<'a>> {
        let found = self.0.iter().find(|(key, _)| text_of(key) == Some(name));
        found.map(|(_, value)| value).filter(|value| !matches!(value, ValueRef::Nil))
    }

    pub(super) fn value(&self, name: &str) -> Result<&'v ValueRef<'a>, Misread> {
        self.get(name).ok_or_else(|| misread(name, "there"))
    }

    pub(super) fn map(&self, name: &str) -> Result<Fields<'v, 'a>, Misread> {
        Fields::of(self.value(name)?, name)
    }

    pub(super) fn text(&self, name: &str) -> Result<String, Misread> {
        let text = self.get(name).and_then(text_of);
        text.map(str::to_owned).ok_or_else(|| misread(name, "text"))
    }

    pub(super) fn number<T: TryFrom<i128>>(&self, name: &str) -> Result<T, Misread> {
        self.get(name).and_then(number_of).ok_or_else(|| misread(name, "a number in range"))
    }

    /// A number that older writers leave out.
    pub(super) fn number_or<T: TryFrom<i128>>(&self, name: &str, default: T) -> Result<T, Misread> {
        if self.get(name).is_none() { Ok(default) } else { self.number(name) }
    }

    pub(super) fn bytes(&self, name: &str) -> Result<&'a [u8], Misread> {
        match self.get(name) {
            Some(ValueRef::Binary(bytes)) => Ok(bytes),
            _ => Err(misread(name, "bytes")),
        }
    }

    pub(super) fn list(&self, name: &str) -> Result<&'v [ValueRef<'a>], Misread> {
        match self.get(name) {
            Some(ValueRef::Array(items)) => Ok(items),
            _ => Err(misread(name, "a list")),
        }
    }

    pub(super) fn variant(&self, name: &str) -> Result<Variant<'v, 'a>, Misread> {
        Variant::of(self.value(name)?, name)
    }
}

/// An integer of any width.
pub(super) fn number_of<T: TryFrom<i128>>(value: &ValueRef<'_>) -> Option<T> {
    let ValueRef::Integer(number) = value else { return None };
    let wide = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))?;
    T::try_from(wide).ok()
}

/// One of several kinds, tagged from outside: a bare name, or a map of the name to the content.
pub(super) struct Variant<'v, 'a> {
    pub(super) name: &'a str,
    content: Option<&'v ValueRef<'a>>,
}

impl<'v, 'a> Variant<'v, 'a> {
    pub(super) fn of(value: &'v ValueRef<'a>, what: &str) -> Result<Self, Misread> {
        let expected = "a variant";
        match value {
            ValueRef::String(_) => {
                let name = text_of(value).ok_or_else(|| misread(what, expected))?;
                Ok(Self { name, content: None })
            }
            ValueRef::Map(pairs) if pairs.len() == 1 => {
                let name = text_of(&pairs[0].0).ok_or_else(|| misread(what, expected))?;
                Ok(Self { name, content: Some(&pairs[0].1) })
            }
            _ => Err(misread(what, expected)),
        }
    }

    pub(super) fn content(&self) -> Result<&'v ValueRef<'a>, Misread> {
        self.content.ok_or_else(|| misread(self.name, "a variant with content"))
    }

    pub(super) fn fields(&self) -> Result<Fields<'v, 'a>, Misread> {
        Fields::of(self.content()?, self.name)
    }
}
