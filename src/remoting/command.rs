//! One request or response (RocketMQ `RemotingCommand`).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::headers::{Header, HeaderError};

/// The protocol version this crate speaks: `V5_3_3` in RocketMQ's `MQVersion`.
pub const VERSION: i32 = 479;

/// Flag bit 0: the command is a response.
const RESPONSE_BIT: i32 = 1;
/// Flag bit 1: the request wants no response, not even an error.
const ONEWAY_BIT: i32 = 1 << 1;

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Request code, or response code in a response (see [`super::code`]).
    pub code: i32,
    /// The sender's implementation language.
    pub language: Language,
    /// The sender's protocol version (`MQVersion` number).
    pub version: i32,
    /// Correlates a response with its request; chosen by the client.
    pub opaque: i32,
    pub(super) flag: i32,
    /// Free text, mostly the reason of an error.
    pub remark: Option<String>,
    /// The header fields in their flat form.
    pub ext: BTreeMap<String, String>,
    /// The body; empty when there is none.
    pub body: Bytes,
}

impl Command {
    /// A request without header fields and body.
    pub fn request(code: i32) -> Self {
        Self {
            code,
            language: Language::Rust,
            version: VERSION,
            opaque: 0,
            flag: 0,
            remark: None,
            ext: BTreeMap::new(),
            body: Bytes::new(),
        }
    }

    /// A response without header fields and body. The server fills in `opaque`; elsewhere use [`Command::reply_to`].
    pub fn response(code: i32) -> Self {
        Self { flag: RESPONSE_BIT, ..Self::request(code) }
    }

    /// Sets the remark.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds the fields of `header`.
    #[must_use]
    pub fn with_header(mut self, header: &impl Header) -> Self {
        header.write(&mut self.ext);
        self
    }

    /// Marks a request as wanting no response.
    #[must_use]
    pub fn oneway(mut self) -> Self {
        self.flag |= ONEWAY_BIT;
        self
    }

    /// Makes this the response to `request`.
    #[must_use]
    pub fn reply_to(self, request: &Self) -> Self {
        self.answering(request.opaque)
    }

    /// Makes this the response to the request with this `opaque`.
    pub(super) fn answering(mut self, opaque: i32) -> Self {
        self.opaque = opaque;
        self.flag = (self.flag | RESPONSE_BIT) & !ONEWAY_BIT;
        self
    }

    /// Makes this the request with this `opaque`, which wants an answer or not.
    pub(super) fn asking(mut self, opaque: i32, oneway: bool) -> Self {
        self.opaque = opaque;
        self.flag &= !(RESPONSE_BIT | ONEWAY_BIT);
        if oneway { self.oneway() } else { self }
    }

    /// Whether this is a response.
    pub fn is_response(&self) -> bool {
        self.flag & RESPONSE_BIT != 0
    }

    /// Whether the sender wants no response.
    pub fn is_oneway(&self) -> bool {
        self.flag & ONEWAY_BIT != 0
    }

    /// The header fields as `H`.
    ///
    /// # Errors
    /// A required field is missing, or a field's text is not what `H` expects.
    pub fn header<H: Header>(&self) -> Result<H, HeaderError> {
        H::read(&self.ext)
    }
}

/// Implementation language of a peer (RocketMQ `LanguageCode`); the discriminant is the code of the binary header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Language {
    /// Java.
    Java = 0,
    /// C++.
    Cpp = 1,
    /// .NET.
    Dotnet = 2,
    /// Python.
    Python = 3,
    /// Delphi.
    Delphi = 4,
    /// Erlang.
    Erlang = 5,
    /// Ruby.
    Ruby = 6,
    /// Another one, or one this crate does not know.
    Other = 7,
    /// The HTTP gateway.
    Http = 8,
    /// Go.
    Go = 9,
    /// PHP.
    Php = 10,
    /// OpenMessaging.
    Oms = 11,
    /// Rust.
    Rust = 12,
    /// Node.js.
    NodeJs = 13,
}

impl Language {
    const ALL: [(Self, &'static str); 14] = [
        (Self::Java, "JAVA"),
        (Self::Cpp, "CPP"),
        (Self::Dotnet, "DOTNET"),
        (Self::Python, "PYTHON"),
        (Self::Delphi, "DELPHI"),
        (Self::Erlang, "ERLANG"),
        (Self::Ruby, "RUBY"),
        (Self::Other, "OTHER"),
        (Self::Http, "HTTP"),
        (Self::Go, "GO"),
        (Self::Php, "PHP"),
        (Self::Oms, "OMS"),
        (Self::Rust, "RUST"),
        (Self::NodeJs, "NODE_JS"),
    ];

    /// The code in the binary header.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The name in the JSON header.
    pub fn name(self) -> &'static str {
        Self::ALL[usize::from(self.code())].1
    }

    /// The language with this code; one we do not know is [`Language::Other`], as RocketMQ too reads on.
    pub fn by_code(code: u64) -> Self {
        let index = usize::try_from(code).unwrap_or(usize::MAX);
        Self::ALL.get(index).map_or(Self::Other, |(language, _)| *language)
    }

    /// The language with this name; one we do not know is [`Language::Other`].
    pub fn by_name(name: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == name).map_or(Self::Other, |(language, _)| *language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_carries_the_opaque_and_only_the_response_bit() {
        let request = Command { opaque: 7, ..Command::request(10) }.oneway();
        assert!(request.is_oneway() && !request.is_response());
        let reply = Command::request(0).oneway().reply_to(&request);
        assert_eq!((reply.opaque, reply.is_response(), reply.is_oneway()), (7, true, false));
    }

    #[test]
    fn languages_are_listed_by_code() {
        for (index, (language, name)) in Language::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(language.code()), index);
            assert_eq!((language.name(), Language::by_name(name)), (name, language));
            assert_eq!(Language::by_code(u64::from(language.code())), language);
        }
        assert_eq!((Language::by_name("COBOL"), Language::by_code(14)), (Language::Other, Language::Other));
    }
}
