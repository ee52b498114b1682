//! pop-revive
pub mod broker;
pub mod model;
pub mod namesrv;
pub mod remote;
pub mod remoting;
pub mod revive;
pub mod seams;
pub mod store;
