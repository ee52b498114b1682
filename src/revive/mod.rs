//! revive
