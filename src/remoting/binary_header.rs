//! The binary form of a command's header (RocketMQ `RocketMQSerializable`).

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};

use super::{
    command::{Command, Language},
    frame::{BODY_CHECKSUM, FrameError},
};

/// Whether every number of `command` fits its field. POP codes do not: the code has 16 bits only.
pub(super) fn fits(command: &Command) -> bool {
    i16::try_from(command.code).is_ok()
        && i16::try_from(command.version).is_ok()
        && command.remark.as_ref().is_none_or(|remark| i32::try_from(remark.len()).is_ok())
        && command.ext.iter().all(|(k, v)| i16::try_from(k.len()).is_ok() && i32::try_from(v.len()).is_ok())
}

/// The header of `command`, for which [`fits`] holds; `checksum` is that of its body, if it has one.
pub(super) fn write(command: &Command, checksum: Option<&str>) -> Vec<u8> {
    let mut header = Vec::with_capacity(64);
    header.put_i16(command.code as i16);
    header.put_u8(command.language.code());
    header.put_i16(command.version as i16);
    header.put_i32(command.opaque);
    header.put_i32(command.flag);
    let remark = command.remark.as_deref().unwrap_or_default();
    header.put_i32(remark.len() as i32);
    header.put_slice(remark.as_bytes());
    let fields = || {
        let fields = command.ext.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        fields.chain(checksum.map(|checksum| (BODY_CHECKSUM, checksum)))
    };
    let map_bytes: usize = fields().map(|(key, value)| 2 + key.len() + 4 + value.len()).sum();
    header.put_u32(map_bytes as u32);
    for (key, value) in fields() {
        header.put_i16(key.len() as i16);
        header.put_slice(key.as_bytes());
        header.put_i32(value.len() as i32);
        header.put_slice(value.as_bytes());
    }
    header
}

/// Reads a binary header; the body is put in as it is. As in RocketMQ an empty text is no text.
pub(super) fn read(mut header: &[u8], body: Bytes) -> Result<Command, FrameError> {
    let fixed = &mut header;
    let code = i32::from(number(fixed, "code", Buf::try_get_i16)?);
    let language = Language::by_code(u64::from(number(fixed, "language", Buf::try_get_u8)?));
    let version = i32::from(number(fixed, "version", Buf::try_get_i16)?);
    let opaque = number(fixed, "opaque", Buf::try_get_i32)?;
    let flag = number(fixed, "flag", Buf::try_get_i32)?;
    let remark_bytes = number(fixed, "remark length", Buf::try_get_i32)?;
    let remark = text(fixed, remark_bytes, "remark")?;
    let map_bytes = number(fixed, "map length", Buf::try_get_i32)?;
    let mut map = slice(fixed, map_bytes, "map")?;
    if !header.is_empty() {
        return Err(FrameError::BadBinaryHeader { field: "map", reason: "bytes are left after it" });
    }
    let mut ext = BTreeMap::new();
    while !map.is_empty() {
        let key_bytes = i32::from(number(&mut map, "key length", Buf::try_get_i16)?);
        let key = text(&mut map, key_bytes, "key")?;
        let value_bytes = number(&mut map, "value length", Buf::try_get_i32)?;
        let value = text(&mut map, value_bytes, "value")?;
        if let (Some(key), Some(value)) = (key, value) {
            ext.insert(key, value);
        }
    }
    Ok(Command { code, language, version, opaque, flag, remark, ext, body })
}

fn number<'a, T>(
    from: &mut &'a [u8],
    field: &'static str,
    take: impl FnOnce(&mut &'a [u8]) -> Result<T, bytes::TryGetError>,
) -> Result<T, FrameError> {
    take(from).map_err(|_| FrameError::BadBinaryHeader { field, reason: "the header ends in it" })
}

fn slice<'a>(from: &mut &'a [u8], length: i32, field: &'static str) -> Result<&'a [u8], FrameError> {
    let length =
        usize::try_from(length).map_err(|_| FrameError::BadBinaryHeader { field, reason: "its length is negative" })?;
    from.split_off(..length).ok_or(FrameError::BadBinaryHeader { field, reason: "it is longer than what is left" })
}

fn text(from: &mut &[u8], length: i32, field: &'static str) -> Result<Option<String>, FrameError> {
    let text = std::str::from_utf8(slice(from, length, field)?)
        .map_err(|_| FrameError::BadBinaryHeader { field, reason: "it is not UTF-8" })?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
