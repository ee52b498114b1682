//! The identities of clients' sends: a send that is repeated finds the first one and stores nothing.
//!
//! Time is cut into windows. A send made in one of them is known until the end of the next one, so for one window at
//! least and two at the most. Rows stand in the order in which they expire, and each new one takes two expired ones
//! along: without a clock that ticks, the table never holds more rows than sends were accepted in two windows.

use super::{
    StoreError, Txn,
    key::Key,
    row::{Row, Table},
    tables::Source as _,
};
use crate::{
    model::{chain::LogPosition, record::Record},
    sabotage,
};

/// What a client was told of its send, and is told again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SentAs {
    /// Queue.
    pub queue: i32,
    /// Offset in the queue; 0 for a delayed message.
    pub offset: i64,
    /// RocketMQ's offset message id.
    pub message_id: String,
    /// The creation of the topic that holds it.
    #[serde(default)]
    pub epoch: LogPosition,
}

/// How many windows a row may lie ahead: the two of its life, and one for a clock that was set back.
const WINDOWS_AHEAD: i64 = 3;

/// The end of the window after the one that `now_ms` is in.
fn expiry(now_ms: i64, window_ms: i64) -> i64 {
    (now_ms - now_ms.rem_euclid(window_ms)).saturating_add(2 * window_ms)
}

/// The key of a send's row.
pub(super) fn send_key(expires_ms: i64, topic: &str, key: &str) -> Key {
    Key::of(Table::Sends).number(expires_ms).text(topic).text(key)
}

impl Txn<'_, '_> {
    /// What was told of an earlier send of this key to this topic, created at `epoch`, at least if it was made less than
    /// `window_ms` (above 0) ago. After the window's length was changed, sends made before are not known any more; nor
    /// are those to a deleted topic of the same name, whose messages are gone.
    ///
    /// # Errors
    /// The store fails.
    pub fn known_send(
        &self,
        (topic, epoch): (&str, LogPosition),
        key: &str,
        window_ms: i64,
    ) -> Result<Option<SentAs>, StoreError> {
        let oldest = expiry(self.now_ms(), window_ms) - window_ms;
        for ahead in 0..WINDOWS_AHEAD {
            let expires_ms = oldest.saturating_add(ahead * window_ms);
            if let Some(Row::Sent(told)) = self.rows().get(Table::Sends, &send_key(expires_ms, topic, key))?
                && (told.epoch == epoch || sabotage!("epoch-ignored"))
            {
                return Ok(Some(SentAs::clone(&told)));
            }
        }
        Ok(None)
    }

    /// Keeps what a client is told of its send, for a window of `window_ms` (above 0) and the rest of the current one.
    ///
    /// # Errors
    /// The store fails.
    pub fn remember_send(&mut self, topic: &str, key: &str, told: &SentAs, window_ms: i64) -> Result<(), StoreError> {
        let expires_ms = expiry(self.now_ms(), window_ms);
        let SentAs { queue, offset, message_id, epoch } = told.clone();
        self.record(Record::Sent { topic: topic.into(), key: key.into(), queue, offset, message_id, expires_ms, epoch })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::store::{Step, direct::Direct};

    const BEGAN_MS: i64 = 1_700_000_000_000;
    const WINDOW_MS: i64 = 1_000;

    /// A send as the broker does it, without the message.
    struct Send(u32);

    impl Step for Send {
        type Reply = (SentAs, bool);

        fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError> {
            let key = self.0.to_string();
            if let Some(first) = txn.known_send(("t", LogPosition::default()), &key, WINDOW_MS)? {
                return Ok((first, true));
            }
            let index = i64::try_from(txn.position().index).unwrap();
            let told =
                SentAs { queue: 0, offset: index, message_id: format!("M{index}"), epoch: LogPosition::default() };
            txn.remember_send("t", &key, &told, WINDOW_MS)?;
            Ok((told, false))
        }
    }

    fn rows(store: &Direct) -> usize {
        let all = Key::of(Table::Sends);
        store.view().rows().scan(Table::Sends, std::ops::Bound::Unbounded, &all).unwrap().count()
    }

    #[test]
    fn a_clock_that_is_set_back_by_a_window_forgets_nothing() {
        let mut store = Direct::new();
        let (first, _) = store.run(BEGAN_MS, Send(1));
        assert_eq!(store.run(BEGAN_MS - WINDOW_MS, Send(1)), (first, true));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn repeated_sends_are_known_and_the_table_is_bounded(
            sends in proptest::collection::vec((prop_oneof![0..50_i64, 0..900_i64, 1_500..4_000_i64], 0..30_u32), 1..80),
        ) {
            let mut store = Direct::new();
            let (mut now_ms, mut accepted, mut most) = (BEGAN_MS, VecDeque::<(i64, u32, SentAs)>::new(), 0);
            for (pause_ms, key) in sends {
                now_ms += pause_ms;
                let (told, repeated) = store.run(now_ms, Send(key));
                let last = accepted.iter().rev().find(|(_, sent, _)| *sent == key).cloned();
                match &last {
                    Some((at_ms, _, first)) if repeated => {
                        prop_assert!(now_ms - at_ms < 2 * WINDOW_MS, "known for two windows at the most");
                        prop_assert_eq!(&told, first, "a repeated send hears what the first one heard");
                    }
                    Some((at_ms, ..)) => prop_assert!(now_ms - at_ms >= WINDOW_MS, "forgotten after {}", now_ms - at_ms),
                    None => prop_assert!(!repeated, "{key} was never sent"),
                }
                if !repeated {
                    accepted.push_back((now_ms, key, told));
                }
                let live = accepted.iter().filter(|(at_ms, ..)| now_ms - at_ms < 2 * WINDOW_MS).count();
                most = most.max(live);
                prop_assert!(rows(&store) <= most, "{} rows, {most} sends in two windows at the most", rows(&store));
            }
        }
    }
}
