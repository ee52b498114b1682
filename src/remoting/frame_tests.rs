#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::remoting::command::Language;

fn bytes_of(hex: &str) -> BytesMut {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn json_frame(header: &str, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_u32((4 + header.len() + body.len()) as u32);
    frame.put_u32(header.len() as u32);
    frame.put_slice(header.as_bytes());
    frame.put_slice(body);
    frame
}

fn decode(mut frame: BytesMut) -> Result<Option<Command>, FrameError> {
    FrameCodec::default().decode(&mut frame)
}

fn encode(codec: FrameCodec, command: &Command) -> BytesMut {
    let mut frame = BytesMut::new();
    let mut codec = codec;
    codec.encode(command, &mut frame).unwrap();
    frame
}

fn binary() -> FrameCodec {
    FrameCodec::default().with_form(HeaderForm::Binary)
}

#[test]
fn the_binary_vector_of_the_java_code_is_read_and_written() {
    let vector = "00000022 0100001e 000a 0c 01df 00000007 00000000 00000001 72 00000008 0001 6b 00000001 76";
    let mut command = Command { opaque: 7, ..Command::request(10) }.with_remark("r");
    command.ext.insert("k".into(), "v".into());
    assert_eq!(encode(binary(), &command), bytes_of(vector));
    assert_eq!(decode(bytes_of(vector)).unwrap().unwrap(), command);
}

#[test]
fn the_json_header_has_the_java_key_order() {
    let mut command = Command { opaque: 7, language: Language::Java, ..Command::request(10) }
        .with_remark("r")
        .with_body(Bytes::from_static(b"B"));
    command.ext.insert("k".into(), "v".into());
    let header = r#"{"code":10,"extFields":{"k":"v","bodyChecksum":"4ad0cf31"},"flag":0,"language":"JAVA","opaque":7,"remark":"r","serializeTypeCurrentRPC":"JSON","version":479}"#;
    assert_eq!(encode(FrameCodec::default(), &command), json_frame(header, b"B"));
    assert_eq!(encode(FrameCodec::default(), &command)[8..13], *b"{\"cod");
}

#[test]
fn a_body_that_is_not_the_one_written_is_refused_and_one_without_a_checksum_is_taken() {
    for codec in [FrameCodec::default(), binary()] {
        let frame = encode(codec, &Command::request(10).with_body(Bytes::from_static(b"body")));
        let last = frame.len() - 1;
        let mut flipped = frame.clone();
        flipped[last] ^= 1;
        assert!(matches!(decode(flipped), Err(FrameError::BadChecksum { .. })));
        let mut cut = BytesMut::from(&frame[..last]);
        cut[3] -= 1;
        assert!(matches!(decode(cut), Err(FrameError::BadChecksum { .. })));
    }
    let promised = json_frame(r#"{"code":10,"extFields":{"bodyChecksum":"00000000"}}"#, b"");
    assert_eq!(decode(promised).unwrap_err().to_string(), r#"the body's checksum is "", the header says "00000000""#);
    let unchecked = decode(json_frame(r#"{"code":10}"#, b"body")).unwrap().unwrap();
    assert_eq!(unchecked.body, "body");
}

#[test]
fn a_lenient_json_header_is_read() {
    let header =
        r#"{"code":200050,"extFields":{"n":5,"neg":-5,"b":true,"gone":null},"language":12,"opaque":3,"new":[{}]}"#;
    let command = decode(json_frame(header, b"")).unwrap().unwrap();
    let ext: BTreeMap<_, _> = [("n", "5"), ("neg", "-5"), ("b", "true")].map(|(k, v)| (k.into(), v.into())).into();
    assert_eq!((command.code, command.language, command.opaque, command.ext), (200_050, Language::Rust, 3, ext));
    let unknown = decode(json_frame(r#"{"code":1,"language":"COBOL"}"#, b"")).unwrap().unwrap();
    assert_eq!(unknown.language, Language::Other);
    let absent = decode(json_frame(r#"{"code":1}"#, b"")).unwrap().unwrap();
    assert_eq!((absent.language, absent.version), (Language::Java, 0));
}

#[test]
fn a_pop_code_is_written_as_json_whatever_was_chosen() {
    let command = Command::request(200_050);
    let frame = encode(binary(), &command);
    assert_eq!(frame[4], 0);
    assert_eq!(decode(frame).unwrap().unwrap(), command);
}

#[test]
fn malformed_frames_are_typed_errors() {
    let limit = DEFAULT_MAX_FRAME_BYTES;
    assert_eq!(decode(bytes_of("7fffffff")), Err(FrameError::TooLong { bytes: 0x8000_0003, limit }));
    assert_eq!(decode(bytes_of("00fffffd")), Err(FrameError::TooLong { bytes: limit + 1, limit }));
    assert_eq!(decode(bytes_of("00fffffc")), Ok(None));
    assert_eq!(decode(bytes_of("00000003")), Err(FrameError::TooShort { bytes: 3 }));
    assert_eq!(decode(bytes_of("00000004 02000000")), Err(FrameError::BadSerializeType { found: 2 }));
    assert_eq!(
        decode(bytes_of("00000005 00000002")),
        Err(FrameError::HeaderOverrun { header_bytes: 2, frame_bytes: 5 })
    );
    for header in ["", "{}", "[1]", r#"{"code":"x"}"#, r#"{"code":1,"extFields":{"a":[]}}"#, "\u{0}"] {
        assert!(matches!(decode(json_frame(header, b"")), Err(FrameError::BadJsonHeader { .. })), "{header}");
    }
}

#[test]
fn malformed_binary_headers_are_typed_errors() {
    let fixed = "000a 0c 01df 00000007 00000000";
    for (rest, field) in [
        ("0000", "remark length"),
        ("ffffffff", "remark"),
        ("7fffffff", "remark"),
        ("00000001 ff 00000000", "remark"),
        ("00000000 00000009 00", "map"),
        ("00000000 00000000 00", "map"),
        ("00000000 00000001 00", "key length"),
        ("00000000 00000002 ffff", "key"),
        ("00000000 00000004 0001 6b 00", "value length"),
        ("00000000 00000007 0001 6b 00000001", "value"),
    ] {
        let header = bytes_of(&format!("{fixed}{rest}"));
        let mut frame = BytesMut::new();
        frame.put_u32(4 + header.len() as u32);
        frame.put_u32(1 << 24 | header.len() as u32);
        frame.put_slice(&header);
        let error = decode(frame).unwrap_err();
        assert!(matches!(error, FrameError::BadBinaryHeader { field: f, .. } if f == field), "{rest}: {error}");
    }
}

#[test]
fn what_is_too_long_is_not_written() {
    let command = Command::request(1).with_body(vec![0; 200]);
    let error = FrameCodec::new(250).encode(&command, &mut BytesMut::new()).unwrap_err();
    assert!(matches!(error, FrameError::TooLong { limit: 250, .. }));
}

#[test]
fn a_partial_frame_waits_and_then_counts_as_truncated() {
    let frame = encode(FrameCodec::default(), &Command::request(1));
    let mut part = BytesMut::from(&frame[..frame.len() - 1]);
    assert_eq!(FrameCodec::default().decode(&mut part), Ok(None));
    assert_eq!(FrameCodec::default().decode_eof(&mut part), Err(FrameError::Truncated { bytes: frame.len() - 1 }));
}

fn commands(non_empty: bool) -> impl Strategy<Value = Command> {
    let text = if non_empty { ".{1,8}" } else { ".{0,8}" };
    let head = (any::<i16>(), 0..14_u64, any::<i16>(), any::<i32>(), any::<i32>());
    let ext = proptest::collection::btree_map(text, text, 0..5);
    (head, proptest::option::of(text), ext, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(
        |((code, language, version, opaque, flag), remark, ext, body)| Command {
            code: code.into(),
            language: Language::by_code(language),
            version: version.into(),
            opaque,
            flag,
            remark,
            ext,
            body: body.into(),
        },
    )
}

proptest! {
    #[test]
    fn json_frames_round_trip(mut command in commands(false), code: i32, version: i32) {
        (command.code, command.version) = (code, version);
        let mut frame = encode(FrameCodec::default(), &command);
        prop_assert_eq!(FrameCodec::default().decode(&mut frame).unwrap(), Some(command));
        prop_assert!(frame.is_empty());
    }

    #[test]
    fn binary_frames_round_trip(command in commands(true)) {
        let mut frame = encode(binary(), &command);
        prop_assert_eq!(frame[4], 1);
        prop_assert_eq!(FrameCodec::default().decode(&mut frame).unwrap(), Some(command));
        prop_assert!(frame.is_empty());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), form in 0..2_u32) {
        let mut raw = BytesMut::from(&bytes[..]);
        let _ = FrameCodec::default().decode_eof(&mut raw);
        let mut framed = BytesMut::new();
        framed.put_u32(4 + bytes.len() as u32);
        framed.put_u32(form << 24 | bytes.len() as u32);
        framed.put_slice(&bytes);
        let _ = FrameCodec::default().decode_eof(&mut framed);
    }
}
