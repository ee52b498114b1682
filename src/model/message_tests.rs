//! Tests of the stored form of messages.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

/// The record RocketMQ wrote for [`verified`].
const VERIFIED: &str = "00000065daa320a73610a6860000000300000009000000000000006400000000000004d2000000000000018bcfe568007f\
    000001000000010000018bcfe568017f00000100002a9f0000000100000000000000000000000568656c6c6f0174000441016202";

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn verified() -> Message {
    let mut properties = Properties::new();
    properties.set("A", "b");
    Message {
        topic: "t".into(),
        queue_id: 3,
        queue_offset: 100,
        physical_offset: 1234,
        flag: 9,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: "127.0.0.1:1".parse().unwrap(),
        store_timestamp: 1_700_000_000_001,
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 1,
        prepared_transaction_offset: 0,
        body: Bytes::from_static(b"hello"),
        properties,
    }
}

fn decode(bytes: Vec<u8>) -> Result<Message, DecodeError> {
    let mut input = Bytes::from(bytes);
    let before = input.clone();
    let result = Message::decode(&mut input);
    assert!(result.is_ok() || input == before, "an error leaves the input alone");
    result
}

#[test]
fn verified_record() {
    assert_eq!(verified().encode().unwrap(), bytes_of(VERIFIED));
    assert_eq!(decode(bytes_of(VERIFIED)).unwrap(), verified());
    assert_eq!(verified().offset_id(), "7F00000100002A9F00000000000004D2");
}

#[test]
fn tag_and_key_come_from_the_properties() {
    let mut message = verified();
    assert_eq!((message.tag(), message.unique_key()), (None, None));
    message.properties.set(names::TAGS, "ck");
    message.properties.set(names::UNIQ_KEY, "k");
    assert_eq!((message.tag(), message.unique_key()), (Some("ck"), Some("k")));
}

#[test]
fn host_bits_follow_the_hosts() {
    let message = Message { sys_flag: 0x1 | FLAG_BORN_HOST_V6, store_host: "[::1]:7".parse().unwrap(), ..verified() };
    let read = decode(message.encode().unwrap().to_vec()).unwrap();
    assert_eq!(read, Message { sys_flag: 0x1 | FLAG_STORE_HOST_V6, ..message });
    assert_eq!(read.offset_id().len(), 56);
}

#[test]
fn long_topics_take_version_two() {
    for (length, magic) in [(127, MAGIC_V1), (128, MAGIC_V2), (TOPIC_BYTES_MAX, MAGIC_V2)] {
        let message = Message { topic: "t".repeat(length), ..verified() };
        let record = message.encode().unwrap();
        assert_eq!(record[4..8], magic.to_be_bytes());
        assert_eq!(decode(record.to_vec()).unwrap(), message);
    }
}

#[test]
fn limits_are_enforced() {
    let body = Bytes::from(vec![0; BODY_BYTES_MAX + 1]);
    let refused = Message { body, ..verified() }.encode();
    assert_eq!(refused, Err(EncodeError::BodyTooLarge { length: BODY_BYTES_MAX + 1 }));
    let refused = Message { topic: "t".repeat(TOPIC_BYTES_MAX + 1), ..verified() }.encode();
    assert_eq!(refused, Err(EncodeError::TopicTooLong { length: TOPIC_BYTES_MAX + 1 }));
    let mut message = verified();
    message.properties.set("B", "x".repeat(PROPERTIES_BYTES_MAX - 4 - 3));
    assert!(message.encode().is_ok());
    message.properties.set("B", "x".repeat(PROPERTIES_BYTES_MAX - 4 - 2));
    assert_eq!(message.encode(), Err(EncodeError::PropertiesTooLarge { length: PROPERTIES_BYTES_MAX + 1 }));
    message.properties.set("B", "");
    assert!(matches!(message.encode(), Err(EncodeError::Property(_))));
}

#[test]
fn damage_is_named() {
    let damaged = |at: usize, bytes: &[u8]| {
        let mut record = bytes_of(VERIFIED);
        record[at..at + bytes.len()].copy_from_slice(bytes);
        decode(record).unwrap_err()
    };
    assert_eq!(damaged(0, &[0; 4]), DecodeError::BadLength { field: "total size", value: 0 });
    assert_eq!(damaged(0, &[0xff; 4]), DecodeError::BadLength { field: "total size", value: -1 });
    assert_eq!(damaged(0, &[0, 0, 0, 102]), DecodeError::Truncated { field: "record", needed: 98, left: 97 });
    assert_eq!(damaged(4, &[0xcb, 0xd4, 0x31, 0x94]), DecodeError::BadMagic(0xcbd4_3194));
    assert_eq!(damaged(52, &[0, 1, 0, 0]), DecodeError::BadPort { field: "born host", port: 65_536 });
    assert_eq!(damaged(84, &[0x7f; 4]), DecodeError::Truncated { field: "body", needed: 0x7f7f_7f7f, left: 13 });
    assert_eq!(damaged(84, &[0xff; 4]), DecodeError::BadLength { field: "body", value: -1 });
    assert!(matches!(damaged(88, b"j"), DecodeError::BadCrc { .. }));
    assert!(matches!(damaged(94, &[0xff]), DecodeError::BadTopic(_)));
    assert_eq!(damaged(95, &[0, 3]), DecodeError::TrailingBytes(1));
}

#[test]
fn a_bad_record_among_good_ones_is_located() {
    let mut records = bytes_of(VERIFIED).repeat(2);
    assert_eq!(Message::decode_all(records.clone().into()).unwrap(), [verified(), verified()]);
    records.truncate(150);
    let cause = Box::new(DecodeError::Truncated { field: "record", needed: 97, left: 45 });
    assert_eq!(Message::decode_all(records.into()), Err(DecodeError::Record { index: 1, position: 101, cause }));
    assert_eq!(Message::decode_all(Bytes::new()), Ok(Vec::new()));
}

#[test]
fn the_checksum_of_a_record_is_not_kept() {
    let mut message = verified();
    message.properties.set(names::RECORD_CRC, "0780607090");
    assert_eq!(decode(message.encode().unwrap().to_vec()).unwrap(), verified());
}

prop_compose! {
    fn message()(
        (topic, body, pairs) in (".{0,200}", any::<Vec<u8>>(), proptest::collection::btree_map("[a-z]{1,5}", "[^\u{2}]{1,9}", 0..4)),
        (queue_id, flag, sys_flag, reconsume_times) in any::<(i32, i32, i32, i32)>(),
        (queue_offset, physical_offset, prepared_transaction_offset) in any::<(i64, i64, i64)>(),
        (born_timestamp, store_timestamp) in any::<(i64, i64)>(),
        (born_host, store_host) in any::<((IpAddr, u16), (IpAddr, u16))>(),
    ) -> Message {
        let mut properties = Properties::new();
        pairs.into_iter().for_each(|(name, value)| properties.set(name, value));
        let (born_host, store_host) = (SocketAddr::from(born_host), SocketAddr::from(store_host));
        let sys_flag = with_host_bits(sys_flag, born_host.is_ipv6(), store_host.is_ipv6());
        Message {
            topic, queue_id, queue_offset, physical_offset, flag, sys_flag, born_timestamp, born_host, store_timestamp,
            store_host, reconsume_times, prepared_transaction_offset, body: body.into(), properties,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(messages in proptest::collection::vec(message(), 0..4)) {
        let records: Vec<u8> = messages.iter().flat_map(|message| message.encode().unwrap()).collect();
        prop_assert_eq!(Message::decode_all(records.into()).unwrap(), messages);
    }

    /// Known defect A28.
    #[test]
    fn any_bytes_are_answered(bytes in any::<Vec<u8>>()) {
        let _ = Message::decode_all(bytes.into());
    }

    #[test]
    fn damaged_and_cut_records_are_answered(message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut record = message.encode().unwrap().to_vec();
        let at = at.index(record.len());
        prop_assert!(decode(record[..at].to_vec()).is_err());
        record[at] = byte;
        let _ = decode(record);
    }
}
