//! A read-only view: the tables as of the last commit.

use std::cell::OnceCell;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use super::{
    StoreError,
    tables::{self, Tables},
};

macro_rules! view {
    ($($field:ident: $method:ident = $definition:ident, $key:ty => $value:ty),* $(,)?) => {
        /// The tables as of the last commit.
        pub struct View {
            transaction: ReadTransaction,
            $($field: OnceCell<ReadOnlyTable<$key, $value>>),*
        }

        impl View {
            pub(super) fn new(transaction: ReadTransaction) -> Self {
                Self { transaction, $($field: OnceCell::new()),* }
            }
        }

        impl Tables for View {
            $(
                fn $method(&self) -> Result<&impl ReadableTable<$key, $value>, StoreError> {
                    if let Some(table) = self.$field.get() {
                        return Ok(table);
                    }
                    let table = self.transaction.open_table(tables::$definition)?;
                    Ok(self.$field.get_or_init(|| table))
                }
            )*
        }
    };
}

view! {
    log: log = LOG, u64 => &'static [u8],
    topics: topics = TOPICS, &'static str => &'static [u8],
    groups: groups = GROUPS, &'static str => &'static [u8],
    queues: queues = QUEUES, (&'static str, i32, i64) => (u64, u32),
    bounds: bounds_table = BOUNDS, (&'static str, i32) => (i64, i64),
    offsets: offsets = OFFSETS, (&'static str, &'static str, i32) => i64,
    chains: chains = CHAINS, &'static str => &'static [u8],
    due: due = DUE, (i64, &'static str) => (),
    parked: parked_table = PARKED, &'static str => (),
    timers: timers = TIMERS, (i64, u64, u32) => (),
    early_acks: early_acks = EARLY_ACKS, &'static str => i64,
    early_acks_until: early_acks_until = EARLY_ACKS_UNTIL, (i64, &'static str) => (),
    set_aside: set_aside_table = SET_ASIDE, (u64, u32) => &'static [u8],
}
