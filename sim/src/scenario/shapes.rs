//! Values of a scenario file that may be written in more than one way, and values that remember where they stood.
//!
//! serde's untagged enums would buffer their input and lose the places, so each shape here has its own visitor.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};

/// A value and the bytes of the file it was read from.
#[derive(Debug, Clone)]
pub(super) struct Located<T>(toml::Spanned<T>);

impl<T> Located<T> {
    pub(super) fn get(&self) -> &T {
        self.0.get_ref()
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.0.span()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        toml::Spanned::deserialize(deserializer).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A duration such as "90s", "5m" or "2h30m", in whole milliseconds.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Time(pub(super) String);

/// What a [`OneOrRange`] can hold.
pub(super) trait Scalar {
    /// What to write, for error messages.
    const EXPECTED: &'static str;
}

impl Scalar for Time {
    const EXPECTED: &'static str = r#"a duration such as "5m", or a range { from = "5m", to = "20m" }"#;
}

impl Scalar for i64 {
    const EXPECTED: &'static str = "a whole number, or a range { from = 1, to = 5 }";
}

/// An exact value, or a range from which the seed draws (both ends included).
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum OneOrRange<T> {
    /// This value.
    One(T),
    /// Drawn by seed.
    Range(RangeEntry<T>),
}

/// `{ from = .., to = .. }`
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RangeEntry<T> {
    /// Smallest.
    pub(super) from: Located<T>,
    /// Largest.
    pub(super) to: Located<T>,
}

impl<'de, T: Deserialize<'de> + Scalar> Deserialize<'de> for OneOrRange<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrRangeVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Scalar> Visitor<'de> for OneOrRangeVisitor<T> {
            type Value = OneOrRange<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                let read: Result<T, E> = T::deserialize(text.into_deserializer());
                read.map(OneOrRange::One).map_err(|_| E::invalid_type(Unexpected::Str(text), &self))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                let read: Result<T, E> = T::deserialize(number.into_deserializer());
                read.map(OneOrRange::One).map_err(|_| E::invalid_type(Unexpected::Signed(number), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                RangeEntry::deserialize(MapAccessDeserializer::new(map)).map(OneOrRange::Range)
            }
        }

        deserializer.deserialize_any(OneOrRangeVisitor(PhantomData))
    }
}

/// Which of the matching requests: exact ordinals, or some drawn by seed.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Ordinals {
    /// This one.
    One(i64),
    /// These.
    These(Vec<Located<i64>>),
    /// Drawn by seed.
    Pick(PickEntry),
}

/// `{ pick = .., of = .. }`: that many distinct ordinals out of `1..=of`.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PickEntry {
    /// How many.
    pub(super) pick: Located<i64>,
    /// The largest.
    pub(super) of: Located<i64>,
}

impl<'de> Deserialize<'de> for Ordinals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrdinalsVisitor;

        impl<'de> Visitor<'de> for OrdinalsVisitor {
            type Value = Ordinals;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ordinals such as [1, 3], or { pick = 5, of = 200 }")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Ordinals::One(number))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Ordinals::These)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                PickEntry::deserialize(MapAccessDeserializer::new(map)).map(Ordinals::Pick)
            }
        }

        deserializer.deserialize_any(OrdinalsVisitor)
    }
}

/// A code of the protocol.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum NameOrNumber {
    /// By its RocketMQ name.
    Name(String),
    /// By its number.
    Number(i64),
}

impl<'de> Deserialize<'de> for NameOrNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeVisitor;

        impl Visitor<'_> for CodeVisitor {
            type Value = NameOrNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a code in quotes, or its number")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(NameOrNumber::Name(name.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(NameOrNumber::Number(number))
            }
        }

        deserializer.deserialize_any(CodeVisitor)
    }
}

/// Node names.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Nodes {
    /// One node.
    One(String),
    /// Several nodes.
    Many(Vec<Located<String>>),
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodesVisitor;

        impl<'de> Visitor<'de> for NodesVisitor {
            type Value = Nodes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a node name in quotes, or a list of them")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Nodes::One(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Nodes::Many)
            }
        }

        deserializer.deserialize_any(NodesVisitor)
    }
}
