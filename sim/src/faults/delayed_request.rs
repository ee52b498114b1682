//! Delayed request: a request arrives late, after others that were sent later.
//!
//! Real world: a request waits in a thread pool or a proxy while those behind it are served; it is applied long after its
//! caller has given up and done something else.
//!
//! Simulator: the frame arrives the planned time later than it would have; what is sent on its connection after it
//! overtakes it. When its connection ends meanwhile it is lost.
//!
//! Cannot: outlive its connection.

use std::time::Duration;

use crate::{plan::SimMs, world::Fate};

pub(super) fn strike(by_ms: SimMs) -> Fate {
    Fate::DeliverLate(Duration::from_millis(by_ms))
}
