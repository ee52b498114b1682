//! Requests by their code and the code they were answered with.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::OTHER;
use crate::remoting::code::{request, response};

/// Stands for every request code that has no name.
const UNNAMED: i32 = i32::MIN;

/// Counts answers. A pair that was seen before costs a shared lock and no allocation.
#[derive(Debug, Default)]
pub struct Requests {
    counts: RwLock<BTreeMap<(i32, i32), AtomicU64>>,
}

impl Requests {
    /// A request with code `request` was answered with code `response`.
    pub fn answered(&self, request: i32, response: i32) {
        let key = (request, response);
        if let Some(count) = self.counts.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            count.fetch_add(1, Relaxed);
            return;
        }
        // Clients choose the request code: without a name it counts as `other`. Response codes are ours.
        let named = if matches!(request::name(request), Cow::Borrowed(_)) { request } else { UNNAMED };
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        counts.entry((named, response)).or_default().fetch_add(1, Relaxed);
    }

    /// Request code, response code, count.
    pub(super) fn all(&self) -> Vec<(Cow<'static, str>, Cow<'static, str>, u64)> {
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        let names = |(request, response): &(i32, i32)| match *request {
            UNNAMED => (Cow::Borrowed(OTHER), response::name(*response)),
            code => (request::name(code), response::name(*response)),
        };
        let row = |(codes, count): (&(i32, i32), &AtomicU64)| {
            let (request, response) = names(codes);
            (request, response, count.load(Relaxed))
        };
        counts.iter().map(row).collect()
    }
}
