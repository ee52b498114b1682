//! The RocketMQ remoting protocol: frames, commands, typed headers, a client and a server.
//!
//! Nothing here opens a socket: streams come from [`crate::seams::Transport`].

pub mod call_error;
pub mod client;
pub mod code;
pub mod command;
pub mod frame;
pub mod headers;
pub mod server;

mod binary_header;
mod client_connection;
mod frame_stream;
mod idle;
mod json_header;
mod server_connection;

#[cfg(test)]
mod client_server_tests;
#[cfg(test)]
pub(crate) mod memory_transport;

pub use call_error::CallError;
pub use client::{Client, ClientConfig};
pub use command::{Command, Language};
pub use frame::{BODY_CHECKSUM, FrameCodec, FrameError, HeaderForm};
pub use headers::{Header, HeaderError};
pub use server::{Handler, Peer, Server, ServerConfig};
