//! The byte form of a stored message (RocketMQ `MessageExtEncoder`, `MessageDecoder`).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::message::{
    BODY_BYTES_MAX, DecodeError, EncodeError, FLAG_BORN_HOST_V6, FLAG_STORE_HOST_V6, Message, PROPERTIES_BYTES_MAX,
    TOPIC_BYTES_MAX,
};
use super::names;
use super::properties::Properties;

const MAGIC_V1: u32 = 0xDAA3_20A7;
const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Size of a first-version record with IPv4 hosts and neither body, topic nor properties.
const FIXED_BYTES: usize = 91;
/// What an IPv6 host takes beyond an IPv4 one.
const V6_EXTRA_BYTES: usize = 12;
/// A first-version record holds the length of its topic in one signed byte.
const TOPIC_V1_BYTES_MAX: usize = i8::MAX as usize;

impl Message {
    /// The stored form: version 2 for topics longer than 127 bytes, otherwise version 1.
    ///
    /// # Errors
    /// When the body, the topic or the properties do not fit.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let properties = self.properties.encode()?;
        self.check_limits(properties.len())?;
        let (born_v6, store_v6) = (self.born_host.is_ipv6(), self.store_host.is_ipv6());
        let is_v2 = self.topic.len() > TOPIC_V1_BYTES_MAX;
        let hosts_extra = V6_EXTRA_BYTES * (usize::from(born_v6) + usize::from(store_v6));
        let variable = self.body.len() + self.topic.len() + properties.len() + usize::from(is_v2);
        let total = FIXED_BYTES + hosts_extra + variable;

        let mut out = BytesMut::with_capacity(total);
        // The limits checked above keep every length within its field.
        out.put_u32(total as u32);
        out.put_u32(if is_v2 { MAGIC_V2 } else { MAGIC_V1 });
        out.put_u32(body_crc(&self.body));
        out.put_i32(self.queue_id);
        out.put_i32(self.flag);
        out.put_i64(self.queue_offset);
        out.put_i64(self.physical_offset);
        out.put_i32(with_host_bits(self.sys_flag, born_v6, store_v6));
        out.put_i64(self.born_timestamp);
        put_host(&mut out, self.born_host);
        out.put_i64(self.store_timestamp);
        put_host(&mut out, self.store_host);
        out.put_i32(self.reconsume_times);
        out.put_i64(self.prepared_transaction_offset);
        out.put_u32(self.body.len() as u32);
        out.put_slice(&self.body);
        match is_v2 {
            true => out.put_u16(self.topic.len() as u16),
            false => out.put_u8(self.topic.len() as u8),
        }
        out.put_slice(self.topic.as_bytes());
        out.put_u16(properties.len() as u16);
        out.put_slice(properties.as_bytes());
        debug_assert_eq!(out.len(), total, "the size written first is the size of the record");
        Ok(out.freeze())
    }

    /// Takes one record from the front of `input`, which stays as it was when there is an error. The body shares the
    /// memory of the input. Bytes of the properties that are not UTF-8 are replaced, as RocketMQ does.
    ///
    /// # Errors
    /// When the record is cut, has an unknown version, lengths that contradict each other, or a wrong checksum.
    pub fn decode(input: &mut Bytes) -> Result<Self, DecodeError> {
        let mut rest = input.clone();
        let total = Fields::new(&mut rest).i32("total size")?;
        let size = usize::try_from(total)
            .ok()
            .filter(|size| *size >= FIXED_BYTES)
            .ok_or(DecodeError::BadLength { field: "total size", value: i64::from(total) })?;
        let mut record = Fields::new(&mut rest).take("record", size - 4)?;
        let message = decode_record(&mut record)?;
        *input = rest;
        Ok(message)
    }

    /// Takes all records of an answer.
    ///
    /// # Errors
    /// When any of them is malformed. RocketMQ returns those before it; a caller that did so could take what it cannot
    /// read for what is not there.
    pub fn decode_all(mut input: Bytes) -> Result<Vec<Self>, DecodeError> {
        let size = input.len();
        let mut messages = Vec::new();
        while !input.is_empty() {
            let position = size - input.len();
            let message = Self::decode(&mut input).map_err(|cause| DecodeError::Record {
                index: messages.len(),
                position,
                cause: Box::new(cause),
            })?;
            messages.push(message);
        }
        Ok(messages)
    }

    fn check_limits(&self, properties_length: usize) -> Result<(), EncodeError> {
        if self.body.len() > BODY_BYTES_MAX {
            return Err(EncodeError::BodyTooLarge { length: self.body.len() });
        }
        if self.topic.len() > TOPIC_BYTES_MAX {
            return Err(EncodeError::TopicTooLong { length: self.topic.len() });
        }
        if properties_length > PROPERTIES_BYTES_MAX {
            return Err(EncodeError::PropertiesTooLarge { length: properties_length });
        }
        Ok(())
    }
}

fn decode_record(record: &mut Bytes) -> Result<Message, DecodeError> {
    let mut fields = Fields::new(record);
    let magic = fields.i32("magic")? as u32;
    if magic != MAGIC_V1 && magic != MAGIC_V2 {
        return Err(DecodeError::BadMagic(magic));
    }
    let crc = fields.i32("body checksum")? as u32;
    let queue_id = fields.i32("queue id")?;
    let flag = fields.i32("flag")?;
    let queue_offset = fields.i64("queue offset")?;
    let physical_offset = fields.i64("physical offset")?;
    let sys_flag = fields.i32("system flag")?;
    let born_timestamp = fields.i64("born timestamp")?;
    let born_host = fields.host("born host", sys_flag & FLAG_BORN_HOST_V6 != 0)?;
    let store_timestamp = fields.i64("store timestamp")?;
    let store_host = fields.host("store host", sys_flag & FLAG_STORE_HOST_V6 != 0)?;
    let reconsume_times = fields.i32("reconsume times")?;
    let prepared_transaction_offset = fields.i64("prepared transaction offset")?;
    let body_length = fields.i32("body length")?;
    let body = fields.sized("body", body_length)?;
    let topic_length = match magic {
        MAGIC_V2 => i32::from(fields.i16("topic length")?),
        _ => i32::from(fields.i8("topic length")?),
    };
    let topic = String::from_utf8(fields.sized("topic", topic_length)?.to_vec())?;
    let properties_length = i32::from(fields.i16("properties length")?);
    let mut properties = Properties::decode(&String::from_utf8_lossy(&fields.sized("properties", properties_length)?));
    // It covers the bytes of this one record, so it would be wrong in any other.
    properties.remove(names::RECORD_CRC);
    if !record.is_empty() {
        return Err(DecodeError::TrailingBytes(record.len()));
    }
    let actual = body_crc(&body);
    if actual != crc {
        return Err(DecodeError::BadCrc { expected: crc, actual });
    }
    Ok(Message {
        topic,
        queue_id,
        queue_offset,
        physical_offset,
        flag,
        sys_flag,
        born_timestamp,
        born_host,
        store_timestamp,
        store_host,
        reconsume_times,
        prepared_transaction_offset,
        body,
        properties,
    })
}

/// CRC-32 with the top bit cleared, so that it is not negative in Java.
fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7fff_ffff
}

/// Bits copied from a message with other hosts would make the record unreadable.
fn with_host_bits(sys_flag: i32, born_v6: bool, store_v6: bool) -> i32 {
    let cleared = sys_flag & !(FLAG_BORN_HOST_V6 | FLAG_STORE_HOST_V6);
    cleared | if born_v6 { FLAG_BORN_HOST_V6 } else { 0 } | if store_v6 { FLAG_STORE_HOST_V6 } else { 0 }
}

fn put_host(out: &mut BytesMut, host: SocketAddr) {
    match host {
        SocketAddr::V4(host) => out.put_u32(host.ip().to_bits()),
        SocketAddr::V6(host) => out.put_u128(host.ip().to_bits()),
    }
    out.put_u32(u32::from(host.port()));
}

/// Reads fields after checking that they are there.
struct Fields<'a> {
    bytes: &'a mut Bytes,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a mut Bytes) -> Self {
        Self { bytes }
    }

    fn need(&self, field: &'static str, needed: usize) -> Result<(), DecodeError> {
        let left = self.bytes.len();
        if left < needed { Err(DecodeError::Truncated { field, needed, left }) } else { Ok(()) }
    }

    fn take(&mut self, field: &'static str, size: usize) -> Result<Bytes, DecodeError> {
        self.need(field, size)?;
        Ok(self.bytes.split_to(size))
    }

    fn sized(&mut self, field: &'static str, length: i32) -> Result<Bytes, DecodeError> {
        let size = usize::try_from(length).map_err(|_| DecodeError::BadLength { field, value: i64::from(length) })?;
        self.take(field, size)
    }

    fn i8(&mut self, field: &'static str) -> Result<i8, DecodeError> {
        self.need(field, 1)?;
        Ok(self.bytes.get_i8())
    }

    fn i16(&mut self, field: &'static str) -> Result<i16, DecodeError> {
        self.need(field, 2)?;
        Ok(self.bytes.get_i16())
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.need(field, 4)?;
        Ok(self.bytes.get_i32())
    }

    fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.need(field, 8)?;
        Ok(self.bytes.get_i64())
    }

    fn host(&mut self, field: &'static str, is_v6: bool) -> Result<SocketAddr, DecodeError> {
        self.need(field, if is_v6 { 20 } else { 8 })?;
        let address = match is_v6 {
            true => Ipv6Addr::from_bits(self.bytes.get_u128()).into(),
            false => Ipv4Addr::from_bits(self.bytes.get_u32()).into(),
        };
        let port = self.bytes.get_i32();
        let port = u16::try_from(port).map_err(|_| DecodeError::BadPort { field, port })?;
        Ok(SocketAddr::new(address, port))
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
