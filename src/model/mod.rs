//! model
pub mod json_keys;
pub mod route;
