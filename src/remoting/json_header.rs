//! The JSON form of a command's header.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
};

use super::{
    command::{Command, Language},
    frame::BODY_CHECKSUM,
};

/// Written in RocketMQ's order, which is alphabetical.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    code: i32,
    #[serde(skip_serializing_if = "WrittenExt::is_empty")]
    ext_fields: WrittenExt<'a>,
    flag: i32,
    language: &'static str,
    opaque: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<&'a str>,
    #[serde(rename = "serializeTypeCurrentRPC")]
    serialize_type: &'static str,
    version: i32,
}

/// The header fields, and with them the body's checksum.
struct WrittenExt<'a> {
    fields: &'a BTreeMap<String, String>,
    checksum: Option<&'a str>,
}

impl WrittenExt<'_> {
    fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.checksum.is_none()
    }
}

impl Serialize for WrittenExt<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        serializer.collect_map(fields.chain(self.checksum.map(|checksum| (BODY_CHECKSUM, checksum))))
    }
}

/// Read leniently: all but `code` may be absent (RocketMQ then keeps its defaults); unknown keys are skipped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    code: i32,
    #[serde(default)]
    ext_fields: Option<ExtFields>,
    #[serde(default)]
    flag: i32,
    #[serde(default)]
    language: Option<LanguageField>,
    #[serde(default)]
    opaque: i32,
    #[serde(default)]
    remark: Option<String>,
    #[serde(default)]
    version: i32,
}

/// The header of `command` as JSON text; `checksum` is that of its body, if it has one.
pub(super) fn write(command: &Command, checksum: Option<&str>) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Written {
        code: command.code,
        ext_fields: WrittenExt { fields: &command.ext, checksum },
        flag: command.flag,
        language: command.language.name(),
        opaque: command.opaque,
        remark: command.remark.as_deref(),
        serialize_type: "JSON",
        version: command.version,
    })
}

/// Reads the JSON text of a header; the body is put in as it is.
pub(super) fn read(header: &[u8], body: Bytes) -> Result<Command, serde_json::Error> {
    if header.trim_ascii_start().first() != Some(&b'{') {
        return Err(de::Error::custom("a header is an object")); // serde would take an array for a struct
    }
    let read: Read = serde_json::from_slice(header)?;
    Ok(Command {
        code: read.code,
        language: read.language.map_or(Language::Java, |field| field.0),
        version: read.version,
        opaque: read.opaque,
        flag: read.flag,
        remark: read.remark,
        ext: read.ext_fields.map(|fields| fields.0).unwrap_or_default(),
        body,
    })
}

/// A language by name or by ordinal.
struct LanguageField(Language);

impl<'de> Deserialize<'de> for LanguageField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LanguageVisitor;
        impl Visitor<'_> for LanguageVisitor {
            type Value = LanguageField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a language name or ordinal")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<LanguageField, E> {
                Ok(LanguageField(Language::by_name(name)))
            }

            fn visit_u64<E: de::Error>(self, ordinal: u64) -> Result<LanguageField, E> {
                Ok(LanguageField(Language::by_code(ordinal)))
            }
        }
        deserializer.deserialize_any(LanguageVisitor)
    }
}

/// A map of texts in which bare numbers and booleans stand for their text and a null for no entry.
struct ExtFields(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for ExtFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExtVisitor;
        impl<'de> Visitor<'de> for ExtVisitor {
            type Value = ExtFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExtFields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, ExtValue>()? {
                    if let Some(text) = value.0 {
                        fields.insert(key, text);
                    }
                }
                Ok(ExtFields(fields))
            }
        }
        deserializer.deserialize_map(ExtVisitor)
    }
}

struct ExtValue(Option<String>);

impl<'de> Deserialize<'de> for ExtValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl Visitor<'_> for ValueVisitor {
            type Value = ExtValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, number or boolean")
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<ExtValue, E> {
                Ok(ExtValue(Some(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ExtValue, E> {
                self.visit_string(text.to_owned())
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<ExtValue, E> {
                self.visit_string(value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<ExtValue, E> {
                self.visit_string(value.to_string())
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<ExtValue, E> {
                self.visit_string(value.to_string())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<ExtValue, E> {
                self.visit_string(value.to_string())
            }

            fn visit_unit<E: de::Error>(self) -> Result<ExtValue, E> {
                Ok(ExtValue(None))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}
